//! Demands at the end of a run: the replicas are equal in time, and hold every acknowledged write.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use cosmicsync_sim::plan::Plan;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Client;
use super::fleet::Fleet;
use super::peer::Peer;
use super::work::{Acked, COLLECTION, Done};

/// Interval of comparisons.
const POLL: Duration = Duration::from_millis(100);
/// Most lost writes that are named.
const NAMED: usize = 5;

/// A demand that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Violation {
    /// The oracle (`spec/invariants.md`), or `process`.
    pub(super) oracle: &'static str,
    /// Description.
    pub(super) text: String,
}

impl Violation {
    pub(super) fn new(oracle: &'static str, text: impl Into<String>) -> Self {
        Self { oracle, text: text.into() }
    }
}

/// Result of the comparison.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// Time from the end of faults until all were equal.
    pub(super) converged: Option<Duration>,
    /// Number of acknowledged writes that were looked for, over all replicas.
    pub(super) checks: u64,
    /// Number of documents of each replica.
    pub(super) documents: u64,
    /// Violations.
    pub(super) violations: Vec<Violation>,
}

/// Returns the time that the peers have to become equal.
pub(super) fn bound(plan: &Plan) -> Duration {
    let round_trip = plan.links.iter().map(|link| 2 * (link.latency_us + link.jitter_us)).max().unwrap_or(0);
    Duration::from_micros(plan.bounds.converge_us + u64::from(plan.bounds.round_trips) * round_trip)
}

/// Waits until the replicas of these peers are equal, then looks for every acknowledged write.
pub(super) fn judge(plan: &Plan, fleet: &Fleet, alive: &[usize], done: &[Done]) -> Judgement {
    let healed = fleet.began + Duration::from_micros(plan.bounds.phase_one_us);
    let mut judgement = Judgement::default();
    let whole: Vec<&Peer> =
        alive.iter().filter(|peer| !plan.peers[**peer].partial).map(|peer| &*fleet.peers[*peer]).collect();
    let mut clients: Vec<Option<Client>> = whole.iter().map(|_| None).collect();
    let bound = bound(plan);
    loop {
        let digests: Vec<String> = whole.iter().zip(&mut clients).map(|(peer, client)| digest(peer, client)).collect();
        if digests.iter().all(|digest| digest.starts_with('"') && *digest == digests[0]) {
            judgement.converged = Some(healed.elapsed());
            break;
        }
        if healed.elapsed() > bound {
            let seen: Vec<String> =
                whole.iter().zip(&digests).map(|(peer, digest)| format!("peer {}: {digest}", peer.number)).collect();
            let text = format!("the replicas did not become equal within {} s: {}", bound.as_secs(), seen.join("; "));
            judgement.violations.push(Violation::new("O8", text));
            break;
        }
        thread::sleep(POLL);
    }
    let acked = demanded(fleet, alive, done);
    let deleted: BTreeSet<&str> = done.iter().flat_map(|done| &done.deleted).map(String::as_str).collect();
    let mut first: Option<BTreeMap<String, String>> = None;
    for peer in &whole {
        let documents = match documents(peer) {
            Ok(documents) => documents,
            Err(error) => {
                judgement.violations.push(Violation::new("process", error));
                continue;
            }
        };
        judgement.checks += acked.len() as u64;
        let lost: Vec<&&Acked> = acked
            .iter()
            .filter(|acked| match documents.get(&acked.doc) {
                Some(value) => !value.contains(&acked.token),
                None => !deleted.contains(acked.doc.as_str()),
            })
            .collect();
        if !lost.is_empty() {
            let named: Vec<String> =
                lost.iter().take(NAMED).map(|a| format!("{} of peer {} in {}", a.token, a.peer, a.doc)).collect();
            let (number, count) = (peer.number, lost.len());
            let text = format!("peer {number} lacks {count} acknowledged writes, such as {}", named.join(", "));
            judgement.violations.push(Violation::new("O2", text));
        }
        judgement.documents = documents.len() as u64;
        if let (Some(first), true) = (&first, judgement.converged.is_some()) {
            let differs = |key: &&String| first.get(*key) != documents.get(*key);
            if let Some(key) = first.keys().chain(documents.keys()).find(differs) {
                let text = format!("{key} differs between peer {} and peer {}", whole[0].number, peer.number);
                judgement.violations.push(Violation::new("O1", text));
            }
        }
        first.get_or_insert(documents);
    }
    judgement
}

/// Returns the acknowledged writes that must be there: not those that a restore took back, or that a peer took along
/// that is gone for good.
fn demanded<'a>(fleet: &Fleet, alive: &[usize], done: &'a [Done]) -> Vec<&'a Acked> {
    let acked = done.iter().flat_map(|done| &done.tokens);
    acked.filter(|acked| alive.contains(&acked.peer) && !fleet.peers[acked.peer].took_back(acked.at)).collect()
}

/// Returns a replica's digest as JSON, or the reason why there is none.
fn digest(peer: &Peer, client: &mut Option<Client>) -> String {
    if client.is_none() {
        match peer.client() {
            Ok(connected) => *client = Some(connected),
            Err(error) => return error.to_string(),
        }
    }
    let Some(connection) = client else { return String::new() };
    match connection.call("digest", json!({})) {
        Ok(reply) => reply.get("digest").map(Value::to_string).unwrap_or_default(),
        Err(error) => {
            *client = None;
            error.to_string()
        }
    }
}

/// Returns the documents of a replica, by key, as JSON.
fn documents(peer: &Peer) -> Result<BTreeMap<String, String>, String> {
    let mut documents = BTreeMap::new();
    let mut take = |item: Value| {
        if let Some(document) = item.get("document") {
            let key = document.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
            documents.insert(key, document.get("value").map(Value::to_string).unwrap_or_default());
        }
    };
    let list = json!({ "collection": COLLECTION, "values": true });
    let listed = peer.client().and_then(|mut client| client.call_each("doc_list", list, &[], &mut take));
    match listed {
        Err(error) if error.code() != "not_found" => Err(format!("peer {}: doc_list: {error}", peer.number)),
        Ok(_) | Err(_) => Ok(documents),
    }
}
