//! Quantities as people write them: `"20ms"`, `"1.5s"`, `"2h"`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The units of a span, longest first, with their length in microseconds.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Days of the longest span: a simulated run of a year.
const DAYS_MAX: u64 = 366;

/// A span of virtual time, or a point of it counted from the start of the run.
///
/// Written as a number and a unit (`us`, `ms`, `s`, `min`, `h`, `d`); whole microseconds, at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Length in microseconds.
    pub us: u64,
}

/// Error for a text that is not a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// The text is not a number with a unit.
    #[error("`{0}` is not a time: write a number and one of us, ms, s, min, h, d, such as \"20ms\" or \"1.5s\"")]
    Malformed(String),
    /// The span is longer than a run may be.
    #[error("`{0}` is longer than 366 days")]
    TooLong(String),
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let malformed = || SpanError::Malformed(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let (number, unit) = text.split_at(digits);
        let (_, unit_us) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(malformed)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        // Nine digits of a fraction are finer than a microsecond of a day.
        if whole.is_empty() || fraction.is_empty() || whole.len() > 18 || fraction.len() > 9 {
            return Err(malformed());
        }
        let whole: u64 = whole.parse().map_err(|_| malformed())?;
        let scale = 10_u64.pow(fraction.len() as u32);
        let fraction: u64 = fraction.parse().map_err(|_| malformed())?;
        let part = u128::from(fraction) * u128::from(*unit_us);
        if part % u128::from(scale) != 0 {
            return Err(malformed());
        }
        let us = u128::from(whole) * u128::from(*unit_us) + part / u128::from(scale);
        let us = u64::try_from(us).ok().filter(|us| *us <= DAYS_MAX * 86_400_000_000);
        Ok(Self { us: us.ok_or_else(|| SpanError::TooLong(text.to_owned()))? })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, length) = UNITS
            .iter()
            .find(|(_, length)| self.us >= *length && self.us.is_multiple_of(*length))
            .unwrap_or(if self.us == 0 { &UNITS[3] } else { &UNITS[5] });
        write!(f, "{}{unit}", self.us / length)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Offset of a clock: ahead, or behind with a minus. Whole milliseconds, with the limit of a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shift {
    /// Offset in milliseconds.
    pub ms: i64,
}

impl FromStr for Shift {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (sign, span) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let malformed = || SpanError::Malformed(text.to_owned());
        let us = span.parse::<Span>().map_err(|_| malformed())?.us;
        if us % 1_000 != 0 {
            return Err(malformed());
        }
        // A span is far shorter than the range of the type.
        Ok(Self { ms: sign * (us / 1_000) as i64 })
    }
}

impl<'de> Deserialize<'de> for Shift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Shift {
    fn schema_name() -> Cow<'static, str> {
        "Shift".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "By how much a clock is off: a number and a unit, with a minus for behind.",
            "pattern": r"^-?[0-9]+(\.[0-9]+)? ?(us|ms|s|min|h|d)$",
            "examples": ["90s", "-1h"],
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of virtual time, or a point of it counted from the start: a number and a unit.",
            "pattern": r"^[0-9]+(\.[0-9]+)? ?(us|ms|s|min|h|d)$",
            "examples": ["20ms", "1.5s", "2min"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_people_do() {
        let us = |text: &str| text.parse::<Span>().map(|span| span.us);
        assert_eq!(us("20ms"), Ok(20_000));
        assert_eq!(us("1.5s"), Ok(1_500_000));
        assert_eq!(us("2 min"), Ok(120_000_000));
        assert_eq!(us("0s"), Ok(0));
        assert_eq!(us("366d"), Ok(31_622_400_000_000));
        for wrong in ["", "5", "s", "5 parsecs", "-1s", "1.s", ".5s", "1e3s", "0.0000005s", "99999999999999999999s"] {
            assert_eq!(us(wrong), Err(SpanError::Malformed(wrong.into())), "{wrong}");
        }
        assert_eq!(us("367d"), Err(SpanError::TooLong("367d".into())));
    }

    #[test]
    fn clocks_are_ahead_or_behind() {
        let ms = |text: &str| text.parse::<Shift>().map(|shift| shift.ms).ok();
        assert_eq!((ms("90s"), ms("-1h"), ms("0s")), (Some(90_000), Some(-3_600_000), Some(0)));
        for wrong in ["", "-", "--1s", "- 1s", "1us", "-367d", "+1s"] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same() {
        for text in ["20ms", "1500ms", "3s", "2min", "1h", "2d", "0s", "7us"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), text);
        }
    }
}
