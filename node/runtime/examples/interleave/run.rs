//! Runs of seeds, each in a thread of its own and twice.

use super::dice::Dice;
use super::tape::{Counts, Tape};
use super::workloads::{WORKLOADS, Workload};
use super::world::World;
use super::{host, panics};
use madsim::runtime::Runtime;
use std::io::{Result, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Longest virtual duration of a run: a run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Seed of the runs whose traces do not count.
const WARM_UP_SEED: u64 = u64::MAX;

/// The result of a run.
#[derive(Debug)]
struct Ran {
    violation: Option<String>,
    hash: String,
    lines: Vec<String>,
    counts: Counts,
}

pub(super) fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let numbers: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let name = args.iter().find(|arg| !arg.starts_with("--") && arg.parse::<u64>().is_err());
    let mut out = std::io::stdout().lock();
    if has("--list") && !has("--planted") {
        return WORKLOADS.iter().try_for_each(|workload| writeln!(out, "{}", workload.name));
    }
    #[cfg(planted)]
    if has("--planted") && has("--list") {
        return cosmicsync_node::planted::all().try_for_each(|one| writeln!(out, "{}\t{}", one.id, one.region));
    }
    #[cfg(planted)]
    if has("--planted") {
        return planted(&mut out, numbers.first().copied().unwrap_or(20), name.map(String::as_str));
    }
    let (from, count) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(1));
    let chosen: Vec<&Workload> = WORKLOADS.iter().filter(|one| name.is_none_or(|name| name == one.name)).collect();
    if chosen.is_empty() {
        writeln!(std::io::stderr(), "there is no such workload: see `interleave --list`")?;
        std::process::exit(2);
    }
    let mut totals = [0; 7];
    // Crates draw once for each process, when they are first used. A run before the others keeps that out of traces.
    chosen.iter().for_each(|workload| drop(apart(workload, WARM_UP_SEED, false)));
    for workload in chosen {
        for seed in from..from + count {
            let ran = apart(workload, seed, has("--lines"));
            ran.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            writeln!(out, "seed {} {seed} {}", workload.name, ran.hash)?;
            if let Some(violation) = &ran.violation {
                writeln!(out, "bad {} {seed} {}", workload.name, violation.replace('\n', " "))?;
            }
            let again = apart(workload, seed, has("--lines"));
            if again.hash != ran.hash {
                let parting = ran.lines.iter().zip(&again.lines).find(|(one, other)| one != other);
                parting.map_or(Ok(()), |(one, other)| writeln!(out, "first difference:\n{one}\n{other}"))?;
            }
            if again.hash != ran.hash {
                writeln!(out, "bad {} {seed} two runs have two traces: {} {}", workload.name, ran.hash, again.hash)?;
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

/// Runs a seed in a thread of its own, because the order of hash maps is one per thread.
fn apart(workload: &'static Workload, seed: u64, keeps_lines: bool) -> Ran {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(16 << 20);
        let ran = builder.spawn_scoped(scope, || run(workload, seed, keeps_lines)).map(|thread| thread.join());
        match ran {
            Ok(Ok(ran)) => ran,
            Ok(Err(_)) | Err(_) => Ran {
                violation: Some("the thread of the run is gone".to_owned()),
                hash: String::new(),
                lines: Vec::new(),
                counts: Counts::default(),
            },
        }
    })
}

/// Runs a seed. A panic is a violation, and so is a run in which nothing can happen any more.
fn run(workload: &'static Workload, seed: u64, keeps_lines: bool) -> Ran {
    let panics = panics::watch();
    let tape = Tape::new(keeps_lines);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.set_time_limit(LIMIT);
        let dice = Dice::new(seed, workload.name);
        let tape = tape.clone();
        runtime.block_on(async move {
            let mut dice = dice;
            let hosts = (workload.hosts)(&mut dice);
            let world = World::new(hosts, dice, &tape);
            let played = (workload.play)(&world).await;
            tape.set_now(host::now_us());
            played
        })
    }));
    host::forget_all();
    let played = played.unwrap_or_else(|_| Err("the simulation panicked".to_owned()));
    let violation = panics.first().or(played.err());
    let (hash, lines, counts) = tape.finish();
    Ran { violation, hash, lines, counts }
}

/// Runs all workloads of one seed after the other, until one is violated, for each planted bug of the driver.
#[cfg(planted)]
fn planted(out: &mut impl Write, seeds: u64, only: Option<&str>) -> Result<()> {
    use cosmicsync_protocol::planted::{Planted, choose};
    for planted in cosmicsync_node::planted::all().filter(|planted| only.is_none_or(|id| id == planted.id)) {
        let Planted { id, region, .. } = planted;
        choose(Some(planted));
        let runs = (0..seeds).flat_map(|seed| WORKLOADS.iter().map(move |workload| (seed, workload)));
        let found = (1..).zip(runs).find_map(|(nth, (seed, workload))| {
            Some((nth, seed, workload.name, apart(workload, seed, false).violation?))
        });
        choose(None);
        match found {
            Some((nth, seed, name, text)) => {
                writeln!(out, "{id}\t{region}\t{nth}\t{name}\t{seed}\t{}", text.replace('\n', " "))?;
            }
            None => writeln!(out, "{id}\t{region}\t-\t-\t-\tsurvives {seeds} seeds of each workload")?,
        }
    }
    Ok(())
}
