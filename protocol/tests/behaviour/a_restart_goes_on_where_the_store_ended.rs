//! A crash between any two commits loses no confirmed edit and forks no log: the next process opens new ones.

use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use std::collections::BTreeMap;

const EDITS: usize = 8;

/// Passes requests to the store, which does nothing yet.
fn submit(peer: &mut Peer) {
    while let Some(request) = peer.endpoint.poll_store() {
        peer.store.submit(request);
    }
}

/// Sends the output of peer 0 to peer 1, which does not answer.
fn push(net: &mut Net) {
    let (left, right) = net.peers.split_at_mut(1);
    let (here, there) = (&mut left[0], &mut right[0]);
    let link = here.endpoint.links()[0];
    let mut bytes = Vec::new();
    while here.endpoint.poll_transmit(here.now, link, &mut bytes) {}
    let link = there.endpoint.links()[0];
    there.endpoint.handle_bytes(there.now, link, &bytes);
    there.settle();
}

/// Has peer 0 edit while its store is slow. After `completions` requests it crashes, and `keep` of the commits
/// under way survive. Returns its store, the tokens that were reported durable and its logs; `None` if it ends
/// before.
fn crash(net: &mut Net, completions: usize, keep: usize) -> Option<(MemStore, Vec<String>, Vec<LogId>)> {
    let open = net.peers[0].open(doc_id(1));
    net.peers[0].take_events();
    let texts = BODY.iter().copied().collect();
    let (mut tokens, mut safe) = (BTreeMap::new(), Vec::new());
    for at in 0..=EDITS * 2 {
        let peer = &mut net.peers[0];
        if at < EDITS {
            let token = format!("<{at}>");
            let commit = peer.endpoint.edit(peer.now, &[(open, insert(0, &token))], &texts, true).expect("an edit");
            tokens.insert(commit, token);
        }
        submit(peer);
        if at == completions {
            return Some((peer.store.crash(keep), safe, peer.own_logs()));
        }
        let done = peer.store.complete_next()?;
        peer.endpoint.handle_stored(peer.now, done);
        while let Some(event) = peer.endpoint.poll_event() {
            if let Event::Committed { commits } = event {
                safe.extend(commits.iter().filter_map(|commit| tokens.remove(commit)));
            }
        }
        push(net);
    }
    None
}

fn goes_on(first_edit: bool) {
    let mut ends = 0;
    for completions in 0..EDITS {
        for keep in 0..4 {
            let mut net = Net::joined();
            if first_edit {
                net.peers[1].create(doc_id(1), note(""), BODY);
            } else {
                net.peers[0].create(doc_id(1), note(""), BODY);
            }
            net.run();
            let Some((store, safe, logs)) = crash(&mut net, completions, keep) else { continue };
            ends += 1;
            let incarnation = net.peers[0].endpoint.incarnation();
            net.cut();
            net.peers[0] = Peer::recover(store, 77);
            net.peers[1].take_events();
            let open = net.peers[0].open(doc_id(1));
            net.peers[0].edit(open, insert(0, "!"), BODY).expect("an edit");
            let after = net.peers[0].own_logs();
            assert!(!after.is_empty() && after.iter().all(|log| !logs.contains(log)), "{after:?}");
            assert_eq!(net.peers[0].endpoint.incarnation(), incarnation);
            net.dial(0, 1);
            net.run();
            let values: Vec<_> = (0..2).map(|at| net.peers[at].value(doc_id(1)).expect("a note")).collect();
            assert_eq!(values[0], values[1], "{completions} {keep}");
            assert_eq!(net.peers[0].root(), net.peers[1].root(), "{completions} {keep}");
            for token in &safe {
                assert!(body(&values[0]).contains(token), "{completions} {keep}: {token} was safe");
            }
            for event in net.peers.iter().flat_map(|peer| &peer.events) {
                assert!(!matches!(event, Event::Forked { .. } | Event::Retired { .. }), "{event:?}");
            }
        }
    }
    assert!(ends > 20);
}

#[test]
fn a_restart_continues_in_new_logs() {
    goes_on(false);
}

#[test]
fn a_restart_amid_the_first_edits_continues_in_new_logs() {
    goes_on(true);
}
