//! The formats that the keyword `format` checks (`spec/schemas.md`).

use core::net::{Ipv4Addr, Ipv6Addr};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Date,
    DateTime,
    Duration,
    Email,
    Ipv4,
    Ipv6,
    Time,
    Uri,
    Uuid,
}

impl Format {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Date, "date"),
        (Self::DateTime, "date-time"),
        (Self::Duration, "duration"),
        (Self::Email, "email"),
        (Self::Ipv4, "ipv4"),
        (Self::Ipv6, "ipv6"),
        (Self::Time, "time"),
        (Self::Uri, "uri"),
        (Self::Uuid, "uuid"),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(format, _)| *format)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// Returns whether a text has this format.
    pub(super) fn is_of(self, text: &str) -> bool {
        match self {
            Self::Date => is_date(text),
            Self::DateTime => text.split_once(['T', 't']).is_some_and(|(date, time)| is_date(date) && is_time(time)),
            Self::Duration => is_duration(text),
            Self::Email => is_email(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Time => is_time(text),
            Self::Uri => is_uri(text),
            Self::Uuid => is_uuid(text),
        }
    }
}

/// Parses exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// RFC 3339, section 5.6: `full-date`.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let read = |part: Option<&str>, count| part.and_then(|part| digits(part, count));
    let (Some(year), Some(month), Some(day), None) = (read(year, 4), read(month, 2), read(day, 2), parts.next()) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// RFC 3339, section 5.6: `full-time`. A leap second is valid only at the end of a UTC day.
fn is_time(text: &str) -> bool {
    let Some(zone) = text.find(['Z', 'z', '+', '-']) else { return false };
    let (time, zone) = text.split_at(zone);
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let fraction_fits =
        fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let mut parts = time.split(':');
    let mut read = || parts.next().and_then(|part| digits(part, 2));
    let (Some(hour), Some(minute), Some(second)) = (read(), read(), read()) else { return false };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || !fraction_fits {
        return false;
    }
    let offset = match zone {
        "Z" | "z" => Some(0),
        _ => offset_of(zone),
    };
    let Some(offset) = offset else { return false };
    let minute_of_day = (i64::from(hour) * 60 + i64::from(minute) - offset).rem_euclid(24 * 60);
    second < 60 || minute_of_day == 24 * 60 - 1
}

/// Returns the minutes of `+HH:MM` or `-HH:MM`.
fn offset_of(zone: &str) -> Option<i64> {
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2).filter(|hours| *hours < 24)?, digits(minutes, 2).filter(|m| *m < 60)?);
    Some(sign * (i64::from(hours) * 60 + i64::from(minutes)))
}

/// RFC 3339, appendix A: `P1Y2M3DT4H5M6S` or `P7W`; no unit between two others may be left out.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    if let Some(weeks) = rest.strip_suffix('W') {
        return !weeks.is_empty() && weeks.bytes().all(|byte| byte.is_ascii_digit());
    }
    let (date, time) = rest.split_once('T').map_or((rest, None), |(date, time)| (date, Some(time)));
    match time {
        None => !date.is_empty() && are_units(date, "YMD"),
        Some(time) => !time.is_empty() && are_units(date, "YMD") && are_units(time, "HMS"),
    }
}

/// Returns whether a text is numbers, each followed by a unit, with adjacent units in order.
fn are_units(mut text: &str, units: &str) -> bool {
    let mut last = None;
    while !text.is_empty() {
        let Some(end) = text.find(|char: char| !char.is_ascii_digit()).filter(|end| *end > 0) else { return false };
        let Some(unit) = text[end..].chars().next().and_then(|unit| units.find(unit)) else { return false };
        if last.is_some_and(|last| unit != last + 1) {
            return false;
        }
        last = Some(unit);
        text = &text[end + 1..];
    }
    true
}

/// RFC 5321, section 4.1.2, without quoted local parts and address literals.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=64).contains(&local.len())
        && domain.len() <= 255
        && local.split('.').all(is_atom)
        && domain.split('.').all(is_label)
}

/// RFC 3986, section 3: a scheme, and the characters allowed after it.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let begins = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let scheme_fits = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let bytes = rest.as_bytes();
    let rest_fits = bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    });
    begins && scheme_fits && rest_fits && rest.matches('#').count() <= 1
}

/// RFC 9562, section 4.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_those_of_their_standards() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            ("date", &["2024-02-29", "1900-12-31"], &["2023-02-29", "2024-13-01", "2024-1-01", "2024-01-01Z", ""]),
            (
                "date-time",
                &["2024-02-29T23:59:59.123Z", "1990-12-31T15:59:60-08:00", "2024-01-01t00:00:00z"],
                &["2024-02-29", "2024-02-29T24:00:00Z", "2024-01-01T00:00:00", "1990-12-31T15:59:60Z"],
            ),
            ("time", &["08:30:06Z", "08:30:06.5+01:00"], &["08:30:06", "8:30:06Z", "08:30:06.Z", "08:30:06+1:00"]),
            ("duration", &["P1Y2M3DT4H5M6S", "PT36H", "P7W"], &["P", "PT", "P1", "1D", "P1YT", "P1D2Y", "PT1H5S"]),
            ("email", &["a.b@example.org", "x@y"], &["@x", "a@", "a..b@c", "a b@c", "a@-b.c", "a"]),
            ("ipv4", &["127.0.0.1"], &["127.0.0", "256.0.0.1", "0x7f.0.0.1", "127.0.0.01"]),
            ("ipv6", &["::1", "2001:db8::a:b"], &[":", "12345::", "::g"]),
            (
                "uri",
                &["https://a.b/c?d=e#f", "urn:x:y", "mailto:a@b"],
                &["/a", "a b:c", "http://a/%zz", "1a:b", "a:b#c#d"],
            ),
            (
                "uuid",
                &["2EB8AA08-aa98-11ea-b4aa-73b441d16380"],
                &["2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g", ""],
            ),
        ];
        for (name, good, bad) in cases {
            let format = Format::named(name).unwrap();
            assert_eq!(format.name(), name);
            good.iter().for_each(|text| assert!(format.is_of(text), "{name}: {text}"));
            bad.iter().for_each(|text| assert!(!format.is_of(text), "{name}: {text}"));
        }
        assert_eq!(Format::named("hostname"), None);
    }
}
