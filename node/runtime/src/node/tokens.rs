//! Commands about tokens of the HTTP API.
//!
//! A token is `cs_pat_`, 64 random hex digits, and 8 hex digits of their CRC-32, so that scanners of source code
//! recognise a leaked one. The node stores only a BLAKE3 hash of it, in a row of its own: sealed at rest, in no backup,
//! never synced.

use super::Acting;
use super::accounts::no_account;
use crate::clock::wall_ms;
use crate::driver::{Core, TOKEN_ROWS};
use crate::service::{ErrorCode, NewToken, Reason, Reply, Role, Secret, ServiceError, Token, TokenCreate, Who, quoted};
use bytes::Bytes;
use cosmicsync_protocol::storage::{Op, Table};
use std::collections::BTreeMap;
use zeroize::Zeroizing;
use zlib_rs::crc32::crc32;

/// Prefix of a token.
const PREFIX: &str = "cs_pat_";
/// Prefix of a session's token, and of a link's secret.
pub(super) const SESSION: &str = "cs_ses_";
pub(super) const LINK: &str = "cs_lnk_";
/// Number of random bytes in a token.
const SECRET_BYTES: usize = 32;
/// Largest number of tokens of a node.
const TOKENS_MAX: usize = 256;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Hash of a whole token.
pub(crate) type TokenHash = [u8; 32];

/// The tokens of a node, by their hashes. A lookup compares only hashes, so its timing reveals nothing about a token.
pub(crate) type Tokens = BTreeMap<TokenHash, Token>;

impl Acting<'_> {
    pub(super) async fn token_create(&self, create: TokenCreate) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let TokenCreate { name, scope, expires_ms, account, only } = create;
        check_name(&name)?;
        let of = account.clone();
        let role = self.handle()?.with(move |core| of.map(|name| core.accounts.role_of(&name).ok_or(name))).await?;
        let role = role.transpose().map_err(|name| no_account(&name))?.unwrap_or(Role::Owner);
        self.check_may_make(role)?;
        let created_at = wall_ms();
        let expires_at = expires_ms.map(|time| created_at.saturating_add(time));
        let token = Token { name, scope, created_at, expires_at, account, only, session: false, issuer: None };
        let about = token.name.clone();
        let made = self.keep_token(PREFIX, token).await?;
        self.note_audit("token_create", about, true).await;
        Ok(Reply::TokenMade(made))
    }

    /// Stores a token; it can be used only once it is durable.
    pub(super) async fn keep_token(&self, prefix: &str, token: Token) -> Result<NewToken, ServiceError> {
        // Expired login sessions are removed here, because nobody revokes them.
        self.drop_tokens(|token| token.session && token.is_over(wall_ms())).await?;
        let text = new_text(prefix)?;
        let hash = hash_of(&text);
        let handle = self.handle()?;
        let about = token.clone();
        let value = row(&about)?;
        handle.with(move |core| admit(core, hash, about)).await??;
        let op = Op::Put { table: Table::App, key: key(&hash), value };
        if let Err(error) = handle.later(|core, reply| core.write(vec![op], reply)).await {
            handle.with(move |core| core.tokens.remove(&hash)).await?;
            return Err(error);
        }
        Ok(NewToken { token: Secret(text.to_string()), about: token })
    }

    pub(super) async fn token_list(&self) -> Result<Reply, ServiceError> {
        let list = |core: &mut Core| {
            core.tokens.values().filter(|token| !(token.session && token.is_over(wall_ms()))).cloned().collect()
        };
        let mut tokens: Vec<Token> = self.handle()?.with(list).await?;
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Reply::Tokens(tokens))
    }

    pub(super) async fn token_revoke(&self, name: String) -> Result<Reply, ServiceError> {
        let unknown = ServiceError::new(ErrorCode::NotFound, format!("there is no token {}", quoted(&name)))
            .next("cosmicsync token list");
        let of = name.clone();
        let role = self.handle()?.with(move |core| {
            let token = core.tokens.values().find(|token| token.name == of)?;
            Some(token.account.as_deref().map_or(Some(Role::Owner), |name| core.accounts.role_of(name)))
        });
        let role = role.await?.ok_or(unknown)?;
        role.map_or(Ok(()), |role| self.check_may_make(role))?;
        let of = name.clone();
        self.drop_tokens(move |token| token.name == of).await?;
        self.note_audit("token_revoke", name, true).await;
        Ok(Reply::Done {})
    }

    /// Revokes tokens, immediately in memory and then durably. Returns their number.
    pub(super) async fn drop_tokens(
        &self,
        is_meant: impl Fn(&Token) -> bool + Send + 'static,
    ) -> Result<usize, ServiceError> {
        let handle = self.handle()?;
        let gone = handle.with(move |core| {
            let gone: Vec<TokenHash> =
                core.tokens.iter().filter(|(_, token)| is_meant(token)).map(|(hash, _)| *hash).collect();
            gone.iter().for_each(|hash| drop(core.tokens.remove(hash)));
            gone
        });
        let gone = gone.await?;
        let ops: Vec<Op> = gone.iter().map(|hash| Op::Delete { table: Table::App, key: key(hash) }).collect();
        if !ops.is_empty() {
            handle.later(|core, reply| core.write(ops, reply)).await?;
        }
        Ok(gone.len())
    }

    pub(super) async fn token_check(&self, sent: Secret) -> Result<Reply, ServiceError> {
        let unknown = || {
            ServiceError::new(ErrorCode::Refused, "the token is not of this node, or was revoked")
                .because(Reason::TokenUnknown)
                .next("cosmicsync token create NAME")
        };
        if !is_well_formed(&sent.0) {
            return Err(unknown());
        }
        let hash = hash_of(&sent.0);
        let found = self.handle()?.with(move |core| {
            let token = core.tokens.get(&hash)?.clone();
            // A token of a removed account is not valid.
            let role = token.account.as_deref().map_or(Some(Role::Owner), |name| core.accounts.role_of(name))?;
            Some(Who { token, role })
        });
        let who = found.await?.ok_or_else(unknown)?;
        if who.token.is_over(wall_ms()) {
            let message = format!("the token {} has expired", quoted(&who.token.name));
            return Err(ServiceError::new(ErrorCode::Refused, message)
                .because(Reason::TokenExpired)
                .next("cosmicsync token create NAME"));
        }
        Ok(Reply::Who(who))
    }
}

/// Adds a token under an unused name.
fn admit(core: &mut Core, hash: TokenHash, token: Token) -> Result<(), ServiceError> {
    if core.tokens.values().any(|other| other.name == token.name) {
        let name = quoted(&token.name);
        let next = format!("cosmicsync token revoke {name}");
        return Err(ServiceError::new(ErrorCode::Conflict, format!("the token {name} exists already")).next(next));
    }
    let (is_session, now) = (token.session, wall_ms());
    if core.tokens.values().filter(|other| other.session == is_session && !other.is_over(now)).count() >= TOKENS_MAX {
        let message = format!("a node has at most {TOKENS_MAX} tokens, and as many sessions");
        return Err(ServiceError::new(ErrorCode::Refused, message).next("cosmicsync token list"));
    }
    core.tokens.insert(hash, token);
    Ok(())
}

/// Reads a stored row; returns `None` if it is not a token's.
pub(crate) fn read_row(key: &[u8], value: &[u8]) -> Option<(TokenHash, Token)> {
    let digits = core::str::from_utf8(key.strip_prefix(TOKEN_ROWS)?).ok()?;
    let hash = blake3::Hash::from_hex(digits).ok()?;
    Some((*hash.as_bytes(), serde_json::from_slice(value).ok()?))
}

fn row(token: &Token) -> Result<Bytes, ServiceError> {
    let written = serde_json::to_vec(token);
    written.map(Bytes::from).map_err(|error| ServiceError::new(ErrorCode::Internal, error.to_string()))
}

fn key(hash: &TokenHash) -> Bytes {
    [TOKEN_ROWS, blake3::Hash::from_bytes(*hash).to_hex().as_bytes()].concat().into()
}

pub(super) fn hash_of(text: &str) -> TokenHash {
    blake3::derive_key("cosmicsync token 1", text.as_bytes())
}

pub(super) fn new_text(prefix: &str) -> Result<Zeroizing<String>, ServiceError> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(&mut *secret)
        .map_err(|_| ServiceError::new(ErrorCode::Io, "the operating system gave no randomness: try again"))?;
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * SECRET_BYTES + 8));
    text.push_str(prefix);
    for byte in secret.iter() {
        text.push_str(&format!("{byte:02x}"));
    }
    text.push_str(&format!("{:08x}", crc32(0, &*secret)));
    Ok(text)
}

/// Returns whether a text has the form of a token, with a correct CRC.
fn is_well_formed(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(PREFIX).or(text.strip_prefix(SESSION)) else { return false };
    let Some((secret, sum)) = digits.split_at_checked(2 * SECRET_BYTES) else { return false };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if sum.len() != 8 || !digits.bytes().all(is_digit) {
        return false;
    }
    let pair = |at: usize| u8::from_str_radix(&secret[at..at + 2], 16);
    let Ok(bytes) = (0..secret.len()).step_by(2).map(pair).collect::<Result<Vec<u8>, _>>() else { return false };
    u32::from_str_radix(sum, 16) == Ok(crc32(0, &bytes))
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a name of a token has 1 to {NAME_BYTES_MAX} bytes and no control characters");
    Err(ServiceError::new(ErrorCode::Usage, message).because(Reason::BadName))
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, is_well_formed, new_text};

    #[test]
    fn a_token_has_a_checksum() {
        let text = new_text(PREFIX).expect("randomness");
        assert!(is_well_formed(&text) && text.len() == PREFIX.len() + 72, "{}", text.len());
        for at in PREFIX.len()..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert!(!is_well_formed(core::str::from_utf8(&other).expect("digits")), "a digit at {at} changed");
        }
        for wrong in ["", PREFIX, &text[1..], &text[..text.len() - 1], &text.to_uppercase(), "cs_pat_ééé"] {
            assert!(!is_well_formed(wrong), "{wrong}");
        }
    }
}
