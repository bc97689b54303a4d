use super::*;
use crate::codec::CodecError;
use crate::entropy::Entropy;
use crate::identity::DeviceKeys;
use crate::ids::SpaceId;
use proptest::prelude::*;

const SPACE: SpaceId = SpaceId([7; 32]);

fn entropy() -> Entropy {
    Entropy::new([1; 32])
}

fn devices(count: u8) -> Vec<DeviceKeys> {
    (0..count).map(|seed| DeviceKeys::generate(&mut Entropy::new([seed; 32]))).collect()
}

fn recipients(devices: &[DeviceKeys]) -> Vec<[u8; 32]> {
    devices.iter().map(|device| device.public().hpke).collect()
}

fn epoch(seed: u8) -> EpochKey {
    EpochKey::from_bytes([seed; 32])
}

#[test]
fn what_is_sealed_opens_under_the_same_key_nonce_and_data_alone() {
    let mut sealed = b"before".to_vec();
    seal(&[1; 32], &[2; 24], b"aad", b"plaintext", &mut sealed);
    let sealed = &sealed[6..];
    assert_eq!(sealed.len(), 9 + TAG_BYTES);
    assert_eq!(open(&[1; 32], &[2; 24], b"aad", sealed).unwrap(), b"plaintext");
    assert_eq!(open(&[3; 32], &[2; 24], b"aad", sealed), Err(OpenError));
    assert_eq!(open(&[1; 32], &[3; 24], b"aad", sealed), Err(OpenError));
    assert_eq!(open(&[1; 32], &[2; 24], b"aae", sealed), Err(OpenError));
    assert_eq!(open(&[1; 32], &[2; 24], b"aad", &sealed[..15]), Err(OpenError));
    for at in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        assert_eq!(open(&[1; 32], &[2; 24], b"aad", &changed), Err(OpenError));
    }
}

#[test]
fn subkeys_of_an_epoch_are_all_different() {
    let key = epoch(1);
    let keys = [
        *key.header_key(),
        *key.records_key(),
        *key.key_box_key(),
        *key.previous_key(),
        key.admission_key().to_bytes(),
        key.erase_key().to_bytes(),
        *key.as_bytes(),
    ];
    assert!((0..keys.len()).all(|at| !keys[at + 1..].contains(&keys[at])));
    assert_ne!(key.id(), epoch(2).id());
}

#[test]
fn each_recipient_opens_the_epoch_and_nobody_else() {
    let members = devices(3);
    let record = KeyEpoch::mint(&SPACE, &epoch(2), Some(&epoch(1)), 5, &recipients(&members), &mut entropy()).unwrap();
    let record = KeyEpoch::decode(&record.encode()).unwrap();
    for member in &members {
        assert_eq!(record.open(&SPACE, member), Some(epoch(2)));
        assert_eq!(record.open(&SpaceId([8; 32]), member), None);
    }
    assert_eq!(record.open(&SPACE, &DeviceKeys::generate(&mut Entropy::new([99; 32]))), None);
    assert_eq!(record.open_previous(&SPACE, &epoch(2)), Some(epoch(1)));
    assert_eq!(record.open_previous(&SPACE, &epoch(3)), None);
    assert_eq!(record.generation, 5);
    let first = KeyEpoch::mint(&SPACE, &epoch(1), None, 0, &[], &mut entropy()).unwrap();
    assert_eq!(first.open_previous(&SPACE, &epoch(1)), None);
}

#[test]
fn any_changed_byte_hides_the_epoch() {
    let members = devices(1);
    let record = KeyEpoch::mint(&SPACE, &epoch(2), Some(&epoch(1)), 5, &recipients(&members), &mut entropy()).unwrap();
    let bytes = record.encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(KeyEpoch::decode(&changed).ok().and_then(|record| record.open(&SPACE, &members[0])).is_none());
    }
}

#[test]
fn recipients_are_limited_and_weak_ones_named() {
    let one = recipients(&devices(1))[0];
    let mint = |recipients: &[[u8; 32]]| KeyEpoch::mint(&SPACE, &epoch(2), None, 0, recipients, &mut entropy());
    assert_eq!(mint(&vec![one; BOXES_MAX + 1]), Err(MintError::TooManyRecipients));
    assert_eq!(mint(&[one, [0; 32]]), Err(MintError::WeakRecipient(1)));
    assert_eq!(mint(&[one, one]).unwrap().boxes.len(), 1);
    let mut record = mint(&recipients(&devices(2))).unwrap();
    record.boxes.reverse();
    assert_eq!(KeyEpoch::decode(&record.encode()), Err(CodecError::OutOfRange("the order of key boxes")));
}

fn invite() -> Invite {
    let addresses = vec!["192.0.2.7:4710".to_owned(), "[2001:db8::7]:4710".to_owned()];
    Invite::create(addresses, SPACE, [9; 32], 1_800_000_000_000, &mut entropy()).unwrap()
}

#[test]
fn an_invite_survives_pasting() {
    let line = invite().to_line();
    assert!(line.starts_with(INVITE_PREFIX) && !line.contains(char::is_whitespace));
    let again = Invite::parse(&format!("  {}\n", *line)).unwrap();
    assert_eq!(again, invite());
    assert_eq!(again.psk(), invite().psk());
    assert!(!again.is_expired_at(1_800_000_000_000) && again.is_expired_at(1_800_000_000_001));
    assert!(!format!("{again:?}").contains("secret"));
}

#[test]
fn a_damaged_invite_says_what_to_do() {
    let line = invite().to_line();
    assert_eq!(Invite::parse("hello"), Err(InviteError::NotAnInvite));
    assert_eq!(Invite::parse("cosmicsync-invite2:abc"), Err(InviteError::UnknownVersion));
    assert_eq!(Invite::parse("cosmicsync-invite-me:abc"), Err(InviteError::NotAnInvite));
    assert_eq!(Invite::parse(&format!("{}{}", *line, "a".repeat(4000))), Err(InviteError::TooLong));
    for cut in INVITE_PREFIX.len()..line.len() {
        assert_eq!(Invite::parse(&line[..cut]), Err(InviteError::Damaged));
    }
    let (head, last) = line.split_at(line.len() - 1);
    let other = if last == "a" { "b" } else { "a" };
    assert_eq!(Invite::parse(&format!("{head}{other}")), Err(InviteError::Damaged));
}

#[test]
fn addresses_of_an_invite_are_limited() {
    let create = |addresses| Invite::create(addresses, SPACE, [9; 32], 0, &mut entropy());
    for bad in [vec![], vec![String::new()], vec!["a b".into()], vec!["a".repeat(256)], vec!["a".into(); 9]] {
        assert_eq!(create(bad), Err(InviteError::BadAddresses));
    }
    let longest = create(vec!["a".repeat(255); 8]).unwrap();
    assert_eq!(Invite::parse(&longest.to_line()), Ok(longest));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_round_trip(seed: [u8; 32], generation: u32, count in 0u8..6, previous: bool) {
        let mut entropy = Entropy::new(seed);
        let (old, new) = (EpochKey::generate(&mut entropy), EpochKey::generate(&mut entropy));
        let to = recipients(&devices(count));
        let record =
            KeyEpoch::mint(&SPACE, &new, previous.then_some(&old), generation, &to, &mut entropy).unwrap();
        prop_assert_eq!(KeyEpoch::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn what_decodes_has_that_encoding_alone(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise: Vec<u8>,
    ) {
        let to = recipients(&devices(3));
        let mut bytes = KeyEpoch::mint(&SPACE, &epoch(2), None, 300, &to, &mut entropy()).unwrap().encode();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for bytes in [bytes, noise] {
            if let Ok(record) = KeyEpoch::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }
    }

    #[test]
    fn arbitrary_lines_never_panic(text: String) {
        prop_assert!(Invite::parse(&text).is_err());
        let line = format!("{INVITE_PREFIX}{text}");
        prop_assert!(Invite::parse(&line).is_err());
    }

    #[test]
    fn sealing_round_trips(key: [u8; 32], aad: Vec<u8>, plaintext: Vec<u8>) {
        let mut sealed = Vec::new();
        seal(&key, &[1; 24], &aad, &plaintext, &mut sealed);
        prop_assert_eq!(open(&key, &[1; 24], &aad, &sealed), Ok(plaintext));
    }
}
