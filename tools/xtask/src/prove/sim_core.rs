//! `sim-core`: the core under deterministic simulation, with real ciphers and documents.
//!
//! Seeds run in separate processes, a chunk at a time. There must be no violation, and two processes must produce the
//! same trace of one seed, to the last record. Then every planted bug must be found (`spec/invariants.md`).

use super::{Report, Setting, built};
use crate::{Failure, repo, step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Number of seeds of the swarm.
const SEEDS: u64 = 20_000;
/// Number of further seeds in which a process is copied and continues several times.
const COPIED: u64 = 2_000;
/// Number of further seeds in which all peers create the same documents.
const APART: u64 = 5_000;
/// Number of the first seeds that run again, in other processes and in the opposite order.
const PAIRS: u64 = 1_000;
/// Number of seeds per process.
const CHUNK: u64 = 50;
/// Largest number of seeds that a planted bug may survive.
const PLANTED_SEEDS: u64 = 2_000;
/// Marks that only runs with copied processes reach.
const OF_COPIES: &[&str] = &[
    "process.resumed",
    "process.slept",
    "log.retired",
    "log.forked",
    "space.mismatch",
    "doc.republished",
    "excluded.published",
];
/// Prefix of marks that only databases reach.
pub(super) const OF_DATABASES: &str = "data.";
/// Duration of the star scenario, in virtual seconds.
const STAR_SECONDS: &str = "1200";
/// Interval of progress reports.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Proves the claim.
pub(super) fn prove(_: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let scale = Scale::from_environment();
    let swarm = swarm()?;
    let began = Instant::now();
    let first = run_all(&swarm, scale.seeds, &[])?;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    first.bad.iter().for_each(|line| eprintln!("sim-core: {line}"));
    let count = first.seeds.len() as u64;
    report.figure("swarm: seeds", count as f64, count);
    report.figure("swarm: seeds with a violation", first.bad.len() as f64, count);
    report.figure("swarm: seeds a minute, all processes", (count as f64 / minutes).round(), count);
    report.figure("swarm: CPU time a seed (goal 43)", round(first.total(0) / 1_000.0 / count as f64), count);
    report.figure("swarm: simulated time over CPU time", round(first.total(1) / first.total(0)), count);
    report.figure("swarm: edits", first.total(3), count);
    report.figure("swarm: edits reported durable", first.total(4), count);
    report.figure("swarm: comparisons by oracles", first.total(5), count);
    report.figure("swarm: faults", first.total(6), count);
    let unmet = unmet(&first, |mark| !OF_COPIES.contains(&mark) && !mark.starts_with(OF_DATABASES));
    report.figure("swarm: marks that no seed met", unmet as f64, count);
    let copied = run_all(&swarm, scale.copied, &["--copies"])?;
    copied.bad.iter().for_each(|line| eprintln!("sim-core: copies: {line}"));
    report.figure("swarm with copied processes: seeds", copied.seeds.len() as f64, scale.copied);
    report.figure("swarm with copied processes: seeds with a violation", copied.bad.len() as f64, scale.copied);
    let unmet = self::unmet(&copied, |mark| OF_COPIES.contains(&mark));
    report.figure("swarm with copied processes: marks of theirs that no seed met", unmet as f64, scale.copied);
    let apart = run_all(&swarm, scale.apart, &["--apart"])?;
    apart.bad.iter().for_each(|line| eprintln!("sim-core: apart: {line}"));
    report.figure("swarm of documents made apart: seeds", apart.seeds.len() as f64, scale.apart);
    report.figure("swarm of documents made apart: edits", apart.total(3), scale.apart);
    report.figure("swarm of documents made apart: seeds with a violation", apart.bad.len() as f64, scale.apart);
    let runs = [&first, &copied, &apart];
    let never: Vec<String> =
        limits().into_iter().filter(|side| !runs.iter().any(|run| run.marks.contains_key(side))).collect();
    never.iter().for_each(|side| eprintln!("sim-core: no seed met {side}"));
    report.figure("all swarms: sides of limits that no seed met", never.len() as f64, count);
    let again = run_all(&swarm, scale.pairs, &["--backwards"])?;
    let differ = again.seeds.iter().filter(|(seed, hash)| first.seeds.get(seed) != Some(hash)).count();
    report.figure("pairs of processes: seeds", again.seeds.len() as f64, scale.pairs);
    report.figure("pairs of processes: traces that differ", differ as f64, again.seeds.len() as u64);
    let star = Run::of(&swarm, &["--star", STAR_SECONDS])?;
    star.bad.iter().for_each(|line| eprintln!("sim-core: star: {line}"));
    report.figure("star of 5, 1 edit/s: violations", star.bad.len() as f64, 1);
    report.figure(
        "star of 5, 1 edit/s: simulated time over CPU time (goal 1000)",
        round(star.total(1) / star.total(0)),
        1,
    );
    planted(report, &[], scale.planted)
}

/// Builds the program that runs seeds.
pub(super) fn swarm() -> Result<PathBuf, Failure> {
    step::shown(repo::cargo(&["build", "--release", "--quiet", "--package", "cosmicsync-sim", "--example", "swarm"]))?;
    Ok(built("examples")?.join("swarm"))
}

/// Number of runs of each kind. `COSMICSYNC_SIM_SHARE` divides all of them for a quick run, which proves nothing.
pub(super) struct Scale {
    share: u64,
    seeds: u64,
    copied: u64,
    apart: u64,
    pairs: u64,
    planted: u64,
}

impl Scale {
    pub(super) fn from_environment() -> Self {
        let share = std::env::var("COSMICSYNC_SIM_SHARE").ok().and_then(|share| share.parse().ok()).unwrap_or(1).max(1);
        Self {
            share,
            seeds: SEEDS / share,
            copied: COPIED / share,
            apart: APART / share,
            pairs: PAIRS / share,
            planted: PLANTED_SEEDS,
        }
    }

    /// Returns a share of the seeds.
    pub(super) const fn of(&self, seeds: u64) -> u64 {
        seeds / self.share
    }
}

/// Prints the required marks that no run reached, and returns their number: faults that the generator never produces.
pub(super) fn unmet(run: &Run, is_asked: impl Fn(&str) -> bool) -> usize {
    let never = |mark: &&str| !run.marks.contains_key(*mark) && *mark != "event.other" && is_asked(mark);
    let unmet: Vec<_> = cosmicsync_marks().into_iter().filter(never).collect();
    unmet.iter().for_each(|mark| eprintln!("sim: no seed met {mark}"));
    unmet.len()
}

/// Returns the marks of both sides of each limit.
fn limits() -> Vec<String> {
    let names = include_str!("../../../../protocol/src/testkit/limits.rs").lines().filter_map(|line| {
        let (_, name) = line.trim().strip_suffix("\",")?.split_once(" = \"")?;
        Some(name)
    });
    names.flat_map(|name| ["below", "reached"].map(|side| format!("limit.{name}.{side}"))).collect()
}

fn cosmicsync_marks() -> Vec<&'static str> {
    include_str!("../../../../sim/src/coverage.rs")
        .lines()
        .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \"").map(|(_, name)| name))
        .collect()
}

/// Output of the processes.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) seeds: BTreeMap<u64, String>,
    pub(super) bad: Vec<String>,
    pub(super) marks: BTreeMap<String, u64>,
    totals: [u64; 8],
}

impl Run {
    fn of(program: &Path, args: &[&str]) -> Result<Self, Failure> {
        let mut run = Self::default();
        for line in printed(Command::new(program).args(args))?.lines() {
            run.take(line)?;
        }
        Ok(run)
    }

    fn take(&mut self, line: &str) -> Result<(), Failure> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["seed", seed, hash] => drop(self.seeds.insert(seed.parse()?, hash.to_owned())),
            ["mark", mark, times] => *self.marks.entry(mark.to_owned()).or_default() += times.parse::<u64>()?,
            ["never", ..] => {}
            ["bad", ..] => self.bad.push(line.to_owned()),
            ["done", _, ref totals @ ..] => {
                for (sum, total) in self.totals.iter_mut().zip(totals) {
                    *sum += total.parse::<u64>()?;
                }
            }
            _ => return Err(format!("`{line}` is not what a run prints").into()),
        }
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.seeds.extend(other.seeds);
        self.bad.extend(other.bad);
        for (mark, times) in other.marks {
            *self.marks.entry(mark).or_default() += times;
        }
        self.totals.iter_mut().zip(other.totals).for_each(|(sum, total)| *sum += total);
    }

    pub(super) const fn total(&self, at: usize) -> f64 {
        self.totals[at] as f64
    }
}

/// Runs seeds from 0 on, in separate processes.
pub(super) fn run_all(program: &Path, seeds: u64, flags: &[&str]) -> Result<Run, Failure> {
    let told = Mutex::new((0, 0, Instant::now()));
    let chunks = usize::try_from(seeds.div_ceil(CHUNK))?;
    let runs = in_parallel(chunks, |at| {
        let from = at as u64 * CHUNK;
        let (start, count) = (from.to_string(), CHUNK.min(seeds - from).to_string());
        let run = Run::of(program, &[&[start.as_str(), count.as_str()], flags].concat())?;
        if let Ok(mut told) = told.lock() {
            (told.0, told.1) = (told.0 + run.seeds.len(), told.1 + run.bad.len());
            if told.2.elapsed() >= TOLD_EVERY {
                told.2 = Instant::now();
                eprintln!("sim: {} of {seeds} seeds, {} bad", told.0, told.1);
            }
        }
        Ok(run)
    })?;
    let mut all = Run::default();
    runs.into_iter().for_each(|run| all.add(run));
    Ok(all)
}

/// Checks that every planted bug is found, and prints the number of seeds for each.
pub(super) fn planted(report: &mut Report<'_>, flags: &[&str], seeds_max: u64) -> Result<(), Failure> {
    let mut build =
        repo::cargo(&["build", "--release", "--quiet", "--package", "cosmicsync-sim", "--example", "planted"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", repo::root().join("tools/planted.sh"));
    step::shown(build)?;
    let program = built("examples")?.join("planted");
    let bundles = tempfile::tempdir()?;
    let ids = printed(Command::new(&program).arg("--list").args(flags))?;
    let (mut replayed, mut found) = (0u32, 0u32);
    let ids: Vec<&str> = ids.lines().collect();
    for line in in_parallel(ids.len(), |at| {
        let line =
            printed(Command::new(&program).arg(seeds_max.to_string()).arg(bundles.path()).arg(ids[at]).args(flags))?;
        eprint!("sim: planted: {line}");
        Ok(line)
    })? {
        let columns: Vec<&str> = line.trim_end().split('\t').collect();
        let [id, region, seeds, oracle, ..] = columns[..] else { continue };
        let Ok(seeds) = seeds.parse::<f64>() else { continue };
        found += 1;
        let again = printed(Command::new(&program).arg("--replay").arg(bundles.path()).arg(id).args(flags))?;
        replayed += u32::from(again == format!("{id}\t{oracle}\t-\n"));
        report.figure(&format!("planted {id} ({region}, {oracle}): seeds to find"), seeds, 1);
    }
    let planted = u32::try_from(ids.len())?;
    report.figure("planted bugs: found", f64::from(found), u64::from(planted));
    report.figure("planted bugs: shrunk plans that a fresh process replays", f64::from(replayed), u64::from(found));
    report.figure("planted bugs: shrunk plans that it does not", f64::from(found - replayed), u64::from(found));
    report.figure("planted bugs: not found", f64::from(planted - found), u64::from(planted));
    Ok(())
}

/// Returns a program's output; fails if the program does.
pub(super) fn printed(command: &mut Command) -> Result<String, Failure> {
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs actions in parallel, one per processor, and returns their results in order.
pub(super) fn in_parallel<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let result = work(at).map_err(|failure| failure.to_string());
                    let Ok(mut results) = results.lock() else { return };
                    results.insert(at, result);
                }
            });
        }
    });
    let results = results.into_inner().map_err(|_| "a thread panicked")?;
    Ok(results.into_values().collect::<Result<Vec<T>, String>>()?)
}

pub(super) fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
