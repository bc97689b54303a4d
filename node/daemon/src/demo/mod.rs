//! `demo`: two nodes in two processes sync, disconnect, edit the same text, crash and agree again, in under a minute.
//!
//! All steps use the commands that people use. Nothing is faked, and every statement is checked before it is printed.
//! The stores remain for the reader to explore.

mod acts;
mod process;

use core::time::Duration;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cosmicsync_node::service::{ErrorCode, ServiceError, bytes_text, quoted};
use serde_json::{Map, Value, json};

use crate::run::{Failure, Run};
use crate::table::{Style, Table, duration_text};
use acts::Act;

/// Reports the steps to the reader.
pub(crate) struct Teller<'r, 'o> {
    run: &'r mut Run<'o>,
    number: u32,
    last: Instant,
}

/// Runs the demo.
pub(crate) async fn demo(run: &mut Run<'_>) -> Result<(), Failure> {
    let root = make_root(&run.surroundings.temporary)?;
    let started = Instant::now();
    if !run.output.format.json {
        run.output.line(&format!("Two devices, two processes, two stores below {}\n", root.display()))?;
    }
    let mut teller = Teller { run, number: 0, last: started };
    let played = Act::play(&mut teller, &root).await;
    let summary = played.map_err(|failure| with_next_step(failure, &root))?;
    finish(teller.run, &root, &summary, started.elapsed())
}

/// The summary of the demo.
#[derive(Debug)]
pub(crate) struct Summary {
    documents: u64,
    digest: String,
    bytes: u64,
    round_trips: u64,
    acknowledged: u64,
}

impl Teller<'_, '_> {
    /// Prints one step that succeeded, with the time since the step before.
    fn step(&mut self, step: &str, text: &str, command: &str, figures: Value) -> io::Result<()> {
        self.number += 1;
        let elapsed = self.last.elapsed();
        self.last = Instant::now();
        let format = self.run.output.format;
        if format.json {
            let mut object = Map::new();
            object.insert("step".to_owned(), json!(step));
            object.insert("text".to_owned(), json!(text));
            object.insert("elapsed_ms".to_owned(), json!(ms(elapsed)));
            if let Value::Object(figures) = figures {
                object.extend(figures);
            }
            self.run.output.json(&object)?;
        } else {
            let (green, dim, end) =
                if format.style == Style::Colors { ("\x1b[32m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
            let number = self.number;
            self.run
                .output
                .line(&format!("{green}{number:>2}  {step:<12}{end}{text}  {dim}{}{end}", duration_text(elapsed)))?;
            if !command.is_empty() {
                self.run.output.line(&format!("    {dim}$ cosmicsync {command}{end}"))?;
            }
        }
        self.run.output.writer.flush()
    }
}

fn finish(run: &mut Run<'_>, root: &Path, summary: &Summary, elapsed: Duration) -> Result<(), Failure> {
    if run.output.format.json {
        return Ok(run.output.json(&json!({
            "step": "summary",
            "documents": summary.documents,
            "digest": summary.digest,
            "bytes_on_the_wire": summary.bytes,
            "round_trips": summary.round_trips,
            "acknowledged_writes": summary.acknowledged,
            "elapsed_ms": ms(elapsed),
            "dir": root,
        }))?);
    }
    let mut table =
        Table::new(&["DOCUMENTS", "ON THE WIRE", "A DOCUMENT", "ROUND TRIPS", "ACKNOWLEDGED, LOST", "TIME"]);
    table.row([
        grouped(summary.documents),
        bytes_text(summary.bytes),
        bytes_text(summary.bytes / summary.documents.max(1)),
        summary.round_trips.to_string(),
        format!("{}, 0", grouped(summary.acknowledged)),
        duration_text(elapsed),
    ]);
    run.output.line("")?;
    let style = if run.output.format.style == Style::Colors { Style::Colors } else { Style::Columns };
    table.write(&mut run.output.writer, style)?;
    run.output.line("\nThe stores stay. Explore them:")?;
    let program = run.surroundings.program.display().to_string();
    let laptop = format!("{} --dir {}", quoted(&program), quoted(&root.join("laptop").display().to_string()));
    for command in
        ["doc get notes/trip", "doc list zipcodes --limit 5 --values", "doc history notes/trip", "space digest", "up"]
    {
        run.output.line(&format!("  {laptop} {command}"))?;
    }
    let root = quoted(&root.display().to_string());
    Ok(run.output.line(&format!("\nThey take a few megabytes. Delete them when you are done:\n  rm -r {root}"))?)
}

/// Adds the places of the stores and logs to a failure.
fn with_next_step(failure: Failure, root: &Path) -> Failure {
    match failure {
        Failure::Service(error) if error.next.is_none() => error.next(format!("tail {}/*.log", root.display())).into(),
        failure @ (Failure::Service(_) | Failure::Output(_) | Failure::Check) => failure,
    }
}

/// Creates a directory that only this user can enter.
fn make_root(temporary: &Path) -> Result<PathBuf, ServiceError> {
    let process = std::process::id();
    for attempt in 0..100 {
        let root = temporary.join(format!("cosmicsync-demo-{process}-{attempt}"));
        match DirBuilder::new().mode(0o700).create(&root) {
            Ok(()) => return Ok(root),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ServiceError::io(format!("cannot make {}", root.display()), &error)),
        }
    }
    Err(ServiceError::new(ErrorCode::Conflict, format!("too many demos in {}", temporary.display())))
}

/// Returns a duration in whole milliseconds.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a duration in whole microseconds.
fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns a number with separated thousands: `42,049`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(42_049), "42,049");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }

    #[test]
    fn each_demo_gets_its_own_private_directory() {
        use std::os::unix::fs::PermissionsExt as _;
        let temporary = tempfile::tempdir().expect("a directory");
        let one = make_root(temporary.path()).expect("one");
        let two = make_root(temporary.path()).expect("two");
        assert_ne!(one, two);
        assert_eq!(one.metadata().expect("there").permissions().mode() & 0o777, 0o700);
    }
}
