use super::*;
use crate::ids::{DocId, UserId};
use crate::log::compress::Dictionary;
use crate::log::{EntryKind, EntryReader, Item, KeyRef, OpenError};
use crate::sealed::{KeyNode, Seeds, leaf_seeds};
use proptest::prelude::*;

const EPOCH: EpochId = EpochId([5; 16]);

fn keys(epoch: EpochId) -> EpochKeys<'static> {
    EpochKeys { epoch, header: &[11; 32], key_box: &[12; 32], records: &[13; 32] }
}

fn place() -> Place {
    Place { log: LogId([1; 32]), card_epoch: EPOCH, seq: 300, h_prev: [3; 32] }
}

fn header() -> Header {
    let mut header = Header::new(EntryKind::Update, 1_700_000_000_000);
    header.actor = Some(UserId([8; 32]));
    header.items.push(Item {
        doc: DocId([9; 16]),
        new_in: None,
        section: 2,
        part: None,
        key: KeyRef::here(3),
        dictionary: Some(1),
    });
    header
}

fn seal(sections: &[Plain<'_>]) -> Sealed {
    EntryBuilder::new().seal(&place(), &keys(EPOCH), &[7; 16], &header(), sections).unwrap()
}

#[test]
fn what_is_sealed_opens_and_carries_its_bytes_and_hash() {
    let (dictionary, body) = (b"a dictionary of field names".repeat(3), b"field names and more of the names".to_vec());
    let plain = [
        Plain::Dictionary(&dictionary),
        Plain::Body { seed: &[6; 16], bytes: &body, dictionary: Some(1) },
        Plain::KeyBox(&[6; 16]),
    ];
    let sealed = seal(&plain);
    assert_eq!(Entry::decode(&sealed.bytes), Ok(sealed.entry.clone()));
    assert_eq!(sealed.entry.chain(&EPOCH, &place().h_prev), sealed.h);
    assert_eq!(sealed.entry.epoch(), None);

    let mut codec = Codec::new();
    let reader = EntryReader::new(&sealed.entry, place());
    let keys = keys(EPOCH);
    assert_eq!(reader.open_header(keys.header, &[], &mut codec), Ok(header()));
    let dictionary = Dictionary::of_window(&dictionary).encode();
    assert_eq!(reader.open_records(1, keys.records, &mut codec), Ok(dictionary.clone()));
    assert_eq!(reader.open_key_box(3, keys.key_box), Ok([6; 16]));
    assert_eq!(reader.open_body(2, &[6; 16], Some(&dictionary), &mut codec), Ok(body));
    assert_eq!(reader.open_body(2, &[0; 16], Some(&dictionary), &mut codec), Err(OpenError::Sealed));
    assert_eq!(reader.open_records(4, keys.records, &mut codec), Err(OpenError::NoSection));
}

#[test]
fn an_open_section_needs_no_key_and_another_epoch_is_named() {
    let plain = [Plain::Open(b"boxes"), Plain::Records(b"more")];
    let other = EpochId([6; 16]);
    let sealed = EntryBuilder::new().seal(&place(), &keys(other), &[7; 16], &header(), &plain).unwrap();
    let entry = Entry::decode(&sealed.bytes).unwrap();
    assert_eq!(entry.open_section().map(|bytes| &bytes[..]), Some(&b"boxes"[..]));
    assert_eq!(entry.epoch(), Some(other));
    let reader = EntryReader::new(&entry, place());
    assert_eq!(reader.epoch(), other);
    assert_eq!(reader.open_records(2, &[13; 32], &mut Codec::new()), Ok(b"more".to_vec()));
    assert_eq!(reader.open_records(1, &[13; 32], &mut Codec::new()), Err(OpenError::NoSection));
}

#[test]
fn a_section_opens_only_in_its_own_place_and_number() {
    let sealed = seal(&[Plain::KeyBox(&[6; 16]), Plain::KeyBox(&[6; 16])]);
    let places = [
        Place { log: LogId([2; 32]), ..place() },
        Place { seq: 301, ..place() },
        Place { h_prev: [4; 32], ..place() },
        Place { card_epoch: EpochId([9; 16]), ..place() },
    ];
    for place in places {
        let reader = EntryReader::new(&sealed.entry, place);
        assert_eq!(reader.open_header(&[11; 32], &[], &mut Codec::new()), Err(OpenError::Sealed));
    }
    let [header, first, second] = sealed.entry.sections() else { panic!("three sections") };
    assert_ne!(first, second);
    let swapped = vec![header.clone(), second.clone(), first.clone()];
    let swapped = Entry::new(place().seq, None, false, *sealed.entry.nonce(), swapped).unwrap();
    assert_eq!(EntryReader::new(&swapped, place()).open_key_box(1, &[12; 32]), Err(OpenError::Sealed));
}

#[test]
fn absent_sections_are_told_from_missing_ones() {
    let sealed = seal(&[Plain::KeyBox(&[6; 16])]);
    let pruned = sealed.entry.without(|number| number == 1);
    assert_eq!(EntryReader::new(&pruned, place()).open_key_box(1, &[12; 32]), Err(OpenError::Absent));
    assert_eq!(pruned.chain(&EPOCH, &place().h_prev), sealed.h);
}

#[test]
fn one_document_of_an_entry_is_erased_without_the_others() {
    const COUNT: u32 = 20;
    let root = [6; 16];
    let texts: Vec<Vec<u8>> = (0..COUNT).map(|at| format!("the text of document {at}").into_bytes()).collect();
    let seeds = leaf_seeds(&root, COUNT);
    let mut plain = vec![Plain::Dictionary(b"the text of document"), Plain::KeyBox(&root)];
    let bodies = texts.iter().zip(&seeds);
    plain.extend(bodies.map(|(bytes, seed)| Plain::Body { seed, bytes, dictionary: Some(1) }));
    let sealed = seal(&plain);
    let mut codec = Codec::new();
    for erased in 0..COUNT {
        // The box and the section are destroyed; the seeds beside the path to the erased one stay.
        let left = Seeds::whole(root).puncture(KeyNode::leaf(erased, COUNT));
        let entry = sealed.entry.without(|number| number == 2 || number == 3 + erased as usize);
        assert_eq!(entry.chain(&EPOCH, &place().h_prev), sealed.h);
        let reader = EntryReader::new(&entry, place());
        assert_eq!(reader.open_key_box(2, &[12; 32]), Err(OpenError::Absent));
        let dictionary = reader.open_records(1, &[13; 32], &mut codec).unwrap();
        for (at, text) in (0..).zip(&texts) {
            let seed = left.seed(KeyNode::leaf(at, COUNT));
            let opened = seed.map(|seed| reader.open_body(3 + at, &seed, Some(&dictionary), &mut codec));
            assert_eq!(opened, (at != erased).then(|| Ok(text.clone())));
        }
        // Even with a kept copy of the erased section, no remaining seed opens it.
        let kept = EntryReader::new(&sealed.entry, place());
        for (_, seed) in left.iter() {
            let opened = kept.open_body(3 + erased, seed, Some(&dictionary), &mut codec);
            assert_eq!(opened, Err(OpenError::Sealed));
        }
    }
}

#[test]
fn a_live_entry_pays_nothing_for_key_trees() {
    let sealed = seal(&[Plain::Records(b""), Plain::Body { seed: &[6; 16], bytes: b"text", dictionary: None }]);
    let weight = sealed.weight;
    assert_eq!(weight.total(), sealed.bytes.len() as u64);
    assert_eq!((weight.entries, weight.items, weight.key_boxes), (1, 1, 0));
    let mut item = Vec::new();
    header().encode(&mut item);
    let bare = Header { items: Vec::new(), ..header() };
    let mut without = Vec::new();
    bare.encode(&mut without);
    // The document's id with the byte that marks it, and one byte each: collection, section, key, box and
    // dictionary.
    assert_eq!(item.len() - without.len(), 17 + 5);
}

#[test]
fn nonces_follow_randomness_place_and_content() {
    let nonce = |place: &Place, randomness: u8, body: &[u8]| {
        let plain = [Plain::Records(body)];
        let sealed = EntryBuilder::new().seal(place, &keys(EPOCH), &[randomness; 16], &header(), &plain).unwrap();
        *sealed.entry.nonce()
    };
    let base = nonce(&place(), 1, b"a");
    assert_eq!(nonce(&place(), 1, b"a"), base);
    assert_ne!(nonce(&place(), 2, b"a"), base);
    assert_ne!(nonce(&place(), 1, b"b"), base);
    assert_ne!(nonce(&Place { seq: 301, ..place() }, 1, b"a"), base);
    assert_ne!(section_nonce(&base, 1), section_nonce(&base, 256));
    assert_eq!(section_nonce(&base, 0), base);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut builder = EntryBuilder::new();
    let mut seal = |sections: &[Plain<'_>]| {
        builder.seal(&place(), &keys(EPOCH), &[7; 16], &header(), sections).map(|sealed| sealed.bytes.len())
    };
    let large = vec![0; BODY_BYTES_MAX + 1];
    assert_eq!(seal(&[Plain::Records(&large)]), Err(SealError::TooLarge));
    assert!(seal(&[Plain::Records(&large[1..])]).is_ok());
    assert_eq!(seal(&vec![Plain::KeyBox(&[0; 16]); SECTIONS_MAX]), Err(SealError::TooLarge));
    let noise: Vec<u8> = (0..BODY_BYTES_MAX as u32).map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[0]).collect();
    assert_eq!(seal(&[Plain::Records(&noise), Plain::Records(&noise)]), Err(SealError::TooLarge));
    assert_eq!(seal(&[Plain::Records(b""), Plain::Open(b"")]), Err(SealError::Misplaced));
    for dictionary in [0, 1, 2, 9] {
        let body = Plain::Body { seed: &[0; 16], bytes: b"", dictionary: Some(dictionary) };
        assert_eq!(seal(&[body, Plain::KeyBox(&[0; 16])]), Err(SealError::Misplaced));
    }
}

proptest! {
    #[test]
    fn any_sections_round_trip_and_no_byte_can_change(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let plain: Vec<_> = bodies
            .iter()
            .flat_map(|bytes| [Plain::Body { seed: &[6; 16], bytes, dictionary: None }, Plain::Records(bytes)])
            .collect();
        let sealed = seal(&plain);
        let mut codec = Codec::new();
        let mut open_all = |entry: &Entry| -> Result<Header, OpenError> {
            let reader = EntryReader::new(entry, place());
            for (number, bytes) in (1u32..).step_by(2).zip(&bodies) {
                assert_eq!(&reader.open_body(number, &[6; 16], None, &mut codec)?, bytes);
                assert_eq!(&reader.open_records(number + 1, &[13; 32], &mut codec)?, bytes);
            }
            reader.open_header(&[11; 32], &[], &mut codec)
        };
        prop_assert_eq!(open_all(&sealed.entry), Ok(header()));
        let mut bytes = sealed.bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // The seq is not read from the entry but given by the place: the chain checks that they agree.
        if let Ok(other) = Entry::decode(&bytes.into()) {
            prop_assert!(other.chain(&EPOCH, &place().h_prev) != sealed.h);
            prop_assert!(other.seq() != place().seq || open_all(&other).is_err());
        }
    }
}
