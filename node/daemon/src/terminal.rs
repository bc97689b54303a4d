//! The only module that reads the environment and the terminal. Other modules get what they need passed in.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cosmicsync_node::service::{ErrorCode, Secret, ServiceError};

/// Largest document or patch that is read from stdin, in bytes.
const STDIN_BYTES_MAX: u64 = 4 << 20;

/// The environment of the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Environment variables of this program: `COSMICSYNC_*` and a few conventional ones.
    pub(crate) variables: BTreeMap<String, String>,
    /// True if stdout is a terminal.
    pub(crate) stdout_tty: bool,
    /// True if stderr is a terminal.
    pub(crate) stderr_tty: bool,
    /// The path of this program.
    pub(crate) program: PathBuf,
    /// The directory for temporary files.
    pub(crate) temporary: PathBuf,
}

impl Surroundings {
    /// Reads the environment once, at the start.
    pub(crate) fn read() -> Self {
        let matters = |name: &str| {
            name.starts_with("COSMICSYNC_") || matches!(name, "HOME" | "NO_COLOR" | "TERM" | "XDG_DATA_HOME")
        };
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| matters(name))
            .collect();
        Self {
            variables,
            stdout_tty: io::stdout().is_terminal(),
            stderr_tty: io::stderr().is_terminal(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("cosmicsync")),
            temporary: std::env::temp_dir(),
        }
    }

    /// Returns a variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns a given secret: the first line of a file, else a variable; `None` if there is neither.
    pub(crate) fn secret(&self, what: &str, file: Option<&Path>) -> Result<Option<Secret>, ServiceError> {
        let Some(file) = file else {
            let variable = format!("COSMICSYNC_{}", what.to_uppercase());
            return Ok(self.variable(&variable).map(|secret| Secret(secret.to_owned())));
        };
        let text = std::fs::read_to_string(file)
            .map_err(|error| ServiceError::io(format!("cannot read {}", file.display()), &error))?;
        match text.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => Ok(Some(Secret(line.to_owned()))),
            None => {
                let message = format!("the first line of {} is empty: write the {what} there", file.display());
                Err(ServiceError::new(ErrorCode::Usage, message))
            }
        }
    }

    /// Returns the data directory, if no flag names one.
    pub(crate) fn default_dir(&self) -> Result<PathBuf, ServiceError> {
        if let Some(dir) = self.variable("COSMICSYNC_DIR") {
            return Ok(PathBuf::from(dir));
        }
        let data = self.variable("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || self.variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        data.or_else(home).map(|data| data.join("cosmicsync")).ok_or_else(|| {
            ServiceError::new(ErrorCode::Usage, "no data directory: neither --dir, COSMICSYNC_DIR nor HOME is set")
                .next("cosmicsync --dir DIR init")
        })
    }

    /// Returns whether to use colours on a stream.
    pub(crate) fn colors(&self, tty: bool, no_color: bool) -> bool {
        tty && !no_color && self.variable("NO_COLOR").is_none() && self.variable("TERM") != Some("dumb")
    }
}

/// Reads all of stdin as text.
pub(crate) fn read_stdin() -> Result<String, ServiceError> {
    let mut text = String::new();
    let failed = |error: io::Error| ServiceError::new(ErrorCode::Usage, format!("cannot read stdin: {error}"));
    io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > STDIN_BYTES_MAX {
        return Err(ServiceError::new(ErrorCode::Refused, format!("stdin is longer than {STDIN_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Returns stdin line by line.
pub(crate) fn stdin_lines() -> impl Iterator<Item = io::Result<String>> {
    io::stdin().lock().lines()
}

/// Asks for a passphrase or a password on the terminal, twice for a new one.
pub(crate) fn ask_secret(what: &str, new: bool) -> Result<Secret, ServiceError> {
    if !io::stdin().is_terminal() {
        let variable = format!("COSMICSYNC_{}", what.to_uppercase());
        let next = format!("the same with --{what}-file FILE, whose first line is the {what}, or with {variable} set");
        let message = format!("a {what} is needed, and there is no terminal to ask for it");
        return Err(ServiceError::new(ErrorCode::Usage, message).next(next));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map_err(|error| ServiceError::io(format!("cannot read the {what}"), &error))
    };
    let first: String = what.chars().take(1).flat_map(char::to_uppercase).collect();
    let secret = ask(&format!("{first}{}: ", what.get(1..).unwrap_or_default()))?;
    if new && ask("Again: ")? != secret {
        return Err(ServiceError::new(ErrorCode::Usage, format!("the {what}s differ")));
    }
    Ok(Secret(secret))
}

/// Writes a line to stderr, and ignores a closed stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, ..Surroundings::default() }
    }

    #[test]
    fn the_data_directory_follows_variable_then_xdg_then_home() {
        let all = [("COSMICSYNC_DIR", "/c"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        let dir = |from: &[(&str, &str)]| with(from).default_dir().map(|dir| dir.display().to_string());
        assert_eq!(dir(&all), Ok("/c".to_owned()));
        assert_eq!(dir(&all[1..]), Ok("/x/cosmicsync".to_owned()));
        assert_eq!(dir(&all[2..]), Ok("/h/.local/share/cosmicsync".to_owned()));
        assert_eq!(dir(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]), Ok("/h/.local/share/cosmicsync".to_owned()));
        assert_eq!(dir(&[]).map_err(|error| error.code), Err(ErrorCode::Usage));
    }

    #[test]
    fn colours_need_a_terminal_and_nobody_against_them() {
        assert!(with(&[]).colors(true, false));
        assert!(!with(&[]).colors(false, false));
        assert!(!with(&[]).colors(true, true));
        assert!(!with(&[("NO_COLOR", "1")]).colors(true, false));
        assert!(with(&[("NO_COLOR", "")]).colors(true, false));
        assert!(!with(&[("TERM", "dumb")]).colors(true, false));
    }
}
