//! Fills a stopped node's directory with closed logs, like those of many processes that each wrote one entry: the input
//! of `prove sessions`.
//!
//! The wall clock jumps between two edits, which ends the live log. Usage: `many_logs DIR LOGS`.

use cosmicsync_node::keyfile::KeyFile;
use cosmicsync_node::store::{LmdbStore, StoreOptions};
use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::crdt::{Change, Meta, TextPaths, Value};
use cosmicsync_protocol::documents::Edit;
use cosmicsync_protocol::endpoint::{Endpoint, Event, LinkId};
use cosmicsync_protocol::endpoint::{Recovery, Step};
use cosmicsync_protocol::ids::{DocId, DocRef};
use cosmicsync_protocol::pump::{Io, pump};
use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::time::Now;
use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

/// Number of documents that the logs share.
const DOCS: u128 = 100;
/// Jump of the wall clock, in milliseconds; more than the drift that ends a live log.
const JUMP_MS: u64 = 120_000;
/// Largest number of commits in progress.
const FLIGHT_MAX: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, logs] = &arguments[..] else { return Err("usage: many_logs DIR LOGS".into()) };
    let keys = KeyFile::open_or_create(Path::new(dir))?;
    let (sender, done) = channel();
    let store = LmdbStore::open(Path::new(dir), keys.store_key(), StoreOptions::default(), move |one| {
        drop(sender.send(one));
    })?;
    let mut filler = Filler::recover(store, done)?;
    for number in 0..DOCS {
        filler.create(number)?;
    }
    for number in 0..logs.parse::<u128>()? {
        filler.write(number % DOCS, number)?;
    }
    filler.drain(0)
}

struct Filler {
    endpoint: Endpoint,
    io: Store,
    now: Now,
}

/// Submits requests to the store and counts those in progress.
struct Store {
    store: LmdbStore,
    done: Receiver<StoreDone>,
    under_way: usize,
}

impl Io for Store {
    fn store(&mut self, request: StoreRequest) {
        self.under_way += 1;
        self.store.submit(request).expect("the store runs");
    }

    fn has_room(&mut self, _: LinkId) -> bool {
        false
    }

    fn send(&mut self, _: LinkId, _: Vec<u8>) {}

    fn event(&mut self, event: Event) {
        assert!(!matches!(event, Event::StoreFailed { .. } | Event::EditsFailed { .. }), "{event:?}");
    }
}

impl Filler {
    fn recover(store: LmdbStore, done: Receiver<StoreDone>) -> Result<Self, Box<dyn Error>> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
        let now = Now { mono_us: 1, wall_ms: 1_700_000_000_000 };
        let mut recovery = Recovery::new(Config::default(), seed);
        let endpoint = loop {
            while let Some(request) = recovery.poll_store() {
                store.submit(request)?;
            }
            match recovery.step(now, done.recv()?)? {
                Step::More(more) => recovery = more,
                Step::Ready(endpoint) => break *endpoint,
            }
        };
        Ok(Self { endpoint, io: Store { store, done, under_way: 0 }, now })
    }

    fn doc(&self, number: u128) -> Result<DocRef, Box<dyn Error>> {
        let partition = self.endpoint.partition(SpaceNo(0), "main").ok_or("the node has no space")?;
        Ok(DocRef { partition, doc: DocId((number + 1).to_be_bytes()) })
    }

    fn create(&mut self, number: u128) -> Result<(), Box<dyn Error>> {
        let doc = self.doc(number)?;
        self.endpoint.open(self.now, doc);
        self.drain(0)?;
        let collection = self.endpoint.collection_id(SpaceNo(0), "notes").ok_or("the node has no space")?;
        let meta = Meta { collection: Some("notes".into()), key: Some(number.to_string()), deleted: false };
        let value: Value = [("n", Value::Int(0))].into_iter().collect();
        let create = Edit::Create { collection, meta, value };
        self.endpoint.edit(self.now, &[(doc, create)], &TextPaths::none(), true)?;
        self.drain(0)
    }

    fn write(&mut self, number: u128, value: u128) -> Result<(), Box<dyn Error>> {
        self.now = Now { wall_ms: self.now.wall_ms + JUMP_MS, ..self.now.after_us(1) };
        let change = Change::Set { path: vec!["n".into()], value: Value::Int(i64::try_from(value)?) };
        let doc = self.doc(number)?;
        self.endpoint.edit(self.now, &[(doc, Edit::Apply(vec![change]))], &TextPaths::none(), true)?;
        self.drain(FLIGHT_MAX)
    }

    /// Runs the core until at most `most` requests are in progress.
    fn drain(&mut self, most: usize) -> Result<(), Box<dyn Error>> {
        loop {
            pump(&mut self.endpoint, self.now, &mut self.io);
            if self.io.under_way <= most {
                return Ok(());
            }
            let done = self.io.done.recv()?;
            self.io.under_way -= 1;
            self.endpoint.handle_stored(self.now, done);
        }
    }
}
