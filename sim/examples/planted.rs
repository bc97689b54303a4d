//! How many swarm seeds it takes to find each planted bug: `planted MAX [ID]`. Built with `tools/planted.sh`.

use std::io::Write;

#[cfg(planted)]
fn main() {
    use cosmicsync_protocol::planted::{CATALOGUE, choose};
    use cosmicsync_sim::{Profile, generate, run};
    let mut args = std::env::args().skip(1);
    let max: u64 = args.next().and_then(|arg| arg.parse().ok()).unwrap_or(1_000);
    let only = args.next();
    let mut out = std::io::stdout().lock();
    std::panic::set_hook(Box::new(|_| {}));
    for planted in CATALOGUE.iter().filter(|planted| only.as_deref().is_none_or(|id| id == planted.id)) {
        choose(Some(planted.id));
        let found = (0..max).find_map(|seed| {
            let report = run(&generate(seed, &Profile::default())).ok()?;
            report.violations.first().map(|first| (seed, first.clone()))
        });
        choose(None);
        let _ = match found {
            Some((seed, first)) => {
                writeln!(out, "{}\t{}\t{}\t{}\t{}", planted.id, planted.region, seed + 1, first.oracle, first.text)
            }
            None => writeln!(out, "{}\t{}\t-\tnot found in {max} seeds", planted.id, planted.region),
        };
    }
}

#[cfg(not(planted))]
fn main() {
    let _ = writeln!(std::io::stderr(), "build it with RUSTC_WORKSPACE_WRAPPER=tools/planted.sh");
    std::process::exit(2);
}
