//! A member with valid keys sends lies, hundreds of times. The founder stays up, ends links with codes, and the
//! documents of the honest peers are equal on both of their replicas.

use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::log::Lane;
use cosmicsync_protocol::testkit::hostile::{Liar, NO_CODE, Siege};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::wire::close::CloseCode;

/// Documents of the honest peers; the liar tampers with the last.
const HONEST: u32 = 3;

fn endure(lies: u32) {
    let mut siege = Siege::lay();
    let docs: Vec<_> = (0..HONEST).map(|at| siege.net.peers[0].create(doc_id(at), note(""), BODY)).collect();
    siege.press();
    let log = siege.announced_log(Lane::Live);
    let mut liar = Liar::new(log, (HONEST - 1..40).map(doc_id).collect());
    for at in 0..lies {
        siege.endure(&mut liar);
        if at % 20 == 0 {
            let peer = &mut siege.net.peers[at as usize / 20 % 2];
            let doc = peer.open(docs[at as usize % 3].doc);
            peer.edit(doc, insert(0, "a"), BODY).expect("an honest edit is taken");
            let doc = siege.net.peers[0].open(doc_id(10 + at / 20 % 30));
            siege.press();
            siege.net.peers[0].endpoint.view(doc);
        }
        let failed = |event: &Event| matches!(event, Event::StoreFailed { .. } | Event::EditsFailed { .. });
        assert!(!siege.net.peers.iter().any(|peer| peer.events.iter().any(failed)));
    }
    siege.net.cut();
    siege.net.dial(1, 0);
    siege.net.run();
    for doc in (0..HONEST - 1).map(doc_id) {
        let [here, there] = [0, 1].map(|at: usize| siege.net.peers[at].value(doc));
        assert!(here.is_some());
        assert_eq!(here, there);
    }
    let known = |code: &u16| *code == NO_CODE || CloseCode::from_number(*code).is_some();
    assert!(siege.closes.keys().all(known) && siege.closes.len() > 4, "{:?}", siege.closes);
}

#[test]
fn hundreds_of_lies_change_nothing_that_others_wrote() {
    // The core's thread has a stack of the same size.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(|| endure(600));
    thread.expect("a thread").join().expect("the peers stay up");
}
