//! `doc-damaged`: with any damage to a store's file, no command ends by a signal, and printed documents are correct.

use super::{Report, Setting};
use crate::Failure;
use crate::random::Random;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const STORES: u64 = 500;
const ROWS: u64 = 4_000;

/// Commands that read a store in different ways; true if their output is compared.
const COMMANDS: [(&[&str], bool); 5] = [
    (&["status"], false),
    (&["doc", "list", "w", "--values"], true),
    (&["export", "w", "-"], true),
    (&["space", "digest"], true),
    (&["doctor"], false),
];

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let (whole, bad) = (home.path().join("whole"), home.path().join("bad"));
    let run = |dir: &Path, arguments: &[&str]| -> Result<Output, Failure> {
        let mut command = Command::new(&setting.binary);
        Ok(command.arg("--dir").arg(dir).args(arguments).stdin(Stdio::null()).output()?)
    };
    let csv = home.path().join("rows.csv");
    let rows: String = (0..ROWS).map(|row| format!("k{row:06},{:x}\n", row * 7_919)).collect();
    fs::write(&csv, format!("id,v\n{rows}"))?;
    let csv = csv.to_str().ok_or("a path that is no text")?;
    let import = ["import", csv, "-c", "w", "--id-column", "id"];
    for arguments in [&["init", "--name", "n"][..], &["space", "create", "home"], &import] {
        let output = run(&whole, arguments)?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
    }
    let right: Vec<Vec<u8>> =
        COMMANDS.iter().map(|(command, _)| Ok(run(&whole, command)?.stdout)).collect::<Result<_, Failure>>()?;
    let data = fs::read(whole.join("data.mdb"))?;
    let (mut random, mut signals, mut wrong, mut silent, mut refused) = (Random(7), 0u64, 0u64, 0u64, 0u64);
    for store in 0..STORES {
        let bytes = damage(&data, store, &mut random);
        let (command, compared) = COMMANDS[random.place(COMMANDS.len())];
        copy(&whole, &bad)?;
        fs::write(bad.join("data.mdb"), bytes)?;
        let output = run(&bad, command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = COMMANDS.iter().position(|(one, _)| *one == command).map(|at| &right[at]);
        match (output.status.signal(), output.status.code()) {
            (Some(_), _) => signals += 1,
            (_, Some(0)) => wrong += u64::from(compared && expected != Some(&output.stdout)),
            // `doctor` reports the problem as a finding.
            (_, Some(1)) if command == ["doctor"] => refused += 1,
            (_, Some(6)) => {
                refused += 1;
                silent += u64::from(!said.contains("error: ") || !said.contains(" next: "));
            }
            _ => {
                eprintln!("doc-damaged: store {store}, {command:?}: {:?}, {said}", output.status);
                silent += 1;
            }
        }
    }
    eprintln!("doc-damaged: {refused} of {STORES} commands refused");
    report.figure("500 damaged stores: commands ended by a signal", signals as f64, STORES);
    report.figure("500 damaged stores: answers that are not what was stored", wrong as f64, STORES);
    report.figure("500 damaged stores: commands without exit code 0 or 6 and words", silent as f64, STORES);
    Ok(())
}

/// Truncates a file, overwrites a part of it, or overwrites single bytes.
fn damage(data: &[u8], store: u64, random: &mut Random) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let at = random.place(bytes.len());
    match store % 4 {
        0 => bytes.truncate(at),
        1 => {
            let end = (at + 1 + random.place(160 * 1024)).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte = random.place(256) as u8);
        }
        2 => bytes[at] ^= 1 << random.place(8),
        _ => {
            for _ in 0..40 {
                let at = random.place(bytes.len());
                bytes[at] = random.place(256) as u8;
            }
        }
    }
    bytes
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
