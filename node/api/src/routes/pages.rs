//! Routes outside of the API's description: health, the description itself, and the page of error codes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use std::sync::LazyLock;

use crate::problem::{Code, Problem};

/// Returns the description of the API (OpenAPI 3.1).
pub(super) async fn description() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(crate::openapi);
    typed(Body::from(TEXT.as_str()), "application/json")
}

/// Returns a page that explains the error codes. The page loads no other file.
pub(super) async fn errors() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(errors_page);
    let mut response = typed(Body::from(PAGE.as_str()), "text/html; charset=utf-8");
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn errors_page() -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Errors of the CosmicSync API</title>\n\
         <style>body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\
         code{font-size:1.1em}</style>\n<h1>Errors</h1>\n\
         <p>An error is <code>application/problem+json</code> (RFC 9457). Match on <code>code</code>; <code>detail</code> is for \
         people, and <code>next</code> says what to do.</p>\n",
    );
    for code in Code::ALL {
        let (name, status, title) = (code.name(), code.status().as_u16(), code.title());
        page += &format!("<h2 id=\"{name}\"><code>{name}</code> ({status})</h2>\n<p>{title}</p>\n");
    }
    page.push_str("</html>\n");
    page
}

fn typed(body: Body, media_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Answers a path without a route.
pub(super) async fn no_route(request: Request) -> Problem {
    let problem = Problem::new(Code::NotFound, format!("there is no route {}", request.uri().path()));
    problem.next("GET /v1/openapi.json")
}

/// Answers a method that the route does not allow. The header `Allow` lists the allowed ones.
pub(super) async fn no_method(request: Request) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("the route does not take {}", request.method()))
}
