//! Slow readers: the command waits for them, and is cancelled when they disconnect.

use super::*;
use core::sync::atomic::{AtomicUsize, Ordering};
use cosmicsync_node::service::{Answer as Answering, Input, Item, Role, Secret, ServiceError, Token, Who};
use tokio::sync::mpsc;

/// A node whose export does not end. It counts the items it sent, and the running commands.
#[derive(Debug, Default)]
struct Pouring {
    given: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend for Pouring {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answering<'_> {
        Box::pin(async move {
            if let Command::TokenCheck { token: Secret(name) } = command {
                let who = Who { token: Token::new(name, Scope::Read, 0), role: Role::Owner };
                return Ok(Reply::Who(who));
            }
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let _guard = Guard(Arc::clone(&self.under_way));
            for at in 0.. {
                if at == 1_000 && !matches!(command, Command::Export(_)) {
                    return Err(ServiceError::new(cosmicsync_node::service::ErrorCode::Io, "the disk failed"));
                }
                let chunk = Item::Chunk("x".repeat(1024));
                if items.send(chunk).await.is_err() {
                    break;
                }
                self.given.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Reply::Done {})
        })
    }

    fn call_as(&self, _: &Who, command: Command, _: Option<Input>, items: mpsc::Sender<Item>) -> Answering<'_> {
        self.call(command, items)
    }
}

async fn export(node: &Arc<Pouring>) -> Body {
    let (_stop, stopped) = watch::channel(false);
    let router = router(Arc::clone(node) as Arc<dyn Backend>, &Settings::default(), Metrics::default(), stopped);
    let path = "/v1/spaces/-/collections/rows/export";
    let request = Request::builder().uri(path).header("authorization", "Bearer x").body(Body::empty());
    router.oneshot(request.expect("a request")).await.expect("an answer").into_body()
}

#[tokio::test]
async fn a_command_waits_for_whoever_reads_slowly() {
    let node = Arc::new(Pouring::default());
    let mut body = export(&node).await;
    assert!(node.given.load(Ordering::SeqCst) < 40);
    let mut read = 0;
    for _ in 0..50 {
        read += next(&mut body).await.expect("more").len();
        let given = node.given.load(Ordering::SeqCst) * 1024;
        assert!(given <= read + 64 * 1024, "{given} bytes given, {read} read");
    }
    assert_eq!(node.under_way.load(Ordering::SeqCst), 1);
    drop(body);
    assert_eq!(node.under_way.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_fails_half_way_has_no_end() {
    let node = Arc::new(Pouring::default());
    let (_stop, stopped) = watch::channel(false);
    let router = router(Arc::clone(&node) as Arc<dyn Backend>, &Settings::default(), Metrics::default(), stopped);
    let path = "/v1/spaces/-/collections/rows/docs";
    let request = Request::builder().uri(path).header("authorization", "Bearer x").body(Body::empty());
    let mut body = router.oneshot(request.expect("a request")).await.expect("an answer").into_body();
    let failed = loop {
        match core::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it ended as if it were whole"),
        }
    };
    assert!(failed.to_string().contains("the disk failed"), "{failed}");
}

#[tokio::test]
async fn events_that_fail_say_why() {
    let node = Arc::new(Pouring::default());
    let (_stop, stopped) = watch::channel(false);
    let router = router(Arc::clone(&node) as Arc<dyn Backend>, &Settings::default(), Metrics::default(), stopped);
    let path = "/v1/spaces/-/changes?feed=eventsource&since=a.1";
    let request = Request::builder().uri(path).header("authorization", "Bearer x").body(Body::empty());
    let mut body = router.oneshot(request.expect("a request")).await.expect("an answer").into_body();
    let mut text = String::new();
    while let Some(piece) = next(&mut body).await {
        text += core::str::from_utf8(&piece).expect("text");
    }
    let last = "event: problem\ndata: {\"code\":\"internal\",\"detail\":\"the disk failed\"}\n\n";
    assert!(text.ends_with(last), "{text}");
}
