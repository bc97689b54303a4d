//! `import`: a file imported on A arrives on B, and B exports it unchanged.

mod resume;

use super::input::Input;
use super::node::{Node, number, start_joined, text};
use super::{Report, Setting, xml};
use crate::Failure;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The samples, which are outside of the repository.
const SAMPLES: [&str; 2] = ["zipcodes.csv.gz", "earthquakes.json.gz"];
/// The collection of the imported documents.
const COLLECTION: &str = "imported";

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    for path in setting.files_or(&SAMPLES)? {
        let input = Input::read(&path)?;
        eprintln!("import: {} ({} bytes)", path.display(), input.bytes.len());
        prove_file(setting, &input, report)?;
    }
    if setting.files.is_empty() {
        prove_file(setting, &catalog(), report)?;
        let home = tempfile::tempdir()?;
        resume::prove(setting, home.path(), report)?;
    }
    Ok(())
}

/// Returns a sample of XML with attributes, lists, mixed content and much text around the records.
fn catalog() -> Input {
    let mut text = "<?xml version=\"1.0\"?>\n<!-- a catalog -->\n<catalog xmlns:x=\"urn:x\"><title>All &amp; more</title><books>\n".to_owned();
    for number in 0..3_000 {
        let authors: String = (0..number % 4).map(|author| format!("<author>A{author}</author>")).collect();
        let note =
            if number % 3 == 0 { "<note>see <x:b k=\"&lt;&#10;\">it</x:b> &#233; <i/>now</note>" } else { "<note/>" };
        text.push_str(&format!("  <book id=\"{number:05}\"><title>T {number}</title>{authors}{note}</book>\n"));
    }
    text.push_str("</books><end>1</end></catalog>\n");
    Input { name: "catalog.xml".to_owned(), bytes: text.into_bytes() }
}

fn prove_file(setting: &Setting, input: &Input, report: &mut Report<'_>) -> Result<(), Failure> {
    let name = &input.name;
    let home = tempfile::tempdir()?;
    let file = home.path().join(name);
    fs::write(&file, &input.bytes)?;
    let before = Records::parse(input, input.text()?)?;

    let mut nodes = start_joined(&setting.binary, home.path(), 2)?;
    let [a, b] = nodes.as_mut_slice() else { return Err("two nodes were to start".into()) };
    let imported = import(a, &file, COLLECTION, before.rows_path.as_deref())?;
    b.wait_documents(imported)?;
    a.wait_sync()?;
    b.wait_sync()?;

    let (unequal, documents) = compare_documents(a, b)?;
    report.figure(&format!("{name}: documents on A without an equal on B"), unequal as f64, documents);
    let (on_a, on_b) = (a.digest()?, b.digest()?);
    let differ = on_a != on_b || number(&on_b, "documents")? != imported;
    report.figure(&format!("{name}: digests that differ"), f64::from(u8::from(differ)), documents);
    eprintln!("import: {name}: digest {} over {documents} documents", text(&on_b, "digest")?);

    let exported = export(b, input.format())?;
    let after = Records::parse(input, &exported)?;
    eprintln!(
        "import: {name}: the export is {} byte for byte",
        if exported.as_bytes() == input.bytes { "equal" } else { "not equal" }
    );
    let wrong = before.differences(&after);
    report.figure(&format!("{name}: records of B's export that differ from the input"), wrong as f64, before.len());
    if setting.files.is_empty() {
        report_sample(name, &before, &after, number(&on_b, "documents")?, report);
    }
    Ok(())
}

/// Reports the properties for which the samples were chosen.
fn report_sample(name: &str, before: &Records, after: &Records, on_b: u64, report: &mut Report<'_>) {
    let pairs = || before.rows.iter().zip(&after.rows);
    match name {
        "zipcodes.csv" => {
            report.figure("zipcodes.csv: rows on B", on_b as f64, before.len());
            let zeros = |rows: &[Value]| rows.iter().map(leading_zeros).sum::<u64>();
            let lost = zeros(&before.rows).abs_diff(zeros(&after.rows));
            let changed =
                pairs().filter(|(before, after)| leading_zeros(before) != leading_zeros(after)).count() as u64;
            report.figure("zipcodes.csv: leading zeros lost", lost.max(changed) as f64, zeros(&before.rows));
        }
        "earthquakes.json" => {
            let special = |row: &Value| nested_and_nulls(row, 0);
            let of_interest = before.rows.iter().filter(|row| special(row) > 0).count() as u64;
            let lost = pairs().filter(|(before, after)| special(before) != special(after) || before != after).count();
            let missing = before.rows.len().saturating_sub(after.rows.len());
            report.figure("earthquakes.json: nested values and nulls lost", (lost + missing) as f64, of_interest);
        }
        _ => {}
    }
}

/// Imports a file into a collection and returns the number of new documents.
pub(super) fn import(node: &mut Node, file: &Path, collection: &str, rows: Option<&str>) -> Result<u64, Failure> {
    let arguments = json!({ "collection": collection, "path": file, "rows": rows });
    let imported = node.ask_with("import", arguments, &fs::read(file)?)?;
    let (documents, ms) = (number(&imported, "documents")?, number(&imported, "elapsed_ms")?);
    eprintln!("  {documents} documents imported in {ms} ms");
    Ok(documents)
}

fn export(node: &mut Node, format: &str) -> Result<String, Failure> {
    let mut exported = String::new();
    node.ask_items("export", json!({ "collection": COLLECTION, "format": format }), &mut |item| {
        exported.push_str(item.get("chunk").and_then(Value::as_str).unwrap_or_default());
    })?;
    Ok(exported)
}

/// Returns the number of documents that are on one node only or differ, and the number of all documents on A.
fn compare_documents(a: &mut Node, b: &mut Node) -> Result<(u64, u64), Failure> {
    let mut known = BTreeMap::new();
    let id = |document: &Value| document.get("doc").map(Value::to_string).unwrap_or_default();
    a.documents(COLLECTION, &mut |document| drop(known.insert(id(&document), document)))?;
    let documents = known.len() as u64;
    let mut unequal = 0;
    b.documents(COLLECTION, &mut |document| {
        unequal += u64::from(known.remove(&id(&document)).as_ref() != Some(&document));
    })?;
    Ok((unequal + known.len() as u64, documents))
}

impl Input {
    /// Returns the format by the file's extension, in the terms of `import`.
    fn format(&self) -> &str {
        match self.name.rsplit_once('.') {
            Some((_, "csv")) => "csv",
            Some((_, "tsv")) => "tsv",
            Some((_, "xml")) => "xml",
            Some((_, "ndjson" | "jsonl")) => "ndjson",
            _ => "json",
        }
    }
}

/// A file's records, and the text around them.
#[derive(Debug)]
struct Records {
    rows: Vec<Value>,
    /// The path of the records in a JSON file.
    rows_path: Option<String>,
    /// The names of the columns, or the JSON file without its rows.
    around: Value,
}

impl Records {
    fn parse(input: &Input, text: &str) -> Result<Self, Failure> {
        match input.format() {
            "xml" => {
                let mut around = xml::parse(text)?;
                let (rows, path) = xml::take_records(&mut around).ok_or("the XML has no records")?;
                Ok(Self { rows, rows_path: Some(path), around })
            }
            kind @ ("csv" | "tsv") => {
                let mut rows = csv(text, if kind == "csv" { ',' } else { '\t' });
                let around = if rows.is_empty() { Value::Null } else { rows.remove(0) };
                Ok(Self { rows, rows_path: None, around })
            }
            "ndjson" => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                let rows = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
                Ok(Self { rows, rows_path: None, around: Value::Null })
            }
            _ => {
                let mut around: Value = serde_json::from_str(text)?;
                let path = match around.as_object() {
                    Some(members) => Some(longest_array(members, 2).ok_or("the JSON has no array of records")?.0),
                    None => None,
                };
                let pointer = path.as_ref().map(|path| format!("/{}", path.replace('.', "/"))).unwrap_or_default();
                let rows = around.pointer_mut(&pointer).and_then(Value::as_array_mut).map(std::mem::take);
                Ok(Self { rows: rows.ok_or("the JSON is no array of records")?, rows_path: path, around })
            }
        }
    }

    fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Returns the number of differing records at the same place; different text around the records adds one.
    fn differences(&self, other: &Self) -> u64 {
        let different = self.rows.iter().zip(&other.rows).filter(|(one, other)| one != other).count();
        let around = self.around != other.around || self.rows_path != other.rows_path;
        (different + self.rows.len().abs_diff(other.rows.len())) as u64 + u64::from(around)
    }
}

/// Returns the dotted path of the longest array of objects, and its length.
fn longest_array(members: &Map<String, Value>, depth: usize) -> Option<(String, usize)> {
    let inside = |(name, value): (&String, &Value)| {
        if let Some(items) = value.as_array() {
            return items.iter().all(Value::is_object).then(|| (name.clone(), items.len()));
        }
        let members = value.as_object().filter(|_| depth > 0)?;
        longest_array(members, depth - 1).map(|(path, len)| (format!("{name}.{path}"), len))
    };
    members.iter().filter_map(inside).max_by_key(|(_, len)| *len)
}

/// Parses separated values by RFC 4180: a record is a list of texts.
fn csv(text: &str, delimiter: char) -> Vec<Value> {
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if quoted || field.is_empty() => quoted = !quoted,
            char if char == delimiter && !quoted => record.push(Value::String(std::mem::take(&mut field))),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(Value::String(std::mem::take(&mut field)));
                records.push(Value::Array(std::mem::take(&mut record)));
            }
            char => field.push(char),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(Value::String(field));
        records.push(Value::Array(record));
    }
    // An empty line is not a record.
    records.retain(|record| {
        record.as_array().is_some_and(|fields| fields.len() > 1 || fields.iter().any(|field| field != ""))
    });
    records
}

/// Returns the number of values with a leading zero that a number would lose.
fn leading_zeros(row: &Value) -> u64 {
    let zero = |text: &str| text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    row.as_array().into_iter().flatten().filter_map(Value::as_str).filter(|text| zero(text)).count() as u64
}

/// Returns the number of nested values and of nulls.
fn nested_and_nulls(value: &Value, depth: usize) -> usize {
    let own = usize::from(value.is_null() || (depth > 0 && (value.is_array() || value.is_object())));
    let items = value.as_array().into_iter().flatten();
    let members = value.as_object().into_iter().flat_map(Map::values);
    let below: usize = items.chain(members).map(|value| nested_and_nulls(value, depth + 1)).sum();
    own + below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(name: &str, text: &str) -> Records {
        Records::parse(&Input { name: name.to_owned(), bytes: Vec::new() }, text).unwrap()
    }

    #[test]
    fn quoted_values_are_read_and_empty_lines_are_not() {
        let file = records("x.csv", "a,b\r\n\"1,\"\"2\"\"\",\"line\nbreak\"\n\n01,");
        assert_eq!(file.around, json!(["a", "b"]));
        assert_eq!(file.rows, [json!(["1,\"2\"", "line\nbreak"]), json!(["01", ""])]);
        assert_eq!(file.rows.iter().map(leading_zeros).sum::<u64>(), 1);
    }

    #[test]
    fn a_record_that_changed_moved_or_went_is_found() {
        let before = records("x.ndjson", "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(before.differences(&records("x.ndjson", "{\"a\":1}\n{\"a\":2}")), 0);
        assert_eq!(before.differences(&records("x.ndjson", "{\"a\":2}\n{\"a\":1}")), 2);
        assert_eq!(before.differences(&records("x.ndjson", "{\"a\":1}")), 1);
    }

    #[test]
    fn the_longest_array_of_objects_holds_the_records() {
        let file = records("x.json", r#"{"tags":["x","y","z"],"data":{"rows":[{"a":null},{"b":{"c":1}}]},"n":1}"#);
        assert_eq!(file.rows_path.as_deref(), Some("data.rows"));
        assert_eq!((file.len(), file.rows.iter().map(|row| nested_and_nulls(row, 0)).sum()), (2, 2));
        let other = records("x.json", r#"{"tags":["x","y","z"],"data":{"rows":[{"a":null},{"b":{"c":1}}]},"n":2}"#);
        assert_eq!(file.differences(&other), 1);
        assert_eq!(records("y.json", "[{}]").rows_path, None);
    }
}
