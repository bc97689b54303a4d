//! Bytes that no implementation may accept: spoiled versions of the other vectors, each refused by the code that
//! printed them.

use crate::{hello, hex};
use bytes::Bytes;
use cosmicsync_protocol::codec::Reader;
use cosmicsync_protocol::crdt::Value as DocValue;
use cosmicsync_protocol::identity::{Credential, DeviceKeys, SpaceGenesis, UserGenesis};
use cosmicsync_protocol::ids::{LogId, UserId};
use cosmicsync_protocol::log::owner::{FOUNDER_GRANT, PREV_MAX};
use cosmicsync_protocol::log::{CardPlace, Entry, Header, Lane, LogCard, LogOwner, OpenedOwner, Prev};
use cosmicsync_protocol::sealed::{KeyEpoch, seal};
use cosmicsync_protocol::spaces::record::decode_records;
use cosmicsync_protocol::testkit::sample::{Sample, row};
use cosmicsync_protocol::wire::hello::{Hello, Role};
use cosmicsync_protocol::wire::message::{LogRef, Message};
use serde_json::{Value, json};

/// Predicate that tests whether the code accepts bytes.
type Accepts = fn(&[u8]) -> bool;

/// Returns every refusal: the kind that the bytes are not, and the reason.
pub(crate) fn refused(sample: &Sample) -> Value {
    let mut found = Vec::new();
    for (what, good, accepts) in things(sample) {
        assert!(accepts(&good), "a whole {what} is refused");
        let (mut longer, mut flipped) = (good.clone(), good.clone());
        longer.push(0);
        flipped[0] ^= 0x80;
        for (why, bytes) in [("with a byte more", longer), ("of an unknown version or type", flipped)] {
            push(&mut found, what, why, bytes, accepts);
        }
        push(&mut found, what, "with a byte less", good[..good.len() - 1].to_vec(), accepts);
    }
    for (why, bytes) in signatures(sample) {
        push(&mut found, "user genesis", why, bytes, user_genesis);
    }
    for (why, bytes) in credentials(sample) {
        push(&mut found, "credential", why, bytes, credential);
    }
    for (why, bytes) in owner_boxes(sample) {
        push(&mut found, "owner box", why, bytes, owner_box);
    }
    for (what, why, text, accepts) in by_hand() {
        push(&mut found, what, why, text.to_vec(), accepts);
    }
    Value::Array(found)
}

fn push(found: &mut Vec<Value>, what: &str, why: &str, bytes: Vec<u8>, accepts: Accepts) {
    assert!(!accepts(&bytes), "a {what} {why} is accepted");
    found.push(json!({ "what": what, "why": why, "bytes": hex(bytes) }));
}

fn things(sample: &Sample) -> Vec<(&'static str, Vec<u8>, Accepts)> {
    let live = sample.live_log();
    let last = live.heads[1];
    let (seq, h, signature) = (last.seq, last.h, last.signature);
    let head = Message::Head { log: LogRef::Mine(0), card: None, seq, h, signature };
    vec![
        ("user genesis", sample.genesis.encode(), user_genesis),
        ("credential", sample.credentials[0].encode(), credential),
        ("space genesis", sample.space.encode(), space_genesis),
        ("key epoch", sample.records[1].encode(), key_epoch),
        ("card", live.card_bytes().to_vec(), card),
        ("entry", live.entries[0].bytes.to_vec(), entry),
        ("hello", hello(Role::Member(sample.credentials[0].encode())).encode(), is_hello),
        ("message", head.encode().to_vec(), message),
        ("value", row(501).encode(), value),
    ]
}

/// Returns records whose signature a lax check would accept.
fn signatures(sample: &Sample) -> [(&'static str, Vec<u8>); 2] {
    // The order of the group, little-endian: adding it to S changes nothing in the equation.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut malleable = sample.genesis.clone();
    let mut carry = 0u16;
    for (byte, order) in malleable.signature[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    // The neutral element as key and R with S = 0: the equation holds for every message.
    let mut neutral = [0; 64];
    neutral[0] = 1;
    let mut small = sample.genesis.clone();
    small.public.copy_from_slice(&neutral[..32]);
    small.signature = neutral;
    [("whose signature has a second form", malleable.encode()), ("under a key of small order", small.encode())]
}

/// Returns credentials that decode and do not verify.
fn credentials(sample: &Sample) -> [(&'static str, Vec<u8>); 4] {
    let (device, stranger) = (&sample.devices[0], &sample.devices[1]);
    let claim = |noise: [u8; 32], signer: &DeviceKeys| {
        let mut claim = device.claim();
        claim.public.noise = noise;
        claim.signature = signer.sign("cosmicsync device claim 1", &claim.encode()[..96]);
        claim
    };
    let noise = device.public().noise;
    let credential = |user, claim, not_before_ms, not_after_ms| {
        let cert = sample.user.certify(user, claim, not_before_ms, not_after_ms);
        Credential { genesis: sample.genesis.clone(), cert }.encode()
    };
    let user = sample.genesis.user_id();
    [
        ("whose claim another device signed", credential(user, claim(noise, stranger), 0, 1)),
        ("with a Noise key of small order", credential(user, claim([0; 32], device), 0, 1)),
        ("of another user than its genesis", credential(UserId([1; 32]), claim(noise, device), 0, 1)),
        ("that ends before it begins", credential(user, claim(noise, device), 2, 1)),
    ]
}

/// Returns admitted cards of the first epoch whose owner box is invalid.
fn owner_boxes(sample: &Sample) -> Vec<(&'static str, Vec<u8>)> {
    let place = sample.live_log().card.place;
    let (device, other) = (&sample.devices[0], &sample.devices[1]);
    let (owner_key, admission) = (sample.epochs[0].owner_key(), sample.epochs[0].admission_key());
    let prev = |count: usize| (0..count).map(|at| Prev { log: LogId([at as u8; 32]), seq: 0, h: [0; 8] }).collect();
    let owner = |prev| LogOwner { device: device.device_id(), grant: FOUNDER_GRANT, prev };
    let card = |owner_box: Bytes| {
        let mut bytes = Vec::new();
        LogCard::admit(place, owner_box, &admission).encode(&mut bytes);
        bytes
    };
    let whole = owner(Vec::new()).seal(&place, device, &owner_key);
    assert!(owner_box(&card(whole.clone())), "a whole owner box is refused");
    let plain = |count: &[u8]| [device.device_id().as_bytes(), &[FOUNDER_GRANT][..], count].concat();
    let by_hand = |count, more| sealed_by_hand(&place, device, &owner_key, &plain(count), more);
    assert_eq!(by_hand(b"\x00", b""), whole, "what is sealed by hand is what the code seals");
    let elsewhere = CardPlace { lane: Lane::Bulk, ..place };
    let granted = LogOwner { grant: 1, ..owner(Vec::new()) };
    [
        ("of another place", owner(Vec::new()).seal(&elsewhere, device, &owner_key)),
        ("of another epoch", owner(Vec::new()).seal(&place, device, &sample.epochs[1].owner_key())),
        ("that its device did not sign", owner(Vec::new()).seal(&place, other, &owner_key)),
        ("under a grant that nobody gave", granted.seal(&place, device, &owner_key)),
        ("with too many earlier logs", owner(prev(PREV_MAX + 1)).seal(&place, device, &owner_key)),
        ("with a number that is not minimal", by_hand(b"\x80\x00", b"")),
        ("with a byte more inside", by_hand(b"\x00", b"\x00")),
        ("with a byte less", whole.slice(..whole.len() - 1)),
        ("that is empty", Bytes::new()),
    ]
    .map(|(why, owner_box)| (why, card(owner_box)))
    .into()
}

/// Returns a box that a device signed over a plaintext of any form, with `more` bytes after the signature.
fn sealed_by_hand(place: &CardPlace, device: &DeviceKeys, owner_key: &[u8; 32], plain: &[u8], more: &[u8]) -> Bytes {
    let mut nonce = [0; 24];
    nonce.copy_from_slice(&blake3::derive_key("cosmicsync owner nonce 1", &place.log_pk)[..24]);
    let mut card = Vec::new();
    LogCard { place: *place, owner_box: Bytes::new(), admission: [0; 64] }.encode(&mut card);
    let place = &card[1..82];
    let signature = device.sign("cosmicsync owner 1", &[place, plain].concat());
    let mut sealed = Vec::new();
    seal(owner_key, &nonce, place, &[plain, &signature, more].concat(), &mut sealed);
    sealed.into()
}

/// Returns small inputs that break a single rule.
fn by_hand() -> Vec<(&'static str, &'static str, &'static [u8], Accepts)> {
    vec![
        ("message", "with a number that is not minimal", b"\x0e\x81\x00", message),
        ("message", "with a number of eleven bytes", b"\x0e\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", message),
        ("message", "with a number above 64 bits", b"\x0e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", message),
        ("message", "with an empty list", b"\x03\x00", message),
        ("message", "with a list longer than the bytes", b"\x03\xff\x1f", message),
        ("message", "with a flag of 2", b"\x06\x00\x02", message),
        ("message", "with an empty span", b"\x05\x00\x02\x00\x00", message),
        ("message", "with an unknown class", b"\x0a\x06\x01", message),
        ("message", "with nodes that say nothing", b"\x04\x00\x00\x00", message),
        ("message", "with an inner node without children", b"\x04\x00\x01\x01\x00\x00\x00\x00", message),
        ("message", "with padding in a path", b"\x04\x00\x01\x01\x02\x01\x11\x00", message),
        ("message", "with an unknown reason", b"\x0c\x00\x00\x01\x04", message),
        ("message", "of no type", b"", message),
        ("value", "that is infinite", b"\x04\x00\x00\x00\x00\x00\x00\xf0\x7f", value),
        ("value", "that is not a number", b"\x04\x00\x00\x00\x00\x00\x00\xf8\x7f", value),
        ("value", "with a key twice", b"\x08\x02\x01a\x00\x01a\x00", value),
        ("value", "with keys out of order", b"\x08\x02\x01b\x00\x01a\x00", value),
        ("value", "that is not UTF-8", b"\x05\x01\xff", value),
        ("value", "of an unknown type", b"\x09", value),
        ("value", "with a number that is not minimal", b"\x03\x80\x00", value),
        ("records", "with a number that is not minimal", b"\x81\x00\x03\x00", records),
        ("records", "with a name that is not UTF-8", b"\x01\x03\x01\xff", records),
        ("records", "with a count beyond the limit", b"\x81\x08", records),
        ("header", "of version 0", b"\x00\x00\x00\x00\x00\x00\x00\x00\x00", header),
        ("header", "of an unknown kind", b"\x01\x09\x00\x00\x00\x00\x00\x00\x00", header),
        ("header", "whose handle points nowhere", b"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", header),
        ("entry", "without sections", b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", entry),
        ("entry", "with an unknown flag", b"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00", entry),
    ]
}

fn user_genesis(bytes: &[u8]) -> bool {
    UserGenesis::decode(bytes).is_ok()
}

fn credential(bytes: &[u8]) -> bool {
    Credential::verify(bytes).is_ok()
}

fn space_genesis(bytes: &[u8]) -> bool {
    SpaceGenesis::decode(bytes).is_ok()
}

fn key_epoch(bytes: &[u8]) -> bool {
    KeyEpoch::decode(bytes).is_ok()
}

fn card(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    LogCard::decode(&mut reader).is_ok() && reader.is_empty()
}

/// Returns whether a card of the first epoch was admitted and names a device of the sample as its owner.
fn owner_box(bytes: &[u8]) -> bool {
    let (sample, mut reader) = (Sample::new(), Reader::new(bytes));
    let Ok(card) = LogCard::decode(&mut reader) else { return false };
    let admission = sample.epochs[0].admission_key().verifying_key();
    assert!(reader.is_empty() && card.verify_admission(&admission).is_ok(), "the card itself is sound");
    let Ok(opened) = OpenedOwner::open(&card.place, &card.owner_box, &sample.epochs[0].owner_key()) else {
        return false;
    };
    let device = sample.devices.iter().find(|device| device.device_id() == opened.device());
    device.and_then(|device| opened.verify(&device.public())).is_some_and(|owner| owner.grant == FOUNDER_GRANT)
}

fn entry(bytes: &[u8]) -> bool {
    Entry::decode(&Bytes::copy_from_slice(bytes)).is_ok()
}

fn header(bytes: &[u8]) -> bool {
    Header::decode(bytes, &[]).is_ok()
}

fn records(bytes: &[u8]) -> bool {
    decode_records(bytes).is_ok()
}

fn is_hello(bytes: &[u8]) -> bool {
    Hello::decode(bytes).is_ok()
}

fn message(bytes: &[u8]) -> bool {
    Message::decode(&Bytes::copy_from_slice(bytes)).is_ok()
}

fn value(bytes: &[u8]) -> bool {
    DocValue::decode(bytes).is_ok()
}
