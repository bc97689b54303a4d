//! Commands about tokens of the HTTP API, and their replies.

use super::names::Secret;
use serde::{Deserialize, Serialize};

/// The kind of commands that a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Commands that change nothing.
    Read,
    /// All commands, also those that change the store.
    Write,
}

/// Creates a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// The token's name, for display; unique on this device.
    pub name: String,
    /// The kind of commands that the token allows.
    pub scope: Scope,
    /// Lifetime of the token, in milliseconds; none means until it is revoked.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// The token's account; none means an owner.
    #[serde(default)]
    pub account: Option<String>,
    /// The parts of the node that the token may use; empty means everything.
    #[serde(default)]
    pub only: Vec<Only>,
}

/// A part of a node that a token may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// The space; none means every space.
    #[serde(default)]
    pub space: Option<String>,
    /// The collection; none means every collection.
    #[serde(default)]
    pub collection: Option<String>,
    /// The kind of commands that the token allows there.
    pub scope: Scope,
}

/// A token; its secret is not included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token's name.
    pub name: String,
    /// The kind of commands that the token allows.
    pub scope: Scope,
    /// The time at which the token was created, in Unix milliseconds.
    pub created_at: u64,
    /// The time at which the token expires, in Unix milliseconds; none means never.
    pub expires_at: Option<u64>,
    /// The token's account; none means an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The parts of the node that the token may use; empty means everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Only>,
    /// True if the token was created by logging in.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub session: bool,
    /// The issuer of the token, if it is not this node. This node does not store such tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl TokenCreate {
    /// Requests a token for an owner, without an expiry.
    pub fn new(name: impl Into<String>, scope: Scope) -> Self {
        Self { name: name.into(), scope, expires_ms: None, account: None, only: Vec::new() }
    }
}

impl Token {
    /// Returns a token for an owner, without an expiry.
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

    /// Returns whether the token has expired.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|end| end <= now_ms)
    }
}

/// A new token. Its secret is shown only now, because the node stores only a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// The secret that a client sends.
    pub token: Secret,
    /// The token's other properties.
    #[serde(flatten)]
    pub about: Token,
}
