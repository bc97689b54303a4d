//! The limits that a run met, and on which side: a limit that no run crosses is not tested.
//!
//! Each place that compares with a limit says so by `reached!`. The notes are kept for each thread, because a run has
//! one.

use std::cell::Cell;

macro_rules! limits {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A limit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Limit { $($(#[$doc])* $variant,)+ }

        /// For each limit, the names of its two sides: below it, and reached.
        pub const NAMES: &[[&str; 2]] = &[$([concat!("limit.", $name, ".below"), concat!("limit.", $name, ".reached")],)+];
    };
}

limits! {
    /// Documents whose edits are gathered.
    GatheredDocs = "gathered-docs",
    /// Bytes of gathered edits.
    GatheredBytes = "gathered-bytes",
    /// Entries on their way to the store.
    EntriesUnderWay = "entries-under-way",
    /// Entries of a segment.
    SegmentEntries = "segment-entries",
    /// Bytes of a segment.
    SegmentBytes = "segment-bytes",
    /// Items of a leaf.
    LeafItems = "leaf-items",
    /// A page of a table at recovery.
    ReadBytes = "read-bytes",
    /// Logs that are read back at one time.
    Reading = "logs-read-back",
    /// A page of a document's index.
    IndexBytes = "index-bytes",
    /// Entries of a document in one read.
    ReadEntries = "read-entries",
    /// Values that wait for a commit.
    KeptValues = "kept-values",
    /// Documents whose values are made in one step.
    MadeDocs = "made-docs",
    /// Values that are made and not yet stored.
    MadeValues = "made-values",
    /// A run of an import.
    BulkRun = "bulk-run",
    /// Closed documents in memory.
    IdleDocs = "idle-docs",
    /// Bytes of the cache of recent entries.
    RecentBytes = "recent-bytes",
    /// A page of the journal.
    Changes = "changes",
    /// Logs that one announcement names.
    Announced = "announced",
    /// Items of a leaf that is compared.
    WalkItems = "walk-items",
    /// Bytes of one message of a walk.
    WalkBytes = "walk-bytes",
    /// Runs on their way from the store.
    Reads = "reads",
    /// Bytes of credit.
    Window = "window",
    /// Bytes of a run.
    RunBytes = "run-bytes",
    /// Ranges that were asked for and are not held.
    AbsentRanges = "absent-ranges",
    /// Bytes of a transport message.
    FrameBytes = "frame-bytes",
    /// Messages under one key of a link.
    Rekey = "rekey-messages",
}

thread_local! {
    static MET: [Cell<u64>; 2] = const { [Cell::new(0), Cell::new(0)] };
}

/// Notes that a limit was met on one side.
pub fn note(limit: Limit, is_reached: bool) {
    MET.with(|met| {
        let side = &met[usize::from(is_reached)];
        side.set(side.get() | 1 << (limit as u8));
    });
}

/// Returns the names of the sides that this thread met since the last call.
pub fn take() -> impl Iterator<Item = &'static str> {
    let met = MET.with(|met| [met[0].take(), met[1].take()]);
    let names = NAMES.iter().enumerate();
    names.flat_map(move |(at, names)| (0..2).filter(move |side| met[*side] >> at & 1 == 1).map(move |side| names[side]))
}
