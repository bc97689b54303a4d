//! `api-console`: the console in a browser over two joined nodes with real data (`web/prove.mjs`). It checks each page
//! in two widths and two colour schemes, the users' actions, and the findings of axe.

use super::input::Input;
use super::{Report, Setting, figures};
use crate::{Failure, repo};

const SAMPLE: &str = "zipcodes.csv.gz";
const WEB: &str = "web";

/// Proves the claim. The browser is `$CHROMIUM`, else Debian's.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let samples = Setting { binary: setting.binary.clone(), files: Vec::new() }.files_or(&[SAMPLE])?;
    let home = tempfile::tempdir()?;
    let towns = home.path().join("towns.csv");
    std::fs::write(&towns, Input::read(&samples[0])?.text()?)?;
    let mut npm = repo::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefix", WEB]);
    repo::output(npm)?;
    let mut script = repo::command("node");
    script.arg(format!("{WEB}/prove.mjs")).arg("--binary").arg(&setting.binary).arg("--towns").arg(&towns);
    figures::told(script, "", report)
}
