//! Rules of collections.

use cosmicsync_node::service::{Command, Reply, RulesSet, RulesTest};

use super::CollectionPath;
use crate::call::{Caller, expect_reply};
use crate::extract::{Document, Json, Out, Path};
use crate::model::{RulesTestBody, RulesView, Verdicts};
use crate::problem::Problem;

/// Reads the rules of a collection.
#[utoipa::path(get, operation_id = "getRules", path = "/v1/spaces/{space}/collections/{collection}/rules",
    tag = "rules", params(CollectionPath), responses((status = 200, body = RulesView)))]
pub(super) async fn show(caller: Caller, Path(path): Path<CollectionPath>) -> Result<Out<RulesView>, Problem> {
    let (space, collection) = path.parts()?;
    let reply = caller.request(Command::RulesShow { space, collection }).await?;
    expect_reply!(reply, Reply::Rules(rules) => Out(rules.into()))
}

/// Sets the rules of a collection: a selector for each of `list`, `view`, `create`, `update` and `delete`. What has none, or
/// null, is locked for editors and viewers; rules that are null are taken away, and lock everything.
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

/// Says what an account may do with a document, by the collection's rules or by others.
#[utoipa::path(post, operation_id = "testRules", path = "/v1/spaces/{space}/collections/{collection}/rules/test",
    tag = "rules", params(CollectionPath), request_body = RulesTestBody, responses((status = 200, body = Verdicts)))]
pub(super) async fn test(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    Json(body): Json<RulesTestBody>,
) -> Result<Out<Verdicts>, Problem> {
    let (space, collection) = path.parts()?;
    let RulesTestBody { account, key, value, rules } = body;
    // Without either it is asked about a document without members.
    let value = value.or_else(|| key.is_none().then(|| serde_json::json!({})));
    let test = RulesTest { space, collection, account, key, value, rules };
    let reply = caller.request(Command::RulesTest(test)).await?;
    expect_reply!(reply, Reply::Verdicts(all) => Out(Verdicts { verdicts: all.into_iter().map(Into::into).collect() }))
}
