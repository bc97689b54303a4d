//! The world of a run: its hosts, faults and oracles.
//!
//! All of this runs outside of the hosts, between two steps of the simulation. All waits are in virtual time.

use super::Outcome;
use super::dice::Dice;
use super::host::{Fate, Host, Job, process};
use super::shape::Shape;
use super::tape::Tape;
use cosmicsync_node::service::{Command, DocPut, DocRef, ErrorCode, Reply, Secret, ServiceError};
use serde_json::json;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The collection of all documents.
const COLLECTION: &str = "c";
/// Longest time for an ordinary command, in milliseconds.
pub(crate) const ANSWER_MS: u64 = 10_000;
/// Longest time for a join, in milliseconds: a dial, a handshake, and the wait for the space.
pub(crate) const JOIN_MS: u64 = 60_000;
/// Longest time for a node to stop, in milliseconds: the driver's limit, and the last bytes of links.
const STOP_MS: u64 = 14_000;
/// Time for which settled links are watched, in milliseconds.
const QUIET_MS: u64 = 10_000;
/// Time after which no address of a connected peer is dialled any more, in milliseconds: the longest back-off.
const QUIETED_MS: u64 = 30_000 + QUIET_MS;
/// Interval between comparisons of replicas, in milliseconds.
const LOOK_MS: u64 = 250;

/// A document, and its known state.
#[derive(Debug, Clone)]
struct Doc {
    key: String,
    number: u64,
    host: usize,
    is_acked: bool,
}

/// The world of a run. Described on the module's page.
pub(crate) struct World {
    sim: turmoil::Sim<'static>,
    pub(crate) hosts: Vec<Rc<Host>>,
    pub(crate) tape: Tape,
    pub(crate) dice: Dice,
    shape: Shape,
    docs: Vec<Doc>,
    /// Documents of the puts in progress.
    puts: BTreeMap<u64, usize>,
    jobs: u64,
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape, dice: Dice, tape: &Tape) -> Self {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(seed)
            .epoch(std::time::UNIX_EPOCH)
            .tick_duration(shape.tick)
            .simulation_duration(Duration::from_secs(100_000))
            .tcp_capacity(shape.segments)
            .min_message_latency(Duration::from_millis(shape.latency_ms.0))
            .max_message_latency(Duration::from_millis(shape.latency_ms.1));
        let mut sim = builder.build();
        let hosts: Vec<_> = (0..shape.hosts).map(|index| Host::new(index, tape, &dice, shape.links_max)).collect();
        for host in &hosts {
            let of = Rc::clone(host);
            sim.host(host.name.as_str(), move || process(Rc::clone(&of)));
        }
        Self { sim, hosts, tape: tape.clone(), dice, shape, docs: Vec::new(), puts: BTreeMap::new(), jobs: 0 }
    }

    // ---- Time

    /// Returns the virtual time, in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.tape.now_us() / 1_000
    }

    fn step(&mut self) -> Outcome {
        self.tape.set_now(u64::try_from(self.sim.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.sim.step().map_err(|error| format!("a host broke: {error}"))?;
        let acked = self
            .puts
            .iter()
            .filter_map(|(id, doc)| Some((*id, *doc, self.hosts[self.docs[*doc].host].take_fate(*id)?)));
        for (id, doc, fate) in acked.collect::<Vec<_>>() {
            self.puts.remove(&id);
            match fate {
                Fate::Answered(Ok(_)) => self.docs[doc].is_acked = true,
                Fate::Answered(Err(error)) if is_of_a_fault(error.code) => {}
                Fate::Answered(Err(error)) => return Err(format!("a put was refused: {error}")),
                Fate::Lost => {}
            }
        }
        Ok(())
    }

    /// Advances the time.
    pub(crate) fn run_ms(&mut self, ms: u64) -> Outcome {
        let until = self.now_ms() + ms;
        while self.now_ms() < until {
            self.step()?;
        }
        Ok(())
    }

    /// Advances the time until a condition holds.
    pub(crate) fn until(&mut self, what: &str, within_ms: u64, mut holds: impl FnMut(&Self) -> bool) -> Outcome {
        let late = self.now_ms() + within_ms;
        while !holds(self) {
            if self.now_ms() >= late {
                return Err(format!("not within {within_ms} ms: {what}"));
            }
            self.step()?;
        }
        Ok(())
    }

    // ---- Commands

    /// Submits a job to a host. [`Self::answer`] returns its result.
    pub(crate) fn ask(&mut self, host: usize, job: Job) -> u64 {
        self.jobs += 1;
        self.hosts[host].ask(self.jobs, job);
        self.jobs
    }

    /// Waits for an answer. A missing or second answer is a violation.
    pub(crate) fn answer(&mut self, host: usize, id: u64, within_ms: u64) -> Outcome<Result<Reply, ServiceError>> {
        let late = self.now_ms() + within_ms;
        loop {
            match self.hosts[host].take_fate(id) {
                Some(Fate::Answered(answer)) => return Ok(answer.map(|reply| *reply)),
                Some(Fate::Lost) => return Err(format!("h{host} lost command {id}, and nobody had cancelled it")),
                None if self.now_ms() >= late => {
                    return Err(format!("h{host} did not answer command {id} within {within_ms} ms"));
                }
                None => self.step()?,
            }
        }
    }

    /// Submits a command and waits for its answer.
    pub(crate) fn call(&mut self, host: usize, command: Command) -> Outcome<Result<Reply, ServiceError>> {
        let id = self.ask(host, Job::Command(command));
        self.answer(host, id, ANSWER_MS)
    }

    /// Runs a command that must succeed.
    pub(crate) fn done(&mut self, host: usize, command: Command) -> Outcome<Reply> {
        let what = format!("{command:?}");
        self.call(host, command)?
            .map_err(|error| format!("h{host} refused {}: {error}", what.chars().take(60).collect::<String>()))
    }

    /// Puts a new document, without waiting until it is durable.
    pub(crate) fn put(&mut self, host: usize, bytes: usize) {
        let number = self.docs.len() as u64;
        let (key, pad) = (format!("h{host}-{number}"), self.dice.text(bytes));
        self.docs.push(Doc { key: key.clone(), number, host, is_acked: false });
        let value = json!({ "n": number, "pad": pad });
        let put = DocPut { space: None, collection: COLLECTION.to_owned(), key: Some(key), value, text: Vec::new() };
        let id = self.ask(host, Job::Command(Command::DocPut(put)));
        self.puts.insert(id, self.docs.len() - 1);
    }

    /// Puts `count` documents at each of these hosts.
    pub(crate) fn put_each(&mut self, hosts: &[usize], count: usize, bytes: usize) {
        for _ in 0..count {
            hosts.iter().for_each(|host| self.put(*host, bytes));
        }
    }

    /// Waits until every put is answered.
    pub(crate) fn all_put(&mut self) -> Outcome {
        self.until("every put is answered", ANSWER_MS * 3, |world| world.puts.is_empty())
    }

    /// Returns the number of acknowledged puts.
    pub(crate) fn acked(&self) -> usize {
        self.docs.iter().filter(|doc| doc.is_acked).count()
    }

    // ---- Beginnings

    /// Creates the space at the first host and lets the others join it.
    pub(crate) fn found(&mut self) -> Outcome {
        self.found_alone()?;
        for host in 1..self.hosts.len() {
            self.join(host)?;
        }
        if self.shape.is_mesh {
            for host in 0..self.hosts.len() {
                self.meet_all(host)?;
            }
        }
        Ok(())
    }

    /// Creates the space at the first host, without other members.
    pub(crate) fn found_alone(&mut self) -> Outcome {
        let id = self.ask(0, Job::Found);
        self.answer(0, id, ANSWER_MS)?.map_err(|error| format!("no user: {error}"))?;
        self.done(0, Command::SpaceCreate { name: "home".to_owned() }).map(drop)
    }

    /// Makes a host begin to join by a new invite of the first one.
    pub(crate) fn begin_join(&mut self, host: usize) -> Outcome<u64> {
        let invite = Command::SpaceInvite { space: None, expires_ms: 600_000 };
        let Reply::Invite(invite) = self.done(0, invite)? else { return Err("no invite".to_owned()) };
        Ok(self.ask(host, Job::Command(Command::SpaceJoin { invite: Secret(invite.invite) })))
    }

    /// Makes a host join, which must succeed.
    pub(crate) fn join(&mut self, host: usize) -> Outcome {
        let join = self.begin_join(host)?;
        let joined = self.answer(host, join, JOIN_MS)?;
        joined.map(drop).map_err(|error| format!("h{host} cannot join: {error}"))
    }

    /// Adds the addresses of all other hosts to a host.
    fn meet_all(&mut self, host: usize) -> Outcome {
        let addresses: Vec<_> =
            self.hosts.iter().filter(|other| other.index != host).map(|other| other.address()).collect();
        for address in addresses {
            self.done(host, Command::PeerAdd { address })?;
        }
        Ok(())
    }

    // ---- Faults

    fn fault(&self, what: std::fmt::Arguments<'_>) {
        self.tape.note(0, format_args!("fault: {what}"));
        self.tape.count(|counts| counts.faults += 1);
    }

    /// Ends a host's process abruptly. Its store keeps the durable commits and a prefix of the rest.
    pub(crate) fn crash(&mut self, host: usize) {
        let of = Rc::clone(&self.hosts[host]);
        of.platter.borrow_mut().begin_crash();
        self.sim.crash(of.name.as_str());
        of.forget_jobs();
        let kept = of.platter.borrow_mut().end_crash();
        self.fault(format_args!("h{host} crashes, {kept} commits under way are kept"));
    }

    /// Starts a process at a host without one.
    pub(crate) fn start(&mut self, host: usize) {
        self.start_later(host, 0);
    }

    /// Starts a process at a host, whose port stays closed for `ms` milliseconds.
    pub(crate) fn start_later(&mut self, host: usize, ms: u64) {
        let of = Rc::clone(&self.hosts[host]);
        of.opens_us.set(self.tape.now_us() + ms * 1_000);
        self.sim.bounce(of.name.as_str());
    }

    /// Cuts all connections between two groups of hosts; data in transit is lost.
    pub(crate) fn cut(&mut self, these: &[usize], those: &[usize]) {
        self.fault(format_args!("cut {these:?} {those:?}"));
        self.pairs(these, those, |sim, one, other| sim.partition(one, other));
    }

    /// Cuts one direction between two hosts.
    pub(crate) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.fault(format_args!("cut {from} to {to}"));
        self.pairs(&[from], &[to], |sim, from, to| sim.partition_oneway(from, to));
    }

    /// Heals all cuts.
    pub(crate) fn heal(&mut self) {
        self.tape.note(0, format_args!("heals"));
        let all: Vec<_> = (0..self.hosts.len()).collect();
        self.pairs(&all, &all, |sim, one, other| sim.repair(one, other));
    }

    /// Delays everything between two hosts, without loss.
    pub(crate) fn hold(&mut self, one: usize, other: usize) {
        self.fault(format_args!("hold {one} {other}"));
        self.pairs(&[one], &[other], |sim, one, other| sim.hold(one, other));
    }

    /// Delivers everything delayed between two hosts.
    pub(crate) fn release(&mut self, one: usize, other: usize) {
        self.tape.note(0, format_args!("release {one} {other}"));
        self.pairs(&[one], &[other], |sim, one, other| sim.release(one, other));
    }

    /// Sets the latency of a segment between two hosts, in milliseconds.
    pub(crate) fn latency(&mut self, one: usize, other: usize, ms: u64) {
        self.fault(format_args!("latency {one} {other}: {ms} ms"));
        self.pairs(&[one], &[other], |sim, one, other| sim.set_link_latency(one, other, Duration::from_millis(ms)));
    }

    fn pairs(&mut self, these: &[usize], those: &[usize], each: impl Fn(&turmoil::Sim<'static>, &str, &str)) {
        for one in these {
            for other in those.iter().filter(|other| *other != one) {
                each(&self.sim, &self.hosts[*one].name, &self.hosts[*other].name);
            }
        }
    }

    // ---- What must hold

    /// Returns whether a host's process is running.
    pub(crate) fn is_running(&mut self, host: usize) -> bool {
        self.sim.is_host_running(self.hosts[host].name.as_str())
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) -> Outcome {
        self.tape.count(|counts| counts.checks += 1);
        if holds { Ok(()) } else { Err(what()) }
    }

    /// Checks a condition.
    pub(crate) fn must(&self, holds: bool, what: &str) -> Outcome {
        self.check(holds, || what.to_owned())
    }

    /// Checks that every acknowledged document of some hosts is at this host, unchanged.
    pub(crate) fn holds_acked(&mut self, at: usize, of: &[usize]) -> Outcome {
        let docs: Vec<_> = self.docs.iter().filter(|doc| doc.is_acked && of.contains(&doc.host)).cloned().collect();
        let mut asked = Vec::new();
        for doc in docs {
            let named = DocRef::Key { collection: COLLECTION.to_owned(), key: doc.key.clone() };
            asked.push((self.ask(at, Job::Command(Command::DocGet { space: None, doc: named })), doc));
        }
        for (id, doc) in asked {
            let number = match self.answer(at, id, ANSWER_MS)? {
                Ok(Reply::Document(found)) => found.value.and_then(|value| value["n"].as_u64()),
                Ok(other) => return Err(format!("no document but {other:?}")),
                Err(error) => {
                    return Err(format!("{} was acknowledged by h{}, and h{at} says: {error}", doc.key, doc.host));
                }
            };
            self.check(number == Some(doc.number), || format!("{} is another one at h{at}: {number:?}", doc.key))?;
        }
        Ok(())
    }

    /// Returns the digest and the number of documents of each host; `None` for a host without a digest.
    fn digests(&mut self) -> Outcome<Vec<Option<(u64, String)>>> {
        let asked: Vec<_> = (0..self.hosts.len())
            .map(|host| (host, self.ask(host, Job::Command(Command::Digest { space: None }))))
            .collect();
        let mut found = Vec::new();
        for (host, id) in asked {
            found.push(match self.answer(host, id, ANSWER_MS)? {
                Ok(Reply::Digest(digest)) => Some((digest.documents, digest.digest)),
                Ok(_) | Err(_) => None,
            });
        }
        Ok(found)
    }

    /// Checks that all replicas become equal within a time, and have all acknowledged documents.
    pub(crate) fn converge(&mut self, within_ms: u64) -> Outcome {
        self.all_put()?;
        let late = self.now_ms() + within_ms;
        loop {
            let found = self.digests()?;
            let count = found[0].as_ref().map_or(0, |(documents, _)| *documents);
            if found[0].is_some() && found.iter().all(|one| *one == found[0]) && count >= self.acked() as u64 {
                break;
            }
            if self.now_ms() >= late {
                let counts: Vec<_> = found.iter().map(|one| one.as_ref().map(|(documents, _)| *documents)).collect();
                let acked = self.acked();
                return Err(format!(
                    "replicas differ after {within_ms} ms: {counts:?} documents of {acked} acknowledged"
                ));
            }
            self.run_ms(LOOK_MS)?;
        }
        let all: Vec<_> = (0..self.hosts.len()).collect();
        for host in &all {
            self.holds_acked(*host, &all)?;
        }
        Ok(())
    }

    /// Checks that settled links stay: no host dials, and two hosts have at most one link.
    pub(crate) fn quiet(&mut self, within_ms: u64) -> Outcome {
        let joined = (1..self.hosts.len()).collect::<Vec<_>>();
        let is_mesh = self.shape.is_mesh;
        self.until("every host has its links", within_ms, |world| {
            joined.iter().all(|host| world.tape.streams(*host, Some(0)) == 1)
                && (!is_mesh || world.hosts.iter().all(|host| world.tape.streams(host.index, None) == joined.len()))
        })?;
        let waits: Vec<_> = (0..self.hosts.len())
            .map(|host| (host, self.ask(host, Job::Command(Command::WaitSync { space: None, timeout_ms: within_ms }))))
            .collect();
        for (host, id) in waits {
            let synced = self.answer(host, id, within_ms + 1_000)?;
            self.check(synced.is_ok(), || format!("h{host} does not know that all is synced: {synced:?}"))?;
        }
        // A node may have to dial an address to learn that its peer has a link already.
        self.until("nobody dials any more, though all links are there", within_ms.max(QUIETED_MS), |world| {
            let since_us = world.tape.now_us().saturating_sub(QUIET_MS * 1_000);
            world.hosts.iter().all(|host| world.tape.last_dialled_us(host.index) <= since_us)
        })?;
        for host in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                let streams = self.tape.streams(host, Some(other));
                self.check(streams <= 1, || format!("h{host} keeps {streams} links to h{other}"))?;
            }
        }
        Ok(())
    }

    /// Stops a host; it must answer, end in time, and leave no connection behind.
    pub(crate) fn stop(&mut self, host: usize) -> Outcome {
        let id = self.ask(host, Job::Command(Command::Shutdown {}));
        self.await_stop(host, id)
    }

    /// Waits for the end of a host that was told to stop.
    pub(crate) fn await_stop(&mut self, host: usize, id: u64) -> Outcome {
        let stopped = self.answer(host, id, STOP_MS)?;
        self.check(stopped.is_ok(), || format!("h{host} did not stop well: {stopped:?}"))?;
        let late = self.now_ms() + STOP_MS;
        while self.is_running(host) {
            self.check(self.now_ms() < late, || format!("h{host} has stopped and goes on"))?;
            self.step()?;
        }
        let (streams, unanswered) = (self.tape.streams(host, None), self.hosts[host].unanswered());
        self.check(streams == 0, || format!("h{host} has stopped and keeps {streams} connections"))?;
        self.check(unanswered == 0, || format!("h{host} has stopped and left {unanswered} commands without an answer"))
    }

    /// Ends a run: faults are healed, replicas become equal, links are quiet, hosts stop.
    pub(crate) fn end(&mut self, within_ms: u64) -> Outcome {
        self.converge(within_ms)?;
        self.quiet(within_ms)?;
        for host in 0..self.hosts.len() {
            self.stop(host)?;
        }
        let ends: Vec<_> = self.hosts.iter().flat_map(|host| host.ends.borrow().clone()).collect();
        let bad = ends.iter().find_map(|end| end.as_ref().err());
        self.check(bad.is_none(), || format!("a node ended by itself: {bad:?}"))
    }
}

/// Returns whether a command may fail in this way if its host stops or its store fails.
fn is_of_a_fault(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Unavailable | ErrorCode::StoreFull)
}
