//! A runtime of plain threads: blocking sockets, a store in a `BTreeMap`, no tokio.
//!
//! With an invite, it joins the space of a running node over TCP, waits for the document `notes/guests`, adds to
//! its text `body`, and leaves. Without one, it plays both sides over loopback: one thread founds and listens, the
//! other dials. Run with `cargo run -p cosmicsync-protocol --example foreign_runtime [INVITE]`.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a runtime has clocks, threads and sockets")]

mod memory_store;

use cosmicsync_protocol::crdt::{Change, Meta, TextPaths, Value};
use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::pump::{Io, pump};
use cosmicsync_protocol::storage::{StoreDone, StoreRequest};
use cosmicsync_protocol::{Endpoint, documents::Edit, ids::DocRef, sealed::Invite, time::Now};
use memory_store::{MemoryStore, Outcome, recover};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::spawn;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest time that this program waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Origin of the monotonic clock.
static STARTED: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

/// A fact that a thread reports.
enum Input {
    Accepted(TcpStream),
    Bytes(LinkId, Vec<u8>),
    /// The connection took the last buffer, so it has room for another.
    Written(LinkId),
    Lost(LinkId),
}

/// One connection: the way to the thread that writes, which ends when this is dropped.
struct Connection {
    buffers: SyncSender<Vec<u8>>,
    has_room: bool,
    closing: bool,
}

/// Outputs of the endpoint. Nothing here waits, and nothing calls the endpoint.
#[derive(Default)]
struct Outputs {
    store: MemoryStore,
    done: VecDeque<StoreDone>,
    events: Vec<Event>,
    connections: BTreeMap<LinkId, Connection>,
}

impl Io for Outputs {
    fn store(&mut self, request: StoreRequest) {
        self.done.push_back(self.store.carry_out(request));
    }

    fn has_room(&mut self, link: LinkId) -> bool {
        self.connections.get(&link).is_some_and(|connection| connection.has_room)
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&link) {
            // If the writing thread has ended, the reading one reports the end.
            connection.has_room = false;
            drop(connection.buffers.send(bytes));
        }
    }

    fn event(&mut self, event: Event) {
        if let Event::Close { link, .. } = event {
            self.connections.entry(link).and_modify(|connection| connection.closing = true);
        }
        self.events.push(event);
    }
}

struct Runtime {
    endpoint: Endpoint,
    outputs: Outputs,
    sender: SyncSender<Input>,
    inputs: Receiver<Input>,
}

impl Runtime {
    /// Starts with an empty store. A store that has rows is read back in the same way.
    fn start() -> Outcome<Self> {
        let mut outputs = Outputs::default();
        let endpoint = recover(&mut outputs.store, now(), random()?)?;
        // The limit makes readers wait for the endpoint: a peer that floods slows only itself down.
        let (sender, inputs) = sync_channel(16);
        Ok(Self { endpoint, outputs, sender, inputs })
    }

    /// The drive loop: runs until `is_done`, which may look at the endpoint and at the events of this round.
    fn run(&mut self, mut is_done: impl FnMut(&mut Self) -> bool) -> Outcome<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.outputs.events.clear();
            let deadline = loop {
                let deadline = pump(&mut self.endpoint, now(), &mut self.outputs);
                let Some(done) = self.outputs.done.pop_front() else { break deadline };
                self.endpoint.handle_stored(now(), done);
            };
            // A link that the endpoint ended closes once its last bytes are written.
            self.outputs.connections.retain(|_, connection| !(connection.closing && connection.has_room));
            if is_done(self) {
                return Ok(());
            }
            let due = deadline.map(|at| Duration::from_micros(at.at_us.saturating_sub(now().mono_us)));
            let input = self.inputs.recv_timeout(due.unwrap_or(PATIENCE).min(PATIENCE));
            // Before the input that woke it: a copy of this memory that wakes elsewhere draws other keys.
            self.endpoint.stir(&random()?);
            match input {
                Ok(Input::Accepted(stream)) => drop(self.connect(stream, None)?),
                Ok(Input::Bytes(link, bytes)) => self.endpoint.handle_bytes(now(), link, &bytes),
                Ok(Input::Written(link)) => {
                    self.outputs.connections.entry(link).and_modify(|connection| connection.has_room = true);
                }
                Ok(Input::Lost(link)) => {
                    self.outputs.connections.remove(&link);
                    self.endpoint.handle_link_lost(now(), link);
                }
                Err(_) => {} // The deadline has come: `pump` fires it.
            }
        }
        Err("nothing comes: is the other side there?".into())
    }

    /// Makes a link of a connection, with a thread that reads and one that writes.
    fn connect(&mut self, stream: TcpStream, dial: Option<Dial>) -> Outcome<LinkId> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = (stream.try_clone()?, stream);
        let link = self.endpoint.handle_link_up(now(), dial);
        let (buffers, queue) = sync_channel::<Vec<u8>>(1);
        self.outputs.connections.insert(link, Connection { buffers, has_room: true, closing: false });
        let (read, written) = (self.sender.clone(), self.sender.clone());
        spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer)
                && read.send(Input::Bytes(link, buffer[..count].to_vec())).is_ok()
            {}
            drop(read.send(Input::Lost(link)));
        });
        spawn(move || {
            while let Ok(bytes) = queue.recv()
                && writer.write_all(&bytes).is_ok()
                && written.send(Input::Written(link)).is_ok()
            {}
            // The peer reads to the end and closes its side. A program limits the time for that.
            drop(writer.shutdown(Shutdown::Write));
        });
        Ok(link)
    }

    /// Opens `notes/guests` of the space, once that space's main partition is known here.
    fn open(&mut self) -> Outcome<DocRef> {
        let place = |endpoint: &Endpoint| {
            let main = endpoint.partitions().find(|partition| partition.name == "main")?;
            let collection = endpoint.collection_id(main.space, "notes")?;
            Some(DocRef { partition: main.no, doc: endpoint.doc_id_for_key(main.space, &collection, "guests")? })
        };
        self.run(|runtime| place(&runtime.endpoint).is_some())?;
        let doc = place(&self.endpoint).ok_or("the space is gone")?;
        self.endpoint.open(now(), doc);
        self.run(|runtime| runtime.endpoint.is_open(doc)).map(|()| doc)
    }

    /// Edits the document, and waits until the edit is durable.
    fn edit(&mut self, doc: DocRef, edit: Edit) -> Outcome<()> {
        let commit = self.endpoint.edit(now(), &[(doc, edit)], &TextPaths::from_iter(["body"]), true)?;
        let is_it = |event: &Event| matches!(event, Event::Committed { commits } if commits.contains(&commit));
        self.run(|runtime| runtime.outputs.events.iter().any(is_it))
    }

    fn body(&mut self, doc: DocRef) -> Option<String> {
        self.endpoint.view(doc)?.value.entry("body").and_then(Value::as_text).map(str::to_owned)
    }

    /// Returns the text, and ends in good order: peers get the reason before their connections close.
    fn shut_down(mut self, doc: DocRef) -> Outcome<String> {
        let body = self.body(doc).unwrap_or_default();
        self.endpoint.shut_down(now());
        self.run(|runtime| runtime.outputs.connections.is_empty()).map(|()| body)
    }
}

/// Joins the space of an invite, adds to the document, and returns its text once the peer has it.
pub(crate) fn join(line: &str) -> Outcome<String> {
    let (invite, mut runtime) = (Invite::parse(line)?, Runtime::start()?);
    let address = invite.addresses()[0].clone();
    runtime.connect(TcpStream::connect(&address)?, Some(Dial::Join(Box::new(invite))))?;
    runtime.run(|runtime| runtime.outputs.connections.is_empty())?;
    // The link of a join ends with the answer: the data comes over another one.
    let link = runtime.connect(TcpStream::connect(&address)?, Some(Dial::Sync))?;
    let doc = runtime.open()?;
    runtime.run(|runtime| runtime.body(doc).is_some())?;
    let insert = Change::Splice { path: vec!["body".into()], at: 0, delete: 0, insert: "a thread, ".into() };
    runtime.edit(doc, Edit::Apply(vec![insert]))?;
    runtime.run(|runtime| runtime.endpoint.link(link).is_some_and(|link| link.is_settled()))?;
    runtime.shut_down(doc)
}

/// Founds a space, sends an invite, and returns the document's text once the guest has come and gone.
fn host(invites: &SyncSender<String>) -> Outcome<String> {
    let mut runtime = Runtime::start()?;
    let (listener, accepted) = (TcpListener::bind("127.0.0.1:0")?, runtime.sender.clone());
    let address = listener.local_addr()?.to_string();
    // The guest comes twice: to join, and to sync.
    spawn(move || listener.incoming().flatten().take(2).all(|stream| accepted.send(Input::Accepted(stream)).is_ok()));
    runtime.endpoint.create_user(now())?;
    let space = runtime.endpoint.create_space(now(), "home")?;
    let doc = runtime.open()?;
    let collection = runtime.endpoint.collection_id(space, "notes").ok_or("the space is gone")?;
    let meta = Meta { collection: Some("notes".into()), key: Some("guests".into()), ..Meta::default() };
    runtime.edit(doc, Edit::Create { collection, meta, value: Value::from_iter([("body", "a host")]) })?;
    invites
        .send(runtime.endpoint.invite(now(), space, vec![address], now().wall_ms + 60_000)?.to_line().to_string())?;
    runtime.run(|runtime| runtime.body(doc).is_some_and(|body| body.starts_with("a thread")))?;
    runtime.run(|runtime| runtime.outputs.connections.is_empty())?;
    runtime.shut_down(doc)
}

/// Returns a monotonic clock since the start, and the wall clock.
fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono_us: STARTED.elapsed().as_micros() as u64, wall_ms: wall.as_millis() as u64 }
}

/// Returns randomness of the operating system.
fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes).map(|()| bytes)
}

/// Plays both sides, and returns the text that each has at the end.
pub(crate) fn both_sides() -> Outcome<[String; 2]> {
    let (invites, lines) = sync_channel(1);
    let hosting = spawn(move || host(&invites));
    let there = join(&lines.recv()?)?;
    Ok([hosting.join().map_err(|_| "the host panicked")??, there])
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn main() -> Outcome<()> {
    let invite = std::env::args().nth(1);
    println!("{}", invite.map_or_else(|| both_sides().map(|both| both.join(" = ")), |invite| join(&invite))?);
    Ok(())
}
