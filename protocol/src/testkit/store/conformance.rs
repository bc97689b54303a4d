//! Requirements for every store, as one test that each store runs.

use crate::storage::{Join, KEY_BYTES_MAX, Op, Read, Scan, StoreDone, StoreError, StoreId, StoreRequest, Table};
use bytes::Bytes;

/// A store under test.
pub trait Subject {
    /// Submits all requests at once and returns all completions, in the order in which they came. Those of
    /// [`Read::Durable`] may come at any place.
    fn run(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreDone>;

    /// Closes and opens the store again.
    fn reopen(&mut self);
}

/// Holds an empty `store` to the promises of [`crate::storage`].
///
/// # Panics
/// If the store breaks one.
pub fn conformance(store: &mut dyn Subject) {
    a_read_sees_every_earlier_commit(store);
    a_scan_is_ordered_and_bounded(store);
    later_writes_win_and_all_survive(store);
    inserted_rows_are_counted_once_and_absent_ones_not_replaced(store);
    a_scan_descends_and_counts_rows(store);
    a_scan_joins_rows_of_another_table(store);
    a_range_is_deleted_in_its_turn(store);
    a_durable_read_sees_reported_commits_or_later_ones(store);
    a_bad_read_fails_alone_and_a_bad_write_ends_the_store(store);
}

fn a_scan_joins_rows_of_another_table(store: &mut dyn Subject) {
    let mut ops = vec![put(Table::App, "j/1", "one"), put(Table::App, "j/2", "a longer value")];
    ops.extend(["x3", "y1", "y2", "z1"].map(|key| put(Table::Entry, &format!("join {key}"), "own")));
    let join = || Join { table: Table::App, prefix: Bytes::from_static(b"j/"), tail: 1 };
    let all = || Scan::of(Table::Entry, "join ".into(), "join~".into(), 1000).joined(join());
    let done = store.run(vec![
        commit(1, ops),
        scan_of(2, all()),
        scan_of(3, all().descending().limit(2)),
        // The values of the other table are charged to the limit, not those of the scanned rows.
        scan_of(4, Scan { bytes_max: 30, ..all() }),
        commit(5, vec![Op::DeleteRange { table: Table::Entry, from: "join ".into(), to: "join~".into() }]),
    ]);
    let row = |key: &'static str, value: &'static str| (Bytes::from(key), Bytes::from(value));
    let rows = [row("join x3", ""), row("join y1", "one"), row("join y2", "a longer value"), row("join z1", "one")];
    let (first, last) = (rows[..2].to_vec(), vec![rows[3].clone(), rows[2].clone()]);
    assert_eq!(done[1], StoreDone::Scanned { id: StoreId(2), rows: rows.into(), more: false });
    assert_eq!(done[2], StoreDone::Scanned { id: StoreId(3), rows: last, more: true });
    assert_eq!(done[3], StoreDone::Scanned { id: StoreId(4), rows: first, more: true });
}

fn put(table: Table, key: &str, value: &str) -> Op {
    Op::Put { table, key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn delete(table: Table, key: &str) -> Op {
    Op::Delete { table, key: Bytes::copy_from_slice(key.as_bytes()) }
}

const fn commit(id: u64, ops: Vec<Op>) -> StoreRequest {
    StoreRequest::Commit { id: StoreId(id), ops }
}

fn read(id: u64, keys: &[(Table, &str)]) -> StoreRequest {
    let keys = keys.iter().map(|(table, key)| (*table, Bytes::copy_from_slice(key.as_bytes()))).collect();
    StoreRequest::Get { id: StoreId(id), keys, read: Read::Ordered }
}

fn durable(id: u64, keys: &[(Table, &str)]) -> StoreRequest {
    let StoreRequest::Get { id, keys, .. } = read(id, keys) else { unreachable!("it is made so") };
    StoreRequest::Get { id, keys, read: Read::Durable }
}

fn scan(id: u64, from: &'static str, to: &'static str, bytes_max: usize) -> StoreRequest {
    scan_of(id, Scan::of(Table::Entry, from.into(), to.into(), bytes_max))
}

const fn scan_of(id: u64, scan: Scan) -> StoreRequest {
    StoreRequest::Scan { id: StoreId(id), scan, read: Read::Ordered }
}

fn got(id: u64, values: &[Option<&'static str>]) -> StoreDone {
    StoreDone::Got { id: StoreId(id), values: values.iter().map(|value| value.map(Bytes::from)).collect() }
}

fn scanned(id: u64, keys: &[&'static str], more: bool) -> StoreDone {
    let rows = keys.iter().map(|key| (Bytes::from(*key), Bytes::from("12345678"))).collect();
    StoreDone::Scanned { id: StoreId(id), rows, more }
}

const fn committed(id: u64) -> StoreDone {
    StoreDone::Committed { id: StoreId(id) }
}

const fn failed(id: u64, error: StoreError) -> StoreDone {
    StoreDone::Failed { id: StoreId(id), error }
}

fn a_read_sees_every_earlier_commit(store: &mut dyn Subject) {
    let row = (Table::Secret, "k");
    let done = store.run(vec![
        read(1, &[row]),
        commit(2, vec![put(Table::Secret, "k", "one"), put(Table::Meta, "k", "other")]),
        read(3, &[row, (Table::Meta, "k"), (Table::Log, "k")]),
        commit(4, vec![put(Table::Secret, "k", "two"), delete(Table::Meta, "k"), delete(Table::Meta, "none")]),
        read(5, &[row, (Table::Meta, "k")]),
    ]);
    let expected = [
        got(1, &[None]),
        committed(2),
        got(3, &[Some("one"), Some("other"), None]),
        committed(4),
        got(5, &[Some("two"), None]),
    ];
    assert_eq!(done, expected);
}

fn a_scan_is_ordered_and_bounded(store: &mut dyn Subject) {
    let rows = ["b2", "a1", "c3", "a2", "b1"].map(|key| put(Table::Entry, key, "12345678"));
    let done = store.run(vec![
        commit(10, rows.to_vec()),
        scan(11, "", "", usize::MAX),
        scan(12, "a2", "c3", usize::MAX),
        scan(13, "a1", "", 20),
        scan(14, "b1", "", 0),
        scan(15, "d", "", 100),
        scan(16, "b", "a", 100),
    ]);
    let expected = [
        committed(10),
        scanned(11, &["a1", "a2", "b1", "b2", "c3"], false),
        scanned(12, &["a2", "b1", "b2"], false),
        scanned(13, &["a1", "a2"], true),
        scanned(14, &["b1"], true),
        scanned(15, &[], false),
        scanned(16, &[], false),
    ];
    assert_eq!(done, expected);
}

fn later_writes_win_and_all_survive(store: &mut dyn Subject) {
    let ops = vec![
        put(Table::App, "x", "first"),
        delete(Table::App, "x"),
        put(Table::App, "x", "last"),
        put(Table::App, "y", "gone"),
        delete(Table::App, "y"),
        put(Table::Doc, "empty", ""),
    ];
    assert_eq!(store.run(vec![commit(20, ops)]), [committed(20)]);
    store.reopen();
    let rows = [(Table::App, "x"), (Table::App, "y"), (Table::Doc, "empty"), (Table::Secret, "k")];
    let done = store.run(vec![read(21, &rows)]);
    assert_eq!(done, [got(21, &[Some("last"), None, Some(""), Some("two")])]);
}

fn inserted_rows_are_counted_once_and_absent_ones_not_replaced(store: &mut dyn Subject) {
    let insert = |key: &str| Op::Insert {
        table: Table::Doc,
        key: Bytes::copy_from_slice(key.as_bytes()),
        counter: Bytes::from_static(b"n"),
    };
    let replace = |key: &str, value: &'static str| Op::Replace {
        table: Table::App,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
    };
    let first = vec![insert("i1"), insert("i2"), insert("i1"), replace("r1", "no"), put(Table::App, "r2", "old")];
    let second = vec![insert("i2"), insert("i3"), replace("r2", "new"), delete(Table::Doc, "i1")];
    let number = |id| read(id, &[(Table::Tally, "n")]);
    let done = store.run(vec![commit(25, first), number(26), commit(27, second), number(28)]);
    let is = |number: u8| Some(Bytes::copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, number]));
    let counted = |id, number| StoreDone::Got { id: StoreId(id), values: vec![is(number)] };
    assert_eq!(done, [committed(25), counted(26, 2), committed(27), counted(28, 3)]);
    store.reopen();
    let rows = [(Table::App, "r1"), (Table::App, "r2"), (Table::Doc, "i1"), (Table::Doc, "i2"), (Table::Doc, "i3")];
    let done = store.run(vec![number(29), read(24, &rows)]);
    assert_eq!(done, [counted(29, 3), got(24, &[None, Some("new"), None, Some(""), Some("")])]);
}

/// Tables whose rows a store may keep in a special way.
const RANGES: [Table; 3] = [Table::Entry, Table::Term, Table::Keys];

/// Keys with common prefixes, keys that are prefixes of others, and unrelated ones.
const RANGED: [&str; 6] = ["0001a", "0001aa", "0001b", "0002", "0002a", "0003c"];

fn a_scan_descends_and_counts_rows(store: &mut dyn Subject) {
    let (key, all) = (|at: usize| Bytes::from(RANGED[at]), Bytes::new);
    for (nth, table) in (0..).zip(RANGES) {
        let id = 100 + nth * 20;
        let clear = Op::DeleteRange { table, from: all(), to: all() };
        let ops = [clear].into_iter().chain(RANGED.iter().rev().map(|name| put(table, name, "12345678")));
        let scans = [
            (Scan::of(table, all(), all(), usize::MAX).descending(), vec![5, 4, 3, 2, 1, 0], false),
            (Scan::of(table, key(1), key(4), usize::MAX).descending(), vec![3, 2, 1], false),
            (Scan::of(table, key(1), key(4), usize::MAX).descending().limit(2), vec![3, 2], true),
            (Scan::of(table, key(1), key(4), usize::MAX).descending().limit(3), vec![3, 2, 1], false),
            (Scan::of(table, all(), all(), 30).descending(), vec![5, 4], true),
            (Scan::of(table, all(), all(), 0).descending(), vec![5], true),
            (Scan::of(table, all(), key(0), 100).descending(), vec![], false),
            (Scan::of(table, key(4), key(1), 100).descending(), vec![], false),
            (Scan::of(table, key(2), all(), usize::MAX).limit(2), vec![2, 3], true),
            (Scan::of(table, key(2), all(), usize::MAX).limit(4), vec![2, 3, 4, 5], false),
            (Scan::of(table, key(2), all(), usize::MAX).limit(0), vec![], true),
            (Scan::of(table, "0004".into(), all(), usize::MAX).limit(0), vec![], false),
            (Scan::of(table, "0".into(), "0001a\0".into(), usize::MAX), vec![0], false),
        ];
        let requests = (id + 1..).zip(&scans).map(|(id, (scan, ..))| scan_of(id, scan.clone()));
        let done = store.run([commit(id, ops.collect())].into_iter().chain(requests).collect());
        let expected = (id + 1..)
            .zip(&scans)
            .map(|(id, (_, rows, more))| scanned(id, &rows.iter().map(|at| RANGED[*at]).collect::<Vec<_>>(), *more));
        assert_eq!(done, [committed(id)].into_iter().chain(expected).collect::<Vec<_>>(), "{table:?}");
    }
}

fn a_range_is_deleted_in_its_turn(store: &mut dyn Subject) {
    for (nth, table) in (0..).zip(RANGES) {
        let id = 200 + nth * 10;
        let without =
            |from: &'static str, to: &'static str| Op::DeleteRange { table, from: from.into(), to: to.into() };
        let all = |id| scan_of(id, Scan::of(table, Bytes::new(), Bytes::new(), usize::MAX));
        let done = store.run(vec![
            commit(
                id,
                vec![put(table, "0001c", "12345678"), without("0001aa", "0002"), put(table, "0001b", "12345678")],
            ),
            all(id + 1),
            commit(
                id + 2,
                vec![without("0009", ""), without("0002", "0001"), without("", "0001b"), without("0003", "")],
            ),
            all(id + 3),
        ]);
        let expected = [
            committed(id),
            scanned(id + 1, &["0001a", "0001b", "0002", "0002a", "0003c"], false),
            committed(id + 2),
            scanned(id + 3, &["0001b", "0002", "0002a"], false),
        ];
        assert_eq!(done, expected, "{table:?}");
    }
    store.reopen();
    for (nth, table) in (0..).zip(RANGES) {
        let done = store.run(vec![scan_of(230 + nth, Scan::of(table, Bytes::new(), Bytes::new(), 1000))]);
        assert_eq!(done, [scanned(230 + nth, &["0001b", "0002", "0002a"], false)], "{table:?}");
    }
}

fn a_durable_read_sees_reported_commits_or_later_ones(store: &mut dyn Subject) {
    let rows = [(Table::Term, "0007k"), (Table::Value, "k")];
    let both = |value: &str| rows.iter().map(|(table, key)| put(*table, key, value)).collect();
    assert_eq!(store.run(vec![commit(240, both("0"))]), [committed(240)]);
    for round in 1..20u64 {
        let id = 240 + round * 10;
        let (old, new) = ((round - 1).to_string(), round.to_string());
        let scan = Scan::of(Table::Value, "k".into(), "l".into(), 100);
        let scan = StoreRequest::Scan { id: StoreId(id + 3), scan, read: Read::Durable };
        let mut done = store.run(vec![
            durable(id, &rows),
            commit(id + 1, both("between")),
            durable(id + 2, &rows),
            scan,
            commit(id + 4, both(&new)),
            read(id + 5, &rows),
            durable(id + 6, &rows),
        ]);
        let ordered: Vec<_> = done.iter().map(|done| done.id().0 - id).filter(|id| [1, 4, 5].contains(id)).collect();
        assert_eq!(ordered, [1, 4, 5]);
        done.sort_by_key(StoreDone::id);
        let seen = |value: &str| value == old || value == "between" || value == new;
        for done in &done {
            match done {
                StoreDone::Got { values, .. } => {
                    assert_eq!(values[0], values[1], "they are of one state");
                    let value = String::from_utf8(values[0].clone().unwrap_or_default().into()).unwrap_or_default();
                    assert!(
                        if done.id().0 == id + 5 { value == new } else { seen(&value) },
                        "{value} in round {round}"
                    );
                }
                StoreDone::Scanned { rows, more, .. } => {
                    let value = String::from_utf8(rows[0].1.clone().into()).unwrap_or_default();
                    assert!(seen(&value) && rows.len() == 1 && !more, "{value} in round {round}");
                }
                StoreDone::Committed { .. } => {}
                StoreDone::Failed { error, .. } => panic!("{error}"),
            }
        }
        let value = Bytes::from(new);
        let done = store.run(vec![durable(id + 7, &rows)]);
        assert_eq!(done, [StoreDone::Got { id: StoreId(id + 7), values: vec![Some(value.clone()), Some(value)] }]);
    }
}

fn a_bad_read_fails_alone_and_a_bad_write_ends_the_store(store: &mut dyn Subject) {
    let refused = StoreError::Invalid("a key is empty or too long");
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    let fits = &long[1..];
    let bound = |more: usize| Scan::of(Table::Term, long.repeat(more).into(), Bytes::new(), 10);
    assert_eq!(
        store.run(vec![scan_of(38, bound(1)), scan_of(39, bound(2))]),
        [scanned(38, &[], false), failed(39, StoreError::Invalid("a bound is too long"))]
    );
    let done = store.run(vec![durable(37, &[(Table::Meta, &long)])]);
    assert_eq!(done, [failed(37, refused.clone())]);
    let done = store.run(vec![
        read(30, &[(Table::Meta, &long)]),
        commit(31, vec![put(Table::Meta, fits, "fits")]),
        commit(32, vec![put(Table::Meta, "half", "no"), put(Table::Meta, "", "no")]),
        commit(33, vec![put(Table::Meta, "after", "no")]),
        read(34, &[(Table::Meta, fits)]),
    ]);
    let expected = [
        failed(30, refused.clone()),
        committed(31),
        failed(32, refused),
        failed(33, StoreError::Poisoned),
        failed(34, StoreError::Poisoned),
    ];
    assert_eq!(done, expected);
    let done = store.run(vec![durable(37, &[(Table::Meta, fits)])]);
    assert_eq!(done, [failed(37, StoreError::Poisoned)]);
    store.reopen();
    let done = store.run(vec![
        read(35, &[(Table::Meta, fits), (Table::Meta, "half"), (Table::Meta, "after")]),
        commit(36, vec![put(Table::Meta, "on", "again")]),
    ]);
    assert_eq!(done, [got(35, &[Some("fits"), None, None]), committed(36)]);
}
