mod world;

use self::world::{SPACE, Store, View, World};
use super::*;
use crate::entropy::Entropy;
use crate::sync::{Bodies, Follow};
use crate::wire::frame::{Outgoing, Reassembler};
use proptest::prelude::*;

const MAIN: [u8; 16] = [1; 16];

fn id(entropy: &mut Entropy) -> LogId {
    LogId(entropy.bytes())
}

/// Makes two stores that hold the same `count` logs, spread over `partitions`.
fn twins(count: usize, partitions: usize) -> (World, Vec<LogId>) {
    let mut entropy = Entropy::new([1; 32]);
    let mut a = Store::new(1);
    let tokens: Vec<[u8; 16]> = (0..partitions).map(|_| entropy.bytes()).collect();
    let ids: Vec<_> = (0..count).map(|_| id(&mut entropy)).collect();
    for (at, id) in ids.iter().enumerate() {
        a.create(*id, tokens[at % partitions], Class::Live);
        a.append(id, vec![at as u8; 40].into());
    }
    let mut b = a.clone();
    b.incarnation = Incarnation([2; 8]);
    (World::new(vec![a, b]), ids)
}

fn have_met(world: &mut World) {
    for (at, peer) in [(0, 1), (1, 0)] {
        let cursor = Cursor { incarnation: world.stores[peer].incarnation, position: world.stores[peer].position };
        world.stores[at].cursors.insert(peer, cursor);
    }
}

fn is_settled(session: &Session) -> bool {
    session.spaces.values().all(|space| space.is_begun() && space.is_settled())
}

fn equal(world: &World) -> bool {
    world.stores.windows(2).all(|pair| pair[0].entries() == pair[1].entries() && pair[0].heads() == pair[1].heads())
}

#[test]
fn an_idle_reconnect_is_two_messages() {
    for (logs, partitions) in [(100, 1), (5_000, 5_000)] {
        let (mut world, _) = twins(logs, partitions);
        have_met(&mut world);
        world.connect(0, 1);
        world.settle(|_| true);
        assert!(world.bytes <= 250, "{logs} logs: {} bytes", world.bytes);
    }
}

#[test]
fn equal_strangers_stay_silent_and_remember_each_other() {
    let (mut world, _) = twins(300, 2);
    world.connect(0, 1);
    world.settle(|_| true);
    assert!(world.bytes <= 250, "{} bytes", world.bytes);
    assert_eq!(world.stores[0].cursors[&1].position, 300);
}

#[test]
fn changes_since_a_cursor_take_two_round_trips() {
    let (mut world, ids) = twins(2_000, 3);
    have_met(&mut world);
    for id in ids.iter().step_by(200) {
        world.stores[0].append(id, vec![5; 100].into());
    }
    world.connect(0, 1);
    let trips = world.settle(equal);
    assert!(trips.is_some_and(|trips| trips <= 4), "{trips:?} half trips");
    assert!(world.bytes <= 4_000 + 10 * 100, "{} bytes", world.bytes);
    assert!(world.sessions.values().all(is_settled));
}

#[test]
fn strangers_find_ten_differences_among_thousands_in_a_walk() {
    let (mut world, ids) = twins(5_000, 2);
    for (at, id) in ids.iter().step_by(500).enumerate() {
        world.stores[at % 2].append(id, vec![5; 100].into());
    }
    world.connect(0, 1);
    let trips = world.settle(equal);
    assert!(trips.is_some_and(|trips| trips <= 8), "{trips:?} half trips");
    assert!(world.bytes <= 13 * 1024, "{} bytes", world.bytes);
    assert_eq!(world.data_bytes, 1_000);
}

#[test]
fn an_empty_store_is_filled_without_being_asked() {
    let (mut world, _) = twins(600, 4);
    world.stores[1] = Store::new(2);
    world.connect(0, 1);
    let trips = world.settle(equal);
    assert!(trips.is_some_and(|trips| trips <= 4), "{trips:?} half trips");
    assert_eq!(world.data_bytes, 600 * 40, "nothing comes twice");
    let cursor = world.stores[1].cursors[&0];
    assert_eq!(cursor.position, 600);
}

#[test]
fn a_live_push_takes_half_a_round_trip_and_little_else() {
    let (mut world, ids) = twins(50, 1);
    have_met(&mut world);
    world.connect(0, 1);
    world.settle(|_| true);
    world.append(0, &ids[3], vec![1; 150].into());
    assert_eq!(world.settle(equal), Some(1));
    world.bytes = 0;
    for at in 0..100 {
        world.append(0, &ids[3], vec![at; 150].into());
        assert_eq!(world.settle(equal), Some(1));
    }
    let each = world.bytes / 100 - 150;
    assert!(each <= 220, "{each} bytes beyond the entry");
    assert!(world.actions.iter().any(|(at, action)| *at == 0 && matches!(action, Action::Acked { seq: 101, .. })));
}

#[test]
fn a_log_born_in_the_session_needs_no_request() {
    let (mut world, _) = twins(50, 1);
    world.connect(0, 1);
    world.settle(|_| true);
    let new = LogId([77; 32]);
    world.stores[0].create(new, MAIN, Class::Live);
    world.append(0, &new, vec![1; 150].into());
    assert_eq!(world.settle(equal), Some(1));
}

#[test]
fn a_relay_passes_on_what_the_ends_never_exchange() {
    let (a, b) = (Store::new(1), Store::new(2));
    let mut world = World::new(vec![a, b, Store::new(3)]);
    world.connect(0, 1);
    world.connect(2, 1);
    let (from_a, from_c) = (LogId([5; 32]), LogId([6; 32]));
    world.stores[0].create(from_a, MAIN, Class::Control);
    world.stores[2].create(from_c, MAIN, Class::Live);
    for at in 0..20 {
        world.append(0, &from_a, vec![at; 100].into());
        world.append(2, &from_c, vec![at; 100].into());
        world.half_trip();
    }
    assert!(world.settle(equal).is_some());
    assert_eq!(world.data_bytes, 2 * 2 * 20 * 100, "no echo");
    assert!(world.sessions.values().all(is_settled));
}

#[test]
fn a_long_log_streams_within_its_credit() {
    let mut world = World::new(vec![Store::new(1), Store::new(2)]);
    let log = LogId([5; 32]);
    world.stores[0].create(log, MAIN, Class::Backfill);
    for at in 0..200u32 {
        let mut entry = vec![0; 60_000];
        entry[..4].copy_from_slice(&at.to_le_bytes());
        world.stores[0].append(&log, entry.into());
    }
    world.connect(0, 1);
    assert!(world.settle(equal).is_some());
    assert_eq!(world.data_bytes, 200 * 60_000);
}

#[test]
fn an_urgent_entry_overtakes_a_backfill() {
    let mut world = World::new(vec![Store::new(1), Store::new(2)]);
    let (bulk, live) = (LogId([5; 32]), LogId([6; 32]));
    world.stores[0].create(bulk, MAIN, Class::Backfill);
    world.stores[0].create(live, MAIN, Class::Foreground);
    for _ in 0..100 {
        world.stores[0].append(&bulk, vec![7; 60_000].into());
    }
    world.connect(0, 1);
    while world.data_bytes == 0 {
        world.random_step();
    }
    world.append(0, &live, vec![1; 100].into());
    let before = world.bytes;
    while world.stores[1].logs.get(&live).is_none_or(|log| log.entries_to == 0) {
        world.random_step();
        assert!(world.bytes - before < 400_000, "an urgent entry waits behind a backfill");
    }
    assert!(world.settle(equal).is_some());
}

#[test]
fn a_replica_of_heads_gets_heads_and_what_it_asks_for() {
    for bodies in [Bodies::HeadOnly, Bodies::Newest(3)] {
        let (mut world, ids) = twins(40, 2);
        for at in 0..10 {
            world.stores[0].append(&ids[0], vec![at; 500].into());
        }
        world.stores[1] = Store::new(2);
        (world.stores[1].follow, world.stores[1].bodies) = (Follow::Heads, bodies);
        world.connect(0, 1);
        world.settle(|_| true);
        assert_eq!(world.stores[0].heads(), world.stores[1].heads());
        let expected = if bodies == Bodies::HeadOnly { 0 } else { 3 };
        assert_eq!(world.stores[1].logs[&ids[0]].entries.len(), expected);
        let no = world.stores[1].numbers[&ids[0]];
        let session = world.sessions.get_mut(&(1, 0)).unwrap();
        session.fetch(&View(&world.stores[1], 0), no, 2, 5);
        world.settle(|_| true);
        assert_eq!(world.stores[1].logs[&ids[0]].entries.range(2..5).count(), 3);
        world.append(0, &ids[1], vec![9; 100].into());
        world.settle(|_| true);
        assert_eq!(world.stores[0].heads(), world.stores[1].heads());
        world.disconnect(0, 1);
        world.bytes = 0;
        world.connect(0, 1);
        world.settle(|_| true);
        assert!(world.bytes <= 250, "{} bytes", world.bytes);
    }
}

#[test]
fn entries_that_a_peer_lacks_are_reported_gone() {
    let (mut world, ids) = twins(3, 1);
    for log in world.stores[0].logs.values_mut() {
        log.entries.clear();
        log.entries_to = 0;
    }
    world.stores[0].bodies = Bodies::HeadOnly;
    world.stores[1] = Store::new(2);
    world.connect(0, 1);
    world.settle(|_| true);
    assert_eq!(world.stores[0].heads(), world.stores[1].heads());
    let gone = world.actions.iter().filter(|(at, action)| *at == 1 && matches!(action, Action::Gone { .. }));
    assert!(gone.count() >= ids.len());
}

#[test]
fn both_sides_ask_for_the_history_that_the_other_has() {
    let (mut world, ids) = twins(30, 1);
    world.stores[0].append(&ids[0], vec![1; 10].into());
    world.stores[1].append(&ids[0], vec![2; 10].into());
    world.connect(0, 1);
    world.settle(|_| true);
    for at in [0, 1] {
        let asks = |action: &Action| matches!(action, Action::ReadBranch { seq: 1, .. });
        assert!(world.actions.iter().any(|(side, action)| *side == at && asks(action)));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append { at: usize, log: usize, len: usize },
    Toggle { link: usize },
    Crash { at: usize },
    Forget { at: usize, peer: usize },
    Reborn { at: usize },
    Run { steps: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3, 0usize..5, 1usize..3_000).prop_map(|(at, log, len)| Step::Append { at, log, len }),
        2 => (0usize..3).prop_map(|link| Step::Toggle { link }),
        1 => (0usize..3).prop_map(|at| Step::Crash { at }),
        1 => (0usize..3, 0usize..3).prop_map(|(at, peer)| Step::Forget { at, peer }),
        1 => (0usize..3).prop_map(|at| Step::Reborn { at }),
        6 => (1usize..400).prop_map(|steps| Step::Run { steps }),
    ]
}

const LINKS: [(usize, usize); 3] = [(0, 1), (2, 1), (0, 2)];

fn replay(steps: &[Step], seed: u8, partial: bool) {
    let mut world = World::new((0..3).map(|at| Store::new(at + 1)).collect());
    world.entropy = Entropy::new([seed; 32]);
    world.limits.run_bytes_max = 4_000;
    if partial {
        (world.stores[2].follow, world.stores[2].bodies) = (Follow::Heads, Bodies::HeadOnly);
    }
    let mut lives = 10;
    let mut model: BTreeMap<(LogId, u64), Bytes> = BTreeMap::new();
    for (count, step) in steps.iter().enumerate() {
        match *step {
            Step::Append { at, log, len } if !(partial && at == 2) => {
                let id = LogId(*blake3::hash(&[at as u8, log as u8]).as_bytes());
                if !world.stores[at].logs.contains_key(&id) {
                    world.stores[at].create(id, [log as u8 % 2; 16], Class::ALL[log]);
                }
                let entry = Bytes::from(vec![count as u8; len]);
                model.insert((id, world.stores[at].logs[&id].entries_to), entry.clone());
                world.append(at, &id, entry);
            }
            Step::Append { .. } => {}
            Step::Toggle { link } => {
                let (a, b) = LINKS[link];
                if world.sessions.contains_key(&(a, b)) { world.disconnect(a, b) } else { world.connect(a, b) }
            }
            Step::Crash { at } => world.crash(at),
            Step::Forget { at, peer } => {
                world.stores[at].cursors.remove(&peer);
            }
            Step::Reborn { at } => {
                world.crash(at);
                lives += 1;
                world.stores[at].incarnation = Incarnation([lives; 8]);
            }
            Step::Run { steps } => (0..steps).for_each(|_| world.random_step()),
        }
    }
    for (a, b) in LINKS.into_iter().take(2) {
        if !world.sessions.contains_key(&(a, b)) {
            world.connect(a, b);
        }
    }
    world.settle(|_| true);
    for at in [0, 1] {
        let held = world.stores[at].entries();
        assert_eq!(held.keys().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>(), "store {at}");
        assert!(held == model);
    }
    assert_eq!(world.stores[0].heads(), world.stores[2].heads());
    assert!(partial || world.stores[2].entries() == model);
    for ((at, peer), session) in &world.sessions {
        assert!(is_settled(session), "{at} with {peer}: {:?}", session.streams);
    }
    assert!(!world.actions.iter().any(|(_, action)| matches!(action, Action::Mismatch { .. })));
    world.bytes = 0;
    world.disconnect(0, 1);
    world.connect(0, 1);
    world.settle(|_| true);
    assert!(world.bytes <= 250, "an idle reconnect took {} bytes", world.bytes);
}

proptest! {
    #[test]
    fn any_history_converges(steps in prop::collection::vec(step(), 1..60), seed: u8) {
        replay(&steps, seed, false);
    }

    #[test]
    fn any_history_with_a_replica_of_heads_converges(steps in prop::collection::vec(step(), 1..60), seed: u8) {
        replay(&steps, seed, true);
    }
}

/// Makes a session that met its peer, with its store.
fn met() -> (Store, Session) {
    let (mut world, _) = twins(20, 1);
    world.connect(0, 1);
    world.settle(|_| true);
    (world.stores[0].clone(), world.sessions.remove(&(0, 1)).unwrap())
}

fn frames(messages: &[(u8, Message)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (channel, message) in messages {
        let mut outgoing = Outgoing::new(message.encode());
        while !outgoing.is_done() {
            outgoing.write(*channel, &mut bytes, usize::MAX, 16_384);
        }
    }
    bytes
}

fn feed(messages: &[(u8, Message)]) -> Result<Vec<Action>, SessionError> {
    let (store, mut session) = met();
    session.handle_frame_bytes(&View(&store, 1), &frames(messages))?;
    Ok(core::iter::from_fn(|| session.poll_action()).collect())
}

fn big_range(log: LogRef, start: u64) -> Message {
    let run = Run { start, h_prev: [0; 32], entries: vec![vec![0; 400_000].into()], signature: [0; 64] };
    Message::Range { log, opens: None, card: (start == 0).then(|| vec![1; 50].into()), run }
}

use crate::wire::message::LogRef;

#[test]
fn rules_that_a_peer_breaks_end_the_link() {
    let logs = Message::Logs { space: 0, first: 0, ids: vec![LogId([200; 32])] };
    let known = LogRef::Mine(0);
    let cases = [
        (vec![(0, Message::Want { log: LogRef::Yours(9), from: 0, to: 1, again: false })], CloseCode::UnknownHandle),
        (vec![(0, Message::Changes { logs: vec![(known, 1)] })], CloseCode::UnknownHandle),
        (vec![(0, Message::Settled { space: 4, position: 1, root: [0; 16] })], CloseCode::UnknownHandle),
        (vec![(1, Message::Ping { nonce: 1 })], CloseCode::UnexpectedMessage),
        (vec![(0, Message::Nodes { space: 0, answered: 1, nodes: vec![] })], CloseCode::UnexpectedMessage),
        (
            [(0, logs)].into_iter().chain((0..6).map(|start| (2, big_range(known, start)))).collect(),
            CloseCode::CreditOverrun,
        ),
    ];
    let opens = |log, opens, card: &[u8]| {
        let run = Run { start: 0, h_prev: [0; 32], entries: vec![vec![0; 9].into()], signature: [0; 64] };
        (2, Message::Range { log, opens: Some(opens), card: Some(card.to_vec().into()), run })
    };
    let introduced = Message::Logs { space: 0, first: 0, ids: vec![LogId([200; 32])] };
    let cases = cases.into_iter().chain([
        (vec![opens(known, 0, &[1; 9])], CloseCode::BadCard),
        (vec![opens(known, 4, &[1; 80])], CloseCode::UnknownHandle),
        (vec![opens(LogRef::Yours(0), 0, &[1; 80])], CloseCode::UnexpectedMessage),
        (vec![opens(LogRef::Mine(1 << 20), 0, &[1; 80])], CloseCode::TooMuch),
        (vec![(0, introduced), opens(known, 0, &[1; 80])], CloseCode::UnexpectedMessage),
    ]);
    for (messages, code) in cases {
        assert_eq!(feed(&messages).unwrap_err().close_code(), code, "{messages:?}");
    }
}

#[test]
fn an_ack_of_what_was_never_sent_ends_the_link() {
    let (mut world, ids) = twins(20, 1);
    world.connect(0, 1);
    world.settle(|_| true);
    world.append(0, &ids[0], vec![1; 10].into());
    world.settle(|_| true);
    let ack = Message::Ack { logs: vec![(LogRef::Yours(0), 9)] };
    let session = world.sessions.get_mut(&(0, 1)).unwrap();
    let error = session.handle_frame_bytes(&View(&world.stores[0], 1), &frames(&[(0, ack)]));
    assert_eq!(error, Err(SessionError::Unexpected));
}

#[test]
fn what_is_held_already_is_not_handed_on_again() {
    let (store, _) = met();
    let held = store.ids[0];
    let run = store.read(LogNo(0), 0, 1_000).unwrap();
    let range = Message::Range { log: LogRef::Mine(0), opens: None, card: Some(vec![1; 50].into()), run };
    let logs = Message::Logs { space: 0, first: 0, ids: vec![held] };
    let actions = feed(&[(0, logs), (2, range.clone()), (2, range)]).unwrap();
    assert_eq!(actions, []);
}

#[test]
fn a_peer_of_another_space_learns_nothing() {
    let (mut world, _) = twins(20, 1);
    world.connect(0, 1);
    let mut open = Vec::new();
    let session = world.sessions.get_mut(&(1, 0)).unwrap();
    session.poll_transmit(&View(&world.stores[1], 0), &mut open, 65_519);
    // This side's own message comes back: the token of the other direction differs.
    session.handle_frame_bytes(&View(&world.stores[1], 0), &open).unwrap();
    let store = &world.stores[1];
    let messages = [
        (0, Message::Logs { space: 0, first: 0, ids: vec![store.ids[0]] }),
        (0, Message::Want { log: LogRef::Mine(0), from: 0, to: 1, again: false }),
        (0, Message::WantHead { log: LogRef::Mine(0), card: true }),
    ];
    session.handle_frame_bytes(&View(store, 0), &frames(&messages)).unwrap();
    assert_eq!(session.poll_action(), None);
    assert!(!session.poll_transmit(&View(store, 0), &mut Vec::new(), 65_519));
    assert_eq!(session.tokens.values().next(), Some(&SPACE));
}

#[test]
fn histories_are_read_one_by_one_as_the_link_takes_them() {
    let (store, mut session) = met();
    let view = View(&store, 1);
    let want = |handle| Message::BranchWant { log: LogRef::Mine(handle), seq: 3, h: [1; 32], from: 0 };
    let logs = Message::Logs { space: 0, first: 0, ids: store.ids[..8].to_vec() };
    let messages: Vec<_> = core::iter::once(logs).chain((0..8).map(want)).map(|message| (0, message)).collect();
    session.handle_frame_bytes(&view, &frames(&messages)).unwrap();
    let mut reads = 0;
    for sent in 0..8 {
        while let Some(action) = session.poll_action() {
            assert!(matches!(action, Action::ReadBranch { .. }), "{action:?}");
            reads += 1;
            let run = Run { start: 1, h_prev: [0; 32], entries: vec![vec![7; 100].into()], signature: [0; 64] };
            session.handle_branch(&view, Some(run));
        }
        assert_eq!(reads, sent + 1, "nothing is read while a run waits for the link");
        assert!(session.poll_transmit(&view, &mut Vec::new(), 65_519));
    }
    assert_eq!(session.poll_action(), None);
}

#[test]
fn a_peer_without_a_log_names_it_in_the_answer_as_the_asker_did() {
    let (store, mut session) = met();
    let view = View(&store, 1);
    let want = Message::BranchWant { log: LogRef::Mine(0), seq: 3, h: [1; 32], from: 0 };
    let logs = Message::Logs { space: 0, first: 0, ids: vec![LogId([9; 32])] };
    session.handle_frame_bytes(&view, &frames(&[(0, logs), (0, want)])).unwrap();
    let mut out = Vec::new();
    while session.poll_transmit(&view, &mut out, 65_519) {}
    let (mut reader, mut whole) = (Reader::new(&out), Reassembler::new(65_519));
    let said = core::iter::from_fn(|| whole.read(&mut reader).ok().flatten());
    let messages: Vec<_> = said.map(|(_, bytes)| Message::decode(&bytes).unwrap()).collect();
    // A handle of the asker is "mine" in its messages and "yours" in those to it.
    let gone = Message::Gone { log: LogRef::Yours(0), from: 0, to: 1, reason: GoneReason::History };
    assert!(messages.contains(&gone), "{messages:?}");
}

#[test]
fn what_a_stream_lacks_ends_no_question_about_a_history() {
    let (store, mut session) = met();
    let view = View(&store, 1);
    let nothing: &[u64] = &[];
    let mut asked_after = |message| {
        session.handle_frame_bytes(&view, &frames(&[(0, message)])).unwrap();
        let mut out = Vec::new();
        while session.poll_transmit(&view, &mut out, 65_519) {}
        let (mut reader, mut whole) = (Reader::new(&out), Reassembler::new(65_519));
        let said = core::iter::from_fn(|| whole.read(&mut reader).ok().flatten());
        let asked = said.filter_map(|(_, bytes)| {
            let Message::BranchWant { seq, .. } = Message::decode(&bytes).unwrap() else { return None };
            Some(seq)
        });
        asked.collect::<Vec<_>>()
    };
    let log = LogRef::Mine(0);
    let gone = |reason| Message::Gone { log, from: 0, to: 1, reason };
    assert_eq!(asked_after(Message::Logs { space: 0, first: 0, ids: store.ids[..1].to_vec() }), nothing);
    assert_eq!(asked_after(Message::ForkHint { log, seq: 3, h: [1; 32] }), &[3]);
    assert_eq!(asked_after(Message::ForkHint { log, seq: 4, h: [1; 32] }), nothing);
    for reason in [GoneReason::Absent, GoneReason::Pruned, GoneReason::Erased] {
        assert_eq!(asked_after(gone(reason)), nothing, "{reason:?}");
    }
    assert_eq!(asked_after(gone(GoneReason::History)), &[4]);
    // The peer may announce a history again that it could not serve.
    assert_eq!(asked_after(Message::ForkHint { log, seq: 3, h: [1; 32] }), nothing);
    assert_eq!(asked_after(gone(GoneReason::History)), &[3]);
}

#[test]
fn ranges_that_are_asked_for_in_vain_are_few_answers() {
    let (store, mut session) = met();
    let view = View(&store, 1);
    let logs = Message::Logs { space: 0, first: 0, ids: store.ids[..1].to_vec() };
    let want = |at| Message::Want { log: LogRef::Mine(0), from: 1_000 + 2 * at, to: 1_001 + 2 * at, again: true };
    let messages: Vec<_> = core::iter::once(logs).chain((0..10_000u64).map(want)).map(|message| (0, message)).collect();
    for message in messages {
        session.handle_frame_bytes(&view, &frames(&[message])).unwrap();
    }
    let mut out = Vec::new();
    while session.poll_transmit(&view, &mut out, 65_519) {}
    assert!(out.len() < 1_000, "{} bytes of answers waited for a peer that did not read", out.len());
}

proptest! {
    #[test]
    fn arbitrary_plaintext_never_panics(bytes: Vec<u8>) {
        let (store, mut session) = met();
        let _ = session.handle_frame_bytes(&View(&store, 1), &bytes);
    }

    #[test]
    fn replayed_and_reordered_messages_never_panic(picks in prop::collection::vec(0usize..40, 0..60)) {
        let (mut world, ids) = twins(40, 1);
        world.stores[1].append(&ids[1], vec![4; 50].into());
        world.stores[0].append(&ids[2], vec![4; 50].into());
        world.connect(0, 1);
        let log = LogRef::Mine(0);
        let script = [
            Message::Logs { space: 0, first: 0, ids: vec![ids[1], ids[3], LogId([9; 32])] },
            Message::Changes { logs: vec![(log, 7), (LogRef::Mine(2), 1)] },
            Message::Want { log, from: 0, to: 9, again: false },
            Message::Want { log: LogRef::Mine(1), from: 0, to: 1, again: false },
            Message::WantHead { log, card: true },
            Message::Settled { space: 0, position: 3, root: [4; 16] },
            Message::Gone { log, from: 0, to: 3, reason: GoneReason::Erased },
            Message::ForkHint { log, seq: 3, h: [1; 32] },
            Message::Head { log, card: None, seq: 8, h: [1; 32], signature: [2; 64] },
            Message::Head { log: LogRef::Mine(2), card: None, seq: 8, h: [1; 32], signature: [2; 64] },
            big_range(log, 1),
            big_range(LogRef::Mine(2), 0),
            Message::Credit { class: Class::Live, bytes: 1 << 60 },
            Message::Ack { logs: vec![(log, 1)] },
            Message::Nodes {
                space: 0,
                answered: 0,
                nodes: vec![crate::wire::message::Node {
                    scope: crate::sync::Scope::Space,
                    prefix: vec![],
                    view: crate::sync::NodeView::Leaf(vec![]),
                }],
            },
        ];
        for _ in 0..3 {
            world.half_trip();
        }
        for pick in picks {
            let Some(session) = world.sessions.get_mut(&(0, 1)) else { break };
            let Some(message) = script.get(pick % script.len()) else { break };
            let channel = if matches!(message, Message::Range { .. }) { 2 } else { 0 };
            let view = View(&world.stores[0], 1);
            if session.handle_frame_bytes(&view, &frames(&[(channel, message.clone())])).is_err() {
                break;
            }
            session.poll_transmit(&view, &mut Vec::new(), 65_519);
        }
    }
}
