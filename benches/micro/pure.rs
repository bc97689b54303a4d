//! The pure parts.

use cosmicsync_benches::Floor;
use cosmicsync_protocol::connection::{Established, Handshake, Opening};
use cosmicsync_protocol::crdt::{Replica, TextPaths, check, encode_new};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::log::{
    Codec, Entry, EntryBuilder, EntryKind, EntryReader, Head, Header, Item, KeyRef, Lane, Plain,
};
use cosmicsync_protocol::sync::trie::{Trie, item};
use cosmicsync_protocol::testkit::sample::{OwnedKeys, Sample, WALL_MS, meta, row};
use criterion::{BatchSize, Criterion, Throughput};

const BULK_DOCS: usize = 1_000;

fn shake(sample: &Sample) -> Option<(Established, Established)> {
    let hello = vec![0; 400];
    let mut a = Handshake::initiator(Opening::Xx, &sample.devices[1], hello.clone(), Entropy::new([1; 32]));
    let mut b = Handshake::responder(&sample.devices[0], Vec::new(), hello, Entropy::new([2; 32]));
    let mut bytes = Vec::new();
    for _ in 0..2 {
        a.poll_transmit(&mut bytes);
        b.handle(&bytes).ok()?;
        bytes.clear();
        b.poll_transmit(&mut bytes);
        a.handle(&bytes).ok()?;
        bytes.clear();
    }
    Some((a.finish()?, b.finish()?))
}

/// Measures both ends of an XX handshake, without certificates.
pub(crate) fn handshake(c: &mut Criterion) {
    let sample = Sample::new();
    c.bench_function("handshake/xx, both ends", |b| b.iter(|| shake(&sample).expect("goes through")));
}

/// Measures sealing and opening on an established link.
pub(crate) fn transport(c: &mut Criterion) {
    let sample = Sample::new();
    let mut group = c.benchmark_group("transport");
    for len in [64, 16 * 1024] {
        let (a, b) = shake(&sample).expect("goes through");
        let (mut a, mut b) = (a.transport, b.transport);
        let plain = vec![7; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("seal and open, {len} B"), |bench| {
            bench.iter(|| {
                let mut out = Vec::new();
                a.seal(&plain, &mut out).expect("fits");
                b.receive(&out).expect("has room");
                b.poll_message().expect("opens")
            });
        });
    }
    group.finish();
}

/// Measures one small update in one entry, as an edit makes it.
pub(crate) fn live_entry(c: &mut Criterion) {
    let sample = Sample::new();
    let log = sample.log(&sample.main(), Lane::Live, 15);
    let keys = OwnedKeys::of(&sample.epochs[0]);
    let seed = [7; 16];
    let mut header = Header::new(EntryKind::Update, WALL_MS);
    let key = KeyRef::here(1);
    header.items.push(Item { doc: sample.doc("a"), new_in: None, section: 2, part: None, key, dictionary: None });
    let update = vec![b'u'; 120];
    let sections = [Plain::KeyBox(&seed), Plain::Body { seed: &seed, bytes: &update, dictionary: None }];
    let place = log.place(0);
    let mut builder = EntryBuilder::new();
    let sealed = builder.seal(&place, &keys.keys(), &[1; 16], &header, &sections).expect("fits");
    let mut group = c.benchmark_group("live entry, 120 B");
    group.bench_function("seal", |b| {
        b.iter(|| builder.seal(&place, &keys.keys(), &[1; 16], &header, &sections).expect("fits"));
    });
    group.bench_function("sign head", |b| b.iter(|| Head::sign(&log.key, &log.id, 0, sealed.h)));
    let head = Head::sign(&log.key, &log.id, 0, sealed.h);
    let public = log.key.verifying_key();
    group.bench_function("verify head", |b| b.iter(|| head.verify(&public, &log.id)));
    let mut codec = Codec::new();
    group.bench_function("decode and open", |b| {
        b.iter(|| {
            let entry = Entry::decode(&sealed.bytes).expect("is one");
            let reader = EntryReader::new(&entry, place);
            reader.open_header(keys.keys().header, &[], &mut codec).expect("opens");
            let seed = reader.open_key_box(1, keys.keys().key_box).expect("opens");
            reader.open_body(2, &seed, None, &mut codec).expect("opens")
        });
    });
    group.finish();
}

/// Measures a thousand documents in one entry, each under its own key with one dictionary, and the chain alone.
pub(crate) fn bulk_entry(c: &mut Criterion) {
    let sample = Sample::new();
    let floor = Floor::new(&sample, BULK_DOCS);
    let (mut builder, mut codec) = (EntryBuilder::new(), Codec::new());
    let (entries, head) = floor.seal(&mut builder).expect("fits");
    let hashes = floor.verify(&entries, &head);
    let mut group = c.benchmark_group("bulk entry, 1000 documents");
    group.sample_size(20).throughput(Throughput::Elements(BULK_DOCS as u64));
    group.bench_function("compress and seal", |b| b.iter(|| floor.seal(&mut builder).expect("fits")));
    group.bench_function("chain and head", |b| b.iter(|| floor.verify(&entries, &head)));
    group.bench_function("open header", |b| b.iter(|| floor.open_headers(&entries, &hashes, &mut codec)));
    group.bench_function("open all bodies", |b| b.iter(|| floor.open_bodies(&entries, &hashes, &mut codec)));
    group.finish();
}

/// Measures the growth of one log in tries of several sizes; the slope is the depth.
pub(crate) fn trie(c: &mut Criterion) {
    let mut group = c.benchmark_group("trie");
    for logs in [100u32, 10_000, 100_000] {
        let mut trie = Trie::new();
        let id = |at: u32| {
            let mut id = [0; 32];
            Entropy::new([3; 32]).child(&at.to_string()).bytes::<32>().iter().enumerate().for_each(|(i, b)| id[i] = *b);
            LogId(id)
        };
        for at in 0..logs {
            trie.set(id(at), item(&id(at), 1, &[0; 32]));
        }
        let (one, mut seq) = (id(0), 1);
        group.bench_function(format!("set and root, {logs} logs"), |b| {
            b.iter(|| {
                seq += 1;
                trie.set(one, item(&one, seq, &[1; 32]));
                trie.root()
            });
        });
    }
    group.finish();
}

/// Measures the encoding and import of one row of seven fields, and an edit of a text.
pub(crate) fn documents(c: &mut Criterion) {
    let none = TextPaths::none();
    let made = encode_new(9, &meta("a"), &row(1), &none).expect("a small row");
    let mut group = c.benchmark_group("document");
    group.bench_function("encode a row", |b| b.iter(|| encode_new(9, &meta("a"), &row(1), &none).expect("small")));
    group.bench_function("check a row", |b| b.iter(|| check(&made.bytes, 9, 0).expect("acceptable")));
    let update = check(&made.bytes, 9, 0).expect("acceptable");
    group.bench_function("import a row and read it", |b| {
        b.iter_batched(
            || vec![update.clone()],
            |updates| {
                let mut replica = Replica::new(1);
                replica.import(updates).expect("imports");
                replica.value()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
