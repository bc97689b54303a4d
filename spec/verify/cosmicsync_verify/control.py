"""Records of the control partition: access.md 1."""

from __future__ import annotations

from dataclasses import dataclass

from .codec import Reader, Refused, need, prefixed, varint
from .identity import Credential

DEVICE, PARTITION, SPACE_NAME, EPOCH_WANT = 1, 3, 4, 5


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


Record = Device | Named | EpochWant | Unknown


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
