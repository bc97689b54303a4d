//! `replay`: runs a failure again.

use crate::bundle::{Input, Program};
use crate::cli::Replay;
use crate::error::Failure;
use crate::{Stdout, Verdict, pool, report};

/// Runs a bundle's plan again and reports whether the result is the same.
pub(crate) fn run(args: &Replay, output: &mut Stdout) -> Result<Verdict, Failure> {
    let input = Input::read(&args.bundle)?;
    let found = pool::execute(input.plan(), args.trace, false)?;
    if let Some(trace) = &found.trace {
        report::trace(output, trace)?;
    }
    let bundle = input.bundle();
    let same = bundle.map(|bundle| bundle.trace_hash == found.trace_hash);
    output.object(&serde_json::json!({
        "name": input.plan().name, "seed": input.seed(), "held": found.is_ok(), "same_trace": same,
        "violation": found.violations.first(), "trace_hash": found.trace_hash, "stats": found.stats,
    }))?;
    output.table(report::COLUMNS, &[report::row(&input.seed().to_string(), &found)])?;
    report::violations(output, input.plan(), found.violations.iter())?;
    if let Some(bundle) = bundle {
        let (was, is) = (bundle.violation.oracle, found.first());
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
        output.line(&format!("shrink: {}", report::command("shrink", &args.bundle)))?;
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
