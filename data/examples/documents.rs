//! Runs histories of documents that several devices write, and prints one JSON object: the part of `prove doc-merge`
//! and `prove doc-versions` that needs no node. The argument is the number of histories to merge.

use cosmicsync_data::{json_patch, patch};
use cosmicsync_protocol::crdt::{Meta, Replica, TextPaths, TextStep, Value};
use cosmicsync_protocol::testkit::merging::{Outcome, run, versions};
use serde_json::{Value as Json, json};

/// Number of histories whose versions are read.
const READ: u64 = 100;
/// Number of versions to read in each history.
const EACH: usize = 10;
/// The peer that goes back to earlier versions.
const REVERTER: u64 = 77;

fn main() {
    let histories = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let mut merged = Outcome::default();
    let mut first_wrong = None;
    for seed in 0..histories {
        let outcome = run(seed);
        if outcome.wrong() > 0 {
            first_wrong.get_or_insert(seed);
        }
        merged.add(outcome);
    }
    let told = json!({ "merged": shown(&merged), "first_wrong": first_wrong, "versions": compared() });
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("{told}");
    }
}

fn shown(outcome: &Outcome) -> Json {
    json!({
        "histories": outcome.histories,
        "edits": outcome.edits,
        "standing": outcome.standing,
        "listed": outcome.listed,
        "missing": outcome.missing,
        "undead": outcome.undead,
        "differing": outcome.differing,
        "wrongly_gone": outcome.wrongly_gone,
        "republished": outcome.republished,
        "versions": outcome.versions,
        "versions_differing": outcome.versions_differing,
    })
}

/// Reads earlier versions, goes back to them and forward again, and applies the differences.
fn compared() -> Json {
    let (mut read, mut wrong, mut reverted, mut patched) = (0, 0, 0, 0);
    let mut seed = 0;
    for _ in 0..READ {
        // Histories with too few recorded versions are skipped.
        let (mut replica, recorded) = loop {
            let (replica, mut recorded) = versions(seed);
            seed += 1;
            if recorded.len() >= EACH / 2 {
                recorded.truncate(EACH);
                break (replica, recorded);
            }
        };
        replica.set_peer(REVERTER).expect("everything was taken");
        for (version, value) in recorded {
            let Some(then) = replica.value_at(&version).expect("it is whole") else { continue };
            read += 1;
            wrong += u64::from(then != value);
            let now = replica.value().expect("it is whole");
            let texts = texts_at(&mut replica, &version);
            let present = texts_of(&mut replica);
            go_to(&mut replica, &then, &texts);
            let there = replica.value().expect("it is whole") == then;
            go_to(&mut replica, &now, &present);
            let back = replica.value().expect("it is whole") == now;
            reverted += u64::from(!(there && back));
            patched += u64::from(apply(&then, &json_patch::diff(&then, &now)) != now);
        }
    }
    json!({ "read": read, "wrong": wrong, "reverted_wrong": reverted, "patched_wrong": patched })
}

fn texts_at(replica: &mut Replica, version: &cosmicsync_protocol::crdt::Version) -> TextPaths {
    let mut then = replica.at(version).expect("it is whole").expect("it is here");
    texts_of(&mut then)
}

fn texts_of(replica: &mut Replica) -> TextPaths {
    let mut texts = TextPaths::none();
    for path in replica.texts().expect("it is whole") {
        texts.insert(path.iter().map(|step| TextStep::Key(step.to_string())).collect());
    }
    texts
}

fn go_to(replica: &mut Replica, wanted: &Value, texts: &TextPaths) {
    let now = replica.value().expect("it is whole");
    let changes = patch::put(&now, wanted, texts).expect("an object");
    replica.apply(&changes, texts).expect("they fit");
    replica.take_update().expect("it is whole");
}

fn apply(before: &Value, operations: &[json_patch::Operation]) -> Value {
    let changes = json_patch::changes(before, operations).expect("they fit");
    let mut replica = Replica::create(1, &Meta::default(), before, &TextPaths::none()).expect("a value");
    replica.apply(&changes, &TextPaths::none()).expect("they fit");
    replica.value().expect("it is whole")
}
