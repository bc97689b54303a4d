//! Work of one peer: sends the edits of the plan as commands, and records what was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use cosmicsync_sim::plan::Act;
use serde_json::{Value, json};

use super::client::{CallError, Client};
use super::peer::Peer;

/// The collection of all documents.
pub(super) const COLLECTION: &str = "docs";

/// Number of the first document of an import, for each action.
const IMPORT_BASE: u64 = 1_000_000;

/// A write that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acked {
    /// The document's key.
    pub(super) doc: String,
    /// A text that the document must contain.
    pub(super) token: String,
    /// The peer that acknowledged it.
    pub(super) peer: usize,
    /// Time of the answer.
    pub(super) at: Instant,
}

/// Result of a peer's work.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Edits that the plan had for the peer.
    pub(super) edits: u64,
    /// Edits that were answered with success.
    pub(super) acked: u64,
    /// Tokens of those that have one.
    pub(super) tokens: Vec<Acked>,
    /// Documents that somebody wanted to delete.
    pub(super) deleted: Vec<String>,
    /// Numbers of edits without success, by reason: a code of the node's, `down` or `no answer`.
    pub(super) failed: BTreeMap<String, u64>,
}

/// A thread that works for a peer.
#[derive(Debug)]
pub(super) struct Worker {
    acts: mpsc::Sender<(u32, Act)>,
    thread: JoinHandle<Done>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn new(peer: Arc<Peer>) -> Self {
        let (acts, received) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut done = Done::default();
            let mut client = None;
            for (id, act) in received {
                work(&peer, &mut client, id, &act, &mut done);
            }
            done
        });
        Self { acts, thread }
    }

    /// Sends an edit, after those before it.
    pub(super) fn send(&self, id: u32, act: Act) {
        // The thread ends only with its worker.
        let _ = self.acts.send((id, act));
    }

    /// Waits until all edits were sent and answered.
    pub(super) fn finish(self) -> Done {
        drop(self.acts);
        self.thread.join().unwrap_or_default()
    }
}

/// A command for an edit.
struct Call {
    name: &'static str,
    arguments: Value,
    input: Vec<u8>,
    /// Documents and texts that they must contain once it is acknowledged.
    leaves: Vec<(String, String)>,
}

fn work(peer: &Peer, client: &mut Option<Client>, id: u32, act: &Act, done: &mut Done) {
    let Some(Call { name, arguments, input, leaves }) = call(id, act) else { return };
    done.edits += 1;
    if let Act::Delete { doc, deleted: true, .. } = act {
        done.deleted.push(key(*doc));
    }
    if client.is_none() {
        *client = peer.client().ok();
    }
    let Some(connection) = client else {
        *done.failed.entry("down".to_owned()).or_default() += 1;
        return;
    };
    match connection.call_each(name, arguments, &input, &mut |_| ()) {
        Ok(_) => {
            peer.answered();
            done.acked += 1;
            let at = Instant::now();
            let made = leaves.into_iter().map(|(doc, token)| Acked { doc, token, peer: peer.number, at });
            done.tokens.extend(made);
        }
        Err(error) => {
            let reason = match &error {
                CallError::Refused(_) => error.code().to_owned(),
                CallError::Lost(_) => {
                    *client = None;
                    "no answer".to_owned()
                }
            };
            *done.failed.entry(reason).or_default() += 1;
        }
    }
}

fn key(doc: u32) -> String {
    format!("d{doc}")
}

fn name(doc: u32) -> String {
    format!("{COLLECTION}/d{doc}")
}

/// Returns the command for an edit; `None` for actions that are no edits.
fn call(id: u32, act: &Act) -> Option<Call> {
    let token = format!("<{id}>");
    let plain = |name, arguments| Call { name, arguments, input: Vec::new(), leaves: Vec::new() };
    let marked = |name, arguments, doc: u32| Call { leaves: vec![(key(doc), token.clone())], ..plain(name, arguments) };
    let typed =
        |doc: u32, text: String| json!({ "op": "type", "doc": name(doc), "path": "text", "patches": [[0, 0, text]] });
    Some(match act {
        Act::Create { doc, .. } | Act::Make { doc, .. } => plain(
            "doc_put",
            json!({
                "collection": COLLECTION, "key": key(*doc), "text": ["text", "scribble"],
                "value": { "text": "", "scribble": "", "items": [] },
            }),
        ),
        Act::Insert { doc, bytes, .. } => {
            let text = format!("{token}{}", "x".repeat(*bytes as usize));
            marked("doc_write", json!({ "writes": [typed(*doc, text)] }), *doc)
        }
        Act::Item { doc, .. } => {
            let insert = json!({ "op": "insert", "doc": name(*doc), "path": "items", "values": [token] });
            marked("doc_write", json!({ "writes": [insert] }), *doc)
        }
        Act::Scribble { doc, insert, .. } => {
            let patches = json!([[0, 0, "y".repeat(*insert as usize)]]);
            let scribble = json!({ "op": "type", "doc": name(*doc), "path": "scribble", "patches": patches });
            plain("doc_write", json!({ "writes": [scribble] }))
        }
        Act::Set { doc, field, value, .. } => {
            plain("doc_patch", json!({ "doc": name(*doc), "patch": { format!("f{field}"): value } }))
        }
        Act::Both { docs, .. } => {
            let writes: Vec<Value> = docs.iter().map(|doc| typed(*doc, token.clone())).collect();
            let leaves = docs.iter().map(|doc| (key(*doc), token.clone())).collect();
            Call { leaves, ..plain("doc_write", json!({ "writes": writes })) }
        }
        Act::Delete { doc, deleted, .. } => {
            let op = if *deleted { "delete" } else { "undelete" };
            plain("doc_write", json!({ "writes": [{ "op": op, "doc": name(*doc) }] }))
        }
        Act::Import { docs, bytes, .. } => {
            let numbers = (0..u64::from(*docs)).map(|at| IMPORT_BASE * u64::from(id) + at);
            let rows: Vec<(String, String)> = numbers.map(|n| (format!("d{n}"), format!("<{n}>"))).collect();
            let line = |(key, token): &(String, String)| {
                format!("{}\n", json!({ "id": key, "text": format!("{token}{}", "x".repeat(*bytes as usize)) }))
            };
            Call {
                name: "import",
                arguments: json!({ "collection": COLLECTION, "path": "-", "format": "ndjson", "id_column": "id" }),
                input: rows.iter().map(line).collect::<String>().into_bytes(),
                leaves: rows,
            }
        }
        Act::Open { doc, .. } => plain("doc_get", json!({ "doc": name(*doc) })),
        Act::Hold { doc, on, .. } => plain("doc_hold", json!({ "doc": name(*doc), "hold": on })),
        Act::Ask { .. }
        | Act::Member { .. }
        | Act::Close { .. }
        | Act::Bodies { .. }
        | Act::Dial { .. }
        | Act::Hang { .. }
        | Act::Reset { .. }
        | Act::Stall { .. }
        | Act::Partition { .. }
        | Act::Quality { .. }
        | Act::Split { .. }
        | Act::Gather { .. }
        | Act::Flap { .. }
        | Act::Refuse { .. }
        | Act::Unanswered { .. }
        | Act::Tamper { .. }
        | Act::Crash { .. }
        | Act::Stop { .. }
        | Act::Snapshot { .. }
        | Act::Restart { .. }
        | Act::Resume { .. }
        | Act::Pause { .. }
        | Act::SlowStore { .. }
        | Act::FailStore { .. }
        | Act::Clock { .. } => return None,
    })
}
