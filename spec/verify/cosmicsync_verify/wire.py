"""Preamble, Hello, frames and messages: handshake.md 2 and 4, wire.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .codec import Reader, need, prefixed, varint
from .crypto import keyed

XX, XXPSK0 = 1, 2
HELLO_BYTES_MAX = 2048
MESSAGE_BYTES_MAX = 1 << 20
CHUNK_BYTES_MAX = 65_519
LOW = 2**62 - 1
INDEX = 2**31 - 1


# handshake.md 2


def preamble(pattern: int) -> bytes:
    return b"CSYN" + bytes([0, 1, pattern, 0])


# handshake.md 4


@dataclass(frozen=True)
class Hello:
    oldest: tuple[int, int]
    newest: tuple[int, int]
    features: list[tuple[int, bool]]
    limits: tuple[int, int, int]
    incarnation: bytes
    instance: bytes
    suites: list[int]
    credential: bytes | None
    claim: bytes | None

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        need(len(data) <= HELLO_BYTES_MAX, "a Hello is too long")
        reader = Reader(data)
        need(reader.u8() == 0, "an unknown version: update")
        oldest, newest = (reader.u8(), reader.u8()), (reader.u8(), reader.u8())
        need(oldest <= newest, "a range of versions is empty")
        features = []
        for _ in range(reader.count(64)):
            number = reader.varint(2**17 - 1)
            features.append((number >> 1, number & 1 == 1))
        ids = [number for number, _ in features]
        need(all(a < b for a, b in zip(ids, ids[1:])), "features are not strictly ascending")
        limits = (reader.varint(), reader.varint(), reader.varint())
        incarnation, instance = reader.array(8), reader.array(8)
        suites = [reader.u8() for _ in range(reader.count(16))]
        need(all(a < b for a, b in zip(suites, suites[1:])), "suites are not strictly ascending")
        joins = reader.flag()
        credential = None if joins else reader.bytes(4096)
        claim = reader.array(160) if joins else None
        reader.finish()
        return cls(oldest, newest, features, limits, incarnation, instance, suites, credential, claim)

    def encode(self) -> bytes:
        out = bytes([0, *self.oldest, *self.newest]) + varint(len(self.features))
        out += b"".join(varint(number << 1 | critical) for number, critical in self.features)
        out += b"".join(varint(limit) for limit in self.limits) + self.incarnation + self.instance
        out += varint(len(self.suites)) + bytes(self.suites)
        return out + (b"\0" + prefixed(self.credential) if self.claim is None else b"\1" + self.claim)


def settle(mine: Hello, theirs: Hello, chosen: bytes) -> tuple[int, int]:
    """The version both reach, given the preamble. Refuses a link that cannot be, or was forced down."""
    version = min(mine.newest, theirs.newest)
    need(version >= mine.oldest and version >= theirs.oldest, "no common version")
    common = set(mine.suites) & set(theirs.suites)
    need(bool(common), "no common suite")
    need(chosen[4] == version[0] and chosen[5] == max(common), "the link was forced down")
    for one, other in ((mine, theirs), (theirs, mine)):
        known = {number for number, _ in other.features}
        need(all(number in known for number, critical in one.features if critical), "a critical feature is unknown")
    return version


# wire.md 3


def frames(plaintext: bytes) -> list[tuple[int, bool, bool, bytes]]:
    """Channel, first, last, chunk of each frame of a plaintext."""
    reader, found = Reader(plaintext), []
    while reader.left:
        header = reader.u8()
        need(header < 32 and header & 7 <= 5, "an unknown header of a frame")
        length = reader.varint(CHUNK_BYTES_MAX)
        need(length > 0, "an empty chunk")
        found.append((header & 7, header & 8 != 0, header & 16 != 0, reader.array(length)))
    return found


def frame(channel: int, message: bytes) -> bytes:
    """A message as frames, each below the largest chunk."""
    out = b""
    for at in range(0, len(message), 16_384):
        chunk = message[at : at + 16_384]
        header = channel | (8 if at == 0 else 0) | (16 if at + len(chunk) == len(message) else 0)
        out += bytes([header]) + prefixed(chunk)
    return out


@dataclass
class Assembly:
    """Messages from frames."""

    open: dict[int, bytes] = field(default_factory=dict)

    def take(self, plaintext: bytes) -> list[tuple[int, bytes]]:
        """Channel and bytes of each message that is complete now."""
        done = []
        for channel, first, last, chunk in frames(plaintext):
            need(first == (channel not in self.open), "a message begins twice or never")
            message = self.open.pop(channel, b"") + chunk
            need(len(message) <= MESSAGE_BYTES_MAX, "a message is too long")
            if last:
                done.append((channel, message))
            else:
                self.open[channel] = message
        return done


# wire.md 4


def blind(handshake_hash: bytes, dialled: bool, space_token: bytes) -> bytes:
    """What stands for a space on one link, said by the side that dialled or did not."""
    return keyed(handshake_hash, bytes([dialled]), space_token, length=16)


@dataclass(frozen=True)
class Message:
    name: str
    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


def decode(data: bytes) -> Message:
    reader = Reader(data)
    kind = reader.u8()
    need(kind in _DECODERS, "an unknown type of message")
    name, decoder = _DECODERS[kind]
    fields = decoder(reader)
    reader.finish()
    return Message(name, fields)


def _logref(r: Reader) -> tuple[int, int]:
    """(handle, 0 of the sender or 1 of the receiver)"""
    number = r.varint(2**32 - 1)
    return number >> 1, number & 1


def _many(r: Reader, one: Any) -> list:
    return [one(r) for _ in range(r.count(4096, least=1))]


def _space_open(r: Reader) -> dict:
    token, position, flags = r.array(16), r.varint(LOW), r.u8()
    need(flags < 4, "an unknown flag")
    cursor = (r.array(8), r.varint(LOW)) if flags & 1 else None
    return {"token": token, "position": position, "cursor": cursor, "heads": flags & 2 != 0, "root": r.array(16)}


def _logs(r: Reader) -> dict:
    return {"space": r.varint(INDEX), "first": r.varint(INDEX), "ids": _many(r, lambda r: r.array(32))}


def _tips(r: Reader) -> dict:
    return {"logs": _many(r, lambda r: (_logref(r), r.varint(LOW)))}


def _nodes(r: Reader) -> dict:
    space, answered = r.varint(INDEX), r.varint(LOW)
    nodes = [_node(r) for _ in range(r.count(1024))]
    need(answered > 0 or bool(nodes), "nodes that say nothing")
    return {"space": space, "answered": answered, "nodes": nodes}


def _node(r: Reader) -> dict:
    kind = r.u8()
    need(kind < 4, "an unknown kind of node")
    partition = r.array(16) if kind & 1 else None
    key_length = 32 if kind & 1 else 16
    depth = r.u8()
    need(depth <= 2 * key_length, "a path is too long")
    packed = r.array((depth + 1) // 2)
    need(depth % 2 == 0 or packed[-1] & 15 == 0, "padding is not zero")
    path = [nibble for byte in packed for nibble in (byte >> 4, byte & 15)][:depth]
    node: dict[str, Any] = {"partition": partition, "path": path}
    if not kind & 2:
        need(depth < 2 * key_length, "an inner node is too deep")
        bitmap = int.from_bytes(r.array(2), "little")
        need(bitmap != 0, "an inner node has no child")
        return node | {"inner": [r.array(16) if bitmap >> at & 1 else None for at in range(16)]}
    count, items = r.u8(), []
    need(count <= 16, "a leaf has too many items")
    for _ in range(count):
        items.append((r.array(32), r.varint(LOW), r.array(8)) if kind & 1 else (r.array(16), r.array(16)))
    keys = [item[0] for item in items]
    need(all(a < b for a, b in zip(keys, keys[1:])), "items are not strictly ascending")
    for key in keys:
        nibbles = [nibble for byte in key for nibble in (byte >> 4, byte & 15)]
        need(nibbles[:depth] == path, "an item is not under the path")
    return node | {"leaf": items}


def _want(r: Reader) -> dict:
    log, start, length = _logref(r), r.varint(LOW), r.varint(LOW)
    need(length >= 1, "an empty span")
    return {"log": log, "from": start, "to": start + length, "again": r.flag()}


def _range(r: Reader) -> dict:
    log, start = _logref(r), r.varint(LOW)
    opens = r.varint(INDEX + 1) if start == 0 else 0
    return {"opens": opens - 1 if opens else None, **_run(r, log, start)}


def _run(r: Reader, log: tuple[int, int], start: int) -> dict:
    card = r.bytes(4096) if start == 0 else None
    h_prev = r.array(32) if start else None
    entries = [r.bytes(r.left) for _ in range(r.count(r.left, least=1))]
    need(all(entries), "an entry is empty")
    return {"log": log, "start": start, "card": card, "h_prev": h_prev, "entries": entries, "signature": r.array(64)}


def _head(r: Reader) -> dict:
    log = _logref(r)
    card = r.bytes(4096) if r.flag() else None
    return {"log": log, "card": card, "seq": r.varint(LOW), "h": r.array(32), "signature": r.array(64)}


def _credit(r: Reader) -> dict:
    channel = r.u8()
    need(channel <= 5, "an unknown class")
    return {"channel": channel, "bytes": r.varint()}


def _gone(r: Reader) -> dict:
    log, start, length, reason = _logref(r), r.varint(LOW), r.varint(LOW), r.u8()
    need(length >= 1 and reason < 4, "an empty span or an unknown reason")
    return {"log": log, "from": start, "to": start + length, "reason": reason}


_DECODERS: dict[int, tuple[str, Any]] = {
    1: ("space_open", _space_open),
    2: ("logs", _logs),
    3: ("changes", _tips),
    4: ("nodes", _nodes),
    5: ("want", _want),
    6: ("want_head", lambda r: {"log": _logref(r), "card": r.flag()}),
    7: ("range", _range),
    8: ("head", _head),
    9: ("ack", _tips),
    10: ("credit", _credit),
    11: ("settled", lambda r: {"space": r.varint(INDEX), "position": r.varint(LOW), "root": r.array(16)}),
    12: ("gone", _gone),
    13: ("fork_hint", lambda r: {"log": _logref(r), "seq": r.varint(LOW), "h": r.array(32)}),
    14: ("ping", lambda r: {"nonce": r.varint()}),
    15: ("pong", lambda r: {"nonce": r.varint()}),
    16: ("app", lambda r: {"kind": r.u8(), "body": r.rest()}),
    17: ("close", lambda r: {"code": r.varint(2**16 - 1), "detail": r.varint(2**16 - 1)}),
    18: (
        "branch_want",
        lambda r: {"log": _logref(r), "seq": r.varint(LOW), "h": r.array(32), "from": r.varint(LOW)},
    ),
    19: ("branch_run", lambda r: _run(r, _logref(r), r.varint(LOW))),
}


# What a peer of this package writes.


def _ref(log: tuple[int, int]) -> bytes:
    return varint(log[0] << 1 | log[1])


def space_open(token: bytes, position: int, cursor: tuple[bytes, int] | None, root: bytes, heads: bool) -> bytes:
    flags = bytes([(cursor is not None) | heads << 1])
    return b"\1" + token + varint(position) + flags + (cursor[0] + varint(cursor[1]) if cursor else b"") + root


def logs(space: int, first: int, ids: list[bytes]) -> bytes:
    return b"\2" + varint(space) + varint(first) + varint(len(ids)) + b"".join(ids)


def want(log: tuple[int, int], start: int, length: int, again: bool) -> bytes:
    return b"\5" + _ref(log) + varint(start) + varint(length) + bytes([again])


def range_from_zero(
    log: tuple[int, int], opens: int | None, card: bytes, entries: list[bytes], signature: bytes
) -> bytes:
    """A run from a log's start. `opens`: the sender's index of the space, where the card introduces the log."""
    packed = b"".join(prefixed(entry) for entry in entries)
    return b"\7" + _ref(log) + b"\0" + varint(0 if opens is None else opens + 1) + prefixed(card) + varint(len(entries)) + packed + signature


def range_from(log: tuple[int, int], start: int, h_prev: bytes, entries: list[bytes], signature: bytes) -> bytes:
    packed = b"".join(prefixed(entry) for entry in entries)
    return b"\7" + _ref(log) + varint(start) + h_prev + varint(len(entries)) + packed + signature


def changes(tips: list[tuple[tuple[int, int], int]]) -> bytes:
    return b"\3" + _tip_list(tips)


def nodes(space: int, answered: int, packed: list[bytes]) -> bytes:
    return b"\4" + varint(space) + varint(answered) + varint(len(packed)) + b"".join(packed)


def _place(partition: bytes | None, path: list[int], leaf: bool) -> bytes:
    kind = (partition is not None) | leaf << 1
    padded = path + [0] * (len(path) % 2)
    steps = bytes(padded[at] << 4 | padded[at + 1] for at in range(0, len(padded), 2))
    return bytes([kind]) + (partition or b"") + bytes([len(path)]) + steps


def inner_node(partition: bytes | None, path: list[int], children: list[bytes | None]) -> bytes:
    bitmap = sum(1 << at for at, child in enumerate(children) if child is not None)
    present = b"".join(child for child in children if child is not None)
    return _place(partition, path, False) + bitmap.to_bytes(2, "little") + present


def leaf_node(partition: bytes | None, path: list[int], items: list[bytes]) -> bytes:
    return _place(partition, path, True) + bytes([len(items)]) + b"".join(items)


def _tip_list(tips: list[tuple[tuple[int, int], int]]) -> bytes:
    return varint(len(tips)) + b"".join(_ref(log) + varint(seq) for log, seq in tips)


def ack(tips: list[tuple[tuple[int, int], int]]) -> bytes:
    return b"\x09" + _tip_list(tips)


def settled(space: int, position: int, root: bytes) -> bytes:
    return b"\x0b" + varint(space) + varint(position) + root


def ping(nonce: int) -> bytes:
    return b"\x0e" + varint(nonce)


def pong(nonce: int) -> bytes:
    return b"\x0f" + varint(nonce)


def close(code: int) -> bytes:
    return b"\x11" + varint(code) + b"\0"
