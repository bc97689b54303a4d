//! Demands on peers at rest: reconnecting is cheap (O25), credit and caches add up (O26), and partial replicas hold
//! what their policy says (O27).

use crate::plan::Bodies;
use crate::report::OracleId;
use crate::world::{Conn, World, partition_name};
use cosmicsync_protocol::endpoint::{LinkInfo, LogInfo};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::sync::{Class, SpaceNo};

/// Most bytes of a link, both directions together, on which two peers that know each other find nothing new;
/// the handshake is not counted.
const IDLE_BYTES: u64 = 600;

impl World<'_> {
    /// Returns each idle link between running peers once, from its dialler's side, with the figures of both ends.
    fn both_ends(&self) -> Vec<(usize, LinkInfo, LinkInfo)> {
        let of = |peer: usize, link| self.nodes[peer].alive.as_deref()?.endpoint.link(link);
        let both = |conn: &Conn| {
            let [a, b] = &conn.ends;
            Some((a.peer, of(a.peer, a.link?)?, of(b.peer, b.link?)?))
        };
        self.conns.values().filter(|conn| conn.is_idle()).filter_map(both).collect()
    }

    /// O25: a known peer reconnects without a repair walk, in few bytes.
    pub(crate) fn check_cheap(&mut self) {
        // Entries that nobody holds any more are asked for again and again.
        if self.model.forks || self.model.losses {
            return;
        }
        for (peer, ours, theirs) in self.both_ends() {
            self.stats.checks += 1;
            let bytes = (ours.bytes_in + ours.bytes_out).saturating_sub(ours.handshake_bytes);
            if ours.walks + theirs.walks > 0 {
                let text = "peers that knew each other compared their logs".to_owned();
                self.violation(OracleId::O25, Some(peer), text);
            } else if bytes > IDLE_BYTES && !self.is_edited {
                let text = format!("reconnecting took {bytes} bytes though nothing was new");
                self.violation(OracleId::O25, Some(peer), text);
            }
        }
    }

    /// O26: no credit is lost or made, and caches keep within their limits.
    pub(crate) fn check_conserved(&mut self) {
        let window = self.plan.core.window_bytes * Class::ALL.len() as u64;
        for (peer, ours, theirs) in self.both_ends() {
            for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
                self.stats.checks += 1;
                let (left, credit) = (from.credit.left, to.credit);
                let all = credit.granted + credit.due + credit.flights;
                if left != credit.granted || all != window {
                    let text = format!(
                        "of a window of {window} bytes, {left} may be sent, {} are granted, {} due, {} in flight",
                        credit.granted, credit.due, credit.flights
                    );
                    self.violation(OracleId::O26, Some(peer), text);
                }
            }
        }
        for peer in 0..self.nodes.len() {
            let Some(alive) = self.nodes[peer].alive.as_deref() else { continue };
            self.stats.checks += 1;
            let ((bytes, entries), max) = (alive.endpoint.stats().recent, self.plan.core.recent_bytes);
            if bytes > max && entries > 1 {
                let text = format!("{entries} recent entries take {bytes} bytes of memory, {max} are allowed");
                self.violation(OracleId::O26, Some(peer), text);
            }
        }
    }

    /// O27: a partial replica has the newest entries that it wants, and no others unless it wanted them before.
    pub(crate) fn check_partial(&mut self) {
        if self.model.forks || self.model.losses {
            return;
        }
        for peer in
            (0..self.nodes.len()).filter(|peer| self.core[*peer] && self.nodes[*peer].partial).collect::<Vec<_>>()
        {
            let Some(alive) = self.nodes[peer].alive.as_deref() else { continue };
            let rows = alive.store.rows();
            let partitions: Vec<_> = (0..=self.plan.partitions)
                .filter_map(|number| alive.endpoint.partition(SpaceNo(0), &partition_name(number)))
                .collect();
            let holds = |log: &LogInfo, seq: u64| {
                let key = [&log.no.0.to_be_bytes()[..], &seq.to_be_bytes()].concat();
                rows.contains_key(&(Table::Entry, key.into()))
            };
            let own = alive.endpoint.device();
            let mut wrong = None;
            let others = alive.endpoint.logs().filter(|log| {
                log.device != Some(own)
                    && log.entries > 0
                    && log.partition.is_some_and(|part| partitions.contains(&part))
            });
            for log in others {
                let newest = match self.nodes[peer].bodies {
                    Bodies::All => log.entries,
                    Bodies::None => 0,
                    // What older logs of a device are wanted for depends on its newer ones.
                    Bodies::Newest(_) if log.next.is_some() => 0,
                    Bodies::Newest(newest) => newest.min(log.entries),
                };
                if (log.entries - newest..log.entries).any(|seq| !holds(&log, seq)) {
                    wrong = Some(format!("it lacks some of the newest {newest} of {} entries of a log", log.entries));
                }
                let never = self.nodes[peer].bodies == Bodies::None && !self.nodes[peer].wanted_bodies;
                if never && log.held > 0 {
                    wrong = Some(format!(
                        "it wants heads alone and has {} entries of a log {log:?} {partitions:?}",
                        log.held
                    ));
                }
            }
            self.stats.checks += 1;
            self.mark(crate::coverage::Mark::PartialAtRest);
            if let Some(text) = wrong {
                self.violation(OracleId::O27, Some(peer), text);
            }
        }
    }
}
