//! Planted bugs of the driver: deliberate mistakes that the transport lane must find. Planted bugs exist only under
//! `--cfg planted`; see the protocol's module of this name, and `cargo xtask prove sim-turmoil`.

use cosmicsync_protocol::planted::Planted;

/// All planted bugs of this crate.
pub static CATALOGUE: &[Planted] = &[
    Planted { id: "store.told-early", region: "store", what: "a commit counts as durable when the store has taken it" },
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
