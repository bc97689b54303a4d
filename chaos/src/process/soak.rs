//! Plans for long runs: steady work of all peers, and random faults one after another.

use cosmicsync_sim::plan::{Act, Action, Bounds, Link, Plan, Way, When};

/// Interval of a peer's edits, in microseconds.
const EDIT_US: u64 = 500_000;
/// Shortest and longest time between two faults, in microseconds.
const FAULT_US: (u64, u64) = (800_000, 2_500_000);
/// Time without work or faults before the end, in microseconds.
const TAIL_US: u64 = 2_000_000;
/// Time to become equal, in microseconds.
const CONVERGE_US: u64 = 120_000_000;
/// Number of documents.
const DOCS: u64 = 8;

/// Returns a plan for this number of peers and this long. Peer 0 is never killed or stopped, so that its memory can be
/// followed.
pub(super) fn plan(peers: usize, lasts_us: u64, seed: u64, disks: bool) -> Plan {
    let mut plan = Plan::quiet(seed & (u64::MAX >> 1), peers);
    plan.name = format!("soak-{peers}");
    plan.bounds = Bounds { phase_one_us: lasts_us, converge_us: CONVERGE_US, round_trips: 0, ..Bounds::default() };
    plan.links = (0..peers).flat_map(|to| (to + 1..peers).map(move |from| Link::new(from, to))).collect();
    for link in &mut plan.links {
        link.latency_us = 2_000;
    }
    plan.actions.clear();
    let mut drawn = Drawn { seed, times: 0 };
    let mut push = |at_us: u64, act: Act| {
        let id = plan.actions.len() as u32;
        plan.actions.push(Action { id, when: When::AtUs(at_us), act });
    };
    for doc in 0..DOCS as u32 {
        push(0, Act::Create { peer: 0, doc, items: false });
    }
    let end_us = lasts_us.saturating_sub(TAIL_US);
    for slot in 1..end_us / EDIT_US {
        for peer in 0..peers {
            let at_us = slot * EDIT_US + drawn.below(EDIT_US);
            let doc = drawn.below(DOCS) as u32;
            let act = match drawn.below(4) {
                0 => Act::Item { peer, doc },
                1 => Act::Set {
                    peer,
                    doc,
                    field: drawn.below(8) as u32,
                    value: drawn.below(1_000) as i64,
                    remove: false,
                },
                _ => Act::Insert { peer, doc, urgent: false, bytes: drawn.below(64) as u32 },
            };
            push(at_us, act);
        }
    }
    let links = (peers * (peers - 1) / 2).max(1) as u64;
    let mut at_us = FAULT_US.1;
    while at_us < end_us {
        push(at_us, fault(&mut drawn, peers as u64, links, disks));
        at_us += FAULT_US.0 + drawn.below(FAULT_US.1 - FAULT_US.0);
    }
    plan
}

fn fault(drawn: &mut Drawn, peers: u64, links: u64, disks: bool) -> Act {
    let any = drawn.below(peers) as usize;
    // Not peer 0.
    let other = 1 + drawn.below(peers.saturating_sub(1).max(1)) as usize;
    let link = drawn.below(links) as usize;
    let for_us = 200_000 + drawn.below(5_000_000);
    match drawn.below(if disks { 12 } else { 11 }) {
        0 | 1 => Act::Crash { peer: other, keep: 0, restart_us: Some(drawn.below(3_000_000)) },
        2 => Act::Stop { peer: other, restart_us: drawn.below(2_000_000) },
        3 => Act::Pause { peer: any, for_us },
        4 | 5 => {
            let mask = 1 + drawn.below((1 << peers) - 2);
            let side = |on: bool| (0..peers as usize).filter(|peer| ((mask >> peer) & 1 == 1) == on).collect();
            Act::Partition { sides: vec![side(true), side(false)], for_us, reset: drawn.below(2) == 0 }
        }
        6 => Act::Stall { link, way: if drawn.below(2) == 0 { Way::Forth } else { Way::Back }, for_us },
        7 => Act::Reset { link, after_bytes: drawn.below(4_000) },
        8 => Act::Quality {
            link,
            latency_us: drawn.below(150_000),
            jitter_us: drawn.below(50_000),
            bandwidth: 50_000 + drawn.below(200_000),
        },
        9 => Act::Refuse { link, for_us },
        10 => Act::Unanswered { link, for_us },
        _ => Act::FailStore { peer: any, nth: 0, full: true, reads: false, reopen_us: for_us },
    }
}

/// Numbers that follow from the seed.
struct Drawn {
    seed: u64,
    times: u64,
}

impl Drawn {
    /// Returns a number below `limit`, which is at least 1.
    fn below(&mut self, limit: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync soak 1");
        hasher.update(&self.seed.to_le_bytes()).update(&self.times.to_le_bytes());
        self.times += 1;
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_that_spares_peer_0() {
        let made = plan(5, 60_000_000, 7, true);
        assert_eq!(made, plan(5, 60_000_000, 7, true));
        assert_eq!(made.check(), Ok(()));
        let ends = |act: &Act| matches!(act, Act::Crash { peer: 0, .. } | Act::Stop { peer: 0, .. });
        assert!(!made.actions.iter().any(|action| ends(&action.act)));
    }
}
