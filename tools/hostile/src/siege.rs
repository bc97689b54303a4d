//! Attacks over sockets: joins a space like an honest device, then attacks the inviter until told to stop.
//!
//! In turn: lies of all kinds over links that are dialled again whenever the node ends them; a link that requests
//! everything and reads nothing; one whose messages never end; and replayed bytes of an earlier link. Meanwhile a crowd
//! of strangers holds as many connections as the node allows. The siege ends when its standard input does.

use super::Failure;
use super::crowd::{self, Counts};
use super::wire::{Wire, now};
use cosmicsync_protocol::endpoint::{Dial, Event};
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::log::Lane;
use cosmicsync_protocol::sealed::Invite;
use cosmicsync_protocol::testkit::hostile::{Liar, Line, Member};
use cosmicsync_protocol::testkit::notes::doc_id;
use cosmicsync_protocol::testkit::peer::Peer;
use cosmicsync_protocol::wire::message::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time for the join.
const JOIN: Duration = Duration::from_secs(30);
/// Longest time for lies on one link.
const LINK: Duration = Duration::from_secs(4);
/// Time for which a link that does not read is held.
const DEAF: Duration = Duration::from_secs(2);
/// Number of documents that the liar writes to.
const DOCS: u32 = 60;
/// Name for links that end without a code, because the connection was closed.
const NO_CODE: &str = "none";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The line of the invite
    #[arg(long)]
    invite: String,
    /// Number of strangers' connections
    #[arg(long, default_value_t = 10_000)]
    strangers: u64,
    /// Seed of the random choices
    #[arg(long, default_value_t = 1)]
    seed: u8,
    /// Documents to tamper with, as COLLECTION/KEY
    #[arg(long)]
    meddle: Vec<String>,
}

/// Counts of the attack.
#[derive(Debug, Default)]
struct Tally {
    lies: BTreeMap<&'static str, u64>,
    closes: BTreeMap<String, u64>,
    links: u64,
    refused: u64,
    /// Number of requests on links that read nothing.
    asked: u64,
    heard: Vec<u8>,
}

/// Runs the siege. Described on the module's page.
pub(super) fn run(args: &Args) -> Result<Value, Failure> {
    let invite = Invite::parse(&args.invite)?;
    let address = invite.addresses().first().ok_or("the invite has no address")?.clone();
    let to = address.to_socket_addrs()?.next().ok_or("the address names nobody")?;
    let mut member = join(invite, to, args.seed)?;
    member.reseed(args.seed.into());
    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Counts::default());
    let crowd = {
        let (stop, counts, strangers) = (Arc::clone(&stop), Arc::clone(&counts), args.strangers);
        thread::spawn(move || crowd::run(to, strangers, &counts, &stop))
    };
    {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            // The siege ends with its standard input, also after an error.
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let meddled = args.meddle.iter().filter_map(|name| name.split_once('/'));
    let mut docs: Vec<DocId> = meddled.map(|(collection, key)| member.doc(collection, key)).collect();
    docs.extend((0..DOCS).map(doc_id));
    let mut tally = Tally::default();
    let main = member.main();
    // Acts as if the log were full: the liar opens and announces another one before it writes.
    let mut log = member.new_log(main, Lane::Live);
    log.seq = u64::MAX;
    let mut liar = Liar::new(log, docs);
    while !stop.load(Ordering::Relaxed) {
        let Some((wire, line)) = open(&mut member, to, &mut tally)? else { continue };
        match tally.links % 24 {
            10 => deaf(&mut member, wire, line, &stop, &mut tally),
            11 => endless(wire, line, &stop, &mut tally),
            9 => replay(wire, line, &mut tally),
            _ => lie(&mut member, &mut liar, wire, line, &stop, &mut tally),
        }
    }
    crowd.join().map_err(|_| "the crowd panicked")??;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(json!({
        "total": tally.lies.values().sum::<u64>(), "lies": tally.lies, "closes": tally.closes, "links": tally.links,
        "links_refused": tally.refused, "asked": tally.asked, "strangers": count(&counts.made), "strangers_refused": count(&counts.refused),
        "strangers_ended": count(&counts.ended), "strangers_answered": count(&counts.answered),
    }))
}

/// Joins with an honest endpoint, waits for the keys, and becomes hostile.
fn join(invite: Invite, to: SocketAddr, seed: u8) -> Result<Member, Failure> {
    let began = Instant::now();
    let mut peer = Peer::new(seed);
    peer.now = now(began);
    let joined = carry(&mut peer, Dial::Join(Box::new(invite)), to, began, |peer| {
        peer.events.iter().any(|event| matches!(event, Event::Joined { .. }))
    })?;
    if !joined {
        return Err(format!("the node did not let it join: {:?}", peer.events).into());
    }
    let ready = carry(&mut peer, Dial::Sync, to, began, |peer| peer.endpoint.spaces().any(|space| space.readable))?;
    if ready { Ok(Member::of(&peer, seed)) } else { Err("the keys did not come".into()) }
}

/// Drives an honest endpoint over one connection until `done` returns true or the time is up.
fn carry(
    peer: &mut Peer,
    dial: Dial,
    to: SocketAddr,
    began: Instant,
    done: impl Fn(&Peer) -> bool,
) -> Result<bool, Failure> {
    let mut wire = Wire::dial(to)?;
    peer.now = now(began);
    let link = peer.endpoint.handle_link_up(peer.now, Some(dial));
    let until = Instant::now() + JOIN;
    while !done(peer) && !wire.is_over && Instant::now() < until {
        let mut out = Vec::new();
        while peer.endpoint.poll_transmit(peer.now, link, &mut out) {}
        wire.write(&out);
        let bytes = wire.read();
        peer.now = now(began);
        peer.endpoint.handle_bytes(peer.now, link, &bytes);
        peer.settle();
    }
    // The last message of the handshake may still be pending.
    let mut out = Vec::new();
    while peer.endpoint.poll_transmit(peer.now, link, &mut out) {}
    wire.write(&out);
    peer.endpoint.handle_link_lost(peer.now, link);
    peer.settle();
    Ok(done(peer))
}

/// Dials, performs the handshake and opens the space. Returns `None` if the node did not accept the connection.
fn open(member: &mut Member, to: SocketAddr, tally: &mut Tally) -> Result<Option<(Wire, Line)>, Failure> {
    let Ok(mut wire) = Wire::dial(to) else {
        tally.refused += 1;
        thread::sleep(Duration::from_millis(50));
        return Ok(None);
    };
    let mut line = Line::dial(member);
    let until = Instant::now() + Duration::from_secs(10);
    while !line.is_open() && !wire.is_over && Instant::now() < until {
        wire.write(&line.drain());
        let bytes = wire.read();
        line.take(&bytes);
    }
    if !line.is_open() {
        tally.refused += 1;
        return Ok(None);
    }
    tally.links += 1;
    line.open_space(member, 1, None, [9; 16]);
    Ok(Some((wire, line)))
}

/// Writes the pending bytes and reads the received ones.
fn exchange(wire: &mut Wire, line: &mut Line, tally: &mut Tally) {
    let out = line.drain();
    if tally.heard.len() < 64 * 1024 {
        tally.heard.extend_from_slice(&out);
    }
    wire.write(&out);
    let bytes = wire.read();
    line.take(&bytes);
    line.heard.clear();
}

/// Records the end of a link; a link that the node did not end is dropped.
fn note(wire: &mut Wire, line: &mut Line, tally: &mut Tally) {
    let until = Instant::now() + Duration::from_millis(200);
    while line.closed.is_none() && !wire.is_over && Instant::now() < until {
        let bytes = wire.read();
        line.take(&bytes);
    }
    let code = line.closed.map_or_else(|| NO_CODE.to_owned(), |code| code.to_string());
    if line.closed.is_some() || wire.is_over {
        *tally.closes.entry(code).or_default() += 1;
    }
}

fn lie(member: &mut Member, liar: &mut Liar, mut wire: Wire, mut line: Line, stop: &AtomicBool, tally: &mut Tally) {
    let until = Instant::now() + LINK;
    while line.closed.is_none() && !wire.is_over && Instant::now() < until && !stop.load(Ordering::Relaxed) {
        let kind = liar.lie(member, &mut line);
        *tally.lies.entry(kind.name()).or_default() += 1;
        exchange(&mut wire, &mut line, tally);
    }
    note(&mut wire, &mut line, tally);
}

/// Requests everything repeatedly and reads nothing.
fn deaf(member: &mut Member, mut wire: Wire, mut line: Line, stop: &AtomicBool, tally: &mut Tally) {
    let names: Vec<_> = member.known.keys().copied().map(|id| line.name(id)).collect();
    let until = Instant::now() + DEAF;
    while !wire.is_over && Instant::now() < until && !stop.load(Ordering::Relaxed) {
        for log in &names {
            line.say(&Message::Want { log: *log, from: 0, to: 1 << 60, again: true });
        }
        tally.asked += names.len() as u64;
        wire.write(&line.drain());
    }
    note(&mut wire, &mut line, tally);
}

/// Begins messages that never end, a few bytes at a time, and then one that is too long.
fn endless(mut wire: Wire, mut line: Line, stop: &AtomicBool, tally: &mut Tally) {
    let mut first = true;
    let until = Instant::now() + DEAF;
    while line.closed.is_none() && !wire.is_over && !stop.load(Ordering::Relaxed) {
        let slow = Instant::now() < until;
        let len = if slow { 3 } else { 60_000 };
        let mut plain = vec![if first { 0x08 } else { 0x00 }];
        plain.extend(if slow { vec![3] } else { vec![0xe0, 0xd4, 0x03] });
        plain.resize(plain.len() + len, 7);
        line.say_plain(&plain);
        first = false;
        *tally.lies.entry("frames").or_default() += 1;
        exchange(&mut wire, &mut line, tally);
        if slow {
            thread::sleep(Duration::from_millis(100));
        }
    }
    note(&mut wire, &mut line, tally);
}

/// Sends the sealed bytes of an earlier link.
fn replay(mut wire: Wire, mut line: Line, tally: &mut Tally) {
    line.say_raw(&core::mem::take(&mut tally.heard));
    *tally.lies.entry("replays").or_default() += 1;
    exchange(&mut wire, &mut line, tally);
    note(&mut wire, &mut line, tally);
}
