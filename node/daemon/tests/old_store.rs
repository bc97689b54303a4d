//! A store of format 0 is refused with the way out, and left as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};

#[test]
fn a_store_of_format_0_is_refused_with_the_way_out() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("old");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v0");
    fs::create_dir(&dir).expect("a directory");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("a mode");
    for (from, to) in [("data.bin", "data.mdb"), ("keys.bin", "keys")] {
        fs::copy(fixture.join(from), dir.join(to)).expect("a copy");
        fs::set_permissions(dir.join(to), fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let before = ["data.mdb", "keys"].map(|name| fs::read(dir.join(name)).expect("a file"));
    let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
    process.arg("--dir").arg(&dir).args(["-o", "json", "doc", "get", "notes/trip"]).stdin(Stdio::null());
    let output = process.output().expect("it runs");
    assert_eq!(output.status.code(), Some(6));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("export the documents with that version"), "{text}");
    assert_eq!(before, ["data.mdb", "keys"].map(|name| fs::read(dir.join(name)).expect("a file")));
}
