//! The cryptographic primitives of snow, chosen in one place.
//!
//! Random numbers come from [`Entropy`], so a handshake is a function of its inputs. Keys are wiped on drop, and an
//! agreement with a weak key fails. With the feature `native-crypto`, ChaCha20-Poly1305 is that of ring, which is
//! faster and gives the same bytes.

use crate::entropy::Entropy;
use crate::wire::hello::Pattern;
use snow::Builder;
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;

/// Starts a handshake of `pattern` with the primitives of this module.
pub(super) fn builder<'a>(pattern: Pattern, entropy: Entropy) -> Builder<'a> {
    let name = match pattern {
        Pattern::Xx => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
        Pattern::XxPsk0 => "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s",
    };
    named_builder(name.parse().expect("snow knows the patterns and primitives of this crate"), entropy)
}

fn named_builder<'a>(params: NoiseParams, entropy: Entropy) -> Builder<'a> {
    Builder::with_resolver(params, Box::new(Resolver { entropy }))
}

struct Resolver {
    entropy: Entropy,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Draws(self.entropy.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::unset()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly::default()) as Box<dyn Cipher>)
    }
}

struct Draws(Entropy);

impl Random for Draws {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        rand_core::Rng::fill_bytes(&mut self.0, into);
        Ok(())
    }
}

struct X25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl X25519 {
    /// Makes a slot for a key: snow sets or generates one before it uses any.
    fn unset() -> Self {
        Self { secret: StaticSecret::from([0; 32]), public: PublicKey::from([0; 32]) }
    }

    fn new(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        Self { public: PublicKey::from(&secret), secret }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        *self = Self::new(*secret.first_chunk().expect("secrets of X25519 have 32 bytes"));
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        random.try_fill_bytes(secret.as_mut_slice())?;
        *self = Self::new(*secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public = PublicKey::from(*public.first_chunk::<32>().ok_or(snow::Error::Dh)?);
        let shared = self.secret.diffie_hellman(&public);
        if !shared.was_contributory() {
            return Err(snow::Error::Dh);
        }
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes
}

#[cfg(not(feature = "native-crypto"))]
use portable::ChaChaPoly;
#[cfg(feature = "native-crypto")]
use ring_backed::ChaChaPoly;

/// ChaCha20-Poly1305 that builds everywhere.
#[cfg(any(test, not(feature = "native-crypto")))]
mod portable {
    use super::{Cipher, TAG_BYTES, Zeroizing, nonce_bytes};
    use chacha20poly1305::aead::{AeadInOut, KeyInit};
    use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};

    #[derive(Default)]
    pub(super) struct ChaChaPoly {
        key: Zeroizing<[u8; 32]>,
    }

    impl ChaChaPoly {
        fn aead(&self) -> ChaCha20Poly1305 {
            ChaCha20Poly1305::new(&Key::from(*self.key))
        }
    }

    impl Cipher for ChaChaPoly {
        fn name(&self) -> &'static str {
            "ChaChaPoly"
        }

        fn set(&mut self, key: &[u8; 32]) {
            *self.key = *key;
        }

        fn encrypt(&self, nonce: u64, aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
            let (body, rest) = out.split_at_mut(plaintext.len());
            body.copy_from_slice(plaintext);
            let tag = self
                .aead()
                .encrypt_inout_detached(&Nonce::from(nonce_bytes(nonce)), aad, body.into())
                .expect("Noise messages are below the limit of the cipher");
            rest[..TAG_BYTES].copy_from_slice(&tag);
            plaintext.len() + TAG_BYTES
        }

        fn decrypt(&self, nonce: u64, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, snow::Error> {
            let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(snow::Error::Decrypt)?;
            let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
            out.copy_from_slice(body);
            self.aead()
                .decrypt_inout_detached(&Nonce::from(nonce_bytes(nonce)), aad, out.into(), &Tag::from(*tag))
                .map_err(|_| snow::Error::Decrypt)?;
            Ok(body.len())
        }
    }
}

/// ChaCha20-Poly1305 by ring.
#[cfg(feature = "native-crypto")]
mod ring_backed {
    use super::{Cipher, TAG_BYTES, nonce_bytes};
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

    pub(super) struct ChaChaPoly {
        key: LessSafeKey,
    }

    impl Default for ChaChaPoly {
        fn default() -> Self {
            Self { key: key(&[0; 32]) }
        }
    }

    fn key(bytes: &[u8; 32]) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("keys have 32 bytes"))
    }

    fn nonce_of(nonce: u64) -> Nonce {
        Nonce::assume_unique_for_key(nonce_bytes(nonce))
    }

    impl Cipher for ChaChaPoly {
        fn name(&self) -> &'static str {
            "ChaChaPoly"
        }

        fn set(&mut self, bytes: &[u8; 32]) {
            self.key = key(bytes);
        }

        fn encrypt(&self, nonce: u64, aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
            let (body, rest) = out.split_at_mut(plaintext.len());
            body.copy_from_slice(plaintext);
            let tag = self
                .key
                .seal_in_place_separate_tag(nonce_of(nonce), Aad::from(aad), body)
                .expect("Noise messages are below the limit of the cipher");
            rest[..TAG_BYTES].copy_from_slice(tag.as_ref());
            plaintext.len() + TAG_BYTES
        }

        fn decrypt(&self, nonce: u64, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, snow::Error> {
            let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(snow::Error::Decrypt)?;
            let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
            out.copy_from_slice(body);
            self.key
                .open_in_place_separate_tag(nonce_of(nonce), Aad::from(aad), Tag::from(*tag), out, 0..)
                .map_err(|_| snow::Error::Decrypt)?;
            Ok(body.len())
        }
    }
}

#[cfg(test)]
mod tests;
