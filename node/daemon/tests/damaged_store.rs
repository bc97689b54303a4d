//! Every command reports a truncated or overwritten store by an error message. Against the real program.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command as Process, Output, Stdio};

/// Commands that read a store in different ways.
const COMMANDS: [&[&str]; 4] =
    [&["status"], &["doc", "list", "w", "--values"], &["export", "w", "-"], &["doc", "put", "w/new", "{}"]];

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
    process.arg("--dir").arg(dir).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn done(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = run(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A generator of numbers (xorshift), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).expect("below the end")
    }
}

fn store(dir: &Path) {
    done(dir, &["init", "--name", "n"]);
    done(dir, &["space", "create", "home"]);
    let rows: String = (0..1_500).map(|row| format!("k{row:06},{:x}\n", row * 7919)).collect();
    let csv = dir.with_extension("csv");
    fs::write(&csv, format!("id,v\n{rows}")).expect("written");
    done(dir, &["import", csv.to_str().expect("text"), "-c", "w", "--id-column", "id"]);
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Checks the output of a command on a store that may be damaged.
fn check(output: &Output, right: Option<&[u8]>, about: &str) -> bool {
    assert_eq!(output.status.signal(), None, "{about}: ended by a signal");
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {
            assert!(right.is_none_or(|right| right == output.stdout), "{about}: shows what was not written");
            true
        }
        Some(6) => {
            assert!(said.contains("error: ") && said.contains("\n next: "), "{about}: {said}");
            false
        }
        code => panic!("{about}: {code:?} {said}"),
    }
}

#[test]
fn whatever_happens_to_its_file_no_command_ends_by_a_signal() {
    let root = tempfile::tempdir().expect("a directory");
    let (whole, bad) = (root.path().join("whole"), root.path().join("bad"));
    store(&whole);
    let data = fs::read(whole.join("data.mdb")).expect("there");
    let right: Vec<Vec<u8>> = COMMANDS[1..3].iter().map(|command| done(&whole, command)).collect();
    let (mut random, mut refused) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for round in 0..30 {
        let mut bytes = data.clone();
        match round % 3 {
            0 => bytes.truncate(random.below(data.len())),
            1 => {
                let at = random.below(data.len());
                let end = (at + 1 + random.below(200_000)).min(data.len());
                bytes[at..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8);
            }
            _ => {
                for _ in 0..40 {
                    let at = random.below(data.len());
                    bytes[at] = random.below(256) as u8;
                }
            }
        }
        for (number, command) in COMMANDS.iter().enumerate() {
            copy(&whole, &bad);
            fs::write(bad.join("data.mdb"), &bytes).expect("written");
            let right = number.checked_sub(1).and_then(|at| right.get(at)).map(Vec::as_slice);
            let about = format!("round {round}, {command:?}");
            refused += u32::from(!check(&run(&bad, command), right, &about));
        }
        fs::write(bad.join("data.mdb"), &bytes).expect("written");
        let doctor = run(&bad, &["doctor"]);
        assert!(matches!(doctor.status.code(), Some(0 | 1 | 6)), "{:?}", doctor.status);
    }
    assert!(refused > 60, "{refused}");
}

#[test]
fn a_store_without_its_end_is_a_problem_that_doctor_finds() {
    let root = tempfile::tempdir().expect("a directory");
    let (whole, bad) = (root.path().join("whole"), root.path().join("bad"));
    store(&whole);
    let said = String::from_utf8(done(&whole, &["doctor"])).expect("text");
    assert!(said.contains("all are as they were written"), "{said}");
    let size = fs::metadata(whole.join("data.mdb")).expect("there").len();
    // The last pages may be free; then their loss changes nothing.
    for cut in [size / 2, size / 3 * 2, size - 5_000, size - 100, size] {
        copy(&whole, &bad);
        let file = fs::OpenOptions::new().write(true).open(bad.join("data.mdb")).expect("opens");
        file.set_len(size - cut).expect("cut");
        let doctor = run(&bad, &["doctor"]);
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.status.code() == Some(1) && said.contains("problem\tstore"), "{cut}: {said}");
        let status = run(&bad, &["status", "-o", "json"]);
        let said = String::from_utf8_lossy(&status.stderr).into_owned();
        assert!(status.status.code() == Some(6) && said.contains("store_damaged"), "{cut}: {said}");
        assert!(said.contains("backup restore"), "{said}");
    }
    copy(&whole, &bad);
    fs::remove_file(bad.join("data.mdb")).expect("removed");
    let status = run(&bad, &["status"]);
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(status.status.code() == Some(6) && said.contains("data.mdb is not there"), "{said}");
}

/// Runs a script in which `$0` is the program, and `$1` a data directory mounted read-only.
fn on_read_only(dir: &Path, script: &str) -> Output {
    let script = format!("mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && {script}");
    let mut process = Process::new("unshare");
    process.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_cosmicsync")]);
    process.arg(dir).stdin(Stdio::null()).output().expect("it runs")
}

#[test]
fn a_directory_that_is_read_only_can_be_read() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("whole");
    store(&dir);
    let names = || {
        let entries = fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let (before, listed) = (names(), done(&dir, &["doc", "list", "w", "--values"]));
    for _ in 0..2 {
        let read = on_read_only(&dir, r#"$0 --dir "$1" doc list w --values"#);
        assert!(read.status.success() && read.stdout == listed, "{}", String::from_utf8_lossy(&read.stderr));
    }
    let read = on_read_only(&dir, r#"$0 --dir "$1" status && $0 --dir "$1" doctor && $0 --dir "$1" export w -"#);
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let written = on_read_only(&dir, r#"$0 --dir "$1" doc put w/new '{}'"#);
    let said = String::from_utf8_lossy(&written.stderr);
    assert!(written.status.code() == Some(6) && said.contains("is read only"), "{said}");
    assert_eq!(names(), before);
}
