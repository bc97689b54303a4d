//! Counts, measures and groups: a selection becomes one command, or two if it includes groups.

use async_graphql::dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, ResolverContext, TypeRef};
use async_graphql::{SelectionField, Value};
use cosmicsync_node::service::{Command, Group, Measure, MeasureKind, Query, Reply};
use serde_json::Value as Json;

use super::model::Model;
use super::read::{answered, asker, condition_of, leaf, shown, text};
use super::types::{INT64, JSON};
use crate::call::{Caller, unexpected};
use crate::problem::{Code, Problem};

/// The type of an aggregate.
pub(super) const AGGREGATE: &str = "Aggregate";
/// The type of a group.
const GROUP: &str = "AggregateGroup";
/// Largest number of groups in an answer.
const GROUPS_MAX: usize = 10_000;
/// Aggregate functions: the field's name, and the kind of measure.
const MEASURES: [(&str, MeasureKind); 4] = [
    ("sum", MeasureKind::Sum),
    ("min", MeasureKind::Min),
    ("max", MeasureKind::Max),
    ("average", MeasureKind::Average),
];

/// Aggregates of some documents.
struct Together {
    count: u64,
    value: Option<Json>,
    measures: Vec<(Measure, Option<Json>)>,
}

/// Aggregates of all documents, and of groups.
struct Aggregate {
    all: Together,
    groups: Vec<Together>,
}

/// Returns the types of aggregates.
pub(super) fn types() -> [Object; 2] {
    let groups = Field::new("groups", TypeRef::named_nn_list(GROUP), |ctx| {
        let aggregate = ctx.parent_value.downcast_ref::<Aggregate>();
        let groups = aggregate.map(|all| all.groups.iter().map(|group| FieldValue::borrowed_any(group)));
        FieldFuture::Value(groups.map(FieldValue::list))
    });
    let value = shown::<Together>("value", TypeRef::named(JSON), |group| group.value.clone().and_then(told));
    let aggregate = with_measures(Object::new(AGGREGATE).description("Documents, put together."))
        .field(groups.description("One for each value of group_by."));
    let group = with_measures(Object::new(GROUP).description("Documents of a group."))
        .field(value.description("What they have in common; null where it is missing."));
    [aggregate, group]
}

fn with_measures(mut object: Object) -> Object {
    let count = Field::new("count", TypeRef::named_nn(INT64), |ctx| {
        let count = together(ctx.parent_value).map(|all| Value::from(all.count));
        leaf(&ctx, count)
    });
    object = object.field(count);
    for (name, kind) in MEASURES {
        let field = Field::new(name, TypeRef::named(JSON), move |ctx| {
            let path = text(&ctx, "field").unwrap_or_default();
            let found = together(ctx.parent_value).and_then(|all| {
                let mut measures = all.measures.iter();
                measures.find(|(measure, _)| measure.kind == kind && measure.field == path)
            });
            leaf(&ctx, found.and_then(|(_, value)| value.clone()).and_then(told))
        });
        let path = InputValue::new("field", TypeRef::named_nn(TypeRef::STRING));
        object = object.field(field.argument(path.description("A path as in selectors: address.zip")));
    }
    object
}

/// Returns the aggregates above a field: of all documents, or of a group.
fn together<'a>(parent: &'a FieldValue<'a>) -> Option<&'a Together> {
    let all = parent.downcast_ref::<Aggregate>().map(|aggregate| &aggregate.all);
    all.or_else(|| parent.downcast_ref::<Together>())
}

fn told(value: Json) -> Option<Value> {
    Value::from_json(value).ok()
}

/// Resolves counts, measures and groups.
pub(super) async fn aggregate<'a>(ctx: &ResolverContext<'a>, model: &Model) -> Result<Option<FieldValue<'a>>, Problem> {
    let (query, asker) = (condition_of(ctx, model)?, asker(ctx)?);
    let selected: Vec<SelectionField<'_>> = ctx.ctx.field().selection_set().collect();
    let of_groups = selected.iter().filter(|field| field.name() == "groups").flat_map(SelectionField::selection_set);
    let (all, of_groups) = (measures(selected.iter().copied())?, measures(of_groups)?);
    let wants_groups = selected.iter().any(|field| field.name() == "groups");
    let wants_all = selected.iter().any(|field| !matches!(field.name(), "groups" | "__typename"));
    let all = if wants_all { counted(&asker.caller, query.clone(), None, all).await?.pop() } else { None };
    let groups = match (wants_groups, text(ctx, "group_by")) {
        (false, _) => Vec::new(),
        (true, None) => return Err(Problem::new(Code::BadQuery, "groups need the argument group_by")),
        (true, Some(by)) => counted(&asker.caller, query, Some(by), of_groups).await?,
    };
    let all = all.unwrap_or(Together { count: 0, value: None, measures: Vec::new() });
    Ok(Some(FieldValue::owned_any(Aggregate { all, groups })))
}

/// Returns the measures that fields request.
fn measures<'a>(fields: impl Iterator<Item = SelectionField<'a>>) -> Result<Vec<Measure>, Problem> {
    let mut found: Vec<Measure> = Vec::new();
    for field in fields {
        let Some((_, kind)) = MEASURES.iter().find(|(name, _)| *name == field.name()) else { continue };
        let arguments = field.arguments().map_err(|error| Problem::new(Code::BadQuery, error.message))?;
        let path = arguments.into_iter().find(|(name, _)| name == "field").map(|(_, value)| value);
        if let Some(Value::String(path)) = path {
            let measure = Measure { kind: *kind, field: path };
            if !found.contains(&measure) {
                found.push(measure);
            }
        }
    }
    Ok(found)
}

/// Counts documents, or groups of them.
#[expect(clippy::wildcard_enum_match_arm, reason = "a command has one or two kinds of reply")]
async fn counted(
    caller: &Caller,
    query: Query,
    by: Option<String>,
    measures: Vec<Measure>,
) -> Result<Vec<Together>, Problem> {
    let groups = match caller.request(Command::Count { query, by, measures: measures.clone() }).await? {
        Reply::Counted { count } => vec![Group { value: None, count, measures: Vec::new() }],
        Reply::Groups(groups) => groups,
        _ => return Err(unexpected()),
    };
    if groups.len() > GROUPS_MAX {
        let detail = format!("there are {} groups, and an answer has at most {GROUPS_MAX}", groups.len());
        return Err(Problem::new(Code::TooLarge, detail).next("narrow `where`, or POST .../count"));
    }
    let together = |group: Group| Together {
        count: group.count,
        value: group.value,
        measures: measures.iter().cloned().zip(group.measures).collect(),
    };
    Ok(groups.into_iter().map(together).collect())
}

/// Returns the field of a collection's aggregate.
pub(super) fn field(name: String, model: std::sync::Arc<Model>, condition: InputValue) -> Field {
    let by = InputValue::new("group_by", TypeRef::named(TypeRef::STRING));
    Field::new(name, TypeRef::named(AGGREGATE), move |ctx| {
        let model = std::sync::Arc::clone(&model);
        FieldFuture::new(async move {
            let result = aggregate(&ctx, &model).await;
            answered(&ctx, result)
        })
    })
    .argument(condition)
    .argument(by.description("A path as in selectors: address.state"))
}
