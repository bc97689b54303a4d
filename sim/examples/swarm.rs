//! Runs swarm seeds, one output line for each and one for all:
//! `swarm FROM COUNT [--backwards] [--copies|--stores] [--apart] [--databases] | swarm --star SECONDS`.
//!
//! `cargo xtask prove sim-core` runs it in processes of their own and compares their output: `seed N HASH`, `bad N
//! ORACLE TEXT`, `done COUNT CPU_US VIRTUAL_US EVENTS EDITS ACKED CHECKS FAULTS BYTES`.

use cosmicsync_sim::coverage::limits;
use cosmicsync_sim::plan::{Act, Action, Link, Plan, When};
use cosmicsync_sim::report::Stats;
use cosmicsync_sim::{Copies, Profile, generate, run};
use std::collections::BTreeMap;
use std::io::{Result, Write};
use std::time::Instant;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let numbers: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let mut out = std::io::stdout().lock();
    let mut total = Total::new();
    if has("--star") {
        let plan = star(numbers.first().copied().unwrap_or(600));
        total.run(&mut out, 0, &plan)?;
    } else {
        let (from, count) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(100));
        let copies = match (has("--copies"), has("--stores")) {
            (true, _) => Copies::Processes,
            (false, true) => Copies::Stores,
            (false, false) => Copies::None,
        };
        let named = Profile::named(copies, has("--apart"));
        for nth in 0..count {
            let seed = from + if has("--backwards") { count - 1 - nth } else { nth };
            let profile = if has("--databases") { Profile::of_databases(seed) } else { named.clone() };
            total.run(&mut out, seed, &generate(seed, &profile))?;
        }
    }
    total.print(&mut out)
}

/// Returns a plan of five peers in a star, with one edit a second in total and a fault every ten seconds.
fn star(seconds: u64) -> Plan {
    let mut plan = Plan::quiet(1, 5);
    plan.links = (1..5).map(|peer| Link::new(peer, 0)).collect();
    plan.bounds.phase_one_us = seconds * 1_000_000;
    let mut push = |at_us: u64, act: Act| {
        let id = plan.actions.len() as u32;
        plan.actions.push(Action { id, when: When::AtUs(at_us), act });
    };
    for doc in 0..16 {
        push(0, Act::Create { peer: doc as usize % 5, doc, items: false });
    }
    for second in 1..seconds {
        let (peer, doc) = (second as usize % 5, (second * 7 % 16) as u32);
        let act = match second % 3 {
            0 => Act::Insert { peer, doc, urgent: false, bytes: 8 },
            1 => Act::Set { peer, doc, field: (second % 4) as u32, value: second as i64, remove: false },
            _ => Act::Scribble { peer, doc, delete: 3, insert: 4, whole: false },
        };
        push(second * 1_000_000, act);
        if second % 10 == 0 {
            let (peer, link) = (second as usize / 10 % 5, second as usize / 10 % 4);
            let fault = match second / 10 % 4 {
                0 => Act::Crash { peer, keep: 1, restart_us: Some(500_000) },
                1 => Act::Reset { link, after_bytes: 100 },
                2 => Act::Partition { sides: vec![vec![0, 1], vec![2, 3, 4]], for_us: 3_000_000, reset: false },
                _ => Act::Stall { link, way: Default::default(), for_us: 2_000_000 },
            };
            push(second * 1_000_000 + 137_000, fault);
        }
    }
    plan
}

struct Total {
    count: u64,
    began: Instant,
    cpu_us: Option<u64>,
    stats: Stats,
    marks: BTreeMap<String, u64>,
}

impl Total {
    fn new() -> Self {
        let (stats, marks) = Default::default();
        Self { count: 0, began: Instant::now(), cpu_us: cpu_us(), stats, marks }
    }

    fn run(&mut self, out: &mut impl Write, seed: u64, plan: &Plan) -> Result<()> {
        let report = match run(plan) {
            Ok(report) => report,
            Err(error) => return writeln!(out, "bad {seed} plan {error}"),
        };
        writeln!(out, "seed {seed} {}", report.trace_hash)?;
        if let Some(first) = report.violations.first() {
            writeln!(out, "bad {seed} {} at {} us: {}", first.oracle, first.at_us, first.text)?;
        }
        self.count += 1;
        let stats = report.stats;
        let all = &mut self.stats;
        all.virtual_us += stats.virtual_us;
        all.events += stats.events;
        all.edits += stats.edits;
        all.acked += stats.acked;
        all.checks += stats.checks;
        all.faults += stats.faults;
        all.bytes += stats.bytes;
        for (mark, times) in stats.marks {
            *self.marks.entry(mark).or_insert(0) += times;
        }
        Ok(())
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        let Stats { virtual_us, events, edits, acked, checks, faults, bytes, .. } = &self.stats;
        let spent = cpu_us().zip(self.cpu_us).map(|(now, then)| now - then);
        let cpu_us = spent.unwrap_or_else(|| self.began.elapsed().as_micros() as u64);
        for (mark, times) in &self.marks {
            writeln!(out, "mark {mark} {times}")?;
        }
        for limit in limits().filter(|limit| !self.marks.contains_key(*limit)) {
            writeln!(out, "never {limit}")?;
        }
        writeln!(out, "done {} {cpu_us} {virtual_us} {events} {edits} {acked} {checks} {faults} {bytes}", self.count)
    }
}

/// Returns the CPU time of this process in microseconds, if the system reports it.
fn cpu_us() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split_whitespace().next()?.parse::<u64>().ok().map(|ns| ns / 1_000)
}
