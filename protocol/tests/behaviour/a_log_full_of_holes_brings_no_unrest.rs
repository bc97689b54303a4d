//! An author may sign a head far ahead and then send scattered entries. The holders of the pieces come to rest all
//! the same, and restart from their stores.

use cosmicsync_protocol::log::card::short_card;
use cosmicsync_protocol::log::{EntryKind, Header, Lane};
use cosmicsync_protocol::testkit::hostile::Siege;
use cosmicsync_protocol::testkit::peer::Peer;
use cosmicsync_protocol::wire::close::CloseCode;
use cosmicsync_protocol::wire::message::Message;

const FAR: u64 = 1 << 40;

/// Sends every other entry of a log, `pieces` of them or until the link ends.
fn scatter(siege: &mut Siege, pieces: u64) {
    let main = siege.member.main();
    let mut log = siege.member.new_log(main, Lane::Live);
    let name = siege.line.name(log.id);
    let (h, signature) = ([5; 32], siege.member.head(&log, FAR, [5; 32]).signature);
    siege.line.say(&Message::Head { log: name, card: Some(short_card(&log.card_bytes)), seq: FAR, h, signature });
    siege.press();
    for piece in 0..pieces {
        (log.seq, log.h) = (10 + piece * 2, [7; 32]);
        let start = log.seq;
        let entry = siege.member.entry(&mut log, &Header::new(EntryKind::Update, 0), &[]);
        siege.send(&log, start, [7; 32], vec![entry]);
        siege.strike();
        if siege.end().is_some() {
            break;
        }
    }
    siege.press();
}

#[test]
fn honest_peers_do_not_ask_each_other_for_ever() {
    let mut siege = Siege::lay();
    scatter(&mut siege, 40);
    assert_eq!(siege.end(), None);
    assert_eq!(siege.net.peers[0].root(), siege.net.peers[1].root());
}

#[test]
fn a_store_starts_again_whatever_the_pieces() {
    let mut siege = Siege::lay();
    scatter(&mut siege, 5_000);
    assert_eq!(siege.code(), Some(CloseCode::TooMuch));
    let root = siege.net.peers[0].root();
    let again = Peer::recover(siege.net.peers[0].store.crash(0), 9);
    assert_eq!(again.root(), root);
}
