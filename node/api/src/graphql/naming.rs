//! Converts names to GraphQL names: letters, digits and underscores, all different.

use std::collections::BTreeSet;

/// Returns the field name for a name. Other characters become underscores, and a leading digit gets an underscore
/// before it. Two leading underscores are reserved for GraphQL, so they become one. A name without letters and digits
/// becomes `x`.
pub(super) fn field_name(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let rest = plain.trim_start_matches('_');
    if rest.is_empty() {
        return "x".to_owned();
    }
    let marked = rest.len() < plain.len() || rest.starts_with(|c: char| c.is_ascii_digit());
    if marked { format!("_{rest}") } else { plain }
}

/// Returns the type name for a field name: `zip_codes` becomes `ZipCodes`.
pub(super) fn type_name(field: &str) -> String {
    let words = field.split('_').filter(|word| !word.is_empty());
    let name: String = words
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("_{name}") }
}

/// Names in use.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Returns the set with reserved names.
    pub(super) fn new(taken: &[&str]) -> Self {
        Self(taken.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Takes a name; if it is in use, the first free one with `_2`, `_3` and so on.
    pub(super) fn take(&mut self, name: &str) -> String {
        self.take_all(name, &[""])
    }

    /// Takes a name like [`take`](Self::take), together with the names that append each of `ends`.
    pub(super) fn take_all(&mut self, name: &str, ends: &[&str]) -> String {
        let all = |name: &str| ends.iter().map(|end| format!("{name}{end}")).collect::<Vec<_>>();
        let mut names = endings().map(|ending| format!("{name}{ending}"));
        let free = names.find(|name| self.are_free(&all(name))).unwrap_or_default();
        self.insert(all(&free));
        free
    }

    /// Returns whether all names are free.
    pub(super) fn are_free(&self, names: &[String]) -> bool {
        !names.iter().any(|name| self.0.contains(name))
    }

    /// Adds names.
    pub(super) fn insert(&mut self, names: Vec<String>) {
        self.0.extend(names);
    }
}

/// Returns the suffixes to try: none, `_2`, `_3` and so on.
pub(super) fn endings() -> impl Iterator<Item = String> {
    core::iter::once(String::new()).chain((2u32..).map(|number| format!("_{number}")))
}

/// Sorts names into the order in which GraphQL names are assigned. Names that stay the same come first, so that no
/// other name takes theirs.
pub(super) fn in_order(names: &mut [String]) {
    names.sort_by(|a, b| (field_name(a) != *a, a).cmp(&(field_name(b) != *b, b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_letters_digits_and_underscores() {
        for (name, field, ty) in [
            ("zip_codes", "zip_codes", "ZipCodes"),
            ("ZipCodes", "ZipCodes", "ZipCodes"),
            ("zip-codes", "zip_codes", "ZipCodes"),
            ("2020", "_2020", "_2020"),
            ("__schema", "_schema", "Schema"),
            ("städte", "st_dte", "StDte"),
            ("日本", "x", "X"),
            ("_id", "_id", "Id"),
            ("", "x", "X"),
        ] {
            assert_eq!((field_name(name).as_str(), type_name(&field_name(name)).as_str()), (field, ty), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let mut names = Names::new(&["_id"]);
        assert_eq!(names.take("_id"), "_id_2");
        assert_eq!(["a", "a", "a"].map(|name| names.take(name)), ["a", "a_2", "a_3"]);
        let mut order = ["a-b", "a_b", "A"].map(str::to_owned);
        in_order(&mut order);
        assert_eq!(order, ["A", "a_b", "a-b"]);
    }
}
