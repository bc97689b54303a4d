//! Queries, counts and indexes.

use cosmicsync_node::service::{self, Group, Index, IndexCheck, Measure, MeasureKind, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Which documents, in what order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Query)]
pub(crate) struct QueryBody {
    /// The selector; none means all documents.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) selector: Option<Value>,
    /// The members to show, as a list of paths; none means all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) fields: Option<Value>,
    /// The sort: `["name", {"age": "desc"}]`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Value>>)]
    pub(crate) sort: Option<Value>,
    /// At most so many.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<u64>,
    /// Where a former page ended.
    #[serde(default)]
    pub(crate) bookmark: Option<String>,
    /// Only with this index.
    #[serde(default)]
    pub(crate) use_index: Option<String>,
}

/// Which documents, and how they are counted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Count)]
pub(crate) struct CountBody {
    /// The selector; none means all documents.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) selector: Option<Value>,
    /// By which field documents are told apart.
    #[serde(default)]
    pub(crate) by: Option<String>,
    /// What is put together of each group.
    #[serde(default, deserialize_with = "crate::extract::objects")]
    pub(crate) measures: Vec<MeasureOf>,
}

/// What is put together of the documents of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Measure)]
pub(crate) struct MeasureOf {
    /// How.
    kind: KindOf,
    /// Of which field.
    field: String,
}

/// How values are put together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MeasureKind)]
enum KindOf {
    /// Numbers are added.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The mean of the numbers.
    Average,
}

impl From<MeasureOf> for Measure {
    fn from(measure: MeasureOf) -> Self {
        let kind = match measure.kind {
            KindOf::Sum => MeasureKind::Sum,
            KindOf::Min => MeasureKind::Min,
            KindOf::Max => MeasureKind::Max,
            KindOf::Average => MeasureKind::Average,
        };
        Self { kind, field: measure.field }
    }
}

/// A number of documents, or groups of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counted {
    /// How many there are; missing where groups were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// The groups, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<GroupView>>,
}

/// Documents of a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupView {
    /// What they have in common; missing where the field is.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// How many there are.
    count: u64,
    /// What was put together, in the order that was asked for; null where there is nothing.
    measures: Vec<Option<Value>>,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self { value: group.value, count: group.count, measures: group.measures }
    }
}

/// How a query is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanView {
    /// `get`, `index`, `union` or `scan`.
    plan: String,
    /// The indexes that are read: one, or of a union several.
    indexes: Vec<PlanPart>,
    /// What puts documents in order: `index`, `memory` or `none`.
    sort: String,
    /// Indexes that are not read, and why: `building`, `prefix`, `order` or `wider`.
    rejected: Vec<PlanRejected>,
    /// Documents of the partition that indexes are behind for: they are read one by one.
    behind: u64,
}

/// What is read of an index.
#[derive(Debug, Serialize, ToSchema)]
struct PlanPart {
    /// Its name.
    index: String,
    /// Its fields.
    fields: Vec<String>,
    /// How many leading fields are fixed by equality.
    equal: u64,
    /// Whether the field behind those has bounds.
    bounded: bool,
    /// How many ranges are read.
    ranges: u64,
    /// `ascending` or `descending`.
    direction: String,
}

/// An index that is not read.
#[derive(Debug, Serialize, ToSchema)]
struct PlanRejected {
    /// Its name.
    index: String,
    /// Why.
    why: String,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        let part = |part: service::PlanIndex| {
            let service::PlanIndex { index, fields, equal, bounded, ranges, direction } = part;
            PlanPart { index, fields, equal, bounded, ranges, direction }
        };
        Self {
            plan: plan.plan,
            indexes: plan.indexes.into_iter().map(part).collect(),
            sort: plan.sort,
            rejected: plan.rejected.into_iter().map(|one| PlanRejected { index: one.index, why: one.why }).collect(),
            behind: plan.behind,
        }
    }
}

/// The fields of an index.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexFields {
    /// Their paths, first to last.
    #[schema(min_items = 1, max_items = 8)]
    pub(crate) fields: Vec<String>,
}

/// An index.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Index)]
pub(crate) struct IndexView {
    /// Its name.
    name: String,
    /// Its fields.
    fields: Vec<String>,
    /// `building` or `ready`.
    pub(crate) state: String,
    /// Documents that stand in it so far, while it is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<u64>,
    /// Whether a field leads to a list in some document.
    lists: bool,
}

impl From<Index> for IndexView {
    fn from(index: Index) -> Self {
        let Index { index: name, fields, state, documents, lists } = index;
        Self { name, fields, state, documents, lists }
    }
}

/// The indexes of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Indexes {
    /// By name.
    pub(crate) indexes: Vec<IndexView>,
}

/// What checking an index found. It is whole where nothing is missing and nothing extra.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexChecked {
    /// Documents that were compared.
    documents: u64,
    /// Rows that the index has.
    rows: u64,
    /// Rows that it lacks.
    missing: u64,
    /// Rows that it has too many.
    extra: u64,
}

impl From<IndexCheck> for IndexChecked {
    fn from(check: IndexCheck) -> Self {
        let IndexCheck { documents, rows, missing, extra } = check;
        Self { documents, rows, missing, extra }
    }
}
