//! Which index a query reads, and what of it (`spec/query.md`, section 7).
//!
//! A plan is a function of the query and of the indexes there are, nothing else: no statistics, no clock. It is never
//! narrower than the selector, which is evaluated on every document that a plan brings.

use super::ast::{Field, Selector, Virtual};
use super::bounds::{Bounds, Range, alternatives};
use super::sort::{Direction, Sort};
use crate::index::define::Fields;
use crate::index::key::{after_prefix, bound, cut, push_field, push_rank};
use crate::index::project::overflow;
use cosmicsync_protocol::crdt::Value;

/// The most ranges of a plan.
pub const RANGES_MAX: usize = 1_000;

/// An index, as a planner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub no: u32,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Fields,
    /// Whether all documents stand in it.
    pub ready: bool,
    /// Which fields lead to a list in some document.
    pub lists: Vec<bool>,
    /// Whether some tuple is cut.
    pub cut: bool,
}

/// Consecutive tuples: `from <= tuple < to`; an empty `to` is the end of the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TupleRange {
    /// The first.
    pub from: Vec<u8>,
    /// Behind the last.
    pub to: Vec<u8>,
}

impl TupleRange {
    /// Whether a tuple lies within.
    pub fn contains(&self, tuple: &[u8]) -> bool {
        self.from.as_slice() <= tuple && (self.to.is_empty() || tuple < self.to.as_slice())
    }
}

/// What is read of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPart {
    /// The index's number.
    pub no: u32,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Fields,
    /// Which fields led to a list in some document when it was planned.
    pub lists: Vec<bool>,
    /// Whether some tuple was cut then.
    pub cut: bool,
    /// Ascending, and no two have a tuple in common.
    pub ranges: Vec<TupleRange>,
    /// From the last range and tuple to the first.
    pub reverse: bool,
    /// How many leading fields are fixed by equality.
    pub equal: usize,
    /// Whether the field behind those has bounds.
    pub bounded: bool,
}

/// Where the documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Those with these keys or ids are read one by one.
    Named(Vec<Named>),
    /// An index brings them.
    Index(IndexPart),
    /// Several parts of indexes bring them: of each `$or` branch one.
    Union(Vec<IndexPart>),
    /// All of the collection are read.
    Scan,
}

/// The name of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Its key.
    Key(String),
    /// Its id, in hex.
    Id(String),
}

/// What puts the answer in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// They come in it.
    AsTheyCome,
    /// Matching documents are gathered and sorted.
    Memory,
}

/// Why an index is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It is still being built.
    Building,
    /// The query asks nothing of its first field.
    Prefix,
    /// It would bring the documents, but not in their order, and another one does.
    Order,
    /// Another one is narrower.
    Wider,
}

impl Rejected {
    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Prefix => "prefix",
            Self::Order => "order",
            Self::Wider => "wider",
        }
    }
}

/// How a query is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where documents come from.
    pub access: Access,
    /// What puts them in order.
    pub order: Order,
    /// The indexes that are not read, and why.
    pub rejected: Vec<(String, Rejected)>,
}

/// What decides between indexes, the greatest first.
type Score = (usize, bool, bool, core::cmp::Reverse<usize>, core::cmp::Reverse<String>);

/// Plans a query. With `only`, no other index is read, and the answer is `None` if that one cannot be.
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
        // An index that is only in order is of use to a sort, and reads everything.
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

/// The documents that a selector names by their keys or ids.
fn named(selector: &Selector) -> Option<Vec<Named>> {
    for (field, make) in
        [(Virtual::Id, Named::Id as fn(String) -> Named), (Virtual::Key, Named::Key as fn(String) -> Named)]
    {
        let bounds = Bounds::of(selector, &Field::Virtual(field));
        let points = bounds.points().filter(|points| points.len() <= RANGES_MAX);
        let names = points.map(|points| points.iter().filter_map(|point| point.as_ref()?.as_text()));
        // Missing or null names no document of its own.
        if points
            .is_some_and(|points| points.iter().all(|point| point.as_ref().is_some_and(|it| it.as_text().is_some())))
        {
            return names.map(|names| names.map(|name| make(name.to_owned())).collect());
        }
    }
    None
}

/// What a selector needs of an index.
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

/// All tuples that begin so.
fn exactly(prefix: Vec<u8>) -> TupleRange {
    let to = after_prefix(prefix.clone());
    TupleRange { from: prefix, to }
}

/// The tuples that begin with a prefix and go on within a range.
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

/// Sorts ranges, and makes one of those that meet.
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

/// In which direction an index brings documents in the order of a sort, if it does.
fn serves(sort: &Sort, candidate: &Candidate, part: &IndexPart) -> Option<Direction> {
    let direction = sort.direction();
    // A document with several tuples, or one that is cut, does not stand where its value sorts.
    if sort.fields().is_empty() || candidate.lists.contains(&true) || candidate.cut {
        return None;
    }
    let paths = candidate.fields.paths();
    // Where one value is fixed it sorts nothing; several are in order among themselves.
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

/// For an `$or` each of whose branches an index can bring: those parts.
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
