//! A hostile member: it holds valid keys of a space, passes every handshake, and then sends anything.
//!
//! Plain functions from its state to the next bytes, so that the same liar works over links in memory, in a
//! simulation and over sockets. A [`Member`] begins as an honest [`Peer`] that joined; an [`OwnLog`] is a log with
//! any content; a [`Line`] is its end of one link. This module never decides when to send.

mod lies;
mod siege;

pub use lies::{Liar, Lie};
pub use siege::{NO_CODE, Siege};

use crate::codec::{Reader, Write};
use crate::connection::{Established, Handshake, Opening, Transport};
use crate::entropy::Entropy;
use crate::identity::{DeviceKeys, partition_id, partition_token, peer_id};
use crate::ids::{DeviceId, EpochId, Incarnation, Instance, LogId, PartitionId, SpaceId, SpaceNo};
use crate::log::card::{restored_card, short_card};
use crate::log::forge::{ForgedSeal, forge};
use crate::log::owner::FOUNDER_GRANT;
use crate::log::{
    CardPlace, Codec, EntryBuilder, EntryKind, EpochKeys, Head, Header, Item, KeyRef, Lane, LogCard, LogOwner, Place,
    Plain, Prev, chain,
};
use crate::sealed::{EpochKey, KeyEpoch};
use crate::spaces::record::{Record, encode_records};
use crate::spaces::{CONTROL, MAIN};
use crate::sync::{Cursor, Follow};
use crate::testkit::peer::Peer;
use crate::wire::frame::{CHANNELS, Outgoing, PLAINTEXT_MAX, Reassembler};
use crate::wire::hello::{Hello, HelloLimits, Role, Suite, Versions};
use crate::wire::message::{LogRef, Message, Run};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A device with all keys of one space.
#[derive(Debug)]
pub struct Member {
    keys: DeviceKeys,
    credential: Vec<u8>,
    /// The space.
    pub space: SpaceId,
    token: [u8; 16],
    epoch_id: EpochId,
    epoch: EpochSecrets,
    incarnation: Incarnation,
    instance: Instance,
    entropy: Entropy,
    builder: EntryBuilder,
    codec: Codec,
    /// Known logs of others, with the card, the tip's seq and the chain hash there.
    pub known: BTreeMap<LogId, (Bytes, u64, [u8; 32])>,
}

struct EpochSecrets {
    key: EpochKey,
    header: Zeroizing<[u8; 32]>,
    key_box: Zeroizing<[u8; 32]>,
    records: Zeroizing<[u8; 32]>,
}

impl EpochSecrets {
    fn of(key: EpochKey) -> Self {
        Self { header: key.header_key(), key_box: key.key_box_key(), records: key.records_key(), key }
    }
}

impl core::fmt::Debug for EpochSecrets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EpochSecrets(…)")
    }
}

/// A log of the hostile member's own, and the place of its next entry.
#[derive(Debug, Clone)]
pub struct OwnLog {
    key: SigningKey,
    /// The card.
    pub card: LogCard,
    /// Canonical form of the card.
    pub card_bytes: Bytes,
    /// The log.
    pub id: LogId,
    /// The log's partition.
    pub partition: PartitionId,
    /// The next entry's seq.
    pub seq: u64,
    /// The chain hash before the next entry.
    pub h: [u8; 32],
}

/// The parts of an entry, with bytes of the member's choice.
#[derive(Debug, Default)]
pub struct Bodies {
    /// The header's packed plaintext.
    pub header: Vec<u8>,
    /// Further sections: the seed of the data key and the plaintext, compressed or not.
    pub bodies: Vec<([u8; 16], Vec<u8>)>,
}

impl Member {
    /// Turns a peer that joined the space hostile.
    ///
    /// # Panics
    /// If the peer has no user, no space or no keys.
    pub fn of(peer: &Peer, seed: u8) -> Self {
        let ledger = peer.endpoint.ledger();
        let space = ledger.space(SpaceNo(0));
        let (epoch_id, epoch) = space.current_epoch().expect("a joined peer has the keys");
        let membership = ledger.spaces.own.user.as_ref().expect("a joined peer has a user");
        let key = epoch.key.clone();
        let known = ledger.logs.registry.iter().filter(|log| !log.mine).filter_map(|log| {
            let tip = log.durable.tip.as_ref()?;
            Some((log.id, (log.card_bytes().clone(), tip.seq, tip.h)))
        });
        Self {
            keys: DeviceKeys::from_bytes(&ledger.spaces.own.keys.to_bytes()[..]).expect("keys round trip"),
            credential: membership.credential.encode(),
            space: space.id,
            token: space.token,
            epoch_id: *epoch_id,
            epoch: EpochSecrets::of(key),
            incarnation: ledger.incarnation,
            instance: Instance(Entropy::new([seed; 32]).child("instance").bytes()),
            entropy: Entropy::new([seed; 32]),
            builder: EntryBuilder::new(),
            codec: Codec::new(),
            known: known.collect(),
        }
    }

    /// Draws everything from another seed from now on.
    pub fn reseed(&mut self, seed: u64) {
        self.entropy = self.entropy.child(&seed.to_string());
    }

    /// Returns the document that a key of a collection names.
    pub fn doc(&self, collection: &str, key: &str) -> crate::ids::DocId {
        let collection = crate::identity::collection_id(&self.space, collection);
        crate::identity::doc_id_for_key(&self.space, &collection, key.as_bytes())
    }

    /// Returns the compressor of the member's sections.
    pub const fn codec(&mut self) -> &mut Codec {
        &mut self.codec
    }

    /// Returns the space's control partition.
    pub fn control(&self) -> PartitionId {
        partition_id(&self.space, CONTROL)
    }

    /// Returns the space's main partition.
    pub fn main(&self) -> PartitionId {
        partition_id(&self.space, MAIN)
    }

    /// Makes a new log, properly admitted and owned.
    pub fn new_log(&mut self, partition: PartitionId, lane: Lane) -> OwnLog {
        self.new_log_as(partition, lane, self.keys.device_id())
    }

    /// Makes a new log whose owner box names a device, and is signed by this one.
    pub fn new_log_as(&mut self, partition: PartitionId, lane: Lane, device: DeviceId) -> OwnLog {
        self.new_log_with(partition, lane, |member, place| {
            let owner = LogOwner { device, grant: FOUNDER_GRANT, prev: Vec::new() };
            owner.seal(place, &member.keys, &member.epoch.key.owner_key())
        })
    }

    /// Makes a new log whose owner box names any earlier logs.
    pub fn new_log_after(&mut self, partition: PartitionId, prev: Vec<Prev>) -> OwnLog {
        self.new_log_with(partition, Lane::Live, |member, place| {
            let owner = LogOwner { device: member.keys.device_id(), grant: FOUNDER_GRANT, prev };
            owner.seal(place, &member.keys, &member.epoch.key.owner_key())
        })
    }

    /// Makes a new log whose owner box is noise.
    pub fn new_log_of_nobody(&mut self, partition: PartitionId) -> OwnLog {
        self.new_log_with(partition, Lane::Live, |member, _| Bytes::from(member.entropy.bytes::<150>().to_vec()))
    }

    fn new_log_with(
        &mut self,
        partition: PartitionId,
        lane: Lane,
        owner_box: impl FnOnce(&mut Self, &CardPlace) -> Bytes,
    ) -> OwnLog {
        let key = SigningKey::from_bytes(&self.entropy.bytes());
        let place = CardPlace {
            log_pk: key.verifying_key().to_bytes(),
            space_token: self.token,
            partition_token: partition_token(&self.space, &partition),
            lane,
            epoch: self.epoch_id,
        };
        let owner_box = owner_box(self, &place);
        let card = LogCard::admit(place, owner_box, &self.epoch.key.admission_key());
        let mut card_bytes = Vec::new();
        card.encode(&mut card_bytes);
        let id = card.log_id();
        OwnLog { key, card, card_bytes: card_bytes.into(), id, partition, seq: 0, h: chain::genesis(&id) }
    }

    /// Returns the record that names this device.
    pub fn device(&self) -> Record {
        Record::Device { credential: self.credential.clone().into() }
    }

    /// Appends records to a control log.
    ///
    /// # Panics
    /// If they are too large for an entry.
    pub fn control_entry(&mut self, log: &mut OwnLog, records: &[Record]) -> Bytes {
        let header = Header::new(EntryKind::Control, 0);
        let body = encode_records(records);
        self.entry(log, &header, &[Plain::Records(&body)])
    }

    /// Appends an entry that is well-formed, with any header.
    ///
    /// # Panics
    /// If the entry is too large.
    pub fn entry(&mut self, log: &mut OwnLog, header: &Header, sections: &[Plain<'_>]) -> Bytes {
        let randomness = self.entropy.bytes();
        let keys = EpochKeys {
            epoch: self.epoch_id,
            header: &self.epoch.header,
            key_box: &self.epoch.key_box,
            records: &self.epoch.records,
        };
        let sealed = self.builder.seal(&log.place(), &keys, &randomness, header, sections).expect("an entry in limits");
        (log.seq, log.h) = (log.seq + 1, sealed.h);
        sealed.bytes
    }

    /// Appends an entry with one update of a document, correctly boxed and sealed.
    pub fn update(&mut self, log: &mut OwnLog, doc: crate::ids::DocId, update: &[u8]) -> Bytes {
        let seed = self.entropy.bytes();
        let compressed = self.codec.compress(update, None);
        let header = Header {
            items: vec![Item { doc, new_in: None, section: 2, part: None, key: KeyRef::here(1), dictionary: None }],
            ..Header::new(EntryKind::Update, 0)
        };
        let packed = header.pack(&mut self.codec).expect("a small header");
        self.forged(log, &Bodies { header: packed, bodies: vec![(seed, compressed)] })
    }

    /// Appends an entry of any plaintexts: the header, then for each body its key box and the body.
    ///
    /// # Panics
    /// If the forged entry is larger than an entry can be.
    pub fn forged(&mut self, log: &mut OwnLog, parts: &Bodies) -> Bytes {
        let mut sections = vec![(ForgedSeal::Key(&self.epoch.header), parts.header.clone())];
        for (seed, body) in &parts.bodies {
            sections.push((ForgedSeal::Key(&self.epoch.key_box), seed.to_vec()));
            sections.push((ForgedSeal::Seed(seed), body.clone()));
        }
        let nonce = self.entropy.bytes();
        let sealed = forge(&log.place(), None, false, nonce, &sections).expect("an entry in limits");
        (log.seq, log.h) = (log.seq + 1, sealed.h);
        sealed.bytes
    }

    /// Mints an epoch, boxed to the devices of `peers` alone, and seals under it from now on. Returns its record.
    ///
    /// # Panics
    /// If the record cannot be made.
    pub fn mint_for(&mut self, peers: &[&Peer], generation: u32) -> Vec<u8> {
        let key = EpochKey::generate(&mut self.entropy);
        let recipients: Vec<_> =
            peers.iter().map(|peer| peer.endpoint.ledger().spaces.own.keys.public().hpke).collect();
        let record = KeyEpoch::mint(&self.space, &key, None, generation, &recipients, &mut self.entropy);
        self.epoch_id = key.id();
        self.epoch = EpochSecrets::of(key);
        record.expect("few recipients with keys in order").encode()
    }

    /// Signs a head of an own log, true or not.
    pub fn head(&self, log: &OwnLog, seq: u64, h: [u8; 32]) -> Head {
        Head::sign(&log.key, &log.id, seq, h)
    }

    /// Returns the message with entries of an own log, the last of which was just appended.
    pub fn range(&self, line: &mut Line, log: &OwnLog, start: u64, h_prev: [u8; 32], entries: Vec<Bytes>) -> Message {
        let signature = self.head(log, log.seq.wrapping_sub(1), log.h).signature;
        let card = (start == 0).then(|| short_card(&log.card_bytes));
        let h_prev = if start == 0 { [0; 32] } else { h_prev };
        Message::Range { log: line.name(log.id), opens: None, card, run: Run { start, h_prev, entries, signature } }
    }

    fn hello(&self) -> Vec<u8> {
        Hello {
            versions: Versions { min: (0, 0), max: (0, 0) },
            features: Vec::new(),
            limits: HelloLimits { message_bytes_max: 1 << 20, channels_max: CHANNELS as u64, credit_bytes: 2 << 20 },
            incarnation: self.incarnation,
            instance: self.instance,
            suites: vec![Suite::X25519_CHACHAPOLY_BLAKE2S],
            role: Role::Member(self.credential.clone()),
        }
        .encode()
    }
}

impl OwnLog {
    fn place(&self) -> Place {
        Place { log: self.id, card_epoch: self.card.place.epoch, seq: self.seq, h_prev: self.h }
    }

    /// Returns the only peer whose operations belong in this log.
    pub fn peer(&self) -> u64 {
        peer_id(&self.id)
    }
}

/// The hostile end of one link.
#[derive(Debug)]
pub struct Line {
    handshake: Option<Handshake>,
    transport: Option<Transport>,
    hash: [u8; 32],
    reassembler: Reassembler,
    mine: Vec<LogId>,
    /// The other side's logs, by handle.
    theirs: BTreeMap<u32, LogId>,
    /// The space's token.
    token: [u8; 16],
    out: Vec<u8>,
    /// Messages of the other side that no test took yet.
    pub heard: Vec<Message>,
    /// The code with which the other side ended the link.
    pub closed: Option<u16>,
    /// True if the other side sent something that does not open.
    pub broken: bool,
}

impl Line {
    /// Dials a link as `member`, with the first bytes ready to send.
    pub fn dial(member: &mut Member) -> Self {
        let entropy = Entropy::new(member.entropy.bytes());
        let handshake = Handshake::initiator(Opening::Xx, &member.keys, member.hello(), entropy);
        Self {
            handshake: Some(handshake),
            transport: None,
            hash: [0; 32],
            reassembler: Reassembler::new(1 << 20),
            mine: Vec::new(),
            theirs: BTreeMap::new(),
            token: member.token,
            out: Vec::new(),
            heard: Vec::new(),
            closed: None,
            broken: false,
        }
    }

    /// Takes bytes of the other side.
    pub fn take(&mut self, bytes: &[u8]) {
        if let Some(handshake) = &mut self.handshake {
            self.broken |= handshake.handle(bytes).is_err();
            if !handshake.is_done() {
                return;
            }
            handshake.poll_transmit(&mut self.out);
            let done = self.handshake.take().and_then(Handshake::finish);
            let Some(Established { transport, handshake_hash, leftover, .. }) = done else { return };
            (self.transport, self.hash) = (Some(transport), handshake_hash);
            return self.take(&leftover);
        }
        for piece in bytes.chunks(PLAINTEXT_MAX) {
            let Some(transport) = &mut self.transport else { return };
            if transport.receive(piece).is_err() {
                self.broken = true;
                return;
            }
            self.read();
        }
    }

    fn read(&mut self) {
        while let Some(transport) = &mut self.transport {
            let Ok(plain) = transport.poll_message() else {
                self.broken = true;
                return;
            };
            let Some(plain) = plain else { return };
            let mut reader = Reader::new(&plain);
            while let Ok(read) = self.reassembler.read(&mut reader) {
                let message = read.and_then(|(_, bytes)| Message::decode(&bytes).ok());
                match &message {
                    Some(Message::Logs { first, ids, .. }) => self.theirs.extend((*first..).zip(ids.iter().copied())),
                    Some(Message::Range { log: LogRef::Mine(handle), opens: Some(_), card: Some(card), .. }) => {
                        let card = restored_card(card, &self.token);
                        let card = LogCard::decode(&mut Reader::new(&card)).expect("a node sends cards");
                        self.theirs.insert(*handle, card.log_id());
                    }
                    Some(Message::Close { code, .. }) => self.closed = Some(*code),
                    _ => {}
                }
                self.heard.extend(message);
            }
        }
    }

    /// Returns whether the handshake is over.
    pub const fn is_open(&self) -> bool {
        self.transport.is_some()
    }

    /// Returns the bytes to send now.
    pub fn drain(&mut self) -> Vec<u8> {
        if let Some(handshake) = &mut self.handshake {
            handshake.poll_transmit(&mut self.out);
        }
        core::mem::take(&mut self.out)
    }

    /// Opens the member's space, with claims of the caller's choice.
    pub fn open_space(&mut self, member: &Member, position: u64, cursor: Option<Cursor>, root: [u8; 16]) {
        let mut input = [1; 17];
        input[1..].copy_from_slice(&member.token);
        let mut token = [0; 16];
        token.copy_from_slice(&blake3::keyed_hash(&self.hash, &input).as_bytes()[..16]);
        self.say(&Message::SpaceOpen { token, position, cursor, root, follow: Follow::All });
    }

    /// Returns the reference to a log on this link, after introducing the log if needed.
    pub fn name(&mut self, id: LogId) -> LogRef {
        if let Some((handle, _)) = self.theirs.iter().find(|(_, known)| **known == id) {
            return LogRef::Yours(*handle);
        }
        if let Some(at) = self.mine.iter().rposition(|known| *known == id) {
            return LogRef::Mine(at as u32);
        }
        self.introduce(vec![id]);
        LogRef::Mine((self.mine.len() - 1) as u32)
    }

    /// Introduces logs.
    pub fn introduce(&mut self, ids: Vec<LogId>) {
        let first = self.mine.len() as u32;
        self.mine.extend(&ids);
        self.say(&Message::Logs { space: 0, first, ids });
    }

    /// Sends a message on its channel; a range, on that of live entries.
    pub fn say(&mut self, message: &Message) {
        let channel = if matches!(message, Message::Range { .. }) { 2 } else { 0 };
        self.say_on(channel, message.encode());
    }

    /// Sends any bytes as a message.
    pub fn say_on(&mut self, channel: u8, message: Bytes) {
        let mut outgoing = Outgoing::new(message);
        while !outgoing.is_done() {
            let mut plain = Vec::new();
            outgoing.write(channel, &mut plain, PLAINTEXT_MAX, PLAINTEXT_MAX);
            self.say_plain(&plain);
        }
    }

    /// Seals one plaintext, well-formed frames or not. Sends nothing before the handshake is over.
    pub fn say_plain(&mut self, plain: &[u8]) {
        let plain = &plain[..plain.len().min(PLAINTEXT_MAX)];
        if let Some(transport) = &mut self.transport {
            // A failed transport seals nothing more.
            self.broken |= transport.seal(plain, &mut self.out).is_err();
        }
    }

    /// Puts bytes on the link as they are.
    pub fn say_raw(&mut self, bytes: &[u8]) {
        self.out.raw(bytes);
    }
}
