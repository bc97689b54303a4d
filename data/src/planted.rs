//! Planted bugs of this crate: deliberate mistakes that the simulator's oracles must find. Planted bugs exist only
//! under `--cfg planted`; see the protocol's module of this name, and `cargo xtask prove data-sim`.

use cosmicsync_protocol::planted::Planted;

/// All planted bugs of this crate, and one of the store.
pub static CATALOGUE: &[Planted] = &[
    Planted { id: "index.change-unnoted", region: "indexes", what: "one change in three is not noted" },
    Planted { id: "index.row-not-deleted", region: "indexes", what: "rows stay that a document stands under no more" },
    Planted { id: "index.position-ahead", region: "indexes", what: "changes count as taken in before their rows are" },
    Planted {
        id: "index.unflushed",
        region: "indexes",
        what: "rows of an index are written before the edits that they follow from",
    },
    Planted {
        id: "index.caught-up-early",
        region: "indexes",
        what: "what changes while a document is taken in counts as taken in",
    },
    Planted { id: "index.owed-forgotten", region: "indexes", what: "half of a document is taken for all of it" },
    Planted {
        id: "index.ready-early",
        region: "indexes",
        what: "an index is read before the last of its rows is durable",
    },
    Planted { id: "index.shape-unnoted", region: "indexes", what: "nobody is told that a field leads to lists" },
    Planted {
        id: "query.residual-skipped",
        region: "queries",
        what: "of several conditions only the first is evaluated",
    },
    Planted { id: "query.behind-kept", region: "queries", what: "what a stale index says of a document counts" },
    Planted { id: "query.bound-open", region: "queries", what: "a range begins behind the value that it includes" },
    Planted { id: "query.union-twice", region: "queries", what: "what two branches bring comes twice" },
    Planted {
        id: "page.bookmark-inclusive",
        region: "queries",
        what: "a page begins with the last document before it",
    },
    Planted { id: "live.not-refilled", region: "live", what: "a window that runs out is not filled again" },
    Planted { id: "live.cursor-ahead", region: "live", what: "a document that was half read is not looked at again" },
    Planted { id: "live.move-untold", region: "live", what: "a document that moves is told to change" },
    Planted { id: "feed.look-unsettled", region: "feed", what: "a look shows edits that are not durable" },
    Planted { id: "feed.look-behind", region: "feed", what: "a look shows a document as it was before its change" },
    Planted { id: "feed.passed-over", region: "feed", what: "a client that reads on misses one change in five" },
    Planted { id: "feed.answered-twice", region: "feed", what: "a client that reads on gets the last change again" },
    Planted { id: "rules.count-all", region: "rules", what: "a count includes documents that may not be listed" },
    Planted { id: "rules.live-kept", region: "rules", what: "a live query keeps outdated rules" },
    Planted {
        id: "rules.hidden-said",
        region: "rules",
        what: "hidden documents are answered differently from absent ones",
    },
    Planted { id: "read.too-old", region: "store", what: "a durable read is answered from before the last commit" },
];
