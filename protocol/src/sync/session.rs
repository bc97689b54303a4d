//! One sync session for each authenticated link: finds and transfers the differences between two stores.
//!
//! A session exchanges messages with its peer, reads its own store through [`Catalog`] and requests everything else
//! from the endpoint by [`Action`]. It never touches keys, never verifies and never stores: received data goes to
//! the endpoint, and only data that the endpoint declared durable is acknowledged. Messages are built when the link
//! takes them, so only state of active logs is queued. `spec/sync.md`.

mod branches;
mod handles;
mod inbound;
mod outbound;
mod reconcile;
mod space;
mod transmit;

use self::branches::Branches;
pub use self::branches::Taken;
use self::handles::Handles;
use self::space::{Space, TheirSpace};
use self::transmit::Sending;
use super::{Catalog, Class, Cursor, LogView};
use crate::codec::{CodecError, Reader};
use crate::config::Limits;
use crate::ids::{Incarnation, LogId, LogNo, SpaceNo};
use crate::wire::close::CloseCode;
use crate::wire::frame::{CHANNELS, FrameError, Reassembler};
use crate::wire::message::{GoneReason, Message, Run};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Data of the handshake that a session starts with.
#[derive(Debug, Clone)]
pub struct Link {
    /// True if this side dialled. Exactly one side starts repair walks.
    pub initiator: bool,
    /// The hash over the whole handshake: blinds space tokens for this link.
    pub handshake_hash: [u8; 32],
    /// The peer's store incarnation, from its hello.
    pub peer_incarnation: Incarnation,
    /// The peer's [`Limits::window_bytes`], from its hello.
    pub peer_window_bytes: u64,
}

/// Request of a session to its endpoint. Drain with [`Session::poll_action`] after each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read a run that starts at `from` and answer with [`Session::handle_entries`] or [`Session::handle_missing`].
    Read {
        /// The log.
        log: LogNo,
        /// First seq.
        from: u64,
        /// Limit on bytes of entries: the run ends at the last signed head within it. At least one entry comes in
        /// any case.
        bytes_max: usize,
    },
    /// Verify and store a run, then call [`Session::handle_grown`], or [`Session::handle_durable`] if the run was
    /// not new. Runs of a log come in order; they may overlap held entries.
    Received {
        /// The space in which the peer announced the log. The card must name it.
        space: SpaceNo,
        /// The log.
        log: LogId,
        /// The card, exactly when the run starts at 0.
        card: Option<Bytes>,
        /// The entries and the signature of the head at their end.
        run: Run,
    },
    /// Verify and store a head without entries, then call [`Session::handle_grown`].
    ReceivedHead {
        /// The space in which the peer announced the log. The card must name it.
        space: SpaceNo,
        /// The log.
        log: LogId,
        /// The card, always there if the log is unknown.
        card: Option<Bytes>,
        /// Seq of the head.
        seq: u64,
        /// The chain hash after that entry.
        h: [u8; 32],
        /// The log key's signature.
        signature: [u8; 64],
    },
    /// The peer holds a log durably up to and including `seq`.
    Acked {
        /// The log.
        log: LogNo,
        /// The last seq.
        seq: u64,
    },
    /// The peer can't send requested entries.
    Gone {
        /// The log.
        log: LogId,
        /// First seq.
        from: u64,
        /// The seq after the last.
        to: u64,
        /// The reason.
        reason: GoneReason,
    },
    /// The peer's journal was read up to the cursor: store the cursor.
    SaveCursor {
        /// The space.
        space: SpaceNo,
        /// Position in the peer's journal.
        cursor: Cursor,
    },
    /// Read a run of one history of a log, from an entry at `from` or near it, and answer with
    /// [`Session::handle_branch`].
    ReadBranch {
        /// The log.
        log: LogNo,
        /// Seq of the head at the history's end.
        seq: u64,
        /// The chain hash after that entry.
        h: [u8; 32],
        /// First seq.
        from: u64,
        /// As in [`Action::Read`].
        bytes_max: usize,
    },
    /// Verify a run of one history of a log, store it where it belongs, and answer with [`Session::handle_taken`].
    ReceivedBranch {
        /// The log.
        log: LogId,
        /// The card, exactly when the run starts at 0.
        card: Option<Bytes>,
        /// The entries and the signature of the head at their end.
        run: Run,
        /// End of the history held here that the run continues, behind a gap that the peer has too.
        after: Option<u64>,
    },
    /// A repair walk left the roots of a space unequal: an unresolved fork, or a damaged index.
    Mismatch {
        /// The space.
        space: SpaceNo,
    },
    /// A message of the peer's endpoint.
    App {
        /// Kind of the message.
        kind: u8,
        /// Body of the message.
        body: Bytes,
    },
    /// The answer to a [`Session::ping`].
    Pong {
        /// The nonce of the ping.
        nonce: u64,
    },
    /// The handles of this link are used up: end it with [`CloseCode::Renew`] and dial again.
    Renew,
    /// The peer ends the link.
    Closed {
        /// A [`CloseCode`] number, perhaps of a newer version.
        code: u16,
        /// More about the cause.
        detail: u16,
    },
}

/// Reason why a session can't continue. Always the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The frames were invalid.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message was not canonical.
    #[error("a message is not well-formed: {0}")]
    Malformed(#[from] CodecError),
    /// A message is not allowed on its channel or in this state.
    #[error("a message is not allowed on its channel or in this state")]
    Unexpected,
    /// A handle or space index was never introduced.
    #[error("a message names a handle that was never introduced")]
    UnknownHandle,
    /// More bytes of entries came than the credit allowed.
    #[error("the peer sent more bytes of entries than its credit allows")]
    CreditOverrun,
    /// A table or list would grow beyond its limit.
    #[error("the peer exceeds a limit: {0}")]
    TooMuch(&'static str),
    /// Bytes that introduce a log are not a card.
    #[error("the bytes that introduce a log are not a card")]
    BadCard,
    /// A log was announced in a space to which it doesn't belong.
    #[error("a log was announced in another space than its own")]
    WrongSpace,
}

impl SessionError {
    /// Returns the code with which the link must be ended.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Frame(FrameError::TooLong) => CloseCode::TooLong,
            Self::Frame(FrameError::Malformed(_) | FrameError::Sequence) | Self::Malformed(_) => CloseCode::Malformed,
            Self::Unexpected => CloseCode::UnexpectedMessage,
            Self::UnknownHandle => CloseCode::UnknownHandle,
            Self::CreditOverrun => CloseCode::CreditOverrun,
            Self::TooMuch(_) => CloseCode::TooMuch,
            Self::BadCard => CloseCode::BadCard,
            Self::WrongSpace => CloseCode::WrongSpace,
        }
    }
}

/// Error of a full queue: too many of the endpoint's messages wait for the link already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many messages wait for the link")]
pub struct QueueFull;

/// The state of one link. [`handle_frame_bytes`](Self::handle_frame_bytes) takes bytes,
/// [`poll_transmit`](Self::poll_transmit) makes them, and [`poll_action`](Self::poll_action) returns requests to
/// the endpoint.
#[derive(Debug)]
pub struct Session {
    link: Link,
    limits: Limits,
    reassembler: Reassembler,
    actions: VecDeque<Action>,
    /// This side's spaces by the tokens that the peer would use for them on this link.
    tokens: BTreeMap<[u8; 16], SpaceNo>,
    spaces: BTreeMap<SpaceNo, Space>,
    /// Spaces by the peer's index.
    their_spaces: Vec<TheirSpace>,
    spaces_opened: u32,
    handles: Handles,
    streams: BTreeMap<LogId, Stream>,
    branches: Branches,
    /// Logs with entries to read, per class.
    active: [VecDeque<LogId>; CHANNELS],
    /// Logs with a run to send, per class.
    ready: [VecDeque<LogId>; CHANNELS],
    /// Number of runs being read, ready or partly sent, per class.
    reads: [usize; CHANNELS],
    sending: [Option<Sending>; CHANNELS],
    turns: [u8; CHANNELS],
    credit_out: [u64; CHANNELS],
    credit_in: [u64; CHANNELS],
    /// Credit that may go back to the peer.
    credit_due: [u64; CHANNELS],
    opens_due: VecDeque<SpaceNo>,
    acks_due: BTreeSet<LogId>,
    /// Logs with a small message due.
    logs_due: VecDeque<LogId>,
    /// Spaces whose state changed, so that a message may be due, perhaps a `Settled`.
    spaces_due: BTreeSet<SpaceNo>,
    pong_due: Option<u64>,
    app_due: VecDeque<Message>,
    /// Messages that are built but wait for the introduction of a handle that they use.
    built: VecDeque<Message>,
}

/// Bytes of entries that the two ends of a link may still send, or owe each other the room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// Bytes that this side may send.
    pub left: u64,
    /// Bytes that the peer may send.
    pub granted: u64,
    /// Bytes that came and whose room is not given back yet.
    pub due: u64,
    /// Bytes that came and are not durable.
    pub flights: u64,
}

/// State of one log that is active in this session.
#[derive(Debug)]
struct Stream {
    space: SpaceNo,
    outbound: outbound::Outbound,
    inbound: inbound::Inbound,
    is_due: bool,
    /// Contribution to the space's counters: busy, unacked, pending.
    counted: [bool; 3],
}

impl Session {
    /// Starts a session right after the handshake. All shared spaces will be opened.
    pub fn new(catalog: &dyn Catalog, link: Link, limits: Limits) -> Self {
        let mut session = Self {
            reassembler: Reassembler::new(limits.message_bytes_max),
            actions: VecDeque::new(),
            tokens: BTreeMap::new(),
            spaces: BTreeMap::new(),
            their_spaces: Vec::new(),
            spaces_opened: 0,
            handles: Handles::new(limits.handles_max),
            streams: BTreeMap::new(),
            branches: Branches::default(),
            active: Default::default(),
            ready: Default::default(),
            reads: [0; CHANNELS],
            sending: Default::default(),
            turns: [0; CHANNELS],
            credit_out: [link.peer_window_bytes; CHANNELS],
            credit_in: [limits.window_bytes; CHANNELS],
            credit_due: [0; CHANNELS],
            opens_due: VecDeque::new(),
            acks_due: BTreeSet::new(),
            logs_due: VecDeque::new(),
            spaces_due: BTreeSet::new(),
            pong_due: None,
            app_due: VecDeque::new(),
            built: VecDeque::new(),
            link,
            limits,
        };
        for space in catalog.spaces() {
            session.open_space(catalog, space);
        }
        session
    }

    /// Takes the plaintext of one transport message. After an error the link must be ended with its close code.
    pub fn handle_frame_bytes(&mut self, catalog: &dyn Catalog, plaintext: &[u8]) -> Result<(), SessionError> {
        let mut reader = Reader::new(plaintext);
        while !reader.is_empty() {
            if let Some((channel, bytes)) = self.reassembler.read(&mut reader)? {
                let message = Message::decode(&bytes)?;
                let class = Class::from_channel(channel).ok_or(SessionError::Unexpected)?;
                self.handle_message(catalog, class, message)?;
            }
        }
        self.pump(catalog);
        Ok(())
    }

    /// Returns whether there are actions for the endpoint.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Takes the next action for the endpoint.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Queues a message for the peer's endpoint.
    pub fn queue_app(&mut self, kind: u8, body: Bytes) -> Result<(), QueueFull> {
        if self.app_due.len() >= self.limits.queued_max || body.len() > self.limits.app_bytes_max {
            return Err(QueueFull);
        }
        self.app_due.push_back(Message::App { kind, body });
        Ok(())
    }

    /// Asks the peer for a sign of life; [`Action::Pong`] reports its arrival.
    pub fn ping(&mut self, nonce: u64) -> Result<(), QueueFull> {
        if self.app_due.len() >= self.limits.queued_max {
            return Err(QueueFull);
        }
        self.app_due.push_back(Message::Ping { nonce });
        Ok(())
    }

    /// Queues the last message; the endpoint ends the link once the message was transmitted.
    pub fn close(&mut self, code: CloseCode, detail: u16) {
        self.app_due.push_back(Message::Close { code: code as u16, detail });
    }

    /// Returns the spaces that both sides have opened. The flag is true if nothing is under way in either
    /// direction: all known data was sent, acknowledged and stored.
    pub fn shared(&self) -> impl Iterator<Item = (SpaceNo, bool)> {
        self.spaces.iter().filter(|(_, space)| space.is_begun()).map(|(no, space)| (*no, space.is_settled()))
    }

    /// Returns the number of items in the session's queues: bounded by the number of active logs, never by that of
    /// their entries.
    pub fn queued(&self) -> usize {
        let logs: usize = self.active.iter().chain(&self.ready).map(VecDeque::len).sum();
        let small = self.acks_due.len() + self.logs_due.len() + self.opens_due.len() + self.spaces_due.len();
        logs + small + self.actions.len() + self.app_due.len() + self.built.len()
    }

    /// Returns the number of repair walks.
    pub fn walks(&self) -> u64 {
        self.spaces.values().map(|space| space.walk.taken).sum()
    }

    /// Returns the credit for entries, summed over the classes.
    pub fn credit(&self) -> Credit {
        let sum = |of: &[u64; CHANNELS]| Class::ALL.iter().map(|class| of[class.index()]).sum();
        let flights = self.streams.values().flat_map(|stream| stream.inbound.in_flight()).sum();
        Credit { left: sum(&self.credit_out), granted: sum(&self.credit_in), due: sum(&self.credit_due), flights }
    }

    fn handle_message(&mut self, catalog: &dyn Catalog, class: Class, message: Message) -> Result<(), SessionError> {
        if let Message::Range { log, opens, card, run } = message {
            return self.on_range(catalog, class, log, (opens, card), run);
        }
        if class != Class::Control {
            return Err(SessionError::Unexpected);
        }
        match message {
            Message::SpaceOpen { token, position, cursor, root, follow } => {
                self.on_space_open(catalog, token, space::Opened { position, cursor, root, follow })?;
            }
            Message::Logs { space, first, ids } => self.on_logs(catalog, space, first, ids)?,
            Message::Changes { logs } => {
                for (log, seq) in logs {
                    if let Some((space, id)) = self.resolve(log)? {
                        self.on_announced(space, id, seq)?;
                        self.on_peer_has(catalog, space, id, seq)?;
                    }
                }
            }
            Message::Nodes { space, answered, nodes } => self.on_nodes(catalog, space, answered, nodes)?,
            Message::Want { log, from, to, again } => {
                self.on_want(catalog, log, outbound::Want { from, to, again })?;
            }
            Message::WantHead { log, card } => self.on_want_head(catalog, log, card)?,
            Message::Range { .. } => return Err(SessionError::Unexpected),
            Message::Head { log, card, seq, h, signature } => {
                self.on_head(catalog, log, inbound::Head { card, seq, h, signature })?;
            }
            Message::Ack { logs } => {
                for (log, to) in logs {
                    self.on_ack(catalog, log, to)?;
                }
            }
            Message::Credit { class, bytes } => {
                let credit = &mut self.credit_out[class.index()];
                *credit = credit.saturating_add(bytes).min(self.link.peer_window_bytes);
            }
            Message::Settled { space, position, root } => self.on_settled(catalog, space, position, root)?,
            Message::Gone { log, from, to, reason } => self.on_gone(catalog, log, from, to, reason)?,
            Message::ForkHint { log, seq, h } => self.on_fork_hint(catalog, log, seq, h)?,
            Message::BranchWant { log, seq, h, from } => self.on_branch_want(catalog, log, (seq, h), from)?,
            Message::BranchRun { log, card, run } => self.on_branch_run(catalog, log, card, run)?,
            Message::Ping { nonce } => self.pong_due = Some(nonce),
            Message::Pong { nonce } => self.actions.push_back(Action::Pong { nonce }),
            Message::App { kind, body } => {
                if body.len() > self.limits.app_bytes_max {
                    return Err(SessionError::TooMuch("the body of an endpoint message"));
                }
                self.actions.push_back(Action::App { kind, body });
            }
            Message::Close { code, detail } => self.actions.push_back(Action::Closed { code, detail }),
        }
        Ok(())
    }

    fn view(&self, catalog: &dyn Catalog, id: &LogId) -> Option<(LogNo, LogView)> {
        let no = catalog.log_by_id(id)?;
        Some((no, catalog.log(no)))
    }

    /// Returns the state of a log, made on first use. Fails if the log was seen in another space.
    fn stream(&mut self, space: SpaceNo, id: LogId) -> Result<&mut Stream, SessionError> {
        let stream = self.streams.entry(id).or_insert_with(|| Stream {
            space,
            outbound: Default::default(),
            inbound: Default::default(),
            is_due: false,
            counted: [false; 3],
        });
        if stream.space == space { Ok(stream) } else { Err(SessionError::WrongSpace) }
    }

    /// Updates the space's counters after any change to a stream.
    fn account(&mut self, id: &LogId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let now = [stream.outbound.is_busy(), stream.outbound.is_unacked(), stream.inbound.is_pending()];
        let before = core::mem::replace(&mut stream.counted, now);
        if now == before {
            return;
        }
        if let Some(space) = self.spaces.get_mut(&stream.space) {
            for (counter, (was, is)) in
                [&mut space.busy, &mut space.unacked, &mut space.pending].into_iter().zip(before.into_iter().zip(now))
            {
                *counter = *counter + usize::from(is) - usize::from(was);
            }
            if now[0] || now[1] {
                space.cancel_comparison();
            }
        }
        self.spaces_due.insert(stream.space);
    }

    /// Marks a small message about a log as due.
    fn set_due(&mut self, id: LogId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !core::mem::replace(&mut stream.is_due, true)
        {
            self.logs_due.push_back(id);
        }
    }

    /// Makes sure that messages can name a log. If handles are used up, asks once to be renewed.
    fn introduce(&mut self, space: SpaceNo, id: LogId) -> bool {
        let introduced = self.handles.introduce(space, id);
        self.may_name(introduced)
    }

    /// Does the same for a log whose card is to be sent.
    fn open(&mut self, space: SpaceNo, id: LogId) -> bool {
        let introduced = self.handles.open(space, id);
        self.may_name(introduced)
    }

    fn may_name(&mut self, introduced: handles::Introduced) -> bool {
        match introduced {
            handles::Introduced::Yes => true,
            handles::Introduced::No => false,
            handles::Introduced::JustFull => {
                self.actions.push_back(Action::Renew);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
