//! Rules about Rust source: sizes, purity, the document boundary, leftovers, sleeping tests.

use super::tokens::{self, Placed};
use super::{Finding, Tree};
use std::path::Path;

const LINES_WARNED: usize = 600;
const LINES_MAX: usize = 1_000;

/// Names in a pure crate that indicate a clock, OS randomness, I/O or an unordered map.
const IMPURE_WORDS: &[&str] = &["Instant", "SystemTime", "HashMap", "HashSet", "OsRng", "thread_rng", "getrandom"];
const IMPURE_STD: &[&str] = &["thread", "net", "fs"];

/// Checks every Rust file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_extension("rs") {
        let Some(tokens) = tokens::scan(text) else {
            findings.push(Finding::error(path, 1, "syntax", "this is not Rust", "see what `cargo check` says"));
            continue;
        };
        findings.extend(size(path, text, &tokens));
        if !is_test(path) {
            findings.extend(purity(path, &tokens));
        }
        findings.extend(boundary(path, &tokens));
        findings.extend(leftovers(path, &tokens));
        findings.extend(sleeps(path, &tokens));
    }
    findings
}

/// Returns whether the whole file is test code.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

fn size(path: &Path, text: &str, tokens: &[Placed]) -> Option<Finding> {
    if is_test(path) {
        return None;
    }
    let lines = tokens::tests_start(tokens).map_or_else(|| text.lines().count(), |line| line - 1);
    let message = format!("{lines} lines without tests; the aim is {LINES_WARNED}, the limit {LINES_MAX}");
    let finding = Finding::error(path, lines, "size", message, "split it where routing and policy meet");
    match lines {
        0..=LINES_WARNED => None,
        _ if lines <= LINES_MAX => Some(finding.warning()),
        _ => Some(finding),
    }
}

fn purity(path: &Path, tokens: &[Placed]) -> Vec<Finding> {
    const FIX: &str = "take time, randomness and IO as inputs, and use BTreeMap or BTreeSet";
    if !(path.starts_with("protocol/src") || path.starts_with("data/src")) {
        return Vec::new();
    }
    let mut found: Vec<(usize, &str)> = tokens::std_modules(tokens, IMPURE_STD);
    for word in IMPURE_WORDS {
        found.extend(tokens::find(tokens, &[word]).map(|line| (line, *word)));
    }
    found.extend(tokens::find(tokens, &["tokio", ":", ":"]).map(|line| (line, "tokio")));
    let findings = found
        .into_iter()
        .map(|(line, name)| Finding::error(path, line, "purity", format!("a pure crate names `{name}`"), FIX));
    findings.collect()
}

fn boundary(path: &Path, tokens: &[Placed]) -> Vec<Finding> {
    const FIX: &str = "ask the document module for what is needed; only it knows Loro";
    if path.starts_with("protocol/src/crdt") || path == Path::new("protocol/src/crdt.rs") {
        return Vec::new();
    }
    let lines = tokens::find(tokens, &["loro", ":", ":"]);
    lines.map(|line| Finding::error(path, line, "boundary", "`loro::` outside document/", FIX)).collect()
}

fn leftovers(path: &Path, tokens: &[Placed]) -> Vec<Finding> {
    const FIX: &str = "finish it, or delete it and open an issue";
    let patterns: [&[&str]; 3] = [&["todo", "!"], &["unimplemented", "!"], &["#", "[", "ignore"]];
    let mut findings = Vec::new();
    for pattern in patterns {
        let name = pattern.concat();
        let lines = tokens::find(tokens, pattern);
        findings.extend(lines.map(|line| Finding::error(path, line, "leftover", format!("`{name}`"), FIX)));
    }
    findings
}

fn sleeps(path: &Path, tokens: &[Placed]) -> Vec<Finding> {
    const FIX: &str = "wait for the event itself, with a deadline, or drive the clock";
    let from = if is_test(path) { Some(1) } else { tokens::tests_start(tokens) };
    let Some(from) = from else { return Vec::new() };
    let lines = tokens::find(tokens, &["sleep", "("]).filter(|line| *line >= from);
    lines.map(|line| Finding::error(path, line, "sleep", "a test sleeps", FIX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        check(&Tree::of(path, text)).iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn long_files_warn_then_fail_and_tests_do_not_count() {
        let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"\n".repeat(2_000) + "}\n";
        let of = |lines: usize| check(&Tree::of("a.rs", &("\n".repeat(lines) + &tests)));
        assert_eq!(of(600), []);
        assert_eq!(of(601)[0].severity, super::super::Severity::Warning);
        assert_eq!(of(1_001)[0].severity, super::super::Severity::Error);
        assert_eq!(rules("a/tests.rs", &"\n".repeat(2_000)), []);
    }

    #[test]
    fn pure_crates_name_no_clock_thread_or_unordered_map() {
        let text = "use std::time::{Duration, Instant};\nuse std::{fs, io};\nlet x: HashSet<u8>;\n// std::net\n";
        assert_eq!(rules("data/src/a.rs", text), [("purity", 2), ("purity", 1), ("purity", 3)]);
        assert_eq!(rules("node/runtime/src/a.rs", text), []);
    }

    #[test]
    fn only_the_document_module_names_loro() {
        assert_eq!(rules("protocol/src/sync/a.rs", "use loro::LoroDoc;"), [("boundary", 1)]);
        assert_eq!(rules("protocol/src/crdt/a.rs", "use loro::LoroDoc;"), []);
    }

    #[test]
    fn leftovers_and_sleeps_are_found() {
        assert_eq!(rules("a.rs", "fn f() { todo!() }"), [("leftover", 1)]);
        assert_eq!(
            rules("a/tests/b.rs", "#[ignore = \"x\"]\nfn f() { thread::sleep(d) }"),
            [("leftover", 1), ("sleep", 2)]
        );
        assert_eq!(rules("a.rs", "fn f() { thread::sleep(d) }"), []);
    }
}
