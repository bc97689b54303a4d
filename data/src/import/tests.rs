use super::*;
use crate::json::parse;
use crate::json::tests::any_json;
use proptest::prelude::*;

const ZIPCODES: &[u8] = include_bytes!("../../fixtures/zipcodes-200.csv");
const EARTHQUAKES: &[u8] = include_bytes!("../../fixtures/earthquakes-20.json");

/// Reads a whole file in chunks.
fn read(mut reader: Reader, bytes: &[u8], chunk: usize) -> Result<(Vec<Record>, Reader), ImportError> {
    let mut records = Vec::new();
    for bytes in bytes.chunks(chunk) {
        reader.feed(bytes);
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
    }
    reader.finish();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok((records, reader))
}

fn rows(format: Format, text: &str) -> Result<Vec<Value>, ImportError> {
    let (records, _) = read(Reader::new(format, None), text.as_bytes(), usize::MAX)?;
    for chunk in [1, 2, 3, 7] {
        let (again, _) = read(Reader::new(format, None), text.as_bytes(), chunk)?;
        assert_eq!(again, records, "in chunks of {chunk}");
    }
    Ok(records.into_iter().map(|record| record.value).collect())
}

fn json(rows: &[&str]) -> Vec<Value> {
    rows.iter().map(|row| parse(row.as_bytes()).unwrap()).collect()
}

#[test]
fn postal_codes_keep_their_leading_zeros() {
    let (records, reader) = read(Reader::new(Format::Csv, None), ZIPCODES, 100).unwrap();
    assert_eq!(records.len(), 200);
    assert_eq!(reader.columns(), ["zip_code", "latitude", "longitude", "city", "state", "county"]);
    assert_eq!(records[0].value.entry("zip_code"), Some(&"00501".into()));
    assert_eq!((records[199].row, records[199].offset_after), (200, ZIPCODES.len() as u64));
}

#[test]
fn a_feature_collection_streams_its_features_and_keeps_the_rest() {
    let (records, reader) = read(Reader::new(Format::Json, None), EARTHQUAKES, 333).unwrap();
    assert_eq!(records.len(), 20);
    let whole = parse(EARTHQUAKES).unwrap();
    let features = whole.entry("features").unwrap().as_list().unwrap();
    assert!(records.iter().map(|record| &record.value).eq(features));
    let envelope = reader.envelope().unwrap();
    assert_eq!(envelope.rows_member, "features");
    assert!(envelope.head.ends_with("\"features\":[") && envelope.tail.starts_with("],\"bbox\""));
}

#[test]
fn csv_quotes_breaks_and_blank_lines() {
    let text = "\u{feff}a,b\r\n1,\"x,\"\"y\"\"\r\nz\"\r\n\r\n,\"\"\n03,é";
    let expected = [r#"{"a":"1","b":"x,\"y\"\r\nz"}"#, r#"{"a":"","b":""}"#, r#"{"a":"03","b":"é"}"#];
    assert_eq!(rows(Format::Csv, text).unwrap(), json(&expected));
    assert_eq!(rows(Format::Csv, "a,b\n").unwrap(), []);
    assert_eq!(rows(Format::Csv, "a\n\"\"\n5\" pipe\n").unwrap().len(), 2);
}

#[test]
fn csv_errors_name_the_line() {
    let error = |text: &str| rows(Format::Csv, text).unwrap_err().to_string();
    assert!(error("").contains("header"));
    assert!(error("a,,c\n").contains("column 2 has no name"));
    assert!(error("a,b,a\n").contains("columns 1 and 3"));
    assert!(error("a,b\n1,2\n\n\"x\ny\",2\n3\n").starts_with("line 6 (row 3): 1 cells where the header has 2"));
    assert!(error("a,b\r\n1,2\r\n3\r\n").starts_with("line 3 (row 2)"));
    assert!(error("a,b\n1,\"2\n3,4\n").starts_with("line 2 (row 1): a quote is never closed"));
    let (format, bytes) = (Format::Csv, b"a\n1\n\xff\n");
    assert!(matches!(read(Reader::new(format, None), bytes, 99), Err(ImportError::NotUtf8 { line: 3 })));
    assert!(matches!(read(Reader::new(format, None), b"\xff\xfea\0", 99), Err(ImportError::NotUtf8 { line: 1 })));
}

#[test]
fn ndjson_lines() {
    let text = "\u{feff}{\"a\":1}\r\n\n  {\"a\":null}";
    assert_eq!(rows(Format::Ndjson, text).unwrap(), json(&[r#"{"a":1}"#, r#"{"a":null}"#]));
    let error = |text: &str| rows(Format::Ndjson, text).unwrap_err().to_string();
    assert!(error("{}\n[1]\n").starts_with("line 2 (row 2): not an object"));
    assert!(error("{}\n\n{\"n\":99999999999999999999}").starts_with("line 3 (row 2): the whole number at byte 5"));
    assert!(error("{}\n{").starts_with("line 2 (row 2): not valid JSON"));
    assert_eq!(error("{}\n{\"a\": }\n"), "line 2 (row 2): not valid JSON: expected value at byte 7");
}

#[test]
fn json_arrays_and_their_members() {
    assert_eq!(rows(Format::Json, " [ ] \n").unwrap(), []);
    let two = json(&[r#"{"a":"]},{\\\""}"#, r#"{"b":[{"c":{}}]}"#]);
    assert_eq!(rows(Format::Json, "[ {\"a\":\"]},{\\\\\\\"\"} ,\n{\"b\":[{\"c\":{}}]}]\n").unwrap(), two);
    let text = r#"{"bbox":[1,[2]],"é\"[":"[{","meta":{"rows":[{"no":1}]},"rows":[{"a":"]},{\\\""},{"b":[{"c":{}}]}],"z":[{}]}"#;
    assert_eq!(rows(Format::Json, text).unwrap(), two);
    let (named, _) = read(Reader::new(Format::Json, Some("z")), text.as_bytes(), 4).unwrap();
    assert_eq!(named.len(), 1);
    let (empty, reader) = read(Reader::new(Format::Json, Some("rows")), br#"{"rows":[ ],"n":1}"#, 4).unwrap();
    assert_eq!((empty.len(), reader.envelope().unwrap().tail), (0, r#"],"n":1}"#.to_owned()));
}

#[test]
fn a_dotted_path_leads_to_the_rows() {
    let at = |member, text: &str| {
        let whole = read(Reader::new(Format::Json, Some(member)), text.as_bytes(), usize::MAX);
        let cut = read(Reader::new(Format::Json, Some(member)), text.as_bytes(), 1);
        assert_eq!(whole.as_ref().ok().map(|read| &read.0), cut.as_ref().ok().map(|read| &read.0));
        whole.map(|(records, reader)| (records.len(), reader.envelope().unwrap()))
    };
    let text = r#"{"x":[{"items":[{}]}],"data":{"a":[1,{"items":[{}]}],"n":{"items":{}},"items":[{"id":1},{"id":2}],"z":1},"k":"{"}"#;
    let (rows, envelope) = at("data.items", text).unwrap();
    assert_eq!((rows, envelope.rows_member.as_str()), (2, "data.items"));
    assert_eq!(envelope.tail, r#"],"z":1},"k":"{"}"#);
    assert_eq!(at("a.b", r#"{"a.b":[{}]}"#).unwrap().0, 1);
    assert_eq!(at("a.b", r#"{"a":{"b":[ ]}}"#).unwrap().0, 0);
    for wrong in ["items", "data", "data.n.items", "x.items", "data.items.id", "k"] {
        assert!(matches!(at(wrong, text), Err(ImportError::NoRowsAt { .. })), "{wrong}");
    }
    assert!(matches!(at("data", "[{}]"), Err(ImportError::NoRowsAt { .. })));
}

#[test]
fn json_errors_name_the_row() {
    let error = |text: &str| rows(Format::Json, text).unwrap_err().to_string();
    assert!(error("{\"a\":[1]}").contains("no array of objects"));
    assert!(error("7").contains("no array of objects"));
    assert!(error("").contains("no array of objects"));
    assert!(error("[{},\n{},\n7]").starts_with("line 3 (row 3): not an object"));
    assert!(error("[{},\n]").starts_with("line 2 (after row 1): expected a comma"));
    assert!(error("[{}\n{}]").starts_with("line 2 (after row 1): expected a comma"));
    assert!(error("[{},{\"a\":").contains("ends inside row 2"));
    assert!(error("[{}").contains("ends inside row 2"));
    assert!(error("[{}] x").contains("around the rows"));
    assert!(error("{\"a\":[{}],}").contains("around the rows"));
    assert!(error("[\n{\"a\":1,\"a\":2}]").starts_with("line 2 (row 1): not valid JSON"));
}

#[test]
fn memory_stays_bounded() {
    let long = |format, start: &[u8], end: &[u8]| {
        let mut reader = Reader::new(format, None);
        reader.feed(start);
        let filler = vec![b'x'; 64 * 1024];
        for _ in 0..20 {
            match reader.next_record() {
                Ok(_) => reader.feed(&filler),
                Err(error) => return error,
            }
        }
        reader.feed(end);
        reader.next_record().unwrap_err()
    };
    assert!(matches!(long(Format::Csv, b"a\n", b"\n"), ImportError::RecordTooLong { line: 2, row: 1 }));
    assert!(matches!(long(Format::Ndjson, b"{\"a\":\"", b"\"}\n"), ImportError::RecordTooLong { line: 1, row: 1 }));
    assert!(matches!(long(Format::Json, b"[{\"a\":\"", b"\"}]"), ImportError::RecordTooLong { line: 1, row: 1 }));
    assert!(matches!(long(Format::Json, b"{\"a\":\"", b"\"}"), ImportError::EnvelopeTooLong { line: 1 }));
}

#[test]
fn a_reader_resumes_after_any_record() {
    let crlf = "\u{feff}a,b\r\n1,2\r\n\r\n\"x\r\ny\",4\r\n5\r\n".as_bytes();
    let files =
        [(Format::Csv, ZIPCODES), (Format::Json, EARTHQUAKES), (Format::Ndjson, b"{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}")];
    for (format, bytes) in files {
        let (all, at_end) = read(Reader::new(format, None), bytes, 50).unwrap();
        let mut reader = Reader::new(format, None);
        reader.feed(bytes);
        reader.finish();
        while let Some(record) = reader.next_record().unwrap() {
            let checkpoint = reader.checkpoint().clone();
            assert_eq!((checkpoint.offset, checkpoint.rows), (record.offset_after, record.row));
            let rest = &bytes[usize::try_from(checkpoint.offset).unwrap()..];
            let (rest, resumed) = read(Reader::resume(checkpoint), rest, 50).unwrap();
            assert_eq!(rest, all[usize::try_from(record.row).unwrap()..]);
            assert_eq!(resumed.envelope(), at_end.envelope());
            assert_eq!(resumed.columns(), at_end.columns());
        }
    }
    let mut reader = Reader::new(Format::Csv, None);
    reader.feed(crlf);
    reader.next_record().unwrap().unwrap();
    let checkpoint = reader.checkpoint().clone();
    let rest = &crlf[usize::try_from(checkpoint.offset).unwrap()..];
    let error = read(Reader::resume(checkpoint), rest, 2).unwrap_err();
    assert!(matches!(error, ImportError::Ragged { line: 6, row: 3, .. }), "{error}");
}

#[test]
fn formats_have_names() {
    for format in [Format::Csv, Format::Ndjson, Format::Json, Format::Xml] {
        assert_eq!(Format::named(format.name()), Some(format));
    }
}

#[test]
fn cells_may_be_separated_by_other_characters() {
    let (records, _) = read(Reader::of(Kind::TSV, None), b"a\tb,c\n1,5\t\"x\ty\"\n", 3).unwrap();
    assert_eq!(records[0].value, parse(br#"{"a":"1,5","b,c":"x\ty"}"#).unwrap());
}

#[test]
fn a_cell_that_never_closes_is_no_cell() {
    let error = |text: &str| rows(Format::Csv, text).unwrap_err().to_string();
    for text in ["id,note\n1,fine\n2,\"cut off he", "id,note\n1,fine\n2,\"", "id,note\n1,\"a\"\"", "\"id,note"] {
        assert!(error(text).contains("a quote is never closed"), "{text}");
    }
    assert!(error("a,b\n\"x\"y,2\n").starts_with("line 2 (row 1): text follows the quote"));
    assert_eq!(rows(Format::Csv, "a\n\"x\"\"y\"\n\"\"\"\"\n x\"\"\n\"\"").unwrap().len(), 4);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text in "[\\[\\]{}\",:0-9 a\n\r\\\\]{0,48}", chunk in 1usize..9) {
        for format in [Format::Csv, Format::Ndjson, Format::Json, Format::Xml] {
            let _ = read(Reader::new(format, None), &bytes, chunk);
            let _ = read(Reader::new(format, Some("a")), text.as_bytes(), chunk);
        }
    }

    #[test]
    fn rows_read_are_the_rows_written(
        rows in proptest::collection::vec(proptest::collection::btree_map("[a-c]", any_json(), 0..3), 0..5),
        chunk in 1usize..40,
    ) {
        let rows: Vec<Value> = rows.into_iter().map(Value::Map).collect();
        let text = crate::json::to_string(&Value::List(rows.clone()));
        let (records, _) = read(Reader::new(Format::Json, None), text.as_bytes(), chunk).unwrap();
        prop_assert!(records.iter().map(|record| &record.value).eq(&rows));
    }
}
