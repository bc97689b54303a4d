use super::*;
use crate::json;
use crate::query::parse;

fn matches(selector: &str, document: &str) -> bool {
    let selector = parse::parse(selector.as_bytes()).unwrap();
    let value = json::parse(document.as_bytes()).unwrap();
    selector.matches(&Subject::new(&value, DocId([0xab; 16])))
}

/// Checks selectors against documents that match and documents that do not.
fn check(cases: &[(&str, &[&str], &[&str])]) {
    for (selector, yes, no) in cases {
        for document in *yes {
            assert!(matches(selector, document), "{selector} matches {document}");
        }
        for document in *no {
            assert!(!matches(selector, document), "{selector} does not match {document}");
        }
    }
}

#[test]
fn equality_looks_into_lists() {
    check(&[
        (r#"{"a":1}"#, &[r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":[2,1]}"#], &[r#"{"a":[[1]]}"#, r#"{"a":"1"}"#, "{}"]),
        (r#"{"a":null}"#, &["{}", r#"{"a":null}"#, r#"{"a":[null]}"#], &[r#"{"a":0}"#, r#"{"a":[]}"#]),
        (r#"{"a":[1,2]}"#, &[r#"{"a":[1,2]}"#, r#"{"a":[[1,2]]}"#], &[r#"{"a":[2,1]}"#, r#"{"a":[1,2,3]}"#]),
        (r#"{"a":{"x":1}}"#, &[r#"{"a":{"x":1}}"#, r#"{"a":[{"x":1}]}"#], &[r#"{"a":{"x":1,"y":2}}"#]),
        (r#"{"a":{}}"#, &[r#"{"a":{}}"#], &[r#"{"a":1}"#, "{}"]),
        (r#"{"a":{"$ne":1}}"#, &["{}", r#"{"a":2}"#], &[r#"{"a":1}"#, r#"{"a":[1,2]}"#]),
        (r#"{"a":{"$in":[1,null]}}"#, &["{}", r#"{"a":1}"#, r#"{"a":[0,1]}"#], &[r#"{"a":2}"#]),
        (r#"{"a":{"$in":[[1]]}}"#, &[r#"{"a":[1]}"#, r#"{"a":[[1]]}"#], &[r#"{"a":1}"#]),
        (r#"{"a":{"$in":[]}}"#, &[], &["{}", r#"{"a":null}"#]),
        (r#"{"a":{"$nin":[1]}}"#, &["{}", r#"{"a":2}"#], &[r#"{"a":[1]}"#]),
        ("{}", &["{}", r#"{"a":1}"#], &[]),
    ]);
}

#[test]
fn an_order_holds_within_a_type() {
    check(&[
        (r#"{"a":{"$gt":3}}"#, &[r#"{"a":4}"#, r#"{"a":3.5}"#, r#"{"a":["x",9]}"#], &[r#"{"a":3}"#, r#"{"a":"4"}"#]),
        (r#"{"a":{"$gte":null}}"#, &[r#"{"a":null}"#], &["{}", r#"{"a":0}"#]),
        (r#"{"a":{"$gt":null}}"#, &[], &[r#"{"a":null}"#, r#"{"a":1}"#]),
        (r#"{"a":{"$lt":true}}"#, &[r#"{"a":false}"#], &[r#"{"a":true}"#, r#"{"a":0}"#]),
        (r#"{"a":{"$lt":"b"}}"#, &[r#"{"a":"a"}"#, r#"{"a":""}"#], &[r#"{"a":"b"}"#, r#"{"a":1}"#]),
        (
            r#"{"a":{"$gt":9007199254740992.0}}"#,
            &[r#"{"a":9007199254740993}"#],
            &[r#"{"a":9007199254740992}"#, r#"{"a":9007199254740991}"#],
        ),
        (r#"{"a":{"$not":{"$gt":3}}}"#, &["{}", r#"{"a":"x"}"#, r#"{"a":3}"#], &[r#"{"a":[1,4]}"#]),
        // Different items may satisfy the two tests; for `$elemMatch` one item must.
        (r#"{"a":{"$gt":3,"$lt":7}}"#, &[r#"{"a":[1,9]}"#, r#"{"a":5}"#], &[r#"{"a":9}"#]),
        (r#"{"a":{"$elemMatch":{"$gt":3,"$lt":7}}}"#, &[r#"{"a":[1,5]}"#], &[r#"{"a":[1,9]}"#, r#"{"a":5}"#]),
    ]);
}

#[test]
fn other_operators() {
    check(&[
        (r#"{"a":{"$exists":true}}"#, &[r#"{"a":null}"#, r#"{"a":[]}"#], &["{}"]),
        (r#"{"a":{"$exists":false}}"#, &["{}"], &[r#"{"a":null}"#]),
        (r#"{"a":{"$type":"int"}}"#, &[r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":["x",1]}"#], &[r#"{"a":1.5}"#, "{}"]),
        (r#"{"a":{"$type":["string","null"]}}"#, &[r#"{"a":""}"#, r#"{"a":null}"#], &["{}", r#"{"a":{}}"#]),
        (r#"{"a":{"$type":"array"}}"#, &[r#"{"a":[]}"#], &[r#"{"a":{}}"#]),
        (r#"{"a":{"$size":2}}"#, &[r#"{"a":[1,[2]]}"#], &[r#"{"a":[1]}"#, r#"{"a":2}"#, "{}"]),
        (r#"{"a":{"$all":[1,2]}}"#, &[r#"{"a":[2,3,1]}"#], &[r#"{"a":[1]}"#, r#"{"a":1}"#, "{}"]),
        (r#"{"a":{"$all":[]}}"#, &[], &[r#"{"a":[]}"#, r#"{"a":[1]}"#]),
        (
            r#"{"a":{"$all":[{"$elemMatch":{"x":1}},{"y":2}]}}"#,
            &[r#"{"a":[{"x":1},{"y":2}]}"#],
            &[r#"{"a":[{"x":1}]}"#],
        ),
        (r#"{"a":{"$regex":"^b.$"}}"#, &[r#"{"a":"bc"}"#, r#"{"a":["x","bc"]}"#], &[r#"{"a":"abc"}"#, r#"{"a":1}"#]),
        (r#"{"a":{"$regex":"B","$options":"i"}}"#, &[r#"{"a":"abc"}"#], &[r#"{"a":"ac"}"#]),
        (
            r#"{"a":{"$elemMatch":{"x":{"$gt":1},"y":2}}}"#,
            &[r#"{"a":[{"x":2,"y":2}]}"#],
            &[r#"{"a":[{"x":2},{"y":2}]}"#],
        ),
        (r#"{"a":{"$elemMatch":{}}}"#, &[r#"{"a":[{}]}"#], &[r#"{"a":[1,[]]}"#, r#"{"a":[]}"#]),
        (r#"{"a":{"$elemMatch":{"$or":[{"x":1},{"y":1}]}}}"#, &[r#"{"a":[{"y":1}]}"#], &[r#"{"a":[{"z":1},1]}"#]),
        (r#"{"a":{"$elemMatch":{"$gt":3}}}"#, &[r#"{"a":[4]}"#], &[r#"{"a":[[4]]}"#]),
    ]);
}

#[test]
fn many_operands_are_found_among_many_items() {
    let numbers = |from: i64, to: i64| (from..to).rev().map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let document = format!(r#"{{"a":[{}]}}"#, numbers(0, 300_000));
    assert!(matches(&format!(r#"{{"a":{{"$all":[{}]}}}}"#, numbers(299_000, 300_000)), &document));
    assert!(!matches(&format!(r#"{{"a":{{"$all":[{}]}}}}"#, numbers(299_001, 300_001)), &document));
    let many = format!(r#"{{"a":{{"$all":[{},{{"$elemMatch":{{"$gt":8}}}}]}}}}"#, numbers(0, 10));
    assert!(matches(&many, r#"{"a":[0,1,2,3,4,5,6,7,8,9]}"#) && !matches(&many, r#"{"a":[0,1,2,3,4,5,6,7,8]}"#));
}

#[test]
fn remainders_are_exact_and_of_whole_numbers_alone() {
    check(&[
        (
            r#"{"a":{"$mod":[4,0]}}"#,
            &[r#"{"a":8}"#, r#"{"a":8.0}"#, r#"{"a":[1,-4]}"#, r#"{"a":-0.0}"#],
            &[r#"{"a":9}"#],
        ),
        (r#"{"a":{"$mod":[4,0]}}"#, &[r#"{"a":1e300}"#], &[r#"{"a":"8"}"#, r#"{"a":null}"#, r#"{"a":4.5}"#, "{}"]),
        (r#"{"a":{"$mod":[4,-3]}}"#, &[r#"{"a":-7}"#, r#"{"a":-7.0}"#], &[r#"{"a":7}"#]),
        (r#"{"a":{"$mod":[-1,0]}}"#, &[r#"{"a":-9223372036854775808}"#, r#"{"a":1e308}"#], &[]),
        (r#"{"a":{"$mod":[-9223372036854775808,0]}}"#, &[r#"{"a":18446744073709551616.0}"#], &[r#"{"a":1}"#]),
    ]);
    for (number, divisor) in [(1e300, 7), (9_007_199_254_740_992.0, 10), (-1.5e20, 1_000_003), (12.0, 5)] {
        // The slow way: adds up the float's value power by power.
        let digits = format!("{number:.0}");
        let slow = digits
            .trim_start_matches('-')
            .bytes()
            .fold(0, |left, digit| (left * 10 + i64::from(digit - b'0')) % divisor);
        assert_eq!(whole_remainder(number, divisor), Some(if number < 0.0 { -slow } else { slow }), "{number}");
    }
}

#[test]
fn paths_look_into_the_maps_of_lists() {
    check(&[
        (r#"{"a.b":1}"#, &[r#"{"a":{"b":1}}"#, r#"{"a":[{"b":2},{"b":[1]}]}"#], &[r#"{"a":[[{"b":1}]]}"#]),
        (r#"{"a.b":null}"#, &["{}", r#"{"a":[{"c":1}]}"#, r#"{"a":[{"b":null}]}"#], &[r#"{"a":[{"b":1},{"c":1}]}"#]),
        (r#"{"a.b":{"$exists":true}}"#, &[r#"{"a":[{},{"b":1}]}"#], &[r#"{"a":[{}]}"#, r#"{"a":[1]}"#]),
        (
            r#"{"a.b":{"$all":[1,2]}}"#,
            &[r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":[1,2]}]}"#],
            &[r#"{"a":[{"b":1}]}"#],
        ),
        (r#"{"a.1":1}"#, &[r#"{"a":[0,1]}"#, r#"{"a":{"1":1}}"#], &[r#"{"a":[1]}"#]),
        (r#"{"a\\.b":1}"#, &[r#"{"a.b":1}"#], &[r#"{"a":{"b":1}}"#]),
    ]);
}

#[test]
fn logic_combines_selectors() {
    check(&[
        (r#"{"$or":[{"a":1},{"b":1}]}"#, &[r#"{"a":1}"#, r#"{"b":1}"#], &["{}"]),
        (r#"{"$and":[{"a":1},{"b":1}]}"#, &[r#"{"a":1,"b":1}"#], &[r#"{"a":1}"#]),
        (r#"{"$nor":[{"a":1},{"b":1}]}"#, &["{}"], &[r#"{"a":1}"#, r#"{"b":1}"#]),
        (r#"{"$not":{"a":1}}"#, &["{}"], &[r#"{"a":1}"#]),
        (r#"{"$or":[]}"#, &[], &["{}"]),
        (r#"{"$and":[],"$nor":[]}"#, &["{}"], &[]),
        // A member that is missing elsewhere must not exclude a document.
        (r#"{"_":{"$ne":"b"},"s":"x"}"#, &[r#"{"s":"x"}"#, r#"{"_":"a","s":"x"}"#], &[r#"{"_":"b","s":"x"}"#]),
    ]);
}

#[test]
fn virtual_fields_belong_to_the_document() {
    let value = json::parse(br#"{"$id":"no","a":1}"#).unwrap();
    let mut subject = Subject::new(&value, DocId([0xab; 16]));
    let matches = |subject: &Subject<'_>, json: &str| parse::parse(json.as_bytes()).unwrap().matches(subject);
    let id = format!(r#"{{"$id":"{}"}}"#, "ab".repeat(16));
    assert!(matches(&subject, &id) && matches(&subject, r#"{"\\$id":"no"}"#));
    for name in ["$key", "$version", "$valid"] {
        assert!(matches(&subject, &format!(r#"{{"{name}":{{"$exists":false}}}}"#)), "{name}");
    }
    subject.key = Some("k");
    subject.validity = Some(Validity::Unknown);
    assert!(matches(&subject, r#"{"$key":"k","$valid":{"$type":"null"}}"#));
    subject.validity = Some(Validity::Invalid);
    assert!(matches(&subject, r#"{"$valid":false}"#));
}

#[test]
fn an_unbound_variable_makes_nothing_match() {
    let value = json::parse(br#"{"owner":"ada","public":true}"#).unwrap();
    let subject = Subject::new(&value, DocId([0; 16]));
    let var = r#"{"$var":"auth.id"}"#;
    let wanted = [
        (r#"{"owner":VAR}"#, false, true),
        (r#"{"owner":{"$ne":VAR}}"#, false, false),
        (r#"{"owner":{"$not":{"$eq":VAR}}}"#, false, false),
        (r#"{"$nor":[{"owner":VAR}]}"#, false, false),
        (r#"{"$nor":[{"owner":{"$ne":VAR}}]}"#, false, true),
        (r#"{"owner":{"$in":["eve",VAR]}}"#, false, true),
        (r#"{"owner":{"$nin":["eve",VAR]}}"#, false, false),
        (r#"{"owner":{"$gte":VAR}}"#, false, true),
        (r#"{"$or":[{"public":true},{"owner":VAR}]}"#, true, true),
        (r#"{"tags":{"$all":[VAR]}}"#, false, false),
    ];
    let context = json::parse(br#"{"auth":{"id":"ada"}}"#).unwrap();
    for (text, unbound, bound) in wanted {
        let selector = parse::parse(text.replace("VAR", var).as_bytes()).unwrap();
        assert_eq!(selector.matches(&subject), unbound, "{text} unbound");
        assert_eq!(selector.bind(&Value::Map(Default::default())), selector);
        assert_eq!(selector.bind(&context).matches(&subject), bound, "{text} bound");
    }
}

#[test]
fn bytes_have_a_form_of_their_own() {
    let value = Value::from_iter([("a", Value::Bytes(vec![0, 255]))]);
    let matches = |json: &str| parse::parse(json.as_bytes()).unwrap().matches(&Subject::new(&value, DocId([0; 16])));
    assert!(matches(r#"{"a":{"$bytes":"00ff"}}"#) && matches(r#"{"a":{"$gt":{"$bytes":"00"}}}"#));
    assert!(matches(r#"{"a":{"$type":"bytes"}}"#) && !matches(r#"{"a":{"$gt":""}}"#));
}
