//! Runs swarm seeds and prints what was violated: `swarm FROM COUNT`.

use cosmicsync_sim::{Profile, generate, run};
use std::io::Write;
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let (from, count) = (args.next().unwrap_or(0), args.next().unwrap_or(100));
    let forks = args.next().is_some();
    let profile = Profile { forks, ..Profile::default() };
    let mut out = std::io::stdout().lock();
    let (start, mut bad, mut virtual_us) = (Instant::now(), 0, 0);
    let mut marks = std::collections::BTreeMap::new();
    for seed in from..from + count {
        let plan = generate(seed, &profile);
        let began = Instant::now();
        let Ok(report) = run(&plan) else { continue };
        virtual_us += report.stats.virtual_us;
        for (mark, times) in &report.stats.marks {
            *marks.entry(mark.clone()).or_insert(0) += times;
        }
        if let Some(first) = report.violations.first() {
            bad += 1;
            let peer = first.peer.map_or("-".to_owned(), |peer| peer.to_string());
            let _ = writeln!(out, "{seed}: {} at {} us on {peer}: {}", first.oracle, first.at_us, first.text);
        }
        if began.elapsed().as_millis() > 2_000 {
            let _ = writeln!(out, "{seed}: slow, {:?} {:?}", began.elapsed(), report.stats);
        }
    }
    let took = start.elapsed();
    let _ = writeln!(out, "{count} seeds, {bad} bad, {took:?}, {:.0} virtual s", virtual_us as f64 / 1e6);
    let _ = writeln!(out, "{marks:?}");
}
