//! Errors: a status and a code for each, and JSON by the rules of every other interface.

use super::*;
use cosmicsync_node::service::{
    Answer as Answering, ErrorCode, Input, Item, Reason, Role, Secret, ServiceError, Token, Who, parse_json,
};
use tokio::sync::mpsc;

#[tokio::test]
async fn each_mistake_has_its_code() {
    let world = World::new().await;
    world.call("PUT", "collections/towns/docs/t0", json!({ "name": "Dover" })).await.ok(201);
    let deep = format!("{}{}", "[".repeat(80), "]".repeat(80));
    let deep_doc = format!("{{\"a\":{deep}}}");
    for (method, path, body, code) in [
        ("PUT", "collections/towns/docs/t1", "{", "bad_json"),
        ("PUT", "collections/towns/docs/t1", "", "bad_json"),
        ("PUT", "collections/towns/docs/t1", "{\"a\":1,\"a\":2}", "bad_json"),
        ("PUT", "collections/towns/docs/t1", "{\"a\":99999999999999999999}", "bad_json"),
        ("PUT", "collections/towns/docs/t1", "{\"a\":1e999}", "bad_json"),
        ("PUT", "collections/towns/docs/t1", "{\"a\":NaN}", "bad_json"),
        ("PUT", "collections/towns/docs/t1", "{\"a\":\"\\ud800\"}", "bad_json"),
        ("PUT", "collections/towns/docs/t1", &deep_doc, "too_deep"),
        ("POST", "collections/towns/find", &deep_doc, "too_deep"),
        ("PUT", "collections/towns/docs/t1", "[]", "bad_request"),
        ("PUT", "collections/towns/docs/t1", "7", "bad_request"),
        ("POST", "collections/towns/find", "{\"selektor\":{}}", "bad_json"),
        ("POST", "collections/towns/count", "[null,null]", "bad_json"),
        ("GET", "collections/towns/docs/t0/history?limit=0", "", "bad_request"),
        ("GET", "collections/towns/live?limit=1000001", "", "bad_request"),
        ("GET", "collections/towns/export?delimiter=", "", "bad_request"),
        ("POST", "collections/towns/find", "{\"selector\":{\"$jump\":1}}", "bad_selector"),
        ("POST", "collections/towns/find", "{\"selector\":7}", "bad_selector"),
        ("POST", "collections/towns/find", "{\"sort\":[{\"a\":\"sideways\"}]}", "bad_selector"),
        ("POST", "collections/towns/find", "{\"fields\":7}", "bad_selector"),
        ("POST", "collections/towns/find", "{\"limit\":1001}", "bad_request"),
        ("POST", "collections/towns/find", "{\"limit\":0}", "bad_request"),
        ("POST", "collections/towns/find", "{\"limit\":-1}", "bad_json"),
        ("POST", "collections/towns/find", "{\"bookmark\":\"x\"}", "bookmark_invalid"),
        ("POST", "collections/towns/find", "{\"use_index\":\"none\"}", "not_found"),
        ("POST", "collections/towns/count", "{\"measures\":[{\"kind\":\"mode\",\"field\":\"a\"}]}", "bad_json"),
        ("GET", "collections/towns/docs?limit=x", "", "bad_request"),
        ("GET", "collections/towns/docs?lmit=1", "", "bad_request"),
        ("GET", "collections/towns/docs?where={", "", "bad_json"),
        ("GET", "collections/towns/docs?where=%7B%22$jump%22:1%7D", "", "bad_selector"),
        ("GET", "collections/towns/docs/none", "", "not_found"),
        ("GET", "collections/none", "", "not_found"),
        ("GET", "collections/none/export", "", "not_found"),
        ("GET", "changes?since=x", "", "bad_request"),
        ("GET", "changes?feed=often", "", "bad_request"),
        ("GET", "changes?limit=1001", "", "bad_request"),
        ("GET", "changes?collection=_a", "", "bad_name"),
        ("GET", "nothing", "", "not_found"),
        ("POST", &format!("collections/{}/count", "c".repeat(256)), "{}", "bad_name"),
        ("GET", "/index.html", "", "not_found"),
        ("POST", "/", "", "method_not_allowed"),
        ("GET", "/v2/status", "", "not_found"),
        ("DELETE", "/v1/status", "", "method_not_allowed"),
        ("PATCH", "collections/towns/docs", "", "method_not_allowed"),
        ("TRACE", "collections/towns/docs", "", "method_not_allowed"),
        ("POST", "/v1/spaces", "{\"name\":\"home\"}", "conflict"),
        ("PUT", "collections/towns/indexes/by_name", "{\"fields\":[]}", "bad_selector"),
        ("DELETE", "collections/towns/indexes/none", "", "not_found"),
        ("POST", "collections/towns/indexes/none/check", "", "not_found"),
    ] {
        let problem = world.call(method, path, body).await.failed(code);
        assert!(problem["title"].as_str().is_some_and(|title| title.ends_with('.')), "{method} {path}");
    }
    assert_eq!(world.call("DELETE", "/v1/status", ()).await.header("allow"), "GET,HEAD");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json", "x"] {
        let headers = [("content-type", kind)];
        world.with("PUT", "collections/towns/docs/t1", &headers, "{}").await.failed("unsupported_media_type");
        world.with("POST", "collections/towns/find", &headers, "{}").await.failed("unsupported_media_type");
    }
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    world.with("PUT", "collections/towns/docs/t1", &charset, "{}").await.ok(201);
    // A body without a type is read as JSON.
    world.call("PUT", "collections/towns/docs/t2", Body::from("{}")).await.ok(201);
    let invalid = Body::from(&b"{\"a\":\"\xff\"}"[..]);
    world.call("PUT", "collections/towns/docs/t3", invalid).await.failed("bad_json");
}

#[tokio::test]
async fn json_is_refused_as_the_command_line_refuses_it() {
    let world = World::new().await;
    for text in
        ["{\"a\": }", "{\"a\":1,\n \"a\":2}", "{\n\"n\": 99999999999999999999}", "{\"n\":1e999}", "{\"a\":\"\\udc00\"}"]
    {
        let mistake = parse_json(text).expect_err(text);
        let problem = world.call("PUT", "collections/towns/docs/t0", text).await.failed("bad_json");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.starts_with(&mistake.message), "{detail}: {mistake:?}");
        let (line, column) = mistake.place.expect("a place");
        assert!(detail.ends_with(&format!("(line {line}, column {column})")), "{detail}");
    }
    for (text, kept) in [("{\"n\":9007199254740993}", "{\"n\":9007199254740993}"), ("{\"n\":2.0}", "{\"n\":2.0}")] {
        world.call("PUT", "collections/towns/docs/n", text).await;
        assert_eq!(world.call("GET", "collections/towns/docs/n", ()).await.text(), kept);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let world = World::new().await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let problem = world.call("PUT", "collections/towns/docs/t0", large.as_str()).await.failed("too_large");
    assert!(problem["next"].as_str().is_some_and(|next| next.contains("import")));
    // A body without a length is read up to the limit.
    let endless = Endless::default();
    let taken = Arc::clone(&endless.taken);
    world.call("PUT", "collections/towns/docs/t0", Body::new(endless)).await.failed("too_large");
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(taken <= (1 << 20) + 2 * PIECE, "{taken}");
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000));
    world.call("PUT", "collections/towns/docs/t0", fits.as_str()).await.ok(201);
}

/// Size of a piece of [`Endless`], in bytes.
const PIECE: usize = 64 * 1024;

/// A body without an end, which counts the bytes taken.
#[derive(Default)]
struct Endless {
    taken: Arc<std::sync::atomic::AtomicUsize>,
}

impl http_body::Body for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut core::task::Context<'_>,
    ) -> core::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        self.taken.fetch_add(PIECE, std::sync::atomic::Ordering::Relaxed);
        core::task::Poll::Ready(Some(Ok(http_body::Frame::data(vec![b' '; PIECE].into()))))
    }
}

/// A node that accepts any token, and answers everything else with one error.
#[derive(Debug)]
struct Failing(ServiceError);

impl Backend for Failing {
    fn call(&self, command: Command, _: mpsc::Sender<Item>) -> Answering<'_> {
        Box::pin(async move {
            if let Command::TokenCheck { token: Secret(name) } = command {
                let who = Who { token: Token::new(name, Scope::Write, 0), role: Role::Owner };
                return Ok(Reply::Who(who));
            }
            Err(self.0.clone())
        })
    }

    fn call_as(&self, _: &Who, command: Command, _: Option<Input>, items: mpsc::Sender<Item>) -> Answering<'_> {
        self.call(command, items)
    }
}

async fn failed(error: ServiceError) -> (StatusCode, Value, HeaderMap) {
    let (_stop, stopped) = watch::channel(false);
    let router = router(Arc::new(Failing(error)), &Settings::default(), Metrics::default(), stopped);
    let request = Request::builder().uri("/v1/status").header("authorization", "Bearer x").body(Body::empty());
    let answer = router.oneshot(request.expect("a request")).await.expect("an answer");
    let (parts, mut body) = answer.into_parts();
    let bytes = next(&mut body).await.expect("a problem");
    (parts.status, serde_json::from_slice(&bytes).expect("JSON"), parts.headers)
}

#[tokio::test]
async fn each_error_of_the_node_has_a_status() {
    for (code, status, name) in [
        (ErrorCode::CheckFailed, 500, "internal"),
        (ErrorCode::Usage, 400, "bad_request"),
        (ErrorCode::NotFound, 404, "not_found"),
        (ErrorCode::Conflict, 409, "conflict"),
        (ErrorCode::Invalid, 422, "schema_violation"),
        (ErrorCode::Refused, 422, "refused"),
        (ErrorCode::Unavailable, 503, "unavailable"),
        (ErrorCode::PeerUnreachable, 503, "unavailable"),
        (ErrorCode::TimedOut, 503, "unavailable"),
        (ErrorCode::StoreFull, 507, "store_full"),
        (ErrorCode::StoreDamaged, 500, "internal"),
        (ErrorCode::StoreLocked, 500, "internal"),
        (ErrorCode::StoreNewer, 500, "internal"),
        (ErrorCode::Io, 500, "internal"),
        (ErrorCode::Internal, 500, "internal"),
    ] {
        let (answered, problem, headers) = failed(ServiceError::new(code, "it failed").next("do this")).await;
        assert_eq!((answered.as_u16(), &problem["code"]), (status, &json!(name)), "{code:?}");
        assert_eq!((&problem["detail"], &problem["next"]), (&json!("it failed"), &json!("do this")));
        assert_eq!(headers.contains_key("retry-after"), status == 503);
    }
    for (reason, status, name) in [
        (Reason::BadName, 400, "bad_name"),
        (Reason::BadSelector, 400, "bad_selector"),
        (Reason::BadPatch, 422, "bad_patch"),
        (Reason::BadSchema, 422, "bad_schema"),
        (Reason::ContainerChange, 409, "container_change"),
        (Reason::BookmarkInvalid, 400, "bookmark_invalid"),
        (Reason::Exists, 412, "exists"),
        (Reason::Gone, 410, "gone"),
        (Reason::Forgotten, 410, "gone"),
        (Reason::IdempotencyMismatch, 422, "idempotency_mismatch"),
        (Reason::IdempotencyBusy, 409, "idempotency_busy"),
        (Reason::Incomplete, 503, "incomplete"),
        (Reason::IndexBuilding, 503, "index_building"),
        (Reason::NoDocument, 404, "not_found"),
        (Reason::ScanLimit, 400, "scan_limit"),
        (Reason::SortNeedsIndex, 400, "sort_needs_index"),
        (Reason::TooLarge, 413, "too_large"),
        (Reason::TokenUnknown, 401, "unauthenticated"),
        (Reason::TokenExpired, 401, "token_expired"),
        (Reason::VersionMismatch, 412, "version_mismatch"),
    ] {
        let (answered, problem, _) = failed(ServiceError::new(ErrorCode::Refused, "no").because(reason)).await;
        assert_eq!((answered.as_u16(), &problem["code"]), (status, &json!(name)), "{reason:?}");
        assert!(problem.get("next").is_none());
    }
}

#[tokio::test]
async fn the_description_is_the_one_that_was_published() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let published = std::fs::read_to_string(path).expect("node/api/openapi.json");
    let told = "the API changed: `cargo run -- openapi > node/api/openapi.json`, and look at the difference";
    assert!(published == cosmicsync_api::openapi(), "{told}");
    let world = World::new().await;
    let served = world.call("GET", "/v1/openapi.json", ()).await;
    assert_eq!(served.text(), published);
    let api = served.json();
    assert_eq!(api["openapi"], "3.1.0");
    let mut ids: Vec<&Value> = Vec::new();
    for item in api["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("operations").values() {
            ids.push(&operation["operationId"]);
            assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(!parameter["schema"].to_string().contains("null"), "{parameter}");
                assert_eq!(parameter["in"] == "path", parameter["required"] == true && parameter["name"] != "from");
            }
        }
    }
    let count = ids.len();
    ids.sort_by_key(|id| id.to_string());
    ids.dedup();
    assert_eq!(ids.len(), count, "operations are told apart");
    // Every schema that the description refers to exists.
    let text = api.to_string();
    for (at, _) in text.match_indices("#/components/schemas/") {
        let name = text[at..].trim_start_matches("#/components/schemas/").split('"').next().expect("a name");
        assert!(api["components"]["schemas"].get(name).is_some(), "{name}");
    }
}
