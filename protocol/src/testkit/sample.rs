//! One small world of records, keys and entries, equal wherever it is made: the basis of the published vectors, the
//! fuzz targets and the benchmarks.

use crate::crdt::{Meta, TextPaths, Value, encode_new};
use crate::entropy::Entropy;
use crate::identity::{
    Credential, DeviceKeys, RecoveryKey, SpaceGenesis, UserGenesis, UserKey, collection_id, doc_id_for_key,
    partition_id, partition_token, peer_id, space_token,
};
use crate::ids::{CollectionId, DocId, LogId, PartitionId, SpaceId};
use crate::log::chain::genesis;
use crate::log::owner::FOUNDER_GRANT;
use crate::log::read::join_parts;
use crate::log::{
    CardPlace, Dep, EntryBuilder, EntryKind, EpochKeys, Head, Header, Item, KeyRef, Lane, LogCard, LogOwner, Place,
    Plain, Prev, Sealed,
};
use crate::sealed::{EpochKey, Invite, KeyEpoch, KeyNode, Seed, leaf_seeds};
use crate::spaces::record::{Record, encode_records};
use crate::spaces::{CONTROL, MAIN};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

/// The wall clock in this world, in milliseconds since the Unix epoch.
pub const WALL_MS: u64 = 1_700_000_000_000;
/// Documents of the bulk log: enough for codes of their own.
pub const BULK_DOCS: usize = 9;
/// Documents of the log in which they share a section.
pub const TOGETHER_DOCS: usize = 4;

/// A user with two devices, a space with two epochs, and the keys of its logs.
#[derive(Debug)]
pub struct Sample {
    /// The key that could replace the user's.
    pub recovery: RecoveryKey,
    /// The user's key.
    pub user: UserKey,
    /// The user's record.
    pub genesis: UserGenesis,
    /// The founder's device and one that joined.
    pub devices: [DeviceKeys; 2],
    /// Credentials of both devices.
    pub credentials: [Credential; 2],
    /// The space's record.
    pub space: SpaceGenesis,
    /// An invite of the first device.
    pub invite: Invite,
    /// The first epoch and the second.
    pub epochs: [EpochKey; 2],
    /// The records of both epochs: for one device, then for two.
    pub records: [KeyEpoch; 2],
}

/// The three keys of an epoch that entries are sealed under.
#[derive(Debug)]
pub struct OwnedKeys {
    epoch: crate::ids::EpochId,
    header: Zeroizing<[u8; 32]>,
    key_box: Zeroizing<[u8; 32]>,
    records: Zeroizing<[u8; 32]>,
}

impl OwnedKeys {
    /// Derives the keys from an epoch key.
    pub fn of(key: &EpochKey) -> Self {
        Self { epoch: key.id(), header: key.header_key(), key_box: key.key_box_key(), records: key.records_key() }
    }

    /// Returns the keys in the form that builders and readers take.
    pub fn keys(&self) -> EpochKeys<'_> {
        EpochKeys { epoch: self.epoch, header: &self.header, key_box: &self.key_box, records: &self.records }
    }
}

/// A log and its entries.
#[derive(Debug)]
pub struct SampleLog {
    /// The key that signs heads.
    pub key: SigningKey,
    /// The card.
    pub card: LogCard,
    /// The id.
    pub id: LogId,
    /// The earlier logs that the card names.
    pub earlier: Vec<LogId>,
    /// The entries, from 0.
    pub entries: Vec<Sealed>,
    /// The head at each entry.
    pub heads: Vec<Head>,
}

impl SampleLog {
    /// Returns the place of an entry.
    pub fn place(&self, seq: usize) -> Place {
        let h_prev = seq.checked_sub(1).map_or_else(|| genesis(&self.id), |before| self.entries[before].h);
        Place { log: self.id, card_epoch: self.card.place.epoch, seq: seq as u64, h_prev }
    }

    /// Returns the card as it travels.
    pub fn card_bytes(&self) -> Bytes {
        let mut bytes = Vec::new();
        self.card.encode(&mut bytes);
        bytes.into()
    }

    /// Seals one more entry.
    ///
    /// # Panics
    /// If the entry does not fit its limits.
    pub fn push(&mut self, builder: &mut EntryBuilder, keys: &OwnedKeys, header: &Header, sections: &[Plain<'_>]) {
        let place = self.place(self.entries.len());
        let randomness = [place.seq as u8; 16];
        let sealed = builder.seal(&place, &keys.keys(), &randomness, header, sections).expect("a sample entry fits");
        self.heads.push(Head::sign(&self.key, &self.id, place.seq, sealed.h));
        self.entries.push(sealed);
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}

impl Sample {
    /// Makes the world.
    ///
    /// # Panics
    /// Never: all of it is fixed.
    pub fn new() -> Self {
        let mut entropy = Entropy::new([1; 32]);
        let recovery = RecoveryKey::generate(&mut entropy);
        let user = UserKey::generate(&mut entropy);
        let genesis = user.genesis(recovery.commitment(), &mut entropy);
        let devices = [DeviceKeys::generate(&mut entropy), DeviceKeys::generate(&mut entropy)];
        let credentials = [0, 1].map(|at: usize| {
            let cert = user.certify(genesis.user_id(), devices[at].claim(), WALL_MS, u64::MAX);
            Credential { genesis: genesis.clone(), cert }
        });
        let space = SpaceGenesis::create(&user, genesis.clone(), &mut entropy);
        let space_id = space.space_id();
        let noise = devices[0].public().noise;
        let addresses = vec!["192.0.2.1:7520".to_owned(), "[2001:db8::1]:7520".to_owned()];
        let invite = Invite::create(addresses, space_id, noise, WALL_MS + 86_400_000, &mut entropy)
            .expect("the addresses are addresses");
        let epochs = [EpochKey::generate(&mut entropy), EpochKey::generate(&mut entropy)];
        let hpke = [devices[0].public().hpke, devices[1].public().hpke];
        let mut mint = |generation, key, previous, recipients: &[[u8; 32]]| {
            KeyEpoch::mint(&space_id, key, previous, generation, recipients, &mut entropy).expect("the keys are sound")
        };
        let records = [mint(0, &epochs[0], None, &hpke[..1]), mint(1, &epochs[1], Some(&epochs[0]), &hpke)];
        Self { recovery, user, genesis, devices, credentials, space, invite, epochs, records }
    }

    /// Returns the space's id.
    pub fn space_id(&self) -> SpaceId {
        self.space.space_id()
    }

    /// Returns the partition `control`.
    pub fn control(&self) -> PartitionId {
        partition_id(&self.space_id(), CONTROL)
    }

    /// Returns the partition `main`.
    pub fn main(&self) -> PartitionId {
        partition_id(&self.space_id(), MAIN)
    }

    /// Returns the collection `cities`.
    pub fn collection(&self) -> CollectionId {
        collection_id(&self.space_id(), "cities")
    }

    /// Returns the document of `cities` that a key names.
    pub fn doc(&self, key: &str) -> DocId {
        doc_id_for_key(&self.space_id(), &self.collection(), key.as_bytes())
    }

    /// Makes an empty log of the first device in the first epoch, whose key is `seed` repeated.
    pub fn log(&self, partition: &PartitionId, lane: Lane, seed: u8) -> SampleLog {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let space = self.space_id();
        let place = CardPlace {
            log_pk: key.verifying_key().to_bytes(),
            space_token: space_token(&space),
            partition_token: partition_token(&space, partition),
            lane,
            epoch: self.epochs[0].id(),
        };
        let prev = Prev { log: LogId([seed; 32]), seq: u64::from(seed), h: [seed; 8] };
        let owner = LogOwner { device: self.devices[0].device_id(), grant: FOUNDER_GRANT, prev: vec![prev] };
        let owner_box = owner.seal(&place, &self.devices[0], &self.epochs[0].owner_key());
        let card = LogCard::admit(place, owner_box, &self.epochs[0].admission_key());
        SampleLog { id: card.log_id(), earlier: vec![prev.log], key, card, entries: Vec::new(), heads: Vec::new() }
    }

    /// Makes the control log: the space's first records beside the first KeyEpoch, then a second device and epoch.
    pub fn control_log(&self) -> SampleLog {
        let mut log = self.log(&self.control(), Lane::Live, 11);
        let mut builder = EntryBuilder::new();
        let header = Header::new(EntryKind::Control, WALL_MS);
        let credential = |at: usize| Record::Device { credential: Bytes::from(self.credentials[at].encode()) };
        let first = [Record::SpaceName { name: "home".into() }, Record::Partition { name: MAIN.into() }, credential(0)];
        for (at, records) in [first.to_vec(), vec![credential(1)]].into_iter().enumerate() {
            let open = self.records[at].encode();
            let body = encode_records(&records);
            let sections = [Plain::Open(&open), Plain::Records(&body)];
            log.push(&mut builder, &OwnedKeys::of(&self.epochs[at]), &header, &sections);
        }
        log
    }

    /// Makes a live log: a document is made, then changed under the second epoch with the key of the first entry.
    ///
    /// # Panics
    /// Never: all of it is fixed.
    pub fn live_log(&self) -> SampleLog {
        let mut log = self.log(&self.main(), Lane::Live, 12);
        let mut builder = EntryBuilder::new();
        let seed = [7; 16];
        let update = encode_new(peer_id(&log.id), &meta("00501"), &row(501), &TextPaths::none()).expect("a small row");
        let mut header = Header::new(EntryKind::Update, WALL_MS);
        header.collections.push(self.collection());
        let item = Item {
            doc: self.doc("00501"),
            new_in: Some(0),
            section: 2,
            part: None,
            key: KeyRef::here(1),
            dictionary: None,
        };
        header.items.push(item);
        let body = |bytes| Plain::Body { seed: &seed, bytes, dictionary: None };
        log.push(&mut builder, &OwnedKeys::of(&self.epochs[0]), &header, &[Plain::KeyBox(&seed), body(&update.bytes)]);
        let mut header = Header::after(EntryKind::Update, WALL_MS + 5, &log.earlier);
        let other = header.log_handle(LogId([4; 32]));
        header.deps = vec![Dep { log: 0, seq: 12, h: [12; 8] }, Dep { log: other, seq: 2, h: [5; 8] }];
        let key = KeyRef::Own { seq: 0, section: 1, node: KeyNode::ROOT };
        header.items.push(Item { new_in: None, section: 1, key, ..item });
        let bytes = b"what an update holds is no matter of the log";
        log.push(&mut builder, &OwnedKeys::of(&self.epochs[1]), &header, &[body(bytes)]);
        log
    }

    /// Makes a bulk log: one entry of `docs` documents, each under a key of its own against one dictionary, and a
    /// LogClose.
    ///
    /// # Panics
    /// If there are more documents than one entry holds.
    pub fn bulk_log(&self, docs: usize) -> SampleLog {
        let mut log = self.log(&self.main(), Lane::Bulk, 13);
        let keys = OwnedKeys::of(&self.epochs[0]);
        let mut builder = EntryBuilder::new();
        let updates = self.updates(&log.id, docs);
        let (header, seeds) = self.bulk_header(&updates);
        log.push(&mut builder, &keys, &header, &bulk_sections(&updates, &seeds));
        log.push(&mut builder, &keys, &Header::new(EntryKind::LogClose, WALL_MS), &[]);
        log
    }

    /// Makes a bulk log of one entry, in which all documents share a section and a data key, and a LogClose.
    ///
    /// # Panics
    /// If there are more documents than one section holds.
    pub fn together_log(&self, docs: usize) -> SampleLog {
        let mut log = self.log(&self.main(), Lane::Bulk, 14);
        let updates = self.updates(&log.id, docs);
        let mut header = Header::new(EntryKind::Update, WALL_MS);
        header.collections.push(self.collection());
        header.items = (0..docs as u32)
            .map(|at| Item {
                doc: bulk_doc(at),
                new_in: Some(0),
                section: 2,
                part: Some(at),
                key: KeyRef::here(1),
                dictionary: None,
            })
            .collect();
        let bytes = join_parts(updates.iter().map(Vec::as_slice));
        let sections = [Plain::KeyBox(&BULK_SEED), Plain::Body { seed: &BULK_SEED, bytes: &bytes, dictionary: None }];
        let (mut builder, keys) = (EntryBuilder::new(), OwnedKeys::of(&self.epochs[0]));
        log.push(&mut builder, &keys, &header, &sections);
        log.push(&mut builder, &keys, &Header::new(EntryKind::LogClose, WALL_MS), &[]);
        log
    }

    /// Returns the first updates of `docs` documents, as a log writes them.
    ///
    /// # Panics
    /// Never: rows are small.
    pub fn updates(&self, log: &LogId, docs: usize) -> Vec<Vec<u8>> {
        let peer = peer_id(log);
        let update = |at: usize| encode_new(peer, &meta(&format!("{at:05}")), &row(at), &TextPaths::none());
        (0..docs).map(|at| update(at).expect("a small row").bytes).collect()
    }

    /// Returns the header of a bulk entry with these documents, and the seeds of their data keys.
    pub fn bulk_header(&self, updates: &[Vec<u8>]) -> (Header, Vec<Seed>) {
        let mut header = Header::new(EntryKind::Update, WALL_MS);
        header.collections.push(self.collection());
        let count = updates.len() as u32;
        header.items = (0..count)
            .map(|at| Item {
                doc: bulk_doc(at),
                new_in: Some(0),
                section: 3 + at,
                part: None,
                key: KeyRef::Here { section: 2, node: KeyNode::leaf(at, count) },
                dictionary: Some(1),
            })
            .collect();
        (header, leaf_seeds(&BULK_SEED, count))
    }
}

/// The seed in the key box of a bulk entry.
const BULK_SEED: Seed = [6; 16];

fn bulk_doc(at: u32) -> DocId {
    DocId((u128::from(WALL_MS) << 80 | u128::from(at)).to_be_bytes())
}

/// Returns the sections of a bulk entry: the dictionary, whose text is the first document, a key box, then one body
/// per document.
pub fn bulk_sections<'a>(updates: &'a [Vec<u8>], seeds: &'a [Seed]) -> Vec<Plain<'a>> {
    let mut sections = vec![Plain::Dictionary(updates.first().map_or(&[], Vec::as_slice)), Plain::KeyBox(&BULK_SEED)];
    let bodies = updates.iter().zip(seeds);
    sections.extend(bodies.map(|(bytes, seed)| Plain::Body { seed, bytes, dictionary: Some(1) }));
    sections
}

/// Returns the name of a document of `cities`.
pub fn meta(key: &str) -> Meta {
    Meta { collection: Some("cities".into()), key: Some(key.into()), deleted: false }
}

/// Returns a row of seven fields, about 190 bytes of JSON.
pub fn row(at: usize) -> Value {
    let fraction = |scale: usize| Value::from(format!("{}.{:06}", 30 + at % 20, at * scale % 1_000_000));
    [
        ("zip", Value::from(format!("{at:05}"))),
        ("latitude", fraction(7_919)),
        ("longitude", fraction(104_729)),
        ("city", Value::from(["Holtsville", "Agawam", "Blandford", "Bondsville"][at % 4])),
        ("state", Value::from(["NY", "MA", "CT"][at % 3])),
        ("county", Value::from(["Suffolk", "Hampden"][at % 2])),
        ("population", Value::Int(at as i64 * 37 % 90_000)),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Codec, EntryReader, verify_run};

    #[test]
    fn the_sample_logs_verify_and_open() {
        let sample = Sample::new();
        for log in [sample.control_log(), sample.live_log(), sample.bulk_log(9), sample.together_log(5)] {
            let entries: Vec<_> = log.entries.iter().map(|sealed| sealed.entry.clone()).collect();
            let head = log.heads.last().unwrap();
            let hashes = verify_run(&log.card, &log.id, &genesis(&log.id), 0, &entries, head).unwrap();
            assert_eq!(hashes, log.entries.iter().map(|sealed| sealed.h).collect::<Vec<_>>());
            for (seq, entry) in entries.iter().enumerate() {
                let reader = EntryReader::new(entry, log.place(seq));
                let epoch = sample.epochs.iter().find(|key| key.id() == reader.epoch()).unwrap();
                assert!(reader.open_header(&epoch.header_key(), &log.earlier, &mut Codec::new()).is_ok());
            }
        }
        assert!(sample.records[1].open(&sample.space_id(), &sample.devices[1]).is_some());
    }
}
