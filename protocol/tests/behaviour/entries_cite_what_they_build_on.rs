//! The header of an entry cites the entries that its updates directly build on, over all its documents, and no
//! others. These are few for a document's past of any length.

use cosmicsync_protocol::testkit::cited::citations;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::testkit::peer::{Net, Peer};
use cosmicsync_protocol::testkit::world::{Do, PEERS_MAX, World};
use proptest::prelude::*;

const DOCS: u32 = 4;

fn anything() -> impl Strategy<Value = Do> {
    let peer = || 0..PEERS_MAX;
    let doc = || 0..DOCS;
    let pair = || (0..PEERS_MAX, 1..PEERS_MAX).prop_map(|(from, step)| (from, (from + step) % PEERS_MAX));
    prop_oneof![
        2 => (peer(), doc()).prop_map(|(peer, doc)| Do::Create { peer, doc }),
        8 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, urgent)| Do::Insert { peer, doc, urgent }),
        2 => (peer(), doc(), 0..9i64).prop_map(|(peer, doc, value)| Do::Set { peer, doc, value }),
        6 => (peer(), doc()).prop_map(|(peer, doc)| Do::Both { peer, doc }),
        1 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, deleted)| Do::Delete { peer, doc, deleted }),
        4 => (peer(), doc()).prop_map(|(peer, doc)| Do::Open { peer, doc }),
        2 => (peer(), doc()).prop_map(|(peer, doc)| Do::Close { peer, doc }),
        1 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, on)| Do::Hold { peer, doc, on }),
        4 => pair().prop_map(|(from, to)| Do::Link { from, to }),
        1 => pair().prop_map(|(from, to)| Do::Cut { from, to }),
        2 => (peer(), 0..40u64).prop_map(|(peer, ms)| Do::Pass { peer, ms }),
        2 => (peer(), 0..3usize).prop_map(|(peer, keep)| Do::Crash { peer, keep }),
        1 => (peer(), 0..3usize).prop_map(|(peer, keep)| Do::Copy { peer, keep, memory: false }),
        8 => (0..4usize, 1..3_000usize, 1..12usize)
            .prop_map(|(completions, bytes, rounds)| Do::Run { completions, bytes, rounds }),
    ]
}

fn check(steps: impl IntoIterator<Item = Do>) {
    let mut world = World::new(DOCS);
    // Shared documents first: without them, most edits would be made apart.
    let shared = [
        Do::Link { from: 1, to: 0 },
        Do::Link { from: 2, to: 0 },
        Do::Create { peer: 0, doc: 0 },
        Do::Create { peer: 0, doc: 1 },
        Do::Pass { peer: 0, ms: 1000 },
        Do::Run { completions: 99, bytes: 100_000, rounds: 30 },
    ];
    shared.into_iter().chain(steps).for_each(|step| world.act(step));
    world.heal();
    for _ in 0..2 {
        for from in 1..world.peers.len() {
            world.meet(&[(from, 0)]);
        }
    }
    for cited in citations(&world.peers[0], (0..DOCS).map(doc_id)) {
        assert_eq!(cited.cites, cited.builds_on, "{:?}", cited.entry);
    }
}

#[test]
fn one_that_changes_two_documents_cites_for_both() {
    let mut net = Net::joined();
    let docs = [doc_id(1), doc_id(2)].map(|doc| net.peers[0].create(doc, note(""), BODY));
    net.run();
    let here = &mut net.peers[1];
    let docs = docs.map(|doc| here.open(doc.doc));
    let (now, texts) = (here.now, BODY.iter().copied().collect());
    here.endpoint.edit(now, &docs.map(|doc| (doc, insert(0, "x"))), &texts, true).expect("an edit of two documents");
    here.settle();
    let cited = citations(here, [doc_id(1), doc_id(2)]);
    assert_eq!(cited.iter().map(|cited| cited.cites.len()).max(), Some(2), "{cited:?}");
    assert!(cited.iter().all(|cited| cited.cites == cited.builds_on), "{cited:?}");
}

#[test]
fn one_that_grew_while_another_arrived_cites_the_later() {
    let run = |completions| Do::Run { completions, bytes: 100_000, rounds: 30 };
    check([
        Do::Insert { peer: 2, doc: 1, urgent: false },
        Do::Insert { peer: 0, doc: 1, urgent: true },
        run(1),
        Do::Set { peer: 2, doc: 1, value: 0 },
        run(99),
    ]);
}

#[test]
fn the_first_of_a_process_cites_the_end_of_a_long_past_alone() {
    let mut peer = Peer::new(1);
    peer.found("home");
    peer.create(doc_id(1), note(""), BODY);
    for _ in 0..20 {
        peer = Peer::recover(peer.store.crash(0), 9);
        let open = peer.open(doc_id(1));
        peer.edit(open, insert(0, "x"), BODY).expect("an edit");
    }
    let cited = citations(&peer, [doc_id(1)]);
    assert_eq!(cited.len(), 21);
    assert!(cited.iter().all(|cited| cited.cites.len() <= 1 && cited.cites == cited.builds_on), "{cited:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 6, max_shrink_iters: 4000, ..ProptestConfig::default() })]
    #[test]
    fn every_entry_that_an_update_builds_on_is_cited(steps in prop::collection::vec(anything(), 1..80)) {
        check(steps);
    }
}
