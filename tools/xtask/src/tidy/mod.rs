//! Rules that compilers and linters do not check. Every finding names a place, a rule and a fix.

mod arrows;
mod docs;
mod rooms;
mod source;
mod tokens;

use crate::{Failure, Output, repo};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Warning,
    Error,
}

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    file: PathBuf,
    line: usize,
    rule: &'static str,
    severity: Severity,
    message: String,
    fix: &'static str,
}

impl Finding {
    fn error(file: &Path, line: usize, rule: &'static str, message: impl Into<String>, fix: &'static str) -> Self {
        Self { file: file.to_path_buf(), line, rule, severity: Severity::Error, message: message.into(), fix }
    }

    fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
}

/// The text files of the repository, read once.
#[derive(Debug)]
struct Tree {
    files: Vec<(PathBuf, String)>,
}

impl Tree {
    fn read() -> Result<Self, Failure> {
        let mut files = Vec::new();
        for path in repo::files()? {
            // Corpora and samples may be binary; rules apply to text only.
            if let Ok(text) = String::from_utf8(std::fs::read(repo::root().join(&path))?) {
                files.push((path, text));
            }
        }
        Ok(Self { files })
    }

    fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a Path, &'a str)> {
        self.iter().filter(move |(path, _)| path.extension().is_some_and(|found| found == extension))
    }

    fn iter(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    fn paths(&self) -> BTreeSet<&Path> {
        let files = self.files.iter().map(|(path, _)| path.as_path());
        files.flat_map(Path::ancestors).collect()
    }
}

/// Checks every rule and prints the findings; fails if any is an error.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let tree = Tree::read()?;
    let mut findings = arrows::check(&repo::metadata()?);
    findings.extend(rooms::check(&tree));
    findings.extend(source::check(&tree));
    findings.extend(docs::check(&tree));
    findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    for finding in &findings {
        print(finding, output)?;
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if output == Output::Text {
        println!("tidy: {} files, {errors} errors, {} warnings", tree.files.len(), findings.len() - errors);
    }
    if errors == 0 { Ok(()) } else { Err(format!("tidy found {errors} errors").into()) }
}

fn print(finding: &Finding, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => println!("{}", serde_json::to_string(finding)?),
        Output::Text => {
            let Finding { file, line, rule, severity, message, fix } = finding;
            let severity = if *severity == Severity::Error { "error" } else { "warning" };
            println!("{}:{line}: {severity}[{rule}]: {message}\n    fix: {fix}", file.display());
        }
    }
    Ok(())
}

#[cfg(test)]
impl Tree {
    /// Returns a tree of one file.
    fn of(path: &str, text: &str) -> Self {
        Self { files: vec![(path.into(), text.into())] }
    }
}
