//! Accepts others' entries: verifies them first, then stages them.
//!
//! An entry is never staged before its chain and head verify, and never opened here (`spec/log.md`, section 4).

use super::entry_cache::Held;
use super::forks::Taken;
use super::registry::{RANGES_MAX, Standing};
use super::{Asks, Batch, Logs};
use crate::codec::{CodecError, Reader};
use crate::ids::{EntryRef, LogId, LogNo, SpaceNo};
use crate::log::card::LogCard;
use crate::log::chain::ChainError;
use crate::log::entry::Entry;
use crate::log::head::Head;
use crate::spaces::Spaces;
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

impl Run {
    /// Returns the seq after the last entry.
    pub(crate) const fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }
}

/// Reason for refusing data of a peer, which ends the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
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
}

/// Facts that follow from data of a peer, beside the commit.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Logs of this process that ended because another process signs with their key.
    pub(crate) ended: Vec<LogId>,
    /// Logs that have a further history.
    pub(crate) forked: Vec<LogId>,
    /// Histories that peers must be asked for, by their heads: (log, seq, h).
    pub(crate) wanted: Vec<(LogNo, u64, [u8; 32])>,
}

impl News {
    /// Adds later news to these. Returns the result that came with them.
    pub(crate) fn keep<R>(&mut self, (result, later): (R, Self)) -> R {
        self.ended.extend(later.ended);
        self.forked.extend(later.forked);
        self.wanted.extend(later.wanted);
        result
    }
}

/// The surroundings that data of a peer arrives in, and the results beside the commit.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) spaces: &'a mut Spaces,
    pub(crate) batch: &'a mut Batch,
    pub(crate) news: News,
    /// Reads that the fork index asks for.
    pub(crate) asks: Asks,
}

impl<'a> Arrival<'a> {
    pub(crate) const fn new(spaces: &'a mut Spaces, batch: &'a mut Batch) -> Self {
        let news = News { ended: Vec::new(), forked: Vec::new(), wanted: Vec::new() };
        Self { spaces, batch, news, asks: Vec::new() }
    }
}

impl Logs {
    /// Returns the card of the log that a run belongs to: the known one, or the one that came, which is
    /// checked.
    pub(super) fn card_for(&self, id: LogId, card: Option<&Bytes>, spaces: &Spaces) -> Result<LogCard, Refusal> {
        if let Some(no) = self.registry.by_id(&id) {
            return Ok(self.registry.log(no).card());
        }
        let mut reader = Reader::new(card.ok_or(Refusal::NoCard)?);
        let card = LogCard::decode(&mut reader)?;
        reader.finish()?;
        check_card(id, &card, spaces).map(|_| card)
    }

    /// Returns the number of a log of which something verified. A new log is numbered only now: numbers have
    /// no gaps, so the row of each must be written.
    pub(super) fn number(
        &mut self,
        id: LogId,
        card: &LogCard,
        card_bytes: Option<&Bytes>,
        spaces: &Spaces,
    ) -> Result<LogNo, Refusal> {
        if let Some(no) = self.registry.by_id(&id) {
            return Ok(no);
        }
        let card_bytes = card_bytes.ok_or(Refusal::NoCard)?.clone();
        let (space, control) = check_card(id, card, spaces)?;
        Ok(self.registry.add(card, card_bytes, space, control))
    }

    /// Verifies a run and stages its new entries. At a log's start the card replaces `h_prev`, which is
    /// ignored.
    pub(crate) fn accept(&mut self, run: &Run, arrival: &mut Arrival<'_>) -> Result<Taken, Refusal> {
        let (no, entries, before, head) = self.verify(run, arrival.spaces)?;
        if self.is_suspect(no) {
            let taken = self.accept_branch(run, None, arrival)?;
            return Ok(match taken {
                Taken::Yes(_) => Taken::Yes(no),
                Taken::No => Taken::No,
                Taken::Detached | Taken::Later => {
                    self.request_refused_branch(no, &head, arrival);
                    Taken::No
                }
            });
        }
        if !self.fits_branch(no, run.start, &before, &head) {
            self.suspect(no);
            self.request_refused_branch(no, &head, arrival);
            return Ok(Taken::No);
        }
        if self.registry.log(no).staged().held.len() >= RANGES_MAX / 2
            && !self.registry.log(no).touches(run.start, head.seq)
        {
            return Err(Refusal::Scattered);
        }
        if self.registry.log(no).staged().held.contains_all(run.start..=head.seq) {
            return Ok(Taken::Yes(no));
        }
        self.end_own_log(no, arrival);
        self.stage_entries(no, run, entries, &before, head, arrival);
        Ok(Taken::Yes(no))
    }

    /// Accepts a head alone, for a replica that does not hold the entries.
    pub(crate) fn accept_head(
        &mut self,
        id: LogId,
        card: Option<&Bytes>,
        head: Head,
        arrival: &mut Arrival<'_>,
    ) -> Result<LogNo, Refusal> {
        let known = self.card_for(id, card, arrival.spaces)?;
        let key = known.log_key().map_err(|_| ChainError::BadHead)?;
        head.verify(&key, &id).map_err(|_| ChainError::BadHead)?;
        let no = self.number(id, &known, card, arrival.spaces)?;
        if head.seq >= self.registry.log(no).next_seq() {
            self.end_own_log(no, arrival);
        }
        if self.resolve(no, &[], arrival.spaces, arrival.batch) == Standing::Unknown {
            self.reader.unread.insert(no);
        }
        let log = self.registry.log_mut(no);
        let grows = log.staged().tip.as_ref().is_none_or(|tip| tip.seq < head.seq);
        log.stage_tip(head);
        arrival.batch.touch(no, grows);
        Ok(no)
    }

    /// Has peers asked for a history of which a run was refused. Where a history is held, announcing its end
    /// has the same effect.
    fn request_refused_branch(&self, no: LogNo, head: &Head, arrival: &mut Arrival<'_>) {
        if self.has_bare_head(no) {
            arrival.news.wanted.push((no, head.seq, head.h));
        }
    }

    /// Returns whether a verified run agrees with the held entries of the same log.
    pub(super) fn fits_branch(&self, no: LogNo, start: u64, before: &[[u8; 32]], head: &Head) -> bool {
        if !self.registry.log(no).staged().agrees(start, before) && !planted!("edge.not-compared") {
            return false;
        }
        let Some(tip) = &self.registry.log(no).staged().tip else { return true };
        if head.seq == tip.seq {
            head.h == tip.h
        } else {
            (tip.seq + 1)
                .checked_sub(start)
                .and_then(|at| before.get(usize::try_from(at).ok()?))
                .is_none_or(|h| *h == tip.h)
        }
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
        arrival: &mut Arrival<'_>,
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
            arrival.batch.ops.push(entry_row(at, &held.h_prev, &held.bytes));
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
            log.stage_run(run.start, before[0], bytes, head, &self.steps, &mut arrival.batch.ops);
        } else {
            log.stage_fill(run.start, before[0], head.seq);
        }
        arrival.batch.touch(no, tip_moved);
        self.read_entries(no, &fresh, arrival.spaces, arrival.batch);
        fits
    }

    /// Ends a log that this process writes, after somebody showed more of it under its key: memory was
    /// copied.
    pub(super) fn end_own_log(&mut self, no: LogNo, arrival: &mut Arrival<'_>) {
        if self.registry.log(no).mine {
            self.end_log(no);
            arrival.news.ended.push(self.registry.log(no).id);
        }
    }
}

/// Checks a card against its id, its space and, if the epoch is known, its admission. Returns the space,
/// and whether the log is one of control.
fn check_card(id: LogId, card: &LogCard, spaces: &Spaces) -> Result<(SpaceNo, bool), Refusal> {
    let space = spaces.iter().find(|space| space.token == card.place.space_token).ok_or(Refusal::WrongCard)?;
    if card.log_id() != id {
        return Err(Refusal::WrongCard);
    }
    if let Some(epoch) = space.epochs.get(&card.place.epoch) {
        card.verify_admission(&epoch.key.admission_key().verifying_key()).map_err(|_| Refusal::WrongCard)?;
    }
    Ok((space.no, space.control_token() == card.place.partition_token))
}
