//! Lies of a hostile member: a catalogue, drawn by dice, from single flipped bits to entries that are correctly
//! sealed, chained and signed but have forbidden content.

use super::{Bodies, Line, Member, OwnLog};
use crate::codec::Write;
use crate::crdt::forge::{Forgery, forge};
use crate::ids::{DocId, LogId};
use crate::log::card::short_card;
use crate::log::{Dep, Entry, EntryKind, Header, Item, KeyRef, Lane, LogCard, Plain};
use crate::sealed::KeyNode;
use crate::spaces::record::Record;
use crate::sync::{Class, Cursor, Follow, LeafItem, NodeView, Scope};
use crate::wire::frame::PLAINTEXT_MAX;
use crate::wire::message::{GoneReason, LogRef, Message, Node, Run};
use bytes::Bytes;

/// The kinds of lies, for statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// Bytes of a sealed message, changed before or after the seal.
    Frame,
    /// A message whose bytes were changed.
    Message,
    /// A well-formed message that is not true, asks too much or is not allowed in this state.
    Claim,
    /// An entry whose bytes, header, sections or place are wrong.
    Entry,
    /// Records of control that are wrong, or that the author may not make.
    Record,
    /// A document update that is damaged, a bomb, or another author's.
    Update,
    /// A repetition of an earlier lie.
    Replay,
}

impl Lie {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Frame, Self::Message, Self::Claim, Self::Entry, Self::Record, Self::Update, Self::Replay];

    /// Returns a name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frames",
            Self::Message => "messages",
            Self::Claim => "claims",
            Self::Entry => "entries",
            Self::Record => "records",
            Self::Update => "updates",
            Self::Replay => "replays",
        }
    }
}

/// A liar's memory from one lie to the next.
#[derive(Debug)]
pub struct Liar {
    /// The log in which it lies in its own name.
    log: OwnLog,
    /// Sealed bytes and entries that were sent before.
    said: Vec<Bytes>,
    /// Documents of its own that it writes into, and others' that it tampers with.
    docs: Vec<DocId>,
    next_doc: usize,
}

/// Number of entries after which the liar opens another log: a broken entry excludes those after it.
const LOG_ENTRIES: u64 = 40;

impl Liar {
    /// Makes a liar about `docs`. `log` is a log that control names as the member's own.
    pub const fn new(log: OwnLog, docs: Vec<DocId>) -> Self {
        Self { log, said: Vec::new(), docs, next_doc: 0 }
    }

    /// Sends the next lie on an open line, with the space opened. Returns its kind.
    pub fn lie(&mut self, member: &mut Member, line: &mut Line) -> Lie {
        let lie = Lie::ALL[member.entropy.below(Lie::ALL.len() as u64) as usize];
        match lie {
            Lie::Frame => frame(member, line),
            Lie::Message => {
                let mut bytes = self.claim(member, line).encode().to_vec();
                spoil(member, &mut bytes);
                let channel = member.entropy.below(6) as u8;
                if !bytes.is_empty() {
                    line.say_on(if channel < 4 { 0 } else { channel }, bytes.into());
                }
            }
            Lie::Claim => {
                let message = self.claim(member, line);
                line.say(&message);
            }
            Lie::Entry => self.entry(member, line),
            Lie::Record => self.record(member, line),
            Lie::Update => self.update(member, line),
            Lie::Replay => self.replay(member, line),
        }
        lie
    }

    /// Opens another log and names this device in control, as an honest member would.
    fn renew(&mut self, member: &mut Member, line: &mut Line) {
        if self.log.seq < LOG_ENTRIES {
            return;
        }
        let (main, control) = (member.main(), member.control());
        self.log = member.new_log(main, Lane::Live);
        let mut opening = member.new_log(control, Lane::Live);
        let entry = member.control_entry(&mut opening, &[member.device()]);
        let message = member.range(line, &opening, 0, [0; 32], vec![entry]);
        line.say(&message);
    }

    fn doc(&mut self) -> DocId {
        self.next_doc += 1;
        self.docs[self.next_doc % self.docs.len()]
    }

    /// Sends the entry that was just appended to the own log.
    fn send(&mut self, member: &Member, line: &mut Line, before: (u64, [u8; 32]), entry: Bytes) {
        if self.said.len() < 256 {
            self.said.push(entry.clone());
        }
        let message = member.range(line, &self.log, before.0, before.1, vec![entry]);
        line.say(&message);
    }

    /// Returns a message that is not true.
    fn claim(&mut self, member: &mut Member, line: &mut Line) -> Message {
        let huge = 1u64 << (20 + member.entropy.below(42));
        let known: Vec<LogId> = member.known.keys().copied().collect();
        let other = known.get(member.entropy.below(known.len().max(1) as u64) as usize).copied();
        let id = other.filter(|_| member.entropy.below(3) > 0).unwrap_or(self.log.id);
        let log = line.name(id);
        let (hash, half): ([u8; 32], [u8; 16]) = (member.entropy.bytes(), member.entropy.bytes());
        match member.entropy.below(17) {
            0 => Message::Want { log, from: 0, to: huge, again: true },
            1 => Message::Want { log, from: huge - 1, to: huge, again: false },
            2 => Message::WantHead { log, card: true },
            3 => Message::Ack { logs: vec![(log, huge)] },
            4 => Message::Credit { class: Class::ALL[member.entropy.below(6) as usize], bytes: huge },
            5 => Message::Gone { log, from: 0, to: huge, reason: GoneReason::Erased },
            6 => Message::SpaceOpen {
                token: half,
                position: huge,
                cursor: Some(Cursor { incarnation: member.incarnation, position: huge }),
                root: half,
                follow: Follow::All,
            },
            7 => Message::Changes { logs: vec![(log, huge - 1)] },
            8 => Message::Settled { space: member.entropy.below(2) as u32, position: huge, root: half },
            9 => Message::Nodes { space: 0, answered: member.entropy.below(2) * huge, nodes: vec![node(member, id)] },
            10 => Message::ForkHint { log, seq: huge - 1, h: hash },
            11 => {
                let own = line.name(self.log.id);
                let head = member.head(&self.log, huge - 1, hash);
                let card = Some(short_card(&self.log.card_bytes));
                Message::Head { log: own, card, seq: huge - 1, h: hash, signature: head.signature }
            }
            12 => Message::App { kind: hash[0], body: vec![7; 1 << member.entropy.below(17)].into() },
            13 => Message::WantHead { log: LogRef::Mine((huge >> 31) as u32 & 0x7fff_ffff), card: false },
            14 => Message::Logs {
                space: 0,
                first: hash[1].into(),
                ids: (0..=hash[0]).map(|at| LogId([at; 32])).collect(),
            },
            15 => Message::Ping { nonce: huge },
            _ => {
                // Another member's log, continued without its key.
                let (card, seq, h) = other.and_then(|id| member.known.get(&id).cloned()).unwrap_or_default();
                let header = Header::new(EntryKind::Update, 0);
                let mut forged = OwnLog { id, seq: seq + 1, h, ..self.log.clone() };
                let entries = vec![member.entry(&mut forged, &header, &[])];
                let run = Run { start: seq + 1, h_prev: h, entries, signature: [hash[0]; 64] };
                Message::Range { log, opens: None, card: (card.is_empty()).then_some(card), run }
            }
        }
    }

    /// Sends a wrong entry.
    fn entry(&mut self, member: &mut Member, line: &mut Line) {
        self.renew(member, line);
        let before = (self.log.seq, self.log.h);
        let how = member.entropy.below(9);
        let header = self.header(member, how);
        let seed: [u8; 16] = member.entropy.bytes();
        let body = noise(member, 400);
        let entry = match how {
            0 => {
                let entry = member.entry(&mut self.log, &header, &[Plain::KeyBox(&seed), Plain::Records(&body)]);
                let mut bytes = entry.to_vec();
                spoil(member, &mut bytes);
                bytes.into()
            }
            1 => {
                let mut packed = header.pack(&mut member.codec).unwrap_or_default();
                spoil(member, &mut packed);
                member.forged(&mut self.log, &Bodies { header: packed, bodies: vec![(seed, body)] })
            }
            2 => {
                let whole = member.entry(&mut self.log, &header, &[Plain::KeyBox(&seed), Plain::Records(&body)]);
                Entry::decode(&whole).map_or(whole, |entry| entry.without(|section| section > 0).encode())
            }
            3 => {
                self.log.seq += 1 + member.entropy.below(3);
                member.entry(&mut self.log, &header, &[])
            }
            4 => {
                // Half a transaction: it names sections that are not there.
                member.entry(&mut self.log, &header, &[Plain::KeyBox(&seed)])
            }
            _ => member.entry(&mut self.log, &header, &[Plain::KeyBox(&seed), Plain::Records(&body)]),
        };
        self.send(member, line, before, entry);
    }

    /// Returns a header with one lie.
    fn header(&mut self, member: &mut Member, how: u64) -> Header {
        let (doc, other) = (self.doc(), member.known.keys().next().copied().unwrap_or(LogId([3; 32])));
        let huge = 1u64 << (20 + member.entropy.below(42));
        let kind = EntryKind::ALL[member.entropy.below(9) as usize];
        let mut header = Header::new(kind, u64::MAX);
        let item = |section, key| Item { doc, new_in: None, section, part: None, key, dictionary: None };
        match how {
            5 => {
                header.logs = vec![other, LogId([9; 32])];
                header.deps = vec![Dep { log: 0, seq: huge, h: [1; 8] }, Dep { log: 1, seq: 0, h: [2; 8] }];
                header.items = vec![item(2, KeyRef::Other { log: 0, seq: huge, section: 1, node: KeyNode::ROOT })];
            }
            6 => header.items = vec![item(2, KeyRef::Own { seq: huge, section: 9, node: KeyNode::ROOT }); 100],
            7 => header.items = (0..2_000).map(|at| item(at, KeyRef::here(at))).collect(),
            8 => {
                header.items = vec![Item { dictionary: Some(7), ..item(2, KeyRef::Records) }];
                header.padding = 60_000;
            }
            _ => header.items = vec![item(2, KeyRef::here(1))],
        }
        header
    }

    /// Sends records that the member may not make, or that are not records.
    fn record(&mut self, member: &mut Member, line: &mut Line) {
        let control = member.control();
        let lane = if member.entropy.below(4) == 0 { Lane::Bulk } else { Lane::Live };
        let mut log = member.new_log(control, lane);
        let random: [u8; 32] = member.entropy.bytes();
        let mut records = vec![member.device()];
        match member.entropy.below(7) {
            // In the name of another device.
            0 => log = member.new_log_as(control, lane, crate::ids::DeviceId(random)),
            1 => {
                log.card.admission = [random[0]; 64];
                log.card_bytes = encoded(&log.card);
            }
            2 => {
                log.card.place.space_token = [random[0]; 16];
                log.card_bytes = encoded(&log.card);
            }
            3 => records.push(Record::Device { credential: noise(member, 600).into() }),
            4 => records.push(Record::Unknown { kind: 99, body: noise(member, 600).into() }),
            5 => records.extend((0..100).map(|at| Record::Partition { name: format!("{at} {}", random[0]) })),
            _ => {
                // It has no owner: its records are ignored.
                log = member.new_log_of_nobody(control);
                records.clear();
                records.push(Record::SpaceName { name: "hostile".into() });
            }
        }
        let entry = member.control_entry(&mut log, &records);
        let message = member.range(line, &log, 0, [0; 32], vec![entry]);
        line.say(&message);
    }

    /// Sends an update of a document.
    fn update(&mut self, member: &mut Member, line: &mut Line) {
        self.renew(member, line);
        let (doc, peer) = (self.doc(), self.log.peer());
        let size = 1 + member.entropy.below(40) as usize;
        let what = match member.entropy.below(14) {
            0 => Forgery::NestedMaps(size * 4),
            1 => Forgery::NestedLists(size * 4),
            2 => Forgery::LongList(size * 20),
            3 => Forgery::LongText(size * 20),
            4 => Forgery::ManyContainers(size),
            5 => Forgery::TwoPeers(77),
            6 => Forgery::OtherPeer(77),
            7 => Forgery::LateStart,
            8 => Forgery::Gap,
            9 => Forgery::Snapshot,
            10 => Forgery::UnknownDependency(77),
            _ => Forgery::ManyKeys(size),
        };
        let mut update = forge(peer, what);
        if member.entropy.below(4) > 0 {
            spoil(member, &mut update);
        }
        let before = (self.log.seq, self.log.h);
        let entry = match member.entropy.below(8) {
            0 => self.bomb(member, doc),
            _ => member.update(&mut self.log, doc, &update),
        };
        self.send(member, line, before, entry);
    }

    /// Returns a body that lies about its inflated length, or inflates to as much as possible.
    fn bomb(&mut self, member: &mut Member, doc: DocId) -> Bytes {
        let zeros = vec![0; 256 * 1024];
        let mut body = member.codec.compress(&zeros, None);
        if member.entropy.below(2) == 0 {
            let mut lying = vec![1 + member.entropy.below(3) as u8];
            lying.varint(1 << member.entropy.below(63));
            lying.extend_from_slice(&body[4.min(body.len())..]);
            body = lying;
        }
        let items = vec![Item { doc, new_in: None, section: 2, part: None, key: KeyRef::here(1), dictionary: None }];
        let header = Header { items, ..Header::new(EntryKind::Update, 0) };
        let packed = header.pack(&mut member.codec).unwrap_or_default();
        let seed = member.entropy.bytes();
        member.forged(&mut self.log, &Bodies { header: packed, bodies: vec![(seed, body)] })
    }

    /// Repeats something: an entry at another place, or an ack from another life.
    fn replay(&mut self, member: &mut Member, line: &mut Line) {
        let at = member.entropy.below(self.said.len().max(1) as u64) as usize;
        let Some(entry) = self.said.get(at).cloned() else {
            line.say(&Message::Pong { nonce: 1 });
            return;
        };
        let log = line.name(self.log.id);
        if member.entropy.below(3) == 0 {
            line.say(&Message::Ack { logs: vec![(log, 1 + member.entropy.below(9))] });
            return;
        }
        let seq = Entry::decode(&entry).map_or(0, |entry| entry.seq());
        let card = (seq == 0).then(|| short_card(&self.log.card_bytes));
        let signature = member.head(&self.log, seq, self.log.h).signature;
        let run =
            Run { start: seq, h_prev: if seq == 0 { [0; 32] } else { self.log.h }, entries: vec![entry], signature };
        line.say(&Message::Range { log, opens: None, card, run });
    }
}

/// Sends a sealed message whose plaintext is not valid, or that does not open.
fn frame(member: &mut Member, line: &mut Line) {
    match member.entropy.below(8) {
        0 => {
            let bytes = noise(member, 300);
            line.say_raw(&bytes);
        }
        1 => {
            // A message that never ends.
            let mut plain = vec![0x08, 0xff, 0xff, 0x03];
            plain.resize(PLAINTEXT_MAX, 7);
            (0..18).for_each(|_| line.say_plain(&plain));
        }
        2 => line.say_plain(&[]),
        _ => {
            let mut plain = Vec::new();
            for _ in 0..=member.entropy.below(3) {
                let len = member.entropy.below(60) as usize;
                let body: Vec<u8> = (0..len).map(|_| member.entropy.below(18) as u8).collect();
                plain.byte(0x18 | member.entropy.below(8) as u8);
                plain.prefixed(&body);
            }
            spoil(member, &mut plain);
            line.say_plain(&plain);
        }
    }
}

/// Returns a node of a walk that leads nowhere.
fn node(member: &mut Member, id: LogId) -> Node {
    let random: [u8; 16] = member.entropy.bytes();
    let depth = member.entropy.below(8) as usize;
    let scope = if random[0] & 1 == 0 { Scope::Space } else { Scope::Partition(random) };
    let prefix: Vec<u8> = id.0.iter().take(depth).map(|byte| byte >> 4).collect();
    let view = match scope {
        Scope::Partition(_) if depth == 0 => {
            NodeView::Leaf(vec![LeafItem::Log { id, seq: u64::from(random[1]), h: [random[2]; 8] }])
        }
        Scope::Space | Scope::Partition(_) => NodeView::Inner(Box::new([Some(random); 16])),
    };
    Node { scope, prefix, view }
}

/// Flips, sets, removes, inserts or cuts a few bytes.
fn spoil(member: &mut Member, bytes: &mut Vec<u8>) {
    let dice = &mut member.entropy;
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len().max(1) as u64) as usize;
        match dice.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 if dice.below(4) == 0 => bytes.truncate(at),
            _ => bytes.insert(at.min(bytes.len()), dice.below(256) as u8),
        }
    }
}

fn noise(member: &mut Member, len_max: u64) -> Vec<u8> {
    let len = 1 + member.entropy.below(len_max);
    (0..len).map(|_| member.entropy.below(256) as u8).collect()
}

fn encoded(card: &LogCard) -> Bytes {
    let mut bytes = Vec::new();
    card.encode(&mut bytes);
    bytes.into()
}
