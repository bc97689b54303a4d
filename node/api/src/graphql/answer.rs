//! GraphQL requests and their answers; errors have the codes of the REST API.

use async_graphql::dynamic::Schema;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::OperationType;
use async_graphql::{Error, ErrorExtensionValues, Request, Response, ServerError, Value, Variables};
use cosmicsync_node::service::SpaceRef;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::limits;
use crate::access::Door;
use crate::call::Caller;
use crate::problem::{Code, Problem};

/// Largest size of the values in an answer, in bytes.
const BYTES_MAX: usize = 16 << 20;

/// Largest number of errors in an answer.
const ERRORS_MAX: usize = 100;

/// A request in the form that GraphQL clients send.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Map<String, Json>>,
    /// Extensions of clients, which are ignored.
    #[serde(default, rename = "extensions")]
    _extensions: Option<IgnoredAny>,
}

/// The sender of a request, its space, and the remaining size of the answer.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) caller: Caller,
    pub(super) space: SpaceRef,
    pub(super) room: Arc<Room>,
}

/// The remaining size of an answer. The limit keeps a short request from causing a very long answer.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

impl Room {
    /// Returns the full size.
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(BYTES_MAX))
    }

    /// Subtracts the size of a value. Returns whether any is left.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
        left > 0
    }

    /// Resets to the full size.
    pub(super) fn reset(&self) {
        self.0.store(BYTES_MAX, Ordering::Relaxed);
    }

    /// Fails if the answer is too large.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.take(0) {
            return Ok(());
        }
        let detail = format!("an answer has at most {BYTES_MAX} bytes of values");
        Err(Problem::new(Code::TooLarge, detail).next("ask for smaller pages, or for fewer fields"))
    }
}

/// Returns the approximate size of a value, in bytes.
pub(super) fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Boolean(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 8,
        Value::Enum(name) => name.len(),
        Value::Binary(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(bytes_of).sum::<usize>() + 8,
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + bytes_of(value)).sum::<usize>() + 8,
    }
}

/// A request that passed all limits.
pub(super) struct Prepared {
    pub(super) request: Request,
    pub(super) room: Arc<Room>,
    pub(super) kind: OperationType,
}

/// Parses a request and checks its limits.
pub(super) fn prepare(asked: Asked, caller: Caller, space: SpaceRef) -> Result<Prepared, Problem> {
    let Asked { query, operation_name, variables, .. } = asked;
    limits::check_text(&query)?;
    let document = parse_query(&query).map_err(|error| Problem::new(Code::BadQuery, error.to_string()))?;
    let variables = Variables::from_json(Json::Object(variables.unwrap_or_default()));
    limits::check(&document, &variables)?;
    let meant = limits::operation(&document, operation_name.as_deref());
    let kind = meant.map(|operation| operation.ty);
    let kind = kind.ok_or_else(|| Problem::new(Code::BadQuery, "operationName names no operation of the request"))?;
    let room = Arc::new(Room::new());
    let mut request = Request::new(query).variables(variables);
    request.operation_name = operation_name;
    request.set_parsed_query(document);
    let asker = Asker { caller, space, room: Arc::clone(&room) };
    Ok(Prepared { request: request.data(asker), room, kind })
}

/// Carries out a query or a mutation.
///
/// # Errors
/// If the space does not exist or cannot be read. Errors of the request itself are part of the answer.
pub(crate) async fn execute(door: &Door, caller: Caller, space: SpaceRef, asked: Asked) -> Result<Response, Problem> {
    let schema = door.graphql.current(&caller, &space).await?;
    Ok(match prepare(asked, caller, space) {
        Err(problem) => refused(&problem),
        Ok(Prepared { kind: OperationType::Subscription, .. }) => {
            let problem = Problem::new(Code::BadQuery, "a subscription goes over a WebSocket");
            refused(&problem.next("open one at the same path, with the subprotocol graphql-transport-ws"))
        }
        Ok(prepared) => once(&schema, prepared).await,
    })
}

/// Carries out a prepared query or mutation.
pub(super) async fn once(schema: &Schema, prepared: Prepared) -> Response {
    let Prepared { request, room, .. } = prepared;
    told(schema.execute(request).await, &room)
}

/// Adds the code to each error. An answer that became too large is replaced by an error.
pub(super) fn told(mut response: Response, room: &Room) -> Response {
    if let Err(problem) = room.check() {
        return refused(&problem);
    }
    response.errors.truncate(ERRORS_MAX);
    for error in &mut response.errors {
        let code = if error.path.is_empty() { Code::BadQuery } else { Code::Internal };
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", code.name());
        }
    }
    response
}

/// Returns the answer to a refused request.
pub(super) fn refused(problem: &Problem) -> Response {
    let Error { message, extensions, .. } = error(problem);
    let mut error = ServerError::new(message, None);
    error.extensions = extensions;
    Response::from_errors(vec![error])
}

/// Converts a problem to a GraphQL error; `extensions` has the members of problem details.
pub(super) fn error(problem: &Problem) -> Error {
    let mut members = match serde_json::to_value(problem) {
        Ok(Json::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    };
    let message = members.remove("detail");
    let mut extensions = ErrorExtensionValues::default();
    for (name, value) in members {
        extensions.set(name, Value::from_json(value).unwrap_or_default());
    }
    let mut error = Error::new(message.as_ref().and_then(Json::as_str).unwrap_or_default());
    error.extensions = Some(extensions);
    error
}
