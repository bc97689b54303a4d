//! `run` and `list`: scenarios.

use std::collections::BTreeMap;

use cosmicsync_sim::Report;
use cosmicsync_sim::scenario::{Lane, Scenario};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::bundle::Bundle;
use crate::cli::{Common, Global, Run};
use crate::error::{Code, Failure};
use crate::page::{self, Page};
use crate::pool::{self, Case, How};
use crate::report::{self, RunLine};
use crate::{Stdout, Verdict, catalog};

/// Sums over a command's runs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Number of runs.
    pub(crate) runs: u64,
    /// Number of runs with a violation.
    pub(crate) violated: u64,
    /// Number of runs in which each oracle was violated first.
    pub(crate) oracles: BTreeMap<String, u64>,
    /// Virtual time, in microseconds.
    pub(crate) virtual_us: u64,
    /// Number of acknowledged edits.
    pub(crate) acked: u64,
    /// Number of comparisons by oracles.
    pub(crate) checks: u64,
    /// Number of faults that took effect.
    pub(crate) faults: u64,
    /// Number of times that each event and mark was met.
    #[serde(skip)]
    pub(crate) marks: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report) {
        let stats = &report.stats;
        self.runs += 1;
        self.virtual_us += stats.virtual_us;
        self.acked += stats.acked;
        self.checks += stats.checks;
        self.faults += stats.faults;
        for (mark, times) in &stats.marks {
            *self.marks.entry(mark.clone()).or_default() += times;
        }
        if let Some(oracle) = report.first() {
            self.violated += 1;
            *self.oracles.entry(oracle.to_string()).or_default() += 1;
        }
    }
}

/// Runs a scenario.
pub(crate) fn run(global: &Global, args: &Run, output: &mut Stdout) -> Result<Verdict, Failure> {
    if args.seeds == 0 {
        let next = format!("cosmicsync-chaos run {} --seeds 1", args.scenario);
        return Err(Failure::new(Code::Usage, "no seed was asked for").next(next));
    }
    let (path, scenario) = catalog::find(global, &args.scenario)?;
    let cases = cases(&path, &scenario, args, output)?;
    let total = cases.len() as u64;
    let bar = output.bar(total, "runs");
    let mut tally = Tally::default();
    let mut rows = Vec::new();
    let mut page = args.common.html.is_some().then(|| Page::new(&scenario.head.name));
    pool::run(cases.into_iter(), how(&args.common, None), |case, report| {
        tally.add(&report);
        advance(&bar, &tally, !report.is_ok());
        let event = case.event.map(|event| format!(" event {event}")).unwrap_or_default();
        rows.push((case.seed, case.event, report::row(&format!("{}{event}", case.seed), &report)));
        let again = format!("run {} --seed {}", args.scenario, case.seed);
        if args.trace {
            let traced = pool::execute(&case.plan, true, args.common.fresh_process)?;
            bar.suspend(|| report::trace(output, &case.plan, &traced))?;
        }
        finish(output, &bar, &case, report, &args.common, (&again, page.as_mut()))?;
        Ok(true)
    })?;
    bar.finish_and_clear();
    rows.sort();
    // A sweep is hundreds of runs that look alike.
    if rows.len() <= 40 {
        let rows: Vec<_> = rows.into_iter().map(|(_, _, row)| row).collect();
        output.table(report::COLUMNS, &rows)?;
    }
    let missed: Vec<&String> =
        scenario.head.oracle.sometimes.iter().filter(|mark| !tally.marks.contains_key(*mark)).collect();
    let incomplete = tally.runs < total;
    let held = tally.violated == 0 && missed.is_empty() && !incomplete;
    output.object(&serde_json::json!({ "summary": {
        "name": scenario.head.name, "held": held, "asked": total, "missed": missed, "tally": tally,
    }}))?;
    page::write(page, args.common.html.as_deref(), total, output)?;
    let (runs, violated) = (tally.runs, tally.violated);
    output.line(&format!("{}: {runs} of {total} runs, {violated} violated", scenario.head.name))?;
    for mark in missed {
        output.line(&format!("never met: {mark}; the scenario does not show what it is named for"))?;
    }
    Ok(if held { Verdict::Held } else { Verdict::Red })
}

/// Returns every plan of a scenario. A scenario with actions at every event is run once without them, to count the
/// events.
fn cases(path: &std::path::Path, scenario: &Scenario, args: &Run, output: &Stdout) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let expansion = scenario.expand(args.lane, seed).map_err(|error| refused(path, args.lane, scenario, &error))?;
        cases.push(Case { seed, event: None, plan: expansion.plan.clone() });
        if expansion.at_every_event.is_empty() {
            continue;
        }
        let events = pool::execute(&expansion.plan, false, args.common.fresh_process)?.stats.events;
        output.note(&format!("seed {seed}: {events} events, and a run for each"));
        cases.extend((1..=events).map(|event| Case { seed, event: Some(event), plan: expansion.at_event(event) }));
    }
    Ok(cases)
}

fn refused(
    path: &std::path::Path,
    lane: Lane,
    scenario: &Scenario,
    error: &cosmicsync_sim::scenario::ScenarioError,
) -> Failure {
    let failure = catalog::wrong(path, error);
    if lane.exists() && scenario.head.lanes.contains(&lane) {
        return failure;
    }
    let failure = Failure { code: Code::Refused, ..failure };
    if scenario.head.lanes.iter().any(|lane| lane.exists()) {
        failure.next(format!("cosmicsync-chaos run {}", path.display()))
    } else {
        failure
    }
}

pub(crate) fn how(common: &Common, deadline: Option<std::time::Instant>) -> How {
    let cores = || std::thread::available_parallelism().map_or(1, core::num::NonZeroUsize::get);
    let jobs = common.jobs.map_or_else(cores, core::num::NonZeroUsize::get);
    How { jobs, fresh_process: common.fresh_process, deadline }
}

/// Shows that one more run has ended.
pub(crate) fn advance(bar: &ProgressBar, tally: &Tally, failed: bool) {
    bar.inc(1);
    if failed {
        bar.set_message(format!(", {} violated", tally.violated));
    }
}

/// Prints a run, above the bar. One that failed is run again with a trace and becomes a bundle. `again` is the
/// command that runs it once more.
pub(crate) fn finish(
    output: &mut Stdout,
    bar: &ProgressBar,
    case: &Case,
    report: Report,
    common: &Common,
    (again, page): (&str, Option<&mut Page>),
) -> Result<(), Failure> {
    let mut page = page;
    if let Some(page) = page.as_deref_mut() {
        page.add(case.seed, case.event, &case.plan, &report);
    }
    if report.is_ok() && !common.keep && !output.is_json() {
        return Ok(());
    }
    bar.suspend(|| print(output, case, report, common, (again, page)))
}

fn print(
    output: &mut Stdout,
    case: &Case,
    report: Report,
    common: &Common,
    (again, page): (&str, Option<&mut Page>),
) -> Result<(), Failure> {
    let mut place = None;
    if !report.is_ok() || common.keep {
        let traced = pool::execute(&case.plan, true, common.fresh_process)?;
        if traced.trace_hash != report.trace_hash {
            let message =
                format!("seed {} ran twice and gave two traces: the simulator is not deterministic", case.seed);
            let next = format!("in a process of its own: cosmicsync-chaos {again} --fresh-process");
            return Err(Failure::new(Code::Internal, message).next(next));
        }
        let bundle = Bundle::of(case.seed, &case.plan, &traced);
        let path = bundle.path(&common.bundles);
        bundle.write(&path)?;
        if report.is_ok() {
            output.line(&format!("kept: {}", path.display()))?;
        } else {
            report::print_failure(output, &bundle, &traced, &path, case.event)?;
            if let Some(page) = page {
                page.add_failure(case.seed, &case.plan, &traced, &path, false);
            }
        }
        place = Some(path);
    }
    output.object(&RunLine {
        name: &case.plan.name,
        seed: case.seed,
        event: case.event,
        held: report.is_ok(),
        violation: report.violations.first(),
        bundle: place.as_ref().map(|path| path.display().to_string()),
        replay: place.as_ref().map(|path| report::command("replay", path)),
        trace_hash: &report.trace_hash,
        stats: &report.stats,
    })?;
    Ok(())
}

/// Lists the scenarios.
pub(crate) fn list(global: &Global, output: &mut Stdout) -> Result<Verdict, Failure> {
    let dir = catalog::directory(global)?;
    let files = catalog::files(&dir)?;
    if files.is_empty() {
        let failure = Failure::new(Code::NotFound, format!("no scenario in {}", dir.display()));
        return Err(failure.next("cosmicsync-chaos --scenarios DIR list"));
    }
    let mut rows = Vec::new();
    for path in files {
        let head = catalog::read(&path)?.head;
        output.object(&serde_json::json!({
            "name": head.name, "about": head.about, "lanes": head.lanes, "peers": head.topology.peers,
            "scripted": head.scripted, "path": path.display().to_string(),
        }))?;
        let scripted = if head.scripted.is_some() { "scripted" } else { "" };
        rows.push([head.name, head.topology.peers.to_string(), scripted.to_owned(), head.about]);
    }
    output.table(["NAME", "PEERS", "", "SHOWS"], &rows)?;
    Ok(Verdict::Held)
}
