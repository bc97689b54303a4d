//! A store that is copied byte for byte and started beside itself forks no log. A process that is resumed twice
//! with its memory does, and no token is lost.

use cosmicsync_protocol::testkit::clones::{Outcome, copied, forked_at_the_start, resumed};

fn check(what: &str, outcome: Outcome) -> Outcome {
    assert_eq!((outcome.lost, outcome.differing, outcome.roots), (0, 0, 0), "{what}: {outcome:?}");
    outcome
}

#[test]
fn copies_fork_nothing() {
    for copies in 1..=4 {
        for first in 0..=copies {
            let outcome = check(&format!("{copies} {first}"), copied(copies, first));
            assert_eq!((outcome.forked, outcome.repeated), (0, 0), "{copies} {first}: {outcome:?}");
        }
    }
}

#[test]
fn resumed_memory_forks_and_loses_nothing() {
    for copies in 1..=2 {
        for first in 0..=copies {
            assert!(check(&format!("{copies} {first}"), resumed(copies, first)).forked > 0);
        }
    }
}

#[test]
fn a_fork_at_the_start_of_what_others_built_on() {
    for hears_other in [false, true] {
        assert!(check(&format!("{hears_other}"), forked_at_the_start(300, hears_other)).forked > 0);
    }
}
