//! Chooses the index that a query reads, and the ranges in it (`spec/query.md`, section 7).
//!
//! A plan depends only on the query and on the indexes: it uses no statistics and no clock. A plan is never narrower
//! than the selector, which is evaluated on every document that the plan returns.

use super::ast::{Field, Selector, Virtual};
use super::bounds::{Bounds, Range, alternatives};
use super::sort::{Direction, Sort};
use crate::index::define::Fields;
use crate::index::key::{after_prefix, bound, cut, push_field, push_rank};
use crate::index::project::overflow;
use cosmicsync_protocol::crdt::Value;

/// Largest number of ranges in a plan.
pub const RANGES_MAX: usize = 1_000;

/// An index, as the planner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The index's number.
    pub no: u32,
    /// The index's name.
    pub name: String,
    /// The index's fields.
    pub fields: Fields,
    /// True if all documents are in the index.
    pub ready: bool,
    /// Per field: true if it leads to a list in some document.
    pub lists: Vec<bool>,
    /// True if some tuple is truncated.
    pub cut: bool,
}

/// Consecutive tuples: `from <= tuple < to`; an empty `to` means the end of the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TupleRange {
    /// The first tuple.
    pub from: Vec<u8>,
    /// The end, exclusive.
    pub to: Vec<u8>,
}

impl TupleRange {
    /// Returns whether a tuple lies in the range.
    pub fn contains(&self, tuple: &[u8]) -> bool {
        self.from.as_slice() <= tuple && (self.to.is_empty() || tuple < self.to.as_slice())
    }
}

/// The part of one index that a query reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPart {
    /// The index's number.
    pub no: u32,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Fields,
    /// Per field: true if it led to a list in some document at the time of planning.
    pub lists: Vec<bool>,
    /// True if some tuple was truncated at the time of planning.
    pub cut: bool,
    /// The ranges, ascending and disjoint.
    pub ranges: Vec<TupleRange>,
    /// True to read from the last range and tuple to the first.
    pub reverse: bool,
    /// Number of leading fields with fixed values.
    pub equal: usize,
    /// True if the field after those has bounds.
    pub bounded: bool,
}

/// The access path of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Documents with these keys or ids, read one by one.
    Named(Vec<Named>),
    /// Part of one index.
    Index(IndexPart),
    /// Parts of several indexes, one for each branch of an `$or`.
    Union(Vec<IndexPart>),
    /// The whole collection.
    Scan,
}

/// Name of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The document's key.
    Key(String),
    /// The document's id, in hex.
    Id(String),
}

/// The way in which the answer gets its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The documents are read in the order of the answer.
    AsTheyCome,
    /// Matching documents are collected and sorted in memory.
    Memory,
}

/// Reasons not to read an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// The index is still being built.
    Building,
    /// The query sets no bounds on the index's first field.
    Prefix,
    /// The index would find the documents, but not in order, and another index does.
    Order,
    /// Another index is narrower.
    Wider,
}

impl Rejected {
    /// Returns the reason as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Prefix => "prefix",
            Self::Order => "order",
            Self::Wider => "wider",
        }
    }
}

/// The plan of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The access path.
    pub access: Access,
    /// The way in which the answer gets its order.
    pub order: Order,
    /// The indexes that are not read, each with the reason.
    pub rejected: Vec<(String, Rejected)>,
}

/// Score of an index, most important part first; the greatest score wins.
type Score = (usize, bool, bool, core::cmp::Reverse<usize>, core::cmp::Reverse<String>);

/// Plans a query. With `only`, no other index is read; returns `None` if that index is missing or not ready.
pub fn plan(selector: &Selector, sort: &Sort, candidates: &[Candidate], only: Option<&str>) -> Option<Plan> {
    if let (Some(names), None) = (named(selector), only) {
        return Some(Plan { access: Access::Named(names), order: Order::Memory, rejected: Vec::new() });
    }
    let mut rejected = Vec::new();
    let mut best: Option<(Score, IndexPart)> = None;
    for candidate in candidates.iter().filter(|candidate| only.is_none_or(|only| only == candidate.name)) {
        if !candidate.ready {
            rejected.push((candidate.name.clone(), Rejected::Building));
            continue;
        }
        let mut part = part_of(selector, candidate);
        let direction = serves(sort, candidate, &part);
        part.reverse = direction == Some(Direction::Descending);
        if part.equal == 0 && !part.bounded && direction.is_none() && only.is_none() {
            rejected.push((candidate.name.clone(), Rejected::Prefix));
            continue;
        }
        let fields = core::cmp::Reverse(candidate.fields.paths().len());
        let name = core::cmp::Reverse(candidate.name.clone());
        let score = (part.equal, direction.is_some(), part.bounded, fields, name);
        let why = |lost: &Score, won: &Score| if !lost.1 && won.1 { Rejected::Order } else { Rejected::Wider };
        best = Some(match best {
            Some((high, kept)) if high >= score => {
                rejected.push((candidate.name.clone(), why(&score, &high)));
                (high, kept)
            }
            Some((low, lost)) => {
                rejected.push((lost.name, why(&low, &score)));
                (score, part)
            }
            None => (score, part),
        });
    }
    let unsorted = sort.fields().is_empty();
    if let Some(((equal, in_order, bounded, ..), part)) = best {
        // An index that only provides the order helps a sort, but reads every document.
        let narrows = equal > 0 || bounded;
        let union = if narrows || only.is_some() { None } else { union(selector, candidates) };
        if union.is_none() {
            let order = if in_order || unsorted { Order::AsTheyCome } else { Order::Memory };
            return Some(Plan { access: Access::Index(part), order, rejected });
        }
    } else if only.is_some() {
        return None;
    }
    Some(match union(selector, candidates) {
        Some(parts) => Plan { access: Access::Union(parts), order: Order::Memory, rejected },
        None => {
            let order = if unsorted { Order::AsTheyCome } else { Order::Memory };
            Plan { access: Access::Scan, order, rejected }
        }
    })
}

/// Returns the documents that a selector names by keys or ids.
fn named(selector: &Selector) -> Option<Vec<Named>> {
    for (field, make) in
        [(Virtual::Id, Named::Id as fn(String) -> Named), (Virtual::Key, Named::Key as fn(String) -> Named)]
    {
        let bounds = Bounds::of(selector, &Field::Virtual(field));
        let points = bounds.points().filter(|points| points.len() <= RANGES_MAX);
        let names = points.map(|points| points.iter().filter_map(|point| point.as_ref()?.as_text()));
        // Neither a missing field nor null names a document.
        if points
            .is_some_and(|points| points.iter().all(|point| point.as_ref().is_some_and(|it| it.as_text().is_some())))
        {
            return names.map(|names| names.map(|name| make(name.to_owned())).collect());
        }
    }
    None
}

/// Returns the part of an index that a selector needs.
fn part_of(selector: &Selector, candidate: &Candidate) -> IndexPart {
    let paths = candidate.fields.paths();
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut equal = 0;
    let mut range = None;
    for (path, list) in paths.iter().zip(&candidate.lists) {
        let bounds = Bounds::of(selector, &Field::Member(path.clone()));
        match bounds.points().filter(|points| prefixes.len() * points.len() <= RANGES_MAX) {
            Some(points) => {
                prefixes = crossed(&prefixes, points);
                equal += 1;
            }
            None => {
                range = bounds.range(*list);
                break;
            }
        }
    }
    let whole = equal == paths.len();
    let one = |prefix: Vec<u8>| match &range {
        Some(range) => between(&prefix, range),
        None if whole => exactly(cut(prefix).0),
        None => exactly(bound(prefix).0),
    };
    let mut ranges: Vec<TupleRange> = prefixes.into_iter().map(one).collect();
    if candidate.lists.contains(&true) {
        ranges.push(exactly(overflow().0));
    }
    let (no, name, fields) = (candidate.no, candidate.name.clone(), candidate.fields.clone());
    let (lists, cut, ranges) = (candidate.lists.clone(), candidate.cut, disjoint(ranges));
    IndexPart { no, name, fields, lists, cut, ranges, reverse: false, equal, bounded: range.is_some() }
}

fn crossed(prefixes: &[Vec<u8>], points: &[Option<Value>]) -> Vec<Vec<u8>> {
    let with = |prefix: &Vec<u8>, point: &Option<Value>| {
        let mut tuple = prefix.clone();
        push_field(point.as_ref(), &mut tuple);
        tuple
    };
    prefixes.iter().flat_map(|prefix| points.iter().map(move |point| with(prefix, point))).collect()
}

/// Returns the range of all tuples with this prefix.
fn exactly(prefix: Vec<u8>) -> TupleRange {
    let to = after_prefix(prefix.clone());
    TupleRange { from: prefix, to }
}

/// Returns the range of tuples that continue a prefix within a range of values.
fn between(prefix: &[u8], range: &Range) -> TupleRange {
    let end = |value: &Value| {
        let mut tuple = prefix.to_vec();
        push_field(Some(value), &mut tuple);
        bound(tuple)
    };
    let rank = |rank| {
        let mut tuple = prefix.to_vec();
        push_rank(rank, &mut tuple);
        bound(tuple).0
    };
    let from = match &range.lower {
        None => rank(*range.ranks.start()),
        Some(lower) => match end(&lower.value) {
            (tuple, false) if !lower.inclusive || planted!("query.bound-open") => after_prefix(tuple),
            (tuple, _) => tuple,
        },
    };
    let to = match &range.upper {
        None => after_prefix(rank(*range.ranks.end())),
        Some(upper) => match end(&upper.value) {
            (tuple, false) if !upper.inclusive => tuple,
            (tuple, _) => after_prefix(tuple),
        },
    };
    TupleRange { from, to }
}

/// Sorts ranges and merges adjacent ones.
fn disjoint(mut ranges: Vec<TupleRange>) -> Vec<TupleRange> {
    ranges.retain(|range| range.to.is_empty() || range.from < range.to);
    ranges.sort();
    let mut merged: Vec<TupleRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.to.is_empty() || range.from < last.to => {
                if range.to.is_empty() || (!last.to.is_empty() && range.to > last.to) {
                    last.to = range.to;
                }
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Returns the direction in which an index returns documents in the order of a sort, if it does.
fn serves(sort: &Sort, candidate: &Candidate, part: &IndexPart) -> Option<Direction> {
    let direction = sort.direction();
    // A document with several tuples, or with a truncated one, is not at the place of its value in the sort.
    if sort.fields().is_empty() || candidate.lists.contains(&true) || candidate.cut {
        return None;
    }
    let paths = candidate.fields.paths();
    // A field fixed to one value does not affect the order; one with several values sorts by them.
    let fixed = if part.ranges.len() == 1 { part.equal } else { 0 };
    let (fixed, rest) = paths.split_at_checked(fixed)?;
    let is_fixed = |field: &Field| matches!(field, Field::Member(path) if fixed.contains(path));
    let mut wanted = sort.fields().iter().filter(|(field, _)| !is_fixed(field));
    let mut rest = rest.iter();
    let fits = wanted.all(|(field, towards)| {
        *towards == direction && matches!((field, rest.next()), (Field::Member(path), Some(next)) if path == next)
    });
    fits.then_some(direction)
}

/// Returns a part for each branch of an `$or`, if an index can serve every branch.
fn union(selector: &Selector, candidates: &[Candidate]) -> Option<Vec<IndexPart>> {
    alternatives(selector).find_map(|branches| {
        let parts = branches.iter().map(|branch| {
            let ready = candidates.iter().filter(|candidate| candidate.ready);
            let parts = ready.map(|candidate| part_of(branch, candidate));
            parts.filter(|part| part.equal > 0 || part.bounded).max_by_key(|part| (part.equal, part.bounded))
        });
        parts.collect::<Option<Vec<_>>>().filter(|parts| {
            !parts.is_empty() && parts.iter().map(|part| part.ranges.len()).sum::<usize>() <= RANGES_MAX
        })
    })
}
