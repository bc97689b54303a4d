//! Imports and exports.

use super::*;

#[tokio::test]
async fn a_file_comes_back_as_it_was() {
    let world = World::new().await;
    let csv = "zip,city\n00501,Holtsville\n01001,Agawam\n";
    let path = "collections/cities/import?id=zip";
    let report = world.with("POST", path, &[("content-type", "text/csv")], Body::from(csv)).await.ok(200);
    assert_eq!(
        (&report["documents"], &report["format"], &report["dry_run"]),
        (&json!(2), &json!("csv"), &json!(false))
    );
    assert_eq!(world.call("GET", "collections/cities/docs/00501", ()).await.ok(200)["city"], "Holtsville");
    let out = world.call("GET", "collections/cities/export?format=csv", ()).await;
    assert_eq!((out.status.as_u16(), out.header("content-type")), (200, "text/csv; charset=utf-8"));
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(out.text()), sorted(csv));
    let again = world.call("POST", path, Body::from(csv)).await.ok(200);
    assert_eq!((&again["documents"], &again["unchanged"]), (&json!(0), &json!(2)));
    for (format, media_type) in [
        ("tsv", "text/tab-separated-values; charset=utf-8"),
        ("ndjson", "application/x-ndjson"),
        ("json", "application/json"),
        ("xml", "application/xml"),
    ] {
        let out = world.call("GET", &format!("collections/cities/export?format={format}"), ()).await;
        assert_eq!(out.header("content-type"), media_type);
        let path = format!("collections/{format}/import?id=zip&format={format}");
        assert_eq!(world.call("POST", &path, Body::from(out.bytes)).await.ok(200)["documents"], 2, "{format}");
    }
    assert_eq!(world.call("GET", "collections/cities/export", ()).await.header("content-type"), "application/x-ndjson");
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let world = World::new().await;
    let csv = Body::from("zip,city\n1,a\n1,b\n");
    let report = world.call("POST", "collections/cities/import?format=csv&dryRun=true&id=zip", csv).await.ok(200);
    assert_eq!((&report["dry_run"], &report["columns"]), (&json!(true), &json!(["zip", "city"])));
    assert_eq!(world.call("GET", "collections", ()).await.ok(200), json!({ "collections": [] }));
}

#[tokio::test]
async fn a_refused_row_is_named_and_those_before_are_stored() {
    let world = World::new().await;
    let headers = [("content-type", "application/x-ndjson")];
    let lines = Body::from("{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\",\"id\":\"d\"}\n{\"id\":\"e\"}\n");
    let answer = world.with("POST", "collections/rows/import?id=id", &headers, lines).await;
    assert!(answer.status.is_client_error(), "{}", answer.text());
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("line 3")), "{}", answer.text());
    assert_eq!(world.call("POST", "collections/rows/count", json!({})).await.ok(200)["count"], 2);
    world.call("POST", "collections/rows/import?format=zip", Body::empty()).await.failed("bad_request");
    world.call("POST", "collections/rows/import?mode=x", Body::empty()).await.failed("bad_request");
}

#[tokio::test]
async fn a_large_file_passes_in_pieces() {
    let world = World::new().await;
    let rows = 20_000;
    let mut csv = String::from("id,text\n");
    for at in 0..rows {
        csv += &format!("{at},{}\n", "x".repeat(100));
    }
    assert!(csv.len() > 2 << 20);
    let report = world.call("POST", "collections/rows/import?format=csv&id=id", Body::from(csv.clone())).await.ok(200);
    assert_eq!((&report["documents"], &report["bytes"]), (&json!(rows), &json!(csv.len())));
    let answer = world.open(&world.write, "GET", "collections/rows/export?format=csv", &[], ()).await;
    let (mut body, mut bytes, mut pieces) = (answer.into_body(), 0, 0);
    while let Some(piece) = next(&mut body).await {
        (bytes, pieces) = (bytes + piece.len(), pieces + 1);
    }
    assert_eq!(bytes, csv.len());
    assert!(pieces > 10, "{pieces}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_end_of_a_file() {
    let world = World::new().await;
    let broken = Body::new(Broken(false));
    let answer = world.call("POST", "collections/rows/import?format=csv&id=id", broken).await;
    answer.failed("bad_request");
    // The same file, complete.
    let whole = Body::from("id,n\n1,1\n2,2\n");
    world.call("POST", "collections/rows/import?format=csv&id=id", whole).await.ok(200);
    assert_eq!(world.call("POST", "collections/rows/count", json!({})).await.ok(200)["count"], 2);
}

/// A body that fails after its first piece.
struct Broken(bool);

impl http_body::Body for Broken {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut core::task::Context<'_>,
    ) -> core::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let first = !core::mem::replace(&mut self.0, true);
        let piece = if first { Ok("id,n\n1,1\n") } else { Err(std::io::ErrorKind::ConnectionReset.into()) };
        core::task::Poll::Ready(Some(piece.map(|text| http_body::Frame::data(text.into()))))
    }
}
