//! Places in a document, and the paths of texts that merge character by character (`spec/documents.md`, section 3).

use core::fmt;
use std::collections::BTreeSet;

/// One step from a container to its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into the entry of a map.
    Key(String),
    /// Into the item of a list.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// One step of a declared text path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextStep {
    /// Into the entry of a map.
    Key(String),
    /// Into every item of a list.
    Each,
}

/// The paths whose strings become texts that merge character by character.
///
/// Written with dots: `body` is the entry of the document, `chapters.*.body` that entry in each item of a list.
/// Every other string is a plain one: of two concurrent writes, one wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextPaths {
    paths: BTreeSet<Vec<TextStep>>,
}

impl TextPaths {
    /// Declares no path.
    pub const fn none() -> Self {
        Self { paths: BTreeSet::new() }
    }

    /// Adds the path of one string.
    pub fn insert(&mut self, path: Vec<TextStep>) {
        self.paths.insert(path);
    }

    /// Adds every path of another set.
    pub fn extend(&mut self, other: &Self) {
        self.paths.extend(other.paths.iter().cloned());
    }

    /// Returns whether no path is declared.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns whether the string at `path` is a text.
    pub fn contains(&self, path: &[Step]) -> bool {
        self.paths.iter().any(|declared| {
            declared.len() == path.len()
                && declared.iter().zip(path).all(|(declared, step)| match (declared, step) {
                    (TextStep::Key(a), Step::Key(b)) => a == b,
                    (TextStep::Each, Step::Index(_)) => true,
                    (TextStep::Key(_), Step::Index(_)) | (TextStep::Each, Step::Key(_)) => false,
                })
        })
    }

    /// Returns the paths with dots, sorted. A field whose name contains a dot or is `*` does not survive the
    /// notation.
    pub fn dotted(&self) -> impl Iterator<Item = String> {
        self.paths.iter().map(|path| {
            let names: Vec<&str> = path
                .iter()
                .map(|step| match step {
                    TextStep::Key(key) => key.as_str(),
                    TextStep::Each => "*",
                })
                .collect();
            names.join(".")
        })
    }
}

impl<S: AsRef<str>> FromIterator<S> for TextPaths {
    /// Reads dotted paths.
    fn from_iter<I: IntoIterator<Item = S>>(dotted: I) -> Self {
        let step = |name: &str| if name == "*" { TextStep::Each } else { TextStep::Key(name.to_owned()) };
        Self { paths: dotted.into_iter().map(|path| path.as_ref().split('.').map(step).collect()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_item_and_a_name_is_one_entry() {
        let texts: TextPaths = ["body", "chapters.*.body"].into_iter().collect();
        assert!(texts.contains(&["body".into()]));
        assert!(texts.contains(&["chapters".into(), 3.into(), "body".into()]));
        assert!(!texts.contains(&["chapters".into(), "3".into(), "body".into()]));
        assert!(!texts.contains(&["chapters".into()]));
        assert_eq!(texts.dotted().collect::<Vec<_>>(), ["body", "chapters.*.body"]);
    }
}
