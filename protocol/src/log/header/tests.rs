use super::*;
use proptest::prelude::*;

fn key(logs: u32) -> impl Strategy<Value = KeyRef> {
    prop_oneof![
        (any::<u32>(), node()).prop_map(|(section, node)| KeyRef::Here { section, node }),
        (any::<u64>(), any::<u32>(), node()).prop_map(|(seq, section, node)| KeyRef::Own { seq, section, node }),
        (0..logs, any::<u64>(), any::<u32>(), node()).prop_map(|(log, seq, section, node)| KeyRef::Other {
            log,
            seq,
            section,
            node
        }),
        Just(KeyRef::Records),
    ]
}

fn node() -> impl Strategy<Value = KeyNode> {
    prop_oneof![Just(1), 1..9u32, 1..=u32::MAX].prop_map(|number| KeyNode::new(number).unwrap())
}

fn doc() -> impl Strategy<Value = DocId> {
    prop_oneof![any::<u128>(), 0u128..4, (1u128 << 32) - 2..(1u128 << 32) + 2, u128::MAX - 3..u128::MAX,]
        .prop_map(|doc| DocId(doc.to_be_bytes()))
}

fn item() -> impl Strategy<Value = Item> {
    let part = prop::option::of(prop_oneof![0..3u32, any::<u32>()]);
    (doc(), prop::option::of(0u32..2), prop_oneof![0..3u32, any::<u32>()], part, key(3), prop::option::of(any::<u32>()))
        .prop_map(|(doc, new_in, section, part, key, dictionary)| Item { doc, new_in, section, part, key, dictionary })
}

fn header() -> impl Strategy<Value = Header> {
    let dep = (0u32..3, any::<u64>(), any::<[u8; 8]>()).prop_map(|(log, seq, h)| Dep { log, seq, h });
    (
        prop::sample::select(&EntryKind::ALL[..]),
        any::<u64>(),
        prop::option::of(any::<[u8; 32]>().prop_map(UserId)),
        any::<[[u8; 32]; 3]>(),
        prop::collection::vec(dep, 0..4),
        any::<[[u8; 16]; 2]>(),
        prop::collection::vec(item(), 0..20),
        prop::collection::vec(any::<u8>(), 0..20),
        0usize..100,
    )
        .prop_map(|(kind, wall_ms, actor, logs, deps, collections, items, extension, padding)| Header {
            kind,
            wall_ms,
            actor,
            logs: logs.into_iter().map(LogId).collect(),
            known: 0,
            deps,
            collections: collections.into_iter().map(CollectionId).collect(),
            items,
            extension: extension.into(),
            padding,
        })
}

proptest! {
    #[test]
    fn headers_round_trip(header in header()) {
        let mut codec = Codec::new();
        let packed = header.pack(&mut codec).unwrap();
        prop_assert_eq!(Header::unpack(&packed, &[], &mut codec), Ok(header));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(header in header(), at: prop::sample::Index, byte: u8) {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(header) = Header::decode(&bytes, &[]) {
            let mut again = Vec::new();
            header.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>) {
        let _ = Header::unpack(&bytes, &[], &mut Codec::new());
        bytes.splice(0..0, [0, 0]);
        let _ = Header::decode(&bytes, &[]);
    }
}

#[test]
fn an_imported_document_takes_few_bytes() {
    let mut header = Header::new(EntryKind::Update, 1_700_000_000_000);
    header.collections.push(CollectionId([7; 16]));
    let first = u128::from_be_bytes([9; 16]);
    header.items = (0..1000u32)
        .map(|at| Item {
            doc: DocId((first + u128::from(at)).to_be_bytes()),
            new_in: Some(0),
            section: 3 + at,
            part: None,
            key: KeyRef::Here { section: 2, node: KeyNode::leaf(at, 1000) },
            dictionary: Some(1),
        })
        .collect();
    let mut plain = Vec::new();
    header.encode(&mut plain);
    assert!(plain.len() < 7 * 1000 + 60, "{}", plain.len());
    assert!(header.pack(&mut Codec::new()).unwrap().len() < 150);
}

#[test]
fn handles_that_point_nowhere_and_long_tables_are_refused() {
    let mut codec = Codec::new();
    let fine = Header::new(EntryKind::Update, 0);
    let item =
        Item { doc: DocId([1; 16]), new_in: None, section: 1, part: None, key: KeyRef::Records, dictionary: None };
    let other = KeyRef::Other { log: 0, seq: 0, section: 1, node: KeyNode::ROOT };
    let bad = [
        Header { deps: vec![Dep { log: 0, seq: 0, h: [0; 8] }], ..fine.clone() },
        Header { items: vec![Item { new_in: Some(0), ..item }], ..fine.clone() },
        Header { items: vec![Item { key: other, ..item }], ..fine.clone() },
        Header { items: vec![item; ITEMS_MAX + 1], ..fine.clone() },
        Header { logs: vec![LogId([0; 32]); LOGS_MAX + 1], ..fine.clone() },
        Header { padding: PADDING_MAX + 1, ..fine.clone() },
        Header { extension: vec![0; EXTENSION_MAX + 1].into(), ..fine.clone() },
    ];
    for header in bad {
        assert!(header.pack(&mut codec).is_err());
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert!(header.padding > 0 || Header::decode(&bytes, &[]).is_err());
    }
    let padded = Header { padding: 3, ..fine }.pack(&mut codec).unwrap();
    let mut nonzero = padded;
    nonzero[2] = 1;
    assert!(Header::unpack(&nonzero, &[], &mut codec).is_err());
}

#[test]
fn kinds_keep_their_numbers() {
    for (number, kind) in EntryKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, number);
    }
}

#[test]
fn handles_are_shared_and_keys_are_found() {
    let mut header = Header::new(EntryKind::Update, 0);
    let (a, b, own) = (LogId([1; 32]), LogId([2; 32]), (LogId([3; 32]), 9));
    assert_eq!([header.log_handle(a), header.log_handle(b), header.log_handle(a)], [0, 1, 0]);
    assert_eq!(
        [header.collection_handle(CollectionId([1; 16])), header.collection_handle(CollectionId([1; 16]))],
        [0, 0]
    );
    assert_eq!(header.key_box(KeyRef::here(4), own), Some((own.0, 9, 4)));
    assert_eq!(header.key_box(KeyRef::Own { seq: 5, section: 4, node: KeyNode::ROOT }, own), Some((own.0, 5, 4)));
    assert_eq!(header.key_box(KeyRef::Other { log: 1, seq: 5, section: 4, node: KeyNode::ROOT }, own), Some((b, 5, 4)));
    assert_eq!(header.key_box(KeyRef::Other { log: 2, seq: 5, section: 4, node: KeyNode::ROOT }, own), None);
    assert_eq!(header.key_box(KeyRef::Records, own), None);
}

#[test]
fn logs_that_the_card_names_are_not_written_out() {
    let earlier = [LogId([1; 32]), LogId([2; 32])];
    let mut header = Header::after(EntryKind::Update, 7, &earlier);
    let handles = [header.log_handle(LogId([2; 32])), header.log_handle(LogId([3; 32]))];
    header.deps = handles.map(|log| Dep { log, seq: 4, h: [5; 8] }).to_vec();
    assert_eq!(handles, [1, 2]);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let holds = |id: u8| bytes.windows(32).any(|window| window == [id; 32]);
    assert_eq!([1, 2, 3].map(holds), [false, false, true]);
    assert_eq!(Header::decode(&bytes, &earlier), Ok(header.clone()));
    // Under a card that names fewer logs, the last handle points nowhere.
    assert!(Header::decode(&bytes, &earlier[..1]).is_err());
    let mut codec = Codec::new();
    let packed = header.pack(&mut codec).unwrap();
    assert_eq!(Header::unpack(&packed, &earlier, &mut codec), Ok(header));
}
