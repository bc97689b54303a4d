//! Extractors for handlers. Every rejection is a [`Problem`].

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use core::pin::Pin;
use core::time::Duration;
use cosmicsync_node::service::read_json;
use http_body::Body as _;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer, Serialize};
use serde_json::Value;

use crate::access::Door;
use crate::limit::problem_of;
use crate::problem::{Code, Problem};

/// Largest size of a body, in bytes. Imports have no limit, because they are read in pieces.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest wait for the next piece of a body.
pub(crate) const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// Media type of JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Levels of nesting in a message around its values.
const LEVELS_AROUND: usize = 4;

/// Parameters of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Door> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, door).await {
            Ok(axum::extract::Path(found)) => Ok(Self(found)),
            Err(error) => Err(Problem::new(Code::BadRequest, error.body_text())),
        }
    }
}

/// Parameters of the query string. Unknown ones are refused, so that a typo never acts as a default.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Door> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, door).await {
            Ok(axum::extract::Query(found)) => Ok(Self(found)),
            Err(error) => Err(Problem::new(Code::BadRequest, error.body_text())),
        }
    }
}

/// A message in JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Door> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Door) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = whole(request.into_body()).await?;
        // Serde would also accept the members of a message as an array.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(Problem::new(Code::BadJson, "the body must be an object"));
        }
        parsed(&bytes, LEVELS_AROUND).map(Self)
    }
}

/// A document's value in JSON.
pub(crate) struct Document(pub(crate) serde_json::Value);

impl FromRequest<Door> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Door) -> Result<Self, Problem> {
        require_json(request.headers())?;
        read(request, 0).await.map(Self)
    }
}

/// The JSON body of an answer.
pub(crate) struct Out<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Out<T> {
    fn into_response(self) -> Response {
        let mut bytes = Vec::new();
        crate::shape::write(&self.0, &mut bytes);
        let mut response = Response::new(Body::from(bytes));
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    }
}

/// Reads a body as JSON, by the rules of every other interface.
pub(crate) async fn read<T: DeserializeOwned>(request: Request, around: usize) -> Result<T, Problem> {
    parsed(&whole(request.into_body()).await?, around)
}

fn parsed<T: DeserializeOwned>(bytes: &[u8], around: usize) -> Result<T, Problem> {
    read_json(bytes, around).map_err(|mistake| Problem::json(&mistake))
}

/// Deserializes a list of objects. Refuses an array in place of an object, which serde would accept.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::<serde_json::Map<String, Value>>::deserialize(deserializer)?;
    items.into_iter().map(|item| T::deserialize(Value::Object(item)).map_err(D::Error::custom)).collect()
}

/// Returns the media type of the body in lower case, without parameters; `None` if the request names none.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers).as_deref() {
        None | Some("application/json") => Ok(()),
        Some(other) => {
            let problem = Problem::new(Code::UnsupportedMediaType, format!("the body is {other}, not JSON"));
            Err(problem.next("send it with the header `Content-Type: application/json`"))
        }
    }
}

/// Reads a whole body, up to the limit.
async fn whole(mut body: Body) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let problem = Problem::new(Code::TooLarge, format!("a body has at most {BODY_BYTES_MAX} bytes"));
        problem.next("many documents: POST them to .../import")
    };
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(&mut body).await? {
        if bytes.len() + piece.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Waits for the next piece of a body; returns `None` at the end.
pub(crate) async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = core::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let frame = tokio::time::timeout(PIECE_TIMEOUT, frame).await.map_err(|_| {
            let seconds = PIECE_TIMEOUT.as_secs();
            Problem::new(Code::Timeout, format!("no part of the body arrived for {seconds} seconds"))
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers are not content.
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Some(Err(error)) => {
                let broke = |error| Problem::new(Code::BadRequest, format!("the body ended early: {error}"));
                return Err(problem_of(error).unwrap_or_else(broke));
            }
        }
    }
}
