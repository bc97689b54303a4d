//! `data-fast`: the time of indexes, queries and live queries over 100,000 documents in process
//! (`node/runtime/examples/query_speed.rs`), compared with peers (`benches/peers/queries`).

use super::input::Input;
use super::node::create;
use super::{Report, Setting, figures};
use crate::{Failure, repo};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

const SAMPLE: &str = "zipcodes.csv.gz";
const DOCUMENTS: usize = 100_000;
/// Number of open documents while memory is measured.
const OPEN: &str = "1000";
const EXAMPLE: &str = "query_speed";
const PEERS: &str = "benches/peers/queries";

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let samples = Setting { binary: setting.binary.clone(), files: Vec::new() }.files_or(&[SAMPLE])?;
    let home = tempfile::tempdir()?;
    let file = home.path().join("zips.ndjson");
    documents(&Input::read(&samples[0])?, &file)?;
    let (file, store) = (path(&file)?, home.path().join("store"));
    let store = path(&store)?;
    repo::output(repo::cargo(&[
        "build",
        "--release",
        "--quiet",
        "--package",
        "cosmicsync-node",
        "--example",
        EXAMPLE,
    ]))?;
    let program = repo::target().join("release/examples").join(EXAMPLE);
    let program = path(&program)?;
    for arguments in [&[store, file][..], &[store, "open", OPEN]] {
        let mut command = repo::command(program);
        command.args(arguments);
        figures::told(command, "100000 documents: ", report)?;
    }
    install()?;
    let mut peers = repo::command("node");
    peers.args([&format!("{PEERS}/queries.mjs"), file, path(home.path())?]);
    figures::told(peers, "100000 documents: peer ", report)
}

fn path(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| "a path that is not UTF-8".into())
}

/// Writes the sample's rows as documents, repeatedly with other keys.
fn documents(sample: &Input, file: &Path) -> Result<(), Failure> {
    let text = sample.text()?;
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let mut out = create(file)?;
    for at in 0..DOCUMENTS {
        let [zip, latitude, longitude, city, state, county] = rows[at % rows.len()][..] else {
            return Err(format!("row {} of {} has other columns", at % rows.len() + 1, sample.name).into());
        };
        let key = format!("{zip}-{}", at / rows.len());
        let number = |text: &str| text.parse::<f64>().ok();
        let (latitude, longitude) = (number(latitude), number(longitude));
        let document = json!({
            "id": key, "zip": key, "city": city, "state": state, "county": county, "latitude": latitude, "longitude": longitude,
        });
        writeln!(out, "{document}")?;
    }
    Ok(out.flush()?)
}

/// Installs the peers in the versions of their lockfile. One of them is compiled, or fetched prebuilt.
fn install() -> Result<(), Failure> {
    let mut npm = repo::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefix", PEERS]);
    repo::output(npm).map(drop)
}
