use super::*;
use crate::entropy::Entropy;
use crate::identity::DeviceKeys;
use proptest::prelude::*;

const SUITE: Suite = Suite::X25519_CHACHAPOLY_BLAKE2S;

fn hello(features: &[(u16, bool)]) -> Hello {
    Hello {
        versions: Versions { min: (0, 0), max: (0, 3) },
        features: features.iter().map(|&(id, critical)| Feature { id, critical }).collect(),
        limits: HelloLimits { message_bytes_max: 1 << 20, channels_max: 64, credit_bytes: 4 << 20 },
        incarnation: Incarnation([5; 8]),
        instance: Instance([6; 8]),
        suites: vec![SUITE],
        role: Role::Member(vec![1, 2, 3]),
    }
}

fn used() -> Preamble {
    Preamble::new(Pattern::Xx)
}

#[test]
fn two_ends_agree_on_the_same() {
    let a = hello(&[(1, false), (2, true), (9, false)]);
    let mut b = hello(&[(2, false), (3, false), (9, true)]);
    b.versions.max = (0, 1);
    b.limits.channels_max = 8;
    let agreed = negotiate(&a, &b, used()).unwrap();
    assert_eq!(agreed, negotiate(&b, &a, used()).unwrap());
    assert_eq!((agreed.version, agreed.limits.channels_max), ((0, 1), 8));
    assert!(agreed.has(2) && agreed.has(9) && !agreed.has(1) && !agreed.has(3));
}

#[test]
fn a_critical_feature_must_be_known_to_both() {
    let (plain, critical) = (hello(&[]), hello(&[(7, true)]));
    assert_eq!(negotiate(&plain, &critical, used()), Err(HelloError::UnknownFeature(7)));
    assert_eq!(negotiate(&critical, &plain, used()), Err(HelloError::MissingFeature(7)));
    assert!(negotiate(&plain, &hello(&[(7, false)]), used()).is_ok());
}

#[test]
fn versions_that_do_not_meet_are_refused() {
    let mut newer = hello(&[]);
    newer.versions = Versions { min: (0, 4), max: (1, 0) };
    assert_eq!(negotiate(&hello(&[]), &newer, used()), Err(HelloError::NoCommonVersion));
}

#[test]
fn a_link_below_what_both_know_is_refused() {
    let (mut a, mut b) = (hello(&[]), hello(&[]));
    a.suites.push(Suite(2));
    assert!(negotiate(&a, &b, used()).is_ok());
    b.suites.push(Suite(2));
    assert_eq!(negotiate(&a, &b, used()), Err(HelloError::Downgrade));
    let (mut a, mut b) = (hello(&[]), hello(&[]));
    a.versions.max = (1, 0);
    assert!(negotiate(&a, &b, used()).is_ok());
    b.versions.max = (1, 2);
    assert_eq!(negotiate(&a, &b, used()), Err(HelloError::Downgrade));
    b.suites = vec![Suite(7)];
    assert_eq!(negotiate(&a, &b, used()), Err(HelloError::Downgrade));
}

#[test]
fn a_preamble_is_eight_bytes_of_which_each_counts() {
    for pattern in [Pattern::Xx, Pattern::XxPsk0] {
        let preamble = Preamble::new(pattern);
        assert_eq!(Preamble::decode(preamble.encode()), Ok(preamble));
    }
    let refused = |at: usize, value| {
        let mut bytes = used().encode();
        bytes[at] = value;
        Preamble::decode(bytes).unwrap_err()
    };
    assert!((0..4).all(|at| refused(at, 0) == PreambleError::Magic));
    assert_eq!(refused(4, 1), PreambleError::Major(1));
    assert_eq!(refused(5, 9), PreambleError::Suite(9));
    assert_eq!(refused(6, 3), PreambleError::Pattern(3));
    assert_eq!(refused(7, 1), PreambleError::Flags);
}

#[test]
fn what_is_out_of_order_is_refused() {
    let mut bytes = hello(&[(1, false), (2, false)]).encode();
    bytes.swap(6, 7);
    assert_eq!(Hello::decode(&bytes), Err(CodecError::OutOfRange("the order of features")));
    let mut bytes = hello(&[]).encode();
    bytes[2] = 9;
    assert_eq!(Hello::decode(&bytes), Err(CodecError::OutOfRange("the range of versions")));
    assert!(Hello::decode(&[0; HELLO_BYTES_MAX + 1]).is_err());
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let role = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..CREDENTIAL_BYTES_MAX).prop_map(Role::Member),
        any::<[u8; 32]>().prop_map(|seed| Role::Joiner(DeviceKeys::generate(&mut Entropy::new(seed)).claim())),
    ];
    let features = prop::collection::btree_map(any::<u16>(), any::<bool>(), 0..FEATURES_MAX);
    let suites = prop::collection::btree_set(any::<u8>(), 0..SUITES_MAX);
    (any::<[(u8, u8); 2]>(), features, any::<[u64; 3]>(), any::<[[u8; 8]; 2]>(), suites, role).prop_map(
        |(mut versions, features, limits, [incarnation, instance], suites, role)| {
            versions.sort_unstable();
            Hello {
                versions: Versions { min: versions[0], max: versions[1] },
                features: features.into_iter().map(|(id, critical)| Feature { id, critical }).collect(),
                limits: HelloLimits { message_bytes_max: limits[0], channels_max: limits[1], credit_bytes: limits[2] },
                incarnation: Incarnation(incarnation),
                instance: Instance(instance),
                suites: suites.into_iter().map(Suite).collect(),
                role,
            }
        },
    )
}

proptest! {
    #[test]
    fn hellos_round_trip_with_features_nobody_knows(hello in any_hello()) {
        let bytes = hello.encode();
        prop_assert!(bytes.len() <= HELLO_BYTES_MAX);
        prop_assert_eq!(Hello::decode(&bytes), Ok(hello));
    }

    #[test]
    fn what_decodes_has_that_encoding_alone(
        hello in any_hello(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: Option<prop::sample::Index>,
    ) {
        let mut bytes = hello.encode();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(hello) = Hello::decode(&bytes) {
            prop_assert_eq!(hello.encode(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(hello) = Hello::decode(&bytes) {
            prop_assert_eq!(hello.encode(), bytes);
        }
    }
}
