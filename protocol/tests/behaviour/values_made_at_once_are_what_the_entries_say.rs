//! Values made many at once equal those of opening each document.

use cosmicsync_protocol::crdt::{Meta, TextPaths, Value};
use cosmicsync_protocol::documents::{Bulk, Edit, Erasable, Snapshot, decode_snapshot};
use cosmicsync_protocol::endpoint::{Event, NewDoc, ReadResult};
use cosmicsync_protocol::ids::{DocId, DocRef};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::doc_key;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};

const DOCS: u32 = 240;

/// Spreads the documents of one entry over all ids.
fn scattered(number: u32) -> DocId {
    DocId((u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes())
}

fn import(peer: &mut Peer, from: u32, erasable: Erasable, known: bool) {
    let docs: Vec<NewDoc> = (from..from + DOCS)
        .map(|number| {
            let items: Value =
                [("n", Value::Int(number.into())), ("e", Value::Map(Default::default()))].into_iter().collect();
            let fields = [("body", Value::from(format!("number {number}"))), ("items", Value::List(vec![items]))];
            let meta = Meta { collection: Some("notes".into()), ..Meta::default() };
            NewDoc { doc: scattered(number), meta, value: fields.into_iter().collect() }
        })
        .collect();
    let main = peer.main();
    let collection = peer.endpoint.collection_id(SpaceNo(0), "notes").expect("a space");
    let log = peer.endpoint.bulk_open(peer.now, main).expect("an import");
    let texts = &BODY.iter().collect::<TextPaths>();
    for docs in docs.chunks(60) {
        let unknown = known.then(|| peer.endpoint.moment());
        let bulk = Bulk { collection, docs, texts, dictionary: b"number", erasable, unknown };
        peer.endpoint.bulk_append(peer.now, log, &bulk, Vec::new()).expect("entries");
    }
    peer.endpoint.bulk_close(peer.now, log);
    peer.settle();
}

fn stored(peer: &Peer, doc: DocId) -> Option<Snapshot> {
    let key = doc_key(DocRef { partition: peer.main(), doc });
    peer.store.rows().get(&(Table::Value, key)).map(|row| decode_snapshot(row).expect("a value row"))
}

fn make(peer: &mut Peer) {
    let main = peer.main();
    let asked = peer.endpoint.make_values(main);
    peer.settle();
    let made = peer
        .take_events()
        .into_iter()
        .any(|event| matches!(event, Event::Read { id, result: ReadResult::Made } if id == asked));
    assert!(made, "it says when it is done");
}

/// Compares every stored value with that of a new start. Returns the number of stored values.
fn agree(peer: &Peer) -> usize {
    let mut afresh = Peer::recover(peer.store.crash(0), 77);
    let mut count = 0;
    for doc in (0..2 * DOCS).map(scattered).chain((0..9).map(doc_id)) {
        let Some(kept) = stored(peer, doc) else { continue };
        assert_eq!(Some(kept), afresh.snapshot(doc), "{doc}");
        count += 1;
    }
    count
}

fn changed(net: &mut Net, peer: usize, number: u32) {
    let peer = &mut net.peers[peer];
    let doc = peer.open(scattered(number));
    peer.edit(doc, insert(0, "so "), BODY).expect("an edit");
    peer.endpoint.close(peer.now, doc);
}

#[test]
fn values_of_received_documents() {
    for erasable in [Erasable::Alone, Erasable::Together] {
        let mut net = Net::joined();
        import(&mut net.peers[0], 0, erasable, false);
        for number in (0..DOCS).step_by(40) {
            changed(&mut net, 0, number);
        }
        net.run();
        assert_eq!(agree(&net.peers[1]), 0, "nobody has looked yet");
        make(&mut net.peers[1]);
        assert_eq!(agree(&net.peers[1]), DOCS as usize);
        // A changed document has no value until it is read again; a pass then makes that value alone.
        changed(&mut net, 0, 7);
        net.run();
        assert_eq!(agree(&net.peers[1]), DOCS as usize - 1);
        make(&mut net.peers[1]);
        assert_eq!(agree(&net.peers[1]), DOCS as usize);
    }
}

#[test]
fn without_being_asked_once_it_is_quiet() {
    let mut net = Net::joined();
    import(&mut net.peers[0], 0, Erasable::Alone, false);
    net.run();
    net.peers[1].pass(100_000);
    assert_eq!(agree(&net.peers[1]), 0);
    net.peers[1].pass(200_000);
    assert_eq!(agree(&net.peers[1]), DOCS as usize);
}

#[test]
fn values_of_own_imports() {
    for erasable in [Erasable::Alone, Erasable::Together] {
        let mut net = Net::joined();
        import(&mut net.peers[0], 0, erasable, true);
        assert_eq!(agree(&net.peers[0]), DOCS as usize);
    }
}

#[test]
fn values_of_documents_imported_twice() {
    let mut net = Net::joined();
    net.cut();
    import(&mut net.peers[0], 0, Erasable::Alone, true);
    import(&mut net.peers[1], DOCS / 2, Erasable::Alone, true);
    net.dial(1, 0);
    net.run();
    for peer in &mut net.peers[..2] {
        assert_eq!(agree(peer), DOCS as usize / 2, "those of both have no value yet");
        make(peer);
        assert_eq!(agree(peer), DOCS as usize * 3 / 2);
    }
}

#[test]
fn values_of_a_document_that_came_after_its_lookup() {
    let mut net = Net::joined();
    net.cut();
    import(&mut net.peers[0], 0, Erasable::Alone, true);
    let before = net.peers[1].endpoint.moment();
    net.dial(1, 0);
    net.run();
    let peer = &mut net.peers[1];
    let main = peer.main();
    let collection = peer.endpoint.collection_id(SpaceNo(0), "notes").expect("a space");
    let log = peer.endpoint.bulk_open(peer.now, main).expect("an import");
    let docs = [NewDoc { doc: scattered(3), meta: Meta::default(), value: note("mine") }];
    let texts = &BODY.iter().collect::<TextPaths>();
    let erasable = Erasable::Alone;
    let bulk = Bulk { collection, docs: &docs, texts, dictionary: b"", erasable, unknown: Some(before) };
    peer.endpoint.bulk_append(peer.now, log, &bulk, Vec::new()).expect("an entry");
    peer.settle();
    assert_eq!(stored(peer, scattered(3)), None);
    make(peer);
    assert_eq!(agree(peer), DOCS as usize);
}

#[test]
fn values_while_documents_change() {
    for early in (0..30).step_by(2) {
        let mut net = Net::joined();
        import(&mut net.peers[0], 0, Erasable::Alone, false);
        net.run();
        let peer = &mut net.peers[1];
        let main = peer.main();
        peer.endpoint.make_values(main);
        for _ in 0..early {
            peer.endpoint.handle_timeout(peer.now);
            while let Some(request) = peer.endpoint.poll_store() {
                peer.store.submit(request);
            }
            if let Some(done) = peer.store.complete_next() {
                peer.endpoint.handle_stored(peer.now, done);
            }
        }
        // One that comes from another peer, one made here, and one that is deleted.
        changed(&mut net, 0, 11);
        let peer = &mut net.peers[1];
        let docs = [200, 201].map(|number| DocRef { partition: main, doc: scattered(number) });
        for doc in docs {
            peer.endpoint.open(peer.now, doc);
        }
        net.run();
        let peer = &mut net.peers[1];
        peer.edit(docs[0], insert(0, "here "), BODY).expect("an edit");
        peer.edit(docs[1], Edit::SetDeleted(true), BODY).expect("a deletion");
        for doc in docs {
            peer.endpoint.close(peer.now, doc);
        }
        peer.pass(300_000);
        peer.endpoint.shut_down(peer.now);
        peer.settle();
        agree(peer);
        make(peer);
        assert_eq!(agree(peer), DOCS as usize, "{early}");
    }
}
