//! Edits of one transaction are one entry; edits close in time share one.

use cosmicsync_protocol::crdt::{ChangeError, Meta, TextPaths, Value};
use cosmicsync_protocol::documents::{Edit, EditError};
use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::ids::DocRef;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note, set};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

fn entries(peer: &Peer) -> u64 {
    peer.endpoint.logs().map(|log| log.entries).sum()
}

#[test]
fn two_documents_change_at_once() {
    let mut net = Net::joined();
    let docs = [1, 2].map(|doc| net.peers[0].create(doc_id(doc), note(""), BODY));
    net.run();
    let there = [1, 2].map(|doc| net.peers[1].open(doc_id(doc)));
    net.peers[1].take_events();
    let edits = docs.map(|doc| (doc, insert(0, "both")));
    let before = entries(&net.peers[0]);
    let peer = &mut net.peers[0];
    peer.endpoint.edit(peer.now, &edits, &BODY.iter().copied().collect(), true).expect("an edit");
    net.run();
    assert_eq!(entries(&net.peers[0]), before + 1);
    let changed: Vec<_> = net.peers[1].events.iter().filter(|event| matches!(event, Event::Changed { .. })).collect();
    assert_eq!(changed.len(), 2);
    for doc in there {
        assert_eq!(net.peers[1].endpoint.view(doc).map(|snapshot| snapshot.value), Some(note("both")));
    }
}

#[test]
fn edits_share_an_entry_until_the_window_ends_or_somebody_waits() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let doc = peer.create(doc_id(1), note(""), BODY);
    let texts = BODY.iter().copied().collect();
    let start = entries(&peer);
    for at in 0..5 {
        peer.endpoint.edit(peer.now, &[(doc, insert(at, "x"))], &texts, false).expect("an edit");
        peer.settle();
    }
    assert_eq!(entries(&peer), start, "the window is open");
    let deadline = peer.endpoint.poll_timeout().expect("the window ends");
    peer.pass(deadline.at_us - peer.now.mono_us);
    assert_eq!(entries(&peer), start + 1);
    for at in 0..5 {
        peer.endpoint.edit(peer.now, &[(doc, insert(at, "y"))], &texts, at == 4).expect("an edit");
    }
    peer.settle();
    assert_eq!(entries(&peer), start + 2, "somebody waited");
    peer.pass(1_000_000);
    peer.endpoint.edit(peer.now, &[(doc, insert(0, "z"))], &texts, false).expect("an edit");
    peer.settle();
    assert_eq!(entries(&peer), start + 3, "after a quiet while it goes at once");
}

#[test]
fn a_large_one_passes_and_a_larger_one_is_refused_whole() {
    let mut net = Net::joined();
    let docs = [1, 2].map(|doc| net.peers[0].create(doc_id(doc), note(""), &[]));
    let large = docs.map(|doc| (doc, set("field", "x".repeat(100 * 1024))));
    let peer = &mut net.peers[0];
    peer.endpoint.edit(peer.now, &large, &BODY.iter().copied().collect(), true).expect("200 KiB");
    peer.settle();
    let before = docs.map(|doc| peer.endpoint.view(doc));
    let larger = docs.map(|doc| (doc, set("field", "y".repeat(140 * 1024))));
    let refused = peer.endpoint.edit(peer.now, &larger, &BODY.iter().copied().collect(), true);
    assert_eq!(refused, Err(EditError::Change(ChangeError::TooLarge)));
    assert_eq!(docs.map(|doc| peer.endpoint.view(doc)), before);
    net.run();
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[1].value(doc_id(1)));
    let field = |value: &Value| value.entry("field").cloned();
    assert_eq!(net.peers[1].value(doc_id(2)).as_ref().and_then(field), Some(Value::from("x".repeat(100 * 1024))));
}

#[test]
fn one_bad_edit_stops_all() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let docs = [1, 2].map(|doc| peer.create(doc_id(doc), note(""), BODY));
    let edits = [(docs[0], insert(0, "fine")), (docs[1], insert(99, "past the end"))];
    assert!(peer.endpoint.edit(peer.now, &edits, &BODY.iter().copied().collect(), true).is_err());
    let twice = [(docs[0], insert(0, "a")), (docs[0], insert(0, "b"))];
    let refused = peer.endpoint.edit(peer.now, &twice, &BODY.iter().copied().collect(), true);
    assert_eq!(refused, Err(EditError::Repeated));
    for doc in docs {
        assert_eq!(peer.endpoint.view(doc).map(|snapshot| snapshot.value), Some(note("")));
    }
}

#[test]
fn more_than_one_entry_holds_is_split_between_transactions() {
    let mut net = Net::joined();
    let doc = net.peers[0].create(doc_id(1), note(""), &[]);
    let before = entries(&net.peers[0]);
    let peer = &mut net.peers[0];
    // Gathered in one window: they exceed the limits of one entry, and of one update.
    for at in 0..12u8 {
        let value = char::from(b'a' + at).to_string().repeat(50 * 1024);
        peer.endpoint
            .edit(peer.now, &[(doc, set(&format!("{at}"), value))], &BODY.iter().copied().collect(), false)
            .expect("an edit");
    }
    peer.settle();
    peer.pass(1_000_000);
    net.run();
    assert!(entries(&net.peers[0]) > before + 2);
    assert_eq!(net.peers[0].value(doc_id(1)), net.peers[1].value(doc_id(1)));
}

#[test]
fn many_small_documents_and_large_ones_after_them_find_room() {
    let mut state = 1u64;
    let mut noise = |len: usize| {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 33) as u8 % 94)
        };
        (0..len).map(next).collect::<String>()
    };
    let mut net = Net::joined();
    let peer = &mut net.peers[0];
    let docs: Vec<_> = (0..1_600).map(|number| peer.open(doc_id(number))).collect();
    let collection = peer.endpoint.collection_id(SpaceNo(0), "notes").expect("a space");
    let mut create = |peer: &mut Peer, docs: &[DocRef], len: usize| {
        let mut edit = |_: &DocRef| {
            let value = [("a", Value::from(noise(len)))].into_iter().collect();
            Edit::Create { collection, meta: Meta::default(), value }
        };
        let edits: Vec<_> = docs.iter().map(|doc| (*doc, edit(doc))).collect();
        peer.endpoint.edit(peer.now, &edits, &TextPaths::default(), false).expect("an edit");
    };
    for few in docs[..800].chunks(10) {
        create(peer, few, 8);
    }
    create(peer, &docs[800..], 150);
    peer.settle();
    peer.pass(1_000_000);
    let failed = |event: &Event| matches!(event, Event::EditsFailed { .. });
    assert!(!peer.events.iter().any(failed));
    net.run();
    let first = net.peers[0].value(doc_id(0));
    assert!(first.is_some());
    assert_eq!(net.peers[1].value(doc_id(0)), first);
    assert_eq!(net.peers[0].value(doc_id(1_599)), net.peers[1].value(doc_id(1_599)));
}

#[test]
fn edits_after_a_shutdown_are_refused() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let doc = peer.create(doc_id(1), note(""), BODY);
    let texts: TextPaths = BODY.iter().copied().collect();
    let before = peer.endpoint.edit(peer.now, &[(doc, insert(0, "before"))], &texts, false).expect("an edit");
    peer.endpoint.shut_down(peer.now);
    let after = peer.endpoint.edit(peer.now, &[(doc, insert(0, "after"))], &texts, false);
    assert_eq!(after, Err(EditError::ShutDown));
    peer.settle();
    let is_durable = |event: &Event| matches!(event, Event::Committed { commits } if commits.contains(&before));
    assert!(peer.events.iter().any(is_durable));
}
