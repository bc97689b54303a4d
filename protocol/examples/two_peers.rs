//! Two peers in memory: one user, an invite, and a document that both edit apart and then merge.
//! Run with `cargo run -p cosmicsync-protocol --example two_peers`.

pub(crate) mod memory_store;

use cosmicsync_protocol::crdt::{Change, Meta, TextPaths, Value};
use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::pump::{Io, pump};
use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use cosmicsync_protocol::{Endpoint, documents::Edit, ids::DocRef, sealed::Invite, time::Now};
use memory_store::{MemoryStore, Outcome, recover};

/// The time, which stands still here. A program reads its clocks before each input.
const NOW: Now = Now { mono_us: 1, wall_ms: 1_800_000_000_000 };

/// Outputs of one endpoint: its store, completions for it, and bytes for the other peer.
#[derive(Default)]
struct Outputs {
    store: MemoryStore,
    done: Vec<StoreDone>,
    sent: Vec<u8>,
}

impl Io for Outputs {
    fn store(&mut self, request: StoreRequest) {
        self.done.push(self.store.carry_out(request));
    }

    fn has_room(&mut self, _: LinkId) -> bool {
        true
    }

    fn send(&mut self, _: LinkId, bytes: Vec<u8>) {
        self.sent.extend(bytes);
    }

    fn event(&mut self, _: Event) {} // This program needs none: it runs until nothing moves.
}

type Peer = (Endpoint, Outputs);

/// Starts a peer with an empty store. A program draws the seed from the operating system.
fn start(seed: [u8; 32]) -> Outcome<Peer> {
    let mut outputs = Outputs::default();
    let endpoint = recover(&mut outputs.store, NOW, seed)?;
    Ok((endpoint, outputs))
}

/// Connects the second peer to the first, and runs both.
fn connect(peers: &mut [Peer; 2], dial: Dial) -> [LinkId; 2] {
    let links = [peers[0].0.handle_link_up(NOW, None), peers[1].0.handle_link_up(NOW, Some(dial))];
    run(peers, links);
    links
}

/// Carries completions, and bytes between the ends of the connection, until nothing moves.
fn run(peers: &mut [Peer; 2], links: [LinkId; 2]) {
    let mut moved = true;
    while std::mem::take(&mut moved) {
        for at in [0, 1] {
            let (endpoint, outputs) = &mut peers[at];
            pump(endpoint, NOW, outputs);
            for done in outputs.done.drain(..) {
                endpoint.handle_stored(NOW, done);
                moved = true;
            }
            let bytes = std::mem::take(&mut outputs.sent);
            moved |= !bytes.is_empty();
            peers[1 - at].0.handle_bytes(NOW, links[1 - at], &bytes);
        }
    }
}

/// Returns the document that both peers have at the end.
pub(crate) fn merge() -> Outcome<Value> {
    let mut peers = [start([1; 32])?, start([2; 32])?];
    let founder = &mut peers[0].0;
    founder.create_user(NOW)?;
    let space = founder.create_space(NOW, "home")?;
    let invite = founder.invite(NOW, space, vec!["host:7071".into()], NOW.wall_ms + 60_000)?.to_line();
    let collection = founder.collection_id(space, "lists").ok_or("no space")?;
    let doc = founder.doc_id_for_key(space, &collection, "shopping").ok_or("no space")?;
    let links = connect(&mut peers, Dial::Join(Box::new(Invite::parse(&invite)?)));
    peers.iter_mut().zip(links).for_each(|((endpoint, _), link)| endpoint.handle_link_lost(NOW, link));
    let links = connect(&mut peers, Dial::Sync);
    // Numbers of spaces and partitions are local to an endpoint; ids are the same everywhere.
    let partition = |at: usize| peers[at].0.partitions().find(|partition| partition.name == "main");
    let docs = [partition(0), partition(1)].map(|found| DocRef { partition: found.expect("both have it").no, doc });
    peers.iter_mut().zip(docs).for_each(|((endpoint, _), doc)| endpoint.open(NOW, doc));
    run(&mut peers, links);
    let meta = Meta { collection: Some("lists".into()), key: Some("shopping".into()), ..Meta::default() };
    let create = Edit::Create { collection, meta, value: Value::from_iter([("body", "milk")]) };
    let texts = TextPaths::from_iter(["body"]);
    peers[0].0.edit(NOW, &[(docs[0], create)], &texts, true)?;
    run(&mut peers, links);
    // Neither peer knows of the other's insertion when it makes its own.
    for (peer, at, text) in [(0, 4, ", bread"), (1, 0, "eggs, ")] {
        let insert = Change::Splice { path: vec!["body".into()], at, delete: 0, insert: text.into() };
        peers[peer].0.edit(NOW, &[(docs[peer], Edit::Apply(vec![insert]))], &texts, true)?;
    }
    run(&mut peers, links);
    let [value, other] = [0, 1].map(|at| peers[at].0.view(docs[at]).expect("it is open").value);
    assert_eq!((value.entry("body").and_then(Value::as_text), &value), (Some("eggs, milk, bread"), &other));
    Ok(value)
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn main() -> Outcome<()> {
    println!("both peers have {:?}", merge()?);
    Ok(())
}
