//! Limits of a GraphQL request, checked before it is validated or carried out.
//!
//! A field costs 1. Fields below one with a `limit` cost that much once more for each further hundred documents.
//! Introspection has a cost of 0, but limits of its own.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value, Variables};

use std::collections::BTreeSet;

use crate::problem::{Code, Problem};

/// Longest text of a request, in bytes. Large values belong in variables, which are faster to parse.
const TEXT_BYTES_MAX: usize = 128 * 1024;
/// Largest nesting of fields.
pub(super) const DEPTH_MAX: usize = 10;
/// Largest cost of an operation.
pub(super) const COST_MAX: u64 = 500;
/// Number of documents on a page that add no cost.
const PAGE: u64 = 100;
/// Largest nesting of brackets.
const BRACKETS_MAX: usize = 64;
/// Largest nesting of fields and fragments.
const LEVELS_MAX: usize = 48;
/// Largest nesting of type lists in an introspection; each level multiplies the answer.
const LISTS_MAX: usize = 3;
/// Largest number of fields in an introspection.
const INTROSPECTION_MAX: u64 = 500;

/// Fails if a text is too long, if its brackets nest too deep for a recursive parser, or if an integer would be
/// rounded.
pub(crate) fn check_text(text: &str) -> Result<(), Problem> {
    if text.len() > TEXT_BYTES_MAX {
        let detail = format!("the text of a request has at most {TEXT_BYTES_MAX} bytes");
        return Err(Problem::new(Code::TooLarge, detail).next("put large values into variables"));
    }
    let (mut open, mut rest, mut negative) = (0usize, text.as_bytes(), false);
    while let Some((byte, after)) = rest.split_first() {
        let all = rest;
        rest = after;
        match byte {
            b'{' | b'[' | b'(' => {
                open += 1;
                if open > BRACKETS_MAX {
                    return Err(deep(format!("more than {BRACKETS_MAX} brackets are nested")));
                }
            }
            b'}' | b']' | b')' => open = open.saturating_sub(1),
            b'#' => rest = behind(after, |byte| !matches!(byte, b'\n' | b'\r')),
            // A parser would backtrack into an unterminated string, so it is refused.
            b'"' => rest = behind_string(after).ok_or_else(|| Problem::new(Code::BadQuery, "a string does not end"))?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                rest = behind(after, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
            b'0'..=b'9' => {
                rest = behind(after, |byte| byte.is_ascii_digit());
                if matches!(rest.first(), Some(b'.' | b'e' | b'E')) {
                    rest =
                        behind(rest, |byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
                } else {
                    check_whole(&all[..all.len() - rest.len()], negative)?;
                }
            }
            _ => {}
        }
        negative = *byte == b'-';
    }
    Ok(())
}

/// Returns the bytes after the leading ones that satisfy a condition.
fn behind(text: &[u8], is_of: impl Fn(u8) -> bool) -> &[u8] {
    &text[text.iter().position(|byte| !is_of(*byte)).unwrap_or(text.len())..]
}

/// Fails if an integer does not fit in 64 bits.
fn check_whole(digits: &[u8], negative: bool) -> Result<(), Problem> {
    let number: Option<u64> = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    if number.is_some_and(|number| number <= i64::MAX.unsigned_abs() + u64::from(negative)) {
        return Ok(());
    }
    let detail = "a whole number does not fit in 64 bits; write it as a string to keep its digits";
    Err(Problem::new(Code::BadQuery, detail))
}

/// Returns the bytes after a string whose opening quotation mark was read; `None` if the string does not end.
fn behind_string(text: &[u8]) -> Option<&[u8]> {
    let (block, mut rest) = text.strip_prefix(b"\"\"").map_or((false, text), |rest| (true, rest));
    loop {
        match rest {
            [] => return None,
            [b'\\', b'"', b'"', b'"', after @ ..] if block => rest = after,
            [b'"', b'"', b'"', after @ ..] if block => return Some(after),
            [b'\\', _, after @ ..] if !block => rest = after,
            [b'"', after @ ..] if !block => return Some(after),
            [b'\n' | b'\r', ..] if !block => return None,
            [_, after @ ..] => rest = after,
        }
    }
}

/// Fails if an operation of a document exceeds the limits.
pub(crate) fn check(document: &ExecutableDocument, variables: &Variables) -> Result<(), Problem> {
    let (mut cost, mut used) = (0, BTreeSet::new());
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        if operation.ty == OperationType::Subscription {
            check_single(&operation.selection_set.node)?;
        }
        let mut walk = Walk { document, operation, variables, cost: 0, introspection: 0, seen: 0, used };
        walk.set(&operation.selection_set.node, At { depth: 0, level: 0, factor: 1, lists: None })?;
        cost += walk.cost;
        used = walk.used;
    }
    if cost > COST_MAX {
        return Err(costly());
    }
    // Fragments that were not visited are not limited, so they are refused.
    match document.fragments.keys().find(|name| !used.contains(*name)) {
        Some(name) => Err(Problem::new(Code::BadQuery, format!("the fragment {name} is not used"))),
        None => Ok(()),
    }
}

/// Returns the requested operation: the named one, or the only one; `None` if there is no such operation.
pub(crate) fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(only), None) => Some(only),
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name),
        (DocumentOperations::Multiple(all), None) => all.values().next().filter(|_| all.len() == 1),
        (DocumentOperations::Single(_), Some(_)) => None,
    };
    found.map(|operation| &operation.node)
}

/// Fails unless a subscription has exactly one field.
fn check_single(set: &SelectionSet) -> Result<(), Problem> {
    match &set.items[..] {
        [only] if matches!(&only.node, Selection::Field(field) if !field.node.name.node.starts_with("__")) => Ok(()),
        _ => Err(Problem::new(Code::BadQuery, "a subscription has one field, outside of fragments")),
    }
}

/// Position of a walk through an operation.
#[derive(Clone, Copy)]
struct At {
    /// Number of fields above.
    depth: usize,
    /// Number of fields and fragments above.
    level: usize,
    /// Number of times that the cost of a field at this position is added.
    factor: u64,
    /// In an introspection: number of type lists above.
    lists: Option<usize>,
}

/// A walk that adds up the cost of an operation.
struct Walk<'a> {
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    cost: u64,
    introspection: u64,
    seen: u64,
    /// Fragments that were visited.
    used: BTreeSet<&'a Name>,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet, at: At) -> Result<(), Problem> {
        if at.level > LEVELS_MAX {
            return Err(deep("fields and fragments nest too deep".to_owned()));
        }
        let below = At { level: at.level + 1, ..at };
        for selection in &set.items {
            // Fragments have no cost, but their number is limited as well.
            self.seen += 1;
            if self.seen > 4 * (COST_MAX + INTROSPECTION_MAX) {
                return Err(costly());
            }
            match &selection.node {
                Selection::Field(field) => self.field(field, below)?,
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node, below)?,
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    // Validation reports a missing fragment.
                    if let Some(fragment) = self.document.fragments.get(name) {
                        self.used.insert(name);
                        self.set(&fragment.node.selection_set.node, below)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'a Positioned<Field>, at: At) -> Result<(), Problem> {
        let name = field.node.name.node.as_str();
        let set = &field.node.selection_set.node;
        let begins = at.depth == 0 && matches!(name, "__schema" | "__type");
        if let Some(lists) = at.lists.or_else(|| begins.then_some(0)) {
            let is_list = matches!(name, "fields" | "interfaces" | "possibleTypes" | "inputFields");
            let lists = lists + usize::from(is_list);
            self.introspection += 1;
            if lists > LISTS_MAX || self.introspection > INTROSPECTION_MAX {
                return Err(deep("the introspection asks for too much".to_owned()));
            }
            return self.set(set, At { depth: at.depth + 1, lists: Some(lists), ..at });
        }
        if at.depth >= DEPTH_MAX {
            return Err(deep(format!("fields nest deeper than {DEPTH_MAX} levels")));
        }
        self.cost = self.cost.saturating_add(at.factor);
        if self.cost > COST_MAX {
            return Err(costly());
        }
        let factor = at.factor.saturating_mul(self.limit(&field.node).div_ceil(PAGE).max(1));
        self.set(set, At { depth: at.depth + 1, factor, ..at })
    }

    /// Returns the largest number of documents that a field may return.
    fn limit(&self, field: &Field) -> u64 {
        let of = |name: Name| {
            let sent = self.variables.get(&name).cloned();
            let mut definitions = self.operation.variable_definitions.iter();
            let mut default = || definitions.find(|one| one.node.name.node == name)?.node.default_value.clone();
            sent.or_else(|| default().map(|value| value.node)).ok_or(())
        };
        let limit = field.get_argument("limit").and_then(|value| value.node.clone().into_const_with(of).ok());
        let limit = if let Some(Value::Number(number)) = limit { number.as_u64() } else { None };
        limit.unwrap_or(PAGE)
    }
}

fn deep(detail: String) -> Problem {
    Problem::new(Code::TooComplex, detail)
}

fn costly() -> Problem {
    let detail =
        format!("the request costs more than {COST_MAX}: a field costs 1, below a page once more per {PAGE} documents");
    Problem::new(Code::TooComplex, detail).next("ask for fewer fields, or for smaller pages")
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    fn checked(text: &str, variables: serde_json::Value) -> Result<(), Code> {
        check_text(text).map_err(|problem| problem.code())?;
        let document = parse_query(text).expect(text);
        check(&document, &Variables::from_json(variables)).map_err(|problem| problem.code())
    }

    #[test]
    fn brackets_count_outside_of_strings_and_comments() {
        let deep = "{".repeat(65);
        for text in [
            format!("\"{deep}\""),
            format!("\"\\\"{deep}\""),
            format!("\"\"\"\n\" {deep} \\\"\"\" {deep}\"\"\""),
            format!("# \" {deep}\n"),
            "{}".repeat(100),
            "\"\"".to_owned(),
        ] {
            assert!(check_text(&text).is_ok(), "{text}");
        }
        for text in [
            deep.clone(),
            format!("\"\" {deep}"),
            format!("\"\"\"a\" {deep}"),
            format!("\"\n{deep}"),
            format!("#\n{deep}"),
        ] {
            assert!(check_text(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_whole_number_is_rounded() {
        for text in [
            "9223372036854775807",
            "-9223372036854775808",
            "1e30",
            "99999999999999999999.5",
            "f99999999999999999999",
            "0",
        ] {
            assert!(check_text(text).is_ok(), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "[1-99999999999999999999]"] {
            assert!(check_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pages_cost_by_their_limit() {
        assert_eq!(checked("{ a { docs { b c } } }", json!({})), Ok(()));
        let wide = |fields: usize, limit: &str| {
            let fields: String = (0..fields).map(|at| format!("f{at} ")).collect();
            format!("query($n: Int = 1000) {{ a(limit: {limit}) {{ docs {{ {fields} }} }} }}")
        };
        assert_eq!(checked(&wide(490, "100"), json!({})), Ok(()));
        assert_eq!(checked(&wide(500, "100"), json!({})), Err(Code::TooComplex));
        assert_eq!(checked(&wide(48, "1000"), json!({})), Ok(()));
        assert_eq!(checked(&wide(50, "1000"), json!({})), Err(Code::TooComplex));
        assert_eq!(checked(&wide(50, "$n"), json!({})), Err(Code::TooComplex));
        assert_eq!(checked(&wide(50, "$n"), json!({ "n": 100 })), Ok(()));
        // A fragment's cost is added at each use; a recursive fragment ends at the limit.
        let twice = "{ a { ...f } } fragment f on A { b ...f }";
        assert_eq!(checked(twice, json!({})), Err(Code::TooComplex));
        assert_eq!(checked("{ a } fragment f on A { b }", json!({})), Err(Code::BadQuery));
        let bomb: String =
            (0..20).map(|at| format!("fragment f{at} on A {{ ...f{} ...f{} }} ", at + 1, at + 1)).collect();
        assert_eq!(checked(&format!("{{ ...f0 }} {bomb} fragment f20 on A {{ a }}"), json!({})), Err(Code::TooComplex));
    }

    #[test]
    fn fields_stand_ten_deep_and_introspection_is_apart() {
        let deep = |levels: usize| format!("{}{}", "{ a ".repeat(levels), "}".repeat(levels));
        assert_eq!(checked(&deep(10), json!({})), Ok(()));
        assert_eq!(checked(&deep(11), json!({})), Err(Code::TooComplex));
        let of_type = format!("{}name {}", "ofType { ".repeat(12), "}".repeat(12));
        assert_eq!(
            checked(&format!("{{ __schema {{ types {{ fields {{ type {{ {of_type} }} }} }} }} }}"), json!({})),
            Ok(())
        );
        let lists =
            "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
        assert_eq!(checked(lists, json!({})), Err(Code::TooComplex));
    }

    #[test]
    fn a_subscription_follows_one_thing() {
        assert_eq!(checked("subscription { a { b } }", json!({})), Ok(()));
        for text in ["subscription { a b }", "subscription { ... { a } }", "subscription { __typename }"] {
            assert_eq!(checked(text, json!({})), Err(Code::BadQuery), "{text}");
        }
    }

    /// Tokens of generated texts.
    const TOKENS: [&str; 26] = [
        "{", "}", "[", "]", "(", ")", "\"", "\"\"\"", "\\", "\n", "#", "a", "query", "fragment", "on", "...",
        "@include", ":", "$", "!", "=", "1", "-1.5e3", "\\u00e9", "ä", " ",
    ];

    proptest! {
        #[test]
        fn whatever_text_comes_is_parsed_or_refused(picked in vec(select(&TOKENS[..]), 0..400)) {
            let text = picked.concat();
            if check_text(&text).is_ok() && let Ok(document) = parse_query(&text) {
                drop(check(&document, &Variables::default()));
            }
        }
    }
}
