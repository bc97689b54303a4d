//! Appends to this store's own logs, and opens and ends them.
//!
//! The key of a log lives in memory alone and is never written (`spec/storage.md`, section 5; `spec/log.md`,
//! section 2).

use super::entry_cache::Held;
use super::registry::{Owner, Standing};
use super::{Batch, Ledger};
use crate::branch::Short;
use crate::identity::{derive, partition_token};
use crate::ids::{CollectionId, DocId, EntryRef, LogId, LogNo, PartNo, SpaceNo};
use crate::log::card::{CardPlace, Lane, LogCard};
use crate::log::chain;
use crate::log::head::Head;
use crate::log::header::{Dep, EntryKind, Header};
use crate::log::owner::{FOUNDER_GRANT, LogOwner, PREV_MAX, Prev};
use crate::log::write::{Place, Plain, SealError};
use crate::spaces::record::{Record, encode_records};
use crate::storage::rows::entry_row;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Header under construction, with handles for logs and collections.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) header: Header,
}

impl Writing {
    /// Begins the header of an entry in a log whose card names these earlier logs ([`Ledger::earlier`]).
    pub(crate) fn new(kind: EntryKind, wall_ms: u64, earlier: &[LogId]) -> Self {
        Self { header: Header::after(kind, wall_ms, earlier) }
    }

    /// Returns the handle of a log that `deps` or items name.
    fn log(&mut self, id: LogId) -> u32 {
        handle(&mut self.header.logs, id)
    }

    /// Returns the handle of a collection that items name.
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
    // The version and variant bits of a UUIDv7, so that the hex text is a valid UUID. The top counter bit
    // stays clear, so that an import can count up from here without overflowing into the time.
    id[6] = 0x70 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x1f);
    DocId(id)
}

/// Mixes the end of one more own log into the hash over the ends of all own logs.
pub(super) fn next_tips(tips: &[u8; 32], log: &LogId, seq: u64, h: &[u8; 32]) -> [u8; 32] {
    derive("cosmicsync own tips 1", &[tips, log.as_ref(), &seq.to_le_bytes(), h])
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
        let earlier = self.own_earlier(no);
        assert!(
            header.logs.is_empty() || header.logs[..header.known] == *earlier,
            "handles count from the card's logs"
        );
        let log = self.registry.log(no);
        let (seq, h_prev) = match &log.staged().tip {
            Some(tip) if planted!("chain.wrong-link") && tip.seq % 8 == 7 => (tip.seq + 1, chain::genesis(&log.id)),
            Some(tip) => (tip.seq + 1, tip.h),
            None => (0, chain::genesis(&log.id)),
        };
        let place = Place { log: log.id, card_epoch: log.place().epoch, seq, h_prev };
        let randomness = self.entropy.bytes();
        let space = self.spaces.space(log.space);
        let (_, epoch) = space.current_epoch().expect("a space that is written to has an epoch");
        let sealed = self.builder.seal(&place, &epoch.keys(), &randomness, header, sections)?;
        self.written += sealed.weight;
        let signing = self.signing.get(&no).expect("an own log has its key");
        let head = Head::sign(signing, &log.id, seq, sealed.h);
        let at = EntryRef { log: no, seq };
        let len = sealed.bytes.len() as u64;
        let held = Held { h_prev, h: sealed.h, entry: Arc::new(sealed.entry), bytes: sealed.bytes };
        batch.ops.push(entry_row(at, &held.h_prev, &held.bytes));
        self.note_hash(no, seq, held.h);
        self.mix_tip(&place.log, seq, &held.h);
        self.entry_cache.insert(at, held);
        let log = self.registry.log_mut(no);
        log.wrote = seq + 1;
        log.stage_run(seq, h_prev, len, head, &self.config.steps, &mut batch.ops);
        log.staged_mut().indexed.insert(seq..=seq);
        batch.touch(no, true);
        self.note_citations(no, header);
        Ok(at)
    }

    /// Returns the logs that the card of an own log names.
    pub(crate) fn own_earlier(&mut self, no: LogNo) -> Arc<[LogId]> {
        self.earlier(no).expect("an own log's card opens")
    }

    /// Appends records to this process's control log of a space. Opens that log if needed.
    pub(crate) fn append_control(
        &mut self,
        space: SpaceNo,
        records: &[Record],
        open: Option<Vec<u8>>,
        batch: &mut Batch,
    ) -> Result<(), SealError> {
        let no = match self.control_logs.get(&space) {
            Some(no) => *no,
            None => {
                let control = self.spaces.space(space).control().expect("every space has its control partition");
                let no = self.open_log(control, Lane::Live, batch);
                self.control_logs.insert(space, no);
                no
            }
        };
        let header = Header::new(EntryKind::Control, self.now.wall_ms);
        let body = encode_records(records);
        let mut sections = Vec::new();
        sections.extend(open.as_deref().map(Plain::Open));
        sections.push(Plain::Records(&body));
        self.append(no, &header, &sections, batch).map(|_| ())
    }

    /// Returns the live log of this process in a partition, after opening one if needed.
    pub(crate) fn live_log(&mut self, part: PartNo, batch: &mut Batch) -> LogNo {
        if let Some(no) = self.live.get(&part) {
            return *no;
        }
        let no = self.open_log(part, Lane::Live, batch);
        self.live.insert(part, no);
        no
    }

    /// Forgets the key of an own log: nothing more is appended to it.
    pub(crate) fn end_log(&mut self, no: LogNo) {
        let log = self.registry.log_mut(no);
        (log.mine, log.closed) = (false, true);
        let space = log.space;
        let owner = log.owner();
        self.signing.remove(&no);
        if self.control_logs.get(&space) == Some(&no) {
            self.control_logs.remove(&space);
        }
        self.live.retain(|_, live| *live != no);
        self.unnamed.extend(owner.map(|owner| (owner.partition, no)));
    }

    /// Ends every live log, of content and of control. The next write opens another.
    pub(crate) fn end_live_logs(&mut self) {
        let live: Vec<LogNo> = self.live.values().chain(self.control_logs.values()).copied().collect();
        live.into_iter().for_each(|no| self.end_log(no));
    }

    /// Opens a log: makes its key and its card, and stages its row.
    ///
    /// The key is kept in memory alone and dies with the process.
    pub(crate) fn open_log(&mut self, part: PartNo, lane: Lane, batch: &mut Batch) -> LogNo {
        let signing = self.next_log_key();
        let prev = self.take_unnamed(part, batch);
        let partition = self.spaces.partition(part);
        let space = self.spaces.space(partition.space);
        let (epoch_id, epoch) = space.current_epoch().expect("a space that is written to has an epoch");
        let place = CardPlace {
            log_pk: signing.verifying_key().to_bytes(),
            space_token: space.token,
            partition_token: partition_token(&space.id, &partition.id),
            lane,
            epoch: *epoch_id,
        };
        let device = self.spaces.own.keys.device_id();
        let owner = LogOwner { device, grant: FOUNDER_GRANT, prev: prev.iter().map(|(_, prev)| *prev).collect() };
        let owner_box = owner.seal(&place, &self.spaces.own.keys, &epoch.owner_key);
        let card = LogCard::admit(place, owner_box, &epoch.key.admission_key());
        let mut card_bytes = Vec::with_capacity(LogCard::LEN_MAX.min(256 + prev.len() * 44));
        card.encode(&mut card_bytes);
        let (control, space_no) = (space.control() == Some(part), space.no);
        let no = self.registry.add(&card, Bytes::from(card_bytes), space_no, control);
        let log = self.registry.log_mut(no);
        log.mine = true;
        log.standing = Standing::Owned(Owner { device, partition: part });
        self.signing.insert(no, signing);
        for (before, _) in prev {
            self.registry.log_mut(before).next = Some(no);
        }
        batch.touch(no, false);
        no
    }

    /// Makes the key of the next log from fresh randomness, the clock and the ends of all own logs, so that
    /// copied memory does not lead to the same key twice.
    fn next_log_key(&mut self) -> SigningKey {
        let drawn = Zeroizing::new(self.entropy.bytes::<32>());
        let wall = self.now.wall_ms.to_le_bytes();
        let parts: [&[u8]; 3] = [&self.tips, &wall, &*drawn];
        let used = if planted!("log.key-repeats") { 1 } else { parts.len() };
        SigningKey::from_bytes(&Zeroizing::new(derive("cosmicsync log key 1", &parts[..used])))
    }

    /// Mixes the end of an own log into the input of the next log key.
    pub(super) fn mix_tip(&mut self, log: &LogId, seq: u64, h: &[u8; 32]) {
        self.tips = next_tips(&self.tips, log, seq, h);
    }

    /// Returns the ends of this device's earlier logs of a partition that no card names yet, for the card
    /// that names them now.
    fn take_unnamed(&mut self, part: PartNo, batch: &mut Batch) -> Vec<(LogNo, Prev)> {
        let of_part = self.unnamed.range((part, LogNo(0))..=(part, LogNo(u32::MAX))).map(|(_, no)| *no);
        let ended = |no: LogNo| {
            let tip = self.registry.log(no).staged().tip?;
            Some((no, Prev { log: self.registry.log(no).id, seq: tip.seq, h: super::forks::short(&tip.h) }))
        };
        let prev: Vec<(LogNo, Prev)> = of_part.filter_map(ended).take(PREV_MAX).collect();
        for (no, _) in &prev {
            self.unnamed.remove(&(part, *no));
            self.registry.log_mut(*no).named = true;
            batch.touch(*no, false);
        }
        prev
    }
}
