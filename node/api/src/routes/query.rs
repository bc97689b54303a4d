//! Routes about queries.

use axum::http::HeaderMap;
use axum::response::Response;
use cosmicsync_node::service::{Command, Query, Reply};

use super::CollectionPath;
use super::docs::{page, page_limit};
use crate::call::{Caller, expect_reply, unexpected};
use crate::extract::{Json, Out, Path};
use crate::model::{CountBody, Counted, Page, PlanView, QueryBody};
use crate::problem::Problem;

/// Finds documents by a query.
///
/// With `Accept: application/x-ndjson`, the answer has one document per line. If there are more documents, a last line
/// has the bookmark of the next page.
#[utoipa::path(post, operation_id = "findDocuments", path = "/v1/spaces/{space}/collections/{collection}/find",
    tag = "queries", params(CollectionPath),
    request_body = QueryBody,
    responses((status = 200, content((Page = "application/json"), (String = "application/x-ndjson")))))]
pub(super) async fn find(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    headers: HeaderMap,
    Json(body): Json<QueryBody>,
) -> Result<Response, Problem> {
    page(&caller, query(path, body)?, &headers).await
}

/// Explains the plan of a query.
#[utoipa::path(post, operation_id = "explainQuery", path = "/v1/spaces/{space}/collections/{collection}/explain",
    tag = "queries",
    params(CollectionPath), request_body = QueryBody, responses((status = 200, body = PlanView)))]
pub(super) async fn explain(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Json(body): Json<QueryBody>,
) -> Result<Out<PlanView>, Problem> {
    let reply = caller.request(Command::QueryPlan(query(path, body)?)).await?;
    expect_reply!(reply, Reply::Plan(plan) => Out(plan.into()))
}

/// Counts documents, or computes aggregates over groups of them.
#[utoipa::path(post, operation_id = "countDocuments", path = "/v1/spaces/{space}/collections/{collection}/count",
    tag = "queries", params(CollectionPath),
    request_body = CountBody, responses((status = 200, body = Counted)))]
#[expect(clippy::wildcard_enum_match_arm, reason = "a command has one or two kinds of reply")]
pub(super) async fn count(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Json(body): Json<CountBody>,
) -> Result<Out<Counted>, Problem> {
    let (space, collection) = path.parts()?;
    let CountBody { selector, by, measures } = body;
    let query = Query { space, collection, selector, ..Query::default() };
    let measures = measures.into_iter().map(Into::into).collect();
    match caller.request(Command::Count { query, by, measures }).await? {
        Reply::Counted { count } => Ok(Out(Counted { count: Some(count), groups: None })),
        Reply::Groups(groups) => {
            Ok(Out(Counted { count: None, groups: Some(groups.into_iter().map(Into::into).collect()) }))
        }
        _ => Err(unexpected()),
    }
}

fn query(path: CollectionPath, body: QueryBody) -> Result<Query, Problem> {
    let (space, collection) = path.parts()?;
    let QueryBody { selector, fields, sort, limit, bookmark, use_index } = body;
    let limit = Some(page_limit(limit)?);
    Ok(Query { space, collection, selector, sort, fields, limit, bookmark, use_index })
}
