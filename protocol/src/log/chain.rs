//! The hash chain of a log, and the verification of runs (`spec/log.md`, section 3).
//!
//! The chain covers only the hashes of sections, so any section may be gone. This module never opens a section:
//! relays verify the same way as readers.

use super::card::LogCard;
use super::entry::{Entry, Section};
use super::head::Head;
use crate::codec::Write;
use crate::ids::{EpochId, LogId};
use blake3::Hasher;
use blake3::hazmat::{HasherExt, hash_derive_key_context};

/// Reason why a run of entries does not belong to its log. The sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There was no entry to verify.
    #[error("the run is empty")]
    Empty,
    /// An entry does not follow the one before it, or the head names another entry than the last.
    #[error("the run is not contiguous")]
    Gap,
    /// An entry names the epoch that its card already names.
    #[error("an entry repeats the epoch of its card")]
    RedundantEpoch,
    /// The entries do not fold to the head's hash.
    #[error("the chain hash of the entries is not the one of the head")]
    Diverges,
    /// The card holds no valid key, or the head was not signed with it.
    #[error("the head was not signed by the log's key")]
    BadHead,
}

/// Returns the chain hash before entry 0.
pub const fn genesis(log: &LogId) -> [u8; 32] {
    log.0
}

/// Returns the hash of a section's bytes.
pub fn section_hash(bytes: &[u8]) -> [u8; 32] {
    *Hasher::new_derive_key("cosmicsync section 1").update(bytes).finalize().as_bytes()
}

impl Entry {
    /// Returns the chain hash after this entry, given the one before it and the epoch of the log's card.
    pub fn chain(&self, card_epoch: &EpochId, h_prev: &[u8; 32]) -> [u8; 32] {
        let mut hasher = Hasher::new_derive_key("cosmicsync chain 1");
        hasher.update(h_prev);
        hasher.byte(self.flags());
        hasher.update(&self.seq().to_le_bytes());
        hasher.update(self.epoch().as_ref().unwrap_or(card_epoch).as_bytes());
        hasher.update(self.nonce());
        let mut lengths = Vec::with_capacity(self.sections().len() * 2 + 3);
        self.write_lengths(&mut lengths);
        hasher.update(&lengths);
        hasher.update(&self.body_hash());
        *hasher.finalize().as_bytes()
    }

    /// Returns the hash over the hashes of all sections.
    pub fn body_hash(&self) -> [u8; 32] {
        // The context is hashed once, not once a section: bulk entries have thousands.
        let context = hash_derive_key_context("cosmicsync section 1");
        let mut body = Vec::with_capacity(self.sections().len() * 32);
        for section in self.sections() {
            match section {
                Section::Present(bytes) => {
                    body.raw(Hasher::new_from_context_key(&context).update(bytes).finalize().as_bytes());
                }
                Section::Absent { hash, .. } => body.raw(hash),
            }
        }
        *Hasher::new_derive_key("cosmicsync body 1").update(&body).finalize().as_bytes()
    }
}

/// Verifies that `entries` are entries `start_seq..` of a log, up to a signed head.
///
/// `log` must be `card.log_id()` and `h_prev` the chain hash before `start_seq`, already known to be the log's; for
/// `start_seq` 0 that is [`genesis`]. Returns the chain hash after each entry. A run with a wrong `h_prev` never
/// folds to a head of the log.
pub fn verify_run(
    card: &LogCard,
    log: &LogId,
    h_prev: &[u8; 32],
    start_seq: u64,
    entries: &[Entry],
    head: &Head,
) -> Result<Vec<[u8; 32]>, ChainError> {
    let last = entries.last().ok_or(ChainError::Empty)?;
    if last.seq() != head.seq {
        return Err(ChainError::Gap);
    }
    let mut hashes = Vec::with_capacity(entries.len());
    let mut h = *h_prev;
    let mut expected = Some(start_seq);
    for entry in entries {
        if expected != Some(entry.seq()) {
            return Err(ChainError::Gap);
        }
        if entry.epoch() == Some(card.place.epoch) {
            return Err(ChainError::RedundantEpoch);
        }
        expected = entry.seq().checked_add(1);
        h = entry.chain(&card.place.epoch, &h);
        hashes.push(h);
    }
    if h != head.h {
        return Err(ChainError::Diverges);
    }
    let key = card.log_key().map_err(|_| ChainError::BadHead)?;
    head.verify(&key, log).map_err(|_| ChainError::BadHead)?;
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{CardPlace, Lane};
    use bytes::Bytes;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    struct Log {
        key: SigningKey,
        card: LogCard,
        id: LogId,
    }

    fn log() -> Log {
        let key = SigningKey::from_bytes(&[2; 32]);
        let admission = SigningKey::from_bytes(&[1; 32]);
        let place = CardPlace {
            log_pk: key.verifying_key().to_bytes(),
            space_token: [3; 16],
            partition_token: [4; 16],
            lane: Lane::Live,
            epoch: EpochId([5; 16]),
        };
        let card = LogCard::admit(place, Bytes::from_static(b"owner"), &admission);
        Log { key, id: card.log_id(), card }
    }

    fn entries(sizes: &[Vec<usize>]) -> Vec<Entry> {
        let make = |(seq, sizes): (usize, &Vec<usize>)| {
            let sections = sizes.iter().map(|&len| Section::Present(Bytes::from(vec![len as u8; len]))).collect();
            let epoch = (seq % 3 == 1).then_some(EpochId([9; 16]));
            Entry::new(seq as u64, epoch, seq % 2 == 1 && sizes.len() > 1, [seq as u8; 24], sections).unwrap()
        };
        sizes.iter().enumerate().map(make).collect()
    }

    fn signed(log: &Log, entries: &[Entry]) -> Head {
        let h = entries.iter().fold(genesis(&log.id), |h, entry| entry.chain(&log.card.place.epoch, &h));
        Head::sign(&log.key, &log.id, entries.len() as u64 - 1, h)
    }

    fn verify(log: &Log, entries: &[Entry], head: &Head) -> Result<Vec<[u8; 32]>, ChainError> {
        verify_run(&log.card, &log.id, &genesis(&log.id), 0, entries, head)
    }

    fn sizes() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(prop::collection::vec(0usize..50, 1..8), 1..8)
    }

    proptest! {
        #[test]
        fn pruning_any_sections_keeps_the_run_verifying(sizes in sizes(), mask: u64) {
            let log = log();
            let whole = entries(&sizes);
            let head = signed(&log, &whole);
            let hashes = verify(&log, &whole, &head);
            prop_assert!(hashes.is_ok());
            let pruned: Vec<_> = whole
                .iter()
                .map(|entry| entry.without(|number| mask >> ((entry.seq() as usize * 8 + number) % 64) & 1 == 1))
                .map(|entry| Entry::decode(&entry.encode()).unwrap())
                .collect();
            prop_assert_eq!(verify(&log, &pruned, &head), hashes);
        }

        #[test]
        fn any_later_part_of_a_run_verifies_from_its_hash(sizes in sizes(), cut: prop::sample::Index) {
            let log = log();
            let whole = entries(&sizes);
            let head = signed(&log, &whole);
            let hashes = verify(&log, &whole, &head).unwrap();
            let cut = cut.index(whole.len());
            let h_prev = if cut == 0 { genesis(&log.id) } else { hashes[cut - 1] };
            let rest = verify_run(&log.card, &log.id, &h_prev, cut as u64, &whole[cut..], &head);
            prop_assert_eq!(rest.as_deref(), Ok(&hashes[cut..]));
        }

        #[test]
        fn a_mutated_entry_never_verifies(sizes in sizes(), which: prop::sample::Index, at: prop::sample::Index, bit in 0u8..8, prune: bool) {
            let log = log();
            let mut run = entries(&sizes);
            let head = signed(&log, &run);
            let which = which.index(run.len());
            let mut bytes = run[which].without(|number| prune && number == 0).encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(entry) = Entry::decode(&bytes.into()) {
                run[which] = entry;
                prop_assert!(verify(&log, &run, &head).is_err());
            }
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        let log = log();
        let run = entries(&[vec![3], vec![4, 5], vec![6]]);
        let head = signed(&log, &run);
        assert_eq!(verify(&log, &[], &head), Err(ChainError::Empty));
        assert_eq!(verify(&log, &run[..2], &head), Err(ChainError::Gap));
        assert_eq!(verify(&log, &[run[0].clone(), run[2].clone()], &head), Err(ChainError::Gap));
        assert_eq!(verify(&log, &run, &Head { h: [0; 32], ..head }), Err(ChainError::Diverges));
        assert_eq!(verify(&log, &run, &Head { signature: [0; 64], ..head }), Err(ChainError::BadHead));
        let redundant = Entry::new(2, Some(log.card.place.epoch), false, [2; 24], run[2].sections().to_vec()).unwrap();
        let run = [run[0].clone(), run[1].clone(), redundant];
        assert_eq!(verify(&log, &run, &head), Err(ChainError::RedundantEpoch));
    }

    /// Pins the format: these change only with a new version.
    #[test]
    fn hashes_are_those_of_version_0() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let log = log();
        let run = entries(&[vec![3], vec![4, 200]]);
        let h0 = run[0].chain(&log.card.place.epoch, &genesis(&log.id));
        let h1 = run[1].without(|number| number == 1).chain(&log.card.place.epoch, &h0);
        let pinned = [hex(log.id.as_bytes()), hex(&h0), hex(&h1), hex(&run[0].encode())];
        assert_eq!(
            pinned,
            [
                "d31d2a13294db085f0cd5e9fb38a52d166c9d4b7b2893ea2e656330b7ae98398",
                "e840e62810b2bafaff7e3028aed0c9cf769bd99d36a7149967adc7c26c3c4319",
                "8a8d044e30fa6670694f0153b9533ef633a7f83c5891f3225de6c47272bc192f",
                "0000000000000000000000000000000000000000000000000000000103030303"
            ]
        );
    }

    #[test]
    fn a_section_hash_is_the_same_alone_and_in_a_body() {
        let bytes = Bytes::from_static(b"section");
        let present = Entry::new(0, None, false, [0; 24], vec![Section::Present(bytes.clone())]).unwrap();
        assert_eq!(present.body_hash(), present.without(|_| true).body_hash());
    }
}
