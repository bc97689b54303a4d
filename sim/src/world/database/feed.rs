//! A client that reads the feed of a peer: the numbered changes, and then the documents of these changes.

use super::content::Place;
use super::{Asked, Docs, World};
use crate::coverage::Mark;
use crate::report::OracleId;
use cosmicsync_data::database::request::{Answer, Name, Request};
use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::ids::DocRef;
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::FeedRow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Changes that are read at a time at rest.
const PAGE: usize = 7;

/// Knowledge of a client that reads a peer's feed. It outlives the process.
#[derive(Debug, Clone, Default)]
pub(in crate::world) struct Feed {
    /// The last change that it read.
    number: u64,
    /// Versions of documents, as reported to the client.
    told: BTreeMap<DocRef, Option<VersionId>>,
    /// Looks at documents that are not answered, or showed what is held back: a process that ended answers none.
    again: BTreeMap<DocRef, u32>,
    /// The store was replaced: changes that it holds may have no numbers.
    is_replaced: bool,
}

/// A look at a document that is not answered.
#[derive(Debug)]
pub(super) struct Look {
    doc: DocRef,
    /// The documents as they were when it was asked.
    before: Rc<Docs>,
}

impl World<'_> {
    /// A store is replaced: its changes have other numbers.
    pub(in crate::world) fn forget_feed(&mut self, peer: usize) {
        self.nodes[peer].feed = Feed { is_replaced: true, ..Feed::default() };
    }

    /// Asks for the next changes.
    pub(super) fn read_feed(&mut self, peer: usize, limit: usize) -> bool {
        let after = self.nodes[peer].feed.number;
        self.ask(peer, Asked::Changes(after, limit), Request::Changes { after, limit });
        true
    }

    /// Takes changes, and looks at the documents they are about.
    pub(super) fn take_changes(&mut self, peer: usize, after: u64, limit: usize, rows: Option<&[FeedRow]>) {
        if !self.check_changes(peer, after, limit, rows) {
            return;
        }
        let rows = rows.unwrap_or_default();
        let docs: BTreeSet<DocRef> = rows.iter().map(|row| row.doc).collect();
        for doc in docs {
            let store = self.nodes[peer].durable();
            let Some(before) = self.documents(peer, store, doc.partition) else { return };
            let request = Request::Look { partition: doc.partition, name: Name::Id(doc.doc) };
            *self.nodes[peer].feed.again.entry(doc).or_default() += 1;
            self.ask(peer, Asked::Look(Box::new(Look { doc, before })), request);
        }
        let feed = &mut self.nodes[peer].feed;
        if let (true, Some(last)) = (feed.number == after, rows.last()) {
            feed.number = last.number;
        }
    }

    /// O20: changes come in order, none twice and none left out, and all that is told is durable. Returns whether it is
    /// so.
    fn check_changes(&mut self, peer: usize, after: u64, limit: usize, rows: Option<&[FeedRow]>) -> bool {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return false };
        self.stats.checks += 1;
        let Some(rows) = rows else {
            self.violation(OracleId::O20, Some(peer), format!("changes behind {after} are forgotten"));
            return false;
        };
        let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
        let stored = alive.store.rows();
        let lost = rows.iter().find(|row| !stored.contains_key(&(Table::Feed, FeedRow::key(row.number))));
        if numbers.len() > limit || !numbers.iter().copied().eq(after + 1..=after + numbers.len() as u64) {
            let text = format!("of changes behind {after} at most {limit} are asked for, and {numbers:?} are told");
            self.violation(OracleId::O20, Some(peer), text);
            return false;
        }
        if let Some(row) = lost {
            let text = format!("the change {} is told before it is durable", row.number);
            self.violation(OracleId::O20, Some(peer), text);
            return false;
        }
        if !rows.is_empty() {
            self.mark(Mark::FeedRead);
        }
        true
    }

    /// O20: what a look tells is durable.
    pub(super) fn check_look(&mut self, peer: usize, look: &Look, told: Option<Snapshot>) {
        let Look { doc, before } = look;
        let doc = *doc;
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let stores = [alive.store.crash(0), alive.store.crash(usize::MAX)];
        let is_current = alive.endpoint.is_current(doc);
        let is_held = !alive.desk.held.is_empty() && !is_current;
        let [Some(now), Some(later)] = stores.map(|store| self.documents(peer, store, doc.partition)) else { return };
        let shown = self.call(peer, |alive, _| alive.endpoint.view(doc)).flatten();
        self.stats.checks += 1;
        let of = |docs: &Docs| docs.get(&doc.doc).map(|known| known.version);
        let version = told.as_ref().map(|told| told.version);
        let is_durable = version == of(before) || version == of(&now);
        let is_to_come = version == of(&later) || is_current && version == shown.map(|shown| shown.version);
        if version.is_some() && !is_durable && is_to_come {
            let text = format!("a look at {} tells of what a crash undoes", doc.doc);
            self.violation(OracleId::O20, Some(peer), text);
        }
        if let Some(known) = now.get(&doc.doc).filter(|known| Some(known.version) == version)
            && Some(known) != told.as_ref()
        {
            let text = format!("a look at {} tells of another value than its version has", doc.doc);
            self.violation(OracleId::O20, Some(peer), text);
        }
        self.mark(Mark::Looked);
        let feed = &mut self.nodes[peer].feed;
        feed.told.insert(doc, version);
        // What is held back shows when it is let in again, and has no number of its own.
        if let (Some(count), false) = (feed.again.get_mut(&doc), is_held) {
            *count = count.saturating_sub(1);
        }
    }

    fn read_at_rest(&mut self, peer: usize, doc: DocRef) -> Option<()> {
        let request = Request::Look { partition: doc.partition, name: Name::Id(doc.doc) };
        let Answer::Snapshot(told) = self.probe(peer, request)? else { return None };
        self.nodes[peer].feed.told.insert(doc, told.map(|told| told.version));
        Some(())
    }

    /// Checks O20 at rest: a client that read the feed and its documents knows each document as it is.
    pub(super) fn check_feed(&mut self, peer: usize, all: &BTreeMap<u32, Rc<Docs>>) -> Option<()> {
        for (doc, _) in core::mem::take(&mut self.nodes[peer].feed.again).into_iter().filter(|(_, count)| *count > 0) {
            self.read_at_rest(peer, doc)?;
        }
        loop {
            let after = self.nodes[peer].feed.number;
            let answer = self.probe(peer, Request::Changes { after, limit: PAGE })?;
            let Answer::Changes(rows) = answer else { return None };
            if !self.check_changes(peer, after, PAGE, rows.as_deref()) {
                return None;
            }
            let rows = rows.unwrap_or_default();
            let Some(last) = rows.last() else { break };
            self.nodes[peer].feed.number = last.number;
            for doc in rows.iter().map(|row| row.doc).collect::<BTreeSet<_>>() {
                self.read_at_rest(peer, doc)?;
            }
        }
        for (number, docs) in all {
            let Some(partition) = self.find_place(peer, Place { partition: *number, collection: "" }) else { continue };
            let feed = &self.nodes[peer].feed;
            let wrong = docs.iter().find(|(doc, known)| {
                let told = feed.told.get(&DocRef { partition, doc: **doc });
                told.map_or(!feed.is_replaced, |told| *told != Some(known.version))
            });
            self.stats.checks += 1;
            if let Some((doc, known)) = wrong {
                let key = known.meta.key.clone().unwrap_or_default();
                let told = self.nodes[peer].feed.told.get(&DocRef { partition, doc: *doc }).copied().flatten();
                let text = format!("{key} has the version {}, and the feed told of {told:?}", known.version);
                self.violation(OracleId::O20, Some(peer), text);
            }
        }
        Some(())
    }
}
