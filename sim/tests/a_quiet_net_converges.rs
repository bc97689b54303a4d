//! Without faults, all peers show the same in any topology.

use cosmicsync_sim::plan::{Act, Action, Plan, When};
use cosmicsync_sim::run;

#[test]
fn edits_reach_everybody() {
    let mut plan = Plan::quiet(1, 3);
    plan.bounds.phase_one_us = 5_000_000;
    let acts = [
        Act::Create { peer: 0, doc: 1, items: true },
        Act::Insert { peer: 2, doc: 1, urgent: false, bytes: 5 },
        Act::Insert { peer: 1, doc: 1, urgent: true, bytes: 5 },
        Act::Import { peer: 1, docs: 3, bytes: 10 },
    ];
    for (at, act) in acts.into_iter().enumerate() {
        plan.actions.push(Action { id: at as u32, when: When::AtUs(at as u64 * 500_000), act });
    }
    let report = run(&plan).unwrap();
    assert_eq!(report.violations, []);
    // The last one is made at rest, while all links are down.
    assert_eq!((report.stats.edits, report.stats.acked), (5, 5));
    assert!(report.stats.converged_us.is_some(), "{:?}", report.stats);
}
