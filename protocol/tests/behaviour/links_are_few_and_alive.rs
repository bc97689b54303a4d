//! One link to each process of a device survives; half-open and silent ones are ended.

use cosmicsync_protocol::config::{Config, Limits};
use cosmicsync_protocol::endpoint::{CloseReason, Dial, Event, LinkId};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::Reason;
use cosmicsync_protocol::wire::close::CloseCode;

fn closes(peer: &Peer) -> Vec<(LinkId, CloseReason)> {
    let close = |event: &Event| {
        let Event::Close { link, reason, .. } = event else { return None };
        Some((*link, reason.clone()))
    };
    peer.events.iter().filter_map(close).collect()
}

/// Returns whether a peer reported that a device runs twice.
fn names_twins(peer: &Peer) -> bool {
    peer.events.iter().any(|event| matches!(event, Event::Twice { .. }))
}

#[test]
fn of_two_that_are_dialled_at_once_one_survives() {
    for first in [0, 1] {
        for piece in [usize::MAX, 40] {
            let mut net = Net::joined();
            net.cut();
            net.piece = piece;
            net.dial(first, 1 - first);
            net.dial(1 - first, first);
            net.run();
            let up: Vec<_> = net.peers.iter().map(|peer| peer.endpoint.links().len()).collect();
            assert_eq!(up, [1, 1]);
            let open = net.peers[0].create(doc_id(1), note(""), BODY);
            net.run();
            net.peers[0].edit(open, insert(0, "x"), BODY).expect("an edit");
            net.run();
            assert_eq!(net.peers[1].value(doc_id(1)), Some(note("x")));
        }
    }
}

#[test]
fn a_newer_one_of_the_same_side_replaces_the_older() {
    let mut net = Net::joined();
    let old = net.peers[0].endpoint.links();
    net.dial(1, 0);
    net.run();
    assert_eq!(net.peers[0].endpoint.links().len(), 1);
    assert_ne!(net.peers[0].endpoint.links(), old);
    net.peers[0].create(doc_id(1), note("x"), BODY);
    net.run();
    assert_eq!(net.peers[1].value(doc_id(1)), Some(note("x")));
}

#[test]
fn half_open_ones_have_a_limit() {
    let config = Config { handshakes_max: 3, ..Config::default() };
    let mut peer = Peer::with_config(MemStore::new(), 1, config);
    peer.found("home");
    let links: Vec<_> = (0..5).map(|_| peer.endpoint.handle_link_up(peer.now, None)).collect();
    peer.settle();
    let refused: Vec<_> = closes(&peer).into_iter().collect();
    let overloaded = CloseReason::Ours(CloseCode::Overloaded);
    assert_eq!(refused, [(links[3], overloaded.clone()), (links[4], overloaded)]);
}

#[test]
fn a_handshake_that_takes_too_long_ends() {
    let mut peer = Peer::new(1);
    peer.found("home");
    let link = peer.endpoint.handle_link_up(peer.now, None);
    let deadline = peer.endpoint.poll_timeout().expect("a deadline");
    assert_eq!(deadline.reason, Reason::HandshakeTimeout);
    peer.pass(deadline.at_us - peer.now.mono_us - 1);
    assert!(closes(&peer).is_empty());
    peer.pass(1);
    assert_eq!(closes(&peer), [(link, CloseReason::Timeout)]);
    assert_eq!(peer.endpoint.poll_timeout(), None);
}

#[test]
fn a_silent_one_is_probed_and_then_ended() {
    let mut net = Net::joined();
    let keep_alive_us = Config::default().keep_alive_us;
    for _ in 0..6 {
        net.peers.iter_mut().for_each(|peer| peer.pass(keep_alive_us));
        net.run();
    }
    assert_eq!(net.peers[0].endpoint.links().len(), 1, "who answers is alive");
    let peer = &mut net.peers[0];
    let link = peer.endpoint.links()[0];
    peer.take_events();
    for step in 0.. {
        let Some(deadline) = peer.endpoint.poll_timeout() else { break };
        assert!(step < 4, "a deadline is met once");
        peer.pass(deadline.at_us.saturating_sub(peer.now.mono_us));
    }
    assert_eq!(closes(peer), [(link, CloseReason::Timeout)]);
}

#[test]
fn one_on_which_no_message_is_ever_whole_is_ended() {
    let mut net = Net::joined();
    let keep_alive_us = Config::default().keep_alive_us;
    let peer = &mut net.peers[0];
    let link = peer.endpoint.links()[0];
    peer.take_events();
    // Something on the way removed bytes: the next ones are read as the length of a long message.
    peer.endpoint.handle_bytes(peer.now, link, &[0xff, 0xff]);
    for step in 1..=10 {
        peer.pass(keep_alive_us / 2);
        let over = step >= 8;
        assert_eq!(closes(peer), if over { vec![(link, CloseReason::Timeout)] } else { Vec::new() }, "step {step}");
        peer.endpoint.handle_bytes(peer.now, link, &[0]);
    }
}

/// Makes a peer linked with another device, which restarts `times` times from copies of its store, keys included.
fn with_copies(times: u8) -> Net {
    let mut net = Net::joined();
    for copy in 0..times {
        let store = net.peers[1].store.crash(0);
        net.peers.push(Peer::recover(store, 50 + copy));
        net.sent.push(0);
    }
    net
}

#[test]
fn copies_of_one_device_each_have_theirs() {
    let mut net = with_copies(2);
    for copy in [2, 3] {
        net.dial(copy, 0);
        net.run();
    }
    assert_eq!(net.peers[0].endpoint.links().len(), 3);
    assert!(names_twins(&net.peers[0]), "though nobody wrote");
    let open = net.peers[0].create(doc_id(1), note(""), BODY);
    net.run();
    net.peers[0].edit(open, insert(0, "x"), BODY).expect("an edit");
    net.run();
    for copy in 1..4 {
        assert_eq!(net.peers[copy].value(doc_id(1)), Some(note("x")), "copy {copy}");
    }
}

#[test]
fn copies_of_one_device_have_one_with_each_other() {
    for twice in [false, true] {
        let mut net = with_copies(1);
        net.cut();
        net.dial(1, 2);
        if twice {
            net.dial(2, 1);
        }
        net.run();
        assert_eq!([1, 2].map(|copy: usize| net.peers[copy].endpoint.links().len()), [1, 1]);
        assert!(names_twins(&net.peers[1]) && names_twins(&net.peers[2]) && !names_twins(&net.peers[0]));
        net.peers[2].create(doc_id(1), note("x"), BODY);
        net.run();
        assert_eq!(net.peers[1].value(doc_id(1)), Some(note("x")));
    }
}

#[test]
fn one_with_oneself_is_refused() {
    let mut net = Net::joined();
    net.cut();
    net.peers[0].take_events();
    let wire = net.dial(0, 0);
    net.run();
    let refused = (wire.ends[0].1, CloseReason::Ours(CloseCode::Oneself));
    assert!(closes(&net.peers[0]).contains(&refused), "{:?}", closes(&net.peers[0]));
    assert!(!net.peers[0].events.iter().any(|event| matches!(event, Event::PeerUp { .. })));
    assert!(net.peers[0].endpoint.links().is_empty());
}

#[test]
fn a_device_that_started_anew_is_not_waited_for_on_its_old_one() {
    let mut net = with_copies(1);
    let old = net.peers[0].endpoint.links()[0];
    // The older process is gone without notice: none of its messages arrives any more.
    let [link, dialled] = [(0, None), (2, Some(Dial::Sync))].map(|(at, dial): (usize, _)| {
        let peer = &mut net.peers[at];
        peer.endpoint.handle_link_up(peer.now, dial)
    });
    for _ in 0..10 {
        for [(from, from_link), (to, to_link)] in [[(2, dialled), (0, link)], [(0, link), (2, dialled)]] {
            let mut bytes = Vec::new();
            let peer: &mut Peer = &mut net.peers[from];
            while peer.endpoint.poll_transmit(peer.now, from_link, &mut bytes) {}
            let peer = &mut net.peers[to];
            peer.endpoint.handle_bytes(peer.now, to_link, &bytes);
            peer.settle();
        }
    }
    let peer = &mut net.peers[0];
    peer.take_events();
    assert_eq!(peer.endpoint.stats().links.iter().filter(|link| link.peer.is_some()).count(), 2);
    let patience_us = Config::default().handshake_us_max;
    assert!(patience_us < Config::default().keep_alive_us);
    peer.pass(patience_us - 1);
    assert!(closes(peer).is_empty());
    peer.pass(1);
    assert_eq!(closes(peer), [(old, CloseReason::Timeout)]);
    assert!(!names_twins(peer));
}

#[test]
fn a_device_that_starts_anew_again_and_again_does_not_run_twice() {
    let mut net = with_copies(3);
    for start in 1..=4 {
        net.cut();
        net.peers.iter_mut().for_each(|peer| peer.pass(1));
        net.dial(start, 0);
        net.run();
    }
    assert!(!names_twins(&net.peers[0]));
    // A process that had been taken for dead comes back.
    net.cut();
    net.peers.iter_mut().for_each(|peer| peer.pass(1));
    net.dial(2, 0);
    net.run();
    assert!(names_twins(&net.peers[0]));
}

#[test]
fn a_copy_that_answers_keeps_its_own() {
    let mut net = with_copies(1);
    net.dial(2, 0);
    for _ in 0..20 {
        net.run();
        net.peers.iter_mut().for_each(|peer| peer.pass(Config::default().handshake_us_max / 2));
    }
    assert_eq!(net.peers[0].endpoint.links().len(), 2);
}

#[test]
fn one_device_has_no_more_than_four() {
    let mut net = with_copies(6);
    let first = net.peers[0].endpoint.links()[0];
    net.peers[0].take_events();
    for copy in 2..8 {
        net.peers[0].pass(1);
        net.dial(copy, 0);
        net.run();
        assert!(net.peers[0].endpoint.links().len() <= 4);
    }
    let replaced = closes(&net.peers[0]);
    assert_eq!(replaced[0], (first, CloseReason::Ours(CloseCode::Replaced)), "the one that was silent for longest");
    assert_eq!(replaced.len(), 3);
    net.peers[0].create(doc_id(1), note("x"), BODY);
    net.run();
    assert_eq!(net.peers[7].value(doc_id(1)), Some(note("x")));
}

#[test]
fn one_that_carried_many_messages_is_renewed() {
    let config = || Config { limits: Limits { handshake_messages: 20, ..Limits::default() }, ..Config::default() };
    let mut peer = Peer::with_config(MemStore::new(), 1, config());
    peer.found("home");
    let mut net = Net::new(vec![peer, Peer::with_config(MemStore::new(), 2, config())]);
    net.join(1, 0);
    let mut typed = String::new();
    let mut renewed = 0;
    let mut open = None;
    for round in 0..60 {
        if net.peers[1].endpoint.links().is_empty() {
            net.dial(1, 0);
            net.run();
        }
        let open = *open.get_or_insert_with(|| net.peers[0].create(doc_id(1), note(""), BODY));
        typed.insert(0, if round % 2 == 0 { 'a' } else { 'b' });
        net.peers[0].edit(open, insert(0, &typed[..1]), BODY).expect("an edit");
        net.run();
        let is_renewal = |(_, reason): &(LinkId, CloseReason)| matches!(reason, CloseReason::Ours(CloseCode::Renew));
        renewed += closes(&net.peers[0]).into_iter().filter(is_renewal).count();
        net.peers.iter_mut().for_each(|peer| drop(peer.take_events()));
    }
    assert!(renewed >= 3, "renewed {renewed} times");
    net.dial(1, 0);
    net.run();
    assert_eq!(net.peers[1].value(doc_id(1)), Some(note(&typed)));
}
