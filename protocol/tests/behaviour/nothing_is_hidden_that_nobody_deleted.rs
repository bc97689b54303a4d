//! Documents that several devices make under one key merge.

use cosmicsync_protocol::testkit::merging::{Outcome, run};

#[test]
fn histories_of_one_keyed_document_lose_nothing() {
    let mut sum = Outcome::default();
    for seed in 0..600 {
        let outcome = run(seed);
        assert_eq!(outcome.wrong(), 0, "seed {seed}: {outcome:?}");
        sum.add(outcome);
    }
    assert!(sum.standing > 1_000 && sum.listed > 0 && sum.republished > 50 && sum.versions > 500, "{sum:?}");
}
