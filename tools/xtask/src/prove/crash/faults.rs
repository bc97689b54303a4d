//! A full disk and a failing fsync, injected into the real node by a preloaded library.

use super::writers::{Acked, Writers, lost, put};
use super::{Report, Setting, shim};
use crate::Failure;
use crate::prove::client::CallError;
use crate::prove::node::{ANY_PORT, Node, start_owner};
use serde_json::json;
use std::path::Path;
use std::process::ExitStatus;

/// Number of writes after which the fault must have occurred.
const WRITES_MAX: u64 = 5_000;
/// Exit code for a failed store, from `docs/cli.md`.
const STORE_FAILED: i32 = 6;

/// An injected fault: a variable of the library, and its values.
struct Fault {
    name: &'static str,
    variable: &'static str,
    values: [u64; 3],
    /// The error codes that the client may get.
    codes: &'static [&'static str],
    /// True if the node must end; otherwise it must continue and retry.
    ends: bool,
}

const FAULTS: [Fault; 3] = [
    Fault {
        name: "full disk",
        variable: "CRASH_SPACE",
        values: [200_000, 1_000_000, 4_000_000],
        codes: &["store_full"],
        ends: false,
    },
    Fault {
        name: "failing fsync",
        variable: "CRASH_SYNC_FAIL",
        values: [20, 75, 200],
        codes: &["io", "store_damaged"],
        ends: true,
    },
    Fault {
        name: "failing fsync",
        variable: "CRASH_META_FAIL",
        values: [15, 60, 150],
        codes: &["io", "store_damaged"],
        ends: true,
    },
];

/// Result of one kind of fault.
#[derive(Default)]
struct Outcome {
    cases: u64,
    unclear: u64,
    lost: u64,
    acked: u64,
}

/// Proves the part.
pub(super) fn prove(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let library = shim(home)?;
    let library = library.to_str().ok_or("a directory that is not UTF-8")?;
    for name in ["full disk", "failing fsync"] {
        let mut outcome = Outcome::default();
        for fault in FAULTS.iter().filter(|fault| fault.name == name) {
            for value in fault.values {
                let home = tempfile::tempdir_in(home)?;
                inject(setting, home.path(), library, (fault, value), &mut outcome)?;
            }
        }
        report.figure(&format!("{name}: acknowledged writes lost"), outcome.lost as f64, outcome.acked);
        report.figure(&format!("{name}: faults without a clear error"), outcome.unclear as f64, outcome.cases);
    }
    Ok(())
}

/// Writes until the fault occurs, judges the error, and checks all acknowledged writes after a restart.
fn inject(
    setting: &Setting,
    home: &Path,
    library: &str,
    (fault, value): (&Fault, u64),
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let device = start_owner(&setting.binary, home)?.stop()?;
    let value = value.to_string();
    let variables =
        [("LD_PRELOAD", library), ("CRASH_LOG", "/dev/null"), ("CRASH_BRIEF", "1"), (fault.variable, value.as_str())];
    let mut node = device.start_with(ANY_PORT, &variables)?;
    let writers = Writers::start(&node, 2, "others", 0)?;
    let (mut acked, error) = write_until_failure(&node)?;
    let exit = if fault.ends { node.wait_exit()? } else { None };
    let silent = if fault.ends { None } else { silence(&mut node) };
    drop(node.kill());
    acked.extend(writers.finish()?);
    let complaint = complaint(fault, &error, exit).or(silent);
    eprintln!("  {} {}={value}: {} acknowledged, then {error}", fault.name, fault.variable, acked.len());
    if let Some(complaint) = &complaint {
        eprintln!("  not clear: {complaint}; {}", device.failure("its log ends"));
    }
    outcome.cases += 1;
    outcome.unclear += u64::from(complaint.is_some());
    outcome.acked += acked.len() as u64;
    let mut node = device.start(ANY_PORT)?;
    outcome.lost += lost(&mut node, &acked)?;
    // The disk works again, and so must the node.
    put(&mut node.client()?, "after", 1)?;
    Ok(())
}

fn write_until_failure(node: &Node) -> Result<(Acked, CallError), Failure> {
    let mut client = node.client()?;
    let mut acked = Acked::new();
    for at in 0..WRITES_MAX {
        let key = format!("one-{at}");
        match put(&mut client, &key, at) {
            Ok(_) => drop(acked.insert(key, at)),
            Err(error) => return Ok((acked, error)),
        }
    }
    Err("the fault did not come".into())
}

/// Returns a complaint if a node with a full disk does not report it in `doctor` and `status`; `None` if it does.
fn silence(node: &mut Node) -> Option<String> {
    ["doctor", "status"].into_iter().find_map(|question| match node.ask(question, json!({})) {
        Ok(answer) if answer.to_string().contains("full") => None,
        Ok(answer) => Some(format!("{question} finds nothing: {answer}")),
        Err(error) => Some(format!("{question} does not answer: {error}")),
    })
}

/// Returns a complaint if the error does not explain the fault; `None` if it does.
fn complaint(fault: &Fault, error: &CallError, exit: Option<ExitStatus>) -> Option<String> {
    if !fault.codes.contains(&error.code()) {
        return Some(format!("the writer was told {error}"));
    }
    if error.member("message").is_empty() || error.member("next").is_empty() {
        return Some("the error names no next step".into());
    }
    match exit {
        None if fault.ends => Some("the node goes on".into()),
        Some(exit) if exit.code() != Some(STORE_FAILED) => Some(format!("the node ended with {exit}")),
        _ => None,
    }
}
