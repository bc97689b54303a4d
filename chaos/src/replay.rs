//! `replay`: runs a failure again.

use std::path::Path;

use cosmicsync_sim::scenario::Lane;

use crate::bundle::{Loaded, Program};
use crate::cli::Replay;
use crate::error::Failure;
use crate::{Stdout, Verdict, pool, process, report};

/// Runs a bundle's plan again and reports whether the result is the same.
pub(crate) fn run(args: &Replay, loaded: &Loaded, output: &mut Stdout) -> Result<Verdict, Failure> {
    let input = &loaded.input;
    if let Some(bundle) = input.bundle().filter(|bundle| bundle.lane == Lane::Process) {
        let bundles = loaded.path.parent().unwrap_or(Path::new("."));
        return process::replay(bundle, &args.programs, bundles, output);
    }
    // Only a traced run knows which actions took effect. Its hash is that of a run without a trace.
    let found = pool::execute(input.plan(), true, false)?;
    if args.trace {
        report::trace(output, input.plan(), &found)?;
    }
    let bundle = input.bundle();
    // A plan that was written down without its trace has no hash.
    let same =
        bundle.filter(|bundle| !bundle.trace_hash.is_empty()).map(|bundle| bundle.trace_hash == found.trace_hash);
    output.object(&serde_json::json!({
        "name": input.plan().name, "seed": input.seed(), "held": found.is_ok(), "same_trace": same,
        "violation": found.violations.first(), "trace_hash": found.trace_hash, "stats": found.stats,
    }))?;
    output.table(report::COLUMNS, &[report::row(&input.seed().to_string(), &found)])?;
    report::violations(output, input.plan(), &found)?;
    let was = bundle.and_then(|bundle| Some((bundle, bundle.violation.as_ref()?.oracle)));
    if bundle.is_some() && was.is_none() {
        let line = if same == Some(true) {
            "the same run as in the bundle, to the last event"
        } else {
            "another run than in the bundle"
        };
        output.line(line)?;
    }
    if let Some((bundle, was)) = was {
        let is = found.first();
        let line = match (is, same == Some(true)) {
            (Some(_), true) => "the same run as in the bundle, to the last event".to_owned(),
            (Some(is), false) if is == was => {
                format!("{was} is violated again, in a run that differs{}", older(bundle))
            }
            (Some(is), false) => format!("the bundle says {was}, and this run {is}{}", older(bundle)),
            (None, _) => format!("{was} holds now{}", older(bundle)),
        };
        output.line(&line)?;
    }
    if !found.is_ok() {
        output.line(&format!("explain: {}", report::command("explain", &loaded.path)))?;
        if bundle.is_none_or(|bundle| !bundle.shrunk) {
            output.line(&format!("shrink: {}", report::command("shrink", &loaded.path)))?;
        }
    }
    Ok(if found.is_ok() { Verdict::Held } else { Verdict::Red })
}

/// Returns a note on why a run may differ.
fn older(bundle: &crate::bundle::Bundle) -> String {
    let this = Program::this();
    if bundle.program == this {
        return String::new();
    }
    let name = |program: &Program| program.commit.clone().unwrap_or_else(|| program.version.clone());
    format!(" (the bundle is of {}, this program is {})", name(&bundle.program), name(&this))
}
