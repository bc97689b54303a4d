//! GraphQL subscriptions over a WebSocket, with a client of `graphql-transport-ws`.

use super::sockets::{Listening, Socket};
use super::*;
use futures_util::SinkExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// Connects, with a token in the header unless it is empty.
async fn connect(listening: &Listening, path: &str, protocol: &str, token: &str) -> Socket {
    let mut request = format!("ws://{}{path}", listening.address).into_client_request().expect("a request");
    let headers = request.headers_mut();
    if !protocol.is_empty() {
        headers.insert("sec-websocket-protocol", protocol.parse().expect("a value"));
    }
    if !token.is_empty() {
        headers.insert("authorization", format!("Bearer {token}").parse().expect("a value"));
    }
    let stream = TcpStream::connect(&listening.address).await.expect("it listens");
    Socket(client_async(request, stream).await.expect("it opens").0)
}

/// Connects like a browser, which sends its token in the first message.
async fn begun(listening: &Listening) -> Socket {
    let mut socket = connect(listening, "/graphql", "graphql-transport-ws", "").await;
    socket.say(json!({ "type": "connection_init", "payload": { "token": listening.world.read } })).await;
    assert_eq!(socket.hear().await, Ok(json!({ "type": "connection_ack" })));
    socket
}

impl Socket {
    async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// Returns the data of the next answer, which belongs to this operation.
    async fn next(&mut self, id: &str) -> Value {
        let mut message = self.hear().await.expect("a message");
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
        assert!(message["payload"].get("errors").is_none(), "{message}");
        message["payload"]["data"].take()
    }

    /// Returns the code of the error that ends this operation.
    async fn error(&mut self, id: &str) -> String {
        let message = self.hear().await.expect("a message");
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!(id)), "{message}");
        message["payload"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }
}

#[tokio::test]
async fn each_event_of_a_live_query_is_the_whole_answer() {
    let listening = Listening::new().await;
    listening.world.call("PUT", "collections/towns/schema", graphql::schema()).await.ok(200);
    listening.put("a", json!({ "name": "Albany", "pop": 99 })).await;
    let mut socket = begun(&listening).await;
    let query = "subscription($least: Int64) { big: towns(where: { pop: { _gte: $least } }, order_by: { pop: desc }, limit: 2) { name } }";
    socket.subscribe("q", query, json!({ "least": 50 })).await;
    assert_eq!(socket.next("q").await, json!({ "big": [{ "name": "Albany" }] }));
    listening.put("b", json!({ "name": "Buffalo", "pop": 278 })).await;
    assert_eq!(socket.next("q").await, json!({ "big": [{ "name": "Buffalo" }, { "name": "Albany" }] }));
    listening.put("c", json!({ "name": "Newark", "pop": 311 })).await;
    assert_eq!(socket.next("q").await, json!({ "big": [{ "name": "Newark" }, { "name": "Buffalo" }] }));
    listening.put("c", json!({ "name": "New Ark", "pop": 200 })).await;
    assert_eq!(socket.next("q").await, json!({ "big": [{ "name": "Buffalo" }, { "name": "New Ark" }] }));
    listening.world.call("DELETE", "collections/towns/docs/b", ()).await.ok(204);
    assert_eq!(socket.next("q").await, json!({ "big": [{ "name": "New Ark" }, { "name": "Albany" }] }));
    // After the client has ended an operation, nothing more comes, and its id may be used again.
    socket.say(json!({ "type": "complete", "id": "q" })).await;
    listening.put("b", json!({ "name": "Buffalo", "pop": 278 })).await;
    socket.subscribe("q", "{ towns_aggregate { count } }", json!({})).await;
    assert_eq!(socket.next("q").await, json!({ "towns_aggregate": { "count": 3 } }));
    assert_eq!(socket.hear().await, Ok(json!({ "type": "complete", "id": "q" })));
}

#[tokio::test]
async fn whoever_reads_slowly_gets_what_changed_together() {
    let listening = Listening::new().await;
    listening.put("a", json!({ "n": 0 })).await;
    let mut socket = begun(&listening).await;
    socket.subscribe("q", "subscription { towns { _value } }", json!({})).await;
    assert_eq!(socket.next("q").await, json!({ "towns": [{ "_value": { "n": 0 } }] }));
    let text = "x".repeat(200_000);
    for n in 1..=80 {
        listening.put("a", json!({ "n": n, "text": text })).await;
    }
    let mut events = 0;
    loop {
        events += 1;
        if socket.next("q").await["towns"][0]["_value"]["n"] == 80 {
            break;
        }
    }
    assert!(events < 75, "{events} events");
}

#[tokio::test]
async fn a_feed_goes_on_where_it_was_cut() {
    let listening = Listening::new().await;
    listening.put("a", json!({ "n": 1 })).await;
    let query = "subscription($since: String) { towns_stream(since: $since) { cursor changes { key deleted local doc { _value } } } }";
    let mut socket = begun(&listening).await;
    socket.subscribe("f", query, json!({})).await;
    let first = socket.next("f").await["towns_stream"].take();
    assert_eq!(first["changes"], json!([]));
    listening.put("b", json!({ "n": 2 })).await;
    let second = socket.next("f").await["towns_stream"].take();
    assert_eq!(
        second["changes"],
        json!([{ "key": "b", "deleted": false, "local": true, "doc": { "_value": { "n": 2 } } }])
    );
    // The connection breaks, and changes go on.
    drop(socket);
    listening.put("c", json!({ "n": 3 })).await;
    listening.world.call("DELETE", "collections/towns/docs/a", ()).await.ok(204);
    for (since, keys) in [(&second, vec!["c", "a"]), (&first, vec!["b", "c", "a"])] {
        let mut socket = begun(&listening).await;
        socket.subscribe("f", query, json!({ "since": since["cursor"] })).await;
        let mut seen = Vec::new();
        for _ in &keys {
            let event = socket.next("f").await["towns_stream"].take();
            seen.push(event["changes"][0]["key"].as_str().expect("a key").to_owned());
            assert_eq!(event["changes"][0]["deleted"], event["changes"][0]["doc"].is_null());
        }
        assert_eq!(seen, keys);
    }
    // A cursor of another store is an error.
    let mut socket = begun(&listening).await;
    socket.subscribe("f", query, json!({ "since": "0011223344556677.1" })).await;
    let told = socket.hear().await.expect("a message");
    assert_eq!(told["payload"]["errors"][0]["extensions"]["code"], "gone", "{told}");
    assert_eq!(socket.hear().await, Ok(json!({ "type": "complete", "id": "f" })));
}

#[tokio::test]
async fn the_first_message_says_who_it_is() {
    let listening = Listening::new().await;
    listening.put("a", json!({})).await;
    let all = "graphql-transport-ws";
    let sub = json!({ "type": "subscribe", "id": "a", "payload": { "query": "{ __typename }" } });
    for (first, code) in [
        (json!({ "type": "connection_init" }), 4403),
        (json!({ "type": "connection_init", "payload": { "token": "cs_pat_0" } }), 4403),
        (sub.clone(), 4401),
        (json!({ "type": "jump" }), 4400),
        (json!([]), 4400),
    ] {
        let mut socket = connect(&listening, "/graphql", all, "").await;
        socket.say(first.clone()).await;
        assert_eq!(socket.hear().await, Err(code), "{first}");
    }
    assert_eq!(connect(&listening, "/graphql", "", "").await.hear().await, Err(4406));
    // With a token in the header, the first message needs none.
    let mut socket = connect(&listening, "/v1/spaces/home/graphql", all, &listening.world.read).await;
    socket.say(json!({ "type": "ping", "payload": {} })).await;
    assert_eq!(socket.hear().await, Ok(json!({ "type": "pong" })));
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await, Ok(json!({ "type": "connection_ack" })));
    socket.subscribe("m", "mutation { delete_towns_by_pk(key: \"a\") { key } }", json!({})).await;
    let told = socket.hear().await.expect("a message");
    assert_eq!(told["payload"]["errors"][0]["extensions"]["code"], "forbidden", "{told}");
    assert_eq!(socket.hear().await, Ok(json!({ "type": "complete", "id": "m" })));
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await, Err(4429));
    // A missing space is reported with the first operation.
    let mut socket = connect(&listening, "/v1/spaces/nowhere/graphql", all, &listening.world.read).await;
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await, Ok(json!({ "type": "connection_ack" })));
    socket.say(sub).await;
    assert_eq!(socket.error("a").await, "not_found");
}

#[tokio::test]
async fn mistakes_end_an_operation_or_the_connection() {
    let listening = Listening::new().await;
    listening.put("a", json!({})).await;
    let mut socket = begun(&listening).await;
    for (query, code) in [
        ("subscription { towns { _key } notes { _key } }", "bad_query"),
        ("subscription { towns { nothing } }", "bad_query"),
        ("subscription {", "bad_query"),
        ("{ towns { docs { a { b { c { d { e { f { g { h { i } } } } } } } } } } }", "too_complex"),
    ] {
        socket.subscribe("a", query, json!({})).await;
        assert_eq!(socket.error("a").await, code, "{query}");
    }
    socket
        .subscribe(
            "a",
            "subscription { towns(where: { n: { b: [] }, a: { _x: 1 } }, limit: 5000) { _key } }",
            json!({}),
        )
        .await;
    let told = socket.hear().await.expect("a message");
    assert_eq!(told["payload"]["errors"][0]["extensions"]["code"], "bad_request", "{told}");
    assert_eq!(socket.hear().await, Ok(json!({ "type": "complete", "id": "a" })));
    // There are 64 operations at most, and an ended one makes room.
    for at in 0..64 {
        let id = format!("s{at}");
        socket.subscribe(&id, "subscription { towns { _key } }", json!({})).await;
        assert_eq!(socket.next(&id).await, json!({ "towns": [{ "_key": "a" }] }));
    }
    socket.subscribe("more", "subscription { towns { _key } }", json!({})).await;
    assert_eq!(socket.error("more").await, "unavailable");
    socket.say(json!({ "type": "complete", "id": "s0" })).await;
    let mut tries = 0;
    loop {
        socket.subscribe("more", "{ __typename }", json!({})).await;
        if socket.hear().await.expect("a message")["type"] == "next" {
            break;
        }
        tries += 1;
        assert!(tries < 1000, "the slot comes back");
    }
    assert_eq!(socket.hear().await, Ok(json!({ "type": "complete", "id": "more" })));
    socket.subscribe("s1", "{ __typename }", json!({})).await;
    assert_eq!(socket.hear().await, Err(4409));
    let mut socket = begun(&listening).await;
    socket.0.send(Message::binary(vec![1])).await.expect("it is taken");
    assert_eq!(socket.hear().await, Err(4400));
}

#[tokio::test]
async fn subscriptions_end_with_the_token_and_with_the_server() {
    let listening = Listening::new().await;
    listening.put("a", json!({})).await;
    let mut socket = begun(&listening).await;
    socket.subscribe("q", "subscription { towns { _key } }", json!({})).await;
    assert_eq!(socket.next("q").await, json!({ "towns": [{ "_key": "a" }] }));
    request(&*listening.world.node, Command::TokenRevoke { name: "Read None".to_owned() }).await.expect("it ends");
    assert_eq!(socket.hear().await, Err(4401));
    let mut socket = connect(&listening, "/graphql", "graphql-transport-ws", &listening.world.write).await;
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await, Ok(json!({ "type": "connection_ack" })));
    listening.world.stop.send_replace(true);
    assert_eq!(socket.hear().await, Err(1001));
}
