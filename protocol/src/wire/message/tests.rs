use super::*;
use crate::sync::LeafItem;
use proptest::prelude::*;

fn log_ref() -> impl Strategy<Value = LogRef> {
    (any::<bool>(), 0u32..1 << 31).prop_map(|(mine, at)| if mine { LogRef::Mine(at) } else { LogRef::Yours(at) })
}

fn pairs() -> impl Strategy<Value = Vec<(LogRef, u64)>> {
    prop::collection::vec((log_ref(), 0..=SEQ_MAX), 1..50)
}

fn body(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 1..max).prop_map(Bytes::from)
}

fn node() -> impl Strategy<Value = Node> {
    let inner = prop::array::uniform16(any::<Option<[u8; 16]>>())
        .prop_filter("an inner node has children", |children| children.iter().any(Option::is_some))
        .prop_map(|children| NodeView::Inner(Box::new(children)));
    let inner = (any::<Option<[u8; 16]>>(), prop::collection::vec(0u8..16, 0..32), inner)
        .prop_map(|(token, prefix, view)| Node { scope: token.map_or(Scope::Space, Scope::Partition), prefix, view });
    let logs = prop::collection::btree_map(any::<[u8; 31]>(), (0..=SEQ_MAX, any::<[u8; 8]>()), 0..17);
    let leaf = (any::<[u8; 16]>(), any::<u8>(), logs, 0usize..3).prop_map(|(token, first, logs, depth)| {
        let items = logs.into_iter().map(|(rest, (seq, h))| {
            let mut id = [first; 32];
            id[1..].copy_from_slice(&rest);
            LeafItem::Log { id: LogId(id), seq, h }
        });
        let prefix = [first >> 4, first & 15][..depth.min(2)].to_vec();
        Node { scope: Scope::Partition(token), prefix, view: NodeView::Leaf(items.collect()) }
    });
    prop_oneof![inner, leaf]
}

fn range() -> impl Strategy<Value = Message> {
    let opens = prop::option::of(0u32..1 << 31);
    let log = (log_ref(), opens);
    (log, 0u64..9, body(40), any::<[u8; 32]>(), prop::collection::vec(body(60), 1..20), any::<[u8; 32]>()).prop_map(
        |((log, opens), start, card, h_prev, entries, half)| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&half);
            let (card, h_prev) = if start == 0 { (Some(card), [0; 32]) } else { (None, h_prev) };
            let opens = opens.filter(|_| start == 0);
            Message::Range { log, opens, card, run: Run { start, h_prev, entries, signature } }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let cursor = prop::option::of((any::<[u8; 8]>(), 0..=SEQ_MAX))
        .prop_map(|cursor| cursor.map(|(life, position)| Cursor { incarnation: Incarnation(life), position }));
    let open = (any::<[u8; 16]>(), 0..=SEQ_MAX, cursor, any::<[u8; 16]>(), any::<bool>()).prop_map(
        |(token, position, cursor, root, heads)| {
            let follow = if heads { Follow::Heads } else { Follow::All };
            Message::SpaceOpen { token, position, cursor, root, follow }
        },
    );
    let head = (log_ref(), prop::option::of(body(40)), 0..=SEQ_MAX, any::<[u8; 32]>())
        .prop_map(|(log, card, seq, h)| Message::Head { log, card, seq, h, signature: [7; 64] });
    let gone = (log_ref(), 0u64..1 << 40, 1u64..1 << 40, 0u8..4).prop_map(|(log, from, len, reason)| {
        let reason =
            [GoneReason::Absent, GoneReason::Pruned, GoneReason::Erased, GoneReason::History][usize::from(reason)];
        Message::Gone { log, from, to: from + len, reason }
    });
    prop_oneof![
        open,
        (0u32..1 << 31, 0u32..1 << 31, prop::collection::vec(any::<[u8; 32]>().prop_map(LogId), 1..20))
            .prop_map(|(space, first, ids)| Message::Logs { space, first, ids }),
        pairs().prop_map(|logs| Message::Changes { logs }),
        (0u32..1 << 31, 1..=SEQ_MAX, prop::collection::vec(node(), 0..5))
            .prop_map(|(space, answered, nodes)| Message::Nodes { space, answered, nodes }),
        (log_ref(), 0u64..1 << 40, 1u64..1 << 40).prop_map(|(log, from, len)| Message::Want {
            log,
            from,
            to: from + len,
            again: len % 2 == 0
        }),
        (log_ref(), any::<bool>()).prop_map(|(log, card)| Message::WantHead { log, card }),
        range(),
        range().prop_map(|message| {
            let Message::Range { log, card, run, .. } = message else { panic!("a range") };
            Message::BranchRun { log, card, run }
        }),
        head,
        pairs().prop_map(|logs| Message::Ack { logs }),
        (0u8..6, 0..=SEQ_MAX)
            .prop_map(|(class, bytes)| Message::Credit { class: Class::ALL[usize::from(class)], bytes }),
        (0u32..1 << 31, 0..=SEQ_MAX, any::<[u8; 16]>()).prop_map(|(space, position, root)| Message::Settled {
            space,
            position,
            root
        }),
        gone,
        (log_ref(), 0..=SEQ_MAX, any::<[u8; 32]>(), 0..=SEQ_MAX).prop_map(|(log, seq, h, from)| Message::BranchWant {
            log,
            seq,
            h,
            from
        }),
        (log_ref(), 0..=SEQ_MAX, any::<[u8; 32]>()).prop_map(|(log, seq, h)| Message::ForkHint { log, seq, h }),
        any::<u64>().prop_map(|nonce| Message::Ping { nonce }),
        any::<u64>().prop_map(|nonce| Message::Pong { nonce }),
        (any::<u8>(), body(99)).prop_map(|(kind, body)| Message::App { kind, body }),
        any::<(u16, u16)>().prop_map(|(code, detail)| Message::Close { code, detail }),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn what_decodes_is_its_only_encoding(message in message(), at: prop::sample::Index, flip in 1u8..) {
        let mut bytes = message.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let bytes = Bytes::from(bytes);
        if let Ok(other) = Message::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}

#[test]
fn a_huge_count_allocates_nothing() {
    let mut bytes = vec![RANGE, 0, 1];
    bytes.raw(&[0; 32]);
    bytes.varint(1 << 19);
    assert!(Message::decode(&bytes.into()).is_err());
}
