//! Stores that were restored, or copied with their keys and written to on all sides, end as one: every word is there,
//! once, on every replica, whichever history was heard first.

use cosmicsync_protocol::testkit::clones::{Outcome, copied, forked_at_the_start, restored};

fn check(what: &str, outcome: Outcome) -> Outcome {
    let faults = (outcome.lost, outcome.repeated, outcome.differing, outcome.roots);
    assert_eq!(faults, (0, 0, 0, 0), "{what}: {outcome:?}");
    outcome
}

#[test]
fn a_restored_store_writes_a_new_log() {
    assert_eq!(check("restored", restored()).forked, 0);
}

#[test]
fn copies_that_are_both_edited() {
    for copies in 1..=2 {
        for first in 0..=copies {
            assert!(check(&format!("{copies} {first}"), copied(copies, first)).forked > 0);
        }
    }
}

#[test]
fn a_fork_at_the_start_of_what_others_built_on() {
    for hears_other in [false, true] {
        assert!(check(&format!("{hears_other}"), forked_at_the_start(300, hears_other)).forked > 0);
    }
}
