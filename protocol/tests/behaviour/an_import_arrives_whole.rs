//! Thousands of documents leave in few entries and arrive equal.

use cosmicsync_protocol::crdt::{Meta, TextPaths, Value};
use cosmicsync_protocol::documents::{Bulk, Erasable};
use cosmicsync_protocol::endpoint::NewDoc;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::notes::doc_id;
use cosmicsync_protocol::testkit::peer::{Net, Peer};

fn row(number: i64) -> Value {
    [("zip", Value::from(format!("{number:05}"))), ("city", Value::from("a city")), ("people", Value::from(number))]
        .into_iter()
        .collect()
}

#[test]
fn five_thousand_documents() {
    for erasable in [Erasable::Alone, Erasable::Together] {
        arrives_whole(erasable);
    }
}

fn arrives_whole(erasable: Erasable) {
    let mut net = Net::joined();
    let peer = &mut net.peers[0];
    let main = peer.main();
    let collection = peer.endpoint.collection_id(SpaceNo(0), "zips").expect("a space");
    let mut id = peer.endpoint.mint_doc_id(peer.now);
    let docs: Vec<NewDoc> = (0..5_000)
        .map(|number| {
            let next = u128::from_be_bytes(id.0) + 1;
            id.0 = next.to_be_bytes();
            NewDoc { doc: id, meta: Meta { collection: Some("zips".into()), ..Meta::default() }, value: row(number) }
        })
        .collect();
    let log = peer.endpoint.bulk_open(peer.now, main).expect("an import");
    for chunk in docs.chunks(1_700) {
        let texts = &TextPaths::default();
        let bulk = Bulk { collection, docs: chunk, texts, dictionary: b"zipcitya citypeople", erasable, unknown: None };
        peer.endpoint.bulk_append(peer.now, log, &bulk, Vec::new()).expect("an entry");
    }
    peer.endpoint.bulk_close(peer.now, log);
    net.run();
    assert_eq!(net.peers[0].root(), net.peers[1].root());
    let mut other = Peer::recover(net.peers[1].store.crash(0), 8);
    for (at, doc) in docs.iter().enumerate().step_by(61) {
        assert_eq!(other.value(doc.doc), Some(row(at as i64)));
        assert_eq!(net.peers[0].value(doc.doc), Some(row(at as i64)));
    }
}

#[test]
fn small_documents_that_do_not_compress() {
    for (count, len) in [(4_500, 60), (4_500, 20), (3_000, 120), (400, 900)] {
        let mut net = Net::joined();
        let mut state = 1u64;
        let mut noise = || {
            let mut text = String::with_capacity(len);
            for _ in 0..len {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(char::from(b'!' + (state >> 33) as u8 % 94));
            }
            text
        };
        let peer = &mut net.peers[0];
        let main = peer.main();
        let collection = peer.endpoint.collection_id(SpaceNo(0), "noise").expect("a space");
        let new = |number: u32| {
            let value = [("a", Value::from(noise()))].into_iter().collect();
            NewDoc { doc: doc_id(number), meta: Meta::default(), value }
        };
        let docs: Vec<NewDoc> = (0..count).map(new).collect();
        let log = peer.endpoint.bulk_open(peer.now, main).expect("an import");
        let texts = &TextPaths::default();
        let bulk = Bulk { collection, docs: &docs, texts, dictionary: b"", erasable: Erasable::Alone, unknown: None };
        peer.endpoint.bulk_append(peer.now, log, &bulk, Vec::new()).expect("entries");
        peer.endpoint.bulk_close(peer.now, log);
        net.run();
        assert_eq!(net.peers[0].root(), net.peers[1].root());
        assert_eq!(net.peers[1].value(doc_id(count - 1)).as_ref(), docs.last().map(|doc| &doc.value));
    }
}
