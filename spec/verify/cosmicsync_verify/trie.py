"""Roots: sync.md 4."""

from __future__ import annotations

from .codec import le64
from .crypto import derive

LEAF_MAX = 16
EMPTY = bytes(16)


def log_item(log: bytes, seq: int, h: bytes) -> bytes:
    return derive("cosmicsync item 1", log, le64(seq), h)


def nibble(key: bytes, depth: int) -> int:
    byte = key[depth // 2]
    return byte & 15 if depth % 2 else byte >> 4


def children(items: dict[bytes, bytes], depth: int) -> list[bytes | None]:
    """The hash of the subtree below each nibble."""
    below: list[dict[bytes, bytes]] = [{} for _ in range(16)]
    for key, item in items.items():
        below[nibble(key, depth)][key] = item
    return [root(part, depth + 1) if part else None for part in below]


def root(items: dict[bytes, bytes], depth: int = 0) -> bytes:
    """The hash of the node that holds `items`: keys and items of 32 bytes each."""
    if not items:
        return EMPTY
    if len(items) <= LEAF_MAX:
        leaf = b"".join(key + items[key] for key in sorted(items))
        return derive("cosmicsync trie 1", b"\0", bytes([len(items)]), leaf, length=16)
    below = children(items, depth)
    bitmap = sum(1 << at for at, child in enumerate(below) if child is not None)
    present = b"".join(child for child in below if child is not None)
    return derive("cosmicsync trie 1", b"\1", bitmap.to_bytes(2, "little"), present, length=16)


def space_root(partitions: dict[bytes, dict[bytes, tuple[int, bytes]]]) -> bytes:
    """The root of a space, from each partition's token and the tips of its logs."""
    items = {}
    for token, tips in partitions.items():
        partition = root({log: log_item(log, seq, h) for log, (seq, h) in tips.items()})
        if partition != EMPTY:
            items[token + bytes(16)] = partition + bytes(16)
    return root(items)
