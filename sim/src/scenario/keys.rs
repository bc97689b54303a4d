//! Keys of each table of a scenario, from its JSON Schema, and suggestions for a wrong key.

use super::schema::schema;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use strsim::levenshtein;

/// The schema, made once: errors look it up for every table.
static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// The keys of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// Required keys.
    pub(super) needed: BTreeSet<String>,
    /// Optional keys.
    pub(super) optional: BTreeSet<String>,
}

impl Keys {
    /// Returns the keys of the top of a file.
    pub(super) fn head() -> Self {
        Self::of(&SCHEMA)
    }

    /// Returns the keys of a table that is defined once, such as `Topology`.
    pub(super) fn defined(name: &str) -> Self {
        Self::of(&SCHEMA["$defs"][name])
    }

    /// Returns the keys of a `[[workload]]` or a `[[fault]]` of some kind, except `kind`; `None` if there is no
    /// such kind.
    ///
    /// `of` is `Workload` or `Fault`. A fault gives its time in one of three ways, none of which is required by
    /// itself.
    pub(super) fn of_kind(of: &str, kind: &str) -> Option<Self> {
        let found = kinds(of).find(|(name, _)| *name == kind);
        found.map(|(_, schema)| {
            let mut keys = Self::of(schema);
            keys.needed.remove("kind");
            keys
        })
    }

    /// Returns the names of all kinds.
    pub(super) fn kinds(of: &str) -> Vec<&'static str> {
        kinds(of).map(|(name, _)| name).collect()
    }

    fn of(schema: &Value) -> Self {
        let needed: BTreeSet<String> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let all = schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys());
        let optional = all.filter(|key| !needed.contains(*key) && *key != "kind").cloned().collect();
        Self { needed, optional }
    }

    /// Returns whether a key is one of them.
    pub(super) fn has(&self, key: &str) -> bool {
        self.needed.contains(key) || self.optional.contains(key)
    }

    /// Returns the key that was most likely intended.
    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        nearest(key, self.needed.iter().chain(&self.optional).map(String::as_str))
    }

    /// Returns a description of the keys of `table`.
    pub(super) fn help(&self, table: &str) -> String {
        let list = |keys: &BTreeSet<String>| listed(keys.iter().map(String::as_str));
        match (self.needed.is_empty(), self.optional.is_empty()) {
            (false, false) => format!("{table} needs {}; it may have {}", list(&self.needed), list(&self.optional)),
            (false, true) => format!("{table} needs {}", list(&self.needed)),
            (true, _) => format!("{table} may have {}", list(&self.optional)),
        }
    }
}

fn kinds(of: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    let kinds = SCHEMA["$defs"][of]["oneOf"].as_array().into_iter().flatten();
    kinds.filter_map(|schema| Some((schema["properties"]["kind"]["const"].as_str()?, schema)))
}

/// Formats names as errors list them.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns the name that was most likely intended: one with the same beginning, or else one that differs by a few
/// letters.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let begins = |one: &str| name.len() > 2 && one.len() > 2 && (one.starts_with(name) || name.starts_with(one));
    let ranked = known.into_iter().map(|one| (!begins(one), levenshtein(name, one), one));
    ranked.filter(|(apart, distance, _)| !apart || *distance <= 1 + name.len() / 4).min().map(|(_, _, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let keys = ["at", "peers", "rate_hz", "until"];
        assert_eq!(nearest("rate", keys), Some("rate_hz"));
        assert_eq!(nearest("piers", keys), Some("peers"));
        assert_eq!(nearest("peer", keys), Some("peers"));
        assert_eq!(nearest("nonsense", keys), None);
    }

    #[test]
    fn keys_come_from_the_schema() {
        let keys = Keys::of_kind("Fault", "flap").unwrap();
        assert_eq!(keys.needed.iter().collect::<Vec<_>>(), ["between", "every", "times"]);
        assert_eq!(keys.optional.iter().collect::<Vec<_>>(), ["after", "at", "at_every_event"]);
        assert_eq!(Keys::of_kind("Fault", "flip"), None);
        assert_eq!(Keys::defined("Topology").needed.iter().collect::<Vec<_>>(), ["peers"]);
        assert_eq!(Keys::head().needed.iter().collect::<Vec<_>>(), ["about", "name", "topology"]);
        assert!(Keys::head().has("fault") && Keys::head().has("workload"));
        assert!(Keys::kinds("Workload").contains(&"text-edits"));
    }
}
