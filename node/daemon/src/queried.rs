//! Formats answers about queries, indexes and schemas for display.

use cosmicsync_node::service::{DocView, Index, IndexCheck, LiveBatch, LiveEvent, Plan, SchemaReport};

use crate::table::Table;

/// Returns a table of indexes.
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

/// Returns a query's plan as names and values.
pub(crate) fn plan(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("plan", plan.plan.clone())];
    for part in &plan.indexes {
        let fixed = part.fields.iter().take(usize::try_from(part.equal).unwrap_or(usize::MAX));
        let fixed = fixed.map(|field| format!("{field} fixed"));
        let bounded = part.fields.iter().skip(usize::try_from(part.equal).unwrap_or(usize::MAX)).take(1);
        let bounded = bounded.filter(|_| part.bounded).map(|field| format!("{field} between bounds"));
        let mut uses: Vec<String> = fixed.chain(bounded).collect();
        if uses.is_empty() {
            uses.push("all of it".to_owned());
        }
        if part.ranges > 1 {
            uses.push(format!("{} ranges", part.ranges));
        }
        uses.push(part.direction.clone());
        pairs.push(("index", format!("{} on {}: {}", part.index, part.fields.join(","), uses.join(", "))));
    }
    pairs.push(("sort", plan.sort.clone()));
    pairs.extend(plan.rejected.iter().map(|other| ("not read", format!("{}: {}", other.index, other.why))));
    pairs.push(("behind", format!("{} documents, read one by one", plan.behind)));
    pairs
}

/// Returns the result of an index check as names and values.
pub(crate) fn check(check: &IndexCheck) -> [(&'static str, String); 4] {
    [
        ("documents", check.documents.to_string()),
        ("rows", check.rows.to_string()),
        ("missing", check.missing.to_string()),
        ("extra", check.extra.to_string()),
    ]
}

/// Returns the result of a schema check as names and values.
pub(crate) fn schema(report: &SchemaReport) -> [(&'static str, String); 4] {
    [
        ("collection", report.collection.clone()),
        ("schema", report.number.map_or_else(|| "not set".to_owned(), |number| format!("number {number}"))),
        ("documents", report.documents.to_string()),
        ("not valid", report.invalid.to_string()),
    ]
}

/// Returns a table of documents that do not match their schema.
pub(crate) fn invalid(report: &SchemaReport) -> Table {
    let mut table = Table::new(&["KEY", "PLACE", "PROBLEM"]);
    for one in &report.examples {
        let key = one.key.clone().unwrap_or_else(|| one.doc.to_string());
        for violation in &one.violations {
            table.row([key.clone(), violation.pointer.clone(), violation.message.clone()]);
        }
    }
    table
}

/// Returns the changes of a live query's answer: the kind of change, the document, its value.
pub(crate) fn live(batch: &LiveBatch) -> Vec<[String; 3]> {
    let cells = |what: &str, document: &DocView| {
        let key = document.key.clone().unwrap_or_else(|| document.doc.to_string());
        [what.to_owned(), key, document.value.as_ref().map(ToString::to_string).unwrap_or_default()]
    };
    let reset = batch.reset.then(|| ["answer".to_owned(), format!("{} documents", batch.events.len()), String::new()]);
    let events = batch.events.iter().map(|event| match event {
        LiveEvent::Added { document, .. } => cells("added", document),
        LiveEvent::Changed { document } => cells("changed", document),
        LiveEvent::Moved { document, .. } => cells("moved", document),
        LiveEvent::Removed { doc, key } => {
            ["removed".to_owned(), key.clone().unwrap_or_else(|| doc.to_string()), String::new()]
        }
    });
    reset.into_iter().chain(events).collect()
}
