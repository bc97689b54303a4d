//! A small campaign finds no violation, and one on a lying disk finds some.

use std::process::{Command, Output};

fn campaign(images: &str, more: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash-images"));
    command.args(["--commits", "150", "--images", images]).args(more).output()
}

#[test]
fn an_honest_disk_loses_nothing() {
    let output = campaign("200", &[]).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&tally["images"], &tally["faults"]), (&200.into(), &3.into()));
}

#[test]
fn a_lying_disk_is_found_out() {
    let output = campaign("200", &["--lying-disk"]).unwrap();
    assert!(!output.status.success());
    let tally: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(tally["lost"].as_u64() > Some(50), "{tally}");
}

#[test]
fn no_images_is_no_success() {
    assert!(!campaign("0", &[]).unwrap().status.success());
}
