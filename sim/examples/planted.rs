//! Number of swarm seeds that find each planted bug, and the smallest plan that shows it. Built with
//! `tools/planted.sh`:
//!
//! `planted MAX DIR [ID]` prints `ID REGION SEEDS ORACLE TEXT`, tabs between, and leaves the bundle `DIR/ID.json`;
//! `planted --list` prints the ids;
//! `planted --replay DIR ID` runs its plan with the bug and without, and prints `ID ORACLE ORACLE`, `-` for none.
//!
//! With `--databases` the bugs are those of databases; otherwise those of the core.

use std::io::Result;

#[cfg(planted)]
mod with {
    use cosmicsync_protocol::planted::{Planted, choose};
    use cosmicsync_sim::shrink::shrink;
    use cosmicsync_sim::{Copies, Plan, Profile, generate, run};
    use serde_json::{Value, json};
    use std::io::{Error, Result, Write};
    use std::path::Path;

    /// Lock file of the build, which bundles name.
    const LOCK_FILE: &[u8] = include_bytes!("../../Cargo.lock");

    /// Most runs for shrinking one plan.
    const SHRINK_RUNS: u64 = 250;

    fn catalogue(databases: bool) -> &'static [Planted] {
        if databases { cosmicsync_data::planted::CATALOGUE } else { cosmicsync_protocol::planted::CATALOGUE }
    }

    pub(crate) fn list(out: &mut impl Write, databases: bool) -> Result<()> {
        catalogue(databases).iter().try_for_each(|planted| writeln!(out, "{}", planted.id))
    }

    pub(crate) fn find(out: &mut impl Write, databases: bool, max: u64, dir: &Path, only: Option<&str>) -> Result<()> {
        for planted in catalogue(databases).iter().filter(|planted| only.is_none_or(|id| id == planted.id)) {
            find_one(out, databases, planted, max, dir)?;
            choose(None);
        }
        Ok(())
    }

    fn plan(databases: bool, seed: u64) -> Plan {
        // Some mistakes show only with copied processes, others only with documents made apart.
        let profiles = [(Copies::None, false), (Copies::Processes, false), (Copies::None, true)];
        let (copies, apart) = profiles[(seed % 3) as usize];
        let profile = if databases { Profile::of_databases(seed) } else { Profile::named(copies, apart) };
        generate(seed, &profile)
    }

    fn find_one(out: &mut impl Write, databases: bool, planted: &'static Planted, max: u64, dir: &Path) -> Result<()> {
        let Planted { id, region, .. } = planted;
        let plan = |seed| plan(databases, seed);
        let holds = |seed, chosen| {
            choose(chosen);
            run(&plan(seed)).is_ok_and(|report| report.is_ok())
        };
        let found = (0..max).find(|seed| !holds(*seed, Some(planted)) && holds(*seed, None));
        choose(Some(planted));
        let Some(seed) = found else {
            return writeln!(out, "{id}\t{region}\t-\tnot found in {max} seeds");
        };
        let shrunk = shrink(&plan(seed), SHRINK_RUNS, |_| {}).map_err(Error::other)?;
        let Some(first) = shrunk.report.violations.first() else { return Err(Error::other("nothing to keep")) };
        let bundle = json!({
            "format": 1,
            "about": planted.what,
            "program": { "version": env!("CARGO_PKG_VERSION"), "lock": blake3::hash(LOCK_FILE).to_hex().as_str() },
            "lane": "core",
            "seed": seed,
            "violation": first,
            "trace_hash": shrunk.report.trace_hash,
            "plan": shrunk.plan,
        });
        std::fs::write(dir.join(format!("{id}.json")), serde_json::to_vec_pretty(&bundle)?)?;
        let (faults, peers) =
            (shrunk.plan.actions.iter().filter(|action| action.act.is_fault()).count(), shrunk.plan.peers.len());
        writeln!(out, "{id}\t{region}\t{}\t{}\t{} ({faults} faults, {peers} peers)", seed + 1, first.oracle, first.text)
    }

    pub(crate) fn replay(out: &mut impl Write, databases: bool, dir: &Path, id: &str) -> Result<()> {
        let planted = catalogue(databases).iter().find(|planted| planted.id == id);
        let planted = planted.ok_or_else(|| Error::other(format!("there is no {id}")))?;
        let mut bundle: Value = serde_json::from_slice(&std::fs::read(dir.join(format!("{id}.json")))?)?;
        let plan: Plan = serde_json::from_value(bundle["plan"].take())?;
        let mut oracles = Vec::new();
        for chosen in [Some(planted), None] {
            choose(chosen);
            let report = run(&plan).map_err(Error::other)?;
            oracles.push(report.first().map_or_else(|| "-".to_owned(), |oracle| oracle.to_string()));
        }
        writeln!(out, "{id}\t{}\t{}", oracles[0], oracles[1])
    }
}

#[cfg(planted)]
fn main() -> Result<()> {
    use std::path::PathBuf;
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let databases = args.iter().any(|arg| arg == "--databases");
    args.retain(|arg| arg != "--databases");
    let mut out = std::io::stdout().lock();
    let dir = PathBuf::from(args.get(1).map_or(".", String::as_str));
    // A planted panic is a finding, not a message.
    std::panic::set_hook(Box::new(|_| {}));
    match (args.first().map(String::as_str), args.get(2)) {
        (Some("--list"), _) => with::list(&mut out, databases),
        (Some("--replay"), Some(id)) => with::replay(&mut out, databases, &dir, id),
        (max, id) => {
            let max = max.and_then(|max| max.parse().ok()).unwrap_or(1_000);
            with::find(&mut out, databases, max, &dir, id.map(String::as_str))
        }
    }
}

#[cfg(not(planted))]
fn main() -> Result<()> {
    use std::io::Write;
    writeln!(std::io::stderr(), "build it with RUSTC_WORKSPACE_WRAPPER=tools/planted.sh")?;
    std::process::exit(2)
}
