//! The scenarios. Each ends as in [`World::end`]: replicas become equal and hold all acknowledged documents, links are
//! quiet and single, and every host stops.

mod crashes;
mod links;
mod loads;

use super::Scenario;
use super::shape::Shape;

/// Longest recovery if links break at once or were never in doubt, in milliseconds.
const SOON_MS: u64 = 10_000;
/// Longest recovery after failed dials, in milliseconds: the longest back-off, and the sync.
const BACK_MS: u64 = 45_000;
/// Longest recovery after silently cut links, in milliseconds: two keep-alives, a dial that hangs, the longest
/// back-off, and the sync.
const HEALED_MS: u64 = 90_000;

/// All scenarios.
pub(crate) static SCENARIOS: &[Scenario] = &[
    Scenario { name: "partition-heal", shape: |_| Shape::of(3).mesh(), play: links::partition_heal },
    Scenario { name: "one-way-cut", shape: |_| Shape::of(2), play: links::one_way_cut },
    Scenario { name: "stalled-link", shape: |_| Shape::of(2), play: links::stalled_link },
    Scenario { name: "half-open-link", shape: |_| Shape::of(2), play: links::half_open_link },
    Scenario { name: "simultaneous-dial", shape: |_| Shape::of(2).mesh(), play: links::simultaneous_dial },
    Scenario { name: "dial-refused-then-up", shape: |_| Shape::of(2), play: links::dial_refused_then_up },
    Scenario { name: "dial-hangs", shape: |_| Shape::of(2), play: links::dial_hangs },
    Scenario { name: "redial-after-a-good-link", shape: |_| Shape::of(2), play: links::redial_after_a_good_link },
    Scenario { name: "refused-dials-keep-no-room", shape: |_| Shape::of(2).links_max(2), play: links::refused_dials },
    Scenario { name: "removed-while-dialled", shape: |_| Shape::of(2), play: links::removed_while_dialled },
    Scenario { name: "waits-run-out", shape: |_| Shape::of(2), play: links::waits_run_out },
    Scenario { name: "followers-leave", shape: |_| Shape::of(2), play: links::followers_leave },
    Scenario { name: "many-followers", shape: |_| Shape::of(2), play: links::many_followers },
    Scenario { name: "crash-before-flush", shape: |_| Shape::of(2), play: crashes::crash_before_flush },
    Scenario { name: "bounce-mid-transfer", shape: |_| Shape::of(2), play: crashes::bounce_mid_transfer },
    Scenario { name: "stop-while-syncing", shape: |_| Shape::of(2), play: crashes::stop_while_syncing },
    Scenario { name: "stop-says-so", shape: |_| Shape::of(2), play: crashes::stop_says_so },
    Scenario { name: "join-interrupted", shape: |_| Shape::of(2), play: crashes::join_interrupted },
    Scenario { name: "store-fills-up", shape: |_| Shape::of(2), play: crashes::store_fills_up },
    Scenario { name: "end-without-room", shape: |_| Shape::of(2), play: crashes::end_without_room },
    Scenario { name: "slow-reader", shape: |_| Shape::of(3).segments(4), play: loads::slow_reader },
    Scenario { name: "large-documents", shape: |_| Shape::of(2).segments(2), play: loads::large_documents },
    Scenario { name: "uneven-latency", shape: |_| Shape::of(4), play: loads::uneven_latency },
    Scenario {
        name: "many-hosts-star",
        shape: |dice| Shape::of(5 + dice.index(3)).latency_ms(1, 60),
        play: loads::many_hosts_star,
    },
];
