//! One host: the part that outlives its process, and the process itself.

use super::dice::Dice;
use super::disk::{MemDisk, Platter};
use super::net::{SimClock, SimNet};
use super::tape::Tape;
use cosmicsync_node::clock::Clock as _;
use cosmicsync_node::embed::{Parts, Seeds};
use cosmicsync_node::service::{Backend as _, Command, Reply, ServiceError, request};
use cosmicsync_node::{Node, Options};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_local};

/// Port on which every host listens.
pub(crate) const PORT: u16 = 4000;
/// Time in which answers may come after the node has ended, in microseconds.
const LAST_ANSWERS_US: u64 = 1_000_000;

/// Reading speed of a slow host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Number of bytes per read.
    pub(crate) bytes: usize,
    /// Time between two reads.
    pub(crate) every: Duration,
}

/// A job for a host.
#[derive(Debug)]
pub(crate) enum Job {
    /// Create a user.
    Found,
    /// Run a command through the service interface.
    Command(Command),
    /// Run a command and take all items before its reply.
    Follow(Command),
}

/// The result of a job.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The job was answered.
    Answered(Result<Box<Reply>, ServiceError>),
    /// The job was cancelled, or its host crashed.
    Lost,
}

/// A host. Described on the module's page.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) tape: Tape,
    pub(crate) dice: RefCell<Dice>,
    pub(crate) platter: Rc<RefCell<Platter>>,
    pub(crate) pace: Cell<Option<Pace>>,
    /// Time at which the next process begins to listen, in microseconds.
    pub(crate) opens_us: Cell<u64>,
    /// Addresses in the settings.
    pub(crate) peers: RefCell<Vec<String>>,
    pub(crate) links_max: usize,
    /// Number of processes so far.
    starts: Cell<u64>,
    jobs: RefCell<VecDeque<(u64, Job)>>,
    woken: Notify,
    running: RefCell<BTreeMap<u64, AbortHandle>>,
    fates: RefCell<BTreeMap<u64, Fate>>,
    /// Results of the processes that ended by themselves.
    pub(crate) ends: RefCell<Vec<Result<(), ServiceError>>>,
}

impl Host {
    pub(crate) fn new(index: usize, tape: &Tape, dice: &Dice, links_max: usize) -> Rc<Self> {
        let dice = dice.child(&format!("host {index}"));
        Rc::new(Self {
            index,
            name: format!("h{index}"),
            tape: tape.clone(),
            platter: Rc::new(RefCell::new(Platter::new(dice.child("platter")))),
            dice: RefCell::new(dice),
            pace: Cell::new(None),
            opens_us: Cell::new(0),
            peers: RefCell::default(),
            links_max,
            starts: Cell::new(0),
            jobs: RefCell::default(),
            woken: Notify::new(),
            running: RefCell::default(),
            fates: RefCell::default(),
            ends: RefCell::default(),
        })
    }

    /// Returns the host's address.
    pub(crate) fn address(&self) -> String {
        format!("{}:{PORT}", self.name)
    }

    /// Queues a job.
    pub(crate) fn ask(&self, id: u64, job: Job) {
        self.jobs.borrow_mut().push_back((id, job));
        self.woken.notify_one();
    }

    /// Drops the receiver of an answer.
    pub(crate) fn cancel(&self, id: u64) {
        if let Some(running) = self.running.borrow_mut().remove(&id) {
            running.abort();
            self.fates.borrow_mut().insert(id, Fate::Lost);
        }
    }

    /// Takes the result of a job; `None` while there is none.
    pub(crate) fn take_fate(&self, id: u64) -> Option<Fate> {
        self.fates.borrow_mut().remove(&id)
    }

    /// Returns the number of jobs without a result.
    pub(crate) fn unanswered(&self) -> usize {
        self.jobs.borrow().len() + self.running.borrow().len()
    }

    /// Handles the abrupt end of the process and its jobs.
    pub(crate) fn forget_jobs(&self) {
        let mut fates = self.fates.borrow_mut();
        for (id, _) in self.jobs.borrow_mut().drain(..) {
            fates.insert(id, Fate::Lost);
        }
        for id in core::mem::take(&mut *self.running.borrow_mut()).into_keys() {
            fates.insert(id, Fate::Lost);
        }
    }

    /// Returns the randomness of the next process.
    fn seeds(&self) -> Seeds {
        let start = self.starts.replace(self.starts.get() + 1);
        let mut dice = self.dice.borrow().child(&format!("start {start}"));
        Box::new(move || Ok(dice.seed()))
    }
}

/// Runs the process of a host, from its start to its end.
pub(crate) async fn process(host: Rc<Host>) -> turmoil::Result {
    let clock = SimClock::start(&host.tape);
    clock.sleep_until(host.opens_us.get()).await;
    let options = Options {
        listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))),
        peers: host.peers.borrow().clone(),
        links_max: host.links_max,
        ..Options::default()
    };
    let disk = MemDisk { platter: Rc::clone(&host.platter), clock, tape: host.tape.clone(), host: host.index };
    let parts = Parts { clock, net: SimNet(Rc::clone(&host)), disk, seeds: host.seeds() };
    let (node, running) = Node::embed(parts, options);
    host.tape.note(host.index, format_args!("starts"));
    let serving = spawn_local(serve(Rc::clone(&host), Rc::new(node)));
    let ended = running.await;
    host.tape.note(host.index, format_args!("ends: {:?}", ended.as_ref().err().map(|error| error.code)));
    let until_us = clock.now().mono_us + LAST_ANSWERS_US;
    while host.unanswered() > 0 && clock.now().mono_us < until_us {
        clock.sleep_until(clock.now().mono_us + 1_000).await;
    }
    serving.abort();
    host.ends.borrow_mut().push(ended);
    Ok(())
}

/// Carries out the host's jobs, each in a task of its own.
async fn serve(host: Rc<Host>, node: Rc<Node>) {
    loop {
        let Some((id, job)) = host.jobs.borrow_mut().pop_front() else {
            host.woken.notified().await;
            continue;
        };
        let (of, node) = (Rc::clone(&host), Rc::clone(&node));
        let task = spawn_local(async move {
            let answer = match job {
                Job::Found => node.found("somebody").await.map(|status| Reply::Status(Box::new(status))),
                Job::Command(command) => request(&*node, command).await,
                Job::Follow(command) => {
                    let (items, mut taken) = mpsc::channel(4);
                    spawn_local(async move { while taken.recv().await.is_some() {} });
                    node.call(command, items).await
                }
            };
            let code = answer.as_ref().err().map(|error| error.code);
            of.tape.note(of.index, format_args!("answers {id}: {code:?}"));
            of.tape.count(|counts| counts.answered += 1);
            of.running.borrow_mut().remove(&id);
            of.fates.borrow_mut().insert(id, Fate::Answered(answer.map(Box::new)));
        });
        host.running.borrow_mut().insert(id, task.abort_handle());
    }
}
