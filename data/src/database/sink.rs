//! Sinks for the matching documents of a query: a page, a sorted page, a count, groups.

use super::ask::{GROUPS_MAX, Group, Measure, MeasureKind, PAGE_MAX, QueryError};
use super::request::Found;
use crate::index::key::push_field;
use crate::query::order::compare;
use crate::query::{Direction, Field, Reached, Sort, Subject};
use core::cmp::Ordering;
use cosmicsync_protocol::crdt::Value;
use std::collections::BTreeMap;

/// Size limit for a page's values without its last document, in bytes.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Size limit for the values and keys that are sorted or grouped in memory, in bytes.
const SORTED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A matching document.
#[derive(Debug)]
pub(super) struct Match {
    /// The document's place in the order of the source.
    pub(super) place: Vec<u8>,
    pub(super) found: Found,
}

/// Returns a document in the form that selectors and sorts read; `None` if its value was not read.
pub(super) fn subject(found: &Found) -> Option<Subject<'_>> {
    let value = found.value.as_ref()?;
    Some(Subject {
        key: found.key.as_deref(),
        version: Some(found.version),
        validity: found.validity,
        ..Subject::new(value, found.doc)
    })
}

/// Returns the approximate size of a document in memory, in bytes.
pub(super) fn size_of(found: &Found) -> usize {
    found.value.as_ref().map_or(0, |value| value.encode().len())
}

/// A consumer of matching documents.
#[derive(Debug)]
pub(super) enum Sink {
    /// A page, in the order of arrival.
    Page { limit: usize, page: Vec<Match>, bytes: usize },
    /// A sorted page of the documents after `after`.
    Sorted { limit: Option<usize>, after: Option<Vec<u8>>, kept: BTreeMap<Vec<u8>, Found>, bytes: usize, more: bool },
    /// The number of documents.
    Count(u64),
    /// Groups of documents.
    Groups { by: Option<Field>, measures: Vec<Measure>, groups: BTreeMap<Vec<u8>, Gathering>, bytes: usize },
}

/// Running aggregates of a group.
#[derive(Debug)]
pub(super) struct Gathering {
    value: Option<Value>,
    count: u64,
    measures: Vec<Measuring>,
}

/// Running state of one measure of a group.
#[derive(Debug, Default)]
struct Measuring {
    whole: i128,
    /// Sum of the numbers that are not integers.
    fraction: f64,
    is_fraction: bool,
    numbers: u64,
    best: Option<Value>,
}

impl Sink {
    /// Takes a document. Returns whether to continue.
    pub(super) fn push(&mut self, it: Match, sort: &Sort) -> Result<bool, QueryError> {
        let Some(subject) = subject(&it.found) else { return Ok(true) };
        match self {
            Self::Page { limit, page, bytes } => {
                *bytes += size_of(&it.found);
                page.push(it);
                // One document more than the page needs shows that there is a next page.
                Ok(page.len() <= *limit && *bytes < PAGE_BYTES_MAX)
            }
            Self::Sorted { limit, after, kept, bytes, more } => {
                let place = sort_place(sort, &subject);
                if after.as_ref().is_some_and(|after| place <= *after) {
                    return Ok(true);
                }
                let size = |place: &Vec<u8>, found: &Found| place.len() + size_of(found);
                *bytes += size(&place, &it.found);
                kept.insert(place, it.found);
                if kept.len() > limit.unwrap_or(PAGE_MAX) {
                    if limit.is_none() {
                        return Err(needs_index(sort));
                    }
                    *more = true;
                    if let Some((place, found)) = kept.pop_last() {
                        *bytes -= size(&place, &found);
                    }
                }
                if *bytes > SORTED_BYTES_MAX { Err(needs_index(sort)) } else { Ok(true) }
            }
            Self::Count(count) => {
                *count += 1;
                Ok(true)
            }
            Self::Groups { by, measures, groups, bytes } => {
                let value = by.as_ref().and_then(|field| subject.with(field, |reached| value_of(&reached)));
                let mut key = Vec::new();
                push_field(value.as_ref(), &mut key);
                if !groups.contains_key(&key) {
                    *bytes += 2 * key.len();
                    if groups.len() >= GROUPS_MAX {
                        return Err(QueryError::TooManyGroups);
                    }
                }
                let group = groups.entry(key).or_insert_with(|| Gathering {
                    value,
                    count: 0,
                    measures: measures.iter().map(|_| Measuring::default()).collect(),
                });
                group.count += 1;
                for (measure, measuring) in measures.iter().zip(&mut group.measures) {
                    let value = subject.with(&measure.field, |reached| value_of(&reached));
                    *bytes += measuring.take(measure.kind, value);
                }
                if *bytes > SORTED_BYTES_MAX { Err(QueryError::TooManyGroups) } else { Ok(true) }
            }
        }
    }
}

pub(super) fn needs_index(sort: &Sort) -> QueryError {
    let names: Vec<String> = sort.fields().iter().map(|(field, _)| field.to_string()).collect();
    QueryError::SortNeedsIndex(names.join(","))
}

/// Returns bytes that sort like the documents.
pub(super) fn sort_place(sort: &Sort, subject: &Subject<'_>) -> Vec<u8> {
    let key = sort.key(subject);
    let mut place = Vec::new();
    for ((_, direction), value) in sort.fields().iter().zip(&key.values) {
        let from = place.len();
        push_field(value.as_ref(), &mut place);
        turn(*direction, place.get_mut(from..));
    }
    let from = place.len();
    place.extend(key.id.as_ref());
    turn(sort.direction(), place.get_mut(from..));
    place
}

fn turn(direction: Direction, bytes: Option<&mut [u8]>) {
    if direction == Direction::Descending {
        bytes.into_iter().flatten().for_each(|byte| *byte = !*byte);
    }
}

/// Returns the value of a field; several values behind lists form one list.
fn value_of(reached: &Reached<'_>) -> Option<Value> {
    match reached {
        Reached::Plain(value) => value.cloned(),
        Reached::Crossed(values) if values.is_empty() => None,
        Reached::Crossed(values) => Some(Value::List(values.iter().map(|value| (*value).clone()).collect())),
    }
}

impl Measuring {
    /// Adds a value. Returns the largest growth of memory, in bytes.
    fn take(&mut self, kind: MeasureKind, value: Option<Value>) -> usize {
        let Some(value) = value else { return 0 };
        match kind {
            MeasureKind::Sum | MeasureKind::Average => match value {
                Value::Int(number) => {
                    self.whole = self.whole.saturating_add(number.into());
                    self.numbers += 1;
                }
                Value::Float(number) => {
                    self.fraction += number;
                    self.is_fraction = true;
                    self.numbers += 1;
                }
                Value::Null | Value::Bool(_) | Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => {}
            },
            MeasureKind::Min | MeasureKind::Max => {
                let order = self.best.as_ref().map(|best| compare(Some(&value), Some(best)));
                let is_wanted = if kind == MeasureKind::Min { Ordering::is_lt } else { Ordering::is_gt };
                let better = order.is_none_or(is_wanted);
                if better {
                    let more = value.encode().len();
                    let before = self.best.replace(value).map_or(0, |before| before.encode().len());
                    return more.saturating_sub(before);
                }
            }
        }
        0
    }

    #[expect(clippy::cast_precision_loss, reason = "a quotient is a float")]
    fn done(self, kind: MeasureKind) -> Option<Value> {
        let sum = self.whole as f64 + self.fraction;
        match kind {
            MeasureKind::Min | MeasureKind::Max => self.best,
            MeasureKind::Average => (self.numbers > 0).then(|| Value::Float(sum / self.numbers as f64)),
            // The sum of no numbers is missing; beyond 64 bits the sum becomes the nearest float.
            MeasureKind::Sum => Some(match i64::try_from(self.whole) {
                Ok(whole) if !self.is_fraction => Value::Int(whole),
                _ => Value::Float(sum),
            }),
        }
    }
}

/// Returns the groups in the order of their common values.
pub(super) fn groups_of(groups: BTreeMap<Vec<u8>, Gathering>, measures: &[Measure]) -> Vec<Group> {
    let of = |Gathering { value, count, measures: measuring }: Gathering| {
        let measures = measures.iter().zip(measuring).map(|(measure, it)| it.done(measure.kind)).collect();
        Group { value, count, measures }
    };
    groups.into_values().map(of).collect()
}
