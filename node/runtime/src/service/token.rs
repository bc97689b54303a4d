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
