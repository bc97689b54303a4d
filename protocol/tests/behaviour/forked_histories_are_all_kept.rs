//! A process that was resumed twice and written to on both sides has forked its log: every replica comes to hold
//! all histories, and roots are equal again.

use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

/// Has peer 0 and a copy of it, memory included, write `ours` and `theirs` entries apart.
fn cloned(ours: usize, theirs: usize) -> Net {
    cloned_after(0, ours, theirs)
}

/// Does the same, with `shared` entries that both have.
fn cloned_after(shared: usize, ours: usize, theirs: usize) -> Net {
    let mut net = Net::joined();
    let open = net.peers[0].create(doc_id(1), note("x"), BODY);
    for _ in 0..shared {
        net.peers[0].edit(open, insert(0, "s"), BODY).expect("an edit");
    }
    net.run();
    net.cut();
    let (copy, image) = (net.peers[0].store.crash(0), net.peers[0].endpoint.image());
    net.peers.push(Peer::resume(copy, image, 9, Config::default()));
    net.sent.push(0);
    for (at, text, count) in [(0, "a", ours), (2, "b", theirs)] {
        let open = net.peers[at].open(doc_id(1));
        for _ in 0..count {
            net.peers[at].edit(open, insert(0, text), BODY).expect("an edit");
        }
    }
    net
}

fn heal(net: &mut Net) {
    for _ in 0..3 {
        for (from, to) in [(0, 1), (2, 1), (0, 2)] {
            net.dial(from, to);
            net.run();
        }
        net.cut();
    }
}

#[test]
fn whichever_is_longer() {
    for (ours, theirs) in [(1, 1), (3, 1), (1, 3), (2, 90), (90, 2), (70, 70)] {
        let mut net = cloned(ours, theirs);
        heal(&mut net);
        let roots: Vec<_> = net.peers.iter().map(Peer::root).collect();
        assert!(roots.iter().all(|root| *root == roots[0]), "{ours} {theirs}: {roots:?}");
        let texts: Vec<String> =
            net.peers.iter_mut().map(|peer| body(&peer.value(doc_id(1)).expect("a value")).to_owned()).collect();
        assert!(texts.iter().all(|text| *text == texts[0]), "{ours} {theirs}: {texts:?}");
        let count = |letter| texts[0].chars().filter(|found| *found == letter).count();
        assert_eq!((count('a'), count('b'), count('x')), (ours, theirs, 1), "{texts:?}");
        for peer in &net.peers {
            assert!(peer.events.iter().any(|event| matches!(event, Event::Forked { .. })), "{ours} {theirs}");
        }
    }
}

#[test]
fn and_each_counts_as_held_whole() {
    let mut net = cloned_after(100, 3, 4);
    heal(&mut net);
    for peer in &net.peers {
        assert!(peer.endpoint.logs().count() > 3);
        for log in peer.endpoint.logs() {
            assert_eq!((log.held, log.read), (log.entries, log.entries), "{log:?}");
        }
    }
}
