//! Some seeds of peers that run databases: indexes, answers and live queries match the documents.

use cosmicsync_sim::{Profile, generate, run};

/// Seeds explore; regressions are kept as plans. `cargo xtask prove data-sim` runs thousands.
fn hold(seeds: std::ops::Range<u64>) {
    let mut answered = 0;
    for seed in seeds {
        let report = run(&generate(seed, &Profile::of_databases(seed))).expect("a plan that runs");
        assert_eq!(report.violations, [], "seed {seed}");
        answered += report.stats.marks.get("data.answered").copied().unwrap_or(0);
    }
    assert!(answered > 500, "{answered}");
}

#[test]
fn the_first_half() {
    hold(0..12);
}

#[test]
fn the_second_half() {
    hold(12..24);
}

#[test]
fn the_same_plan_gives_the_same_run() {
    let plan = generate(6, &Profile::of_databases(6));
    let (first, again) = (run(&plan).unwrap(), run(&plan).unwrap());
    assert_eq!(first, again);
}
