//! Faults of the plan.

use super::{What, World};
use crate::coverage::Mark;
use crate::plan::{Act, Disk, Image, Way};
use crate::random::purpose;
use cosmicsync_protocol::storage::StoreError;

/// Jump of a clock above which the process notices it, in milliseconds.
const NOTICED_MS: u64 = 60_000;

impl World<'_> {
    /// Carries out a fault, or the dialling of a link.
    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    pub(super) fn fault(&mut self, action: usize) {
        let plan = self.plan;
        match &plan.actions[action].act {
            Act::Crash { .. }
            | Act::Stop { .. }
            | Act::Restart { .. }
            | Act::Resume { .. }
            | Act::Pause { .. }
            | Act::SlowStore { .. }
            | Act::FailStore { .. }
            | Act::Clock { .. } => self.fault_of_peer(action),
            Act::Partition { sides, for_us, reset } => self.partition(sides, *for_us, *reset),
            _ => self.fault_of_link(action),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn fault_of_peer(&mut self, action: usize) {
        let plan = self.plan;
        let now_us = self.now_us;
        // Until the process starts anew or faults end, its edits have no bound.
        for peer in plan.actions[action].act.peers() {
            self.nodes[peer].calm_since_us = u64::MAX;
        }
        match &plan.actions[action].act {
            Act::Crash { peer, keep, restart_us } => {
                let silence = self.keyed.once_in(&[purpose::CRASH, u64::from(plan.actions[action].id)], 4);
                let was_alive = self.nodes[*peer].alive.is_some();
                self.end(*peer, *keep as usize, silence);
                self.start_after(*peer, restart_us.filter(|_| was_alive));
            }
            Act::Stop { peer, restart_us } => self.stop(*peer, *restart_us),
            Act::Restart { peer, store } => {
                self.end(*peer, 0, false);
                self.replace_disk(*peer, *store);
                self.start_after(*peer, Some(0));
            }
            Act::Resume { peer, of, slept_ms } => self.resume(*peer, *of, *slept_ms),
            Act::Pause { peer, for_us } => {
                let node = &mut self.nodes[*peer];
                node.paused_until = node.paused_until.max(now_us + for_us);
            }
            Act::SlowStore { peer, commit_us } => self.nodes[*peer].commit_us = *commit_us,
            Act::FailStore { peer, nth, reads: true, reopen_us, .. } => {
                let node = &mut self.nodes[*peer];
                (node.reopen_us, node.fails_read) = (*reopen_us, Some(*nth));
            }
            Act::FailStore { peer, nth, full, reopen_us, .. } => {
                let node = &mut self.nodes[*peer];
                node.reopen_us = *reopen_us;
                if let Some(alive) = node.alive.as_deref_mut() {
                    let error = if *full { StoreError::Full } else { StoreError::NotDurable("fsync") };
                    alive.store.fail_commit(*nth, error);
                }
            }
            Act::Clock { peer, jump_ms, rate } => {
                self.nodes[*peer].clock.change(now_us, *jump_ms, *rate);
                self.model.clocks_wrong = true;
                self.reset_wake(*peer);
            }
            _ => {}
        }
    }

    fn start_after(&mut self, peer: usize, after_us: Option<u64>) {
        if let Some(after_us) = after_us {
            let life = self.nodes[peer].life;
            self.schedule(self.now_us + after_us, peer, What::Start { peer, life });
        }
    }

    fn stop(&mut self, peer: usize, restart_us: u64) {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        if !alive.edits.is_empty() {
            self.mark(Mark::StoppedWithEdits);
        }
        self.call(peer, |alive, now| alive.endpoint.shut_down(now));
        self.turn(peer);
        self.finish_store(peer);
        self.check_stopped(peer);
        self.end(peer, usize::MAX, false);
        self.start_after(peer, Some(restart_us));
    }

    fn replace_disk(&mut self, peer: usize, store: Disk) {
        let replaced = match store {
            Disk::Same => return,
            Disk::Snapshot => {
                let Some(snapshot) = &self.nodes[peer].snapshot else { return };
                let store = snapshot.store.clone();
                self.mark(Mark::RolledBack);
                store
            }
            Disk::Wiped => {
                self.mark(Mark::Wiped);
                self.nodes[peer].origin.clone()
            }
            Disk::CloneOf(other) => {
                self.mark(Mark::Cloned);
                self.nodes[other].durable()
            }
        };
        self.forget_changes(peer);
        self.forget_feed(peer);
        let gone = core::mem::replace(&mut self.nodes[peer].disk, replaced);
        self.replaced(peer, gone);
    }

    /// Continues a copy of a process as a peer.
    fn resume(&mut self, peer: usize, of: Image, slept_ms: u64) {
        let snapshot = self.nodes[peer].snapshot.clone().filter(|_| of == Image::Snapshot);
        let is_kept = snapshot.is_some();
        let source = if let Image::Now(other) = of { other } else { peer };
        let copy = snapshot.unwrap_or_else(|| self.copy(source));
        if let Some(alive) = self.nodes[peer].alive.as_deref() {
            self.model.unsure(alive.edits.values().flatten().copied());
        }
        self.end(peer, 0, false);
        if is_kept || source != peer {
            self.mark(if is_kept { Mark::RolledBack } else { Mark::Cloned });
            self.forget_changes(peer);
            self.forget_feed(peer);
            let gone = core::mem::replace(&mut self.nodes[peer].disk, copy.store);
            self.replaced(peer, gone);
        }
        if copy.memory.is_some() {
            self.mark(if slept_ms > 0 { Mark::Slept } else { Mark::FromMemory });
            // A process that slept for long ends its logs before it writes.
            self.model.forks |= slept_ms <= NOTICED_MS && (is_kept || source != peer);
        }
        self.start(peer, copy.memory.map(|memory| memory.wake(slept_ms)));
    }

    fn partition(&mut self, sides: &[Vec<usize>], for_us: u64, reset: bool) {
        let side = |peer: usize| sides.iter().position(|side| side.contains(&peer));
        let until_us = self.now_us + for_us;
        for route in 0..self.routes.len() {
            let link = &self.plan.links[route];
            let (Some(from), Some(to)) = (side(link.from), side(link.to)) else { continue };
            if from == to {
                continue;
            }
            if let Some(conn) = self.routes[route].conn {
                self.mark(Mark::PartitionCut);
                if reset {
                    self.reset(conn);
                }
            }
            self.routes[route].block(Way::Both, until_us);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn fault_of_link(&mut self, action: usize) {
        let plan = self.plan;
        let act = &plan.actions[action].act;
        let now_us = self.now_us;
        let Some(at) = act.link() else { return };
        let route = &mut self.routes[at];
        match act {
            Act::Dial { .. } => {
                route.wanted = true;
                self.dial_later(at, 0);
            }
            Act::Hang { .. } => {
                route.wanted = false;
                self.reset_route(at);
            }
            Act::Reset { after_bytes: 0, .. } => self.reset_route(at),
            Act::Reset { after_bytes, .. } => route.reset_after = Some(*after_bytes),
            Act::Stall { way, for_us, .. } => route.block(*way, now_us + for_us),
            Act::Quality { latency_us, jitter_us, bandwidth, .. } => {
                route.quality.latency_us = *latency_us;
                route.quality.jitter_us = *jitter_us;
                route.quality.bandwidth = *bandwidth;
            }
            Act::Split { bytes, .. } => route.split = *bytes as usize,
            Act::Gather { for_us, .. } => route.gather_us = *for_us,
            Act::Flap { up_us, times, .. } => self.flap(at, *up_us, *times),
            Act::Refuse { for_us, .. } => route.refused_until = now_us + for_us,
            Act::Unanswered { for_us, .. } => route.unanswered_until = now_us + for_us,
            Act::Tamper { way, after_bytes, with, .. } => {
                route.tamper[usize::from(*way == Way::Back)] = Some((*after_bytes, *with));
            }
            _ => {}
        }
    }

    pub(super) fn reset_route(&mut self, route: usize) {
        if let Some(conn) = self.routes[route].conn {
            self.reset(conn);
        }
    }

    pub(super) fn flap(&mut self, route: usize, up_us: u64, left: u32) {
        if left == 0 || self.is_healing() {
            return;
        }
        self.reset_route(route);
        let from = self.plan.links[route].from;
        // It is dialled again at once: the pauses after failures would hide the flapping.
        if self.routes[route].wanted && self.routes[route].conn.is_none() {
            self.dial_later(route, 0);
        }
        self.schedule(self.now_us + up_us.max(1), from, What::Flap { route, up_us, left: left - 1 });
    }
}
