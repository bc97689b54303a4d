//! Runs seeds of the lane of interleavings: `interleave FROM COUNT [WORKLOAD] [--lines]`, `interleave --list`.
//!
//! The lane runs the shipped driver on two to five hosts under madsim, whose scheduler draws the next task from the
//! seed. It shows what only an unusual order of tasks shows: cancelled requests, stops and restarts at bad moments.
//! Connections are pipes in memory, stores rows in memory, and time is virtual; `README.md` beside this file lists its
//! limits. `cargo xtask sim madsim` builds it, with `--cfg madsim` in a target directory of its own; without that
//! setting the program only says so.
//!
//! Each seed runs twice: the second run must have the same trace. Output is that of the transport lane:
//! `seed WORKLOAD N HASH`, `bad WORKLOAD N TEXT`, `done RUNS VIRTUAL_MS ANSWERED CHECKS FAULTS BYTES CONNECTIONS`.

#[cfg(madsim)]
#[path = "../../tests/transport/lane/dice.rs"]
mod dice;
#[cfg(madsim)]
#[path = "../../tests/transport/lane/disk.rs"]
#[expect(dead_code, reason = "the transport lane asks for more")]
mod disk;
#[cfg(madsim)]
mod host;
#[cfg(madsim)]
mod net;
#[cfg(madsim)]
#[path = "../../tests/transport/lane/panics.rs"]
mod panics;
#[cfg(madsim)]
mod run;
#[cfg(madsim)]
#[path = "../../tests/transport/lane/tape.rs"]
#[expect(dead_code, reason = "the transport lane counts more")]
mod tape;
#[cfg(madsim)]
mod workloads;
#[cfg(madsim)]
mod world;

fn main() -> std::io::Result<()> {
    #[cfg(madsim)]
    return run::main();
    #[cfg(not(madsim))]
    {
        use std::io::Write as _;
        writeln!(std::io::stderr(), "built without `--cfg madsim`: run it with `cargo xtask sim madsim`")?;
        std::process::exit(2)
    }
}
