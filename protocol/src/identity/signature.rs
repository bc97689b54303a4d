//! Ed25519 over (context, 0, body): a signature made for one purpose never verifies for another.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Signs `body` for the purpose that `context` names.
pub(super) fn sign(key: &SigningKey, context: &'static str, body: &[u8]) -> [u8; 64] {
    key.sign(&message(context, body)).to_bytes()
}

/// Returns whether `signature` is that of `public` over `body` for this purpose, by the strict rules only.
pub(super) fn verify(public: &[u8; 32], context: &'static str, body: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(&message(context, body), &Signature::from_bytes(signature)).is_ok())
}

fn message(context: &'static str, body: &[u8]) -> Vec<u8> {
    [context.as_bytes(), &[0], body].concat()
}
