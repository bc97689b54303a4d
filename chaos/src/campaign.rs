//! `campaign`: many seeds, each a plan of its own.

use std::time::{Duration, Instant};

use cosmicsync_sim::plan::{Bounds, Link};
use cosmicsync_sim::{Copies, Plan, Profile, generate};
use serde::Serialize;

use crate::cli::{self, Campaign};
use crate::error::Failure;
use crate::page::{self, Page};
use crate::pool::{self, Case};
use crate::run::{self, Tally};
use crate::{Stdout, Verdict, report};

/// Result of a campaign.
#[derive(Debug, Serialize)]
struct Summary {
    held: bool,
    asked: u64,
    cancelled: u64,
    elapsed_ms: u64,
    seeds_per_minute: u64,
    virtual_per_second: u64,
    tally: Tally,
}

/// Runs a campaign. It is red unless there was at least one seed, and every requested seed ran and held.
pub(crate) fn run(args: &Campaign, output: &mut Stdout) -> Result<Verdict, Failure> {
    let start = Instant::now();
    let deadline = args.time_limit.map(|limit| start + Duration::from_micros(limit.us));
    let bar = output.bar(args.seeds, "seeds");
    let mut tally = Tally::default();
    let mut page = args.common.html.is_some().then(|| Page::new("campaign"));
    let cases = (args.from..args.from.saturating_add(args.seeds)).map(|seed| case(seed, args));
    pool::run(cases, run::how(&args.common, deadline), |case, report| {
        tally.add(&report);
        let failed = !report.is_ok();
        run::advance(&bar, &tally, failed);
        let again = format!("campaign --seeds 1 --from {}", case.seed);
        run::finish(output, &bar, &case, report, &args.common, (&again, page.as_mut()))?;
        Ok(!(failed && args.fail_fast))
    })?;
    bar.finish_and_clear();
    let elapsed = start.elapsed();
    let summary = Summary {
        held: tally.violated == 0 && tally.runs == args.seeds && tally.runs > 0,
        asked: args.seeds,
        cancelled: args.seeds - tally.runs,
        elapsed_ms: elapsed.as_millis() as u64,
        seeds_per_minute: (tally.runs as f64 * 60.0 / elapsed.as_secs_f64()) as u64,
        virtual_per_second: (tally.virtual_us as f64 / 1e6 / elapsed.as_secs_f64()) as u64,
        tally,
    };
    tell(&summary, output)?;
    page::write(page, args.common.html.as_deref(), summary.asked, output)?;
    Ok(if summary.held { Verdict::Held } else { Verdict::Red })
}

fn case(seed: u64, args: &Campaign) -> Case {
    let mut plan = generate(seed, &profile(args.profile, args.copies, args.apart));
    if args.canary {
        plan = canary(plan);
    }
    Case { seed, event: None, plan }
}

/// Returns the profile for the options of a campaign.
pub(crate) fn profile(named: cli::Profile, copies: bool, apart: bool) -> Profile {
    let swarm = named == cli::Profile::Swarm;
    let copies = if copies { Copies::Processes } else { Copies::None };
    Profile { swarm, ..Profile::named(copies, apart) }
}

/// Makes a plan impossible: the peers must agree in no time over links that take a second.
fn canary(mut plan: Plan) -> Plan {
    plan.name = format!("canary-{}", plan.name);
    for link in &mut plan.links {
        *link = Link { latency_us: 1_000_000, ..Link::new(link.from, link.to) };
    }
    plan.bounds = Bounds { converge_us: 0, round_trips: 0, ..plan.bounds };
    plan
}

fn tell(summary: &Summary, output: &mut Stdout) -> Result<(), Failure> {
    output.object(&serde_json::json!({ "summary": summary }))?;
    let tally = &summary.tally;
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("seeds", format!("{} of {}", tally.runs, summary.asked)),
        row("violated", tally.violated.to_string()),
        row("edits acknowledged", tally.acked.to_string()),
        row("comparisons", tally.checks.to_string()),
        row("faults", tally.faults.to_string()),
        row("virtual time", report::time(tally.virtual_us)),
        row("seeds a minute", summary.seeds_per_minute.to_string()),
        row("virtual : real time", summary.virtual_per_second.to_string()),
    ];
    rows.extend(
        tally.oracles.iter().map(|(oracle, times)| row(&format!("first violated {oracle}"), times.to_string())),
    );
    output.table(["", ""], &rows)?;
    if summary.asked == 0 {
        output.line("red: no seed was asked for, so nothing was shown")?;
    } else if summary.cancelled > 0 {
        output.line(&format!("red: {} seeds did not run", summary.cancelled))?;
    }
    Ok(())
}
