//! The peers of a scenario and their connections.

use super::{Shift, Span};
use crate::plan;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU64;

/// The peers and their connections.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Number of peers. They are numbered from 0; peer 0 founded the space.
    pub peers: usize,
    /// Shape of the connections.
    #[serde(default)]
    pub shape: Shape,
    /// Quality of all links, unless `[[link]]` sets another.
    #[serde(default)]
    pub link: LinkQuality,
    /// Number of partitions beside `main`. Document `n` lies in partition `n % (partitions + 1)`.
    #[serde(default)]
    pub partitions: u32,
}

/// Shape of the connections: the peers that each peer dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Every peer is linked to every other.
    #[default]
    Mesh,
    /// Every peer dials peer 0.
    Star,
    /// Each peer dials the one before it.
    Line,
    /// A line whose first peer dials the last.
    Ring,
    /// Only the links of `[[link]]`.
    None,
}

impl Shape {
    /// Returns the links, as (dialling peer, dialled peer).
    pub(super) fn links(self, peers: usize) -> Vec<(usize, usize)> {
        match self {
            Self::Mesh => (1..peers).flat_map(|from| (0..from).map(move |to| (from, to))).collect(),
            Self::Star => (1..peers).map(|from| (from, 0)).collect(),
            Self::Line => (1..peers).map(|from| (from, from - 1)).collect(),
            Self::Ring if peers > 2 => (1..peers).map(|from| (from, from - 1)).chain([(0, peers - 1)]).collect(),
            Self::Ring => (1..peers).map(|from| (from, from - 1)).collect(),
            Self::None => Vec::new(),
        }
    }
}

/// Quality of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkQuality {
    /// Delay of a byte, one way. If absent, 20ms.
    #[serde(default)]
    pub latency: Option<Span>,
    /// Largest additional delay; bytes stay in order.
    #[serde(default)]
    pub jitter: Span,
    /// Bytes per second in each direction; 0 means no limit.
    #[serde(default)]
    pub bandwidth: u64,
    /// Most bytes on their way in each direction before their sender finds no room. If absent, 262144.
    #[serde(default)]
    pub buffer: Option<NonZeroU64>,
}

/// A link that differs from the others, or an additional one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkEntry {
    /// The dialling peer and the dialled peer.
    pub between: [usize; 2],
    /// Delay of a byte, one way.
    #[serde(default)]
    pub latency: Option<Span>,
    /// Largest additional delay.
    #[serde(default)]
    pub jitter: Option<Span>,
    /// Bytes per second in each direction; 0 means no limit.
    #[serde(default)]
    pub bandwidth: Option<u64>,
    /// Most bytes on their way in each direction before their sender finds no room.
    #[serde(default)]
    pub buffer: Option<NonZeroU64>,
    /// True if the link is not dialled before a `dial`.
    #[serde(default)]
    pub idle: bool,
}

/// A peer that differs from the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerEntry {
    /// Number of the peer.
    pub peer: usize,
    /// Name of the peer in reports.
    #[serde(default)]
    pub name: String,
    /// Bodies that the peer keeps.
    #[serde(default)]
    pub bodies: Keep,
    /// True if the peer keeps only these to the end; otherwise it fetches the others once faults have ended.
    #[serde(default)]
    pub partial: bool,
    /// True if the peer does not run before a `start` or `clone`.
    #[serde(default)]
    pub absent: bool,
    /// Advance of the peer's wall clock; negative if it is behind.
    #[serde(default)]
    pub skew: Shift,
    /// Duration of a commit in the peer's store.
    #[serde(default)]
    pub commit: Span,
    /// The minor versions of the protocol that the peer speaks, lowest and highest; if absent, as shipped.
    #[serde(default)]
    pub minors: Option<[u8; 2]>,
    /// The id of a feature that the peer has and others may lack.
    #[serde(default)]
    pub feature: Option<u16>,
    /// True if the peer talks only to peers that have its feature too.
    #[serde(default)]
    pub critical: bool,
}

/// Bodies that a peer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// All bodies.
    #[default]
    All,
    /// No bodies: the peer knows every log and its head, and can read nothing.
    None,
    /// The bodies of this many of the newest entries of each log.
    Newest(u64),
}

impl From<Keep> for plan::Bodies {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::All => Self::All,
            Keep::None => Self::None,
            Keep::Newest(entries) => Self::Newest(entries),
        }
    }
}

/// Settings of the core on every peer. Absent ones have the defaults of plans.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoreSettings {
    /// Longest time for which edits are gathered.
    pub coalesce: Option<Span>,
    /// Silence after which a link is probed.
    pub keep_alive: Option<Span>,
    /// Longest duration of a handshake.
    pub handshake: Option<Span>,
    /// Size of the cache of recent entries, in bytes.
    pub recent_bytes: Option<usize>,
    /// Most closed documents that stay in memory.
    pub idle_docs: Option<usize>,
    /// Most messages that wait for a link.
    pub queued: Option<usize>,
    /// Most runs on their way from the store, per class.
    pub reads: Option<usize>,
    /// Most bytes that one run of entries carries.
    pub run_bytes: Option<usize>,
    /// Bytes of entries in flight; at least a mebibyte.
    pub window_bytes: Option<u64>,
    /// True, the default, if every device knows all others when the run begins; otherwise it knows only those that
    /// joined before it.
    pub acquainted: Option<bool>,
    /// Longest delay of timers, as on a busy machine.
    pub late: Option<Span>,
    /// Number of messages after which each direction of a link changes its key.
    pub rekey_messages: Option<u64>,
}

impl CoreSettings {
    pub(super) fn plan(&self) -> plan::Core {
        let base = plan::Core::default();
        let us = |span: Option<Span>, base: u64| span.map_or(base, |span| span.us);
        plan::Core {
            batch: None,
            read_us: base.read_us,
            unicode: false,
            sizes: None,
            coalesce_us: us(self.coalesce, base.coalesce_us),
            keep_alive_us: us(self.keep_alive, base.keep_alive_us),
            handshake_us: us(self.handshake, base.handshake_us),
            recent_bytes: self.recent_bytes.unwrap_or(base.recent_bytes),
            idle_docs: self.idle_docs.unwrap_or(base.idle_docs),
            queued: self.queued.unwrap_or(base.queued),
            reads: self.reads.unwrap_or(base.reads),
            run_bytes: self.run_bytes.unwrap_or(base.run_bytes),
            window_bytes: self.window_bytes.unwrap_or(base.window_bytes),
            acquainted: self.acquainted.unwrap_or(base.acquainted),
            late_us: us(self.late, base.late_us),
            rekey_messages: self.rekey_messages.unwrap_or(base.rekey_messages),
        }
    }
}
