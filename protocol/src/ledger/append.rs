//! Appending to this store's own logs.

use super::recent::Held;
use super::rows::{EntryRef, PartNo, entry_key, log_secret_key, put};
use super::{Batch, Ledger};
use crate::access::Short;
use crate::identity::partition_token;
use crate::ids::{CollectionId, DocId, LogId};
use crate::ledger::book::Owner;
use crate::log::card::{Lane, LogCard};
use crate::log::chain;
use crate::log::head::Head;
use crate::log::header::{Dep, EntryKind, Header};
use crate::log::write::{Place, Plain, SealError};
use crate::space::record::{Record, encode_records};
use crate::storage::Table;
use crate::sync::{LogNo, SpaceNo};
use crate::wire::codec::Write;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use std::sync::Arc;

/// Signs that a device opened a log.
pub(crate) const LOG_OPEN_CONTEXT: &str = "cosmicsync log open 1";

/// What a writer of content needs to fill a header: handles for logs and collections.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) header: Header,
}

impl Writing {
    pub(crate) fn new(kind: EntryKind, wall_ms: u64) -> Self {
        Self { header: Header::new(kind, 0, wall_ms) }
    }

    /// The handle of a log that `deps` or items name.
    fn log(&mut self, id: LogId) -> u32 {
        handle(&mut self.header.logs, id)
    }

    /// The handle of a collection that items name.
    pub(crate) fn collection(&mut self, id: CollectionId) -> u32 {
        handle(&mut self.header.collections, id)
    }

    /// Names an entry of another log that must be imported first, by the first bytes of the chain hash after it.
    pub(crate) fn depend(&mut self, log: LogId, seq: u64, h: Short) {
        let dep = Dep { log: self.log(log), seq, h };
        if !self.header.deps.contains(&dep) {
            self.header.deps.push(dep);
        }
    }
}

fn handle<T: PartialEq>(table: &mut Vec<T>, id: T) -> u32 {
    let at = table.iter().position(|known| *known == id).unwrap_or_else(|| {
        table.push(id);
        table.len() - 1
    });
    at as u32
}

/// Mints a document id that sorts by time: 48 bits of milliseconds, then random bits.
pub(crate) fn mint_doc_id(wall_ms: u64, random: [u8; 10]) -> DocId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&wall_ms.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&random);
    // The version and variant bits of a UUIDv7, so that the hex text is one; the top counter bit stays clear, so that
    // an import can count up from here without overflowing into the time.
    id[6] = 0x70 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x1f);
    DocId(id)
}

impl Ledger {
    /// Seals an entry and stages it at the end of an own log. Returns its place.
    pub(crate) fn append(
        &mut self,
        no: LogNo,
        header: &Header,
        sections: &[Plain<'_>],
        batch: &mut Batch,
    ) -> Result<EntryRef, SealError> {
        let log = self.book.log(no);
        let (seq, h_prev) = match &log.staged.tip {
            Some(tip) if planted!("chain.wrong-link") && tip.seq % 8 == 7 => (tip.seq + 1, chain::genesis(&log.id)),
            Some(tip) => (tip.seq + 1, tip.h),
            None => (0, chain::genesis(&log.id)),
        };
        let place = Place { log: log.id, card_epoch: log.card.epoch, seq, h_prev };
        let randomness = self.entropy.bytes();
        let space = &self.spaces[log.space.0 as usize];
        let (_, epoch) = space.current_epoch().expect("a space that is written to has an epoch");
        let sealed = self.builder.seal(&place, &epoch.keys(), &randomness, header, sections)?;
        let signing = self.signing.get(&no).expect("an own log has its key");
        let head = Head::sign(signing, &log.id, seq, sealed.h);
        let at = EntryRef { log: no, seq };
        let len = sealed.bytes.len() as u64;
        let held = Held { h_prev, h: sealed.h, entry: Arc::new(sealed.entry), bytes: sealed.bytes };
        batch.ops.push(put(Table::Entry, entry_key(at), held.row()));
        self.note_hash(no, seq, held.h);
        self.recent.insert(at, held);
        let log = self.book.log_mut(no);
        log.wrote = seq + 1;
        log.stage_run(seq, h_prev, len, head, &mut batch.ops);
        log.staged.indexed.insert(seq..=seq);
        batch.touch(no, true);
        self.note_citations(no, header);
        Ok(at)
    }

    /// Appends records to this store's control log of a space, which is opened if there is none.
    pub(crate) fn append_control(
        &mut self,
        space: SpaceNo,
        mut records: Vec<Record>,
        open: Option<Vec<u8>>,
        batch: &mut Batch,
    ) -> Result<(), SealError> {
        let no = match self.control_logs.get(&space) {
            Some(no) => *no,
            None => {
                let control = self.spaces[space.0 as usize].control().expect("every space has its control partition");
                let (no, record) = self.open_log(control, Lane::Live, batch);
                self.control_logs.insert(space, no);
                records.insert(0, record);
                no
            }
        };
        let header = Header::new(EntryKind::Control, 0, self.now.wall_ms);
        let body = encode_records(&records);
        let mut sections = Vec::new();
        sections.extend(open.as_deref().map(Plain::Open));
        sections.push(Plain::Records(&body));
        self.append(no, &header, &sections, batch).map(|_| ())
    }

    /// The live log of this store in a partition, opened and announced in control if there is none.
    pub(crate) fn live_log(&mut self, part: PartNo, batch: &mut Batch) -> Result<LogNo, SealError> {
        if let Some(no) = self.partitions[part.0 as usize].live {
            return Ok(no);
        }
        let no = self.content_log(part, Lane::Live, batch)?;
        self.partitions[part.0 as usize].live = Some(no);
        Ok(no)
    }

    /// Opens a content log and announces it in control.
    pub(crate) fn content_log(&mut self, part: PartNo, lane: Lane, batch: &mut Batch) -> Result<LogNo, SealError> {
        let space = self.partitions[part.0 as usize].space;
        let (no, record) = self.open_log(part, lane, batch);
        self.append_control(space, vec![record], None, batch)?;
        Ok(no)
    }

    /// Appends nothing to a log any more.
    pub(crate) fn finish_log(&mut self, no: LogNo) {
        self.book.log_mut(no).closed = true;
        self.signing.remove(&no);
    }

    /// Draws a log key, makes the card, and stages the log's rows. The LogOpen record is the caller's to append.
    fn open_log(&mut self, part: PartNo, lane: Lane, batch: &mut Batch) -> (LogNo, Record) {
        let partition = &self.partitions[part.0 as usize];
        let space = &self.spaces[partition.space.0 as usize];
        let (epoch_id, epoch) = space.current_epoch().expect("a space that is written to has an epoch");
        let secret: [u8; 32] = self.entropy.bytes();
        let signing = SigningKey::from_bytes(&secret);
        let card = LogCard::admit(
            &signing.verifying_key(),
            space.token,
            partition_token(&space.id, &partition.id),
            lane,
            *epoch_id,
            &epoch.key.admission_key(),
        );
        let id = card.log_id();
        let mut card_bytes = Vec::with_capacity(LogCard::LEN);
        card.encode(&mut card_bytes);
        let card_bytes = Bytes::from(card_bytes);
        let control = space.control() == Some(part);
        let (space_no, partition_id) = (space.no, partition.id);
        let no = self.book.add(card, card_bytes.clone(), space_no, control);
        let device = self.me.keys.device_id();
        let log = self.book.log_mut(no);
        log.mine = true;
        log.owner = Some(Owner { device, partition: part });
        self.signing.insert(no, signing);
        batch.ops.push(put(Table::Secret, log_secret_key(&id), secret.to_vec()));
        batch.touch(no, false);
        let mut signed = Vec::with_capacity(LogId::LEN);
        signed.raw(id.as_ref());
        let signature = self.me.keys.sign(LOG_OPEN_CONTEXT, &signed);
        (no, Record::LogOpen { card: card_bytes, partition: partition_id, device, signature })
    }
}
