//! The console's files: open, compressed, cacheable, and only the embedded ones.

use super::*;
use ring::digest::{Context, SHA256};
use std::path::{Path, PathBuf};

/// The sources of `web/dist`, as in `web/build/finish.mjs`.
const SOURCES: [&str; 9] = [
    "build",
    "docs.html",
    "graphiql.html",
    "index.html",
    "package-lock.json",
    "src",
    "tsconfig.json",
    "vendor",
    "vite.config.ts",
];

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

#[test]
fn what_is_embedded_was_built_from_the_sources() {
    let mut names = Vec::new();
    for source in SOURCES {
        files(&web(), Path::new(source), &mut names);
    }
    names.sort_unstable();
    let mut digest = Context::new(&SHA256);
    for name in &names {
        let bytes = std::fs::read(web().join(name)).expect("a source");
        digest.update(format!("{name}\0{}\0", bytes.len()).as_bytes());
        digest.update(&bytes);
    }
    let found: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let built = std::fs::read_to_string(web().join("dist/sources.sha256")).expect("web/dist");
    assert_eq!(found, built.trim(), "web/ changed: `npm ci && npm run build` in web/, and commit web/dist");
}

fn files(root: &Path, path: &Path, names: &mut Vec<String>) {
    if root.join(path).is_dir() {
        for entry in std::fs::read_dir(root.join(path)).expect("a folder") {
            files(root, &path.join(entry.expect("an entry").file_name()), names);
        }
    } else {
        names.push(path.to_str().expect("UTF-8").to_owned());
    }
}

/// Returns the paths that a page loads first.
fn named(page: &str) -> Vec<String> {
    let parts = page.split('"').filter(|part| part.starts_with("/assets/"));
    parts.map(str::to_owned).collect()
}

#[tokio::test]
async fn pages_take_no_token_and_load_only_what_is_here() {
    let world = World::new().await;
    for path in ["/", "/docs", "/graphiql"] {
        let page = world.send("", "GET", path, &[], ()).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(
            !policy.contains("unsafe-eval") && !policy.contains("script-src") && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(policy.contains("'unsafe-inline'"), path != "/", "styles of the vendored pages alone: {policy}");
        let text = page.text();
        assert!(!text.contains("://") && !text.contains("<style") && !text.contains("style="), "{text}");
        assert!(
            text.matches("<script").count()
                == text.matches("<script type=\"module\" crossorigin src=\"/assets/").count()
        );
        let assets = named(text);
        assert!(assets.len() >= 2, "{text}");
        for asset in assets {
            let file = world.send("", "GET", &asset, &[], ()).await;
            assert_eq!(file.status, StatusCode::OK, "{asset}");
            assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
            let kind = match asset.rsplit('.').next() {
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                _ => "image/svg+xml",
            };
            assert_eq!(file.header("content-type"), kind, "{asset}");
        }
    }
}

#[tokio::test]
async fn files_come_packed_to_whoever_takes_that() {
    let world = World::new().await;
    let plain = world.send("", "GET", "/", &[], ()).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.text().contains("<!doctype html>"));
    for takes in ["gzip", "br, gzip;q=0.8", "*"] {
        let packed = world.send("", "GET", "/", &[("accept-encoding", takes)], ()).await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{takes}");
        assert_eq!(packed.header("vary"), "accept-encoding");
        assert_eq!(packed.bytes[..2], [0x1f, 0x8b]);
    }
    for takes in ["br", "gzip;q=0", "identity", "gzip;q=0.000"] {
        let unpacked = world.send("", "GET", "/", &[("accept-encoding", takes)], ()).await;
        assert_eq!((unpacked.header("content-encoding"), unpacked.text()), ("", plain.text()), "{takes}");
    }
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let world = World::new().await;
    let tag = world.send("", "GET", "/", &[], ()).await.header("etag").to_owned();
    let again = world.send("", "GET", "/", &[("if-none-match", &tag)], ()).await;
    assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    let other = world.send("", "GET", "/", &[("if-none-match", "\"other\"")], ()).await;
    assert_eq!(other.status, StatusCode::OK);
    let head = world.send("", "HEAD", "/", &[], ()).await;
    assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("etag"), tag);
}

#[tokio::test]
async fn no_path_leads_to_other_files() {
    let world = World::new().await;
    for path in ["/assets/none.js", "/assets/", "/vendor/", "/vendor/licences/react", "/assets/..%2f..%2fCargo.toml"] {
        world.send("", "GET", path, &[], ()).await.failed("not_found");
    }
    for path in ["/assets/../v1/status", "/assets/%2e%2e/v1/status", "/assets/..%2fv1/status", "/vendor//v1/status"] {
        world.send("", "GET", path, &[], ()).await.failed("not_found");
    }
    for path in ["//", "/index.html", "/docs/", "/docs/../v1/status", "/graphiql/x", "/v1/status", "/%2e", "/Assets/x"]
    {
        world.send("", "GET", path, &[], ()).await.failed("unauthenticated");
    }
    for method in ["POST", "PUT", "DELETE"] {
        world.send("", method, "/", &[], ()).await.failed("method_not_allowed");
    }
}
