use super::*;
use crate::import::Reader;
use crate::json::parse;
use crate::json::tests::any_json;
use proptest::prelude::*;

/// Imports a file and exports it again.
fn again(format: Format, bytes: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(format, None);
    reader.feed(bytes);
    reader.finish();
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        records.push(record.value);
    }
    let meta =
        CollectionMeta { columns: reader.columns().to_vec(), envelope: reader.envelope(), ..CollectionMeta::new("c") };
    // Another device receives the collection's description as a value.
    let meta = CollectionMeta::from_value(&meta.to_value()).unwrap();
    write(format, &meta, &records)
}

fn write(format: Format, meta: &CollectionMeta, records: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(format, meta);
    for record in records {
        writer.write_record(record, &mut out).unwrap();
    }
    writer.finish(&mut out);
    out
}

#[test]
fn a_csv_file_comes_back_byte_for_byte() {
    let bytes = include_bytes!("../../fixtures/zipcodes-200.csv");
    assert_eq!(String::from_utf8(again(Format::Csv, bytes)).unwrap(), core::str::from_utf8(bytes).unwrap());
    let quoted = "a\n\"x,y\"\n\"\"\n\"a \"\"b\"\"\"\n";
    assert_eq!(again(Format::Csv, quoted.as_bytes()), quoted.as_bytes());
    assert_eq!(again(Format::Csv, b"b,a\n"), b"b,a\n");
}

#[test]
fn a_json_file_comes_back_with_what_surrounds_its_rows() {
    let bytes = include_bytes!("../../fixtures/earthquakes-20.json");
    let out = again(Format::Json, bytes);
    assert_eq!(parse(&out).unwrap(), parse(bytes).unwrap());
    let head = bytes.windows(12).position(|window| window == b"\"features\":[").unwrap() + 12;
    assert_eq!(out[..head], bytes[..head]);
    assert_eq!(again(Format::Json, b"[{\"a\":1},{}]"), b"[\n{\"a\":1},\n{}\n]\n");
    assert_eq!(again(Format::Json, b"[]"), b"[\n\n]\n");
    assert_eq!(again(Format::Ndjson, b"{\"a\": 1.0}"), b"{\"a\":1.0}\n");
}

#[test]
fn cells_of_other_kinds_and_fields_without_a_column() {
    let record = parse(br#"{"a":null,"b":[1,"x"],"c":2.5,"d":true}"#).unwrap();
    let mut meta = CollectionMeta::new("c");
    assert_eq!(Writer::new(Format::Csv, &meta).write_record(&record, &mut Vec::new()), Err(ExportError::NoColumns));
    meta.columns = vec!["c".to_owned(), "e".to_owned()];
    let refused = Writer::new(Format::Csv, &meta).write_record(&record, &mut Vec::new());
    assert_eq!(refused, Err(ExportError::NoColumn { row: 1, field: "a".to_owned() }));
    add_columns(&mut meta.columns, &record);
    let text = String::from_utf8(write(Format::Csv, &meta, &[record])).unwrap();
    assert_eq!(text, "c,e,a,b,d\n2.5,,,\"[1,\"\"x\"\"]\",true\n");
}

#[test]
fn a_writer_resumes() {
    let records: Vec<Value> = (0..6).map(|n| [("n", Value::Int(n))].into_iter().collect()).collect();
    for format in [Format::Csv, Format::Ndjson, Format::Json] {
        let meta = CollectionMeta { columns: vec!["n".to_owned()], ..CollectionMeta::new("c") };
        let whole = write(format, &meta, &records);
        let mut out = Vec::new();
        let mut first = Writer::new(format, &meta);
        records[..4].iter().for_each(|record| first.write_record(record, &mut out).unwrap());
        let mut second = Writer::new(format, &meta).resume(4);
        records[4..].iter().for_each(|record| second.write_record(record, &mut out).unwrap());
        second.finish(&mut out);
        assert_eq!(out, whole);
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        rows in proptest::collection::vec(proptest::collection::btree_map("[a-c]", any_json(), 0..3), 0..5),
        cells in proptest::collection::vec(proptest::collection::vec("[ab,\"\n\r é]{0,6}", 2), 0..5),
        long in 0usize..2000,
    ) {
        let rows: Vec<Value> = rows.into_iter().map(Value::Map).collect();
        for format in [Format::Ndjson, Format::Json] {
            let bytes = write(format, &CollectionMeta::new("c"), &rows);
            prop_assert_eq!(again(format, &bytes), bytes);
        }
        let meta = CollectionMeta { columns: vec!["b".to_owned(), "a\"".to_owned()], ..CollectionMeta::new("c") };
        let rows: Vec<Value> = cells
            .into_iter()
            .map(|cells| meta.columns.iter().cloned().zip(cells.into_iter().map(|cell| cell + &"x".repeat(long))).collect())
            .collect();
        let bytes = write(Format::Csv, &meta, &rows);
        let mut reader = Reader::new(Format::Csv, None);
        reader.feed(&bytes);
        reader.finish();
        for row in &rows {
            prop_assert_eq!(&reader.next_record().unwrap().unwrap().value, row);
        }
        prop_assert_eq!(reader.next_record().unwrap(), None);
    }
}
