//! The oracles: demands that hold in every run (`spec/invariants.md`, "under simulation").
//!
//! They share no code with the judged core: a model of the tokens that edits typed, kept beside the peers, and
//! comparisons of the peers' documents, the content of their stores, and fresh replicas of the same entries.

mod finish;
mod lost;
mod members;
mod model;
mod reader;
mod rest;
mod time;
mod told;
mod value;
mod watch;

pub(crate) use lost::ends;
pub(crate) use model::{Deed, Model, tokens_in};
pub(crate) use reader::Reader;
pub(crate) use value::{State, Values};
