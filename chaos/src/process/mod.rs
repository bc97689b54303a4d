//! The lane of processes: the shipped program in real time, a process for each peer and a proxy on each link.
//!
//! `fleet` sets peers and links up, `play` plays the plan, `work` sends edits and records what was acknowledged,
//! `judge` compares the replicas, `vitals` samples memory and open files. Only the timetable of faults follows from
//! the seed: two runs of a plan differ in detail.

mod client;
mod fleet;
mod host;
mod judge;
mod peer;
mod play;
mod proxy;
mod soak;
mod vitals;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cosmicsync_sim::plan::{Act, Plan};
use cosmicsync_sim::scenario::{Lane, Scenario};
use serde::Serialize;

use crate::bundle::Bundle;
use crate::cli::{Programs, Run, Soak};
use crate::error::{Code, Failure};
use crate::{Stdout, Verdict, report};
use fleet::{Fleet, Ground, Paths};
use host::Host;
use judge::{Judgement, Violation};
use vitals::{Monitor, Vitals};
use work::Done;

/// One run, as a line of JSON.
#[derive(Debug, Serialize)]
struct RunLine<'a> {
    name: &'a str,
    seed: u64,
    lane: Lane,
    held: bool,
    violations: &'a [Violation],
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<String>,
    not_run: &'a [String],
    stats: Stats,
    peers: Vec<PeerLine>,
}

/// Sums of a run.
#[derive(Debug, Clone, Serialize)]
struct Stats {
    elapsed_ms: u64,
    edits: u64,
    acked: u64,
    failed: BTreeMap<String, u64>,
    tokens: u64,
    checks: u64,
    documents: u64,
    faults: u64,
    converged_ms: Option<u64>,
    bound_ms: u64,
    connections: u64,
    carried_bytes: u64,
}

/// Figures of one peer.
#[derive(Debug, Clone, Serialize)]
struct PeerLine {
    peer: usize,
    edits: u64,
    acked: u64,
    starts: u32,
    kills: u32,
    #[serde(flatten)]
    vitals: Vitals,
}

/// Runs a scenario.
///
/// # Errors
/// Fails if an option has no meaning for processes, and if the peers cannot be set up.
pub(crate) fn run(args: &Run, scenario: &Scenario, output: &mut Stdout) -> Result<Verdict, Failure> {
    let common = &args.common;
    let inside = [
        ("--trace", args.trace),
        ("--html", common.html.is_some()),
        ("--keep", common.keep),
        ("--fresh-process", common.fresh_process),
        ("--jobs", common.jobs.is_some()),
    ];
    if let Some((option, _)) = inside.iter().find(|(_, is_given)| *is_given) {
        let message = format!("{option} is not for the lane process, whose peers run once, in real time");
        let next = format!("cosmicsync-chaos run {} --lane process", report::shell_word(&args.scenario));
        return Err(Failure::new(Code::Usage, message).next(next));
    }
    let mut plans = Vec::new();
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let drawn = scenario.expand(Lane::Process, seed);
        plans.push((seed, drawn.map_err(|error| Failure::new(Code::Usage, error.to_string()))?.plan));
    }
    let host = Host::enter();
    if !scenario.head.oracle.sometimes.is_empty() {
        output.note("not seen in this lane: the marks of `sometimes`, which are inside a process");
    }
    runs(&scenario.head.name, plans, &args.programs, &args.common.bundles, &host, output)
}

/// Plays random faults for a long time.
pub(crate) fn soak(args: &Soak, output: &mut Stdout) -> Result<Verdict, Failure> {
    if !(2..=16).contains(&args.peers) {
        return Err(Failure::new(Code::Usage, "a soak has 2 to 16 peers").next("cosmicsync-chaos soak --peers 5"));
    }
    let host = Host::enter();
    let plan = soak::plan(args.peers, args.lasts.us, args.seed, host.no_disks.is_none());
    let name = plan.name.clone();
    runs(&name, vec![(args.seed, plan)], &args.programs, &args.bundles, &host, output)
}

fn runs(
    name: &str,
    plans: Vec<(u64, Plan)>,
    programs: &Programs,
    bundles: &Path,
    host: &Host,
    output: &mut Stdout,
) -> Result<Verdict, Failure> {
    let (total, mut violated) = (plans.len(), 0);
    let paths = programs.paths()?;
    let not_run = not_run(host, &plans);
    for (seed, plan) in plans {
        let bar = output.spinner();
        bar.set_message(format!("{name}, seed {seed}: {} s of faults", plan.bounds.phase_one_us / 1_000_000));
        let ran = play(&plan, &paths, host)?;
        bar.finish_and_clear();
        violated += usize::from(!ran.violations.is_empty());
        print(&plan, seed, ran, bundles, &not_run, output)?;
    }
    for line in &not_run {
        output.line(&format!("not run: {line}"))?;
    }
    let held = violated == 0 && total > 0;
    output.object(
        &serde_json::json!({ "summary": { "name": name, "held": held, "runs": total, "violated": violated } }),
    )?;
    output.line(&format!("{name}: {total} of {total} runs, {violated} violated"))?;
    Ok(if held { Verdict::Held } else { Verdict::Red })
}

/// Returns what this machine cannot do, with the reasons.
fn not_run(host: &Host, plans: &[(u64, Plan)]) -> Vec<String> {
    let mut lines = vec!["clock jumps: all processes share the machine's wall clock".to_owned()];
    lines.extend(host.no_network.as_ref().map(|why| format!("a network of its own, plain loopback instead: {why}")));
    let full = |act: &Act| matches!(act, Act::FailStore { .. });
    if plans.iter().any(|(_, plan)| plan.actions.iter().any(|action| full(&action.act))) {
        lines.extend(host.no_disks.as_ref().map(|why| format!("full disks: {why}")));
    }
    lines
}

/// Result of a run.
struct Ran {
    violations: Vec<Violation>,
    stats: Stats,
    peers: Vec<PeerLine>,
    logs: Option<PathBuf>,
}

fn play(plan: &Plan, paths: &Paths, host: &Host) -> Result<Ran, Failure> {
    let root = std::env::temp_dir().join(format!("cosmicsync-chaos-{}-{}", std::process::id(), plan.seed));
    std::fs::create_dir_all(&root).map_err(|error| Failure::file("create", &root, &error))?;
    let began = Instant::now();
    let ground = Ground { paths, root: root.clone(), host };
    let mut violations = Vec::new();
    let mut fleet = match Fleet::assemble(plan, &ground) {
        Ok(fleet) => fleet,
        Err(why) => {
            let failure = Failure::new(Code::Refused, format!("the peers could not be set up: {why}"));
            return Err(failure.next(format!("less {}", root.join("0.log").display())));
        }
    };
    let monitor = Monitor::new(fleet.peers.clone());
    let (done, faults) = play::play(plan, &fleet);
    violations.extend(fleet.settle().into_iter().map(|trouble| Violation::new("process", trouble)));
    let alive = play::alive(plan, &fleet);
    let judgement = judge::judge(plan, &fleet, &alive, &done);
    let vitals = monitor.finish();
    violations.extend(judgement.violations.iter().cloned());
    for peer in &alive {
        violations.extend(fleet.peers[*peer].stop().err().map(|trouble| Violation::new("process", trouble)));
    }
    for peer in &fleet.peers {
        let panics = peer.panics();
        if panics > 0 {
            violations.push(Violation::new("O12", format!("peer {} panicked {panics} times", peer.number)));
        }
    }
    let stats = stats(plan, &fleet, &done, &judgement, faults, began);
    let lines = fleet.peers.iter().zip(&done).zip(vitals).map(|((peer, done), vitals)| {
        let (starts, kills) = peer.lives();
        PeerLine { peer: peer.number, edits: done.edits, acked: done.acked, starts, kills, vitals }
    });
    let peers = lines.collect();
    drop(fleet);
    let logs = if violations.is_empty() {
        // A directory of a run that held is of no use; if it stays, nothing is wrong.
        let _ = std::fs::remove_dir_all(&root);
        None
    } else {
        Some(root)
    };
    Ok(Ran { violations, stats, peers, logs })
}

fn stats(plan: &Plan, fleet: &Fleet, done: &[Done], judgement: &Judgement, faults: u64, began: Instant) -> Stats {
    let mut failed = BTreeMap::new();
    for (reason, count) in done.iter().flat_map(|done| &done.failed) {
        *failed.entry(reason.clone()).or_default() += count;
    }
    let carried = fleet.carried();
    Stats {
        elapsed_ms: began.elapsed().as_millis() as u64,
        edits: done.iter().map(|done| done.edits).sum(),
        acked: done.iter().map(|done| done.acked).sum(),
        failed,
        tokens: done.iter().map(|done| done.tokens.len() as u64).sum(),
        checks: judgement.checks,
        documents: judgement.documents,
        faults,
        converged_ms: judgement.converged.map(|time| time.as_millis() as u64),
        bound_ms: judge::bound(plan).as_millis() as u64,
        connections: carried.connections,
        carried_bytes: carried.bytes,
    }
}

fn print(
    plan: &Plan,
    seed: u64,
    ran: Ran,
    bundles: &Path,
    not_run: &[String],
    output: &mut Stdout,
) -> Result<(), Failure> {
    let Ran { violations, stats, peers, logs } = ran;
    let mut bundle = None;
    if let Some(root) = &logs {
        let made = Bundle::of_processes(seed, plan);
        let path = made.path(bundles);
        made.write(&path)?;
        let logs = path.with_extension("logs");
        keep_logs(root, &logs).map_err(|error| Failure::file("keep logs in", &logs, &error))?;
        output.line(&format!("{} failed with seed {seed}", plan.name))?;
        for violation in &violations {
            output.line(&format!("violated: {}: {}", violation.oracle, violation.text))?;
        }
        output.line(&format!("logs: {}", logs.display()))?;
        output.line(&format!("play it again: {}", report::command("replay", &path)))?;
        bundle = Some(path.display().to_string());
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let rows: Vec<[String; 9]> = peers
        .iter()
        .map(|line| {
            let vitals = &line.vitals;
            [
                line.peer.to_string(),
                format!("{} of {}", line.acked, line.edits),
                line.starts.to_string(),
                line.kills.to_string(),
                mib(vitals.rss_bytes),
                mib(vitals.rss_max_bytes),
                mib(vitals.own_max_bytes),
                format!("{:+.0} KiB/min over {:.0} s", vitals.slope_kib_a_minute, vitals.life_s),
                format!("{}, at most {}", vitals.files, vitals.files_max),
            ]
        })
        .collect();
    output.note("own memory is without the mapped store; its slope is over the longest life of a process");
    output.table(
        ["PEER", "ACKNOWLEDGED", "STARTS", "KILLS", "MEMORY", "LARGEST", "OWN", "SLOPE OF OWN", "OPEN FILES"],
        &rows,
    )?;
    let failed: String = stats.failed.iter().map(|(reason, count)| format!(", {count} {reason}")).collect();
    let converged = stats.converged_ms.map_or_else(|| "never".to_owned(), |ms| report::time(ms * 1_000));
    let (acked, edits, faults, bound) = (stats.acked, stats.edits, stats.faults, report::time(stats.bound_ms * 1_000));
    output.line(&format!("seed {seed}: {acked} of {edits} edits acknowledged{failed}"))?;
    output.line(&format!(
        "{faults} faults, {} connections; equal {converged} after the last fault, of {bound} allowed; {} checks",
        stats.connections, stats.checks
    ))?;
    output.object(&RunLine {
        name: &plan.name,
        seed,
        lane: Lane::Process,
        held: violations.is_empty(),
        violations: &violations,
        bundle,
        not_run,
        stats,
        peers,
    })?;
    Ok(())
}

/// Moves the logs out of the directory of a run, and removes the rest of it.
fn keep_logs(root: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(root)? {
        let file = file?;
        if file.path().extension().is_some_and(|extension| extension == "log") {
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    std::fs::remove_dir_all(root)
}

impl Programs {
    /// Returns the program of each peer.
    ///
    /// # Errors
    /// Fails if one does not exist.
    fn paths(&self) -> Result<Paths, Failure> {
        let beside = || Some(std::env::current_exe().ok()?.with_file_name("cosmicsync"));
        let program = self.program.clone().or_else(beside).unwrap_or_default();
        let others: BTreeMap<usize, PathBuf> = self.other.iter().cloned().collect();
        if let Some(missing) = others.values().chain([&program]).find(|program| !program.is_file()) {
            let message = format!("there is no program {}", missing.display());
            return Err(
                Failure::new(Code::NotFound, message).next("cargo build -p cosmicsync, or name it with --program")
            );
        }
        Ok(Paths { program, others })
    }
}

/// Plays the plan of a bundle again.
pub(crate) fn replay(
    bundle: &Bundle,
    programs: &Programs,
    bundles: &Path,
    output: &mut Stdout,
) -> Result<Verdict, Failure> {
    let host = Host::enter();
    runs(&bundle.plan.name, vec![(bundle.seed, bundle.plan.clone())], programs, bundles, &host, output)
}
