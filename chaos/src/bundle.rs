//! Bundles: all data for reproducing a run, failed or kept.
//!
//! A bundle is one JSON file. It contains the plan itself, not only the seed, since seeds rot when generators
//! change. The files in `scenarios/regressions/` are bundles too, shrunk and without a trace.

use std::fs;
use std::path::{Path, PathBuf};

use cosmicsync_sim::report::Record;
use cosmicsync_sim::scenario::Lane;
use cosmicsync_sim::{Plan, Report, Violation};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Failure};
use crate::pool;

/// The version of the form of bundles.
const FORMAT: u32 = 1;

/// Size of the largest bundle that is read, in bytes.
const BYTES_MAX: u64 = 1 << 30;

/// The lock file this program was built with.
const LOCK_FILE: &[u8] = include_bytes!("../../Cargo.lock");

/// A run and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundle {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Description of the bug and the fix, in a regression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) about: String,
    /// The program that found the failure.
    pub(crate) program: Program,
    /// The lane in which the plan ran.
    pub(crate) lane: Lane,
    /// The seed.
    pub(crate) seed: u64,
    /// The first violation; `None` for a run that held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) violation: Option<Violation>,
    /// The further violations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<Violation>,
    /// The hash of the trace.
    pub(crate) trace_hash: String,
    /// True if `shrink` made the plan.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) shrunk: bool,
    /// The plan that was run.
    pub(crate) plan: Plan,
    /// The trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<Vec<Record>>,
}

/// Sources of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    /// Version of the program.
    pub(crate) version: String,
    /// Commit of the sources, if the builder gave it in `COSMICSYNC_COMMIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
    /// The BLAKE3 hash of the lock file.
    pub(crate) lock: String,
}

impl Program {
    /// Returns this program.
    pub(crate) fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("COSMICSYNC_COMMIT").map(str::to_owned),
            lock: blake3::hash(LOCK_FILE).to_hex().to_string(),
        }
    }
}

impl Bundle {
    /// Makes a bundle of a run.
    pub(crate) fn of(seed: u64, plan: &Plan, report: &Report) -> Self {
        let also = report.violations.get(1..).unwrap_or_default();
        Self {
            format: FORMAT,
            about: String::new(),
            program: Program::this(),
            lane: Lane::Core,
            seed,
            violation: report.violations.first().cloned(),
            also: also.to_vec(),
            shrunk: false,
            trace_hash: report.trace_hash.clone(),
            plan: plan.clone(),
            trace: report.trace.clone(),
        }
    }

    /// Makes a bundle of a run of processes, which has no trace.
    pub(crate) fn of_processes(seed: u64, plan: &Plan) -> Self {
        Self {
            format: FORMAT,
            about: String::new(),
            program: Program::this(),
            lane: Lane::Process,
            seed,
            violation: None,
            also: Vec::new(),
            shrunk: false,
            trace_hash: String::new(),
            plan: plan.clone(),
            trace: None,
        }
    }

    /// Writes the bundle, after making the directory if needed.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::file("write", path, &error);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::new(Code::Internal, format!("cannot spell out a bundle: {error}")))?;
        text.push('\n');
        fs::write(path, text).map_err(failed)
    }

    /// Returns the path of a bundle, from its plan, its seed and its violation.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        let safe: String =
            self.plan.name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
        let trace: String = self.trace_hash.chars().take(8).collect();
        let result =
            self.violation.as_ref().map_or_else(|| "held".to_owned(), |violation| violation.oracle.to_string());
        if self.lane == Lane::Process {
            return dir.join(format!("{safe}-{}-process.json", self.seed));
        }
        dir.join(format!("{safe}-{}-{result}-{trace}.json", self.seed))
    }
}

/// A run named on the command line, and its content.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loaded {
    /// A file, or a scenario and a seed.
    pub(crate) path: PathBuf,
    pub(crate) input: Input,
}

impl Loaded {
    /// Reads a bundle or a plan from a file.
    pub(crate) fn read(path: PathBuf) -> Result<Self, Failure> {
        let input = Input::read(&path)?;
        Ok(Self { path, input })
    }

    /// Returns the path of a file beside it, with another extension.
    pub(crate) fn beside(&self, ending: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().replace(".toml@", "@");
        self.path.with_file_name(name.replace('@', "-")).with_extension(ending)
    }

    /// Returns the name given on the command line.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// A plan and the report of its traced run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    pub(crate) plan: Plan,
    pub(crate) report: Report,
}

/// Input of a command: a bundle, a plan, or a plan with its report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// A bundle.
    Bundle(Box<Bundle>),
    /// A plan, and the seed of the run.
    Plan(Box<Plan>, u64),
    /// A plan and its report, from the test of an app: this program cannot run it.
    Told(Box<Told>),
}

impl Input {
    /// Reads a bundle or a plan.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::file("read", path, &error).next("cosmicsync-chaos campaign --seeds 100");
        let wrong = |what: &str| {
            let next = match path.extension() {
                Some(ending) if ending == "toml" => format!("cosmicsync-chaos run {}", path.display()),
                _ => "to make bundles of what fails: cosmicsync-chaos campaign --seeds 100".to_owned(),
            };
            Failure::new(Code::Usage, format!("{} is neither a bundle nor a plan: {what}", path.display())).next(next)
        };
        if fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
            return Err(wrong(&format!("it has more than {BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let tree: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        if tree.get("plan").is_none() {
            return match serde_json::from_value::<Plan>(tree) {
                Ok(plan) => {
                    let seed = plan.seed;
                    Ok(Self::Plan(Box::new(plan), seed))
                }
                Err(error) => Err(wrong(&error.to_string())),
            };
        }
        if tree.get("report").is_some() {
            let told: Told = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
            return Ok(Self::Told(Box::new(told)));
        }
        if tree.get("format").and_then(serde_json::Value::as_u64) != Some(u64::from(FORMAT)) {
            return Err(wrong(&format!("its format is not {FORMAT}")));
        }
        // Parsed from the text again, so that an error has its line.
        let bundle: Bundle = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self::Bundle(Box::new(bundle)))
    }

    /// Returns the plan to run.
    pub(crate) const fn plan(&self) -> &Plan {
        match self {
            Self::Bundle(bundle) => &bundle.plan,
            Self::Plan(plan, _) => plan,
            Self::Told(told) => &told.plan,
        }
    }

    /// Returns the report of the run with its trace; runs the plan if needed.
    pub(crate) fn run(&self) -> Result<Report, Failure> {
        match self {
            Self::Told(told) => Ok(told.report.clone()),
            Self::Bundle(_) | Self::Plan(..) => pool::execute(self.plan(), true, false),
        }
    }

    /// Returns the bundle, if the input is one.
    pub(crate) fn bundle(&self) -> Option<&Bundle> {
        match self {
            Self::Bundle(bundle) => Some(bundle),
            Self::Plan(..) | Self::Told(_) => None,
        }
    }

    /// Returns the seed of the run.
    pub(crate) const fn seed(&self) -> u64 {
        match self {
            Self::Bundle(bundle) => bundle.seed,
            Self::Plan(_, seed) => *seed,
            Self::Told(told) => told.plan.seed,
        }
    }
}
