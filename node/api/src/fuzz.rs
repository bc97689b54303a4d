//! Fuzz targets of this crate, like those of `cosmicsync_data::fuzz`.

use async_graphql::Variables;
use async_graphql::parser::parse_query;

use crate::graphql::limits;

/// A fuzz target: takes any bytes, and panics if the code under test breaks a promise.
pub type Target = fn(&[u8]);

/// All targets by name. `fuzz/corpus/NAME` holds the corpus, `fuzz/fuzz_targets/NAME.rs` the program.
pub const TARGETS: &[(&str, Target)] = &[("graphql", graphql)];

/// Reads a GraphQL request like the route does. A text that is too deep or too long must be refused before it is
/// parsed, and a request that is too expensive before anything is looked up.
pub fn graphql(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if limits::check_text(text).is_err() {
        return;
    }
    let Ok(document) = parse_query(text) else { return };
    let allowed = limits::check(&document, &Variables::default()).is_ok();
    let again = limits::check(&document, &Variables::default()).is_ok();
    assert_eq!(allowed, again, "one request, one answer");
    assert!(!allowed || document.operations.iter().count() > 0, "a request has an operation");
    let _ = limits::operation(&document, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_committed_file_passes_its_target() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in std::fs::read_dir(fuzz.join("corpus").join(name)).expect("a corpus") {
                target(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
                inputs += 1;
            }
            assert!(inputs > 0 && fuzz.join("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
        }
    }
}
