//! The rooms of the core: the top modules of `protocol/src`, bottom up. A room uses only rooms below it, so that no
//! import leads back, and each can be read without those above.

use super::tokens::{self, Token};
use super::{Finding, Tree};
use std::path::Path;

const RULE: &str = "rooms";
const FIX: &str = "return what the other room needs, or move the type to the room that both use";
const CORE: &str = "protocol/src";

/// The rooms, each after those that it may use.
const ROOMS: &[&str] = &[
    "planted",
    "ids",
    "codec",
    "entropy",
    "time",
    "branch",
    "crdt",
    "identity",
    "sealed",
    "log",
    "wire",
    "connection",
    "config",
    "sync",
    "storage",
    "spaces",
    "logs",
    "ledger",
    "event",
    "documents",
    "endpoint",
    "pump",
    "testkit",
];

/// Checks every import between rooms of the core.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs").flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &Path, text: &str) -> Vec<Finding> {
    let Some(room) = room_of(path) else { return Vec::new() };
    let Some(own) = ROOMS.iter().position(|known| *known == room) else {
        return vec![Finding::error(path, 1, RULE, format!("{room} has no place in the order of rooms"), FIX)];
    };
    let Some(all) = tokens::scan(text) else { return Vec::new() };
    let end = tokens::tests_start(&all).unwrap_or(usize::MAX);
    let uses = all.windows(4).filter(|at| at[0].is("crate") && at[0].line < end);
    let rooms_used = uses.filter_map(|at| match &at[3].token {
        Token::Word(used) => Some((at[0].line, used, ROOMS.iter().position(|known| known == used)?)),
        Token::Mark(_) => None,
    });
    let back = rooms_used.filter(|(_, _, used)| *used > own);
    back.map(|(line, used, _)| Finding::error(path, line, RULE, format!("{room} may not use {used}"), FIX)).collect()
}

/// Returns the room of a file of the core; `None` for tests and the crate's root.
fn room_of(path: &Path) -> Option<String> {
    let inner = path.strip_prefix(CORE).ok()?;
    let is_test = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
    if inner.iter().any(is_test) || inner == Path::new("lib.rs") {
        return None;
    }
    inner.iter().next().map(|first| first.to_string_lossy().trim_end_matches(".rs").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn an_import_that_leads_back_is_found() {
        let text = "use crate::ids::LogId;\nuse crate::endpoint::Endpoint;\nfn f() { crate::pump::pump() }\n";
        assert_eq!(lines("protocol/src/ledger/mod.rs", text), [2, 3]);
        assert_eq!(lines("protocol/src/testkit/peer.rs", text), Vec::<usize>::new());
        assert_eq!(lines("protocol/src/ledger/tests.rs", text), Vec::<usize>::new());
        assert_eq!(lines("data/src/lib.rs", text), Vec::<usize>::new());
    }

    #[test]
    fn a_room_without_a_place_is_found() {
        assert_eq!(lines("protocol/src/attic.rs", ""), [1]);
    }
}
