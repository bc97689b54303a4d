//! What becomes of documents that match: a page, a number, groups.

use super::ask::{GROUPS_MAX, Group, Measure, MeasureKind, PAGE_MAX, QueryError};
use super::request::Found;
use crate::index::key::push_field;
use crate::query::order::compare;
use crate::query::{Direction, Field, Reached, Sort, Subject};
use core::cmp::Ordering;
use cosmicsync_protocol::crdt::Value;
use std::collections::BTreeMap;

/// Bytes of values of a page, beside its last document.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of values and keys that are sorted or grouped at a time.
const SORTED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A document that matches.
#[derive(Debug)]
pub(super) struct Match {
    /// Where it stands in the order in which documents come.
    pub(super) place: Vec<u8>,
    pub(super) found: Found,
}

/// A document as selectors and sorts see it; none if its value was not asked for.
pub(super) fn subject(found: &Found) -> Option<Subject<'_>> {
    let value = found.value.as_ref()?;
    Some(Subject {
        key: found.key.as_deref(),
        version: Some(found.version),
        validity: found.validity,
        ..Subject::new(value, found.doc)
    })
}

/// Bytes that a document takes in memory, about.
pub(super) fn size_of(found: &Found) -> usize {
    found.value.as_ref().map_or(0, |value| value.encode().len())
}

/// Takes documents that match.
#[derive(Debug)]
pub(super) enum Sink {
    /// They come in their order.
    Page { limit: usize, page: Vec<Match>, bytes: usize },
    /// They are sorted; those up to `after` were in a former page.
    Sorted { limit: Option<usize>, after: Option<Vec<u8>>, kept: BTreeMap<Vec<u8>, Found>, bytes: usize, more: bool },
    /// They are counted.
    Count(u64),
    /// They are grouped.
    Groups { by: Option<Field>, measures: Vec<Measure>, groups: BTreeMap<Vec<u8>, Gathering>, bytes: usize },
}

/// A group that grows.
#[derive(Debug)]
pub(super) struct Gathering {
    value: Option<Value>,
    count: u64,
    measures: Vec<Measuring>,
}

/// What is known of one measure of a group.
#[derive(Debug, Default)]
struct Measuring {
    whole: i128,
    /// Of numbers that are not whole.
    fraction: f64,
    is_fraction: bool,
    numbers: u64,
    best: Option<Value>,
}

impl Sink {
    /// Takes a document. Returns whether it wants more.
    pub(super) fn push(&mut self, it: Match, sort: &Sort) -> Result<bool, QueryError> {
        let Some(subject) = subject(&it.found) else { return Ok(true) };
        match self {
            Self::Page { limit, page, bytes } => {
                *bytes += size_of(&it.found);
                page.push(it);
                // One more than the page has tells whether there is another.
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

/// Bytes that sort as documents do.
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

/// The one value of a field; what lies behind lists is one list.
fn value_of(reached: &Reached<'_>) -> Option<Value> {
    match reached {
        Reached::Plain(value) => value.cloned(),
        Reached::Crossed(values) if values.is_empty() => None,
        Reached::Crossed(values) => Some(Value::List(values.iter().map(|value| (*value).clone()).collect())),
    }
}

impl Measuring {
    /// Takes a value. Returns how many bytes of memory it takes, at most.
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
            // Nothing adds up to nothing; what exceeds 64 bits is as near as a float comes.
            MeasureKind::Sum => Some(match i64::try_from(self.whole) {
                Ok(whole) if !self.is_fraction => Value::Int(whole),
                _ => Value::Float(sum),
            }),
        }
    }
}

/// The groups in the order of what they have in common.
pub(super) fn groups_of(groups: BTreeMap<Vec<u8>, Gathering>, measures: &[Measure]) -> Vec<Group> {
    let of = |Gathering { value, count, measures: measuring }: Gathering| {
        let measures = measures.iter().zip(measuring).map(|(measure, it)| it.done(measure.kind)).collect();
        Group { value, count, measures }
    };
    groups.into_values().map(of).collect()
}
