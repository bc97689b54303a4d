//! Documents: Loro behind a guard.
//!
//! The only module that names `loro::`. It turns JSON-like [`Value`]s and [`Change`]s into Loro updates and
//! back, checks every foreign update before Loro sees it, and contains Loro's failures on hostile bytes: a
//! panic costs the [`Replica`] in memory, never the process, and the replica is rebuilt from its updates.
//!
//! It never stores, sends or orders updates, never reads a clock, and lets no operating-system randomness reach an
//! output. Specified in `spec/documents.md`.

mod carry;
mod change;
mod check;
mod counter;
mod deed;
mod encode;
mod engine;
mod envelope;
#[cfg(feature = "testkit")]
pub mod forge;
mod gone;
mod path;
mod read;
mod replica;
mod roots;
mod shape;
mod slot;
mod value;
mod version;

pub use change::{Change, ChangeError};
pub use check::{CheckedUpdate, UpdateError, check};
pub use deed::Deed;
pub(crate) use encode::encode_and_read;
pub use encode::{Meta, encode_new};
pub use path::{Step, TextPaths, TextStep};
pub use read::Hidden;
pub use replica::{Broken, ChangeRecord, ImportError, Imported, Replica, RepublishError, Update};
pub use value::{Value, ValueError};
pub use version::{BadVersionId, Conflict, Seen, VersionId};

/// The longest plain update, in bytes. An acceptance constant: equal everywhere (`spec/documents.md`, section 4).
pub const UPDATE_BYTES_MAX: usize = 256 * 1024;

/// The most operations one update may carry. An acceptance constant.
pub const UPDATE_OPS_MAX: u32 = 50_000;

/// Deepest nesting of maps and lists, including the document itself. An acceptance constant: a deeper value
/// is not written here, and reads as null if another replica wrote it.
pub const DEPTH_MAX: usize = 64;

/// End of each peer's operations: the first counter that does not exist yet.
pub type Version = std::collections::BTreeMap<u64, u32>;

/// Name of the root map that holds the value.
const ROOT_DOC: &str = "doc";

/// Name of the root map that holds the name and collection of the document.
const ROOT_META: &str = "meta";

/// Name of the root map that holds the deletions of the document.
const ROOT_GONE: &str = "gone";
