//! What can happen in a run: work, faults, and what each is about.

use super::{Ask, Bodies};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens. Workload first, faults after. Actions on a peer that is down do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Makes a document.
    Create {
        /// Where.
        peer: usize,
        /// Its number.
        doc: u32,
        /// Whether it has a list of items.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        items: bool,
    },
    /// Types a token of its own into a document's text or an item's. The token is what oracles look for.
    Insert {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Whether somebody waits for it.
        #[serde(default)]
        urgent: bool,
        /// How many characters beside the token.
        #[serde(default)]
        bytes: u32,
    },
    /// Adds an item with a token of its own to a list of a document, which nest; to its text if it has none.
    Item {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Makes a document with members that are drawn, unless the peer has it: several may make one, apart from each other.
    Make {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Changes a member of a document. Members nest, and hold pieces that oracles look for.
    Member {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Which: it leads down as far as there are maps.
        path: Vec<Key>,
        /// How.
        how: How,
    },
    /// Types into, or deletes from, a second text that holds no tokens.
    Scribble {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Up to how many characters to delete.
        #[serde(default)]
        delete: u32,
        /// How many to insert.
        #[serde(default)]
        insert: u32,
    },
    /// Sets a field.
    Set {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// The field's number.
        field: u32,
        /// Its value.
        value: i64,
    },
    /// Types one token into each of two documents, in one transaction.
    Both {
        /// Where.
        peer: usize,
        /// The documents' numbers, in one partition.
        docs: [u32; 2],
    },
    /// Deletes a document, or brings it back.
    Delete {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Whether it is to be deleted.
        deleted: bool,
    },
    /// Imports documents with numbers of their own, from 1,000,000 times the action's id on.
    Import {
        /// Where.
        peer: usize,
        /// How many.
        docs: u32,
        /// How many characters each has beside its token.
        #[serde(default)]
        bytes: u32,
    },
    /// Opens a document, as a reader does.
    Open {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Lets go what is open, so that it may be evicted.
    Close {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Holds an open document back to what it shows, or lets everything in again.
    Hold {
        /// Where.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Whether to hold.
        on: bool,
    },
    /// Asks something of a database.
    Ask {
        /// Whose.
        peer: usize,
        /// What.
        what: Ask,
    },
    /// Fetches other bodies from now on.
    Bodies {
        /// Where.
        peer: usize,
        /// Which.
        bodies: Bodies,
    },

    /// Starts to dial a link that was idle.
    Dial {
        /// The link's number.
        link: usize,
    },
    /// Stops dialling a link and resets it.
    Hang {
        /// The link's number.
        link: usize,
    },
    /// Resets a link's connection; it is dialled again.
    Reset {
        /// The link's number.
        link: usize,
        /// After this many more bytes to either side, so that it may fall amid a frame; what is in flight is lost.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Holds bytes back, in order, and lets them go later: a stalled or one-way link.
    Clog {
        /// The link's number.
        link: usize,
        /// Which way.
        #[serde(default)]
        way: Way,
        /// For how long.
        for_us: u64,
    },
    /// Nothing passes between the sides for a while, in silence; dials between them hang.
    Partition {
        /// The peers on each side. Who stands nowhere talks to all.
        sides: Vec<Vec<usize>>,
        /// For how long.
        for_us: u64,
        /// Connections between the sides are reset at once.
        #[serde(default)]
        reset: bool,
    },
    /// Changes how a link carries bytes from now on.
    Quality {
        /// The link's number.
        link: usize,
        /// As in a link, in microseconds.
        latency_us: u64,
        /// See [`jitter_us`](super::Link::jitter_us).
        #[serde(default)]
        jitter_us: u64,
        /// See [`bandwidth`](super::Link::bandwidth).
        #[serde(default)]
        bandwidth: u64,
    },
    /// Cuts what a link delivers into pieces of at most this many bytes; 0 delivers as it comes.
    Split {
        /// The link's number.
        link: usize,
        /// The pieces' size.
        bytes: u32,
    },
    /// Gathers what a link delivers for this long, then delivers it at once; 0 delivers as it comes.
    Gather {
        /// The link's number.
        link: usize,
        /// For how long.
        for_us: u64,
    },
    /// Resets a link again and again.
    Flap {
        /// The link's number.
        link: usize,
        /// How long it is up each time.
        up_us: u64,
        /// How many times.
        times: u32,
    },
    /// Dials of a link fail at once for a while.
    Refuse {
        /// The link's number.
        link: usize,
        /// For how long.
        for_us: u64,
    },
    /// Dials of a link never answer for a while.
    Unanswered {
        /// The link's number.
        link: usize,
        /// For how long.
        for_us: u64,
    },
    /// A box on the way changes bytes of a link's stream once.
    Tamper {
        /// The link's number.
        link: usize,
        /// Which way; `both` is read as `forth`.
        #[serde(default)]
        way: Way,
        /// After this many more bytes.
        after_bytes: u64,
        /// How.
        with: Tampering,
    },
    /// The process dies; what its store had not made durable is lost, but for the first `keep` commits of that.
    Crash {
        /// Which.
        peer: usize,
        /// How many volatile commits survive.
        #[serde(default)]
        keep: u32,
        /// When it starts again; without it stays dead until a `restart`.
        #[serde(default)]
        restart_us: Option<u64>,
    },
    /// The process ends in good order and starts again.
    Stop {
        /// Which.
        peer: usize,
        /// When it starts again.
        restart_us: u64,
    },
    /// Keeps a copy of what a peer's store holds durably, and of its process's memory.
    Snapshot {
        /// Whose.
        peer: usize,
    },
    /// Starts a peer that is down, or crashes and starts one that is not, from some store.
    Restart {
        /// Which.
        peer: usize,
        /// From what.
        store: Disk,
    },
    /// A copy of a process goes on as a peer, with its store, its memory and its randomness, as a machine does that was
    /// suspended. Whatever the peer was before is gone. Where the process does not run, its store alone is copied.
    Resume {
        /// Which.
        peer: usize,
        /// A copy of what.
        of: Image,
        /// How far its wall clock is ahead of the moment of the copy, in milliseconds; its other clock stood still.
        #[serde(default)]
        slept_ms: u64,
    },
    /// The process stands still; its clock does not.
    Pause {
        /// Which.
        peer: usize,
        /// For how long.
        for_us: u64,
    },
    /// Commits take this long from now on.
    SlowStore {
        /// Whose.
        peer: usize,
        /// How long.
        commit_us: u64,
    },
    /// A commit fails, and all that follow until the store is opened anew, which happens after a while.
    FailStore {
        /// Whose.
        peer: usize,
        /// Which, counted from now; 0 is the next.
        #[serde(default)]
        nth: u64,
        /// Whether the disk is full; otherwise it did not confirm a write.
        #[serde(default)]
        full: bool,
        /// How long until it is opened anew.
        reopen_us: u64,
    },
    /// The wall clock jumps, and runs faster or slower from now on.
    Clock {
        /// Whose.
        peer: usize,
        /// By how much it jumps, in milliseconds.
        #[serde(default)]
        jump_ms: i64,
        /// How fast both clocks run, in thousandths: 1000 is right, 0 is frozen.
        #[serde(default = "right")]
        rate: u32,
    },
}

const fn right() -> u32 {
    1000
}

/// A key of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Key {
    A,
    B,
    C,
}

/// What becomes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is set to a plain value.
    Scalar,
    /// It is set to a text.
    Text,
    /// It is set to a list.
    List,
    /// It is set to a map, or to a list where maps nest no deeper.
    Map,
    /// It is added to, as a counter, unless something else stands there.
    Add,
    /// A text is typed into, a list gains or loses an item, a counter is added to; anything else is set to a text.
    Edit,
    /// It is removed.
    Remove,
}

/// What a box on the way does to the stream, in plans and in scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tampering {
    /// Flips this bit of one byte.
    Flip(u8),
    /// Leaves out this many bytes.
    Drop(u16),
    /// Sends the last so many bytes twice.
    Repeat(u16),
    /// Sends this many bytes of its own.
    Forge(u16),
    /// Swaps the next two stretches of this many bytes.
    Swap(u16),
}

/// From what a peer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// What its own store holds.
    Same,
    /// The newest copy kept by [`Act::Snapshot`]; its own if there is none.
    Snapshot,
    /// As it was when the run began.
    Wiped,
    /// A byte-for-byte copy of another peer's store, device and all.
    CloneOf(usize),
}

/// Of what a process goes on as a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// The process of a peer, this one or another, as it is.
    Now(usize),
    /// The peer's own, as the newest [`Act::Snapshot`] kept it; as it is, if there is none.
    Snapshot,
}

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Both.
    #[default]
    Both,
    /// From the one who dials.
    Forth,
    /// To the one who dials.
    Back,
}
