use super::record::Record;
use super::*;
use crate::entropy::Entropy;
use crate::identity::DeviceKeys;
use crate::storage::Table;
use crate::time::Now;

const NOW: Now = Now { mono_us: 0, wall_ms: 1_000 };

struct Device {
    spaces: Spaces,
    entropy: Entropy,
    ops: Vec<Op>,
}

impl Device {
    fn new(seed: u8) -> Self {
        let mut entropy = Entropy::new([seed; 32]);
        let own = OwnIdentity { keys: DeviceKeys::generate(&mut entropy), user: None };
        Self { spaces: Spaces::new(own), entropy, ops: Vec::new() }
    }

    /// Returns a device that has founded a space.
    fn founder() -> (Self, SpaceNo) {
        let mut device = Self::new(1);
        let Self { spaces, entropy, ops } = &mut device;
        ops.push(crate::storage::rows::identity_row(&spaces.own));
        spaces.create_user(entropy, ops).expect("the first user");
        let (space, ..) = spaces.found("home", entropy, ops).expect("a user founds");
        (device, space)
    }

    /// Admits another device. Returns the record of the epoch that was minted for it.
    fn admit(&mut self, space: SpaceNo, other: &mut Self) -> Vec<u8> {
        let Self { spaces, entropy, ops } = self;
        let addresses = vec!["localhost:1".to_owned()];
        let invite = spaces.invite(space, addresses, 2_000, NOW, entropy, ops).expect("room for an invite");
        let claim = Admission::Claim(other.spaces.own.keys.claim());
        let admitted = spaces.admit(&invite.psk(), &claim, entropy, ops).expect("an open invite");
        let joined = other.spaces.join(&invite.space(), &admitted.accept, &mut other.ops);
        assert_eq!(joined, Ok((SpaceNo(0), true)));
        let (record, epoch) = admitted.introduction.expect("it is new");
        assert!(matches!(record, Record::Device { .. }));
        epoch
    }

    fn current_epoch(&self, space: SpaceNo) -> Option<EpochId> {
        self.spaces.space(space).current_epoch().map(|(id, _)| *id)
    }
}

#[test]
fn a_device_joins_and_writes_under_the_epoch_that_was_minted_for_it() {
    let ((mut founder, space), mut other) = (Device::founder(), Device::new(2));
    let epoch = founder.admit(space, &mut other);
    assert_eq!(other.current_epoch(SpaceNo(0)), None);
    assert!(other.spaces.learn_epochs(SpaceNo(0), vec![&epoch], &mut other.ops));
    assert_eq!(other.current_epoch(SpaceNo(0)), None, "no trusted author used it yet");
    let id = founder.current_epoch(space).expect("it minted one");
    other.spaces.trust_epoch(SpaceNo(0), &id, &mut other.ops);
    assert_eq!(other.current_epoch(SpaceNo(0)), Some(id));
}

#[test]
fn a_missing_key_is_requested_once_and_boxed_once() {
    let ((mut founder, space), mut other) = (Device::founder(), Device::new(2));
    let epoch = founder.admit(space, &mut other);
    let id = founder.current_epoch(space).expect("it minted one");
    other.spaces.learn_epochs(SpaceNo(0), vec![&epoch], &mut other.ops);
    other.spaces.trust_epoch(SpaceNo(0), &id, &mut other.ops);

    let (missing, owner) = (EpochId([9; 16]), Some(founder.spaces.own.keys.device_id()));
    assert!(other.spaces.mark_epoch_missing(SpaceNo(0), missing, owner));
    assert!(!other.spaces.mark_epoch_missing(SpaceNo(0), missing, owner));
    assert_eq!(other.spaces.take_requests().0.len(), 1);
    other.spaces.mark_epoch_missing(SpaceNo(0), missing, owner);
    assert!(other.spaces.take_requests().0.is_empty());

    let device = other.spaces.own.keys.device_id();
    for expected in [1, 0] {
        founder.spaces.apply(space, device, &[Record::EpochWant { epoch: id }], &mut founder.ops);
        let (_, requested) = founder.spaces.take_requests();
        assert_eq!(requested.len(), expected);
        for ((space, epoch), devices) in requested {
            assert!(founder.spaces.box_epoch(space, &epoch, &devices, &mut founder.entropy).is_some());
        }
    }
}

#[test]
fn rows_restore_what_was_founded() {
    let (mut founder, space) = Device::founder();
    let mut other = Device::new(2);
    founder.admit(space, &mut other);
    let mut rows: BTreeMap<(Table, Bytes), Bytes> = BTreeMap::new();
    for op in &founder.ops {
        let Op::Put { table, key, value } = op else { panic!("only puts: {op:?}") };
        rows.insert((*table, key.clone()), value.clone());
    }
    let (mut restored, mut found) = (Device::new(3).spaces, Found::default());
    for ((table, key), row) in &rows {
        let restored = if *table == Table::Meta {
            restored.restore_meta(key, row, &mut found)
        } else if *table == Table::Secret {
            restored.restore_secret(key, row, &mut found)
        } else if *table == Table::Space {
            restored.restore_space(row, &found)
        } else {
            assert_eq!(*table, Table::Partition);
            restored.restore_partition(key, row)
        };
        assert_eq!(restored, Ok(()));
    }
    let (before, after) = (founder.spaces.space(space), restored.space(space));
    assert_eq!((&before.name, before.id, &before.partitions), (&after.name, after.id, &after.partitions));
    assert_eq!(before.devices, after.devices);
    assert_eq!(before.current_epoch().map(|(id, _)| id), after.current_epoch().map(|(id, _)| id));
    assert_eq!(founder.spaces.own.keys.device_id(), restored.own.keys.device_id());
    assert_eq!(restored.invite_psks(NOW, &mut Vec::new()).len(), 1);
}
