//! A member who holds all keys sends updates that break the document engine: others lose nothing.

use crate::crdt::Replica;
use crate::identity::peer_id;
use crate::ids::DocRef;
use crate::log::{EntryKind, Item, KeyRef, Plain};
use crate::logs::{Batch, Writing};
use crate::testkit::notes::{BODY, doc_id, insert, note};
use crate::testkit::peer::{Net, Peer};

/// Has a peer append a document's update that it made up to its live log.
fn forge(peer: &mut Peer, doc: DocRef, update: impl FnOnce(u64) -> Vec<u8>) {
    let ledger = &mut peer.endpoint.ledger;
    let mut batch = Batch::default();
    let log = ledger.live_log(doc.partition, &mut batch);
    let bytes = update(peer_id(&ledger.logs.registry.log(log).id));
    let mut writing = Writing::new(EntryKind::Update, 0, &ledger.own_earlier(log));
    let key = KeyRef::here(1);
    writing.header.items.push(Item { doc: doc.doc, new_in: None, section: 2, part: None, key, dictionary: None });
    let seed = [3; 16];
    let sections = [Plain::KeyBox(&seed), Plain::Body { seed: &seed, bytes: &bytes, dictionary: None }];
    ledger.append(log, &writing.header, &sections, &mut batch).unwrap();
    ledger.submit(batch);
    peer.settle();
}

#[test]
fn an_update_that_breaks_the_engine_is_left_out() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note("honest"), BODY);
    net.run();
    forge(&mut net.peers[1], open, Replica::gap);
    net.run();
    let expected = Some(note("honest"));
    let here = &mut net.peers[0];
    assert_eq!(here.endpoint.view(open).map(|snapshot| snapshot.value), expected);
    assert_eq!(here.endpoint.missing(open).len(), 1);
    here.edit(open, insert(0, "still "), BODY).unwrap();
    net.run();
    for at in 0..2 {
        assert_eq!(net.peers[at].value(doc_id(1)), Some(note("still honest")), "peer {at}");
    }
}

#[test]
fn gathered_edits_are_reported_lost_when_the_engine_breaks() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note("honest"), BODY);
    net.run();
    let here = &mut net.peers[0];
    let commit = here.endpoint.edit(here.now, &[(open, insert(0, "lost "))], &BODY.iter().copied().collect(), false);
    let commit = commit.unwrap();
    forge(&mut net.peers[1], open, Replica::gap);
    net.run();
    let here = &mut net.peers[0];
    here.pass(1_000_000);
    let failed = |event: &super::Event| matches!(event, super::Event::EditsFailed { commits } if *commits == [commit]);
    assert!(here.events.iter().any(failed), "{:?}", here.events);
    assert_eq!(here.endpoint.view(open).map(|snapshot| snapshot.value), Some(note("honest")));
}

#[test]
fn a_document_that_breaks_when_it_is_read_is_rebuilt() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note("honest"), BODY);
    let here = &mut net.peers[0];
    here.endpoint.replica(open).unwrap().shatter();
    assert_eq!(here.endpoint.view(open), None);
    here.settle();
    assert_eq!(here.endpoint.view(open).map(|snapshot| snapshot.value), Some(note("honest")));
    here.endpoint.replica(open).unwrap().shatter();
    let texts = BODY.iter().copied().collect();
    assert!(here.endpoint.edit(here.now, &[(open, insert(0, "x"))], &texts, true).is_err());
    here.settle();
    here.edit(open, insert(0, "very "), BODY).unwrap();
    net.run();
    assert_eq!(net.peers[1].value(doc_id(1)), Some(note("very honest")));
}
