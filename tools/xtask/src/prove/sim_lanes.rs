//! `sim-lanes`: planted bugs of the driver, the store's writer and the database, and the lane that finds each.
//!
//! Each bug runs in every lane for a few seeds. A bug that no lane finds by then runs in the core for more. The table
//! shows which lanes find it, and which are blind to it.

use super::sim_core::{in_parallel, printed};
use super::{Report, Setting, built, sim_turmoil};
use crate::{Failure, repo, sim, step};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Number of seeds in the core if no lane finds a bug in [`SEEDS`]: the bound of `sim-core` for a planted bug.
const CORE_SEEDS_MAX: u64 = 2_000;
/// Number of seeds in the core, of each scenario of the transport lane, of each workload of interleavings.
const SEEDS: [u64; 3] = [200, 4, 4];
/// Seeds of soaks of processes, and the duration of each.
const SOAKS: (std::ops::Range<u64>, &str) = (0..2, "15s");
/// The lanes, in the order of the table.
const LANES: [&str; 4] = ["core", "turmoil", "madsim", "process"];

/// The programs of the lanes, with planted bugs.
struct Programs {
    core: PathBuf,
    transport: PathBuf,
    interleave: PathBuf,
    chaos: PathBuf,
    node: PathBuf,
}

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let programs = build(home.path(), &setting.binary)?;
    let listed = printed(Command::new(&programs.interleave).args(["--planted", "--list"]))?;
    let bugs: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let rows = in_parallel(bugs.len(), |at| {
        let (id, region) = bugs[at];
        let found = found_by(&programs, home.path(), id)?;
        let cells: Vec<&str> = found.iter().map(|found| if *found { "finds it" } else { "blind" }).collect();
        eprintln!("sim-lanes: {id:24} {region:10} {}", cells.join("  "));
        Ok(found)
    })?;
    let count = bugs.len() as u64;
    for (lane, name) in LANES.iter().enumerate() {
        let found = rows.iter().filter(|row| row[lane]).count();
        report.figure(&format!("planted bugs that the lane {name} finds"), found as f64, count);
    }
    let found = rows.iter().filter(|row| row.contains(&true)).count() as u64;
    report.figure("planted bugs of driver, writer and database", count as f64, count);
    report.figure("planted bugs that some lane finds, of ten", found as f64 * 10.0 / count as f64, count);
    Ok(())
}

fn build(home: &Path, binary: &Path) -> Result<Programs, Failure> {
    step::shown(repo::cargo(&["build", "--release", "--quiet", "--package", "cosmicsync-chaos"]))?;
    let chaos = built("cosmicsync-chaos")?;
    let wrapped = |args: &[&str]| {
        let mut build = repo::cargo(&[&["build", "--release", "--quiet"], args].concat());
        build.env("RUSTC_WORKSPACE_WRAPPER", repo::root().join("tools/planted.sh"));
        step::shown(build)
    };
    let this = home.join("this");
    std::fs::copy(binary, &this)?;
    // Built beside the simulator, which brings the feature that planted bugs need.
    wrapped(&["--package", "cosmicsync", "--package", "cosmicsync-sim", "--bins", "--example", "planted"])?;
    let node = home.join("planted-node");
    std::fs::copy(built("cosmicsync")?, &node)?;
    std::fs::copy(&this, binary)?;
    let transport = sim_turmoil::program(true)?;
    Ok(Programs { core: built("examples")?.join("planted"), transport, interleave: sim::madsim(true)?, chaos, node })
}

/// Returns which lanes find a bug.
fn found_by(programs: &Programs, home: &Path, id: &str) -> Result<[bool; 4], Failure> {
    let is_found = |text: &str| text.lines().any(|line| line.starts_with(id) && line.split('\t').nth(2) != Some("-"));
    let [core_seeds, transport_seeds, interleave_seeds] = SEEDS.map(|seeds| seeds.to_string());
    let in_core = |seeds: &str| printed(Command::new(&programs.core).args(["--databases", seeds]).arg(home).arg(id));
    let core = is_found(&in_core(&core_seeds)?);
    let transport = printed(Command::new(&programs.transport).args(["--planted", &transport_seeds, id]))?;
    let interleave = printed(Command::new(&programs.interleave).args(["--planted", &interleave_seeds, id]))?;
    let mut process = false;
    for seed in SOAKS.0 {
        let mut soak = Command::new(&programs.chaos);
        soak.args(["soak", "--quiet", "--peers", "3", "--for", SOAKS.1, "--seed", &seed.to_string(), "--bundles"]);
        soak.arg(home).arg("--program").arg(&programs.node).env("PLANTED_BUG", id);
        // A node that cannot even be set up is found, too.
        process |= matches!(soak.output()?.status.code(), Some(1 | 4));
    }
    let (transport, interleave) = (is_found(&transport), is_found(&interleave));
    let core = core || (!transport && !interleave && !process && is_found(&in_core(&CORE_SEEDS_MAX.to_string())?));
    Ok([core, transport, interleave, process])
}
