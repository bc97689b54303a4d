//! A device may claim that a log has more entries than its writer holds, or another history. It must prove the
//! claim: no log ends on the claim alone.

use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::testkit::hostile::Siege;
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use cosmicsync_protocol::wire::message::Message;

fn logs_given_up(cry: impl Fn(&mut Siege, LogId)) -> usize {
    let mut siege = Siege::lay();
    let doc = siege.net.peers[0].create(doc_id(1), note(""), BODY);
    siege.press();
    for _ in 0..30 {
        for log in siege.net.peers[0].own_logs() {
            cry(&mut siege, log);
        }
        siege.press();
        siege.net.peers[0].edit(doc, insert(0, "y"), BODY).expect("an edit is taken");
        siege.press();
        siege.redial();
    }
    let here = siege.net.peers[0].value(doc_id(1));
    assert_eq!(siege.net.peers[1].value(doc_id(1)), here);
    siege.net.peers[0].events.iter().filter(|event| matches!(event, Event::Retired { .. })).count()
}

#[test]
fn that_there_is_more_of_a_log() {
    let given_up = logs_given_up(|siege, log| {
        let name = siege.line.name(log);
        siege.line.say(&Message::Changes { logs: vec![(name, 1 << 50)] });
    });
    assert_eq!(given_up, 0);
}

#[test]
fn that_a_log_has_another_history() {
    let given_up = logs_given_up(|siege, log| {
        let name = siege.line.name(log);
        siege.line.say(&Message::ForkHint { log: name, seq: 0, h: [3; 32] });
    });
    assert_eq!(given_up, 0);
}
