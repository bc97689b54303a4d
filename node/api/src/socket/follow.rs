//! The messages of a WebSocket's subscriptions.

use cosmicsync_node::service::{Command, Item};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::failed;
use crate::call::Caller;
use crate::model::{BatchView, ChangeView};
use crate::presence::{People, Present, Seat};
use crate::problem::{Code, Problem};

/// A subscription before its first message.
pub(super) struct Follow {
    pub(super) id: String,
    pub(super) caller: Caller,
    pub(super) out: mpsc::Sender<Value>,
    /// The content of the first message.
    pub(super) ready: Option<Value>,
}

impl Follow {
    /// Sends the items of a command, within the client's credit. Returns the subscription's id at the end.
    pub(super) async fn command(self, command: Command, credit: Arc<Semaphore>, slot: OwnedSemaphorePermit) -> String {
        let Self { id, caller, out, ready } = self;
        if let Some(ready) = ready
            && out.send(ready).await.is_err()
        {
            return id;
        }
        let problem = followed(&id, &caller, command, &credit, &out).await.err();
        if let Some(problem) = problem {
            let name = if problem.code() == Code::Gone { "gap" } else { "error" };
            let mut message = failed(Some(&id), &problem);
            message["type"] = name.into();
            drop(out.send(message).await);
        }
        drop(slot);
        id
    }

    /// Sends the clients at a document and their changes. A slow client misses states that are outdated. Returns the
    /// subscription's id at the end.
    pub(super) async fn people(self, mut seat: Seat, slot: OwnedSemaphorePermit) -> String {
        let Self { id, out, .. } = self;
        let mut told = seat.changed.borrow_and_update().clone();
        let people: Vec<Value> = told.iter().map(|(number, present)| described(*number, present)).collect();
        let ready = json!({ "type": "ready", "id": id, "self": seat.number(), "people": people });
        let mut sent = out.send(ready).await;
        while sent.is_ok() && seat.changed.changed().await.is_ok() {
            let now = seat.changed.borrow_and_update().clone();
            for message in changes(&told, &now) {
                sent = out.send(json!({ "type": "presence", "id": id, "change": message })).await;
            }
            told = now;
        }
        drop(slot);
        id
    }
}

/// Returns the clients that came, changed or left.
fn changes(told: &People, now: &People) -> Vec<Value> {
    let is_told = |(number, present): &(&u64, &Arc<Present>)| {
        told.get(*number).is_some_and(|before| Arc::ptr_eq(before, present))
    };
    let new = now.iter().filter(|one| !is_told(one)).map(|(number, present)| described(*number, present));
    let gone = told.keys().filter(|number| !now.contains_key(*number));
    new.chain(gone.map(|number| json!({ "number": number, "left": true }))).collect()
}

fn described(number: u64, present: &Present) -> Value {
    json!({ "number": number, "account": present.account, "state": present.state })
}

async fn followed(
    id: &str,
    caller: &Caller,
    command: Command,
    credit: &Semaphore,
    out: &mpsc::Sender<Value>,
) -> Result<(), Problem> {
    let backend = caller.backend();
    let (sender, mut items) = mpsc::channel(1);
    let mut call = backend.call(command, sender);
    loop {
        let item = tokio::select! {
            biased;
            Some(item) = items.recv() => item,
            result = &mut call => return result.map(drop).map_err(Problem::from),
        };
        let message = match item {
            Item::Change(change) => json!({ "type": "change", "id": id, "change": ChangeView::from(change) }),
            Item::Live(batch) => {
                let (name, batch) = (if batch.reset { "ready" } else { "batch" }, BatchView::from(batch));
                json!({ "type": name, "id": id, "cursor": batch.cursor, "events": batch.events })
            }
            Item::Progress(_)
            | Item::Document(_)
            | Item::Revision(_)
            | Item::Conflict(_)
            | Item::Chunk(_)
            | Item::Bytes(_) => continue,
        };
        if let Ok(permit) = credit.acquire().await {
            permit.forget();
        }
        if out.send(message).await.is_err() {
            return Ok(());
        }
    }
}
