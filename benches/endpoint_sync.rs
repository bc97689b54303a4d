//! A cold sync of small documents between two endpoints in memory, beside its floors.
//!
//! The stores are in memory, so this measures the CPU of the core: no disk, no socket, no other thread. The
//! endpoint and the floors take turns in one run; each figure is the median. `floor` is the same entries sealed, or
//! verified and opened, without an endpoint around them. The last columns show the slope: cost per document,
//! relative to that at the smallest size.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use cosmicsync_benches::Floor;
use cosmicsync_protocol::crdt::TextPaths;
use cosmicsync_protocol::documents::{Bulk, Erasable};
use cosmicsync_protocol::endpoint::NewDoc;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::log::{Codec, EntryBuilder};
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::sample::{Sample, meta, row};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const SIZES: [usize; 2] = [1_000, 10_000];

#[derive(Debug, Default)]
struct Times {
    import: Vec<Duration>,
    import_floor: Vec<Duration>,
    sync: Vec<Duration>,
    sync_floor: Vec<Duration>,
    bodies_floor: Vec<Duration>,
    bytes: u64,
    plain: usize,
    turns: u64,
}

fn main() {
    let sample = Sample::new();
    println!("{:<34} {:>10} {:>10} {:>7} {:>9} {:>7}", "", "ms", "floor ms", "ratio", "us a doc", "slope");
    let mut first: Option<[Duration; 2]> = None;
    for docs in SIZES {
        let times = measure(&sample, docs);
        let [import, sync] = [median(&times.import), median(&times.sync)];
        let smallest = *first.get_or_insert([import, sync]);
        let slope =
            |now: Duration, then: Duration| now.as_secs_f64() / docs as f64 / (then.as_secs_f64() / SIZES[0] as f64);
        line(docs, "import", import, median(&times.import_floor), slope(import, smallest[0]));
        line(docs, "cold sync, not materialised", sync, median(&times.sync_floor), slope(sync, smallest[1]));
        println!("{docs:>7} documents: opening every body would add {:?}", median(&times.bodies_floor));
        println!(
            "{docs:>7} documents: {} B on the wire, {} B a document, of {} B of updates; {} turns of the talk",
            times.bytes,
            times.bytes / docs as u64,
            times.plain / docs,
            times.turns
        );
    }
}

fn line(docs: usize, what: &str, ours: Duration, floor: Duration, slope: f64) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{docs:>7} {what:<26} {:>10.1} {:>10.1} {:>7.2} {:>9.2} {slope:>7.2}",
        ms(ours),
        ms(floor),
        ms(ours) / ms(floor),
        ours.as_secs_f64() * 1e6 / docs as f64
    );
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn measure(sample: &Sample, docs: usize) -> Times {
    let mut times = Times::default();
    let rows: Vec<NewDoc> = (0..docs)
        .map(|at| NewDoc {
            doc: DocId((1 << 80 | at as u128).to_be_bytes()),
            meta: meta(&format!("{at:05}")),
            value: row(at),
        })
        .collect();
    let floor = Floor::new(sample, docs);
    let (mut builder, mut codec) = (EntryBuilder::new(), Codec::new());
    times.plain = sample.updates(&floor.log.id, docs).iter().map(Vec::len).sum();
    let dictionary = sample.updates(&floor.log.id, 1).concat();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let encoded = sample.updates(&floor.log.id, docs);
        let (entries, head) = floor.seal(&mut builder).expect("entries fit");
        times.import_floor.push(start.elapsed());
        assert_eq!(encoded.len(), docs);
        let start = Instant::now();
        let hashes = floor.verify(&entries, &head);
        assert_eq!(floor.open_headers(&entries, &hashes, &mut codec), docs);
        times.sync_floor.push(start.elapsed());
        let start = Instant::now();
        assert!(floor.open_bodies(&entries, &hashes, &mut codec) > 0);
        times.bodies_floor.push(start.elapsed());
        sync_once(&mut times, &rows, &dictionary);
    }
    times
}

fn sync_once(times: &mut Times, rows: &[NewDoc], dictionary: &[u8]) {
    let mut net = Net::joined();
    net.cut();
    let a = &mut net.peers[0];
    let collection = a.endpoint.collection_id(SpaceNo(0), "cities").expect("a space");
    let start = Instant::now();
    let log = a.endpoint.bulk_open(a.now, a.main()).expect("a log");
    for rows in rows.chunks(2_000) {
        let texts = &TextPaths::none();
        let bulk = Bulk { collection, docs: rows, texts, dictionary, erasable: Erasable::Alone, unknown: None };
        a.endpoint.bulk_append(a.now, log, &bulk, Vec::new()).expect("rows are small");
        a.settle();
    }
    a.endpoint.bulk_close(a.now, log);
    a.settle();
    times.import.push(start.elapsed());
    let (sent, turns) = (net.sent.iter().sum::<u64>(), net.turns);
    let start = Instant::now();
    net.dial(1, 0);
    net.run();
    times.sync.push(start.elapsed());
    let roots: Vec<_> = net.peers.iter().map(Peer::root).collect();
    assert_eq!(roots[0], roots[1], "both have the same");
    times.bytes = net.sent.iter().sum::<u64>() - sent;
    times.turns = net.turns - turns;
}
