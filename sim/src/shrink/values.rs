//! Makes times and numbers rounder and smaller.
//!
//! A plan is plain data, so its numbers are found in its JSON form, for any kind of action: those of actions and
//! links, except numbers that name something (peers, links, documents, ids).

use super::Search;
use crate::plan::Plan;
use serde_json::Value;

/// Members that name things: another number would name another thing. The buffer is one too: through a buffer of a
/// few bytes no handshake completes in time.
const NAMES: [&str; 15] = [
    "id", "peer", "doc", "docs", "place", "index", "link", "sides", "field", "from", "to", "clone-of", "flip", "now",
    "buffer",
];

/// Round times, in microseconds, the coarsest first.
const ROUND_US: [u64; 5] = [10_000_000, 1_000_000, 100_000, 10_000, 1_000];

impl Search<'_> {
    /// Tries smaller and rounder values for every number, and `false` for every `true`.
    pub(super) fn values(&mut self) {
        let Ok(tree) = serde_json::to_value(&self.best.plan) else { return };
        let mut found = Vec::new();
        for part in ["actions", "links"] {
            leaves(&tree[part], &format!("/{part}"), &mut found);
        }
        for pointer in found {
            // Each accepted value may allow a smaller one.
            while self.smaller(&pointer) {}
        }
    }

    fn smaller(&mut self, pointer: &str) -> bool {
        let Ok(tree) = serde_json::to_value(&self.best.plan) else { return false };
        let Some(value) = tree.pointer(pointer) else { return false };
        simpler(pointer, value).into_iter().any(|candidate| {
            let mut tree = tree.clone();
            if let Some(value) = tree.pointer_mut(pointer) {
                *value = candidate;
            }
            serde_json::from_value::<Plan>(tree).is_ok_and(|plan| self.try_plan(plan))
        })
    }
}

/// Collects pointers to every number and `true` that does not name something.
fn leaves(tree: &Value, at: &str, found: &mut Vec<String>) {
    match tree {
        Value::Number(_) | Value::Bool(true) => found.push(at.to_owned()),
        Value::Array(parts) => {
            for (number, part) in parts.iter().enumerate() {
                leaves(part, &format!("{at}/{number}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())) {
                leaves(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Null | Value::Bool(false) | Value::String(_) => {}
    }
}

/// Returns simpler values, the simplest first. Each is smaller, or as small and rounder, so the search ends.
fn simpler(pointer: &str, value: &Value) -> Vec<Value> {
    let number = match value {
        Value::Bool(true) => return vec![Value::Bool(false)],
        Value::Number(number) => number,
        Value::Null | Value::Bool(false) | Value::String(_) | Value::Array(_) | Value::Object(_) => return Vec::new(),
    };
    let Some(number) = number.as_u64() else {
        // For a negative skew or value: zero, or half of it.
        let number = number.as_i64().unwrap_or(0);
        return [0, number / 2].into_iter().filter(|smaller| *smaller != number).map(Value::from).collect();
    };
    let time = pointer.ends_with("us");
    let mut candidates = vec![0, 1];
    if time {
        candidates.extend(ROUND_US.map(|unit| number / unit * unit).into_iter().filter(|round| *round > 1));
    }
    candidates.push(number / 2);
    // Halving of a round time ends at a millisecond: smaller times do not matter.
    let floor = if time { 1_000 } else { 0 };
    candidates.retain(|smaller| *smaller < number && (number > floor || *smaller == 0));
    candidates.dedup();
    candidates.into_iter().map(Value::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_nothing_is_changed() {
        let mut found = Vec::new();
        let tree = serde_json::json!([
            { "id": 3, "when": { "at-us": 5 }, "act": { "kind": "both", "peer": 1, "docs": [1, 2], "urgent": true } }
        ]);
        leaves(&tree, "/actions", &mut found);
        assert_eq!(found, ["/actions/0/act/urgent", "/actions/0/when/at-us"]);
    }

    #[test]
    fn times_become_round_and_numbers_small() {
        let all = |pointer: &str, value: u64| {
            let found = simpler(pointer, &Value::from(value));
            found.iter().filter_map(Value::as_u64).collect::<Vec<_>>()
        };
        assert_eq!(all("/at-us", 1_234_567), [0, 1, 1_000_000, 1_200_000, 1_230_000, 1_234_000, 617_283]);
        assert_eq!(all("/keep", 3), [0, 1]);
        assert_eq!(all("/bytes", 0), [] as [u64; 0]);
        assert_eq!(all("/for_us", 1_000), [0]);
    }
}
