//! Shared parts of the benchmarks: the floor of an import, made of the same parts without an endpoint around them.

use cosmicsync_protocol::ids::EpochId;
use cosmicsync_protocol::log::chain::genesis;
use cosmicsync_protocol::log::{
    Codec, Entry, EntryBuilder, EntryReader, Head, Header, KeyRef, Lane, Place, SealError, verify_run,
};
use cosmicsync_protocol::sealed::node_seed;
use cosmicsync_protocol::testkit::sample::{OwnedKeys, Sample, SampleLog, bulk_sections};

/// A bulk log in memory: its keys, and its updates.
#[derive(Debug)]
pub struct Floor {
    /// The log, still empty.
    pub log: SampleLog,
    keys: OwnedKeys,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    header: Header,
    updates: Vec<Vec<u8>>,
    seeds: Vec<[u8; 16]>,
}

/// Documents of one entry, as an endpoint packs them at this size.
const ENTRY_DOCS: usize = 1_500;

impl Floor {
    /// Encodes this many documents.
    pub fn new(sample: &Sample, docs: usize) -> Self {
        let log = sample.log(&sample.main(), Lane::Bulk, 14);
        let updates = sample.updates(&log.id, docs);
        let part = |updates: &[Vec<u8>]| {
            let (header, seeds) = sample.bulk_header(updates);
            Part { header, updates: updates.to_vec(), seeds }
        };
        let parts = updates.chunks(ENTRY_DOCS).map(part).collect();
        Self { log, keys: OwnedKeys::of(&sample.epochs[0]), parts }
    }

    /// Compresses, seals and chains all of it, and signs the end.
    ///
    /// # Errors
    /// Fails if an entry would be too large.
    pub fn seal(&self, builder: &mut EntryBuilder) -> Result<(Vec<Entry>, Head), SealError> {
        let card_epoch: EpochId = self.log.card.place.epoch;
        let (mut entries, mut h_prev) = (Vec::new(), genesis(&self.log.id));
        for (seq, part) in (0..).zip(&self.parts) {
            let place = Place { log: self.log.id, card_epoch, seq, h_prev };
            let sections = bulk_sections(&part.updates, &part.seeds);
            let sealed = builder.seal(&place, &self.keys.keys(), &[9; 16], &part.header, &sections)?;
            h_prev = sealed.h;
            entries.push(sealed.entry);
        }
        let seq = (entries.len() as u64).saturating_sub(1);
        Ok((entries, Head::sign(&self.log.key, &self.log.id, seq, h_prev)))
    }

    /// Folds and verifies the entries, as a relay does.
    pub fn verify(&self, entries: &[Entry], head: &Head) -> Vec<[u8; 32]> {
        verify_run(&self.log.card, &self.log.id, &genesis(&self.log.id), 0, entries, head).unwrap_or_default()
    }

    /// Opens the headers, as a replica does that stores documents unread.
    pub fn open_headers(&self, entries: &[Entry], hashes: &[[u8; 32]], codec: &mut Codec) -> usize {
        let readers = self.readers(entries, hashes);
        readers
            .filter_map(|reader| Some(reader.open_header(self.keys.keys().header, &[], codec).ok()?.items.len()))
            .sum()
    }

    /// Opens every document. Returns the plain bytes.
    pub fn open_bodies(&self, entries: &[Entry], hashes: &[[u8; 32]], codec: &mut Codec) -> usize {
        let keys = self.keys.keys();
        let mut bytes = 0;
        for reader in self.readers(entries, hashes) {
            let Ok(header) = reader.open_header(keys.header, &[], codec) else { continue };
            let Ok(dictionary) = reader.open_records(1, keys.records, codec) else { continue };
            for item in &header.items {
                let KeyRef::Here { section, node } = item.key else { continue };
                let Ok(seed) = reader.open_key_box(section, keys.key_box) else { continue };
                let seed = node_seed(&seed, node);
                bytes += reader.open_body(item.section, &seed, Some(&dictionary), codec).map_or(0, |body| body.len());
            }
        }
        bytes
    }

    fn readers<'a>(
        &'a self,
        entries: &'a [Entry],
        hashes: &'a [[u8; 32]],
    ) -> impl Iterator<Item = EntryReader<'a>> + 'a {
        let first = genesis(&self.log.id);
        entries.iter().enumerate().map(move |(at, entry)| {
            let h_prev = at.checked_sub(1).map_or(first, |before| hashes[before]);
            EntryReader::new(
                entry,
                Place { log: self.log.id, card_epoch: self.log.card.place.epoch, seq: at as u64, h_prev },
            )
        })
    }
}
