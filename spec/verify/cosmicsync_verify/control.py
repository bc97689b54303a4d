"""Records of the control partition: access.md 1."""

from __future__ import annotations

from dataclasses import dataclass

from . import crypto
from .codec import Reader, Refused, need, prefixed, varint
from .identity import Credential
from .log import Card

DEVICE, LOG_OPEN, PARTITION, SPACE_NAME, EPOCH_WANT = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Device:
    data: bytes

    def credential(self) -> Credential | None:
        """None if it does not verify: such a record is passed over."""
        try:
            return Credential.decode(self.data)
        except Refused:
            return None


@dataclass(frozen=True)
class LogOpen:
    card: Card
    partition: bytes
    device: bytes
    signature: bytes

    def is_signed(self) -> bool:
        try:
            crypto.verify(self.device, log_open_message(self.card.log_id), self.signature)
        except Refused:
            return False
        return True


@dataclass(frozen=True)
class Named:
    """A Partition or SpaceName record."""

    kind: int
    name: str


@dataclass(frozen=True)
class EpochWant:
    epoch: bytes


@dataclass(frozen=True)
class Unknown:
    kind: int
    body: bytes


Record = Device | LogOpen | Named | EpochWant | Unknown


def log_open_message(log: bytes) -> bytes:
    return crypto.in_context("cosmicsync log open 1", log)


def decode_records(data: bytes) -> list[Record]:
    reader = Reader(data)
    records = []
    for _ in range(reader.count(1024)):
        kind = reader.varint()
        records.append(_record(kind, reader.bytes(65_536)))
    reader.finish()
    return records


def _record(kind: int, body: bytes) -> Record:
    if kind == DEVICE:
        need(len(body) <= 4096, "a credential is too long")
        return Device(body)
    if kind == LOG_OPEN:
        reader = Reader(body)
        record = LogOpen(Card.decode(reader.bytes(4096)), reader.array(16), reader.array(32), reader.array(64))
        reader.finish()
        return record
    if kind in (PARTITION, SPACE_NAME):
        need(len(body) <= 255, "a name is too long")
        return Named(kind, _utf8(body))
    if kind == EPOCH_WANT:
        need(len(body) == 16, "an epoch id has 16 bytes")
        return EpochWant(body)
    return Unknown(kind, body)


def _utf8(body: bytes) -> str:
    return Reader(prefixed(body)).text(255)


def encode_records(records: list[tuple[int, bytes]]) -> bytes:
    return varint(len(records)) + b"".join(varint(kind) + prefixed(body) for kind, body in records)


def log_open(card: Card, partition: bytes, device: bytes, device_seed: bytes) -> tuple[int, bytes]:
    """A LogOpen record of a device's own log."""
    signature = crypto.sign(device_seed, log_open_message(card.log_id))
    return LOG_OPEN, prefixed(card.encode()) + partition + device + signature
