"""The check of the checks: spoils the vectors, and expects that somebody notices."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator
from typing import Any

from .codec import Refused
from .vectors import Files, checks

#: Members that describe a vector in words.
WORDS = {("log", "pruned", "of"), ("trie", "log_of")}


def self_check(files: Files) -> tuple[int, list[str]]:
    """Spoils every member of every vector. Returns how many times, and where no check noticed."""
    spoiled, unnoticed = 0, []
    for name in files:
        for path, value in _leaves(files[name], (name,)):
            if path in WORDS or (name == "refused" and path[-1] != "bytes"):
                continue
            for worse in _spoil(value, name == "refused"):
                spoiled += 1
                changed = dict(files)
                changed[name] = copy.deepcopy(files[name])
                _put(changed, path, worse)
                if not _notices(changed, name):
                    unnoticed.append("/".join(str(step) for step in path))
    return spoiled, unnoticed


def _notices(files: Files, name: str) -> bool:
    try:
        order = sorted(checks(files), key=lambda check: not check[0].startswith(name))
    except (Refused, KeyError):
        return True
    for _, check in order:
        try:
            check()
        except (Refused, KeyError, IndexError, TypeError, ValueError, zlib.error):
            return True
    return False


def _leaves(value: Any, path: tuple) -> Iterator[tuple[tuple, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(item, (*path, at))
    elif value is not None:
        yield path, value


def _put(top: Any, path: tuple, value: Any) -> None:
    for step in path[:-1]:
        top = top[step]
    top[path[-1]] = value


def _spoil(value: Any, refused: bool) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif refused:
        return
    elif len(value) % 2 == 0 and value and all(letter in "0123456789abcdef" for letter in value):
        for at in sorted({0, len(value) // 4 * 2, len(value) - 2}):
            yield value[:at] + f"{int(value[at : at + 2], 16) ^ 1:02x}" + value[at + 2 :]
    else:
        yield value[:-1] + ("x" if value[-1:] != "x" else "y")
