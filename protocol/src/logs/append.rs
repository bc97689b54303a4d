//! Appends to this store's own logs, and opens and ends them.
//!
//! The key of a log lives in memory alone and is never written (`spec/storage.md`, section 5; `spec/log.md`,
//! section 2).

use super::entry_cache::Held;
use super::forks::short;
use super::registry::{Owner, Standing};
use super::{Batch, Logs};
use crate::branch::Short;
use crate::entropy::Entropy;
use crate::identity::{derive, partition_token};
use crate::ids::{CollectionId, DocId, EntryRef, LogId, LogNo, PartNo, SpaceNo};
use crate::log::card::{CardPlace, Lane, LogCard};
use crate::log::chain;
use crate::log::head::Head;
use crate::log::header::{Dep, EntryKind, Header};
use crate::log::owner::{FOUNDER_GRANT, LogOwner, PREV_MAX, Prev};
use crate::log::write::{Place, Plain, SealError};
use crate::log::{EntryBuilder, Weight};
use crate::spaces::Spaces;
use crate::spaces::record::{Record, encode_records};
use crate::storage::rows::entry_row;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Header under construction, with handles for logs and collections.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) header: Header,
}

impl Writing {
    /// Begins the header of an entry in a log whose card names these earlier logs ([`Logs::own_earlier`]).
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

/// Logs that this process writes.
#[derive(Debug, Default)]
pub(super) struct OwnLogs {
    pub(super) signing: BTreeMap<LogNo, SigningKey>,
    /// The live log that this process writes in each partition.
    pub(super) live: BTreeMap<PartNo, LogNo>,
    /// The control log that this process writes in each space.
    pub(super) control: BTreeMap<SpaceNo, LogNo>,
    /// Hash over the ends of all logs that this device wrote; an input of the next log key.
    pub(super) tips: [u8; 32],
    /// This device's earlier logs, by partition, that no card names yet.
    pub(super) unnamed: BTreeSet<(PartNo, LogNo)>,
    builder: EntryBuilder,
    /// Bytes that this store wrote since its start, by use.
    pub(super) written: Weight,
}

/// Sources of a new entry or log: keys of spaces, randomness and the clock.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) spaces: &'a Spaces,
    pub(crate) entropy: &'a mut Entropy,
    pub(crate) wall_ms: u64,
}

impl Logs {
    /// Seals an entry and stages it at the end of an own log. Returns its place.
    pub(crate) fn append(
        &mut self,
        no: LogNo,
        header: &Header,
        sections: &[Plain<'_>],
        source: &mut Source<'_>,
        batch: &mut Batch,
    ) -> Result<EntryRef, SealError> {
        let earlier = self.own_earlier(no, source.spaces);
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
        let randomness = source.entropy.bytes();
        let space = source.spaces.space(log.space);
        let (_, epoch) = space.current_epoch().expect("a space that is written to has an epoch");
        let sealed = self.own.builder.seal(&place, &epoch.keys(), &randomness, header, sections)?;
        self.own.written += sealed.weight;
        let signing = self.own.signing.get(&no).expect("an own log has its key");
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
        log.stage_run(seq, h_prev, len, head, &self.steps, &mut batch.ops);
        log.staged_mut().indexed.insert(seq..=seq);
        batch.touch(no, true);
        self.note_citations(no, header, source.spaces);
        Ok(at)
    }

    /// Returns the logs that the card of an own log names.
    pub(crate) fn own_earlier(&mut self, no: LogNo, spaces: &Spaces) -> Arc<[LogId]> {
        self.earlier(no, spaces).expect("an own log's card opens")
    }

    /// Appends records to this process's control log of a space. Opens that log if needed.
    pub(crate) fn append_control(
        &mut self,
        space: SpaceNo,
        records: &[Record],
        open: Option<Vec<u8>>,
        source: &mut Source<'_>,
        batch: &mut Batch,
    ) -> Result<(), SealError> {
        let no = match self.own.control.get(&space) {
            Some(no) => *no,
            None => {
                let control = source.spaces.space(space).control().expect("every space has its control partition");
                let no = self.open_log(control, Lane::Live, source, batch);
                self.own.control.insert(space, no);
                no
            }
        };
        let header = Header::new(EntryKind::Control, source.wall_ms);
        let body = encode_records(records);
        let mut sections = Vec::new();
        sections.extend(open.as_deref().map(Plain::Open));
        sections.push(Plain::Records(&body));
        self.append(no, &header, &sections, source, batch).map(|_| ())
    }

    /// Returns the live log of this process in a partition, after opening one if needed.
    pub(crate) fn live_log(&mut self, part: PartNo, source: &mut Source<'_>, batch: &mut Batch) -> LogNo {
        if let Some(no) = self.own.live.get(&part) {
            return *no;
        }
        let no = self.open_log(part, Lane::Live, source, batch);
        self.own.live.insert(part, no);
        no
    }

    /// Forgets the key of an own log: nothing more is appended to it.
    pub(crate) fn end_log(&mut self, no: LogNo) {
        let log = self.registry.log_mut(no);
        (log.mine, log.closed) = (false, true);
        let space = log.space;
        let owner = log.owner();
        self.own.signing.remove(&no);
        if self.own.control.get(&space) == Some(&no) {
            self.own.control.remove(&space);
        }
        self.own.live.retain(|_, live| *live != no);
        self.own.unnamed.extend(owner.map(|owner| (owner.partition, no)));
    }

    /// Ends every live log, of content and of control. The next write opens another.
    pub(crate) fn end_live_logs(&mut self) {
        let live: Vec<LogNo> = self.own.live.values().chain(self.own.control.values()).copied().collect();
        live.into_iter().for_each(|no| self.end_log(no));
    }

    /// Opens a log: makes its key and its card, and stages its row.
    ///
    /// The key is kept in memory alone and dies with the process.
    pub(crate) fn open_log(&mut self, part: PartNo, lane: Lane, source: &mut Source<'_>, batch: &mut Batch) -> LogNo {
        let signing = self.next_log_key(source);
        let prev = self.take_unnamed(part, batch);
        let (own, partition) = (&source.spaces.own.keys, source.spaces.partition(part));
        let space = source.spaces.space(partition.space);
        let (epoch_id, epoch) = space.current_epoch().expect("a space that is written to has an epoch");
        let place = CardPlace {
            log_pk: signing.verifying_key().to_bytes(),
            space_token: space.token,
            partition_token: partition_token(&space.id, &partition.id),
            lane,
            epoch: *epoch_id,
        };
        let device = own.device_id();
        let owner = LogOwner { device, grant: FOUNDER_GRANT, prev: prev.iter().map(|(_, prev)| *prev).collect() };
        let owner_box = owner.seal(&place, own, &epoch.owner_key);
        let card = LogCard::admit(place, owner_box, &epoch.key.admission_key());
        let mut card_bytes = Vec::with_capacity(LogCard::LEN_MAX.min(256 + prev.len() * 44));
        card.encode(&mut card_bytes);
        let (control, space_no) = (space.control() == Some(part), space.no);
        let no = self.registry.add(&card, Bytes::from(card_bytes), space_no, control);
        let log = self.registry.log_mut(no);
        log.mine = true;
        log.standing = Standing::Owned(Owner { device, partition: part });
        self.own.signing.insert(no, signing);
        for (before, _) in prev {
            self.registry.log_mut(before).next = Some(no);
        }
        batch.touch(no, false);
        no
    }

    /// Makes the key of the next log from fresh randomness, the clock and the ends of all own logs, so that
    /// copied memory does not lead to the same key twice.
    fn next_log_key(&self, source: &mut Source<'_>) -> SigningKey {
        let drawn = Zeroizing::new(source.entropy.bytes::<32>());
        let wall = source.wall_ms.to_le_bytes();
        let parts: [&[u8]; 3] = [&self.own.tips, &wall, &*drawn];
        let used = if planted!("log.key-repeats") { 1 } else { parts.len() };
        SigningKey::from_bytes(&Zeroizing::new(derive("cosmicsync log key 1", &parts[..used])))
    }

    /// Mixes the end of an own log into the input of the next log key.
    pub(super) fn mix_tip(&mut self, log: &LogId, seq: u64, h: &[u8; 32]) {
        self.own.tips = next_tips(&self.own.tips, log, seq, h);
    }

    /// Returns the ends of this device's earlier logs of a partition that no card names yet, for the card
    /// that names them now.
    fn take_unnamed(&mut self, part: PartNo, batch: &mut Batch) -> Vec<(LogNo, Prev)> {
        let of_part = self.own.unnamed.range((part, LogNo(0))..=(part, LogNo(u32::MAX))).map(|(_, no)| *no);
        let ended = |no: LogNo| {
            let tip = self.registry.log(no).staged().tip?;
            Some((no, Prev { log: self.registry.log(no).id, seq: tip.seq, h: short(&tip.h) }))
        };
        let prev: Vec<(LogNo, Prev)> = of_part.filter_map(ended).take(PREV_MAX).collect();
        for (no, _) in &prev {
            self.own.unnamed.remove(&(part, *no));
            self.registry.log_mut(*no).named = true;
            batch.touch(*no, false);
        }
        prev
    }
}
