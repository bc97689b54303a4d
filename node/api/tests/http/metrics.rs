//! Metrics and health, for the operator.

use super::*;
use cosmicsync_api::operator_router;

/// Sends a request to the operator's routes.
async fn watched(router: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
    let answer = router.clone().oneshot(request).await.expect("an answer");
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_owned());
    let (parts, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = next(&mut body).await {
        bytes.extend(piece);
    }
    (parts.status, kind.unwrap_or_default(), String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn figures_tell_how_requests_went_and_name_nothing() {
    let world = World::new().await;
    let metrics = Metrics::default();
    let (_stop, stopped) = watch::channel(false);
    let counted = router(Arc::clone(&world.node) as Arc<dyn Backend>, &Settings::default(), metrics.clone(), stopped);
    let World { node, write, read, stop, dir, .. } = world;
    let world = World { router: counted, node, write, read, stop, dir };
    let operator = operator_router(Arc::clone(&world.node) as Arc<dyn Backend>, metrics);
    world.call("PUT", "collections/secrets/docs/hidden", json!({ "word": "whisper" })).await.ok(201);
    world.call("PUT", "collections/secrets/docs/hidden", json!({ "word": "murmur" })).await.ok(200);
    world.call("GET", "collections/secrets/docs/none", ()).await.failed("not_found");
    world.call("GET", "/nowhere/a", ()).await.failed("not_found");
    world.call("GET", "/nowhere/b", ()).await.failed("not_found");
    let (status, kind, text) = watched(&operator, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let route = "/v1/spaces/{space}/collections/{collection}/docs/{key}";
    for line in [
        format!("cosmicsync_http_requests_total{{route=\"{route}\",method=\"PUT\",status=\"201\"}} 1"),
        format!("cosmicsync_http_requests_total{{route=\"{route}\",method=\"GET\",status=\"404\"}} 1"),
        "cosmicsync_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 2".to_owned(),
        format!("cosmicsync_http_request_duration_seconds_count{{route=\"{route}\"}} 3"),
        "cosmicsync_http_requests_under_way 0".to_owned(),
        "cosmicsync_store_failing 0".to_owned(),
        "cosmicsync_peers{state=\"connected\"} 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let documents = text.lines().find(|line| line.starts_with("cosmicsync_space_documents{space=")).expect("a space");
    assert!(documents.ends_with(" 1"), "{documents}");
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    for name in ["secrets", "hidden", "whisper", "murmur", "home", "nowhere", &world.write] {
        assert!(!text.contains(name), "{name} is in\n{text}");
    }
}

#[tokio::test]
async fn a_node_is_ready_while_it_takes_writes() {
    let world = World::new().await;
    let operator = operator_router(Arc::clone(&world.node) as Arc<dyn Backend>, Metrics::default());
    assert_eq!(watched(&operator, "/healthz").await.2, "ok\n");
    assert_eq!(watched(&operator, "/readyz").await.2, "ok\n");
    request(&*world.node, Command::Shutdown {}).await.expect("it stops");
    let (status, _, why) = watched(&operator, "/readyz").await;
    assert_eq!((status, why.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "the node does not answer\n"));
    assert_eq!(watched(&operator, "/healthz").await.2, "ok\n");
    assert!(watched(&operator, "/metrics").await.2.ends_with("# EOF\n"));
}
