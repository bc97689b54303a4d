//! Mutants: mistakes that the machine draws, in the pure crates.
//!
//! A seed draws places of `protocol/src` and `data/src`. A copy of the tree gets one switch per place and is compiled
//! once. Then each mutant is run by simulated campaigns, and by the unit tests if those see nothing. A survivor is
//! equivalent, unreachable, or wants an oracle.

mod place;

use crate::{Failure, repo};
use place::{Place, draw};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The crates that get mutants, and the path of the switch in each.
const CRATES: [(&str, &str); 2] = [("protocol/src", "crate::mutant"), ("data/src", "cosmicsync_protocol::mutant")];
/// The packages that are built and tested.
const PACKAGES: [&str; 6] =
    ["--package", "cosmicsync-protocol", "--package", "cosmicsync-data", "--package", "cosmicsync-sim"];
/// The tests that judge what campaigns do not see.
const TESTS: &str = "package(cosmicsync-protocol) or package(cosmicsync-data)";
/// Environment variable with the number of the mutant that is on.
const ON: &str = "COSMICSYNC_MUTANT";
/// Environment variable that has each mutant's number printed when its place is reached.
const REACHED: &str = "COSMICSYNC_MUTANTS_REACHED";
/// Silence after which a campaign hangs: a seed takes a twentieth of a second.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest run of the tests, in seconds.
const TESTS_S: &str = "900";

/// Arguments of `cargo xtask mutants`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seed that draws the mutants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of mutants
    #[arg(long, default_value_t = 60)]
    count: usize,
    /// Seeds of each campaign: plain, databases, copied processes
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Runs this mutant alone
    #[arg(long)]
    only: Option<usize>,
    /// Lists the mutants and runs nothing
    #[arg(long)]
    list: bool,
    /// Runs no unit tests: survivors of the campaigns survive
    #[arg(long)]
    no_tests: bool,
}

/// Draws mutants, runs them, and prints who killed each.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let places = draw(&sources()?, args.seed, args.count)?;
    if args.list {
        places.iter().enumerate().for_each(|(no, place)| println!("{no}\t{place}"));
        return Ok(());
    }
    let tree = repo::target().join("mutants/tree");
    plant(&tree, &places)?;
    build(&tree, !args.no_tests)?;
    let lanes: [&[&str]; 3] = [&[], &["--databases"], &["--copies"]];
    let mut reached = BTreeSet::new();
    for lane in lanes {
        reached.extend(reached_by(args.seeds.min(40), lane)?);
    }
    let mut killed = BTreeMap::<&str, usize>::new();
    let chosen = |(no, _): &(usize, &Place)| args.only.is_none_or(|only| only == *no);
    for (no, place) in places.iter().enumerate().filter(chosen) {
        let by_campaign = if reached.contains(&no) {
            lanes.iter().find_map(|lane| campaign(no, args.seeds, lane).transpose()).transpose()?
        } else {
            None
        };
        let (kind, who) = match by_campaign {
            Some(found) => ("campaign", found),
            None if args.no_tests => ("survives", String::new()),
            None => tests(&tree, no)?.map_or(("survives", String::new()), |test| ("test", test)),
        };
        *killed.entry(kind).or_default() += 1;
        let met = if reached.contains(&no) { "" } else { ", not reached by campaigns" };
        println!("{no}\t{kind}{met}\t{place}\t{who}");
    }
    let of = |kind| killed.get(kind).copied().unwrap_or(0);
    let (campaigns, tests, all) = (of("campaign"), of("test"), killed.values().sum::<usize>());
    let (dead, seed) = (campaigns + tests, args.seed);
    println!("mutants: {dead} of {all} killed, {campaigns} by campaigns, {tests} by tests; seed {seed}");
    Ok(())
}

/// Returns the files that may get mutants, with their text: no test, no test kit, no list of planted bugs.
fn sources() -> Result<Vec<(PathBuf, String)>, Failure> {
    let is_left_out = |file: &Path| {
        let is = |part: &str| file.iter().any(|name| name == part);
        is("tests") || is("testkit") || is("tests.rs") || is("planted.rs") || is("fuzz.rs")
    };
    let files = repo::files()?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    let ours = files.filter(|file| CRATES.iter().any(|(root, _)| file.starts_with(root)) && !is_left_out(file));
    ours.map(|file| Ok((file.clone(), std::fs::read_to_string(repo::root().join(&file))?))).collect()
}

/// Copies the tree, and puts a switch at each place. Files that did not change keep their time, so that cargo builds
/// only what differs.
fn plant(tree: &Path, places: &[Place]) -> Result<(), Failure> {
    for file in repo::files()? {
        let mut text = std::fs::read(repo::root().join(&file))?;
        let switch = CRATES.iter().find(|(root, _)| file.starts_with(root)).map(|(_, switch)| *switch);
        let mut here: Vec<_> = places.iter().enumerate().filter(|(_, place)| place.file == file).collect();
        here.sort_by_key(|(_, place)| core::cmp::Reverse(place.range.start));
        if let (Some(switch), false) = (switch, here.is_empty()) {
            let mut changed = String::from_utf8(text)?;
            for (no, place) in here {
                changed.replace_range(place.range.clone(), &place.with_switch(&format!("{switch}({no})")));
            }
            text = changed.into_bytes();
        }
        if file == Path::new("protocol/src/lib.rs") {
            text.extend_from_slice(switch_of(places.len()).as_bytes());
        }
        let target = tree.join(&file);
        if std::fs::read(&target).ok().as_deref() != Some(&text) {
            std::fs::create_dir_all(target.parent().ok_or("a file lies in a directory")?)?;
            std::fs::write(&target, text)?;
        }
    }
    Ok(())
}

/// Returns the source of the function that tells whether a mutant is on.
fn switch_of(count: usize) -> String {
    let mut source = String::new();
    let _ = write!(
        source,
        r#"
static MUTANTS_REACHED: [core::sync::atomic::AtomicBool; {count}] =
    [const {{ core::sync::atomic::AtomicBool::new(false) }}; {count}];
static MUTANT: std::sync::LazyLock<(usize, bool)> = std::sync::LazyLock::new(|| {{
    let on = std::env::var("{ON}").ok().and_then(|no| no.parse().ok()).unwrap_or(usize::MAX);
    (on, std::env::var_os("{REACHED}").is_some())
}});
/// Returns whether a mutant is on.
pub fn mutant(no: usize) -> bool {{
    if MUTANT.1 && !MUTANTS_REACHED[no].swap(true, core::sync::atomic::Ordering::Relaxed) {{
        eprintln!("reached {{no}}");
    }}
    MUTANT.0 == no
}}
"#
    );
    source
}

/// Returns a cargo command for the copy of the tree, with a target directory of its own and without its lints.
fn cargo(tree: &Path, args: &[&str]) -> Command {
    let mut cargo = repo::cargo(args);
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", built()).env("RUSTFLAGS", "--cap-lints allow");
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    cargo
}

fn built() -> PathBuf {
    repo::target().join("mutants/target")
}

fn build(tree: &Path, with_tests: bool) -> Result<(), Failure> {
    let args = [&["build", "--release", "--quiet"][..], &PACKAGES, &["--example", "swarm"]].concat();
    crate::step::shown(cargo(tree, &args))?;
    if with_tests {
        let args = [&["nextest", "run", "--release", "--no-run", "--cargo-quiet"][..], &PACKAGES].concat();
        crate::step::shown(cargo(tree, &args))?;
    }
    Ok(())
}

fn swarm(seeds: u64, lane: &[&str]) -> Command {
    let mut swarm = Command::new(built().join("release/examples/swarm"));
    swarm.args(["0", &seeds.to_string()]).args(lane);
    swarm
}

/// Returns the mutants whose places a campaign reaches.
fn reached_by(seeds: u64, lane: &[&str]) -> Result<Vec<usize>, Failure> {
    let output = swarm(seeds, lane).env(REACHED, "1").stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        return Err("the campaign fails without a mutant".into());
    }
    let text = String::from_utf8(output.stderr)?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("reached ")?.parse().ok()).collect())
}

/// Runs a campaign with a mutant. Returns what it found: the first violation, an end of the process, or silence.
fn campaign(no: usize, seeds: u64, lane: &[&str]) -> Result<Option<String>, Failure> {
    let mut process =
        swarm(seeds, lane).env(ON, no.to_string()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdout = process.stdout.take().ok_or("the output is piped")?;
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    let found = loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) if line.starts_with("bad ") => break Some(line.chars().take(140).collect()),
            Ok(_) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => break Some("it hangs".to_owned()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                break (!process.wait()?.success()).then(|| "the process ends".to_owned());
            }
        }
    };
    drop(lines);
    let _ = process.kill();
    process.wait()?;
    let _ = reader.join();
    Ok(found.map(|found| format!("{} {found}", lane.first().unwrap_or(&"core"))))
}

/// Runs the tests with a mutant. Returns the first that fails.
fn tests(tree: &Path, no: usize) -> Result<Option<String>, Failure> {
    let nextest = ["nextest", "run", "--release", "--cargo-quiet", "--fail-fast", "-E", TESTS];
    let args = [&nextest[..5], &PACKAGES, &nextest[5..]].concat();
    let cargo = cargo(tree, &args);
    let mut timed = repo::command("timeout");
    timed.current_dir(tree).arg(TESTS_S).arg(cargo.get_program()).args(cargo.get_args());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    let output = timed.env(ON, no.to_string()).output()?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let failed = text.lines().find(|line| line.trim_start().starts_with("FAIL"));
    let name = failed.and_then(|line| line.split(") ").last()).unwrap_or("it hangs");
    Ok(Some(name.to_owned()))
}
