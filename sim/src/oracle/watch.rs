//! Checks during a run: documents on peers, restarts, and ends of links.

use super::model::Seen;
use crate::coverage::Mark;
use crate::report::OracleId;
use crate::world::{Alive, World, tokens_of};
use cosmicsync_protocol::crdt::{Value, Version};
use cosmicsync_protocol::documents::Missing;
use cosmicsync_protocol::endpoint::CloseReason;
use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::sync::LogNo;
use cosmicsync_protocol::wire::close::CloseCode;
use std::collections::{BTreeMap, BTreeSet};

impl World<'_> {
    /// Checks an open document (O3): versions never go back, no token is seen before its dependencies, transactions
    /// are seen whole.
    pub(crate) fn watch(&mut self, peer: usize, doc: u64) {
        let Some((version, tokens, held, value)) = self.shown(peer, doc) else {
            // All that the document showed is excluded now.
            self.note_announced(peer, doc, Version::new());
            return;
        };
        self.stats.checks += 1;
        self.note_announced(peer, doc, version.clone());
        if self.model.forks {
            return;
        }
        self.check_version(peer, doc, &version, &value);
        let mut wrong = Vec::new();
        let before = self.model.seen.get(&(peer, doc));
        for (author, end) in before.iter().flat_map(|seen| &seen.version) {
            if version.get(author).is_none_or(|now| now < end) {
                wrong.push(format!("the version of document {doc} went back"));
            }
        }
        let fresh: Vec<u64> =
            tokens.iter().copied().filter(|token| before.is_none_or(|seen| !seen.tokens.contains(token))).collect();
        for token in &fresh {
            let Some(known) = self.model.tokens.get(token) else {
                wrong.push(format!("document {doc} shows token {token}, which nobody typed"));
                continue;
            };
            if let Some(dep) = known.deps.iter().find(|dep| !tokens.contains(*dep)) {
                wrong.push(format!("document {doc} shows token {token} without {dep}, which it was typed after"));
            }
        }
        let pairs: Vec<(u64, u64)> = fresh
            .iter()
            .filter_map(|token| Some((*token, self.model.tokens.get(token)?.pair?)))
            .filter(|_| !held)
            .collect();
        for (token, pair) in pairs {
            wrong.extend(self.watch_pair(peer, token, pair));
        }
        self.model.seen.insert((peer, doc), Seen { version, tokens });
        for text in wrong {
            self.violation(OracleId::O3, Some(peer), text);
        }
    }

    /// Checks that the other half of a transaction is present too, if its document is open.
    fn watch_pair(&mut self, peer: usize, token: u64, pair: u64) -> Option<String> {
        let doc = self.model.tokens.get(&pair)?.doc;
        let (_, tokens, held, _) = self.shown(peer, doc)?;
        self.mark(Mark::TransactionSeen);
        // A document that waits for dependencies of its next entries reports that, and promises nothing until they
        // came.
        let waits = self.waits(peer, doc) || self.waits(peer, self.model.tokens.get(&token)?.doc);
        let missing = !held && !waits && !tokens.contains(&pair);
        missing.then(|| {
            let lacks = self.lacks(peer, doc);
            format!("document {doc} does not show token {pair}, though {token} of its transaction is seen; {lacks:?}")
        })
    }

    /// Returns the missing parts that a peer reports for a document.
    fn lacks(&self, peer: usize, doc: u64) -> Vec<Missing> {
        let alive = self.nodes[peer].alive.as_deref();
        let open = alive.and_then(|alive| Some((alive, alive.docs.get(&doc)?)));
        open.map(|(alive, open)| alive.endpoint.missing(open.doc)).unwrap_or_default()
    }

    /// Returns whether a document waits for dependencies of its next entries, or for bodies that its peer does not
    /// hold. Even a peer that keeps all bodies may lack some that a partial neighbour passed over.
    fn waits(&self, peer: usize, doc: u64) -> bool {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return false };
        let has_holes = |log: LogNo| {
            let id = alive.endpoint.log_id(log);
            alive.endpoint.logs().any(|log| Some(log.id) == id && log.held < log.entries)
        };
        self.lacks(peer, doc).iter().any(|missing| match missing {
            Missing::Dependency(_) => true,
            Missing::Body(at) => self.nodes[peer].was_partial || has_holes(at.log),
            Missing::Excluded(_) | Missing::Sealed(_) | Missing::TooLarge(_) => self.nodes[peer].was_partial,
        })
    }

    /// Returns version and tokens of a document that a peer has open, whether it is held back, and its value.
    fn shown(&mut self, peer: usize, doc: u64) -> Option<(Version, BTreeSet<u64>, bool, Value)> {
        let open = self.nodes[peer].alive.as_deref()?.docs.get(&doc).filter(|open| open.opened)?.clone();
        self.call(peer, |alive, _| {
            let snapshot = alive.endpoint.view(open.doc)?;
            let version = alive.endpoint.replica(open.doc)?.version().clone();
            Some((version, tokens_of(&snapshot.value).into_iter().collect(), open.held, snapshot.value))
        })?
    }

    /// Records the durable content of a process that ended.
    pub(crate) fn remember(&mut self, peer: usize, alive: &Alive) {
        let logs = alive.endpoint.logs().map(|log| (log.id, (log.held, log.entries))).collect();
        self.model.remembered.insert(peer, logs);
        self.model.seen.retain(|(at, _), _| *at != peer);
    }

    /// O10: a restarted peer holds all that was durable when it ended.
    pub(crate) fn check_restart(&mut self, peer: usize) {
        let Some(before) = self.model.remembered.remove(&peer) else { return };
        self.stats.checks += 1;
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let now: BTreeMap<LogId, (u64, u64)> =
            alive.endpoint.logs().map(|log| (log.id, (log.held, log.entries))).collect();
        let lost = before.iter().filter(|(_, (held, _))| *held > 0).any(|(log, (held, entries))| {
            now.get(log).is_none_or(|(held_now, entries_now)| held_now < held || entries_now < entries)
        });
        if lost {
            self.violation(OracleId::O10, Some(peer), "what was durable is not there after a restart".to_owned());
        }
    }

    /// O10: a log has two histories, or is longer elsewhere, only after a process was resumed beside itself or
    /// again.
    pub(crate) fn check_retired(&mut self, peer: usize, text: &str) {
        if !self.model.forks {
            self.violation(OracleId::O10, Some(peer), format!("no process was resumed twice, and a peer {text}"));
        }
    }

    /// O8: honest peers on an honest line end no link in error.
    pub(crate) fn check_close(&mut self, peer: usize, conn: u64, reason: &CloseReason) {
        let honest = !self.is_tampered(conn) && !self.model.forks;
        // Releases without a common version report that.
        let mismatch = CloseCode::VersionMismatch;
        let says_so = *reason == CloseReason::Ours(mismatch) || *reason == CloseReason::Theirs(mismatch as u16);
        if says_so && self.plan.peers.iter().any(|peer| peer.minors.is_some() || peer.feature.is_some()) {
            return;
        }
        let fault = match reason {
            CloseReason::Ours(code) => is_fault(*code, self.model.clocks_wrong),
            CloseReason::Theirs(number) => {
                CloseCode::from_number(*number).is_none_or(|code| is_fault(code, self.model.clocks_wrong))
            }
            CloseReason::Handshake(_) | CloseReason::Join(_) | CloseReason::Admission(_) => true,
            CloseReason::Lost | CloseReason::Timeout | CloseReason::Done => false,
        };
        if honest && fault {
            let text = format!("a link of honest peers ended: {reason:?}");
            self.violation(OracleId::O8, Some(peer), text);
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a code that is not known to be harmless is not")]
fn is_fault(code: CloseCode, clocks_wrong: bool) -> bool {
    match code {
        CloseCode::Done
        | CloseCode::ShuttingDown
        | CloseCode::Replaced
        | CloseCode::Renew
        | CloseCode::Overloaded
        | CloseCode::StoreFailed => false,
        CloseCode::NotAdmitted => !clocks_wrong,
        _ => true,
    }
}
