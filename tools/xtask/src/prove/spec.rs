//! `spec`: a peer written from the specification alone, in another language, verifies the vectors and syncs with a
//! node.

use super::{Report, Setting};
use crate::{Failure, verify};

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let outcome = verify::outcome(&setting.binary)?;
    let ran = |part: &str| outcome.ran.get(part).copied().unwrap_or(0);
    let failed = |part: &str| outcome.failed.get(part).copied().unwrap_or(0) as f64;
    let figure = |name: &str| outcome.figures.get(name).copied().unwrap_or(0);
    report.figure("vector checks failed", failed("vector"), ran("vector"));
    report.figure("spoiled vectors: checks that did not notice", failed("self-check"), ran("self-check"));
    let live: u64 = outcome.ran.iter().filter(|(part, _)| is_live(part)).map(|(_, count)| count).sum();
    let live_failed: u64 = outcome.failed.iter().filter(|(part, _)| is_live(part)).map(|(_, count)| count).sum();
    report.figure("live checks failed", live_failed as f64, live);
    for (workload, name) in [
        ("live handshakes: XX, XXpsk0", "handshakes"),
        ("entries synced and opened", "entries_opened"),
        ("entries written that the node took", "entries_written"),
    ] {
        report.figure(workload, figure(name) as f64, live);
    }
    Ok(())
}

fn is_live(part: &str) -> bool {
    !["vector", "self-check"].contains(&part)
}
