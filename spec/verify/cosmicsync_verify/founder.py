"""A user of one's own: founding a space, inviting and admitting a device. identity.md, access.md 3 and 4."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from . import control, crypto, identity, log, wire
from .codec import need, prefixed, varint
from .crypto import derive
from .identity import Claim, DeviceKeys, Epoch, Invite, SpaceGenesis
from .log import Header, Plain
from .noise_link import Noise
from .peer import Device, Link, plain_hello
from .space import Space, Writer, now_ms

FOREVER = 2**64 - 1


@dataclass
class Founder:
    """The user key, this user's first device and the space that it founds."""

    keys: DeviceKeys = field(default_factory=lambda: DeviceKeys(os.urandom(32), os.urandom(32), os.urandom(32)))
    user_seed: bytes = field(default_factory=lambda: os.urandom(32))

    def __post_init__(self) -> None:
        recovery = crypto.ed25519_public(os.urandom(32))
        body = b"\0" + crypto.ed25519_public(self.user_seed) + identity.recovery_commitment(recovery) + os.urandom(16)
        self.genesis = body + self._sign("cosmicsync user genesis 1", body)
        credential = self.certify(self.keys.claim())
        body = b"\0" + prefixed(self.genesis) + os.urandom(16)
        self.space_bytes = body + self._sign("cosmicsync space genesis 1", body)
        self.device = Device(self.keys, credential, SpaceGenesis.decode(self.space_bytes))

    def _sign(self, context: str, body: bytes) -> bytes:
        return crypto.sign(self.user_seed, crypto.in_context(context, body))

    def certify(self, claim: bytes) -> bytes:
        """A credential for a device of this user."""
        body = b"\0" + derive("cosmicsync user 1", self.genesis) + claim + varint(0) + varint(FOREVER)
        return prefixed(self.genesis) + prefixed(body + self._sign("cosmicsync device cert 1", body))

    def found(self, name: str) -> Writer:
        """Writes the space's first control entry."""
        epoch, space = Epoch(os.urandom(32)), self.device.space.space_id
        self.control = Space(self.device).open_log("control", epoch)
        records = [
            (control.SPACE_NAME, name.encode()),
            (control.PARTITION, b"main"),
            (control.DEVICE, self.device.credential),
        ]
        self._append(key_epoch(space, epoch, None, 0, [crypto.x25519_public(self.keys.hpke)]), records)
        return self.control

    def _append(self, record: bytes, records: list[tuple[int, bytes]]) -> None:
        plain = log.deflate(control.encode_records(records))
        sections = [Plain(record, None), Plain(plain, self.control.epoch.records_key)]
        self.control.append(Header(log.CONTROL, now_ms()), sections, log.OPEN)

    def invite(self, port: int) -> Invite:
        secret, expires_ms = os.urandom(32), now_ms() + 600_000
        noise = crypto.x25519_public(self.keys.noise)
        return Invite([f"127.0.0.1:{port}"], self.device.space.space_id, noise, secret, expires_ms)

    def admit(self, stream: socket.socket, invite: Invite) -> Claim:
        """The inviter's side of pattern 2, up to the joiner hanging up."""
        link = Link(stream, Noise(wire.XXPSK0, False, self.keys.noise, invite.psk), dialled=False)
        mine = plain_hello(self.device.incarnation, self.device.instance, self.device.credential, None)
        link.expect_preamble()
        link.say_hello(mine)
        theirs = link.hello()
        wire.settle(theirs, mine, wire.preamble(wire.XXPSK0))
        need(theirs.claim is not None, "a credential instead of a claim")
        claim = Claim.decode(theirs.claim)
        need(claim.noise == link.noise.peer_static, "the Noise key is not the one that was proved")
        credential = self.certify(theirs.claim)
        self._know(claim, credential)
        link.send_plaintext(b"\0" + prefixed(credential) + prefixed(self.space_bytes))
        need(link.stream.recv(1) == b"", "the joiner did not hang up")
        return claim

    def _know(self, claim: Claim, credential: bytes) -> None:
        """A control entry with the device's record and an epoch that is boxed to it too."""
        space = Space.read(self.device)
        before = space.current()
        epoch, generation = Epoch(os.urandom(32)), space.generations[before.id] + 1
        recipients = [known.claim.hpke for known in space.devices.values()] + [claim.hpke]
        record = key_epoch(space.id, epoch, before, generation, recipients)
        self.control.epoch = epoch
        self._append(record, [(control.DEVICE, credential)])


def key_epoch(space: bytes, epoch: Epoch, before: Epoch | None, generation: int, recipients: list[bytes]) -> bytes:
    """A KeyEpoch record: identity.md 5."""
    body = b"\0" + epoch.id + varint(generation) + crypto.ed25519_public(epoch.admission_seed)
    body += crypto.ed25519_public(epoch.erase_seed)
    if before is None:
        body += b"\0"
    else:
        nonce = os.urandom(24)
        sealed = crypto.seal(epoch.previous_key, nonce, space + epoch.id + before.id, before.key)
        body += b"\1" + before.id + nonce + sealed
    boxes = []
    for hpke in recipients:
        tag = derive("cosmicsync key box tag 1", hpke, epoch.id, length=8)
        enc, sealed = crypto.hpke_seal(hpke, b"cosmicsync key epoch 1" + space, body, epoch.key)
        boxes.append(tag + enc + sealed)
    return body + varint(len(boxes)) + b"".join(sorted(boxes))
