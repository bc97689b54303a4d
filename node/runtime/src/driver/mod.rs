//! The driver: one loop that owns the database and carries bytes, rows and commands to and from it.
//!
//! Its dependencies are traits: [`Clock`], [`Net`], [`Store`]. The driver holds no protocol rule, and decides only when
//! to dial, and when to stop reading or writing because the other side is slow (`spec/sync.md`, section 9).

mod carry;
mod conn;
mod peers;
mod start;
mod state;
mod store;
mod strangers;
mod traffic;
mod wait;
mod watch;

pub(crate) use self::peers::Phase;
pub use self::start::Seeds;
pub(crate) use self::start::system_seeds;
pub(crate) use self::state::{
    ACCOUNT_ROWS, AUDIT_ROWS, AnswerSender, Core, DialOrder, INVITE_AGAIN, NAME_ROW, Purpose, TOKEN_ROWS, Trouble,
    other_user, stopping,
};
pub use self::store::{Disk, Store};
pub(crate) use self::store::{LmdbDisk, Shared, open_error, store_error};
pub(crate) use self::wait::{Goal, bodies};
pub(crate) use self::watch::Watcher;

use crate::clock::Clock;
use crate::net::{Listener, Net};
use crate::service::{ErrorCode, ServiceError};
use crate::tasks::{JoinHandle, spawn_local};
use conn::{Conn, Input};
use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::endpoint::LinkId;
use cosmicsync_protocol::storage::{StoreDone, StoreError};
use cosmicsync_protocol::time::Deadline;
use cosmicsync_protocol::wire::close::CloseCode;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use strangers::Strangers;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::{Notify, oneshot};

/// A command, which runs on the core thread between two inputs.
pub(crate) type Call = Box<dyn FnOnce(&mut Core) + Send>;

/// The receiving end for commands.
pub(crate) struct Door {
    /// Commands, in order.
    pub(crate) calls: mpsc::Receiver<Call>,
    /// Numbers of requests whose callers are gone. There are at most as many as running requests, and none may be lost:
    /// a request without a caller would keep its place.
    pub(crate) cancelled: UnboundedReceiver<u64>,
}

/// Largest number of connections' inputs that wait for the core.
const INPUTS_QUEUED: usize = 32;
/// Largest number of inputs and commands per turn.
const TURN_MAX: usize = 32;
/// Largest number of strangers' inputs per turn, because a handshake is the most expensive request.
const STRANGERS_TURN_MAX: usize = 4;
/// Longest time for dialling, in microseconds.
const DIAL_US: u64 = 10_000_000;
/// Pause after a failed accept, in microseconds.
const ACCEPT_US: u64 = 100_000;
/// Longest time for links and the store to end, in microseconds.
const STOP_US: u64 = 10_000_000;
/// Shortest and longest pause before a full store is opened again, in microseconds.
const REOPEN_US: (u64, u64) = (250_000, 4_000_000);

/// The settings of a node.
pub(crate) struct Setup {
    /// Settings of the core.
    pub(crate) config: Config,
    /// The address to listen on; none for a node without links.
    pub(crate) listen: Option<SocketAddr>,
    /// Addresses to dial in addition to the stored ones.
    pub(crate) peers: Vec<String>,
    /// Largest number of open links to known devices.
    pub(crate) links_max: usize,
    /// Largest number of accepted connections that are not authenticated yet.
    pub(crate) strangers_max: usize,
    /// The source of randomness.
    pub(crate) seeds: Seeds,
}

/// Runs a node until it is told to stop, or fails. Sends to `ready` once it takes commands.
///
/// Needs a [`tokio::task::LocalSet`].
pub(crate) async fn run<C: Clock, N: Net, D: Disk>(
    clock: C,
    net: N,
    mut disk: D,
    setup: Setup,
    door: Door,
    ready: oneshot::Sender<Result<(), ServiceError>>,
) -> Result<(), ServiceError> {
    match Driver::open(clock, net, &mut disk, setup, door).await {
        Ok(mut driver) => {
            drop(ready.send(Ok(())));
            let ended = driver.run(&mut disk).await;
            drop(driver);
            disk.release();
            ended
        }
        Err(error) => {
            disk.release();
            drop(ready.send(Err(error)));
            Ok(())
        }
    }
}

struct Driver<C, N: Net, S> {
    clock: C,
    net: N,
    /// `None` while a full store waits to be opened again.
    store: Option<S>,
    completions: UnboundedReceiver<StoreDone>,
    core: Core,
    door: Door,
    inputs: mpsc::Receiver<Input<N::Stream>>,
    sender: mpsc::Sender<Input<N::Stream>>,
    /// Inputs of connections that are not authenticated yet; these wait for all others.
    stranger_inputs: mpsc::Receiver<Input<N::Stream>>,
    stranger_sender: mpsc::Sender<Input<N::Stream>>,
    conns: BTreeMap<LinkId, Conn>,
    dialling: usize,
    room: Rc<Notify>,
    acceptor: Option<JoinHandle<()>>,
    config: Config,
    seeds: Seeds,
    links_max: usize,
    reopen_us: u64,
}

/// Returns the error for an address that cannot be listened on.
pub(crate) fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> ServiceError {
    ServiceError::new(ErrorCode::Io, format!("cannot listen on {address}: {error}"))
        .next("cosmicsync up --listen ADDRESS:PORT")
}

impl<C: Clock, N: Net, S: Store> Driver<C, N, S> {
    async fn open<D: Disk<Store = S>>(
        clock: C,
        net: N,
        disk: &mut D,
        mut setup: Setup,
        door: Door,
    ) -> Result<Self, ServiceError> {
        let started = start::start(&clock, disk, &setup.config, &mut setup.seeds).await?;
        let start::Started { store, completions, mut core, addresses } = started;
        let (sender, inputs) = mpsc::channel(INPUTS_QUEUED);
        let (stranger_sender, stranger_inputs) = mpsc::channel(INPUTS_QUEUED);
        core.strangers = Strangers::new(setup.strangers_max);
        let mut acceptor = None;
        if let Some(address) = setup.listen {
            let failed = |error: std::io::Error| cannot_listen(address, &error);
            let listener = net.bind(address).await.map_err(failed)?;
            core.listen = Some(listener.local_addr().map_err(failed)?);
            acceptor = Some(spawn_local(accept(clock.clone(), listener, stranger_sender.clone())));
        } else {
            core.peers.pause();
        }
        core.configured.extend(setup.peers.iter().cloned());
        for address in addresses.into_iter().chain(setup.peers) {
            core.peers.add(address);
        }
        Ok(Self {
            clock,
            net,
            store: Some(store),
            completions,
            core,
            door,
            inputs,
            sender,
            stranger_inputs,
            stranger_sender,
            conns: BTreeMap::new(),
            dialling: 0,
            room: Rc::new(Notify::new()),
            acceptor,
            config: setup.config,
            seeds: setup.seeds,
            links_max: setup.links_max,
            reopen_us: REOPEN_US.0,
        })
    }

    async fn run<D: Disk<Store = S>>(&mut self, disk: &mut D) -> Result<(), ServiceError> {
        let mut stop_at_us = None;
        loop {
            let deadline = self.settle()?;
            if let Some(error) = self.core.failure.take() {
                self.recover(disk, error).await?;
                if self.core.stopping {
                    return Ok(());
                }
                continue;
            }
            if self.core.stopping {
                let until_us = *stop_at_us.get_or_insert(self.core.now.mono_us.saturating_add(STOP_US));
                let requests = self.core.db.endpoint().stats().store_requests;
                let idle = self.conns.is_empty() && (requests == 0 || planted!("stop.not-awaited"));
                if idle || self.core.now.mono_us >= until_us {
                    return Ok(());
                }
            }
            self.turn(deadline, stop_at_us).await?;
        }
    }

    /// Waits for the next event and takes all events up to now.
    async fn turn(&mut self, deadline: Option<Deadline>, stop_at_us: Option<u64>) -> Result<(), ServiceError> {
        let core = &self.core;
        let deadline = deadline.map(|deadline| deadline.at_us);
        let has_room = self.has_room();
        let dial_us = if has_room && !planted!("wake.dial-unheard") { core.peers.poll_timeout() } else { None };
        let wait_us = if planted!("wake.wait-unheard") { None } else { core.wait_timeout() };
        let wake_us = [deadline, dial_us, wait_us, stop_at_us].into_iter().flatten().min();
        let sleep = self.clock.sleep_until(wake_us.unwrap_or(u64::MAX / 4).min(u64::MAX / 4));
        let mut stored = None;
        let mut called = None;
        let mut cancelled = None;
        let mut input = None;
        let mut stranger = None;
        tokio::select! {
            biased;
            completion = self.completions.recv() => stored = Some(completion.ok_or_else(start::gone)?),
            () = self.room.notified() => {}
            Some(number) = self.door.cancelled.recv() => cancelled = Some(number),
            call = self.door.calls.recv() => match call {
                Some(call) => called = Some(call),
                None => self.core.stop(),
            },
            Some(next) = self.inputs.recv() => input = Some(next),
            Some(next) = self.stranger_inputs.recv() => stranger = Some(next),
            () = sleep, if wake_us.is_some() => {}
        }
        self.core.now = self.clock.now();
        // While the process slept, its memory may have been copied, so its randomness is renewed.
        self.core.db.stir(&start::seed(&mut self.seeds)?);
        while let Some(completion) = stored.take().or_else(|| self.completions.try_recv().ok()) {
            self.core.db.handle_stored(self.core.now, completion);
        }
        while let Some(number) = cancelled.take().or_else(|| self.door.cancelled.try_recv().ok()) {
            self.core.cancel(number);
        }
        for _ in 0..TURN_MAX {
            let Some(next) = input.take().or_else(|| self.inputs.try_recv().ok()) else { break };
            self.handle_input(next);
        }
        for _ in 0..STRANGERS_TURN_MAX {
            let Some(next) = stranger.take().or_else(|| self.stranger_inputs.try_recv().ok()) else { break };
            self.handle_input(next);
        }
        for _ in 0..TURN_MAX {
            let Some(call) = called.take().or_else(|| self.door.calls.try_recv().ok()) else { break };
            call(&mut self.core);
        }
        Ok(())
    }

    fn handle_input(&mut self, input: Input<N::Stream>) {
        match input {
            Input::Bytes(link, bytes, turn) => {
                self.core.handle_bytes(link, &bytes);
                if planted!("input.keeps-turn") && bytes.len() % 50 == 0 {
                    turn.forget();
                }
            }
            Input::Lost(link) => {
                if self.conns.remove(&link).is_some() {
                    self.core.handle_link_lost(link);
                }
            }
            Input::Accepted(stream, from) => {
                // A paused node closes new connections: it keeps its port, and peers see at once that it is away.
                if !self.core.peers.is_paused() {
                    self.accept(stream, from);
                }
            }
            Input::Dialled(order, made) => {
                if made.is_ok() || !planted!("dial.keeps-room") {
                    self.dialling -= 1;
                }
                let DialOrder { address, purpose } = order;
                let unwanted = match &purpose {
                    _ if self.core.peers.is_paused() => Some("links are paused"),
                    Purpose::Sync if !self.core.peers.knows(&address) && !planted!("dial.removed-kept") => {
                        Some("the address was removed")
                    }
                    Purpose::Sync | Purpose::Join(..) => None,
                };
                match made.and_then(|stream| unwanted.map_or(Ok(stream), |why| Err(std::io::Error::other(why)))) {
                    Ok(stream) => {
                        let link = self.core.handle_connected(address, Some(purpose));
                        self.connect(link, stream, true);
                    }
                    Err(error) => self.core.handle_dial_failed(&address, purpose, &error),
                }
            }
        }
    }

    /// Accepts a connection; if there are too many strangers, the oldest one is closed.
    fn accept(&mut self, stream: N::Stream, from: SocketAddr) {
        if let Some(other) = self.core.strangers.stranger_to_close(from.ip()) {
            self.core.handle_link_lost(other);
            self.conns.remove(&other);
        }
        let link = self.core.handle_connected(from.to_string(), None);
        self.core.strangers.insert(link, from.ip());
        self.connect(link, stream, false);
    }

    fn connect(&mut self, link: LinkId, stream: N::Stream, known: bool) {
        let inputs = conn::Inputs::new(self.sender.clone(), self.stranger_sender.clone(), known);
        self.conns.insert(link, Conn::start(stream, link, inputs, Rc::clone(&self.room)));
    }

    /// Returns whether another link to a known device is allowed.
    fn has_room(&self) -> bool {
        self.core.links.len() - self.core.strangers.len() + self.dialling < self.links_max
    }

    /// Gives authenticated strangers normal priority, or closes them if there are too many links.
    fn admit_strangers(&mut self) {
        for link in core::mem::take(&mut self.core.newly_authenticated) {
            if let Some(conn) = self.conns.get(&link) {
                conn.mark_authenticated();
            }
            if self.core.links.len() - self.core.strangers.len() + self.dialling > self.links_max {
                self.core.db.close_link(self.core.now, link, CloseCode::Overloaded);
            }
        }
    }

    /// Carries out the core's outputs until there are none. Returns the next deadline.
    fn settle(&mut self) -> Result<Option<Deadline>, ServiceError> {
        loop {
            let (mut any, deadline) = self.core.pump(self.store.as_ref(), &self.conns)?;
            self.core.answer_waits();
            self.admit_strangers();
            any |= self.close();
            self.dial();
            if !any {
                return Ok(deadline);
            }
        }
    }

    /// Ends the links that have nothing more to send. Returns whether there were any.
    fn close(&mut self) -> bool {
        let mut any = false;
        // A connection with room in its writer has no more bytes to come.
        for conn in self.conns.values_mut().filter(|conn| conn.closing && conn.has_room()) {
            conn.outgoing = None;
        }
        for link in core::mem::take(&mut self.core.closing) {
            any = true;
            match self.conns.get_mut(&link) {
                Some(conn) => conn.close(link, &self.clock, self.sender.clone()),
                None => self.core.handle_link_lost(link),
            }
        }
        let over: Vec<_> =
            self.conns.iter().filter(|(_, conn)| conn.outgoing.is_none()).map(|(link, _)| *link).collect();
        for link in over {
            any = true;
            self.core.handle_link_lost(link);
            if let Some(conn) = self.conns.remove(&link) {
                conn.finish(&self.clock);
            }
        }
        any
    }

    fn dial(&mut self) {
        while self.has_room() {
            let order = self.core.dials.pop_front().or_else(|| {
                let address = self.core.peers.poll_dial(self.core.now.mono_us)?;
                Some(DialOrder { address, purpose: Purpose::Sync })
            });
            let Some(order) = order else { return };
            self.dialling += 1;
            let (net, sender) = (self.net.clone(), self.sender.clone());
            let late = self.clock.sleep_until(self.core.now.mono_us.saturating_add(DIAL_US));
            spawn_local(async move {
                let made = tokio::select! {
                    biased;
                    made = net.dial(&order.address) => made,
                    () = late, if !planted!("dial.unbounded") => Err(std::io::ErrorKind::TimedOut.into()),
                };
                // The core may be gone, and the requester of the connection with it.
                drop(sender.send(Input::Dialled(order, made)).await);
            });
        }
    }

    /// Recovers from a failed commit, after which the memory is ahead of the store.
    ///
    /// A full store is opened again once there is room, which frees the space of the failed commit. Any other error
    /// ends the node, because only an operator can judge the disk. If the node is to stop, the store stays closed; the
    /// affected requests have failed already.
    async fn recover<D: Disk<Store = S>>(&mut self, disk: &mut D, error: StoreError) -> Result<(), ServiceError> {
        let said = store_error(&error);
        self.core.fail_all(&said);
        self.conns.clear();
        self.core.forget_links();
        if error != StoreError::Full {
            return Err(said);
        }
        self.store = None;
        disk.release();
        while !self.core.stopping {
            let until_us = self.core.now.mono_us.saturating_add(self.reopen_us);
            self.reopen_us = (self.reopen_us * 2).min(REOPEN_US.1);
            self.refuse_until(until_us).await;
            self.core.now = self.clock.now();
            if self.core.stopping || disk.is_full() {
                continue;
            }
            match start::start(&self.clock, disk, &self.config, &mut self.seeds).await {
                Ok(started) => {
                    self.store = Some(started.store);
                    self.completions = started.completions;
                    self.core.db = started.core.db;
                    self.core.outage = None;
                    return Ok(());
                }
                // The store is still full, or a backup still reads the old one.
                Err(error) if matches!(error.code, ErrorCode::StoreFull | ErrorCode::StoreLocked) => disk.release(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fails all commands until a time, while the store is closed.
    async fn refuse_until(&mut self, until_us: u64) {
        let sleep = self.clock.sleep_until(until_us);
        tokio::pin!(sleep);
        while !self.core.stopping {
            tokio::select! {
                biased;
                () = &mut sleep => return,
                call = self.door.calls.recv() => match call {
                    Some(call) => call(&mut self.core),
                    None => self.core.stop(),
                },
                // Connections made meanwhile are dropped.
                Some(_) = self.stranger_inputs.recv() => {}
                Some(input) = self.inputs.recv() => if let Input::Dialled(order, _) = input {
                    self.dialling -= 1;
                    let error = std::io::Error::other("the store is full");
                    self.core.handle_dial_failed(&order.address, order.purpose, &error);
                },
            }
        }
    }
}

impl<C, N: Net, S> Drop for Driver<C, N, S> {
    fn drop(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.abort();
        }
    }
}

async fn accept<C: Clock, L: Listener>(clock: C, mut listener: L, sender: mpsc::Sender<Input<L::Stream>>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if sender.send(Input::Accepted(stream, from)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // The process is probably out of file descriptors, which other connections must release first.
                tracing::warn!(%error, "cannot accept connections");
                clock.sleep_until(clock.now().mono_us.saturating_add(ACCEPT_US)).await;
            }
        }
    }
}
