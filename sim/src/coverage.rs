//! Names of logical points and coverage marks, known at compile time.
//!
//! A point is an event on a peer: actions may wait for one, traces name it, and each also serves as a mark. A mark
//! is a situation that should occur at least sometimes, such as a fault at the right moment.

use cosmicsync_protocol::testkit::limits::NAMES;

macro_rules! names {
    ($(#[$doc:meta])* $enum:ident, $all:ident, $($variant:ident = $name:literal,)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum $enum { $($variant,)+ }

        impl $enum {
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        $(#[$doc])*
        pub const $all: &[&str] = &[$($name,)+];
    };
}

names! {
    /// Events on a peer.
    Point, POINTS,
    Started = "peer.started",
    Crashed = "peer.crashed",
    TimedOut = "peer.timeout",
    Dialled = "link.dialled",
    Accepted = "link.accepted",
    Refused = "link.refused",
    Lost = "link.lost",
    Received = "bytes.received",
    Sent = "bytes.sent",
    Shaken = "handshake.done",
    Closed = "link.closed",
    Submitted = "commit.submitted",
    Durable = "commit.durable",
    CommitFailed = "commit.failed",
    IndexSubmitted = "index.submitted",
    IndexDurable = "index.durable",
    ReadDone = "read.done",
    EditTaken = "edit.taken",
    EditRefused = "edit.refused",
    EditAcked = "edit.acked",
    EditFailed = "edit.failed",
    EntryReceived = "entry.received",
    DocOpened = "doc.opened",
    DocChanged = "doc.changed",
    Retired = "log.retired",
    Forked = "log.forked",
    SpaceChanged = "space.changed",
    Mismatch = "space.mismatch",
    Republished = "doc.republished",
    Other = "event.other",
    Asked = "data.asked",
    Answered = "data.answered",
}

names! {
    /// Further situations that a run may reach.
    Mark, MARKS,
    LostCommits = "crash.lost-commits",
    KeptCommits = "crash.kept-commits",
    CrashInHandshake = "crash.in-handshake",
    CrashWithEdits = "crash.with-edits-open",
    CrashSilent = "crash.half-open-links",
    ResetMidFrame = "reset.mid-frame",
    Tampered = "tamper.done",
    TamperNoticed = "tamper.noticed",
    Stalled = "stall.held-bytes",
    Full = "link.full",
    PartitionCut = "partition.cut-links",
    DialRefused = "dial.refused",
    DialUnanswered = "dial.unanswered",
    Simultaneous = "links.simultaneous",
    StoreFull = "store.full",
    StoreNotDurable = "store.not-durable",
    RolledBack = "store.rolled-back",
    Wiped = "store.wiped",
    Cloned = "store.cloned",
    FromMemory = "process.resumed",
    Slept = "process.slept",
    Concurrent = "edits.concurrent",
    TransactionSeen = "transaction.seen",
    Partial = "bodies.partial",
    Resumed = "delta.resumed-after-crash",
    Replayed = "replay.checked",
    LateReplica = "late-replica.checked",
    SmallerCore = "core.smaller",
    Released = "write.released",
    Asked = "excluded.published",
    MadeApart = "document.made-apart",
    Hides = "document.hides",
    Deleted = "document.deleted",
    CameBack = "document.came-back",
    PlanGet = "data.plan.get",
    PlanIndex = "data.plan.index",
    PlanUnion = "data.plan.union",
    PlanScan = "data.plan.scan",
    PlanReverse = "data.plan.descending",
    PlanInOrder = "data.plan.in-order",
    PlanSorts = "data.plan.sorts",
    PageTurned = "data.page-turned",
    FoundBesideChanges = "data.found-beside-changes",
    IndexChanged = "data.index-changed",
    SchemaChanged = "data.schema-changed",
    SchemaChecked = "data.schema-checked",
    InvalidFound = "data.invalid-found",
    IndexBuilt = "data.index-checked",
    IndexOfLists = "data.index-of-lists",
    CrashInBuild = "data.crash-in-build",
    LiveOpened = "data.live-opened",
    LiveResumed = "data.live-resumed",
    LiveTold = "data.live-told",
    LiveMoved = "data.live-moved",
    ImportDone = "data.import-done",
    Refused = "data.refused",
    FeedRead = "data.feed-read",
    Looked = "data.looked",
    BoundAsked = "data.asked-by-one-bound",
    BoundFollowed = "data.followed-by-one-bound",
    PartialChecked = "data.partial-checked",
    ForksChecked = "data.forks-checked",
    ReadFailed = "store.read-failed",
    PartialAtRest = "bodies.partial-at-rest",
    StoppedWithEdits = "stop.with-edits-open",
    Rewritten = "draft.set-whole",
    FieldRemoved = "field.removed",
}

/// The states in which a fault can find a peer. The first that applies counts.
pub const STATES: [&str; 6] = ["down", "writing", "connecting", "alone", "syncing", "settled"];

/// Returns whether there is a point of this name.
pub fn is_point(name: &str) -> bool {
    POINTS.contains(&name)
}

/// Returns the names of both sides of each limit of the core, each a mark.
pub fn limits() -> impl Iterator<Item = &'static str> {
    NAMES.iter().flatten().copied()
}

/// Returns whether there is a point or mark of this name.
pub fn is_mark(name: &str) -> bool {
    is_point(name) || MARKS.contains(&name) || limits().any(|limit| limit == name)
}
