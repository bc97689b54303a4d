//! Names of logical points and coverage marks, known at compile time.
//!
//! A point is something that happens on a peer; actions may wait for one, traces name them, and each counts as a mark.
//! A further mark is something worth having seen at least sometimes, such as a fault that met the right moment.

/// What can happen on a peer.
pub const POINTS: &[&str] = &[
    "peer.started",
    "peer.crashed",
    "peer.stopped",
    "peer.timeout",
    "link.dialled",
    "link.accepted",
    "link.refused",
    "link.lost",
    "bytes.received",
    "bytes.sent",
    "handshake.done",
    "link.closed",
    "commit.submitted",
    "commit.durable",
    "commit.failed",
    "read.done",
    "edit.taken",
    "edit.refused",
    "edit.acked",
    "edit.failed",
    "entry.received",
    "doc.opened",
    "doc.changed",
    "log.retired",
    "log.forked",
    "space.changed",
    "space.mismatch",
    "peer.synced",
];

/// What a run may meet beside the points.
pub const MARKS: &[&str] = &[
    "crash.lost-commits",
    "crash.kept-commits",
    "crash.in-handshake",
    "crash.with-edits-open",
    "reset.mid-frame",
    "tamper.done",
    "tamper.noticed",
    "clog.held-bytes",
    "partition.cut-links",
    "dial.refused",
    "dial.unanswered",
    "links.simultaneous",
    "store.full",
    "store.not-durable",
    "store.rolled-back",
    "store.wiped",
    "store.cloned",
    "edits.concurrent",
    "transaction.seen",
    "bodies.partial",
    "delta.resumed-after-crash",
    "replay.checked",
    "late-replica.checked",
    "core.smaller",
];

/// Whether there is such a point.
pub fn is_point(name: &str) -> bool {
    POINTS.contains(&name)
}

/// Whether there is such a point or mark.
pub fn is_mark(name: &str) -> bool {
    is_point(name) || MARKS.contains(&name)
}
