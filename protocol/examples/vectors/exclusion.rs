//! Forked logs: the kept history, and the entries of a document that are excluded with the others.

use crate::hex;
use cosmicsync_protocol::branch::{At, Citation, Forks, Histories, Part, excluded, keep};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::ids::{DeviceId, LogId, UserId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CASES: u8 = 12;

/// The chain hashes of each history of one log.
#[derive(Debug, Clone)]
struct Chains(Vec<Vec<[u8; 32]>>);

impl Histories for Chains {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn hash(&self, history: usize, seq: u64) -> Option<[u8; 32]> {
        self.0[history].get(seq as usize).copied()
    }

    fn split(&self, a: usize, b: usize) -> u64 {
        self.0[a].iter().zip(&self.0[b]).take_while(|(a, b)| a == b).count() as u64
    }
}

/// All logs. Logs with several histories are forked; the kept one of each is known.
struct Logs(BTreeMap<LogId, (Chains, usize)>);

impl Logs {
    fn on(&self, at: &At) -> Option<usize> {
        let (chains, _) = self.0.get(&at.log)?;
        (0..chains.count()).find(|history| chains.hash(*history, at.seq).is_some_and(|h| h[..8] == at.h))
    }
}

impl Forks for Logs {
    fn is_kept(&self, at: &At) -> bool {
        let (chains, kept) = &self.0[&at.log];
        chains.count() == 1 || chains.hash(*kept, at.seq).is_some_and(|h| h[..8] == at.h)
    }

    fn shared(&self, a: &At, b: &At) -> u64 {
        if a.log != b.log {
            return 0;
        }
        let (chains, _) = &self.0[&a.log];
        let to = a.seq.min(b.seq) + 1;
        if chains.count() == 1 {
            return to;
        }
        let (Some(of_a), Some(of_b)) = (self.on(a), self.on(b)) else { return 0 };
        if of_a == of_b { to } else { chains.split(of_a, of_b).min(to) }
    }
}

pub(crate) fn exclusion() -> Value {
    let mut entropy = Entropy::new([31; 32]);
    json!({
        "kept": (0..CASES).map(|at| kept(at, &mut entropy)).collect::<Vec<_>>(),
        "excluded": (0..CASES).map(|_| left_out(&mut entropy)).collect::<Vec<_>>(),
    })
}

/// Makes a log's histories, none the beginning of another.
fn chains(histories: u64, entropy: &mut Entropy) -> Chains {
    let fresh = |entropy: &mut Entropy, count: u64| (0..count).map(|_| entropy.bytes()).collect::<Vec<[u8; 32]>>();
    let length = 3 + entropy.below(3);
    let mut chains = vec![fresh(entropy, length)];
    for _ in 1..histories {
        let from = entropy.below(chains.len() as u64) as usize;
        let split = entropy.below(chains[from].len() as u64) as usize;
        let mut chain = chains[from][..split].to_vec();
        let length = 1 + entropy.below(3);
        chain.extend(fresh(entropy, length));
        chains.push(chain);
    }
    Chains(chains)
}

fn kept(at: u8, entropy: &mut Entropy) -> Value {
    let chains = chains(2 + u64::from(at) % 3, entropy);
    // Three users of two devices each.
    let who = |number: u64| (UserId([number as u8 / 2; 32]), DeviceId([0x40 + number as u8; 32]));
    let author = (at > 0).then(|| who(0));
    let count = u64::from(at) % 7;
    let citations: BTreeSet<Citation> = (0..count)
        .map(|_| {
            let (user, device) = who(entropy.below(6));
            let history = &chains.0[entropy.below(chains.0.len() as u64) as usize];
            let seq = entropy.below(history.len() as u64);
            Citation { user, device, seq, h: short(&history[seq as usize]) }
        })
        .collect();
    let chosen = keep(&chains, author, &citations);
    let cited = |c: &Citation| json!({ "user": hex(c.user), "device": hex(c.device), "seq": c.seq, "h": hex(c.h) });
    summed(json!({
        "histories": shown(&chains),
        "author": author.map(|(user, device)| json!({ "user": hex(user), "device": hex(device) })),
        "citations": citations.iter().map(cited).collect::<Vec<_>>(),
        "kept": chosen,
    }))
}

fn left_out(entropy: &mut Entropy) -> Value {
    let logs = [1, 1, 2 + entropy.below(2)].into_iter().enumerate().map(|(at, histories)| {
        let chains = chains(histories, entropy);
        let kept = entropy.below(chains.0.len() as u64) as usize;
        (LogId([at as u8; 32]), (chains, kept))
    });
    let logs = Logs(logs.collect());
    let all: BTreeSet<At> = logs
        .0
        .iter()
        .flat_map(|(log, (chains, _))| chains.0.iter().map(move |chain| (log, chain)))
        .flat_map(|(log, chain)| (0..).zip(chain).map(|(seq, h)| At { log: *log, seq, h: short(h) }))
        .collect();
    let all: Vec<At> = all.into_iter().collect();
    let mut parts = Vec::new();
    for at in &all {
        if entropy.below(4) == 0 {
            continue;
        }
        let deps = (0..entropy.below(3)).map(|_| all[entropy.below(all.len() as u64) as usize]);
        let deps = deps.filter(|dep| dep.log != at.log).collect();
        parts.push(Part { key: parts.len(), at: *at, deps });
    }
    let out = excluded(&parts, &logs);
    let log = |(id, (chains, kept)): (&LogId, &(Chains, usize))| json!({ "log": hex(id), "histories": shown(chains), "kept": kept });
    let at = |at: &At| json!({ "log": hex(at.log), "seq": at.seq, "h": hex(at.h) });
    let entry =
        |part: &Part<usize>| json!({ "at": at(&part.at), "deps": part.deps.iter().map(at).collect::<Vec<_>>() });
    summed(json!({
        "logs": logs.0.iter().map(log).collect::<Vec<_>>(),
        "entries": parts.iter().map(entry).collect::<Vec<_>>(),
        "excluded": out,
    }))
}

fn short(h: &[u8; 32]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&h[..8]);
    short
}

fn shown(chains: &Chains) -> Vec<Vec<String>> {
    chains.0.iter().map(|chain| chain.iter().map(hex).collect()).collect()
}

/// Adds a hash to a case: in most cases, some members change nothing.
fn summed(mut case: Value) -> Value {
    case["sum"] = json!(hex(blake3::hash(case.to_string().as_bytes()).as_bytes()));
    case
}
