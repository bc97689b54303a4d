use crate::collection::CollectionMeta;
use crate::export::Writer;
use crate::import::{Format, ImportError, Reader, Record};
use crate::json::{parse, to_string};
use cosmicsync_protocol::crdt::Value;
use proptest::prelude::*;

fn read(rows: Option<&str>, text: &str, piece: usize) -> Result<(Vec<Record>, Reader), ImportError> {
    let mut reader = Reader::new(Format::Xml, rows);
    let mut records = Vec::new();
    for part in text.as_bytes().chunks(piece).map(Some).chain([None]) {
        match part {
            Some(part) => reader.feed(part),
            None => reader.finish(),
        }
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
    }
    Ok((records, reader))
}

fn values(rows: Option<&str>, text: &str) -> Vec<String> {
    let (records, _) = read(rows, text, usize::MAX).unwrap_or_else(|error| panic!("{error}"));
    for piece in [1, 3, 7] {
        assert_eq!(read(rows, text, piece).unwrap().0, records, "in pieces of {piece}");
    }
    records.iter().map(|record| to_string(&record.value)).collect()
}

fn error(rows: Option<&str>, text: &str) -> String {
    read(rows, text, 5).map(|_| ()).unwrap_err().to_string()
}

/// Exports the records that were read.
fn again(rows: Option<&str>, text: &str) -> String {
    let (records, reader) = read(rows, text, 64).unwrap_or_else(|error| panic!("{error}"));
    let meta = CollectionMeta {
        format: Some(Format::Xml),
        columns: reader.columns().to_vec(),
        envelope: reader.envelope(),
        ..CollectionMeta::new("c")
    };
    write(&meta, records.iter().map(|record| &record.value)).unwrap()
}

fn write<'v>(meta: &CollectionMeta, values: impl Iterator<Item = &'v Value>) -> Result<String, String> {
    let (mut writer, mut out) = (Writer::new(Format::Xml, meta), Vec::new());
    for value in values {
        writer.write_record(value, &mut out).map_err(|error| error.to_string())?;
    }
    writer.finish(&mut out);
    Ok(String::from_utf8(out).unwrap())
}

const CATALOG: &str = "<?xml version=\"1.0\"?>\n<!DOCTYPE catalog [<!ELEMENT a (b>c)>]>\n<!-- <book> -->\n<catalog n='1>2'>\n  \
    <book id=\"b1\" lang=\"en\"><title>A &amp; B &#233;</title><author>X</author><author>Y</author><year/></book>\n  \
    <book id=\"b2\"><title lang=\"de\">C</title></book>\n</catalog>\n";

#[test]
fn elements_become_members() {
    let expected = [
        r##"{"@id":"b1","@lang":"en","author":["X","Y"],"title":"A & B é","year":""}"##,
        r##"{"@id":"b2","title":{"#text":"C","@lang":"de"}}"##,
    ];
    assert_eq!(values(None, CATALOG), expected);
    assert_eq!(values(Some("book"), CATALOG), expected);
    assert_eq!(values(Some("catalog.book"), CATALOG), expected);
    assert_eq!(values(None, "<r><a/><a x='1'/><a> t </a></r>"), ["{}", r##"{"@x":"1"}"##, r##"{"#text":" t "}"##]);
    assert_eq!(values(None, "<r></r>"), [""; 0]);
}

#[test]
fn what_members_cannot_order_stays_in_its_order() {
    let text = "<r><p>one <b>two</b> three <b>four</b></p><p><!-- c --><?pi x?><b> </b></p><p><b/><i/><b/></p></r>";
    let expected = [
        r##"{"#content":["one ",{"b":"two"}," three ",{"b":"four"}]}"##,
        r##"{"#content":[{"#comment":" c "},{"#pi":"pi x"},{"b":" "}]}"##,
        r##"{"#content":[{"b":""},{"i":""},{"b":""}]}"##,
    ];
    assert_eq!(values(None, text), expected);
    assert_eq!(again(None, text).replace("\n", ""), text);
}

#[test]
fn an_export_has_the_elements_of_the_import_in_their_order() {
    assert_eq!(again(None, CATALOG), CATALOG.replace("</book>\n  <book", "</book>\n<book").replace("&#233;", "é"));
    let rss =
        "<rss><channel><title>T</title><item><z>1</z><a>2</a></item><item><z>3</z></item><x>y</x></channel></rss>";
    assert_eq!(again(Some("channel.item"), rss).replace('\n', ""), rss);
    let cdata = "<r><a><![CDATA[<x> & ]]></a><a q=\"&quot;&#10;\">&#13;\t</a></r>";
    assert_eq!(
        again(None, cdata).replace("\n<", "<"),
        "<r><a>&lt;x&gt; &amp; </a><a q=\"&quot;&#10;\">&#13;\t</a></r>"
    );
}

#[test]
fn records_are_named_where_it_is_not_clear_what_they_are() {
    let feed = "<feed>\n<title>T</title>\n<entry><id>1</id></entry>\n<entry><id>2</id></entry>\n</feed>";
    assert!(error(None, feed).contains("<entry> stands beside <title>: name the elements"), "{}", error(None, feed));
    assert_eq!(values(Some("entry"), feed), [r#"{"id":"1"}"#, r#"{"id":"2"}"#]);
    let apart = "<r><a/>\n<b/><a/></r>";
    assert_eq!(
        error(Some("a"), apart),
        "line 2: <b> stands between two records; records have to stand together in one element"
    );
    assert!(error(Some("s/a"), "<r><s><a/></s><s><a/></s></r>").contains("<s> stands between"));
    assert!(error(None, "<r><a/>text<a/></r>").contains("text stands between"));
    assert!(error(Some("x.y"), feed).contains("'x/y'"));
}

#[test]
fn errors_name_the_line() {
    assert!(error(None, "<r>\n<a>\n<b></a>").starts_with("the file ends inside row 1"));
    assert!(error(None, "<r>\n<a><b></c></a></r>").starts_with("line 2: (row 1)"));
    assert!(error(None, "<r>\n\n<a>&nbsp;</a></r>").starts_with("line 3: (row 1) the entity &nbsp; is not"));
    assert!(error(None, "<r>\n<a x='1' x='2'/></r>").starts_with("line 2: (row 1)"));
    assert!(error(None, "<r>\n<a>&#1;</a></r>").starts_with("line 2"));
    assert!(error(None, "<r><a/>").contains("ends inside <r>"));
    assert!(error(None, "<r><a/></q>").contains("what surrounds the records is not XML"));
    assert!(error(None, "<r/><q/>").contains("<q> stands behind"));
    assert!(error(None, "").contains("no element"));
    assert!(error(None, "x<r/>").contains("outside the outermost"));
    assert!(error(None, "<r>1 < 2</r>").contains("begins no element"));
    assert!(error(None, "<?xml version='1.0' encoding='ISO-8859-1'?><r/>").contains("UTF-8"));
    assert!(error(None, &format!("<r>{}", "<a>".repeat(80))).contains("deeper than 64"));
    assert!(error(None, &format!("<r><a>{}", "x".repeat(1 << 21))).contains("longer than"));
    assert!(error(None, &format!("<r>{}", " ".repeat(1 << 21))).contains("outside the rows"));
}

#[test]
fn a_reader_resumes_behind_any_record() {
    let rss = "<rss><channel><title>T</title>\n<item><z>1</z><a>2</a></item>\n<item><a>3</a><z>4</z></item>\n<item/><x/></channel></rss>";
    let (all, at_end) = read(Some("channel.item"), rss, 9).unwrap();
    let mut reader = Reader::new(Format::Xml, Some("channel.item"));
    reader.feed(rss.as_bytes());
    while let Some(record) = reader.next_record().unwrap() {
        let checkpoint = reader.checkpoint().clone();
        let mut resumed = Reader::resume(checkpoint);
        resumed.feed(&rss.as_bytes()[usize::try_from(record.offset_after).unwrap()..]);
        resumed.finish();
        let rest: Vec<Record> = core::iter::from_fn(|| resumed.next_record().unwrap()).collect();
        assert_eq!(rest, all[usize::try_from(record.row).unwrap()..]);
        assert_eq!((resumed.envelope(), resumed.columns()), (at_end.envelope(), at_end.columns()));
    }
}

#[test]
fn any_document_that_xml_can_hold_is_written() {
    let one = |json: &str| write(&CollectionMeta::new("c"), [parse(json.as_bytes()).unwrap()].iter());
    let text = one(r#"{"n":1,"f":2.0,"no":null,"yes":true,"l":[1,{"a":"<"}],"e":[],"@k":7}"#).unwrap();
    let row = "<row k=\"7\"><f>2.0</f><l>1</l><l><a>&lt;</a></l><n>1</n><no/><yes>true</yes></row>";
    assert_eq!(text, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rows>\n{row}\n</rows>\n"));
    for (json, why) in [
        (r#"{"a b":1}"#, "\"a b\" can be no element"),
        (r#"{"1":1}"#, "can be no element"),
        (r#"{"":1}"#, "can be no element"),
        (r#"{"l":[[1]]}"#, "list in a list"),
        (r#"{"t":"\u001b"}"#, "control character"),
        (r#"{"@a":{}}"#, "can be no element"),
        (r##"{"#content":[{"#comment":"a--b"}]}"##, "can be no element"),
        (r##"{"#other":1}"##, "can be no element"),
    ] {
        assert!(one(json).unwrap_err().contains(why), "{json}");
    }
}

/// An element of a few levels, as text.
fn element() -> impl Strategy<Value = String> {
    let name = || "[a-c]";
    let attributes = prop_oneof![
        Just(String::new()),
        "[x&<\"é]{0,3}".prop_map(|value| {
            format!(" k=\"{}\"", value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"))
        })
    ];
    let leaf = (name(), attributes.clone(), "( |x|&lt;|\n|é){0,3}");
    let leaf = leaf.prop_map(|(name, attributes, text)| format!("<{name}{attributes}>{text}</{name}>"));
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let texts = proptest::collection::vec((inner, "( |x|\n|<!--c-->|<\\?p i\\?>)?"), 0..4);
        (name(), attributes.clone(), texts).prop_map(|(name, attributes, content)| {
            let content: String = content.into_iter().map(|(element, text)| element + &text).collect();
            format!("<{name}{attributes}>{content}</{name}>")
        })
    })
}

proptest! {
    #[test]
    fn what_was_imported_is_exported_and_imported_as_it_was(rows in proptest::collection::vec(element(), 1..5), piece in 1usize..40) {
        let rows: String = rows.iter().map(|row| format!("<row>{row}</row>\n")).collect();
        let text = format!("<r>{rows}</r>");
        let (records, _) = read(None, &text, piece).unwrap();
        let exported = again(None, &text);
        let (read_again, _) = read(Some("row"), &exported, piece).unwrap();
        prop_assert!(records.iter().map(|r| &r.value).eq(read_again.iter().map(|r| &r.value)), "{}\n{}", text, exported);
        prop_assert_eq!(again(None, &exported), exported);
    }
}
