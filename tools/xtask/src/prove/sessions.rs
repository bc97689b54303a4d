//! `sessions`: the cost of many closed logs, because every process leaves one for each partition that it wrote to.

use super::node::{ANY_PORT, Device, Node, join, number, start_owner};
use super::{Report, Setting, cost};
use crate::{Failure, repo};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The program that measures one document on endpoints in memory (`protocol/examples/sessions.rs`).
const DOCUMENT: &str = "sessions";
/// The program that fills a node's directory with closed logs (`node/runtime/examples/many_logs.rs`).
const FILLER: &str = "many_logs";
/// Number of logs in a space.
const LOGS: u64 = 50_000;
/// Number of logs in the small space, the baseline of the memory growth.
const FEW: u64 = 100;
/// Number of starts per figure, which is their median.
const STARTS: usize = 3;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    document(report).and(space(setting, report))
}

fn document(report: &mut Report<'_>) -> Result<(), Failure> {
    let package = ["--package", "cosmicsync-protocol", "--features", "testkit", "--example", DOCUMENT];
    repo::output(repo::cargo(&[&["build", "--release", "--quiet"], &package[..]].concat()))?;
    let program = repo::target().join("release/examples").join(DOCUMENT);
    let told = repo::output(repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?))?;
    let told: Value = serde_json::from_str(&told)?;
    let sizes = told.get("sessions").and_then(Value::as_array).ok_or("no sizes")?;
    let [small, large] = &sizes[..] else { return Err("two sizes were to be measured".into()) };
    let beyond = number(small, "first_edit")? - number(small, "update")?;
    report.figure("1000 sessions in a document: first edit, beyond the update", beyond as f64, 1);
    let open_ms = |size: &Value| size.get("open_ms").and_then(Value::as_f64).ok_or("no time");
    report.figure("1000 sessions in a document: open", open_ms(small)?, 1);
    let each = |size: &Value| Ok::<_, Failure>(open_ms(size)? / number(size, "sessions")? as f64);
    report.figure("cold import: time a session at 10000 over 1000", each(large)? / each(small)?, 1);
    let many = told.get("many").ok_or("no document of many sessions")?;
    let edited = many.get("edited").and_then(Value::as_bool).unwrap_or_default();
    report.figure("20000 sessions in a document: edits taken", f64::from(u8::from(edited)), 1);
    Ok(())
}

/// Measures a space with few logs, then the same documents with many.
fn space(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    repo::output(repo::cargo(&["build", "--quiet", "--package", "cosmicsync-node", "--example", FILLER]))?;
    let home = tempfile::tempdir()?;
    let mut owner = start_owner(&setting.binary, home.path())?;
    let phone = join(&setting.binary, home.path(), "phone", &mut owner)?.stop()?;
    let owner = owner.stop()?;
    fill(&owner, FEW)?;
    let (_, few_kib) = started(&owner)?;
    fill(&owner, LOGS)?;
    let (recovery, many_kib) = started(&owner)?;
    report.figure("50000 closed logs: recovery", recovery.as_secs_f64() * 1_000.0, STARTS as u64);
    report.figure("50000 closed logs: memory beyond a space of 100", (many_kib - few_kib) / 1_024.0, STARTS as u64);
    let owner = owner.start(ANY_PORT)?;
    let mut phone = phone.start(ANY_PORT)?;
    phone.ask("peer_add", serde_json::json!({ "address": owner.listen }))?;
    phone.wait_sync()?;
    cost::report_idle(&mut [owner, phone], "50000 closed logs", report)
}

fn fill(device: &Device, logs: u64) -> Result<(), Failure> {
    let program = repo::target().join("debug/examples").join(FILLER);
    let mut command = repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?);
    command.arg(&device.dir).arg(logs.to_string());
    repo::output(command).map(drop)
}

/// Returns the median time from the start of the process to its first answer, and the median resident memory then.
fn started(device: &Device) -> Result<(Duration, f64), Failure> {
    let mut found = Vec::new();
    for _ in 0..STARTS {
        let node = device.start(ANY_PORT)?;
        found.push((node.ready, resident_kib(&node)?));
        node.stop()?;
    }
    let median = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    let ready = median(found.iter().map(|(ready, _)| ready.as_secs_f64()).collect());
    Ok((Duration::from_secs_f64(ready), median(found.iter().map(|(_, kib)| *kib).collect())))
}

fn resident_kib(node: &Node) -> Result<f64, Failure> {
    let status = fs::read_to_string(Path::new("/proc").join(node.pid().to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().next().ok_or("no VmRSS")?.parse()?)
}
