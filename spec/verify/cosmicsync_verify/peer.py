"""A peer of the wire: dials a node, and keeps what it says in memory. handshake.md, wire.md, sync.md 1 to 5."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field

from . import crypto, log, trie, wire
from .codec import Reader, Refused, need
from .identity import Credential, DeviceKeys, Invite, SpaceGenesis
from .log import Card, Entry, Head
from .noise_link import LATER_BYTES_MAX, Noise, framed

DEADLINE_S = 60.0


class Closed(Exception):
    """The other end closed the link."""


class Link:
    """A TCP connection and one end of a Noise session on it."""

    def __init__(self, stream: socket.socket, noise: Noise, dialled: bool):
        self.stream, self.noise, self.dialled = stream, noise, dialled
        self.assembly = wire.Assembly()
        self.waiting: list[tuple[int, bytes]] = []
        self.buffer = b""
        self.sent_bytes = self.received_bytes = 0

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    @classmethod
    def dial(cls, address: tuple[str, int], pattern: int, keys: DeviceKeys, psk: bytes | None = None) -> Link:
        stream = socket.create_connection(address, DEADLINE_S)
        link = cls(stream, Noise(pattern, True, keys.noise, psk), dialled=True)
        link.stream.sendall(wire.preamble(pattern) + framed(link.noise.write()))
        return link

    @classmethod
    def answer(cls, stream: socket.socket, keys: DeviceKeys, hello: wire.Hello) -> Link:
        """The responder's side of pattern 1, up to message 2."""
        link = cls(stream, Noise(wire.XX, False, keys.noise), dialled=False)
        link.expect_preamble()
        link.say_hello(hello)
        return link

    def expect_preamble(self) -> None:
        """Reads preamble and message 1."""
        need(self._exactly(8) == wire.preamble(self.noise.pattern), "another preamble")
        need(self.noise.read(self.message(LATER_BYTES_MAX)) == b"", "message 1 has a payload")

    def _exactly(self, length: int) -> bytes:
        while len(self.buffer) < length:
            more = self.stream.recv(65_536)
            if not more:
                raise Closed("the other end closed the link")
            self.buffer += more
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        self.received_bytes += length
        return taken

    def message(self, most: int) -> bytes:
        """The next Noise message."""
        length = int.from_bytes(self._exactly(2), "big")
        need(length <= most, "a message is too long")
        return self._exactly(length)

    def hello(self) -> wire.Hello:
        """The Hello in the next message of the handshake."""
        return wire.Hello.decode(self.noise.read(self.message(LATER_BYTES_MAX)))

    def say_hello(self, hello: wire.Hello) -> None:
        self.stream.sendall(framed(self.noise.write(hello.encode())))

    def plaintext(self) -> bytes:
        """What the next message of the sealed stream holds."""
        return self.noise.open(self.message(65_535))

    def send(self, *messages: tuple[int, bytes]) -> None:
        """Messages with their channels, in one transport message if they fit."""
        plaintext = b"".join(wire.frame(channel, message) for channel, message in messages)
        if len(plaintext) <= wire.CHUNK_BYTES_MAX:
            self.send_plaintext(plaintext)
            return
        need(len(messages) > 1, "a message of a test is too long")
        for message in messages:
            self.send(message)

    def send_plaintext(self, plaintext: bytes) -> None:
        """One message of the sealed stream."""
        sealed = framed(self.noise.seal(plaintext))
        self.sent_bytes += len(sealed)
        self.stream.sendall(sealed)

    def receive(self, seconds: float) -> tuple[int, bytes] | None:
        """The next logical message and its channel; none if nothing comes for so long."""
        deadline = time.monotonic() + seconds
        while not self.waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.stream.settimeout(left)
            try:
                plaintext = self.plaintext()
            except TimeoutError:
                return None
            finally:
                self.stream.settimeout(DEADLINE_S)
            self.waiting += self.assembly.take(plaintext)
        return self.waiting.pop(0)


@dataclass
class Log:
    """A verified log: every entry with the chain hash before it, and the head at its end."""

    card: Card
    entries: list[tuple[Entry, bytes]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    h: bytes = b""
    signature: bytes = b""


@dataclass
class Device:
    """This device, once it joined: keys, credential, the space and everything held of it."""

    keys: DeviceKeys
    credential: bytes
    space: SpaceGenesis
    incarnation: bytes = field(default_factory=lambda: os.urandom(8))
    instance: bytes = field(default_factory=lambda: os.urandom(8))
    logs: dict[bytes, Log] = field(default_factory=dict)
    position: int = 0
    journal: dict[bytes, int] = field(default_factory=dict)
    cursors: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)

    def hello(self) -> wire.Hello:
        return plain_hello(self.incarnation, self.instance, self.credential, None)

    def take(self, card: Card, start: int, h_prev: bytes, entries: list[bytes], signature: bytes) -> int:
        """Verifies a run and keeps what is new of it. Returns the seq behind the last entry held."""
        held = self.logs.get(card.log_id)
        have = len(held.entries) if held else 0
        need(start <= have, "a run leaves a gap")
        run = log.verify_run(card, start, h_prev, entries, head_of(card, start, h_prev, entries, signature))
        kept = self.logs.setdefault(card.log_id, Log(card))
        if start and start < have:
            need(kept.entries[start][1] == h_prev, "a fork")
        for (entry, before, after), data in zip(run, entries):
            if entry.seq < len(kept.entries):
                need(kept.raw[entry.seq] == data, "a fork")
                continue
            need(before == (kept.h or card.log_id), "a run that does not continue the log")
            kept.entries.append((entry, before))
            kept.raw.append(data)
            kept.h, kept.signature = after, signature
        if len(kept.entries) > have:
            self.position += 1
            self.journal[card.log_id] = self.position
        return len(kept.entries)

    def tips(self) -> dict[bytes, dict[bytes, tuple[int, bytes]]]:
        """The tip of each log, by the token of its partition."""
        partitions: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
        for name, held in self.logs.items():
            partitions.setdefault(held.card.partition_token, {})[name] = (len(held.entries) - 1, held.h)
        return partitions

    def root(self) -> bytes:
        return trie.space_root(self.tips())

    def begin_anew(self) -> None:
        """Another life of the store: cursors of either side mean nothing any more."""
        self.incarnation = os.urandom(8)
        self.cursors.clear()


def head_of(card: Card, start: int, h_prev: bytes, entries: list[bytes], signature: bytes) -> Head:
    """The head at the end of a run: wire.md sends its signature alone, the rest follows."""
    h, last = h_prev, start
    for last, data in enumerate(entries, start):
        h = Entry.decode(data).chain(h, card)
    return Head(last, h, signature)


def plain_hello(incarnation: bytes, instance: bytes, credential: bytes | None, claim: bytes | None) -> wire.Hello:
    """The Hello of a device that knows version 0.0 and suite 1."""
    return wire.Hello((0, 0), (0, 0), [], (1 << 20, 6, 1 << 21), incarnation, instance, [1], credential, claim)


def judge(link: Link, hello: wire.Hello, mine: wire.Hello) -> Credential:
    """Who the other end is: handshake.md 4."""
    wire.settle(mine, hello, wire.preamble(link.noise.pattern))
    need(hello.credential is not None, "a claim instead of a credential")
    credential = Credential.decode(hello.credential)
    need(credential.claim.noise == link.noise.peer_static, "the Noise key is not the one that was proved")
    now_ms = time.time_ns() // 1_000_000
    need(
        credential.certificate.not_before <= now_ms <= credential.certificate.not_after, "a certificate is not current"
    )
    return credential


def join(address: tuple[str, int], invite: Invite, keys: DeviceKeys) -> Device:
    """Joins with an invite over XXpsk0: access.md 4."""
    mine = plain_hello(os.urandom(8), os.urandom(8), None, keys.claim())
    with Link.dial(address, wire.XXPSK0, keys, invite.psk) as link:
        theirs = link.hello()
        need(link.noise.peer_static == invite.inviter, "somebody else than the inviter")
        judge(link, theirs, mine)
        link.say_hello(mine)
        credential_bytes, genesis_bytes = read_accept(link.plaintext())
    credential, space = Credential.decode(credential_bytes), SpaceGenesis.decode(genesis_bytes)
    need(credential.claim.device == keys.device, "a credential of another device")
    need(credential.claim.noise == crypto.x25519_public(keys.noise), "a credential with another Noise key")
    need(space.space_id == invite.space_id, "another space")
    need(space.creator.user_id == credential.genesis.user_id, "a space of another user")
    return Device(keys, credential_bytes, space, mine.incarnation)


def read_accept(plaintext: bytes) -> tuple[bytes, bytes]:
    """The inviter's answer: access.md 4."""
    reader = Reader(plaintext)
    if reader.u8() != 0:
        raise Refused(f"the inviter refuses, reason {reader.u8()}")
    credential, genesis = reader.bytes(4096), reader.bytes(4096)
    reader.finish()
    return credential, genesis
