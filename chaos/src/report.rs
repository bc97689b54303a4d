//! Prints the findings of a run, for people and programs.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use cosmicsync_sim::report::{Acted, Record, Stats};
use cosmicsync_sim::{Plan, Report, Violation};
use serde::Serialize;

use crate::bundle::Bundle;
use crate::error::Failure;
use crate::explain::{Caption, demands};
use crate::output::Output;

/// One run, as a line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct RunLine<'a> {
    /// The plan's name.
    pub(crate) name: &'a str,
    /// The seed.
    pub(crate) seed: u64,
    /// The event, in a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<u64>,
    /// True if nothing was violated.
    pub(crate) held: bool,
    /// The first violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) violation: Option<&'a Violation>,
    /// Path of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<String>,
    /// The command that reproduces the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay: Option<String>,
    /// The hash of the trace.
    pub(crate) trace_hash: &'a str,
    /// Figures.
    pub(crate) stats: &'a Stats,
}

/// Returns a command about a bundle, ready to be pasted.
pub(crate) fn command(verb: &str, bundle: &Path) -> String {
    format!("cosmicsync-chaos {verb} {}", shell_word(&bundle.display().to_string()))
}

/// Quotes an argument for a shell.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-@".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Reports a failure and the commands for its bundle.
pub(crate) fn print_failure<W: Write>(
    output: &mut Output<W>,
    bundle: &Bundle,
    report: &Report,
    path: &Path,
    event: Option<u64>,
) -> Result<(), Failure> {
    let event = event.map(|event| format!(", at event {event}")).unwrap_or_default();
    output.line(&format!("{} failed with seed {}{event}", bundle.plan.name, bundle.seed))?;
    violations(output, &bundle.plan, report)?;
    output.line(&format!("bundle: {}", path.display()))?;
    output.line(&format!("replay: {}", command("replay", path)))?;
    output.line(&format!("explain: {}", command("explain", path)))?;
    if !bundle.shrunk {
        output.line(&format!("shrink: {}", command("shrink", path)))?;
    }
    Ok(())
}

/// Writes the violations with their times and peers, and once for each oracle its demand.
pub(crate) fn violations<W: Write>(output: &mut Output<W>, plan: &Plan, report: &Report) -> io::Result<()> {
    const SHOWN: usize = 5;
    let mut explained = BTreeSet::new();
    let mut more = 0;
    for (at, violation) in report.violations.iter().enumerate() {
        if at >= SHOWN {
            more += 1;
            continue;
        }
        let Violation { oracle, at_us, peer, text } = violation;
        let place = peer.map(|peer| format!(" on {}", plan.peer_name(peer))).unwrap_or_default();
        let first = if at == 0 { "violated" } else { "    also" };
        output.line(&format!("{first}: {oracle} at {} of virtual time{place}: {text}", time(*at_us)))?;
        if explained.insert(*oracle) {
            output.line(&format!("{oracle:>8}: {}", demands(*oracle)))?;
        }
    }
    if more > 0 {
        output.line(&format!("    also: {more} more, in the bundle"))?;
    }
    if !report.is_ok() {
        for line in Caption::of(plan, plan.seed, report).details() {
            output.line(&format!("          {line}"))?;
        }
    }
    Ok(())
}

/// Returns a row of a table of runs.
pub(crate) fn row(case: &str, report: &Report) -> [String; 7] {
    let verdict = report.first().map_or_else(|| "held".to_owned(), |oracle| oracle.to_string());
    let stats = &report.stats;
    let missed = if stats.missed > 0 { format!(", {} missed", stats.missed) } else { String::new() };
    [
        case.to_owned(),
        verdict,
        time(stats.virtual_us),
        stats.events.to_string(),
        format!("{} of {}{missed}", stats.acked, stats.edits),
        stats.faults.to_string(),
        agreed(stats),
    ]
}

/// Formats the time to agree, and its bound.
fn agreed(stats: &Stats) -> String {
    let allowed = stats.bound.filter(|bound| !bound.again).map(|bound| format!(" of {}", time(bound.total_us())));
    stats.converged_us.map(|us| time(us) + &allowed.unwrap_or_default()).unwrap_or_default()
}

/// Columns of [`row`].
pub(crate) const COLUMNS: [&str; 7] = ["SEED", "RESULT", "VIRTUAL", "EVENTS", "ACKED", "FAULTS", "CONVERGED"];

/// Writes a trace: one record per line, and between them the actions of the plan.
pub(crate) fn trace<W: Write>(output: &mut Output<W>, plan: &Plan, report: &Report) -> io::Result<()> {
    let mut acted = report.acted.iter().peekable();
    for record in report.trace.as_deref().unwrap_or_default() {
        while let Some(next) = acted.next_if(|next| next.at_us <= record.at_us) {
            act(output, plan, next)?;
        }
        output.object(record)?;
        output.line(&record_line(plan, record))?;
    }
    acted.try_for_each(|next| act(output, plan, next))
}

/// Writes an action of the plan that took effect.
fn act<W: Write>(output: &mut Output<W>, plan: &Plan, acted: &Acted) -> io::Result<()> {
    let Some(action) = plan.actions.iter().find(|action| action.id == acted.action) else { return Ok(()) };
    let (is_fault, text) = (action.act.is_fault(), action.act.tell(plan));
    output.object(&serde_json::json!({
        "at_us": acted.at_us, "action": acted.action, "fault": is_fault, "act": action.act, "text": text,
    }))?;
    let what = if is_fault { "fault" } else { "work" };
    output.line(&format!("{:>12}  {what}  {text}", time(acted.at_us)))
}

/// Formats a record for people.
pub(crate) fn record_line(plan: &Plan, record: &Record) -> String {
    let Record { peer, index, kind, hash, .. } = record;
    let mut line = format!("{:>12}  {peer}#{index}  {kind}", time(record.at_us));
    if let Some(link) = record.link {
        let other = plan.links.get(link).map(|ends| if ends.from == *peer { ends.to } else { ends.from });
        let other = other.map(|other| format!(" to {other}")).unwrap_or_default();
        line.push_str(&format!("  link {link}{other}"));
    }
    if let Some(bytes) = record.bytes {
        line.push_str(&format!("  {bytes} bytes"));
    }
    if !record.note.is_empty() {
        line.push_str(&format!("  ({})", record.note));
    }
    let cause = record.cause.map(|(peer, index)| format!("  from {peer}#{index}")).unwrap_or_default();
    line.push_str(&format!("  {hash:016x}{cause}"));
    line
}

/// Formats a virtual time or span.
pub(crate) fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{:03} ms", us / 1_000, us % 1_000),
        1_000_000..600_000_000 => format!("{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000),
        600_000_000.. => format!("{} min", us / 60_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_unit() {
        assert_eq!(time(999), "999 us");
        assert_eq!(time(20_500), "20.500 ms");
        assert_eq!(time(61_250_000), "61.250 s");
        assert_eq!(time(3_600_000_000), "60 min");
    }

    #[test]
    fn a_command_can_be_pasted() {
        assert_eq!(command("replay", Path::new("a/b-1.json")), "cosmicsync-chaos replay a/b-1.json");
        assert_eq!(command("replay", Path::new("it's a.json")), r"cosmicsync-chaos replay 'it'\''s a.json'");
    }
}
