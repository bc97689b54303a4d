//! `cargo deny`: licences, bans and sources always; advisories if a database is available.
//!
//! Nothing is fetched, because a check must give the same result on a machine without a network. The database is a
//! folder or an archive, named by `COSMICSYNC_ADVISORY_DB` or stored in `../shared/data`.

use crate::{Failure, repo, step, toolbox};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Runs every check that is possible on this machine.
pub(crate) fn run() -> Result<(), Failure> {
    let today = today();
    expired(&std::fs::read_to_string(repo::root().join("deny.toml"))?, &today)?;
    toolbox::ensure_deny()?;
    step::shown(repo::cargo(&["deny", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    match database()? {
        Some(path) => advisories(path),
        None => {
            println!("advisories: not checked, no database here (COSMICSYNC_ADVISORY_DB names a folder or .tar.gz)");
            Ok(())
        }
    }
}

#[derive(Deserialize)]
struct Config {
    advisories: Advisories,
}

#[derive(Deserialize)]
struct Advisories {
    ignore: Vec<Ignored>,
}

#[derive(Deserialize)]
struct Ignored {
    id: String,
    reason: String,
}

/// Fails if an ignored advisory has no end date, or a past one: reasons have the form "...; until 2027-01-31".
fn expired(config: &str, today: &str) -> Result<(), Failure> {
    for Ignored { id, reason } in toml::from_str::<Config>(config)?.advisories.ignore {
        let until = reason.rsplit_once("until ").map(|(_, date)| date.trim());
        match until.filter(|date| date.len() == today.len() && date.starts_with("20")) {
            None => {
                return Err(format!("deny.toml: the reason for ignoring {id} must end in \"until YYYY-MM-DD\"").into());
            }
            Some(date) if date < today => {
                return Err(
                    format!("deny.toml: ignoring {id} ended on {date}: update the crate, or decide again").into()
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Returns the present day in UTC, as `YYYY-MM-DD`.
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    date(since.as_secs() / 86_400)
}

/// Returns the civil date of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: u64) -> String {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * shifted + 2) / 5 + 1)
}

fn database() -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = std::env::var_os("COSMICSYNC_ADVISORY_DB").map(PathBuf::from) {
        return if path.exists() { Ok(Some(path)) } else { Err(format!("{} does not exist", path.display()).into()) };
    }
    let shared = repo::root().join("../shared/data/advisory-db.tar.gz");
    Ok(shared.exists().then_some(shared))
}

fn advisories(database: PathBuf) -> Result<(), Failure> {
    toolbox::ensure_audit()?;
    let folder = if database.is_dir() { database } else { unpack(&database)? };
    let config: Config = toml::from_str(&std::fs::read_to_string(repo::root().join("deny.toml"))?)?;
    let mut audit = repo::cargo(&["audit", "--no-fetch", "--stale", "--deny", "warnings", "--db"]);
    audit.arg(folder);
    for ignored in config.advisories.ignore {
        audit.args(["--ignore", &ignored.id]);
    }
    step::shown(audit)
}

/// Unpacks an archived database as the git repository with one commit that `cargo audit` opens.
fn unpack(archive: &std::path::Path) -> Result<PathBuf, Failure> {
    let folder = repo::root().join("target/advisory-db");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut tar = repo::command("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(&folder);
    step::shown(tar)?;
    let folder = if folder.join("crates").is_dir() { folder } else { folder.join("advisory-db") };
    let git = |args: &[&str]| {
        let mut git = repo::command("git");
        git.arg("-C").arg(&folder).args(["-c", "user.name=xtask", "-c", "user.email=xtask@localhost"]).args(args);
        step::shown(git)
    };
    git(&["init", "--quiet"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "Snapshot"])?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!([date(0), date(19_782), date(20_148)], ["1970-01-01", "2024-02-29", "2025-03-01"]);
    }

    #[test]
    fn an_ignored_advisory_needs_an_end_that_is_not_over() {
        let config = |reason: &str| format!("[advisories]\nignore = [{{ id = \"R-1\", reason = \"{reason}\" }}]");
        assert!(expired(&config("no fix yet; until 2030-01-31"), "2030-01-31").is_ok());
        assert!(expired(&config("no fix yet; until 2030-01-31"), "2030-02-01").is_err());
        assert!(expired(&config("no fix yet"), "2030-02-01").is_err());
    }
}
