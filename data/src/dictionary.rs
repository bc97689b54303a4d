//! Finds the common content of many records, as a dictionary for a compressor.
//!
//! Records of one import repeat field names, values and phrases. A dictionary of frequent content lets each record be
//! compressed, and erased, separately. The dictionary outlives erased records, so it must not hold content that is
//! particular to a few. The dictionary holds only names, values and phrases that occur, as a whole, in at least
//! [`RECORDS_MIN`] records of the batch. Specified in `spec/documents.md`, section 9.

use core::ops::Range;
use cosmicsync_protocol::crdt::{Meta, TextPaths, Value, encode_new};
use std::collections::{BTreeMap, BTreeSet};

/// Least number of records of the batch in which content must occur to enter the dictionary.
pub const RECORDS_MIN: usize = 8;

/// Longest dictionary, in bytes.
pub const DICTIONARY_BYTES_MAX: usize = 8 * 1024;

/// Longest text in the dictionary, in bytes; longer ones are content, not vocabulary.
const TEXT_BYTES_MAX: usize = 64;

/// Largest number of different values to count; later ones are hardly frequent.
const VALUES_MAX: usize = 65_536;

/// Numbers of words of the phrases to count; the longest runs of frequent words in a text are phrases too.
const PHRASE_WORDS: [usize; 4] = [1, 2, 3, 5];

/// Number of bytes of each text that are searched for phrases.
const SEARCHED_BYTES_MAX: usize = 1024;

/// Returns the dictionary of a batch that is written by `peer` with `meta` (without a key, which is particular to a
/// document).
///
/// Empty if nothing is frequent. Depends on the arguments only. The order of the records does not matter, as long as
/// they hold fewer than 65,536 different values.
pub fn dictionary<'a>(
    records: impl IntoIterator<Item = &'a Value>,
    peer: u64,
    meta: &Meta,
    texts: &TextPaths,
) -> Vec<u8> {
    let records: Vec<&Value> = records.into_iter().collect();
    let mut counts = Counts::default();
    records.iter().for_each(|record| counts.see(record));
    let phrases = phrases(&records);
    let mut parts: Vec<u8> = Vec::new();
    let mut template = counts.template(peer, meta, texts);
    if template.len() > DICTIONARY_BYTES_MAX {
        template.clear();
    }
    for text in counts.frequent_texts(&phrases, DICTIONARY_BYTES_MAX - template.len()).into_iter().rev() {
        parts.extend_from_slice(text.as_bytes());
    }
    // Compressors refer to the end of a dictionary at the least cost.
    parts.extend_from_slice(&template);
    parts
}

#[derive(Default)]
struct Counts<'a> {
    /// Number of records with a text, as a value or as a name.
    texts: BTreeMap<&'a str, usize>,
    /// Number of records with a value, for each field.
    fields: BTreeMap<&'a str, BTreeMap<Vec<u8>, usize>>,
    values: usize,
}

impl<'a> Counts<'a> {
    fn see(&mut self, record: &'a Value) {
        let mut seen = BTreeSet::new();
        let mut rest = vec![record];
        while let Some(value) = rest.pop() {
            match value {
                Value::Text(text) if text.len() <= TEXT_BYTES_MAX => drop(seen.insert(text.as_str())),
                Value::List(items) => rest.extend(items),
                Value::Map(entries) => {
                    seen.extend(entries.keys().map(String::as_str).filter(|key| key.len() <= TEXT_BYTES_MAX));
                    rest.extend(entries.values());
                }
                Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {}
            }
        }
        for text in seen {
            if self.texts.len() < VALUES_MAX || self.texts.contains_key(text) {
                *self.texts.entry(text).or_default() += 1;
            }
        }
        let short = |value: &Value| value.as_text().is_none_or(|text| text.len() <= TEXT_BYTES_MAX);
        for (field, value) in record.as_map().into_iter().flatten().filter(|(_, value)| short(value)) {
            if self.values < VALUES_MAX {
                let count = self.fields.entry(field).or_default().entry(value.encode()).or_default();
                self.values += usize::from(*count == 0);
                *count += 1;
            }
        }
    }

    /// Returns the frequent texts that save the most bytes, best first, as many as fit.
    fn frequent_texts(&self, phrases: &BTreeMap<&'a str, usize>, mut room: usize) -> Vec<&'a str> {
        let of_use = |text: &str, count: usize| count >= RECORDS_MIN && text.len() > 2 && text.len() <= TEXT_BYTES_MAX;
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for (text, count) in self.texts.iter().chain(phrases).filter(|(text, count)| of_use(text, **count)) {
            let most = counted.entry(text).or_default();
            *most = (*most).max(*count);
        }
        let mut texts: Vec<(&str, usize)> = counted.into_iter().collect();
        texts.sort_by_key(|(text, count)| (core::cmp::Reverse(count * text.len()), *text));
        let mut chosen: Vec<&str> = Vec::new();
        for (text, _) in texts {
            if text.len() <= room && !chosen.iter().any(|other| other.contains(text)) {
                room -= text.len();
                chosen.push(text);
            }
        }
        chosen
    }

    /// Returns the update of an artificial record with every frequent field, and its most frequent value, or null if no
    /// value is frequent. Thus the names are next to the same numbers as in a real update.
    fn template(&self, peer: u64, meta: &Meta, texts: &TextPaths) -> Vec<u8> {
        let frequent = |field: &str| self.texts.get(field).is_some_and(|count| *count >= RECORDS_MIN);
        let typical = |counts: &BTreeMap<Vec<u8>, usize>| {
            let (bytes, count) = counts.iter().max_by_key(|(bytes, count)| (**count, core::cmp::Reverse(*bytes)))?;
            (*count >= RECORDS_MIN).then(|| Value::decode(bytes).ok())?
        };
        let record: BTreeMap<String, Value> = self
            .fields
            .iter()
            .filter(|(field, _)| frequent(field))
            .map(|(field, counts)| ((*field).to_owned(), typical(counts).unwrap_or_default()))
            .collect();
        if record.is_empty() {
            return Vec::new();
        }
        let meta = Meta { collection: meta.collection.clone(), key: None, deleted: false };
        encode_new(peer, &meta, &Value::Map(record), texts).map(|update| update.bytes).unwrap_or_default()
    }
}

/// Returns runs of frequent words within texts, each with the number of records that contain it.
fn phrases<'a>(records: &[&'a Value]) -> BTreeMap<&'a str, usize> {
    let counts = count(records, |text, found| found.extend(words(text).map(|word| &text[word])));
    let is_frequent = |word: &str| counts.get(word).is_some_and(|count| *count >= RECORDS_MIN);
    count(records, |text, found| {
        let words: Vec<Range<usize>> = words(text).collect();
        for run in words.split(|word| !is_frequent(&text[word.clone()])).filter(|run| !run.is_empty()) {
            let phrase = |words: &[Range<usize>]| &text[words[0].start..words[words.len() - 1].end];
            found.insert(phrase(run));
            found.extend(PHRASE_WORDS.iter().flat_map(|count| run.windows(*count)).map(phrase));
        }
    })
}

/// Returns the number of records that contain each result of `find` in their texts.
fn count<'a>(records: &[&'a Value], find: impl Fn(&'a str, &mut BTreeSet<&'a str>)) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        let mut found = BTreeSet::new();
        let mut rest = vec![*record];
        while let Some(value) = rest.pop() {
            match value {
                Value::Text(text) => find(&text[..text.floor_char_boundary(SEARCHED_BYTES_MAX)], &mut found),
                Value::List(items) => rest.extend(items),
                Value::Map(entries) => rest.extend(entries.values()),
                Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => {}
            }
        }
        for text in found {
            if counts.len() < VALUES_MAX || counts.contains_key(text) {
                *counts.entry(text).or_default() += 1;
            }
        }
    }
    counts
}

/// Splits a text into runs of letters, runs of digits, and single other characters.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let kind = |char: char| if char.is_alphabetic() { 0 } else { 1 + u8::from(!char.is_numeric()) };
    let mut from = 0;
    core::iter::from_fn(move || {
        let rest = &text[from..];
        let first = rest.chars().next()?;
        let len = match kind(first) {
            2 => first.len_utf8(),
            same => rest.find(|char| kind(char) != same).unwrap_or(rest.len()),
        };
        from += len;
        Some(from - len..from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> Value {
        let city = if n.is_multiple_of(20) { "Rareville" } else { "Boston" };
        let mut entries =
            vec![("city", city.to_owned()), ("secret", format!("secret-{n}")), ("state", "MA".to_owned())];
        if n == 3 {
            entries.push(("odd-field", "once".to_owned()));
        }
        entries.into_iter().collect()
    }

    fn holds(dictionary: &[u8], text: &str) -> bool {
        dictionary.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn only_what_is_frequent_enters() {
        let records: Vec<Value> = (0..100).map(record).collect();
        let meta = Meta { collection: Some("people".to_owned()), key: Some("private-key".to_owned()), deleted: false };
        let made = dictionary(&records, 7, &meta, &TextPaths::none());
        for text in ["Boston", "MA", "city", "secret", "people"] {
            assert!(holds(&made, text), "{text} is frequent");
        }
        for text in ["Rareville", "secret-1", "once", "odd-field", "private-key"] {
            assert!(!holds(&made, text), "{text} is particular");
        }
        let mut reversed = records.clone();
        reversed.reverse();
        assert_eq!(dictionary(&reversed, 7, &meta, &TextPaths::none()), made);
        assert!(dictionary(&records[..RECORDS_MIN - 1], 7, &meta, &TextPaths::none()).is_empty());
    }

    #[test]
    fn phrases_enter_that_many_records_share_as_a_whole() {
        let note = |n: usize| {
            let text = match n {
                // Each word is frequent; in this order they occur once.
                7 => "gate open blue sea door".to_owned(),
                n if n.is_multiple_of(2) => format!("code {n}x: the blue door is open {n}y"),
                n => format!("at sea {n}, the gate"),
            };
            [("note", Value::from(text))].into_iter().collect::<Value>()
        };
        let records: Vec<Value> = (0..60).map(note).collect();
        let made = dictionary(&records, 7, &Meta::default(), &TextPaths::none());
        for text in ["x: the blue door is open ", "at sea ", ", the gate"] {
            assert!(holds(&made, text), "{text} is frequent");
        }
        for text in ["gate open", "blue sea", "sea door", " 24"] {
            assert!(!holds(&made, text), "{text} is particular");
        }
        let found: Vec<&str> = words("a1é!? x").map(|word| &"a1é!? x"[word]).collect();
        assert_eq!(found, ["a", "1", "é", "!", "?", " ", "x"]);
    }

    #[test]
    fn a_dictionary_is_bounded() {
        let wide: Value = (0..2000).map(|n| (format!("field-{n:04}"), format!("value-{n:04}"))).collect();
        let made = dictionary(&vec![wide; RECORDS_MIN], 7, &Meta::default(), &TextPaths::none());
        assert!(!made.is_empty() && made.len() <= DICTIONARY_BYTES_MAX);
    }
}
