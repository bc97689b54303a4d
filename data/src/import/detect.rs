//! Detects the format of a file from its name and its whole first record, however long that is.

use super::{BOM, Format, Kind, RECORD_BYTES_MAX};

/// Separators between cells, most preferred first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Result of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// The file has this format.
    Kind(Kind),
    /// The first record is incomplete; more bytes are needed.
    More,
    /// The file may be JSON or NDJSON: its line is an object with an array of objects, either one record or all
    /// records.
    JsonOrNdjson,
    /// The format is unknown.
    Unknown,
}

impl Kind {
    /// Detects the format of a file from its name and its beginning.
    ///
    /// A format or delimiter in `said` always wins. `finished` is true if `first` is the whole file. Otherwise
    /// [`Detected::More`] may ask for more bytes, up to a little over [`RECORD_BYTES_MAX`].
    pub fn detect(name: &str, said: (Option<Format>, Option<u8>), first: &[u8], finished: bool) -> Detected {
        let (format, delimiter) = said;
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        let text = first.strip_prefix(BOM).unwrap_or(first).trim_ascii_start();
        let ended = finished || first.len() > RECORD_BYTES_MAX + BOM.len();
        let format = match (format, delimiter) {
            (Some(format), _) => Ok(format),
            (None, Some(_)) => Ok(Format::Csv),
            (None, None) => by_contents(&ending, text, ended),
        };
        match (format, delimiter) {
            (Err(detected), _) => detected,
            (Ok(Format::Csv), Some(delimiter)) => Detected::Kind(Kind { format: Format::Csv, delimiter }),
            (Ok(Format::Csv), None) if matches!(ending.as_str(), "tsv" | "tab") => Detected::Kind(Kind::TSV),
            (Ok(Format::Csv), None) => match delimiter_of(text, ended) {
                Some(delimiter) => Detected::Kind(Kind { format: Format::Csv, delimiter: delimiter.unwrap_or(b',') }),
                None => Detected::More,
            },
            (Ok(format), _) => Detected::Kind(Kind::of(format)),
        }
    }
}

fn by_contents(ending: &str, text: &[u8], ended: bool) -> Result<Format, Detected> {
    let named = Format::named(ending);
    if named == Some(Format::Csv) {
        return Ok(Format::Csv);
    }
    match text.first() {
        None if !ended => Err(Detected::More),
        None => named.ok_or(Detected::Unknown),
        Some(b'[') => Ok(Format::Json),
        Some(b'<') if named.is_none_or(|named| named == Format::Xml) => Ok(Format::Xml),
        Some(b'{') if named == Some(Format::Ndjson) => Ok(Format::Ndjson),
        Some(b'{') => json_or_ndjson(named, text, ended),
        Some(_) => match (named, delimiter_of(text, ended)) {
            (Some(named), _) => Ok(named),
            (None, None) => Err(Detected::More),
            (None, Some(Some(_))) => Ok(Format::Csv),
            (None, Some(None)) => Err(Detected::Unknown),
        },
    }
}

/// Decides whether an object at the beginning is one record of many, or holds the records.
fn json_or_ndjson(named: Option<Format>, text: &[u8], ended: bool) -> Result<Format, Detected> {
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
        return match (ended, named) {
            (false, _) => Err(Detected::More),
            // A record is no longer than this.
            _ if text.len() > RECORD_BYTES_MAX => Ok(Format::Json),
            (true, named) => one_line(named, text),
        };
    };
    let (line, rest) = (text[..end].trim_ascii(), text[end..].trim_ascii_start());
    if crate::json::parse(line).is_err() {
        // An object over several lines, or invalid JSON: the JSON reader reports the error.
        return Ok(Format::Json);
    }
    match rest.first() {
        Some(b'{') => Ok(Format::Ndjson),
        Some(_) => Ok(named.unwrap_or(Format::Ndjson)),
        None if !ended => Err(Detected::More),
        None => one_line(named, line),
    }
}

/// Decides about a file that is one object on one line.
fn one_line(named: Option<Format>, line: &[u8]) -> Result<Format, Detected> {
    if let Some(named) = named {
        return Ok(named);
    }
    let holds_records = crate::json::parse(line).is_ok_and(|value| {
        let members = value.as_map().into_iter().flat_map(|members| members.values());
        let first = members.filter_map(|member| member.as_list()?.first());
        first.into_iter().any(|item| item.as_map().is_some())
    });
    if holds_records { Err(Detected::JsonOrNdjson) } else { Ok(Format::Ndjson) }
}

/// Returns the separator of most cells in the first record, outside of quotes; `Some(None)` if the record has none,
/// `None` if the record is incomplete.
fn delimiter_of(text: &[u8], ended: bool) -> Option<Option<u8>> {
    let (mut counts, mut quoted, mut cell_start) = ([0usize; DELIMITERS.len()], false, true);
    let mut whole = ended;
    for byte in text {
        match byte {
            b'"' if quoted => quoted = false,
            // A doubled quote reopens the cell that its first half seemed to close.
            b'"' => quoted = cell_start,
            _ if quoted => {}
            b'\n' | b'\r' => {
                whole = true;
                break;
            }
            byte => {
                if let Some(at) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
                    counts[at] += 1;
                    cell_start = true;
                    continue;
                }
            }
        }
        cell_start = *byte == b'"';
    }
    if !whole {
        return None;
    }
    let most = counts.iter().max().copied().filter(|most| *most > 0);
    Some(most.and_then(|most| counts.iter().position(|count| *count == most)).map(|at| DELIMITERS[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(name: &str, first: &str) -> Detected {
        Kind::detect(name, (None, None), first.as_bytes(), true)
    }

    const fn kind(format: Format) -> Detected {
        Detected::Kind(Kind::of(format))
    }

    const fn table(delimiter: u8) -> Detected {
        Detected::Kind(Kind { format: Format::Csv, delimiter })
    }

    #[test]
    fn formats_are_told_by_name_and_contents() {
        assert_eq!(detect("a.csv", "[]"), kind(Format::Csv));
        assert_eq!(detect("a.JSONL", "{}"), kind(Format::Ndjson));
        assert_eq!(detect("a.geojson", "{\"type\":1,\n\"features\":["), kind(Format::Json));
        assert_eq!(detect("a.json", "{\"a\":1}\n{\"a\":2}\n{\"a"), kind(Format::Ndjson));
        assert_eq!(detect("a.json", "{\"a\":[{}]}\n"), kind(Format::Json));
        assert_eq!(detect("-", "\u{feff} [{"), kind(Format::Json));
        assert_eq!(detect("-", "a,b\n1,2"), kind(Format::Csv));
        assert_eq!(detect("-", "hello"), Detected::Unknown);
        assert_eq!(detect("a.json", ""), kind(Format::Json));
        assert_eq!(detect("-", ""), Detected::Unknown);
        assert_eq!(detect("-", "<?xml"), kind(Format::Xml));
        assert_eq!(detect("a.xml", "<a/>"), kind(Format::Xml));
        assert_eq!(detect("-", "{\"id\":1}"), kind(Format::Ndjson));
        assert_eq!(detect("-", "{\"id\":1,\"lines\":[{\"n\":1}]}"), Detected::JsonOrNdjson);
    }

    #[test]
    fn what_was_said_wins() {
        let said = |format, delimiter| Kind::detect("a.csv", (format, delimiter), b"{\"a\";1}\n", true);
        assert_eq!(said(Some(Format::Ndjson), None), kind(Format::Ndjson));
        assert_eq!(said(None, Some(b'|')), table(b'|'));
        assert_eq!(said(Some(Format::Csv), None), table(b';'));
    }

    #[test]
    fn the_whole_first_record_decides_however_long_it_is() {
        let long = "x".repeat(20_000);
        let order = format!("{{\"id\":\"{long}\",\"lines\":[{{\"id\":1}}]}}\n");
        for cut in [1, 10, 8192, order.len() - 1] {
            assert_eq!(Kind::detect("a.json", (None, None), &order.as_bytes()[..cut], false), Detected::More, "{cut}");
            assert_eq!(Kind::detect("a.ndjson", (None, None), &order.as_bytes()[..cut], false), kind(Format::Ndjson));
        }
        assert_eq!(detect("a.json", &format!("{order}{order}")), kind(Format::Ndjson));
        let header = format!("\"{long};\n;\",b,c\n1;2;3\n");
        assert_eq!(Kind::detect("a.csv", (None, None), &header.as_bytes()[..10_000], false), Detected::More);
        assert_eq!(detect("a.csv", &header), table(b','));
        assert_eq!(Kind::detect("-", (None, None), &vec![b'{'; RECORD_BYTES_MAX + 9], false), kind(Format::Json));
    }

    #[test]
    fn delimiters_are_counted_outside_quotes() {
        assert_eq!(detect("a.csv", "name;\"a,b,c\";x\n"), table(b';'));
        assert_eq!(detect("a.csv", "a\tb,c\td\n"), table(b'\t'));
        assert_eq!(detect("a.csv", "a|b\n1,2,3\n"), table(b'|'));
        assert_eq!(detect("a.csv", "a,b;c\n"), table(b','));
        assert_eq!(detect("a.csv", "\"a\"\";;\",b\n"), table(b','));
        assert_eq!(detect("a.csv", "one\n1;2\n"), table(b','));
        assert_eq!(detect("a.tsv", "one\n1;2\n"), table(b'\t'));
        assert_eq!(detect("-", "a;b"), table(b';'));
    }
}
