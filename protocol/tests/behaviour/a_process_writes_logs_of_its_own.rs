//! A log's key lives in the memory of the process that opened it: copies and restored stores continue in new logs.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::ids::{EntryRef, LogId};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::entry_key;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::Peer;
use std::collections::BTreeSet;

fn writer() -> Peer {
    let mut peer = Peer::new(1);
    peer.found("home");
    peer.create(doc_id(1), note(""), BODY);
    peer
}

/// Returns the logs that are open after one more edit.
fn edit(peer: &mut Peer) -> BTreeSet<LogId> {
    let open = peer.open(doc_id(1));
    peer.edit(open, insert(0, "x"), BODY).expect("an edit");
    peer.own_logs().into_iter().collect()
}

/// Moves the wall clock ahead of the monotonic clock.
fn pause(peer: &mut Peer, ms: u64) {
    peer.now.wall_ms += ms;
    peer.endpoint.handle_timeout(peer.now);
    peer.settle();
}

#[test]
fn one_that_slept_for_more_than_a_minute_opens_new_ones() {
    let mut peer = writer();
    let before = edit(&mut peer);
    pause(&mut peer, 59_000);
    assert_eq!(edit(&mut peer), before);
    pause(&mut peer, 61_000);
    assert!(edit(&mut peer).is_disjoint(&before));
}

#[test]
fn copied_memory_opens_other_logs_once_stirred() {
    let mut peer = writer();
    let before = edit(&mut peer);
    let (image, store) = (peer.endpoint.image(), peer.store.crash(0));
    let after: Vec<_> = [1, 2, 2]
        .into_iter()
        .map(|fresh| {
            let mut copy = Peer::resume(store.crash(0), image.clone(), 7, Config::default());
            copy.endpoint.stir(&[fresh; 32]);
            pause(&mut copy, 61_000);
            edit(&mut copy)
        })
        .collect();
    assert!(after.iter().all(|logs| !logs.is_empty() && logs.is_disjoint(&before)));
    assert!(after[0].is_disjoint(&after[1]));
    assert_eq!(after[1], after[2], "all else follows from the memory");
}

#[test]
fn every_commit_of_an_entry_ends_at_a_signed_head() {
    let mut peer = writer();
    let open = peer.open(doc_id(1));
    let mut entries = 0;
    for at in 0..150 {
        let texts = BODY.iter().copied().collect();
        peer.endpoint.edit(peer.now, &[(open, insert(0, "x"))], &texts, at % 2 == 0).expect("an edit");
        if at % 9 == 0 {
            peer.now = peer.now.after_us(50_000);
            peer.endpoint.handle_timeout(peer.now);
        }
        while let Some(request) = peer.endpoint.poll_store() {
            peer.store.submit(request);
        }
        let Some(done) = peer.store.complete_next() else { continue };
        // A process that starts here can serve every entry that is here.
        let rows = peer.store.rows();
        for log in Peer::recover(peer.store.crash(0), 9).endpoint.logs() {
            let is_here =
                |seq: &u64| rows.contains_key(&(Table::Entry, entry_key(EntryRef { log: log.no, seq: *seq })));
            assert_eq!((0..).take_while(is_here).count() as u64, log.entries);
            let head = EntryRef { log: log.no, seq: log.entries - 1 };
            assert!(rows.contains_key(&(Table::Head, entry_key(head))), "{head:?} is signed");
            entries = entries.max(log.entries);
        }
        peer.endpoint.handle_stored(peer.now, done);
    }
    assert!(entries > 50, "{entries}");
}
