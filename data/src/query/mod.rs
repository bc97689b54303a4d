//! Queries without storage: which documents a selector means, in what order, and what of them is shown.
//!
//! Nothing here reads a document. [`Selector::matches`] decides about one that it is given, [`bounds`] says what an index
//! must at least bring. Specified in `spec/query.md`.
//!
//! * [`order`]: the one order of values.
//! * [`path`]: `address.city`, and how it crosses lists.
//! * [`ast`] and [`parse`]: selectors, read from JSON and written as JSON.
//! * [`matching`]: whether a selector matches a document.
//! * [`sort`] and [`fields`]: the order of an answer, and what it shows of each document.
//! * [`bounds`]: what a selector asks of one field.
//! * [`plan`]: which index brings the documents.

pub mod ast;
pub mod bounds;
pub mod fields;
pub mod matching;
pub mod order;
pub mod parse;
pub mod path;
pub mod pattern;
pub mod plan;
pub mod sort;
mod write;

pub use ast::{Choice, Each, Elem, Field, Operand, Relation, Selector, Test, Type, Virtual};
pub use bounds::{Bounds, Range};
pub use fields::Fields;
pub use matching::{Subject, Validity};
pub use parse::{Problem, SelectorError};
pub use path::{Path, PathError, Reached, Step};
pub use pattern::Pattern;
pub use sort::{Direction, Sort, SortError, SortKey};

/// Most bytes of a selector in JSON.
pub const SELECTOR_BYTES_MAX: usize = 64 * 1024;
/// Most levels of selectors and tests inside each other.
pub const SELECTOR_DEPTH_MAX: usize = 16;
/// Most selectors and tests in one selector.
pub const SELECTOR_NODES_MAX: usize = 512;
/// Most operands of `$in`, `$nin` and `$all`.
pub const OPERANDS_MAX: usize = 1_000;
/// Most steps of a path.
pub const PATH_STEPS_MAX: usize = 16;
/// Most bytes of a path as it is written.
pub const PATH_BYTES_MAX: usize = 255;
/// Most bytes of a regular expression.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Most fields of a sort.
pub const SORT_FIELDS_MAX: usize = 8;
/// Most paths of a projection.
pub const FIELDS_MAX: usize = 128;

#[cfg(test)]
pub(crate) mod tests;
