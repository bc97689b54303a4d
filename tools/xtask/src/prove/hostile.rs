//! `hostile`: a member with valid keys and a crowd of strangers attack. The node survives, keeps its memory small and
//! ends links with codes; honest peers notice little and lose nothing.
//!
//! `tools/hostile` attacks the core in memory for volume. A siege of the released program shows the behaviour of a
//! process and its sockets; an honest peer's edits are timed before and during the siege.

mod pace;

use super::node::{Node, join, start_owner, text};
use super::{Report, Setting, built};
use crate::{Failure, repo};
use pace::Pace;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Number of lies told in memory, unless `COSMICSYNC_HOSTILE_LIES` sets it.
const LIES: u64 = 100_000;
/// Time for which the honest peer is timed before the siege.
const QUIET: Duration = Duration::from_secs(20);
/// Duration of the siege in seconds, unless `COSMICSYNC_HOSTILE_SECONDS` sets it.
const SIEGE_SECONDS: u64 = 60;
const STRANGERS: u64 = 10_000;
/// Number of honest documents that the liar tampers with.
const SHARED: u64 = 10;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let hostile = built("hostile")?;
    let volume = volume(&hostile, report)?;
    let home = tempfile::tempdir()?;
    siege(setting, &hostile, home.path(), volume, report)
}

/// Returns a number from the environment, for quick runs.
fn number_or(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Attacks the core in memory; returns the number of lies.
fn volume(hostile: &Path, report: &mut Report<'_>) -> Result<u64, Failure> {
    let lies = number_or("COSMICSYNC_HOSTILE_LIES", LIES);
    let mut command = Command::new(hostile);
    command.args(["volume", "--lies", &lies.to_string()]);
    let told: Value = serde_json::from_str(&repo::output(command)?)?;
    let total = figure(&told, "total");
    for kind in ["frames", "messages", "claims", "entries", "records", "updates", "replays"] {
        report.figure(&format!("in memory: {kind}"), at(&told, &format!("/lies/{kind}")) as f64, total);
    }
    report_closes("in memory", &told, report);
    let failures = told.get("failures").and_then(Value::as_array).map_or(0, Vec::len);
    eprintln!("  in memory: {told}");
    report.figure("in memory: failed stores, edits and panics", failures as f64, total);
    report.figure("in memory: honest documents that differ", figure(&told, "differing") as f64, total);
    Ok(total)
}

/// Reports the ends of links. An end without a code of `spec/wire.md` is reported separately.
fn report_closes(scene: &str, told: &Value, report: &mut Report<'_>) {
    let Some(closes) = told.get("closes").and_then(Value::as_object) else { return };
    let total: u64 = closes.values().filter_map(Value::as_u64).sum();
    let uncoded = |code: &str| code == "none" || code == "65535";
    let coded = closes.iter().filter(|(code, _)| !uncoded(code));
    let counted: u64 = coded.clone().filter_map(|(_, count)| count.as_u64()).sum();
    report.figure(&format!("{scene}: links ended with a code"), counted as f64, total);
    for (code, count) in coded {
        eprintln!("  {scene}: code {code}: {count} links");
    }
}

/// Besieges a node while an honest peer works with it.
fn siege(setting: &Setting, hostile: &Path, home: &Path, volume: u64, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut a = start_owner(&setting.binary, home)?;
    let mut b = join(&setting.binary, home, "b", &mut a)?;
    for at in 0..SHARED {
        a.ask("doc_put", json!({ "collection": "shared", "key": at.to_string(), "value": { "by": "a" } }))?;
    }
    b.wait_sync()?;
    let invite = text(&a.ask("space_invite", json!({ "expires_ms": 600_000 }))?, "invite")?;
    let mut pace = Pace::start(&a, &b)?;
    let quiet = pace.measure(QUIET)?;
    let idle_kib = peak_kib(&a)?;
    let mut attack = start_attack(hostile, &invite)?;
    let began = Instant::now();
    let under_attack = pace.measure(Duration::from_secs(number_or("COSMICSYNC_HOSTILE_SECONDS", SIEGE_SECONDS)));
    // Closing its input makes the siege end.
    drop(attack.stdin.take());
    let output = attack.wait_with_output()?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("the attack broke off: {}", String::from_utf8_lossy(&output.stderr)))?;
    eprintln!("  over sockets, {:.0} s: {told}", began.elapsed().as_secs_f64());
    let under_attack = under_attack?;
    report.figure("lies in all", (volume + figure(&told, "total")) as f64, volume + figure(&told, "total"));
    report.figure("over sockets: lies", figure(&told, "total") as f64, figure(&told, "links"));
    report_closes("over sockets", &told, report);
    report.figure("over sockets: half-open connections of strangers", figure(&told, "strangers") as f64, STRANGERS);
    let grown_mib = peak_kib(&a)?.saturating_sub(idle_kib) as f64 / 1024.0;
    report.figure("over sockets: peak memory over idle", grown_mib.ceil(), 1);
    report.figure("honest peer: p99 in quiet", quiet.p99_ms(), quiet.count());
    report.figure("honest peer: p99 under attack", under_attack.p99_ms(), under_attack.count());
    let ratio = under_attack.p99_ms() / quiet.p99_ms();
    report.figure(
        "honest peer: p99 under attack over p99 in quiet",
        (ratio * 100.0).round() / 100.0,
        under_attack.count(),
    );
    report.figure("honest peer: edits that did not arrive", under_attack.lost() as f64, under_attack.count());
    aftermath(a, b, report)
}

fn start_attack(hostile: &Path, invite: &str) -> Result<Child, Failure> {
    let mut command = Command::new(hostile);
    command.args(["siege", "--invite", invite, "--strangers", &STRANGERS.to_string()]);
    for at in 0..SHARED {
        command.args(["--meddle", &format!("shared/{at}")]);
    }
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Checks the nodes after the siege.
fn aftermath(mut a: Node, mut b: Node, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut deaths = 0;
    let mut digests = Vec::new();
    // Both nodes must still accept edits, and receive each other's.
    let settled = Instant::now() + Duration::from_secs(60);
    a.ask("doc_put", json!({ "collection": "honest", "key": "after", "value": { "by": "a" } }))?;
    loop {
        digests.clear();
        for node in [&mut a, &mut b] {
            match node.digest() {
                Ok(digest) => digests.push(digest),
                Err(_) => deaths += 1,
            }
        }
        if deaths > 0 || Instant::now() > settled || honest(&digests[0]) == honest(&digests[1]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut closed = 0;
    for at in 0..SHARED {
        for node in [&mut a, &mut b] {
            let put = json!({ "collection": "shared", "key": at.to_string(), "value": { "by": "both" } });
            closed += u64::from(node.ask("doc_put", put).is_err());
        }
    }
    report.figure("over sockets: shared documents that take no edits any more", closed as f64, 2 * SHARED);
    report.figure("over sockets: nodes that died", f64::from(deaths), 2);
    let equal = digests.len() == 2 && honest(&digests[0]).is_some() && honest(&digests[0]) == honest(&digests[1]);
    report.figure("over sockets: digests of honest documents that differ", f64::from(u8::from(!equal)), 2);
    // A store that a hostile member wrote to must start again.
    let listen = a.listen.clone();
    let mut a = a.stop()?.start(&listen)?;
    let again = a.digest()?;
    let same = digests.first().is_some_and(|before| honest(before) == honest(&again));
    report.figure("over sockets: digests that differ after a restart", f64::from(u8::from(!same)), 1);
    Ok(())
}

/// Returns the digest of the collection that only honest peers write to.
fn honest(digest: &Value) -> Option<&Value> {
    let collections = digest.get("collections")?.as_array()?;
    collections.iter().find(|of| of.get("collection").is_some_and(|name| name == "honest"))
}

fn figure(told: &Value, name: &str) -> u64 {
    told.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn at(told: &Value, pointer: &str) -> u64 {
    told.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Returns the largest memory that a node's process ever had, in KiB.
pub(super) fn peak_kib(node: &Node) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
