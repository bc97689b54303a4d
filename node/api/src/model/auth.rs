//! Accounts, tokens, rules and the audit log.

use cosmicsync_node::service::{self, Login, NewToken, Only, Rules, Scope, Secret, Token, Verdict, Who};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::objects;

/// What an account may do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Everything.
    Owner,
    /// Everything but what concerns owners.
    Admin,
    /// Reads and writes documents, where rules let it.
    Editor,
    /// Reads documents, where rules let it.
    Viewer,
    /// Reads how the node is, its accounts and its audit log, and no document.
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

/// An account and its password, or a link's secret.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "to log in takes an account and its password, or a link")]
pub(crate) enum LoginBody {
    /// An account.
    Password(PasswordLogin),
    /// A link.
    Link(LinkLogin),
}

/// An account and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordLogin {
    /// The account.
    pub(crate) account: String,
    /// Its password.
    pub(crate) password: String,
}

/// A link's secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkLogin {
    /// The secret of a link that `cosmicsync login` printed: it lets an owner in, once.
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

/// A session that has begun.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView {
    /// What later requests bear.
    token: String,
    /// The account; none where a link let an owner in.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// What it may do.
    role: Role,
    /// When it ends, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

impl SessionView {
    pub(crate) fn new(made: NewToken, role: service::Role) -> Self {
        let NewToken { token, about } = made;
        Self { token: token.0, account: about.account, role: role.into(), expires_at: about.expires_at }
    }
}

/// Who sends a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The account; none where the token is for an owner without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// What it may do.
    role: Role,
    /// The token.
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
    /// 1 to 64 letters, digits, `.`, `_`, `-` or `@`, and not `operator`.
    #[schema(min_length = 1, max_length = 64, pattern = "^(?!operator$)[A-Za-z0-9._@-]+$")]
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
    /// At least 8 characters; without one only tokens are made for it.
    #[schema(min_length = 8, max_length = 256)]
    pub(crate) password: Option<String>,
}

/// What changes of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChangeBody {
    /// What it may do from now on.
    pub(crate) role: Option<Role>,
    /// What it logs in with from now on.
    #[schema(min_length = 8, max_length = 256)]
    pub(crate) password: Option<String>,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountView {
    /// Its name.
    name: String,
    /// What it may do.
    role: Role,
    /// When it was made, in Unix milliseconds.
    created_at: u64,
    /// Whether it has a password to log in with.
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
    /// By name.
    pub(crate) accounts: Vec<AccountView>,
}

/// A part of a node that a token reaches.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = Only)]
pub(crate) struct OnlyView {
    /// The space; none means every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    /// The collection; none means every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    /// Whether documents there can only be read.
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
    /// 1 to 64 bytes without control characters, unique on this device.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]+$")]
    pub(crate) name: String,
    /// Whether it changes nothing.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// How long it may be used, in milliseconds; none means until it is revoked.
    pub(crate) expires_ms: Option<u64>,
    /// The account that it is for; none means an owner.
    pub(crate) account: Option<String>,
    /// What it reaches; nothing means everything.
    #[serde(default, deserialize_with = "objects")]
    pub(crate) only: Vec<OnlyView>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenView {
    /// Its name.
    name: String,
    /// Whether it changes nothing.
    read_only: bool,
    /// When it was made, in Unix milliseconds.
    created_at: u64,
    /// When it ends, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    /// The account that it is for; none means an owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// What it reaches; nothing means everything.
    only: Vec<OnlyView>,
    /// Whether it was made by logging in.
    session: bool,
    /// Who made it, if not this node.
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

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// What a client sends: shown now and never again.
    secret: String,
    /// The token.
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
    /// By name.
    pub(crate) tokens: Vec<TokenView>,
}

/// Something that concerned who may do what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audited {
    /// Its number; each is one more than the one before.
    number: u64,
    /// When, in Unix milliseconds.
    at: u64,
    /// The account or token that asked; `operator` is the command line.
    who: String,
    /// What was asked for.
    what: String,
    /// What it was about.
    about: String,
    /// Whether it was done.
    done: bool,
}

impl From<service::Audited> for Audited {
    fn from(row: service::Audited) -> Self {
        let service::Audited { number, at, who, what, about, done } = row;
        Self { number, at, who, what, about, done }
    }
}

/// Rows of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    /// Newest first.
    pub(crate) rows: Vec<Audited>,
}

/// The rules of a collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rules)]
pub(crate) struct RulesView {
    /// A selector for each of `list`, `view`, `create`, `update` and `delete`; null where the collection has no rules.
    #[schema(value_type = Option<Object>)]
    rules: Value,
}

impl From<Rules> for RulesView {
    fn from(rules: Rules) -> Self {
        Self { rules: rules.rules }
    }
}

/// Whom to ask the rules about, and which document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesTestBody {
    /// The account.
    pub(crate) account: String,
    /// The key of a document that is there.
    pub(crate) key: Option<String>,
    /// Or a value; none means a document without members.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub(crate) value: Option<Value>,
    /// Rules to try; none means those that the collection has.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub(crate) rules: Option<Value>,
}

/// What an account may do with a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(crate) struct VerdictView {
    /// `list`, `view`, `create`, `update` or `delete`.
    deed: String,
    /// Whether it may.
    allowed: bool,
    /// Why: `role`, `locked`, `rule`, or `free` where rules do not bind the account.
    why: String,
}

impl From<Verdict> for VerdictView {
    fn from(verdict: Verdict) -> Self {
        let Verdict { deed, allowed, why } = verdict;
        Self { deed, allowed, why }
    }
}

/// What an account may do with a document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdicts {
    /// One for each deed.
    pub(crate) verdicts: Vec<VerdictView>,
}
