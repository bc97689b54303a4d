//! Commands about accounts, which may log in through the HTTP API, and their roles.
//!
//! Accounts belong to one node: they are rows of its own, sealed at rest and never synced. A password is stored as an
//! Argon2id hash with its parameters. Logging in creates a token that lasts [`SESSION_MS`]; a link logs an owner in
//! once.

use super::Acting;
use super::tokens::{self, TokenHash};
use crate::clock::wall_ms;
use crate::driver::{ACCOUNT_ROWS, Core};
use crate::service::{
    Account, AccountChange, AccountCreate, ErrorCode, Link, Login, Reason, Reply, Role, Scope, Secret, ServiceError,
    Token, quoted,
};
use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use cosmicsync_protocol::storage::{Op, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Lifetime of a session, in milliseconds.
const SESSION_MS: u64 = 12 * 60 * 60 * 1000;
/// Lifetime of a link, in milliseconds.
const LINK_MS: u64 = 15 * 60 * 1000;
/// Largest number of accounts of a node.
const ACCOUNTS_MAX: usize = 1024;
/// Largest number of valid links.
const LINKS_MAX: usize = 16;
/// Least and largest number of characters in a password.
const PASSWORD_CHARS: core::ops::RangeInclusive<usize> = 8..=256;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Largest number of failed logins within [`TRIES_MS`], for one account and for all.
const TRIES_MAX: u32 = 5;
const TRIES_MAX_ALL: u32 = 100;
/// Time for which a failed login is remembered, in milliseconds.
const TRIES_MS: u64 = 60_000;

/// Limits concurrent password hashing, which takes 19 MiB and a core each.
static HASHING: Semaphore = Semaphore::const_new(1);

/// An account in stored form.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    role: Role,
    created_at: u64,
    password: Option<Hashed>,
}

/// A password in stored form.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hashed {
    salt: [u8; 16],
    hash: [u8; 32],
    memory_kib: u32,
    passes: u32,
}

/// The accounts of a node, its links, and recent failed logins.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    all: BTreeMap<String, Stored>,
    /// Hashes of links, each with the time at which it expires.
    links: BTreeMap<TokenHash, u64>,
    /// Failed logins by account: their number, and the time of the first.
    tries: BTreeMap<String, (u32, u64)>,
}

impl Accounts {
    /// Reads a stored row.
    pub(crate) fn read_row(&mut self, key: &[u8], value: &[u8]) {
        let name = key.strip_prefix(ACCOUNT_ROWS).and_then(|name| core::str::from_utf8(name).ok());
        if let (Some(name), Ok(stored)) = (name, serde_json::from_slice(value)) {
            self.all.insert(name.to_owned(), stored);
        }
    }

    /// Returns the role of an account.
    pub(crate) fn role_of(&self, name: &str) -> Option<Role> {
        self.all.get(name).map(|stored| stored.role)
    }

    /// Returns whether too many logins failed recently.
    fn is_tried_out(&mut self, account: &str, now: u64) -> bool {
        self.tries.retain(|_, (_, since)| now < since.saturating_add(TRIES_MS));
        let all: u32 = self.tries.values().map(|(count, _)| count).sum();
        let one = self.tries.get(account).map_or(0, |(count, _)| *count);
        one >= TRIES_MAX || all >= TRIES_MAX_ALL
    }

    fn note_failure(&mut self, account: &str, now: u64) {
        self.tries.entry(account.to_owned()).or_insert((0, now)).0 += 1;
    }
}

impl Hashed {
    fn new(password: &str) -> Result<Self, ServiceError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| no_randomness())?;
        // The parameters that OWASP recommends if 19 MiB are available.
        let mut hashed = Self { salt, hash: [0; 32], memory_kib: 19 * 1024, passes: 2 };
        hashed.hash = hashed.hash_of(password).ok_or_else(|| ServiceError::new(ErrorCode::Internal, "no hash"))?;
        Ok(hashed)
    }

    fn hash_of(&self, password: &str) -> Option<[u8; 32]> {
        let params = Params::new(self.memory_kib, self.passes, 1, Some(32)).ok()?;
        let mut hash = [0; 32];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(password.as_bytes(), &self.salt, &mut hash).ok()?;
        Some(hash)
    }

    fn is_of(&self, password: &str) -> bool {
        // This comparison takes constant time.
        self.hash_of(password).is_some_and(|hash| blake3::Hash::from_bytes(hash) == blake3::Hash::from_bytes(self.hash))
    }
}

impl Acting<'_> {
    pub(super) async fn account_create(&self, create: AccountCreate) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let AccountCreate { name, role, password } = create;
        check_name(&name)?;
        self.check_may_make(role)?;
        let password = match password {
            Some(password) => Some(hashed(password).await?),
            None => None,
        };
        let stored = Stored { role, created_at: wall_ms(), password };
        let (row, made) = (stored.clone(), told(&name, &stored));
        let taken = name.clone();
        let is_new = self.handle()?.with(move |core| {
            if core.accounts.all.contains_key(&taken) {
                return Err(ServiceError::new(
                    ErrorCode::Conflict,
                    format!("the account {} exists already", quoted(&taken)),
                )
                .next(format!("cosmicsync account set {}", quoted(&taken))));
            }
            if core.accounts.all.len() >= ACCOUNTS_MAX {
                return Err(ServiceError::new(
                    ErrorCode::Refused,
                    format!("a node has at most {ACCOUNTS_MAX} accounts"),
                ));
            }
            core.accounts.all.insert(taken, stored);
            Ok(())
        });
        is_new.await??;
        if let Err(error) = self.store_account(&name, Some(&row)).await {
            // The account must be durable before it can be used.
            let of = name.clone();
            self.handle()?.with(move |core| core.accounts.all.remove(&of)).await?;
            return Err(error);
        }
        self.note_audit("account_create", format!("{name} as {}", role.name()), true).await;
        Ok(Reply::Account(made))
    }

    pub(super) async fn account_list(&self) -> Result<Reply, ServiceError> {
        let list = |core: &mut Core| core.accounts.all.iter().map(|(name, stored)| told(name, stored)).collect();
        Ok(Reply::Accounts(self.handle()?.with(list).await?))
    }

    pub(super) async fn account_change(&self, change: AccountChange) -> Result<Reply, ServiceError> {
        let AccountChange { name, role, password } = change;
        self.check_may_touch(&name).await?;
        role.map_or(Ok(()), |role| self.check_may_make(role))?;
        let ends_sessions = password.is_some();
        let password = match password {
            Some(password) => Some(hashed(password).await?),
            None => None,
        };
        let of = name.clone();
        let changed = self.handle()?.with(move |core| {
            let stored = core.accounts.all.get_mut(&of)?;
            stored.role = role.unwrap_or(stored.role);
            stored.password = password.or(stored.password.take());
            Some(stored.clone())
        });
        let stored = changed.await?.ok_or_else(|| no_account(&name))?;
        self.store_account(&name, Some(&stored)).await?;
        if ends_sessions {
            self.end_tokens(&name, true).await?;
        }
        self.note_audit("account_change", format!("{name} is {}", stored.role.name()), true).await;
        Ok(Reply::Account(told(&name, &stored)))
    }

    pub(super) async fn account_remove(&self, name: String) -> Result<Reply, ServiceError> {
        self.check_may_touch(&name).await?;
        let of = name.clone();
        let removed = self.handle()?.with(move |core| core.accounts.all.remove(&of)).await?;
        removed.ok_or_else(|| no_account(&name))?;
        self.store_account(&name, None).await?;
        self.end_tokens(&name, false).await?;
        self.note_audit("account_remove", &name, true).await;
        Ok(Reply::Done {})
    }

    pub(super) async fn link_make(&self) -> Result<Reply, ServiceError> {
        let secret = tokens::new_text(tokens::LINK)?;
        let hash = tokens::hash_of(&secret);
        let expires_at = wall_ms().saturating_add(LINK_MS);
        let keep = move |core: &mut Core| {
            let now = wall_ms();
            let links = &mut core.accounts.links;
            links.retain(|_, end| *end > now);
            if links.len() >= LINKS_MAX {
                links.pop_first();
            }
            links.insert(hash, expires_at);
        };
        self.handle()?.with(keep).await?;
        let url = self.http.get().map(|url| format!("{url}/#/login?link={}", *secret));
        let link = Secret(url.unwrap_or_else(|| secret.to_string()));
        Ok(Reply::Link(Link { link, expires_at }))
    }

    pub(super) async fn login(&self, login: Login) -> Result<Reply, ServiceError> {
        let account = match login {
            Login { link: Some(link), account: None, password: None } => {
                let hash = tokens::hash_of(&link.0);
                let used = self.handle()?.with(move |core| core.accounts.links.remove(&hash)).await?;
                if used.is_none_or(|end| end <= wall_ms()) {
                    self.note_audit("login", "a link", false).await;
                    return Err(failed("the link was used, or has expired").next("cosmicsync login"));
                }
                None
            }
            Login { account: Some(account), password: Some(password), link: None } => {
                self.check_password(&account, password).await?;
                Some(account)
            }
            Login { .. } => {
                let message = "a login needs an account and its password, or a link";
                return Err(ServiceError::new(ErrorCode::Usage, message));
            }
        };
        let created_at = wall_ms();
        let mut nonce = [0; 4];
        getrandom::fill(&mut nonce).map_err(|_| no_randomness())?;
        let name = format!("session of {} {:08x}", account.as_deref().unwrap_or("operator"), u32::from_be_bytes(nonce));
        let token = Token {
            name,
            scope: Scope::Write,
            created_at,
            expires_at: Some(created_at.saturating_add(SESSION_MS)),
            account,
            only: Vec::new(),
            session: true,
            issuer: None,
        };
        let who = token.account.clone().unwrap_or_else(|| "operator".to_owned());
        let made = self.keep_token(tokens::SESSION, token).await?;
        self.audit_as(who, "login", "", true).await;
        Ok(Reply::TokenMade(made))
    }

    pub(super) async fn logout(&self, name: String) -> Result<Reply, ServiceError> {
        self.drop_tokens(move |token| token.session && token.name == name).await.map(|_| Reply::Done {})
    }

    async fn check_password(&self, account: &str, password: Secret) -> Result<(), ServiceError> {
        // An invalid name is recorded under one name that no account has, whatever its length.
        let account = if check_name(account).is_ok() { account } else { "?" };
        let of = account.to_owned();
        let stored = self.handle()?.with(move |core| {
            if core.accounts.is_tried_out(&of, wall_ms()) {
                let message = "too many failed attempts: wait a minute";
                return Err(ServiceError::new(ErrorCode::Unavailable, message).because(Reason::TooOften));
            }
            Ok(core.accounts.all.get(&of).and_then(|stored| stored.password.clone()))
        });
        let stored = stored.await??;
        // An unknown name takes as long as a known one.
        let is_known = stored.is_some();
        let hashed = stored.unwrap_or(Hashed { salt: [0; 16], hash: [0; 32], memory_kib: 19 * 1024, passes: 2 });
        let is_right = blocking(move || hashed.is_of(&password.0)).await?;
        if is_known && is_right {
            return Ok(());
        }
        let of = account.to_owned();
        self.handle()?.with(move |core| core.accounts.note_failure(&of, wall_ms())).await?;
        self.audit_as(account.chars().take(NAME_BYTES_MAX).collect(), "login", "", false).await;
        Err(failed("there is no such account, or the password is wrong"))
    }

    /// Refuses to create an owner, unless an owner asks.
    pub(super) fn check_may_make(&self, role: Role) -> Result<(), ServiceError> {
        let is_owner = self.who.as_ref().is_none_or(|who| who.role == Role::Owner);
        if is_owner || role != Role::Owner {
            return Ok(());
        }
        Err(ServiceError::new(ErrorCode::Refused, "only an owner makes owners, changes them or ends their tokens")
            .because(Reason::Forbidden))
    }

    /// Refuses to change an owner, unless an owner asks.
    async fn check_may_touch(&self, name: &str) -> Result<(), ServiceError> {
        let of = name.to_owned();
        let role = self.handle()?.with(move |core| core.accounts.role_of(&of)).await?;
        role.map_or(Ok(()), |role| self.check_may_make(role))
    }

    async fn store_account(&self, name: &str, stored: Option<&Stored>) -> Result<(), ServiceError> {
        let key = Bytes::from([ACCOUNT_ROWS, name.as_bytes()].concat());
        let op = match stored {
            None => Op::Delete { table: Table::App, key },
            Some(stored) => {
                let value = serde_json::to_vec(stored)
                    .map_err(|error| ServiceError::new(ErrorCode::Internal, error.to_string()))?;
                Op::Put { table: Table::App, key, value: value.into() }
            }
        };
        self.handle()?.later(|core, reply| core.write(vec![op], reply)).await
    }

    /// Revokes the tokens of an account, or only its sessions.
    async fn end_tokens(&self, account: &str, only_sessions: bool) -> Result<(), ServiceError> {
        let account = account.to_owned();
        let is_meant =
            move |token: &Token| token.account.as_ref() == Some(&account) && (token.session || !only_sessions);
        self.drop_tokens(is_meant).await.map(drop)
    }
}

/// Runs long work on another thread, one at a time.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, ServiceError> {
    let failed = || ServiceError::new(ErrorCode::Internal, "a password was not hashed");
    let _turn = HASHING.acquire().await.map_err(|_| failed())?;
    tokio::task::spawn_blocking(work).await.map_err(|_| failed())
}

async fn hashed(password: Secret) -> Result<Hashed, ServiceError> {
    let password = Zeroizing::new(password.0);
    if !PASSWORD_CHARS.contains(&password.chars().count()) {
        let (least, most) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
        let message = format!("a password has {least} to {most} characters");
        return Err(ServiceError::new(ErrorCode::Usage, message));
    }
    blocking(move || Hashed::new(&password)).await?
}

fn told(name: &str, stored: &Stored) -> Account {
    let Stored { role, created_at, password } = stored;
    Account { name: name.to_owned(), role: *role, created_at: *created_at, password: password.is_some() }
}

fn failed(message: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Refused, message).because(Reason::LoginFailed)
}

pub(super) fn no_account(name: &str) -> ServiceError {
    let message = format!("there is no account {}", quoted(name));
    ServiceError::new(ErrorCode::NotFound, message).next("cosmicsync account list")
}

fn no_randomness() -> ServiceError {
    ServiceError::new(ErrorCode::Io, "the operating system gave no randomness: try again")
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain) && name != "operator" {
        return Ok(());
    }
    let message = format!(
        "a name of an account has 1 to {NAME_BYTES_MAX} letters, digits, '.', '_', '-' or '@', and is not 'operator'"
    );
    Err(ServiceError::new(ErrorCode::Usage, message).because(Reason::BadName))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash() {
        let hashed = Hashed::new("correct horse").unwrap();
        assert!(hashed.is_of("correct horse"));
        assert!(!hashed.is_of("correct horses"));
        assert_ne!(hashed.hash, Hashed::new("correct horse").unwrap().hash, "each has a salt of its own");
    }

    #[test]
    fn tries_that_fail_are_counted_for_a_minute() {
        let mut accounts = Accounts::default();
        for _ in 0..TRIES_MAX {
            assert!(!accounts.is_tried_out("ada", 1_000));
            accounts.note_failure("ada", 1_000);
        }
        assert!(accounts.is_tried_out("ada", 2_000));
        assert!(!accounts.is_tried_out("bob", 2_000));
        assert!(!accounts.is_tried_out("ada", 1_000 + TRIES_MS));
        for number in 0..TRIES_MAX_ALL {
            accounts.note_failure(&format!("{number}"), 100_000);
        }
        assert!(accounts.is_tried_out("bob", 100_001), "nor are many names tried");
    }

    #[test]
    fn names_are_plain() {
        for name in ["ada", "ada@example.org", "a.b-c_d"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "ä", "operator", "a/b", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
