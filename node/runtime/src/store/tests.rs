use super::*;
use bytes::Bytes;
use cosmicsync_protocol::storage::{Op, Read, Scan, StoreError, StoreId, Table};
use cosmicsync_protocol::testkit::store::{MemStore, Subject, conformance};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

const KEY: StoreKey = StoreKey::new([7; 32]);

/// A store with a channel of completions, in a temporary directory.
struct Opened {
    store: Option<LmdbStore>,
    done: Receiver<StoreDone>,
    dir: TempDir,
    options: StoreOptions,
}

impl Opened {
    fn new(options: StoreOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, done) = open_in(dir.path(), options).unwrap();
        Self { store: Some(store), done, dir, options }
    }

    fn small() -> Self {
        Self::new(StoreOptions { map_bytes: 1 << 20, ..StoreOptions::default() })
    }

    fn store(&self) -> &LmdbStore {
        self.store.as_ref().unwrap()
    }

    fn one(&self, request: StoreRequest) -> StoreDone {
        self.store().submit(request).unwrap();
        self.done.recv().unwrap()
    }
}

impl Subject for Opened {
    fn run(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreDone> {
        let count = requests.len();
        for request in requests {
            self.store().submit(request).unwrap();
        }
        self.done.iter().take(count).collect()
    }

    fn reopen(&mut self) {
        self.store = None;
        let (store, done) = open_in(self.dir.path(), self.options).unwrap();
        (self.store, self.done) = (Some(store), done);
    }
}

fn open_in(dir: &Path, options: StoreOptions) -> Result<(LmdbStore, Receiver<StoreDone>), OpenError> {
    let (sender, done) = channel();
    // A finished test may have dropped its receiver.
    let store = LmdbStore::open(dir, &KEY, options, move |one| drop(sender.send(one)))?;
    Ok((store, done))
}

fn put(table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
    Op::Put { table, key: key.into(), value: value.into() }
}

const fn commit(id: u64, ops: Vec<Op>) -> StoreRequest {
    StoreRequest::Commit { id: StoreId(id), ops }
}

fn read(id: u64, table: Table, key: impl Into<Bytes>) -> StoreRequest {
    StoreRequest::Get { id: StoreId(id), keys: vec![(table, key.into())], read: Read::Ordered }
}

const fn scan_of(id: u64, scan: Scan) -> StoreRequest {
    StoreRequest::Scan { id: StoreId(id), scan, read: Read::Ordered }
}

fn failed(id: u64, error: StoreError) -> StoreDone {
    StoreDone::Failed { id: StoreId(id), error }
}

#[test]
fn keeps_the_promises_of_a_store() {
    conformance(&mut Opened::small());
}

#[test]
fn keeps_them_when_every_commit_is_its_own_group() {
    let options = StoreOptions { group_commits_max: 1, queue_max: 1, ..StoreOptions::default() };
    conformance(&mut Opened::new(options));
}

#[test]
fn waiting_commits_share_a_sync() {
    let mut opened = Opened::small();
    let commits = (0..200).map(|id| commit(id, vec![put(Table::Entry, id.to_be_bytes().to_vec(), "v")]));
    let done = opened.run(commits.collect());
    assert_eq!(done, (0..200).map(|id| StoreDone::Committed { id: StoreId(id) }).collect::<Vec<_>>());
    let stats = opened.store().stats().unwrap();
    assert_eq!((stats.commits, stats.bytes), (200, 200 * 9));
    assert!(stats.groups < 200, "{} groups", stats.groups);
    assert!(stats.used_pages > 0 && stats.page_bytes >= 4096);
}

#[test]
fn the_map_grows_before_it_is_full() {
    let opened = Opened::small();
    let value = vec![9; 200_000];
    for id in 0..40 {
        let done = opened.one(commit(id, vec![put(Table::Entry, id.to_be_bytes().to_vec(), value.clone())]));
        assert_eq!(done, StoreDone::Committed { id: StoreId(id) });
    }
    assert!(opened.store().stats().unwrap().map_bytes >= 2 * 40 * 200_000);
}

#[test]
fn a_second_opener_is_told_who_holds_the_directory() {
    let opened = Opened::small();
    let error = open_in(opened.dir.path(), opened.options).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("stop it"), "{text}");
}

#[test]
fn the_directory_is_private() {
    let opened = Opened::small();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(opened.dir.path()), 0o700);
    assert_eq!(mode(&opened.dir.path().join(DATA_FILE)), 0o600);
}

#[test]
fn a_wrong_key_is_refused_by_name() {
    let mut opened = Opened::small();
    opened.store = None;
    let other = StoreKey::new([8; 32]);
    let error = LmdbStore::open(opened.dir.path(), &other, opened.options, |_| {}).unwrap_err();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let mut opened = Opened::small();
    opened.store = None;
    let path = opened.dir.path();
    open::tests_write_format(path, 9);
    fs::write(path.join("stranger"), "x").unwrap();
    let before = fs::read(path.join(DATA_FILE)).unwrap();
    let error = open_in(path, opened.options).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("format 9") && text.contains("up to 2"), "{text}");
    assert_eq!(fs::read(path.join(DATA_FILE)).unwrap(), before);
    assert_eq!(fs::read(path.join("stranger")).unwrap(), b"x");
}

#[test]
fn an_older_format_gets_the_tables_that_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    open::tests_create_oldest(dir.path(), &KEY, &[]);
    let mut opened = {
        let (store, done) = open_in(dir.path(), StoreOptions::default()).unwrap();
        Opened { store: Some(store), done, dir, options: StoreOptions::default() }
    };
    let rows = [Table::Term, Table::Keys, Table::Meta].map(|table| put(table, "0001k", "v"));
    assert_eq!(opened.one(commit(1, rows.to_vec())), StoreDone::Committed { id: StoreId(1) });
    opened.reopen();
    for table in [Table::Term, Table::Keys, Table::Meta] {
        let got = StoreDone::Got { id: StoreId(2), values: vec![Some("v".into())] };
        assert_eq!(opened.one(read(2, table, "0001k")), got);
    }
}

#[test]
fn a_store_that_lacks_another_table_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open::tests_create_oldest(dir.path(), &KEY, &[Table::Tally]);
    let before = fs::read(dir.path().join(DATA_FILE)).unwrap();
    assert!(matches!(open_in(dir.path(), StoreOptions::default()).unwrap_err(), OpenError::NotAStore { .. }));
    assert_eq!(fs::read(dir.path().join(DATA_FILE)).unwrap(), before);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATA_FILE);
    fs::write(&path, vec![1; 20_000]).unwrap();
    assert!(matches!(open_in(dir.path(), StoreOptions::default()).unwrap_err(), OpenError::NotAStore { .. }));
    assert_eq!(fs::read(&path).unwrap(), vec![1; 20_000]);
}

#[test]
fn a_creation_that_was_cut_short_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("creating")).unwrap();
    fs::write(dir.path().join("creating").join(DATA_FILE), "half").unwrap();
    let (store, _done) = open_in(dir.path(), StoreOptions::default()).unwrap();
    drop(store);
    assert!(!dir.path().join("creating").exists());
}

#[test]
fn a_flipped_bit_in_a_value_is_found_and_names_the_table() {
    let mut opened = Opened::small();
    let value = b"a value to be found in the file".repeat(4);
    opened.one(commit(1, vec![put(Table::Entry, "k", value.clone())]));
    opened.store = None;
    let path = opened.dir.path().join(DATA_FILE);
    let mut file = fs::read(&path).unwrap();
    let at = file.windows(value.len()).position(|window| window == value).unwrap();
    file[at] ^= 1;
    fs::write(&path, file).unwrap();
    opened.reopen();
    let corrupt = StoreError::Corrupt { table: "entry" };
    assert_eq!(opened.one(read(2, Table::Entry, "k")), failed(2, corrupt));
    assert_eq!(opened.one(commit(3, vec![])), StoreDone::Committed { id: StoreId(3) });
}

#[test]
fn values_with_plaintext_are_not_in_the_file() {
    let mut opened = Opened::small();
    let ops =
        Table::ALL.iter().filter(|table| table.sealed_at_rest()).map(|table| put(*table, "k", "canary in a mine"));
    opened.one(commit(1, ops.collect()));
    opened.store = None;
    let file = fs::read(opened.dir.path().join(DATA_FILE)).unwrap();
    assert!(!file.windows(16).any(|window| window == b"canary in a mine"));
}

#[test]
fn keys_of_indexes_are_not_in_the_file() {
    let mut opened = Opened::small();
    let key = |n: u32| [&1u32.to_be_bytes()[..], b"canary in a mine ", &n.to_be_bytes()].concat();
    for hundred in 0..20 {
        let rows = (0..100).map(|n| put(Table::Term, key(n * 20 + hundred), "singing aloud"));
        opened.one(commit(1, rows.collect()));
    }
    let some = (0..2000).step_by(3).map(|n| Op::Delete { table: Table::Term, key: key(n).into() });
    opened.one(commit(2, some.collect()));
    opened.one(commit(3, vec![Op::DeleteRange { table: Table::Term, from: key(500).into(), to: key(700).into() }]));
    opened.store = None;
    let file = fs::read(opened.dir.path().join(DATA_FILE)).unwrap();
    assert!(file.len() > 40_000);
    for plain in [&b"canary"[..], b"in a mine", b"singing", b"aloud"] {
        assert!(!file.windows(plain.len()).any(|window| window == plain));
    }
    opened.reopen();
    assert_eq!(opened.one(read(4, Table::Term, key(1))), {
        StoreDone::Got { id: StoreId(4), values: vec![Some("singing aloud".into())] }
    });
}

fn durable(id: u64, table: Table, key: impl Into<Bytes>) -> StoreRequest {
    StoreRequest::Get { id: StoreId(id), keys: vec![(table, key.into())], read: Read::Durable }
}

#[test]
fn a_durable_read_waits_for_no_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, done) = channel();
    let (answered, wait) = channel();
    let wait = std::sync::Mutex::new(wait);
    // The writer continues only once the read submitted after its commit is answered.
    let on_done = move |one: StoreDone| {
        match &one {
            StoreDone::Committed { .. } => wait.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap(),
            StoreDone::Got { .. } | StoreDone::Scanned { .. } | StoreDone::Failed { .. } => answered.send(()).unwrap(),
        }
        drop(sender.send(one));
    };
    let store = LmdbStore::open(dir.path(), &KEY, StoreOptions::default(), on_done).unwrap();
    store.submit(commit(1, vec![put(Table::Term, "0001k", "v")])).unwrap();
    store.submit(durable(2, Table::Log, "k")).unwrap();
    let got = StoreDone::Got { id: StoreId(2), values: vec![None] };
    assert_eq!(done.iter().take(2).collect::<Vec<_>>(), [got, StoreDone::Committed { id: StoreId(1) }]);
    assert_eq!(store.stats().unwrap().reads, 1);
}

#[test]
fn a_durable_read_is_never_older_than_what_was_reported() {
    let opened = Opened::small();
    let tables = [Table::Meta, Table::Term, Table::Value];
    for n in 1..150u64 {
        let rows = tables.map(|table| put(table, "0001n", n.to_be_bytes().to_vec()));
        assert_eq!(opened.one(commit(n, rows.to_vec())), StoreDone::Committed { id: StoreId(n) });
        // The next commit runs beside the read.
        let next = tables.map(|table| put(table, "0001n", (n + 1).to_be_bytes().to_vec()));
        opened.store().submit(commit(0, next.to_vec())).unwrap();
        let keys = tables.map(|table| (table, Bytes::from("0001n"))).to_vec();
        opened.store().submit(StoreRequest::Get { id: StoreId(1), keys, read: Read::Durable }).unwrap();
        for one in opened.done.iter().take(2) {
            if let StoreDone::Got { values, .. } = one {
                let seen: Vec<u64> = values
                    .iter()
                    .map(|value| u64::from_be_bytes(value.as_ref().unwrap()[..].try_into().unwrap()))
                    .collect();
                assert!(seen == [n; 3] || seen == [n + 1; 3], "{seen:?} after {n}");
            }
        }
    }
}

#[test]
fn the_map_moves_beside_readers() {
    let opened = Opened::new(StoreOptions { map_bytes: 1 << 20, group_commits_max: 1, ..StoreOptions::default() });
    let value = vec![9; 200_000];
    opened.one(commit(0, vec![put(Table::Entry, "k", value.clone()), put(Table::Term, "0001k", value.clone())]));
    for id in 1..60 {
        opened.store().submit(commit(id, vec![put(Table::Entry, id.to_be_bytes().to_vec(), value.clone())])).unwrap();
        for table in [Table::Entry, Table::Term] {
            for _ in 0..4 {
                let scan = Scan::of(table, Bytes::from("0001k"), Bytes::new(), usize::MAX);
                opened.store().submit(StoreRequest::Scan { id: StoreId(0), scan, read: Read::Durable }).unwrap();
            }
        }
    }
    let mut commits = 0;
    for one in opened.done.iter().take(59 * 9) {
        match &one {
            StoreDone::Committed { .. } => commits += 1,
            StoreDone::Scanned { rows, .. } => assert_eq!(rows[0].1, value),
            StoreDone::Got { .. } | StoreDone::Failed { .. } => panic!("{one:?}"),
        }
    }
    let stats = opened.store().stats().unwrap();
    assert_eq!((commits, stats.reads), (59, 59 * 8));
    assert!(stats.map_bytes > 2 * 60 * 200_000);
}

#[test]
fn a_scan_returns_no_more_than_the_store_allows() {
    let opened = Opened::new(StoreOptions { scan_bytes_max: 100, ..StoreOptions::default() });
    let rows = (0..10u8).map(|key| put(Table::Doc, vec![key], vec![0; 39]));
    opened.one(commit(1, rows.collect()));
    let scan = Scan::of(Table::Doc, Bytes::new(), Bytes::new(), usize::MAX);
    let StoreDone::Scanned { rows, more, .. } = opened.one(scan_of(2, scan)) else { panic!() };
    assert_eq!((rows.len(), more), (2, true));
}

#[test]
fn a_snapshot_stays_as_it_was_while_the_store_goes_on() {
    let opened = Opened::small();
    opened.one(commit(1, vec![put(Table::Meta, "a", "old"), put(Table::Meta, "b", "old")]));
    let snapshot = opened.store().snapshot().unwrap();
    opened.one(commit(2, vec![put(Table::Meta, "a", "new"), put(Table::Meta, "c", "new")]));
    let first = snapshot.rows(Table::Meta, None, 0).unwrap();
    assert_eq!(first, [("a".into(), "old".into())]);
    assert_eq!(snapshot.rows(Table::Meta, Some(b"a"), 100).unwrap(), [("b".into(), "old".into())]);
    assert_eq!(snapshot.rows(Table::Meta, Some(b"b"), 100).unwrap(), []);
}

#[test]
fn a_snapshot_gives_way_to_a_growing_store() {
    let opened = Opened::new(StoreOptions { group_commits_max: 1, ..StoreOptions::default() });
    let snapshot = opened.store().snapshot().unwrap();
    // By the estimate, LMDB may have to change gigabytes of pages; none of them is written.
    let ops = (0..u64::from(u16::MAX) * 4)
        .map(|key| Op::Delete { table: Table::Doc, key: key.to_be_bytes().to_vec().into() });
    opened.one(commit(1, ops.collect()));
    assert_eq!(snapshot.rows(Table::Meta, None, 1), Err(SnapshotError::Outgrown));
}

#[test]
fn dropping_the_store_finishes_what_was_submitted() {
    let mut opened = Opened::small();
    for id in 0..50 {
        opened.store().submit(commit(id, vec![put(Table::Log, id.to_be_bytes().to_vec(), "v")])).unwrap();
    }
    opened.store = None;
    assert_eq!(opened.done.iter().count(), 50);
}

#[derive(Debug, Clone)]
enum Step {
    Run(Vec<StoreRequest>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let table = (0..Table::ALL.len()).prop_map(|at| Table::ALL[at]);
    let key = proptest::collection::vec(0..3u8, 1..4).prop_map(Bytes::from);
    let value = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => (1000..20_000usize).prop_map(|len| vec![5; len]),
    ];
    let counter = Bytes::from_static(b"counter");
    let op = (table.clone(), key.clone(), key.clone(), proptest::option::of(value), 0..4u8);
    let op = op.prop_map(move |(table, key, to, value, kind)| match (value, kind) {
        (Some(value), 0) => Op::Replace { table, key, value: value.into() },
        (Some(value), _) => Op::Put { table, key, value: value.into() },
        (None, 0) => Op::Insert { table, key, counter: counter.clone() },
        (None, 1) => Op::DeleteRange { table, from: key, to },
        (None, _) => Op::Delete { table, key },
    });
    let keys = proptest::collection::vec((table.clone(), key.clone()), 0..5);
    let limits = (0..200usize, prop_oneof![0..4usize, Just(usize::MAX)], any::<bool>());
    let scan = (table, key.clone(), key, limits).prop_map(|(table, from, to, (bytes_max, rows_max, reverse))| {
        scan_of(0, Scan { reverse, ..Scan::of(table, from, to, bytes_max).limit(rows_max) })
    });
    let request = prop_oneof![
        3 => proptest::collection::vec(op, 0..8).prop_map(|ops| commit(0, ops)),
        1 => keys.prop_map(|keys| StoreRequest::Get { id: StoreId(0), keys, read: Read::Ordered }),
        1 => scan,
    ];
    prop_oneof![8 => proptest::collection::vec(request, 1..20).prop_map(Step::Run), 1 => Just(Step::Reopen)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_an_ordered_map_does(steps in proptest::collection::vec(step(), 1..12)) {
        let (mut opened, mut model) = (Opened::small(), MemStore::new());
        for step in steps {
            match step {
                Step::Run(requests) => prop_assert_eq!(opened.run(requests.clone()), model.run(requests)),
                Step::Reopen => {
                    opened.reopen();
                    model = model.crash(0);
                }
            }
        }
        let snapshot = opened.store().snapshot().unwrap();
        for table in Table::ALL {
            let rows = snapshot.rows(table, None, usize::MAX).unwrap();
            let expected = model.rows().iter().filter(|((of, _), _)| *of == table);
            prop_assert_eq!(rows, expected.map(|((_, key), value)| (key.clone(), value.clone())).collect::<Vec<_>>());
        }
    }
}
