//! The world of a run: its hosts, the commands given to them, and the demands of every workload.

use super::dice::Dice;
use super::host::{Host, now_us};
use super::tape::Tape;
use cosmicsync_node::Node;
use cosmicsync_node::service::{
    Backend as _, Command, DocPut, DocRef, ErrorCode, Reply, Secret, ServiceError, request,
};
use cosmicsync_node::tasks::{JoinHandle, sleep, spawn_local};
use serde_json::json;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A result, or the description of a violation.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The collection of all documents.
pub(crate) const COLLECTION: &str = "c";
/// Longest time for an answer, for a stop, and for replicas to become equal, in milliseconds.
const ANSWER_MS: u64 = 30_000;
const STOP_MS: u64 = 14_000;
const EQUAL_MS: u64 = 180_000;
/// Longest time for a stopped node's last bytes, in milliseconds; the driver allows them 3 seconds.
const LAST_WORDS_MS: u64 = 3_500;
/// Longest time for connections to end, once no host has an address, in milliseconds.
const PARTED_MS: u64 = 60_000;
/// Time after which the tasks of a process that was killed or has ended are gone.
const BURIAL: Duration = Duration::from_millis(1);

/// A document that somebody put, and its known state.
#[derive(Debug, Clone)]
struct Doc {
    key: String,
    number: u64,
    is_acked: bool,
}

/// The world of a run. Described on the module's page.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) hosts: Vec<Rc<Host>>,
    tape: Tape,
    dice: RefCell<Dice>,
    docs: Rc<RefCell<Vec<Doc>>>,
}

/// A command under way. Dropping it cancels nothing; [`Self::cancel`] does.
#[derive(Debug)]
pub(crate) struct Asked(JoinHandle<()>);

impl Asked {
    /// Drops the caller's end of the command.
    pub(crate) fn cancel(&self) {
        self.0.abort();
    }
}

impl World {
    /// Makes hosts and starts their processes.
    pub(crate) fn new(hosts: usize, dice: Dice, tape: &Tape) -> Self {
        let hosts: Vec<_> = (0..hosts).map(|index| Host::make(index, tape, &dice)).collect();
        hosts.iter().for_each(|host| host.start());
        Self { hosts, tape: tape.clone(), dice: RefCell::new(dice), docs: Rc::default() }
    }

    // ---- Time and randomness

    pub(crate) fn draw(&self, from: u64, to: u64) -> u64 {
        self.dice.borrow_mut().range(from, to)
    }

    pub(crate) fn host(&self) -> usize {
        self.dice.borrow_mut().index(self.hosts.len())
    }

    /// Sleeps for a random time of at most this many microseconds.
    pub(crate) async fn pause_us(&self, most_us: u64) {
        sleep(Duration::from_micros(self.draw(0, most_us))).await;
    }

    /// Waits for a future; a missing end is a violation.
    pub(crate) async fn within<T>(what: &str, ms: u64, future: impl Future<Output = T>) -> Outcome<T> {
        let late = sleep(Duration::from_millis(ms));
        tokio::select! {
            biased;
            value = future => Ok(value),
            () = late => Err(format!("not within {ms} ms: {what}")),
        }
    }

    // ---- Commands

    async fn ask(host: &Host, command: Command) -> Result<Reply, ServiceError> {
        let node = host.node().await;
        let answer = request(&*node, command).await;
        host.note(format_args!("answers: {:?}", answer.as_ref().err().map(|error| error.code)));
        host.tape.count(|counts| counts.answered += 1);
        answer
    }

    /// Runs a command, which must be answered.
    pub(crate) async fn call(&self, host: usize, command: Command) -> Outcome<Result<Reply, ServiceError>> {
        let what: String = format!("h{host} answers {command:?}").chars().take(80).collect();
        Self::within(&what, ANSWER_MS, Self::ask(&self.hosts[host], command)).await
    }

    /// Runs a command, which must succeed.
    pub(crate) async fn done(&self, host: usize, command: Command) -> Outcome<Reply> {
        let what: String = format!("{command:?}").chars().take(60).collect();
        self.call(host, command).await?.map_err(|error| format!("h{host} refused {what}: {error}"))
    }

    /// Begins a command whose result does not matter.
    pub(crate) fn begin(&self, host: usize, command: Command) -> Asked {
        let host = Rc::clone(&self.hosts[host]);
        Asked(spawn_local(async move { drop(Self::ask(&host, command).await) }))
    }

    /// Begins a command that streams items, and counts them.
    pub(crate) fn follow(&self, host: usize, command: Command) -> Asked {
        let host = Rc::clone(&self.hosts[host]);
        Asked(spawn_local(async move {
            let node: Rc<Node> = host.node().await;
            let (items, mut taken) = mpsc::channel(2);
            let reading = async {
                while taken.recv().await.is_some() {
                    host.note(format_args!("follows"));
                }
            };
            let (_, ()) = tokio::join!(node.call(command, items), reading);
        }))
    }

    /// Begins to put a new document, and records whether it was acknowledged.
    pub(crate) fn put(&self, host: usize) -> Asked {
        let at = self.docs.borrow().len();
        let number = at as u64;
        let key = format!("h{host}-{number}");
        self.docs.borrow_mut().push(Doc { key: key.clone(), number, is_acked: false });
        let bytes = usize::try_from(self.draw(0, 300)).unwrap_or(0);
        let value = json!({ "n": number, "pad": self.dice.borrow_mut().text(bytes) });
        let put = DocPut { space: None, collection: COLLECTION.to_owned(), key: Some(key), value, text: Vec::new() };
        let (host, docs) = (Rc::clone(&self.hosts[host]), Rc::clone(&self.docs));
        Asked(spawn_local(async move {
            if Self::ask(&host, Command::DocPut(put)).await.is_ok() {
                docs.borrow_mut()[at].is_acked = true;
            }
        }))
    }

    /// Waits until a command that was begun is answered.
    pub(crate) async fn answered(asked: Asked) -> Outcome {
        // A cancelled one has ended.
        Self::within("a command is answered", ANSWER_MS, asked.0).await.map(drop)
    }

    // ---- Beginnings, ends and faults

    /// Creates the space at the first host and lets the others join it. All dial all.
    pub(crate) async fn found(&self) -> Outcome {
        let node = self.hosts[0].node().await;
        let found = Self::within("a user is made", ANSWER_MS, node.found("somebody")).await?;
        found.map_err(|error| format!("no user: {error}"))?;
        self.done(0, Command::SpaceCreate { name: "home".to_owned() }).await?;
        for host in 1..self.hosts.len() {
            self.join(host).await?.map_err(|error| format!("h{host} cannot join: {error}"))?;
        }
        for host in 0..self.hosts.len() {
            self.meet(host).await?;
        }
        Ok(())
    }

    /// Returns the command by which a host joins the first one's space.
    pub(crate) async fn invited(&self) -> Outcome<Command> {
        let invite = Command::SpaceInvite { space: None, expires_ms: 600_000 };
        match self.done(0, invite).await? {
            Reply::Invite(invite) => Ok(Command::SpaceJoin { invite: Secret(invite.invite) }),
            other => Err(format!("no invite but {other:?}")),
        }
    }

    pub(crate) async fn join(&self, host: usize) -> Outcome<Result<Reply, ServiceError>> {
        let join = self.invited().await?;
        let asked = Self::ask(&self.hosts[host], join);
        Self::within("a join is answered", ANSWER_MS * 3, asked).await
    }

    /// Adds the addresses of all other hosts to a host.
    pub(crate) async fn meet(&self, host: usize) -> Outcome {
        for other in self.hosts.iter().filter(|other| other.index != host) {
            self.done(host, Command::PeerAdd { address: other.address() }).await?;
        }
        Ok(())
    }

    /// Removes all addresses of a host, also those that it has from invites.
    pub(crate) async fn part(&self, host: usize) -> Outcome {
        let peers = match self.done(host, Command::PeerList {}).await? {
            Reply::Peers(peers) => peers,
            other => return Err(format!("no list of peers but {other:?}")),
        };
        for address in peers.into_iter().filter(|peer| peer.dialled).map(|peer| peer.address) {
            self.done(host, Command::PeerRemove { address }).await?;
        }
        Ok(())
    }

    /// Waits until no host has a connection, after all have removed all addresses.
    pub(crate) async fn parted(&self) -> Outcome {
        let late_us = now_us() + PARTED_MS * 1_000;
        loop {
            let open: usize = self.hosts.iter().map(|host| self.tape.streams(host.index, None)).sum();
            if open == 0 {
                return Ok(());
            }
            self.must(now_us() < late_us, || format!("{open} connections are open, and no host has an address"))?;
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn fault(&self) {
        self.tape.count(|counts| counts.faults += 1);
    }

    /// Kills a host's process and starts another after a random time.
    pub(crate) async fn bounce(&self, host: usize, most_us: u64) {
        self.fault();
        self.hosts[host].kill();
        sleep(BURIAL).await;
        self.hosts[host].bury();
        self.pause_us(most_us).await;
        self.hosts[host].start();
    }

    /// Waits for the end of a process that was told to stop.
    pub(crate) async fn ended(&self, host: usize, ends: usize) -> Outcome {
        let host = &self.hosts[host];
        let over = async {
            while host.ends.borrow().len() <= ends {
                host.changed.notified().await;
            }
        };
        Self::within("a node that was told to stop ends", STOP_MS, over).await?;
        let last = host.ends.borrow().last().cloned();
        self.must(matches!(last, Some(Ok(()))), || format!("h{} did not end well: {last:?}", host.index))
    }

    /// Stops a host; it must answer and end in time.
    pub(crate) async fn stop(&self, host: usize) -> Outcome {
        let ends = self.hosts[host].ends.borrow().len();
        let stopped = self.call(host, Command::Shutdown {}).await?;
        self.must(stopped.is_ok(), || format!("h{host} did not stop well: {stopped:?}"))?;
        self.ended(host, ends).await?;
        // The last bytes of a connection may still be under way, for a limited time.
        let closed = async {
            while self.tape.streams(host, None) > 0 {
                sleep(BURIAL).await;
            }
        };
        Self::within(&format!("h{host} has stopped and closes its connections"), LAST_WORDS_MS, closed).await
    }

    // ---- What must hold

    pub(crate) fn must(&self, holds: bool, what: impl FnOnce() -> String) -> Outcome {
        self.tape.count(|counts| counts.checks += 1);
        if holds { Ok(()) } else { Err(what()) }
    }

    /// Checks that every acknowledged document is at this host, unchanged.
    pub(crate) async fn holds_acked(&self, host: usize) -> Outcome {
        let docs: Vec<Doc> = self.docs.borrow().iter().filter(|doc| doc.is_acked).cloned().collect();
        for doc in docs {
            let named = DocRef::Key { collection: COLLECTION.to_owned(), key: doc.key.clone() };
            let found = match self.call(host, Command::DocGet { space: None, doc: named }).await? {
                Ok(Reply::Document(found)) => found.value.and_then(|value| value["n"].as_u64()),
                other => return Err(format!("{} was acknowledged, and h{host} answers {other:?}", doc.key)),
            };
            self.must(found == Some(doc.number), || format!("{} is another one at h{host}: {found:?}", doc.key))?;
        }
        Ok(())
    }

    /// Waits until all replicas are equal.
    pub(crate) async fn equal(&self) -> Outcome {
        let late_us = now_us() + EQUAL_MS * 1_000;
        loop {
            let mut digests = Vec::new();
            for host in 0..self.hosts.len() {
                digests.push(match self.call(host, Command::Digest { space: None }).await? {
                    Ok(Reply::Digest(digest)) => Some((digest.documents, digest.digest)),
                    Ok(_) | Err(_) => None,
                });
            }
            if digests[0].is_some() && digests.iter().all(|digest| *digest == digests[0]) {
                return Ok(());
            }
            self.must(now_us() < late_us, || format!("the replicas differ after {EQUAL_MS} ms: {digests:?}"))?;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends a run: all hosts run, become equal, hold everything acknowledged, have one link to each other, and stop.
    pub(crate) async fn end(&self) -> Outcome {
        self.equal().await?;
        for host in 0..self.hosts.len() {
            self.holds_acked(host).await?;
        }
        for host in 0..self.hosts.len() {
            let wait = Command::WaitSync { space: None, timeout_ms: ANSWER_MS - 1_000 };
            let synced = self.call(host, wait).await?;
            let alone = self.hosts.len() == 1 && matches!(&synced, Err(error) if error.code == ErrorCode::TimedOut);
            self.must(synced.is_ok() || alone, || format!("h{host} does not know that all is synced: {synced:?}"))?;
        }
        for host in 0..self.hosts.len() {
            self.stop(host).await?;
        }
        Ok(())
    }
}
