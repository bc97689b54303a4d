//! Queries without storage: selectors, sorts, projections and plans. This module reads no documents.
//! [`Selector::matches`] decides about a given document, and [`bounds`] returns the least that an index must return.
//! Specified in `spec/query.md`.
//!
//! ```
//! use cosmicsync_data::json;
//! use cosmicsync_data::query::{Subject, parse};
//! use cosmicsync_protocol::ids::DocId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let selector = parse::parse(br#"{"age": {"$gte": 18}, "address.city": {"$in": ["Turin", "Oslo"]}}"#)?;
//! let matches = |text: &str| {
//!     let value = json::parse(text.as_bytes())?;
//!     Ok::<_, json::JsonError>(selector.matches(&Subject::new(&value, DocId::default())))
//! };
//! assert!(matches(r#"{"age": 36, "address": {"city": "Oslo"}}"#)?);
//! assert!(!matches(r#"{"age": 36}"#)?, "a missing field equals nothing");
//!
//! // An error names the place in the selector.
//! let error = parse::parse(br#"{"age": {"$near": 1}}"#).expect_err("it is not supported");
//! assert_eq!(error.pointer, "/age/$near");
//! # Ok(())
//! # }
//! ```
//!
//! * [`order`]: the total order of values.
//! * [`path`]: paths such as `address.city`, and their behaviour at lists.
//! * [`ast`] and [`parse`]: selectors, read from JSON and written as JSON.
//! * [`matching`]: evaluates a selector on a document.
//! * [`sort`] and [`fields`]: the order of an answer, and the fields that it shows of each document.
//! * [`bounds`]: the bounds that a selector sets on one field.
//! * [`plan`]: chooses the index that returns the documents.

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

/// Largest size of a selector in JSON, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 64 * 1024;
/// Largest nesting of selectors and tests.
pub const SELECTOR_DEPTH_MAX: usize = 16;
/// Largest number of selectors and tests in one selector.
pub const SELECTOR_NODES_MAX: usize = 512;
/// Largest number of operands of `$in`, `$nin` and `$all`.
pub const OPERANDS_MAX: usize = 1_000;
/// Largest number of steps in a path.
pub const PATH_STEPS_MAX: usize = 16;
/// Longest path as written, in bytes.
pub const PATH_BYTES_MAX: usize = 255;
/// Longest regular expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Largest number of fields in a sort.
pub const SORT_FIELDS_MAX: usize = 8;
/// Largest number of paths in a projection.
pub const FIELDS_MAX: usize = 128;

#[cfg(test)]
pub(crate) mod tests;
