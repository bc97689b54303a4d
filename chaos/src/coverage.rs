//! `coverage`: counts the events, marks, faults and states that runs meet, by scenario.

use std::collections::{BTreeMap, BTreeSet};

use cosmicsync_sim::coverage::{MARKS, POINTS, STATES};
use cosmicsync_sim::plan::FAULTS;
use cosmicsync_sim::scenario::Lane;
use cosmicsync_sim::{Plan, Report, generate};
use serde::Serialize;

use crate::cli::{self, Global};
use crate::error::Failure;
use crate::pool::{self, Case, How};
use crate::{Stdout, Verdict, campaign, catalog};

/// Number of runs of a scenario that runs once for each event.
const SWEPT: usize = 20;

/// Number of times that something was met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Met {
    pub(crate) times: u64,
    pub(crate) runs: u64,
    /// Number of runs of each scenario.
    pub(crate) by: BTreeMap<String, u64>,
}

impl Met {
    fn add(&mut self, name: &str, times: u64) {
        self.times += times;
        self.runs += 1;
        *self.by.entry(name.to_owned()).or_default() += 1;
    }

    /// Returns the names of the scenarios that met it most.
    fn told(&self) -> String {
        let mut by: Vec<(&String, &u64)> = self.by.iter().collect();
        by.sort_by_key(|(name, runs)| (core::cmp::Reverse(**runs), (*name).clone()));
        let names: Vec<&str> = by.iter().take(2).map(|(name, _)| name.as_str()).collect();
        let more = by.len().saturating_sub(2);
        let names = names.join(", ");
        if more > 0 { format!("{names} and {more} more") } else { names }
    }
}

/// Coverage of several runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) runs: u64,
    pub(crate) violated: u64,
    /// Events and marks.
    pub(crate) marks: BTreeMap<String, Met>,
    /// Kinds of faults, with the state in which they found a peer.
    pub(crate) hits: BTreeMap<(String, String), Met>,
}

/// Names that were never met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Never {
    pub(crate) events: Vec<&'static str>,
    pub(crate) marks: Vec<&'static str>,
    pub(crate) faults: Vec<&'static str>,
    /// Pairs of a fault that was met and a state in which it found no peer.
    pub(crate) faults_in_states: Vec<String>,
}

impl Coverage {
    /// Adds a run.
    pub(crate) fn add(&mut self, plan: &Plan, report: &Report) {
        // The names of random plans end with their seeds; they count together.
        let name = plan.name.strip_suffix(&format!("-{}", plan.seed)).unwrap_or(&plan.name);
        self.runs += 1;
        self.violated += u64::from(!report.is_ok());
        for (mark, times) in &report.stats.marks {
            self.marks.entry(mark.clone()).or_default().add(name, *times);
        }
        for (hit, times) in &report.stats.hits {
            let (fault, state) = hit.split_once(' ').unwrap_or((hit, ""));
            self.hits.entry((fault.to_owned(), state.to_owned())).or_default().add(name, *times);
        }
    }

    /// Returns the number of times that a fault found a peer in each of [`STATES`].
    pub(crate) fn states(&self, fault: &str) -> Vec<u64> {
        let times = |state: &&str| self.hits.get(&(fault.to_owned(), (*state).to_owned())).map_or(0, |met| met.times);
        STATES.iter().map(times).collect()
    }

    /// Returns the counts of a fault over all states.
    fn by(&self, fault: &str) -> Met {
        let mut all = Met::default();
        for (_, met) in self.hits.iter().filter(|((name, _), _)| name == fault) {
            all.times += met.times;
            all.runs = all.runs.max(met.runs);
            for (name, runs) in &met.by {
                let entry = all.by.entry(name.clone()).or_default();
                *entry = (*entry).max(*runs);
            }
        }
        all
    }

    /// Returns the names that were never met.
    pub(crate) fn never(&self) -> Never {
        let unmet = |names: &[&'static str]| {
            names.iter().filter(|name| !self.marks.contains_key(**name)).copied().collect::<Vec<_>>()
        };
        let met: BTreeSet<&str> = self.hits.keys().map(|(fault, _)| fault.as_str()).collect();
        let (with, without): (Vec<&str>, Vec<&str>) = FAULTS.iter().partition(|fault| met.contains(**fault));
        let in_states = with.iter().flat_map(|fault| {
            let states = STATES.iter().zip(self.states(fault));
            states.filter(|(_, times)| *times == 0).map(move |(state, _)| format!("{fault} {state}"))
        });
        let faults_in_states = in_states.collect();
        Never { events: unmet(POINTS), marks: unmet(MARKS), faults: without, faults_in_states }
    }
}

/// Runs scenarios and random plans, and prints their coverage.
pub(crate) fn run(global: &Global, args: &cli::Coverage, output: &mut Stdout) -> Result<Verdict, Failure> {
    let cases = cases(global, args)?;
    let bar = output.bar(cases.len() as u64, "runs");
    let mut coverage = Coverage::default();
    let cores = || std::thread::available_parallelism().map_or(1, core::num::NonZeroUsize::get);
    let how =
        How { jobs: args.jobs.map_or_else(cores, core::num::NonZeroUsize::get), fresh_process: false, deadline: None };
    pool::run(cases.into_iter(), how, |case, report| {
        coverage.add(&case.plan, &report);
        bar.inc(1);
        Ok(true)
    })?;
    bar.finish_and_clear();
    tell(&coverage, output)?;
    Ok(if coverage.violated == 0 && coverage.runs > 0 { Verdict::Held } else { Verdict::Red })
}

fn cases(global: &Global, args: &cli::Coverage) -> Result<Vec<Case>, Failure> {
    let mut paths = Vec::new();
    for name in &args.names {
        paths.push(catalog::find(global, name)?);
    }
    if args.names.is_empty() && args.campaign == 0 {
        for path in catalog::files(&catalog::directory(global)?)? {
            let scenario = catalog::read(&path)?;
            paths.push((path, scenario));
        }
    }
    let mut cases = Vec::new();
    for (path, scenario) in paths {
        for seed in 0..args.seeds {
            let expansion = scenario.expand(Lane::Core, seed).map_err(|error| catalog::wrong(&path, &error))?;
            cases.push(Case { seed, event: None, plan: expansion.plan.clone() });
            if !expansion.at_every_event.is_empty() {
                let events = pool::execute(&expansion.plan, false, false)?.stats.events;
                let step = (events as usize / SWEPT).max(1);
                let sampled = (1..=events).step_by(step);
                cases.extend(sampled.map(|event| Case { seed, event: Some(event), plan: expansion.at_event(event) }));
            }
        }
    }
    let profile = campaign::profile(args.profile, args.copies, args.apart);
    cases.extend((0..args.campaign).map(|seed| Case { seed, event: None, plan: generate(seed, &profile) }));
    Ok(cases)
}

fn tell(coverage: &Coverage, output: &mut Stdout) -> Result<(), Failure> {
    let kind = |name: &str| if POINTS.contains(&name) { "event" } else { "mark" };
    let mut rows = Vec::new();
    for (name, met) in &coverage.marks {
        output.object(&serde_json::json!({
            "kind": kind(name), "name": name, "times": met.times, "runs": met.runs, "by": met.by,
        }))?;
        rows.push([name.clone(), met.times.to_string(), met.runs.to_string(), met.told()]);
    }
    output.table(["EVENT OR MARK", "TIMES", "RUNS", "BY"], &rows)?;
    let mut rows = Vec::new();
    let faults = FAULTS.iter().filter(|fault| coverage.hits.keys().any(|(name, _)| name == *fault));
    for fault in faults {
        let (states, met) = (coverage.states(fault), coverage.by(fault));
        let by_state: BTreeMap<&str, u64> = STATES.iter().copied().zip(states.iter().copied()).collect();
        output.object(&serde_json::json!({
            "kind": "fault", "name": fault, "times": met.times, "runs": met.runs, "states": by_state, "by": met.by,
        }))?;
        let cell =
            |at: usize| states.get(at).copied().filter(|times| *times > 0).map_or("-".to_owned(), |n| n.to_string());
        rows.push([(*fault).to_owned(), cell(0), cell(1), cell(2), cell(3), cell(4), cell(5), met.told()]);
    }
    let [down, writing, connecting, alone, syncing, settled] = STATES.map(str::to_uppercase);
    output.line("")?;
    output.line("Faults, and the state in which they found a peer:")?;
    output.table(["FAULT", &down, &writing, &connecting, &alone, &syncing, &settled, "BY"], &rows)?;
    let never = coverage.never();
    output.object(&serde_json::json!({
        "summary": { "runs": coverage.runs, "violated": coverage.violated, "never": never },
    }))?;
    output.line("")?;
    for (what, names) in [
        ("events", never.events.join(", ")),
        ("marks", never.marks.join(", ")),
        ("faults", never.faults.join(", ")),
        ("faults in a state", never.faults_in_states.join(", ")),
    ] {
        let names = if names.is_empty() { "none".to_owned() } else { names };
        output.line(&format!("never met, {what}: {names}"))?;
    }
    output.line(&format!("{} runs, {} violated", coverage.runs, coverage.violated))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmicsync_sim::run;

    #[test]
    fn what_was_met_and_what_was_not() {
        let report = run(&Plan::quiet(1, 2)).unwrap();
        let mut coverage = Coverage::default();
        let named = |name: &str| Plan { name: name.to_owned(), ..Plan::quiet(1, 2) };
        ["one", "swarm-1"].iter().for_each(|name| coverage.add(&named(name), &report));
        let started = &coverage.marks["peer.started"];
        assert_eq!(started.runs, 2);
        assert!(started.by.keys().eq(["one", "swarm"].iter()), "{:?}", started.by);
        let never = coverage.never();
        assert!(never.events.contains(&"peer.crashed") && !never.events.contains(&"peer.started"));
        assert_eq!(never.faults.len(), FAULTS.len());
        assert!(never.faults_in_states.is_empty());
    }
}
