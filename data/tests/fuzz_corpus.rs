//! Replays the committed corpora of this crate's fuzz targets, and compares the list of targets with `fuzz/`.

use cosmicsync_data::fuzz::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn every_committed_file_passes_its_target() {
    for (name, target) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "fuzz/corpus/{name} is empty");
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets = TARGETS.iter().chain(cosmicsync_protocol::testkit::fuzz::TARGETS);
    // The corpora of the HTTP interface are replayed in its own crate.
    let targets: BTreeSet<_> = targets.map(|(name, _)| *name).chain(["graphql"]).map(str::to_owned).collect();
    let stem = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_string_lossy().into_owned();
    for folder in ["corpus", "fuzz_targets"] {
        let names: BTreeSet<_> = fs::read_dir(fuzz().join(folder)).unwrap().map(|entry| stem(entry.unwrap())).collect();
        assert_eq!(names, targets, "fuzz/{folder}");
    }
}
