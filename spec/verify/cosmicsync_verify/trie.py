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
    return root(space_items(partitions))


def log_items(tips: dict[bytes, tuple[int, bytes]]) -> dict[bytes, bytes]:
    """The items of a partition's trie."""
    return {log: log_item(log, seq, h) for log, (seq, h) in tips.items()}


def space_items(partitions: dict[bytes, dict[bytes, tuple[int, bytes]]]) -> dict[bytes, bytes]:
    """The items of a space's trie: keys and items are padded with zeros."""
    roots = {token: root(log_items(tips)) for token, tips in partitions.items()}
    return {token + bytes(16): found + bytes(16) for token, found in roots.items() if found != EMPTY}


def under(items: dict[bytes, bytes], path: list[int]) -> list[bytes]:
    """The keys under a path."""
    return [key for key in items if all(nibble(key, depth) == step for depth, step in enumerate(path))]


def inner(items: dict[bytes, bytes], path: list[int]) -> list[bytes | None] | None:
    """The children of the node at a path, if it is an inner one."""
    found = {key: items[key] for key in under(items, path)}
    return children(found, len(path)) if len(found) > LEAF_MAX else None
