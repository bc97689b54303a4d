use super::*;
use crate::connection::handshake::{Handshake, Opening};
use crate::entropy::Entropy;
use crate::identity::DeviceKeys;
use proptest::prelude::*;

fn pair() -> (Transport, Transport) {
    let keys = |seed| DeviceKeys::generate(&mut Entropy::new([seed; 32]));
    let mut a = Handshake::initiator(Opening::Xx, &keys(1), Vec::new(), Entropy::new([1; 32]));
    let mut b = Handshake::responder(&keys(2), Vec::new(), Vec::new(), Entropy::new([2; 32]));
    for _ in 0..2 {
        let mut bytes = Vec::new();
        a.poll_transmit(&mut bytes);
        b.handle(&bytes).unwrap();
        bytes.clear();
        b.poll_transmit(&mut bytes);
        a.handle(&bytes).unwrap();
    }
    (a.finish().unwrap().transport, b.finish().unwrap().transport)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn messages_arrive_whole_and_in_order_however_they_are_cut(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        step in 1usize..500,
        rekey in 1u64..8,
    ) {
        let (a, b) = pair();
        let (mut a, mut b) = (a.with_rekey_messages(rekey), b.with_rekey_messages(rekey));
        let mut bytes = Vec::new();
        for message in &messages {
            a.seal(message, &mut bytes).unwrap();
        }
        let mut got = Vec::new();
        for part in bytes.chunks(step) {
            b.receive(part).unwrap();
            while let Some(message) = b.poll_message().unwrap() {
                got.push(message);
            }
        }
        prop_assert_eq!(got, messages);
        bytes.clear();
        b.seal(b"back", &mut bytes).unwrap();
        a.receive(&bytes).unwrap();
        prop_assert_eq!(a.poll_message().unwrap().unwrap(), b"back");
    }
}

#[test]
fn a_rekey_at_one_end_alone_ends_the_stream() {
    let (mut a, b) = pair();
    let mut b = b.with_rekey_messages(1);
    let mut bytes = Vec::new();
    a.seal(b"one", &mut bytes).unwrap();
    a.seal(b"two", &mut bytes).unwrap();
    b.receive(&bytes).unwrap();
    assert_eq!(b.poll_message().unwrap().unwrap(), b"one");
    assert_eq!(b.poll_message(), Err(TransportError::Refused));
}

#[test]
fn any_changed_byte_ends_the_stream_for_good() {
    let mut bytes = Vec::new();
    pair().0.seal(b"message", &mut bytes).unwrap();
    for at in LENGTH_BYTES..bytes.len() {
        let mut b = pair().1;
        let mut changed = bytes.clone();
        changed[at] ^= 0x80;
        b.receive(&changed).unwrap();
        assert_eq!(b.poll_message(), Err(TransportError::Refused));
        assert_eq!(b.receive(&bytes), Err(TransportError::Failed));
        assert_eq!(b.poll_message(), Err(TransportError::Failed));
        assert_eq!(b.seal(b"", &mut Vec::new()), Err(TransportError::Failed));
    }
}

#[test]
fn a_repeated_message_is_refused() {
    let (mut a, mut b) = pair();
    let mut bytes = Vec::new();
    a.seal(b"message", &mut bytes).unwrap();
    b.receive(&bytes).unwrap();
    b.receive(&bytes).unwrap();
    assert!(b.poll_message().unwrap().is_some());
    assert_eq!(b.poll_message(), Err(TransportError::Refused));
}

#[test]
fn lengths_are_limited_on_both_sides() {
    let (mut a, mut b) = pair();
    let mut bytes = Vec::new();
    let longest = vec![1; PLAINTEXT_BYTES_MAX];
    assert_eq!(a.seal(&[0; PLAINTEXT_BYTES_MAX + 1], &mut bytes), Err(TransportError::TooLong(65_520)));
    assert!(bytes.is_empty());
    a.seal(&longest, &mut bytes).unwrap();
    assert_eq!(bytes.len(), LENGTH_BYTES + MESSAGE_BYTES_MAX);
    b.receive(&bytes).unwrap();
    assert_eq!(b.poll_message().unwrap().unwrap(), longest);
    assert_eq!(b.receive(&vec![0; BUFFER_BYTES_MAX + 1]), Err(TransportError::Overflow));
    b.receive(&[0, 15]).unwrap();
    assert_eq!(b.poll_message(), Err(TransportError::TooShort));
}
