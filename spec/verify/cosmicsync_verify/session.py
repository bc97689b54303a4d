"""Sync of one space on one link, for a device that follows all: sync.md 2 to 5."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from . import identity, trie, wire
from .codec import need
from .identity import Credential
from .log import Card, Head, verify_run
from .peer import DEADLINE_S, Closed, Device, Link, head_of, judge

CONTROL_CHANNEL, LIVE_CHANNEL = 0, 2


class Session:
    """One space on one link."""

    follows_heads = False

    def __init__(self, link: Link, device: Device, peer: Credential, incarnation: bytes):
        self.link, self.device, self.peer, self.incarnation = link, device, peer, incarnation
        self.token = identity.space_token(device.space.space_id)
        self.mine: list[bytes] = []
        self.theirs: dict[int, bytes] = {}
        self.spaces: list[bytes] = []
        self.opened: wire.Message | None = None
        self.settled: wire.Message | None = None
        self.acked: dict[bytes, int] = {}
        self.ranges = self.nodes_sent = self.nodes_received = 0
        self.pong: int | None = None
        self.closed: int | None = None
        self.walking = False
        self.unanswered = 0
        self.position_sent = self.position_opened = device.position
        cursor = device.cursors.get(peer.claim.device)
        self.cursor = cursor if cursor and cursor[0] == incarnation else None
        blinded = wire.blind(link.noise.hash, link.dialled, self.token)
        self.root_opened = device.root()
        link.send((0, wire.space_open(blinded, device.position, self.cursor, self.root_opened, self.follows_heads)))

    @classmethod
    def dial(cls, address: tuple[str, int], device: Device) -> Self:
        """Connects as a member, by pattern 1."""
        link = Link.dial(address, wire.XX, device.keys)
        theirs = link.hello()
        peer = judge(link, theirs, device.hello())
        need(peer.genesis.user_id == device.space.creator.user_id, "a device of another user")
        link.say_hello(device.hello())
        return cls(link, device, peer, theirs.incarnation)

    def run(self, until: Callable[[], bool], seconds: float = DEADLINE_S) -> bool:
        """Handles what comes until `until()` holds; false if it does not within that time."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                received = self.link.receive(left)
            except (Closed, ConnectionError):
                return until()
            if received is None:
                return False
            self.handle(*received)
        return True

    def handle(self, channel: int, data: bytes) -> None:
        message = wire.decode(data)
        need(channel == 0 or message.name == "range", "a message on the wrong channel")
        handler = getattr(self, f"_{message.name}", None)
        need(handler is not None, f"nothing here answers {message.name}")
        handler(message)

    # 2. Opening

    def _space_open(self, message: wire.Message) -> None:
        self.spaces.append(message.token)
        if message.token != wire.blind(self.link.noise.hash, not self.link.dialled, self.token):
            return
        need(self.opened is None, "a space is opened twice")
        self.opened = message
        if message.root == self.root_opened:
            self._save_cursor(message.position)
        elif self._is_readable(
            self.cursor, self.position_opened, self.incarnation, message.position
        ) and self._is_readable(message.cursor, message.position, self.device.incarnation, self.position_opened):
            self._announce(message)
        else:
            self.walking = True
            if self.link.dialled:
                self._send_nodes([self._node(None, [])])

    @staticmethod
    def _is_readable(cursor: tuple[bytes, int] | None, reader: int, incarnation: bytes, writer: int) -> bool:
        """Whether a reader at this position can read the writer's journal."""
        from_cursor = cursor is not None and cursor[0] == incarnation and cursor[1] <= writer
        return from_cursor or reader == 0 or writer == 0

    def _announce(self, theirs: wire.Message) -> None:
        """Tells what changed here since the peer's cursor."""
        is_current = theirs.cursor is not None and theirs.cursor[0] == self.device.incarnation
        since = theirs.cursor[1] if is_current else 0
        for name, position in sorted(self.device.journal.items(), key=lambda pair: pair[1]):
            if position <= since:
                continue
            if theirs.position == 0:
                self.push(name)
            else:
                tip = len(self.device.logs[name].entries) - 1
                self.link.send((0, wire.changes([(self._introduced(name), tip)])))

    # Handles

    def _introduced(self, name: bytes) -> tuple[int, int]:
        """How to name a log, introduced first where neither side has done so."""
        known = self._known(name)
        if known is None:
            known = len(self.mine), 0
            self.mine.append(name)
            self.link.send((0, wire.logs(0, known[0], [name])))
        return known

    def _known(self, name: bytes) -> tuple[int, int] | None:
        for handle, of in self.theirs.items():
            if of == name:
                return handle, 1
        return (self.mine.index(name), 0) if name in self.mine else None

    def _log_of(self, reference: tuple[int, int]) -> bytes:
        handle, whose = reference
        known = dict(enumerate(self.mine)) if whose else self.theirs
        need(handle in known, "an unknown handle")
        return known[handle]

    def _held(self, name: bytes) -> int:
        """The seq behind the last entry held."""
        held = self.device.logs.get(name)
        return len(held.entries) if held else 0

    # 3. Announcing and streaming

    def push(self, name: bytes, start: int = 0) -> None:
        """Streams a log from an entry on."""
        held = self.device.logs[name]
        control = identity.partition_token(
            self.device.space.space_id, identity.partition_id(self.device.space.space_id, "control")
        )
        channel = CONTROL_CHANNEL if held.card.partition_token == control else LIVE_CHANNEL
        if start == 0:
            known = self._known(name)
            reference = known or (len(self.mine), 0)
            if known is None:
                self.mine.append(name)
            opens = 0 if known is None else None
            run = wire.range_from_zero(reference, opens, held.card.short(), held.raw, held.signature)
        else:
            reference = self._introduced(name)
            run = wire.range_from(reference, start, held.entries[start][1], held.raw[start:], held.signature)
        self.link.send((channel, run))

    def _logs(self, message: wire.Message) -> None:
        for handle, name in enumerate(message.ids, message.first):
            need(self.theirs.setdefault(handle, name) == name, "a handle of two logs")

    def _opened(self, message: wire.Message) -> None:
        """Takes a card that introduces its log."""
        handle, whose = message.log
        need(whose == 0 and message.opens < len(self.spaces), "what introduces a log names no handle or space")
        name = Card.of_short(message.card, self.token).log_id
        need(self.theirs.setdefault(handle, name) == name, "a handle of two logs")

    def _range(self, message: wire.Message) -> None:
        if message.opens is not None:
            self._opened(message)
        name = self._log_of(message.log)
        held = self.device.logs.get(name)
        if message.start == 0:
            card = Card.of_short(message.card, self.token)
        else:
            need(held is not None, "a run of an unknown log")
            card = held.card
        need(card.log_id == name, "the card of another log")
        h_prev = name if message.start == 0 else message.h_prev
        end = self.device.take(card, message.start, h_prev, message.entries, message.signature)
        self.ranges += 1
        self.link.send((0, wire.ack([(self._mirrored(message.log), end)])))

    @staticmethod
    def _mirrored(reference: tuple[int, int]) -> tuple[int, int]:
        """The same log as the receiver of the message names it."""
        return reference[0], 1 - reference[1]

    def _changes(self, message: wire.Message) -> None:
        for reference, tip in message.logs:
            name = self._log_of(reference)
            if self._held(name):
                self.link.send((0, wire.ack([(self._mirrored(reference), min(self._held(name), tip + 1))])))
            self._compare(name, tip)

    def _compare(self, name: bytes, tip: int) -> None:
        """What to do about a log whose tip the peer named."""
        end = self._held(name)
        if end <= tip:
            self.link.send((0, wire.want(self._introduced(name), end, tip + 1 - end, False)))
        elif end > tip + 1:
            self.push(name, tip + 1)

    def _want(self, message: wire.Message) -> None:
        name = self._log_of(message.log)
        need(message.__getattr__("from") < self._held(name), "a log or an entry that is not here")
        self.push(name, message.__getattr__("from"))

    def _ack(self, message: wire.Message) -> None:
        for reference, end in message.logs:
            self.acked[self._log_of(reference)] = end

    def _credit(self, message: wire.Message) -> None:
        """What this peer writes never fills a window."""

    def _pong(self, message: wire.Message) -> None:
        self.pong = message.nonce

    def _ping(self, message: wire.Message) -> None:
        self.link.send((0, wire.pong(message.nonce)))

    # 4. Repair walk

    def _items(self, partition: bytes | None) -> dict[bytes, bytes]:
        tips = self.device.tips()
        return trie.space_items(tips) if partition is None else trie.log_items(tips.get(partition, {}))

    def _node(self, partition: bytes | None, path: list[int]) -> bytes:
        """This side's node at a place."""
        items = self._items(partition)
        inner = trie.inner(items, path)
        if inner is not None:
            return wire.inner_node(partition, path, inner)
        under = sorted(trie.under(items, path))
        if partition is None:
            return wire.leaf_node(None, path, [key[:16] + items[key][:16] for key in under])
        tips = self.device.tips().get(partition, {})
        return wire.leaf_node(partition, path, [key + wire.varint(tips[key][0]) + tips[key][1][:8] for key in under])

    def _send_nodes(self, nodes: list[bytes], answered: int = 0) -> None:
        self.unanswered += len(nodes)
        self.nodes_sent += len(nodes)
        self.link.send((0, wire.nodes(0, answered, nodes)))

    def _nodes(self, message: wire.Message) -> None:
        self.walking = True
        self.unanswered -= message.answered
        need(self.unanswered >= 0, "more nodes are answered than were sent")
        replies: list[bytes] = []
        for node in message.nodes:
            self.nodes_received += 1
            self._answer(node, replies)
        if message.nodes:
            self._send_nodes(replies, len(message.nodes))
        if self.unanswered == 0:
            self.walking = False

    def _answer(self, node: dict, replies: list[bytes]) -> None:
        partition, path = node["partition"], node["path"]
        items = self._items(partition)
        if "inner" in node:
            mine = trie.inner(items, path)
            if mine is None:
                replies.append(self._node(partition, path))
                return
            for at, (own, other) in enumerate(zip(mine, node["inner"])):
                if other is None:
                    self._hand_over(partition, trie.under(items, [*path, at]))
                elif own != other:
                    replies.append(self._node(partition, [*path, at]))
            return
        mine_under = trie.under(items, path)
        if partition is None:
            theirs = {token + bytes(16): root + bytes(16) for token, root in node["leaf"]}
            differ = [key for key, root in theirs.items() if items.get(key) != root]
            replies.extend(self._node(key[:16], []) for key in differ)
            self._hand_over(None, [key for key in mine_under if key not in theirs])
            return
        tips = {name: (seq, h) for name, seq, h in node["leaf"]}
        for name, (seq, h) in tips.items():
            held = self.device.logs.get(name)
            need(self._held(name) != seq + 1 or (held is not None and held.h[:8] == h), "a fork")
            self._compare(name, seq)
        self._hand_over(partition, [key for key in mine_under if key not in tips])

    def _hand_over(self, partition: bytes | None, keys: list[bytes]) -> None:
        """Streams all that the peer lacks."""
        for key in keys:
            if partition is None:
                self._hand_over(key[:16], list(self._items(key[:16])))
            else:
                self.push(key)

    # 5. Settling

    def _settled(self, message: wire.Message) -> None:
        need(message.space < len(self.spaces), "an unknown space")
        self.settled = message
        if message.root == self.device.root():
            self._save_cursor(message.position)

    def _save_cursor(self, position: int) -> None:
        self.device.cursors[self.peer.claim.device] = (self.incarnation, position)

    def _close(self, message: wire.Message) -> None:
        self.closed = message.code

    def root(self) -> bytes:
        return self.device.root()

    def agrees(self) -> bool:
        """Whether the last root that the peer told is this side's."""
        last = self.settled or self.opened
        return last is not None and last.root == self.root()

    def settle(self) -> None:
        """Says where this side stands, once it said all that it has."""
        if self.position_sent != self.device.position or self.nodes_received:
            self.position_sent = self.device.position
            self.link.send((0, wire.settled(0, self.device.position, self.device.root())))

    def leave(self) -> None:
        """Says that nothing more is needed."""
        self.link.send((0, wire.close(0)))
        self.link.stream.close()


class HeadsSession(Session):
    """The same for a store that follows heads: it keeps no entry, and is told the tip of each log."""

    follows_heads = True

    def __init__(self, link: Link, device: Device, peer: Credential, incarnation: bytes):
        self.heads: dict[bytes, tuple[Card, Head]] = {}
        self.fetched: list[tuple[int, int]] = []
        super().__init__(link, device, peer, incarnation)

    def root(self) -> bytes:
        partitions: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
        for name, (card, head) in self.heads.items():
            partitions.setdefault(card.partition_token, {})[name] = (head.seq, head.h)
        return trie.space_root(partitions)

    def _head(self, message: wire.Message) -> None:
        name = self._log_of(message.log)
        known = self.heads.get(name)
        need(message.card is not None or known is not None, "a head of a log without its card")
        card = Card.of_short(message.card, self.token) if message.card is not None else known[0]
        need(card.log_id == name, "the card of another log")
        head = Head(message.seq, message.h, message.signature)
        head.verify(card)
        if known is None or known[1].seq < head.seq:
            self.heads[name] = (card, head)
        self.link.send((0, wire.ack([(self._mirrored(message.log), head.seq + 1)])))

    def fetch(self, name: bytes, start: int, length: int) -> None:
        """Asks for entries."""
        self.link.send((0, wire.want(self._introduced(name), start, length, True)))

    def _range(self, message: wire.Message) -> None:
        if message.opens is not None:
            self._opened(message)
        name = self._log_of(message.log)
        card = self.heads[name][0]
        h_prev = name if message.start == 0 else message.h_prev
        head = head_of(card, message.start, h_prev, message.entries, message.signature)
        run = verify_run(card, message.start, h_prev, message.entries, head)
        self.fetched.append((message.start, len(run)))
        self.link.send((0, wire.ack([(self._mirrored(message.log), head.seq + 1)])))
