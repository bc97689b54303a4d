//! Fuzz targets, one function per target: they take hostile bytes, and panic if a promise is broken.
//!
//! `fuzz/` drives these functions with libFuzzer. `tests/fuzz_corpus.rs` replays the committed corpora with the
//! same functions as ordinary tests, so a finding stays fixed on machines without a fuzzer. If a checksum or a seal
//! would stop the fuzzer at the first check, the target makes a right one, as attackers can.

use super::sample::{BULK_DOCS, OwnedKeys, Sample, SampleLog, TOGETHER_DOCS, meta, row};
use crate::codec::{CodecError, Reader, Write, varint_len};
use crate::connection::{Handshake, HandshakeError, Opening};
use crate::crdt::{DEPTH_MAX, Replica, TextPaths, Value, check, encode_new};
use crate::entropy::Entropy;
use crate::identity::{Credential, SpaceGenesis, UserGenesis, parse_did_key};
use crate::log::entry::ENTRY_BYTES_MAX;
use crate::log::owner::{OWNER_BOX_MAX, PREV_MAX, seal_signed};
use crate::log::read::part_of;
use crate::log::{Codec, Entry, EntryReader, Head, Header, LogCard, OpenedOwner};
use crate::sealed::{INVITE_PREFIX, Invite, KeyEpoch, node_seed};
use crate::spaces::record::{decode_records, encode_records};
use crate::wire::frame::{CHANNELS, Outgoing, PLAINTEXT_MAX, Reassembler};
use crate::wire::hello::{Hello, Pattern, Preamble, negotiate};
use crate::wire::message::Message;
use bytes::Bytes;
use std::sync::LazyLock;

/// A target: takes any bytes, and panics if the code under test breaks a promise.
pub type Target = fn(&[u8]);

/// All targets by name. `fuzz/corpus/NAME` holds a target's corpus, `fuzz/fuzz_targets/NAME.rs` its program.
pub const TARGETS: &[(&str, Target)] = &[
    ("card", card),
    ("codec", codec),
    ("document", document),
    ("entry", entry),
    ("frames", frames),
    ("handshake", handshake),
    ("header", header),
    ("hello", hello),
    ("identity", identity),
    ("invite", invite),
    ("key_epoch", key_epoch),
    ("messages", messages),
    ("records", records),
    ("value", value),
];

static SAMPLE: LazyLock<Sample> = LazyLock::new(Sample::new);
static LOGS: LazyLock<[SampleLog; 4]> = LazyLock::new(|| {
    [SAMPLE.live_log(), SAMPLE.bulk_log(BULK_DOCS), SAMPLE.together_log(TOGETHER_DOCS), SAMPLE.control_log()]
});

/// Reads fields as the input's first bytes command, and writes them back: the encoding is canonical, so the bytes
/// must be the same (`spec/wire.md`, section 2).
pub fn codec(data: &[u8]) {
    let Some((commands, fields)) = data.split_first_chunk::<8>() else { return };
    let mut reader = Reader::new(fields);
    let mut written = Vec::new();
    for command in commands {
        if field(*command, &mut reader, &mut written).is_err() {
            break;
        }
        assert_eq!(written.len() + reader.remaining(), fields.len(), "a field is read exactly once");
        assert_eq!(fields.get(..written.len()), Some(&written[..]), "what was read has one encoding");
    }
}

fn field(command: u8, reader: &mut Reader<'_>, written: &mut Vec<u8>) -> Result<(), CodecError> {
    let limit = usize::from(command >> 2);
    match command & 3 {
        0 => written.raw(reader.take(limit)?),
        1 => {
            let value = reader.varint()?;
            let before = written.len();
            written.varint(value);
            assert_eq!(written.len() - before, varint_len(value), "a number has the length it is said to have");
        }
        2 => {
            let bytes = reader.bytes(limit, "bytes")?;
            assert!(bytes.len() <= limit, "a limit is kept");
            written.prefixed(bytes);
        }
        _ => written.prefixed(reader.text(limit, "text")?.as_bytes()),
    }
    Ok(())
}

/// Reads the plaintext of transport messages. Its messages must survive another framing (`spec/wire.md`, 3).
pub fn frames(data: &[u8]) {
    const LIMIT: usize = 512;
    let mut reassembler = Reassembler::new(LIMIT);
    let mut again = Reassembler::new(LIMIT);
    let mut reader = Reader::new(data);
    while !reader.is_empty() {
        let Ok(read) = reassembler.read(&mut reader) else { return };
        let Some((channel, message)) = read else { continue };
        assert!(usize::from(channel) < CHANNELS && !message.is_empty() && message.len() <= LIMIT, "limits are kept");
        let mut plaintext = Vec::new();
        let mut outgoing = Outgoing::new(message.clone());
        while !outgoing.is_done() {
            assert!(outgoing.write(channel, &mut plaintext, PLAINTEXT_MAX, 100), "there is room");
        }
        let mut frames = Reader::new(&plaintext);
        let mut back = None;
        while !frames.is_empty() {
            back = again.read(&mut frames).expect("our own frames are read");
        }
        assert_eq!(back, Some((channel, message)), "a message comes back");
    }
}

/// Reads one message, which has one encoding (`spec/wire.md`, section 4).
pub fn messages(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = Message::decode(&bytes) {
        assert_eq!(message.encode(), bytes, "what was read has one encoding");
    }
}

/// Reads a preamble and a Hello, and negotiates with it (`spec/handshake.md`, sections 2 and 4).
pub fn hello(data: &[u8]) {
    if let Some(Ok(preamble)) = data.first_chunk().map(|bytes| Preamble::decode(*bytes)) {
        assert_eq!(Some(&preamble.encode()), data.first_chunk(), "a preamble has one encoding");
    }
    let Ok(hello) = Hello::decode(data) else { return };
    assert_eq!(hello.encode(), data, "a hello has one encoding");
    let used = Preamble::new(Pattern::Xx);
    if let Ok(agreed) = negotiate(&hello, &hello, used) {
        assert_eq!(agreed.version, hello.versions.max, "with an equal, one speaks the newest version");
        assert_eq!(agreed.limits, hello.limits, "and keeps one's limits");
    }
}

/// Feeds bytes to a handshake at any stage, either end, cut anywhere; after an error it takes and gives nothing.
pub fn handshake(data: &[u8]) {
    let Some(([how, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let sample = &*SAMPLE;
    let opening = match how & 1 {
        0 => Opening::Xx,
        _ => Opening::Invited { psk: sample.invite.psk(), inviter: *sample.invite.inviter() },
    };
    let own_hello = b"hello".to_vec();
    let mut a = Handshake::initiator(opening, &sample.devices[1], own_hello.clone(), Entropy::new([21; 32]));
    let psks = vec![sample.invite.psk()];
    let mut b = Handshake::responder(&sample.devices[0], psks, own_hello, Entropy::new([22; 32]));
    let mut first = Vec::new();
    a.poll_transmit(&mut first);
    let under_test = match how >> 1 & 3 {
        0 => b,
        1 => a,
        2 => {
            b.handle(&first).expect("an honest first message");
            b
        }
        _ => return sealed_stream(a, b, &first, usize::from(*piece), rest),
    };
    feed(under_test, usize::from(*piece), rest);
}

fn feed(mut handshake: Handshake, piece: usize, bytes: &[u8]) {
    let mut out = Vec::new();
    handshake.poll_transmit(&mut out);
    for part in bytes.chunks(piece.max(1)) {
        if handshake.handle(part).is_err() {
            out.clear();
            assert!(!handshake.poll_transmit(&mut out) && out.is_empty(), "nothing is sent after an error");
            assert_eq!(handshake.handle(&[0]), Err(HandshakeError::Failed), "and nothing is taken");
            assert!(handshake.finish().is_none());
            return;
        }
    }
}

fn sealed_stream(mut a: Handshake, mut b: Handshake, first: &[u8], piece: usize, bytes: &[u8]) {
    b.handle(first).expect("an honest first message");
    let mut second = Vec::new();
    b.poll_transmit(&mut second);
    a.handle(&second).expect("an honest second message");
    let mut transport = a.finish().expect("an initiator is done after message 2").transport;
    for part in bytes.chunks(piece.max(1)) {
        if transport.receive(part).is_err() {
            return;
        }
        match transport.poll_message() {
            Ok(opened) => assert_eq!(opened, None, "nobody else can seal"),
            Err(_) => {
                assert!(transport.receive(&[0]).is_err() && transport.seal(b"x", &mut Vec::new()).is_err());
                return;
            }
        }
    }
}

/// Reads a card and opens its owner box; also signs and seals the input itself as the content of a box
/// (`spec/log.md`, 1).
pub fn card(data: &[u8]) {
    one_encoding(data, LogCard::decode, LogCard::encode);
    let made = seal_signed(data.to_vec(), &LOGS[0].card.place, &SAMPLE.devices[0], &SAMPLE.epochs[0].owner_key());
    owner(&LogCard { owner_box: made, ..LOGS[0].card.clone() });
    let mut reader = Reader::new(data);
    if let Ok(card) = LogCard::decode(&mut reader) {
        assert!(card.owner_box.len() <= OWNER_BOX_MAX, "a limit is kept");
        let is_admitted = card.verify_admission(&SAMPLE.epochs[0].admission_key().verifying_key()).is_ok();
        assert!(!is_admitted || card.place.epoch == SAMPLE.epochs[0].id(), "only its own epoch admits a log");
        owner(&card);
    }
}

fn owner(card: &LogCard) {
    for epoch in &SAMPLE.epochs {
        let Ok(opened) = OpenedOwner::open(&card.place, &card.owner_box, &epoch.owner_key()) else { continue };
        for device in &SAMPLE.devices {
            let Some(owner) = opened.clone().verify(&device.public()) else { continue };
            assert!(owner.device == device.device_id() && owner.prev.len() <= PREV_MAX, "limits are kept");
            assert_eq!(owner.seal(&card.place, device, &epoch.owner_key()), card.owner_box, "an owner has one box");
        }
    }
}

/// Reads an entry, folds it, and opens all that its keys open; also cards and heads (`spec/log.md`).
pub fn entry(data: &[u8]) {
    one_encoding(data, LogCard::decode, LogCard::encode);
    one_encoding(data, Head::decode, Head::encode);
    let bytes = Bytes::copy_from_slice(data);
    let Ok(entry) = Entry::decode(&bytes) else { return };
    assert_eq!(entry.encode(), bytes, "an entry has one encoding");
    assert!(entry.whole_len() <= ENTRY_BYTES_MAX, "the limit is kept");
    let pruned = entry.without(|section| section % 2 == 1);
    assert_eq!(Entry::decode(&pruned.encode()).as_ref(), Ok(&pruned), "a pruned entry travels");
    let mut codec = Codec::new();
    for log in LOGS.iter() {
        let h_prev = log.id.as_bytes();
        assert_eq!(
            entry.chain(&log.card.place.epoch, h_prev),
            pruned.chain(&log.card.place.epoch, h_prev),
            "and folds the same"
        );
        let seq = usize::try_from(entry.seq()).unwrap_or(usize::MAX).min(log.entries.len());
        let reader = EntryReader::new(&entry, log.place(seq));
        for key in &SAMPLE.epochs {
            open_all(&reader, &OwnedKeys::of(key), &mut codec);
        }
    }
}

fn open_all(reader: &EntryReader<'_>, keys: &OwnedKeys, codec: &mut Codec) {
    let keys = keys.keys();
    let Ok(header) = reader.open_header(keys.header, &[], codec) else { return };
    for item in &header.items {
        let dictionary = item.dictionary.and_then(|at| reader.open_records(at, keys.records, codec).ok());
        if let Some((_, _, section)) = header.key_box(item.key, (crate::ids::LogId::default(), 0))
            && let Ok(seed) = reader.open_key_box(section, keys.key_box)
        {
            // With any stated length, the plain length stays within its limit or the body does not open.
            let seed = node_seed(&seed, item.key.node());
            let Ok(body) = reader.open_body(item.section, &seed, dictionary.as_deref(), codec) else { continue };
            assert!(body.len() <= crate::log::write::BODY_BYTES_MAX);
            if let Some(Ok(part)) = item.part.map(|part| part_of(&body, part)) {
                assert!(part.len() < body.len(), "a part has its length before it");
            }
        }
    }
}

fn one_encoding<T>(
    data: &[u8],
    decode: impl Fn(&mut Reader<'_>) -> Result<T, CodecError>,
    encode: impl Fn(&T, &mut Vec<u8>),
) {
    let mut reader = Reader::new(data);
    let Ok(value) = decode(&mut reader) else { return };
    let mut out = Vec::new();
    encode(&value, &mut out);
    assert_eq!(out, data[..data.len() - reader.remaining()], "what was read has one encoding");
}

/// Reads the content behind the seal of section 0: padding, compression and the header (`spec/log.md`, section 5).
pub fn header(data: &[u8]) {
    let mut codec = Codec::new();
    if let Ok(header) = Header::decode(data, &[]) {
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, data, "a header has one encoding");
        let packed = header.pack(&mut codec).expect("what was read is within the limits");
        assert_eq!(Header::unpack(&packed, &[], &mut codec), Ok(header), "a header comes back");
    }
    if let Ok(header) = Header::unpack(data, &[], &mut codec) {
        let packed = header.pack(&mut codec).expect("what was read is within the limits");
        assert_eq!(Header::unpack(&packed, &[], &mut codec), Ok(header), "a header comes back");
    }
}

/// Reads a list of control records, which has one encoding (`spec/access.md`).
pub fn records(data: &[u8]) {
    if let Ok(records) = decode_records(data) {
        assert_eq!(encode_records(&records), data, "a list has one encoding");
    }
}

/// Reads a KeyEpoch record and opens it as both devices (`spec/identity.md`, section 5).
pub fn key_epoch(data: &[u8]) {
    let Ok(record) = KeyEpoch::decode(data) else { return };
    assert_eq!(record.encode(), data, "a record has one encoding");
    let space = SAMPLE.space_id();
    for device in &SAMPLE.devices {
        let Some(key) = record.open(&space, device) else { continue };
        assert_eq!(key.id(), record.epoch, "the id commits to the key");
        if let (Some(previous), Some(said)) = (record.open_previous(&space, &key), &record.previous) {
            assert_eq!(previous.id(), said.epoch, "the previous id commits to its key");
        }
    }
}

/// Reads records of identity (`spec/identity.md`, section 2).
pub fn identity(data: &[u8]) {
    if let Ok(verified) = Credential::verify(data) {
        assert_eq!(verified.encode(), data, "a credential has one encoding");
    }
    if let Ok(genesis) = UserGenesis::decode(data) {
        assert_eq!(genesis.encode(), data, "a genesis has one encoding");
    }
    if let Ok(genesis) = SpaceGenesis::decode(data) {
        assert_eq!(genesis.encode(), data, "a genesis has one encoding");
    }
    if let Ok(Ok(device)) = core::str::from_utf8(data).map(parse_did_key) {
        assert_eq!(crate::identity::did_key(&device).as_bytes(), data, "a name has one spelling");
    }
}

/// Reads an invite, as a line and as the content of a line with the right checksum (`spec/identity.md`, section 6).
pub fn invite(data: &[u8]) {
    let check = blake3::derive_key("cosmicsync invite checksum 1", data);
    let content = [data, &check[..4]].concat();
    let made = format!("{INVITE_PREFIX}{}", bs58::encode(content).into_string());
    for line in [core::str::from_utf8(data).unwrap_or_default(), &made] {
        if let Ok(invite) = Invite::parse(line) {
            assert_eq!(invite.to_line().as_str(), line.trim(), "an invite has one line");
            assert!((1..=8).contains(&invite.addresses().len()), "limits are kept");
        }
    }
}

/// Reads a value, which has one encoding and a bounded depth (`spec/documents.md`, section 2).
pub fn value(data: &[u8]) {
    if let Ok(value) = Value::decode(data) {
        assert_eq!(value.encode(), data, "a value has one encoding");
        assert!(value.depth() <= DEPTH_MAX, "depth is bounded");
    }
}

/// Checks an update and imports it into a document with another author's content; the first byte names the
/// operation at which it begins. Any update leaves the other author's content recoverable (`spec/documents.md`,
/// sections 4 and 6).
pub fn document(data: &[u8]) {
    const AUTHOR: u64 = 7;
    const HOSTILE: u64 = 9;
    let Some((start, bytes)) = data.split_first() else { return };
    let Ok(update) = check(bytes, HOSTILE, u32::from(*start)) else { return };
    let made = encode_new(AUTHOR, &meta("a"), &row(1), &TextPaths::none()).expect("a small row");
    let base = check(&made.bytes, AUTHOR, 0).expect("an own update is acceptable");
    let mut replica = Replica::new(AUTHOR);
    replica.import(vec![base.clone()]).expect("an own update is imported");
    let imported = replica.import(vec![update.clone()]);
    if let (Ok(_), Ok(value)) = (&imported, replica.value()) {
        assert!(value.depth() <= DEPTH_MAX, "what is read is bounded");
        assert!(replica.history().is_ok() || replica.is_broken());
        return;
    }
    let (mut rebuilt, excluded) = Replica::rebuild(AUTHOR, &[base, update]);
    assert!(!excluded.contains(&0), "another's content is kept");
    assert!(rebuilt.value().is_ok(), "and can be read");
}
