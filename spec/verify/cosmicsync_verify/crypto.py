"""Hashes, signatures and seals, all from libraries: identity.md (head) and 3, log.md 7."""

from __future__ import annotations

import blake3
import nacl.bindings as sodium
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from nacl.exceptions import CryptoError
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey
from pyhpke.exceptions import OpenError

from .codec import Refused

HPKE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


def derive(context: str, *parts: bytes, length: int = 32) -> bytes:
    """`H(context, parts)`: BLAKE3's key derivation mode over the concatenated parts."""
    return blake3.blake3(b"".join(parts), derive_key_context=context).digest(length)


def keyed(key: bytes, *parts: bytes, length: int = 32) -> bytes:
    """BLAKE3 keyed with 32 bytes."""
    return blake3.blake3(b"".join(parts), key=key).digest(length)


def plain_hash(*parts: bytes) -> bytes:
    """BLAKE3 without a key."""
    return blake3.blake3(b"".join(parts)).digest()


def ed25519_public(seed: bytes) -> bytes:
    return sodium.crypto_sign_seed_keypair(seed)[0]


def sign(seed: bytes, message: bytes) -> bytes:
    secret = sodium.crypto_sign_seed_keypair(seed)[1]
    return sodium.crypto_sign(message, secret)[:64]


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """The strict check. libsodium refuses S that is not canonical, small orders, and compares without cofactor."""
    try:
        sodium.crypto_sign_open(signature + message, public)
    except (CryptoError, ValueError) as error:
        raise Refused("a signature does not verify") from error


def in_context(context: str, body: bytes) -> bytes:
    """What `sign(key, context, body)` signs."""
    return context.encode() + b"\0" + body


def x25519_public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def need_x25519(public: bytes) -> None:
    """Refuses a key of small order: agreements with it are all zero."""
    try:
        X25519PrivateKey.from_private_bytes(b"\x01" * 32).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Refused("a key agreement key has small order") from error


def seal(key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
    """XChaCha20-Poly1305, the tag behind the ciphertext."""
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def unseal(key: bytes, nonce: bytes, associated: bytes, sealed: bytes) -> bytes:
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, nonce, key)
    except (CryptoError, ValueError) as error:
        raise Refused("a seal does not open") from error


def hpke_open(secret: bytes, enc: bytes, info: bytes, associated: bytes, sealed: bytes) -> bytes:
    """HPKE base mode, one message."""
    private = KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(secret))
    try:
        return HPKE.create_recipient_context(enc, private, info=info).open(sealed, aad=associated)
    except (OpenError, ValueError) as error:
        raise Refused("an HPKE box does not open") from error


def hpke_seal(public: bytes, info: bytes, associated: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
    """The encapsulated key and the ciphertext."""
    key = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(public))
    enc, sender = HPKE.create_sender_context(key, info=info)
    return enc, sender.seal(plaintext, aad=associated)


def chacha20_stream(seed: bytes, length: int) -> bytes:
    """The first bytes of the ChaCha20 stream under `seed`, nonce and counter zero: vectors/README.md."""
    return Cipher(algorithms.ChaCha20(seed, b"\0" * 16), None).encryptor().update(b"\0" * length)
