//! Runs the commands in the documentation, so that the commands that a reader copies work.
//!
//! A fenced block with the info string `sh run` is run as it is. In a `console` block, the lines after `$ ` are run,
//! and every other line must appear in their output, in order; `...` stands for any text. The blocks of one page run in
//! order, in one empty directory that is also `HOME`, with the built `cosmicsync` first on the search path.

use crate::{Failure, glob, repo};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Longest time for all blocks of a page, in seconds.
const SECONDS_MAX: &str = "120";

/// A block to run: its script, and the required lines of its output.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    script: String,
    expected: Vec<String>,
}

/// Runs the blocks of README.md, of scenarios/README.md and of every page in docs/.
pub(crate) fn run() -> Result<(), Failure> {
    let (mut passed, mut failures) = (0, Vec::new());
    for page in repo::files()?.iter().filter(|path| is_page(path)) {
        let blocks = blocks(&std::fs::read_to_string(repo::root().join(page))?);
        if blocks.is_empty() {
            continue;
        }
        match run_page(page, &blocks) {
            Ok(()) => passed += blocks.len(),
            Err(failure) => failures.push(format!("{}: {failure}", page.display())),
        }
    }
    for failure in &failures {
        println!("{failure}");
    }
    println!("docs: {passed} passed, {} failed", failures.len());
    if failures.is_empty() { Ok(()) } else { Err("a page shows commands that do not work".into()) }
}

fn is_page(path: &Path) -> bool {
    [Path::new("README.md"), Path::new("scenarios/README.md")].contains(&path)
        || (path.starts_with("docs") && path.extension().is_some_and(|found| found == "md"))
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut kind = None;
    for event in Parser::new(text) {
        if let Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) = event {
            kind = Some(info);
        } else if let Event::End(TagEnd::CodeBlock) = event {
            kind = None;
        } else if let (Event::Text(code), Some(info)) = (event, kind.as_deref()) {
            match info {
                "sh run" => blocks.push(Block { script: code.into_string(), expected: Vec::new() }),
                "console" => blocks.push(console(&code)),
                _ => {}
            }
        }
    }
    blocks
}

fn console(code: &str) -> Block {
    let mut block = Block { script: String::new(), expected: Vec::new() };
    for line in code.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => block.script = std::mem::take(&mut block.script) + command + "\n",
            None => block.expected.push(line.trim_end().to_owned()),
        }
    }
    block
}

fn run_page(page: &Path, blocks: &[Block]) -> Result<(), Failure> {
    let home = repo::root().join("target/docs").join(page.with_extension(""));
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    std::fs::create_dir_all(&home)?;
    let mut script = String::from("set -euo pipefail\n");
    for (at, block) in blocks.iter().enumerate() {
        // Each block's output ends with a line that no program prints.
        write!(script, "{}\nprintf '\\036%s\\n' {at}\n", block.script)?;
    }
    let binaries = repo::root().join("target/debug");
    let path =
        std::env::join_paths([binaries].into_iter().chain(std::env::split_paths(&crate::toolbox::search_path())))?;
    // The output goes to files, because a process that a block leaves running would keep a pipe open.
    let (printed, errors) = (home.with_extension("out"), home.with_extension("err"));
    let mut child = Command::new("timeout")
        .args([SECONDS_MAX, "bash", "-c", &script])
        .current_dir(&home)
        .env("PATH", path)
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME")
        .stdin(Stdio::null())
        .stdout(File::create(&printed)?)
        .stderr(File::create(&errors)?)
        .process_group(0)
        .spawn()?;
    let status = child.wait();
    // A page may leave a node running in the background; it is stopped with the page.
    Command::new("kill").args(["--", &format!("-{}", child.id())]).stderr(Stdio::null()).status()?;
    compare(blocks, status?, &std::fs::read_to_string(printed)?, &std::fs::read_to_string(errors)?)
}

fn compare(blocks: &[Block], status: ExitStatus, printed: &str, errors: &str) -> Result<(), Failure> {
    if !status.success() {
        let at = printed.matches('\u{1e}').count();
        let script = blocks.get(at).map_or("", |block| block.script.trim());
        return Err(format!("block {} failed ({status})\n{script}\n{errors}", at + 1).into());
    }
    for (block, printed) in blocks.iter().zip(printed.split('\u{1e}')) {
        if let Some(missing) = missing(&block.expected, printed) {
            return Err(
                format!("no line of the output is\n  {missing}\nafter\n{}\noutput:\n{printed}", block.script).into()
            );
        }
    }
    Ok(())
}

/// Returns the first expected line that the output lacks, in order.
fn missing<'a>(expected: &'a [String], printed: &str) -> Option<&'a str> {
    let mut lines = printed.lines();
    let mut wanted = expected.iter().map(String::as_str).filter(|line| !line.is_empty() && *line != "...");
    wanted.find(|wanted| !lines.any(|line| glob::matches(wanted, "...", line.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_run() {
        let text = "```sh\nrm x\n```\n```sh run\ntrue\n```\n```console\n$ echo a\na\n```\n";
        let shown = Block { script: "true\n".into(), expected: vec![] };
        let console = Block { script: "echo a\n".into(), expected: vec!["a".into()] };
        assert_eq!(blocks(text), [shown, console]);
    }

    #[test]
    fn expected_lines_appear_in_order() {
        let expected = ["one ... three", "...", "last"].map(str::to_owned);
        assert_eq!(missing(&expected, "zero\none two three\nlast\n"), None);
        assert_eq!(missing(&expected, "last\none two three\n"), Some("last"));
    }

    #[test]
    fn a_page_fails_with_its_first_failing_block() {
        let block = |script: &str| Block { script: script.into(), expected: vec![] };
        assert!(run_page(Path::new("xtask-good.md"), &[block("sleep 60 &\ntest \"$HOME\" = \"$PWD\"")]).is_ok());
        let failure = run_page(Path::new("xtask-bad.md"), &[block("true"), block("false")]).unwrap_err();
        assert!(failure.to_string().starts_with("block 2 failed"), "{failure}");
    }
}
