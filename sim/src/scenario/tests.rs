//! Reading and expanding scenarios.

use super::*;
use crate::plan::{Act, When};

const SMALL: &str = r#"
name = "small"
about = "Two peers type."

[topology]
peers = 2
link = { latency = "5ms" }

[[workload]]
kind = "text-edits"
peers = [0, 1]
rate_hz = 10.0
until = "2s"

[[fault]]
kind = "partition"
at = "500ms"
heal = "1s"
sides = [[0], [1]]

[[fault]]
kind = "crash"
after = { event = "handshake.done", peer = 1 }
peer = 1
restart = "100ms"
"#;

fn failure(text: &str) -> (usize, usize, String) {
    let error = parse(text).and_then(|scenario| scenario.expand(Lane::Core, 1)).expect_err("an error");
    (error.line, error.column, error.message)
}

#[test]
fn a_scenario_becomes_a_plan() {
    let scenario = parse(SMALL).unwrap();
    let plan = scenario.expand(Lane::Core, 7).unwrap().plan;
    assert_eq!(plan.links.len(), 1);
    assert_eq!(plan.links[0].latency_us, 5_000);
    let edits = plan.actions.iter().filter(|action| matches!(action.act, Act::Insert { .. })).count();
    assert_eq!(edits, 40);
    assert!(matches!(plan.actions[0].act, Act::Create { peer: 0, doc: 0 }));
    let last = plan.actions.last().unwrap();
    assert!(matches!(&last.when, When::After(after) if after.event == "handshake.done" && after.nth == 1));
    assert!((2_900_000..3_200_000).contains(&plan.bounds.phase_one_us), "{}", plan.bounds.phase_one_us);
}

#[test]
fn a_seed_decides_what_is_drawn_and_nothing_else_does() {
    let scenario = parse(SMALL).unwrap();
    let plan = |seed| scenario.expand(Lane::Core, seed).unwrap().plan;
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7).actions, plan(8).actions);
    // A further workload leaves the others as they were.
    let more = format!("{SMALL}\n[[workload]]\nkind = \"import\"\npeer = 0\ndocs = 3\n");
    let more = parse(&more).unwrap().expand(Lane::Core, 7).unwrap().plan;
    let acts = |plan: &crate::Plan| plan.actions.iter().map(|action| action.act.clone()).collect::<Vec<_>>();
    assert!(acts(&plan(7)).iter().all(|act| acts(&more).contains(act)));
}

#[test]
fn errors_point_at_the_key_and_say_what_is_allowed() {
    let replaced = |from: &str, to: &str| failure(&SMALL.replacen(from, to, 1));
    let (line, column, message) = replaced("rate_hz = 10.0", "rate = 10.0");
    assert_eq!((line, column), (12, 1));
    assert!(message.contains("unknown key `rate`, expected one of `peers`, `docs`, `rate_hz`"), "{message}");
    let (line, column, message) = replaced("kind = \"partition\"", "kind = \"partitoin\"");
    assert_eq!((line, column), (16, 8));
    assert!(message.starts_with("unknown kind `partitoin`, expected one of `partition`, `one-way`"), "{message}");
    let (line, column, message) = replaced("heal = \"1s\"", "heal = \"1 parsec\"");
    assert_eq!((line, column), (18, 8));
    assert!(message.starts_with("`1 parsec` is not a time"), "{message}");
    let (line, _, message) = replaced("sides = [[0], [1]]", "sides = [[0], [5]]");
    assert_eq!((line, message.as_str()), (19, "there is no peer 5: the peers are 0 to 1"));
    let (line, _, message) = replaced("event = \"handshake.done\"", "event = \"handshake.begun\"");
    assert_eq!(line, 23);
    assert!(message.starts_with("unknown event `handshake.begun`, expected one of"), "{message}");
    let (line, _, message) = replaced("at = \"500ms\"\n", "");
    assert_eq!(line, 15);
    assert!(message.starts_with("say when, in one way"), "{message}");
    let (line, column, message) = replaced("peers = 2", "piers = 2");
    assert_eq!((line, column), (6, 1));
    assert!(message.contains("expected one of `peers`, `shape`"), "{message}");
    let (line, _, message) = replaced("peers = [0, 1]", "peers = []");
    assert_eq!((line, message.as_str()), (11, "name at least one peer"));
    let (line, _, message) = replaced("name = \"small\"", "name = \"so small\"");
    assert_eq!((line, message.as_str()), (2, "a name has 1 to 64 small letters, digits and hyphens"));
}

#[test]
fn an_error_shows_its_line() {
    let error = parse("name = \"x\"\nabuot = \"y\"\n").unwrap_err();
    assert!(error.to_string().starts_with("line 2, column 1: unknown key `abuot`, expected one of"), "{error}");
    assert!(error.to_string().ends_with("  |\n2 | abuot = \"y\"\n  | ^"), "{error}");
}

#[test]
fn a_lane_that_cannot_do_it_says_so() {
    let error = parse(SMALL).unwrap().expand(Lane::Turmoil, 1).unwrap_err();
    assert!(error.message.contains("does not run in the lane turmoil, but in core"), "{error}");
    let both = SMALL.replacen("[topology]", "lanes = [\"core\", \"process\"]\n[topology]", 1);
    let error = parse(&both).unwrap().expand(Lane::Process, 1).unwrap_err();
    assert_eq!((error.line, error.message.as_str()), (5, "there is no lane process yet: run it in the lane core"));
}

#[test]
fn what_happens_at_every_event_is_a_plan_for_each() {
    let every = SMALL.replacen("after = { event = \"handshake.done\", peer = 1 }", "at_every_event = true", 1);
    let expansion = parse(&every).unwrap().expand(Lane::Core, 1).unwrap();
    assert_eq!(expansion.at_every_event.len(), 1);
    let plan = expansion.at_event(17);
    assert_eq!(plan.actions.last().unwrap().when, When::Event(17));
    assert_eq!(plan.actions.len(), expansion.plan.actions.len() + 1);
}
