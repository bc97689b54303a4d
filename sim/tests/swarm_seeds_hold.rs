//! A few hundred seeds of the swarm, with real ciphers and documents: no oracle is violated.

use cosmicsync_sim::{Profile, generate, run};

/// Seeds explore, and change with the generator; regressions are kept as plans.
fn hold(seeds: std::ops::Range<u64>) {
    let bad: Vec<String> = seeds
        .filter_map(|seed| {
            let report = run(&generate(seed, &Profile::default())).expect("a plan that runs");
            let first = report.violations.first()?;
            Some(format!("seed {seed}: {} at {} us: {}", first.oracle, first.at_us, first.text))
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn the_first_quarter() {
    hold(0..60);
}

#[test]
fn the_second_quarter() {
    hold(60..120);
}

#[test]
fn the_third_quarter() {
    hold(120..180);
}

#[test]
fn the_last_quarter() {
    hold(180..240);
}
