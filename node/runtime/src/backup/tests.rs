use super::*;
use std::collections::BTreeMap;
use tempfile::TempDir;

const CHEAP: KdfCost = KdfCost { memory_kib: 8, passes: 1, lanes: 1 };

type Rows = BTreeMap<(Table, Bytes), Bytes>;

fn open(dir: &Path) -> (LmdbStore, Receiver<StoreDone>) {
    let keys = KeyFile::open_or_create(dir).unwrap();
    let (sender, done) = channel();
    let store =
        LmdbStore::open(dir, keys.store_key(), StoreOptions::default(), move |one| drop(sender.send(one))).unwrap();
    (store, done)
}

fn put(rows: &Rows, store: &LmdbStore, done: &Receiver<StoreDone>) {
    let ops =
        rows.iter().map(|((table, key), value)| Op::Put { table: *table, key: key.clone(), value: value.clone() });
    store.submit(StoreRequest::Commit { id: StoreId(0), ops: ops.collect() }).unwrap();
    assert_eq!(done.recv().unwrap(), StoreDone::Committed { id: StoreId(0) });
}

fn rows_of(snapshot: &Snapshot) -> Rows {
    let of_table = |table: Table| {
        let rows = snapshot.rows(table, None, usize::MAX).unwrap();
        rows.into_iter().map(move |(key, value)| ((table, key), value))
    };
    Table::ALL.into_iter().flat_map(of_table).collect()
}

/// Returns rows of every table, with sizes around a chunk's, and some that must not be backed up.
fn sample() -> (Rows, Rows) {
    let mut kept = Rows::new();
    for (at, table) in Table::ALL.into_iter().enumerate() {
        for len in [0, 1, 65_000, 65_536, 65_560, 200_000] {
            kept.insert((table, format!("{len}").into()), vec![at as u8; len].into());
        }
    }
    kept.insert((Table::Secret, "device".into()), "canary".into());
    kept.insert((Table::App, "tmp".into()), "kept".into());
    for len in [255, 256, 480] {
        kept.insert((Table::App, vec![b'k'; len].into()), "a long key".into());
    }
    let mut all = kept.clone();
    kept.retain(|(table, _), _| !table.stays_out_of_backups());
    all.insert((Table::Meta, "incarnation".into()), "of one life".into());
    all.insert((Table::App, "tmp/7".into()), "scratch".into());
    (all, kept)
}

fn backup_of(all: &Rows) -> (Vec<u8>, Summary, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (store, done) = open(dir.path());
    put(all, &store, &done);
    let mut file = Vec::new();
    let mut last = 0;
    let snapshot = store.snapshot().unwrap();
    let summary = create_with(&snapshot, "pass", CHEAP, &mut file, |now| {
        assert!(now.rows_total() >= last);
        last = now.rows_total();
    });
    let summary = summary.unwrap();
    assert_eq!(last, summary.rows_total());
    (file, summary, dir)
}

#[test]
fn a_restored_store_holds_the_same_rows_but_for_the_incarnation() {
    let (all, kept) = sample();
    let (file, made, _dir) = backup_of(&all);
    assert_eq!(made.rows_total(), kept.len() as u64);
    assert!(!file.windows(6).any(|window| window == b"canary"));
    assert_eq!(verify(&file[..], "pass", |_| {}).unwrap(), made);

    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("new");
    assert_eq!(restore(&file[..], "pass", &target, |_| {}).unwrap(), made);
    let (store, _done) = open(&target);
    assert_eq!(rows_of(&store.snapshot().unwrap()), kept);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn a_backup_is_of_one_moment_though_the_node_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, done) = open(dir.path());
    let before = Rows::from([((Table::Meta, "a".into()), "old".into())]);
    put(&before, &store, &done);
    let snapshot = store.snapshot().unwrap();
    put(&Rows::from([((Table::Meta, "b".into()), "new".into())]), &store, &done);
    let mut file = Vec::new();
    create_with(&snapshot, "pass", CHEAP, &mut file, |_| {}).unwrap();
    assert_eq!(verify(&file[..], "pass", |_| {}).unwrap().rows_total(), 1);
}

#[test]
fn a_backup_of_the_real_cost_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (store, done) = open(dir.path());
    put(&Rows::from([((Table::Meta, "a".into()), "b".into())]), &store, &done);
    let (snapshot, mut file) = (store.snapshot().unwrap(), Vec::new());
    let made = create(&snapshot, "pass", &mut file, |_| {}).unwrap();
    assert_eq!(verify(&file[..], "pass", |_| {}).unwrap(), made);
}

#[test]
fn an_empty_store_makes_a_backup_too() {
    let (file, made, _dir) = backup_of(&Rows::new());
    assert_eq!(verify(&file[..], "pass", |_| {}).unwrap(), made);
}

#[test]
fn a_wrong_passphrase_is_named() {
    let (file, ..) = backup_of(&Rows::new());
    assert!(matches!(verify(&file[..], "guess", |_| {}), Err(BackupError::WrongPassphrase)));
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let rows = Rows::from([((Table::Meta, "key".into()), "value".into())]);
    let (file, ..) = backup_of(&rows);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut bad = file.clone();
            bad[at] ^= 1 << bit;
            assert!(verify(&bad[..], "pass", |_| {}).is_err(), "byte {at}, bit {bit}");
        }
        assert!(verify(&file[..at], "pass", |_| {}).is_err(), "cut at {at}");
    }
    let mut longer = file;
    longer.push(0);
    assert!(matches!(verify(&longer[..], "pass", |_| {}), Err(BackupError::Damaged)));
}

#[test]
fn chunks_cannot_be_dropped_swapped_or_cut_off() {
    const CHUNK: usize = 65_536 + 16;
    let (file, ..) = backup_of(&Rows::from([((Table::Meta, "key".into()), vec![7; 300_000].into())]));
    let head = file.len() - (file.len() - 80) / CHUNK * CHUNK - (file.len() - 80) % CHUNK;
    let chunks: Vec<&[u8]> = file[head..].chunks(CHUNK).collect();
    assert!(chunks.len() > 3);
    let joined = |order: &[usize]| {
        [&file[..head], &order.iter().flat_map(|at| chunks[*at]).copied().collect::<Vec<_>>()[..]].concat()
    };
    let all: Vec<usize> = (0..chunks.len()).collect();
    assert!(verify(&joined(&all)[..], "pass", |_| {}).is_ok());
    for at in 0..chunks.len() {
        let without: Vec<usize> = all.iter().copied().filter(|one| *one != at).collect();
        assert!(matches!(verify(&joined(&without)[..], "pass", |_| {}), Err(BackupError::Damaged)));
        assert!(matches!(verify(&joined(&all[..at])[..], "pass", |_| {}), Err(BackupError::Damaged)));
    }
    let mut swapped = all;
    swapped.swap(1, 2);
    assert!(matches!(verify(&joined(&swapped)[..], "pass", |_| {}), Err(BackupError::Damaged)));
}

#[test]
fn a_file_may_not_ask_for_all_memory() {
    let (mut file, ..) = backup_of(&Rows::new());
    file[17..21].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(verify(&file[..], "pass", |_| {}), Err(BackupError::TooCostly)));
}

#[test]
fn a_damaged_backup_leaves_nothing_behind() {
    let (mut file, ..) = backup_of(&sample().0);
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("new");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "x").unwrap();
    assert!(matches!(restore(&file[..], "pass", &target, |_| {}), Err(BackupError::NotEmpty { .. })));
    fs::remove_file(target.join("mine")).unwrap();
    let end = file.len() - 1;
    file[end] ^= 1;
    assert!(matches!(restore(&file[..], "pass", &target, |_| {}), Err(BackupError::Damaged)));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}
