//! The header of an entry, which is sealed as section 0: the kind of the entry, its dependencies, its documents,
//! and the keys that open their sections.
//!
//! Its handles point into its own tables, except those of the logs that the log's card names. It outlives an erase
//! of the sections that it describes. This module never judges whether its content is allowed (`spec/log.md`,
//! section 5).

use super::compress::{Codec, DecompressError};
use crate::codec::{CodecError, Reader, Write};
use crate::ids::{CollectionId, DocId, LogId, UserId};
use crate::sealed::KeyNode;
use bytes::Bytes;

/// Most logs that one header may name.
pub const LOGS_MAX: usize = 4096;
/// Most dependencies of one entry.
pub const DEPS_MAX: usize = 4096;
/// Most collections that one header may name.
pub const COLLECTIONS_MAX: usize = 4096;
/// Most items of one entry.
pub const ITEMS_MAX: usize = 16_384;
/// Most bytes of a header, uncompressed.
pub const HEADER_BYTES_MAX: usize = 512 * 1024;
/// Most bytes of padding.
pub const PADDING_MAX: usize = 64 * 1024;
/// Most bytes of the extension block.
pub const EXTENSION_MAX: usize = 64 * 1024;

/// First byte of an encoded header.
const VERSION: u8 = 1;
/// Largest distance of a document after the previous one that is written as a distance.
const DOC_STEP_MAX: u64 = u32::MAX as u64;

/// Kind of an entry. The number is the one that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Updates of documents.
    Update = 0,
    /// Access and key records; only in the control partition.
    Control = 1,
    /// The last entry of its log.
    LogClose = 2,
    /// Whole states of documents.
    Snapshot = 3,
    /// History of other logs, as a document's first entry.
    Adopt = 4,
    /// Orders to erase.
    Erase = 5,
    /// Entries that a replica had seen.
    Witness = 6,
    /// Reads and acts of users.
    Audit = 7,
    /// Parts of a large binary value.
    Blob = 8,
}

impl EntryKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Update,
        Self::Control,
        Self::LogClose,
        Self::Snapshot,
        Self::Adopt,
        Self::Erase,
        Self::Witness,
        Self::Audit,
        Self::Blob,
    ];
}

/// An entry that must be present before this one is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dep {
    /// Position in [`Header::logs`].
    pub log: u32,
    /// Seq of the entry in that log.
    pub seq: u64,
    /// The first bytes of the chain hash after the entry: they name the branch, in case the log forks.
    pub h: [u8; 8],
}

/// Place of the key box for a section's data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRef {
    /// In this entry.
    Here {
        /// The key box.
        section: u32,
        /// The node of the box's key tree.
        node: KeyNode,
    },
    /// In an earlier entry of this log.
    Own {
        /// Seq of the entry.
        seq: u64,
        /// The key box.
        section: u32,
        /// The node of the box's key tree.
        node: KeyNode,
    },
    /// In an entry of another log.
    Other {
        /// Position in [`Header::logs`].
        log: u32,
        /// Seq of the entry.
        seq: u64,
        /// The key box.
        section: u32,
        /// The node of the box's key tree.
        node: KeyNode,
    },
    /// No key box: the section is sealed under the epoch's records key.
    Records,
}

impl KeyRef {
    /// Makes a reference to a box of this entry that serves one document.
    pub const fn here(section: u32) -> Self {
        Self::Here { section, node: KeyNode::ROOT }
    }

    /// Returns the node of the box's key tree.
    pub const fn node(self) -> KeyNode {
        match self {
            Self::Here { node, .. } | Self::Own { node, .. } | Self::Other { node, .. } => node,
            Self::Records => KeyNode::ROOT,
        }
    }
}

/// One document in one section, or in a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// The document.
    pub doc: DocId,
    /// For a document that this entry creates: position of its collection in [`Header::collections`].
    pub new_in: Option<u32>,
    /// The section with the document's data.
    pub section: u32,
    /// The part of the section, if several documents share it.
    pub part: Option<u32>,
    /// The key that opens that section.
    pub key: KeyRef,
    /// The records section that the data was compressed against.
    pub dictionary: Option<u32>,
}

/// The plaintext of section 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Kind of the entry.
    pub kind: EntryKind,
    /// The author's wall clock, in milliseconds since the Unix epoch. A hint for people.
    pub wall_ms: u64,
    /// The acting user, as the author claims; `None` for the user of the device.
    pub actor: Option<UserId>,
    /// The logs that `deps` and `items` name, after those that the log's card names.
    pub logs: Vec<LogId>,
    /// Number of the first `logs` that the log's card names: they are not written out.
    pub known: usize,
    /// Dependencies of the entry's documents, beyond this log's own earlier entries.
    pub deps: Vec<Dep>,
    /// The collections that `items` name.
    pub collections: Vec<CollectionId>,
    /// The documents. Ascending order takes least space.
    pub items: Vec<Item>,
    /// Fields of a later version, as they came.
    pub extension: Bytes,
    /// Number of zero bytes that hide the header's true length.
    pub padding: usize,
}

impl Header {
    /// Makes a header without tables.
    pub const fn new(kind: EntryKind, wall_ms: u64) -> Self {
        Self {
            kind,
            wall_ms,
            actor: None,
            logs: Vec::new(),
            known: 0,
            deps: Vec::new(),
            collections: Vec::new(),
            items: Vec::new(),
            extension: Bytes::new(),
            padding: 0,
        }
    }

    /// Makes a header without tables, for an entry in a log whose card names these earlier logs, in this order.
    pub fn after(kind: EntryKind, wall_ms: u64, earlier: &[LogId]) -> Self {
        Self { logs: earlier.to_vec(), known: earlier.len(), ..Self::new(kind, wall_ms) }
    }

    /// Returns the handle of a log, which is added to the table if needed.
    pub fn log_handle(&mut self, log: LogId) -> u32 {
        handle_of(&mut self.logs, log)
    }

    /// Returns the handle of a collection, which is added to the table if needed.
    pub fn collection_handle(&mut self, collection: CollectionId) -> u32 {
        handle_of(&mut self.collections, collection)
    }

    /// Returns the place of the key box that `key` names: log, seq and section. `own` is the entry of this header.
    pub fn key_box(&self, key: KeyRef, own: (LogId, u64)) -> Option<(LogId, u64, u32)> {
        match key {
            KeyRef::Here { section, .. } => Some((own.0, own.1, section)),
            KeyRef::Own { seq, section, .. } => Some((own.0, seq, section)),
            KeyRef::Other { log, seq, section, .. } => Some((*self.logs.get(log as usize)?, seq, section)),
            KeyRef::Records => None,
        }
    }

    /// Returns the padded and compressed form, ready to be sealed: `padding length varint | zeros | compressed
    /// header`.
    ///
    /// Fails if a table is over its limit or a handle points nowhere.
    pub fn pack(&self, codec: &mut Codec) -> Result<Vec<u8>, CodecError> {
        self.check()?;
        if self.padding > PADDING_MAX {
            return Err(CodecError::OutOfRange("padding"));
        }
        let mut plain = Vec::with_capacity(64 + self.items.len() * 8);
        self.encode(&mut plain);
        if plain.len() > HEADER_BYTES_MAX {
            return Err(CodecError::OutOfRange("header length"));
        }
        let mut out = Vec::new();
        out.varint(self.padding as u64);
        out.resize(out.len() + self.padding, 0);
        codec.compress_into(&mut out, &plain, None);
        Ok(out)
    }

    /// Reads the form of [`Self::pack`]. `earlier` are the logs that the card of the entry's log names.
    pub fn unpack(bytes: &[u8], earlier: &[LogId], codec: &mut Codec) -> Result<Self, DecompressError> {
        let mut reader = Reader::new(bytes);
        let padding = reader.bytes(PADDING_MAX, "padding")?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(CodecError::OutOfRange("padding").into());
        }
        let plain = codec.decompress(reader.take_rest(), None, HEADER_BYTES_MAX)?;
        let mut header = Self::decode(&plain, earlier)?;
        header.padding = padding.len();
        Ok(header)
    }

    /// Appends the canonical form, without the padding.
    pub fn encode(&self, out: &mut impl Write) {
        out.byte(VERSION);
        out.byte(self.kind as u8);
        out.varint(self.wall_ms);
        match &self.actor {
            Some(actor) => {
                out.byte(1);
                out.raw(actor.as_bytes());
            }
            None => out.byte(0),
        }
        let logs = self.written_logs();
        out.varint(logs.len() as u64);
        logs.iter().for_each(|log| out.raw(log.as_bytes()));
        out.varint(self.deps.len() as u64);
        for dep in &self.deps {
            out.varint(u64::from(dep.log));
            out.varint(dep.seq);
            out.raw(&dep.h);
        }
        out.varint(self.collections.len() as u64);
        self.collections.iter().for_each(|collection| out.raw(collection.as_bytes()));
        out.varint(self.items.len() as u64);
        let mut last = Last::default();
        self.items.iter().for_each(|item| last.write(item, out));
        out.prefixed(&self.extension);
    }

    /// Reads the form of [`Self::encode`]. `earlier` are the logs that the card of the entry's log names.
    pub fn decode(bytes: &[u8], earlier: &[LogId]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(CodecError::OutOfRange("header version"));
        }
        let kind = usize::from(reader.u8()?);
        let kind = *EntryKind::ALL.get(kind).ok_or(CodecError::OutOfRange("entry kind"))?;
        let mut header = Self::after(kind, reader.varint()?, earlier);
        header.actor = match reader.u8()? {
            0 => None,
            1 => Some(UserId(reader.array()?)),
            _ => return Err(CodecError::OutOfRange("actor")),
        };
        header.logs.extend(table(&mut reader, LOGS_MAX, "log count", 32, |r| Ok(LogId(r.array()?)))?);
        header.deps = table(&mut reader, DEPS_MAX, "dependency count", 10, |r| {
            Ok(Dep { log: u32_from(r, "log handle")?, seq: r.varint()?, h: r.array()? })
        })?;
        header.collections =
            table(&mut reader, COLLECTIONS_MAX, "collection count", 16, |r| Ok(CollectionId(r.array()?)))?;
        let mut last = Last::default();
        header.items = table(&mut reader, ITEMS_MAX, "item count", 5, |r| last.read(r))?;
        header.extension = Bytes::copy_from_slice(reader.bytes(EXTENSION_MAX, "extension")?);
        reader.finish()?;
        header.check()?;
        Ok(header)
    }

    /// Returns the number of items whose document's id is written out, rather than its distance from the one
    /// before.
    pub(super) fn ids_written(&self) -> usize {
        let mut last = Last::default();
        let mut is_far = |item: &Item| {
            let doc = u128::from_be_bytes(item.doc.0);
            let is_far = last.step_to(doc).is_none();
            last.doc = doc;
            is_far
        };
        self.items.iter().filter(|item| is_far(item)).count()
    }

    /// Returns the logs that the header itself names.
    fn written_logs(&self) -> &[LogId] {
        self.logs.get(self.known..).unwrap_or_default()
    }

    /// Checks that tables are within their limits and that handles point into them.
    fn check(&self) -> Result<(), CodecError> {
        let fail = |what| Err(CodecError::OutOfRange(what));
        let points = |handle: u32, len: usize| (handle as usize) < len;
        if self.known > self.logs.len() || self.written_logs().len() > LOGS_MAX || self.deps.len() > DEPS_MAX {
            return fail("log count");
        }
        if self.collections.len() > COLLECTIONS_MAX || self.items.len() > ITEMS_MAX {
            return fail("item count");
        }
        if self.extension.len() > EXTENSION_MAX {
            return fail("extension");
        }
        let keys = self.items.iter().filter_map(|item| match item.key {
            KeyRef::Other { log, .. } => Some(log),
            KeyRef::Here { .. } | KeyRef::Own { .. } | KeyRef::Records => None,
        });
        if !self.deps.iter().map(|dep| dep.log).chain(keys).all(|log| points(log, self.logs.len())) {
            return fail("log handle");
        }
        let mut new_in = self.items.iter().filter_map(|item| item.new_in);
        if !new_in.all(|handle| points(handle, self.collections.len())) {
            return fail("collection handle");
        }
        Ok(())
    }
}

/// Returns the position of an id in a table, after adding it if needed. Such tables are short, so it searches from
/// the end.
fn handle_of<T: PartialEq>(table: &mut Vec<T>, id: T) -> u32 {
    let at = table.iter().rposition(|other| *other == id).unwrap_or_else(|| {
        table.push(id);
        table.len() - 1
    });
    at as u32
}

/// The previous item, which the next one is encoded against.
#[derive(Default)]
struct Last {
    doc: u128,
    section: u32,
    part: Option<u32>,
    boxed_in: u32,
    node: u32,
}

/// First byte of a key reference: the place of the box, and flags for further fields.
mod key_tag {
    pub(super) const HERE: u8 = 0;
    pub(super) const OWN: u8 = 1;
    pub(super) const OTHER: u8 = 2;
    pub(super) const RECORDS: u8 = 3;
    pub(super) const PLACE: u8 = 3;
    /// Flag for a node other than the root.
    pub(super) const NODE: u8 = 4;
    /// Flag for a part of the section.
    pub(super) const PART: u8 = 8;
    pub(super) const KNOWN: u8 = PLACE | NODE | PART;
}

impl Last {
    fn write(&mut self, item: &Item, out: &mut impl Write) {
        let doc = u128::from_be_bytes(item.doc.0);
        match self.step_to(doc) {
            Some(step) => out.varint(step),
            None => {
                out.byte(0);
                out.raw(&item.doc.0);
            }
        }
        out.varint(item.new_in.map_or(0, |handle| u64::from(handle) + 1));
        write_near(out, self.section, item.section);
        let place = match item.key {
            KeyRef::Here { .. } => key_tag::HERE,
            KeyRef::Own { .. } => key_tag::OWN,
            KeyRef::Other { .. } => key_tag::OTHER,
            KeyRef::Records => key_tag::RECORDS,
        };
        let node = item.key.node();
        let said_node = if node == KeyNode::ROOT { 0 } else { key_tag::NODE };
        out.byte(place | said_node | if item.part.is_some() { key_tag::PART } else { 0 });
        if let Some(part) = item.part {
            write_near(out, self.part_after(item.section), part);
        }
        let mut boxed_in = self.boxed_in;
        match item.key {
            KeyRef::Here { section, .. } => {
                write_near(out, self.boxed_in, section);
                boxed_in = section;
            }
            KeyRef::Own { seq, section, .. } => {
                out.varint(seq);
                out.varint(u64::from(section));
            }
            KeyRef::Other { log, seq, section, .. } => {
                out.varint(u64::from(log));
                out.varint(seq);
                out.varint(u64::from(section));
            }
            KeyRef::Records => {}
        }
        if said_node != 0 {
            write_near(out, self.node.wrapping_add(1), node.number());
        }
        out.varint(item.dictionary.map_or(0, |section| u64::from(section) + 1));
        *self = Self { doc, section: item.section, part: item.part, boxed_in, node: node.number() };
    }

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Item, CodecError> {
        let doc = match reader.varint_max(DOC_STEP_MAX, "document step")? {
            0 => {
                let doc = u128::from_be_bytes(reader.array()?);
                if self.step_to(doc).is_some() {
                    return Err(CodecError::NotMinimal);
                }
                doc
            }
            step => self.doc.checked_add(u128::from(step)).ok_or(CodecError::OutOfRange("document step"))?,
        };
        let new_in = read_option(reader, "collection handle")?;
        let section = read_near(reader, self.section, "section")?;
        let tag = reader.u8()?;
        if tag & !key_tag::KNOWN != 0 {
            return Err(CodecError::OutOfRange("key reference"));
        }
        let part = match tag & key_tag::PART {
            0 => None,
            _ => Some(read_near(reader, self.part_after(section), "part")?),
        };
        let mut boxed_in = self.boxed_in;
        let mut node = KeyNode::ROOT;
        let mut key = match tag & key_tag::PLACE {
            key_tag::HERE => {
                boxed_in = read_near(reader, self.boxed_in, "section")?;
                KeyRef::Here { section: boxed_in, node }
            }
            key_tag::OWN => KeyRef::Own { seq: reader.varint()?, section: u32_from(reader, "section")?, node },
            key_tag::OTHER => KeyRef::Other {
                log: u32_from(reader, "log handle")?,
                seq: reader.varint()?,
                section: u32_from(reader, "section")?,
                node,
            },
            _ => KeyRef::Records,
        };
        if tag & key_tag::NODE != 0 {
            let number = read_near(reader, self.node.wrapping_add(1), "key node")?;
            node = KeyNode::new(number).ok_or(CodecError::OutOfRange("key node"))?;
            if node == KeyNode::ROOT {
                return Err(CodecError::NotMinimal);
            }
            match &mut key {
                KeyRef::Here { node: of, .. } | KeyRef::Own { node: of, .. } | KeyRef::Other { node: of, .. } => {
                    *of = node;
                }
                KeyRef::Records => return Err(CodecError::OutOfRange("key reference")),
            }
        }
        let dictionary = read_option(reader, "dictionary")?;
        *self = Self { doc, section, part, boxed_in, node: node.number() };
        Ok(Item { doc: DocId(doc.to_be_bytes()), new_in, section, part, key, dictionary })
    }

    /// Returns the part after that of the previous item, or the first part of another section.
    fn part_after(&self, section: u32) -> u32 {
        self.part.filter(|_| section == self.section).map_or(0, |part| part.wrapping_add(1))
    }

    /// Returns the distance of `doc` after the last one, if it can be written as a step.
    fn step_to(&self, doc: u128) -> Option<u64> {
        let step = u64::try_from(doc.checked_sub(self.doc)?).ok()?;
        (1..=DOC_STEP_MAX).contains(&step).then_some(step)
    }
}

/// Reads a count of at most `max` and that many rows of at least `row_min` bytes.
fn table<'a, T>(
    reader: &mut Reader<'a>,
    max: usize,
    what: &'static str,
    row_min: usize,
    mut row: impl FnMut(&mut Reader<'a>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = reader.count(max, what)?;
    if count > reader.remaining() / row_min {
        return Err(CodecError::Truncated);
    }
    (0..count).map(|_| row(reader)).collect()
}

fn u32_from(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, CodecError> {
    u32::try_from(reader.varint()?).map_err(|_| CodecError::OutOfRange(what))
}

/// Reads `0` for `None`, `n + 1` for `n`.
fn read_option(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<u32>, CodecError> {
    match reader.varint()?.checked_sub(1) {
        None => Ok(None),
        Some(n) => u32::try_from(n).map(Some).map_err(|_| CodecError::OutOfRange(what)),
    }
}

/// Writes `to` as its zigzag distance from `from`: neighbours take one byte.
fn write_near(out: &mut impl Write, from: u32, to: u32) {
    let distance = i64::from(to) - i64::from(from);
    out.varint(((distance << 1) ^ (distance >> 63)) as u64);
}

fn read_near(reader: &mut Reader<'_>, from: u32, what: &'static str) -> Result<u32, CodecError> {
    let zigzag = reader.varint_max(u64::from(u32::MAX) * 2 + 1, what)?;
    let distance = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    u32::try_from(i64::from(from) + distance).map_err(|_| CodecError::OutOfRange(what))
}

#[cfg(test)]
mod tests;
