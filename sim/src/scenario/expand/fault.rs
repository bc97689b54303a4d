//! Faults of a scenario as actions of a plan.

use super::{Expander, link_between};
use crate::plan::{self, Act, Link, Way};
use crate::scenario::fault::{After, Disk, Fault, Lease, Tampering};
use crate::scenario::read::{Placed, When};
use crate::scenario::{ScenarioError, Span};

impl Expander<'_> {
    pub(super) fn fault(&mut self, placed: &Placed<Fault>) -> Result<(), ScenarioError> {
        let (act, lasts_us) = match self.link_act(placed)? {
            Some(found) => found,
            None => self.peer_act(placed)?,
        };
        if let When::After(after) = &placed.when {
            self.check_peers(placed, "after", &[after.peer])?;
        }
        let start_us = match &placed.when {
            When::At(at) => at.us,
            // When it comes is not known: it counts from the last thing whose time is.
            When::After(After { delay, .. }) => self.until_us + delay.us,
            When::EveryEvent => self.until_us,
        };
        self.until_us = self.until_us.max(start_us + lasts_us);
        self.act_when(placed, act, Span::default())?;
        match self.ending(placed)? {
            Some((delay, act)) => self.act_when(placed, act, delay),
            None => Ok(()),
        }
    }

    /// The end of a fault whose end is an action of its own.
    fn ending(&self, placed: &Placed<Fault>) -> Result<Option<(Span, Act)>, ScenarioError> {
        let fault = &placed.what;
        Ok(if let Fault::HangUp { between, redial: Some(redial) } = fault {
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
        })
    }

    fn act_when(&mut self, placed: &Placed<Fault>, act: Act, delay: Span) -> Result<(), ScenarioError> {
        match &placed.when {
            When::At(at) => self.push_at(at.us + delay.us, act),
            When::After(After { event, peer, nth, delay: first }) => {
                let (event, delay_us) = (event.clone(), first.us + delay.us);
                self.push(plan::When::After(plan::After { event, peer: *peer, nth: *nth, delay_us }), act);
            }
            When::EveryEvent if delay.us == 0 => self.sweep.push(act),
            When::EveryEvent => {
                let message = "what has an end cannot happen at every event; a `crash` with `restart` can";
                return Err(self.refused(placed, "at_every_event", message));
            }
        }
        Ok(())
    }

    fn link(&self, placed: &Placed<Fault>, key: &str, [a, b]: [usize; 2]) -> Result<usize, ScenarioError> {
        self.check_peers(placed, key, &[a, b])?;
        link_between(&self.plan, a, b).ok_or_else(|| {
            let links: Vec<_> = self.plan.links.iter().map(|link| format!("[{}, {}]", link.from, link.to)).collect();
            self.refused(placed, key, format!("there is no link between {a} and {b}; there are {}", links.join(", ")))
        })
    }

    /// The link from one peer to another, and which way along it that is.
    fn directed(&self, placed: &Placed<Fault>, from: usize, to: usize) -> Result<(usize, Way), ScenarioError> {
        let link = self.link(placed, "from", [from, to])?;
        Ok((link, if self.plan.links[link].from == from { Way::Forth } else { Way::Back }))
    }

    /// What a fault of the network does, and for how long.
    fn link_act(&self, placed: &Placed<Fault>) -> Result<Option<(Act, u64)>, ScenarioError> {
        let link = |between: &[usize; 2]| self.link(placed, "between", *between);
        Ok(Some(match &placed.what {
            Fault::Partition { sides, heal, reset } => {
                sides.iter().try_for_each(|side| self.check_peers(placed, "sides", side))?;
                (Act::Partition { sides: sides.clone(), for_us: heal.us, reset: *reset }, heal.us)
            }
            Fault::OneWay { from, to, lasts } => {
                let (link, way) = self.directed(placed, *from, *to)?;
                (Act::Clog { link, way, for_us: lasts.us }, lasts.us)
            }
            Fault::Stall { between, lasts } => {
                (Act::Clog { link: link(between)?, way: Way::Both, for_us: lasts.us }, lasts.us)
            }
            Fault::Reset { between, after_bytes } => {
                (Act::Reset { link: link(between)?, after_bytes: *after_bytes }, 0)
            }
            Fault::Flap { between, up, times } => {
                (Act::Flap { link: link(between)?, up_us: up.us, times: *times }, up.us * u64::from(*times))
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
                (Act::Tamper { link, way, after_bytes: *after_bytes, with: (*with).into() }, 0)
            }
            Fault::Crash { .. }
            | Fault::Stop { .. }
            | Fault::Backup { .. }
            | Fault::Restore { .. }
            | Fault::Rollback { .. }
            | Fault::Wipe { .. }
            | Fault::Clone { .. }
            | Fault::Start { .. }
            | Fault::Pause { .. }
            | Fault::SlowDisk { .. }
            | Fault::FailDisk { .. }
            | Fault::Clock { .. }
            | Fault::Bodies { .. }
            | Fault::Hold { .. } => return Ok(None),
        }))
    }

    /// What a fault of a peer does, and for how long.
    fn peer_act(&self, placed: &Placed<Fault>) -> Result<(Act, u64), ScenarioError> {
        let found = peer_act(&placed.what);
        let key = if matches!(placed.what, Fault::Clone { .. }) { "of" } else { "peer" };
        if let Some((act, _)) = &found {
            self.check_peers(placed, key, &act.peers())?;
        }
        found.ok_or_else(|| self.refused(placed, "kind", "the lane core cannot do this"))
    }
}

fn peer_act(fault: &Fault) -> Option<(Act, u64)> {
    let restart = |peer: usize, store: plan::Disk, lease: Lease| {
        (Act::Restart { peer, store, broken_lease: lease == Lease::Broken }, 0)
    };
    Some(match *fault {
        Fault::Crash { peer, disk, restart, lease } => {
            let (restart_us, broken_lease) = (restart.map(|restart| restart.us), lease == Lease::Broken);
            let keep = match disk {
                Disk::LoseUnsynced => 0,
                Disk::Keep(commits) => commits,
                Disk::KeepUnsynced => u32::MAX,
            };
            (Act::Crash { peer, keep, restart_us, broken_lease }, restart_us.unwrap_or(0))
        }
        Fault::Stop { peer, restart } => (Act::Stop { peer, restart_us: restart.us }, restart.us),
        Fault::Backup { peer } => (Act::Snapshot { peer }, 0),
        Fault::Restore { peer } => restart(peer, plan::Disk::Snapshot, Lease::Broken),
        Fault::Rollback { peer } => restart(peer, plan::Disk::Snapshot, Lease::Continued),
        Fault::Wipe { peer, lease } => restart(peer, plan::Disk::Wiped, lease),
        Fault::Clone { of, to } => restart(to, plan::Disk::CloneOf(of), Lease::Continued),
        Fault::Start { peer } => restart(peer, plan::Disk::Same, Lease::Continued),
        Fault::Pause { peer, lasts } => (Act::Pause { peer, for_us: lasts.us }, lasts.us),
        Fault::SlowDisk { peer, commit, lasts } => {
            (Act::SlowStore { peer, commit_us: commit.us }, lasts.map_or(0, |lasts| lasts.us))
        }
        Fault::FailDisk { peer, nth, full, reopen } => {
            (Act::FailStore { peer, nth, full, reopen_us: reopen.us }, reopen.us)
        }
        Fault::Clock { peer, jump_ms, rate } => (Act::Clock { peer, jump_ms, rate }, 0),
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

impl From<Tampering> for plan::Tampering {
    fn from(tampering: Tampering) -> Self {
        match tampering {
            Tampering::Flip(bit) => Self::Flip(bit),
            Tampering::Drop(bytes) => Self::Drop(bytes),
            Tampering::Repeat(bytes) => Self::Repeat(bytes),
            Tampering::Forge(bytes) => Self::Forge(bytes),
            Tampering::Swap(bytes) => Self::Swap(bytes),
        }
    }
}
