use super::*;

fn error(json: &str) -> (String, String) {
    let error = parse(json.as_bytes()).expect_err(json);
    (error.pointer.clone(), error.to_string())
}

#[test]
fn an_error_says_where_what_and_what_would_be_right() {
    for (json, pointer, told) in [
        ("1", "", "an object such as"),
        ("{", "", "not valid JSON"),
        (r#"{"a":1,"a":2}"#, "", "twice"),
        (r#"{"a":18446744073709551616}"#, "", "as a string"),
        (r#"{"age":{"$gt":[1]}}"#, "/age/$gt", "not a list"),
        (r#"{"age":{"$gtt":1}}"#, "/age/$gtt", "is `$gt` meant?"),
        (r#"{"age":{"$LTE":1}}"#, "/age/$LTE", "is `$lte` meant?"),
        (r#"{"age":{"$regexp":"a"}}"#, "/age/$regexp", "is `$regex` meant?"),
        (r#"{"age":{"$frobnicate":1}}"#, "/age/$frobnicate", "there are $and, $or"),
        (r#"{"$text":"x"}"#, "/$text", "not supported"),
        (r#"{"$where":"x"}"#, "/$where", "not supported"),
        (r#"{"a":{"$expr":1}}"#, "/a/$expr", "not supported"),
        (r#"{"$jsonSchema":{}}"#, "/$jsonSchema", "not supported"),
        (r#"{"$gt":1}"#, "/$gt", "stands below"),
        (r#"{"$orr":[]}"#, "/$orr", "is `$or` meant?"),
        (r#"{"$ident":1}"#, "/$ident", "no virtual field"),
        (r#"{"a":{"x":1,"$gt":1}}"#, "/a/x", "among operators"),
        (r#"{"a..b":1}"#, "/a..b", "empty"),
        (r#"{"$and":[{"a":1},{"b/c~d":{"$size":-1}}]}"#, "/$and/1/b~1c~0d/$size", "from 0"),
        (r#"{"$or":{}}"#, "/$or", "a list of selectors"),
        (r#"{"$nor":[1]}"#, "/$nor/0", "an object"),
        (r#"{"a":{"$in":1}}"#, "/a/$in", "a list of values"),
        (r#"{"a":{"$exists":1}}"#, "/a/$exists", "true or false"),
        (r#"{"a":{"$type":"text"}}"#, "/a/$type", "boolean, number"),
        (r#"{"a":{"$type":[]}}"#, "/a/$type", "not a list"),
        (r#"{"a":{"$mod":[0,1]}}"#, "/a/$mod", "other than 0"),
        (r#"{"a":{"$mod":[1.5,1]}}"#, "/a/$mod", "whole numbers"),
        (r#"{"a":{"$not":1}}"#, "/a/$not", "operators"),
        (r#"{"a":{"$elemMatch":1}}"#, "/a/$elemMatch", "a selector"),
        (r#"{"a":{"$elemMatch":{"$id":1}}}"#, "/a/$elemMatch/$id", "no operator `$id`"),
        (r#"{"a":{"$elemMatch":{"$id":1,"b":2}}}"#, "/a/$elemMatch/$id", "virtual fields belong"),
        (r#"{"a":{"$elemMatch":{"$gt":1,"b":2}}}"#, "/a/$elemMatch/$gt", "stands below"),
        (r#"{"a":{"$all":[{"$elemMatch":{"$gtt":1}}]}}"#, "/a/$all/0/$elemMatch/$gtt", "`$gt`"),
        (r#"{"a":{"$options":"i"}}"#, "/a/$options", "belongs to"),
        (r#"{"a":{"$regex":"a","$options":"x"}}"#, "/a/$regex", "no option `x`"),
        (r#"{"a":{"$regex":"(?=a)"}}"#, "/a/$regex", "look-around"),
        (r#"{"a":{"$var":1}}"#, "/a", "auth.id"),
        (r#"{"a":{"$bytes":"0"}}"#, "/a", "hex"),
    ] {
        let (found, message) = error(json);
        assert_eq!(found, pointer, "{json}: {message}");
        assert!(message.contains(told), "{json}: {message}");
        assert!(message.len() < 400, "{json}: {message}");
    }
}

#[test]
fn limits_hold_and_hostile_input_costs_little() {
    let problem = |json: &str| parse(json.as_bytes()).unwrap_err().problem;
    let nested = |open: &str, middle: &str, close: &str, times| {
        [open.repeat(times), middle.into(), close.repeat(times)].concat()
    };
    assert!(matches!(problem(&nested(r#"{"$not":"#, "{}", "}", 10_000)), Problem::TooLong { .. }));
    assert!(matches!(problem(&nested(r#"{"$not":"#, "{}", "}", 5_000)), Problem::TooDeep));
    assert!(parse(nested(r#"{"$not":"#, "{}", "}", 15).as_bytes()).is_ok());
    assert!(matches!(problem(&nested(r#"{"$not":"#, "{}", "}", 16)), Problem::TooDeep));
    let many = |count| format!(r#"{{"a":{{"$in":[{}]}}}}"#, vec!["1"; count].join(","));
    assert!(parse(many(1_000).as_bytes()).is_ok());
    assert!(matches!(problem(&many(1_001)), Problem::TooManyOperands { count: 1_001 }));
    assert!(matches!(problem(&many(1_000_000)), Problem::TooLong { .. }));
    let conditions = |count| format!(r#"{{"$and":[{}]}}"#, vec![r#"{"a":1}"#; count].join(","));
    assert!(parse(conditions(511).as_bytes()).is_ok());
    assert!(matches!(problem(&conditions(512)), Problem::TooManyNodes));
    assert!(matches!(problem(&format!(r#"{{"$or":[{}]}}"#, vec!["{}"; 512].join(","))), Problem::TooManyNodes));
    let patterns = |count| format!(r#"{{"$and":[{}]}}"#, vec![r#"{"a":{"$regex":"a"}}"#; count].join(","));
    assert!(parse(patterns(16).as_bytes()).is_ok());
    assert!(matches!(problem(&patterns(17)), Problem::TooManyPatterns));
    assert!(parse(format!(r#"{{"a":{}}}"#, nested("[", "", "]", 16)).as_bytes()).is_ok());
    assert!(matches!(problem(&format!(r#"{{"a":{}}}"#, nested("[", "", "]", 17))), Problem::TooDeep));
    let (pointer, message) = error(&format!(r#"{{"a":{{"${}":1}}}}"#, "x".repeat(60_000)));
    assert!(pointer.len() < 100 && message.len() < 400);
}

#[test]
fn a_selector_has_one_form() {
    for (json, written) in [
        ("{}", "{}"),
        (r#"{"a":1}"#, r#"{"a":{"$eq":1}}"#),
        (r#"{"$and":[{"a":1}]}"#, r#"{"a":{"$eq":1}}"#),
        (r#"{"b":1,"a":{"$lt":2,"$gt":1}}"#, r#"{"$and":[{"a":{"$gt":1}},{"a":{"$lt":2}},{"b":{"$eq":1}}]}"#),
        (r#"{"$and":[{"$and":[{"a":1},{}]},{"b":1}]}"#, r#"{"$and":[{"a":{"$eq":1}},{"b":{"$eq":1}}]}"#),
        (r#"{"$not":{"a":1}}"#, r#"{"$nor":[{"a":{"$eq":1}}]}"#),
        (r#"{"a":{"$in":[2,1,2.0]}}"#, r#"{"a":{"$in":[1,2]}}"#),
        (r#"{"a":{"$type":"bool"}}"#, r#"{"a":{"$type":["boolean"]}}"#),
        (r#"{"a":{"$regex":"b","$options":"si"}}"#, r#"{"a":{"$options":"is","$regex":"b"}}"#),
        (r#"{"a":{"$var":"auth.id"}}"#, r#"{"a":{"$eq":{"$var":"auth.id"}}}"#),
        (r#"{"a":{"$elemMatch":{}}}"#, r#"{"a":{"$elemMatch":{}}}"#),
        (r#"{"a":{"$elemMatch":{"$ne":1,"$not":{"$eq":2}}}}"#, r#"{"a":{"$elemMatch":{"$ne":1,"$not":{"$eq":2}}}}"#),
    ] {
        let selector = parse(json.as_bytes()).unwrap();
        assert_eq!(selector.to_string(), written);
        assert_eq!(parse(written.as_bytes()).unwrap(), selector);
    }
}
