//! Bodies about accounts, tokens, rules and the audit log.

use cosmicsync_node::service::{self, Login, NewToken, Only, Rules, Scope, Secret, Token, Verdict, Who};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::objects;

/// The role of an account.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// May do everything.
    Owner,
    /// May do everything except manage owners and make backups.
    Admin,
    /// May read and write documents, as far as the rules of their collections allow.
    Editor,
    /// May read documents, as far as the rules of their collections allow.
    Viewer,
    /// May read the node's status, log, accounts and audit log, but no documents.
    Auditor,
}

impl From<Role> for service::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Editor => Self::Editor,
            Role::Viewer => Self::Viewer,
            Role::Auditor => Self::Auditor,
        }
    }
}

impl From<service::Role> for Role {
    fn from(role: service::Role) -> Self {
        match role {
            service::Role::Owner => Self::Owner,
            service::Role::Admin => Self::Admin,
            service::Role::Editor => Self::Editor,
            service::Role::Viewer => Self::Viewer,
            service::Role::Auditor => Self::Auditor,
        }
    }
}

/// A login by an account and its password, or by the secret of a login link.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "a login needs an account and its password, or a link")]
pub(crate) enum LoginBody {
    /// A login by an account and its password.
    Password(PasswordLogin),
    /// A login by the secret of a link.
    Link(LinkLogin),
}

/// A login by an account and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordLogin {
    /// The account's name.
    pub(crate) account: String,
    /// The account's password.
    pub(crate) password: String,
}

/// A login by the secret of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkLogin {
    /// The secret of a link that `cosmicsync login` printed. The link logs an owner in, once.
    pub(crate) link: String,
}

impl From<LoginBody> for Login {
    fn from(body: LoginBody) -> Self {
        match body {
            LoginBody::Password(PasswordLogin { account, password }) => {
                Self { account: Some(account), password: Some(Secret(password)), link: None }
            }
            LoginBody::Link(LinkLogin { link }) => Self { account: None, password: None, link: Some(Secret(link)) },
        }
    }
}

/// A new session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView {
    /// The session's token, for the header `Authorization: Bearer TOKEN` of later requests.
    token: String,
    /// The account; missing if a link logged an owner in.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The role of the account.
    role: Role,
    /// The time at which the session ends, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

impl SessionView {
    pub(crate) fn new(made: NewToken, role: service::Role) -> Self {
        let NewToken { token, about } = made;
        Self { token: token.0, account: about.account, role: role.into(), expires_at: about.expires_at }
    }
}

/// The sender of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The account; missing for an owner's token without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The role of the account.
    role: Role,
    /// The token of the request.
    token: TokenView,
}

impl From<Who> for Me {
    fn from(who: Who) -> Self {
        let Who { token, role } = who;
        Self { account: token.account.clone(), role: role.into(), token: token.into() }
    }
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    /// The account's name: 1 to 64 letters, digits, `.`, `_`, `-` or `@`, but not `operator`.
    #[schema(min_length = 1, max_length = 64, pattern = "^(?!operator$)[A-Za-z0-9._@-]+$")]
    pub(crate) name: String,
    /// The account's role.
    pub(crate) role: Role,
    /// The account's password, at least 8 characters. Without one, the account can be used only through tokens.
    #[schema(min_length = 8, max_length = 256)]
    pub(crate) password: Option<String>,
}

/// Changes to an account. Members that are not given stay unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChangeBody {
    /// The new role.
    pub(crate) role: Option<Role>,
    /// The new password. The account's sessions end.
    #[schema(min_length = 8, max_length = 256)]
    pub(crate) password: Option<String>,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountView {
    /// The account's name.
    name: String,
    /// The account's role.
    role: Role,
    /// The time at which the account was created, in Unix milliseconds.
    created_at: u64,
    /// True if the account has a password for logging in.
    password: bool,
}

impl From<service::Account> for AccountView {
    fn from(account: service::Account) -> Self {
        let service::Account { name, role, created_at, password } = account;
        Self { name, role: role.into(), created_at, password }
    }
}

/// The accounts of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accounts {
    /// The accounts, ordered by name.
    pub(crate) accounts: Vec<AccountView>,
}

/// A part of the node that a token may use.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = Only)]
pub(crate) struct OnlyView {
    /// The space, by its name or id; missing for every space.
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    /// The collection; missing for every collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    /// True if the token may only read there.
    #[serde(default)]
    read_only: bool,
}

impl From<OnlyView> for Only {
    fn from(view: OnlyView) -> Self {
        let OnlyView { space, collection, read_only } = view;
        Self { space, collection, scope: if read_only { Scope::Read } else { Scope::Write } }
    }
}

impl From<Only> for OnlyView {
    fn from(only: Only) -> Self {
        let Only { space, collection, scope } = only;
        Self { space, collection, read_only: scope == Scope::Read }
    }
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewTokenBody {
    /// The token's name: 1 to 64 printable characters, unique on this device.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]+$")]
    pub(crate) name: String,
    /// True if the token must not change anything.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// Lifetime of the token, in milliseconds; without it, the token lasts until it is revoked.
    pub(crate) expires_ms: Option<u64>,
    /// The account that the token acts for; without it, the token acts for an owner.
    pub(crate) account: Option<String>,
    /// The parts of the node that the token may use; an empty list allows everything.
    #[serde(default, deserialize_with = "objects")]
    pub(crate) only: Vec<OnlyView>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenView {
    /// The token's name.
    name: String,
    /// True if the token cannot change anything.
    read_only: bool,
    /// The time at which the token was created, in Unix milliseconds.
    created_at: u64,
    /// The time at which the token expires, in Unix milliseconds; missing if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    /// The account that the token acts for; missing for an owner's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The parts of the node that the token may use; an empty list means everything.
    only: Vec<OnlyView>,
    /// True if the token was created by logging in.
    session: bool,
    /// The issuer of the token, if it is not this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        let Token { name, scope, created_at, expires_at, account, only, session, issuer } = token;
        let only = only.into_iter().map(Into::into).collect();
        Self { name, read_only: scope == Scope::Read, created_at, expires_at, account, only, session, issuer }
    }
}

/// A new token.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// The secret that a client sends. The secret is shown only in this answer.
    secret: String,
    /// The token's properties.
    token: TokenView,
}

impl From<NewToken> for TokenMade {
    fn from(made: NewToken) -> Self {
        let NewToken { token, about } = made;
        Self { secret: token.0, token: about.into() }
    }
}

/// The tokens of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// The tokens, ordered by name.
    pub(crate) tokens: Vec<TokenView>,
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audited {
    /// The number of the entry; each is one more than the entry before.
    number: u64,
    /// The time, in Unix milliseconds.
    at: u64,
    /// The account or token that made the request; `operator` is the command line.
    who: String,
    /// The action, such as `login`, `denied`, `account_create` or `rules_set`.
    what: String,
    /// The object of the action, such as the name of an account.
    about: String,
    /// True if the action was carried out.
    done: bool,
}

impl From<service::Audited> for Audited {
    fn from(row: service::Audited) -> Self {
        let service::Audited { number, at, who, what, about, done } = row;
        Self { number, at, who, what, about, done }
    }
}

/// Entries of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    /// The entries, newest first.
    pub(crate) rows: Vec<Audited>,
}

/// The rules of a collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rules)]
pub(crate) struct RulesView {
    /// A selector for each of `list`, `view`, `create`, `update` and `delete`; null if the collection has no rules.
    #[schema(value_type = Option<Object>)]
    rules: Value,
}

impl From<Rules> for RulesView {
    fn from(rules: Rules) -> Self {
        Self { rules: rules.rules }
    }
}

/// An account and a document, to test the rules with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesTestBody {
    /// The account's name.
    pub(crate) account: String,
    /// The key of an existing document.
    pub(crate) key: Option<String>,
    /// The value of a document, instead of a key. Without both, the test uses a document without members.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub(crate) value: Option<Value>,
    /// Rules to test; without them, the test uses the rules of the collection.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub(crate) rules: Option<Value>,
}

/// The result of a rule test for one operation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(crate) struct VerdictView {
    /// The operation: `list`, `view`, `create`, `update` or `delete`.
    deed: String,
    /// True if the account may carry out the operation.
    allowed: bool,
    /// The reason: `role`, `locked` (no rule), `rule`, or `free` if rules do not apply to the account.
    why: String,
}

impl From<Verdict> for VerdictView {
    fn from(verdict: Verdict) -> Self {
        let Verdict { deed, allowed, why } = verdict;
        Self { deed, allowed, why }
    }
}

/// The result of a rule test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdicts {
    /// The result for each operation.
    pub(crate) verdicts: Vec<VerdictView>,
}
