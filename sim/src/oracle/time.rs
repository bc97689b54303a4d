//! Bounds of time, and stops in good order (O24).

use crate::report::OracleId;
use crate::world::World;

/// Most commits that an edit waits for, beside those that were given to the store before it.
const COMMITS_MAX: u64 = 24;
/// Time for reconnecting everything at rest, in microseconds: the pause of dialling, and a look.
const RECONNECT_US: u64 = 1_000_000;
/// Number of round trips for it: dial, handshake, spaces, and what settles them.
const RECONNECT_ROUND_TRIPS: u64 = 10;

impl World<'_> {
    /// Notes an edit that was taken, with the time in which it is to be safe.
    pub(crate) fn note_taken(&mut self, peer: usize, commit: u64, urgent: bool) {
        let (now_us, core) = (self.now_us, &self.plan.core);
        let node = &mut self.nodes[peer];
        let commit_us = node.commit_us + node.commit_us / 4 + 20;
        let gathers_us = if urgent { 0 } else { core.coalesce_us };
        let reads_us = core.read_us * COMMITS_MAX;
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let commits = COMMITS_MAX + alive.store_queue.len() as u64;
        let within_us = gathers_us + 2 * core.late_us + reads_us + commits * commit_us;
        alive.taken.insert(commit, (now_us, within_us));
    }

    /// An edit is safe: the store worked, so it may not have taken long.
    pub(crate) fn check_in_time(&mut self, peer: usize, commit: u64) {
        let node = &mut self.nodes[peer];
        let Some(alive) = node.alive.as_deref_mut() else { return };
        let Some((taken_us, within_us)) = alive.taken.remove(&commit) else { return };
        let took_us = self.now_us - taken_us;
        if taken_us >= node.calm_since_us && took_us > within_us {
            let text = format!("edit {commit} was safe after {took_us} us, within {within_us} us it ought to be");
            self.violation(OracleId::O24, Some(peer), text);
        }
    }

    /// A process that stops in good order, and whose store worked, leaves no edit without a verdict.
    pub(crate) fn check_stopped(&mut self, peer: usize) {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        self.stats.checks += 1;
        if !alive.edits.is_empty() {
            let text = format!("{} edits have no verdict after a stop in good order", alive.edits.len());
            self.violation(OracleId::O24, Some(peer), text);
        }
    }

    /// All is connected and compared again.
    pub(crate) fn check_reconnected(&mut self, took_us: u64, round_trip_us: u64) {
        let slowest = self.plan.links.iter().map(|link| link.bandwidth).filter(|rate| *rate > 0).min();
        let carrying_us = slowest.map_or(0, |rate| 10_000 * 1_000_000 / rate);
        let within_us =
            RECONNECT_US + RECONNECT_ROUND_TRIPS * round_trip_us + carrying_us + 10 * self.plan.core.late_us;
        self.stats.checks += 1;
        if took_us > within_us && !self.model.forks {
            let text = format!("reconnecting took {took_us} us, within {within_us} us it ought to be done");
            self.violation(OracleId::O24, None, text);
        }
    }
}
