//! Stores of earlier versions: format 0 is refused with a next step and left unchanged; format 1 is opened.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};
use tempfile::TempDir;

/// A copy of a store of an earlier version.
struct Old {
    _root: TempDir,
    dir: PathBuf,
}

impl Old {
    fn copy(name: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("old");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        fs::create_dir(&dir).expect("a directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("a mode");
        for (from, to) in [("data.bin", "data.mdb"), ("keys.bin", "keys")] {
            fs::copy(fixture.join(from), dir.join(to)).expect("a copy");
            fs::set_permissions(dir.join(to), fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        Self { _root: root, dir }
    }

    fn files(&self) -> [Vec<u8>; 2] {
        ["data.mdb", "keys"].map(|name| fs::read(self.dir.join(name)).expect("a file"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.arg("--dir").arg(&self.dir).args(arguments).stdin(Stdio::null());
        process.output().expect("it runs")
    }
}

#[test]
fn a_store_of_format_0_is_refused_with_the_way_out() {
    let old = Old::copy("store-v0");
    let before = old.files();
    let output = old.run(&["-o", "json", "doc", "get", "notes/trip"]);
    assert_eq!(output.status.code(), Some(6));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("export the documents with that version"), "{text}");
    assert_eq!(before, old.files());
}

#[test]
fn a_store_of_format_1_opens_with_what_it_held() {
    let old = Old::copy("store-v1");
    for _ in 0..2 {
        let output = old.run(&["doc", "get", "notes/trip"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Day one.") && text.contains("\"days\": 2"), "{text}{output:?}");
        let output = old.run(&["doctor"]);
        assert!(output.status.success(), "{output:?}");
    }
}
