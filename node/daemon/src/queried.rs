//! Answers about queries and indexes, as people read them.

use cosmicsync_node::service::{Index, IndexCheck, Plan};

use crate::table::Table;

/// A table of indexes.
pub(crate) fn indexes(all: &[Index]) -> Table {
    let mut table = Table::new(&["INDEX", "FIELDS", "STATE", "LISTS"]);
    for index in all {
        let state = match index.documents {
            Some(documents) => format!("{}, {documents} documents", index.state),
            None => index.state.clone(),
        };
        let lists = if index.lists { "yes" } else { "no" };
        table.row([index.index.clone(), index.fields.join(","), state, lists.to_owned()]);
    }
    table
}

/// How a query is answered, in names and values.
pub(crate) fn plan(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("plan", plan.plan.clone())];
    for part in &plan.indexes {
        let bounded = if part.bounded { " and a range" } else { "" };
        let ranges = format!("{} of them fixed{bounded}, {} ranges, {}", part.equal, part.ranges, part.direction);
        pairs.push(("index", format!("{} on {}: {ranges}", part.index, part.fields.join(","))));
    }
    pairs.push(("sort", plan.sort.clone()));
    pairs.extend(plan.rejected.iter().map(|other| ("not read", format!("{}: {}", other.index, other.why))));
    pairs.push(("behind", format!("{} documents, read one by one", plan.behind)));
    pairs
}

/// What checking an index found, in names and values.
pub(crate) fn check(check: &IndexCheck) -> [(&'static str, String); 4] {
    [
        ("documents", check.documents.to_string()),
        ("rows", check.rows.to_string()),
        ("missing", check.missing.to_string()),
        ("extra", check.extra.to_string()),
    ]
}
