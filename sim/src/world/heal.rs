//! Phase two: faults end, the core is connected and must converge; then nothing may change any more.

use super::{Phase, What, World};
use crate::coverage::Mark;
use crate::random::purpose;
use crate::report::{Bound, OracleId, Unmet};
use bytes::Bytes;
use cosmicsync_protocol::endpoint::LinkId;
use cosmicsync_protocol::storage::{StoreError, Table};
use cosmicsync_protocol::testkit::store::MemStore;
use std::collections::BTreeSet;

/// Interval of the checks for convergence, in microseconds.
const LOOK_US: u64 = 100_000;
/// Silence after which all is taken as said, beside two round trips, in microseconds.
const STILL_US: u64 = 500_000;
/// Most bytes of a quiet link in each keep-alive interval, both directions together.
const KEEP_ALIVE_BYTES: u64 = 400;
/// Additional time for reconnecting, in microseconds: handshakes and space openings.
const RECONNECT_US: u64 = 40_000_000;

impl World<'_> {
    /// Ends phase one.
    pub(super) fn heal(&mut self) {
        self.phase = Phase::Healing;
        self.healed_us = self.now_us;
        // Delayed traffic comes at its scheduled time.
        let blocked = self.routes.iter().flat_map(|route| route.blocked_until);
        let put_off_to = blocked.chain(self.nodes.iter().map(|node| node.paused_until)).max();
        self.still.1 = put_off_to.unwrap_or(0);
        for peer in (0..self.nodes.len()).filter(|peer| !self.core[*peer]).collect::<Vec<_>>() {
            self.mark(Mark::SmallerCore);
            self.end(peer, 0, true);
            // A scheduled start of the peer is void.
            self.nodes[peer].life += 1;
        }
        for route in 0..self.routes.len() {
            let link = &self.plan.links[route];
            self.routes[route].heal(link);
            self.routes[route].wanted = self.core[link.from] && self.core[link.to];
            if !self.routes[route].wanted {
                self.reset_route(route);
            }
        }
        for peer in 0..self.nodes.len() {
            if self.core[peer] {
                self.heal_peer(peer);
            }
        }
        for route in 0..self.routes.len() {
            if self.routes[route].wanted && self.routes[route].conn.is_none() {
                self.dial_later(route, 0);
            }
        }
        self.release_dead();
        self.schedule(self.now_us + LOOK_US, usize::MAX, What::Look);
    }

    fn heal_peer(&mut self, peer: usize) {
        let (now_us, plan) = (self.now_us, self.plan);
        let node = &mut self.nodes[peer];
        node.paused_until = 0;
        node.commit_us = plan.peers[peer].commit_us;
        node.clock.change(now_us, 0, 1000);
        // An edit of this very moment was promised the speed of the store as it was.
        node.calm_since_us = now_us + 1;
        node.fails_read = None;
        if !node.partial {
            node.bodies = crate::plan::Bodies::All;
        }
        let Some(alive) = node.alive.as_deref_mut() else {
            self.start(peer, None);
            return;
        };
        // A commit that was to fail and did not come never will.
        alive.store.fail_commit(u64::MAX / 2, StoreError::Full);
        alive.waiting.clear();
        let held: Vec<u64> = alive.docs.iter().filter(|(_, open)| open.held).map(|(doc, _)| *doc).collect();
        self.restore_bodies(peer);
        self.release_docs(peer);
        for doc in held {
            self.call(peer, |alive, now| {
                if let Some(open) = alive.docs.get_mut(&doc) {
                    open.held = false;
                    alive.endpoint.hold(now, open.doc, None);
                }
            });
        }
        self.turn(peer);
        self.reset_wake(peer);
    }

    /// Returns the longest time for the core to converge, and its parts.
    fn bound(&self) -> Bound {
        let links = || self.routes.iter().filter(|route| route.wanted).map(|route| &route.quality);
        let round_trip = self.round_trip_us();
        let slowest = links().map(|link| link.bandwidth).filter(|rate| *rate > 0).min();
        let entry_bytes = |peer: usize| -> u64 {
            let durable = self.nodes[peer].durable();
            let entries = durable.rows().iter().filter(|((table, _), _)| *table == Table::Entry);
            entries.map(|(_, value)| value.len() as u64).sum()
        };
        let bytes: u64 = (0..self.nodes.len()).filter(|peer| self.core[*peer]).map(entry_bytes).sum();
        let carrying_us = slowest.map_or(0, |rate| 4 * bytes * 1_000_000 / rate);
        // Data beyond a buffer goes in several turns.
        let turns_us = links()
            .map(|link| (4 * bytes / link.buffer).saturating_mul(link.latency_us.saturating_add(link.jitter_us)))
            .max();
        let bounds = &self.plan.bounds;
        let again = self.phase == Phase::Again;
        Bound {
            from_us: self.healed_us,
            again,
            converge_us: bounds.converge_us,
            round_trips_us: u64::from(bounds.round_trips) * round_trip,
            carrying_us: carrying_us + turns_us.unwrap_or(0),
            reconnect_us: if again { RECONNECT_US } else { 0 },
        }
    }

    /// Checks whether the phase is over.
    pub(super) fn look(&mut self) {
        match self.phase {
            Phase::Faults | Phase::Over => {}
            Phase::Healing => self.check_healing(),
            Phase::Quiet => self.check_quiet(),
            Phase::Again => self.check_reconnect(),
        }
    }

    fn check_healing(&mut self) {
        let converged = self.converged().and_then(|()| self.is_still());
        let bound = self.bound();
        self.stats.bound = Some(bound);
        let Err(why) = converged else {
            self.stats.converged_us = Some(self.now_us - self.healed_us);
            self.phase = Phase::Quiet;
            self.quiet = self.summary();
            self.check_said();
            self.check_conserved();
            self.check_partial();
            self.schedule(self.now_us + 2 * self.plan.core.keep_alive_us, usize::MAX, What::Look);
            return;
        };
        if self.now_us - self.healed_us > bound.total_us() {
            self.unmet = self.unmet(usize::MAX);
            self.violation(OracleId::O8, None, format!("no convergence: {why}"));
            self.phase = Phase::Over;
            self.check_stores();
            return;
        }
        self.schedule(self.now_us + LOOK_US, usize::MAX, What::Look);
    }

    /// Returns whether nothing was sent for a while: an answer of a slower peer may still come.
    fn is_still(&mut self) -> Result<(), String> {
        let bytes = self.stats.bytes;
        if self.still.0 != bytes {
            self.still = (bytes, self.still.1.max(self.now_us));
        }
        let while_us = 2 * self.round_trip_us() + STILL_US;
        if self.now_us.saturating_sub(self.still.1) >= while_us {
            Ok(())
        } else {
            Err("something is still being said".to_owned())
        }
    }

    /// Returns the longest round trip of the core's links.
    fn round_trip_us(&self) -> u64 {
        let links = self.routes.iter().filter(|route| route.wanted).map(|route| &route.quality);
        links.map(|link| 2 * (link.latency_us + link.jitter_us)).max().unwrap_or(0)
    }

    /// O8: peers that have everything send only keep-alives.
    fn check_quiet(&mut self) {
        let links = self.conns.len() as u64;
        let now = self.summary();
        self.stats.checks += 1;
        let said = now.bytes - self.quiet.bytes;
        if said > KEEP_ALIVE_BYTES * 3 * (links + 1) {
            let text = format!("{said} bytes went over {links} links though nothing was new");
            self.violation(OracleId::O8, None, text);
        }
        if now.digest != self.quiet.digest {
            self.violation(OracleId::O9, None, "something changed though nothing was new".to_owned());
        }
        // Everything is exchanged again on new links.
        for conn in self.conns_where(|_| true) {
            self.reset(conn);
        }
        self.mark(Mark::Replayed);
        let may_edit = !self.plan.databases && self.keyed.once_in(&[purpose::CHECK, u64::MAX - 1], 2);
        self.is_edited = may_edit && self.edit_anything();
        self.phase = Phase::Again;
        self.healed_us = self.now_us;
        self.schedule(self.now_us + LOOK_US, usize::MAX, What::Look);
    }

    /// O9: connecting again changes nothing.
    fn check_reconnect(&mut self) {
        let bound = self.bound();
        let late = self.now_us - self.healed_us > bound.total_us();
        match self.converged() {
            Ok(()) => {
                if self.summary().digest != self.quiet.digest && !self.is_edited {
                    self.violation(OracleId::O9, None, "connecting again changed something".to_owned());
                }
                self.check_reconnected(self.now_us - self.healed_us, self.round_trip_us());
                self.check_cheap();
                self.check_conserved();
                self.phase = Phase::Over;
                self.finish();
            }
            Err(why) if late => {
                (self.stats.bound, self.unmet) = (Some(bound), self.unmet(usize::MAX));
                self.violation(OracleId::O8, None, format!("no convergence after connecting again: {why}"));
                self.phase = Phase::Over;
            }
            Err(_) => self.schedule(self.now_us + LOOK_US, usize::MAX, What::Look),
        }
    }

    /// Checks that every peer of the core has everything that the core has; otherwise returns what is missing first.
    fn converged(&self) -> Result<(), String> {
        self.unmet(1).pop().map_or(Ok(()), |unmet| Err(unmet.text))
    }

    /// Returns what is missing for convergence: the first thing of each peer of the core, then links; at most `max`.
    fn unmet(&self, max: usize) -> Vec<Unmet> {
        let mut root = None;
        let all = self.entries_held();
        let peers = (0..self.nodes.len()).filter(|peer| self.core[*peer]);
        let lacking =
            peers.filter_map(|peer| Some(Unmet { peer: Some(peer), text: self.lacking(peer, &mut root, &all)? }));
        let mut unmet: Vec<Unmet> = lacking.take(max).collect();
        if unmet.len() < max {
            let links = self.links_lacking(max - unmet.len()).into_iter();
            unmet.extend(links.map(|text| Unmet { peer: None, text }));
        }
        unmet
    }

    /// Returns the first thing that a peer lacks.
    fn lacking(&self, peer: usize, root: &mut Root, all: &BTreeSet<Bytes>) -> Option<String> {
        let node = &self.nodes[peer];
        let Some(alive) = node.alive.as_deref() else { return Some(format!("peer {peer} is down")) };
        if !alive.edits.is_empty() {
            return Some(format!("peer {peer} waits for {} edits to be safe", alive.edits.len()));
        }
        let space = alive.endpoint.spaces().next().map(|space| space.root);
        let (first, other) = *root.get_or_insert((peer, space));
        if other != space {
            return Some(format!("peer {peer} has another root than peer {first}"));
        }
        for log in alive.endpoint.logs() {
            // Entries that no peer holds any more cannot be requested.
            let entries = if self.model.losses { log.held } else { log.entries };
            // An entry cannot be read if its log's first entries are lost.
            if self.model.losses && log.partition.is_none() {
                continue;
            }
            if !node.partial && (log.held < entries || log.read < log.held) {
                let (held, read) = (log.held, log.read);
                return Some(format!("peer {peer} holds {held} and read {read} of {entries} entries of a log"));
            }
        }
        if self.model.losses && !node.partial {
            let held: BTreeSet<&Bytes> = entries_of(&alive.store).collect();
            let lacks = all.iter().filter(|entry| !held.contains(entry)).count();
            if lacks > 0 {
                return Some(format!("peer {peer} lacks {lacks} entries that others of the core hold"));
            }
        }
        let stats = alive.endpoint.stats();
        if stats.store_requests > 0 {
            return Some(format!("peer {peer} waits for its store"));
        }
        if stats.gathered > 0 {
            return Some(format!("peer {peer} gathers {} edits", stats.gathered));
        }
        if stats.examining > 0 {
            return Some(format!("peer {peer} looks for what is to be republished in {} documents", stats.examining));
        }
        if let Some((link, _)) = alive.links.iter().find(|(link, _)| !alive.up.contains_key(link)) {
            return Some(format!("peer {peer} has not completed the handshake with {}", self.other_end(peer, *link)));
        }
        let open = stats.links.iter().find(|link| !link.is_settled())?;
        let (other, queued) = (self.other_end(peer, open.link), open.queued);
        let half_open = if self.is_half_open(peer, open.link) { "; the other end is gone" } else { "" };
        Some(format!("peer {peer} has not settled its link to {other} ({queued} messages queued{half_open})"))
    }

    /// Returns whether the other end of a peer's link is gone without its knowledge.
    fn is_half_open(&self, peer: usize, link: LinkId) -> bool {
        let at = self.nodes[peer].alive.as_deref().and_then(|alive| alive.links.get(&link).copied());
        at.and_then(|(conn, end)| Some(self.conns.get(&conn)?.ends[1 - end].link.is_none())).unwrap_or(false)
    }

    /// Returns the name of the peer at the other end of a link.
    fn other_end(&self, peer: usize, link: LinkId) -> String {
        let at = self.nodes[peer].alive.as_deref().and_then(|alive| alive.links.get(&link).copied());
        let conn = at.and_then(|(conn, end)| Some(self.conns.get(&conn)?.ends[1 - end].peer));
        conn.map_or_else(|| "a peer that is gone".to_owned(), |other| format!("peer {other}"))
    }

    /// Returns the links that are not up.
    fn links_lacking(&self, max: usize) -> Vec<String> {
        // Bytes that a peer outside the core sent before the end may still arrive.
        let leaving = self.conns.values().filter(|conn| {
            let link = &self.plan.links[conn.route];
            let ends = [link.from, link.to];
            let lives = |end: usize| self.core[ends[end]] && conn.ends[end].link.is_some();
            ends.iter().any(|peer| !self.core[*peer]) && (lives(0) || lives(1))
        });
        let broken = self.conns.values().filter(|conn| conn.broken);
        let broken = broken.map(|_| "a link that was reset is not yet gone".to_owned());
        let leaving = leaving.map(|_| "a link to a peer that does not live on is not yet gone".to_owned());
        let routes = || self.routes.iter();
        let between = |route: &super::Route| (route.quality.from, route.quality.to);
        let dialling = routes().filter(|route| route.is_dialling()).map(|route| {
            let (from, to) = between(route);
            format!("peer {from} still dials peer {to}")
        });
        let down = routes().filter(|route| route.wanted && !route.is_dialling()).map(between);
        let down = down.filter(|(from, to)| !self.are_up(*from, *to));
        let down = down.map(|(from, to)| format!("the link between peer {from} and peer {to} is not up"));
        leaving.take(1).chain(broken.take(1)).chain(dialling).chain(down).take(max).collect()
    }

    /// Returns the entries that peers of the core hold, if stores were lost.
    fn entries_held(&self) -> BTreeSet<Bytes> {
        let peers = self.nodes.iter().filter_map(|node| node.alive.as_deref()).filter(|_| self.model.losses);
        peers.flat_map(|alive| entries_of(&alive.store)).cloned().collect()
    }

    /// Returns the state that must not change once all have everything.
    fn summary(&self) -> Summary {
        let mut hasher = blake3::Hasher::new();
        for node in self.nodes.iter().filter_map(|node| node.alive.as_deref()) {
            for log in node.endpoint.logs() {
                hasher.update(log.id.as_ref());
                hasher.update(&log.entries.to_le_bytes());
                hasher.update(&log.held.to_le_bytes());
            }
        }
        Summary { bytes: self.stats.bytes, digest: *hasher.finalize().as_bytes() }
    }
}

/// The first peer, and the root of its space.
type Root = Option<(usize, Option<[u8; 16]>)>;

/// Returns the sealed entries that a store holds.
fn entries_of(store: &MemStore) -> impl Iterator<Item = &Bytes> {
    store.rows().iter().filter(|((table, _), _)| *table == Table::Entry).map(|(_, value)| value)
}

/// State that is compared before and after a quiet period.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    bytes: u64,
    digest: [u8; 32],
}
