//! Bodies about queries, counts and indexes.

use cosmicsync_node::service::{self, Group, Index, IndexCheck, Measure, MeasureKind, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A query over the documents of a collection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Query)]
pub(crate) struct QueryBody {
    /// The selector, such as `{"age": {"$gt": 20}}`; without it, all documents match.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) selector: Option<Value>,
    /// The members to return, as a list of paths such as `["name", "address.city"]`; without it, all members.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) fields: Option<Value>,
    /// The sort, such as `["name", {"age": "desc"}]`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Value>>)]
    pub(crate) sort: Option<Value>,
    /// Largest number of documents on the page.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<u64>,
    /// The bookmark of the page before.
    #[serde(default)]
    pub(crate) bookmark: Option<String>,
    /// The name of the only index to use.
    #[serde(default)]
    pub(crate) use_index: Option<String>,
}

/// A count of documents, optionally by groups.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Count)]
pub(crate) struct CountBody {
    /// The selector, such as `{"age": {"$gt": 20}}`; without it, all documents match.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) selector: Option<Value>,
    /// The field to group by, such as `state`.
    #[serde(default)]
    pub(crate) by: Option<String>,
    /// The aggregates to compute for each group.
    #[serde(default, deserialize_with = "crate::extract::objects")]
    pub(crate) measures: Vec<MeasureOf>,
}

/// An aggregate over the documents of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Measure)]
pub(crate) struct MeasureOf {
    /// The aggregate function.
    kind: KindOf,
    /// The path of the field to aggregate, such as `population`.
    field: String,
}

/// Aggregate functions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MeasureKind)]
enum KindOf {
    /// Sum of the numbers.
    Sum,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Mean of the numbers.
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

/// The number of documents, or groups of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counted {
    /// The number of documents; missing if the request asks for groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// The groups; missing if the request asks for a number only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<GroupView>>,
}

/// A group of documents.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupView {
    /// The common value of the group; missing for documents without the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// The number of documents in the group.
    count: u64,
    /// The aggregates, in the order of the request; null for an aggregate over no values.
    measures: Vec<Option<Value>>,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self { value: group.value, count: group.count, measures: group.measures }
    }
}

/// The plan of a query.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanView {
    /// The access path: `get` (by key or id), `index`, `union` (several indexes) or `scan` (all documents).
    plan: String,
    /// The indexes that the query reads; several for a `union`.
    indexes: Vec<PlanPart>,
    /// The source of the order: `index`, `memory` (sorted after reading) or `none`.
    sort: String,
    /// The indexes that the query does not read.
    rejected: Vec<PlanRejected>,
    /// Number of recently changed documents that the indexes do not include yet; the query reads these one by one.
    behind: u64,
}

/// The part of an index that the query reads.
#[derive(Debug, Serialize, ToSchema)]
struct PlanPart {
    /// The index's name.
    index: String,
    /// The paths of the index's fields.
    fields: Vec<String>,
    /// Number of leading fields that the query fixes to a value.
    equal: u64,
    /// True if the query limits the field after those to a range.
    bounded: bool,
    /// Number of ranges of the index that are read.
    ranges: u64,
    /// The direction of the reading: `ascending` or `descending`.
    direction: String,
}

/// An index that the query does not read.
#[derive(Debug, Serialize, ToSchema)]
struct PlanRejected {
    /// The index's name.
    index: String,
    /// The reason: `building`, `prefix` (the query does not limit the index's first field), `order` (another index
    /// provides the order) or `wider` (another index reads less).
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
    /// The paths of the fields, most significant first, such as `["state", "city"]`.
    #[schema(min_items = 1, max_items = 8)]
    pub(crate) fields: Vec<String>,
}

/// An index.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Index)]
pub(crate) struct IndexView {
    /// The index's name.
    name: String,
    /// The paths of the index's fields.
    fields: Vec<String>,
    /// The state: `building` or `ready`.
    pub(crate) state: String,
    /// Number of documents in the index so far, while it is being built.
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<u64>,
    /// True if one of its fields leads to a list in some document.
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
    /// The indexes, ordered by name.
    pub(crate) indexes: Vec<IndexView>,
}

/// The result of an index check. The index is correct if `missing` and `extra` are 0.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexChecked {
    /// Number of documents compared.
    documents: u64,
    /// Number of rows in the index.
    rows: u64,
    /// Number of rows that the index lacks.
    missing: u64,
    /// Number of rows that the index has in excess.
    extra: u64,
}

impl From<IndexCheck> for IndexChecked {
    fn from(check: IndexCheck) -> Self {
        let IndexCheck { documents, rows, missing, extra } = check;
        Self { documents, rows, missing, extra }
    }
}
