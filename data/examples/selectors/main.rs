//! Generates selectors and documents from a seed, and prints this crate's results: the part of `prove data-selectors`
//! that needs no peer.
//!
//! `match SEED COUNT` prints lines of `{selector, doc, ours, may, operators}`: whether the selector matches, or
//! `error`; the exceptions of `spec/query.md` that the pair touches; and the tested operators. `order SEED COUNT`
//! prints lines of `{a, b, ours, may}`: the order of two values, either of which may be missing.

mod exceptions;
mod generate;

use cosmicsync_data::query::order::compare;
use cosmicsync_data::query::{Subject, parse};
use cosmicsync_data::{Value, fuzz, json};
use cosmicsync_protocol::ids::DocId;
use generate::Random;
use std::collections::BTreeSet;
use std::io::{BufWriter, Error, Write, stdout};

/// Every fourth pair also runs the fuzz target, which reads the selector again from its normal form and checks its
/// bounds.
const CHECKED: u64 = 4;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|kind| kind == "operators") {
        let operators = parse::LOGIC.iter().chain(&parse::TESTS).chain(&generate::REFUSED[..3]);
        return operators.copied().try_for_each(|name| writeln!(stdout(), "{name}"));
    }
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (Some(kind), Some(seed), Some(count)) = (arguments.first(), number(1), number(2)) else {
        return Err(Error::other("give `operators`, or `match` or `order` with a seed and a count"));
    };
    let mut random = Random::new(seed);
    let mut out = BufWriter::new(stdout().lock());
    for number in 0..count {
        let line = if kind == "order" { order(&mut random) } else { matching(&mut random, number % CHECKED == 0) };
        writeln!(out, "{}", json::to_string(&line))?;
    }
    out.flush()
}

fn matching(random: &mut Random, checked: bool) -> Value {
    let doc = random.document();
    let selector = random.selector(&doc, 3);
    if checked {
        fuzz::selector(format!("{}\n{}", json::to_string(&selector), json::to_string(&doc)).as_bytes());
    }
    let mut may = BTreeSet::new();
    let ours = match parse::parse(json::to_string(&selector).as_bytes()) {
        Ok(read) => {
            exceptions::of_match(&read, &doc, &mut may);
            if read.matches(&Subject::new(&doc, DocId([0; 16]))) { "true" } else { "false" }
        }
        Err(error) => {
            may.extend(exceptions::of_error(&error.problem));
            "error"
        }
    };
    let mut operators = BTreeSet::new();
    operators_of(&selector, &mut operators);
    [
        ("selector", selector),
        ("doc", doc),
        ("ours", Value::from(ours)),
        ("may", texts(may)),
        ("operators", Value::List(operators.into_iter().map(Value::Text).collect())),
    ]
    .into_iter()
    .collect()
}

fn order(random: &mut Random) -> Value {
    let (a, b) = random.pair();
    let ours = match compare(a.as_ref(), b.as_ref()) {
        core::cmp::Ordering::Less => "-1",
        core::cmp::Ordering::Equal => "0",
        core::cmp::Ordering::Greater => "1",
    };
    let may = texts(exceptions::of_order(a.as_ref(), b.as_ref()));
    let values = [("a", a), ("b", b)].into_iter().filter_map(|(name, value)| Some((name, value?)));
    values.chain([("ours", Value::from(ours)), ("may", may)]).collect()
}

fn texts(names: BTreeSet<&'static str>) -> Value {
    Value::List(names.into_iter().map(Value::from).collect())
}

/// Collects the operators in a selector, at any depth.
fn operators_of(value: &Value, found: &mut BTreeSet<String>) {
    let items = value.as_list().into_iter().flatten();
    items.for_each(|item| operators_of(item, found));
    for (name, value) in value.as_map().into_iter().flatten() {
        if name.starts_with('$') {
            found.insert(name.clone());
        }
        operators_of(value, found);
    }
}
