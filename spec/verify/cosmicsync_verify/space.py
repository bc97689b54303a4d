"""What the logs of a space add up to, and writing to it: access.md 2, encryption.md 2, documents.md 1 to 4."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import loro

from . import control, crypto, identity, log, values
from .codec import need
from .identity import Credential, Epoch, KeyEpoch
from .log import Card, Header, Item, Opener, Place, Plain
from .peer import Device, Log


@dataclass
class Update:
    """One opened update of a document."""

    log: bytes
    seq: int
    document: bytes
    data: bytes


@dataclass
class Space:
    """A reading of everything that a device holds."""

    device: Device
    epochs: dict[bytes, Epoch] = field(default_factory=dict)
    generations: dict[bytes, int] = field(default_factory=dict)
    devices: dict[bytes, Credential] = field(default_factory=dict)
    owners: dict[bytes, bytes] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    admitted: set[bytes] = field(default_factory=set)
    trusted: set[bytes] = field(default_factory=set)
    records: int = 0

    @classmethod
    def read(cls, device: Device) -> Space:
        space = cls(device)
        space._read_epochs()
        space._verify_cards()
        space._read_records()
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
        return [
            Opener.of(entry, held.card, before, self.epochs[entry.epoch_id(held.card)])
            for entry, before in held.entries
        ]

    def _read_records(self) -> None:
        """Finds out who wrote what: the devices first, then the authors of control logs, then what they say."""
        lists = {name: self._control_entries(name) for name in self.admitted & set(self._control())}
        member = self.device.space.creator.user_id
        for _, records in [entry for entries in lists.values() for entry in entries]:
            self.records += len(records)
            for record in records:
                credential = record.credential() if isinstance(record, control.Device) else None
                if credential and credential.genesis.user_id == member:
                    self.devices[credential.claim.device] = credential
        for name, entries in lists.items():
            first = [record for record in entries[0][1] if isinstance(record, control.LogOpen)] if entries else []
            author = next((r.device for r in first if r.card.log_id == name and self._is_signed(r)), None)
            if author is None:
                continue
            self.owners[name] = author
            for epoch, records in entries:
                self.trusted.add(epoch)
                self._apply(records, author)

    def _control_entries(self, name: bytes) -> list[tuple[bytes, list[control.Record]]]:
        """The epoch and the records of each control entry of a log."""
        found = []
        for opener in self.openers(name):
            if opener.header().kind == log.CONTROL:
                section = 2 if opener.open_section() is not None else 1
                found.append((opener.epoch.id, control.decode_records(opener.records(section))))
        return found

    def _apply(self, records: list[control.Record], author: bytes) -> None:
        for record in records:
            if isinstance(record, control.LogOpen) and record.device == author and self._is_signed(record):
                self.owners[record.card.log_id] = author
            if isinstance(record, control.Named) and record.kind == control.SPACE_NAME:
                self.names.append(record.name)

    def _is_signed(self, record: control.LogOpen) -> bool:
        token = identity.partition_token(self.id, record.partition)
        return record.device in self.devices and record.card.partition_token == token and record.is_signed()

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
                    found.append(Update(name, opener.place.seq, item.document, data))
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
        """Imports the updates of a document, in any order."""
        engine = loro.LoroDoc()
        for update in sorted(found, key=lambda update: (update.log, update.seq)):
            meta = loro.LoroDoc.decode_import_blob_meta(values.within_envelope(update.data), True)
            peers = list(meta.partial_end_vv.sub_vec(meta.partial_start_vv).inner())
            need(peers == [identity.peer_id(update.log)], "operations of another peer")
        engine.import_batch([values.within_envelope(update.data) for update in found])
        return engine.get_deep_value()

    def current(self) -> Epoch:
        """The epoch that new entries are sealed under."""
        newest = max(self.trusted, key=lambda epoch: (self.generations[epoch], epoch))
        return self.epochs[newest]

    # Writing

    def open_log(self, partition: str, epoch: Epoch) -> Writer:
        """A new log of this device, with nothing in it yet."""
        seed = os.urandom(32)
        token = identity.space_token(self.id)
        card = log.make_card(crypto.ed25519_public(seed), token, self.partition(partition)[1], identity.LIVE, epoch)
        return Writer(self.device, card, seed, epoch)

    def write_document(self, collection: str, key: str, value: dict) -> tuple[Writer, Writer]:
        """Opens a control log and a live log, and makes a document in the latter."""
        epoch, device = self.current(), self.device.keys
        records, content = self.open_log("control", epoch), self.open_log("main", epoch)
        statements = [
            control.log_open(records.card, self.partition("control")[0], device.device, device.seed),
            control.log_open(content.card, self.partition("main")[0], device.device, device.seed),
        ]
        plain = log.deflate(control.encode_records(statements))
        records.append(Header(log.CONTROL, now_ms()), [Plain(plain, epoch.records_key)])
        collection_id = identity.collection_id(self.id, collection)
        document = identity.document_id(self.id, collection_id, key)
        update = make_update(identity.peer_id(content.card.log_id), collection, key, value)
        data_seed = os.urandom(16)
        header = Header(log.UPDATE, now_ms(), collections=[collection_id], items=[Item(document, 0, 2, (0, 1), None)])
        box = Plain(data_seed, epoch.key_box_key)
        content.append(header, [box, Plain(log.deflate(update), identity.data_key(data_seed))])
        return records, content

    def write_unread(self, records: Writer, card: Card, seed: bytes, key: str, kind: int) -> None:
        """Announces a log in an own control log, and writes an entry of some kind with a document in it."""
        device, epoch = self.device.keys, self.current()
        statement = control.log_open(card, self.partition("main")[0], device.device, device.seed)
        plain = log.deflate(control.encode_records([statement]))
        records.append(Header(log.CONTROL, now_ms()), [Plain(plain, epoch.records_key)])
        collection = identity.collection_id(self.id, "cities")
        item = Item(identity.document_id(self.id, collection, key), 0, 2, (0, 1), None)
        update = make_update(identity.peer_id(card.log_id), "cities", key, {})
        box, body = os.urandom(16), log.deflate(update)
        header = Header(kind, now_ms(), collections=[collection], items=[item])
        sections = [Plain(box, epoch.key_box_key), Plain(body, identity.data_key(box))]
        Writer(self.device, card, seed, epoch).append(header, sections)

    def edit_document(self, content: Writer, document: bytes, changes: dict) -> None:
        """Sets members of a document that others wrote, in an entry of an own log."""
        found = [update for update in self.updates() if update.document == document]
        engine = loro.LoroDoc()
        engine.peer_id = identity.peer_id(content.card.log_id)
        engine.import_batch([values.within_envelope(update.data) for update in found])
        before = engine.oplog_vv
        for name, item in changes.items():
            engine.get_map("doc").insert(name, item)
        engine.commit()
        update = values.without_envelope(engine.export(loro.ExportMode.Updates(before)))
        header = Header(log.UPDATE, now_ms(), items=[Item(document, None, 2, (0, 1), None)])
        for name in sorted({update.log for update in found} - {content.card.log_id}):
            last = max(update.seq for update in found if update.log == name)
            held = self.device.logs[name]
            h = held.entries[last + 1][1] if last + 1 < len(held.entries) else held.h
            header.deps.append((len(header.logs), last, h[:8]))
            header.logs.append(name)
        seed = os.urandom(16)
        box = Plain(seed, content.epoch.key_box_key)
        content.append(header, [box, Plain(log.deflate(update), identity.data_key(seed))])


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
