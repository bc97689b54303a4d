"""Cards, entries, chain, heads, headers, compression and seals: log.md."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from . import crypto
from .codec import Reader, Refused, le32, le64, need, prefixed, varint, zigzag
from .crypto import derive
from .identity import Epoch, data_key, log_id, node_seed, owner_box_hash

OWNER_BOX_MAX = 3_584
PREV_MAX = 64
FOUNDER_GRANT = 0
ENTRY_BYTES_MAX = 524_288
SECTIONS_MAX = 16_384
PLAIN_BYTES_MAX = 262_144
HEADER_BYTES_MAX = 524_288
TABLE_MAX = 4_096
START_BYTES_MAX = 1_024
EPOCH, OPEN = 1, 2
UPDATE, CONTROL, LOG_CLOSE = 0, 1, 2
NODE, PART = 4, 8


# 1. Log card


@dataclass(frozen=True)
class Card:
    log_key: bytes
    space_token: bytes
    partition_token: bytes
    lane: int
    epoch_id: bytes
    owner_box: bytes = b""
    admission: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> Card:
        reader = Reader(data)
        need(reader.u8() == 1, "an unknown version: update")
        log_key, space, partition = reader.array(32), reader.array(16), reader.array(16)
        lane = reader.u8()
        need(lane < 2, "an unknown lane")
        epoch_id, owner_box = reader.array(16), reader.bytes(OWNER_BOX_MAX)
        card = cls(log_key, space, partition, lane, epoch_id, owner_box, reader.array(64))
        reader.finish()
        return card

    def place(self) -> bytes:
        """The five fields that say where the log belongs."""
        return self.log_key + self.space_token + self.partition_token + bytes([self.lane]) + self.epoch_id

    def encode(self) -> bytes:
        return b"\1" + self.place() + prefixed(self.owner_box) + self.admission

    def short(self) -> bytes:
        """As it travels: without the space token."""
        data = self.encode()
        return data[:33] + data[49:]

    @classmethod
    def of_short(cls, data: bytes, space_token: bytes) -> Card:
        return cls.decode(data[:33] + space_token + data[33:])

    def _admitted(self) -> bytes:
        return b"cosmicsync card 1" + self.place() + owner_box_hash(self.owner_box)

    def admit(self, epoch: Epoch) -> Card:
        return replace(self, admission=crypto.sign(epoch.admission_seed, self._admitted()))

    def verify(self, admission_key: bytes) -> None:
        crypto.verify(admission_key, self._admitted(), self.admission)

    @property
    def log_id(self) -> bytes:
        return log_id(self.log_key, self.space_token, self.partition_token, self.lane, self.owner_box)


@dataclass(frozen=True)
class Owner:
    """What an owner box says, once its device's signature verified."""

    device: bytes
    grant: int = FOUNDER_GRANT
    prev: tuple[tuple[bytes, int, bytes], ...] = ()

    def encode(self) -> bytes:
        ends = b"".join(name + varint(seq) + h for name, seq, h in self.prev)
        return self.device + bytes([self.grant]) + varint(len(self.prev)) + ends

    @property
    def earlier(self) -> list[bytes]:
        """The logs that the card names: headers number them first."""
        return [name for name, _, _ in self.prev]

    @classmethod
    def open(cls, card: Card, epoch: Epoch) -> Owner:
        """The owner of a card that this epoch admitted. The device's id is its key; who it is, control says."""
        plain = crypto.unseal(epoch.owner_key, owner_nonce(card), card.place(), card.owner_box)
        reader = Reader(plain)
        device, grant = reader.array(32), reader.u8()
        prev = tuple((reader.array(32), reader.varint(), reader.array(8)) for _ in range(reader.count(PREV_MAX)))
        signature = reader.array(64)
        reader.finish()
        crypto.verify(device, owner_message(card, plain[:-64]), signature)
        need(grant == FOUNDER_GRANT, "a grant that nobody gave")
        return cls(device, grant, prev)


def owner_nonce(card: Card) -> bytes:
    return derive("cosmicsync owner nonce 1", card.log_key, length=24)


def owner_message(card: Card, plain: bytes) -> bytes:
    return crypto.in_context("cosmicsync owner 1", card.place() + plain)


def make_card(place: Card, owner: Owner, device_seed: bytes, epoch: Epoch) -> Card:
    """The card of a new log at a place: `place` is a card without a box yet."""
    plain = owner.encode()
    plain += crypto.sign(device_seed, owner_message(place, plain))
    sealed = crypto.seal(epoch.owner_key, owner_nonce(place), place.place(), plain)
    return replace(place, owner_box=sealed).admit(epoch)


# 2. Entry and 3. Hashes


def section_hash(section: bytes) -> bytes:
    return derive("cosmicsync section 1", section)


@dataclass(frozen=True)
class Entry:
    flags: int
    seq: int
    named_epoch: bytes | None
    nonce: bytes
    lengths: list[int]
    sections: list[bytes | None]
    hashes: list[bytes]

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        reader = Reader(data)
        form, flags = reader.u8(), reader.u8()
        need(form < 2, "an unknown form: update")
        need(flags < 4, "an unknown flag")
        seq = reader.varint()
        named = reader.array(16) if flags & EPOCH else None
        nonce = reader.array(24)
        count = reader.count(SECTIONS_MAX, least=2 if flags & OPEN else 1)
        lengths = [reader.varint() for _ in range(count)]
        need(reader.at + sum(lengths) <= ENTRY_BYTES_MAX, "an entry is too long")
        present = [True] * count
        if form == 1:
            bitmap = reader.array((count + 7) // 8)
            bits = [bitmap[i // 8] >> i % 8 & 1 for i in range(8 * len(bitmap))]
            need(not any(bits[count:]), "a spare bit is set")
            present = [bit == 1 for bit in bits[:count]]
            need(not all(present), "a partial entry lacks nothing")
        sections, hashes = [], []
        for length, here in zip(lengths, present):
            data_or_hash = reader.array(length if here else 32)
            sections.append(data_or_hash if here else None)
            hashes.append(section_hash(data_or_hash) if here else data_or_hash)
        reader.finish()
        return cls(flags, seq, named, nonce, lengths, sections, hashes)

    def encode(self) -> bytes:
        partial = any(section is None for section in self.sections)
        out = bytes([partial, self.flags]) + varint(self.seq) + (self.named_epoch or b"") + self.nonce
        out += varint(len(self.lengths)) + b"".join(varint(length) for length in self.lengths)
        if partial:
            bitmap = bytearray((len(self.sections) + 7) // 8)
            for i, section in enumerate(self.sections):
                bitmap[i // 8] |= (section is not None) << i % 8
            out += bytes(bitmap)
        return out + b"".join(h if s is None else s for s, h in zip(self.sections, self.hashes))

    def epoch_id(self, card: Card) -> bytes:
        return self.named_epoch or card.epoch_id

    @property
    def body_hash(self) -> bytes:
        return derive("cosmicsync body 1", *self.hashes)

    def chain(self, h_prev: bytes, card: Card) -> bytes:
        lengths = b"".join(varint(length) for length in self.lengths)
        return derive(
            "cosmicsync chain 1",
            h_prev,
            bytes([self.flags]),
            le64(self.seq),
            self.epoch_id(card),
            self.nonce,
            varint(len(self.lengths)),
            lengths,
            self.body_hash,
        )


# 4. Head and verification


@dataclass(frozen=True)
class Head:
    seq: int
    h: bytes
    signature: bytes

    @classmethod
    def decode(cls, data: bytes) -> Head:
        reader = Reader(data)
        head = cls(reader.varint(), reader.array(32), reader.array(64))
        reader.finish()
        return head

    def encode(self) -> bytes:
        return varint(self.seq) + self.h + self.signature

    def verify(self, card: Card) -> None:
        crypto.verify(card.log_key, head_message(card.log_id, self.seq, self.h), self.signature)


def head_message(log: bytes, seq: int, h: bytes) -> bytes:
    return b"cosmicsync head 1" + log + le64(seq) + h


def verify_run(
    card: Card, start: int, h_prev: bytes, entries: list[bytes], head: Head
) -> list[tuple[Entry, bytes, bytes]]:
    """Each entry with the chain hash before it and its own, once the whole run is shown to belong to the log."""
    need(bool(entries), "a run is empty")
    out, h = [], h_prev
    for seq, data in enumerate(entries, start):
        entry = Entry.decode(data)
        need(entry.seq == seq, "sequence numbers are not contiguous")
        need(entry.named_epoch != card.epoch_id, "an entry names the epoch of its card")
        before, h = h, entry.chain(h, card)
        out.append((entry, before, h))
    need(head.seq == start + len(entries) - 1, "the head is not that of the last entry")
    need(head.h == h, "the chain does not meet the head")
    head.verify(card)
    return out


# 6. Compression


@dataclass(frozen=True)
class Dictionary:
    start: bytes
    window: bytes

    @classmethod
    def decode(cls, data: bytes) -> Dictionary:
        reader = Reader(data)
        return cls(reader.bytes(START_BYTES_MAX), reader.rest())


def inflate(data: bytes, most: int, dictionary: Dictionary | None = None) -> bytes:
    reader = Reader(data)
    algorithm, length = reader.u8(), reader.varint(most)
    body = reader.rest()
    if algorithm == 0:
        need(len(body) == length, "a plain length is wrong")
        return body
    need(algorithm in (1, 2, 3), "an unknown compression")
    window = b""
    if algorithm > 1:
        need(dictionary is not None, "a dictionary is missing")
        window = dictionary.window[-32_768:]
        body = dictionary.start + body if algorithm == 3 else body
    inflater = zlib.decompressobj(-15, zdict=window) if window else zlib.decompressobj(-15)
    try:
        plain = inflater.decompress(body, length + 1)
    except zlib.error as error:
        raise Refused("data does not inflate") from error
    need(inflater.eof and not inflater.unused_data and len(plain) == length, "a plain length is wrong")
    return plain


def deflate(plain: bytes) -> bytes:
    """The shorter of plain and raw deflate."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflater.compress(plain) + deflater.flush()
    if len(packed) < len(plain):
        return b"\x01" + varint(len(plain)) + packed
    return b"\0" + varint(len(plain)) + plain


# 5. Header


@dataclass(frozen=True)
class Item:
    document: bytes
    new_in: int | None
    section: int
    key: tuple
    dictionary: int | None
    node: int = 1
    part: int | None = None


@dataclass
class _Last:
    """What an item is written against: those before it."""

    document: int = 0
    section: int = 0
    part: int | None = None
    box: int = 0
    node: int = 0

    def part_after(self, section: int) -> int:
        return 0 if self.part is None or section != self.section else (self.part + 1) % 2**32

    @property
    def node_after(self) -> int:
        return (self.node + 1) % 2**32

    def move(self, item: Item) -> None:
        self.document, self.section = int.from_bytes(item.document), item.section
        self.part, self.node = item.part, item.node
        if item.key[0] == 0:
            self.box = item.key[1]


@dataclass
class Header:
    kind: int
    wall_ms: int
    actor: bytes | None = None
    logs: list[bytes] = field(default_factory=list)
    deps: list[tuple[int, int, bytes]] = field(default_factory=list)
    collections: list[bytes] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    extension: bytes = b""
    #: How many of `logs`, from the first on, the log's card names: they are not written out.
    known: int = 0

    @classmethod
    def decode(cls, data: bytes, earlier: Sequence[bytes] = ()) -> Header:
        reader = Reader(data)
        need(reader.u8() == 1, "an unknown version: update")
        kind = reader.u8()
        need(kind <= 8, "an unknown kind")
        wall_ms = reader.varint()
        actor = reader.array(32) if reader.flag() else None
        logs = [*earlier, *(reader.array(32) for _ in range(reader.count(TABLE_MAX)))]
        deps = []
        for _ in range(reader.count(TABLE_MAX)):
            log = reader.varint()
            need(log < len(logs), "a handle points outside its table")
            deps.append((log, reader.varint(), reader.array(8)))
        collections = [reader.array(16) for _ in range(reader.count(TABLE_MAX))]
        header = cls(kind, wall_ms, actor, logs, deps, collections, known=len(earlier))
        last = _Last()
        for _ in range(reader.count(SECTIONS_MAX)):
            header.items.append(_item(reader, last, header))
            last.move(header.items[-1])
        header.extension = reader.bytes(65_536)
        reader.finish()
        return header

    def encode(self) -> bytes:
        out = b"\1" + bytes([self.kind]) + varint(self.wall_ms)
        out += b"\0" if self.actor is None else b"\x01" + self.actor
        written = self.logs[self.known :]
        out += varint(len(written)) + b"".join(written)
        out += varint(len(self.deps)) + b"".join(varint(log) + varint(seq) + h for log, seq, h in self.deps)
        out += varint(len(self.collections)) + b"".join(self.collections)
        out += varint(len(self.items))
        last = _Last()
        for item in self.items:
            step = int.from_bytes(item.document) - last.document
            out += varint(step) if 0 < step < 2**32 else b"\0" + item.document
            out += varint(0 if item.new_in is None else item.new_in + 1) + zigzag(item.section - last.section)
            kind, *at = item.key
            out += bytes([kind | NODE * (item.node != 1) | PART * (item.part is not None)])
            if item.part is not None:
                out += zigzag(item.part - last.part_after(item.section))
            out += zigzag(at[0] - last.box) if kind == 0 else b"".join(varint(part) for part in at)
            if item.node != 1:
                out += zigzag(item.node - last.node_after)
            out += varint(item.dictionary or 0)
            last.move(item)
        return out + prefixed(self.extension)


def _item(reader: Reader, last: _Last, header: Header) -> Item:
    step = reader.varint()
    need(step < 2**32, "a step is too large")
    if step:
        need(last.document + step < 2**128, "a step leads past the last id")
        document = (last.document + step).to_bytes(16)
    else:
        document = reader.array(16)
        difference = int.from_bytes(document) - last.document
        need(not 0 < difference < 2**32, "a document id that a step could have said")
    new_in = reader.varint()
    need(new_in <= len(header.collections), "a handle points outside its table")
    section = _near(reader, last.section)
    tag = reader.u8()
    need(tag < 16, "an unknown kind of key")
    kind, part, node = tag & 3, None, 1
    if tag & PART:
        part = _near(reader, last.part_after(section))
    key: tuple = (kind,)
    if kind == 0:
        key = (0, _near(reader, last.box))
    elif kind in (1, 2):
        if kind == 2:
            log = reader.varint()
            need(log < len(header.logs), "a handle points outside its table")
            key = (2, log)
        key += (reader.varint(), reader.varint(2**32 - 1))
    if tag & NODE:
        need(kind < 3, "a node of no key box")
        node = _near(reader, last.node_after)
        need(node > 1, "a key node that is the root's, or none")
    dictionary = reader.varint(2**32) or None
    return Item(document, new_in - 1 if new_in else None, section, key, dictionary, node, part)


def _near(reader: Reader, before: int) -> int:
    number = before + reader.zigzag()
    need(0 <= number < 2**32, "a section, part or node is out of range")
    return number


def header_in(plaintext: bytes) -> bytes:
    """The header's bytes in the plaintext of section 0, without padding and compression."""
    reader = Reader(plaintext)
    padding = reader.array(reader.varint(65_536))
    need(not any(padding), "padding is not zero")
    return inflate(reader.rest(), HEADER_BYTES_MAX)


# 7. Seals


@dataclass(frozen=True)
class Place:
    """Where an entry stands: what its sections' associated data say."""

    log: bytes
    seq: int
    flags: int
    epoch_id: bytes
    h_prev: bytes

    def associated(self, section: int) -> bytes:
        return self.log + le64(self.seq) + bytes([self.flags]) + self.epoch_id + le32(section) + self.h_prev


def section_nonce(nonce: bytes, section: int) -> bytes:
    last = int.from_bytes(nonce[-4:], "little") ^ section
    return nonce[:-4] + le32(last)


@dataclass(frozen=True)
class Opener:
    """An entry, where it stands, and the key of its epoch."""

    entry: Entry
    place: Place
    epoch: Epoch
    #: The logs that the card of the entry's log names.
    earlier: Sequence[bytes]

    @classmethod
    def of(cls, entry: Entry, card: Card, h_prev: bytes, epoch: Epoch, earlier: Sequence[bytes]) -> Opener:
        place = Place(card.log_id, entry.seq, entry.flags, entry.epoch_id(card), h_prev)
        need(place.epoch_id == epoch.id, "the key of another epoch")
        return cls(entry, place, epoch, earlier)

    def _open(self, section: int, key: bytes) -> bytes:
        need(section < len(self.entry.sections), "no such section")
        sealed = self.entry.sections[section]
        need(sealed is not None, "the section is absent")
        return crypto.unseal(key, section_nonce(self.entry.nonce, section), self.place.associated(section), sealed)

    def header_bytes(self) -> bytes:
        return header_in(self._open(0, self.epoch.header_key))

    def header(self) -> Header:
        return Header.decode(self.header_bytes(), self.earlier)

    def open_section(self) -> bytes | None:
        if not self.entry.flags & OPEN:
            return None
        section = self.entry.sections[1]
        need(section is None or len(section) <= PLAIN_BYTES_MAX, "an open section is too long")
        return section

    def records(self, section: int) -> bytes:
        return inflate(self._open(section, self.epoch.records_key), PLAIN_BYTES_MAX)

    def key_box(self, section: int) -> bytes:
        seed = self._open(section, self.epoch.key_box_key)
        need(len(seed) == 16, "a key box does not hold a seed")
        return seed

    def section(self, item: Item, seed: bytes | None) -> bytes:
        """The body section of an item. `seed` is that of its key box; none for an item under the records key."""
        dictionary = None if item.dictionary is None else Dictionary.decode(self.records(item.dictionary - 1))
        key = self.epoch.records_key if seed is None else data_key(node_seed(seed, item.node))
        return inflate(self._open(item.section, key), PLAIN_BYTES_MAX, dictionary)

    def body(self, item: Item, seed: bytes | None) -> bytes:
        """An item's update."""
        section = self.section(item, seed)
        if item.part is None:
            return section
        reader = Reader(section)
        for _ in range(item.part):
            reader.bytes(len(section))
        return reader.bytes(len(section))

    def items(self) -> list[Item]:
        """The items that say something: section 8, 4."""
        found: list[Item] = []
        for item in self.header().items:
            lengths = self.entry.lengths
            if item.section >= len(lengths) or lengths[item.section] < 16:
                continue
            if item.part is not None and item.part >= lengths[item.section]:
                continue
            last = found[-1] if found else None
            above = item.section > (last.section if last else 0)
            parts = last is not None and last.part is not None and item.part is not None and item.part > last.part
            if above or (parts and item.section == last.section and item.document > last.document):
                found.append(item)
        return found


@dataclass(frozen=True)
class Plain:
    """What a section is to hold: plaintext, and its key; none for an open section."""

    plaintext: bytes
    key: bytes | None


def seal_entry(place: Place, epoch: Epoch, header: Header, sections: list[Plain], randomness: bytes) -> Entry:
    """Writes an entry the way section 7 asks of writers. `sections` follow the header."""
    parts = [Plain(b"\0" + deflate(header.encode()), epoch.header_key), *sections]
    content = crypto.plain_hash(*(le32(len(p.plaintext)) for p in parts), *(p.plaintext for p in parts))
    nonce_key = derive("cosmicsync nonce key 1", epoch.header_key)
    nonce = crypto.keyed(nonce_key, randomness, place.associated(0), content, length=24)
    sealed = [
        p.plaintext if p.key is None else crypto.seal(p.key, section_nonce(nonce, i), place.associated(i), p.plaintext)
        for i, p in enumerate(parts)
    ]
    named = place.epoch_id if place.flags & EPOCH else None
    lengths = [len(section) for section in sealed]
    return Entry(place.flags, place.seq, named, nonce, lengths, list(sealed), [section_hash(s) for s in sealed])
