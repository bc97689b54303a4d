//! `explain`: draws a run as a space-time diagram, with a caption in plain English.

mod axis;
mod caption;
mod gather;
mod legend;
mod picture;
mod story;
mod svg;

use std::fs;

use cosmicsync_sim::{Plan, Report};

use crate::bundle::Loaded;
use crate::cli::Explain;
use crate::error::{Code, Failure};
use crate::{Stdout, Verdict};

pub(crate) use caption::{Caption, demands};
pub(crate) use svg::escaped;

/// Runs a plan and draws the run.
pub(crate) fn run(args: &Explain, loaded: &Loaded, output: &mut Stdout) -> Result<Verdict, Failure> {
    let (from_us, until_us) = (args.from.map(|from| from.us), args.until.map(|until| until.us));
    if from_us.zip(until_us).is_some_and(|(from, until)| from >= until) {
        let next = format!("cosmicsync-chaos explain {}", crate::report::shell_word(&loaded.name()));
        return Err(Failure::new(Code::Usage, "--from must come before --until").next(next));
    }
    let plan = loaded.input.plan();
    let report = loaded.input.run()?;
    if report.trace.is_none() {
        let failure = Failure::new(Code::Usage, format!("{} holds no trace", loaded.name()));
        return Err(failure.next("keep one with App::run_traced, then: cosmicsync-chaos explain"));
    }
    let caption = Caption::of(plan, loaded.input.seed(), &report);
    let (part, picture) = draw(plan, &report, Some(&caption), (from_us, until_us));
    let path = args.to.clone().unwrap_or_else(|| loaded.beside("svg"));
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| Failure::file("make", dir, &error))?;
    }
    fs::write(&path, picture).map_err(|error| Failure::file("write", &path, &error))?;
    output.object(&serde_json::json!({
        "name": plan.name, "seed": loaded.input.seed(), "held": report.is_ok(),
        "violation": report.violations.first(), "caption": caption, "bound": report.stats.bound,
        "window": { "from_us": part.from_us, "until_us": part.until_us },
        "peers": part.peers, "left_out": part.left_out, "svg": path.display().to_string(),
    }))?;
    for line in caption.lines() {
        output.line(&line)?;
    }
    output.line(&format!("diagram: {}", path.display()))?;
    Ok(Verdict::Held)
}

/// Draws a traced run; returns the picture and the part of the run that it shows.
pub(crate) fn draw(
    plan: &Plan,
    report: &Report,
    caption: Option<&Caption>,
    (from_us, until_us): (Option<u64>, Option<u64>),
) -> (gather::Part, String) {
    let story = story::Story::of(plan, report);
    let part = gather::part(&story, from_us, until_us);
    let title = format!("What happened in {}", plan.name);
    let picture = picture::draw(&part, caption, &title);
    (part, picture)
}
