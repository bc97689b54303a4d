//! One host: the part that outlives its process, and the process itself, a node of madsim.

use super::dice::Dice;
use super::disk::{MemDisk, Platter};
use super::net::{Port, SimClock, SimNet};
use super::tape::Tape;
use cosmicsync_node::embed::{Parts, Seeds};
use cosmicsync_node::service::ServiceError;
use cosmicsync_node::tasks::{sleep, spawn_local};
use cosmicsync_node::{Node, Options};
use madsim::runtime::Handle;
use madsim::task::NodeId;
use std::cell::{Cell, RefCell};
use std::fmt::Arguments;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Port on which every host listens.
pub(crate) const PORT: u16 = 4000;
/// Interval at which callers look for a process that starts.
const LOOK: Duration = Duration::from_micros(200);

thread_local! {
    /// The hosts of this thread's run. A process of madsim starts from a future that may move between threads, so it
    /// can bring along no more than its host's number.
    static HOSTS: RefCell<Vec<Rc<Host>>> = const { RefCell::new(Vec::new()) };
}

/// Returns the virtual time, in microseconds; 0 outside of a run.
pub(crate) fn now_us() -> u64 {
    let time = madsim::time::TimeHandle::try_current();
    time.map_or(0, |time| u64::try_from(time.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Returns a host of this thread's run.
pub(crate) fn find(index: usize) -> Option<Rc<Host>> {
    HOSTS.with(|hosts| hosts.borrow().get(index).cloned())
}

/// Ends a run.
pub(crate) fn forget_all() {
    drop(HOSTS.with(RefCell::take));
}

/// A host. Described on the module's page.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) tape: Tape,
    pub(crate) dice: RefCell<Dice>,
    pub(crate) platter: Rc<RefCell<Platter>>,
    pub(crate) port: Port,
    /// The node of the present process.
    node: RefCell<Option<Rc<Node>>>,
    /// The present process.
    process: Cell<Option<NodeId>>,
    starts: Cell<u64>,
    /// Notified when a process ends by itself.
    pub(crate) changed: Notify,
    /// Results of the processes that ended by themselves.
    pub(crate) ends: RefCell<Vec<Result<(), ServiceError>>>,
}

impl Host {
    /// Makes a host of this thread's run, without a process.
    pub(crate) fn make(index: usize, tape: &Tape, dice: &Dice) -> Rc<Self> {
        let dice = dice.child(&format!("host {index}"));
        let host = Rc::new(Self {
            index,
            tape: tape.clone(),
            platter: Rc::new(RefCell::new(Platter::new(dice.child("platter")))),
            dice: RefCell::new(dice),
            port: Port::default(),
            node: RefCell::new(None),
            process: Cell::new(None),
            starts: Cell::new(0),
            changed: Notify::new(),
            ends: RefCell::default(),
        });
        HOSTS.with(|hosts| hosts.borrow_mut().push(Rc::clone(&host)));
        host
    }

    /// Returns the host's address.
    pub(crate) fn address(&self) -> String {
        format!("h{}:{PORT}", self.index)
    }

    /// Records an event.
    pub(crate) fn note(&self, what: Arguments<'_>) {
        self.tape.set_now(now_us());
        self.tape.note(self.index, what);
    }

    /// Returns the node of the present process; waits for one that starts.
    pub(crate) async fn node(&self) -> Rc<Node> {
        loop {
            if let Some(node) = self.node.borrow().clone() {
                return node;
            }
            sleep(LOOK).await;
        }
    }

    /// Starts a process.
    pub(crate) fn start(&self) {
        let index = self.index;
        let process = Handle::current().create_node().name(format!("h{index}")).build();
        drop(process.spawn(async move { drop(spawn_local(run(index))) }));
        self.process.set(Some(process.id()));
    }

    /// Ends the process abruptly, between two steps of its tasks.
    pub(crate) fn kill(&self) {
        self.note(format_args!("is killed"));
        self.platter.borrow_mut().begin_crash();
        *self.node.borrow_mut() = None;
        if let Some(process) = self.process.take() {
            Handle::current().kill(process);
        }
    }

    /// Reduces the store to its state after the kill. By now the tasks of the process are gone.
    pub(crate) fn bury(&self) {
        let kept = self.platter.borrow_mut().end_crash();
        self.note(format_args!("keeps {kept} commits under way"));
    }

    fn seeds(&self) -> Seeds {
        let start = self.starts.replace(self.starts.get() + 1);
        let mut dice = self.dice.borrow().child(&format!("start {start}"));
        Box::new(move || Ok(dice.seed()))
    }
}

/// Runs the process of a host, from its start to its end.
async fn run(index: usize) {
    let Some(host) = find(index) else { return };
    let options = Options { listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))), ..Options::default() };
    let disk =
        MemDisk { platter: Rc::clone(&host.platter), clock: SimClock, tape: host.tape.clone(), host: host.index };
    let parts = Parts { clock: SimClock, net: SimNet(Rc::clone(&host)), disk, seeds: host.seeds() };
    let (node, running) = Node::embed(parts, options);
    host.note(format_args!("starts"));
    *host.node.borrow_mut() = Some(Rc::new(node));
    let ended = running.await;
    host.note(format_args!("ends: {:?}", ended.as_ref().err().map(|error| error.code)));
    *host.node.borrow_mut() = None;
    host.ends.borrow_mut().push(ended);
    host.changed.notify_one();
}
