//! `shrink`: finds the smallest plan that fails in the same way, and tries it twice more in fresh processes.

use cosmicsync_sim::plan::Plan;
use cosmicsync_sim::shrink::{Progress, ShrinkError, Signature, shrink};

use crate::bundle::{Bundle, Loaded};
use crate::cli::Shrink;
use crate::error::{Code, Failure};
use crate::{Stdout, Verdict, pool, report};

/// Shrinks a bundle's plan and writes the small bundle beside it.
pub(crate) fn run(args: &Shrink, loaded: &Loaded, output: &mut Stdout) -> Result<Verdict, Failure> {
    let input = &loaded.input;
    let bar = output.spinner();
    let shrunk = shrink(input.plan(), args.runs_max, |progress| {
        let Progress { runs, actions, faults, peers } = progress;
        bar.set_message(format!("run {runs}: {actions} actions ({faults} faults) and {peers} peers are left"));
    });
    bar.finish_and_clear();
    let shrunk = shrunk.map_err(|error| match error {
        ShrinkError::Plan(_) => Failure::new(Code::Usage, error.to_string()),
        ShrinkError::Holds => Failure::new(Code::Refused, format!("{}: {error}", loaded.path.display()))
            .next(report::command("replay", &loaded.path)),
    })?;
    if let Some(was) = input.bundle().and_then(|bundle| bundle.violation.as_ref())
        && shrunk.report.first() != Some(was.oracle)
    {
        let message = format!("the bundle says {}, but its plan violates another oracle", was.oracle);
        return Err(Failure::new(Code::Refused, message).next(report::command("replay", &loaded.path)));
    }
    let traced = pool::execute(&shrunk.plan, true, false)?;
    let mut small = Bundle::of(input.seed(), &shrunk.plan, &traced);
    (small.trace, small.shrunk) = (None, true);
    if let Some(bundle) = input.bundle() {
        small.about.clone_from(&bundle.about);
    }
    verify(&small, &Signature::of(&shrunk.report))?;
    let path = args.to.clone().unwrap_or_else(|| loaded.beside("shrunk.json"));
    small.write(&path)?;
    output.object(&serde_json::json!({
        "bundle": path.display().to_string(), "replay": report::command("replay", &path), "runs": shrunk.runs,
        "finished": shrunk.finished, "before": size(input.plan()), "after": size(&small.plan),
        "verified": 2, "violation": small.violation,
    }))?;
    let (before, after) = (size(input.plan()), size(&small.plan));
    let row = |name: &str, before: usize, after: usize| [name.to_owned(), format!("{before} -> {after}")];
    let rows = [
        row("peers", before.peers, after.peers),
        row("links", before.links, after.links),
        row("faults", before.faults, after.faults),
        row("other actions", before.work, after.work),
    ];
    output.table(["", ""], &rows)?;
    output.line(&format!("{} runs; fails the same in two fresh processes", shrunk.runs))?;
    if !shrunk.finished {
        output.line("the runs that were allowed did not suffice: --runs-max allows more")?;
    }
    report::print_failure(output, &small, &traced, &path, None)?;
    Ok(Verdict::Held)
}

/// Runs the small plan in two fresh processes: both must give exactly the same run.
fn verify(small: &Bundle, signature: &Option<Signature>) -> Result<(), Failure> {
    for _ in 0..2 {
        let again = pool::in_a_fresh_process(&small.plan, false)?;
        if again.trace_hash != small.trace_hash || Signature::of(&again) != *signature {
            let message = "the small plan does not run the same in a fresh process: the simulator is not deterministic";
            return Err(Failure::new(Code::Internal, message));
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, serde::Serialize)]
struct Size {
    peers: usize,
    links: usize,
    faults: usize,
    work: usize,
}

fn size(plan: &Plan) -> Size {
    let faults = plan.actions.iter().filter(|action| action.act.is_fault()).count();
    Size { peers: plan.peers.len(), links: plan.links.len(), faults, work: plan.actions.len() - faults }
}
