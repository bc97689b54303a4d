//! Checks the text paths that a person types: a path that leads nowhere is a typo.

use cosmicsync_node::service::ServiceError;
use serde_json::Value;

use crate::run::usage;

/// Fails unless a path leads to a string, or to a list without items.
pub(crate) fn check(value: &Value, path: &str) -> Result<(), ServiceError> {
    let steps: Vec<&str> = path.split('.').collect();
    match leads_to(value, &steps) {
        Some(true) => Ok(()),
        Some(false) => Err(usage(format!("the value at the text path '{path}' is not a string"))),
        None => Err(usage(format!("the text path '{path}' is not in the document"))),
    }
}

/// Returns whether a path leads to a string; `None` if it leads nowhere.
fn leads_to(value: &Value, steps: &[&str]) -> Option<bool> {
    match (steps, value) {
        ([], value) => Some(value.is_string() || value.get("$text").is_some_and(Value::is_string)),
        (["*", ..], Value::Array(items)) if items.is_empty() => Some(true),
        (["*", rest @ ..], Value::Array(items)) => items.iter().filter_map(|item| leads_to(item, rest)).max(),
        ([key, rest @ ..], Value::Object(members)) => leads_to(members.get(*key)?, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_has_to_lead_to_a_string_or_to_items_still_to_come() {
        let value = json!({ "a": "x", "n": 1, "none": [], "list": [1, { "b": "x" }], "t": { "$text": "x" } });
        for path in ["a", "none.*", "none.*.b", "list.*.b", "t"] {
            assert!(check(&value, path).is_ok(), "{path}");
        }
        for (path, why) in
            [("b", "is not in"), ("list.b", "is not in"), ("list.*.c", "is not in"), ("n", "not a string")]
        {
            assert!(check(&value, path).is_err_and(|error| error.message.contains(why)), "{path}");
        }
    }
}
