//! A runtime of `pump` and one-buffer queues alone: two peers converge, and each call leaves nothing undone.

use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::pump::{Driven, Io, SEND_BYTES, pump};
use cosmicsync_protocol::storage::StoreRequest;
use cosmicsync_protocol::testkit::notes::{BODY, body, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::{Deadline, Reason};

/// Takes one buffer for each link at a time.
struct Narrow<'a> {
    store: &'a mut MemStore,
    events: &'a mut Vec<Event>,
    sent: &'a mut Option<Vec<u8>>,
    link: LinkId,
}

impl Io for Narrow<'_> {
    fn store(&mut self, request: StoreRequest) {
        self.store.submit(request);
    }

    fn has_room(&mut self, link: LinkId) -> bool {
        link == self.link && self.sent.is_none()
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        assert!(self.has_room(link) && !bytes.is_empty() && bytes.len() < 2 * SEND_BYTES);
        *self.sent = Some(bytes);
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

struct Side {
    peer: Peer,
    link: LinkId,
    sent: Option<Vec<u8>>,
}

impl Side {
    fn pump(&mut self) -> Option<Deadline> {
        let Peer { endpoint, store, events, now, .. } = &mut self.peer;
        let mut io = Narrow { store, events, sent: &mut self.sent, link: self.link };
        let deadline = pump(endpoint, *now, &mut io);
        assert_eq!((endpoint.poll_store(), endpoint.poll_event()), (None, None));
        assert_eq!(deadline, Driven::poll_timeout(endpoint));
        deadline
    }

    fn complete(&mut self) -> bool {
        let Some(done) = self.peer.store.complete_next() else { return false };
        self.peer.endpoint.handle_stored(self.peer.now, done);
        true
    }
}

fn rest(sides: &mut [Side; 2]) {
    loop {
        let mut moved = false;
        for at in [0, 1] {
            sides[at].pump();
            moved |= sides[at].complete();
            if let Some(bytes) = sides[at].sent.take() {
                let Side { peer, link, .. } = &mut sides[1 - at];
                peer.endpoint.handle_bytes(peer.now, *link, &bytes);
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

#[test]
fn two_peers_converge_over_it() {
    let mut net = Net::joined();
    net.cut();
    let [mut a, mut b]: [Peer; 2] = net.peers.try_into().expect("two peers");
    let long: String = (0..40_000u32).map(|at| char::from(33 + (at * at % 89) as u8)).collect();
    let docs = [1, 2, 3, 4].map(|number| a.create(doc_id(number), note(&long), BODY));
    b.pass(0);
    let links = [a.endpoint.handle_link_up(a.now, Some(Dial::Sync)), b.endpoint.handle_link_up(b.now, None)];
    let mut sides = [Side { peer: a, link: links[0], sent: None }, Side { peer: b, link: links[1], sent: None }];
    rest(&mut sides);

    // An edit waits for others to share its entry: `pump` returns that deadline, and fires it when it has passed.
    let texts = BODY.iter().copied().collect();
    let writer = &mut sides[0];
    writer.peer.endpoint.edit(writer.peer.now, &[(docs[0], insert(0, "!"))], &texts, false).expect("an edit");
    let deadline = writer.pump().expect("the edit is to be flushed");
    assert_eq!((deadline.reason, writer.complete()), (Reason::Flush, false));
    writer.peer.now.mono_us = deadline.at_us;
    writer.pump();
    assert!(writer.complete(), "flushed");
    rest(&mut sides);

    let [mut a, mut b] = sides.map(|side| side.peer);
    let value = b.value(doc_id(1)).expect("it arrived");
    assert_eq!(body(&value), format!("!{long}"));
    assert_eq!((a.value(doc_id(1)), a.root()), (Some(value), b.root()));
}
