//! Commands about the rules of collections, and their answers.

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
    /// The collection; made if it is new.
    pub collection: String,
    /// A selector for each of `list`, `view`, `create`, `update`, `delete` (`spec/rules.md`); null takes all rules away.
    pub rules: Value,
}

/// Asks what an account may do with a document.
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
    /// The key of the document.
    #[serde(default)]
    pub key: Option<String>,
    /// Or its value, there or not.
    #[serde(default)]
    pub value: Option<Value>,
    /// Rules to try; none means those that the collection has.
    #[serde(default)]
    pub rules: Option<Value>,
}

/// The rules of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The collection.
    pub collection: String,
    /// The rules; null where there are none.
    pub rules: Value,
}

/// What an account may do with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `list`, `view`, `create`, `update` or `delete`.
    pub deed: String,
    /// Whether it may.
    pub allowed: bool,
    /// Why: `role`, `locked`, `rule`, or `free` where rules do not bind the account.
    pub why: String,
}
