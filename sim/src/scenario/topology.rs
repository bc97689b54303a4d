//! The peers of a scenario and what connects them.

use super::{Shift, Span};
use crate::plan;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU64;

/// The peers and what connects them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// How many peers. They are numbered from 0; peer 0 founded the space.
    pub peers: usize,
    /// Who dials whom.
    #[serde(default)]
    pub shape: Shape,
    /// How all links are, unless `[[link]]` says otherwise.
    #[serde(default)]
    pub link: LinkQuality,
    /// How many partitions there are beside `main`. Document `n` lies in partition `n % (partitions + 1)`.
    #[serde(default)]
    pub partitions: u32,
}

/// Who dials whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Everybody is linked to everybody.
    #[default]
    Mesh,
    /// Everybody dials peer 0.
    Star,
    /// Each peer dials the one before it.
    Line,
    /// A line whose first peer dials the last.
    Ring,
    /// Only what `[[link]]` says.
    None,
}

impl Shape {
    /// The links, as (who dials, whom).
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

/// How a link carries bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkQuality {
    /// How long a byte takes, one way. Without it, 20ms.
    #[serde(default)]
    pub latency: Option<Span>,
    /// Up to how much longer it may take; bytes stay in order.
    #[serde(default)]
    pub jitter: Span,
    /// Bytes a second in each direction; 0 means no limit.
    #[serde(default)]
    pub bandwidth: u64,
    /// Bytes that may be on their way in each direction before their sender finds no room. Without it, 262144.
    #[serde(default)]
    pub buffer: Option<NonZeroU64>,
}

/// A link that differs from the others, or one more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkEntry {
    /// Who dials, and whom.
    pub between: [usize; 2],
    /// How long a byte takes, one way.
    #[serde(default)]
    pub latency: Option<Span>,
    /// Up to how much longer it may take.
    #[serde(default)]
    pub jitter: Option<Span>,
    /// Bytes a second in each direction; 0 means no limit.
    #[serde(default)]
    pub bandwidth: Option<u64>,
    /// Bytes that may be on their way in each direction before their sender finds no room.
    #[serde(default)]
    pub buffer: Option<NonZeroU64>,
    /// It is not dialled before a `dial`.
    #[serde(default)]
    pub idle: bool,
}

/// A peer that differs from the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerEntry {
    /// Which.
    pub peer: usize,
    /// What it is called in reports.
    #[serde(default)]
    pub name: String,
    /// Which bodies it keeps.
    #[serde(default)]
    pub bodies: Keep,
    /// It keeps them to the end; otherwise it fetches the others once faults have ended.
    #[serde(default)]
    pub partial: bool,
    /// It does not run before a `start` or `clone`.
    #[serde(default)]
    pub absent: bool,
    /// How far its wall clock is ahead; behind, with a minus.
    #[serde(default)]
    pub skew: Shift,
    /// How long its store takes for a commit.
    #[serde(default)]
    pub commit: Span,
    /// The minor versions of the protocol that it speaks, from and to; without them, as shipped.
    #[serde(default)]
    pub minors: Option<[u8; 2]>,
    /// The id of a feature that it has and others may lack.
    #[serde(default)]
    pub feature: Option<u16>,
    /// It talks only to peers that have its feature too.
    #[serde(default)]
    pub critical: bool,
}

/// Which bodies a peer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// All.
    #[default]
    All,
    /// None: it knows every log and its head, and can read nothing.
    None,
    /// This many of the newest entries of each log.
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

/// How the core behaves on every peer. What is left out is as a plan has it by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoreSettings {
    /// Edits are gathered for at most this long.
    pub coalesce: Option<Span>,
    /// A quiet link is probed after this long.
    pub keep_alive: Option<Span>,
    /// A handshake may take this long.
    pub handshake: Option<Span>,
    /// Entries kept in memory, in bytes.
    pub recent_bytes: Option<usize>,
    /// Documents that stay in memory after they were let go.
    pub idle_docs: Option<usize>,
    /// Messages that may wait for a link.
    pub queued: Option<usize>,
    /// Runs that may be on their way from the store, for each class.
    pub reads: Option<usize>,
    /// Bytes that one run of entries carries at most.
    pub run_bytes: Option<usize>,
    /// Bytes of entries in flight, at least a mebibyte.
    pub window_bytes: Option<u64>,
    /// Every device knows of all others when the run begins, which is the default; otherwise only of those that joined
    /// before it.
    pub acquainted: Option<bool>,
    /// Timers go off up to this much late, as on a busy machine.
    pub late: Option<Span>,
    /// Messages after which each direction of a link takes a new key.
    pub rekey_messages: Option<u64>,
}

impl CoreSettings {
    pub(super) fn plan(&self) -> plan::Core {
        let base = plan::Core::default();
        let us = |span: Option<Span>, base: u64| span.map_or(base, |span| span.us);
        plan::Core {
            batch: None,
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
