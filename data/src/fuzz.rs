//! Fuzz targets for this crate, in the manner of `cosmicsync_protocol::testkit::fuzz`: files of any bytes, read whole
//! and in pieces.

use crate::collection::CollectionMeta;
use crate::export::Writer;
use crate::import::{Format, ImportError, Reader, Record};
use crate::query::order::compare;
use crate::query::{Bounds, Elem, Field, Path, Problem, Selector, Subject, Test, parse};
use crate::rules::{Actor, Deed, Rules};
use crate::schema::Schema;
use crate::trace::{Causality, TraceReader};
use crate::{json, json_patch, patch, preview};
use cosmicsync_protocol::crdt::{DEPTH_MAX, Value};
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::sync::SpaceNo;
use std::collections::BTreeMap;

/// A fuzz target: takes any bytes, and panics if the code under test breaks a promise.
pub type Target = fn(&[u8]);

/// All targets by name. `fuzz/corpus/NAME` holds the corpus, `fuzz/fuzz_targets/NAME.rs` the program.
pub const TARGETS: &[(&str, Target)] = &[
    ("import_csv", import_csv),
    ("import_json", import_json),
    ("import_ndjson", import_ndjson),
    ("import_trace", import_trace),
    ("import_xml", import_xml),
    ("json", json_text),
    ("patch", patch),
    ("rules", rules),
    ("schema", schema),
    ("selector", selector),
];

/// Reads a CSV file; its records, exported and read again, must be the same.
pub fn import_csv(data: &[u8]) {
    import(Format::Csv, data);
}

/// Reads an NDJSON file; its records, exported and read again, must be the same.
pub fn import_ndjson(data: &[u8]) {
    import(Format::Ndjson, data);
}

/// Reads a JSON file; its records, exported and read again, must be the same.
pub fn import_json(data: &[u8]) {
    import(Format::Json, data);
}

/// Reads an XML file; its records, exported and read again, must be the same.
pub fn import_xml(data: &[u8]) {
    import(Format::Xml, data);
}

/// Reads a JSON text; its value, written and read again, must be the same.
pub fn json_text(data: &[u8]) {
    let Ok(value) = json::parse(data) else { return };
    assert!(value.depth() <= DEPTH_MAX, "depth is bounded");
    let written = json::to_string(&value);
    // Texts and numbers keep their type and value; bytes have no JSON form and are never read.
    assert_eq!(json::parse(written.as_bytes()).ok(), Some(value), "a value comes back");
}

/// Applies a patch, the first line, to a document, the rest. A merge patch must give the result of RFC 7396. The
/// difference to a JSON patch's result must lead to that result.
pub fn patch(data: &[u8]) {
    let (Ok(patch), Ok(before)) = halves(data) else { return };
    let Value::Map(_) = before else { return };
    if patch.as_map().is_some() {
        let changes = patch::merge_patch(&before, &patch).expect("both are objects");
        let after = preview::apply(before.clone(), &changes).expect("changes of a patch fit");
        assert_eq!(after, merged(before, patch), "a merge patch");
        return;
    }
    let Ok(changes) = json_patch::parse(&patch).and_then(|operations| json_patch::changes(&before, &operations)) else {
        return;
    };
    let Some(after @ Value::Map(_)) = preview::apply(before.clone(), &changes) else { return };
    let operations = json_patch::diff(&before, &after);
    let written = Value::List(operations.iter().map(json_patch::to_value).collect());
    assert_eq!(json_patch::parse(&written).as_ref(), Ok(&operations), "operations come back");
    let again = json_patch::changes(&before, &operations).expect("a difference fits");
    assert_eq!(preview::apply(before, &again), Some(after), "a difference gives the later value");
}

/// Returns the result of a merge patch by the algorithm of RFC 7396.
fn merged(target: Value, patch: Value) -> Value {
    let Value::Map(patch) = patch else { return patch };
    let mut members = if let Value::Map(members) = target { members } else { BTreeMap::new() };
    for (name, value) in patch {
        let before = members.remove(&name);
        if value != Value::Null {
            members.insert(name, merged(before.unwrap_or(Value::Null), value));
        }
    }
    Value::Map(members)
}

/// Reads rules, the first line, and evaluates them on a document, the rest. The rules must survive a description, a
/// deed without a rule must be locked, and a bound rule must have no variable left.
pub fn rules(data: &[u8]) {
    let (Ok(written), document) = halves(data) else { return };
    let Ok(rules) = Rules::from_value(&written) else { return };
    let description: Value = [("name", Value::from("c")), ("rules", rules.member())].into_iter().collect();
    assert_eq!(Rules::of(&description).as_ref(), Some(&rules), "rules come back");
    let auth: Value = [("account", Value::from("ada")), ("role", "editor".into())].into_iter().collect();
    let context: Value = [("auth", auth), ("now", Value::Int(7))].into_iter().collect();
    let bound = Actor { context: context.clone(), bound: true, reach: Vec::new() };
    let free = Actor { context, bound: false, reach: Vec::new() };
    for deed in Deed::ALL {
        let may = bound.may(SpaceNo(1), "c", deed, Some(&rules));
        assert_eq!(may.is_some(), rules.rule(deed).is_some(), "what has no rule is locked");
        assert!(free.may(SpaceNo(1), "c", deed, None).is_some(), "whom rules do not bind");
        if let (Some(may), Ok(document)) = (may, &document) {
            let subject = Subject::new(document, DocId([0; 16]));
            let again = may.bind(&Value::Null);
            assert_eq!(may.matches(&subject), again.matches(&subject), "nothing is left to bind");
        }
    }
}

/// Reads the first line and the rest as JSON.
fn halves(data: &[u8]) -> (Result<Value, ()>, Result<Value, ()>) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let mut next = || json::parse(parts.next().unwrap_or_default()).map_err(drop);
    (next(), next())
}

/// Compiles a schema, the first line, and compares a document, the rest. The schema must survive its text, and a
/// document must be valid exactly if it has no violations.
pub fn schema(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (text, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(schema) = json::parse(text).map_err(drop).and_then(|value| Schema::new(&value).map_err(drop)) else {
        return;
    };
    assert_eq!(Schema::from_text(schema.text()).as_ref(), Some(&schema), "a schema comes back");
    let Ok(mut value) = json::parse(rest) else { return };
    schema.complete(&mut value);
    schema.stamp(&mut value, 1);
    let key = schema.key_of(&value);
    let violations = schema.violations(&value, key.as_deref());
    assert_eq!(violations.is_empty(), schema.is_valid(&value, key.as_deref()), "{violations:?}");
}

/// Reads a selector, the first line, and matches a document, the rest. The written selector must be the same when read
/// again, a negation must not match too, and an index must return a document that matches.
pub fn selector(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (text, document) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(selector) = parse::parse(text) else { return };
    let written = selector.to_value();
    match parse::from_value(&written) {
        Ok(again) => assert_eq!(again, selector, "a selector comes back"),
        Err(error) => assert!(matches!(error.problem, Problem::TooLong { .. }), "it is read again: {error}"),
    }
    let Ok(value) = json::parse(document) else { return };
    let subject = Subject::new(&value, DocId([0; 16]));
    let matches = selector.matches(&subject);
    let negated = Selector::Not(Box::new(selector.clone())).matches(&subject);
    assert!(!(matches && negated), "a negation does not match as well");
    if matches {
        let mut fields = Vec::new();
        fields_of(&selector, None, &mut fields);
        fields.iter().for_each(|field| assert_admits(&selector, field, &subject));
    }
}

/// Collects the fields that a selector tests, also those of items.
fn fields_of(selector: &Selector, around: Option<&Path>, fields: &mut Vec<Field>) {
    let (Selector::All(parts) | Selector::Any(parts)) = selector else {
        if let Selector::Field(field, test) = selector {
            let joined = match (around, field) {
                (Some(around), Field::Member(path)) => around.join(path).map(Field::Member),
                (_, field) => Some(field.clone()),
            };
            if let (Some(Field::Member(path)), Test::Elem(Elem::Fields(inner))) = (&joined, test) {
                fields_of(inner, Some(path), fields);
            }
            fields.extend(joined);
        }
        return;
    };
    parts.iter().for_each(|part| fields_of(part, around, fields));
}

/// Asserts that the bounds of each field admit a document that matches.
fn assert_admits(selector: &Selector, field: &Field, subject: &Subject<'_>) {
    let bounds = Bounds::of(selector, field);
    subject.with(field, |reached| {
        let keys = reached.keys();
        let equals = |point: &Option<Value>| keys.iter().any(|key| compare(*key, point.as_ref()).is_eq());
        assert!(bounds.points().is_none_or(|points| points.iter().any(equals)), "{field}: a key is among the points");
        for multikey in [true, reached.is_multikey()] {
            let range = bounds.range(multikey);
            let inside = range.is_none_or(|range| keys.iter().any(|key| range.contains(*key)));
            assert!(inside, "{field}: a key lies in the range");
        }
    });
}

/// Reads an editing trace, and follows its causality.
pub fn import_trace(data: &[u8]) {
    let mut reader = TraceReader::new();
    let mut causality = Causality::new();
    reader.feed(data);
    reader.finish();
    for number in 0usize.. {
        let Ok(Some(txn)) = reader.next_txn() else { break };
        assert!(txn.parents.iter().all(|parent| *parent < number), "parents precede");
        if causality.follow(&txn).is_err() {
            break;
        }
    }
    let _ = (reader.start_content(), reader.summary().is_ok());
}

fn import(format: Format, data: &[u8]) {
    let whole = read(Reader::new(format, None), data, usize::MAX);
    let piece = usize::from(data.first().copied().unwrap_or(0) % 16) + 1;
    let (pieces, _, same) = read(Reader::new(format, None), data, piece);
    let (records, reader, ended) = whole;
    assert_eq!(records, pieces, "how a file is cut makes no difference");
    assert_eq!(ended.is_ok(), same.is_ok(), "nor to whether it is valid");
    if ended.is_ok() && !records.is_empty() {
        resumes(format, data, &records);
        exports(format, &reader, &records);
    }
}

fn read(mut reader: Reader, data: &[u8], piece: usize) -> (Vec<Record>, Reader, Result<(), ImportError>) {
    let mut records = Vec::new();
    for part in data.chunks(piece).map(Some).chain([None]) {
        match part {
            Some(part) => reader.feed(part),
            None => reader.finish(),
        }
        loop {
            match reader.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => return (records, reader, Err(error)),
            }
        }
    }
    (records, reader, Ok(()))
}

/// Asserts that a reader that resumes after the first record reads the rest.
fn resumes(format: Format, data: &[u8], records: &[Record]) {
    let mut reader = Reader::new(format, None);
    reader.feed(data);
    reader.finish();
    let first = reader.next_record().expect("it was read before");
    assert_eq!(first.as_ref(), records.first());
    let checkpoint = reader.checkpoint().clone();
    let offset = usize::try_from(checkpoint.offset).expect("within the data");
    let (rest, _, ended) = read(Reader::resume(checkpoint), &data[offset..], usize::MAX);
    assert!(ended.is_ok());
    assert_eq!(rest, records[1..], "a reader can stop and resume");
}

/// Exports the imported records, and asserts that the file reads as the same records.
fn exports(format: Format, reader: &Reader, records: &[Record]) {
    let meta = CollectionMeta {
        format: Some(format),
        columns: reader.columns().to_vec(),
        envelope: reader.envelope(),
        ..CollectionMeta::new("c")
    };
    let member = meta.envelope.as_ref().map(|envelope| envelope.rows_member.clone());
    let mut writer = Writer::new(format, &meta);
    let mut out = Vec::new();
    for record in records {
        writer.write_record(&record.value, &mut out).expect("what was read can be written");
    }
    writer.finish(&mut out);
    let (again, _, ended) = read(Reader::new(format, member.as_deref()), &out, usize::MAX);
    assert!(ended.is_ok(), "an export is valid");
    assert!(again.iter().map(|r| &r.value).eq(records.iter().map(|r| &r.value)), "and holds the same records");
}
