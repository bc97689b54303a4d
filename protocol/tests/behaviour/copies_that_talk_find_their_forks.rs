//! Processes resumed from one image that are linked, with each other or by a third, find that their logs fork, in
//! any order of their messages.

use cosmicsync_protocol::config::{Config, Limits};
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Makes peers 0 and 1, which are two devices, and peers 0 and 2, which were resumed from one image. None is
/// linked.
fn copied(walks_max: u32) -> Net {
    let limits = Limits { walks_max, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let mut net = Net::joined();
    for doc in [1, 2] {
        net.peers[0].create(doc_id(doc), note(""), BODY);
    }
    net.run();
    net.cut();
    let stores = [0, 1, 0].map(|of: usize| net.peers[of].store.crash(0));
    let images = [0, 1, 0].map(|of: usize| net.peers[of].endpoint.image());
    let start = |((store, image), seed)| Peer::resume(store, image, seed, config.clone());
    Net::new(stores.into_iter().zip(images).zip(50..).map(start).collect())
}

fn write(peer: &mut Peer, doc: u32, word: &str) {
    let open = peer.open(doc_id(doc));
    peer.edit(open, insert(0, word), BODY).expect("an edit");
    peer.endpoint.close(peer.now, open);
}

fn assert_agreed(net: &mut Net, words: &[(u32, &str)]) {
    let roots: Vec<_> = net.peers.iter().map(Peer::root).collect();
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    for peer in &mut net.peers {
        for (doc, word) in words {
            let value = peer.value(doc_id(*doc)).expect("a document");
            assert_eq!(body(&value).matches(word).count(), 1, "{word} in {}", body(&value));
        }
    }
}

#[test]
fn when_both_wrote_the_same_entry_at_once() {
    for links in [[(0, 2), (1, 0)], [(2, 0), (1, 0)], [(0, 1), (2, 1)], [(1, 0), (1, 2)]] {
        // A log of every partition may fork this way on one link, so no walk may be needed.
        let mut net = copied(0);
        for (from, to) in links {
            net.dial(from, to);
            net.run();
        }
        write(&mut net.peers[0], 1, "first");
        write(&mut net.peers[2], 2, "second");
        net.run();
        assert_agreed(&mut net, &[(1, "first"), (2, "second")]);
    }
}

#[test]
fn when_both_wrote_apart_and_their_cursors_hide_it() {
    let mut net = copied(1);
    for (from, to) in [(0, 2), (1, 0)] {
        net.dial(from, to);
        net.run();
    }
    net.cut();
    // Each reports that its journal grew by the same log, up to the same entry.
    write(&mut net.peers[0], 1, "first");
    write(&mut net.peers[2], 2, "second");
    for (from, to) in [(0, 2), (1, 0)] {
        net.dial(from, to);
    }
    net.run();
    assert_agreed(&mut net, &[(1, "first"), (2, "second")]);
}

#[test]
fn when_a_third_read_the_journal_of_one_and_meets_the_other() {
    let mut net = copied(1);
    for (word, peer) in [("first", 0), ("second", 2)] {
        for count in 0..3 {
            write(&mut net.peers[peer], 1 + count % 2, &format!("<{word}{count}>"));
        }
    }
    net.dial(1, 0);
    net.run();
    net.cut();
    for (from, to) in [(2, 1), (0, 1)] {
        net.dial(from, to);
        net.run();
    }
    let words: Vec<_> = ["first", "second"]
        .into_iter()
        .flat_map(|word| (0..3).map(move |count| (1 + count % 2, format!("<{word}{count}>"))))
        .collect();
    let words: Vec<_> = words.iter().map(|(doc, word)| (*doc, word.as_str())).collect();
    assert_agreed(&mut net, &words);
}
