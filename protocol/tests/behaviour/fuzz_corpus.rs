//! Replays the committed fuzz corpora, so that findings of a fuzzer stay fixed.

use bytes::Bytes;
use cosmicsync_protocol::codec::CodecError;
use cosmicsync_protocol::testkit::fuzz::TARGETS;
use cosmicsync_protocol::wire::message::Message;
use serde_json::Value;
use std::collections::BTreeSet;
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

#[test]
fn each_type_of_message_has_a_vector_and_an_input() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let unknown = Err(CodecError::OutOfRange("a message type"));
    let known: BTreeSet<u8> =
        (0..=u8::MAX).filter(|kind| Message::decode(&Bytes::from(vec![*kind])) != unknown).collect();
    assert!(known.len() >= 19);
    let vectors = fs::read(root.join("spec/vectors/messages.json")).unwrap();
    let vectors: Vec<Value> = serde_json::from_slice(&vectors).unwrap();
    let digits = |vector: &Value| u8::from_str_radix(&vector["bytes"].as_str().unwrap()[..2], 16).unwrap();
    assert_eq!(vectors.iter().map(digits).collect::<BTreeSet<u8>>(), known, "spec/vectors/messages.json");
    let inputs = fs::read_dir(root.join("fuzz/corpus/messages")).unwrap();
    let inputs = inputs.map(|entry| Bytes::from(fs::read(entry.unwrap().path()).unwrap()));
    let valid: BTreeSet<u8> = inputs.filter(|input| Message::decode(input).is_ok()).map(|input| input[0]).collect();
    assert_eq!(valid, known, "fuzz/corpus/messages");
}
