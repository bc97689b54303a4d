//! The core thread's state beside the database: waiting requests, the address book, links.
//!
//! The state does no I/O: the driver's loop feeds and drains it. Commands run here as closures, between two inputs.

use super::peers::{Ending, Peers, Phase};
use super::store::store_error;
use super::strangers::Strangers;
use super::traffic::Links;
use super::wait::Wait;
use super::watch::Watcher;
use crate::node::accounts::Accounts;
use crate::node::audit::AuditLog;
use crate::node::tokens::Tokens;
use crate::service::{ErrorCode, ServiceError};
use bytes::Bytes;
use cosmicsync_data::database::Database;
use cosmicsync_data::database::request::{Answer, Request, RequestError, Ticket};
use cosmicsync_data::rules::Actor;
use cosmicsync_protocol::endpoint::{CloseReason, CommitId, Dial, Event, LinkId, Process};
use cosmicsync_protocol::ids::{DeviceId, LogId};
use cosmicsync_protocol::sealed::Invite;
use cosmicsync_protocol::storage::{Op, StoreError, Table};
use cosmicsync_protocol::time::Now;
use cosmicsync_protocol::wire::close::CloseCode;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Sender of the answer to a request.
pub(crate) type AnswerSender = oneshot::Sender<Result<Answer, ServiceError>>;
/// Sender of the confirmation that a write is durable.
pub(crate) type DoneSender = oneshot::Sender<Result<(), ServiceError>>;

/// Prefix of the keys of address rows in [`Table::App`].
pub(crate) const PEER_ROWS: &[u8] = b"peer/";
/// Prefix of the keys of token rows; a hash follows.
pub(crate) const TOKEN_ROWS: &[u8] = b"token/";
/// Prefix of the keys of account rows; a name follows.
pub(crate) const ACCOUNT_ROWS: &[u8] = b"account/";
/// Prefix of the keys of audit log rows; a number follows.
pub(crate) const AUDIT_ROWS: &[u8] = b"audit/";
/// Key of the row with the device's name.
pub(crate) const NAME_ROW: &[u8] = b"node/name";

/// The purpose of a connection to be made.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// To sync with an address of the address book.
    Sync,
    /// To join a space by an invite.
    Join(Box<Invite>, DoneSender),
}

/// A connection to be made by the driver.
#[derive(Debug)]
pub(crate) struct DialOrder {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// The purpose of the connection.
    pub(crate) purpose: Purpose,
}

/// A problem for `doctor` to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// A log of this store was retired.
    Retired(LogId),
    /// A log has two histories.
    Forked(LogId),
    /// Repair did not make a space equal.
    Mismatch(u32),
    /// A device runs twice.
    Twice(DeviceId),
}

/// State of the core thread. Described on the module's page.
#[derive(Debug)]
pub(crate) struct Core {
    /// The database.
    pub(crate) db: Database,
    /// Time of the present turn.
    pub(crate) now: Now,
    /// The address book.
    pub(crate) peers: Peers,
    /// Addresses from the settings, which are not stored.
    pub(crate) configured: BTreeSet<String>,
    /// The links.
    pub(crate) links: Links,
    /// The address that the node listens on.
    pub(crate) listen: Option<SocketAddr>,
    /// The device's name.
    pub(crate) name: String,
    /// Tokens of the HTTP API.
    pub(crate) tokens: Tokens,
    /// The accounts.
    pub(crate) accounts: Accounts,
    /// The audit log.
    pub(crate) audit: AuditLog,
    /// Requests that wait for replicas to agree.
    pub(crate) waits: Vec<Wait>,
    /// Watchers of documents.
    pub(crate) watchers: Vec<Watcher>,
    /// Problems for `doctor` to report.
    pub(crate) troubles: BTreeSet<Trouble>,
    /// Number of changes of documents so far.
    pub(crate) changes: u64,
    /// The error of all reads and writes while the store is closed.
    pub(crate) outage: Option<ServiceError>,
    /// Connections to be made.
    pub(crate) dials: VecDeque<DialOrder>,
    /// Accepted connections that are not authenticated yet.
    pub(crate) strangers: Strangers,
    /// Links of strangers that have just been authenticated.
    pub(crate) newly_authenticated: Vec<LinkId>,
    /// Links to be closed once all their bytes are sent.
    pub(crate) closing: Vec<LinkId>,
    /// The store's error, until the store is opened again.
    pub(crate) failure: Option<StoreError>,
    /// True if the node is to stop.
    pub(crate) stopping: bool,
    tickets: BTreeMap<u64, Ticket>,
    answers: BTreeMap<Ticket, (u64, AnswerSender)>,
    commits: BTreeMap<CommitId, DoneSender>,
    joins: BTreeMap<LinkId, DoneSender>,
}

impl Core {
    /// Returns the state around a recovered database.
    pub(crate) fn new(db: Database, now: Now, peers: Peers) -> Self {
        Self {
            db,
            now,
            peers,
            configured: BTreeSet::new(),
            links: Links::default(),
            listen: None,
            name: String::new(),
            tokens: Tokens::new(),
            accounts: Accounts::default(),
            audit: AuditLog::default(),
            waits: Vec::new(),
            watchers: Vec::new(),
            troubles: BTreeSet::new(),
            changes: 0,
            outage: None,
            dials: VecDeque::new(),
            strangers: Strangers::new(usize::MAX),
            newly_authenticated: Vec::new(),
            closing: Vec::new(),
            failure: None,
            stopping: false,
            tickets: BTreeMap::new(),
            answers: BTreeMap::new(),
            commits: BTreeMap::new(),
            joins: BTreeMap::new(),
        }
    }

    /// Fails while the store is closed.
    pub(crate) fn available(&self) -> Result<(), ServiceError> {
        if self.stopping {
            return Err(stopping());
        }
        self.outage.clone().map_or(Ok(()), Err)
    }

    /// Submits a request to the database. `number` is the caller's, for [`Self::cancel`], which may come first.
    pub(crate) fn request(&mut self, number: u64, actor: Option<Arc<Actor>>, request: Request, reply: AnswerSender) {
        if reply.is_closed() {
            return;
        }
        if let Err(error) = self.available() {
            drop(reply.send(Err(error)));
            return;
        }
        let ticket = self.db.request_as(self.now, actor, request);
        self.tickets.insert(number, ticket);
        self.answers.insert(ticket, (number, reply));
    }

    /// Cancels a request whose caller is gone.
    pub(crate) fn cancel(&mut self, number: u64) {
        if let Some(ticket) = self.tickets.remove(&number) {
            self.answers.remove(&ticket);
            self.db.cancel(ticket);
        }
    }

    /// Writes the node's own rows; replies once these and all earlier writes are durable.
    pub(crate) fn write(&mut self, ops: Vec<Op>, reply: DoneSender) {
        let commit = self.barrier(ops);
        self.commits.insert(commit, reply);
    }

    /// Commits the gathered edits and these rows.
    pub(crate) fn barrier(&mut self, ops: Vec<Op>) -> CommitId {
        self.db.write_rows(self.now, ops)
    }

    /// Adds an address to the book and to the store.
    pub(crate) fn add_peer(&mut self, address: &str, reply: DoneSender) {
        self.peers.add(address.to_owned());
        let (table, key) = (Table::App, peer_key(address));
        self.write(vec![Op::Put { table, key, value: Bytes::new() }], reply);
    }

    /// Removes an address from the book and the store, and closes its link. Returns false if it is unknown.
    pub(crate) fn remove_peer(&mut self, address: &str, reply: DoneSender) -> bool {
        let Some(known) = self.peers.remove(address) else { return false };
        if let Phase::Linked(link) = known.phase {
            self.db.close_link(self.now, link, CloseCode::Done);
        }
        self.write(vec![Op::Delete { table: Table::App, key: peer_key(address) }], reply);
        true
    }

    /// Closes all links; none is dialled or accepted until [`Peers::resume`].
    pub(crate) fn pause(&mut self) {
        self.peers.pause();
        for link in self.db.endpoint().links() {
            self.db.close_link(self.now, link, CloseCode::Done);
        }
    }

    /// Begins to stop: edits become durable, and links are closed.
    pub(crate) fn stop(&mut self) {
        if !core::mem::replace(&mut self.stopping, true) {
            self.peers.pause();
            self.waits.clear();
            self.watchers.clear();
            self.db.shut_down(self.now);
        }
    }

    /// Registers a connection that was made.
    pub(crate) fn handle_connected(&mut self, address: String, purpose: Option<Purpose>) -> LinkId {
        let dialled = purpose.is_some();
        let (dial, join) = match purpose {
            None => (None, None),
            Some(Purpose::Sync) => (Some(Dial::Sync), None),
            Some(Purpose::Join(invite, reply)) => (Some(Dial::Join(invite)), Some(reply)),
        };
        let syncs = dialled && join.is_none();
        let link = self.db.handle_link_up(self.now, dial);
        if syncs {
            self.peers.handle_dialled(&address, link);
        }
        self.joins.extend(join.map(|reply| (link, reply)));
        self.links.insert(link, address, dialled);
        link
    }

    /// Handles a connection that could not be made.
    pub(crate) fn handle_dial_failed(&mut self, address: &str, purpose: Purpose, error: &std::io::Error) {
        tracing::debug!(address, %error, "cannot dial");
        match purpose {
            Purpose::Sync => self.peers.handle_dial_failed(self.now.mono_us, address, error.to_string()),
            Purpose::Join(_, reply) => {
                let message = format!("the inviter does not answer at {address}: {error}");
                drop(reply.send(Err(ServiceError::new(ErrorCode::PeerUnreachable, message))));
            }
        }
    }

    /// Takes bytes of a link.
    pub(crate) fn handle_bytes(&mut self, link: LinkId, bytes: &[u8]) {
        self.links.handle_received(self.now, link);
        self.db.handle_bytes(self.now, link, bytes);
    }

    /// Handles the end of a link's connection.
    pub(crate) fn handle_link_lost(&mut self, link: LinkId) {
        self.strangers.remove(link);
        self.links.remove(link, self.db.endpoint().link(link).as_ref());
        self.db.handle_link_lost(self.now, link);
    }

    /// Drops all connections; the database is discarded as well.
    pub(crate) fn forget_links(&mut self) {
        for link in self.links.ids() {
            self.peers.handle_closed(
                self.now.mono_us,
                link,
                Ending::Later,
                Some("this node's store failed".to_owned()),
            );
            self.handle_link_lost(link);
        }
        self.closing.clear();
    }

    /// Delivers the database's outputs: these events, its answers and changes. Returns whether there were any.
    pub(crate) fn deliver(&mut self, events: Vec<Event>) -> bool {
        let mut any = !events.is_empty();
        // Failures are recorded first, so that the affected requests report the cause.
        for event in &events {
            if let Event::StoreFailed { error } = event {
                self.outage.get_or_insert_with(|| store_error(error));
            }
        }
        for event in events {
            self.handle_event(event);
        }
        while let Some((ticket, answer)) = self.db.poll_answer() {
            any = true;
            if let Some((number, reply)) = self.answers.remove(&ticket) {
                self.tickets.remove(&number);
                let result = match (&self.outage, answer) {
                    (Some(error), Answer::Failed(RequestError::Lost | RequestError::Store(_))) => Err(error.clone()),
                    (_, answer) => Ok(answer),
                };
                drop(reply.send(result));
            }
        }
        while let Some(changed) = self.db.poll_changed() {
            any = true;
            self.changes += 1;
            self.watchers.retain(|watcher| watcher.handle_changed(&changed));
        }
        any
    }

    /// Fails all requests that wait for the store, and leaves the state ready for a recovered database.
    pub(crate) fn fail_all(&mut self, error: &ServiceError) {
        self.tickets.clear();
        for (_, reply) in core::mem::take(&mut self.answers).into_values() {
            drop(reply.send(Err(error.clone())));
        }
        for reply in core::mem::take(&mut self.commits).into_values() {
            drop(reply.send(Err(error.clone())));
        }
        for reply in core::mem::take(&mut self.joins).into_values() {
            drop(reply.send(Err(error.clone())));
        }
        for wait in core::mem::take(&mut self.waits) {
            wait.answer(Err(error.clone()));
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Committed { commits } => {
                for commit in commits {
                    self.waits.iter_mut().for_each(|wait| wait.handle_committed(commit));
                    if let Some(reply) = self.commits.remove(&commit) {
                        drop(reply.send(Ok(())));
                    }
                }
            }
            Event::EditsFailed { commits } => {
                let lost = || ServiceError::new(ErrorCode::Unavailable, "the write was lost before it was durable");
                let error = self.outage.clone().unwrap_or_else(lost);
                for commit in commits {
                    if let Some(reply) = self.commits.remove(&commit) {
                        drop(reply.send(Err(error.clone())));
                    }
                }
            }
            Event::PeerUp { link, peer } => self.handle_up(link, peer),
            Event::Twice { device } => {
                if self.troubles.insert(Trouble::Twice(device)) {
                    tracing::warn!(%device, "a device runs twice: run doctor");
                }
            }
            Event::Close { link, device, reason } => self.handle_closed(link, device, &reason),
            Event::Retired { log } => {
                // Logged once only, so that a peer that repeats it cannot fill the disk.
                if self.troubles.insert(Trouble::Retired(log)) {
                    tracing::warn!(%log, "a log ended: another process writes it too");
                }
            }
            Event::Forked { log } => {
                tracing::warn!(%log, "a log has several branches");
                self.troubles.insert(Trouble::Forked(log));
            }
            Event::Republished { doc, entries } => {
                tracing::warn!(doc = %doc.doc, entries, "excluded entries were published again");
            }
            Event::Mismatch { space } => {
                if self.troubles.insert(Trouble::Mismatch(space.0)) {
                    tracing::warn!(space = space.0, "repair did not make a space equal");
                }
            }
            Event::StoreFailed { error } => {
                // Only the first error is kept; later ones are its consequences.
                if self.failure.is_none() {
                    tracing::error!(%error, "the store failed");
                    self.failure = Some(error);
                }
            }
            Event::Admitted { device, .. } => tracing::info!(%device, "a device was admitted"),
            Event::Opened { .. }
            | Event::Changed { .. }
            | Event::Joined { .. }
            | Event::SpaceChanged { .. }
            | Event::Read { .. } => {}
        }
    }

    fn handle_up(&mut self, link: LinkId, peer: Process) {
        self.links.handle_up(link, peer);
        if self.strangers.remove(link) {
            self.newly_authenticated.push(link);
        }
        self.peers.handle_up(self.now.mono_us, link, peer);
        tracing::info!(device = %peer.device, link = link.0, "a peer is connected");
    }

    fn handle_closed(&mut self, link: LinkId, device: Option<DeviceId>, reason: &CloseReason) {
        let why = why(reason);
        let said = why.as_deref().unwrap_or("done");
        // A peer that connects without authenticating must not fill the disk with log lines.
        if device.is_some() || self.links.is_dialled(link) {
            tracing::info!(link = link.0, reason = said, "a link ends");
        } else {
            tracing::debug!(link = link.0, reason = said, "a stranger's link ends");
        }
        let renew = [CloseReason::Ours(CloseCode::Renew), CloseReason::Theirs(CloseCode::Renew as u16)];
        let ending = if *reason == CloseReason::Ours(CloseCode::Oneself) {
            Ending::Oneself
        } else if renew.contains(reason) {
            Ending::Renew
        } else {
            Ending::Later
        };
        if let Some(peer) = self.db.endpoint().link(link).and_then(|info| info.peer) {
            self.peers.handle_known(link, peer);
        }
        if let Some(reply) = self.joins.remove(&link) {
            let result = if *reason == CloseReason::Done { Ok(()) } else { Err(join_error(reason)) };
            drop(reply.send(result));
        }
        self.peers.handle_closed(self.now.mono_us, link, ending, why);
        self.closing.push(link);
    }
}

/// Returns the key of an address's row.
pub(crate) fn peer_key(address: &str) -> Bytes {
    [PEER_ROWS, address.as_bytes()].concat().into()
}

/// Returns the error for commands that come after the stop.
pub(crate) fn stopping() -> ServiceError {
    ServiceError::new(ErrorCode::Unavailable, "the node is stopping").next("cosmicsync up")
}

/// Returns the reason why a link ended, for display; `None` if the end was intended.
fn why(reason: &CloseReason) -> Option<String> {
    match reason {
        CloseReason::Done | CloseReason::Ours(CloseCode::Done) | CloseReason::Theirs(0) => None,
        CloseReason::Lost => Some("the connection broke".to_owned()),
        CloseReason::Timeout => Some("the peer did not answer in time".to_owned()),
        CloseReason::Ours(CloseCode::NotAdmitted) => {
            Some("that device is in none of our spaces. Invite it: `cosmicsync space invite`".to_owned())
        }
        CloseReason::Ours(CloseCode::StoreFailed) => Some(
            "this node ended the link: its store failed. The link comes back when the store works again".to_owned(),
        ),
        CloseReason::Ours(CloseCode::Overloaded) => {
            Some("this node ended the link: it has as many as net.links_max allows".to_owned())
        }
        CloseReason::Ours(CloseCode::Internal) => {
            Some("this node ended the link: that is a bug here. Report it with this node's log".to_owned())
        }
        CloseReason::Ours(code) => Some(format!("this node ended the link ({code:?}). {}", code.advice())),
        CloseReason::Theirs(number) => Some(match CloseCode::from_number(*number) {
            Some(code) => format!("the peer ended the link ({code:?}). {}", code.advice()),
            None => format!("the peer ended the link with code {number}: update this node"),
        }),
        CloseReason::Handshake(error) => Some(error.to_string()),
        CloseReason::Join(error) => Some(error.to_string()),
        CloseReason::Admission(error) => Some(error.to_string()),
    }
}

/// Next step for an unusable invite. It begins on another device, so it is not a command for this one.
pub(crate) const INVITE_AGAIN: &str =
    "on the device that invites: cosmicsync space invite; then here: cosmicsync space join with the new line";

/// Returns the error for a failed join, with the next step.
fn join_error(reason: &CloseReason) -> ServiceError {
    use cosmicsync_protocol::connection::HandshakeError;
    use cosmicsync_protocol::spaces::JoinError;
    let again = INVITE_AGAIN;
    match reason {
        CloseReason::Join(JoinError::OtherUser) => other_user(),
        CloseReason::Handshake(error @ (HandshakeError::WrongPeer | HandshakeError::Refused)) => {
            ServiceError::new(ErrorCode::Refused, error.to_string()).next(again)
        }
        CloseReason::Lost | CloseReason::Theirs(_) => {
            let message = "the inviter refused: the invite has expired or was used, or is not known there";
            ServiceError::new(ErrorCode::Refused, message).next(again)
        }
        CloseReason::Timeout => ServiceError::new(ErrorCode::PeerUnreachable, "the inviter did not answer in time"),
        CloseReason::Done
        | CloseReason::Ours(_)
        | CloseReason::Handshake(_)
        | CloseReason::Join(_)
        | CloseReason::Admission(_) => {
            let message = why(reason).unwrap_or_else(|| "the link was closed".to_owned());
            ServiceError::new(ErrorCode::Refused, format!("cannot join: {message}")).next(again)
        }
    }
}

/// Returns the error for a device with a user that tries to join another user's space.
pub(crate) fn other_user() -> ServiceError {
    let message = "this device belongs to another user: join with a data directory on which `init` was never run";
    ServiceError::new(ErrorCode::Conflict, message).next("cosmicsync --dir NEW_DIR up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmicsync_protocol::wire::close::Blame;

    #[test]
    fn a_link_that_ends_for_want_of_this_node_blames_no_peer() {
        for code in CloseCode::ALL.iter().filter(|code| code.blame() == Blame::Sender) {
            let ours = why(&CloseReason::Ours(*code)).expect("a reason");
            assert!(ours.starts_with("this node ended the link: ") && !ours.contains("peer"), "{ours}");
            let theirs = why(&CloseReason::Theirs(*code as u16)).expect("a reason");
            assert!(theirs.starts_with("the peer ended the link (") && theirs.contains("the peer"), "{theirs}");
        }
    }
}
