//! The transport lane: the shipped driver on hosts of a simulated network, with a few seeds of each scenario.
//! `cargo xtask prove sim-turmoil` runs more. `README.md` beside this file explains what the lane shows, and how to
//! replay a seed.

mod lane;

use lane::{SCENARIOS, Scenario, run};

/// Number of seeds of each scenario.
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

#[test]
fn partition_heal() {
    holds("partition-heal");
}

#[test]
fn one_way_cut() {
    holds("one-way-cut");
}

#[test]
fn stalled_link() {
    holds("stalled-link");
}

#[test]
fn half_open_link() {
    holds("half-open-link");
}

#[test]
fn simultaneous_dial() {
    holds("simultaneous-dial");
}

#[test]
fn dial_refused_then_up() {
    holds("dial-refused-then-up");
}

#[test]
fn dial_hangs() {
    holds("dial-hangs");
}

#[test]
fn redial_after_a_good_link() {
    holds("redial-after-a-good-link");
}

#[test]
fn refused_dials_keep_no_room() {
    holds("refused-dials-keep-no-room");
}

#[test]
fn removed_while_dialled() {
    holds("removed-while-dialled");
}

#[test]
fn waits_run_out() {
    holds("waits-run-out");
}

#[test]
fn followers_leave() {
    holds("followers-leave");
}

#[test]
fn many_followers() {
    holds("many-followers");
}

#[test]
fn crash_before_flush() {
    holds("crash-before-flush");
}

#[test]
fn bounce_mid_transfer() {
    holds("bounce-mid-transfer");
}

#[test]
fn stop_while_syncing() {
    holds("stop-while-syncing");
}

#[test]
fn stop_says_so() {
    holds("stop-says-so");
}

#[test]
fn join_interrupted() {
    holds("join-interrupted");
}

#[test]
fn store_fills_up() {
    holds("store-fills-up");
}

#[test]
fn end_without_room() {
    holds("end-without-room");
}

#[test]
fn slow_reader() {
    holds("slow-reader");
}

#[test]
fn large_documents() {
    holds("large-documents");
}

#[test]
fn uneven_latency() {
    holds("uneven-latency");
}

#[test]
fn many_hosts_star() {
    holds("many-hosts-star");
}

#[test]
fn every_scenario_has_a_test() {
    let missing = |name: &&str| !include_str!("main.rs").contains(&format!("    holds(\"{name}\");"));
    let missing: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).filter(missing).collect();
    assert_eq!(missing, [""; 0]);
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
