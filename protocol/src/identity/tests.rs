use super::*;
use crate::entropy::Entropy;
use crate::ids::{DeviceId, DocId, PartitionId, SpaceId};
use proptest::prelude::*;

struct Person {
    key: UserKey,
    genesis: UserGenesis,
    device: DeviceKeys,
    credential: Credential,
}

fn person(seed: u8) -> Person {
    let mut entropy = Entropy::new([seed; 32]);
    let recovery = RecoveryKey::generate(&mut entropy);
    let key = UserKey::generate(&mut entropy);
    let genesis = key.genesis(recovery.commitment(), &mut entropy);
    let device = DeviceKeys::generate(&mut entropy);
    let cert = key.certify(genesis.user_id(), device.claim(), 1000, 2000);
    Person { key, device, credential: Credential { genesis: genesis.clone(), cert }, genesis }
}

#[test]
fn a_credential_says_whose_device_it_is() {
    let someone = person(1);
    let bytes = someone.credential.encode();
    assert!(bytes.len() <= CREDENTIAL_BYTES_MAX);
    let verified = Credential::verify(&bytes).unwrap();
    assert_eq!(verified.user(), someone.genesis.user_id());
    assert_eq!(verified.device(), &someone.device.public());
    assert_eq!(verified.encode(), bytes);
    assert!(verified.valid_at(1000) && verified.valid_at(2000));
    assert!(!verified.valid_at(999) && !verified.valid_at(2001));
}

#[test]
fn any_changed_byte_voids_a_record() {
    let someone = person(1);
    let space = SpaceGenesis::create(&someone.key, someone.genesis.clone(), &mut Entropy::new([2; 32]));
    let (credential, genesis, space) = (someone.credential.encode(), someone.genesis.encode(), space.encode());
    let changed = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    assert!((0..credential.len()).all(|at| Credential::verify(&changed(&credential, at)).is_err()));
    assert!((0..genesis.len()).all(|at| UserGenesis::decode(&changed(&genesis, at)).is_err()));
    assert!((0..space.len()).all(|at| SpaceGenesis::decode(&changed(&space, at)).is_err()));
    assert_eq!(UserGenesis::decode(&genesis), Ok(someone.genesis));
    assert!(genesis.len() == UserGenesis::LEN && space.len() <= SpaceGenesis::LEN_MAX);
}

#[test]
fn a_space_checks_alone_and_names_its_creator() {
    let someone = person(1);
    let space = SpaceGenesis::create(&someone.key, someone.genesis.clone(), &mut Entropy::new([2; 32]));
    let again = SpaceGenesis::decode(&space.encode()).unwrap();
    assert_eq!((again.space_id(), again.creator_id()), (space.space_id(), someone.genesis.user_id()));
    let other = SpaceGenesis::create(&someone.key, someone.genesis, &mut Entropy::new([3; 32]));
    assert_ne!(other.space_id(), space.space_id());
}

#[test]
fn a_certificate_of_another_user_is_refused() {
    let (a, b) = (person(1), person(2));
    let stolen = Credential { genesis: b.genesis.clone(), cert: a.credential.cert.clone() };
    assert_eq!(Credential::verify(&stolen.encode()), Err(IdentityError::WrongUser));
    let forged = Credential { cert: b.key.certify(a.genesis.user_id(), a.device.claim(), 0, 9), genesis: a.genesis };
    assert_eq!(Credential::verify(&forged.encode()), Err(IdentityError::BadSignature("device certificate")));
}

#[test]
fn a_device_cannot_be_certified_with_other_keys() {
    let (victim, thief) = (person(1), person(2));
    let mut claim = victim.device.claim();
    claim.public.noise = thief.device.public().noise;
    let cert = thief.key.certify(thief.genesis.user_id(), claim, 0, 9);
    let credential = Credential { genesis: thief.genesis, cert };
    assert_eq!(Credential::verify(&credential.encode()), Err(IdentityError::BadSignature("device")));
}

#[test]
fn weak_keys_are_refused() {
    for weak in [[0; 32], core::array::from_fn(|at| u8::from(at == 0))] {
        let mut claim = person(1).device.claim();
        claim.public.hpke = weak;
        assert_eq!(claim.verify(), Err(IdentityError::WeakKey));
    }
}

#[test]
fn a_validity_that_ends_before_it_starts_is_refused() {
    let someone = person(1);
    let cert = someone.key.certify(someone.genesis.user_id(), someone.device.claim(), 9, 8);
    let credential = Credential { genesis: someone.genesis, cert };
    assert_eq!(Credential::verify(&credential.encode()), Err(IdentityError::EmptyValidity));
}

#[test]
fn keys_come_back_from_their_bytes() {
    let someone = person(1);
    let bytes = someone.device.to_bytes();
    assert_eq!(DeviceKeys::from_bytes(bytes.as_slice()).unwrap().claim(), someone.device.claim());
    assert!(DeviceKeys::from_bytes(&bytes[1..]).is_err());
    assert_eq!(UserKey::from_bytes(&someone.key.to_bytes()).public(), someone.key.public());
    let recovery = RecoveryKey::generate(&mut Entropy::new([1; 32]));
    assert_eq!(RecoveryKey::from_secret(&recovery.secret()).commitment(), recovery.commitment());
    assert_eq!(recovery.commitment(), someone.genesis.recovery_commitment);
}

#[test]
fn secrets_do_not_print() {
    let someone = person(1);
    let text = format!("{:?} {:?}", someone.key, someone.device);
    assert_eq!(text, format!("UserKey(…) DeviceKeys({:?})", someone.device.device_id()));
}

/// From the did:key specification of the W3C Credentials Community Group, its first Ed25519 example.
#[test]
fn devices_are_written_as_did_key() {
    let text = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    let device = parse_did_key(text).unwrap();
    assert_eq!(device.to_string(), "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29");
    assert_eq!(did_key(&device), text);
    for wrong in
        ["", "did:key:z", "did:key:z6Mk", "did:web:x", "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc"]
    {
        assert_eq!(parse_did_key(wrong), Err(DidError));
    }
    assert_eq!(parse_did_key(&format!("{text}1")), Err(DidError));
}

/// Pins the derivations: these values are in `spec/identity.md`.
#[test]
fn derived_ids_stay_what_they_are() {
    let space = SpaceId([1; 32]);
    let partition = partition_id(&space, "main");
    let collection = collection_id(&space, "cities");
    let (space_token, partition_token) = (space_token(&space), partition_token(&space, &partition));
    let log = log_id(&[2; 32], &space_token, &partition_token, 0, b"box");
    let hex = |bytes: [u8; 16]| DocId(bytes).to_string();
    let found = [
        partition.to_string(),
        collection.to_string(),
        doc_id_for_key(&space, &collection, b"00501").to_string(),
        hex(space_token),
        hex(partition_token),
        log.to_string(),
        peer_id(&log).to_string(),
    ];
    let expected = [
        "a2b181d45908e8d8cc3ed845fd3e22eb",
        "c011405cc27316af95c049bd07f9db5c",
        "4300176de7f6cee6c35cc474b120bdcf",
        "b57c06d069be78af98875b1d6478fb28",
        "712004ecfe6e6e845b49a6970c7d7de1",
        "6e4802e6066420837aa19b7bcfe39425d740f32d509cd450504ffbfe61ee85ad",
        "14846534443246712439",
    ];
    assert_eq!(found, expected);
    assert_ne!(partition_id(&space, "control"), partition);
    assert_ne!(log_id(&[2; 32], &space_token, &partition_token, 1, b"box"), log);
    assert_ne!(log_id(&[2; 32], &space_token, &partition_token, 0, b"other"), log);
    assert_ne!(PartitionId(collection.0), partition_id(&space, "cities"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_record_round_trips(seed: [u8; 32], a: u64, b: u64) {
        let mut entropy = Entropy::new(seed);
        let key = UserKey::generate(&mut entropy);
        let genesis = key.genesis(entropy.bytes(), &mut entropy);
        let device = DeviceKeys::generate(&mut entropy);
        let cert = key.certify(genesis.user_id(), device.claim(), a.min(b), a.max(b));
        let credential = Credential { genesis: genesis.clone(), cert };
        let bytes = credential.encode();
        prop_assert_eq!(Credential::verify(&bytes).unwrap().encode(), bytes);
        let space = SpaceGenesis::create(&key, genesis, &mut entropy);
        prop_assert_eq!(SpaceGenesis::decode(&space.encode()).unwrap(), space);
        prop_assert_eq!(parse_did_key(&did_key(&device.device_id())), Ok(device.device_id()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text: String) {
        let _ = Credential::verify(&bytes);
        let _ = SpaceGenesis::decode(&bytes);
        let _ = UserGenesis::decode(&bytes);
        let _ = DeviceKeys::from_bytes(&bytes);
        prop_assert_eq!(parse_did_key(&text), Err::<DeviceId, _>(DidError));
    }
}
