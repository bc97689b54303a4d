//! Every scenario of `scenarios/` holds, and shows what its name promises. One test for each file.

use cosmicsync_sim::scenario::{Lane, Scenario, parse};
use cosmicsync_sim::{Plan, Report, run};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One test for each scenario, with its name. The last test compares this list with the directory.
macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_b_c_where_a_and_c_never_meet
    a_box_on_the_way_changes_bytes
    a_bulk_import_under_typing
    a_flapping_link
    a_member_gone_during_a_partition
    a_partial_replica_and_eviction
    a_relay_that_knows_heads_alone
    a_relay_that_opens_nothing
    a_stale_peer_after_a_delete
    an_ack_from_before_a_crash
    clone_started_twice
    crash_at_every_event
    crash_under_an_index
    deep_history
    dials_refused_and_unanswered
    failover_to_another_bootstrap_peer
    full_and_failing_disks
    full_queues
    mixed_partitions
    modem_line
    much_in_flight_when_the_link_breaks
    partition_heal_crash
    pause_beside_a_crash
    rekey_in_mid_transfer
    restart_storm
    restore_old_backup
    resume_at_line_end
    resume_from_first_entry
    resume_nested_items
    resume_then_lost
    satellite_latency
    slow_and_one_way_links
    version_skew
    wrong_clocks
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn read(name: &str) -> Scenario {
    let path = directory().join(name.replace('_', "-")).with_extension("toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let scenario = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(scenario.head.name, name.replace('_', "-"), "a scenario is called like its file");
    scenario
}

fn holds(name: &str) {
    let scenario = read(name);
    let expansion = scenario.expand(Lane::Core, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
    let first = checked(&expansion.plan);
    let mut met: BTreeSet<String> = first.stats.marks.into_keys().collect();
    if !expansion.at_every_event.is_empty() {
        for event in 1..=first.stats.events {
            met.extend(checked(&expansion.at_event(event)).stats.marks.into_keys());
        }
    }
    let missed: Vec<_> = scenario.head.oracle.sometimes.iter().filter(|mark| !met.contains(*mark)).collect();
    assert!(missed.is_empty(), "{name} does not show what it is named for: it never met {missed:?}");
}

fn checked(plan: &Plan) -> Report {
    let report = run(plan).unwrap_or_else(|error| panic!("{}: {error}", plan.name));
    assert!(
        report.is_ok(),
        "{:?}\nto see it: cosmicsync-chaos run {} --seed {}",
        report.violations[0],
        plan.name,
        plan.seed
    );
    assert!(report.stats.checks > 0, "{}: the oracles compared nothing", plan.name);
    report
}

#[test]
fn every_lane_of_a_scenario_can_play_it() {
    for name in TESTED {
        let scenario = read(name);
        for lane in &scenario.head.lanes {
            scenario.expand(*lane, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn every_file_is_tested() {
    let files = std::fs::read_dir(directory()).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_scenario = path.extension().is_some_and(|extension| extension == "toml");
        is_scenario.then(|| path.file_stem().unwrap().to_str().unwrap().replace('-', "_"))
    });
    let files: BTreeSet<String> = files.collect();
    let tested: BTreeSet<String> = TESTED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, tested, "add new scenarios to the list in sim/tests/scenarios.rs");
}
