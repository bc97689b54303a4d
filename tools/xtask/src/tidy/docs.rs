//! Rules about text: links resolve, ADR numbers are unique, invariants have a test, and nothing private is mentioned.

use super::{Finding, Tree, tokens};
use pulldown_cmark::{Event, Options, Parser, Tag};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Checks every text file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = decisions(tree);
    let (paths, tests) = (tree.paths(), test_names(tree));
    for (path, text) in tree.iter() {
        findings.extend(words(path, text));
    }
    for (path, text) in tree.with_extension("md") {
        findings.extend(links(path, text, &paths));
        if path == Path::new("ARCHITECTURE.md") {
            findings.extend(invariants(path, text, &tests));
        }
    }
    for (path, text) in tree.with_extension("rs") {
        findings.extend(pages(path, text, &paths));
        findings.extend(openings(path, text));
    }
    findings
}

/// Words with which no line of documentation begins: they make a riddle of a statement.
const OPENINGS: [&str; 10] = ["What", "Whether", "Who", "Whoever", "How", "When", "Where", "Why", "Of", "Those"];

/// Checks the first word of each line of documentation.
fn openings(path: &Path, text: &str) -> Vec<Finding> {
    let fix = "begin with the subject or the verb: \"Returns whether ...\", \"Number of ...\" (CONTRIBUTING, Words)";
    let lines = (1..).zip(text.lines());
    let found = lines.filter_map(|(at, line)| {
        let line = line.trim_start();
        let said = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "))?;
        let first = said.split(|c: char| !c.is_alphabetic()).next()?;
        OPENINGS.contains(&first).then(|| (at, first.to_owned()))
    });
    found
        .map(|(at, first)| Finding::error(path, at, "words", format!("documentation begins with \"{first}\""), fix))
        .collect()
}

fn test_names(tree: &Tree) -> BTreeSet<String> {
    let sources = tree.with_extension("rs").filter_map(|(_, text)| tokens::scan(text));
    sources
        .flat_map(|source| tokens::test_functions(&source).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn words(path: &Path, text: &str) -> Vec<Finding> {
    const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
    const PLACES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/t", "mp/")];
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for note in NOTES.iter().filter(|note| line.split(|c: char| !c.is_alphanumeric()).any(|word| word == **note)) {
            let fix = "finish it, or delete it and open an issue";
            findings.push(Finding::error(path, at + 1, "leftover", format!("`{note}`"), fix));
        }
        for place in PLACES.iter().filter(|place| starts_a_path(line, place)) {
            let fix = "name it relative to the repository, or take it from the environment";
            findings.push(Finding::error(path, at + 1, "machine-path", format!("`{place}` is one machine's"), fix));
        }
    }
    findings
}

/// Returns whether `place` begins an absolute path in `line`, rather than being part of a URL or a longer path.
fn starts_a_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '}' | '*' | '/')))
    })
}

fn links(path: &Path, text: &str, paths: &BTreeSet<&Path>) -> Vec<Finding> {
    let fix = "correct the link, or add the page";
    let mut findings = Vec::new();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let (Event::Start(Tag::Link { dest_url, .. }) | Event::Start(Tag::Image { dest_url, .. })) = event else {
            continue;
        };
        let target = dest_url.split('#').next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        if resolve(path, target).is_none_or(|found| !paths.contains(found.as_path())) {
            let line = text[..range.start].matches('\n').count() + 1;
            findings.push(Finding::error(path, line, "link", format!("`{target}` does not exist"), fix));
        }
    }
    findings
}

/// Returns the target of a relative link, from the root; `None` if it is outside of the repository.
fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    let mut found = page.parent()?.to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => found.push(name),
            Component::ParentDir => {
                if !found.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(found)
}

/// Checks that every page of `spec/` that a source comment names exists.
fn pages(path: &Path, text: &str, paths: &BTreeSet<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
        for page in line.split('`').filter(|part| part.starts_with("spec/") && part.ends_with(".md")) {
            if !paths.contains(Path::new(page)) {
                let finding =
                    Finding::error(path, at + 1, "spec-page", format!("`{page}` does not exist"), "write the page");
                findings.push(finding.warning());
            }
        }
    }
    findings
}

fn decisions(tree: &Tree) -> Vec<Finding> {
    let fix = "number decisions 0001, 0002, ... without gaps; a new one takes the next number";
    let mut findings = Vec::new();
    let files = tree.with_extension("md").map(|(path, _)| path).filter(|path| path.starts_with("docs/decisions"));
    let files = files.filter(|path| path.file_name().is_some_and(|name| name != "README.md"));
    for (at, path) in files.enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let expected = format!("{:04}-", at + 1);
        if !name.starts_with(&expected) {
            findings.push(Finding::error(path, 1, "adr", format!("expected {expected}*.md here"), fix));
        }
    }
    findings
}

/// Checks that every invariant `I1`, `I2`, ... appears once, in order, with "Held by `test_name`" for existing tests.
/// `tidy RULE` is accepted as a test.
fn invariants(path: &Path, text: &str, tests: &BTreeSet<String>) -> Vec<Finding> {
    let fix = "write the invariant as `**I<n>** ... Held by `test_name`.` with the name of a test function";
    let mut findings = Vec::new();
    for (expected, (line, block)) in (1..).zip(invariant_blocks(text)) {
        let mut fail = |message: String| findings.push(Finding::error(path, line, "invariant", message, fix));
        if !block.contains(&format!("**I{expected}**")) {
            fail(format!("expected I{expected} here"));
        }
        let held = block.split_once("Held by").map(|(_, held)| held).unwrap_or_default();
        let names: Vec<_> = held.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            fail("no test is named after \"Held by\"".into());
        }
        for name in names {
            let last = name.rsplit("::").next().unwrap_or(name);
            if !name.starts_with("tidy ") && !tests.contains(last) {
                fail(format!("no test function is called `{last}`"));
            }
        }
    }
    findings
}

/// Returns each paragraph, list item or table row that begins with a bold `I<n>`, with its line.
fn invariant_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start_matches([' ', '-', '*', '|']);
        let digits = start.strip_prefix('I').map(|rest| rest.chars().take_while(char::is_ascii_digit).count());
        if digits.is_some_and(|count| count > 0 && start[1 + count..].starts_with("**")) && line.contains("**I") {
            blocks.push((at + 1, String::new()));
            inside = true;
        }
        inside &= !line.trim().is_empty();
        if let Some((_, block)) = blocks.last_mut().filter(|_| inside) {
            // A break within a paragraph is a space.
            block.push_str(line.trim());
            block.push(' ');
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(findings: &[Finding]) -> Vec<(&'static str, usize)> {
        findings.iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn links_resolve_relative_to_their_page() {
        let paths = ["docs", "docs/a.md", "docs/b.md", "README.md"].map(Path::new).into();
        let text =
            "[b](b.md#x)\n[up](../README.md)\n[web](https://x.y/z)\n[gone](c.md)\n`[code](d.md)`\n[out](../../x)\n";
        assert_eq!(rules(&links(Path::new("docs/a.md"), text, &paths)), [("link", 4), ("link", 6)]);
    }

    #[test]
    fn invariants_are_numbered_and_held_by_tests() {
        let tests = ["same_bytes".to_owned()].into();
        let text = "- **I1** Pure. Held\n  by `tidy\n  purity`,\n  `a::tests::same_bytes`.\n- **I2** Lost. Held by `gone`.\n- **I4** No test.\n";
        let found = invariants(Path::new("ARCHITECTURE.md"), text, &tests);
        assert_eq!(rules(&found), [("invariant", 5), ("invariant", 6), ("invariant", 6)]);
    }

    #[test]
    fn documentation_begins_with_no_question() {
        let text = "//! Whether it is.\n/// Returns whether it is.\n    /// Of all.\n// What.\nlet a = \"/// What\";\n";
        assert_eq!(rules(&openings(Path::new("a.rs"), text)), [("words", 1), ("words", 3)]);
    }

    #[test]
    fn decisions_are_numbered_without_gaps() {
        let files = ["docs/decisions/0001-a.md", "docs/decisions/0003-b.md", "docs/decisions/README.md"];
        let tree = Tree { files: files.map(|file| (file.into(), String::new())).into() };
        assert_eq!(decisions(&tree).len(), 1);
    }

    #[test]
    fn machine_paths_and_notes_are_found() {
        let text = format!(
            "see {}/x\nhttps://a.b{}/x\n{}: later\n",
            concat!("/wo", "rk"),
            concat!("/wo", "rk"),
            concat!("TO", "DO")
        );
        assert_eq!(rules(&words(Path::new("a.md"), &text)), [("machine-path", 1), ("leftover", 3)]);
    }

    #[test]
    fn pages_named_in_comments_are_looked_up() {
        let found = pages(Path::new("a.rs"), "//! See (`spec/wire.md`, section 2).\n", &BTreeSet::new());
        assert_eq!(rules(&found), [("spec-page", 1)]);
    }
}
