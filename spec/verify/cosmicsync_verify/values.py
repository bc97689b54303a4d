"""Documents' values: documents.md 1 and 2."""

from __future__ import annotations

import math
import struct
from typing import Any

from .codec import Reader, need, prefixed, varint, zigzag
from .crypto import derive

DEPTH_MAX = 64
_MAX = 2**63 - 1


def decode(data: bytes) -> Any:
    """A value as Python's own; whole numbers are `int`, floats `float`."""
    reader = Reader(data)
    value = _value(reader, 0)
    reader.finish()
    return value


def _value(reader: Reader, depth: int) -> Any:
    kind = reader.u8()
    need(kind <= 8, "an unknown type of value")
    if kind < 3:
        return (None, False, True)[kind]
    if kind == 3:
        return reader.zigzag()
    if kind == 4:
        number = struct.unpack("<d", reader.array(8))[0]
        need(math.isfinite(number), "a float is not finite")
        return number
    if kind == 5:
        return reader.text(reader.left)
    if kind == 6:
        return reader.bytes(reader.left)
    need(depth < DEPTH_MAX, "a value nests too deep")
    if kind == 7:
        return [_value(reader, depth + 1) for _ in range(reader.count(reader.left))]
    found: dict[str, Any] = {}
    last: bytes | None = None
    for _ in range(reader.count(reader.left)):
        key = reader.text(reader.left)
        raw = key.encode()
        need(last is None or last < raw, "keys are not strictly ascending")
        last = raw
        found[key] = _value(reader, depth + 1)
    return found


def encode(value: Any) -> bytes:
    match value:
        case None:
            return b"\0"
        case bool():
            return b"\2" if value else b"\1"
        case int():
            need(-_MAX - 1 <= value <= _MAX, "a whole number has more than 64 bits")
            return b"\3" + zigzag(value)
        case float():
            need(math.isfinite(value), "a float is not finite")
            return b"\4" + struct.pack("<d", value)
        case str():
            return b"\5" + prefixed(value.encode())
        case bytes():
            return b"\6" + prefixed(value)
        case list():
            return b"\7" + varint(len(value)) + b"".join(encode(item) for item in value)
        case dict():
            pairs = sorted(((key.encode(), item) for key, item in value.items()), key=lambda pair: pair[0])
            return b"\x08" + varint(len(pairs)) + b"".join(prefixed(key) + encode(item) for key, item in pairs)
    raise TypeError(f"{type(value)} is no value of a document")


def digest(value: Any) -> bytes:
    return derive("cosmicsync value 1", encode(value))


# 4. Updates


def within_envelope(update: bytes) -> bytes:
    """An update with the envelope that Loro's own encoding has before it."""
    checked = b"\0\4" + update
    return b"loro" + bytes(12) + struct.pack("<I", xxh32(checked, int.from_bytes(b"LORO", "little"))) + checked


def without_envelope(export: bytes) -> bytes:
    """What an export of updates holds behind its envelope."""
    need(export[20:22] == b"\0\4", "no export of updates")
    return export[22:]


_PRIMES = (2_654_435_761, 2_246_822_519, 3_266_489_917, 668_265_263, 374_761_393)


def xxh32(data: bytes, seed: int) -> int:
    """XXH32, as its specification says."""
    p1, p2, p3, p4, p5 = _PRIMES
    at, found = 0, seed + p5
    if len(data) >= 16:
        lanes = [seed + p1 + p2, seed + p2, seed, seed - p1]
        while at + 16 <= len(data):
            words = struct.unpack_from("<4I", data, at)
            lanes = [_rotated(lane + word * p2, 13) * p1 for lane, word in zip(lanes, words)]
            at += 16
        found = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18)))
    found += len(data)
    while at + 4 <= len(data):
        found = _rotated(found + struct.unpack_from("<I", data, at)[0] * p3, 17) * p4
        at += 4
    for byte in data[at:]:
        found = _rotated(found + byte * p5, 11) * p1
    found &= 0xFFFF_FFFF
    found = (found ^ found >> 15) * p2 & 0xFFFF_FFFF
    found = (found ^ found >> 13) * p3 & 0xFFFF_FFFF
    return found ^ found >> 16


def _rotated(number: int, by: int) -> int:
    number &= 0xFFFF_FFFF
    return (number << by | number >> (32 - by)) & 0xFFFF_FFFF
