//! Errors as problem details (RFC 9457). The table of codes and their statuses is here and nowhere else.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{ErrorCode, JsonMistake, Reason, ServiceError};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::model::ViolationView;

/// Media type of a problem.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Defines the codes and their table.
macro_rules! codes {
    ($($code:ident, $name:literal, $status:ident, $title:literal;)+) => {
        /// The name of an error. The names are stable, because programs match on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $title] $code,)+
        }

        impl Code {
            /// All codes, by status.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// Returns the code's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            /// Returns the HTTP status of an answer with the code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// Returns one sentence about the code.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }
        }
    };
}

codes! {
    BadJson, "bad_json", BAD_REQUEST, "The body is not JSON that can be kept, or not of the shape that the route takes.";
    TooDeep, "too_deep", BAD_REQUEST, "The JSON nests deeper than a document may.";
    BadRequest, "bad_request", BAD_REQUEST, "A parameter, a header or the path was not understood.";
    BadName, "bad_name", BAD_REQUEST, "A name is empty, too long, reserved, or has a character that is not allowed in names.";
    BadSelector, "bad_selector", BAD_REQUEST, "A selector, a sort or a list of fields was not understood.";
    BadQuery, "bad_query", BAD_REQUEST, "The GraphQL request was not understood, or asks for what is not in the schema.";
    TooComplex, "too_complex", BAD_REQUEST, "The GraphQL request asks for too much at once, or nests too deep.";
    BookmarkInvalid, "bookmark_invalid", BAD_REQUEST, "The bookmark belongs to another query: begin without one.";
    SortNeedsIndex, "sort_needs_index", BAD_REQUEST, "Too many documents match to sort them without an index.";
    ScanLimit, "scan_limit", BAD_REQUEST, "No index helps, and too many documents would have to be read.";
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "The request has no token of this node.";
    TokenExpired, "token_expired", UNAUTHORIZED, "The token has expired.";
    LoginFailed, "login_failed", UNAUTHORIZED, "The name and password, or the link, are not valid.";
    Forbidden, "forbidden", FORBIDDEN, "The role, the token or the rules of the collection do not allow it.";
    NotFound, "not_found", NOT_FOUND, "The requested resource does not exist.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The route does not take this method.";
    Timeout, "timeout", REQUEST_TIMEOUT, "The body did not come in time.";
    ContainerChange, "container_change", CONFLICT, "Existing members merge in another way than the schema requires.";
    Conflict, "conflict", CONFLICT, "The resource exists already, or it changed meanwhile.";
    IdempotencyBusy, "idempotency_busy", CONFLICT, "A request under this idempotency key is under way.";
    Gone, "gone", GONE, "The document was deleted; it can be undeleted.";
    Exists, "exists", PRECONDITION_FAILED, "The document exists already, and the write was to create it.";
    VersionMismatch, "version_mismatch", PRECONDITION_FAILED, "The document does not have the version that the write is for.";
    TooLarge, "too_large", PAYLOAD_TOO_LARGE, "The body, or what it asks for, is larger than it may be.";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The route does not take this Content-Type.";
    UpgradeRequired, "upgrade_required", UPGRADE_REQUIRED, "The route is a WebSocket.";
    BadPatch, "bad_patch", UNPROCESSABLE_ENTITY, "The patch does not fit the document.";
    BadRules, "bad_rules", UNPROCESSABLE_ENTITY, "The rules were not understood.";
    BadSchema, "bad_schema", UNPROCESSABLE_ENTITY, "The schema was not understood.";
    SchemaViolation, "schema_violation", UNPROCESSABLE_ENTITY, "A document would violate its schema.";
    Refused, "refused", UNPROCESSABLE_ENTITY, "A rule or a limit forbids it.";
    IdempotencyMismatch, "idempotency_mismatch", UNPROCESSABLE_ENTITY, "Another request was carried out under this idempotency key.";
    TooOften, "too_often", TOO_MANY_REQUESTS, "There were too many attempts: wait, and try again.";
    Quota, "quota", TOO_MANY_REQUESTS, "The request is larger than what is left of the bytes that the token may send a day.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "The node failed: look at its log and at `cosmicsync doctor`.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "The node cannot answer at the moment: try again.";
    Incomplete, "incomplete", SERVICE_UNAVAILABLE, "Parts of the document have not arrived yet.";
    IndexBuilding, "index_building", SERVICE_UNAVAILABLE, "The index is being built.";
    StoreFull, "store_full", INSUFFICIENT_STORAGE, "The disk or the store is full.";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A failure of a handler.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The service's reason for the failure.
    #[serde(skip)]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ViolationView>,
    /// Number of seconds after which to retry.
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// The body of every error response: problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details<'a> {
    /// The page that explains the code, relative to the server.
    #[serde(rename = "type")]
    kind: String,
    /// One sentence about the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable name of the error, such as `no_document`, for programs to match on.
    code: &'static str,
    /// A description of this particular error.
    detail: &'a str,
    /// The id of the request, as in `X-Request-Id` and in the node's log.
    #[serde(rename = "requestId")]
    request_id: &'a str,
    /// The next step, most often a command of the node's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    /// The ways in which the document violates its schema, for `schema_violation`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ViolationView],
}

impl Problem {
    /// Returns a problem with no next step.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), next: None, reason: None, errors: Vec::new(), retry_after: None }
    }

    /// Sets the next step.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Sets the number of seconds after which to retry.
    pub(crate) const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Returns the code.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// Returns whether the problem is a missing document.
    pub(crate) const fn is_missing_document(&self) -> bool {
        matches!(self.reason, Some(Reason::Gone | Reason::NoDocument))
    }

    /// Returns the problem with another code.
    pub(crate) fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// Returns the problem of a body with invalid JSON.
    pub(crate) fn json(mistake: &JsonMistake) -> Self {
        let code = if mistake.too_deep { Code::TooDeep } else { Code::BadJson };
        let place = mistake.place.map(|(line, column)| format!(" (line {line}, column {column})"));
        Self::new(code, format!("{}{}", mistake.message, place.unwrap_or_default()))
    }

    /// Returns the body, which includes the request's id.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let details = Details {
            kind: format!("/docs/errors#{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.name(),
            detail: &self.detail,
            request_id,
            next: self.next.as_deref(),
            errors: &self.errors,
        };
        serde_json::to_vec(&details).unwrap_or_default()
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.detail.fmt(f)
    }
}

impl core::error::Error for Problem {}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let ServiceError { code, message, reason, next, violations } = error;
        let errors = violations.into_iter().map(ViolationView::from).collect();
        let code = reason.map_or_else(|| of_code(code), of_reason);
        Self { code, detail: message, next, reason, errors, retry_after: None }
    }
}

const fn of_reason(reason: Reason) -> Code {
    match reason {
        Reason::BadName => Code::BadName,
        Reason::BadSelector => Code::BadSelector,
        Reason::BadPatch => Code::BadPatch,
        Reason::BadSchema => Code::BadSchema,
        Reason::BadRules => Code::BadRules,
        Reason::Forbidden => Code::Forbidden,
        Reason::LoginFailed => Code::LoginFailed,
        Reason::TooOften => Code::TooOften,
        Reason::BookmarkInvalid => Code::BookmarkInvalid,
        Reason::ContainerChange => Code::ContainerChange,
        Reason::Exists => Code::Exists,
        Reason::Gone | Reason::Forgotten => Code::Gone,
        Reason::NoDocument => Code::NotFound,
        Reason::IdempotencyMismatch => Code::IdempotencyMismatch,
        Reason::IdempotencyBusy => Code::IdempotencyBusy,
        Reason::Incomplete => Code::Incomplete,
        Reason::IndexBuilding => Code::IndexBuilding,
        Reason::ScanLimit => Code::ScanLimit,
        Reason::SortNeedsIndex => Code::SortNeedsIndex,
        Reason::TooLarge => Code::TooLarge,
        Reason::TokenUnknown => Code::Unauthenticated,
        Reason::TokenExpired => Code::TokenExpired,
        Reason::VersionMismatch => Code::VersionMismatch,
    }
}

const fn of_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::Usage => Code::BadRequest,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::Conflict => Code::Conflict,
        ErrorCode::Invalid => Code::SchemaViolation,
        ErrorCode::Refused => Code::Refused,
        ErrorCode::Unavailable | ErrorCode::PeerUnreachable | ErrorCode::TimedOut => Code::Unavailable,
        ErrorCode::StoreFull => Code::StoreFull,
        ErrorCode::CheckFailed
        | ErrorCode::StoreDamaged
        | ErrorCode::StoreLocked
        | ErrorCode::StoreNewer
        | ErrorCode::Io
        | ErrorCode::Internal => Code::Internal,
    }
}

impl IntoResponse for Problem {
    /// The body is added later, when the request's id is known: see `access::envelope`.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cosmicsync\""));
        }
        let is_busy = self.code.status() == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = self.retry_after.or(is_busy.then_some(1)) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The header with the request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_told_apart_and_stand_by_status() {
        let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        let client = |code: &&Code| code.status().is_client_error();
        assert!(Code::ALL.is_sorted_by_key(|code| !client(&code)));
        assert!(Code::ALL.iter().all(|code| code.title().ends_with('.')));
    }
}
