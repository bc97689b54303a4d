//! Crashes a real store at many moments and checks that it opens again.
//!
//! The tool records the writes and syncs of a run of [`cosmicsync_node::store::LmdbStore`], and makes from them files
//! that a disk may hold after a crash. Each must open with every acknowledged commit, with a prefix of the run without
//! holes, and without anything that was never submitted. The tool also fills the disk and fails its syncs. The output
//! is one line of JSON. The run fails if anything is violated or nothing was checked (`spec/storage.md`).

mod check;
mod image;
mod record;
mod workload;

use check::Violation;
use clap::{Parser, Subcommand};
use cosmicsync_node::store::{DATA_FILE, SYNC_FAILED_FILE};
use cosmicsync_protocol::entropy::Entropy;
use record::{Event, Fault, Recording};
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use workload::{Chain, Mark};

/// One of this many images must also take another commit.
const WRITE_EVERY: u64 = 8;

#[derive(Debug, Parser)]
#[command(about = "Crashes a real store at every kind of moment and checks what opens again")]
struct Arguments {
    /// Number of crashes to try.
    #[arg(long, default_value_t = 2_000)]
    images: u64,
    /// Seed of the workload and the crashes. The grouping of commits into syncs still depends on timing.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of commits in the recorded run.
    #[arg(long, default_value_t = 400)]
    commits: u64,
    /// Crashes a disk that loses the second half of what it confirmed: proves that this tool finds a loss.
    #[arg(long)]
    lying_disk: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the recorded workload itself.
    #[command(hide = true)]
    Workload { dir: PathBuf, marks: PathBuf },
    /// Compiles the library that records and injects faults, for preloading into another program (see `shim.c`)
    Shim {
        /// An existing directory; the library there is `shim.so`
        dir: PathBuf,
    },
}

/// Counts of checks and violations.
#[derive(Debug, Default)]
struct Tally {
    images: u64,
    inside_commit: u64,
    acked_checked: u64,
    lost: u64,
    holes: u64,
    beyond: u64,
    unopenable: u64,
    faults: u64,
    fault_violations: u64,
}

impl Tally {
    fn is_good(&self) -> bool {
        let wrong = self.lost + self.holes + self.beyond + self.unopenable + self.fault_violations;
        wrong == 0 && self.images > 0 && self.inside_commit > 0 && self.acked_checked > 0
    }

    fn count(&mut self, violation: &Violation) {
        *match violation {
            Violation::Unopenable(_) | Violation::Unreadable(_) | Violation::Unwritable => &mut self.unopenable,
            Violation::Lost { .. } => &mut self.lost,
            Violation::Beyond { .. } => &mut self.beyond,
            Violation::Hole { .. } => &mut self.holes,
        } += 1;
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "images": self.images, "inside_commit": self.inside_commit, "acked_checked": self.acked_checked,
            "lost": self.lost, "holes": self.holes, "beyond": self.beyond, "unopenable": self.unopenable,
            "faults": self.faults, "fault_violations": self.fault_violations,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Command::Workload { dir, marks }) => {
            workload::run(dir, marks, arguments.seed, arguments.commits).map(|()| true)
        }
        Some(Command::Shim { dir }) => record::build_shim(dir).map(|_| true),
        None => campaign(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn campaign(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let shim = record::build_shim(home.path())?;
    let chain = Chain::new(arguments.seed, arguments.commits);
    let run = (arguments.seed, arguments.commits);
    let mut entropy = Entropy::new([1; 32]).child(&format!("crashes {}", arguments.seed));
    let mut tally = Tally::default();
    let nth = 2 + entropy.below((arguments.commits / 64).max(1));
    let faults = [Fault::Sync(nth), Fault::Root(nth), Fault::Space(1024 * arguments.commits)];
    let share = arguments.images / 10;
    for fault in faults {
        let recording = record::record(home.path(), &shim, run, fault)?;
        tally.faults += 1;
        if let Err(what) = check_fault(fault, &recording, &chain) {
            tally.fault_violations += 1;
            complain(&format!("{fault:?}: {what}"));
        }
        crash(&recording, &chain, share, arguments.lying_disk, &mut entropy, &mut tally)?;
    }
    let recording = record::record(home.path(), &shim, run, Fault::None)?;
    crash(&recording, &chain, arguments.images - 3 * share, arguments.lying_disk, &mut entropy, &mut tally)?;
    writeln!(std::io::stdout(), "{}", tally.json())?;
    Ok(tally.is_good())
}

/// Checks `count` images of one recording.
fn crash(
    recording: &Recording,
    chain: &Chain,
    count: u64,
    lying_disk: bool,
    entropy: &mut Entropy,
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    let mut failed = None;
    image::each(recording, count, lying_disk, entropy, |image| {
        let number = tally.images;
        tally.images += 1;
        tally.inside_commit += u64::from(image.inside_commit);
        tally.acked_checked += image.acked;
        let checked = in_new_dir(&image.file, |dir| {
            check::check(dir, chain, (image.acked, image.submitted), number.is_multiple_of(WRITE_EVERY))
        });
        match checked {
            Ok(Ok(_)) => {}
            Ok(Err(violation)) => {
                tally.count(&violation);
                complain(&format!("image {number} {violation}"));
            }
            Err(error) => failed = Some(error),
        }
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn in_new_dir<T>(file: &[u8], check: impl FnOnce(&Path) -> T) -> std::io::Result<T> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join(DATA_FILE), file)?;
    Ok(check(dir.path()))
}

/// Checks that a run reported its fault by the right error, stopped there, and left exactly the acknowledged commits.
fn check_fault(fault: Fault, recording: &Recording, chain: &Chain) -> Result<(), Box<dyn Error>> {
    let marks =
        || recording.events.iter().filter_map(|event| if let Event::Mark(mark) = event { Some(*mark) } else { None });
    let acked = marks().filter(|mark| matches!(mark, Mark::Acked(_))).count() as u64;
    let mut failures = marks().filter(|mark| !matches!(mark, Mark::Acked(_) | Mark::Submitted(_)));
    let first = failures.next().ok_or("no commit failed")?;
    let expected = if matches!(fault, Fault::Space(_)) { Mark::Full(acked + 1) } else { Mark::NotDurable(acked + 1) };
    if first != expected {
        return Err(format!("the first failure was {first:?}, not {expected:?}").into());
    }
    if let Some(other) = failures.find(|mark| !matches!(mark, Mark::Poisoned(_))) {
        return Err(format!("after it came {other:?}").into());
    }
    if recording.dir.join(SYNC_FAILED_FILE).exists() == matches!(fault, Fault::Space(_)) {
        return Err("the mark of a failed sync is there when it should not be, or the other way round".into());
    }
    check::check(&recording.dir, chain, (acked, acked), false)?;
    Ok(())
}

fn complain(what: &str) {
    // If nobody can read the message, the exit code still reports the failure.
    drop(writeln!(std::io::stderr(), "crash-images: {what}"));
}
