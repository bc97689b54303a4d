//! Verifies signatures of tokens with the node's cipher library.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, signature};
use ring::signature as ciphers;

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: never, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes the token library use the node's ciphers.
pub(super) fn install() {
    // An earlier caller has installed the same ones.
    let _ = PROVIDER.install_default();
}

/// Fails: the node signs no such tokens.
fn never(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if !matches!(key.family(), AlgorithmFamily::Rsa | AlgorithmFamily::Ec | AlgorithmFamily::Ed) {
        return Err(ErrorKind::UnsupportedAlgorithm.into());
    }
    Ok(Box::new(Verifier { algorithm: *algorithm, key: key.clone() }))
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let rsa = |parameters: &'static ciphers::RsaParameters| match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                ciphers::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            DecodingKeyKind::SecretOrDer(key) => {
                ciphers::UnparsedPublicKey::new(parameters, key).verify(message, signature)
            }
        };
        let plain = |algorithm: &'static dyn ciphers::VerificationAlgorithm| {
            let key = self.key.try_get_as_bytes().map_err(|_| ring::error::Unspecified)?;
            ciphers::UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let verified = match self.algorithm {
            Algorithm::EdDSA => plain(&ciphers::ED25519),
            Algorithm::ES256 => plain(&ciphers::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => plain(&ciphers::ECDSA_P384_SHA384_FIXED),
            Algorithm::RS256 => rsa(&ciphers::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => rsa(&ciphers::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => rsa(&ciphers::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => rsa(&ciphers::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => rsa(&ciphers::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => rsa(&ciphers::RSA_PSS_2048_8192_SHA512),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 | _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}
