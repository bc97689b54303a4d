//! Tokens of another issuer: JSON Web Tokens, verified with the keys that the issuer publishes (RFC 7519, RFC 7517).
//!
//! A token stands for the account in its claim `sub`, with a role that is neither owner nor admin. Its holder is
//! limited by the rules of collections. Guide: `docs/api.md`.

mod crypto;
mod fetch;

use core::num::NonZeroUsize;
use cosmicsync_node::service::{ErrorCode, Role, Scope, ServiceError, Token, Who};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::problem::{Code, Problem};

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest name of an account, in bytes.
const ACCOUNT_BYTES_MAX: usize = 64;
/// Largest key set, in bytes.
const KEYS_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(256 * 1024).expect("not zero");
/// Largest number of keys in a set.
const KEYS_MAX: usize = 64;
/// Least time between two reads of the keys because of unknown ones.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Allowed difference between the clocks of the issuer and the node, in seconds.
const LEEWAY_SECONDS: u64 = 30;
/// Accepted signature algorithms; none of them uses a shared secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Settings of an issuer.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// The claim `iss` of the issuer's tokens.
    pub issuer: String,
    /// The claim `aud` of tokens for this node.
    pub audience: String,
    /// The location of its keys: the path of a file, or an `http` URL on this machine.
    pub keys: String,
    /// The role of its accounts: editor, viewer or auditor.
    pub role: Role,
}

/// Another issuer whose tokens the node accepts.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    source: Source,
    keys: RwLock<Arc<JwkSet>>,
    /// Time of the last read of the keys. A reader holds the lock.
    read_at: Mutex<Instant>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Loopback(fetch::Address),
}

/// The claims that are read; others are ignored.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    iat: u64,
}

impl Issuer {
    /// Reads the keys of an issuer.
    ///
    /// # Errors
    /// `usage`, if a setting is invalid, or if the keys cannot be read.
    pub async fn load(settings: IssuerSettings) -> Result<Self, ServiceError> {
        let wrong = |why: &str| ServiceError::new(ErrorCode::Usage, format!("[issuer] {why}"));
        if settings.audience.is_empty() {
            return Err(wrong("audience is missing: without it, tokens for other services would be accepted"));
        }
        if matches!(settings.role, Role::Owner | Role::Admin) {
            return Err(wrong("role is editor, viewer or auditor: accounts of this node manage it"));
        }
        let source = match settings.keys.strip_prefix("http://") {
            Some(rest) => Source::Loopback(fetch::Address::parse(rest).map_err(|why| wrong(&why))?),
            None if settings.keys.contains("://") => {
                return Err(wrong("keys is the path of a file, or an http URL of this machine (127.0.0.1 or [::1])"));
            }
            None => Source::File(settings.keys.clone().into()),
        };
        crypto::install();
        let keys = source.read().await.map_err(|why| wrong(&format!("keys: {why}")))?;
        Ok(Self { settings, source, keys: RwLock::new(Arc::new(keys)), read_at: Mutex::new(Instant::now()) })
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// `usage`, if they cannot be read; the former keys then stay in use.
    pub async fn reload(&self) -> Result<(), ServiceError> {
        let mut read_at = self.read_at.lock().await;
        self.read(&mut read_at)
            .await
            .map_err(|why| ServiceError::new(ErrorCode::Usage, format!("[issuer] keys: {why}")))
    }

    async fn read(&self, read_at: &mut Instant) -> Result<(), String> {
        *read_at = Instant::now();
        let keys = self.source.read().await?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Returns whether a text may be a token of an issuer, rather than one of the node.
    pub(crate) fn is_like(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Returns the owner of a token.
    pub(crate) async fn check(&self, text: &str) -> Result<Who, Problem> {
        let refused = |why: &str| Problem::new(Code::Unauthenticated, format!("the token of the issuer: {why}"));
        if text.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let header = decode_header(text).map_err(|_| refused("it is not a JSON Web Token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("its signature algorithm is not accepted"));
        }
        let key = self.key(header.kid.as_deref()).await.ok_or_else(|| refused("its key is not one of the issuer's"))?;
        let decoding = DecodingKey::from_jwk(&key).map_err(|_| refused("its kind of key is not accepted"))?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.settings.audience]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let claims = match decode::<Claims>(text, &decoding, &validation) {
            Ok(data) => data.claims,
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::ExpiredSignature) => {
                return Err(Problem::new(Code::TokenExpired, "the issuer's token has expired"));
            }
            Err(error) => return Err(refused(&error.to_string())),
        };
        let Claims { sub, exp, iat } = claims;
        if sub.is_empty() || sub.len() > ACCOUNT_BYTES_MAX {
            return Err(refused("its `sub` has 1 to 64 bytes"));
        }
        // No token of the node has this name, so neither rules, counts nor idempotency keys confuse the two.
        let name = format!("{} {sub}", self.settings.issuer);
        let mut token = Token::new(name, Scope::Write, iat.saturating_mul(1000));
        token.expires_at = Some(exp.saturating_add(LEEWAY_SECONDS).saturating_mul(1000));
        token.account = Some(sub);
        token.issuer = Some(self.settings.issuer.clone());
        Ok(Who { token, role: self.settings.role })
    }

    /// Returns the key with an id, or the only key if the token names none. An unknown id makes the keys be read again.
    async fn key(&self, id: Option<&str>) -> Option<Jwk> {
        if let Some(key) = find(&self.known(), id) {
            return Some(key);
        }
        let mut read_at = self.read_at.lock().await;
        if read_at.elapsed() >= READ_AGAIN
            && let Err(error) = self.read(&mut read_at).await
        {
            tracing::warn!(error, "cannot read the keys of the issuer again");
        }
        drop(read_at);
        find(&self.known(), id)
    }

    fn known(&self) -> Arc<JwkSet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn find(keys: &JwkSet, id: Option<&str>) -> Option<Jwk> {
    match (id, &keys.keys[..]) {
        (Some(id), _) => keys.find(id).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

impl Source {
    async fn read(&self) -> Result<JwkSet, String> {
        let text = match self {
            Self::File(path) => read_file(path)?,
            Self::Loopback(address) => address.get(KEYS_BYTES_MAX.get()).await?,
        };
        let keys: JwkSet = serde_json::from_slice(&text).map_err(|error| format!("they are no JWK set: {error}"))?;
        if keys.keys.is_empty() || keys.keys.len() > KEYS_MAX {
            return Err(format!("a JWK set of an issuer has 1 to {KEYS_MAX} keys"));
        }
        Ok(keys)
    }
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, String> {
    let failed = |why: &dyn core::fmt::Display| format!("cannot read {}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if usize::try_from(size).is_ok_and(|size| size <= KEYS_BYTES_MAX.get()) {
        return std::fs::read(path).map_err(|error| failed(&error));
    }
    Err(failed(&format!("it has more than {KEYS_BYTES_MAX} bytes")))
}
