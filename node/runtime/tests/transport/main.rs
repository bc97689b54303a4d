//! The transport lane: the shipped driver on hosts of a simulated network, a few seeds of each scenario. More of them:
//! `cargo xtask prove sim-turmoil`. What it shows, and how a seed is replayed, stands in `README.md` beside this file.

mod lane;

use lane::{SCENARIOS, Scenario, run};

/// How many seeds of each scenario run here.
const SEEDS: u64 = 3;

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("it is in the table")
}

fn holds(name: &str) {
    for seed in 0..SEEDS {
        if let Some(violation) = run(scenario(name), seed, false).violation {
            panic!("{violation}\nreplay: cargo run -p cosmicsync-node --example transport -- {seed} 1 {name} --lines");
        }
    }
}

macro_rules! scenarios_hold {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            holds($name);
        })*

        #[test]
        fn every_scenario_has_a_test() {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

scenarios_hold! {
    partition_heal "partition-heal"
    one_way_cut "one-way-cut"
    stalled_link "stalled-link"
    half_open_link "half-open-link"
    simultaneous_dial "simultaneous-dial"
    dial_refused_then_up "dial-refused-then-up"
    dial_hangs "dial-hangs"
    redial_after_a_good_link "redial-after-a-good-link"
    refused_dials_keep_no_room "refused-dials-keep-no-room"
    waits_run_out "waits-run-out"
    followers_leave "followers-leave"
    many_followers "many-followers"
    crash_before_flush "crash-before-flush"
    bounce_mid_transfer "bounce-mid-transfer"
    stop_while_syncing "stop-while-syncing"
    store_fills_up "store-fills-up"
    slow_reader "slow-reader"
    large_documents "large-documents"
    uneven_latency "uneven-latency"
    many_hosts_star "many-hosts-star"
}

#[test]
fn a_seed_gives_one_trace() {
    for name in ["crash-before-flush", "many-hosts-star", "store-fills-up"] {
        let first = run(scenario(name), 7, false);
        let again = run(scenario(name), 7, true);
        assert_eq!(first.hash, again.hash, "{name}");
        assert!(again.lines.len() > 100 && first.lines.is_empty(), "{name}");
        assert!(first.counts.answered > 20 && first.counts.bytes > 10_000, "{name}: {:?}", first.counts);
        assert_ne!(first.hash, run(scenario(name), 8, false).hash, "{name}");
    }
}
