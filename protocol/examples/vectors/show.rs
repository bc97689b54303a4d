//! Content of the published messages, field by field, for comparison by a reader of the bytes.

use crate::hex;
use cosmicsync_protocol::sync::{Class, Follow, LeafItem, NodeView, Scope};
use cosmicsync_protocol::wire::message::{LogRef, Message, Node, Run};
use serde_json::{Value, json};

/// Returns the fields of a message: bytes in hexadecimal, a log as [handle, 0 of the sender or 1 of the receiver].
pub(crate) fn fields(message: &Message) -> Value {
    match message {
        Message::SpaceOpen { token, position, cursor, root, follow } => json!({
            "token": hex(token), "position": position, "root": hex(root), "heads": *follow == Follow::Heads,
            "cursor": cursor.map(|cursor| json!([hex(cursor.incarnation), cursor.position])),
        }),
        Message::Logs { space, first, ids } => {
            json!({ "space": space, "first": first, "ids": ids.iter().map(hex).collect::<Vec<_>>() })
        }
        Message::Changes { logs } | Message::Ack { logs } => {
            json!({ "logs": logs.iter().map(|(of, seq)| json!([log(*of), seq])).collect::<Vec<_>>() })
        }
        Message::Nodes { space, answered, nodes } => {
            json!({ "space": space, "answered": answered, "nodes": nodes.iter().map(node).collect::<Vec<_>>() })
        }
        Message::Want { log: of, from, to, again } => {
            json!({ "log": log(*of), "from": from, "to": to, "again": again })
        }
        Message::WantHead { log: of, card } => json!({ "log": log(*of), "card": card }),
        Message::Range { log: of, opens, card, run } => {
            let mut range = range(*of, card.as_ref().map(hex), run);
            range["opens"] = json!(opens);
            range
        }
        Message::BranchRun { log: of, card, run } => range(*of, card.as_ref().map(hex), run),
        Message::BranchWant { log: of, seq, h, from } => {
            json!({ "log": log(*of), "seq": seq, "h": hex(h), "from": from })
        }
        Message::Head { log: of, card, seq, h, signature } => json!({
            "log": log(*of), "card": card.as_ref().map(hex), "seq": seq, "h": hex(h), "signature": hex(signature),
        }),
        Message::Credit { class, bytes } => json!({ "channel": channel(*class), "bytes": bytes }),
        Message::Settled { space, position, root } => {
            json!({ "space": space, "position": position, "root": hex(root) })
        }
        Message::Gone { log: of, from, to, reason } => {
            json!({ "log": log(*of), "from": from, "to": to, "reason": *reason as u8 })
        }
        Message::ForkHint { log: of, seq, h } => json!({ "log": log(*of), "seq": seq, "h": hex(h) }),
        Message::Ping { nonce } | Message::Pong { nonce } => json!({ "nonce": nonce }),
        Message::App { kind, body } => json!({ "kind": kind, "body": hex(body) }),
        Message::Close { code, detail } => json!({ "code": code, "detail": detail }),
    }
}

fn log(log: LogRef) -> Value {
    match log {
        LogRef::Mine(handle) => json!([handle, 0]),
        LogRef::Yours(handle) => json!([handle, 1]),
    }
}

const fn channel(class: Class) -> u8 {
    class as u8
}

fn range(of: LogRef, card: Option<String>, run: &Run) -> Value {
    json!({
        "log": log(of), "start": run.start, "card": card, "h_prev": (run.start > 0).then(|| hex(run.h_prev)),
        "entries": run.entries.iter().map(hex).collect::<Vec<_>>(), "signature": hex(run.signature),
    })
}

fn node(node: &Node) -> Value {
    let partition = match &node.scope {
        Scope::Space => None,
        Scope::Partition(token) => Some(hex(token)),
    };
    match &node.view {
        NodeView::Inner(children) => {
            let inner: Vec<_> = children.iter().map(|child| child.map(hex)).collect();
            json!({ "partition": partition, "path": node.prefix, "inner": inner })
        }
        NodeView::Leaf(items) => {
            json!({ "partition": partition, "path": node.prefix, "leaf": items.iter().map(item).collect::<Vec<_>>() })
        }
    }
}

fn item(item: &LeafItem) -> Value {
    match item {
        LeafItem::Partition { token, root } => json!([hex(token), hex(root)]),
        LeafItem::Log { id, seq, h } => json!([hex(id), seq, hex(h)]),
    }
}
