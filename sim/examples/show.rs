//! Shows a swarm seed: its plan, its violations and the end of its trace.
//! `show SEED|PLAN [--copies] [--apart] [--databases] [--shrink RUNS]`; with `--shrink` the smallest plan found that fails.

use cosmicsync_sim::{Copies, Profile, generate, plan::Plan, run_traced, shrink::shrink};
use std::io::Write;

fn main() {
    let arg = std::env::args().nth(1).unwrap_or_default();
    let plan = match arg.parse::<u64>() {
        Ok(seed) => {
            let has = |flag: &str| std::env::args().any(|arg| arg == flag);
            let copies = if has("--copies") { Copies::Processes } else { Copies::None };
            let named = Profile::named(copies, has("--apart"));
            generate(seed, &if has("--databases") { Profile::of_databases(seed) } else { named })
        }
        Err(_) => {
            let mut file: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&arg).unwrap_or_default()).unwrap_or_default();
            // A bundle contains a plan.
            let plan = if file["plan"].is_object() { file["plan"].take() } else { file };
            serde_json::from_value(plan).unwrap_or_else(|_| Plan::quiet(0, 1))
        }
    };
    let mut args = std::env::args().skip_while(|arg| arg != "--shrink").skip(1);
    let runs = args.next().and_then(|runs| runs.parse().ok());
    let plan = runs.and_then(|runs| shrink(&plan, runs, |_| {}).ok()).map_or(plan, |shrunk| shrunk.plan);
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", serde_json::to_string(&plan).unwrap_or_default().replace("{\"id\"", "\n{\"id\""));
    let Ok(report) = run_traced(&plan) else { return };
    for violation in &report.violations {
        let _ = writeln!(out, "{violation:?}");
    }
    for unmet in &report.unmet {
        let _ = writeln!(out, "{unmet:?}");
    }
    let _ = writeln!(out, "trace {}", report.trace_hash);
    let _ = writeln!(out, "{:?}", report.stats);
    let at = report.violations.first().map_or(u64::MAX, |first| first.at_us);
    for record in report.trace.unwrap_or_default().iter().filter(|record| record.at_us <= at) {
        let _ = writeln!(out, "{} p{} {} {} {:?}", record.at_us, record.peer, record.index, record.kind, record.cause);
    }
}
