//! Regular expressions of selectors, with linear matching time and limited size (`spec/query.md`, section 3).

use super::PATTERN_BYTES_MAX;
use regex::{Regex, RegexBuilder};

/// Largest size of a compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Largest nesting of groups, classes and repetitions in a pattern.
const NESTING_MAX: u32 = 32;

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    options: Options,
    regex: Regex,
}

/// The options in `$options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Options {
    /// `i`: ignores case.
    ignores_case: bool,
    /// `m`: `^` and `$` match at the beginning and end of each line.
    by_line: bool,
    /// `s`: a dot matches any character, including a line end.
    dot_takes_all: bool,
}

/// Reasons for a text not to be a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The pattern has more than [`PATTERN_BYTES_MAX`] bytes.
    #[error("the pattern has {bytes} bytes, and at most {PATTERN_BYTES_MAX} are allowed")]
    TooLong {
        /// Length in bytes.
        bytes: usize,
    },
    /// The options contain another letter than `i`, `m` and `s`.
    #[error("there is no option `{0}`; there are i, m and s")]
    NoOption(char),
    /// The compiled pattern is larger than 256 KiB.
    #[error("the pattern is too large once it is compiled; repeat less")]
    TooLarge,
    /// The text is not a regular expression of this dialect.
    #[error("not a pattern: {0}; it can have no look-around and no backreferences")]
    Syntax(String),
}

impl Pattern {
    /// Compiles a pattern with the letters of `$options`.
    pub fn new(source: &str, options: &str) -> Result<Self, PatternError> {
        if source.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes: source.len() });
        }
        let options = Options::parse(options)?;
        let regex = RegexBuilder::new(source)
            .case_insensitive(options.ignores_case)
            .multi_line(options.by_line)
            .dot_matches_new_line(options.dot_takes_all)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NESTING_MAX)
            .build()
            .map_err(|error| {
                let too_large = matches!(error, regex::Error::CompiledTooBig(_));
                if too_large { PatternError::TooLarge } else { PatternError::Syntax(reason(&error.to_string())) }
            })?;
        Ok(Self { source: source.to_owned(), options, regex })
    }

    /// Returns the pattern as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the letters of its options, in the order `ims`.
    pub fn options(&self) -> String {
        let Options { ignores_case, by_line, dot_takes_all } = self.options;
        let letters = [(ignores_case, 'i'), (by_line, 'm'), (dot_takes_all, 's')];
        letters.iter().filter_map(|(on, letter)| on.then_some(*letter)).collect()
    }

    /// Returns whether a text contains a match. Takes time proportional to the text's length.
    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns a prefix of every text that contains a match; `None` if the beginning of the pattern does not determine
    /// one.
    pub fn prefix(&self) -> Option<String> {
        let Options { ignores_case, by_line, .. } = self.options;
        let anchored = self.source.strip_prefix('^')?;
        if ignores_case || by_line || anchored.contains('|') {
            return None;
        }
        let mut prefix = String::new();
        let mut rest = anchored.chars().peekable();
        while let Some(literal) = literal(&mut rest) {
            if matches!(rest.peek(), Some('?' | '*' | '+' | '{')) {
                break;
            }
            prefix.push(literal);
        }
        (!prefix.is_empty()).then_some(prefix)
    }
}

/// Takes the next character, if it is a literal.
fn literal(rest: &mut core::iter::Peekable<core::str::Chars<'_>>) -> Option<char> {
    match rest.next()? {
        '.' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' | '*' | '+' | '?' => None,
        '\\' => rest.next().filter(|char| char.is_ascii_punctuation() && !matches!(char, '<' | '>')),
        plain => Some(plain),
    }
}

/// Returns the last line of the compiler's message; the lines before it draw the pattern.
fn reason(text: &str) -> String {
    let line = text.lines().next_back().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl Options {
    fn parse(letters: &str) -> Result<Self, PatternError> {
        let mut options = Self::default();
        for letter in letters.chars() {
            match letter {
                'i' => options.ignores_case = true,
                'm' => options.by_line = true,
                's' => options.dot_takes_all = true,
                other => return Err(PatternError::NoOption(other)),
            }
        }
        Ok(options)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, self.options) == (&other.source, other.options)
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(source: &str, options: &str) -> Option<String> {
        Pattern::new(source, options).unwrap().prefix()
    }

    #[test]
    fn only_a_literal_beginning_is_a_prefix() {
        for (source, expected) in [
            ("^ab", Some("ab")),
            ("^ab.*c", Some("ab")),
            ("^abc?", Some("ab")),
            ("^abc*", Some("ab")),
            ("^abc{0,2}", Some("ab")),
            ("^abc+", Some("ab")),
            ("^ab+*", Some("a")),
            (r"^a\.b", Some("a.b")),
            (r"^a\d", Some("a")),
            (r"^a\<", Some("a")),
            ("^é$", Some("é")),
            ("ab", None),
            ("^a|b", None),
            ("^(a|b)", None),
            ("(?i)^ab", None),
            ("^(?i)ab", None),
            ("^", None),
            ("^a?", None),
        ] {
            assert_eq!(prefix(source, "s").as_deref(), expected, "{source}");
        }
        assert_eq!((prefix("^ab", "i"), prefix("^ab", "m")), (None, None));
    }

    #[test]
    fn what_is_not_linear_or_too_large_is_refused() {
        let error = |source: &str, options: &str| Pattern::new(source, options).unwrap_err();
        assert_eq!(error("a", "x"), PatternError::NoOption('x'));
        assert_eq!(error(&"a".repeat(257), ""), PatternError::TooLong { bytes: 257 });
        assert_eq!(error(r"\w{200}{200}", ""), PatternError::TooLarge);
        assert!(matches!(error("(?=a)", ""), PatternError::Syntax(reason) if reason.contains("look-around")));
        assert!(matches!(error(r"(a)\1", ""), PatternError::Syntax(reason) if reason.contains("backreferences")));
        assert!(matches!(error(&["(".repeat(40), ")".repeat(40)].concat(), ""), PatternError::Syntax(_)));
        // This takes exponential time in an engine that backtracks.
        assert!(!Pattern::new("^(a+)+$", "").unwrap().is_in(&["a".repeat(50_000), "b".into()].concat()));
    }

    #[test]
    fn options_turn_on_what_they_say() {
        let found = |source, options, text| Pattern::new(source, options).unwrap().is_in(text);
        assert!(found("É", "i", "é") && !found("É", "", "é"));
        assert!(found("^b", "m", "a\nb") && !found("^b", "", "a\nb"));
        assert!(found("a.b", "s", "a\nb") && !found("a.b", "", "a\nb"));
        assert_eq!(Pattern::new("a", "smi").unwrap().options(), "ims");
        assert_eq!(Pattern::new("a", "ii").unwrap(), Pattern::new("a", "i").unwrap());
    }

    proptest! {
        #[test]
        fn every_match_begins_with_the_prefix(source in r"\^[ab.*+?\\{2}|(]{0,6}", text in "[ab.*+]{0,6}") {
            if let Ok(pattern) = Pattern::new(&source, "") {
                let begins = pattern.prefix().is_none_or(|prefix| text.starts_with(&prefix));
                prop_assert!(begins || !pattern.is_in(&text));
            }
        }
    }
}
