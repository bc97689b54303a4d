//! Planted bugs of the driver: deliberate mistakes that a lane must find. Planted bugs exist only under
//! `--cfg planted`; see the protocol's module of this name, and `cargo xtask prove sim-turmoil`.

use cosmicsync_protocol::planted::Planted;

/// Planted bugs of the driver, all of which the transport lane finds.
pub static CATALOGUE: &[Planted] = &[
    Planted { id: "store.told-early", region: "store", what: "a commit counts as durable when the store has taken it" },
    Planted {
        id: "store.effect-first",
        region: "store",
        what: "a failed read is told before the commit that failed it",
    },
    Planted { id: "back-off.never-resets", region: "dials", what: "a link that was good changes nothing about pauses" },
    Planted { id: "dial.twice", region: "dials", what: "who is connected by the other's doing is dialled too" },
    Planted { id: "dial.unbounded", region: "dials", what: "a dial that hangs is never given up" },
    Planted { id: "dial.keeps-room", region: "dials", what: "a dial that failed counts as one under way" },
    Planted { id: "wake.dial-unheard", region: "waking", what: "nobody wakes up to dial" },
    Planted { id: "wake.wait-unheard", region: "waking", what: "nobody wakes up when a wait runs out" },
    Planted { id: "wake.room-unheard", region: "waking", what: "nobody is told that a writer takes more" },
    Planted { id: "link.end-unheard", region: "links", what: "the end of a stream is not passed on" },
    Planted { id: "input.keeps-turn", region: "links", what: "one input in fifty counts as waiting for ever" },
    Planted { id: "cancel.unheard", region: "commands", what: "a command that was cancelled is waited for" },
];

/// Planted bugs that another lane may have to find: the transport lane has no real store, and one order of tasks.
pub static BEYOND_TRANSPORT: &[Planted] = &[
    Planted { id: "dial.removed-kept", region: "dials", what: "a link to a removed address is kept" },
    Planted { id: "stop.not-awaited", region: "commands", what: "a node that stops waits for no commit" },
    Planted { id: "writer.told-early", region: "writer", what: "a commit is reported before it is written" },
    Planted { id: "writer.drops-last", region: "writer", what: "the last commit of a group is reported, not written" },
];

/// Returns all planted bugs of a node: those of the driver, the store's writer and the database.
pub fn all() -> impl Iterator<Item = &'static Planted> {
    CATALOGUE.iter().chain(BEYOND_TRANSPORT).chain(cosmicsync_data::planted::CATALOGUE)
}

/// Turns on the planted bug that the variable `PLANTED_BUG` names, in a program built for that.
pub fn choose_from_environment() {
    let Ok(id) = std::env::var("PLANTED_BUG") else { return };
    cosmicsync_protocol::planted::choose(all().find(|planted| planted.id == id));
}
