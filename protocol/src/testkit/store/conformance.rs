//! What every store must do, as one test that each store runs.

use crate::storage::{Op, Scan, StoreDone, StoreError, StoreId, StoreRequest, Table};
use bytes::Bytes;

/// A store under test.
pub trait Subject {
    /// Submits all requests at once and returns all completions, in the order in which they came.
    fn run(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreDone>;

    /// Closes and opens the store again.
    fn reopen(&mut self);
}

/// Holds an empty `store` to the promises of [`crate::storage`].
///
/// # Panics
/// Where the store breaks one.
pub fn conformance(store: &mut dyn Subject) {
    a_read_sees_every_earlier_commit(store);
    a_scan_is_ordered_and_bounded(store);
    later_writes_win_and_all_survive(store);
    inserted_rows_are_counted_once_and_absent_ones_not_replaced(store);
    a_bad_request_fails_alone_when_it_reads_and_ends_the_store_when_it_writes(store);
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
    StoreRequest::Get { id: StoreId(id), keys }
}

fn scan(id: u64, from: &'static str, to: &'static str, bytes_max: usize) -> StoreRequest {
    let scan = Scan { table: Table::Entry, from: from.into(), to: to.into(), bytes_max };
    StoreRequest::Scan { id: StoreId(id), scan }
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

fn a_bad_request_fails_alone_when_it_reads_and_ends_the_store_when_it_writes(store: &mut dyn Subject) {
    let refused = StoreError::Invalid("a key is empty or too long");
    let long = "k".repeat(crate::storage::KEY_BYTES_MAX + 1);
    let fits = &long[1..];
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
    store.reopen();
    let done = store.run(vec![
        read(35, &[(Table::Meta, fits), (Table::Meta, "half"), (Table::Meta, "after")]),
        commit(36, vec![put(Table::Meta, "on", "again")]),
    ]);
    assert_eq!(done, [got(35, &[Some("fits"), None, None]), committed(36)]);
}
