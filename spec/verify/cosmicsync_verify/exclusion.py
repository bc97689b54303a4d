"""Forked logs: which history is kept, and what is excluded with the others. exclusion.md 2 and 3."""

from __future__ import annotations

from dataclasses import dataclass

History = list[bytes]


@dataclass(frozen=True)
class At:
    """One entry of a log: of a forked one there may be several at a seq."""

    log: bytes
    seq: int
    h: bytes


def parting(histories: list[History]) -> int:
    """The first seq at which histories differ."""
    return next(at for at, hashes in enumerate(zip(*histories)) if len(set(hashes)) > 1)


def kept(
    histories: list[History], author: tuple[bytes, bytes] | None, citations: list[tuple[bytes, bytes, int, bytes]]
) -> int:
    """The number of the history that is kept; the author is a user and a device, a citation those, a seq and h."""
    left = list(range(len(histories)))
    while len(left) > 1:
        at = parting([histories[history] for history in left])
        branches: dict[bytes, list[int]] = {}
        for history in left:
            branches.setdefault(histories[history][at], []).append(history)

        def rank(first: bytes, at: int = at, branches: dict[bytes, list[int]] = branches) -> tuple[int, int, bytes]:
            chains = [histories[history] for history in branches[first]]
            builds_on = [
                (user, device)
                for user, device, seq, h in citations
                if (author is None or device != author[1])
                and seq >= at
                and any(seq < len(chain) and chain[seq][:8] == h for chain in chains)
            ]
            users = {user for user, _ in builds_on if author is None or user != author[0]}
            return -len(users), -len({device for _, device in builds_on}), first

        left = branches[min(branches, key=rank)]
    return left[0]


def excluded(entries: list[tuple[At, list[At]]], logs: dict[bytes, tuple[list[History], int]]) -> set[int]:
    """Which entries of one document are excluded. Each comes with its deps; each log with its histories and the kept one."""
    out = {number for number, (at, _) in enumerate(entries) if not _is_kept(at, logs)}
    rests_on = [_rests_on(number, entries, logs) for number in range(len(entries))]
    while True:
        more = {number for number, on in enumerate(rests_on) if number not in out and on & out}
        if not more:
            return out
        out |= more


def _is_kept(at: At, logs: dict[bytes, tuple[list[History], int]]) -> bool:
    histories, kept_one = logs[at.log]
    chain = histories[kept_one]
    return len(histories) == 1 or (at.seq < len(chain) and chain[at.seq][:8] == at.h)


def _leads_to(earlier: At, later: At, logs: dict[bytes, tuple[list[History], int]]) -> bool:
    """Whether one entry of a log lies on a history that leads to another of the same log."""
    histories = logs[later.log][0]
    if earlier.log != later.log or earlier.seq > later.seq:
        return False
    if len(histories) == 1:
        return True
    ways = [chain for chain in histories if later.seq < len(chain) and chain[later.seq][:8] == later.h]
    return any(chain[earlier.seq][:8] == earlier.h for chain in ways)


def _rests_on(number: int, entries: list[tuple[At, list[At]]], logs: dict[bytes, tuple[list[History], int]]) -> set[int]:
    """The newest entry here of the own log before this one, and for each dep the newest that leads to it."""
    at, deps = entries[number]
    found = set()
    for later, is_own in [(at, True), *((dep, False) for dep in deps)]:
        before = [
            (other.seq, other_number)
            for other_number, (other, _) in enumerate(entries)
            if _leads_to(other, later, logs) and not (is_own and other.seq == at.seq)
        ]
        if before:
            found.add(max(before)[1])
    return found
