//! Reads held entries: applies their records and indexes their documents. Bodies stay sealed.
//!
//! An entry is read once: in the commit that stores it, if its keys and its author are known by then, or
//! later. Entries of a log are read in order. One that cannot be read yet blocks those behind it, until
//! control brings the missing key or author.

use super::entry_cache::Held;
use super::forks::short;
use super::opened::Opener;
use super::registry::Standing;
use super::{Batch, Effect, Logs, Touch};
use crate::codec::CodecError;
use crate::ids::{DocRef, EntryRef, EpochId, LogId, LogNo, PartNo};
use crate::log::Lane;
use crate::log::compress::DecompressError;
use crate::log::entry::{Entry, FLAG_OPEN};
use crate::log::header::{EntryKind, Header, Item, KeyRef};
use crate::log::owner::OpenedOwner;
use crate::log::read::{EntryReader, OpenError, part_of};
use crate::log::write::{BODY_BYTES_MAX, Place};
use crate::sealed::{Seed, TAG_BYTES};
use crate::spaces::record::decode_records;
use crate::spaces::{Epoch, Spaces};
use crate::storage::rows::{IndexRow, entry_key, entry_seq, list, log_key};
use crate::storage::{Row, Scan, Table};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
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

/// State of the reading of held entries.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Logs with entries that wait to be read; `reading` are those with a scan under way.
    pub(super) unread: BTreeSet<LogNo>,
    reading: BTreeSet<LogNo>,
    /// Logs whose unread entries must be requested from the store.
    waking: BTreeSet<LogNo>,
    /// True if something was learned that may make unread entries readable.
    pub(super) woken: bool,
    /// Number of commits under way that index an entry's sections of a document: its value in memory is not the newest.
    indexing: BTreeMap<(DocRef, EntryRef), usize>,
}

impl Logs {
    /// Reads freshly staged entries in the same batch, as far as possible now.
    pub(super) fn read_entries(
        &mut self,
        no: LogNo,
        fresh: &[(EntryRef, Held)],
        spaces: &mut Spaces,
        batch: &mut Batch,
    ) {
        let (space, control) = (self.registry.log(no).space, self.registry.log(no).control);
        if control {
            let records = fresh.iter().filter_map(|(_, held)| held.entry.open_section()).map(AsRef::as_ref).collect();
            self.reader.woken |= spaces.learn_epochs(space, records, &mut batch.ops);
        }
        let mut docs = Vec::new();
        for (at, held) in fresh {
            let unread_before = self.registry.log(no).staged().unread().is_some_and(|seq| seq < at.seq);
            if (unread_before && control) || docs.len() >= INDEXED_MAX {
                break;
            }
            match self.read_entry(*at, held, &mut docs, spaces, batch) {
                Reading::Done => {
                    self.registry.log_mut(no).staged_mut().indexed.insert(at.seq..=at.seq);
                    batch.touch(no, false);
                    // Other logs may wait for these control records.
                    self.reader.woken |= control;
                }
                Reading::Blocked => break,
            }
        }
        if !docs.is_empty() {
            let effect = self.indexing(docs);
            batch.effects.push(effect);
        }
        if self.registry.log(no).staged().unread().is_some() {
            self.reader.unread.insert(no);
        }
    }

    /// Wakes all logs with unread entries, if something was learned that may make them readable.
    pub(crate) fn wake_unread(&mut self) {
        if core::mem::take(&mut self.reader.woken) {
            self.reader.waking.clone_from(&self.reader.unread);
        }
    }

    /// Returns the next log that is awake, as long as few are read back at one time.
    pub(crate) fn next_awake(&mut self) -> Option<LogNo> {
        while !reached!(Reading, self.reader.reading.len() >= READING_MAX)
            && let Some(no) = self.reader.waking.pop_first()
        {
            if !self.reader.reading.contains(&no) {
                return Some(no);
            }
        }
        None
    }

    /// Notes that a log's entries became durable: entries that could not be read on arrival may be readable
    /// by now.
    pub(super) fn wake(&mut self, no: LogNo) {
        if self.reader.unread.contains(&no) {
            self.reader.waking.insert(no);
        }
    }

    /// Returns the read of a log's unread entries, if they can be read now.
    pub(crate) fn read_on(&mut self, no: LogNo, spaces: &mut Spaces, batch: &mut Batch) -> Option<Scan> {
        let log = self.registry.log(no);
        let Some(seq) = log.staged().unread() else {
            // For a head alone, the owner is needed: it determines which of a device's entries are its
            // newest.
            if self.may_read(no, spaces, batch) {
                self.reader.unread.remove(&no);
            }
            return None;
        };
        // Entries that are not durable yet cannot be read back: their commit will wake the log.
        if !log.durable.held.contains(seq) || !self.may_read(no, spaces, batch) {
            return None;
        }
        self.reader.reading.insert(no);
        let from = entry_key(EntryRef { log: no, seq });
        let to = log_key(LogNo(no.0 + 1));
        Some(Scan::of(Table::Entry, from, to, self.steps.read_bytes))
    }

    /// Takes requested entries. They must be durable before more are read: their commit wakes the log again.
    pub(crate) fn take_entries(&mut self, no: LogNo, rows: &[Row], spaces: &mut Spaces, batch: &mut Batch) {
        self.reader.reading.remove(&no);
        let mut fresh = Vec::new();
        for (row_key, row) in rows {
            let Ok(seq) = entry_seq(row_key) else { continue };
            let at = EntryRef { log: no, seq };
            if self.registry.log(no).staged().indexed.contains(seq) {
                continue;
            }
            fresh.extend(self.held_from_row(at, row).ok().map(|held| (at, held)));
        }
        self.read_entries(no, &fresh, spaces, batch);
        if self.registry.log(no).staged().unread().is_none() {
            self.reader.unread.remove(&no);
        }
    }

    /// Returns the effect of a commit that indexes these sections.
    pub(crate) fn indexing(&mut self, rows: Vec<(DocRef, IndexRow)>) -> Effect {
        for (doc, row) in &rows {
            *self.reader.indexing.entry((*doc, row.entry)).or_default() += 1;
        }
        Effect::Indexed(rows)
    }

    /// Notes that the commit of these sections is durable.
    pub(crate) fn indexed(&mut self, rows: &[(DocRef, IndexRow)]) {
        for (doc, row) in rows {
            let key = (*doc, row.entry);
            if let Some(count) = self.reader.indexing.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.reader.indexing.remove(&key);
                }
            }
        }
    }

    /// Returns whether a commit under way indexes sections of a document.
    pub(crate) fn is_indexing(&self, doc: DocRef) -> bool {
        let first = EntryRef { log: LogNo(0), seq: 0 };
        self.reader.indexing.range((doc, first)..).next().is_some_and(|((found, _), _)| *found == doc)
    }

    /// Returns whether a commit under way indexes this entry's sections of a document.
    pub(crate) fn is_indexing_entry(&self, doc: DocRef, entry: EntryRef) -> bool {
        self.reader.indexing.contains_key(&(doc, entry))
    }

    /// Returns the documents of which a commit under way indexes sections.
    pub(crate) fn indexing_docs(&self) -> impl Iterator<Item = DocRef> {
        self.reader.indexing.keys().map(|(doc, _)| *doc)
    }

    fn read_entry(
        &mut self,
        at: EntryRef,
        held: &Held,
        docs: &mut Vec<(DocRef, IndexRow)>,
        spaces: &mut Spaces,
        batch: &mut Batch,
    ) -> Reading {
        let log = self.registry.log(at.log);
        let (space, control, card_epoch) = (log.space, log.control, log.place().epoch);
        if !spaces.space(space).epochs.contains_key(&card_epoch) {
            return self.blocked_by(at.log, card_epoch, spaces);
        }
        let owner = match self.resolve(at.log, &[], spaces, batch) {
            Standing::Refused => return Reading::Done,
            Standing::Owned(owner) => Some(owner),
            // The first entry of a control log may introduce the device that writes it.
            Standing::Unknown if control => None,
            Standing::Unknown => return Reading::Blocked,
        };
        let entry = &held.entry;
        let reader = EntryReader::new(entry, self.place(at, &held.h_prev));
        let epoch_id = reader.epoch();
        let Some(earlier) = self.earlier(at.log, spaces) else { return Reading::Blocked };
        let Some(epoch) = spaces.space(space).epochs.get(&epoch_id) else {
            return self.blocked_by(at.log, epoch_id, spaces);
        };
        let header = reader.open_header(&epoch.header_key, &earlier, &mut self.opener.codec);
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
                .open_records(section, &epoch.records_key, &mut self.opener.codec)
                .ok()
                .and_then(|bytes| decode_records(&bytes).ok())
                .unwrap_or_default();
            let author = match owner.map_or_else(|| self.resolve(at.log, &records, spaces, batch), Standing::Owned) {
                Standing::Owned(owner) => owner.device,
                Standing::Refused => return Reading::Done,
                Standing::Unknown => return Reading::Blocked,
            };
            spaces.trust_epoch(space, &epoch_id, &mut batch.ops);
            spaces.apply(space, author, &records, &mut batch.ops);
            batch.effects.push(Effect::SpaceChanged(space));
            return Reading::Done;
        }
        let Some(owner) = owner else { return Reading::Blocked };
        self.note_citations(at.log, &header, spaces);
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
    fn blocked_by(&mut self, no: LogNo, epoch: EpochId, spaces: &mut Spaces) -> Reading {
        let log = self.registry.log(no);
        let (space, owner) = (log.space, log.owner().map(|owner| owner.device));
        if owner.is_some() || log.control {
            self.reader.woken |= spaces.mark_epoch_missing(space, epoch, owner);
        }
        Reading::Blocked
    }

    /// Returns whether entries of a log could be read now: its epoch's key and its owner are known.
    fn may_read(&mut self, no: LogNo, spaces: &mut Spaces, batch: &mut Batch) -> bool {
        if self.registry.log(no).control || self.registry.log(no).standing == Standing::Refused {
            return true;
        }
        let standing = self.resolve(no, &[], spaces, batch);
        if standing == Standing::Unknown {
            let epoch = self.registry.log(no).place().epoch;
            if !spaces.space(self.registry.log(no).space).epochs.contains_key(&epoch) {
                self.blocked_by(no, epoch, spaces);
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
            batch.drop_value(doc, Touch { here: false, may_delete: !imported });
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
    pub(crate) fn open_key_box(
        &self,
        at: EntryRef,
        section: u32,
        held: &Held,
        spaces: &Spaces,
    ) -> Result<[u8; 16], OpenError> {
        let reader = EntryReader::new(&held.entry, self.place(at, &held.h_prev));
        let epoch = self.epoch_of(at, &reader, spaces)?;
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
        spaces: &Spaces,
    ) -> Result<Vec<u8>, OpenError> {
        let mut opener = core::mem::take(&mut self.opener);
        let body = match row.part {
            None => self.open_section(row, held, boxed, plain_max, spaces, &mut opener),
            Some(_) => self.open_part(row, held, boxed, plain_max, spaces, &mut opener),
        };
        self.opener = opener;
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
        spaces: &Spaces,
        opener: &mut Opener,
    ) -> Result<Vec<u8>, OpenError> {
        // Everything in the row but the part determines the section.
        let of = IndexRow { part: None, ..*row };
        let section = match opener.kept.shared.take() {
            Some((open, section)) if open == of && held.entry.sections()[row.section as usize].present().is_some() => {
                section
            }
            _ => self.open_section(&of, held, boxed, BODY_BYTES_MAX, spaces, opener)?,
        };
        let body = part_of(&section, row.part.unwrap_or_default()).map(<[u8]>::to_vec).map_err(DecompressError::Frame);
        opener.kept.shared = Some((of, section));
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
        spaces: &Spaces,
        opener: &mut Opener,
    ) -> Result<Vec<u8>, OpenError> {
        let reader = EntryReader::new(&held.entry, self.place(row.entry, &held.h_prev));
        let epoch = self.epoch_of(row.entry, &reader, spaces)?;
        let of = (row.entry, short(&held.h));
        let dictionary = match row.dictionary {
            None => None,
            Some(section) => Some(match opener.kept.dictionary(of, section) {
                Some(dictionary) => dictionary,
                None => {
                    let bytes = reader.open_records(section, &epoch.records_key, &mut opener.codec)?;
                    opener.kept.keep_dictionary(of, section, bytes)
                }
            }),
        };
        let reader = reader.within(plain_max);
        match boxed {
            Some(boxed) => reader.open_body(
                row.section,
                &opener.kept.seed(boxed, row.node),
                dictionary.as_deref(),
                &mut opener.codec,
            ),
            None => reader.open_records(row.section, &epoch.records_key, &mut opener.codec),
        }
    }

    /// Opens the header of a stored entry.
    pub(crate) fn header_of(&mut self, at: EntryRef, reader: &EntryReader<'_>, spaces: &Spaces) -> Option<Header> {
        let space = self.registry.log(at.log).space;
        let earlier = self.earlier(at.log, spaces)?;
        let epoch = spaces.space(space).epochs.get(&reader.epoch())?;
        reader.open_header(&epoch.header_key, &earlier, &mut self.opener.codec).ok()
    }

    /// Returns the logs that a log's card names: headers in the log number them first. `None` while its owner
    /// box cannot be opened.
    pub(super) fn earlier(&mut self, no: LogNo, spaces: &Spaces) -> Option<Arc<[LogId]>> {
        if let Some((_, earlier)) = self.named.as_ref().filter(|(of, _)| *of == no) {
            return Some(Arc::clone(earlier));
        }
        let earlier = self.named_by_card(no, spaces)?;
        self.named = Some((no, Arc::clone(&earlier)));
        Some(earlier)
    }

    /// Reads the same logs from the card.
    pub(crate) fn named_by_card(&self, no: LogNo, spaces: &Spaces) -> Option<Arc<[LogId]>> {
        let log = self.registry.log(no);
        let card = log.card();
        let epoch = spaces.space(log.space).epochs.get(&card.place.epoch)?;
        let opened = OpenedOwner::open(&card.place, &card.owner_box, &epoch.owner_key).ok()?;
        Some(opened.earlier().collect())
    }

    fn epoch_of<'a>(&self, at: EntryRef, reader: &EntryReader<'_>, spaces: &'a Spaces) -> Result<&'a Epoch, OpenError> {
        let space = self.registry.log(at.log).space;
        spaces.space(space).epochs.get(&reader.epoch()).ok_or(OpenError::Sealed)
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
