//! Conditional requests (RFC 9110, section 13): versions of documents as entity tags.

use axum::http::{HeaderMap, HeaderName, header};

use crate::problem::{Code, Problem};

/// A version that no document has: 32 zeros, the hash of nothing.
const NO_VERSION: &str = "00000000000000000000000000000000";
/// Number of hex digits in a version.
const DIGITS: usize = 32;

/// The condition of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Conditions {
    /// No condition.
    None,
    /// The document does not exist.
    Absent,
    /// The document exists.
    Exists,
    /// The document has one of these versions.
    Versions(Vec<String>),
}

impl Conditions {
    /// Parses `If-Match` and `If-None-Match` of a write.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let (wanted, unwanted) = (tags(headers, &header::IF_MATCH), tags(headers, &header::IF_NONE_MATCH));
        match (wanted, unwanted) {
            (None, None) => Ok(Self::None),
            (None, Some(unwanted)) if unwanted == ["*"] => Ok(Self::Absent),
            (Some(wanted), None) if wanted == ["*"] => Ok(Self::Exists),
            (Some(wanted), None) => Ok(Self::Versions(wanted.iter().filter_map(|tag| strong(tag)).collect())),
            (None, Some(_)) => Err(Problem::new(Code::BadRequest, "a write takes `If-None-Match: *` alone")),
            (Some(_), Some(_)) => Err(Problem::new(Code::BadRequest, "a write takes either If-Match or If-None-Match")),
        }
    }

    /// Returns the condition that the document has this version.
    pub(crate) fn version(version: &str) -> Self {
        Self::Versions(strong(&format!("\"{version}\"")).into_iter().collect())
    }

    /// Returns whether the document must be read to choose one of several versions.
    pub(super) fn are_several(&self) -> bool {
        matches!(self, Self::Versions(versions) if versions.len() > 1)
    }

    /// Returns the condition for the service, if there is one.
    pub(super) fn one(&self) -> Option<String> {
        self.with("")
    }

    /// Returns the condition for the service, for a document with this version: of several versions the matching one.
    pub(super) fn with(&self, version: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Absent => Some("absent".to_owned()),
            Self::Exists => Some("exists".to_owned()),
            Self::Versions(versions) => {
                let held = versions.iter().find(|one| *one == version).or_else(|| versions.first());
                Some(held.map_or_else(|| NO_VERSION.to_owned(), Clone::clone))
            }
        }
    }

    /// Returns the problem of a write to a missing document. If the condition requires the document, that condition has
    /// failed.
    pub(crate) fn failed(&self, problem: Problem) -> Problem {
        let demands = matches!(self, Self::Exists | Self::Versions(_));
        if demands && problem.is_missing_document() { problem.with_code(Code::VersionMismatch) } else { problem }
    }
}

/// Returns whether a reading client has this version already.
pub(super) fn is_known(headers: &HeaderMap, version: &str) -> bool {
    let tags = tags(headers, &header::IF_NONE_MATCH).unwrap_or_default();
    tags.iter().any(|tag| tag == "*" || strong(tag.strip_prefix("W/").unwrap_or(tag)).is_some_and(|tag| tag == version))
}

/// Returns the entity tags of a header, as written; `None` if the request has no such header.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let texts = values.map(|value| value.to_str().unwrap_or_default());
    Some(texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).collect())
}

/// Returns the version of a strong entity tag; a weak tag names none.
fn strong(tag: &str) -> Option<String> {
    let version = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_one = version.len() == DIGITS && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| version.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn conditions_of_a_write() {
        let (one, two) = ("a".repeat(32), "b".repeat(32));
        let read = |pairs: &[(HeaderName, &str)]| Conditions::read(&headers(pairs)).map_err(|problem| problem.code());
        assert_eq!(read(&[]), Ok(Conditions::None));
        assert_eq!(read(&[(header::IF_MATCH, "*")]), Ok(Conditions::Exists));
        assert_eq!(read(&[(header::IF_NONE_MATCH, "*")]), Ok(Conditions::Absent));
        assert_eq!(read(&[(header::IF_NONE_MATCH, "\"x\"")]), Err(Code::BadRequest));
        assert_eq!(read(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]), Err(Code::BadRequest));
        let both = format!("\"{one}\", W/\"{two}\", \"{two}\"");
        let found = read(&[(header::IF_MATCH, &both)]).expect("versions");
        assert!(found.are_several());
        assert_eq!(found.with(&two), Some(two));
        assert_eq!(found.with("other"), Some(one));
        // A foreign version equals the version of nothing.
        let foreign = read(&[(header::IF_MATCH, "\"1\"")]).expect("versions");
        assert_eq!((foreign.are_several(), foreign.one()), (false, Some(NO_VERSION.to_owned())));
    }

    #[test]
    fn a_reader_may_know_a_version_weakly() {
        let version = "a".repeat(32);
        for (tags, known) in [
            (format!("\"{version}\""), true),
            (format!("\"x\", W/\"{version}\""), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
        ] {
            assert_eq!(is_known(&headers(&[(header::IF_NONE_MATCH, &tags)]), &version), known, "{tags}");
        }
    }
}
