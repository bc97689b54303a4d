"""Checks against a running node over loopback: handshakes, joining, reading and writing."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from . import crypto, identity, log, peer, values, wire
from .codec import Refused, need, prefixed, varint
from .identity import DeviceKeys, Invite
from .log import Card, Owner
from .node import Node
from .noise_link import REKEY_EVERY
from .peer import DEADLINE_S, Closed, Device, Link, Log
from .session import LIVE_CHANNEL, HeadsSession, Session
from .space import Space, Writer

Check = tuple[str, str, Callable[[], str | None]]

CITY = {"city": "Agawam", "population": 18537, "area": 60.25, "open": True, "mayor": None}
OWN = {"city": "Ōsaka", "population": 2752412, "open": False}


#: wire.md: what it breaks, the channel, the message, the close code.
BROKEN_RULES = [
    ("a number that is not minimal", 0, b"\x0e\x81\x00", 16),
    ("an unknown message", 0, b"\x7f", 16),
    ("a message on another channel than 0", 2, b"\x0e\x01", 18),
    ("an unknown handle", 0, wire.want((77, 0), 0, 1, False), 19),
    ("more answers than nodes", 0, wire.nodes(0, 5, []), 18),
]


IMPORTED = 3_000
SNAPSHOT = 3


class Live:
    """One node and one device of this package, through the checks in their order."""

    def __init__(self, node: Node):
        self.node = node
        self.keys = DeviceKeys(os.urandom(32), os.urandom(32), os.urandom(32))
        self.device: Device | None = None
        self.session: Session | None = None
        self.space: Space | None = None
        self.own: Writer | None = None
        self.handshakes: set[str] = set()
        self.entries_opened = self.entries_written = 0

    def checks(self) -> Iterator[Check]:
        yield "handshake", "a prober with a wrong secret gets no byte", self.wrong_secret
        yield "handshake", "XXpsk0, and the device joins", self.join
        yield "handshake", "another device is refused with the same invite", self.used_invite
        yield "handshake", "XX, and the Hello is read", self.connect
        yield "sync", "everything arrives, verifies and has the root that was told", self.fetch
        yield "entry", "control opens: epochs, cards, devices, owners", self.read_control
        yield "entry", "the document opens and has the value that was put", self.read_document
        yield "sync", "an edit is pushed while the link stands", self.read_push
        yield "entry", "an entry of this device is accepted, acknowledged and read", self.write
        yield "entry", "an edit of the node's document, made while apart, is announced and merged", self.edit
        yield "sync", "a repair walk finds what either side lacks", self.walk
        yield "sync", "an idle reconnect is two messages", self.idle
        yield "entry", "an import opens: a dictionary, and a data key for each document", self.read_import
        yield "entry", "collections have the digest that the node gives them", self.digest
        yield "sync", "a replica of heads is told every tip, and gets the entries that it asks for", self.heads
        yield "entry", "a node that starts again writes a new log, whose card names those before it", self.restart
        yield "entry", "entries cite those that their updates directly build on, and no others", self.cites
        yield "entry", "a log whose card nobody admitted is held and not read", self.unadmitted_log
        yield "entry", "a log in the name of a device that did not sign is held and not read", self.claimed_log
        yield "entry", "a log whose owner box does not open is held and not read", self.log_of_nobody
        yield "entry", "an entry of a later version's kind is held and not read", self.later_kind
        yield "handshake", "both directions rekey after 65,536 messages", self.rekey
        yield "handshake", "XX dialled by the node", self.answer
        yield "refusal", "a run whose head is forged ends the link with BadSignature", self.forged_head
        yield "refusal", "a run whose entry was changed ends the link with BadSignature", self.changed_entry
        yield "refusal", "a card without the epoch's admission ends the link with BadCard", self.unadmitted_card
        yield "refusal", "a card of another space ends the link with BadCard", self.foreign_card
        for what, channel, message, code in BROKEN_RULES:
            yield "refusal", f"{what} ends the link with code {code}", self._rule(channel, message, code)
        yield "refusal", "a Noise key other than the certified one is refused", self.stolen_credential
        yield "refusal", "a stranger is refused", self.stranger

    def figures(self) -> dict[str, int]:
        """What was done."""
        return {
            "handshakes": len(self.handshakes),
            "entries_opened": self.entries_opened,
            "entries_written": self.entries_written,
        }

    def put(self, key: str, value: dict) -> None:
        self.node.run("doc", "put", f"cities/{key}", json.dumps(value))

    def get(self, key: str) -> Any:
        return self.node.run("doc", "get", f"cities/{key}")[0]

    def prepare(self) -> Invite:
        """A space with a document in it, and an invite."""
        self.node.run("space", "create", "atlas")
        self.put("agawam", CITY)
        return Invite.parse(_line(self.node.run("space", "invite")))

    # Handshakes

    def wrong_secret(self) -> None:
        with Link.dial(self.node.address, wire.XXPSK0, self.keys, os.urandom(32)) as link:
            try:
                got = link.stream.recv(1)
            except ConnectionError:
                got = b""
            need(got == b"", "the node answered")

    def join(self) -> str:
        self.invite = self.prepare()
        self.device = peer.join(self.node.address, self.invite, self.keys)
        self.handshakes.add("XXpsk0")
        return f"space {self.device.space.space_id.hex()[:16]}"

    def used_invite(self) -> str:
        other = DeviceKeys(os.urandom(32), os.urandom(32), os.urandom(32))
        try:
            peer.join(self.node.address, self.invite, other)
        except Refused as refused:
            return str(refused)
        raise Refused("a second device was let in")

    def connect(self) -> str:
        assert self.device
        self.session = Session.dial(self.node.address, self.device)
        self.handshakes.add("XX")
        return f"device {self.session.peer.claim.device.hex()[:16]}, incarnation {self.session.incarnation.hex()}"

    # Sync

    def fetch(self) -> str:
        session, device = self.session, self.device
        assert session and device
        need(session.run(lambda: session.settled is not None and session.agrees()), f"roots differ: {state(session)}")
        session.settle()
        count = sum(len(held.entries) for held in device.logs.values())
        need(count > 0, "nothing arrived")
        return f"{count} entries of {len(device.logs)} logs, root {device.root().hex()}"

    def read_control(self) -> str:
        assert self.device and self.session
        self.space = Space.read(self.device)
        need(self.keys.device in self.space.devices, "no record names this device")
        need(self.session.peer.claim.device in self.space.devices, "no record names the node")
        need(set(self.space.owners) == set(self.device.logs), "a log has no owner")
        need("atlas" in self.space.names, "no record names the space")
        return f"{len(self.space.epochs)} epochs, {self.space.records} records"

    def read_document(self) -> str:
        assert self.space and self.device
        found = self.space.document(document_of(self.space, "agawam"))
        need(found["doc"] == CITY and found["meta"]["key"] == "agawam", f"the value is {found}")
        self.entries_opened = sum(len(self.space.openers(name)) for name in self.device.logs)
        return f"digest {values.digest(found['doc']).hex()[:16]}"

    def read_push(self) -> str:
        session, device = self.session, self.device
        assert session and device
        self.put("boston", {"city": "Boston", "population": 675647})
        need(session.run(lambda: session.ranges and self._has("boston") and session.agrees()), state(session))
        session.settle()
        return f"{session.ranges} runs in all"

    def _has(self, key: str) -> bool:
        assert self.device
        space = Space.read(self.device)
        return any(update.document == document_of(space, key) for update in space.updates())

    def write(self) -> str:
        session, device = self.session, self.device
        assert session and device
        self.space = Space.read(device)
        self.own = self.space.write_document("cities", "osaka", OWN)
        name = self.own.card.log_id
        session.push(name)
        session.settle()
        done = session.run(lambda: session.acked.get(name) == 1 and session.agrees())
        need(done, f"not acknowledged: {state(session)}")
        shown = self.get("osaka")
        need(value_in(shown) == OWN, f"`doc get` shows {shown}")
        need(Space.read(device).document(document_of(self.space, "osaka"))["doc"] == OWN, "its own value differs")
        session.leave()
        self.entries_written = 1
        return f"log {name.hex()[:16]}"

    def edit(self) -> str:
        device = self.device
        assert device and self.own
        name = self.own.card.log_id
        space = Space.read(device)
        space.edit_document(self.own, document_of(space, "agawam"), {"mayor": "N. N."})
        session = Session.dial(self.node.address, device)
        done = session.run(lambda: session.acked.get(name) == 2)
        need(done and session.nodes_received == 0, f"not announced: {state(session)}")
        session.settle()
        need(session.run(session.agrees), state(session))
        expected = CITY | {"mayor": "N. N."}
        shown = value_in(self.get("agawam"))
        need(shown == expected, f"`doc get` shows {shown}")
        session.leave()
        self.entries_written += 1
        return f"log {name.hex()[:16]}"

    def walk(self) -> str:
        """Tries with inner nodes: 60 logs that both hold, some that this side loses, a few that the node lacks."""
        device = self.device
        assert device and self.own
        shared = self._new_logs(60)
        session = Session.dial(self.node.address, device)
        need(session.run(lambda: shared <= set(session.acked)), f"not announced: {state(session)}")
        session.settle()
        session.leave()
        content = self.own
        space = Space.read(device)
        space.edit_document(content, document_of(space, "osaka"), {"open": True})
        fresh = self._new_logs(3)
        # A store that lost logs, and its place in the node's journal.
        main = space.partition("main")[1]
        others = {name for name, held in device.logs.items() if held.card.partition_token == main} - fresh - shared
        lost = others - {content.card.log_id} | set(sorted(shared)[:2])
        for name in lost:
            del device.logs[name]
            device.journal.pop(name)
        device.begin_anew()
        session = Session.dial(self.node.address, device)
        wanted = fresh | {content.card.log_id}
        done = session.run(lambda: wanted <= set(session.acked) and lost <= set(device.logs))
        need(done, f"the walk did not end: {state(session)}")
        most = 1 + len(wanted) + len(lost)
        need(1 < session.nodes_sent <= most, f"{session.nodes_sent} nodes sent, more than differ")
        session.settle()
        need(session.run(lambda: session.settled is not None and session.agrees()), state(session))
        need(session.ranges == len(lost), f"{session.ranges} runs for {len(lost)} logs")
        need(value_in(self.get("osaka"))["open"] is True, "the node lacks the entry")
        session.leave()
        self.entries_written += 1 + len(shared | fresh)
        return f"{session.nodes_sent} nodes sent, {session.nodes_received} received"

    def _new_logs(self, count: int) -> set[bytes]:
        """Logs of an empty entry each."""
        assert self.device
        space = Space.read(self.device)
        writers = [space.open_log("main", space.current()) for _ in range(count)]
        for writer in writers:
            writer.append(log.Header(log.UPDATE, 0), [])
        return {writer.card.log_id for writer in writers}

    def idle(self) -> str:
        assert self.device
        session = Session.dial(self.node.address, self.device)
        need(session.run(lambda: session.opened is not None), state(session))
        assert session.opened
        need(session.opened.root == self.device.root(), "the roots differ")
        need(session.opened.cursor is not None, "the node kept no cursor")
        need(not session.run(lambda: session.ranges > 0 or session.settled is not None, 1.0), "the node said more")
        sent = session.link.sent_bytes
        session.leave()
        return f"{sent} bytes sent"

    def read_import(self) -> str:
        device = self.device
        assert device
        rows = {
            f"{at:05}": {"zip": f"{at:05}", "city": f"City {at % 97}", "note": "x" * (at % 60)}
            for at in range(IMPORTED)
        }
        file = self.node.folder.with_name("towns.ndjson")
        file.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
        session = Session.dial(self.node.address, device)
        need(session.run(lambda: session.opened is not None), state(session))
        self.node.run("import", str(file), "--collection", "towns", "--id-column", "zip")
        need(session.run(lambda: self._is_imported() and session.agrees()), state(session))
        session.settle()
        session.leave()
        space = Space.read(device)
        found = space.documents()
        for key, row in rows.items():
            roots = found.get(identity.document_id(space.id, identity.collection_id(space.id, "towns"), key))
            need(roots is not None and roots["doc"] == row, f"document {key} is {roots}")
        described = identity.document_id(space.id, identity.collection_id(space.id, "_collections"), "towns")
        description = {"name": "towns", "format": "ndjson", "id_column": "zip"}
        need(found[described]["doc"] == description, f"the collection's description is {found[described]}")
        return f"{len(rows)} documents"

    def _is_imported(self) -> bool:
        """Whether the bulk log is here to its end."""
        assert self.device
        space = Space.read(self.device)
        bulk = [name for name, held in self.device.logs.items() if held.card.lane == identity.BULK]
        return any(space.openers(name)[-1].header().kind == log.LOG_CLOSE for name in bulk)

    def digest(self) -> str:
        assert self.device
        space, told = Space.read(self.device), self.node.run("space", "digest")[0]
        for collection in told["collections"]:
            count, digest = space.digest(collection["collection"])
            expected = (collection["documents"], collection["digest"])
            need(
                (count, digest.hex()) == expected,
                f"{collection['collection']}: {count}, {digest.hex()}, not {expected}",
            )
        return f"{len(told['collections'])} collections"

    def heads(self) -> str:
        device = self.device
        assert device
        empty = Device(self.keys, device.credential, device.space)
        session = HeadsSession.dial(self.node.address, empty)
        need(session.run(lambda: session.settled is not None and session.agrees()), f"{len(session.heads)} heads")
        need(not session.fetched, "entries came unasked")
        name = next(name for name, held in device.logs.items() if held.card.lane == identity.BULK)
        last = session.heads[name][1].seq
        session.fetch(name, last, 1)
        need(session.run(lambda: (last, 1) in session.fetched), f"fetched {session.fetched}")
        session.leave()
        return f"{len(session.heads)} heads"

    def restart(self) -> str:
        device, mayor = self.device, {"mayor": "M. M."}
        assert device
        before, known = Space.read(device), set(device.logs)
        self.node.restart()
        self.put("osaka", OWN | {"open": True} | mayor)
        session = Session.dial(self.node.address, device)
        need(session.run(lambda: set(device.logs) > known and session.agrees()), state(session))
        session.settle()
        session.leave()
        after = Space.read(device)
        (fresh,) = set(device.logs) - known
        owner, token = after.boxes[fresh], device.logs[fresh].card.partition_token
        earlier = {
            name
            for name, of in before.boxes.items()
            if of.device == owner.device and device.logs[name].card.partition_token == token
        }
        named = {name for held in earlier for name, _, _ in before.boxes[held].prev}
        expected = {after.cite(name, len(device.logs[name].entries) - 1) for name in earlier - named}
        need(set(owner.prev) == expected and expected, f"the card names {len(owner.prev)} logs, not {len(expected)}")
        need(after.document(document_of(after, "osaka"))["doc"]["mayor"] == mayor["mayor"], "the entry does not open")
        return f"{len(expected)} logs named"

    def cites(self) -> str:
        assert self.device
        count = Space.read(self.device).check_cites()
        need(count > 1, "nothing builds on another log")
        return f"{count} entries cited"

    def unadmitted_log(self) -> str:
        return self._unread("nowhere", lambda card: replace(card, epoch_id=os.urandom(16), admission=bytes(64)))

    def claimed_log(self) -> str:
        assert self.device and self.space
        node = next(device for device in self.space.devices if device != self.keys.device)
        epoch = Space.read(self.device).current()
        return self._unread("claimed", lambda card: log.make_card(card, Owner(node), self.keys.seed, epoch))

    def log_of_nobody(self) -> str:
        assert self.device
        epoch = Space.read(self.device).current()
        return self._unread("nobody", lambda card: replace(card, owner_box=os.urandom(150)).admit(epoch))

    def later_kind(self) -> str:
        return self._unread("later", lambda card: card, SNAPSHOT)

    def _unread(self, key: str, change: Callable[[Card], Card], kind: int = log.UPDATE) -> str:
        device = self.device
        assert device
        space = Space.read(device)
        writer = space.open_log("main", space.current())
        card = writer.card = change(writer.card)
        writer.write(space, "cities", key, {}, kind)
        session = Session.dial(self.node.address, device)
        need(session.run(lambda: session.acked.get(card.log_id) == 1 and session.agrees()), state(session))
        session.settle()
        session.leave()
        listed = [shown.get("key") for shown in self.node.run("doc", "list", "cities")]
        need("osaka" in listed and key not in listed, f"`doc list` shows {listed}")
        return f"log {card.log_id.hex()[:16]}"

    def rekey(self) -> str:
        assert self.device
        session = Session.dial(self.node.address, self.device)
        need(session.run(lambda: session.opened is not None), state(session))
        began, link = time.monotonic(), session.link
        while link.noise.opened <= REKEY_EVERY or link.noise.sealed <= REKEY_EVERY:
            nonce = link.noise.sealed
            link.send((0, wire.ping(nonce)))
            need(session.run(lambda nonce=nonce: session.pong == nonce), f"no pong: {state(session)}")
        session.leave()
        return f"{link.noise.opened} messages in {time.monotonic() - began:.1f} s"

    def answer(self) -> str:
        device = self.device
        assert device
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(DEADLINE_S)
            address = f"127.0.0.1:{server.getsockname()[1]}"
            self.node.run("peer", "add", address)
            stream, _ = server.accept()
            stream.settimeout(DEADLINE_S)
            with Link.answer(stream, device.keys, device.hello()) as link:
                theirs = link.hello()
                who = peer.judge(link, theirs, device.hello())
                session = Session(link, device, who, theirs.incarnation)
                need(session.run(lambda: session.opened is not None and session.agrees()), state(session))
                session.leave()
            self.node.run("peer", "remove", address)
        return f"device {who.claim.device.hex()[:16]}"

    # Refusals

    def forged_head(self) -> str:
        return self._spoiled(lambda entry, signature: (entry, bytes([signature[0] ^ 1]) + signature[1:]), 34)

    def changed_entry(self) -> str:
        return self._spoiled(lambda entry, signature: (entry[:-1] + bytes([entry[-1] ^ 1]), signature), 34)

    def _spoiled(self, spoil: Callable[[bytes, bytes], tuple[bytes, bytes]], code: int) -> str:
        session, held = self._new_log(lambda card: card)
        entry, signature = spoil(held.raw[0], held.signature)
        return self._refused_run(session, held.card, entry, signature, code)

    def unadmitted_card(self) -> str:
        session, held = self._new_log(lambda card: replace(card, admission=bytes(64)))
        return self._refused_run(session, held.card, held.raw[0], held.signature, 32)

    def foreign_card(self) -> str:
        session, held = self._new_log(lambda card: replace(card, space_token=bytes(16)))
        return self._refused_run(session, held.card, held.raw[0], held.signature, 32)

    def _new_log(self, change: Callable[[Card], Card]) -> tuple[Session, Log]:
        """A link, and a log of one entry that this device does not keep."""
        assert self.device
        session = Session.dial(self.node.address, self.device)
        kept = dict(self.device.logs)
        space = Space.read(self.device)
        writer = space.open_log("main", space.current())
        writer.card = change(writer.card)
        writer.append(log.Header(log.UPDATE, 0), [])
        held = self.device.logs[writer.card.log_id]
        self.device.logs = kept
        self.device.journal.pop(writer.card.log_id)
        return session, held

    def _refused_run(self, session: Session, card: Card, entry: bytes, signature: bytes, code: int) -> str:
        run = wire.range_from_zero((0, 0), None, card.short(), [entry], signature)
        session.link.send((0, wire.logs(0, 0, [card.log_id])), (LIVE_CHANNEL, run))
        return self._closed(session, code)

    def _closed(self, session: Session, code: int) -> str:
        session.run(lambda: session.closed is not None)
        need(session.closed == code, f"the link ended with {session.closed}, not {code}")
        session.link.stream.close()
        return f"code {code}"

    def _rule(self, channel: int, message: bytes, code: int) -> Callable[[], str]:
        def check() -> str:
            assert self.device
            session = Session.dial(self.node.address, self.device)
            session.run(lambda: session.opened is not None)
            session.link.send((channel, message))
            return self._closed(session, code)

        return check

    def stolen_credential(self) -> None:
        assert self.device
        thief = DeviceKeys(self.keys.seed, os.urandom(32), self.keys.hpke)
        self._silent(thief, self.device.credential)

    def stranger(self) -> None:
        keys = DeviceKeys(os.urandom(32), os.urandom(32), os.urandom(32))
        self._silent(keys, _stranger(keys))

    def _silent(self, keys: DeviceKeys, credential: bytes) -> None:
        """The node ends the handshake without a byte after message 3."""
        with Link.dial(self.node.address, wire.XX, keys) as link:
            link.hello()
            link.say_hello(peer.plain_hello(os.urandom(8), os.urandom(8), credential, None))
            try:
                link.plaintext()
            except (Closed, ConnectionError):
                return
            raise Refused("the node went on")


def _stranger(keys: DeviceKeys) -> bytes:
    """A credential that verifies, of a user whom nobody knows."""
    seed = os.urandom(32)
    body = b"\0" + crypto.ed25519_public(seed) + os.urandom(32) + os.urandom(16)
    genesis = body + crypto.sign(seed, crypto.in_context("cosmicsync user genesis 1", body))
    user = crypto.derive("cosmicsync user 1", genesis)
    cert = b"\0" + user + keys.claim() + varint(0) + varint(2**64 - 1)
    cert += crypto.sign(seed, crypto.in_context("cosmicsync device cert 1", cert))
    return prefixed(genesis) + prefixed(cert)


def document_of(space: Space, key: str) -> bytes:
    return identity.document_id(space.id, identity.collection_id(space.id, "cities"), key)


def state(session: Session) -> str:
    told = session.settled or session.opened
    return (
        f"closed {session.closed}, {session.ranges} runs, acks {len(session.acked)}, "
        f"root {session.device.root().hex()}, told {told.root.hex() if told else 'nothing'}"
    )


def _line(printed: list[Any]) -> str:
    """The invite among what `space invite` printed."""
    for value in printed[0].values():
        if isinstance(value, str) and value.startswith(identity.INVITE_PREFIX):
            return value
    raise Refused(f"no invite in {printed}")


def value_in(shown: Any) -> Any:
    return shown.get("value", shown) if isinstance(shown, dict) else shown
