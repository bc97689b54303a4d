//! The web console and the API's interactive pages, embedded from the build of `web/`. The pages are the same on every
//! node, so they need no token; the console sends one with each API request. Nothing here reads a file or uses a path
//! from the client.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use std::io::Read as _;

use crate::problem::{Code, Problem};

/// The served paths, each with its gzip file.
const FILES: &[(&str, &[u8])] = include!("../../../../web/dist/embed.in");
/// Hash of the sources of the build.
const BUILD: &str = include_str!("../../../../web/dist/sources.sha256");

/// Pages: the path, and the file.
const PAGES: [(&str, &str); 3] = [("/", "/index.html"), ("/docs", "/docs.html"), ("/graphiql", "/graphiql.html")];
/// Directories of files whose names change with their content.
const FOREVER: [&str; 2] = ["/assets/", "/vendor/"];

/// The console's content security policy: nothing from other origins, no inline script and no inline style.
const STRICT: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// The policy of the vendored pages, which need inline styles.
const LOOSER: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Adds the routes: each file by its exact path.
pub(super) fn served<S: Clone + Send + Sync + 'static>(mut router: Router<S>) -> Router<S> {
    for (path, file) in PAGES {
        let policy = if path == "/" { STRICT } else { LOOSER };
        if let Some((_, packed)) = FILES.iter().find(|(name, _)| *name == file) {
            let page = Page { packed, policy };
            router = router.route(path, get(move |headers: HeaderMap| async move { page.answer(&headers) }));
        }
    }
    for (path, packed) in FILES.iter().filter(|(path, _)| is_kept(path)) {
        router = router.route(path, get(move |headers: HeaderMap| async move { asset(path, packed, &headers) }));
    }
    router
}

/// Returns whether a path belongs to the console, and so needs no token.
pub(crate) fn is_open(path: &str) -> bool {
    PAGES.iter().any(|(page, _)| *page == path) || is_kept(path)
}

fn is_kept(path: &str) -> bool {
    FOREVER.iter().any(|folder| path.starts_with(folder))
}

/// A page of HTML.
#[derive(Clone, Copy)]
struct Page {
    packed: &'static [u8],
    policy: &'static str,
}

impl Page {
    /// Returns the page. Pages name their files, so a browser must check for a new page each time.
    fn answer(self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", BUILD.trim());
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            unpacked(self.packed, "text/html; charset=utf-8", headers)
        };
        let own = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            own.insert(header::ETAG, tag);
        }
        own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        own.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        own.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        own.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let alone = HeaderName::from_static("cross-origin-opener-policy");
        own.insert(alone, HeaderValue::from_static("same-origin"));
        response
    }
}

/// Returns a file that never changes under its name.
fn asset(path: &str, packed: &'static [u8], headers: &HeaderMap) -> Response {
    let media_type = match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    };
    let mut response = unpacked(packed, media_type, headers);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, forever);
    response
}

/// Returns the gzip file, or the unpacked one for a client without gzip.
fn unpacked(packed: &'static [u8], media_type: &'static str, headers: &HeaderMap) -> Response {
    let mut response = if takes_gzip(headers) {
        let mut response = Response::new(Body::from(Bytes::from_static(packed)));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        let mut bytes = Vec::new();
        match GzDecoder::new(packed).read_to_end(&mut bytes) {
            Ok(_) => Response::new(Body::from(bytes)),
            Err(error) => return Problem::new(Code::Internal, error.to_string()).into_response(),
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// Returns whether a client accepts gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty());
        ["gzip", "*"].contains(&name.trim()) && !refused
    })
}
