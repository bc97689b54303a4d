//! The transport lane: the shipped driver on several hosts of a simulated network (ADR 0030).
//!
//! Each host runs [`Node::embed`](cosmicsync_node::Node::embed) over turmoil's TCP, with real handshakes, ciphers,
//! frames and documents, and a store in memory. Time is virtual and all randomness derives from one seed, so a scenario
//! and a seed give one trace. `node/runtime/tests/transport/README.md` explains what the lane can and cannot show.

mod dice;
mod disk;
mod host;
mod net;
mod panics;
mod scenarios;
mod shape;
mod tape;
mod world;

pub(crate) use self::scenarios::SCENARIOS;
use self::shape::Shape;
use self::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A scenario: a world of some shape, and the events in it.
pub(crate) struct Scenario {
    /// The scenario's name.
    pub(crate) name: &'static str,
    /// Returns the shape of the world.
    shape: fn(&mut dice::Dice) -> Shape,
    /// Plays the events. Ends at the first violation.
    play: fn(&mut World) -> Outcome,
}

/// A result, or the description of a violation.
type Outcome<T = ()> = Result<T, String>;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The violation, if there is one.
    pub(crate) violation: Option<String>,
    /// The hash of all events.
    pub(crate) hash: String,
    /// All events, one per line, if requested.
    pub(crate) lines: Vec<String>,
    /// The counters.
    pub(crate) counts: tape::Counts,
}

/// Runs a scenario. A panic is a violation.
pub(crate) fn run(scenario: &Scenario, seed: u64, keeps_lines: bool) -> Ran {
    let panics = panics::watch();
    let tape = tape::Tape::new(keeps_lines);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut dice = dice::Dice::new(seed, scenario.name);
        let shape = (scenario.shape)(&mut dice);
        let mut world = World::new(seed, shape, dice, &tape);
        (scenario.play)(&mut world)
    }));
    let played = played.unwrap_or_else(|_| Err("the simulation panicked".to_owned()));
    let violation = panics.first().or(played.err());
    let (hash, lines, counts) = tape.finish();
    Ran { violation, hash, lines, counts }
}
