//! Planted bugs: deliberate mistakes that the simulator's oracles must find. They exist only under `--cfg planted`.
//!
//! One build holds all of them and [`choose`] turns one on, so that finding each costs no build of its own.
//! Without the cfg, the macro is the constant `false` and this module is not compiled. With it, the crate
//! builds only beside `testkit`, so no product can be made of it (`docs/decisions`, the ADR on planted bugs;
//! `cargo xtask prove sim-core`).

use std::sync::{PoisonError, RwLock};

/// A deliberate mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    /// Name of the mistake.
    pub id: &'static str,
    /// Region of the core that contains the mistake.
    pub region: &'static str,
    /// Description of the mistake.
    pub what: &'static str,
}

/// All planted bugs of this crate.
pub static CATALOGUE: &[Planted] = &[
    Planted { id: "edit.told-early", region: "ack", what: "an edit is reported safe when it is taken" },
    Planted { id: "commit.not-awaited", region: "ack", what: "a commit counts as durable when it is submitted" },
    Planted {
        id: "cursor.ahead",
        region: "cursor",
        what: "a cursor is saved before what it covers is here, unchecked",
    },
    Planted { id: "trie.stale-item", region: "trie", what: "some growth of a log does not reach its item" },
    Planted { id: "chain.wrong-link", region: "chain", what: "now and then an entry is linked to the log's beginning" },
    Planted { id: "log.key-repeats", region: "log", what: "the next log key follows from what the store holds" },
    Planted { id: "head.not-in-commit", region: "log", what: "entries are reported safe before their head is" },
    Planted { id: "clock.drift-ignored", region: "log", what: "a process that slept goes on in its logs" },
    Planted { id: "deps.first-uncited", region: "documents", what: "the first entry of a log cites nothing" },
    Planted { id: "log.row-behind", region: "log", what: "some commits leave a log's row as it was" },
    Planted { id: "timer.forgotten", region: "log", what: "nobody is told when gathered edits are to be written" },
    Planted { id: "cache.stale", region: "documents", what: "a cached value outlives a change" },
    Planted {
        id: "exclusion.kept-unread",
        region: "exclusion",
        what: "a value made without entries that are kept now stays when the kept branch changes",
    },
    Planted { id: "doc.reads-behind", region: "documents", what: "what is indexed while a document is read is missed" },
    Planted { id: "walk.page-once", region: "sync", what: "a walk compares only the first page of its items" },
    Planted { id: "belated.replaced", region: "sync", what: "of two ranges that come late one is not passed on" },
    Planted {
        id: "head.taken-for-known",
        region: "sync",
        what: "a head counts as known to a peer whose log ends before it",
    },
    Planted { id: "body.not-passed-on", region: "sync", what: "a body that came late is not passed on" },
    Planted { id: "head.asked-again", region: "sync", what: "a head is asked for again until it is durable" },
    Planted { id: "gap.not-filled", region: "sync", what: "entries that came late are taken for known" },
    Planted { id: "gap.inside-run", region: "sync", what: "a late run that begins before the gap it fills is dropped" },
    Planted { id: "transaction.torn", region: "documents", what: "documents of one transaction change one by one" },
    Planted { id: "exclusion.by-arrival", region: "exclusion", what: "the history that came first is kept" },
    Planted {
        id: "exclusion.not-republished",
        region: "exclusion",
        what: "an excluded entry is not published again by the process that appended it",
    },
    Planted {
        id: "import.by-number",
        region: "documents",
        what: "where a store numbers a log high, an entry does not count",
    },
    Planted { id: "doc.not-let-go", region: "documents", what: "documents that nobody has open stay in memory" },
    Planted { id: "keep-alive.unsaid", region: "links", what: "a quiet link is not asked whether it lives" },
    Planted { id: "run.too-long", region: "sync", what: "a run of three entries is more than was thought of" },
    Planted {
        id: "edge.not-compared",
        region: "exclusion",
        what: "what fills a gap need not fit what is held around it",
    },
    Planted { id: "slot.not-cleared", region: "documents", what: "what a value replaces is left under it" },
    Planted { id: "slot.really-deleted", region: "documents", what: "a deleted member leaves nothing in its slot" },
    Planted { id: "name.without-parent", region: "documents", what: "members of one key share containers" },
    Planted { id: "gone.for-good", region: "documents", what: "a deletion counts whatever it has not seen" },
    Planted { id: "counter.one-total", region: "documents", what: "all writers of a counter keep one total" },
    Planted { id: "nonce.repeated", region: "log", what: "all entries of an epoch share one nonce" },
    Planted {
        id: "recover.page-once",
        region: "pages",
        what: "a table that takes a second page is half read at start",
    },
    Planted {
        id: "index.page-once",
        region: "pages",
        what: "the index of a document that takes a second page is half read",
    },
    Planted {
        id: "history.gone-misnamed",
        region: "forks",
        what: "a peer that lacks a requested history says so of another log",
    },
    Planted {
        id: "index.shown-early",
        region: "store",
        what: "a document that is being read shows an entry whose commit is not reported yet",
    },
    Planted {
        id: "index.read-early",
        region: "pages",
        what: "the index of a document is read before its rows are written",
    },
    Planted { id: "changes.page-once", region: "pages", what: "changes are announced up to one page" },
    Planted { id: "text.counts-utf16", region: "values", what: "a text that is set anew is cut by UTF-16 units" },
    Planted { id: "text.deletes-less", region: "values", what: "of three deleted characters one stays" },
    Planted { id: "field.not-removed", region: "values", what: "a removed field stays" },
    Planted { id: "list.in-front", region: "values", what: "an item is inserted in front, wherever it belongs" },
    Planted { id: "doc.stays-deleted", region: "values", what: "a deleted document cannot be brought back" },
    Planted { id: "verdict.twice", region: "told", what: "an edit is reported safe twice" },
    Planted { id: "change.unsaid", region: "told", what: "some changes of a document are not announced" },
    Planted { id: "acked.one-ahead", region: "told", what: "a peer is said to have one entry more than it has" },
    Planted { id: "held.miscounted", region: "told", what: "of a longer log one entry too many is reported as held" },
    Planted { id: "stop.edit-taken", region: "time", what: "an edit after a stop is taken, and never written" },
    Planted { id: "stop.unflushed", region: "time", what: "a stop in good order loses what was gathered" },
    Planted { id: "flush.late", region: "time", what: "edits are gathered for seconds beyond their window" },
    Planted { id: "urgent.waits", region: "time", what: "an urgent edit waits for its window" },
    Planted { id: "cursor.unsaved", region: "cheap path", what: "the position in a peer's journal is forgotten" },
    Planted {
        id: "walk.though-known",
        region: "cheap path",
        what: "logs are compared though each side knows where the other stands",
    },
    Planted {
        id: "changes.from-start",
        region: "cheap path",
        what: "all logs are announced to a peer that knows them",
    },
    Planted { id: "credit.kept", region: "conservation", what: "a run that was known gives no credit back" },
    Planted { id: "credit.twice", region: "conservation", what: "a run gives its credit back twice" },
    Planted { id: "cache.grows", region: "conservation", what: "the cache of recent entries has no end" },
    Planted { id: "read.failed-unsaid", region: "faults", what: "a document that could not be read is never reported" },
    Planted { id: "serve.failed-unsaid", region: "faults", what: "a peer waits for entries that could not be read" },
    Planted { id: "newest.one-less", region: "partial", what: "one entry less than wanted is fetched" },
    Planted { id: "newest.none", region: "partial", what: "a peer that wants the newest entries fetches none" },
    Planted { id: "policy.ignored", region: "partial", what: "a peer fetches entries that it does not want" },
];

/// The planted bug that is on.
static CHOSEN: RwLock<Option<&'static Planted>> = RwLock::new(None);

/// Turns one planted bug on, for the whole process, or turns all off.
pub fn choose(planted: Option<&'static Planted>) {
    *CHOSEN.write().unwrap_or_else(PoisonError::into_inner) = planted;
}

/// Runs `work` with all planted bugs off, then restores the chosen one. Used to set up runs.
pub fn without<T>(work: impl FnOnce() -> T) -> T {
    let chosen = *CHOSEN.read().unwrap_or_else(PoisonError::into_inner);
    choose(None);
    let done = work();
    choose(chosen);
    done
}

/// Returns whether the planted bug of this id is on.
pub fn is_on(id: &str) -> bool {
    CHOSEN.read().unwrap_or_else(PoisonError::into_inner).is_some_and(|planted| planted.id == id)
}
