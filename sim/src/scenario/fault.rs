//! Faults of a scenario.

use super::{Keep, Shift, Span};
use crate::plan::Tampering;
use schemars::JsonSchema;
use serde::Deserialize;

/// A logical point of a run: such times survive changes of the code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Name of the event, such as `handshake.done`.
    pub event: String,
    /// The peer on which the event happens.
    pub peer: usize,
    /// Number of the occurrence, from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// Delay after the event.
    #[serde(default)]
    pub delay: Span,
}

/// A fault, or a change. `for` is its duration; `restart`, `redial` and `reopen` are the time until that is done.
/// Both start when the fault happens.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(tag = "kind")]
pub enum Fault {
    /// Drops all traffic between the sides.
    Partition {
        /// The peers of each side. A peer on no side talks to all.
        sides: Vec<Vec<usize>>,
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
        /// True to reset connections between the sides at once, instead of leaving them to time out.
        #[serde(default)]
        reset: bool,
    },
    /// Delays bytes from one peer to another; bytes in the other direction pass.
    OneWay {
        /// The sender of the delayed bytes.
        from: usize,
        /// The receiver of the delayed bytes.
        to: usize,
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Delays all bytes of a link.
    Stall {
        /// The two ends of the link.
        between: [usize; 2],
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Resets a link's connection, which is dialled again.
    Reset {
        /// The two ends of the link.
        between: [usize; 2],
        /// Number of further bytes before the reset, which may fall within a frame.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Resets a link repeatedly.
    Flap {
        /// The two ends of the link.
        between: [usize; 2],
        /// Time for which the link is up each time.
        every: Span,
        /// Number of resets.
        times: u32,
    },
    /// Takes a link down and stops dialling it.
    HangUp {
        /// The two ends of the link.
        between: [usize; 2],
        /// Time until the link is dialled again. If absent, never.
        #[serde(default)]
        redial: Option<Span>,
    },
    /// Dials an idle link from now on.
    Dial {
        /// The two ends of the link.
        between: [usize; 2],
    },
    /// Makes dials fail at once.
    Refuse {
        /// The two ends of the link.
        between: [usize; 2],
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Leaves dials unanswered.
    Unanswered {
        /// The two ends of the link.
        between: [usize; 2],
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Makes a link slower, or faster.
    Slow {
        /// The two ends of the link.
        between: [usize; 2],
        /// Delay of a byte, one way.
        latency: Span,
        /// Largest additional delay.
        #[serde(default)]
        jitter: Span,
        /// Bytes per second in each direction; 0 means no limit.
        #[serde(default)]
        bandwidth: u64,
        /// Duration. If absent, to the end.
        #[serde(default, rename = "for")]
        lasts: Option<Span>,
    },
    /// Delivers the bytes of a link in pieces.
    Split {
        /// The two ends of the link.
        between: [usize; 2],
        /// Size of the pieces, in bytes; 0 ends the splitting.
        bytes: u32,
    },
    /// Gathers the bytes of a link and delivers them at once.
    Gather {
        /// The two ends of the link.
        between: [usize; 2],
        /// Interval of the deliveries; `0s` ends the gathering.
        every: Span,
    },
    /// Changes bytes once, as a middlebox would.
    Tamper {
        /// The sender of the bytes.
        from: usize,
        /// The receiver of the bytes.
        to: usize,
        /// The change.
        with: Tampering,
        /// Number of further bytes before the change.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Crashes the process.
    Crash {
        /// The peer.
        peer: usize,
        /// Commits that the disk keeps though they were not durable.
        #[serde(default)]
        disk: Disk,
        /// Time until the peer starts again. If absent, it stays dead.
        #[serde(default)]
        restart: Option<Span>,
    },
    /// Ends the process in good order.
    Stop {
        /// The peer.
        peer: usize,
        /// Time until the peer starts again.
        restart: Span,
    },
    /// Keeps a copy of a peer's store, and of its process's memory.
    Backup {
        /// The peer.
        peer: usize,
    },
    /// Starts the peer again from the store in its last backup.
    Restore {
        /// The peer.
        peer: usize,
    },
    /// Starts the peer again with its store from the start of the run.
    Wipe {
        /// The peer.
        peer: usize,
    },
    /// Starts another machine with a byte-for-byte copy of a peer's store, key file included.
    Clone {
        /// The peer that starts with it; it is absent until then.
        peer: usize,
        /// The owner of the copied store.
        of: usize,
    },
    /// Continues a copy of a process: its store, its memory and its randomness.
    Resume {
        /// The peer that continues as the copy. If the process is another peer's, this peer is absent until then.
        peer: usize,
        /// The owner of the copied process. If absent, the peer's own process from its last backup.
        #[serde(default)]
        of: Option<usize>,
        /// Advance of the peer's wall clock since the copy; its other clock stood still.
        #[serde(default)]
        slept: Span,
    },
    /// Starts an absent peer, or one that crashed for good.
    Start {
        /// The peer.
        peer: usize,
    },
    /// Pauses the process; its clock goes on.
    Pause {
        /// The peer.
        peer: usize,
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Makes commits slow.
    SlowDisk {
        /// The peer.
        peer: usize,
        /// Duration of each commit.
        commit: Span,
        /// Duration of the fault. If absent, to the end.
        #[serde(default, rename = "for")]
        lasts: Option<Span>,
    },
    /// Makes a commit fail; nothing is stored until the store is reopened.
    FailDisk {
        /// The peer.
        peer: usize,
        /// Number of the commit, counted from now: 1 is the next.
        #[serde(default = "one")]
        nth: u64,
        /// True if the disk is full; otherwise it did not confirm a write.
        #[serde(default)]
        full: bool,
        /// Time until the store is reopened.
        reopen: Span,
    },
    /// Makes a wall clock jump, or run at another speed.
    Clock {
        /// The peer.
        peer: usize,
        /// The jump.
        #[serde(default)]
        jump: Shift,
        /// Speed: 1.0 is right, 0.0 is frozen.
        #[serde(default = "right")]
        speed: f64,
    },
    /// Changes the bodies that a peer keeps.
    Bodies {
        /// The peer.
        peer: usize,
        /// The bodies.
        keep: Keep,
    },
    /// Holds a document at its present content, as a reader may.
    Hold {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Duration.
        #[serde(rename = "for")]
        lasts: Span,
    },
}

/// Commits that a disk keeps though they were not durable when the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// No such commit.
    #[default]
    LoseUnsynced,
    /// The first commits, this many.
    Keep(u32),
    /// All commits.
    KeepUnsynced,
}

const fn one() -> u64 {
    1
}

const fn right() -> f64 {
    1.0
}
