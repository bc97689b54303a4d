//! Recorded editing sessions, in the format of the editing-traces collection.
//!
//! A trace is a JSON object with `startContent`, `endContent`, and `txns` with `patches` of
//! `[position, deleted, inserted]`. A sequential trace has one author. A trace of `"kind": "concurrent"` has
//! `numAgents` authors. Each of its transactions names its `agent` and, as `parents`, the transactions that this author
//! had seen. Positions and lengths are in Unicode scalar values.
//!
//! The reader streams: it holds one transaction at a time, and the texts around the transactions. Decompression is left
//! to the caller.

use crate::import::{Checkpoint, Format, ImportError, Reader};
use cosmicsync_protocol::crdt::Value;

/// A replacement of a part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Position, in Unicode scalar values.
    pub at: usize,
    /// Number of deleted Unicode scalar values.
    pub delete: usize,
    /// The text inserted in their place.
    pub insert: String,
}

/// One transaction. Its number is its index in the trace; the first is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// The transactions that it directly follows. Its author had seen these and all before them.
    pub parents: Vec<usize>,
    /// The author.
    pub agent: usize,
    /// The patches, in order.
    pub patches: Vec<Patch>,
}

/// The members of the file around the transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The text before the first transaction.
    pub start_content: String,
    /// The text after the last transaction.
    pub end_content: String,
    /// The number of authors.
    pub agents: usize,
}

/// Errors of reading a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file is not JSON, or has no `txns`.
    #[error(transparent)]
    File(#[from] ImportError),
    /// A transaction has no patches of `[position, deleted, inserted]`, or a parent that does not precede it.
    #[error("transaction {0} is not one of an editing trace")]
    Txn(usize),
    /// An author's transactions don't follow each other, so no single replica can have made them.
    #[error("transaction {0} does not follow all earlier ones of its author")]
    NotLinear(usize),
    /// A member around the transactions is missing or of another type.
    #[error("the trace's member {0:?} is missing or of another type")]
    Member(&'static str),
}

/// Largest number of authors in a trace; a replay has one replica for each.
const AGENTS_MAX: usize = 4096;

/// Reads one trace.
#[derive(Debug)]
pub struct TraceReader {
    reader: Reader,
    txns: usize,
    agents: usize,
}

impl Default for TraceReader {
    fn default() -> Self {
        Self::new()
    }
}

impl TraceReader {
    /// Returns a reader at the beginning of a trace.
    pub fn new() -> Self {
        Self { reader: Reader::new(Format::Json, Some("txns")), txns: 0, agents: 0 }
    }

    /// Takes the next bytes of the decompressed file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes);
    }

    /// Declares the end of the file.
    pub const fn finish(&mut self) {
        self.reader.finish();
    }

    /// Returns the next transaction; `None` if more bytes are needed, and after [`TraceReader::finish`] at the end.
    pub fn next_txn(&mut self) -> Result<Option<Txn>, TraceError> {
        let Some(record) = self.reader.next_record()? else { return Ok(None) };
        let number = self.txns;
        let txn = txn(&record.value, number).ok_or(TraceError::Txn(number))?;
        self.txns += 1;
        self.agents = self.agents.max(txn.agent + 1);
        Ok(Some(txn))
    }

    /// Returns the text before the first transaction. The text is known once that transaction was taken, unless the
    /// file has it later.
    pub fn start_content(&self) -> Option<String> {
        let Checkpoint { head, .. } = self.reader.checkpoint();
        let known = crate::json::parse(format!("{head}]}}").as_bytes()).ok()?;
        known.entry("startContent")?.as_text().map(str::to_owned)
    }

    /// Returns the members of the file around the transactions. The members are known at the end of the file.
    pub fn summary(&self) -> Result<Summary, TraceError> {
        let around = self.reader.envelope().ok_or(TraceError::Member("txns"))?;
        let around = crate::json::parse([around.head, around.tail].concat().as_bytes());
        let around = around.map_err(|_| TraceError::Member("txns"))?;
        let text = |name| match around.entry(name) {
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            None => Ok(None),
            Some(_) => Err(TraceError::Member(name)),
        };
        Ok(Summary {
            start_content: text("startContent")?.unwrap_or_default(),
            end_content: text("endContent")?.ok_or(TraceError::Member("endContent"))?,
            agents: self.agents.max(around.entry("numAgents").and_then(index).unwrap_or(1)),
        })
    }
}

/// Determines the transactions that each author must have received before the next one, for a replay with one replica
/// for each author.
#[derive(Debug, Default)]
pub struct Causality {
    /// For each transaction: the number of each author's transactions that it follows, itself included.
    versions: Vec<Vec<usize>>,
    /// For each author: the same numbers for the author's last transaction.
    seen: Vec<Vec<usize>>,
}

/// Transactions that an author must receive: a range of another author's transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// The author of these transactions.
    pub agent: usize,
    /// Their range; the first transaction of that author is 0.
    pub txns: core::ops::Range<usize>,
}

impl Causality {
    /// Returns the state before the first transaction.
    pub const fn new() -> Self {
        Self { versions: Vec::new(), seen: Vec::new() }
    }

    /// Takes the next transaction and returns the transactions that its author must receive first. The author's replica
    /// is then exactly in the state in which the transaction was made. The order of the list does not matter: together
    /// they are causally complete.
    ///
    /// Fails if the author had not seen all of the author's earlier transactions, because then several replicas made
    /// them.
    pub fn follow(&mut self, txn: &Txn) -> Result<Vec<Receive>, TraceError> {
        let number = self.versions.len();
        let mut version: Vec<usize> = Vec::new();
        for parent in &txn.parents {
            let parent = self.versions.get(*parent).ok_or(TraceError::Txn(number))?;
            version.resize(version.len().max(parent.len()), 0);
            version.iter_mut().zip(parent).for_each(|(known, also)| *known = (*known).max(*also));
        }
        if self.seen.len() <= txn.agent {
            self.seen.resize(txn.agent + 1, Vec::new());
        }
        let seen = core::mem::take(&mut self.seen[txn.agent]);
        let at = |version: &[usize], agent: usize| version.get(agent).copied().unwrap_or(0);
        if (0..seen.len()).any(|agent| at(&seen, agent) > at(&version, agent)) {
            return Err(TraceError::NotLinear(number));
        }
        let news = (0..version.len()).filter(|agent| *agent != txn.agent);
        let receive = news
            .map(|agent| Receive { agent, txns: at(&seen, agent)..at(&version, agent) })
            .filter(|receive| !receive.txns.is_empty())
            .collect();
        version.resize(version.len().max(txn.agent + 1), 0);
        version[txn.agent] += 1;
        self.seen[txn.agent].clone_from(&version);
        self.versions.push(version);
        Ok(receive)
    }
}

fn txn(value: &Value, number: usize) -> Option<Txn> {
    let parents = match value.entry("parents") {
        Some(parents) => parents.as_list()?.iter().map(index).collect::<Option<Vec<_>>>()?,
        None => number.checked_sub(1).into_iter().collect(),
    };
    let agent = value.entry("agent").map_or(Some(0), index).filter(|agent| *agent < AGENTS_MAX)?;
    let patches = value.entry("patches")?.as_list()?.iter().map(patch).collect::<Option<_>>()?;
    parents.iter().all(|parent| *parent < number).then_some(Txn { parents, agent, patches })
}

fn patch(value: &Value) -> Option<Patch> {
    let [at, delete, insert] = value.as_list()?.as_slice() else { return None };
    Some(Patch { at: index(at)?, delete: index(delete)?, insert: insert.as_text()?.to_owned() })
}

fn index(value: &Value) -> Option<usize> {
    usize::try_from(value.as_int()?).ok()
}

#[cfg(test)]
mod tests;
