//! What goes wrong in a scenario.

use super::{Keep, Shift, Span};
use crate::plan::Tampering;
use schemars::JsonSchema;
use serde::Deserialize;

/// A logical point of a run: such times survive changes of the code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// What happened, such as `handshake.done`.
    pub event: String,
    /// On which peer.
    pub peer: usize,
    /// The how manieth time, from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How much later.
    #[serde(default)]
    pub delay: Span,
}

/// What goes wrong, or changes. `for` says how long it lasts, `restart`, `redial` and `reopen` after how long that is
/// done; both count from the moment it happens.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(tag = "kind")]
pub enum Fault {
    /// Nothing passes between the sides.
    Partition {
        /// The peers of each side. Who stands nowhere talks to all.
        sides: Vec<Vec<usize>>,
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
        /// Connections between the sides are reset at once, not left to time out.
        #[serde(default)]
        reset: bool,
    },
    /// What one peer sends to another is held back; what comes the other way passes.
    OneWay {
        /// Whose bytes are held back.
        from: usize,
        /// On the way to whom.
        to: usize,
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// A link holds everything back.
    Stall {
        /// Which link.
        between: [usize; 2],
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// A link's connection is reset; it is dialled again.
    Reset {
        /// Which link.
        between: [usize; 2],
        /// After this many more bytes, so that it may fall amid a frame.
        #[serde(default)]
        after_bytes: u64,
    },
    /// A link is reset again and again.
    Flap {
        /// Which link.
        between: [usize; 2],
        /// How long it is up each time.
        every: Span,
        /// How many times.
        times: u32,
    },
    /// A link goes down and is not dialled any more.
    HangUp {
        /// Which link.
        between: [usize; 2],
        /// When it is dialled again. Without it, never.
        #[serde(default)]
        redial: Option<Span>,
    },
    /// A link that was idle is dialled from now on.
    Dial {
        /// Which link.
        between: [usize; 2],
    },
    /// Dials fail at once.
    Refuse {
        /// Which link.
        between: [usize; 2],
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Dials are never answered.
    Unanswered {
        /// Which link.
        between: [usize; 2],
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// A link becomes slower, or faster.
    Slow {
        /// Which link.
        between: [usize; 2],
        /// How long a byte takes, one way.
        latency: Span,
        /// Up to how much longer it may take.
        #[serde(default)]
        jitter: Span,
        /// Bytes a second in each direction; 0 means no limit.
        #[serde(default)]
        bandwidth: u64,
        /// For how long. Without it, to the end.
        #[serde(default, rename = "for")]
        lasts: Option<Span>,
    },
    /// A link delivers in pieces.
    Split {
        /// Which link.
        between: [usize; 2],
        /// The pieces' size, in bytes; 0 delivers as it comes.
        bytes: u32,
    },
    /// A link gathers what it delivers.
    Gather {
        /// Which link.
        between: [usize; 2],
        /// So often; `0s` delivers as it comes.
        every: Span,
    },
    /// A box on the way changes bytes once.
    Tamper {
        /// Whose bytes.
        from: usize,
        /// On the way to whom.
        to: usize,
        /// How.
        with: Tampering,
        /// After this many more bytes.
        #[serde(default)]
        after_bytes: u64,
    },
    /// The process dies.
    Crash {
        /// Which.
        peer: usize,
        /// What the disk keeps of what it had not made durable.
        #[serde(default)]
        disk: Disk,
        /// When it starts again. Without it, it stays dead.
        #[serde(default)]
        restart: Option<Span>,
    },
    /// The process ends in good order.
    Stop {
        /// Which.
        peer: usize,
        /// When it starts again.
        restart: Span,
    },
    /// Keeps a copy of a peer's store, and of its process's memory.
    Backup {
        /// Whose.
        peer: usize,
    },
    /// The peer starts again from the store in its last backup.
    Restore {
        /// Which.
        peer: usize,
    },
    /// The peer starts again with the store it had when the run began.
    Wipe {
        /// Which.
        peer: usize,
    },
    /// Another machine starts with a byte-for-byte copy of a peer's store, key file and all.
    Clone {
        /// Which peer starts with it; it is absent until then.
        peer: usize,
        /// Whose store.
        of: usize,
    },
    /// A copy of a process goes on: its store, its memory and its randomness.
    Resume {
        /// Which peer goes on as it. If the process is another peer's, it is absent until then.
        peer: usize,
        /// Whose process, as it is. Without it the peer's own, as its last backup kept it.
        #[serde(default)]
        of: Option<usize>,
        /// How far its wall clock is ahead when it goes on; its other clock stood still.
        #[serde(default)]
        slept: Span,
    },
    /// An absent peer, or one that crashed for good, starts.
    Start {
        /// Which.
        peer: usize,
    },
    /// The process stands still; its clock does not.
    Pause {
        /// Which.
        peer: usize,
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
    },
    /// Commits take long.
    SlowDisk {
        /// Whose.
        peer: usize,
        /// How long each takes.
        commit: Span,
        /// For how long. Without it, to the end.
        #[serde(default, rename = "for")]
        lasts: Option<Span>,
    },
    /// A commit fails; nothing is stored until the store is opened anew.
    FailDisk {
        /// Whose.
        peer: usize,
        /// Which commit, counted from now: 1 is the next.
        #[serde(default = "one")]
        nth: u64,
        /// Because the disk is full; otherwise it did not confirm a write.
        #[serde(default)]
        full: bool,
        /// When the store is opened anew.
        reopen: Span,
    },
    /// A wall clock jumps, or runs at another speed.
    Clock {
        /// Whose.
        peer: usize,
        /// By how much it jumps.
        #[serde(default)]
        jump: Shift,
        /// How fast it runs: 1.0 is right, 0.0 is frozen.
        #[serde(default = "right")]
        speed: f64,
    },
    /// A peer keeps other bodies from now on.
    Bodies {
        /// Who.
        peer: usize,
        /// Which.
        keep: Keep,
    },
    /// A reader holds a document at what it shows.
    Hold {
        /// Where.
        peer: usize,
        /// Which document.
        doc: u32,
        /// For how long.
        #[serde(rename = "for")]
        lasts: Span,
    },
}

/// What a disk keeps of commits that it had not made durable when the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// Nothing.
    #[default]
    LoseUnsynced,
    /// The first so many.
    Keep(u32),
    /// Everything.
    KeepUnsynced,
}

const fn one() -> u64 {
    1
}

const fn right() -> f64 {
    1.0
}
