//! The log and backups over HTTP.

use super::*;
use cosmicsync_node::service::{AccountCreate, LogTail, Role, Secret};
use cosmicsync_node::{BackupSource, verify_backup};

const PASSPHRASE: &str = "a long enough passphrase";

/// Creates an account with a role; returns a token for it.
async fn of_role(world: &World, role: Role) -> String {
    let name = role.name().to_owned();
    let account = AccountCreate { name: name.clone(), role, password: None };
    request(&*world.node, Command::AccountCreate(account)).await.expect("an account");
    let create = TokenCreate { account: Some(name.clone()), ..TokenCreate::new(name, Scope::Write) };
    let Ok(Reply::TokenMade(made)) = request(&*world.node, Command::TokenCreate(create)).await else {
        panic!("no token")
    };
    made.token.0
}

#[tokio::test]
async fn the_log_is_read_page_by_page() {
    let world = World::new().await;
    world.call("GET", "/v1/log", ()).await.failed("refused");
    let tail = Arc::new(LogTail::default());
    world.node.keeps_log(Arc::clone(&tail));
    for line in 1..=3 {
        tail.push(line, "info", "test", format!("line {line}"));
    }
    let page = world.call("GET", "/v1/log?limit=2", ()).await.ok(200);
    assert_eq!(
        (&page["lines"][0]["message"], &page["next"], &page["missed"]),
        (&json!("line 2"), &json!(3), &json!(0))
    );
    let first = json!({ "number": 1, "at": 1, "level": "info", "target": "test", "message": "line 1" });
    assert_eq!(world.call("GET", "/v1/log?after=0&limit=1", ()).await.ok(200)["lines"], json!([first]));
    // A waiting request gets the new line.
    let waits = world.call("GET", "/v1/log?after=3&timeout=25000", ());
    let comes = async { tail.push(4, "warn", "test", "it came".to_owned()) };
    let (page, ()) = tokio::join!(waits, comes);
    assert_eq!(page.ok(200)["lines"][0]["message"], "it came");
    // A server that stops ends the wait.
    let waits = world.call("GET", "/v1/log?after=4&timeout=25000", ());
    let stops = async { world.stop.send_replace(true) };
    let (page, _) = tokio::join!(waits, stops);
    assert_eq!(page.ok(200)["lines"], json!([]));
    for wrong in ["limit=0", "limit=1001", "timeout=25001", "after=9223372036854775808", "afer=1"] {
        world.call("GET", &format!("/v1/log?{wrong}"), ()).await.failed("bad_request");
    }
}

#[tokio::test]
async fn a_role_has_the_log_or_a_backup_or_neither() {
    let world = World::new().await;
    world.node.keeps_log(Arc::default());
    let cases = [
        (Role::Owner, 200, 200),
        (Role::Admin, 200, 403),
        (Role::Auditor, 200, 403),
        (Role::Editor, 403, 403),
        (Role::Viewer, 403, 403),
    ];
    for (role, log, backup) in cases {
        let token = of_role(&world, role).await;
        let read = world.send(&token, "GET", "/v1/log", &[], ()).await;
        assert_eq!(read.status.as_u16(), log, "{role:?}: {}", read.text());
        let body = json!({ "passphrase": PASSPHRASE });
        let made = world.send(&token, "POST", "/v1/backup", &[], body).await;
        assert_eq!(made.status.as_u16(), backup, "{role:?}");
    }
}

#[tokio::test]
async fn a_backup_is_a_file_that_can_be_verified() {
    let world = World::new().await;
    for key in 0..200 {
        let value = json!({ "text": format!("{key:0>2000}") });
        world.call("PUT", &format!("collections/notes/docs/{key}"), value).await.ok(201);
    }
    let made = world.call("POST", "/v1/backup", json!({ "passphrase": PASSPHRASE })).await;
    assert_eq!((made.status.as_u16(), made.header("content-type")), (200, "application/octet-stream"));
    assert_eq!(made.header("cache-control"), "no-store");
    assert!(made.header("content-disposition").starts_with("attachment"));
    let source = |bytes: &[u8]| BackupSource {
        name: "a backup".to_owned(),
        input: Box::new(std::io::Cursor::new(bytes.to_vec())),
        made_ms: 0,
    };
    let verified = verify_backup(source(&made.bytes), &Secret(PASSPHRASE.to_owned())).await.expect("it is whole");
    assert_eq!((verified.spaces > 0, verified.bytes), (true, made.bytes.len() as u64));
    let half = &made.bytes[..made.bytes.len() / 2];
    verify_backup(source(half), &Secret(PASSPHRASE.to_owned())).await.expect_err("half of one is none");
    world.call("POST", "/v1/backup", json!({ "passphrase": "short" })).await.failed("refused");
    world.call("POST", "/v1/backup", json!({})).await.failed("bad_json");
}
