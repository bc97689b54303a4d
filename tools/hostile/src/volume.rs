//! Attacks in memory: sieges of two honest peers, one after the other with new stores, until the number of lies is
//! reached.
//!
//! A siege fails if a peer panics, does not come to rest, or reports a failed store or edit, or if the honest peers'
//! documents differ at the end.

use super::Failure;
use cosmicsync_protocol::endpoint::Event;
use cosmicsync_protocol::log::Lane;
use cosmicsync_protocol::testkit::hostile::{Liar, Siege};
use cosmicsync_protocol::testkit::notes::{BODY, doc_id, insert, note};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread;

/// Number of lies in one siege.
const SIEGE: u64 = 2_500;
/// Stack size, in bytes, as large as that of a node's core thread.
const STACK_BYTES: usize = 64 << 20;
/// Number of honest documents; the liar tampers with the last one.
const HONEST: u32 = 4;
/// Number of documents that the liar writes to.
const LIARS: u32 = 60;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Total number of lies
    #[arg(long, default_value_t = 10_000)]
    lies: u64,
    /// Number of concurrent sieges
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Seed of the random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Counts of the lies and of the ends of links.
#[derive(Debug, Default)]
struct Tally {
    lies: BTreeMap<&'static str, u64>,
    closes: BTreeMap<u16, u64>,
    differing: u64,
    failures: Vec<String>,
}

/// Runs the attack. Described on the module's page.
pub(super) fn run(args: &Args) -> Result<Value, Failure> {
    let sieges = args.lies.div_ceil(SIEGE);
    let workers = (0..args.threads.max(1)).map(|worker| {
        let (threads, seed) = (args.threads.max(1), args.seed);
        let work = move || {
            let mut tally = Tally::default();
            for siege in (0..sieges).filter(|siege| siege % threads == worker) {
                lay(seed.wrapping_mul(1_000_003).wrapping_add(siege), &mut tally);
            }
            tally
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(work)
    });
    let workers = workers.collect::<Result<Vec<_>, _>>()?;
    let mut all = Tally::default();
    for worker in workers {
        let tally = worker.join().map_err(|_| "a siege panicked")?;
        tally.lies.into_iter().for_each(|(kind, count)| *all.lies.entry(kind).or_default() += count);
        tally.closes.into_iter().for_each(|(code, count)| *all.closes.entry(code).or_default() += count);
        all.differing += tally.differing;
        all.failures.extend(tally.failures);
    }
    let closes: BTreeMap<String, u64> = all.closes.into_iter().map(|(code, count)| (code.to_string(), count)).collect();
    Ok(json!({
        "total": all.lies.values().sum::<u64>(), "lies": all.lies, "closes": closes,
        "differing": all.differing, "failures": all.failures,
    }))
}

fn lay(seed: u64, tally: &mut Tally) {
    let mut siege = Siege::lay();
    siege.member.reseed(seed);
    let docs: Vec<_> = (0..HONEST).map(|at| siege.net.peers[0].create(doc_id(at), note(""), BODY)).collect();
    siege.press();
    let log = siege.announced_log(Lane::Live);
    let mut liar = Liar::new(log, (HONEST - 1..LIARS).map(doc_id).collect());
    for at in 0..SIEGE {
        let lie = siege.endure(&mut liar);
        *tally.lies.entry(lie.name()).or_default() += 1;
        if at % 25 == 0 {
            let turn = at / 25;
            let peer = &mut siege.net.peers[(turn % 2) as usize];
            let doc = peer.open(docs[turn as usize % docs.len()].doc);
            if let Err(error) = peer.edit(doc, insert(0, "a"), BODY) {
                tally.failures.push(format!("siege {seed}, lie {at}: an edit failed: {error}"));
            }
            let doc = siege.net.peers[0].open(doc_id(HONEST + turn as u32 % (LIARS - HONEST)));
            siege.press();
            let founder = &mut siege.net.peers[0];
            founder.endpoint.view(doc);
            founder.endpoint.close(founder.now, doc);
        }
        if siege.net.peers.iter().flat_map(|peer| &peer.events).any(is_failure) {
            tally.failures.push(format!("siege {seed}, lie {at}: a store or an edit failed"));
        }
    }
    siege.net.cut();
    siege.net.dial(1, 0);
    siege.net.run();
    let differs = |siege: &mut Siege, doc| siege.net.peers[0].value(doc) != siege.net.peers[1].value(doc);
    tally.differing += (0..HONEST - 1).filter(|at| differs(&mut siege, doc_id(*at))).count() as u64;
    siege.closes.iter().for_each(|(code, count)| *tally.closes.entry(*code).or_default() += count);
}

const fn is_failure(event: &Event) -> bool {
    matches!(event, Event::StoreFailed { .. } | Event::EditsFailed { .. })
}
