//! JSON that a person writes, parsed by the same rules as in every other interface.

use cosmicsync_data::json::{self, JsonError};
use serde::de::DeserializeOwned;

/// An error in a text that is not JSON, or that cannot be kept exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonMistake {
    /// The message, without the place.
    pub message: String,
    /// The place, if known: line and column in bytes, both from 1.
    pub place: Option<(usize, usize)>,
    /// True if the only error is too deep nesting.
    pub too_deep: bool,
}

/// Parses one JSON text. Refuses values that cannot be kept exactly: integers beyond 64 bits, numbers beyond a double,
/// and duplicate keys.
///
/// # Errors
/// Returns the mistake and its place.
pub fn parse_json(text: &str) -> Result<serde_json::Value, JsonMistake> {
    json::parse(text.as_bytes()).map(|value| json::to_json(&value)).map_err(|error| mistake(text.as_bytes(), error))
}

/// Parses a message by the same rules; values may be inside at most `around` further levels.
///
/// # Errors
/// Returns the mistake and its place, also if the JSON is not such a message.
pub fn read_json<T: DeserializeOwned>(text: &[u8], around: usize) -> Result<T, JsonMistake> {
    json::check(text, around).map_err(|error| mistake(text, error))?;
    serde_json::from_slice(text).map_err(|error| syntax(&error, "not as it must be"))
}

fn mistake(text: &[u8], error: JsonError) -> JsonMistake {
    let (message, offset) = match error {
        JsonError::Syntax(error) => return syntax(&error, "not JSON"),
        JsonError::BigInteger { offset } => {
            ("the whole number does not fit in 64 bits; write it as a string to keep its digits".to_owned(), offset)
        }
        JsonError::BeyondDouble { offset } => {
            ("the number is beyond what a double can hold; write it as a string to keep its digits".to_owned(), offset)
        }
        JsonError::TooDeep => return JsonMistake { message: error.to_string(), place: None, too_deep: true },
    };
    JsonMistake { message, place: Some(place(text, offset)), too_deep: false }
}

fn syntax(error: &serde_json::Error, so: &str) -> JsonMistake {
    let (shown, line, column) = (error.to_string(), error.line(), error.column());
    let what = shown.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&shown);
    let place = (line > 0).then_some((line, column.max(1)));
    JsonMistake { message: format!("{so}: {what}"), place, too_deep: false }
}

fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, before.len() - line_start + 1)
}

#[cfg(test)]
mod tests {
    use super::parse_json;

    #[test]
    fn a_mistake_has_a_place() {
        assert_eq!(parse_json("{\"a\": 2.0}").map(|value| value.to_string()), Ok("{\"a\":2.0}".to_owned()));
        for (text, why, place) in [
            ("{\"a\": }", "not JSON: expected value", Some((1, 7))),
            ("{\"a\":1,\n \"a\":2}", "not JSON: the key \"a\" appears twice", Some((2, 7))),
            ("{\n\"n\": 99999999999999999999}", "the whole number does not fit", Some((2, 6))),
            ("[1e999]", "the number is beyond", Some((1, 2))),
            (&"[".repeat(70), "the value nests deeper", None),
        ] {
            let mistake = parse_json(text).expect_err(text);
            assert!(mistake.message.starts_with(why) && mistake.place == place, "{text}: {mistake:?}");
        }
    }
}
