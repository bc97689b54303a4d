//! Runs the benchmarks of `benches/`: criterion's, and the whole-program ones that drive real processes.

use crate::{Failure, repo, step};

/// Builds the release binary that the whole-program benchmarks drive, then runs every benchmark.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    step::shown(repo::cargo(&["build", "--release", "--workspace"]))?;
    let mut bench = repo::cargo(&["bench", "--workspace", "--bench", "micro", "--bench", "endpoint_sync", "--"]);
    bench.args(args);
    step::shown(bench)
}
