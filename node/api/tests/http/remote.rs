//! A command line on another machine: the control exchange over HTTP and HTTPS.

use super::sockets::Listening;
use super::*;
use cosmicsync_api::{Remote, Server, Tls};
use cosmicsync_node::service::{Client, DocPut, ErrorCode, Format, Import, Input, Reason, Secret, ServiceError};
use std::path::PathBuf;
use tokio::sync::mpsc;

async fn client(url: &str, token: &str, roots: Option<PathBuf>) -> Result<Client, ServiceError> {
    let remote = Remote::new(url, Secret(token.to_owned()), roots)?;
    Ok(Client::over(Box::new(remote)).await?.expect("a node"))
}

fn put(key: &str) -> Command {
    let value = json!({ "name": key });
    Command::DocPut(DocPut {
        space: None,
        collection: "towns".to_owned(),
        key: Some(key.to_owned()),
        value,
        text: Vec::new(),
    })
}

/// Imports a text several times over, as one NDJSON file.
async fn import(client: &Client, text: &str, times: usize) -> Result<Reply, ServiceError> {
    let import = Import {
        collection: "rivers".to_owned(),
        path: "-".to_owned(),
        format: Some(Format::Ndjson),
        ..Import::default()
    };
    let (feed, input) = Input::new();
    let (items, _) = mpsc::channel(1);
    let feeding = async {
        for _ in 0..times {
            if !feed.send(text.as_bytes().to_vec()).await {
                return;
            }
        }
        feed.end().await;
    };
    tokio::join!(client.call_reading(Command::Import(import), input, items), feeding).0
}

#[tokio::test]
async fn commands_of_another_machine_are_those_that_the_token_allows() {
    let Listening { world, address } = Listening::new().await;
    let url = format!("http://{address}");
    let writer = client(&url, &world.write, None).await.expect("a client");
    request(&writer, put("ulm")).await.expect("it is written");
    // Input uses the same connection.
    let imported = import(&writer, "{\"name\":\"Donau\"}\n{\"name\":\"Iller\"}\n", 1).await;
    assert!(matches!(imported, Ok(Reply::Imported(imported)) if imported.documents == 2));

    let reader = client(&url, &world.read, None).await.expect("a client");
    let refused = request(&reader, put("aalen")).await.expect_err("it only reads");
    assert_eq!(refused.reason, Some(Reason::Forbidden));
    request(&reader, Command::CollectionList { space: None }).await.expect("it reads");
    // Only the node's own machine may stop it.
    let refused = request(&writer, Command::Shutdown {}).await.expect_err("not from here");
    assert_eq!(refused.reason, Some(Reason::Forbidden));

    for token in ["", "cs_pat_0", &world.write.replace(&world.write[8..9], "x")] {
        let error = client(&url, token, None).await.expect_err("nobody's token");
        assert_eq!(error.code, ErrorCode::Refused, "{error}");
    }
    world.call("GET", "/v1/control", ()).await.failed("upgrade_required");
    // A server that stops tells its connected clients.
    world.stop.send_replace(true);
    let error = request(&reader, Command::Status {}).await.expect_err("it stops");
    assert_eq!(error.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_command_line_that_sends_too_much_is_told_so() {
    let settings = Settings { mib_per_day: core::num::NonZeroU32::new(1), ..Settings::default() };
    let Listening { world, address } = Listening::set(&settings).await;
    let writer = client(&format!("http://{address}"), &world.write, None).await.expect("a client");
    let imported = import(&writer, &format!("{{\"name\":\"{}\"}}\n", "x".repeat(100_000)), 12).await;
    let error = imported.expect_err("more than a day's quota");
    assert_eq!(error.code, ErrorCode::Refused, "{error}");
    assert!(error.message.contains("1 MiB a day"), "{error}");
    // A small command still fits, as the message says.
    request(&writer, Command::CollectionList { space: None }).await.expect("it fits");
}

#[tokio::test]
async fn https_is_by_a_certificate_that_can_be_renewed() {
    let world = World::new().await;
    let certified = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (first, second) = (certified(), certified());
    let at = |name: &str| world.dir.path().join(name);
    let write = |of: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        std::fs::write(at("cert.pem"), of.cert.pem()).expect("a file");
        std::fs::write(at("key.pem"), of.signing_key.serialize_pem()).expect("a file");
    };
    write(&first);
    let tls = Tls::load(at("cert.pem"), at("key.pem")).expect("TLS");
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.expect("a port").with_tls(Some(tls.clone()));
    assert!(server.url().starts_with("https://127.0.0.1:"));
    let url = format!("https://localhost:{}", server.address().port());
    tokio::spawn(server.run(world.router.clone(), world.stop.subscribe()));
    std::fs::write(at("first.pem"), first.cert.pem()).expect("a file");
    std::fs::write(at("second.pem"), second.cert.pem()).expect("a file");

    let trusting = client(&url, &world.write, Some(at("first.pem"))).await.expect("it is believed");
    request(&trusting, Command::Status {}).await.expect("a status");
    assert_eq!(client(&url, &world.write, None).await.expect_err("nobody knows it").code, ErrorCode::Unavailable);
    let plain = url.replace("https://localhost", "http://127.0.0.1");
    assert_eq!(client(&plain, &world.write, None).await.expect_err("not encrypted").code, ErrorCode::Unavailable);

    write(&second);
    tls.reload().expect("the new one");
    assert!(client(&url, &world.write, Some(at("first.pem"))).await.is_err());
    client(&url, &world.write, Some(at("second.pem"))).await.expect("it is renewed");
    request(&trusting, Command::Status {}).await.expect("what was open stays open");
    // A key of another certificate is refused, and the former files stay in use.
    std::fs::write(at("key.pem"), first.signing_key.serialize_pem()).expect("a file");
    assert_eq!(tls.reload().expect_err("they do not belong together").code, ErrorCode::Usage);
    client(&url, &world.write, Some(at("second.pem"))).await.expect("the last good one stays");
    for (certificate, key) in [("nowhere", "key.pem"), ("key.pem", "key.pem"), ("cert.pem", "cert.pem")] {
        let error = Tls::load(at(certificate), at(key)).expect_err("not both");
        assert!(error.message.contains("for TLS"), "{error}");
    }
}
