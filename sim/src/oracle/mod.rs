//! The oracles: what must hold whatever happens (`spec/invariants.md`, "under simulation").
//!
//! They share no code with what they judge: a model of tokens that edits typed, kept beside the peers, and comparisons
//! of what peers show, of what their stores hold, and of what fresh replicas make of the same entries.

mod finish;
mod lost;
mod members;
mod model;
mod reader;
mod watch;

pub(crate) use lost::ends;
pub(crate) use model::{Deed, Model, tokens_in};
pub(crate) use reader::Reader;
