//! Measures the least time to show received documents: imports each into Loro and reads it, with nothing else around
//! it.
//!
//! The argument is a file with one JSON object per line; the output is one JSON object. `cargo xtask prove doc-fast`
//! compares it with the real program's time in the same run.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures time")]

use cosmicsync_data::json;
use cosmicsync_protocol::crdt::{Meta, Replica, TextPaths, check, encode_new};
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

/// Number of runs; the fastest is the result.
const RUNS: usize = 5;
const PEER: u64 = 7;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        drop(writeln!(std::io::stderr(), "usage: values_floor FILE, with one document a line"));
        return ExitCode::from(2);
    };
    let told = std::fs::read(path).map_err(Into::into).and_then(|file| measure(&file));
    match told.and_then(|told| Ok(writeln!(std::io::stdout(), "{told}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(file: &[u8]) -> Result<String, Box<dyn Error>> {
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let meta = Meta { collection: Some("measured".to_owned()), key: None, deleted: false };
    let texts = TextPaths::none();
    let mut documents = Vec::new();
    for line in lines {
        let value = json::parse(line)?;
        documents.push((encode_new(PEER, &meta, &value, &texts)?.bytes, value));
    }
    let mut fastest = f64::INFINITY;
    for _ in 0..RUNS {
        let began = Instant::now();
        for (update, value) in &documents {
            let mut replica = Replica::new(1);
            replica.import(vec![check(update, PEER, 0)?])?;
            if replica.value()? != *value || replica.meta()? != meta {
                return Err("a document came out differently".into());
            }
        }
        fastest = fastest.min(began.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(format!("{{\"documents\":{},\"ms\":{fastest}}}", documents.len()))
}
