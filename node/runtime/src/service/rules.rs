//! Commands about the rules of collections, and their replies.

use super::names::SpaceRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sets the rules of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesSet {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name; the collection is created if it does not exist.
    pub collection: String,
    /// A selector for each of `list`, `view`, `create`, `update`, `delete` (`spec/rules.md`); null removes all rules.
    pub rules: Value,
}

/// Tests an account's permissions on a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesTest {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection.
    pub collection: String,
    /// The account.
    pub account: String,
    /// The document's key.
    #[serde(default)]
    pub key: Option<String>,
    /// The document's value, instead of a key; the document need not exist.
    #[serde(default)]
    pub value: Option<Value>,
    /// Rules to test; none means the rules of the collection.
    #[serde(default)]
    pub rules: Option<Value>,
}

/// The rules of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The collection.
    pub collection: String,
    /// The rules; null if there are none.
    pub rules: Value,
}

/// An account's permission for one deed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The deed: `list`, `view`, `create`, `update` or `delete`.
    pub deed: String,
    /// True if the deed is allowed.
    pub allowed: bool,
    /// The reason: `role`, `locked`, `rule`, or `free` if rules do not apply to the account.
    pub why: String,
}
