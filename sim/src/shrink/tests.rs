//! Shrinking with made-up failures: a function of the plan replaces the run.

use super::*;
use crate::plan::{Act, Disk, Way};
use crate::report::Stats;
use crate::scenario::{Lane, parse};

fn report(violation: Option<(OracleId, &str)>) -> Report {
    let violation = violation.map(|(oracle, text)| Violation { oracle, at_us: 1, peer: None, text: text.to_owned() });
    Report {
        trace_hash: String::new(),
        violations: violation.into_iter().collect(),
        stats: Stats::default(),
        unmet: Vec::new(),
        acted: Vec::new(),
        trace: None,
    }
}

fn big() -> Plan {
    let text = r#"
        name = "big"
        about = "Much goes on."
        [topology]
        peers = 5
        partitions = 1
        [core]
        reads = 3
        [[workload]]
        kind = "text-edits"
        peers = [0, 1, 2, 3, 4]
        docs = [0, 2]
        rate_hz = 3.0
        until = "5s"
        [[fault]]
        kind = "partition"
        at = "1s"
        for = "1s"
        sides = [[0, 1], [2, 3, 4]]
        [[fault]]
        kind = "one-way"
        at = "2s"
        for = "1s"
        from = 2
        to = 0
        [[fault]]
        kind = "crash"
        at = "1234ms"
        peer = 3
        disk = "keep-unsynced"
        restart = "333ms"
    "#;
    parse(text).unwrap().expand(Lane::Core, 3).unwrap().plan
}

fn crash_after_insert(plan: &Plan) -> bool {
    let crash = plan.actions.iter().find(|action| matches!(action.act, Act::Crash { .. }));
    crash.is_some_and(|crash| {
        let at = |action: &Action| if let When::AtUs(at_us) = action.when { at_us } else { 0 };
        let before = |action: &&Action| at(action) < at(crash) && action.act.peers() == crash.act.peers();
        plan.actions.iter().filter(before).any(|action| matches!(action.act, Act::Insert { .. }))
    })
}

#[test]
fn what_does_not_matter_goes() {
    let plan = big();
    let mut last = None;
    let failing = |plan: &Plan| Ok(report(crash_after_insert(plan).then_some((OracleId::O2, "token 12 is lost"))));
    let shrunk = shrink_with(&plan, 10_000, |progress| last = Some(progress), failing).unwrap();
    let small = &shrunk.plan;
    assert!(shrunk.finished);
    assert_eq!(small.actions.len(), 2, "{:?}", small.actions);
    assert_eq!(small.peers.len(), 2, "the founder and the one that crashes");
    assert_eq!(small.links.len(), 1, "what connects them stays");
    assert_eq!((small.partitions, &small.core), (0, &Core::default()));
    let Act::Crash { peer, keep, restart_us, .. } = small.actions[1].act else { panic!("{:?}", small.actions) };
    assert_eq!((peer, keep, restart_us), (1, 0, Some(0)));
    assert_eq!(small.bounds.converge_us, plan.bounds.converge_us, "a bound is never tightened");
    assert_eq!(last.map(|progress| (progress.actions, progress.faults, progress.peers)), Some((2, 1, 2)));
    small.check().unwrap();
}

#[test]
fn another_failure_is_not_taken_for_this_one() {
    let failing = |plan: &Plan| {
        let partition = plan.actions.iter().any(|action| matches!(action.act, Act::Partition { .. }));
        // Without the partition, another oracle is violated.
        Ok(report(Some(if partition { (OracleId::O1, "values differ") } else { (OracleId::O8, "no rest") })))
    };
    let shrunk = shrink_with(&big(), 10_000, |_| (), failing).unwrap();
    assert_eq!(shrunk.plan.actions.len(), 1);
    assert_eq!(shrunk.report.first(), Some(OracleId::O1));
}

#[test]
fn what_holds_cannot_be_shrunk_and_a_budget_ends_it() {
    assert_eq!(shrink_with(&big(), 10, |_| (), |_| Ok(report(None))), Err(ShrinkError::Holds));
    let failing = |plan: &Plan| Ok(report(crash_after_insert(plan).then_some((OracleId::O2, "lost"))));
    let shrunk = shrink_with(&big(), 10, |_| (), failing).unwrap();
    assert_eq!((shrunk.runs, shrunk.finished), (10, false));
    assert!(crash_after_insert(&shrunk.plan));
}

#[test]
fn numbers_and_hashes_do_not_tell_failures_apart() {
    let signature = |text: &str| Signature::of(&report(Some((OracleId::O1, text)))).unwrap().text;
    assert_eq!(signature("peer 3: token <t17-2> of doc 0a4f is lost"), "peer #: token <#-#> of doc # is lost");
    assert_eq!(signature("peer 3 is lost"), signature("peer 12 is lost"));
}

#[test]
fn peers_that_go_take_their_links_and_number_the_rest_anew() {
    let mut plan = big();
    let clone = Act::Restart { peer: 4, store: Disk::CloneOf(3) };
    plan.actions.push(Action { id: 900, when: When::AtUs(5), act: clone });
    plan.actions.push(Action { id: 901, when: When::AtUs(5), act: Act::Stall { link: 9, way: Way::Both, for_us: 1 } });
    let failing = |plan: &Plan| {
        let clone = |action: &Action| matches!(action.act, Act::Restart { store: Disk::CloneOf(_), .. });
        let stall =
            |action: &Action| action.act.link().is_some_and(|link| plan.links[link].from == plan.peers.len() - 1);
        let both = plan.actions.iter().any(clone) && plan.actions.iter().any(stall);
        Ok(report(both.then_some((OracleId::O1, "differ"))))
    };
    assert!(failing(&plan).unwrap().violations.len() == 1);
    let shrunk = shrink_with(&plan, 10_000, |_| (), failing).unwrap().plan;
    assert_eq!((shrunk.peers.len(), shrunk.links.len(), shrunk.actions.len()), (3, 2, 2));
    assert_eq!((shrunk.links[1].from, shrunk.links[1].to), (2, 1));
    assert_eq!(shrunk.actions[0].act, Act::Restart { peer: 2, store: Disk::CloneOf(1) });
}
