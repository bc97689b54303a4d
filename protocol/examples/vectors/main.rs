//! Prints the published test vectors as one JSON object: each member becomes a file of `spec/vectors/`.
//!
//! Everything is made from fixed seeds by the product's code, so a change of a format changes a file. Run it by
//! `cargo xtask vectors`.

mod exclusion;
mod refused;
mod show;

use bytes::Bytes;
use cosmicsync_protocol::connection::{Handshake, Opening};
use cosmicsync_protocol::crdt::{TextPaths, Value as DocValue, encode_new};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::identity::{did_key, log_id, partition_token, peer_id, space_token};
use cosmicsync_protocol::ids::{EpochId, Incarnation, Instance, LogId};
use cosmicsync_protocol::log::card::short_card;
use cosmicsync_protocol::log::chain::section_hash;
use cosmicsync_protocol::log::{Codec, EntryKind, EntryReader, Head, Header, KeyRef, OpenedOwner, Prev};
use cosmicsync_protocol::sealed::{EpochKey, KeyNode, Seeds, node_seed};
use cosmicsync_protocol::spaces::record::{Record, encode_records};
use cosmicsync_protocol::sync::trie::{self, NodeView, Trie};
use cosmicsync_protocol::sync::{Class, Cursor, Follow, LeafItem, NodeView as MessageView, Scope};
use cosmicsync_protocol::testkit::sample::{BULK_DOCS, Sample, SampleLog, TOGETHER_DOCS, meta, row};
use cosmicsync_protocol::wire::frame::Outgoing;
use cosmicsync_protocol::wire::hello::{Feature, Hello, HelloLimits, Pattern, Preamble, Role, Suite, Versions};
use cosmicsync_protocol::wire::message::{GoneReason, LogRef, Message, Node, Run};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn main() {
    let sample = Sample::new();
    let vectors = json!({
        "identity": identity(&sample),
        "keys": keys(&sample),
        "log": logs(&sample),
        "control": control(&sample),
        "trie": tries(),
        "messages": messages(&sample),
        "frames": frames(),
        "handshake": handshakes(&sample),
        "documents": documents(&sample),
        "exclusion": exclusion::exclusion(),
        "refused": refused::refused(&sample),
    });
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("{vectors:#}");
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn identity(sample: &Sample) -> Value {
    let space = sample.space_id();
    let device = |at: usize| {
        let keys = &sample.devices[at];
        json!({
            "secrets": hex(&keys.to_bytes()[..]),
            "device_id": hex(keys.device_id()),
            "did_key": did_key(&keys.device_id()),
            "noise_public": hex(keys.public().noise),
            "hpke_public": hex(keys.public().hpke),
            "claim": hex(keys.claim().encode()),
            "certificate": hex(sample.credentials[at].cert.encode()),
            "credential": hex(sample.credentials[at].encode()),
        })
    };
    let owner_box = b"an owner box";
    let log = log_id(&[2; 32], &space_token(&space), &partition_token(&space, &sample.main()), 1, owner_box);
    json!({
        "user": {
            "secret": hex(&sample.user.to_bytes()[..]),
            "recovery_secret": hex(&sample.recovery.secret()[..]),
            "recovery_commitment": hex(sample.recovery.commitment()),
            "genesis": hex(sample.genesis.encode()),
            "user_id": hex(sample.genesis.user_id()),
        },
        "devices": [device(0), device(1)],
        "space": { "genesis": hex(sample.space.encode()), "space_id": hex(space), "token": hex(space_token(&space)) },
        "derived": {
            "partition_control": hex(sample.control()),
            "partition_main": hex(sample.main()),
            "partition_token_main": hex(partition_token(&space, &sample.main())),
            "collection_cities": hex(sample.collection()),
            "document_cities_00501": hex(sample.doc("00501")),
            "log_key": hex([2; 32]),
            "owner_box": hex(owner_box),
            "log_bulk": hex(log),
            "peer": peer_id(&log).to_string(),
        },
        "invite": {
            "line": sample.invite.to_line().as_str(),
            "addresses": sample.invite.addresses(),
            "inviter": hex(sample.invite.inviter()),
            "expires_ms": sample.invite.expires_ms(),
            "psk": hex(&sample.invite.psk()[..]),
        },
    })
}

fn keys(sample: &Sample) -> Value {
    let epoch = |at: usize| {
        let key: &EpochKey = &sample.epochs[at];
        json!({
            "key": hex(key.as_bytes()),
            "epoch_id": hex(key.id()),
            "header_key": hex(&key.header_key()[..]),
            "records_key": hex(&key.records_key()[..]),
            "key_box_key": hex(&key.key_box_key()[..]),
            "owner_key": hex(&key.owner_key()[..]),
            "admission_public": hex(key.admission_key().verifying_key().as_bytes()),
            "erase_public": hex(key.erase_key().verifying_key().as_bytes()),
            "generation": sample.records[at].generation,
            "record": hex(sample.records[at].encode()),
            "recipients": sample.records[at].boxes.len(),
        })
    };
    json!({ "space_id": hex(sample.space_id()), "epochs": [epoch(0), epoch(1)], "tree": key_tree() })
}

/// Returns a key tree of five leaves, with its remaining seeds after the erasure of the fourth and then the first.
fn key_tree() -> Value {
    let root = [9; 16];
    let nodes: Vec<KeyNode> = (0..5).map(|at| KeyNode::leaf(at, 5)).collect();
    let seeds = |left: &Seeds| -> Vec<Value> {
        left.iter().map(|(node, seed)| json!({ "node": node.number(), "seed": hex(seed) })).collect()
    };
    let leaf = |node: &KeyNode| json!({ "node": node.number(), "seed": hex(node_seed(&root, *node)) });
    let once = Seeds::whole(root).puncture(nodes[3]);
    json!({
        "root": hex(root),
        "leaves": nodes.iter().map(leaf).collect::<Vec<_>>(),
        "erased": [
            { "node": nodes[3].number(), "left": seeds(&once) },
            { "node": nodes[0].number(), "left": seeds(&once.puncture(nodes[0])) },
        ],
    })
}

fn logs(sample: &Sample) -> Value {
    let (live, bulk, control) = (sample.live_log(), sample.bulk_log(BULK_DOCS), sample.control_log());
    let together = sample.together_log(TOGETHER_DOCS);
    let pruned = bulk.entries[0].entry.without(|section| section >= 4);
    json!({
        "live": log(sample, &live),
        "bulk": log(sample, &bulk),
        "together": log(sample, &together),
        "control": log(sample, &control),
        "pruned": {
            "of": "bulk, entry 0, without sections 4 and later",
            "bytes": hex(pruned.encode()),
            "h": hex(pruned.chain(&bulk.card.place.epoch, bulk.id.as_bytes())),
        },
    })
}

fn log(sample: &Sample, log: &SampleLog) -> Value {
    let entries: Vec<Value> = (0..log.entries.len()).map(|seq| entry(sample, log, seq)).collect();
    let opened = OpenedOwner::open(&log.card.place, &log.card.owner_box, &sample.epochs[0].owner_key());
    let owner = opened.ok().and_then(|opened| opened.verify(&sample.devices[0].public())).expect("a sample card opens");
    let prev = |prev: &Prev| json!({ "log": hex(prev.log), "seq": prev.seq, "h": hex(prev.h) });
    json!({
        "secret": hex(log.key.to_bytes()),
        "card": hex(log.card_bytes()),
        "log_id": hex(log.id),
        "owner": {
            "device": hex(owner.device),
            "grant": owner.grant,
            "prev": owner.prev.iter().map(prev).collect::<Vec<_>>(),
        },
        "entries": entries,
    })
}

fn entry(sample: &Sample, log: &SampleLog, seq: usize) -> Value {
    let sealed = &log.entries[seq];
    let reader = EntryReader::new(&sealed.entry, log.place(seq));
    let key = sample.epochs.iter().find(|key| key.id() == reader.epoch()).expect("an epoch of the sample");
    let header = reader.open_header(&key.header_key(), &log.earlier, &mut Codec::new()).expect("an own header opens");
    let mut plain = Vec::new();
    header.encode(&mut plain);
    json!({
        "seq": seq,
        "epoch_id": hex(reader.epoch()),
        "h_prev": hex(log.place(seq).h_prev),
        "bytes": hex(&sealed.bytes),
        "header": hex(plain),
        "contents": contents(sample, log, seq, &header),
        "section_hashes": sealed.entry.sections().iter().filter_map(|s| s.present()).map(|s| hex(section_hash(s)))
            .collect::<Vec<_>>(),
        "body_hash": hex(sealed.entry.body_hash()),
        "h": hex(sealed.h),
        "head": hex(head_bytes(&log.heads[seq])),
    })
}

/// Returns the plaintexts of the sections behind the header, in the order of their numbers.
fn contents(sample: &Sample, log: &SampleLog, seq: usize, header: &Header) -> Value {
    let of = |seq: usize| {
        let reader = EntryReader::new(&log.entries[seq].entry, log.place(seq));
        let key = sample.epochs.iter().find(|key| key.id() == reader.epoch()).expect("an epoch of the sample");
        (reader, key)
    };
    let mut codec = Codec::new();
    let mut found = BTreeMap::new();
    let (reader, key) = of(seq);
    if header.kind == EntryKind::Control {
        let open = log.entries[seq].entry.sections()[1].present().expect("a whole entry");
        let records = reader.open_records(2, &key.records_key(), &mut codec).expect("own records open");
        found.insert(1, ("open", open.to_vec()));
        found.insert(2, ("records", records));
    }
    for item in &header.items {
        let dictionary = item.dictionary.map(|at| {
            let records = reader.open_records(at, &key.records_key(), &mut codec).expect("own records open");
            found.insert(at, ("dictionary", records.clone()));
            records
        });
        let seed = match item.key {
            KeyRef::Here { section, .. } => {
                let seed = reader.open_key_box(section, &key.key_box_key()).expect("an own key box opens");
                found.insert(section, ("key_box", seed.to_vec()));
                seed
            }
            KeyRef::Own { seq, section, .. } => {
                let (reader, key) = of(seq as usize);
                reader.open_key_box(section, &key.key_box_key()).expect("an own key box opens")
            }
            KeyRef::Other { .. } | KeyRef::Records => continue,
        };
        let body =
            reader.open_body(item.section, &node_seed(&seed, item.key.node()), dictionary.as_deref(), &mut codec);
        found.insert(item.section, ("body", body.expect("an own body opens")));
    }
    found
        .iter()
        .map(|(section, (kind, plain))| json!({ "section": section, "kind": kind, "plain": hex(plain) }))
        .collect()
}

fn head_bytes(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    bytes
}

fn control(sample: &Sample) -> Value {
    let records = [
        ("device", Record::Device { credential: Bytes::from(sample.credentials[1].encode()) }),
        ("partition", Record::Partition { name: "photos".into() }),
        ("space_name", Record::SpaceName { name: "família".into() }),
        ("epoch_want", Record::EpochWant { epoch: EpochId([4; 16]) }),
        ("unknown", Record::Unknown { kind: 99, body: Bytes::from_static(b"of a later version") }),
    ];
    let one = |(name, record): &(&str, Record)| {
        let mut vector = json!({ "record": name, "list": hex(encode_records(core::slice::from_ref(record))) });
        match record {
            Record::Partition { name } | Record::SpaceName { name } => vector["name"] = json!(name),
            Record::EpochWant { epoch } => vector["epoch"] = json!(hex(epoch)),
            Record::Unknown { kind, body } => {
                vector["kind"] = json!(kind);
                vector["body"] = json!(hex(body));
            }
            Record::Device { .. } => {}
        }
        vector
    };
    let all: Vec<Record> = records.iter().map(|(_, record)| record.clone()).collect();
    json!({ "lists": records.iter().map(one).collect::<Vec<_>>(), "all": hex(encode_records(&all)) })
}

fn tries() -> Value {
    let sets = [0u8, 1, 16, 17, 40, 200].map(|count| {
        let mut trie = Trie::new();
        for at in 0..count {
            let log = LogId(*blake3::hash(&[at]).as_bytes());
            trie.set(log, trie::item(&log, u64::from(at), &[at; 32]));
        }
        let children = match trie.node(&[]) {
            NodeView::Leaf(items) => items.iter().map(|(id, item)| json!([hex(id), hex(item)])).collect::<Vec<_>>(),
            NodeView::Inner(children) => children.iter().map(|child| json!(child.map(hex))).collect(),
        };
        json!({ "logs": count, "root": hex(trie.root()), "top": children })
    });
    json!({ "log_of": "at: id BLAKE3(at u8), seq at, h at repeated 32 times", "sets": sets, "space": space_trie() })
}

/// Returns the root of a space with two partitions.
fn space_trie() -> Value {
    let mut space = Trie::new();
    let pad = |short: [u8; 16]| {
        let mut long = [0; 32];
        long[..16].copy_from_slice(&short);
        long
    };
    let partitions = [(0x0au8, 1u8), (0xb0, 2)].map(|(token, count)| {
        let (token, mut trie, mut logs) = ([token; 16], Trie::new(), Vec::new());
        for at in 1..=count {
            let (log, seq, h) = (LogId([at; 32]), 300 * u64::from(at), [token[0] ^ at; 32]);
            trie.set(log, trie::item(&log, seq, &h));
            logs.push(json!({ "log": hex(log), "seq": seq, "h": hex(h) }));
        }
        space.set(LogId(pad(token)), pad(trie.root()));
        json!({ "token": hex(token), "logs": logs, "root": hex(trie.root()) })
    });
    json!({ "partitions": partitions, "root": hex(space.root()) })
}

fn messages(sample: &Sample) -> Value {
    let live = sample.live_log();
    let run = |start: usize| Run {
        start: start as u64,
        h_prev: if start == 0 { [0; 32] } else { live.place(start).h_prev },
        entries: live.entries[start..].iter().map(|sealed| sealed.bytes.clone()).collect(),
        signature: live.heads[1].signature,
    };
    let (mine, yours) = (LogRef::Mine(0), LogRef::Yours(300));
    let head = live.heads[1];
    let (token, root) = ([1; 16], [2; 16]);
    let cursor = Some(Cursor { incarnation: Incarnation([3; 8]), position: 300 });
    let list = [
        ("space_open", Message::SpaceOpen { token, position: 7, cursor: None, root, follow: Follow::All }),
        ("space_open_cursor", Message::SpaceOpen { token, position: 7, cursor, root, follow: Follow::Heads }),
        ("logs", Message::Logs { space: 0, first: 5, ids: vec![live.id, LogId([4; 32])] }),
        ("changes", Message::Changes { logs: vec![(mine, 1), (yours, 0)] }),
        ("nodes", Message::Nodes { space: 0, answered: 1, nodes: nodes(&live) }),
        ("want", Message::Want { log: mine, from: 2, to: 9, again: true }),
        ("want_head", Message::WantHead { log: yours, card: true }),
        (
            "range_opens",
            Message::Range { log: mine, opens: Some(0), card: Some(short_card(&live.card_bytes())), run: run(0) },
        ),
        (
            "range_card",
            Message::Range { log: yours, opens: None, card: Some(short_card(&live.card_bytes())), run: run(0) },
        ),
        ("range", Message::Range { log: mine, opens: None, card: None, run: run(1) }),
        ("head", Message::Head { log: mine, card: None, seq: head.seq, h: head.h, signature: head.signature }),
        ("ack", Message::Ack { logs: vec![(yours, 1 << 40)] }),
        ("credit", Message::Credit { class: Class::Backfill, bytes: 1 << 20 }),
        ("settled", Message::Settled { space: 1, position: 9, root }),
        ("gone", Message::Gone { log: yours, from: 0, to: 5, reason: GoneReason::Erased }),
        ("gone", Message::Gone { log: yours, from: 0, to: 1, reason: GoneReason::History }),
        ("branch_want", Message::BranchWant { log: mine, seq: 1, h: head.h, from: 0 }),
        ("branch_run", Message::BranchRun { log: mine, card: Some(short_card(&live.card_bytes())), run: run(0) }),
        ("branch_run", Message::BranchRun { log: yours, card: None, run: run(1) }),
        ("fork_hint", Message::ForkHint { log: mine, seq: 1, h: head.h }),
        ("ping", Message::Ping { nonce: 1 }),
        ("pong", Message::Pong { nonce: u64::MAX }),
        ("app", Message::App { kind: 1, body: Bytes::from_static(b"body") }),
        ("close", Message::Close { code: 33, detail: 0 }),
    ];
    let one = |(name, message): &(&str, Message)| json!({ "message": name, "fields": show::fields(message), "bytes": hex(message.encode()) });
    Value::Array(list.iter().map(one).collect())
}

fn nodes(live: &SampleLog) -> Vec<Node> {
    let mut children = [None; 16];
    children[3] = Some([5; 16]);
    children[15] = Some([6; 16]);
    let mut h = [0; 8];
    h.copy_from_slice(&live.heads[1].h[..8]);
    let nibble = live.id.0[0] >> 4;
    vec![
        Node { scope: Scope::Space, prefix: Vec::new(), view: MessageView::Inner(Box::new(children)) },
        Node {
            scope: Scope::Space,
            prefix: vec![0, 1],
            view: MessageView::Leaf(vec![LeafItem::Partition { token: [1; 16], root: [2; 16] }]),
        },
        Node {
            scope: Scope::Partition(live.card.place.partition_token),
            prefix: vec![nibble],
            view: MessageView::Leaf(vec![LeafItem::Log { id: live.id, seq: 1, h }]),
        },
    ]
}

fn frames() -> Value {
    let mut plaintext = Vec::new();
    let mut bulk = Outgoing::new(Bytes::from_static(b"a message of class 4 in three chunks"));
    let mut urgent = Outgoing::new(Bytes::from_static(b"an urgent one"));
    bulk.write(4, &mut plaintext, 1024, 16);
    urgent.write(0, &mut plaintext, 1024, 1024);
    while !bulk.is_done() {
        bulk.write(4, &mut plaintext, 1024, 16);
    }
    json!([{ "plaintext": hex(plaintext), "messages": [
        { "channel": 0, "bytes": hex("an urgent one") },
        { "channel": 4, "bytes": hex("a message of class 4 in three chunks") },
    ] }])
}

fn hello(role: Role) -> Hello {
    Hello {
        versions: Versions { min: (0, 0), max: (0, 1) },
        features: vec![Feature { id: 1, critical: false }, Feature { id: 300, critical: true }],
        limits: HelloLimits { message_bytes_max: 1 << 20, channels_max: 6, credit_bytes: 1 << 20 },
        incarnation: Incarnation([9; 8]),
        instance: Instance([10; 8]),
        suites: vec![Suite::X25519_CHACHAPOLY_BLAKE2S],
        role,
    }
}

fn handshakes(sample: &Sample) -> Value {
    let member = |at: usize| hello(Role::Member(sample.credentials[at].encode())).encode();
    let joiner = hello(Role::Joiner(sample.devices[1].claim())).encode();
    let invited = Opening::Invited { psk: sample.invite.psk(), inviter: *sample.invite.inviter() };
    json!({
        "xx": handshake(sample, Pattern::Xx, Opening::Xx, &member(1), &member(0)),
        "xxpsk0": handshake(sample, Pattern::XxPsk0, invited, &joiner, &member(0)),
    })
}

fn handshake(sample: &Sample, pattern: Pattern, opening: Opening, ours: &[u8], theirs: &[u8]) -> Value {
    let (seed_a, seed_b) = ([21; 32], [22; 32]);
    let psks = vec![sample.invite.psk()];
    let mut a = Handshake::initiator(opening, &sample.devices[1], ours.to_vec(), Entropy::new(seed_a));
    let mut b = Handshake::responder(&sample.devices[0], psks, theirs.to_vec(), Entropy::new(seed_b));
    let mut sent = Vec::new();
    for _ in 0..2 {
        sent.extend(step(&mut a, &mut b));
        sent.extend(step(&mut b, &mut a));
    }
    let (a, b) = (a.finish().expect("done"), b.finish().expect("done"));
    assert_eq!(a.handshake_hash, b.handshake_hash);
    let mut transport = a.transport;
    let mut first = Vec::new();
    for _ in 0..2 {
        transport.seal(b"the first messages", &mut first).expect("short");
    }
    json!({
        "preamble": hex(Preamble::new(pattern).encode()),
        "initiator": { "device": 1, "seed": hex(seed_a), "hello": hex(ours) },
        "responder": { "device": 0, "seed": hex(seed_b), "hello": hex(theirs) },
        "psk": b.psk_index.map(|_| hex(&sample.invite.psk()[..])),
        "sent": sent,
        "handshake_hash": hex(a.handshake_hash),
        "first_messages": { "plaintext": hex("the first messages"), "sealed_twice": hex(first) },
    })
}

/// Returns the bytes that one end sends in its turn, after the other has taken them.
fn step(from: &mut Handshake, to: &mut Handshake) -> Option<String> {
    let mut bytes = Vec::new();
    from.poll_transmit(&mut bytes).then(|| {
        to.handle(&bytes).expect("a sample handshake goes through");
        hex(bytes)
    })
}

fn documents(sample: &Sample) -> Value {
    let nested: DocValue = [
        ("null", DocValue::Null),
        ("true", DocValue::from(true)),
        ("int", DocValue::Int(-42)),
        ("float", DocValue::Float(-0.0)),
        ("text", DocValue::from("é")),
        ("bytes", DocValue::Bytes(vec![0, 255])),
        ("list", DocValue::List(vec![DocValue::Int(0), DocValue::List(Vec::new())])),
        ("map", row(501)),
    ]
    .into_iter()
    .collect();
    let one = |value: &DocValue| json!({ "encoding": hex(value.encode()), "digest": hex(value.digest()) });
    let peer = peer_id(&sample.live_log().id);
    let update = encode_new(peer, &meta("00501"), &row(501), &TextPaths::none()).expect("a small row");
    json!({
        "values": [one(&DocValue::Null), one(&row(501)), one(&nested)],
        "update": {
            "collection": "cities", "key": "00501", "value": hex(row(501).encode()), "peer": peer.to_string(),
            "bytes": hex(update.bytes), "start": update.start, "end": update.end,
        },
    })
}
