//! Runs seeds of the transport lane: `transport FROM COUNT [SCENARIO] [--lines]`, `transport --list`; if built with
//! `tools/planted.sh`, also `transport --planted MAX [ID]`.
//!
//! `cargo xtask prove sim-turmoil` runs it in separate processes and compares their output: `seed SCENARIO N HASH`,
//! `bad SCENARIO N TEXT`, `done RUNS VIRTUAL_MS ANSWERED CHECKS FAULTS BYTES CONNECTIONS`. `--lines` prints all events
//! of each run. For planted bugs it prints `ID REGION RUNS SCENARIO SEED TEXT`, separated by tabs, with `-` for a bug
//! that survives; `--planted --list` prints their names.

#[path = "../tests/transport/lane/mod.rs"]
mod lane;

use lane::{SCENARIOS, Scenario, run};
use std::io::{Result, Write};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let numbers: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let name = args.iter().find(|arg| !arg.starts_with("--") && arg.parse::<u64>().is_err());
    let mut out = std::io::stdout().lock();
    if has("--planted") {
        if has("--list") {
            return planted_names(&mut out);
        }
        return planted(&mut out, numbers.first().copied().unwrap_or(20), name.map(String::as_str));
    }
    if has("--list") {
        return SCENARIOS.iter().try_for_each(|scenario| writeln!(out, "{}", scenario.name));
    }
    let (from, count) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(1));
    let chosen: Vec<&Scenario> =
        SCENARIOS.iter().filter(|scenario| name.is_none_or(|name| name == scenario.name)).collect();
    if chosen.is_empty() {
        writeln!(std::io::stderr(), "there is no such scenario: see `transport --list`")?;
        std::process::exit(2);
    }
    let mut totals = [0; 7];
    for scenario in chosen {
        for seed in from..from + count {
            let ran = run(scenario, seed, has("--lines"));
            ran.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            writeln!(out, "seed {} {seed} {}", scenario.name, ran.hash)?;
            if let Some(violation) = &ran.violation {
                writeln!(out, "bad {} {seed} {}", scenario.name, violation.replace('\n', " "))?;
            }
            let counts = ran.counts;
            let more =
                [1, counts.virtual_ms, counts.answered, counts.checks, counts.faults, counts.bytes, counts.connections];
            totals.iter_mut().zip(more).for_each(|(total, more)| *total += more);
        }
    }
    let totals: Vec<_> = totals.iter().map(u64::to_string).collect();
    writeln!(out, "done {}", totals.join(" "))
}

#[cfg(planted)]
fn planted_names(out: &mut impl Write) -> Result<()> {
    cosmicsync_node::planted::CATALOGUE.iter().try_for_each(|planted| writeln!(out, "{}", planted.id))
}

/// Runs all scenarios of one seed after the other, until one is violated.
#[cfg(planted)]
fn planted(out: &mut impl Write, seeds: u64, only: Option<&str>) -> Result<()> {
    use cosmicsync_protocol::planted::{Planted, choose};
    let chosen: Vec<&Planted> = match only {
        Some(id) => cosmicsync_node::planted::all().filter(|planted| planted.id == id).collect(),
        None => cosmicsync_node::planted::CATALOGUE.iter().collect(),
    };
    for planted in chosen {
        let Planted { id, region, .. } = planted;
        choose(Some(planted));
        let runs = (0..seeds).flat_map(|seed| SCENARIOS.iter().map(move |scenario| (seed, scenario)));
        let found = (1..).zip(runs).find_map(|(nth, (seed, scenario))| {
            Some((nth, seed, scenario.name, run(scenario, seed, false).violation?))
        });
        choose(None);
        match found {
            Some((nth, seed, name, text)) => {
                let text = text.replace('\n', " ");
                writeln!(out, "{id}\t{region}\t{nth}\t{name}\t{seed}\t{text}")?;
            }
            None => writeln!(out, "{id}\t{region}\t-\t-\t-\tsurvives {seeds} seeds of each scenario")?,
        }
    }
    Ok(())
}

#[cfg(not(planted))]
fn planted_names(out: &mut impl Write) -> Result<()> {
    planted(out, 0, None)
}

#[cfg(not(planted))]
fn planted(_: &mut impl Write, _: u64, _: Option<&str>) -> Result<()> {
    writeln!(std::io::stderr(), "build it with RUSTC_WORKSPACE_WRAPPER=tools/planted.sh")?;
    std::process::exit(2)
}
