"""Users, devices, spaces, derived ids, epoch records and invites: identity.md."""

from __future__ import annotations

from dataclasses import dataclass

from . import crypto
from .codec import Reader, base58, need, prefixed, unbase58, varint
from .crypto import derive

INVITE_PREFIX = "cosmicsync-invite1:"
LIVE, BULK = 0, 1


# 1. Derived ids


def partition_id(space: bytes, name: str) -> bytes:
    return derive("cosmicsync partition 1", space, name.encode(), length=16)


def collection_id(space: bytes, name: str) -> bytes:
    return derive("cosmicsync collection 1", space, name.encode(), length=16)


def document_id(space: bytes, collection: bytes, key: str) -> bytes:
    return derive("cosmicsync doc 1", space, collection, key.encode(), length=16)


def space_token(space: bytes) -> bytes:
    return derive("cosmicsync space token 1", space, length=16)


def partition_token(space: bytes, partition: bytes) -> bytes:
    return derive("cosmicsync partition token 1", space, partition, length=16)


def log_id(log_key: bytes, space: bytes, partition: bytes, lane: int, owner_box: bytes) -> bytes:
    """Takes the tokens of space and partition."""
    return derive("cosmicsync log 1", log_key, space, partition, bytes([lane]), owner_box_hash(owner_box))


def owner_box_hash(owner_box: bytes) -> bytes:
    return derive("cosmicsync owner box 1", owner_box)


def peer_id(log: bytes) -> int:
    return int.from_bytes(derive("cosmicsync peer 1", log, length=8), "little")


def recovery_commitment(public: bytes) -> bytes:
    return derive("cosmicsync recovery 1", public)


def did_key(device: bytes) -> str:
    return "did:key:z" + base58(b"\xed\x01" + device)


# 2. Records


@dataclass(frozen=True)
class UserGenesis:
    user_key: bytes
    commitment: bytes
    nonce: bytes
    user_id: bytes

    @classmethod
    def decode(cls, data: bytes) -> UserGenesis:
        reader = Reader(data)
        need(reader.u8() == 0, "an unknown version: update")
        key, commitment, nonce, signature = (reader.array(length) for length in (32, 32, 16, 64))
        reader.finish()
        crypto.verify(key, crypto.in_context("cosmicsync user genesis 1", data[:-64]), signature)
        return cls(key, commitment, nonce, derive("cosmicsync user 1", data))


@dataclass(frozen=True)
class Claim:
    device: bytes
    noise: bytes
    hpke: bytes

    LENGTH = 160

    @classmethod
    def decode(cls, data: bytes) -> Claim:
        reader = Reader(data)
        device, noise, hpke, signature = (reader.array(length) for length in (32, 32, 32, 64))
        reader.finish()
        crypto.verify(device, crypto.in_context("cosmicsync device claim 1", data[:96]), signature)
        crypto.need_x25519(noise)
        crypto.need_x25519(hpke)
        return cls(device, noise, hpke)


@dataclass(frozen=True)
class Certificate:
    user_id: bytes
    claim: Claim
    not_before: int
    not_after: int
    signed: bytes
    signature: bytes

    @classmethod
    def decode(cls, data: bytes) -> Certificate:
        reader = Reader(data)
        need(reader.u8() == 0, "an unknown version: update")
        user, claim = reader.array(32), Claim.decode(reader.array(Claim.LENGTH))
        not_before, not_after = reader.varint(), reader.varint()
        signature = reader.array(64)
        reader.finish()
        need(not_before <= not_after, "a validity ends before it begins")
        return cls(user, claim, not_before, not_after, data[:-64], signature)


@dataclass(frozen=True)
class Credential:
    genesis: UserGenesis
    certificate: Certificate

    @classmethod
    def decode(cls, data: bytes) -> Credential:
        """Decodes and verifies: genesis, its hash, the certificate's signature, the claim."""
        reader = Reader(data)
        genesis = UserGenesis.decode(reader.bytes(4096))
        certificate = Certificate.decode(reader.bytes(4096))
        reader.finish()
        need(certificate.user_id == genesis.user_id, "a certificate of another user")
        body = crypto.in_context("cosmicsync device cert 1", certificate.signed)
        crypto.verify(genesis.user_key, body, certificate.signature)
        return cls(genesis, certificate)

    @property
    def claim(self) -> Claim:
        return self.certificate.claim


@dataclass(frozen=True)
class SpaceGenesis:
    creator: UserGenesis
    nonce: bytes
    space_id: bytes

    @classmethod
    def decode(cls, data: bytes) -> SpaceGenesis:
        reader = Reader(data)
        need(reader.u8() == 0, "an unknown version: update")
        creator = UserGenesis.decode(reader.bytes(4096))
        nonce, signature = reader.array(16), reader.array(64)
        reader.finish()
        crypto.verify(creator.user_key, crypto.in_context("cosmicsync space genesis 1", data[:-64]), signature)
        return cls(creator, nonce, derive("cosmicsync space 1", data))


@dataclass(frozen=True)
class DeviceKeys:
    """A device's own secrets."""

    seed: bytes
    noise: bytes
    hpke: bytes

    @classmethod
    def decode(cls, data: bytes) -> DeviceKeys:
        reader = Reader(data)
        need(reader.u8() == 0, "an unknown version: update")
        keys = cls(reader.array(32), reader.array(32), reader.array(32))
        reader.finish()
        return keys

    @property
    def device(self) -> bytes:
        return crypto.ed25519_public(self.seed)

    def claim(self) -> bytes:
        body = self.device + crypto.x25519_public(self.noise) + crypto.x25519_public(self.hpke)
        return body + crypto.sign(self.seed, crypto.in_context("cosmicsync device claim 1", body))


# 4. Epoch keys and data keys


@dataclass(frozen=True)
class Epoch:
    """All that follows from an epoch key."""

    key: bytes

    @property
    def id(self) -> bytes:
        return derive("cosmicsync epoch 1", self.key, length=16)

    @property
    def header_key(self) -> bytes:
        return derive("cosmicsync epoch header 1", self.key)

    @property
    def records_key(self) -> bytes:
        return derive("cosmicsync epoch records 1", self.key)

    @property
    def key_box_key(self) -> bytes:
        return derive("cosmicsync epoch key box 1", self.key)

    @property
    def owner_key(self) -> bytes:
        return derive("cosmicsync epoch owner 1", self.key)

    @property
    def previous_key(self) -> bytes:
        return derive("cosmicsync epoch previous 1", self.key)

    @property
    def admission_seed(self) -> bytes:
        return derive("cosmicsync epoch admission 1", self.key)

    @property
    def erase_seed(self) -> bytes:
        return derive("cosmicsync epoch erase 1", self.key)


def data_key(seed: bytes) -> bytes:
    return derive("cosmicsync data key 1", seed)


def node_seed(root: bytes, node: int) -> bytes:
    """The seed of a key node, from the one in the key box: encryption.md 5."""
    return _down(root, 1, node)


def _down(seed: bytes, above: int, node: int) -> bytes:
    for bit in f"{node:b}"[above.bit_length() :]:
        both = derive("cosmicsync key tree 1", seed)
        seed = both[16:] if bit == "1" else both[:16]
    return seed


def _is_under(node: int, above: int) -> bool:
    return f"{node:b}".startswith(f"{above:b}")


def seed_from(left: dict[int, bytes], node: int) -> bytes | None:
    """The seed of a key node, from those of others."""
    return next((_down(seed, above, node) for above, seed in left.items() if _is_under(node, above)), None)


def puncture(left: dict[int, bytes], node: int) -> dict[int, bytes]:
    """The seeds to keep when a key node is erased."""
    kept = {at: seed for at, seed in left.items() if not _is_under(node, at) and not _is_under(at, node)}
    for above, seed in left.items():
        if _is_under(node, above):
            way = [node >> up for up in range(node.bit_length() - above.bit_length())]
            kept |= {at ^ 1: _down(seed, above, at ^ 1) for at in way}
    return kept


# 5. Key epoch record


@dataclass(frozen=True)
class KeyEpoch:
    epoch_id: bytes
    generation: int
    admission: bytes
    erase: bytes
    previous: tuple[bytes, bytes, bytes] | None
    boxes: list[tuple[bytes, bytes, bytes]]
    before_boxes: bytes

    @classmethod
    def decode(cls, data: bytes) -> KeyEpoch:
        reader = Reader(data)
        need(reader.u8() == 0, "an unknown version: update")
        epoch_id, generation = reader.array(16), reader.varint(2**32 - 1)
        admission, erase = reader.array(32), reader.array(32)
        previous = (reader.array(16), reader.array(24), reader.array(48)) if reader.flag() else None
        before = data[: reader.at]
        boxes = [(reader.array(8), reader.array(32), reader.array(48)) for _ in range(reader.count(1024))]
        reader.finish()
        tags = [tag for tag, _, _ in boxes]
        need(all(a < b for a, b in zip(tags, tags[1:])), "boxes are not strictly ascending")
        return cls(epoch_id, generation, admission, erase, previous, boxes, before)

    def open(self, hpke_secret: bytes, space: bytes) -> Epoch | None:
        """This device's key, or none if the record holds no box for it that keeps what it promises."""
        tag = derive("cosmicsync key box tag 1", crypto.x25519_public(hpke_secret), self.epoch_id, length=8)
        box = next((box for box in self.boxes if box[0] == tag), None)
        if box is None:
            return None
        info = b"cosmicsync key epoch 1" + space
        epoch = Epoch(crypto.hpke_open(hpke_secret, box[1], info, self.before_boxes, box[2]))
        return epoch if self.is_of(epoch) else None

    def is_of(self, epoch: Epoch) -> bool:
        """Whether id and public keys derive from the key."""
        return (self.epoch_id, self.admission, self.erase) == (
            epoch.id,
            crypto.ed25519_public(epoch.admission_seed),
            crypto.ed25519_public(epoch.erase_seed),
        )

    def open_previous(self, epoch: Epoch, space: bytes) -> Epoch | None:
        """The key of the epoch before, given this one's."""
        if self.previous is None:
            return None
        before_id, nonce, sealed = self.previous
        associated = space + self.epoch_id + before_id
        before = Epoch(crypto.unseal(epoch.previous_key, nonce, associated, sealed))
        return before if before.id == before_id else None


# 6. Invites


@dataclass(frozen=True)
class Invite:
    addresses: list[str]
    space_id: bytes
    inviter: bytes
    secret: bytes
    expires_ms: int

    @classmethod
    def parse(cls, line: str) -> Invite:
        need(line.startswith(INVITE_PREFIX), "not an invite")
        data = unbase58(line.removeprefix(INVITE_PREFIX))
        need(len(data) > 4, "the bytes end early")
        content, check = data[:-4], data[-4:]
        need(derive("cosmicsync invite checksum 1", content, length=4) == check, "the invite is damaged")
        reader = Reader(content)
        addresses = [reader.text(255) for _ in range(reader.count(8, least=1))]
        for address in addresses:
            ok = address and not any(letter.isspace() or ord(letter) < 32 or ord(letter) == 127 for letter in address)
            need(bool(ok), "an address has a character that it must not have")
        invite = cls(addresses, reader.array(32), reader.array(32), reader.array(32), reader.varint())
        reader.finish()
        return invite

    def line(self) -> str:
        content = varint(len(self.addresses)) + b"".join(prefixed(a.encode()) for a in self.addresses)
        content += self.space_id + self.inviter + self.secret + varint(self.expires_ms)
        return INVITE_PREFIX + base58(content + derive("cosmicsync invite checksum 1", content, length=4))

    @property
    def psk(self) -> bytes:
        return derive("cosmicsync invite psk 1", self.secret, self.space_id, self.inviter)
