use super::*;
use proptest::prelude::*;

const HELLO_A: &[u8] = b"hello of the initiator";
const HELLO_B: &[u8] = b"hello of the responder";

fn keys(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&mut Entropy::new([seed; 32]))
}

fn psk(seed: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([seed; 32])
}

fn invited(seed: u8, inviter: &DeviceKeys) -> Opening {
    Opening::Invited { psk: psk(seed), inviter: inviter.public().noise }
}

fn pair(opening: Opening, psks: &[u8]) -> (Handshake, Handshake) {
    (
        Handshake::initiator(opening, &keys(1), HELLO_A.to_vec(), Entropy::new([3; 32])),
        Handshake::responder(
            &keys(2),
            psks.iter().map(|seed| psk(*seed)).collect(),
            HELLO_B.to_vec(),
            Entropy::new([4; 32]),
        ),
    )
}

fn sent(handshake: &mut Handshake) -> Vec<u8> {
    let mut bytes = Vec::new();
    handshake.poll_transmit(&mut bytes);
    bytes
}

/// Runs to the end, feeding `step` bytes at a time. Returns the bytes that travelled.
fn run(a: &mut Handshake, b: &mut Handshake, step: usize) -> Result<[Vec<u8>; 3], HandshakeError> {
    let first = sent(a);
    first.chunks(step).try_for_each(|part| b.handle(part))?;
    let second = sent(b);
    second.chunks(step).try_for_each(|part| a.handle(part))?;
    let third = sent(a);
    third.chunks(step).try_for_each(|part| b.handle(part))?;
    assert!(sent(b).is_empty());
    Ok([first, second, third])
}

#[test]
fn both_ends_learn_each_other() {
    for psks in [&[][..], &[8, 9]] {
        let opening = if psks.is_empty() { Opening::Xx } else { invited(9, &keys(2)) };
        let (mut a, mut b) = pair(opening, psks);
        run(&mut a, &mut b, usize::MAX).unwrap();
        assert_eq!(a.remote().unwrap().1, HELLO_B);
        let (a, b) = (a.finish().unwrap(), b.finish().unwrap());
        assert_eq!((a.remote_hello.as_slice(), b.remote_hello.as_slice()), (HELLO_B, HELLO_A));
        assert_eq!((a.remote_static, b.remote_static), (keys(2).public().noise, keys(1).public().noise));
        assert_eq!(a.handshake_hash, b.handshake_hash);
        let used = !psks.is_empty();
        assert_eq!((a.psk_index, b.psk_index), (used.then_some(0), used.then_some(1)));
    }
}

#[test]
fn the_same_seeds_give_the_same_bytes_however_they_are_cut() {
    for invite in [false, true] {
        let opening = || if invite { invited(9, &keys(2)) } else { Opening::Xx };
        let reference = {
            let (mut a, mut b) = pair(opening(), &[9]);
            run(&mut a, &mut b, usize::MAX).unwrap()
        };
        let longest = reference.iter().map(Vec::len).max().unwrap();
        for step in 1..=longest {
            let (mut a, mut b) = pair(opening(), &[9]);
            assert_eq!(run(&mut a, &mut b, step).unwrap(), reference);
        }
    }
}

/// A change here changes the wire format: every byte of both handshakes, as a hash.
#[test]
fn the_bytes_of_a_handshake_stay_what_they_are() {
    let transcript = |opening| {
        let (mut a, mut b) = pair(opening, &[9]);
        blake3::hash(&run(&mut a, &mut b, usize::MAX).unwrap().concat()).to_hex().to_string()
    };
    assert_eq!(transcript(Opening::Xx), "3d61d268407ce022b0ec505181dc2672a2d4a7e1b1cc4562b2919b6387ffd2e0");
    assert_eq!(transcript(invited(9, &keys(2))), "6a10b4c2aba2281ce4781107060e8358d8ada2beac8bf4915808b0477253da0a");
}

#[test]
fn bytes_after_the_last_message_are_left_for_the_transport() {
    let (mut a, mut b) = pair(Opening::Xx, &[]);
    b.handle(&sent(&mut a)).unwrap();
    a.handle(&sent(&mut b)).unwrap();
    let mut last = sent(&mut a);
    let mut a = a.finish().unwrap().transport;
    a.seal(b"early", &mut last).unwrap();
    b.handle(&last).unwrap();
    let Established { mut transport, leftover, .. } = b.finish().unwrap();
    transport.receive(&leftover).unwrap();
    assert_eq!(transport.poll_message().unwrap().unwrap(), b"early");
}

/// Flips a bit of every byte of every message: no end may finish, answer, or take anything more.
#[test]
fn a_changed_byte_ends_the_handshake_in_silence() {
    for invite in [false, true] {
        let opening = || if invite { invited(9, &keys(2)) } else { Opening::Xx };
        let lengths: Vec<usize> = {
            let (mut a, mut b) = pair(opening(), &[9]);
            run(&mut a, &mut b, usize::MAX).unwrap().iter().map(Vec::len).collect()
        };
        for (message, length) in lengths.into_iter().enumerate() {
            for at in 0..length {
                changed_byte(pair(opening(), &[9]), message, at, invite);
            }
        }
    }
}

fn changed_byte((mut a, mut b): (Handshake, Handshake), message: usize, at: usize, invite: bool) {
    let mut first = sent(&mut a);
    if message == 0 {
        first[at] ^= 1;
        let result = b.handle(&first);
        // Without a psk nothing authenticates the initiator's ephemeral key yet: the responder answers, and the
        // answer does not verify. A length that grew leaves the responder waiting.
        if !invite && at >= Preamble::LEN + LENGTH_BYTES {
            assert_eq!(a.handle(&sent(&mut b)), Err(HandshakeError::Refused));
        } else {
            assert!(result.is_err(), "byte {at}");
            assert!(sent(&mut b).is_empty());
            assert_eq!(b.handle(&[0]), Err(HandshakeError::Failed));
        }
        return;
    }
    b.handle(&first).unwrap();
    let mut second = sent(&mut b);
    if message == 1 {
        second[at] ^= 1;
        broken(&mut a, &second, at);
        return;
    }
    a.handle(&second).unwrap();
    let mut third = sent(&mut a);
    third[at] ^= 1;
    broken(&mut b, &third, at);
}

/// The receiver fails or, if a length grew, waits until the link's deadline. Either way it sends nothing.
fn broken(receiver: &mut Handshake, bytes: &[u8], at: usize) {
    let result = receiver.handle(bytes);
    assert!(result.is_err() || at < LENGTH_BYTES, "byte {at}");
    assert!(!receiver.is_done());
    assert!(sent(receiver).is_empty());
}

#[test]
fn a_prober_gets_no_byte() {
    let message = |opening| sent(&mut pair(opening, &[]).0);
    let mut responder = pair(Opening::Xx, &[1, 2, 3]).1;
    assert_eq!(responder.handle(&message(invited(4, &keys(2)))), Err(HandshakeError::NoInvite));
    assert!(sent(&mut responder).is_empty());
    let mut responder = pair(Opening::Xx, &[]).1;
    assert_eq!(responder.handle(&message(invited(4, &keys(2)))), Err(HandshakeError::NoInvite));
    let mut responder = pair(Opening::Xx, &[]).1;
    assert_eq!(responder.handle(b"GET / HTTP/1.1\r\n"), Err(PreambleError::Magic.into()));
    assert!(sent(&mut responder).is_empty());
}

#[test]
fn a_pattern_swapped_on_the_way_is_noticed() {
    let mut responder = pair(Opening::Xx, &[9]).1;
    let mut first = sent(&mut pair(invited(9, &keys(2)), &[]).0);
    first[6] = Pattern::Xx as u8;
    assert_eq!(responder.handle(&first), Err(HandshakeError::Length(FIRST_XX_PSK0)));
}

#[test]
fn an_invited_device_refuses_anyone_but_the_inviter() {
    let (mut a, mut b) = pair(invited(9, &keys(5)), &[9]);
    assert_eq!(run(&mut a, &mut b, usize::MAX), Err(HandshakeError::WrongPeer));
    assert!(sent(&mut a).is_empty());
}

#[test]
fn a_message_announced_too_long_is_refused_at_its_length() {
    let (mut a, mut b) = pair(Opening::Xx, &[]);
    let mut first = sent(&mut a)[..Preamble::LEN].to_vec();
    first.extend_from_slice(&[0xff, 0xff]);
    assert_eq!(b.handle(&first), Err(HandshakeError::Length(0xffff)));
    assert_eq!(a.handle(&[0x10, 0]), Err(HandshakeError::Length(0x1000)));
    assert!(!a.is_done() && a.finish().is_none());
}

#[test]
fn a_truncated_message_is_waited_for_and_kept_within_the_limit() {
    let (mut a, mut b) = pair(Opening::Xx, &[]);
    let first = sent(&mut a);
    for cut in 0..first.len() {
        let mut waiting = pair(Opening::Xx, &[]).1;
        waiting.handle(&first[..cut]).unwrap();
        assert!(!waiting.is_done() && sent(&mut waiting).is_empty());
    }
    b.handle(&first).unwrap();
    let mut long = ((MESSAGE_BYTES_MAX) as u16).to_be_bytes().to_vec();
    long.resize(LENGTH_BYTES + MESSAGE_BYTES_MAX - 1, 0);
    b.handle(&long).unwrap();
    assert!(b.inbox.len() <= BUFFER_BYTES_MAX);
    assert_eq!(b.handle(&[0]), Err(HandshakeError::Refused));
}

#[test]
fn the_longest_hello_fits() {
    let hello = vec![7; HELLO_BYTES_MAX];
    let mut a = Handshake::initiator(Opening::Xx, &keys(1), hello.clone(), Entropy::new([1; 32]));
    let mut b = Handshake::responder(&keys(2), Vec::new(), hello.clone(), Entropy::new([2; 32]));
    run(&mut a, &mut b, 1000).unwrap();
    assert_eq!(b.finish().unwrap().remote_hello, hello);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_never_finish_a_handshake(bytes: Vec<u8>, preamble: bool) {
        let (mut a, mut b) = pair(Opening::Xx, &[9]);
        let mut prefix = if preamble { sent(&mut a) } else { Vec::new() };
        prefix.extend_from_slice(&bytes);
        let _ = b.handle(&prefix);
        let _ = a.handle(&bytes);
        prop_assert!(!a.is_done() && !b.is_done());
        prop_assert!(a.inbox.len() <= BUFFER_BYTES_MAX && b.inbox.len() <= BUFFER_BYTES_MAX);
    }
}
