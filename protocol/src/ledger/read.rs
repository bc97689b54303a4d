//! Reads held entries: applies their records and indexes their documents. Bodies stay sealed.
//!
//! An entry is read once: in the commit that stores it, if its keys and its author are known by then, or
//! later. Entries of a log are read in order. One that cannot be read yet blocks those behind it, until
//! control brings the missing key or author.

use super::entry_cache::Held;
use super::forks::short;
use super::opened::Opened;
use super::registry::Standing;
use super::{Batch, Effect, Ledger, Touch, Work};
use crate::codec::CodecError;
use crate::ids::{DocRef, EntryRef, EpochId, LogId, LogNo, PartNo};
use crate::log::compress::DecompressError;
use crate::log::entry::{Entry, FLAG_OPEN};
use crate::log::header::{EntryKind, Header, Item, KeyRef};
use crate::log::owner::OpenedOwner;
use crate::log::read::{EntryReader, OpenError, part_of};
use crate::log::write::{BODY_BYTES_MAX, Place};
use crate::log::{Codec, Lane};
use crate::sealed::{Seed, TAG_BYTES};
use crate::spaces::Epoch;
use crate::spaces::record::decode_records;
use crate::storage::rows::{IndexRow, entry_key, list, log_key};
use crate::storage::{Row, Scan, Table};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of documents in one commit after which further entries are read in the next, which bounds its
/// memory.
const INDEXED_MAX: usize = 4096;
/// Most logs that are read back at one time: each takes up to [`Steps::read_bytes`](crate::config::Steps::read_bytes).
const READING_MAX: usize = 8;

/// Result of an attempt to read an entry.
enum Reading {
    Done,
    /// A key, an author or a partition is not known yet.
    Blocked,
}

/// Data keys, by the entry and section of their key box.
pub(crate) type BodyKeys = BTreeMap<(EntryRef, u32), Seed>;

impl Ledger {
    /// Reads freshly staged entries in the same batch, as far as possible now.
    pub(super) fn read_entries(&mut self, no: LogNo, fresh: &[(EntryRef, Held)], batch: &mut Batch) {
        let (space, control) = (self.registry.log(no).space, self.registry.log(no).control);
        if control {
            let records = fresh.iter().filter_map(|(_, held)| held.entry.open_section()).map(AsRef::as_ref).collect();
            self.woken |= self.spaces.learn_epochs(space, records, &mut batch.ops);
        }
        let mut docs = Vec::new();
        for (at, held) in fresh {
            let unread_before = self.registry.log(no).staged().unread().is_some_and(|seq| seq < at.seq);
            if (unread_before && control) || docs.len() >= INDEXED_MAX {
                break;
            }
            match self.read_entry(*at, held, &mut docs, batch) {
                Reading::Done => {
                    self.registry.log_mut(no).staged_mut().indexed.insert(at.seq..=at.seq);
                    batch.touch(no, false);
                    // Other logs may wait for these control records.
                    self.woken |= control;
                }
                Reading::Blocked => break,
            }
        }
        if !docs.is_empty() {
            batch.effects.push(self.indexing(docs));
        }
        if self.registry.log(no).staged().unread().is_some() {
            self.unread.insert(no);
        }
    }

    /// Asks the store for the unread entries of all logs, if something was learned that may make them
    /// readable.
    pub(crate) fn poll_unread(&mut self) {
        if core::mem::take(&mut self.woken) {
            self.waking.clone_from(&self.unread);
        }
        while !reached!(Reading, self.reading.len() >= READING_MAX)
            && let Some(no) = self.waking.pop_first()
        {
            if !self.reading.contains(&no) {
                self.read_on(no);
            }
        }
    }

    /// Notes that a log's entries became durable: entries that could not be read on arrival may be readable
    /// by now.
    pub(super) fn wake(&mut self, no: LogNo) {
        if self.unread.contains(&no) {
            self.waking.insert(no);
        }
    }

    fn read_on(&mut self, no: LogNo) {
        let log = self.registry.log(no);
        let Some(seq) = log.staged().unread() else {
            // For a head alone, the owner is needed: it determines which of a device's entries are its
            // newest.
            if self.may_read(no) {
                self.unread.remove(&no);
            }
            return;
        };
        // Entries that are not durable yet cannot be read back: their commit will wake the log.
        if !log.durable.held.contains(seq) || !self.may_read(no) {
            return;
        }
        self.reading.insert(no);
        let from = entry_key(EntryRef { log: no, seq });
        let to = log_key(LogNo(no.0 + 1));
        self.store.scan(Scan::of(Table::Entry, from, to, self.config.steps.read_bytes), Work::Entries(no));
    }

    /// Takes requested entries.
    pub(crate) fn handle_entries(&mut self, no: LogNo, rows: &[Row]) {
        self.reading.remove(&no);
        let mut fresh = Vec::new();
        for (row_key, row) in rows {
            let Ok(seq) = crate::storage::rows::entry_seq(row_key) else { continue };
            let at = EntryRef { log: no, seq };
            if self.registry.log(no).staged().indexed.contains(seq) {
                continue;
            }
            fresh.extend(self.held_from_row(at, row).ok().map(|held| (at, held)));
        }
        let mut batch = Batch::default();
        self.read_entries(no, &fresh, &mut batch);
        self.submit(batch);
        // The entries read here must be durable before more are read: their commit wakes the log again.
        if self.registry.log(no).staged().unread().is_none() {
            self.unread.remove(&no);
        }
    }

    fn read_entry(
        &mut self,
        at: EntryRef,
        held: &Held,
        docs: &mut Vec<(DocRef, IndexRow)>,
        batch: &mut Batch,
    ) -> Reading {
        let log = self.registry.log(at.log);
        let (space, control, card_epoch) = (log.space, log.control, log.place().epoch);
        if !self.space(space).epochs.contains_key(&card_epoch) {
            return self.blocked_by(at.log, card_epoch);
        }
        let owner = match self.resolve(at.log, &[], batch) {
            Standing::Refused => return Reading::Done,
            Standing::Owned(owner) => Some(owner),
            // The first entry of a control log may introduce the device that writes it.
            Standing::Unknown if control => None,
            Standing::Unknown => return Reading::Blocked,
        };
        let entry = &held.entry;
        let reader = EntryReader::new(entry, self.place(at, &held.h_prev));
        let epoch_id = reader.epoch();
        let Some(earlier) = self.earlier(at.log) else { return Reading::Blocked };
        let Some(epoch) = self.spaces.space(space).epochs.get(&epoch_id) else {
            return self.blocked_by(at.log, epoch_id);
        };
        let header = reader.open_header(&epoch.header_key, &earlier, &mut self.codec);
        // An author who holds the key and writes an entry that does not open harms only this entry: it is
        // ignored.
        let Ok(header) = header else { return Reading::Done };
        // Entries of kinds that later versions add, or that have no place here, are not read.
        if control != (header.kind == EntryKind::Control) {
            return Reading::Done;
        }
        if control {
            let section = if entry.flags() & FLAG_OPEN != 0 { 2 } else { 1 };
            let records = reader
                .open_records(section, &epoch.records_key, &mut self.codec)
                .ok()
                .and_then(|bytes| decode_records(&bytes).ok())
                .unwrap_or_default();
            let author = match owner.map_or_else(|| self.resolve(at.log, &records, batch), Standing::Owned) {
                Standing::Owned(owner) => owner.device,
                Standing::Refused => return Reading::Done,
                Standing::Unknown => return Reading::Blocked,
            };
            self.spaces.trust_epoch(space, &epoch_id, &mut batch.ops);
            self.spaces.apply(space, author, &records, &mut batch.ops);
            batch.effects.push(Effect::SpaceChanged(space));
            return Reading::Done;
        }
        let Some(owner) = owner else { return Reading::Blocked };
        self.note_citations(at.log, &header);
        match header.kind {
            EntryKind::Update => self.index(at, held, owner.partition, &header, docs, batch),
            EntryKind::LogClose => self.registry.log_mut(at.log).closed = true,
            EntryKind::Control
            | EntryKind::Snapshot
            | EntryKind::Adopt
            | EntryKind::Erase
            | EntryKind::Witness
            | EntryKind::Audit
            | EntryKind::Blob => {}
        }
        Reading::Done
    }

    /// Marks a log's entries as blocked by a key. The key is requested if the log's owner is known, or if the
    /// log is one of control.
    fn blocked_by(&mut self, no: LogNo, epoch: EpochId) -> Reading {
        let log = self.registry.log(no);
        let (space, owner) = (log.space, log.owner().map(|owner| owner.device));
        if owner.is_some() || log.control {
            self.woken |= self.spaces.mark_epoch_missing(space, epoch, owner);
        }
        Reading::Blocked
    }

    /// Returns whether entries of a log could be read now: its epoch's key and its owner are known.
    fn may_read(&mut self, no: LogNo) -> bool {
        if self.registry.log(no).control || self.registry.log(no).standing == Standing::Refused {
            return true;
        }
        let mut batch = Batch::default();
        let standing = self.resolve(no, &[], &mut batch);
        self.submit(batch);
        if standing == Standing::Unknown {
            let epoch = self.registry.log(no).place().epoch;
            if !self.space(self.registry.log(no).space).epochs.contains_key(&epoch) {
                self.blocked_by(no, epoch);
            }
        }
        standing != Standing::Unknown
    }

    /// Stages the index rows of an entry's documents.
    fn index(
        &mut self,
        at: EntryRef,
        held: &Held,
        partition: PartNo,
        header: &Header,
        docs: &mut Vec<(DocRef, IndexRow)>,
        batch: &mut Batch,
    ) {
        let mut before = None;
        for item in &header.items {
            if !is_in_order(item, before, &held.entry) {
                continue;
            }
            before = Some(item);
            let key_at = match item.key {
                KeyRef::Here { section, .. } => (at, section),
                // A key in a later entry never comes: the document would wait for it for ever.
                KeyRef::Own { seq, .. } if seq > at.seq => continue,
                KeyRef::Own { seq, section, .. } => (self.registry.owner_of(EntryRef { log: at.log, seq }), section),
                KeyRef::Other { .. } => {
                    // Nobody writes these in version 0. One that names an entry which never comes would block
                    // the document for good.
                    continue;
                }
                KeyRef::Records => (at, item.section),
            };
            let doc = DocRef { partition, doc: item.doc };
            let row = IndexRow {
                entry: at,
                section: item.section,
                part: item.part,
                key: key_at,
                node: item.key.node(),
                dictionary: item.dictionary,
            };
            batch.ops.push(row.op(doc));
            if let Some(collection) = item.new_in.and_then(|handle| header.collections.get(handle as usize)) {
                batch.ops.push(list(doc, collection));
            }
            // An import deletes nothing. A value is dropped even if the document is new: another log may have
            // made the same document before.
            let is_here = held.entry.sections().get(item.section as usize).is_some_and(|body| body.present().is_some());
            let imported = is_here && item.new_in.is_some() && self.registry.log(at.log).lane == Lane::Bulk;
            self.drop_cached(doc, Touch { here: false, may_delete: !imported }, batch);
            docs.push((doc, row));
        }
    }

    /// Returns the place of an entry, for its seals.
    pub(crate) fn place(&self, at: EntryRef, h_prev: &[u8; 32]) -> Place {
        let log = self.registry.log(at.log);
        Place { log: log.id, card_epoch: log.place().epoch, seq: at.seq, h_prev: *h_prev }
    }

    /// Reads a stored entry.
    pub(crate) fn held_from_row(&self, at: EntryRef, row: &Bytes) -> Result<Held, CodecError> {
        Held::from_row(row, &self.registry.log(at.log).place().epoch)
    }

    /// Opens a key box of an entry.
    pub(crate) fn open_key_box(&self, at: EntryRef, section: u32, held: &Held) -> Result<[u8; 16], OpenError> {
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        let epoch = self.epoch_of(at, &reader)?;
        reader.open_key_box(section, &epoch.key_box_key)
    }

    /// Opens the body that an index row names, if it has at most `plain_max` bytes, with the seed of its key
    /// box. Without a seed the body is a records section.
    pub(crate) fn open_body(
        &mut self,
        row: &IndexRow,
        held: &Held,
        boxed: Option<&Seed>,
        plain_max: usize,
    ) -> Result<Vec<u8>, OpenError> {
        let (mut codec, mut opened) = (core::mem::take(&mut self.codec), core::mem::take(&mut self.kept));
        let body = match row.part {
            None => self.open_section(row, held, boxed, plain_max, &mut codec, &mut opened),
            Some(_) => self.open_part(row, held, boxed, plain_max, &mut codec, &mut opened),
        };
        (self.codec, self.kept) = (codec, opened);
        body
    }

    /// Opens a part of a section that several documents share. The last such section stays open: its other
    /// documents are often read next.
    fn open_part(
        &self,
        row: &IndexRow,
        held: &Held,
        boxed: Option<&Seed>,
        plain_max: usize,
        codec: &mut Codec,
        opened: &mut Opened,
    ) -> Result<Vec<u8>, OpenError> {
        // Everything in the row but the part determines the section.
        let of = IndexRow { part: None, ..*row };
        let section = match opened.shared.take() {
            Some((open, section)) if open == of && held.entry.sections()[row.section as usize].present().is_some() => {
                section
            }
            _ => self.open_section(&of, held, boxed, BODY_BYTES_MAX, codec, opened)?,
        };
        let body = part_of(&section, row.part.unwrap_or_default()).map(<[u8]>::to_vec).map_err(DecompressError::Frame);
        opened.shared = Some((of, section));
        let body = body?;
        let too_long = DecompressError::Frame(CodecError::OutOfRange("part length"));
        if body.len() > plain_max { Err(too_long.into()) } else { Ok(body) }
    }

    fn open_section(
        &self,
        row: &IndexRow,
        held: &Held,
        boxed: Option<&Seed>,
        plain_max: usize,
        codec: &mut Codec,
        opened: &mut Opened,
    ) -> Result<Vec<u8>, OpenError> {
        let reader = EntryReader::new(&held.entry, self.place(row.entry, &held.h_prev));
        let epoch = self.epoch_of(row.entry, &reader)?;
        let of = (row.entry, short(&held.h));
        let dictionary = match row.dictionary {
            None => None,
            Some(section) => Some(match opened.dictionary(of, section) {
                Some(dictionary) => dictionary,
                None => {
                    let bytes = reader.open_records(section, &epoch.records_key, codec)?;
                    opened.keep_dictionary(of, section, bytes)
                }
            }),
        };
        let reader = reader.within(plain_max);
        match boxed {
            Some(boxed) => reader.open_body(row.section, &opened.seed(boxed, row.node), dictionary.as_deref(), codec),
            None => reader.open_records(row.section, &epoch.records_key, codec),
        }
    }

    /// Opens the header of a stored entry.
    pub(crate) fn header_of(&mut self, at: EntryRef, reader: &EntryReader<'_>) -> Option<Header> {
        let space = self.registry.log(at.log).space;
        let earlier = self.earlier(at.log)?;
        let epoch = self.spaces.space(space).epochs.get(&reader.epoch())?;
        reader.open_header(&epoch.header_key, &earlier, &mut self.codec).ok()
    }

    /// Returns the logs that a log's card names: headers in the log number them first. `None` while its owner
    /// box cannot be opened.
    pub(crate) fn earlier(&mut self, no: LogNo) -> Option<Arc<[LogId]>> {
        if let Some((_, earlier)) = self.opened.as_ref().filter(|(of, _)| *of == no) {
            return Some(Arc::clone(earlier));
        }
        let earlier = self.named_by_card(no)?;
        self.opened = Some((no, Arc::clone(&earlier)));
        Some(earlier)
    }

    /// Reads the same logs from the card.
    pub(crate) fn named_by_card(&self, no: LogNo) -> Option<Arc<[LogId]>> {
        let log = self.registry.log(no);
        let card = log.card();
        let epoch = self.space(log.space).epochs.get(&card.place.epoch)?;
        let opened = OpenedOwner::open(&card.place, &card.owner_box, &epoch.owner_key).ok()?;
        Some(opened.earlier().collect())
    }

    fn epoch_of(&self, at: EntryRef, reader: &EntryReader<'_>) -> Result<&Epoch, OpenError> {
        let space = self.registry.log(at.log).space;
        self.space(space).epochs.get(&reader.epoch()).ok_or(OpenError::Sealed)
    }
}

/// Returns whether an item comes after the one before it and names bytes of its own. Otherwise a few bytes of
/// header could become any number of rows. Documents that share a section are in ascending order, and each
/// part has at least one byte.
fn is_in_order(item: &Item, before: Option<&Item>, entry: &Entry) -> bool {
    let Some(section) = entry.sections().get(item.section as usize) else { return false };
    if section.len() < TAG_BYTES || item.part.is_some_and(|part| part as usize >= section.len()) {
        return false;
    }
    let Some(before) = before else { return item.section > 0 };
    let shares = before.part.is_some() && before.part < item.part && before.doc < item.doc;
    item.section > before.section || (item.section == before.section && shares)
}
