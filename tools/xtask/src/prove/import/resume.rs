//! An import that is killed and resumed stores each row once, and goes on only with the file that it began with.

use super::super::{Report, Setting};
use crate::Failure;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

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

    let (mut import, mut random, mut killed) = (vec!["import", "rows.csv", "-c", "c"], 0x9e37_79b9_u64, 0);
    while killed < KILLS {
        let mut child = run(&import).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(20 + (random >> 33) % 130));
        child.kill()?;
        killed += u64::from(!child.wait()?.success());
        import = vec!["import", "rows.csv", "-c", "c", "--resume"];
        if killed == KILLS / 2 {
            // Another file in its place is refused, and changes nothing.
            fs::write(home.join("rows.csv"), good.replacen("\n5,", "\n05,", 1))?;
            let taken = run(&import).output()?.status.success();
            fs::write(home.join("rows.csv"), &good)?;
            report.figure("a file changed between two runs: taken for the same", f64::from(u8::from(taken)), 1);
        }
    }
    done(&import)?;
    let listed = done(&["doc", "list", "c", "--values", "-o", "json"])?;
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?["value"]["n"].as_str()?.parse::<u64>().ok();
    let numbers: Vec<Option<u64>> = listed.lines().map(number).collect();
    let expected = (0..ROWS).map(Some);
    let wrong = numbers.iter().copied().zip(expected).filter(|(found, expected)| found != expected).count() as u64
        + ROWS.abs_diff(numbers.len() as u64);
    report.figure("60000 rows, killed ten times: rows missing, doubled or misplaced", wrong as f64, ROWS);
    Ok(())
}
