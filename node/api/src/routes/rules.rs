//! Routes about the rules of collections.

use cosmicsync_node::service::{Command, Reply, RulesSet, RulesTest};

use super::CollectionPath;
use crate::call::{Caller, expect_reply};
use crate::extract::{Document, Json, Out, Path};
use crate::model::{RulesTestBody, RulesView, Verdicts};
use crate::problem::Problem;

/// Returns the rules of a collection.
#[utoipa::path(get, operation_id = "getRules", path = "/v1/spaces/{space}/collections/{collection}/rules",
    tag = "rules", params(CollectionPath), responses((status = 200, body = RulesView)))]
pub(super) async fn show(caller: Caller, Path(path): Path<CollectionPath>) -> Result<Out<RulesView>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::RulesShow { space, collection }).await?;
    expect_reply!(reply, Reply::Rules(rules) => Out(rules.into()))
}

/// Sets the rules of a collection.
///
/// The body has a selector for each of `list`, `view`, `create`, `update` and `delete`. An operation without a
/// selector, or with null, is locked for editors and viewers. The body `null` removes all rules, which locks every
/// operation for them.
#[utoipa::path(put, operation_id = "putRules", path = "/v1/spaces/{space}/collections/{collection}/rules",
    tag = "rules", params(CollectionPath), request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = RulesView)))]
pub(super) async fn put(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Document(rules): Document,
) -> Result<Out<RulesView>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::RulesSet(RulesSet { space, collection, rules })).await?;
    expect_reply!(reply, Reply::Rules(rules) => Out(rules.into()))
}

/// Tests an account's permissions on a document, with the collection's rules or with others.
#[utoipa::path(post, operation_id = "testRules", path = "/v1/spaces/{space}/collections/{collection}/rules/test",
    tag = "rules", params(CollectionPath), request_body = RulesTestBody, responses((status = 200, body = Verdicts)))]
pub(super) async fn test(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Json(body): Json<RulesTestBody>,
) -> Result<Out<Verdicts>, Problem> {
    let (space, collection) = path.parts()?;
    let RulesTestBody { account, key, value, rules } = body;
    // Without both, the test uses a document without members.
    let value = value.or_else(|| key.is_none().then(|| serde_json::json!({})));
    let test = RulesTest { space, collection, account, key, value, rules };
    let reply = caller.request(Command::RulesTest(test)).await?;
    expect_reply!(reply, Reply::Verdicts(all) => Out(Verdicts { verdicts: all.into_iter().map(Into::into).collect() }))
}
