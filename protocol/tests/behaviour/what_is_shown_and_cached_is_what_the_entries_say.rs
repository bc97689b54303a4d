//! An open document, a reopened one and a materialised value never lag behind the entries for good.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::documents::decode_snapshot;
use cosmicsync_protocol::ids::DocRef;
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::doc_key;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Peer 1 keeps no document that is not open, and nearly no entry in memory.
fn linked() -> (Net, DocRef) {
    let mut net = Net::joined();
    net.cut();
    let config = Config { idle_docs_max: 0, recent_bytes_max: 1, ..Config::default() };
    net.peers[1] = Peer::with_config(net.peers[1].store.crash(0), 5, config);
    net.dial(1, 0);
    net.run();
    let open = net.peers[0].create(doc_id(1), note("."), BODY);
    net.run();
    (net, open)
}

/// Passes requests to the store, which does nothing yet.
fn submit(peer: &mut Peer) {
    while let Some(request) = peer.endpoint.poll_store() {
        peer.store.submit(request);
    }
}

/// Has peer 0 edit, and peer 1 receive the edit; the store of peer 1 does nothing yet.
fn edit_arrives(net: &mut Net, open: DocRef, text: &str) {
    let peer = &mut net.peers[0];
    peer.edit(open, insert(0, text), BODY).expect("an edit");
    let mut bytes = Vec::new();
    for link in peer.endpoint.links() {
        while peer.endpoint.poll_transmit(peer.now, link, &mut bytes) {}
    }
    let peer = &mut net.peers[1];
    let link = *peer.endpoint.links().last().expect("a link");
    peer.endpoint.handle_bytes(peer.now, link, &bytes);
    submit(peer);
}

fn shown(peer: &mut Peer) -> Option<cosmicsync_protocol::crdt::Value> {
    peer.value(doc_id(1))
}

#[test]
fn a_new_document_has_its_value_in_the_commit_that_creates_it() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let stored = |peer: &Peer, doc| {
        let row = peer.store.rows().get(&(Table::Value, doc_key(doc))).cloned();
        row.map(|row| decode_snapshot(&row).expect("a value row").value)
    };
    let open = peer.open(doc_id(1));
    assert_eq!(stored(&peer, open), None);
    let open = peer.create(doc_id(1), note("new"), BODY);
    assert_eq!(stored(&peer, open), Some(note("new")), "it is open and stored");
    peer.edit(open, insert(0, "a "), BODY).expect("an edit");
    assert_eq!(stored(&peer, open), None, "values of later edits are stored when it leaves memory");
    assert_eq!(shown(&mut Peer::recover(peer.store.crash(0), 6)), Some(note("a new")));
}

#[test]
fn a_value_that_was_kept_while_an_entry_was_stored_is_not_kept() {
    let (mut net, open) = linked();
    net.peers[1].open(doc_id(1));
    edit_arrives(&mut net, open, "new ");
    let peer = &mut net.peers[1];
    peer.endpoint.close(peer.now, open);
    peer.settle();
    // The next commit contains the values that wait for one.
    peer.endpoint.shut_down(peer.now);
    peer.settle();
    let kept = peer.store.rows().get(&(Table::Value, doc_key(open))).cloned();
    let kept = kept.map(|row| decode_snapshot(&row).expect("a value row").value);
    let afresh = shown(&mut Peer::recover(peer.store.crash(0), 6));
    assert_eq!(afresh, Some(note("new .")));
    assert!(kept.is_none() || kept == afresh, "{kept:?}");
}

#[test]
fn a_document_that_is_opened_while_an_entry_is_stored_has_it() {
    for early in 0..6 {
        let (mut net, open) = linked();
        let peer = &mut net.peers[1];
        peer.endpoint.open(peer.now, open);
        submit(peer);
        for _ in 0..early {
            let Some(done) = peer.store.complete_next() else { break };
            peer.endpoint.handle_stored(peer.now, done);
            submit(peer);
        }
        edit_arrives(&mut net, open, "a");
        edit_arrives(&mut net, open, "b");
        net.peers[1].settle();
        let peer = &mut net.peers[1];
        assert_eq!(peer.endpoint.view(open).map(|snapshot| snapshot.value), Some(note("ba.")), "{early}");
    }
}

#[test]
fn a_document_that_is_reopened_while_it_is_read_is_read_once() {
    let (mut net, open) = linked();
    for at in 0..5 {
        net.peers[0].edit(open, insert(at, "x"), BODY).expect("an edit");
        net.run();
    }
    let other = DocRef { doc: doc_id(2), ..open };
    let peer = &mut net.peers[1];
    for completed in 0..4 {
        for _ in 0..3 {
            peer.endpoint.open(peer.now, open);
            submit(peer);
            peer.endpoint.open(peer.now, other);
            peer.endpoint.close(peer.now, open);
            peer.endpoint.close(peer.now, other);
            for _ in 0..completed {
                let Some(done) = peer.store.complete_next() else { break };
                peer.endpoint.handle_stored(peer.now, done);
                submit(peer);
            }
        }
        peer.endpoint.open(peer.now, open);
        peer.settle();
        assert_eq!(peer.endpoint.view(open).map(|snapshot| snapshot.value), Some(note("xxxxx.")));
        peer.endpoint.close(peer.now, open);
    }
}

#[test]
fn a_document_closed_while_limited_reopens_whole() {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note("."), BODY);
    net.run();
    let peer = &mut net.peers[1];
    let doc = peer.open(doc_id(1));
    peer.endpoint.hold(peer.now, doc, Some(peer.endpoint.seen(doc)));
    net.peers[0].edit(open, insert(0, "held "), BODY).expect("an edit");
    net.run();
    let peer = &mut net.peers[1];
    assert_eq!(peer.endpoint.view(doc).map(|snapshot| snapshot.value), Some(note(".")));
    peer.endpoint.close(peer.now, doc);
    assert_eq!(shown(peer), Some(note("held .")));
}

#[test]
fn a_document_that_is_held_before_it_is_read_is_opened_once() {
    let (mut net, open) = linked();
    let peer = &mut net.peers[1];
    peer.take_events();
    peer.endpoint.open(peer.now, open);
    peer.endpoint.hold(peer.now, open, None);
    peer.settle();
    let opened: Vec<_> = peer.events.iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(opened[0].contains("exists: true"), "{opened:?}");
}
