//! Carries out `query`, `live`, `count` and `index`.

use cosmicsync_node::service::{
    Backend, Command, Group, IndexName, Item, Measure, MeasureKind, Queried, Query, Reply, ServiceError, SpaceRef,
    quoted,
};
use serde_json::Value;
use std::io;

use super::doc::json_argument;
use super::{Failure, Run, usage};
use crate::cli::{Count, Find, IndexVerb, Live, Query as Options};
use crate::output::{Output, shown};
use crate::table::Table;
use crate::terminal;

/// Default number of documents on a terminal.
const SHOWN: u64 = 100;

/// Carries out `query`.
pub(super) async fn query(run: &mut Run<'_>, options: Options) -> Result<(), Failure> {
    let Options { find, bookmark, index, explain } = options;
    let asked_for_part = find.limit.is_none() && run.page(SHOWN).is_some();
    let limit = find.limit.or_else(|| run.page(SHOWN));
    let (columns, asked_for_none) = (columns(&find), limit == Some(0) || bookmark.is_some());
    let query = Query { limit, bookmark, use_index: index, ..query_of(find, "query")? };
    let (space, collection, forgotten) = (query.space.clone(), query.collection.clone(), query.forgotten_operator());
    if explain {
        return run.print(Command::QueryPlan(query)).await;
    }
    let door = run.door(false).await?;
    let result = run.call_at(&*door.backend, Command::Query(query), None, |output, item| {
        if let (Item::Document(document), false) = (&item, output.format.json) {
            return output.found(document, &columns);
        }
        output.item(&item)
    });
    let mut result = result.await;
    if matches!(&result, Ok(Reply::Queried(end)) if end.count == 0) && !asked_for_none {
        result = there(run, &*door.backend, space, &collection).await.and(result);
    }
    door.close().await;
    let Reply::Queried(end) = result? else { return Err(other_answer()) };
    run.output.end_of_list()?;
    if run.output.format.json {
        if let Some(bookmark) = &end.bookmark {
            run.output.json(&serde_json::json!({ "bookmark": bookmark }))?;
        }
        return Ok(());
    }
    note(run, &end, &collection, asked_for_part);
    let finds_none = end.count == 0 && !asked_for_none && !run.global.quiet;
    if let Some(operator) = forgotten.filter(|_| finds_none) {
        let name = operator.trim_start_matches('$');
        terminal::note(&format!("no document matches: `{name}` names a member here; is `{operator}` meant?"));
    }
    Ok(())
}

/// Returns the query of a command's options, without a bookmark and an index.
fn query_of(find: Find, command: &str) -> Result<Query, ServiceError> {
    let columns = columns(&find);
    let Find { collection, selector: json, sort: by, limit, space, .. } = find;
    Ok(Query {
        space: space.space,
        selector: selector(json, &format!("{command} {}", quoted(&collection)))?,
        collection,
        sort: by.as_deref().map(sort).transpose()?,
        fields: (!columns.is_empty()).then(|| columns.into_iter().map(Value::from).collect()),
        limit,
        ..Query::default()
    })
}

/// Returns the paths of the fields to show.
fn columns(find: &Find) -> Vec<String> {
    find.fields.iter().flat_map(|fields| fields.split(',')).map(|name| name.trim().to_owned()).collect()
}

/// Prints a note if the collection does not exist, because an empty answer would hide a mistyped name. A collection
/// without documents exists if it has a description or an index.
async fn there(run: &mut Run<'_>, backend: &dyn Backend, space: SpaceRef, collection: &str) -> Result<(), Failure> {
    let of = |space: &SpaceRef| (space.clone(), collection.to_owned());
    let (of_all, named) = of(&space);
    let query = Query { space: of_all, collection: named, ..Query::default() };
    let count = Command::Count { query, by: None, measures: Vec::new() };
    if let Reply::Counted { count: 1.. } = run.call_at(backend, count, None, nothing).await? {
        return Ok(());
    }
    let (of_list, named) = of(&space);
    let list = Command::IndexList { space: of_list, collection: named };
    if matches!(run.call_at(backend, list, None, nothing).await?, Reply::Indexes(indexes) if !indexes.is_empty()) {
        return Ok(());
    }
    run.call_at(backend, Command::CollectionShow { space, collection: collection.to_owned() }, None, nothing).await?;
    Ok(())
}

/// Ignores an item.
fn nothing(_: &mut Output<'_>, _: Item) -> io::Result<()> {
    Ok(())
}

/// Prints notes about an answer.
fn note(run: &Run<'_>, end: &Queried, collection: &str, asked_for_part: bool) {
    if run.global.quiet {
        return;
    }
    if let Some(bookmark) = &end.bookmark {
        let all = if asked_for_part { ", or all of them: --limit 1000000000" } else { "" };
        terminal::note(&format!("there are more; go on with --bookmark {bookmark}{all}"));
    }
    if end.warning.is_some() && end.docs_examined > SHOWN && run.surroundings.stderr_tty {
        let collection = quoted(collection);
        terminal::note(&format!(
            "{} documents were read, because no index helps: cosmicsync index create {collection} NAME FIELD",
            end.docs_examined
        ));
    }
}

/// Carries out `live`.
pub(super) async fn live(run: &mut Run<'_>, options: Live) -> Result<(), Failure> {
    let query = query_of(options.find, "live")?;
    let (space, collection) = (query.space.clone(), query.collection.clone());
    let door = run.door(true).await?;
    let mut result = there(run, &*door.backend, space, &collection).await;
    if result.is_ok() {
        let command = Command::Live { query, since: options.since };
        let reply = run.call_at(&*door.backend, command, None, |output, item| output.item(&item)).await;
        result = reply.and_then(|reply| Ok(run.output.reply(&reply)?));
    }
    door.close().await;
    result
}

/// Carries out `count`.
pub(super) async fn count(run: &mut Run<'_>, options: Count) -> Result<(), Failure> {
    let Count { collection, selector: json, by, sum, min, max, average, space } = options;
    let of = |kind, fields: Vec<String>| fields.into_iter().map(move |field| Measure { kind, field });
    let measures: Vec<Measure> = of(MeasureKind::Sum, sum)
        .chain(of(MeasureKind::Min, min))
        .chain(of(MeasureKind::Max, max))
        .chain(of(MeasureKind::Average, average))
        .collect();
    let selector = selector(json, &format!("count {}", quoted(&collection)))?;
    let query = Query { space: space.space.clone(), collection: collection.clone(), selector, ..Query::default() };
    let command = Command::Count { query, by: by.clone(), measures: measures.clone() };
    let door = run.door(false).await?;
    let mut result = run.call_at(&*door.backend, command, None, nothing).await;
    if result.as_ref().is_ok_and(counts_none) {
        result = there(run, &*door.backend, space.space, &collection).await.and(result);
    }
    door.close().await;
    let reply = result?;
    let Reply::Groups(groups) = reply else { return Ok(run.output.reply(&reply)?) };
    if run.output.format.json {
        return Ok(groups.iter().try_for_each(|group| run.output.json(&named(group, &measures)))?);
    }
    Ok(run.output.table(&table(&groups, by.as_deref(), &measures))?)
}

fn counts_none(reply: &Reply) -> bool {
    matches!(reply, Reply::Counted { count: 0 })
        || matches!(reply, Reply::Groups(groups) if groups.iter().all(|group| group.count == 0))
}

/// Carries out `index`.
pub(super) async fn index(run: &mut Run<'_>, verb: IndexVerb) -> Result<(), Failure> {
    let name = |collection, index, space: crate::cli::SpaceOption| IndexName { space: space.space, collection, index };
    let listed = match &verb {
        IndexVerb::List { collection, space } => Some((collection.clone(), space.space.clone())),
        IndexVerb::Create { .. } | IndexVerb::Check { .. } | IndexVerb::Rebuild { .. } | IndexVerb::Drop { .. } => None,
    };
    let command = match verb {
        IndexVerb::Create { collection, index, fields, space } => {
            Command::IndexCreate { index: name(collection, index, space), fields }
        }
        IndexVerb::List { collection, space } => Command::IndexList { space: space.space, collection },
        IndexVerb::Check { collection, index, space } => Command::IndexCheck(name(collection, index, space)),
        IndexVerb::Rebuild { collection, index, space } => Command::IndexRebuild(name(collection, index, space)),
        IndexVerb::Drop { collection, index, space } => Command::IndexDrop(name(collection, index, space)),
    };
    let reply = run.call(command).await?;
    if let (Some((collection, space)), Reply::Indexes(indexes)) = (listed, &reply)
        && indexes.is_empty()
    {
        let door = run.door(false).await?;
        let is_there = there(run, &*door.backend, space, &collection).await;
        door.close().await;
        is_there?;
    }
    run.output.reply(&reply)?;
    if let Reply::IndexCheck(check) = reply
        && check.missing + check.extra > 0
    {
        return Err(Failure::Check);
    }
    Ok(())
}

fn table(groups: &[Group], by: Option<&str>, measures: &[Measure]) -> Table {
    let columns = measures.iter().map(title);
    let header: Vec<String> =
        by.map(str::to_uppercase).into_iter().chain(["COUNT".to_owned()]).chain(columns).collect();
    let mut table = Table::of(header);
    for group in groups {
        let first = by.map(|_| group.value.as_ref().map_or_else(String::new, shown));
        let rest = group.measures.iter().map(|value| value.as_ref().map_or_else(String::new, shown));
        table.row(first.into_iter().chain([group.count.to_string()]).chain(rest));
    }
    table
}

fn title(measure: &Measure) -> String {
    let kind = match measure.kind {
        MeasureKind::Sum => "SUM",
        MeasureKind::Min => "MIN",
        MeasureKind::Max => "MAX",
        MeasureKind::Average => "AVERAGE",
    };
    format!("{kind} {}", measure.field)
}

/// Returns a group with its measures by name.
fn named(group: &Group, measures: &[Measure]) -> Value {
    let values = measures.iter().zip(&group.measures);
    let named = values
        .map(|(measure, value)| (title(measure).to_lowercase().replace(' ', "_"), value.clone().unwrap_or_default()));
    let members: serde_json::Map<String, Value> = named.collect();
    serde_json::json!({ "value": group.value, "count": group.count, "measures": members })
}

fn selector(text: Option<String>, command: &str) -> Result<Option<Value>, ServiceError> {
    text.map(|text| json_argument(&text, "a selector", command, r#"{"name": "x", "age": {"$gte": 18}}"#)).transpose()
}

/// Converts a sort such as `-age,name` to the service's form.
fn sort(text: &str) -> Result<Value, ServiceError> {
    let field = |name: &str| {
        let name = name.trim();
        // A field may have such a name; sorting by it is possible through the socket.
        for (word, sign) in [("desc", "-"), ("asc", "")] {
            let field = name.strip_suffix(word).and_then(|field| field.strip_suffix([' ', ':']));
            if let Some(field) = field {
                return Err(usage(format!("'{name}' has its direction as a word: write {sign}{}", field.trim())));
            }
        }
        Ok(match name.strip_prefix('-') {
            Some(name) => serde_json::json!({ name: "desc" }),
            None => Value::from(name),
        })
    };
    text.split(',').map(field).collect()
}

fn other_answer() -> Failure {
    usage("the node gave an unexpected answer: it may have another version".to_owned()).into()
}
