//! Replays the committed fuzz corpora, so that findings of a fuzzer stay fixed.

use cosmicsync_protocol::testkit::fuzz::TARGETS;
use std::fs;
use std::path::Path;
use std::thread::Builder;

/// Stack of the thread that imports documents, in bytes (`spec/documents.md`, section 6).
const STACK_BYTES: usize = 64 << 20;

#[test]
fn every_committed_input_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let replay = move || {
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in fs::read_dir(corpus.join(name)).unwrap() {
                target(&fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "fuzz/corpus/{name} is empty");
        }
    };
    Builder::new().stack_size(STACK_BYTES).spawn(replay).unwrap().join().unwrap();
}
