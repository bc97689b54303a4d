//! The messages of a session and their canonical encoding (`spec/wire.md`, section 4).
//!
//! Every message is bounded: counts and lengths are checked before anything is allocated. Cards, entries and
//! signatures are opaque here; other modules verify them.

mod node;

use self::node::{read_node, write_node};
use crate::codec::{CodecError, Reader, Write};
use crate::ids::{Incarnation, LogId};
use crate::wire::terms::{Class, Cursor, Follow, NodeView, Scope};
use bytes::Bytes;

/// Most log ids, changes or acks in one message.
pub const ITEMS_MAX: usize = 4_096;
/// Most nodes in one message.
pub const NODES_MAX: usize = 1_024;
/// Most items of a leaf.
pub const LEAF_MAX: usize = 16;
const BYTES_MAX: usize = 1 << 20;
const SEQ_MAX: u64 = (1 << 62) - 1;
const INDEX_MAX: u64 = (1 << 31) - 1;

/// Reference to a log that one side introduced on this link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogRef {
    /// The sender's handle.
    Mine(u32),
    /// The receiver's handle.
    Yours(u32),
}

/// A node of a repair walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The trie.
    pub scope: Scope,
    /// The path, one nibble per byte.
    pub prefix: Vec<u8>,
    /// The sender's content under that path.
    pub view: NodeView,
}

/// Consecutive entries of a log, ending at a signed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Seq of the first entry.
    pub start: u64,
    /// Chain hash of the entry before; zero if `start` is 0, since the card takes its place.
    pub h_prev: [u8; 32],
    /// The entries as they were signed and stored; at least one.
    pub entries: Vec<Bytes>,
    /// Signature of the head at the last entry.
    pub signature: [u8; 64],
}

impl Run {
    /// Returns the seq after the last entry.
    pub fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// Returns the bytes of the entries, which are charged to the credit.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.len() as u64).sum()
    }
}

/// Reason why a peer can't send entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum GoneReason {
    /// The peer never fetched the entries; others may have them.
    Absent = 0,
    /// The entries are older than those that are kept.
    Pruned = 1,
    /// The entries were erased everywhere.
    Erased = 2,
    /// The peer holds nothing of the requested history: the answer to a `BranchWant` only.
    History = 3,
}

/// A logical message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Opens a space. Its index is the number of this sender's earlier `SpaceOpen` messages on the link.
    SpaceOpen {
        /// The space's token, blinded for this link and direction.
        token: [u8; 16],
        /// The end of the sender's journal.
        position: u64,
        /// Position up to which the sender has read the receiver's journal.
        cursor: Option<Cursor>,
        /// The sender's root.
        root: [u8; 16],
        /// Data that the sender wants without a request.
        follow: Follow,
    },
    /// Introduces logs under consecutive handles of the sender.
    Logs {
        /// The sender's index of the logs' space.
        space: u32,
        /// The handle of the first log.
        first: u32,
        /// Ids of the logs.
        ids: Vec<LogId>,
    },
    /// Announces the seq of the sender's tip for logs that may have grown.
    Changes {
        /// Pairs of a log and the seq of its tip.
        logs: Vec<(LogRef, u64)>,
    },
    /// A step of a repair walk.
    Nodes {
        /// The sender's index of the space.
        space: u32,
        /// Number of the receiver's nodes that were answered in full since the last such message.
        answered: u64,
        /// Nodes of the sender's tries that may differ from the receiver's.
        nodes: Vec<Node>,
    },
    /// Requests entries `from <= seq < to`.
    Want {
        /// The log.
        log: LogRef,
        /// First seq.
        from: u64,
        /// The seq after the last.
        to: u64,
        /// True if entries that came were dropped, so that they must come again.
        again: bool,
    },
    /// Requests the signed head alone.
    WantHead {
        /// The log.
        log: LogRef,
        /// True if the card is needed too.
        card: bool,
    },
    /// Entries. The only message on a channel other than 0.
    Range {
        /// The log.
        log: LogRef,
        /// For a card that introduces the log under this handle: the sender's index of its space.
        opens: Option<u32>,
        /// The card without its space token, exactly when the run starts at 0.
        card: Option<Bytes>,
        /// The entries.
        run: Run,
    },
    /// A signed head without entries.
    Head {
        /// The log.
        log: LogRef,
        /// The card without its space token, if it was requested or the log is new.
        card: Option<Bytes>,
        /// Seq of the head.
        seq: u64,
        /// The chain hash after that entry.
        h: [u8; 32],
        /// The log key's signature.
        signature: [u8; 64],
    },
    /// Acknowledges that everything below `to` that the receiver sent of these logs is durable.
    Ack {
        /// Pairs of a log and the seq after the last durable entry.
        logs: Vec<(LogRef, u64)>,
    },
    /// Returns credit.
    Credit {
        /// The class.
        class: Class,
        /// Number of bytes of entries.
        bytes: u64,
    },
    /// Everything up to `position` in the sender's journal was announced on this link or known to the receiver.
    Settled {
        /// The sender's index of the space.
        space: u32,
        /// Position in the sender's journal.
        position: u64,
        /// The sender's root at that position.
        root: [u8; 16],
    },
    /// Answers that requested entries will not come from this sender.
    Gone {
        /// The log.
        log: LogRef,
        /// First seq.
        from: u64,
        /// The seq after the last.
        to: u64,
        /// The reason.
        reason: GoneReason,
    },
    /// Announces that the sender holds a history of the log that ends here; the receiver may hold another.
    ForkHint {
        /// The log.
        log: LogRef,
        /// Seq of the history's last entry.
        seq: u64,
        /// The chain hash after that entry.
        h: [u8; 32],
    },
    /// Requests one run of the history that ends, or ended, at a head.
    BranchWant {
        /// The log.
        log: LogRef,
        /// Seq of the head.
        seq: u64,
        /// The chain hash after that entry.
        h: [u8; 32],
        /// The first wanted entry; the answer may begin at a later or an earlier one.
        from: u64,
    },
    /// Answers a [`Message::BranchWant`].
    BranchRun {
        /// The log.
        log: LogRef,
        /// The card without its space token, exactly when the run starts at 0.
        card: Option<Bytes>,
        /// The entries.
        run: Run,
    },
    /// Requests a [`Message::Pong`].
    Ping {
        /// Number that the answer repeats.
        nonce: u64,
    },
    /// Answers a [`Message::Ping`].
    Pong {
        /// Number of the ping.
        nonce: u64,
    },
    /// A message of the endpoint, opaque to the session.
    App {
        /// Kind of the message.
        kind: u8,
        /// Body of the message.
        body: Bytes,
    },
    /// Announces that the sender ends the link.
    Close {
        /// Number of a [`super::close::CloseCode`]; unknown numbers are kept.
        code: u16,
        /// More about the cause; depends on the code.
        detail: u16,
    },
}

const SPACE_OPEN: u8 = 1;
const LOGS: u8 = 2;
const CHANGES: u8 = 3;
const NODES: u8 = 4;
const WANT: u8 = 5;
const WANT_HEAD: u8 = 6;
const RANGE: u8 = 7;
const HEAD: u8 = 8;
const ACK: u8 = 9;
const CREDIT: u8 = 10;
const SETTLED: u8 = 11;
const GONE: u8 = 12;
const FORK_HINT: u8 = 13;
const PING: u8 = 14;
const PONG: u8 = 15;
const APP: u8 = 16;
const CLOSE: u8 = 17;
const BRANCH_WANT: u8 = 18;
const BRANCH_RUN: u8 = 19;

impl Message {
    /// Encodes the message.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::SpaceOpen { token, position, cursor, root, follow } => {
                out.byte(SPACE_OPEN);
                out.raw(token);
                out.varint(*position);
                let heads = u8::from(*follow == Follow::Heads);
                out.byte(heads << 1 | u8::from(cursor.is_some()));
                if let Some(cursor) = cursor {
                    out.raw(cursor.incarnation.as_bytes());
                    out.varint(cursor.position);
                }
                out.raw(root);
            }
            Self::Logs { space, first, ids } => {
                out.byte(LOGS);
                out.varint(u64::from(*space));
                out.varint(u64::from(*first));
                out.varint(ids.len() as u64);
                ids.iter().for_each(|id| out.raw(id.as_bytes()));
            }
            Self::Changes { logs } => write_pairs(&mut out, CHANGES, logs),
            Self::Ack { logs } => write_pairs(&mut out, ACK, logs),
            Self::Nodes { space, answered, nodes } => {
                out.byte(NODES);
                out.varint(u64::from(*space));
                out.varint(*answered);
                out.varint(nodes.len() as u64);
                nodes.iter().for_each(|node| write_node(&mut out, node));
            }
            Self::Want { log, from, to, again } => {
                out.byte(WANT);
                write_span(&mut out, *log, *from, *to);
                out.byte(u8::from(*again));
            }
            Self::WantHead { log, card } => {
                out.byte(WANT_HEAD);
                write_ref(&mut out, *log);
                out.byte(u8::from(*card));
            }
            Self::Range { log, opens, card, run } => {
                out.reserve(run.bytes() as usize + 512);
                out.byte(RANGE);
                write_ref(&mut out, *log);
                out.varint(run.start);
                if card.is_some() {
                    out.varint(opens.map_or(0, |space| u64::from(space) + 1));
                }
                write_run(&mut out, card.as_ref(), run);
            }
            Self::BranchRun { log, card, run } => {
                out.reserve(run.bytes() as usize + 512);
                out.byte(BRANCH_RUN);
                write_ref(&mut out, *log);
                out.varint(run.start);
                write_run(&mut out, card.as_ref(), run);
            }
            Self::BranchWant { log, seq, h, from } => {
                out.byte(BRANCH_WANT);
                write_ref(&mut out, *log);
                out.varint(*seq);
                out.raw(h);
                out.varint(*from);
            }
            Self::Head { log, card, seq, h, signature } => {
                out.byte(HEAD);
                write_ref(&mut out, *log);
                out.byte(u8::from(card.is_some()));
                if let Some(card) = card {
                    out.prefixed(card);
                }
                out.varint(*seq);
                out.raw(h);
                out.raw(signature);
            }
            Self::Credit { class, bytes } => {
                out.byte(CREDIT);
                out.byte(*class as u8);
                out.varint(*bytes);
            }
            Self::Settled { space, position, root } => {
                out.byte(SETTLED);
                out.varint(u64::from(*space));
                out.varint(*position);
                out.raw(root);
            }
            Self::Gone { log, from, to, reason } => {
                out.byte(GONE);
                write_span(&mut out, *log, *from, *to);
                out.byte(*reason as u8);
            }
            Self::ForkHint { log, seq, h } => {
                out.byte(FORK_HINT);
                write_ref(&mut out, *log);
                out.varint(*seq);
                out.raw(h);
            }
            Self::Ping { nonce } => {
                out.byte(PING);
                out.varint(*nonce);
            }
            Self::Pong { nonce } => {
                out.byte(PONG);
                out.varint(*nonce);
            }
            Self::App { kind, body } => {
                out.byte(APP);
                out.byte(*kind);
                out.raw(body);
            }
            Self::Close { code, detail } => {
                out.byte(CLOSE);
                out.varint(u64::from(*code));
                out.varint(u64::from(*detail));
            }
        }
        out.into()
    }

    /// Decodes a whole message. Cards, entries and bodies share the memory of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let message = match r.u8()? {
            SPACE_OPEN => read_space_open(r)?,
            LOGS => Self::Logs {
                space: read_index(r)?,
                first: read_index(r)?,
                ids: read_list(r, |r| Ok(LogId(r.array()?)))?,
            },
            CHANGES => Self::Changes { logs: read_list(r, |r| Ok((read_ref(r)?, read_seq(r)?)))? },
            NODES => read_nodes(r)?,
            WANT => {
                let (log, from, to) = read_span(r)?;
                Self::Want { log, from, to, again: read_bool(r)? }
            }
            WANT_HEAD => Self::WantHead { log: read_ref(r)?, card: read_bool(r)? },
            RANGE => {
                let (log, start) = (read_ref(r)?, read_seq(r)?);
                let opens = if start == 0 { r.varint_max(INDEX_MAX + 1, "an index")?.checked_sub(1) } else { None };
                let (card, run) = read_run(r, bytes, start)?;
                Self::Range { log, opens: opens.map(|space| space as u32), card, run }
            }
            BRANCH_RUN => {
                let (log, start) = (read_ref(r)?, read_seq(r)?);
                let (card, run) = read_run(r, bytes, start)?;
                Self::BranchRun { log, card, run }
            }
            BRANCH_WANT => Self::BranchWant { log: read_ref(r)?, seq: read_seq(r)?, h: r.array()?, from: read_seq(r)? },
            HEAD => Self::Head {
                log: read_ref(r)?,
                card: if read_bool(r)? { Some(bytes.slice_ref(r.bytes(BYTES_MAX, "a card")?)) } else { None },
                seq: read_seq(r)?,
                h: r.array()?,
                signature: r.array()?,
            },
            ACK => Self::Ack { logs: read_list(r, |r| Ok((read_ref(r)?, read_seq(r)?)))? },
            CREDIT => {
                let class = Class::from_channel(r.u8()?).ok_or(CodecError::OutOfRange("a class"))?;
                Self::Credit { class, bytes: read_seq(r)? }
            }
            SETTLED => Self::Settled { space: read_index(r)?, position: read_seq(r)?, root: r.array()? },
            GONE => {
                let (log, from, to) = read_span(r)?;
                let reason = match r.u8()? {
                    0 => GoneReason::Absent,
                    1 => GoneReason::Pruned,
                    2 => GoneReason::Erased,
                    3 => GoneReason::History,
                    _ => return Err(CodecError::OutOfRange("a reason")),
                };
                Self::Gone { log, from, to, reason }
            }
            FORK_HINT => Self::ForkHint { log: read_ref(r)?, seq: read_seq(r)?, h: r.array()? },
            PING => Self::Ping { nonce: r.varint()? },
            PONG => Self::Pong { nonce: r.varint()? },
            APP => Self::App { kind: r.u8()?, body: bytes.slice_ref(r.take_rest()) },
            CLOSE => Self::Close { code: read_u16(r)?, detail: read_u16(r)? },
            _ => return Err(CodecError::OutOfRange("a message type")),
        };
        reader.finish()?;
        Ok(message)
    }
}

fn write_ref(out: &mut Vec<u8>, log: LogRef) {
    out.varint(match log {
        LogRef::Mine(handle) => u64::from(handle) << 1,
        LogRef::Yours(handle) => u64::from(handle) << 1 | 1,
    });
}

fn write_pairs(out: &mut Vec<u8>, kind: u8, logs: &[(LogRef, u64)]) {
    out.byte(kind);
    out.varint(logs.len() as u64);
    for (log, seq) in logs {
        write_ref(out, *log);
        out.varint(*seq);
    }
}

fn write_span(out: &mut Vec<u8>, log: LogRef, from: u64, to: u64) {
    write_ref(out, log);
    out.varint(from);
    out.varint(to - from);
}

/// Writes the rest of a run, after its start.
fn write_run(out: &mut Vec<u8>, card: Option<&Bytes>, run: &Run) {
    match card {
        Some(card) => out.prefixed(card),
        None => out.raw(&run.h_prev),
    }
    out.varint(run.entries.len() as u64);
    run.entries.iter().for_each(|entry| out.prefixed(entry));
    out.raw(&run.signature);
}

fn read_seq(r: &mut Reader<'_>) -> Result<u64, CodecError> {
    r.varint_max(SEQ_MAX, "a seq")
}

fn read_index(r: &mut Reader<'_>) -> Result<u32, CodecError> {
    Ok(r.varint_max(INDEX_MAX, "an index")? as u32)
}

fn read_u16(r: &mut Reader<'_>) -> Result<u16, CodecError> {
    Ok(r.varint_max(u64::from(u16::MAX), "a code")? as u16)
}

fn read_bool(r: &mut Reader<'_>) -> Result<bool, CodecError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CodecError::OutOfRange("a flag")),
    }
}

fn read_ref(r: &mut Reader<'_>) -> Result<LogRef, CodecError> {
    let value = r.varint_max(INDEX_MAX << 1 | 1, "a handle")?;
    let handle = (value >> 1) as u32;
    Ok(if value & 1 == 0 { LogRef::Mine(handle) } else { LogRef::Yours(handle) })
}

/// Reads a list of one to [`ITEMS_MAX`] items, each of at least two bytes.
fn read_list<'a, T>(
    r: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = r.count(ITEMS_MAX, "a count")?;
    if count == 0 {
        return Err(CodecError::OutOfRange("a count"));
    }
    let mut items = Vec::with_capacity(count.min(r.remaining() / 2));
    for _ in 0..count {
        items.push(item(r)?);
    }
    Ok(items)
}

fn read_span(r: &mut Reader<'_>) -> Result<(LogRef, u64, u64), CodecError> {
    let (log, from, len) = (read_ref(r)?, read_seq(r)?, read_seq(r)?);
    if len == 0 { Err(CodecError::OutOfRange("a length")) } else { Ok((log, from, from + len)) }
}

fn read_space_open(r: &mut Reader<'_>) -> Result<Message, CodecError> {
    let (token, position) = (r.array()?, read_seq(r)?);
    let flags = r.u8()?;
    if flags > 3 {
        return Err(CodecError::OutOfRange("a flag"));
    }
    let cursor = if flags & 1 == 0 {
        None
    } else {
        Some(Cursor { incarnation: Incarnation(r.array()?), position: read_seq(r)? })
    };
    let follow = if flags & 2 == 0 { Follow::All } else { Follow::Heads };
    Ok(Message::SpaceOpen { token, position, cursor, root: r.array()?, follow })
}

fn read_run(r: &mut Reader<'_>, bytes: &Bytes, start: u64) -> Result<(Option<Bytes>, Run), CodecError> {
    let (card, h_prev) =
        if start == 0 { (Some(bytes.slice_ref(r.bytes(BYTES_MAX, "a card")?)), [0; 32]) } else { (None, r.array()?) };
    let entries = read_list_long(r, bytes)?;
    let signature = r.array()?;
    Ok((card, Run { start, h_prev, entries, signature }))
}

/// Reads entries. A run may have very many tiny ones, so their number is bounded only by the message.
fn read_list_long(r: &mut Reader<'_>, bytes: &Bytes) -> Result<Vec<Bytes>, CodecError> {
    let count = r.count(r.remaining() / 2, "a count")?;
    if count == 0 {
        return Err(CodecError::OutOfRange("a count"));
    }
    let mut entries = Vec::with_capacity(count.min(ITEMS_MAX));
    for _ in 0..count {
        let entry = r.bytes(BYTES_MAX, "an entry")?;
        if entry.is_empty() {
            return Err(CodecError::OutOfRange("an entry"));
        }
        entries.push(bytes.slice_ref(entry));
    }
    Ok(entries)
}

fn read_nodes(r: &mut Reader<'_>) -> Result<Message, CodecError> {
    let (space, answered) = (read_index(r)?, read_seq(r)?);
    let count = r.count(NODES_MAX, "a count")?;
    let mut nodes = Vec::with_capacity(count.min(r.remaining() / 3));
    for _ in 0..count {
        nodes.push(read_node(r)?);
    }
    if nodes.is_empty() && answered == 0 {
        return Err(CodecError::OutOfRange("a count"));
    }
    Ok(Message::Nodes { space, answered, nodes })
}

#[cfg(test)]
mod tests;
