use super::*;
use crate::store::{DATA_FILE, LmdbStore, OpenError, StoreKey, StoreOptions};
use bytes::Bytes;
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{Op, StoreDone, StoreId, StoreRequest, Table};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn open(dir: &Path) -> Result<(LmdbStore, Receiver<StoreDone>), OpenError> {
    let (sender, done) = channel();
    let store =
        LmdbStore::open(dir, &StoreKey::new([7; 32]), StoreOptions::default(), move |one| drop(sender.send(one)));
    store.map(|store| (store, done))
}

/// Writes and deletes rows at random.
fn churn(dir: &Path, random: &mut Entropy, rows: &mut Rows, commits: u64) {
    let (store, done) = open(dir).unwrap();
    for id in 0..commits {
        let mut ops = Vec::new();
        for _ in 0..random.bytes::<1>()[0] % 60 {
            let [table, key, kind, long] = random.bytes::<4>();
            let table = Table::ALL[usize::from(table) % Table::ALL.len()];
            let key = [&[key % 100][..], &[b'k'; 40][..usize::from(key) % 40]].concat();
            if kind < 90 {
                rows.remove(&(table, key.clone()));
                ops.push(Op::Delete { table, key: key.into() });
            } else {
                let value = vec![kind; if long < 20 { usize::from(long) * 900 } else { usize::from(long) }];
                rows.insert((table, key.clone()), value.clone());
                ops.push(Op::Put { table, key: key.into(), value: value.into() });
            }
        }
        store.submit(StoreRequest::Commit { id: StoreId(id), ops }).unwrap();
        assert!(matches!(done.recv().unwrap(), StoreDone::Committed { .. }));
        if id % 8 == 0 {
            // The file of an open store is valid between its commits, too.
            check(&File::open(dir.join(DATA_FILE)).unwrap()).unwrap();
        }
    }
}

fn all(store: &LmdbStore) -> Result<Rows, crate::store::SnapshotError> {
    let snapshot = store.snapshot()?;
    let mut rows = Rows::new();
    for table in Table::ALL {
        let mut after: Option<Bytes> = None;
        loop {
            let found = snapshot.rows(table, after.as_deref(), 1 << 20)?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            rows.extend(found.into_iter().map(|(key, value)| ((table, key.to_vec()), value.to_vec())));
        }
    }
    Ok(rows)
}

#[test]
fn a_store_that_is_well_passes_whatever_was_written() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let (mut random, mut rows) = (Entropy::new([seed; 32]), Rows::new());
        for _ in 0..3 {
            churn(dir.path(), &mut random, &mut rows, 40);
            check(&File::open(dir.path().join(DATA_FILE)).unwrap()).unwrap();
        }
        assert_eq!(all(&open(dir.path()).unwrap().0).unwrap(), rows);
    }
}

#[test]
fn a_damaged_store_is_refused_or_shows_what_was_written() {
    let whole = tempfile::tempdir().unwrap();
    let (mut random, mut rows) = (Entropy::new([9; 32]), Rows::new());
    churn(whole.path(), &mut random, &mut rows, 60);
    let bytes = fs::read(whole.path().join(DATA_FILE)).unwrap();
    let (mut refused, mut right) = (0, 0);
    for round in 0..300u32 {
        let mut bad = bytes.clone();
        let at = u64::from_le_bytes(random.bytes()) as usize % bad.len();
        match round % 4 {
            0 => bad.truncate(at),
            1 => bad[at] ^= 1 << (round / 4 % 8),
            // The fields of page headers and nodes matter most.
            2 => bad[at / 4096 * 4096 + at % 64] ^= random.bytes::<1>()[0],
            _ => {
                let end = (at + 1 + usize::from(random.bytes::<1>()[0]) * 30).min(bytes.len());
                bad[at..end].iter_mut().for_each(|byte| *byte = random.bytes::<1>()[0]);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(DATA_FILE), &bad).unwrap();
        match open(dir.path()) {
            Err(
                OpenError::Damaged { .. }
                | OpenError::NotAStore { .. }
                | OpenError::WrongKey { .. }
                | OpenError::Newer { .. },
            ) => refused += 1,
            Err(error) => panic!("round {round}: {error}"),
            Ok((store, _)) => match all(&store) {
                Ok(found) => {
                    assert_eq!(found, rows, "round {round}");
                    right += 1;
                }
                Err(_) => refused += 1,
            },
        }
    }
    assert!(refused > 150 && right > 10, "{refused} refused, {right} right");
}

#[test]
fn a_store_that_closed_is_not_checked_again_unless_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    churn(dir.path(), &mut Entropy::new([1; 32]), &mut Rows::new(), 5);
    assert!(crate::store::mark::take(dir.path()), "it closed");
    assert!(!crate::store::mark::take(dir.path()), "a mark holds once");
    crate::store::mark::leave(dir.path());
    let file = OpenOptions::new().write(true).open(dir.path().join(DATA_FILE)).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&[1], len - 1).unwrap();
    assert!(!crate::store::mark::take(dir.path()), "it changed");
    crate::store::mark::leave(dir.path());
    let copy = tempfile::tempdir().unwrap();
    for name in [DATA_FILE, "closed"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    assert!(!crate::store::mark::take(copy.path()), "a copy is another file");
}
