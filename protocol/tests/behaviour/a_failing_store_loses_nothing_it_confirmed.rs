//! After a failed commit nothing is acknowledged any more, and the remaining store continues without a fork.

use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::ids::DocRef;
use cosmicsync_protocol::storage::{StoreDone, StoreError};
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use std::collections::BTreeMap;

fn failing(nth: u64, error: &StoreError) {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    net.peers[0].take_events();
    net.peers[0].store.fail_commit(nth, error.clone());
    let mut tokens = BTreeMap::new();
    let texts = BODY.iter().copied().collect();
    for at in 0..12u32 {
        let token = format!("<{at}>");
        let peer = &mut net.peers[0];
        if let Ok(commit) = peer.endpoint.edit(peer.now, &[(open, insert(0, &token))], &texts, at % 3 == 0) {
            tokens.insert(commit, token);
        }
        if at % 2 == 0 {
            net.run();
        }
        net.peers[0].pass(15_000);
    }
    net.peers[0].pass(1_000_000);
    net.run();
    let events = net.peers[0].take_events();
    assert!(events.iter().any(|event| matches!(event, Event::StoreFailed { .. })), "{events:?}");
    let mut safe = Vec::new();
    for event in events {
        if let Event::Committed { commits } = event {
            safe.extend(commits.iter().map(|commit| tokens.remove(commit)));
        } else if let Event::EditsFailed { commits } = event {
            commits.iter().for_each(|commit| drop(tokens.remove(commit)));
        }
    }
    assert!(tokens.is_empty(), "failing commit {nth}: nobody heard of {tokens:?}");
    net.cut();
    net.peers[0] = Peer::recover(net.peers[0].store.crash(0), 9);
    net.dial(1, 0);
    net.run();
    let open = net.peers[0].open(doc_id(1));
    net.peers[0].edit(open, insert(0, "!"), BODY).expect("an edit");
    net.run();
    let values: Vec<_> = (0..2).map(|at| net.peers[at].value(doc_id(1)).expect("a note")).collect();
    assert_eq!(values[0], values[1]);
    assert_eq!(net.peers[0].root(), net.peers[1].root());
    for token in safe.iter().flatten() {
        assert!(body(&values[0]).contains(token), "{token} was safe");
    }
    for event in net.peers.iter().flat_map(|peer| &peer.events) {
        assert!(!matches!(event, Event::Forked { .. } | Event::Retired { .. }), "{event:?}");
    }
}

#[test]
fn a_failed_commit_loses_nothing_confirmed() {
    for nth in 0..8 {
        failing(nth, &StoreError::Full);
        failing(nth, &StoreError::NotDurable("fsync"));
    }
}

#[test]
fn a_failed_commit_is_reported_before_the_reads_that_it_fails() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let open = peer.create(doc_id(1), note(""), BODY);
    peer.take_events();
    let texts = BODY.iter().copied().collect();
    let edit = peer.endpoint.edit(peer.now, &[(open, insert(0, "lost"))], &texts, true).expect("an edit");
    peer.endpoint.open(peer.now, DocRef { doc: doc_id(2), ..open });
    peer.store.fail_commit(0, StoreError::Full);
    let mut failed = None;
    while let Some(request) = peer.endpoint.poll_store() {
        // As with a reader on another thread, the read's failure comes first.
        if request.is_durable_read() {
            let (commit, read) = (peer.store.complete_next(), peer.store.read_durable(request));
            assert!(matches!(read, StoreDone::Failed { error: StoreError::Poisoned, .. }), "{read:?}");
            peer.endpoint.handle_stored(peer.now, read);
            assert_eq!(peer.endpoint.poll_event(), None, "its cause is not known yet");
            failed = commit;
        } else {
            peer.store.submit(request);
        }
    }
    peer.endpoint.handle_stored(peer.now, failed.expect("the commit failed"));
    assert_eq!(peer.endpoint.poll_event(), Some(Event::EditsFailed { commits: vec![edit] }));
    assert_eq!(peer.endpoint.poll_event(), Some(Event::StoreFailed { error: StoreError::Full }));
}
