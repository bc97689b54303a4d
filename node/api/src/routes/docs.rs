//! Routes about documents, and transactions over several.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{Command, DocOp, DocRef, DocView, DocWrite, Query, Reply, Written, parse_json};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::conditions::{self, Conditions};
use super::versions::checked;
use super::{CollectionPath, DocPath, Named, SpacePath, check_collection, idempotency_key};
use crate::call::{Caller, expect_reply, unexpected};
use crate::extract::{self, Document, Json, Out, Path};
use crate::model::{ChangeOf, Page, PatchOperation, Transacted, Transaction, WrittenView};
use crate::problem::{Code, Problem};
use crate::shape::{Lines, ListOf};
use crate::stream::answer;

/// Default and largest number of documents on a page.
pub(super) const PAGE: (u64, u64) = (100, 1_000);
/// The header with a document's id.
const DOC_ID: HeaderName = HeaderName::from_static("cosmic-id");
/// Media type of a list of changes.
const CHANGES: &str = "application/vnd.cosmicsync.changes+json";

/// Options of a list of documents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOptions {
    /// Largest number of documents on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// The bookmark of the page before.
    bookmark: Option<String>,
    /// A selector in JSON, such as `{"age":{"$gt":20}}`.
    #[serde(rename = "where")]
    #[param(rename = "where")]
    selector: Option<String>,
    /// Paths to sort by, separated by commas; a leading `-` sorts descending, as in `state,-population`.
    sort: Option<String>,
    /// Paths of the members to return, separated by commas, such as `name,address.city`.
    fields: Option<String>,
}

/// Lists the documents of a collection.
///
/// With `Accept: application/x-ndjson`, the answer has one document per line. If there are more documents, a last line
/// has the bookmark of the next page.
#[utoipa::path(get, operation_id = "listDocuments", path = "/v1/spaces/{space}/collections/{collection}/docs",
    tag = "documents",
    params(CollectionPath, ListOptions),
    responses((status = 200, content((Page = "application/json"), (String = "application/x-ndjson")))))]
pub(super) async fn list(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    extract::Query(options): extract::Query<ListOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, collection) = path.parts()?;
    let selector = options.selector.map(|text| parse_json(&text).map_err(|mistake| Problem::json(&mistake)));
    let query = Query {
        space,
        collection,
        selector: selector.transpose()?,
        sort: options.sort.map(|text| listed(&text, sort_field)),
        fields: options.fields.map(|text| listed(&text, |path| path.into())),
        limit: Some(page_limit(options.limit)?),
        bookmark: options.bookmark,
        use_index: None,
    };
    page(&caller, query, &headers).await
}

/// Answers a query with a page of documents.
pub(super) async fn page(caller: &Caller, query: Query, headers: &HeaderMap) -> Result<Response, Problem> {
    let command = Command::Query(query);
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("application/x-ndjson") {
        return answer(caller, command, Lines, "application/x-ndjson").await;
    }
    answer(caller, command, ListOf::new("docs"), "application/json").await
}

/// Returns the number of documents on a page.
pub(crate) fn page_limit(asked: Option<u64>) -> Result<u64, Problem> {
    let (usual, most) = PAGE;
    match asked.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        other => {
            let problem = Problem::new(Code::BadRequest, format!("a page has 1 to {most} documents, not {other}"));
            Err(problem.next("follow the bookmark, or GET .../export"))
        }
    }
}

pub(super) fn listed(text: &str, item: impl Fn(&str) -> Value) -> Value {
    text.split(',').map(item).collect()
}

pub(super) fn sort_field(path: &str) -> Value {
    path.strip_prefix('-').map_or_else(|| path.into(), |path| serde_json::json!({ path: "desc" }))
}

/// Creates a document without a key.
#[utoipa::path(post, operation_id = "createDocument", path = "/v1/spaces/{space}/collections/{collection}/docs",
    tag = "documents",
    params(CollectionPath, OnceParams),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 201, body = WrittenView, headers(("Location" = String), ("ETag" = String)))))]
pub(super) async fn create(
    caller: Caller,
    Path(path): Path<CollectionPath>,
    headers: HeaderMap,
    Document(value): Document,
) -> Result<Response, Problem> {
    let (space, collection) = path.parts()?;
    let idempotency_key = idempotency_key(&headers, caller.name(), &format!("POST {collection}"))?;
    let at =
        format!("/v1/spaces/{}/collections/{}/docs/", spelled(space.as_deref().unwrap_or("-")), spelled(&collection));
    let op = DocOp::Put { doc: collection, value, text: Vec::new(), condition: None };
    let written = write_one(&caller, DocWrite { space, writes: vec![op], idempotency_key }).await;
    // There was no condition: the schema derived the key from the value, and another document has the key.
    let written = written
        .map_err(|problem| if problem.code() == Code::Exists { problem.with_code(Code::Conflict) } else { problem })?;
    let place = format!("{at}~{}", written.doc);
    let mut response = told(StatusCode::CREATED, written);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Percent-encodes a name as a part of a path.
fn spelled(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':');
    name.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Reads a document.
///
/// The body is the document's value, `ETag` is its version and `Cosmic-Id` its id.
#[utoipa::path(get, operation_id = "getDocument", path = "/v1/spaces/{space}/collections/{collection}/docs/{key}",
    tag = "documents",
    params(DocPath, ("If-None-Match" = Option<String>, Header, description = "Versions that the client has.")),
    responses(
        (status = 200, body = Object, headers(("ETag" = String), ("Cosmic-Id" = String))),
        (status = 304, description = "The client has this version."),
    ))]
pub(super) async fn read(caller: Caller, Path(path): Path<DocPath>, headers: HeaderMap) -> Result<Response, Problem> {
    let named = path.named()?;
    let found = find(&caller, &named).await?;
    let version = found.version.map(|version| version.to_string()).unwrap_or_default();
    let mut response = if conditions::is_known(&headers, &version) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Out(found.value.unwrap_or_default()).into_response()
    };
    mark(&mut response, &found.doc.to_string(), &version);
    Ok(response)
}

/// Stores a document under its key.
///
/// An existing document is changed by the smallest change that leads to the new value.
#[utoipa::path(put, operation_id = "putDocument", path = "/v1/spaces/{space}/collections/{collection}/docs/{key}",
    tag = "documents",
    params(DocPath, ConditionParams, OnceParams),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, body = WrittenView, headers(("ETag" = String))),
        (status = 201, description = "The document is new.", body = WrittenView, headers(("ETag" = String))),
    ))]
pub(super) async fn put(
    caller: Caller,
    Path(path): Path<DocPath>,
    headers: HeaderMap,
    Document(value): Document,
) -> Result<Response, Problem> {
    let named = path.named()?;
    let conditions = Conditions::read(&headers)?;
    let condition = prepared(&caller, &named, &conditions).await?;
    let op = DocOp::Put { doc: named.doc.to_string(), value, text: Vec::new(), condition };
    let written = write(&caller, named, op, &headers, "PUT").await.map_err(|problem| conditions.failed(problem))?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(told(status, written))
}

/// Changes a document.
///
/// The Content-Type tells the kind of patch: a merge patch (RFC 7396), a JSON patch (RFC 6902), or a list of changes.
#[utoipa::path(patch, operation_id = "patchDocument",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}", tag = "documents",
    params(DocPath, ConditionParams, OnceParams),
    request_body(content(
        (Object = "application/merge-patch+json"),
        (Vec<PatchOperation> = "application/json-patch+json"),
        (Vec<ChangeOf> = "application/vnd.cosmicsync.changes+json"),
    )),
    responses((status = 200, body = WrittenView, headers(("ETag" = String)))))]
pub(super) async fn patch(
    caller: Caller,
    Path(path): Path<DocPath>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let named = path.named()?;
    let (doc, conditions) = (named.doc.clone(), Conditions::read(&headers)?);
    let kind = extract::media_type(&headers).unwrap_or_default();
    let op = match kind.as_str() {
        "application/merge-patch+json" | "application/json-patch+json" => {
            let patch: Value = extract::read(request, 0).await?;
            if patch.is_array() != (kind == "application/json-patch+json") || !(patch.is_array() || patch.is_object()) {
                let detail = "a merge patch is an object, a JSON patch an array";
                return Err(Problem::new(Code::BadPatch, detail));
            }
            DocOp::Patch { doc, patch, condition: prepared(&caller, &named, &conditions).await? }
        }
        CHANGES => {
            let changes: Vec<ChangeOf> = extract::read(request, 2).await?;
            let changes = changes.into_iter().map(Into::into).collect();
            DocOp::Change { doc, changes, condition: prepared(&caller, &named, &conditions).await? }
        }
        _ => {
            let problem = Problem::new(
                Code::UnsupportedMediaType,
                format!("the body is '{kind}', which is not a type of patches"),
            );
            return Err(problem.next("send it with `Content-Type: application/merge-patch+json`"));
        }
    };
    Ok(told(StatusCode::OK, write(&caller, named, op, &headers, "PATCH").await?))
}

/// Deletes a document.
///
/// Its history remains, and a concurrent edit restores the document.
#[utoipa::path(delete, operation_id = "deleteDocument",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}", tag = "documents",
    params(DocPath, ConditionParams, OnceParams), responses((status = 204, description = "The document is deleted.")))]
pub(super) async fn remove(
    caller: Caller,
    Path(path): Path<DocPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let named = path.named()?;
    let condition = prepared(&caller, &named, &Conditions::read(&headers)?).await?;
    let op = DocOp::Delete { doc: named.doc.clone(), condition };
    write(&caller, named, op, &headers, "DELETE").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restores a deleted document with its content.
#[utoipa::path(post, operation_id = "undeleteDocument",
    path = "/v1/spaces/{space}/collections/{collection}/docs/{key}/undelete", tag = "documents",
    params(DocPath, ConditionParams, OnceParams), responses((status = 200, body = WrittenView, headers(("ETag" = String)))))]
pub(super) async fn undelete(
    caller: Caller,
    Path(path): Path<DocPath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let named = checked(&caller, path).await?;
    let condition = restoring(&caller, &named, &Conditions::read(&headers)?).await?;
    let op = DocOp::Undelete { doc: named.doc.clone(), condition };
    Ok(told(StatusCode::OK, write(&caller, named, op, &headers, "POST undelete").await?))
}

/// Changes several documents; all changes or none are carried out.
#[utoipa::path(post, operation_id = "transact", path = "/v1/spaces/{space}/transactions", tag = "documents",
    params(SpacePath, OnceParams),
    request_body = Transaction, responses((status = 200, body = Transacted)))]
pub(super) async fn transact(
    caller: Caller,
    Path(path): Path<SpacePath>,
    headers: HeaderMap,
    Json(transaction): Json<Transaction>,
) -> Result<Out<Transacted>, Problem> {
    let idempotency_key = idempotency_key(&headers, caller.name(), "POST transactions")?;
    let mut writes = Vec::with_capacity(transaction.writes.len());
    for write in transaction.writes {
        check_collection(write.doc().split('/').next().unwrap_or_default())?;
        let op = write.into_op().map_err(|error| Problem::new(Code::BadJson, error.to_string()))?;
        writes.push(op);
    }
    let reply = caller.request(Command::DocWrite(DocWrite { space: path.space(), writes, idempotency_key })).await?;
    expect_reply!(reply, Reply::Wrote(wrote) => {
        Out(Transacted { documents: wrote.documents.into_iter().map(Into::into).collect() })
    })
}

/// The header that [`idempotency_key`] reads, for the description of the API.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header")]
pub(super) struct OnceParams {
    /// An idempotency key: within a day, a request that repeats it is answered from the first one and not carried out
    /// again.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 128, pattern = "^[ -~]+$")]
    idempotency_key: Option<String>,
}

/// The conditions of a write, for the description of the API.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes headers that `Conditions` reads")]
pub(super) struct ConditionParams {
    /// Versions, as in `ETag`, of which the document must have one; `*` requires that the document exists.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*` requires that the document does not exist.
    #[param(rename = "If-None-Match", inline)]
    if_none_match: Option<Any>,
}

/// Any version of a document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a header")]
enum Any {
    #[schema(rename = "*")]
    Any,
}

/// Reads a document that must be in the collection.
pub(crate) async fn find(caller: &Caller, named: &Named) -> Result<DocView, Problem> {
    let command = Command::DocGet { space: named.space.clone(), doc: named.doc.clone() };
    let found = expect_reply!(caller.request(command).await?, Reply::Document(found) => found)?;
    if found.collection != named.collection {
        return Err(Problem::new(Code::NotFound, format!("{} has no document {}", named.collection, named.doc)));
    }
    Ok(found)
}

/// Returns the condition of a write. A document named by its id must be in the collection.
pub(crate) async fn prepared(
    caller: &Caller,
    named: &Named,
    conditions: &Conditions,
) -> Result<Option<String>, Problem> {
    let is_by_id = matches!(named.doc, DocRef::Id(_));
    if !is_by_id && !conditions.are_several() {
        return Ok(conditions.one());
    }
    let found = find(caller, named).await.map_err(|problem| conditions.failed(problem))?;
    Ok(conditions.with(&found.version.map(|version| version.to_string()).unwrap_or_default()))
}

/// Returns the condition of a write that also restores deleted documents, which cannot be read.
pub(super) async fn restoring(
    caller: &Caller,
    named: &Named,
    conditions: &Conditions,
) -> Result<Option<String>, Problem> {
    if !conditions.are_several() {
        return Ok(conditions.one());
    }
    match find(caller, named).await {
        Ok(found) => Ok(conditions.with(&found.version.map(|version| version.to_string()).unwrap_or_default())),
        Err(problem) if problem.code() == Code::Gone => Ok(conditions.one()),
        Err(problem) => Err(conditions.failed(problem)),
    }
}

/// Writes one document.
pub(super) async fn write(
    caller: &Caller,
    named: Named,
    op: DocOp,
    headers: &HeaderMap,
    route: &str,
) -> Result<Written, Problem> {
    let idempotency_key = idempotency_key(headers, caller.name(), &format!("{route} {}", named.doc))?;
    write_one(caller, DocWrite { space: named.space, writes: vec![op], idempotency_key }).await
}

/// Carries out one write.
pub(crate) async fn write_one(caller: &Caller, write: DocWrite) -> Result<Written, Problem> {
    let reply = caller.request(Command::DocWrite(write)).await?;
    let wrote = expect_reply!(reply, Reply::Wrote(wrote) => wrote)?;
    wrote.documents.into_iter().next().ok_or_else(unexpected)
}

/// Returns the answer to a write.
pub(super) fn told(status: StatusCode, written: Written) -> Response {
    let (id, version) = (written.doc.to_string(), written.version.map(|version| version.to_string()));
    let mut response = (status, Out(WrittenView::from(written))).into_response();
    mark(&mut response, &id, &version.unwrap_or_default());
    response
}

/// Sets the headers with a document's id and version.
fn mark(response: &mut Response, id: &str, version: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(DOC_ID, id);
    }
    if let (false, Ok(tag)) = (version.is_empty(), HeaderValue::from_str(&format!("\"{version}\""))) {
        headers.insert(header::ETAG, tag);
    }
}
