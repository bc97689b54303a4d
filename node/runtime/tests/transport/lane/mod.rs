//! The transport lane: the shipped driver on several hosts of a simulated network (ADR 0030).
//!
//! Each host runs [`Node::embed`](cosmicsync_node::Node::embed) over turmoil's TCP, with real handshakes, ciphers,
//! frames and documents, and a store in memory. Time is virtual and all randomness follows from one seed: a scenario
//! and a seed give one trace. What it shows, and what it can't, stands in `node/runtime/tests/transport/README.md`.

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

/// A scenario: a world of some shape, and what happens in it.
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// What the world is like.
    shape: fn(&mut dice::Dice) -> Shape,
    /// What happens. It ends with the first thing that is not as it must be.
    play: fn(&mut World) -> Outcome,
}

/// Nothing, or what is not as it must be.
type Outcome<T = ()> = Result<T, String>;

/// What a run was like.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What is not as it must be, if anything.
    pub(crate) violation: Option<String>,
    /// The hash of all that happened.
    pub(crate) hash: String,
    /// All that happened, a line each, if that was asked for.
    pub(crate) lines: Vec<String>,
    /// How much of what there was.
    pub(crate) counts: tape::Counts,
}

/// Runs a scenario. Whatever panics violates it.
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
