//! Reports: each edit has one verdict, changes are announced, and what a peer says of itself and of others is true
//! (O23).

use super::Reader;
use crate::random::purpose;
use crate::report::OracleId;
use crate::world::World;
use cosmicsync_protocol::crdt::Version;
use cosmicsync_protocol::storage::Table;
use std::collections::BTreeMap;

/// Number of verdicts of which one is compared with the disk.
const READ_ONE_IN: u64 = 24;
/// Number of turns after which announcements are compared with documents once.
const LOOK_ONE_IN: u64 = 8;

impl World<'_> {
    /// An edit has a verdict: it must be the first one.
    pub(crate) fn check_verdict(&mut self, peer: usize, commit: u64) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        let is_known = alive.edits.contains_key(&commit);
        if (is_known && !alive.judged.insert(commit)) || (!is_known && alive.judged.contains(&commit)) {
            self.violation(OracleId::O23, Some(peer), format!("edit {commit} has two verdicts"));
        }
    }

    /// An edit was reported safe: a process that started from the disk would show it.
    pub(crate) fn check_safe(&mut self, peer: usize, tokens: &[u64]) {
        if self.model.forks || !self.keyed.once_in(&[purpose::TOLD, peer as u64, self.stats.events], READ_ONE_IN) {
            return;
        }
        self.stats.checks += 1;
        let seed = self.keyed.seed(&[purpose::TOLD, peer as u64, self.stats.events]);
        let Some(mut reader) = Reader::new(self.nodes[peer].durable(), &self.plan.core, seed) else { return };
        for number in tokens {
            let Some(token) = self.model.tokens.get(number) else { continue };
            let Some(at) = reader.doc(self.plan.partitions, token.doc) else { continue };
            let shown = reader.show(at);
            let is_there =
                token.deed.as_ref().map_or_else(|| shown.tokens().contains(number), |deed| deed.is_in(&shown.version));
            if !is_there && shown.missing == 0 {
                let text = format!("edit {number} of document {} was reported safe before it was", token.doc);
                self.violation(OracleId::O23, Some(peer), text);
            }
        }
    }

    /// Notes the version of an open document that was announced, or that the peer's own edit made.
    pub(crate) fn note_announced(&mut self, peer: usize, doc: u64, version: Version) {
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.announced.insert(doc, version);
        }
    }

    /// Between two turns, an open document shows no more than was announced.
    pub(crate) fn check_announced(&mut self, peer: usize) {
        if self.plan.databases
            || !self.keyed.once_in(&[purpose::TOLD, u64::MAX, peer as u64, self.stats.events], LOOK_ONE_IN)
        {
            return;
        }
        self.check_announced_now(peer);
    }

    fn check_announced_now(&mut self, peer: usize) {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let open = alive.docs.iter().filter(|(_, open)| open.opened);
        let open: Vec<_> = open.map(|(number, open)| (*number, open.doc)).collect();
        for (number, doc) in open {
            self.stats.checks += 1;
            let version = self.call(peer, |alive, _| Some(alive.endpoint.replica(doc)?.version().clone())).flatten();
            let announced = self.nodes[peer].alive.as_deref().and_then(|alive| alive.announced.get(&number));
            if version.is_some() && announced.is_some() && version.as_ref() != announced {
                let text = format!("document {number} shows changes that were not announced");
                self.violation(OracleId::O23, Some(peer), text);
                self.note_announced(peer, number, version.unwrap_or_default());
            }
        }
    }

    /// At rest, all that peers say of themselves and of each other is true.
    pub(crate) fn check_said(&mut self) {
        for peer in (0..self.nodes.len()).filter(|peer| self.core[*peer]).collect::<Vec<_>>() {
            self.check_announced_now(peer);
            self.check_listed(peer);
            self.check_acked(peer);
        }
    }

    /// The documents and logs that a peer lists are there.
    fn check_listed(&mut self, peer: usize) {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        self.stats.checks += 2;
        let mut wrong = Vec::new();
        if let Some((doc, _)) = alive.docs.iter().find(|(_, open)| !open.opened) {
            wrong.push(format!("document {doc} was asked for and is not reported open"));
        }
        let mut stored: BTreeMap<u32, u64> = BTreeMap::new();
        for (table, key) in alive.store.rows().keys() {
            if let (Table::Entry, Some(log)) = (table, key.first_chunk()) {
                *stored.entry(u32::from_be_bytes(*log)).or_default() += 1;
            }
        }
        for log in alive.endpoint.logs().filter(|_| !self.model.forks) {
            let rows = stored.get(&log.no.0).copied().unwrap_or(0);
            if log.held != rows {
                wrong.push(format!("{} entries of a log are said to be held, and {rows} are", log.held));
            }
        }
        for text in wrong {
            self.violation(OracleId::O23, Some(peer), text);
        }
    }

    /// Entries that a peer is said to have acknowledged are there.
    fn check_acked(&mut self, peer: usize) {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let mut wrong = Vec::new();
        for info in alive.endpoint.stats().links {
            let at = alive.links.get(&info.link).and_then(|(conn, end)| Some((self.conns.get(conn)?, *end)));
            let Some(other) = at.and_then(|(conn, end)| self.nodes[conn.ends[1 - end].peer].alive.as_deref()) else {
                continue;
            };
            self.stats.checks += 1;
            for (log, seq) in &info.acked {
                let Some(id) = alive.endpoint.log_id(*log) else { continue };
                let known = other.endpoint.logs().filter(|log| log.id == id).map(|log| log.entries).max();
                if known.is_none_or(|entries| entries <= *seq) {
                    wrong.push(format!("entry {seq} of a log counts as acknowledged, and the peer has {known:?}"));
                }
            }
        }
        for text in wrong {
            self.violation(OracleId::O23, Some(peer), text);
        }
    }
}
