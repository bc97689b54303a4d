//! A killed and resumed import stores each row once, and resumes only with the same file.

use super::super::{Report, Setting};
use crate::Failure;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROWS: u64 = 60_000;
const KILLS: u64 = 10;

pub(super) fn prove(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&setting.binary);
        command.current_dir(home).arg("--dir").arg(home.join("resume")).args(arguments).stdin(Stdio::null());
        command
    };
    let done = |arguments: &[&str]| -> Result<String, Failure> {
        let output = run(arguments).output()?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    };
    done(&["init", "--name", "n"])?;
    done(&["space", "create", "home"])?;
    let rows: String = (0..ROWS).map(|row| format!("{row},{:x}\n", row * 7_919)).collect();
    let good = format!("n,v\n{rows}");
    fs::write(home.join("rows.csv"), &good)?;

    // A row in the middle is refused; then the file is changed before that row, and then restored.
    let changed = |name: &str, text: &str, arguments: &[&str]| -> Result<bool, Failure> {
        fs::write(home.join(name), text)?;
        Ok(run(&[&["import", name, "-c", "changed"], arguments].concat()).output()?.status.success())
    };
    let refused = !changed("changed.csv", &good.replacen("\n30000,", "\n30000,,", 1), &[])?;
    let taken = changed("changed.csv", &good.replacen("\n5,", "\n05,", 1), &["--resume"])?;
    let ended = changed("changed.csv", &good, &["--resume"])?;
    if !refused || !ended {
        return Err("the import with a row to refuse did not go as it should".into());
    }
    let kept = lines(&done(&["doc", "list", "changed", "--values", "-o", "json"])?);
    let wrong = u64::from(taken) + misplaced(&kept);
    report.figure("a file changed between two runs: taken for the same, or rows that are wrong", wrong as f64, ROWS);

    let began = Instant::now();
    done(&["import", "rows.csv", "-c", "timed"])?;
    let whole_ms = u64::try_from(began.elapsed().as_millis())?;
    let (mut import, mut random, mut killed) = (vec!["import", "rows.csv", "-c", "c"], 0x9e37_79b9_u64, 0);
    while killed < KILLS {
        let mut child = run(&import).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(20 + (random >> 33) % (whole_ms / 5).max(1)));
        child.kill()?;
        if child.wait()?.success() {
            return Err(format!("the import ended after {killed} kills").into());
        }
        killed += 1;
        import = vec!["import", "rows.csv", "-c", "c", "--resume"];
    }
    let last = done(&[&import[..], &["-o", "json"]].concat())?;
    let skipped = serde_json::from_str::<Value>(&last)?["skipped"].as_u64().unwrap_or_default();
    eprintln!("import: killed {KILLS} times, the last run found {skipped} of {ROWS} rows stored");
    let stored = lines(&done(&["doc", "list", "c", "--values", "-o", "json"])?);
    report.figure("60000 rows, killed ten times: rows missing, doubled or misplaced", misplaced(&stored) as f64, ROWS);
    Ok(())
}

/// Returns the numbers of the rows in a listing, in order.
fn lines(listed: &str) -> Vec<Option<u64>> {
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?["value"]["n"].as_str()?.parse::<u64>().ok();
    listed.lines().map(number).collect()
}

/// Returns the number of rows that are not at their place in the file.
fn misplaced(numbers: &[Option<u64>]) -> u64 {
    let wrong = numbers.iter().copied().zip((0..ROWS).map(Some)).filter(|(found, expected)| found != expected).count();
    wrong as u64 + ROWS.abs_diff(numbers.len() as u64)
}
