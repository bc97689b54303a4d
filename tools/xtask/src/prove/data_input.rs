//! `data-input`: invalid queries and schemas are refused with a code and a reason, in bounded memory, and change
//! nothing.

use super::client::CallError;
use super::hostile::peak_kib;
use super::node::{Node, start_owner};
use super::{Report, Setting};
use crate::Failure;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const COLLECTION: &str = "notes";
/// Number of documents, each with a long text for the patterns.
const DOCS: usize = 20;
const TEXT_BYTES: usize = 40_000;
/// Error codes for invalid input.
const CODES: [&str; 3] = ["usage", "refused", "invalid"];

/// Stack size in bytes, because this program writes and drops deeply nested values by recursion.
const STACK_BYTES: usize = 256 << 20;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let roomy = std::thread::Builder::new().stack_size(STACK_BYTES);
        let proof = roomy.spawn_scoped(scope, || ask(setting, report).map_err(|error| error.to_string()))?;
        proof.join().map_err(|_| "the proof panicked")?.map_err(Failure::from)
    })
}

fn ask(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let mut node = start_owner(&setting.binary, home.path())?;
    let text = "a".repeat(TEXT_BYTES) + "b";
    for number in 0..DOCS {
        let value = json!({ "n": number, "text": text });
        node.ask("doc_put", json!({ "collection": COLLECTION, "key": number.to_string(), "value": value }))?;
    }
    let before = node.digest()?;
    let idle_kib = peak_kib(&node)?;
    let mut tally = Tally::default();

    let (inputs, refused) = tally.refusals(&mut node, &queries())?;
    report.figure("queries that are no good", inputs, 1);
    report.figure("queries that are no good and were not refused with a code", inputs - refused, 1);
    let (inputs, refused) = tally.refusals(&mut node, &schemas())?;
    report.figure("schemas that are no good", inputs, 1);
    report.figure("schemas that are no good and were not refused with a code", inputs - refused, 1);

    // Patterns that take exponential time in other engines.
    let mut wrong = 0;
    for (pattern, found) in [("^(a+)+$", 0), ("^(a|a)*c", 0), ("(.*)(.*)(.*)(.*)c$", 0), ("^(a+)+b$", DOCS)] {
        let query = json!({ "collection": COLLECTION, "selector": { "text": { "$regex": pattern } } });
        let counted = tally.timed(|| node.ask("count", json!({ "query": query })))?;
        wrong += u64::from(counted.get("count").and_then(Value::as_u64) != Some(found as u64));
    }
    report.figure("patterns that backtrack elsewhere: wrong answers", wrong as f64, 4);

    report.figure("digests that changed", f64::from(u8::from(node.digest()? != before)), 1);
    // A schema that takes exponential time, on a deeply nested value.
    let twice = json!({ "anyOf": [{ "not": { "$ref": "#/$defs/e" } }, { "$ref": "#/$defs/e" }] });
    let endless = json!({ "properties": { "l": { "$ref": "#/$defs/e" } }, "$defs": { "e": { "items": twice } } });
    node.ask("schema_set", json!({ "collection": "deep", "schema": endless }))?;
    let deep = (0..40).fold(json!(1), |value, _| json!([value]));
    let put = json!({ "collection": "deep", "key": "k", "value": { "l": deep } });
    let answer = tally.timed(|| node.ask("doc_put", put));
    let is_refused = matches!(&answer, Err(error) if error.code() == "invalid");
    report.figure("schemas that take exponential time: documents not refused", f64::from(u8::from(!is_refused)), 1);

    let grown_mib = peak_kib(&node)?.saturating_sub(idle_kib) as f64 / 1024.0;
    report.figure("peak memory over idle", grown_mib.ceil(), 1);
    report.figure("longest answer", tally.longest.as_millis() as f64, 1);
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    longest: Duration,
}

impl Tally {
    fn timed<T>(&mut self, ask: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let answer = ask();
        self.longest = self.longest.max(began.elapsed());
        answer
    }

    /// Sends invalid requests. Returns their number, and the number refused with a code and a reason.
    fn refusals(&mut self, node: &mut Node, requests: &[(&str, Value)]) -> Result<(f64, f64), Failure> {
        let mut refused = 0;
        for (command, arguments) in requests {
            // Each request has its own connection, because one that is too long ends it.
            let mut client = node.client()?;
            let answer = self.timed(|| client.call(command, arguments.clone(), &mut |_| ()));
            let is_fair = match &answer {
                Err(error @ CallError::Refused(_)) => {
                    CODES.contains(&error.code()) && !error.member("message").is_empty()
                }
                Err(CallError::Lost(_)) | Ok(_) => false,
            };
            if !is_fair {
                let shown: String = arguments.to_string().chars().take(80).collect();
                eprintln!("  {command} {shown}: {answer:?}");
            }
            refused += u32::from(is_fair);
        }
        Ok((requests.len() as f64, f64::from(refused)))
    }
}

/// Returns a value that nests `levels` deep.
fn nested(levels: usize, around: impl Fn(Value) -> Value, inner: Value) -> Value {
    (0..levels).fold(inner, |value, _| around(value))
}

fn queries() -> Vec<(&'static str, Value)> {
    let numbers = |count: usize| (0..count).map(Value::from).collect::<Vec<_>>();
    let not = |value| json!({ "$not": value });
    let selectors = [
        nested(10_000, |value| json!({ "$and": [value] }), json!({ "n": 1 })),
        nested(10_000, not, json!({ "n": 1 })),
        nested(60, not, json!({ "n": 1 })),
        json!({ "n": nested(10_000, |value| json!([value]), json!(1)) }),
        json!({ "n": { "$in": numbers(1_000_000) } }),
        json!({ "n": { "$nin": numbers(1_001) } }),
        json!({ "n": { "$all": numbers(2_000) } }),
        json!({ "$or": (0..5_000).map(|n| json!({ "n": n })).collect::<Vec<_>>() }),
        json!({ "text": { "$regex": "(?=a)a" } }),
        json!({ "text": { "$regex": r"(a)\1" } }),
        json!({ "text": { "$regex": "((a{200}){200}){200}" } }),
        json!({ "text": { "$regex": "(".repeat(100) + "a" + &")".repeat(100) } }),
        json!({ "text": { "$regex": "a".repeat(300) } }),
        json!({ "text": { "$regex": "a", "$options": "x" } }),
        json!({ "text": { "$regex": "(" } }),
        json!({ "n": { "$gtt": 1 } }),
        json!({ "$where": "1" }),
        json!({ "$expr": {} }),
        json!({ "n": { "$mod": [0, 1] } }),
        json!({ "n": { "$size": -1 } }),
        json!({ "n": { "$type": "no" } }),
        json!({ "n": { "$gt": [1] } }),
        json!({ "a.".repeat(200): 1 }),
        json!({ "a".repeat(256): 1 }),
        json!({ "$createdAt": 1 }),
        json!([1]),
        json!("n"),
    ];
    let of = |query: Value| ("query", query);
    let selected = |selector| of(json!({ "collection": COLLECTION, "selector": selector }));
    let mut all: Vec<_> = selectors.into_iter().map(selected).collect();
    all.extend([
        of(json!({ "collection": COLLECTION, "sort": ["a", "b", "c", "d", "e", "f", "g", "h", "i"] })),
        of(json!({ "collection": COLLECTION, "sort": [{ "a": "up" }] })),
        of(json!({ "collection": COLLECTION, "fields": (0..200).map(|n| n.to_string()).collect::<Vec<_>>() })),
        of(json!({ "collection": COLLECTION, "bookmark": "x".repeat(1_000_000) })),
        of(json!({ "collection": "x".repeat(1_000_000) })),
        of(json!({ "collection": COLLECTION, "selector": "x".repeat(8_000_000) })),
        ("count", json!({ "query": { "collection": COLLECTION }, "by": "$no" })),
        ("index_create", json!({ "collection": COLLECTION, "index": "a b", "fields": ["n"] })),
        ("index_create", json!({ "collection": COLLECTION, "index": "a", "fields": numbers(9).iter().map(ToString::to_string).collect::<Vec<_>>() })),
    ]);
    all
}

fn schemas() -> Vec<(&'static str, Value)> {
    let chain = |members: fn(String) -> Value| {
        let level = |at: usize| (format!("l{at}"), members(format!("#/$defs/l{}", at + 1)));
        let mut defs: serde_json::Map<String, Value> = (0..30).map(level).collect();
        defs.insert("l30".to_owned(), json!({}));
        json!({ "$ref": "#/$defs/l0", "$defs": defs })
    };
    let schemas = [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "not": { "$ref": "#" } } } }),
        json!({ "$ref": "https://example.org/schema.json" }),
        json!({ "$ref": "file:///etc/passwd" }),
        json!({ "$ref": "http://127.0.0.1:1/" }),
        json!({ "$ref": "#/$defs/none" }),
        json!({ "properties": { "a": { "$ref": "other.json#/a" } } }),
        json!({ "$dynamicRef": "#a" }),
        json!({ "unevaluatedProperties": false }),
        json!({ "$schema": "http://json-schema.org/draft-04/schema#" }),
        json!({ "properties": { "a": { "typ": "string" } } }),
        json!({ "type": "text" }),
        json!({ "pattern": "(a+)+(?!b)" }),
        json!({ "pattern": "((a{200}){200}){200}" }),
        json!({ "patternProperties": { "(": {} } }),
        json!({ "format": "regex" }),
        json!({ "multipleOf": 0 }),
        json!({ "minLength": -1 }),
        json!({ "enum": 1 }),
        json!({ "allOf": [] }),
        json!({ "const": "x".repeat(70_000) }),
        json!({ "const": "x".repeat(7_000_000) }),
        nested(10_000, |value| json!({ "not": value }), json!({})),
        nested(33, |value| json!({ "items": value }), json!({})),
        json!({ "properties": (0..5_000).map(|n| (n.to_string(), json!({}))).collect::<serde_json::Map<_, _>>() }),
        chain(|next| json!({ "allOf": [{ "$ref": next.clone() }, { "$ref": next }] })),
        chain(|next| json!({ "properties": { "a": { "$ref": next.clone() }, "b": { "$ref": next } } })),
        json!({ "properties": { "a": { "x-crdt": "tree" } } }),
        json!({ "properties": { "a": { "x-crdt": "text" } } }),
        json!({ "items": { "type": "integer", "x-crdt": "counter" } }),
        json!({ "x-key": [] }),
        json!(7),
    ];
    let set = |schema| ("schema_set", json!({ "collection": COLLECTION, "schema": schema, "force": true }));
    schemas.into_iter().map(set).collect()
}
