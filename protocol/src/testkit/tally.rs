//! Checks that a store's counts match its listings, and that every listed document without a doubt exists.

use crate::documents::Snapshot;
use crate::ids::{CollectionId, DocRef};
use crate::storage::Table;
use crate::storage::rows::{Doubt, count_key, doubt_key, listing_parts};
use crate::testkit::store::Rows;
use std::collections::BTreeMap;

/// Returns a description of a wrong count in a store, if there is one.
pub fn wrong_count(rows: &Rows) -> Option<String> {
    let mut listed: BTreeMap<bytes::Bytes, u64> = BTreeMap::new();
    for (table, key) in rows.keys() {
        let (Table::Doc, Some(partition), Ok((collection, _))) = (table, key.first_chunk(), listing_parts(key)) else {
            continue;
        };
        let partition = crate::ids::PartNo(u32::from_be_bytes(*partition));
        *listed.entry(count_key(partition, &collection)).or_default() += 1;
    }
    let counted = |key: &bytes::Bytes| {
        let number = rows.get(&(Table::Tally, key.clone())).and_then(|row| row.first_chunk().copied());
        number.map_or(0, u64::from_be_bytes)
    };
    let wrong = listed.iter().find(|(key, count)| counted(key) != **count);
    wrong.map(|(key, count)| format!("{count} documents are listed and {} are counted", counted(key)))
}

/// Returns a description of a wrong doubt about a listed document, if there is one; `found` is the result of
/// opening it.
pub fn wrong_doubt(rows: &Rows, doc: DocRef, collection: &CollectionId, found: Option<&Snapshot>) -> Option<String> {
    if !rows.contains_key(&(Table::Doc, crate::storage::rows::listing_key(doc, collection))) {
        return None;
    }
    let doubt = rows.get(&(Table::Tally, doubt_key(doc))).map(|row| Doubt::decode(row));
    let deleted = found.map(|found| found.meta.deleted);
    let right = match doubt {
        None => deleted == Some(false),
        Some(Ok(Doubt::Unknown)) => true,
        Some(Ok(Doubt::Deleted(_))) => deleted == Some(true),
        Some(Err(_)) => false,
    };
    (!right).then(|| format!("it is {doubt:?} and deleted: {deleted:?}"))
}
