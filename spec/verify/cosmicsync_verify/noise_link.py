"""The handshake over PyPI's `noiseprotocol`: handshake.md 3 and 5."""

from __future__ import annotations

import warnings

from cryptography.exceptions import InvalidTag
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage, NoiseValueError

from . import wire
from .codec import Refused, need

NAMES = {wire.XX: "Noise_XX_25519_ChaChaPoly_BLAKE2s", wire.XXPSK0: "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s"}
FIRST = {wire.XX: 32, wire.XXPSK0: 48}
LATER_BYTES_MAX = 4086
SEALED_BYTES_MAX = 65_535
REKEY_EVERY = 65_536


class Noise:
    """One end of a handshake and, when that is done, of the sealed stream."""

    def __init__(
        self, pattern: int, initiator: bool, secret: bytes, psk: bytes | None = None, ephemeral: bytes | None = None
    ):
        self.pattern, self.step = pattern, 0
        self.sealed = self.opened = 0
        self.state = NoiseConnection.from_name(NAMES[pattern].encode())
        self.state.set_prologue(wire.preamble(pattern))
        self.state.set_keypair_from_private_bytes(Keypair.STATIC, secret)
        if ephemeral is not None:
            self.state.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
        if psk is not None:
            self.state.set_psks(psk)
        if initiator:
            self.state.set_as_initiator()
        else:
            self.state.set_as_responder()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a given ephemeral key: the vectors have one
            self.state.start_handshake()
        self.handshake = self.state.noise_protocol.handshake_state

    def write(self, payload: bytes = b"") -> bytes:
        """The next handshake message."""
        self.step += 1
        return bytes(self.state.write_message(payload))

    def read(self, message: bytes) -> bytes:
        """The payload of the next handshake message."""
        self.step += 1
        if self.step == 1:
            need(len(message) == FIRST[self.pattern], "message 1 has the wrong length")
        need(len(message) <= LATER_BYTES_MAX, "a message of the handshake is too long")
        try:
            return bytes(self.state.read_message(message))
        except (InvalidTag, NoiseHandshakeError, NoiseInvalidMessage, NoiseValueError, ValueError) as error:
            raise Refused("a message of the handshake does not open") from error

    @property
    def peer_static(self) -> bytes:
        """The static key that the other end has proved; there from message 2 (initiator) or 3 (responder)."""
        return self.handshake.rs.public_bytes

    @property
    def hash(self) -> bytes:
        return bytes(self.state.get_handshake_hash())

    def seal(self, plaintext: bytes) -> bytes:
        if self.sealed and self.sealed % REKEY_EVERY == 0:
            self.state.rekey_outbound_cipher()
        self.sealed += 1
        return self.state.encrypt(plaintext)

    def open(self, message: bytes) -> bytes:
        if self.opened and self.opened % REKEY_EVERY == 0:
            self.state.rekey_inbound_cipher()
        self.opened += 1
        try:
            return self.state.decrypt(message)
        except NoiseInvalidMessage as error:
            raise Refused("a message of the sealed stream does not open") from error


def framed(message: bytes) -> bytes:
    """Length u16 big-endian, then the message."""
    return len(message).to_bytes(2, "big") + message


def unframed(data: bytes) -> list[bytes]:
    out = []
    while data:
        length = int.from_bytes(data[:2], "big")
        need(len(data) >= 2 + length, "the bytes end early")
        out.append(data[2 : 2 + length])
        data = data[2 + length :]
    return out
