//! Writers that keep a node busy and record its acknowledgements.

use crate::Failure;
use crate::prove::client::{CallError, Client};
use crate::prove::node::Node;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The collection that writers write to.
pub(super) const COLLECTION: &str = "burst";

/// Acknowledged writes: the value of each document by its key.
pub(super) type Acked = BTreeMap<String, u64>;

/// Writers on one node, each with a connection of its own.
#[derive(Debug)]
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Acked>>,
}

impl Writers {
    /// Starts `count` writers. `label` and `round` are part of their documents' names. Half of their writes are new
    /// documents; the others overwrite one document each.
    pub(super) fn start(node: &Node, count: usize, label: &str, round: u64) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for writer in 0..count {
            let (client, stop, label) = (node.client()?, stop.clone(), format!("{label}-{writer}"));
            threads.push(thread::spawn(move || write(client, &stop, &label, round)));
        }
        Ok(Self { stop, threads })
    }

    /// Waits for the end of all writers, which the end of their node also causes; returns the acknowledged writes.
    pub(super) fn finish(self) -> Result<Acked, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Acked::new();
        for thread in self.threads {
            all.extend(thread.join().map_err(|_| "a writer panicked")?);
        }
        Ok(all)
    }
}

fn write(mut client: Client, stop: &AtomicBool, label: &str, round: u64) -> Acked {
    let mut acked = Acked::new();
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = if at % 2 == 0 { format!("{label}-{round}-{at}") } else { format!("{label}-same") };
        let value = round * 1_000_000 + at;
        if put(&mut client, &key, value).is_err() {
            break;
        }
        acked.insert(key, value);
        at += 1;
    }
    acked
}

/// Writes one document.
pub(super) fn put(client: &mut Client, key: &str, value: u64) -> Result<Value, CallError> {
    let put = json!({ "collection": COLLECTION, "key": key, "value": { "value": value, "fill": "x".repeat(200) } });
    client.call("doc_put", put, &mut |_| ())
}

/// Counts acknowledged writes that a node lacks. A document may hold a later value than the acknowledged one, because a
/// write may be durable although its answer was never sent.
pub(super) fn lost(node: &mut Node, acked: &Acked) -> Result<u64, Failure> {
    let mut missing = 0;
    for (key, value) in acked {
        let found = node.ask("doc_get", json!({ "doc": format!("{COLLECTION}/{key}") }));
        let found = match found {
            Ok(document) => document.pointer("/value/value").and_then(Value::as_u64),
            Err(error) if error.code() == "not_found" => None,
            Err(error) => return Err(error.into()),
        };
        missing += u64::from(found.is_none_or(|found| found < *value));
    }
    Ok(missing)
}
