//! Settings of the HTTP API: the request limit, allowed origins, and another issuer.

use super::sockets::Listening;
use super::*;
use core::num::NonZeroU32;
use cosmicsync_api::{Issuer, IssuerSettings};
use cosmicsync_node::service::{ErrorCode, Login, Role, RulesSet, Secret};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::time::{SystemTime, UNIX_EPOCH};

const ISSUER: &str = "https://accounts.example";
const AUDIENCE: &str = "notes";

#[tokio::test]
async fn a_token_is_used_so_often_and_no_oftener() {
    let settings = Settings { requests_per_second: NonZeroU32::new(3), ..Settings::default() };
    let world = World::set(&settings).await;
    for _ in 0..3 {
        world.call("GET", "/v1/auth/me", ()).await.ok(200);
    }
    let early = world.call("GET", "/v1/auth/me", ()).await;
    early.failed("too_often");
    assert_eq!(early.header("retry-after"), "1");
    // Another token has its own limit, and requests without a token have no limit.
    world.send(&world.read, "GET", "/v1/auth/me", &[], ()).await.ok(200);
    assert_eq!(world.send("", "GET", "/healthz", &[], ()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_sends_so_much_a_day_and_no_more() {
    let settings = Settings { mib_per_day: NonZeroU32::new(1), ..Settings::default() };
    let listening = Listening::set(&settings).await;
    let world = &listening.world;
    let text = "x".repeat(250_000);
    let mut socket = listening.connect(&world.write).await.expect("it opens");
    // Bodies, imports and messages use the same quota.
    world.call("PUT", "collections/notes/docs/a", json!({ "text": text })).await.ok(201);
    let rows = format!("{{\"text\":\"{text}\"}}\n").repeat(2);
    let ndjson = [("content-type", "application/x-ndjson")];
    world.with("POST", "collections/notes/import", &ndjson, Body::from(rows.clone())).await.ok(200);
    let edit = |id: &str| json!({ "type": "edit", "id": id, "write": { "op": "put", "doc": "notes/b", "value": { "text": text } } });
    socket.say(edit("fits")).await;
    let ack = socket.hear().await.expect("an answer");
    assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &json!("fits")), "{ack}");

    let over = world.call("PUT", "collections/notes/docs/c", json!({ "text": text })).await;
    over.failed("quota");
    let wait: u64 = over.header("retry-after").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    world.with("POST", "collections/notes/import", &ndjson, Body::from(rows)).await.failed("quota");
    socket.say(edit("over")).await;
    let refused = socket.hear().await.expect("an answer");
    assert_eq!((&refused["id"], &refused["problem"]["code"]), (&json!("over"), &json!("quota")), "{refused}");
    world.call("GET", "collections/notes/docs/c", ()).await.failed("not_found");
    // Reading does not use the quota, and another token has its own.
    world.call("GET", "collections/notes/docs/a", ()).await.ok(200);
    world.send(&world.read, "POST", "collections/notes/find", &[], json!({ "selector": {} })).await.ok(200);
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_name() {
    let asking = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    let plain = World::new().await;
    let refused = plain.send("", "OPTIONS", "/v1/auth/me", &asking, ()).await;
    assert_eq!(refused.header("access-control-allow-origin"), "");

    let settings = Settings { origins: vec!["https://app.example".to_owned()], ..Settings::default() };
    let world = World::set(&settings).await;
    let allowed = world.send("", "OPTIONS", "/v1/auth/me", &asking, ()).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    let read = world.with("GET", "/v1/auth/me", &asking[..1], ()).await;
    assert_eq!(read.header("access-control-allow-origin"), "https://app.example");
    assert!(read.header("access-control-expose-headers").contains("etag"));
    let other = world.with("GET", "/v1/auth/me", &[("origin", "https://other.example")], ()).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
}

/// A test issuer of tokens.
struct Vouching {
    key: Ed25519KeyPair,
}

impl Vouching {
    fn new(seed: u8) -> Self {
        Self { key: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key") }
    }

    fn keys(&self, id: &str) -> Value {
        let x = base64url(self.key.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": id, "x": x }] })
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        format!("{signed}.{}", base64url(self.key.sign(signed.as_bytes()).as_ref()))
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let groups = bytes.chunks(3).map(|group| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        (0..=group.len()).map(|at| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize])).collect::<String>()
    });
    groups.collect()
}

async fn link_of(world: &World) -> Secret {
    let Ok(Reply::Link(link)) = request(&*world.node, Command::LinkMake {}).await else { panic!("no link") };
    link.link
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn settings_of(keys: String) -> IssuerSettings {
    IssuerSettings { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), keys, role: Role::Editor }
}

#[tokio::test]
async fn tokens_of_an_issuer_are_believed_as_far_as_rules_let_them() {
    let (dir, issuer) = (TempDir::new().expect("a directory"), Vouching::new(7));
    let file = dir.path().join("keys.json");
    std::fs::write(&file, issuer.keys("k1").to_string()).expect("a file");
    let loaded = Issuer::load(settings_of(file.display().to_string())).await.expect("keys");
    let world = World::set(&Settings { issuer: Some(Arc::new(loaded)), ..Settings::default() }).await;

    let header = json!({ "alg": "EdDSA", "kid": "k1" });
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now() + 600 });
    let ada = issuer.token(&header, &claims);
    let me = world.send(&ada, "GET", "/v1/auth/me", &[], ()).await.ok(200);
    assert_eq!((&me["account"], &me["role"]), (&json!("ada"), &json!("editor")));
    // Without rules a collection is locked, for another issuer's accounts as well.
    let note = json!({ "by": "ada", "text": "hers" });
    world.send(&ada, "PUT", "collections/notes/docs/n1", &[], note.clone()).await.failed("forbidden");
    let rules = json!({ "list": { "by": { "$var": "auth.account" } }, "view": { "by": { "$var": "auth.account" } },
        "create": { "by": { "$var": "auth.account" } } });
    let command = RulesSet { space: None, collection: "notes".to_owned(), rules };
    request(&*world.node, Command::RulesSet(command)).await.expect("rules");
    world.send(&ada, "PUT", "collections/notes/docs/n1", &[], note).await.ok(201);
    let other = json!({ "iss": ISSUER, "aud": [AUDIENCE, "other"], "sub": "bob", "exp": now() + 600 });
    let bob = issuer.token(&header, &other);
    world.send(&bob, "GET", "collections/notes/docs/n1", &[], ()).await.failed("not_found");
    world.send(&ada, "GET", "collections/notes/docs/n1", &[], ()).await.ok(200);
    // The token is not confused with a token of the node that has the account's name, and it ends no session.
    assert_eq!(me["token"]["name"], format!("{ISSUER} ada"));
    let mine = Login { account: None, password: None, link: Some(link_of(&world).await) };
    let Ok(Reply::TokenMade(session)) = request(&*world.node, Command::Login(mine)).await else { panic!("no session") };
    let named = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": session.about.name, "exp": now() + 600 });
    world.send(&issuer.token(&header, &named), "POST", "/v1/auth/logout", &[], ()).await.ok(204);
    world.send(&session.token.0, "GET", "/v1/auth/me", &[], ()).await.ok(200);
    // The token allows no management.
    world.send(&ada, "GET", "/v1/accounts", &[], ()).await.failed("forbidden");

    let with = |change: Value| {
        let mut claims = claims.clone();
        for (key, value) in change.as_object().expect("claims") {
            claims[key] = value.clone();
        }
        issuer.token(&header, &claims)
    };
    let forged = Vouching::new(8).token(&header, &claims);
    let cut = ada.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).expect("three parts");
    let unsigned = format!("{}.", issuer.token(&json!({ "alg": "none" }), &claims).rsplit_once('.').expect("parts").0);
    let shared = issuer.token(&json!({ "alg": "HS256", "kid": "k1" }), &claims);
    for (token, code) in [
        (with(json!({ "exp": now() - 3600 })), "token_expired"),
        (with(json!({ "exp": "soon" })), "unauthenticated"),
        (with(json!({ "exp": null })), "unauthenticated"),
        (with(json!({ "nbf": now() + 3600 })), "unauthenticated"),
        (with(json!({ "iss": "https://other.example" })), "unauthenticated"),
        (with(json!({ "aud": "other" })), "unauthenticated"),
        (with(json!({ "sub": "" })), "unauthenticated"),
        (with(json!({ "sub": "a".repeat(65) })), "unauthenticated"),
        (forged, "unauthenticated"),
        (cut, "unauthenticated"),
        (unsigned, "unauthenticated"),
        (shared, "unauthenticated"),
        (issuer.token(&json!({ "alg": "EdDSA", "kid": "k2" }), &claims), "unauthenticated"),
        ("a.b.c".to_owned(), "unauthenticated"),
        (format!("{}.b.c", "a".repeat(9000)), "unauthenticated"),
    ] {
        world.send(&token, "GET", "/v1/auth/me", &[], ()).await.failed(code);
    }
}

#[tokio::test]
async fn keys_of_an_issuer_are_read_from_a_file_and_reloaded() {
    let keys = || async { Vouching::new(7).keys("k1").to_string() };
    let served = axum::Router::new().route("/keys", axum::routing::get(keys));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let server = cosmicsync_api::Server::bind(listener.local_addr().expect("an address"));
    drop(listener);
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.await.expect("a port").run(served, stopped));
    let issuer = Issuer::load(settings_of(url.clone())).await.expect("keys");
    issuer.reload().await.expect("again");
    stop.send_replace(true);
    serving.await.expect("it ends");
    let error = issuer.reload().await.expect_err("nobody is there");
    assert!(error.message.contains(&url), "{error}");
    for (keys, role) in [("https://example.org/keys", Role::Editor), ("/nowhere", Role::Editor), ("/", Role::Admin)] {
        let settings = IssuerSettings { role, ..settings_of(keys.to_owned()) };
        assert_eq!(Issuer::load(settings).await.expect_err(keys).code, ErrorCode::Usage);
    }
}
