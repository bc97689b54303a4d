//! Plans: everything that a run does, spelled out.
//!
//! A [`Plan`] is self-contained: the same plan gives the same run, bit for bit, from any generator. Failure bundles
//! and regressions store plans, because seeds rot when generators change. Every [`Action`] has an id of its own,
//! and its randomness depends on the plan's seed and that id alone, so removing one action leaves the others
//! unchanged. Times are virtual microseconds.
//!
//! A plan never holds Rust state: it is plain data with a stable TOML and JSON form (`scenarios/README.md`).

mod act;
mod ask;
mod check;
mod tell;

pub use act::{Act, Disk, How, Image, Key, Tampering, Way};
pub use ask::{Ask, Change};
pub use check::PlanError;
pub use tell::FAULTS;

use cosmicsync_protocol::config::{Limits, Steps};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// The version of the form of plans. A reader refuses any other.
pub const FORMAT: u32 = 2;

/// A run, spelled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// Name, for people.
    pub name: String,
    /// Key of all randomness: latencies, jitter, peers' own seeds. At most 2^63 - 1, so that TOML can hold it.
    pub seed: u64,
    /// Settings of the peers' core.
    #[serde(default)]
    pub core: Core,
    /// Number of partitions beside `main`. Document `n` lives in partition `n % (partitions + 1)`, `main` being 0.
    #[serde(default)]
    pub partitions: u32,
    /// True if peers run databases around their endpoints. All work is then [`Act::Ask`]; otherwise, no work is.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub databases: bool,
    /// The bounds.
    #[serde(default)]
    pub bounds: Bounds,
    /// The coverage marks that this plan is expected to hit (see [`crate::coverage`]).
    #[serde(default)]
    pub sometimes: Vec<String>,
    /// The peers, all devices of one user and members of one space, founded by peer 0.
    pub peers: Vec<Peer>,
    /// The connections that peers try to keep up.
    pub links: Vec<Link>,
    /// The actions.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// Settings of the peers' core: the few that matter to a run, with defaults that make runs eventful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Core {
    /// Longest time for which edits are gathered, in microseconds.
    pub coalesce_us: u64,
    /// Silence after which a link is probed, in microseconds.
    pub keep_alive_us: u64,
    /// Longest duration of a handshake, in microseconds.
    pub handshake_us: u64,
    /// Size of the cache of recent entries, in bytes.
    pub recent_bytes: usize,
    /// Most closed documents that stay in memory.
    pub idle_docs: usize,
    /// Most messages that wait for a link.
    pub queued: usize,
    /// Most runs on their way from the store, per class.
    pub reads: usize,
    /// Most bytes that one run of entries carries.
    pub run_bytes: usize,
    /// Bytes of entries in flight; more than the largest entry of the run.
    pub window_bytes: u64,
    /// True if every device knows all others when the run begins; otherwise it knows only those that joined before
    /// it.
    pub acquainted: bool,
    /// Longest delay of timers, as on a busy machine, in microseconds.
    pub late_us: u64,
    /// Number of messages after which each direction of a link changes its key.
    pub rekey_messages: u64,
    /// Number of changes, documents and rows that databases handle in one step; if absent, as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Duration of a read from a store, in microseconds.
    #[serde(skip_serializing_if = "Core::is_usual")]
    pub read_us: u64,
    /// True if people type letters of all scripts, and signs that take several characters.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub unicode: bool,
    /// Sizes of the core's steps; if absent, as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
}

/// Sizes of the core's steps, as in [`Steps`], [`Limits`] and [`Config`](cosmicsync_protocol::config::Config).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "they are documented where they apply")]
pub struct Sizes {
    pub read_bytes: usize,
    pub index_bytes: usize,
    pub read_entries: usize,
    pub gathered_bytes: usize,
    pub gathered_docs: usize,
    pub segment_entries: u64,
    pub segment_bytes: u64,
    pub kept_values: usize,
    pub made_docs: usize,
    pub made_values: usize,
    pub bulk_docs: usize,
    pub bulk_bytes: usize,
    pub section_bytes: usize,
    pub leaf_items: usize,
    pub chunk_bytes: usize,
    pub changes: usize,
    pub names: usize,
    pub walk_items: usize,
    pub walk_bytes: usize,
    pub frame_bytes: usize,
    pub absent: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        let (steps, limits) = (Steps::default(), Limits::default());
        Self {
            read_bytes: steps.read_bytes,
            index_bytes: steps.index_bytes,
            read_entries: steps.read_entries,
            gathered_bytes: steps.gathered_bytes,
            gathered_docs: steps.gathered_docs,
            segment_entries: steps.segment_entries,
            segment_bytes: steps.segment_bytes,
            kept_values: steps.kept_values,
            made_docs: steps.made_docs,
            made_values: steps.made_values,
            bulk_docs: steps.bulk_docs,
            bulk_bytes: steps.bulk_bytes,
            section_bytes: steps.section_bytes,
            leaf_items: steps.leaf_items,
            chunk_bytes: limits.chunk_bytes_max,
            changes: limits.changes_max,
            names: limits.names_max,
            walk_items: limits.walk_items_max,
            walk_bytes: limits.walk_bytes_max,
            frame_bytes: limits.frame_bytes_max,
            absent: limits.absent_max,
        }
    }
}

impl Default for Core {
    fn default() -> Self {
        Self {
            coalesce_us: 20_000,
            keep_alive_us: 15_000_000,
            handshake_us: 10_000_000,
            recent_bytes: 64 * 1024,
            idle_docs: 2,
            queued: 64,
            reads: 16,
            run_bytes: 256 * 1024,
            window_bytes: 2 * 1024 * 1024,
            acquainted: true,
            late_us: 0,
            rekey_messages: 65_536,
            batch: None,
            read_us: Self::READ_US,
            unicode: false,
            sizes: None,
        }
    }
}

impl Core {
    const READ_US: u64 = 30;

    const fn is_usual(read_us: &u64) -> bool {
        *read_us == Self::READ_US
    }
}

/// Ends of the phases, and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// End of phase one: afterwards nothing fails any more, and only the core is alive.
    pub phase_one_us: u64,
    /// Longest time for the core to converge, in virtual microseconds, beside [`Self::round_trips`].
    pub converge_us: u64,
    /// Number of times that the longest round trip of the core's network is added to [`Self::converge_us`].
    pub round_trips: u32,
    /// Number of events above which a run is a livelock.
    pub events: u64,
    /// The peers that live on in phase two: they must be connected by links. Empty means all.
    pub core: Vec<usize>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            phase_one_us: 20_000_000,
            converge_us: 60_000_000,
            round_trips: 200,
            events: 5_000_000,
            core: Vec::new(),
        }
    }
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// Name, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Bodies that the peer fetches at first. In phase two all peers fetch all, unless [`Self::partial`].
    pub bodies: Bodies,
    /// True if the peer keeps its policy in phase two: oracles then accept what it lacks.
    pub partial: bool,
    /// True if the peer does not run until a `restart` or `resume` starts it.
    pub absent: bool,
    /// Offset of the peer's wall clock, in milliseconds.
    pub skew_ms: i64,
    /// Duration of a commit in the peer's store, in microseconds.
    pub commit_us: u64,
    /// The minor versions of the protocol that the peer speaks, lowest and highest; if absent, as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minors: Option<[u8; 2]>,
    /// The peer's feature beyond the base protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<Feature>,
}

/// A feature beyond the base protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Id of the feature.
    pub id: u16,
    /// True if the peer talks only to peers that have the feature too.
    #[serde(default)]
    pub critical: bool,
}

/// Bodies that a peer fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bodies {
    /// All bodies.
    #[default]
    All,
    /// No bodies.
    None,
    /// The bodies of this many of the newest entries of each log.
    Newest(u64),
}

/// A connection that `from` dials, and redials with growing pauses whenever it is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The peer that dials.
    pub from: usize,
    /// The peer that is dialled.
    pub to: usize,
    /// Delay of a byte, one way, in microseconds.
    #[serde(default = "Link::latency_us")]
    pub latency_us: u64,
    /// Largest additional delay, in microseconds; bytes stay in order.
    #[serde(default)]
    pub jitter_us: u64,
    /// Bytes per second in each direction; 0 means no limit.
    #[serde(default)]
    pub bandwidth: u64,
    /// Most bytes on their way in each direction before their sender finds no room, as in a socket's buffers.
    #[serde(default = "Link::buffer")]
    pub buffer: NonZeroU64,
    /// True if the link is not dialled before a `dial` action.
    #[serde(default)]
    pub idle: bool,
}

impl Link {
    const fn latency_us() -> u64 {
        20_000
    }

    const fn buffer() -> NonZeroU64 {
        NonZeroU64::MIN.saturating_add(256 * 1024 - 1)
    }

    /// Makes a link with the default latency and buffer.
    pub const fn new(from: usize, to: usize) -> Self {
        let (latency_us, buffer) = (Self::latency_us(), Self::buffer());
        Self { from, to, latency_us, jitter_us: 0, bandwidth: 0, buffer, idle: false }
    }
}

/// An action, which happens once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Id, unique in its plan; the key of the action's randomness.
    pub id: u32,
    /// Time of the action.
    pub when: When,
    /// Kind of the action, with parameters.
    pub act: Act,
}

/// Time of an action. An action whose time never comes does not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// This virtual time.
    AtUs(u64),
    /// A time after the nth occurrence of an event on a peer: such times survive changes of the code.
    After(After),
    /// Right after the nth event of the run: for crashes at every event.
    Event(u64),
}

/// A logical point of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// A name of [`crate::coverage::POINTS`], such as `handshake.done`.
    pub event: String,
    /// The peer.
    pub peer: usize,
    /// Number of the occurrence, from 1.
    #[serde(default = "After::first")]
    pub nth: u64,
    /// Delay after the event, in microseconds.
    #[serde(default)]
    pub delay_us: u64,
}

impl After {
    const fn first() -> u64 {
        1
    }
}
