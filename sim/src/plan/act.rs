//! Actions of a run: work and faults, with their parameters.

use super::{Ask, Bodies};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An action: work first, faults after. Actions on a peer that is down do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Makes a document.
    Create {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// True if the document has a list of items.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        items: bool,
    },
    /// Types a token of its own into a document's text or an item's. Oracles look for the token.
    Insert {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// True if somebody waits for the edit.
        #[serde(default)]
        urgent: bool,
        /// Number of characters beside the token.
        #[serde(default)]
        bytes: u32,
    },
    /// Adds an item with a token of its own to one of a document's lists, which nest; to its text if it has no
    /// list.
    Item {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Makes a document with random members, unless the peer has it: several peers may make it, apart from each
    /// other.
    Make {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Changes a member of a document. Members nest, and contain pieces that oracles look for.
    Member {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Path of the member, followed as far as there are maps.
        path: Vec<Key>,
        /// The change.
        how: How,
    },
    /// Types into, or deletes from, a second text that holds no tokens.
    Scribble {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// Most characters to delete.
        #[serde(default)]
        delete: u32,
        /// Number of characters to insert.
        #[serde(default)]
        insert: u32,
        /// True if the text is set as a whole.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        whole: bool,
    },
    /// Sets a field.
    Set {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// The field's number.
        field: u32,
        /// The field's value.
        value: i64,
        /// True if the field is removed instead.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        remove: bool,
    },
    /// Types one token into each of two documents, in one transaction.
    Both {
        /// The peer.
        peer: usize,
        /// The documents' numbers, in one partition.
        docs: [u32; 2],
    },
    /// Deletes a document, or brings it back.
    Delete {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// True to delete the document, false to bring it back.
        deleted: bool,
    },
    /// Imports documents with numbers of their own, starting at 1,000,000 times the action's id.
    Import {
        /// The peer.
        peer: usize,
        /// Number of documents.
        docs: u32,
        /// Number of characters of each document beside its token.
        #[serde(default)]
        bytes: u32,
    },
    /// Opens a document, as a reader does.
    Open {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Closes an open document, so that it may be evicted.
    Close {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
    },
    /// Holds an open document at its present content, or ends the hold.
    Hold {
        /// The peer.
        peer: usize,
        /// The document's number.
        doc: u32,
        /// True to begin a hold, false to end it.
        on: bool,
    },
    /// Sends a request to a database.
    Ask {
        /// The peer.
        peer: usize,
        /// The request.
        what: Ask,
    },
    /// Changes the bodies that a peer fetches.
    Bodies {
        /// The peer.
        peer: usize,
        /// The bodies.
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
    /// Resets a link's connection, which is dialled again.
    Reset {
        /// The link's number.
        link: usize,
        /// Number of further bytes to either side before the reset, so that it may fall within a frame; bytes in
        /// flight are lost.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Delays bytes, in order, and delivers them later: a stalled or one-way link.
    #[serde(alias = "clog")]
    Stall {
        /// The link's number.
        link: usize,
        /// The direction.
        #[serde(default)]
        way: Way,
        /// Duration, in microseconds.
        for_us: u64,
    },
    /// Drops all traffic between the sides for a while, in silence; dials between them hang.
    Partition {
        /// The peers on each side. A peer on no side talks to all.
        sides: Vec<Vec<usize>>,
        /// Duration, in microseconds.
        for_us: u64,
        /// True if connections between the sides are reset at once.
        #[serde(default)]
        reset: bool,
    },
    /// Changes a link's latency, jitter and bandwidth from now on.
    Quality {
        /// The link's number.
        link: usize,
        /// Delay of a byte, one way, in microseconds.
        latency_us: u64,
        /// See [`jitter_us`](super::Link::jitter_us).
        #[serde(default)]
        jitter_us: u64,
        /// See [`bandwidth`](super::Link::bandwidth).
        #[serde(default)]
        bandwidth: u64,
    },
    /// Cuts the bytes that a link delivers into pieces of at most this size; 0 ends that.
    Split {
        /// The link's number.
        link: usize,
        /// Size of the pieces, in bytes.
        bytes: u32,
    },
    /// Gathers the bytes that a link delivers for this time, then delivers them at once; 0 ends that.
    Gather {
        /// The link's number.
        link: usize,
        /// The time, in microseconds.
        for_us: u64,
    },
    /// Resets a link repeatedly.
    Flap {
        /// The link's number.
        link: usize,
        /// Time for which the link is up each time, in microseconds.
        up_us: u64,
        /// Number of resets.
        times: u32,
    },
    /// Makes dials of a link fail at once for a while.
    Refuse {
        /// The link's number.
        link: usize,
        /// Duration, in microseconds.
        for_us: u64,
    },
    /// Leaves dials of a link unanswered for a while.
    Unanswered {
        /// The link's number.
        link: usize,
        /// Duration, in microseconds.
        for_us: u64,
    },
    /// Changes bytes of a link's stream once, as a middlebox would.
    Tamper {
        /// The link's number.
        link: usize,
        /// The direction; `both` is read as `forth`.
        #[serde(default)]
        way: Way,
        /// Number of further bytes before the change.
        after_bytes: u64,
        /// The change.
        with: Tampering,
    },
    /// Crashes the process. Commits that its store had not made durable are lost, except the first `keep` of them.
    Crash {
        /// The peer.
        peer: usize,
        /// Number of volatile commits that survive.
        #[serde(default)]
        keep: u32,
        /// Time until the peer starts again, in microseconds; without it, the peer stays dead until a `restart`.
        #[serde(default)]
        restart_us: Option<u64>,
    },
    /// Ends the process in good order and starts it again.
    Stop {
        /// The peer.
        peer: usize,
        /// Time until the peer starts again, in microseconds.
        restart_us: u64,
    },
    /// Keeps a copy of the durable content of a peer's store, and of its process's memory.
    Snapshot {
        /// The peer.
        peer: usize,
    },
    /// Starts a peer that is down, or crashes and starts one that is up, from some store.
    Restart {
        /// The peer.
        peer: usize,
        /// The store.
        store: Disk,
    },
    /// Continues a copy of a process as a peer, with its store, its memory and its randomness, like a machine that
    /// was suspended. The peer's earlier state is gone. If the process does not run, its store alone is copied.
    Resume {
        /// The peer.
        peer: usize,
        /// The process to copy.
        of: Image,
        /// Advance of the peer's wall clock since the copy, in milliseconds; its other clock stood still.
        #[serde(default)]
        slept_ms: u64,
    },
    /// Pauses the process; its clock goes on.
    Pause {
        /// The peer.
        peer: usize,
        /// Duration, in microseconds.
        for_us: u64,
    },
    /// Changes the duration of commits from now on.
    SlowStore {
        /// The peer.
        peer: usize,
        /// Duration of a commit, in microseconds.
        commit_us: u64,
    },
    /// Makes a commit fail, and all later ones until the store is reopened after a while; or one read.
    FailStore {
        /// The peer.
        peer: usize,
        /// Number of the commit, counted from now; 0 is the next.
        #[serde(default)]
        nth: u64,
        /// True if the disk is full; otherwise it did not confirm a write.
        #[serde(default)]
        full: bool,
        /// True if a read fails instead, once.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        reads: bool,
        /// Time until the store is reopened, in microseconds.
        reopen_us: u64,
    },
    /// Makes the wall clock jump, and run faster or slower from now on.
    Clock {
        /// The peer.
        peer: usize,
        /// The jump, in milliseconds.
        #[serde(default)]
        jump_ms: i64,
        /// Speed of both clocks, in thousandths: 1000 is right, 0 is frozen.
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

/// Change of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Set to a plain value.
    Scalar,
    /// Set to a text.
    Text,
    /// Set to a list.
    List,
    /// Set to a map, or to a list if maps cannot nest deeper.
    Map,
    /// Addition to a counter, unless the member is something else.
    Add,
    /// Edit: typing into a text, adding or removing an item of a list, adding to a counter; anything else is set to
    /// a text.
    Edit,
    /// Removal.
    Remove,
}

/// Change of the stream by a middlebox, in plans and in scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tampering {
    /// Flips this bit of one byte.
    Flip(u8),
    /// Drops this many bytes.
    Drop(u16),
    /// Sends this many of the last bytes twice.
    Repeat(u16),
    /// Inserts this many bytes of its own.
    Forge(u16),
    /// Swaps the next two stretches of this many bytes.
    Swap(u16),
}

/// Store from which a peer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// The peer's own store.
    Same,
    /// The newest copy kept by [`Act::Snapshot`]; its own store if there is no copy.
    Snapshot,
    /// The store with which the run began.
    Wiped,
    /// A byte-for-byte copy of another peer's store, including its device keys.
    CloneOf(usize),
}

/// Process that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// The present process of a peer, this one or another.
    Now(usize),
    /// The peer's own, as the newest [`Act::Snapshot`] kept it; its present one if there is no such copy.
    Snapshot,
}

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Both.
    #[default]
    Both,
    /// From the dialler.
    Forth,
    /// To the dialler.
    Back,
}
