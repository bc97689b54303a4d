//! Live queries and feeds over a WebSocket, with an independent client.

use super::*;
use cosmicsync_api::Server;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// A world whose server listens, and its address.
pub(super) struct Listening {
    pub(super) world: World,
    pub(super) address: String,
}

impl Listening {
    pub(super) async fn new() -> Self {
        Self::set(&Settings::default()).await
    }

    /// Returns a listening world whose API has other settings.
    pub(super) async fn set(settings: &Settings) -> Self {
        let world = World::set(settings).await;
        let server = Server::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let address = server.address().to_string();
        tokio::spawn(server.run(world.router.clone(), world.stop.subscribe()));
        Self { world, address }
    }

    /// Connects, with a token in the header unless it is empty.
    pub(super) async fn connect(&self, token: &str) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/v1/ws", self.address).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "other, cosmicsync.v1".parse().expect("a value"));
        if !token.is_empty() {
            headers.insert("authorization", format!("Bearer {token}").parse().expect("a value"));
        }
        let stream = TcpStream::connect(&self.address).await.expect("it listens");
        let (stream, answer) = client_async(request, stream).await?;
        assert_eq!(answer.headers()["sec-websocket-protocol"], "cosmicsync.v1");
        Ok(Socket(stream))
    }

    pub(super) async fn put(&self, key: &str, value: Value) {
        let answer = self.world.call("PUT", &format!("collections/towns/docs/{key}"), value).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
}

pub(super) struct Socket(pub(super) WebSocketStream<TcpStream>);

impl Socket {
    pub(super) async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("it is taken");
    }

    /// Returns the next message that is not about the connection itself; `Err` is the code with which it closed.
    pub(super) async fn hear(&mut self) -> Result<Value, u16> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// Sends a ping, and returns the messages before its pong.
    async fn before_pong(&mut self) -> Vec<Value> {
        self.say(json!({ "type": "ping" })).await;
        let mut heard = Vec::new();
        loop {
            match self.hear().await.expect("a message") {
                pong if pong["type"] == "pong" => return heard,
                message => heard.push(message),
            }
        }
    }
}

#[tokio::test]
async fn several_subscriptions_share_a_connection() {
    let listening = Listening::new().await;
    listening.put("a", json!({ "pop": 1 })).await;
    let mut socket = listening.connect(&listening.world.read).await.expect("it opens");
    let query = json!({ "type": "sub", "id": "q", "kind": "query", "collection": "towns", "selector": { "pop": { "$gt": 0 } } });
    socket.say(query).await;
    let ready = socket.hear().await.expect("an answer");
    assert_eq!(
        (&ready["type"], &ready["id"], &ready["events"][0]["doc"]["key"]),
        (&json!("ready"), &json!("q"), &json!("a"))
    );
    socket.say(json!({ "type": "sub", "id": "f", "kind": "feed" })).await;
    let feed = socket.hear().await.expect("an answer");
    assert_eq!((&feed["type"], &feed["id"]), (&json!("ready"), &json!("f")));
    listening.put("b", json!({ "pop": 2 })).await;
    let mut heard = [socket.hear().await.expect("a change"), socket.hear().await.expect("a change")];
    heard.sort_by_key(|message| message["id"].to_string());
    assert_eq!((&heard[0]["type"], &heard[0]["change"]["key"]), (&json!("change"), &json!("b")));
    assert_eq!((&heard[1]["type"], &heard[1]["events"][0]["event"]), (&json!("batch"), &json!("added")));
    // One subscription ends, and the other continues.
    socket.say(json!({ "type": "unsub", "id": "q" })).await;
    assert_eq!(socket.before_pong().await, Vec::<Value>::new());
    listening.put("c", json!({ "pop": 3 })).await;
    assert_eq!(socket.hear().await.expect("a change")["id"], "f");
    // Resumes after the last reported change.
    let mut again = listening.connect(&listening.world.read).await.expect("it opens");
    let cursor = &heard[0]["change"]["cursor"];
    again.say(json!({ "type": "sub", "id": "f", "kind": "feed", "resume": cursor })).await;
    assert_eq!(again.hear().await.expect("a change")["change"]["key"], "c");
    again.say(json!({ "type": "sub", "id": "g", "kind": "feed", "resume": "0123456789abcdef.7" })).await;
    assert_eq!(again.hear().await.expect("an answer")["type"], "gap");
}

#[tokio::test]
async fn who_says_nothing_of_itself_is_turned_away() {
    let listening = Listening::new().await;
    let Err(Error::Http(refused)) = listening.connect("cs_pat_").await else { panic!("it opened") };
    assert_eq!(refused.status().as_u16(), 401);
    let sub = json!({ "type": "sub", "id": "f", "kind": "feed" });
    for first in [sub.clone(), json!({ "type": "auth", "token": "cs_pat_" }), json!({ "type": "ping" }), json!([])] {
        let mut socket = listening.connect("").await.expect("it opens");
        socket.say(first).await;
        assert_eq!(socket.hear().await, Err(4401));
    }
    let mut socket = listening.connect("").await.expect("it opens");
    socket.say(json!({ "type": "auth", "token": listening.world.read })).await;
    socket.say(sub).await;
    assert_eq!(socket.hear().await.expect("an answer")["type"], "ready");
    listening.world.call("GET", "/v1/ws", ()).await.failed("upgrade_required");
}

#[tokio::test]
async fn mistakes_are_told_and_the_connection_goes_on() {
    let listening = Listening::new().await;
    let mut socket = listening.connect(&listening.world.read).await.expect("it opens");
    for (message, code) in [
        ("{", "bad_json"),
        ("{\"type\":\"jump\"}", "bad_json"),
        ("{\"type\":\"ping\",\"type\":\"ping\"}", "bad_json"),
        ("{\"type\":\"sub\",\"id\":\"a\",\"kind\":\"query\"}", "bad_request"),
        ("{\"type\":\"sub\",\"id\":\"a\",\"kind\":\"query\",\"collection\":\"_a\"}", "bad_name"),
        (
            "{\"type\":\"sub\",\"id\":\"a\",\"kind\":\"query\",\"collection\":\"a\",\"selector\":{\"$jump\":1}}",
            "bad_selector",
        ),
        ("{\"type\":\"sub\",\"id\":\"a\",\"kind\":\"feed\",\"space\":\"nowhere\"}", "not_found"),
        ("{\"type\":\"auth\",\"token\":\"x\"}", "bad_request"),
    ] {
        socket.0.send(Message::text(message)).await.expect("it is taken");
        let answer = socket.hear().await.expect("an answer");
        assert_eq!((&answer["type"], &answer["problem"]["code"]), (&json!("error"), &json!(code)), "{message}");
    }
    // An id may be used again once its subscription has failed, and not before it has ended.
    let sub = json!({ "type": "sub", "id": "a", "kind": "feed" });
    socket.say(sub.clone()).await;
    assert_eq!(socket.hear().await.expect("an answer")["type"], "ready");
    socket.say(sub).await;
    assert_eq!(socket.hear().await.expect("an answer")["problem"]["code"], "conflict");
    socket.0.send(Message::binary(vec![1])).await.expect("it is taken");
    assert_eq!(socket.hear().await, Err(1003));
    let mut socket = listening.connect(&listening.world.read).await.expect("it opens");
    // The server may close before it has received the whole message.
    drop(socket.0.send(Message::text("x".repeat((1 << 20) + 1))).await);
    assert!(socket.hear().await.is_err());
}

#[tokio::test]
async fn without_credit_changes_come_together() {
    let listening = Listening::new().await;
    let mut socket = listening.connect(&listening.world.read).await.expect("it opens");
    socket.say(json!({ "type": "sub", "id": "q", "kind": "query", "collection": "towns" })).await;
    assert_eq!(socket.hear().await.expect("an answer")["type"], "ready");
    // One credit was used for the answer, so 15 batches are left.
    for at in 0..15 {
        listening.put(&format!("k{at}"), json!({})).await;
        assert_eq!(socket.hear().await.expect("a batch")["events"][0]["doc"]["key"], format!("k{at}"));
    }
    for at in 15..40 {
        listening.put(&format!("k{at}"), json!({})).await;
    }
    assert_eq!(socket.before_pong().await, Vec::<Value>::new());
    socket.say(json!({ "type": "credit", "id": "q", "n": 1_000_000 })).await;
    let (mut told, mut batches) = (0, 0);
    while told < 25 {
        let batch = socket.hear().await.expect("a batch");
        told += batch["events"].as_array().expect("events").len();
        batches += 1;
    }
    assert_eq!(told, 25);
    assert!(batches < 5, "{batches} batches");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let listening = Listening::new().await;
    let mut socket = listening.connect(&listening.world.read).await.expect("it opens");
    let events = listening.world.open(&listening.world.read, "GET", "changes?feed=eventsource", &[], ()).await;
    let mut others = listening.connect(&listening.world.write).await.expect("it opens");
    request(&*listening.world.node, Command::TokenRevoke { name: "Read None".to_owned() }).await.expect("it ends");
    assert_eq!(socket.hear().await, Err(4401));
    let mut events = events.into_body();
    while next(&mut events).await.is_some() {}
    assert_eq!(others.before_pong().await, Vec::<Value>::new());
}

#[tokio::test]
async fn sockets_close_when_the_server_stops() {
    let listening = Listening::new().await;
    let mut socket = listening.connect(&listening.world.read).await.expect("it opens");
    socket.say(json!({ "type": "sub", "id": "f", "kind": "feed" })).await;
    assert_eq!(socket.hear().await.expect("an answer")["type"], "ready");
    listening.world.stop.send_replace(true);
    assert_eq!(socket.hear().await, Err(1001));
}

#[tokio::test]
async fn a_document_is_followed_and_written_over_one_connection() {
    let listening = Listening::new().await;
    listening.put("other", json!({})).await;
    let mut socket = listening.connect(&listening.world.write).await.expect("it opens");
    let sub = json!({ "type": "sub", "id": "d", "kind": "doc", "collection": "towns", "key": "ulm" });
    socket.say(sub.clone()).await;
    let ready = socket.hear().await.expect("an answer");
    assert_eq!((&ready["type"], &ready["document"]), (&json!("ready"), &Value::Null));

    let edit = |id: &str, write: Value| json!({ "type": "edit", "id": id, "write": write });
    let put = json!({ "op": "put", "doc": "towns/ulm", "value": { "pop": 1, "note": { "$text": "on" } } });
    socket.say(edit("e1", put)).await;
    let mut heard = [socket.hear().await.expect("a message"), socket.hear().await.expect("a message")];
    heard.sort_by_key(|message| message["type"].to_string());
    let [ack, change] = heard;
    assert_eq!((&ack["type"], &ack["id"], &change["id"]), (&json!("ack"), &json!("e1"), &json!("d")));
    assert_eq!(change["change"]["version"], ack["version"]);
    let changes = json!([{ "op": "splice", "path": "note", "at": 2, "delete": 0, "insert": " the Danube" }]);
    socket
        .say(edit("e2", json!({ "op": "change", "doc": "towns/ulm", "changes": changes, "if": ack["version"] })))
        .await;
    let mut heard = [socket.hear().await.expect("a message"), socket.hear().await.expect("a message")];
    heard.sort_by_key(|message| message["type"].to_string());
    assert_eq!(heard[1]["change"]["value"]["note"], "on the Danube");
    // An edit whose condition does not hold is refused, and so is one that the token does not allow.
    socket.say(edit("e3", json!({ "op": "delete", "doc": "towns/ulm", "if": ack["version"] }))).await;
    let refused = socket.hear().await.expect("an answer");
    assert_eq!((&refused["id"], &refused["problem"]["code"]), (&json!("e3"), &json!("version_mismatch")));
    socket.say(edit("e4", json!({ "op": "put", "doc": "_rules/x", "value": {} }))).await;
    assert_eq!(socket.hear().await.expect("an answer")["problem"]["code"], "bad_name");
    let mut reader = listening.connect(&listening.world.read).await.expect("it opens");
    reader.say(edit("e5", json!({ "op": "delete", "doc": "towns/ulm" }))).await;
    assert_eq!(reader.hear().await.expect("an answer")["problem"]["code"], "forbidden");

    // A new client gets the whole document, and one that resumes gets the missed changes, without those of other
    // documents.
    reader.say(sub.clone()).await;
    assert_eq!(reader.hear().await.expect("an answer")["document"]["value"]["note"], "on the Danube");
    listening.put("other", json!({ "n": 1 })).await;
    let mut resumed = sub;
    resumed["resume"] = change["change"]["cursor"].clone();
    resumed["id"] = "again".into();
    reader.say(resumed).await;
    let missed = reader.hear().await.expect("a change");
    assert_eq!((&missed["id"], &missed["change"]["value"]["note"]), (&json!("again"), &json!("on the Danube")));
    assert_eq!(reader.before_pong().await, Vec::<Value>::new());
    reader.say(json!({ "type": "sub", "id": "x", "kind": "doc", "collection": "towns" })).await;
    assert_eq!(reader.hear().await.expect("an answer")["problem"]["code"], "bad_request");
}

#[tokio::test]
async fn those_at_a_document_see_each_other() {
    let listening = Listening::new().await;
    listening.put("ulm", json!({})).await;
    let sub = json!({ "type": "sub", "id": "p", "kind": "presence", "collection": "towns", "key": "ulm" });
    let say = |state: Value| json!({ "type": "presence", "id": "p", "state": state });
    let mut ada = listening.connect(&listening.world.write).await.expect("it opens");
    ada.say(sub.clone()).await;
    let ready = ada.hear().await.expect("an answer");
    assert_eq!((&ready["type"], &ready["people"]), (&json!("ready"), &json!([])));
    ada.say(say(json!({ "at": 3 }))).await;
    assert_eq!(ada.hear().await.expect("its own")["change"]["number"], ready["self"]);

    let mut bob = listening.connect(&listening.world.read).await.expect("it opens");
    bob.say(sub.clone()).await;
    let seen = bob.hear().await.expect("an answer");
    assert_eq!(seen["people"], json!([{ "number": ready["self"], "account": "Write None", "state": { "at": 3 } }]));
    bob.say(say(json!("hello"))).await;
    assert_eq!(ada.hear().await.expect("a change")["change"]["state"], "hello");
    bob.say(say(json!("x".repeat(4096)))).await;
    let mut heard = vec![bob.hear().await.expect("a message"), bob.hear().await.expect("a message")];
    heard.retain(|message| message["type"] == "error");
    assert_eq!(heard[0]["problem"]["code"], "too_large");
    drop(bob);
    assert_eq!(ada.hear().await.expect("a change")["change"], json!({ "number": seen["self"], "left": true }));
    // Presence requires an existing document, and only a present client can announce a state.
    ada.say(json!({ "type": "sub", "id": "q", "kind": "presence", "collection": "towns", "key": "none" })).await;
    assert_eq!(ada.hear().await.expect("an answer")["problem"]["code"], "not_found");
    ada.say(json!({ "type": "presence", "id": "q", "state": 1 })).await;
    assert_eq!(ada.hear().await.expect("an answer")["problem"]["code"], "not_found");
}
