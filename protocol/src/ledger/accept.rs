//! Accepts others' entries: verifies them first, then stages them.
//!
//! An entry is never staged before its chain and head verify, and never opened here (`spec/log.md`, section 4).

use super::entry_cache::Held;
use super::forks::Taken;
use super::registry::{RANGES_MAX, Standing};
use super::{Batch, Ledger};
use crate::codec::{CodecError, Reader};
use crate::ids::{EntryRef, LogId, LogNo, SpaceNo};
use crate::log::card::LogCard;
use crate::log::chain::ChainError;
use crate::log::entry::Entry;
use crate::log::head::Head;
use crate::storage::rows::entry_row;
use bytes::Bytes;
use std::sync::Arc;

/// Consecutive entries of a log as a peer sent them, ending at a signed head.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) log: LogId,
    /// Sent with the first entries of a log.
    pub(crate) card: Option<Bytes>,
    pub(crate) start: u64,
    pub(crate) h_prev: [u8; 32],
    pub(crate) entries: Vec<Bytes>,
    pub(crate) signature: [u8; 64],
}

/// Reason for refusing data of a peer. All but [`Self::Forked`] end the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A card or an entry is not canonical.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The entries do not fold to the signed head.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A log without its card.
    #[error("a log was sent without its card")]
    NoCard,
    /// A card of another log, or of a space that is not shared.
    #[error("a log card belongs to another log or space")]
    WrongCard,
    /// An entry came without some of its sections. The chain verifies all the same, so anybody on the way
    /// could have removed them.
    #[error("an entry came without some of its sections")]
    Partial,
    /// Held entries of a log would fall into more ranges than are kept.
    #[error("the held entries of a log would have too many gaps")]
    Scattered,
    /// The run belongs to another history of its log than the one that is held; its place must be found
    /// first.
    #[error("the run belongs to another branch of its log")]
    Forked,
}

impl Ledger {
    /// Returns the card of the log that a run belongs to: the known one, or the one that came, which is
    /// checked.
    pub(super) fn card_for(&self, id: LogId, card: Option<&Bytes>) -> Result<LogCard, Refusal> {
        if let Some(no) = self.registry.by_id(&id) {
            return Ok(self.registry.log(no).card());
        }
        let mut reader = Reader::new(card.ok_or(Refusal::NoCard)?);
        let card = LogCard::decode(&mut reader)?;
        reader.finish()?;
        self.check_card(id, &card).map(|_| card)
    }

    /// Returns the number of a log of which something verified. A new log is numbered only now: numbers have
    /// no gaps, so the row of each must be written.
    pub(super) fn number(&mut self, id: LogId, card: &LogCard, card_bytes: Option<&Bytes>) -> Result<LogNo, Refusal> {
        if let Some(no) = self.registry.by_id(&id) {
            return Ok(no);
        }
        let card_bytes = card_bytes.ok_or(Refusal::NoCard)?.clone();
        let (space, control) = self.check_card(id, card)?;
        Ok(self.registry.add(card, card_bytes, space, control))
    }

    /// Checks a card against its id, its space and, if the epoch is known, its admission. Returns the space,
    /// and whether the log is one of control.
    fn check_card(&self, id: LogId, card: &LogCard) -> Result<(SpaceNo, bool), Refusal> {
        let space = self.spaces.iter().find(|space| space.token == card.place.space_token).ok_or(Refusal::WrongCard)?;
        if card.log_id() != id {
            return Err(Refusal::WrongCard);
        }
        if let Some(epoch) = space.epochs.get(&card.place.epoch) {
            card.verify_admission(&epoch.key.admission_key().verifying_key()).map_err(|_| Refusal::WrongCard)?;
        }
        Ok((space.no, space.control_token() == card.place.partition_token))
    }

    /// Verifies a run and stages its new entries. At a log's start the card replaces `h_prev`, which is
    /// ignored.
    pub(crate) fn accept(&mut self, run: &Run, batch: &mut Batch) -> Result<LogNo, Refusal> {
        let (no, entries, before, head) = self.verify(run)?;
        if self.is_suspect(no) {
            return match self.accept_branch(run, None, batch)? {
                Taken::Yes(_) => Ok(no),
                Taken::Detached | Taken::Later => {
                    self.request_refused_branch(no, &head);
                    Err(Refusal::Forked)
                }
            };
        }
        if let Err(refusal) = self.check_branch(no, run.start, &before, &head) {
            self.suspect(no);
            self.request_refused_branch(no, &head);
            return Err(refusal);
        }
        if self.registry.log(no).staged().held.len() >= RANGES_MAX / 2
            && !self.registry.log(no).touches(run.start, head.seq)
        {
            return Err(Refusal::Scattered);
        }
        if self.registry.log(no).staged().held.contains_all(run.start..=head.seq) {
            return Ok(no);
        }
        self.end_own_log(no);
        self.stage_entries(no, run, entries, &before, head, batch);
        Ok(no)
    }

    /// Accepts a head alone, for a replica that does not hold the entries.
    pub(crate) fn accept_head(
        &mut self,
        id: LogId,
        card: Option<&Bytes>,
        head: Head,
        batch: &mut Batch,
    ) -> Result<LogNo, Refusal> {
        let known = self.card_for(id, card)?;
        let key = known.log_key().map_err(|_| ChainError::BadHead)?;
        head.verify(&key, &id).map_err(|_| ChainError::BadHead)?;
        let no = self.number(id, &known, card)?;
        if head.seq >= self.registry.log(no).next_seq() {
            self.end_own_log(no);
        }
        if self.resolve(no, &[], batch) == Standing::Unknown {
            self.unread.insert(no);
        }
        let log = self.registry.log_mut(no);
        let grows = log.staged().tip.as_ref().is_none_or(|tip| tip.seq < head.seq);
        log.stage_tip(head);
        batch.touch(no, grows);
        Ok(no)
    }

    /// Has peers asked for a history of which a run was refused. Where a history is held, announcing its end
    /// has the same effect.
    fn request_refused_branch(&mut self, no: LogNo, head: &Head) {
        if self.has_bare_head(no) {
            self.wanted.push((no, head.seq, head.h));
        }
    }

    /// Compares a verified run with the held entries of the same log.
    pub(super) fn check_branch(&self, no: LogNo, start: u64, before: &[[u8; 32]], head: &Head) -> Result<(), Refusal> {
        if !self.registry.log(no).staged().agrees(start, before) && !planted!("edge.not-compared") {
            return Err(Refusal::Forked);
        }
        let Some(tip) = &self.registry.log(no).staged().tip else { return Ok(()) };
        let same = if head.seq == tip.seq {
            head.h == tip.h
        } else {
            (tip.seq + 1)
                .checked_sub(start)
                .and_then(|at| before.get(usize::try_from(at).ok()?))
                .is_none_or(|h| *h == tip.h)
        };
        if same { Ok(()) } else { Err(Refusal::Forked) }
    }

    /// Stages the new entries of a run. Returns whether the whole run is known to belong to the held history.
    /// If the run ends amid held entries, only the part before these is known to belong, by the chain hash
    /// that they follow.
    pub(super) fn stage_entries(
        &mut self,
        no: LogNo,
        run: &Run,
        entries: Vec<Entry>,
        before: &[[u8; 32]],
        head: Head,
        batch: &mut Batch,
    ) -> bool {
        let is_known = |held: &Held| held.h == head.h;
        let end = EntryRef { log: no, seq: head.seq };
        let fits = !self.registry.log(no).staged().is_amid(head.seq) || self.entry_cache.get(end).is_some_and(is_known);
        let mut fresh = Vec::new();
        let mut bytes = 0;
        for ((entry, hashes), raw) in entries.into_iter().zip(before.windows(2)).zip(&run.entries) {
            let at = EntryRef { log: no, seq: entry.seq() };
            bytes += raw.len() as u64;
            if self.registry.log(no).staged().held.contains(at.seq) {
                continue;
            }
            let held = Held { h_prev: hashes[0], h: hashes[1], entry: Arc::new(entry), bytes: raw.clone() };
            self.note_hash(no, at.seq, held.h);
            batch.ops.push(entry_row(at, &held.h_prev, &held.bytes));
            self.entry_cache.insert(at, held.clone());
            if !self.registry.log(no).staged().indexed.contains(at.seq) {
                fresh.push((at, held));
            }
        }
        let log = self.registry.log_mut(no);
        let tip_moved = log.staged().tip.as_ref().is_none_or(|tip| tip.seq < head.seq);
        if fresh.is_empty() && !tip_moved {
            // Announcing growth here would make two sessions that both lack entries ask each other for ever.
            return fits;
        }
        if fits {
            log.stage_run(run.start, before[0], bytes, head, &self.config.steps, &mut batch.ops);
        } else {
            log.stage_fill(run.start, before[0], head.seq);
        }
        batch.touch(no, tip_moved);
        self.read_entries(no, &fresh, batch);
        fits
    }

    /// Ends a log that this process writes, after somebody showed more of it under its key: memory was
    /// copied.
    pub(super) fn end_own_log(&mut self, no: LogNo) {
        if self.registry.log(no).mine {
            self.end_log(no);
            self.ended.push(self.registry.log(no).id);
        }
    }
}
