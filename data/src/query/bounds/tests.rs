use super::*;
use crate::json;
use crate::query::parse;

fn bounds(selector: &str, field: &str) -> Bounds {
    Bounds::of(&parse::parse(selector.as_bytes()).unwrap(), &Field::parse(field).unwrap())
}

/// Returns the points of field `a`, as text.
fn points(selector: &str) -> Option<Vec<String>> {
    let written = |point: &Option<Value>| point.as_ref().map_or("missing".to_owned(), json::to_string);
    bounds(selector, "a").points().map(|points| points.iter().map(written).collect())
}

/// Returns the range of a field in interval notation.
fn range(selector: &str, field: &str, multikey: bool) -> Option<String> {
    let range = bounds(selector, field).range(multikey)?;
    let end = |end: &Option<End>| end.as_ref().map(|end| (json::to_string(&end.value), end.inclusive));
    let (lower, upper) = (end(&range.lower).unwrap_or_default(), end(&range.upper).unwrap_or_default());
    let (open, close) = (if lower.1 { "[" } else { "(" }, if upper.1 { "]" } else { ")" });
    let ranks =
        if range.ranks.start() == range.ranks.end() { format!("{:?}", range.ranks.start()) } else { "any".into() };
    Some(format!("{ranks} {open}{},{}{close}", lower.0, upper.0))
}

#[test]
fn equality_gives_points() {
    for (selector, expected) in [
        (r#"{"a":1}"#, Some(vec!["1"])),
        (r#"{"a":null}"#, Some(vec!["missing", "null"])),
        (r#"{"a":[2,1]}"#, Some(vec!["2", "[2,1]"])),
        (r#"{"a":[]}"#, Some(vec!["[]"])),
        (r#"{"a":{"$in":["foo",1,"bar"]}}"#, Some(vec!["1", "\"bar\"", "\"foo\""])),
        (r#"{"a":{"$in":[]}}"#, Some(vec![])),
        (r#"{"a":{"$exists":false}}"#, Some(vec!["missing"])),
        (r#"{"a":{"$all":[3,4]}}"#, Some(vec!["3"])),
        (r#"{"a":{"$in":[1,2]},"$and":[{"a":{"$in":[7]}}]}"#, Some(vec!["7"])),
        (r#"{"a":{"$elemMatch":{"$in":[1,2]}}}"#, Some(vec!["1", "2"])),
        (r#"{"a":{"$elemMatch":{"$all":[1]}}}"#, None),
        (r#"{"a":{"$ne":1}}"#, None),
        (r#"{"a":{"$nin":[1]}}"#, None),
        (r#"{"a":{"$not":{"$eq":1}}}"#, None),
        (r#"{"$nor":[{"a":1}]}"#, None),
        (r#"{"$or":[{"a":1},{"a":2}]}"#, None),
        (r#"{"a":{"$var":"x"}}"#, None),
        (r#"{"b":1}"#, None),
    ] {
        let expected = expected.map(|points| points.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(points(selector), expected, "{selector}");
    }
}

#[test]
fn of_a_field_with_several_keys_one_test_bounds_the_range() {
    let both = r#"{"a":{"$gt":3,"$lt":7}}"#;
    assert_eq!(range(both, "a", false).as_deref(), Some("Number (3,7)"));
    assert_eq!(range(both, "a", true).as_deref(), Some("Number (3,)"));
    let one = r#"{"a":{"$elemMatch":{"$gt":3,"$lte":7}}}"#;
    assert_eq!(range(one, "a", true).as_deref(), Some("Number (3,7]"));
    let prefix = r#"{"a":{"$exists":true,"$regex":"^ab"}}"#;
    assert_eq!(range(prefix, "a", true).as_deref(), Some(r#"Text ["ab","ac")"#));
    assert_eq!(range(r#"{"a":{"$gte":1,"$gt":1,"$lt":9,"$lte":5}}"#, "a", false).as_deref(), Some("Number (1,5]"));
}

#[test]
fn a_range_lies_within_a_type() {
    for (selector, expected) in [
        (r#"{"a":{"$gte":"x"}}"#, Some(r#"Text ["x",)"#)),
        (r#"{"a":{"$lt":true}}"#, Some("Bool (,true)")),
        (r#"{"a":{"$exists":true}}"#, Some("any (,)")),
        (r#"{"a":{"$exists":true,"$gt":1}}"#, Some("Number (1,)")),
        (r#"{"a":{"$type":"string"}}"#, Some("Text (,)")),
        (r#"{"a":{"$type":["int","number"]}}"#, Some("Number (,)")),
        (r#"{"a":{"$type":["int","string"]}}"#, None),
        (r#"{"a":{"$type":"array"}}"#, None),
        (r#"{"a":{"$regex":"ab"}}"#, None),
        (r#"{"a":{"$not":{"$gt":1}}}"#, None),
    ] {
        assert_eq!(range(selector, "a", false).as_deref(), expected, "{selector}");
    }
    assert_eq!(successor("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
    assert_eq!(successor("a\u{10ffff}").as_deref(), Some("b"));
    assert_eq!(successor("\u{10ffff}"), None);
}

#[test]
fn members_of_items_are_bounded_too() {
    let selector = r#"{"a":{"$elemMatch":{"b":{"$gt":3},"c":5,"d":null,"0":1}}}"#;
    assert_eq!(range(selector, "a.b", true).as_deref(), Some("Number (3,)"));
    assert_eq!(bounds(selector, "a.c").points(), Some(&[Some(Value::Int(5))][..]));
    // Another item may have the member, so the document is not under "missing"; and digits are a key there.
    assert!(bounds(selector, "a.d").is_free() && bounds(selector, "a.0").is_free());
}

#[test]
fn alternatives_are_those_that_must_be_fulfilled() {
    let selector = parse::parse(br#"{"x":1,"$or":[{"a":1},{"b":1}],"$and":[{"$or":[{"c":1},{"d":1}]}]}"#).unwrap();
    let counts: Vec<_> = alternatives(&selector).map(<[_]>::len).collect();
    assert_eq!(counts, [2, 2]);
    let selector = parse::parse(br#"{"$nor":[{"$or":[{"a":1},{"b":1}]}]}"#).unwrap();
    assert_eq!(alternatives(&selector).count(), 0);
}
