//! Pages about runs: a single HTML file that loads nothing.

mod html;

use std::fs;
use std::path::{Path, PathBuf};

use cosmicsync_sim::coverage::STATES;
use cosmicsync_sim::plan::FAULTS;
use cosmicsync_sim::report::Bound;
use cosmicsync_sim::{Plan, Report};

use crate::bundle::{Bundle, Program};
use crate::cli::{Global, PageOf};
use crate::coverage::Coverage;
use crate::error::Failure;
use crate::explain::{self, Caption};
use crate::run::Tally;
use crate::{Stdout, Verdict, catalog, report};
use html::Html;

/// Largest number of failures with a diagram.
const DRAWN_MAX: usize = 20;
/// Largest number of runs in the list.
const LISTED_MAX: usize = 300;
/// Number of the slowest runs.
const SLOWEST_MAX: usize = 10;

/// A page under construction.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    tally: Tally,
    coverage: Coverage,
    runs: Vec<Row>,
    failures: Vec<Drawn>,
}

#[derive(Debug)]
struct Row {
    order: (String, u64, Option<u64>),
    held: bool,
    cells: [String; 7],
    /// Time to agree, and its bound.
    agreed: Option<(u64, Bound)>,
}

/// A failure and its diagram.
#[derive(Debug)]
struct Drawn {
    title: String,
    caption: Caption,
    picture: String,
    commands: Vec<String>,
}

impl Page {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            tally: Tally::default(),
            coverage: Coverage::default(),
            runs: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds a run.
    pub(crate) fn add(&mut self, seed: u64, event: Option<u64>, plan: &Plan, report: &Report) {
        self.tally.add(report);
        self.coverage.add(plan, report);
        let at = event.map(|event| format!(" event {event}")).unwrap_or_default();
        let stats = &report.stats;
        self.runs.push(Row {
            order: (plan.name.clone(), seed, event),
            held: report.is_ok(),
            cells: report::row(&format!("{} {seed}{at}", plan.name), report),
            agreed: stats.converged_us.zip(stats.bound.filter(|bound| !bound.again)),
        });
    }

    /// Adds a failure, from its traced run.
    pub(crate) fn add_failure(&mut self, seed: u64, plan: &Plan, report: &Report, path: &Path, shrunk: bool) {
        if self.failures.len() >= DRAWN_MAX {
            return;
        }
        let caption = Caption::of(plan, seed, report);
        let (_, picture) = explain::draw(plan, report, None, (None, None));
        let verbs = ["replay", "explain", "shrink"];
        let commands = verbs.iter().filter(|verb| !(shrunk && **verb == "shrink"));
        self.failures.push(Drawn {
            title: caption.result.clone(),
            caption,
            picture,
            commands: commands.map(|verb| report::command(verb, path)).collect(),
        });
    }

    /// Returns the HTML text. `asked` is the number of requested runs.
    fn text(mut self, asked: u64) -> String {
        self.runs.sort_by(|a, b| a.order.cmp(&b.order));
        let mut html = Html::new(&self.title);
        self.summary(&mut html, asked);
        self.failures(&mut html);
        self.slowest(&mut html);
        self.coverage(&mut html);
        self.list(&mut html);
        let Program { version, commit, .. } = Program::this();
        let commit = commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
        html.finish(&format!("cosmicsync-chaos {version}{commit}"))
    }

    fn summary(&self, html: &mut Html, asked: u64) {
        let Tally { runs, violated, virtual_us, acked, checks, faults, .. } = &self.tally;
        let held = *violated == 0 && *runs == asked && *runs > 0;
        let verdict = match (held, *violated) {
            (true, _) => format!("Held: {runs} of {asked} runs, nothing violated"),
            (false, 0) => format!("Not complete: {runs} of {asked} runs"),
            (false, _) => format!("Violated: {violated} of {runs} runs"),
        };
        html.verdict(held, &verdict);
        html.figures(&[
            ("runs", runs.to_string()),
            ("violated", violated.to_string()),
            ("virtual time", report::time(*virtual_us)),
            ("edits acknowledged", acked.to_string()),
            ("comparisons", checks.to_string()),
            ("faults", faults.to_string()),
        ]);
    }

    fn failures(&self, html: &mut Html) {
        if self.tally.violated == 0 {
            return;
        }
        html.heading("Failures");
        for (oracle, times) in &self.tally.oracles {
            let times = if *times == 1 { "1 run".to_owned() } else { format!("{times} runs") };
            html.paragraph(&format!("{oracle} was violated first in {times}."));
        }
        let undrawn = self.tally.violated.saturating_sub(self.failures.len() as u64);
        for (at, failure) in self.failures.iter().enumerate() {
            let Drawn { title, caption, picture, commands } = failure;
            html.failure(title, caption.lines().get(1..).unwrap_or_default(), commands, picture, at < 3);
        }
        if undrawn > 0 {
            html.paragraph(&format!("{undrawn} more failures are not drawn; their bundles are there."));
        }
    }

    fn slowest(&self, html: &mut Html) {
        let mut agreed: Vec<(&Row, u64, Bound)> =
            self.runs.iter().filter_map(|row| row.agreed.map(|(us, bound)| (row, us, bound))).collect();
        if agreed.is_empty() {
            return;
        }
        agreed.sort_by_key(|(row, us, _)| (core::cmp::Reverse(*us), row.order.clone()));
        html.heading("Slowest to agree");
        html.paragraph("From the end of faults until all peers agreed, beside the time that they may take.");
        let rows = agreed.iter().take(SLOWEST_MAX).map(|(row, us, bound)| {
            let allowed = bound.total_us();
            let share = format!("{:.0} %", *us as f64 * 100.0 / allowed.max(1) as f64);
            vec![row.cells[0].clone(), report::time(*us), report::time(allowed), share]
        });
        html.table(&["RUN", "AGREED AFTER", "MAY TAKE", "SHARE"], rows);
    }

    fn coverage(&self, html: &mut Html) {
        html.heading("Coverage");
        let never = self.coverage.never();
        let marks = self.coverage.marks.iter();
        let rows = marks.map(|(name, met)| vec![name.clone(), met.times.to_string(), met.runs.to_string()]);
        html.details(&format!("{} events and marks were met", self.coverage.marks.len()), |html| {
            html.table(&["EVENT OR MARK", "TIMES", "RUNS"], rows);
        });
        let met = FAULTS.iter().filter(|fault| !never.faults.contains(fault));
        let rows: Vec<Vec<String>> = met
            .map(|fault| {
                let states = self.coverage.states(fault).into_iter();
                let cells = states.map(|times| if times > 0 { times.to_string() } else { "–".to_owned() });
                core::iter::once((*fault).to_owned()).chain(cells).collect()
            })
            .collect();
        if !rows.is_empty() {
            html.paragraph("Faults, and the state in which they found a peer:");
            let head: Vec<&str> = core::iter::once("FAULT").chain(STATES).collect();
            html.table(&head, rows.into_iter());
        }
        html.details("What was never met", |html| {
            for (what, names) in [("Events", never.events), ("Marks", never.marks), ("Faults", never.faults)] {
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                html.paragraph(&format!("{what}: {names}."));
            }
        });
    }

    fn list(&self, html: &mut Html) {
        html.heading("Runs");
        let first = self.runs.iter().filter(|row| !row.held).chain(self.runs.iter().filter(|row| row.held));
        let rows = first.take(LISTED_MAX).map(|row| row.cells.to_vec());
        html.table(&["RUN", "RESULT", "VIRTUAL TIME", "EVENTS", "ACKNOWLEDGED", "FAULTS", "AGREED AFTER"], rows);
        if self.runs.len() > LISTED_MAX {
            html.paragraph(&format!("{} more runs held and are not listed.", self.runs.len() - LISTED_MAX));
        }
    }
}

/// Writes a page, if there is one.
pub(crate) fn write(page: Option<Page>, path: Option<&Path>, asked: u64, output: &mut Stdout) -> Result<(), Failure> {
    let Some((page, path)) = page.zip(path) else { return Ok(()) };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| Failure::file("make", dir, &error))?;
    }
    fs::write(path, page.text(asked)).map_err(|error| Failure::file("write", path, &error))?;
    output.line(&format!("page: {}", path.display()))?;
    Ok(())
}

/// Runs the named plans and writes a page about them.
pub(crate) fn run(global: &Global, args: &PageOf, output: &mut Stdout) -> Result<Verdict, Failure> {
    let mut page = Page::new("report");
    let bar = output.bar(args.runs.len() as u64, "runs");
    let mut rows = Vec::new();
    for name in &args.runs {
        let loaded = catalog::load(global, name)?;
        let (plan, seed) = (loaded.input.plan(), loaded.input.seed());
        let found = loaded.input.run()?;
        page.add(seed, None, plan, &found);
        if !found.is_ok() {
            let shrunk = loaded.input.bundle().is_some_and(|bundle: &Bundle| bundle.shrunk);
            page.add_failure(seed, plan, &found, &loaded.path, shrunk);
        }
        bar.inc(1);
        rows.push(report::row(&loaded.name(), &found));
    }
    bar.finish_and_clear();
    let (asked, violated): (u64, u64) = (args.runs.len() as u64, page.tally.violated);
    let path: PathBuf = args.html.clone();
    output.object(&serde_json::json!({ "runs": asked, "violated": violated, "html": path.display().to_string() }))?;
    output.table(report::COLUMNS, &rows)?;
    write(Some(page), Some(&path), asked, output)?;
    Ok(if violated == 0 { Verdict::Held } else { Verdict::Red })
}
