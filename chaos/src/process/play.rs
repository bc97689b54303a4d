//! Plays a plan in real time: work goes to the peers' workers, faults to links and processes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cosmicsync_sim::plan::{Act, Bodies, Disk, Plan, Way, When};

use super::fleet::{Deed, Fleet};
use super::peer::Image;
use super::work::{Done, Worker};

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// An action of the plan, by its place.
    Action(usize),
    /// The end of a fault of a process, by its place in the list of these.
    Deed(usize),
    /// A reset of a link.
    Reset(usize),
}

/// Everything that is still to happen.
#[derive(Debug, Default)]
struct Agenda {
    moments: BinaryHeap<Reverse<(u64, u64, Moment)>>,
    deeds: Vec<(usize, Deed)>,
    noted: u64,
}

impl Agenda {
    fn note(&mut self, at_us: u64, moment: Moment) {
        self.moments.push(Reverse((at_us, self.noted, moment)));
        self.noted += 1;
    }

    fn later(&mut self, at_us: u64, peer: usize, deed: Deed) {
        self.deeds.push((peer, deed));
        self.note(at_us, Moment::Deed(self.deeds.len() - 1));
    }
}

/// Plays all actions, and ends all faults. Returns the work of each peer, and the number of faults.
pub(super) fn play(plan: &Plan, fleet: &Fleet) -> (Vec<Done>, u64) {
    let workers: Vec<Worker> = fleet.peers.iter().map(|peer| Worker::new(Arc::clone(peer))).collect();
    let mut agenda = Agenda::default();
    for (at, action) in plan.actions.iter().enumerate() {
        // Others are refused before a run.
        if let When::AtUs(at_us) = action.when {
            agenda.note(at_us, Moment::Action(at));
        }
    }
    let mut faults = 0;
    while let Some(Reverse((at_us, _, moment))) = agenda.moments.pop() {
        if at_us >= plan.bounds.phase_one_us {
            break;
        }
        wait_until(fleet.began + Duration::from_micros(at_us));
        match moment {
            Moment::Deed(at) => {
                let (peer, deed) = agenda.deeds[at];
                fleet.ask(peer, deed);
            }
            Moment::Reset(link) => fleet.wires[link].proxy.reset(0),
            Moment::Action(at) => {
                let action = &plan.actions[at];
                faults += u64::from(action.act.is_fault());
                if !on_link(&action.act, at_us, fleet, &mut agenda)
                    && !on_process(&action.act, at_us, fleet, &mut agenda)
                    && let Some(peer) = action.act.peers().first()
                {
                    workers[*peer].send(action.id, action.act.clone());
                }
            }
        }
    }
    wait_until(fleet.began + Duration::from_micros(plan.bounds.phase_one_us));
    heal(plan, fleet);
    (workers.into_iter().map(Worker::finish).collect(), faults)
}

/// Returns the peers that live on after the faults.
pub(super) fn alive(plan: &Plan, fleet: &Fleet) -> Vec<usize> {
    let core = &plan.bounds.core;
    let lives = |peer: &usize| core.is_empty() || core.contains(peer);
    // A peer that was to be a copy and never started has no data.
    (0..plan.peers.len()).filter(lives).filter(|peer| fleet.peers[*peer].dir.exists()).collect()
}

/// Ends all faults: links are up, disks have room, and the peers that live on run.
fn heal(plan: &Plan, fleet: &Fleet) {
    for wire in fleet.wires.iter() {
        wire.proxy.repair();
        wire.restore();
    }
    let alive = alive(plan, fleet);
    for (number, peer) in plan.peers.iter().enumerate() {
        fleet.ask(number, Deed::Proceed);
        fleet.ask(number, Deed::MakeRoom);
        fleet.ask(number, if alive.contains(&number) { Deed::Start } else { Deed::Kill });
        if alive.contains(&number) && !peer.partial {
            fleet.ask(number, Deed::Bodies(Bodies::All));
        }
    }
}

fn wait_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}

/// Carries out an action on a link; returns whether it was one.
fn on_link(act: &Act, at_us: u64, fleet: &Fleet, agenda: &mut Agenda) -> bool {
    let time = Duration::from_micros;
    if let Act::Partition { sides, for_us, reset } = act {
        let side = |peer: usize| sides.iter().position(|side| side.contains(&peer));
        for wire in fleet.wires.iter() {
            if let (Some(a), Some(b)) = (side(wire.link.from), side(wire.link.to))
                && a != b
            {
                wire.proxy.hold([true; 2], time(*for_us));
                if *reset {
                    wire.proxy.reset(0);
                }
            }
        }
        return true;
    }
    let Some(wire) = act.link().and_then(|link| fleet.wires.get(link)) else { return false };
    let proxy = &wire.proxy;
    match act {
        Act::Dial { .. } => proxy.take_down(false),
        Act::Hang { .. } => proxy.take_down(true),
        Act::Reset { after_bytes, .. } => proxy.reset(*after_bytes),
        Act::Stall { way, for_us, .. } => {
            let ways = match way {
                Way::Both => [true, true],
                Way::Forth => [true, false],
                Way::Back => [false, true],
            };
            proxy.hold(ways, time(*for_us));
        }
        Act::Quality { latency_us, jitter_us, bandwidth, .. } => {
            proxy.quality(time(*latency_us), time(*jitter_us), *bandwidth);
        }
        Act::Split { bytes, .. } => proxy.split(*bytes as usize),
        Act::Gather { for_us, .. } => proxy.gather(time(*for_us)),
        Act::Flap { link, up_us, times } => {
            (1..=u64::from(*times)).for_each(|nth| agenda.note(at_us + up_us * nth, Moment::Reset(*link)));
        }
        Act::Refuse { for_us, .. } => proxy.refuse(time(*for_us)),
        Act::Unanswered { for_us, .. } => proxy.leave_unanswered(time(*for_us)),
        Act::Tamper { way, after_bytes, with, .. } => {
            proxy.tamper(*with, usize::from(*way == Way::Back), *after_bytes);
        }
        // Those name no link.
        Act::Partition { .. }
        | Act::Create { .. }
        | Act::Make { .. }
        | Act::Insert { .. }
        | Act::Item { .. }
        | Act::Member { .. }
        | Act::Scribble { .. }
        | Act::Set { .. }
        | Act::Both { .. }
        | Act::Delete { .. }
        | Act::Import { .. }
        | Act::Open { .. }
        | Act::Close { .. }
        | Act::Hold { .. }
        | Act::Ask { .. }
        | Act::Bodies { .. }
        | Act::Crash { .. }
        | Act::Stop { .. }
        | Act::Snapshot { .. }
        | Act::Restart { .. }
        | Act::Pause { .. }
        | Act::FailStore { .. }
        | Act::Resume { .. }
        | Act::SlowStore { .. }
        | Act::Clock { .. } => {}
    }
    true
}

/// Carries out an action on a process; returns whether it was one.
fn on_process(act: &Act, at_us: u64, fleet: &Fleet, agenda: &mut Agenda) -> bool {
    let (peer, first, then) = match *act {
        Act::Crash { peer, restart_us, .. } => (peer, Deed::Kill, restart_us.map(|after| (after, Deed::Start))),
        Act::Stop { peer, restart_us } => (peer, Deed::Stop, Some((restart_us, Deed::Start))),
        Act::Snapshot { peer } => (peer, Deed::Keep, None),
        Act::Restart { peer, store: Disk::Same } => (peer, Deed::Kill, Some((0, Deed::Start))),
        Act::Restart { peer, store: Disk::Snapshot } => (peer, Deed::PutBack(Image::Backup), None),
        Act::Restart { peer, store: Disk::Wiped } => (peer, Deed::PutBack(Image::Initial), None),
        Act::Restart { peer, store: Disk::CloneOf(of) } => (peer, Deed::CloneOf(of), None),
        Act::Pause { peer, for_us } => (peer, Deed::Pause, Some((for_us, Deed::Proceed))),
        Act::FailStore { peer, reopen_us, .. } => (peer, Deed::Fill, Some((reopen_us, Deed::MakeRoom))),
        Act::Bodies { peer, bodies } => (peer, Deed::Bodies(bodies), None),
        Act::Create { .. }
        | Act::Make { .. }
        | Act::Insert { .. }
        | Act::Item { .. }
        | Act::Member { .. }
        | Act::Scribble { .. }
        | Act::Set { .. }
        | Act::Both { .. }
        | Act::Delete { .. }
        | Act::Import { .. }
        | Act::Open { .. }
        | Act::Close { .. }
        | Act::Hold { .. }
        | Act::Ask { .. }
        | Act::Dial { .. }
        | Act::Hang { .. }
        | Act::Reset { .. }
        | Act::Stall { .. }
        | Act::Partition { .. }
        | Act::Quality { .. }
        | Act::Split { .. }
        | Act::Gather { .. }
        | Act::Flap { .. }
        | Act::Refuse { .. }
        | Act::Unanswered { .. }
        | Act::Tamper { .. }
        | Act::Resume { .. }
        | Act::SlowStore { .. }
        | Act::Clock { .. } => return false,
    };
    fleet.ask(peer, first);
    if let Some((after_us, deed)) = then {
        agenda.later(at_us + after_us, peer, deed);
    }
    true
}
