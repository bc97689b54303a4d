//! Plans: everything that a run does, spelled out.
//!
//! A [`Plan`] is self-contained: the same plan gives the same run, bit for bit, whatever generated it. It is what
//! failure bundles and regressions store, because seeds rot when generators change. Every [`Action`] has an id of its
//! own, and whatever is random about it depends on the plan's seed and that id alone, so removing one action leaves the
//! others alone. Times are virtual microseconds.
//!
//! A plan never holds Rust state: it is plain data with a stable TOML and JSON form (`scenarios/README.md`).

mod act;
mod ask;
mod check;

pub use act::{Act, Disk, How, Image, Key, Tampering, Way};
pub use ask::{Ask, Change};
pub use check::PlanError;

use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// The version of the form of plans. A reader refuses another one.
pub const FORMAT: u32 = 2;

/// A run, spelled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// What it is called, for people.
    pub name: String,
    /// Keys all randomness: latencies, jitter, peers' own seeds. At most 2^63 - 1, so that TOML can hold it.
    pub seed: u64,
    /// How the peers' core behaves.
    #[serde(default)]
    pub core: Core,
    /// Further partitions beside `main`. Document `n` lives in partition `n % (partitions + 1)`, `main` being 0.
    #[serde(default)]
    pub partitions: u32,
    /// Peers run databases around their endpoints. Work is [`Act::Ask`] then; else it is all but that.
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
    /// What happens.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// How the peers' core behaves: few of its settings matter to a run, and all have defaults that make runs eventful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Core {
    /// Edits are gathered for at most this long.
    pub coalesce_us: u64,
    /// A quiet link is probed after this long.
    pub keep_alive_us: u64,
    /// A handshake may take this long.
    pub handshake_us: u64,
    /// Entries kept in memory, in bytes.
    pub recent_bytes: usize,
    /// Documents that stay open after they were let go.
    pub idle_docs: usize,
    /// Messages that may wait for a link.
    pub queued: usize,
    /// Runs that may be on their way from the store for each class.
    pub reads: usize,
    /// Bytes that one run of entries carries at most.
    pub run_bytes: usize,
    /// Bytes of entries in flight, at least a mebibyte.
    pub window_bytes: u64,
    /// Every device knows of all others when the run begins; otherwise only of those that joined before it.
    pub acquainted: bool,
    /// Timers go off up to this much late, as on a busy machine.
    pub late_us: u64,
    /// Messages after which each direction of a link takes a new key.
    pub rekey_messages: u64,
    /// How many changes, documents and rows databases take in at a time; without it, as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
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
        }
    }
}

/// Where phases end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// The end of phase one: from here on nothing fails any more, and only the core is alive.
    pub phase_one_us: u64,
    /// How long the core may take to converge, in virtual microseconds, beside [`Self::round_trips`].
    pub converge_us: u64,
    /// How many times the longest round trip of the core's network is added to [`Self::converge_us`].
    pub round_trips: u32,
    /// A run with more events than this is a livelock.
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
    /// What it is called, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which bodies it fetches at first. In phase two all fetch all, unless [`Self::partial`].
    pub bodies: Bodies,
    /// It keeps its policy in phase two: what it lacks is not asked of it.
    pub partial: bool,
    /// It does not run until a `restart` or `resume` starts it.
    pub absent: bool,
    /// Its wall clock is off by this much, in milliseconds.
    pub skew_ms: i64,
    /// How long its store takes for a commit.
    pub commit_us: u64,
    /// The minor versions of the protocol that it speaks, from and to; without them, as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minors: Option<[u8; 2]>,
    /// A feature beyond the base protocol that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<Feature>,
}

/// A feature beyond the base protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its id.
    pub id: u16,
    /// Whether it talks only to peers that have it too.
    #[serde(default)]
    pub critical: bool,
}

/// Which bodies a peer fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bodies {
    /// All.
    #[default]
    All,
    /// None.
    None,
    /// This many of the newest of each log.
    Newest(u64),
}

/// A connection that `from` dials, and dials again with growing pauses whenever it is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Who dials.
    pub from: usize,
    /// Whom.
    pub to: usize,
    /// How long a byte takes, one way.
    #[serde(default = "Link::latency_us")]
    pub latency_us: u64,
    /// Up to how much longer it may take; bytes stay in order.
    #[serde(default)]
    pub jitter_us: u64,
    /// Bytes a second in each direction; 0 means no limit.
    #[serde(default)]
    pub bandwidth: u64,
    /// Bytes that may be on their way in each direction before their sender finds no room, as in a socket's buffers.
    #[serde(default = "Link::buffer")]
    pub buffer: NonZeroU64,
    /// It is not dialled until an action says so.
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

    /// A link with the default latency and buffer.
    pub const fn new(from: usize, to: usize) -> Self {
        let (latency_us, buffer) = (Self::latency_us(), Self::buffer());
        Self { from, to, latency_us, jitter_us: 0, bandwidth: 0, buffer, idle: false }
    }
}

/// Something that happens once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Unique in its plan; keys whatever is random about it.
    pub id: u32,
    /// When.
    pub when: When,
    /// What.
    pub act: Act,
}

/// When an action happens. One that never comes due does not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At this virtual time.
    AtUs(u64),
    /// Some time after the nth happening of an event on a peer: such times survive changes of the code.
    After(After),
    /// Right after the nth event of the run: to crash at every one.
    Event(u64),
}

/// A logical point of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// A name of [`crate::coverage::POINTS`], such as `handshake.done`.
    pub event: String,
    /// On which peer.
    pub peer: usize,
    /// The how manieth time, from 1.
    #[serde(default = "After::first")]
    pub nth: u64,
    /// How much later.
    #[serde(default)]
    pub delay_us: u64,
}

impl After {
    const fn first() -> u64 {
        1
    }
}
