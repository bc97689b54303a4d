//! Failures of commands, their exit codes, and the commands to run next.

use std::io;
use std::path::Path;

use serde::Serialize;

/// Kind of a failure. Each has one exit code; see `docs/chaos.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The command line, a scenario or a bundle was not understood.
    Usage,
    /// There is no such scenario or file.
    NotFound,
    /// The lane cannot run the input, or a bundle does not fail as recorded.
    Refused,
    /// A file could not be read or written.
    Io,
    /// The reader of the output closed it. Nothing is printed about it; see [`crate::Verb::judges`].
    OutputClosed,
    /// A bug in this program.
    Internal,
}

impl Code {
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Io => 6,
            Self::OutputClosed => 0,
            Self::Internal => 70,
        }
    }
}

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Kind of the failure.
    pub(crate) code: Code,
    /// Description.
    pub(crate) message: String,
    /// The command to run next, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: None }
    }

    /// Adds the command to run next.
    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// Makes the failure of a file that could not be read or written.
    pub(crate) fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Io };
        Self::new(code, format!("cannot {what} {}: {error}", path.display()))
    }

    /// Returns the text for stderr: two lines, or one JSON object.
    pub(crate) fn text(&self, json: bool) -> String {
        if json {
            return serde_json::json!({ "error": self }).to_string();
        }
        match &self.next {
            Some(next) => format!("error: {self}\n next: {next}"),
            None => format!("error: {self}"),
        }
    }
}

/// A result could not be written, or stdin not read.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Code::OutputClosed, "nobody reads the output any more");
        }
        Self::new(Code::Io, format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_two_lines_or_one_object() {
        let failure = Failure::new(Code::NotFound, "no scenario x").next("cosmicsync-chaos list");
        assert_eq!(failure.text(false), "error: no scenario x\n next: cosmicsync-chaos list");
        assert_eq!(
            failure.text(true),
            r#"{"error":{"code":"not_found","message":"no scenario x","next":"cosmicsync-chaos list"}}"#
        );
    }
}
