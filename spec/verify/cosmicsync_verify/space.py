"""What the logs of a space add up to, and writing to it: access.md 2, encryption.md 2, documents.md 1 to 4."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

import loro

from . import control, crypto, identity, log, values
from .codec import Refused, need
from .identity import Credential, Epoch, KeyEpoch
from .log import Card, Header, Item, Opener, Owner, Place, Plain
from .peer import Device, Log


#: A log, a seq, and the first bytes of the chain hash there.
Cite = tuple[bytes, int, bytes]


@dataclass
class Update:
    """One opened update of a document."""

    log: bytes
    seq: int
    document: bytes
    data: bytes
    cites: frozenset[Cite]

    def span(self) -> tuple[int, int, int]:
        """Its peer, and its first counter and the one behind its last."""
        meta = loro.LoroDoc.decode_import_blob_meta(values.within_envelope(self.data), True)
        spans = meta.partial_end_vv.sub_vec(meta.partial_start_vv).inner()
        need(list(spans) == [identity.peer_id(self.log)], "operations of another peer")
        ((peer, (start, end)),) = spans.items()
        return peer, start, end


@dataclass
class Space:
    """A reading of everything that a device holds."""

    device: Device
    epochs: dict[bytes, Epoch] = field(default_factory=dict)
    generations: dict[bytes, int] = field(default_factory=dict)
    devices: dict[bytes, Credential] = field(default_factory=dict)
    boxes: dict[bytes, Owner] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    admitted: set[bytes] = field(default_factory=set)
    trusted: set[bytes] = field(default_factory=set)
    records: int = 0

    @classmethod
    def read(cls, device: Device) -> Space:
        space = cls(device)
        space._read_epochs()
        space._verify_cards()
        space._read_owners()
        return space

    @property
    def id(self) -> bytes:
        return self.device.space.space_id

    def partition(self, name: str) -> tuple[bytes, bytes]:
        """Id and token of a partition."""
        found = identity.partition_id(self.id, name)
        return found, identity.partition_token(self.id, found)

    def _control(self) -> dict[bytes, Log]:
        token = self.partition("control")[1]
        return {name: held for name, held in self.device.logs.items() if held.card.partition_token == token}

    def _read_epochs(self) -> None:
        """Opens every box for this device, and from there each epoch before."""
        found = []
        for held in self._control().values():
            for entry, _ in held.entries:
                if entry.flags & log.OPEN and entry.sections[1] is not None:
                    found.append(KeyEpoch.decode(entry.sections[1]))
        for record in found:
            self.generations[record.epoch_id] = record.generation
            epoch = record.open(self.device.keys.hpke, self.id)
            if epoch:
                self.epochs[epoch.id] = epoch
        for record in sorted(found, key=lambda record: -record.generation):
            epoch = self.epochs.get(record.epoch_id)
            before = epoch and record.is_of(epoch) and record.open_previous(epoch, self.id)
            if before:
                self.epochs[before.id] = before

    def _verify_cards(self) -> None:
        """Finds the logs that may be read: a card of an epoch without a key admits nothing."""
        for name, held in self.device.logs.items():
            epoch = self.epochs.get(held.card.epoch_id)
            if epoch is not None:
                held.card.verify(crypto.ed25519_public(epoch.admission_seed))
                self.admitted.add(name)

    def openers(self, name: bytes) -> list[Opener]:
        held = self.device.logs[name]
        earlier = Owner.open(held.card, self.epochs[held.card.epoch_id]).earlier
        return [
            Opener.of(entry, held.card, before, self.epochs[entry.epoch_id(held.card)], earlier)
            for entry, before in held.entries
        ]

    def _read_owners(self) -> None:
        """Opens the owner boxes of admitted cards, and reads control: its logs first, each once its device is known."""
        boxes: dict[bytes, Owner] = {}
        for name in self.admitted:
            card = self.device.logs[name].card
            try:
                boxes[name] = Owner.open(card, self.epochs[card.epoch_id])
            except Refused:
                continue
        waiting = {name: self._control_entries(name) for name in boxes.keys() & self._control().keys()}
        while True:
            # The first entry of a control log may introduce its own device.
            known = {
                name: entries
                for name, entries in waiting.items()
                if entries and boxes[name].device in self.devices.keys() | self._devices_in(entries[0][1]).keys()
            }
            if not known:
                break
            for name, entries in known.items():
                self.boxes[name] = boxes[name]
                del waiting[name]
                for epoch, records in entries:
                    self.trusted.add(epoch)
                    self._apply(records)
        tokens = {self.partition(name)[1] for name in {"control", "main", *self.partitions}}
        for name in boxes.keys() - self._control().keys():
            if boxes[name].device in self.devices and self.device.logs[name].card.partition_token in tokens:
                self.boxes[name] = boxes[name]

    def _control_entries(self, name: bytes) -> list[tuple[bytes, list[control.Record]]]:
        """The epoch and the records of each control entry of a log."""
        found = []
        for opener in self.openers(name):
            if opener.header().kind == log.CONTROL:
                section = 2 if opener.open_section() is not None else 1
                found.append((opener.epoch.id, control.decode_records(opener.records(section))))
        return found

    def _devices_in(self, records: list[control.Record]) -> dict[bytes, Credential]:
        """The member's devices that records introduce."""
        found = [record.credential() for record in records if isinstance(record, control.Device)]
        member = self.device.space.creator.user_id
        return {one.claim.device: one for one in found if one and one.genesis.user_id == member}

    def _apply(self, records: list[control.Record]) -> None:
        self.records += len(records)
        self.devices |= self._devices_in(records)
        for record in records:
            if isinstance(record, control.Named):
                (self.names if record.kind == control.SPACE_NAME else self.partitions).append(record.name)

    @property
    def owners(self) -> dict[bytes, bytes]:
        """The device that writes each log that may be read."""
        return {name: owner.device for name, owner in self.boxes.items()}

    def updates(self) -> list[Update]:
        """Every update in the logs that have an owner, opened."""
        found = []
        for name in self.admitted & set(self.owners) - set(self._control()):
            openers = self.openers(name)
            for opener in openers:
                header = opener.header()
                if header.kind != log.UPDATE:
                    continue
                for item in opener.items():
                    data = opener.body(item, self._seed(header, item, opener, openers))
                    cites = frozenset((header.logs[of], seq, h) for of, seq, h in header.deps)
                    found.append(Update(name, opener.place.seq, item.document, data, cites))
        return found

    def _seed(self, header: Header, item: Item, here: Opener, own: list[Opener]) -> bytes | None:
        kind, *at = item.key
        if kind == 0:
            return here.key_box(at[0])
        if kind == 1:
            return own[at[0]].key_box(at[1])
        if kind == 2:
            return self.openers(header.logs[at[0]])[at[1]].key_box(at[2])
        return None

    def documents(self) -> dict[bytes, Any]:
        """Both roots of every document, by id."""
        found: dict[bytes, list[Update]] = {}
        for update in self.updates():
            found.setdefault(update.document, []).append(update)
        return {document: self._materialise(updates) for document, updates in found.items()}

    def document(self, document: bytes) -> Any:
        """Both roots of a document."""
        found = [update for update in self.updates() if update.document == document]
        need(bool(found), "no update of the document")
        return self._materialise(found)

    def digest(self, collection: str) -> tuple[int, bytes]:
        """How many documents a collection has, and its digest: documents.md 10."""
        members = {
            document: roots["doc"]
            for document, roots in self.documents().items()
            if roots["meta"].get("collection") == collection and not roots["meta"].get("deleted")
        }
        parts = [document + values.digest(members[document]) for document in sorted(members)]
        return len(parts), crypto.derive("cosmicsync collection digest 1", *parts)

    @staticmethod
    def _materialise(found: list[Update]) -> Any:
        return replay(found).get_deep_value()

    def cite(self, name: bytes, seq: int) -> Cite:
        """How a header names an entry."""
        held = self.device.logs[name]
        h = held.entries[seq + 1][1] if seq + 1 < len(held.entries) else held.h
        return name, seq, h[:8]

    def check_cites(self) -> int:
        """Headers cite the entries of other logs that their updates directly build on, and no others: log.md 5.

        Returns how many are cited."""
        by_document: dict[bytes, list[Update]] = {}
        for update in self.updates():
            by_document.setdefault(update.document, []).append(update)
        builds_on: dict[tuple[bytes, int], set[Cite]] = {}
        for found in by_document.values():
            spans = [(update, *update.span()) for update in found]
            # Of what an update builds on in one log, the last stands for what is before it.
            newest: dict[tuple[bytes, int], dict[int, int]] = {}
            for change in changes_of(replay(found)):
                update = entry_of(spans, change.peer, change.start)
                last = newest.setdefault((update.log, update.seq), {})
                for peer, counter in change.deps:
                    if peer != change.peer:
                        last[peer] = max(counter, last.get(peer, 0))
            for at, last in newest.items():
                on = [entry_of(spans, peer, counter) for peer, counter in last.items()]
                builds_on.setdefault(at, set()).update(self.cite(other.log, other.seq) for other in on)
        for update in self.updates():
            expected = builds_on.get((update.log, update.seq), set())
            need(update.cites == expected, f"entry {update.seq} cites {len(update.cites)} others, not {len(expected)}")
        return sum(len(cites) for cites in builds_on.values())

    def current(self) -> Epoch:
        """The epoch that new entries are sealed under."""
        newest = max(self.trusted, key=lambda epoch: (self.generations[epoch], epoch))
        return self.epochs[newest]

    # Writing

    def open_log(self, partition: str, epoch: Epoch, owner: Owner | None = None) -> Writer:
        """A new log of this device, or of one that it names, with nothing in it yet."""
        seed, keys = os.urandom(32), self.device.keys
        space, place = identity.space_token(self.id), self.partition(partition)[1]
        blank = Card(crypto.ed25519_public(seed), space, place, identity.LIVE, epoch.id)
        return Writer(self.device, log.make_card(blank, owner or Owner(keys.device), keys.seed, epoch), seed, epoch)

    def write_document(self, collection: str, key: str, value: dict) -> Writer:
        """Opens a live log, and makes a document in it."""
        content = self.open_log("main", self.current())
        content.write(self, collection, key, value, log.UPDATE)
        return content

    def edit_document(self, content: Writer, document: bytes, changes: dict) -> None:
        """Sets members of a document that others wrote, in an entry of an own log."""
        found = [update for update in self.updates() if update.document == document]
        engine, peer = replay(found), identity.peer_id(content.card.log_id)
        engine.peer_id = peer
        before = engine.oplog_vv
        for name, item in changes.items():
            engine.get_map("doc").insert(name, item)
        engine.commit()
        update = values.without_envelope(engine.export(loro.ExportMode.Updates(before)))
        header = Header(log.UPDATE, now_ms(), items=[Item(document, None, 2, (0, 1), None)])
        # The frontier: the operations that the new ones directly build on, as the engine says.
        spans = [(update, *update.span()) for update in found]
        newest = max((c for c in changes_of(engine) if c.peer == peer), key=lambda change: change.start)
        builds_on = [entry_of(spans, *dep) for dep in newest.deps if dep[0] != peer]
        for name, seq, h in sorted({self.cite(other.log, other.seq) for other in builds_on}):
            header.deps.append((len(header.logs), seq, h))
            header.logs.append(name)
        seed = os.urandom(16)
        box = Plain(seed, content.epoch.key_box_key)
        content.append(header, [box, Plain(log.deflate(update), identity.data_key(seed))])


@dataclass(frozen=True)
class Change:
    """A stretch of one peer's operations, and what the first of them directly builds on: (peer, counter)."""

    peer: int
    start: int
    deps: list[tuple[int, int]]


def replay(found: list[Update]) -> loro.LoroDoc:
    """Imports the updates of a document, in any order."""
    engine = loro.LoroDoc()
    for update in found:
        update.span()
    if found:
        status = engine.import_batch([values.within_envelope(update.data) for update in found])
        need(status.pending is None, "an update builds on operations that are not here")
    return engine


def changes_of(engine: loro.LoroDoc) -> list[Change]:
    """Every change of a document, from the engine's export to JSON."""
    told = json.loads(engine.export_json_updates(loro.VersionVector(), engine.oplog_vv))
    peers = [int(peer) for peer in told["peers"]]

    def parse(name: str) -> tuple[int, int]:
        counter, peer = name.split("@")
        return peers[int(peer)], int(counter)

    return [Change(*parse(change["id"]), [parse(dep) for dep in change["deps"]]) for change in told["changes"]]


def entry_of(spans: list[tuple[Update, int, int, int]], peer: int, counter: int) -> Update:
    """The update that brought an operation."""
    found = [update for update, of, start, end in spans if of == peer and start <= counter < end]
    need(len(found) == 1, "an operation that no entry brought")
    return found[0]


@dataclass
class Writer:
    """An own log."""

    device: Device
    card: Card
    seed: bytes
    epoch: Epoch

    def append(self, header: Header, sections: list[Plain], flags: int = 0) -> None:
        name = self.card.log_id
        held = self.device.logs.get(name)
        seq, h_prev = (len(held.entries), held.h) if held else (0, name)
        flags |= 0 if self.epoch.id == self.card.epoch_id else log.EPOCH
        place = Place(name, seq, flags, self.epoch.id, h_prev)
        entry = log.seal_entry(place, self.epoch, header, sections, os.urandom(16))
        h = entry.chain(h_prev, self.card)
        signature = crypto.sign(self.seed, log.head_message(name, seq, h))
        self.device.take(self.card, seq, h_prev, [entry.encode()], signature)

    def write(self, space: Space, collection: str, key: str, value: dict, kind: int) -> None:
        """An entry of some kind that makes a document."""
        collection_id = identity.collection_id(space.id, collection)
        document = identity.document_id(space.id, collection_id, key)
        update = make_update(identity.peer_id(self.card.log_id), collection, key, value)
        seed = os.urandom(16)
        header = Header(kind, now_ms(), collections=[collection_id], items=[Item(document, 0, 2, (0, 1), None)])
        box = Plain(seed, self.epoch.key_box_key)
        self.append(header, [box, Plain(log.deflate(update), identity.data_key(seed))])


def make_update(peer: int, collection: str, key: str, value: dict) -> bytes:
    """The update that makes a document: flat values only."""
    engine = loro.LoroDoc()
    engine.peer_id = peer
    meta, doc = engine.get_map("meta"), engine.get_map("doc")
    meta.insert("collection", collection)
    meta.insert("key", key)
    for name, item in value.items():
        doc.insert(name, item)
    engine.commit()
    return values.without_envelope(engine.export(loro.ExportMode.Updates(loro.VersionVector())))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
