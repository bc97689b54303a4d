//! A caller can make any number of a space, partition, log, link or read: none of them makes the endpoint panic.

use bytes::Bytes;
use cosmicsync_protocol::crdt::{Meta, TextPaths, Value};
use cosmicsync_protocol::documents::{Bulk, BulkError, Edit, EditError, Erasable};
use cosmicsync_protocol::endpoint::{Event, LinkId, NewDoc, ReadResult};
use cosmicsync_protocol::ids::{CollectionId, DocId, DocRef, EntryRef, PartNo};
use cosmicsync_protocol::spaces::SpaceError;
use cosmicsync_protocol::storage::{StoreDone, StoreId};
use cosmicsync_protocol::sync::{Bodies, LogNo, SpaceNo};
use cosmicsync_protocol::testkit::peer::Peer;
use cosmicsync_protocol::wire::close::CloseCode;

/// The number after the last one of each kind, and the largest.
const NUMBERS: [u32; 2] = [10, u32::MAX];

fn doc(no: u32) -> DocRef {
    DocRef { partition: PartNo(no), doc: DocId([1; 16]) }
}

fn create() -> Edit {
    let value: Value = [("a", "b")].into_iter().collect();
    Edit::Create { collection: CollectionId::default(), meta: Meta::default(), value }
}

#[test]
fn an_unknown_space_is_an_error_or_none() {
    for no in NUMBERS {
        let mut peer = Peer::new(1);
        peer.found("home");
        let (now, space, core) = (peer.now, SpaceNo(no), &mut peer.endpoint);
        let unknown = SpaceError::UnknownSpace;
        assert_eq!(core.collection_id(space, "notes"), None);
        assert_eq!(core.doc_id_for_key(space, &CollectionId::default(), "key"), None);
        assert_eq!(core.partition(space, "main"), None);
        assert_eq!(core.create_partition(now, space, "more"), Err(unknown));
        assert_eq!(core.invite(now, space, vec!["host:1".into()], u64::MAX).map(|_| ()), Err(unknown));
        assert_eq!(core.set_bodies(now, space, Bodies::HeadOnly), Err(unknown));
        let before = peer.store.rows().clone();
        peer.settle();
        assert_eq!(*peer.store.rows(), before, "nothing was written");
    }
}

#[test]
fn an_unknown_partition_takes_no_write() {
    for no in NUMBERS {
        let mut peer = Peer::new(1);
        peer.found("home");
        let (now, part, doc) = (peer.now, PartNo(no), doc(no));
        let before = peer.store.rows().clone();
        let unknown = SpaceError::UnknownPartition;
        assert_eq!(peer.endpoint.space_of(part), None);
        assert_eq!(peer.endpoint.bulk_open(now, part), Err(unknown));
        let edit = |peer: &mut Peer, edit| peer.edit(doc, edit, &[]);
        assert_eq!(edit(&mut peer, create()), Err(EditError::Space(unknown)), "before it is open");
        peer.endpoint.open(now, doc);
        peer.settle();
        assert_eq!(peer.take_events().pop(), Some(Event::Opened { doc, exists: false, changed: false }));
        for refused in [create(), Edit::Apply(Vec::new()), Edit::SetDeleted(true)] {
            assert_eq!(edit(&mut peer, refused), Err(EditError::Space(unknown)));
        }
        peer.endpoint.publish_excluded(now, doc);
        peer.endpoint.hold(now, doc, Some([(LogNo(no), 7)].into()));
        peer.endpoint.hold(now, doc, None);
        peer.endpoint.flush(now);
        let made = peer.endpoint.make_values(part);
        peer.pass(60_000_000);
        assert!(peer.take_events().contains(&Event::Read { id: made, result: ReadResult::Made }));
        let core = &mut peer.endpoint;
        assert_eq!(
            (core.view(doc), core.deeds(doc).len(), core.excluded_entries(doc), core.missing(doc)),
            (None, 0, vec![], vec![])
        );
        assert!(core.is_open(doc) && core.is_current(doc) && !core.is_publishing(doc) && core.seen(doc).is_empty());
        assert!(core.replica(doc).is_some());
        core.close(now, doc);
        peer.settle();
        assert_eq!(*peer.store.rows(), before, "nothing was written");
    }
}

#[test]
fn unknown_logs_links_and_requests_are_ignored() {
    for no in NUMBERS {
        let mut peer = Peer::new(1);
        peer.found("home");
        peer.take_events();
        let (now, log, link) = (peer.now, LogNo(no), LinkId(no.into()));
        let core = &mut peer.endpoint;
        assert_eq!((core.log_id(log), core.is_own_log(log), core.link(link)), (None, false, None));
        let at = EntryRef { log, seq: u64::MAX };
        assert_eq!(core.entry_wall_ms(at, &Bytes::from_static(b"a row")), None);
        let (texts, docs) =
            (TextPaths::none(), [NewDoc { doc: DocId([2; 16]), meta: Meta::default(), value: Value::Null }]);
        let collection = CollectionId::default();
        let bulk =
            Bulk { collection, docs: &docs, texts: &texts, dictionary: b"", erasable: Erasable::Alone, unknown: None };
        assert_eq!(core.bulk_append(now, log, &bulk, Vec::new()), Err(BulkError::NotOpen));
        core.bulk_close(now, log);
        core.handle_bytes(now, link, b"bytes");
        core.handle_link_lost(now, link);
        core.close_link(now, link, CloseCode::Renew);
        core.handle_stored(now, StoreDone::Committed { id: StoreId(no.into()) });
        assert!(!core.poll_transmit(now, link, &mut Vec::new()));
        peer.settle();
        assert_eq!(peer.take_events(), []);
    }
}
