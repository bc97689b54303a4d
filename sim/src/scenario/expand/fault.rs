//! Expands faults of a scenario into actions of a plan.

use super::{Expander, link_between};
use crate::plan::{self, Act, Link, Way};
use crate::scenario::Span;
use crate::scenario::fault::{After, Disk, Fault};
use crate::scenario::read::{Placed, When};

impl Expander<'_> {
    pub(super) fn fault(&mut self, placed: &Placed<Fault>) {
        if let When::After(after) = &placed.when {
            self.check_peers(&format!("{}.after.peer", placed.path), &[after.peer]);
        }
        // A fault that does not fit has been recorded.
        let Some((act, lasts_us)) = self.act(placed) else { return };
        let start_us = match &placed.when {
            When::At(at) => at.us,
            // Its time is unknown: it is taken to come after the last action with a known time.
            When::After(After { delay, .. }) => self.until_us + delay.us,
            When::EveryEvent => self.until_us,
        };
        self.until_us = self.until_us.max(start_us + lasts_us);
        self.act_when(placed, act, Span::default());
        if let Some((delay, act)) = self.ending(placed) {
            self.act_when(placed, act, delay);
        }
    }

    /// Returns the end of a fault whose end is an action of its own.
    fn ending(&mut self, placed: &Placed<Fault>) -> Option<(Span, Act)> {
        let fault = &placed.what;
        if let Fault::HangUp { between, redial: Some(redial) } = fault {
            Some((*redial, Act::Dial { link: self.link(placed, "between", *between)? }))
        } else if let Fault::Slow { between, lasts: Some(lasts), .. } = fault {
            let link = self.link(placed, "between", *between)?;
            let Link { latency_us, jitter_us, bandwidth, .. } = self.plan.links[link];
            Some((*lasts, Act::Quality { link, latency_us, jitter_us, bandwidth }))
        } else if let Fault::SlowDisk { peer, lasts: Some(lasts), .. } = fault {
            Some((*lasts, Act::SlowStore { peer: *peer, commit_us: self.plan.peers[*peer].commit_us }))
        } else if let Fault::Hold { peer, doc, lasts } = fault {
            Some((*lasts, Act::Hold { peer: *peer, doc: *doc, on: false }))
        } else {
            None
        }
    }

    fn act_when(&mut self, placed: &Placed<Fault>, act: Act, delay: Span) {
        match &placed.when {
            When::At(at) => self.push_at(at.us + delay.us, act),
            When::After(After { event, peer, nth, delay: first }) => {
                let (event, delay_us) = (event.clone(), first.us + delay.us);
                self.push(plan::When::After(plan::After { event, peer: *peer, nth: *nth, delay_us }), act);
            }
            When::EveryEvent if delay.us == 0 => self.sweep.push(act),
            When::EveryEvent => {
                let message = "what has an end cannot happen at every event; a `crash` with `restart` can";
                self.refuse(placed, "at_every_event", message);
            }
        }
    }

    fn link(&mut self, placed: &Placed<Fault>, key: &str, [a, b]: [usize; 2]) -> Option<usize> {
        if !self.check_peers(&format!("{}.{key}", placed.path), &[a, b]) {
            return None;
        }
        let found = link_between(&self.plan, a, b);
        if found.is_none() {
            let links: Vec<_> = self.plan.links.iter().map(|link| format!("[{}, {}]", link.from, link.to)).collect();
            let message = format!("there is no link between {a} and {b}; there are {}", links.join(", "));
            self.refuse(placed, key, message);
        }
        found
    }

    /// Returns the link from one peer to another, and its direction along that link.
    fn directed(&mut self, placed: &Placed<Fault>, from: usize, to: usize) -> Option<(usize, Way)> {
        let link = self.link(placed, "from", [from, to])?;
        Some((link, if self.plan.links[link].from == from { Way::Forth } else { Way::Back }))
    }

    /// Returns the action of a fault and its duration in microseconds; `None` if it does not fit.
    fn act(&mut self, placed: &Placed<Fault>) -> Option<(Act, u64)> {
        if let Some((act, lasts_us)) = peer_act(&placed.what) {
            if let Fault::Resume { of: Some(of), .. } = placed.what {
                self.check_peer(placed, "of", of);
            }
            if let Fault::Clone { peer, of } = placed.what
                && self.check_peer(placed, "of", of)
                && peer == of
            {
                let message = "a clone is of another peer; `restore` puts a peer's own store back";
                self.refuse(placed, "of", message);
            }
            if let Fault::Clock { speed, .. } = placed.what
                && !(0.0..=1000.0).contains(&speed)
            {
                self.refuse(placed, "speed", "a speed is 0.0 to 1000.0");
            }
            if let Fault::FailDisk { nth: 0, .. } = placed.what {
                self.refuse(placed, "nth", "the next commit is 1");
            }
            let peers = act.peers();
            let named = peers.first().is_none_or(|peer| self.check_peer(placed, "peer", *peer));
            return named.then_some((act, lasts_us));
        }
        self.link_act(placed)
    }

    /// Returns the action of a fault of the network and its duration in microseconds.
    fn link_act(&mut self, placed: &Placed<Fault>) -> Option<(Act, u64)> {
        let mut link = |between: &[usize; 2]| self.link(placed, "between", *between);
        Some(match &placed.what {
            Fault::Partition { sides, lasts, reset } => {
                let everybody: Vec<usize> = sides.iter().flatten().copied().collect();
                if sides.iter().any(Vec::is_empty) {
                    self.refuse(placed, "sides", "name at least one peer on each side");
                }
                self.check_peers(&format!("{}.sides", placed.path), &everybody);
                if let Some(twice) = (1..everybody.len()).find(|at| everybody[..*at].contains(&everybody[*at])) {
                    self.refuse(placed, "sides", format!("peer {} stands twice", everybody[twice]));
                }
                (Act::Partition { sides: sides.clone(), for_us: lasts.us, reset: *reset }, lasts.us)
            }
            Fault::OneWay { from, to, lasts } => {
                let (link, way) = self.directed(placed, *from, *to)?;
                (Act::Stall { link, way, for_us: lasts.us }, lasts.us)
            }
            Fault::Stall { between, lasts } => {
                (Act::Stall { link: link(between)?, way: Way::Both, for_us: lasts.us }, lasts.us)
            }
            Fault::Reset { between, after_bytes } => {
                (Act::Reset { link: link(between)?, after_bytes: *after_bytes }, 0)
            }
            Fault::Flap { between, every, times } => {
                (Act::Flap { link: link(between)?, up_us: every.us, times: *times }, every.us * u64::from(*times))
            }
            Fault::HangUp { between, redial } => {
                (Act::Hang { link: link(between)? }, redial.map_or(0, |redial| redial.us))
            }
            Fault::Dial { between } => (Act::Dial { link: link(between)? }, 0),
            Fault::Refuse { between, lasts } => (Act::Refuse { link: link(between)?, for_us: lasts.us }, lasts.us),
            Fault::Unanswered { between, lasts } => {
                (Act::Unanswered { link: link(between)?, for_us: lasts.us }, lasts.us)
            }
            Fault::Slow { between, latency, jitter, bandwidth, lasts } => {
                let (latency_us, jitter_us, bandwidth) = (latency.us, jitter.us, *bandwidth);
                let act = Act::Quality { link: link(between)?, latency_us, jitter_us, bandwidth };
                (act, lasts.map_or(0, |lasts| lasts.us))
            }
            Fault::Split { between, bytes } => (Act::Split { link: link(between)?, bytes: *bytes }, 0),
            Fault::Gather { between, every } => (Act::Gather { link: link(between)?, for_us: every.us }, 0),
            Fault::Tamper { from, to, with, after_bytes } => {
                let (link, way) = self.directed(placed, *from, *to)?;
                (Act::Tamper { link, way, after_bytes: *after_bytes, with: *with }, 0)
            }
            Fault::Crash { .. }
            | Fault::Stop { .. }
            | Fault::Backup { .. }
            | Fault::Restore { .. }
            | Fault::Wipe { .. }
            | Fault::Clone { .. }
            | Fault::Resume { .. }
            | Fault::Start { .. }
            | Fault::Pause { .. }
            | Fault::SlowDisk { .. }
            | Fault::FailDisk { .. }
            | Fault::Clock { .. }
            | Fault::Bodies { .. }
            | Fault::Hold { .. } => return None,
        })
    }
}

fn peer_act(fault: &Fault) -> Option<(Act, u64)> {
    let restart = |peer: usize, store: plan::Disk| (Act::Restart { peer, store }, 0);
    Some(match *fault {
        Fault::Crash { peer, disk, restart } => {
            let restart_us = restart.map(|restart| restart.us);
            let keep = match disk {
                Disk::LoseUnsynced => 0,
                Disk::Keep(commits) => commits,
                Disk::KeepUnsynced => u32::MAX,
            };
            (Act::Crash { peer, keep, restart_us }, restart_us.unwrap_or(0))
        }
        Fault::Stop { peer, restart } => (Act::Stop { peer, restart_us: restart.us }, restart.us),
        Fault::Backup { peer } => (Act::Snapshot { peer }, 0),
        Fault::Restore { peer } => restart(peer, plan::Disk::Snapshot),
        Fault::Wipe { peer } => restart(peer, plan::Disk::Wiped),
        Fault::Clone { peer, of } => restart(peer, plan::Disk::CloneOf(of)),
        Fault::Resume { peer, of, slept } => {
            let of = of.map_or(plan::Image::Snapshot, plan::Image::Now);
            (Act::Resume { peer, of, slept_ms: slept.us / 1000 }, 0)
        }
        Fault::Start { peer } => restart(peer, plan::Disk::Same),
        Fault::Pause { peer, lasts } => (Act::Pause { peer, for_us: lasts.us }, lasts.us),
        Fault::SlowDisk { peer, commit, lasts } => {
            (Act::SlowStore { peer, commit_us: commit.us }, lasts.map_or(0, |lasts| lasts.us))
        }
        Fault::FailDisk { peer, nth, full, reopen } => {
            // Plans count commits from 0.
            (Act::FailStore { peer, nth: nth.saturating_sub(1), full, reads: false, reopen_us: reopen.us }, reopen.us)
        }
        Fault::Clock { peer, jump, speed } => {
            (Act::Clock { peer, jump_ms: jump.ms, rate: (speed * 1000.0).round() as u32 }, 0)
        }
        Fault::Bodies { peer, keep } => (Act::Bodies { peer, bodies: keep.into() }, 0),
        Fault::Hold { peer, doc, lasts } => (Act::Hold { peer, doc, on: true }, lasts.us),
        Fault::Partition { .. }
        | Fault::OneWay { .. }
        | Fault::Stall { .. }
        | Fault::Reset { .. }
        | Fault::Flap { .. }
        | Fault::HangUp { .. }
        | Fault::Dial { .. }
        | Fault::Refuse { .. }
        | Fault::Unanswered { .. }
        | Fault::Slow { .. }
        | Fault::Split { .. }
        | Fault::Gather { .. }
        | Fault::Tamper { .. } => return None,
    })
}
