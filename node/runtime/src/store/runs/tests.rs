use super::place::REACH;
use super::*;
use crate::store::engine::Engine;
use crate::store::open;
use crate::store::reader::Reader;
use crate::store::writing::Writing;
use crate::store::{StoreKey, StoreOptions};
use cosmicsync_protocol::storage::{KEY_BYTES_MAX, Op, Read, StoreDone, StoreId, StoreRequest};
use cosmicsync_protocol::testkit::store::{MemStore, Subject as _};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tempfile::TempDir;

const KEY: StoreKey = StoreKey::new([7; 32]);

/// An engine without its threads.
struct Bare {
    engine: Engine,
    dir: TempDir,
}

fn open_in(dir: &TempDir) -> Engine {
    open::open(dir.path(), &KEY, &StoreOptions { map_bytes: 64 << 20, ..StoreOptions::default() }).unwrap()
}

impl Bare {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { engine: open_in(&dir), dir }
    }

    fn reopen(self) -> Self {
        let Self { engine, dir } = self;
        drop(engine);
        Self { engine: open_in(&dir), dir }
    }

    /// Applies writes in one transaction; commits it if `stands`.
    fn write(&mut self, ops: &[Op], stands: bool) {
        let (env, reader, entropy) = self.engine.tests_parts();
        let mut wtxn = env.write_txn().unwrap();
        let mut writing = Writing::new(reader, entropy);
        for op in ops {
            writing.apply(&mut wtxn, op).unwrap();
        }
        writing.finish(&mut wtxn).unwrap();
        if stands {
            wtxn.commit().unwrap();
        }
    }

    fn put_all(&mut self, keys: impl IntoIterator<Item = Vec<u8>>, value: &Bytes) {
        self.write(&keys.into_iter().map(|key| put(key, value.clone())).collect::<Vec<_>>(), true);
    }

    fn reader(&mut self) -> Reader {
        self.engine.tests_parts().1.clone()
    }

    fn answer(&mut self, reader: &Reader, request: &StoreRequest) -> Result<StoreDone, StoreError> {
        reader.answer(&self.engine.tests_parts().0.read_txn().unwrap(), request, usize::MAX)
    }

    fn scan(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let reader = self.reader().apart();
        let done = self.answer(&reader, &scan(Scan::of(TABLE, Bytes::new(), Bytes::new(), usize::MAX)))?;
        let StoreDone::Scanned { rows, more: false, .. } = done else { panic!("{done:?}") };
        Ok(rows)
    }

    /// Returns the row keys, encoded runs and opened runs in the store.
    fn standing(&mut self) -> Vec<(Vec<u8>, Bytes, Run)> {
        let (env, reader, _) = self.engine.tests_parts();
        let rtxn = env.read_txn().unwrap();
        let rows = reader.runs.db.range(&rtxn, &(Bound::<&[u8]>::Unbounded, Bound::Unbounded)).unwrap();
        let open = |(key, stored): (&[u8], &[u8])| {
            let plain = reader.sealer.open((TABLE, key), stored).unwrap();
            let run = Run::decode(index_no(key), &plain).unwrap();
            (key.to_vec(), plain, run)
        };
        rows.map(|row| open(row.unwrap())).collect()
    }

    /// Checks the invariants of runs.
    fn check(&mut self) {
        let standing = self.standing();
        for (key, plain, run) in &standing {
            assert!(parts(key).unwrap().1 > 0);
            assert!(plain.len() <= RUN_BYTES_MAX || run.len() == 1, "{} bytes in {} rows", plain.len(), run.len());
        }
        for pair in standing.windows(2) {
            assert!(pair[0].2.last() < pair[1].2.first());
        }
    }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
    Op::Put { table: TABLE, key: key.into(), value: value.into() }
}

fn scan(scan: Scan) -> StoreRequest {
    StoreRequest::Scan { id: StoreId(0), scan, read: Read::Durable }
}

fn get(key: Bytes) -> StoreRequest {
    StoreRequest::Get { id: StoreId(0), keys: vec![(TABLE, key)], read: Read::Durable }
}

fn numbered(index: u32, number: u64) -> Vec<u8> {
    [&index.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

/// Returns the numbers below `count` in random order.
fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    numbers.sort_by_key(|n| *blake3::hash(&n.to_be_bytes()).as_bytes());
    numbers
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Op>),
    /// Applies writes in a transaction and aborts it.
    Abort(Vec<Op>),
    Read(Vec<StoreRequest>),
    Reopen,
}

fn keys() -> impl Strategy<Value = Bytes> {
    let index = prop_oneof![Just(0u32), Just(1), Just(2), Just(u32::MAX)];
    let body = prop_oneof![
        4 => (0..400u16).prop_map(|number| number.to_be_bytes().to_vec()),
        2 => (0..40u8).prop_map(|number| [&[b'p'; 300][..], &[number]].concat()),
        1 => proptest::collection::vec(0..2u8, 0..3),
    ];
    let short = proptest::collection::vec(0..2u8, 1..4);
    prop_oneof![
        12 => (index, body).prop_map(|(index, body)| [&index.to_be_bytes()[..], &body].concat().into()),
        1 => short.prop_map(Bytes::from),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let value = prop_oneof![
        4 => (0..3usize).prop_map(|len| vec![1; len]),
        3 => (100..1500usize).prop_map(|len| vec![2; len]),
        1 => (3900..9000usize).prop_map(|len| vec![3; len]),
    ];
    let one = (keys(), keys(), value, 0..12u8).prop_map(|(key, to, value, kind)| match kind {
        0 => Op::Replace { table: TABLE, key, value: value.into() },
        1 => Op::Insert { table: TABLE, key, counter: "n".into() },
        2 | 3 => Op::Delete { table: TABLE, key },
        4 => {
            let (from, to) = if key < to { (key, to) } else { (to, key) };
            Op::DeleteRange { table: TABLE, from, to }
        }
        _ => put(key, value),
    });
    prop_oneof![
        6 => proptest::collection::vec(one, 1..60),
        // Rows in ascending order, before or after others.
        2 => (0..4u32, 0..2000u64, 1..400u64, 0..60usize).prop_map(|(index, from, count, len)| {
            (from..from + count).map(|number| put(numbered(index, number), vec![4; len])).collect()
        }),
        1 => (keys(), 0..4u8).prop_map(|(key, kind)| {
            let (from, to) = match kind {
                0 => (key, Bytes::new()),
                1 => (Bytes::new(), key),
                _ => (Bytes::copy_from_slice(&key[..key.len().min(4)]), Bytes::copy_from_slice(&[key[0], 1, 0, 0])),
            };
            vec![Op::DeleteRange { table: TABLE, from, to }]
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bound = prop_oneof![4 => keys(), 1 => Just(Bytes::new())];
    let limits = (prop_oneof![0..9000usize, Just(usize::MAX)], prop_oneof![0..9usize, Just(usize::MAX)], any::<bool>());
    let scans = (bound.clone(), bound, limits).prop_map(|(from, to, (bytes_max, rows_max, reverse))| {
        scan(Scan { reverse, ..Scan::of(TABLE, from, to, bytes_max).limit(rows_max) })
    });
    let read = prop_oneof![1 => scans, 1 => keys().prop_map(get)];
    let step = prop_oneof![
        6 => ops().prop_map(Step::Write),
        1 => ops().prop_map(Step::Abort),
        4 => proptest::collection::vec(read, 1..20).prop_map(Step::Read),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

fn rows_of(model: &MemStore) -> Vec<(Bytes, Bytes)> {
    let rows = model.rows().iter().filter(|((table, _), _)| *table == TABLE);
    rows.map(|((_, key), value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_do_what_an_ordered_map_does(steps in steps()) {
        let (mut bare, mut model) = (Bare::new(), MemStore::new());
        for step in steps {
            match step {
                Step::Write(ops) => {
                    bare.write(&ops, true);
                    model.run(vec![StoreRequest::Commit { id: StoreId(0), ops }]);
                    bare.check();
                    prop_assert_eq!(bare.scan().unwrap(), rows_of(&model));
                }
                Step::Abort(ops) => bare.write(&ops, false),
                Step::Read(requests) => {
                    let (shared, apart) = (bare.reader(), bare.reader().apart());
                    for request in requests {
                        let expected = model.run(vec![request.clone()]).remove(0);
                        prop_assert_eq!(&bare.answer(&shared, &request).unwrap(), &expected);
                        prop_assert_eq!(&bare.answer(&apart, &request).unwrap(), &expected);
                    }
                }
                Step::Reopen => bare = bare.reopen(),
            }
        }
    }
}

#[test]
fn rows_that_are_appended_fill_their_runs() {
    let mut bare = Bare::new();
    for hundred in 0..50 {
        bare.put_all((0..100).map(|n| numbered(1, hundred * 100 + n)), &vec![0; 30].into());
    }
    let standing = bare.standing();
    let (last, whole) = standing.split_last().unwrap();
    assert!(whole.len() > 20 && last.2.len() > 0);
    for (_, plain, _) in whole {
        assert!(plain.len() > RUN_BYTES_MAX - 100, "{} bytes", plain.len());
    }
    bare.check();
}

#[test]
fn rows_that_come_in_any_order_fill_most_of_their_runs() {
    let mut bare = Bare::new();
    let numbers = shuffled(5000);
    for some in numbers.chunks(50) {
        bare.put_all(some.iter().map(|n| numbered(1, *n)), &vec![0; 30].into());
    }
    bare.check();
    let bytes: usize = bare.standing().iter().map(|(_, plain, _)| plain.len()).sum();
    let part = bytes * 100 / (bare.standing().len() * RUN_BYTES_MAX);
    assert!((55..=95).contains(&part), "{part} %");
    assert_eq!(bare.scan().unwrap().len(), 5000);
}

#[test]
fn labels_are_spread_where_there_is_no_room_between_them() {
    for descending in [false, true] {
        let mut bare = Bare::new();
        bare.put_all((0..400).map(|n| numbered(1, n << 32)), &vec![0; 400].into());
        let labels = |bare: &mut Bare| bare.standing().into_iter().map(|(key, ..)| key).collect::<BTreeSet<_>>();
        let before = labels(&mut bare);
        // All insertions are at the same place, where each split halves the room.
        for n in 1..=600u64 {
            let n = if descending { 10_000 - n } else { n };
            bare.put_all([numbered(1, (200 << 32) + n)], &vec![1; 400].into());
        }
        bare.check();
        let after = labels(&mut bare);
        // Nothing was deleted, so a missing label is one of a moved run.
        let moved = before.difference(&after).count();
        assert!(after.len() > before.len() + 60 && moved >= REACH / 2, "{moved} of {} moved", after.len());
        assert_eq!(bare.scan().unwrap().len(), 1000);
    }
}

#[test]
fn what_is_deleted_leaves_no_runs_and_small_ones_join() {
    let mut bare = Bare::new();
    bare.put_all((0..5000).map(|n| numbered(1, n)), &vec![0; 30].into());
    let before = bare.standing().len();
    let gone = |n: &u64| !n.is_multiple_of(20);
    let ops = |numbers: Vec<u64>| {
        let delete = |n| Op::Delete { table: TABLE, key: numbered(1, n).into() };
        numbers.into_iter().map(delete).collect::<Vec<_>>()
    };
    let numbers: Vec<u64> = shuffled(5000).into_iter().filter(gone).collect();
    for some in numbers.chunks(40) {
        bare.write(&ops(some.to_vec()), true);
    }
    bare.check();
    let after = bare.standing().len();
    assert!(after * 4 < before, "{after} of {before}");
    assert_eq!(bare.scan().unwrap().len(), 250);
    bare.write(&ops((0..5000).collect()), true);
    assert_eq!(bare.standing().len(), 0);
}

#[test]
fn a_range_is_deleted_run_by_run() {
    let mut bare = Bare::new();
    for index in 1..=3 {
        bare.put_all((0..3000).map(|n| numbered(index, n)), &vec![0; 30].into());
    }
    let range = |from: Vec<u8>, to: Vec<u8>| Op::DeleteRange { table: TABLE, from: from.into(), to: to.into() };
    bare.write(&[range(vec![0, 0, 0, 2], vec![0, 0, 0, 3])], true);
    assert_eq!(bare.scan().unwrap().len(), 6000);
    bare.write(&[range(numbered(1, 2990), numbered(3, 10)), put(numbered(2, 7), "again")], true);
    bare.check();
    let rows = bare.scan().unwrap();
    assert_eq!((rows.len(), &rows[2990]), (2990 + 1 + 2990, &(numbered(2, 7).into(), "again".into())));
}

#[test]
fn keys_that_are_alike_do_not_fill_the_memory() {
    let mut bare = Bare::new();
    let alike = |n: u64| [&[1; 460][..], &n.to_be_bytes()].concat();
    bare.put_all((0..3000).map(alike), &Bytes::new());
    bare.check();
    let opened = bare.standing().iter().map(|(_, _, run)| run.weight()).max().unwrap();
    assert!(opened < 40 << 10, "{opened} bytes");
}

#[test]
fn a_damaged_run_is_found_and_names_the_table() {
    let mut bare = Bare::new();
    bare.put_all((0..1000).map(|n| numbered(1, n)), &vec![0; 30].into());
    let corrupt = StoreError::Corrupt { table: "term" };
    let at = |bare: &mut Bare, nth: usize| bare.standing()[nth].0.clone();
    let stored = |bare: &mut Bare, key: &[u8]| {
        let (env, reader, _) = bare.engine.tests_parts();
        let rtxn = env.read_txn().unwrap();
        reader.runs.db.get(&rtxn, key).unwrap().unwrap().to_vec()
    };
    let store = |bare: &mut Bare, key: &[u8], bytes: &[u8]| {
        let (env, reader, _) = bare.engine.tests_parts();
        let mut wtxn = env.write_txn().unwrap();
        reader.runs.db.put(&mut wtxn, key, bytes).unwrap();
        wtxn.commit().unwrap();
    };
    let (first, second) = (at(&mut bare, 0), at(&mut bare, 1));
    let (whole, other) = (stored(&mut bare, &first), stored(&mut bare, &second));
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    // A changed run, truncated runs, and one of another index.
    for bad in [&flipped[..], &whole[..whole.len() - 1], &whole[..3], &other] {
        store(&mut bare, &first, bad);
        let reader = bare.reader().apart();
        assert_eq!(bare.scan(), Err(corrupt.clone()));
        assert_eq!(bare.answer(&reader, &get(numbered(1, 5).into())), Err(corrupt.clone()));
        assert_eq!(bare.engine.snapshot().unwrap().rows(TABLE, None, 1 << 20), Err(corrupt.clone().into()));
    }
    store(&mut bare, &first, &whole);
    assert_eq!(bare.scan().unwrap().len(), 1000);
    // Runs that can be opened, but are not in the order of their labels.
    let (env, reader, entropy) = bare.engine.tests_parts();
    let mut wtxn = env.write_txn().unwrap();
    let runs = reader.runs.clone();
    let mut room = Vec::new();
    let (key, value) = (numbered(1, 2000), Vec::new());
    let rows: [RowRef<'_>; 1] = [(&key, &value)];
    Rewriting::new(&runs, entropy, &mut room).put(&mut wtxn, [0, 0, 0, 1], parts(&first).unwrap().1, &rows).unwrap();
    wtxn.commit().unwrap();
    assert_eq!(bare.scan(), Err(corrupt.clone()));
    let reader = bare.reader().apart();
    let down = scan(Scan::of(TABLE, Bytes::new(), Bytes::new(), usize::MAX).descending());
    assert_eq!(bare.answer(&reader, &down), Err(corrupt));
}

#[test]
fn runs_are_cut_evenly_or_filled() {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = (0..200).map(|n| (numbered(1, n), vec![0; 40])).collect();
    let rows: Vec<RowRef<'_>> = rows.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let sizes = |ends: &[usize]| {
        let mut plain = Vec::new();
        let starts = [0].into_iter().chain(ends.iter().copied());
        let size = |(start, end): (usize, &usize)| {
            encode(&rows[start..*end], &mut plain);
            assert_eq!(Run::decode([0, 0, 0, 1], &plain).unwrap().len(), end - start);
            plain.len()
        };
        starts.zip(ends).map(size).collect::<Vec<_>>()
    };
    let (even, filled) = (sizes(&cut(&rows, false)), sizes(&cut(&rows, true)));
    assert_eq!((even.len(), filled.len()), (3, 3));
    assert!(even.iter().all(|size| (2500..3300).contains(size)), "{even:?}");
    assert!(filled[..2].iter().all(|size| *size > RUN_BYTES_MAX - 60), "{filled:?}");
    let large = vec![0; 10_000];
    let with_large: Vec<RowRef<'_>> = vec![rows[0], (rows[1].0, &large), rows[2], rows[3]];
    assert_eq!(cut(&with_large, true), [1, 2, 4]);
    assert_eq!(cut(&with_large, false), [1, 2, 4]);
}

#[test]
fn what_is_no_run_does_not_decode() {
    let (first, second) = (numbered(1, 1), numbered(1, 2));
    let mut plain = Vec::new();
    encode(&[(&first, b"v"), (&second, b"")], &mut plain);
    assert_eq!(Run::decode([0, 0, 0, 1], &plain).unwrap().rows().count(), 2);
    assert!(Run::decode([0, 0, 0, 2], &plain).is_none(), "another index");
    for end in 0..plain.len() {
        let cut_off = Run::decode([0, 0, 0, 1], &plain[..end]);
        assert!(cut_off.is_none_or(|run| run.len() == 1), "{end} bytes");
    }
    encode(&[(&second, b""), (&first, b"")], &mut plain);
    assert!(Run::decode([0, 0, 0, 1], &plain).is_none(), "out of order");
    encode(&[(&first, b""), (&first, b"")], &mut plain);
    assert!(Run::decode([0, 0, 0, 1], &plain).is_none(), "twice");
    encode(&[(&[1; KEY_BYTES_MAX + 1], b"")], &mut plain);
    assert!(Run::decode([1; 4], &plain).is_none(), "a key that is too long");
    for bad in [&[1, 0, 1, 0, 5][..], &[0, 1, 0, 0], &[0, 0, 0, 0], &[0, 255, 255, 255, 255, 255, 1]] {
        assert!(Run::decode([0; 4], bad).is_none(), "{bad:?}");
    }
}
