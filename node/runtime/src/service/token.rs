//! Commands about tokens of the HTTP door, and their answers.

use super::names::Secret;
use serde::{Deserialize, Serialize};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Commands that change nothing.
    Read,
    /// Those that change what the store holds, too.
    Write,
}

/// Makes a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// Its name, for people; unique on this device.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// How long it may be used, in milliseconds; none means until it is revoked.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// The account that it is for; none means an owner.
    #[serde(default)]
    pub account: Option<String>,
    /// What it reaches; nothing means everything.
    #[serde(default)]
    pub only: Vec<Only>,
}

/// A part of a node that a token reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// The space; none means every one.
    #[serde(default)]
    pub space: Option<String>,
    /// The collection; none means every one.
    #[serde(default)]
    pub collection: Option<String>,
    /// What may be done there.
    pub scope: Scope,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made.
    pub created_at: u64,
    /// When it ends.
    pub expires_at: Option<u64>,
    /// The account that it is for; none means an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What it reaches; nothing means everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Only>,
    /// Whether it was made by logging in.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub session: bool,
    /// Who made it, if not this node: it keeps none of another issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl TokenCreate {
    /// A token for an owner, without an end.
    pub fn new(name: impl Into<String>, scope: Scope) -> Self {
        Self { name: name.into(), scope, expires_ms: None, account: None, only: Vec::new() }
    }
}

impl Token {
    /// A token for an owner, without an end.
    pub const fn new(name: String, scope: Scope, created_at: u64) -> Self {
        Self {
            name,
            scope,
            created_at,
            expires_at: None,
            account: None,
            only: Vec::new(),
            session: false,
            issuer: None,
        }
    }

    /// Whether its time is over.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|end| end <= now_ms)
    }
}

/// A token that was just made. Its secret is shown now and never again: the node keeps only a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// What a client sends.
    pub token: Secret,
    /// All else.
    #[serde(flatten)]
    pub about: Token,
}
