//! The key scheme: the rows that the core keeps, and their bytes (`spec/storage.md`).
//!
//! Numbers in keys are big-endian, so that related rows are neighbours and new ones come at the end.

mod space;

pub(crate) use space::{
    EpochRow, InviteRow, PartitionRow, bodies_row, decode_bodies, decode_device, decode_given, decode_identity,
    decode_space, decode_wanted, device_row, given_row, identity_row, part_key, space_row, wanted_key, wanted_row,
};

use crate::codec::{CodecError, Reader, Write};
use crate::ids::{CollectionId, DeviceId, DocId, DocRef, EntryRef, Incarnation, LogNo, PartNo, SpaceNo};
use crate::log::Head;
use crate::sealed::KeyNode;
use crate::storage::{Op, Scan, Table};
use crate::sync::Cursor;
use bytes::Bytes;

/// Place of one section of a document's history, with the data that opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexRow {
    pub(crate) entry: EntryRef,
    pub(crate) section: u32,
    /// Part of the section, if several documents share it.
    pub(crate) part: Option<u32>,
    /// The key box: entry and section.
    pub(crate) key: (EntryRef, u32),
    /// The node of the box's key tree.
    pub(crate) node: KeyNode,
    pub(crate) dictionary: Option<u32>,
}

/// Key of the row that names this life of the store. It is not in backups: a restored store draws another.
pub const META_INCARNATION: &[u8] = b"incarnation";
/// Key of the row that numbers the next change. It is not in backups, as [`Table::Feed`].
pub const META_FEED: &[u8] = b"feed";
pub(crate) const SECRET_IDENTITY: &[u8] = b"identity";
pub(crate) const SECRET_EPOCH: &[u8] = b"epoch/";
pub(crate) const SECRET_INVITE: &[u8] = b"invite/";
pub(crate) const META_DEVICE: &[u8] = b"device/";
pub(crate) const META_BODIES: &[u8] = b"bodies/";
pub(crate) const META_WANTED: &[u8] = b"wanted/";
pub(crate) const META_GIVEN: &[u8] = b"given/";

/// Bytes that follow the partition in keys of [`Table::Tally`].
const COUNT: u8 = 0;
const DOUBT: u8 = 1;

/// Makes a write of one row.
pub fn put(table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
    Op::Put { table, key: key.into(), value: value.into() }
}

/// Makes the removal of one row.
pub fn delete(table: Table, key: impl Into<Bytes>) -> Op {
    Op::Delete { table, key: key.into() }
}

/// Concatenates the parts of a key.
pub fn key(parts: &[&[u8]]) -> Bytes {
    Bytes::from(parts.concat())
}

/// Returns a scan of all rows whose key begins with `prefix`.
pub fn scan_prefix(table: Table, prefix: &[u8], bytes_max: usize) -> Scan {
    Scan::of(table, Bytes::copy_from_slice(prefix), after_prefix(prefix), bytes_max)
}

/// Returns the same scan from just behind `last`, in its own direction.
pub fn scan_on(scan: &Scan, last: &[u8]) -> Scan {
    if scan.reverse {
        return Scan { to: Bytes::copy_from_slice(last), ..scan.clone() };
    }
    Scan { from: key(&[last, &[0]]), ..scan.clone() }
}

/// Returns the same ascending scan, from behind all keys that begin with `prefix`.
pub(crate) fn scan_behind(scan: &Scan, prefix: &[u8]) -> Scan {
    Scan { from: after_prefix(prefix), ..scan.clone() }
}

/// Returns the least key above all keys with this prefix; empty if there is no such key.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    Bytes::from(end)
}

pub(crate) fn log_key(log: LogNo) -> Bytes {
    key(&[&log.0.to_be_bytes()])
}

/// Returns the key of an entry, and of the head that ends a segment at it.
pub fn entry_key(entry: EntryRef) -> Bytes {
    key(&[&entry.log.0.to_be_bytes(), &entry.seq.to_be_bytes()])
}

pub(crate) fn entry_seq(key: &[u8]) -> Result<u64, CodecError> {
    let mut reader = Reader::new(key);
    reader.take(4)?;
    let seq = reader.array().map(u64::from_be_bytes)?;
    reader.finish().map(|()| seq)
}

/// Returns the row of an entry: the chain hash before it, and its bytes.
pub(crate) fn entry_row(at: EntryRef, h_prev: &[u8; 32], bytes: &[u8]) -> Op {
    put(Table::Entry, entry_key(at), [&h_prev[..], bytes].concat())
}

/// Splits the row of an entry into the chain hash before it and its bytes.
pub(crate) fn split_entry(row: &Bytes) -> Option<([u8; 32], Bytes)> {
    Some((*row.first_chunk::<32>()?, row.slice(32..)))
}

/// Returns the row of a head of a log.
pub(crate) fn head_row(log: LogNo, head: &Head) -> Op {
    let mut row = head.h.to_vec();
    row.raw(&head.signature);
    put(Table::Head, entry_key(EntryRef { log, seq: head.seq }), row)
}

/// Returns the signature from the row of a head.
pub(crate) fn head_signature(row: &[u8]) -> Option<[u8; 64]> {
    row.get(32..)?.try_into().ok()
}

/// One change of a document, as [`Table::Feed`] numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedRow {
    /// Number of the change; changes are numbered without gaps.
    pub number: u64,
    /// The document.
    pub doc: DocRef,
    /// True if this store made the change.
    pub here: bool,
}

impl FeedRow {
    /// Size of a row, with its key, in bytes.
    pub const BYTES: usize = 29;

    /// Returns the key of the change with this number.
    pub fn key(number: u64) -> Bytes {
        key(&[&number.to_be_bytes()])
    }

    pub(crate) fn op(&self) -> Op {
        let Self { number, doc, here } = self;
        let value = [&doc.partition.0.to_be_bytes(), doc.doc.as_ref(), &[u8::from(*here)]].concat();
        put(Table::Feed, Self::key(*number), value)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// Fails if the row is not a valid one.
    pub fn decode(row_key: &[u8], row: &[u8]) -> Result<Self, CodecError> {
        let number = u64::from_be_bytes(Reader::new(row_key).array()?);
        let mut reader = Reader::new(row);
        let partition = PartNo(u32::from_be_bytes(reader.array()?));
        let doc = DocRef { partition, doc: DocId(reader.array()?) };
        Ok(Self { number, doc, here: reader.u8()? == 1 })
    }
}

/// Returns the key of a document's row in [`Table::Value`], which is also the prefix of its keys in
/// [`Table::Index`].
pub fn doc_key(doc: DocRef) -> Bytes {
    key(&[&doc.partition.0.to_be_bytes(), doc.doc.as_ref()])
}

/// Size of the key of a listing, in bytes.
pub const LISTING_BYTES: usize = 36;

/// Returns the key of a document's row in [`Table::Doc`].
pub fn listing_key(doc: DocRef, collection: &CollectionId) -> Bytes {
    key(&[&doc.partition.0.to_be_bytes(), collection.as_ref(), doc.doc.as_ref()])
}

/// Lists a document, and counts it if it was not listed before.
pub(crate) fn list(doc: DocRef, collection: &CollectionId) -> Op {
    Op::Insert { table: Table::Doc, key: listing_key(doc, collection), counter: count_key(doc.partition, collection) }
}

/// Returns the key of the row of [`Table::Tally`] that counts the listed documents of a collection.
pub fn count_key(partition: PartNo, collection: &CollectionId) -> Bytes {
    key(&[&partition.0.to_be_bytes(), &[COUNT], collection.as_ref()])
}

/// Returns the key of the row of [`Table::Tally`] that stores the [`Doubt`] about a document.
pub fn doubt_key(doc: DocRef) -> Bytes {
    key(&[&doc.partition.0.to_be_bytes(), &[DOUBT], doc.doc.as_ref()])
}

/// Returns a scan of the counts of a partition's collections.
pub fn counts_scan(partition: PartNo, bytes_max: usize) -> Scan {
    scan_prefix(Table::Tally, &key(&[&partition.0.to_be_bytes(), &[COUNT]]), bytes_max)
}

/// Returns a scan of a partition's documents that are doubted.
pub fn doubts_scan(partition: PartNo, bytes_max: usize) -> Scan {
    scan_prefix(Table::Tally, &key(&[&partition.0.to_be_bytes(), &[DOUBT]]), bytes_max)
}

/// Returns the collection, or document, from the key of a row of [`Table::Tally`].
///
/// # Errors
/// Fails if the key is not a valid one.
pub fn tally_id(key: &[u8]) -> Result<[u8; 16], CodecError> {
    let mut reader = Reader::new(key);
    reader.take(5)?;
    let id = reader.array()?;
    reader.finish().map(|()| id)
}

/// Doubt whether a listed document exists. Nothing is known that deletes a document without such a row: it is
/// as its import made it, or its value was made and is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The document changed since its value was made: it may be deleted, or not be held here.
    Unknown,
    /// The document is deleted, and belongs to this collection.
    Deleted(CollectionId),
}

impl Doubt {
    pub(crate) fn encode(self) -> Bytes {
        match self {
            Self::Unknown => Bytes::from_static(&[0]),
            Self::Deleted(collection) => key(&[&[1], collection.as_ref()]),
        }
    }

    /// Reads the row of a doubt.
    ///
    /// # Errors
    /// Fails if this version does not write such a row.
    pub fn decode(row: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(row);
        let doubt = match reader.u8()? {
            0 => Self::Unknown,
            1 => Self::Deleted(CollectionId(reader.array()?)),
            _ => return Err(CodecError::OutOfRange("doubt")),
        };
        reader.finish().map(|()| doubt)
    }
}

/// Returns the collection and the document from the key of a row of [`Table::Doc`].
///
/// # Errors
/// Fails if the key is not a valid one.
pub fn listing_parts(key: &[u8]) -> Result<(CollectionId, DocId), CodecError> {
    let mut reader = Reader::new(key);
    reader.take(4)?;
    let parts = (CollectionId(reader.array()?), DocId(reader.array()?));
    reader.finish().map(|()| parts)
}

/// Returns the entry from the key of a row of [`Table::Index`].
///
/// # Errors
/// Fails if the key is not a valid one.
pub fn index_place(key: &[u8]) -> Result<EntryRef, CodecError> {
    let mut reader = Reader::new(key);
    reader.take(4 + DocId::LEN)?;
    let entry = EntryRef { log: LogNo(u32::from_be_bytes(reader.array()?)), seq: u64::from_be_bytes(reader.array()?) };
    reader.take(4)?;
    reader.finish().map(|()| entry)
}

impl IndexRow {
    pub(crate) fn op(&self, doc: DocRef) -> Op {
        let row_key = key(&[
            &doc_key(doc),
            &self.entry.log.0.to_be_bytes(),
            &self.entry.seq.to_be_bytes(),
            &self.section.to_be_bytes(),
        ]);
        let mut value = Vec::with_capacity(16);
        value.varint(u64::from(self.key.0.log.0));
        value.varint(self.key.0.seq);
        value.varint(u64::from(self.key.1));
        value.varint(self.dictionary.map_or(0, |section| u64::from(section) + 1));
        value.varint(u64::from(self.node.number()));
        value.varint(self.part.map_or(0, |part| u64::from(part) + 1));
        put(Table::Index, row_key, value)
    }

    pub(crate) fn decode(row_key: &[u8], value: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(row_key);
        reader.take(4 + DocId::LEN)?;
        let entry =
            EntryRef { log: LogNo(u32::from_be_bytes(reader.array()?)), seq: u64::from_be_bytes(reader.array()?) };
        let section = u32::from_be_bytes(reader.array()?);
        reader.finish()?;
        let mut reader = Reader::new(value);
        let log = LogNo(number(&mut reader)?);
        let key = (EntryRef { log, seq: reader.varint()? }, number(&mut reader)?);
        let dictionary = number(&mut reader)?.checked_sub(1);
        let node = KeyNode::new(number(&mut reader)?).ok_or(CodecError::OutOfRange("key node"))?;
        let part = number(&mut reader)?.checked_sub(1);
        reader.finish()?;
        Ok(Self { entry, section, part, key, node, dictionary })
    }
}

/// Reads a varint that fits 32 bits.
pub(crate) fn number(reader: &mut Reader<'_>) -> Result<u32, CodecError> {
    u32::try_from(reader.varint()?).map_err(|_| CodecError::OutOfRange("number"))
}

/// Returns the row of a cursor: the position up to which this store has read a peer's journal of a space.
pub(crate) fn cursor_row(device: &DeviceId, space: SpaceNo, cursor: &Cursor) -> Op {
    let mut row = cursor.incarnation.0.to_vec();
    row.varint(cursor.position);
    put(Table::Peer, key(&[device.as_ref(), &space.0.to_be_bytes()]), row)
}

pub(crate) fn decode_cursor(row_key: &[u8], row: &[u8]) -> Result<((DeviceId, SpaceNo), Cursor), CodecError> {
    let mut reader = Reader::new(row_key);
    let at = (DeviceId(reader.array()?), SpaceNo(u32::from_be_bytes(reader.array()?)));
    reader.finish()?;
    let mut reader = Reader::new(row);
    let cursor = Cursor { incarnation: Incarnation(reader.array()?), position: reader.varint()? };
    reader.finish().map(|()| (at, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_rows_round_trip() {
        let doc = DocRef { partition: PartNo(3), doc: DocId([9; 16]) };
        let row = IndexRow {
            entry: EntryRef { log: LogNo(7), seq: 1 << 40 },
            section: 5,
            part: Some(300),
            key: (EntryRef { log: LogNo(7), seq: 2 }, 4),
            node: KeyNode::leaf(5, 900),
            dictionary: Some(0),
        };
        let Op::Put { key, value, .. } = row.op(doc) else { panic!("a put") };
        assert_eq!(IndexRow::decode(&key, &value), Ok(row));
    }

    #[test]
    fn doubts_round_trip() {
        for doubt in [Doubt::Unknown, Doubt::Deleted(CollectionId([7; 16]))] {
            assert_eq!(Doubt::decode(&doubt.encode()), Ok(doubt));
        }
        assert!(Doubt::decode(&[2]).is_err() && Doubt::decode(&[0, 0]).is_err() && Doubt::decode(&[]).is_err());
    }

    #[test]
    fn a_prefix_scan_ends_behind_the_prefix() {
        assert_eq!(after_prefix(&[1, 2]), Bytes::from_static(&[1, 3]));
        assert_eq!(after_prefix(&[1, 0xff]), Bytes::from_static(&[2]));
        assert_eq!(after_prefix(&[0xff]), Bytes::new());
    }
}
