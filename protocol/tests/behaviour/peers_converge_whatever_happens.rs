//! Three peers, random edits, cuts, crashes and policies: once everything is connected they are equal, and no edit
//! that was reported durable is missing.

use cosmicsync_protocol::sync::Bodies;
use cosmicsync_protocol::testkit::world::{Do, PEERS, World};
use proptest::prelude::*;

/// Documents that each peer makes.
const DOCS: u32 = 2;
/// All of those, and one document that any peer may make.
const ALL: u32 = DOCS * PEERS as u32 + 1;

fn anything() -> impl Strategy<Value = Do> {
    let peer = || 0..PEERS;
    let doc = || 0..ALL;
    let pair = || (0..PEERS, 1..PEERS).prop_map(|(from, step)| (from, (from + step) % PEERS));
    prop_oneof![
        4 => (peer(), 0..=DOCS).prop_map(|(peer, doc)| {
            Do::Create { peer, doc: if doc == DOCS { ALL - 1 } else { peer as u32 * DOCS + doc } }
        }),
        1 => (peer(), 1..4usize).prop_map(|(peer, docs)| Do::Import { peer, docs, close: true }),
        8 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, urgent)| Do::Insert { peer, doc, urgent }),
        2 => (peer(), doc(), 0..9i64).prop_map(|(peer, doc, value)| Do::Set { peer, doc, value }),
        2 => (peer(), doc()).prop_map(|(peer, doc)| Do::Both { peer, doc }),
        1 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, deleted)| Do::Delete { peer, doc, deleted }),
        4 => (peer(), doc()).prop_map(|(peer, doc)| Do::Open { peer, doc }),
        3 => (peer(), doc()).prop_map(|(peer, doc)| Do::Close { peer, doc }),
        1 => (peer(), doc(), any::<bool>()).prop_map(|(peer, doc, on)| Do::Hold { peer, doc, on }),
        4 => pair().prop_map(|(from, to)| Do::Link { from, to }),
        2 => pair().prop_map(|(from, to)| Do::Cut { from, to }),
        2 => (peer(), 0..40u64).prop_map(|(peer, ms)| Do::Pass { peer, ms }),
        2 => (peer(), 0..3usize).prop_map(|(peer, keep)| Do::Crash { peer, keep }),
        1 => (peer(), 0..3usize).prop_map(|(peer, at)| {
            Do::Bodies { peer, bodies: [Bodies::All, Bodies::HeadOnly, Bodies::Newest(3)][at] }
        }),
        8 => (0..4usize, 1..3_000usize, 1..12usize)
            .prop_map(|(completions, bytes, rounds)| Do::Run { completions, bytes, rounds }),
    ]
}

fn after(steps: impl IntoIterator<Item = Do>) {
    let mut world = World::new(ALL);
    steps.into_iter().for_each(|step| world.act(step));
    world.heal();
    (0..2).for_each(|_| world.meet(&[(0, 1), (2, 1)]));
    assert_eq!(world.alarms, [], "every log has one writer");
    world.check();
}

#[test]
fn entries_that_came_before_their_key_are_read_later() {
    after([
        Do::Link { from: 2, to: 0 },
        Do::Run { completions: 1, bytes: 508, rounds: 11 },
        Do::Create { peer: 2, doc: 4 },
        Do::Run { completions: 1, bytes: 126, rounds: 8 },
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 6, max_shrink_iters: 4000, ..ProptestConfig::default() })]
    #[test]
    fn peers_converge_after_arbitrary_events(steps in prop::collection::vec(anything(), 1..80)) {
        after(steps);
    }
}
