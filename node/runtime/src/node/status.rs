//! The state of the node, and the diagnosis of its problems.

use super::Acting;
use super::blame::{ON_FIRST_DEVICE, snapshot_error};
use super::docs::{name, partition};
use super::handle::unexpected;
use super::peers::peers;
use crate::driver::{Core, Trouble};
use crate::service::utc_text;
use crate::service::{
    DocRef, EntryBytes, ErrorCode, Finding, Level, Peer, PeerState, Reply, RevisionKind, ServiceError, SpaceRef,
    Status, Store, Text, Traffic, bytes_text, quoted,
};
use crate::store::{SYNC_FAILED_FILE, StoreStats};
use cosmicsync_data::database::request::{Answer, Request};
use cosmicsync_protocol::documents::Missing;
use cosmicsync_protocol::endpoint::Endpoint;
use cosmicsync_protocol::ids::{DeviceId, EntryRef, UserId};
use cosmicsync_protocol::log::Weight;
use cosmicsync_protocol::storage::Table;
use std::sync::{Arc, PoisonError};

/// Size of the rows that `doctor` reads at a time, in bytes.
const ROWS_BYTES: usize = 4 << 20;

/// The core's state at one moment.
struct Facts {
    name: String,
    device: DeviceId,
    user: Option<UserId>,
    /// True if the user key is on this device; invites need it.
    founder: bool,
    listen: Option<String>,
    paused: bool,
    logs: u64,
    entries: u64,
    written: EntryBytes,
    traffic: Traffic,
    peers: Vec<Peer>,
    /// Number of other devices that share a space with this one.
    others: u64,
    outage: Option<ServiceError>,
    troubles: Vec<Trouble>,
    missing: Vec<(String, u64, bool)>,
}

/// The parts that a document lacks.
pub(super) struct Explained {
    exists: bool,
    /// True if the document is here and deleted.
    pub(super) deleted: bool,
    missing: Vec<Missing>,
    unread: Vec<EntryRef>,
}

impl Acting<'_> {
    pub(super) async fn status(&self) -> Result<Reply, ServiceError> {
        let spaces = match self.spaces().await {
            Err(error) if error.code == ErrorCode::StoreFull => self.remembered_spaces().await?,
            spaces => spaces?,
        };
        let facts = self.handle()?.with(|core| facts(core)).await?;
        let store = Store {
            path: self.dir.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default(),
            format: 1,
            bytes: self.store_bytes(),
            bytes_max: self.limit.bytes,
            logs: facts.logs,
            entries: facts.entries,
            written: facts.written,
            error: facts.outage.map(|error| error.message),
        };
        Ok(Reply::Status(Box::new(Status {
            name: facts.name,
            device: Text(facts.device),
            user: facts.user.map(Text),
            recovery_key: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            daemon: self.daemon,
            listen: facts.listen,
            http: self.http.get().cloned(),
            paused: self.daemon && facts.paused,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            store,
            traffic: facts.traffic,
            spaces,
            peers: facts.peers,
        })))
    }

    pub(super) async fn doctor(&self, space: SpaceRef, doc: Option<DocRef>) -> Result<Reply, ServiceError> {
        if let Some(doc) = doc {
            return self.explain(space, doc).await.map(Reply::Doctor);
        }
        let facts = self.handle()?.with(|core| facts(core)).await?;
        let mut findings = vec![self.store_finding(&facts).await];
        findings.push(self.rows_finding().await);
        findings.extend(self.disk_finding());
        findings.push(if facts.user.is_some() {
            finding(Level::Ok, "user", "this device belongs to a user".to_owned())
        } else {
            Finding {
                next: Some("cosmicsync space join LINE".to_owned()),
                ..finding(
                    Level::Warning,
                    "user",
                    "this device has no user yet: it gets one when it joins a space; `init` is for the first device"
                        .to_owned(),
                )
            }
        });
        if self.daemon {
            let message = match &facts.listen {
                Some(address) if !facts.paused => format!("listens on {address}"),
                Some(_) | None => "links are paused".to_owned(),
            };
            let level = if facts.paused { Level::Warning } else { Level::Ok };
            let next = facts.paused.then(|| "cosmicsync peer resume".to_owned());
            findings.push(Finding { next, ..finding(level, "links", message) });
            let outage = facts.outage.is_some();
            findings.extend(facts.peers.iter().map(|peer| peer_finding(peer, &facts.peers, outage)));
            if facts.others > 0 && facts.peers.is_empty() && !facts.paused {
                let message =
                    "no address of another device is known and none has dialled this one: add where one listens";
                let next = Some("cosmicsync peer add HOST:PORT".to_owned());
                findings.push(Finding { next, ..finding(Level::Warning, "peers", message.to_owned()) });
            }
        }
        for (space, missing, readable) in &facts.missing {
            findings.push(space_finding(space, *missing, *readable));
        }
        for trouble in &facts.troubles {
            findings.push(trouble_finding(*trouble, facts.device, facts.founder));
        }
        Ok(Reply::Doctor(findings))
    }

    /// Reads every row of the store and verifies its seal or checksum.
    async fn rows_finding(&self) -> Finding {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        let read = tokio::task::spawn_blocking(move || {
            let store = store.ok_or_else(crate::driver::stopping)?;
            let snapshot = store.snapshot().map_err(|error| snapshot_error(&error))?;
            drop(store);
            let mut rows = 0u64;
            for table in Table::ALL {
                let mut after: Option<bytes::Bytes> = None;
                loop {
                    let found = snapshot.rows(table, after.as_deref(), ROWS_BYTES);
                    let found = found.map_err(|error| snapshot_error(&error))?;
                    let Some((last, _)) = found.last() else { break };
                    after = Some(last.clone());
                    rows += found.len() as u64;
                }
            }
            Ok::<_, ServiceError>(rows)
        });
        match read.await.unwrap_or_else(|_| Err(crate::driver::stopping())) {
            Ok(rows) => finding(Level::Ok, "rows", format!("{rows} read, and all are as they were written")),
            Err(error) if error.code == ErrorCode::StoreDamaged => {
                Finding { next: error.next, ..finding(Level::Problem, "rows", error.message) }
            }
            Err(error) => Finding { next: error.next, ..finding(Level::Warning, "rows", error.message) },
        }
    }

    async fn store_stats(&self) -> Result<StoreStats, ServiceError> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        let Some(store) = store else { return Ok(StoreStats::default()) };
        let stats = tokio::task::spawn_blocking(move || store.stats()).await.map_err(|_| crate::driver::stopping())?;
        stats.map_err(|error| ServiceError::new(ErrorCode::Unavailable, error.to_string()))
    }

    async fn store_finding(&self, facts: &Facts) -> Finding {
        if let Some(error) = &facts.outage {
            let message = format!("{}. The node goes on by itself once there is room", error.message);
            return Finding { next: error.next.clone(), ..finding(Level::Problem, "store", message) };
        }
        let problem =
            |error: ServiceError| Finding { next: error.next, ..finding(Level::Problem, "store", error.message) };
        if let Err(error) = self.check_room() {
            return problem(error);
        }
        match self.store_stats().await {
            Ok(stats) => {
                let message = format!(
                    "{} entries in {} logs; {} of at most {}, of which {} are free to be used again",
                    facts.entries,
                    facts.logs,
                    bytes_text(self.store_bytes()),
                    bytes_text(self.limit.bytes),
                    bytes_text(stats.free_pages * stats.page_bytes),
                );
                finding(Level::Ok, "store", message)
            }
            Err(error) => problem(error),
        }
    }

    fn disk_finding(&self) -> Option<Finding> {
        let message = "the disk failed to confirm a write: check it, then start the node again".to_owned();
        self.dir.as_ref()?.join(SYNC_FAILED_FILE).exists().then(|| finding(Level::Problem, "disk", message))
    }

    /// Finds the parts that a document lacks.
    pub(super) async fn explained(&self, space: SpaceRef, doc: DocRef) -> Result<Explained, ServiceError> {
        let answer = self
            .handle()?
            .ask(move |core| Ok(Request::Explain { partition: partition(core, &space)?, name: name(doc) }))
            .await?;
        let Answer::Explained { exists, deleted, missing, unread } = answer else { return Err(unexpected()) };
        Ok(Explained { exists, deleted, missing, unread })
    }

    /// Explains why a document is absent or incomplete.
    async fn explain(&self, space: SpaceRef, doc: DocRef) -> Result<Vec<Finding>, ServiceError> {
        let subject = doc.to_string();
        let handle = self.handle()?;
        let Explained { exists, deleted, missing, unread } = self.explained(space.clone(), doc.clone()).await?;
        let lines = handle
            .with(move |core| {
                let endpoint = core.db.endpoint();
                let lacks = missing.iter().map(|missing| missing_text(endpoint, missing));
                let waits = unread.iter().map(|at| {
                    (
                        Level::Warning,
                        format!("{} is here but was not read: its log is not admitted yet", place(endpoint, *at)),
                    )
                });
                lacks.chain(waits).collect::<Vec<_>>()
            })
            .await?;
        let mut findings: Vec<_> =
            lines.into_iter().map(|(level, message)| finding(level, &subject, message)).collect();
        if !exists && findings.is_empty() {
            let next = Some("cosmicsync space wait".to_owned());
            let message = "no entry known to this device names it".to_owned();
            findings.push(Finding { next, ..finding(Level::Warning, &subject, message) });
        } else if deleted {
            findings.insert(0, self.deletion(space, doc).await?);
        } else if findings.is_empty() {
            findings.push(finding(Level::Ok, &subject, "the document is complete here".to_owned()));
        }
        Ok(findings)
    }

    /// Describes a deletion: its time, and the device that made it.
    async fn deletion(&self, space: SpaceRef, doc: DocRef) -> Result<Finding, ServiceError> {
        let subject = doc.to_string();
        let (revisions, _) = self.history(space, doc, usize::MAX).await?;
        let mut message = "deleted".to_owned();
        if let Some(by) = revisions.iter().find(|revision| revision.kind == RevisionKind::Deleted) {
            let device = by.device.as_ref().map(ToString::to_string);
            let who = by.name.clone().or(device).unwrap_or_else(|| "a device that is not known".to_owned());
            message = format!("deleted at {} by {who}", utc_text(by.at));
        }
        let next = Some(format!("cosmicsync doc history {}", quoted(&subject)));
        Ok(Finding { next, ..finding(Level::Ok, &subject, message) })
    }
}

fn facts(core: &Core) -> Facts {
    let endpoint = core.db.endpoint();
    let stats = endpoint.stats();
    let infos = stats.links;
    let missing = |space: cosmicsync_protocol::endpoint::SpaceInfo| {
        let name = if space.name.is_empty() { space.id.to_string() } else { space.name };
        (name, core.missing(space.no), space.readable)
    };
    Facts {
        name: core.name.clone(),
        device: endpoint.device(),
        user: endpoint.credential().map(cosmicsync_protocol::identity::VerifiedCredential::user),
        founder: endpoint.has_user_key(),
        listen: core.listen.map(|address| address.to_string()),
        paused: core.peers.is_paused(),
        logs: endpoint.logs().count() as u64,
        entries: endpoint.logs().map(|log| log.held).sum(),
        written: written(&stats.written),
        traffic: core.links.total(&infos),
        peers: peers(core),
        others: endpoint.spaces().map(|space| (space.devices.len() as u64).saturating_sub(1)).sum(),
        outage: core.outage.clone(),
        troubles: core.troubles.iter().copied().collect(),
        missing: endpoint.spaces().map(missing).collect(),
    }
}

const fn written(weight: &Weight) -> EntryBytes {
    EntryBytes {
        entries: weight.entries,
        items: weight.items,
        fields: weight.fields,
        lengths: weight.lengths,
        tags: weight.tags,
        ids: weight.ids,
        headers: weight.headers,
        key_boxes: weight.key_boxes,
        records: weight.records,
        bodies: weight.bodies,
        open: weight.open,
    }
}

fn finding(level: Level, subject: &str, message: String) -> Finding {
    Finding { level, subject: subject.to_owned(), message, next: None }
}

fn peer_finding(peer: &Peer, all: &[Peer], outage: bool) -> Finding {
    let subject = format!("peer {}", peer.address);
    match (peer.state, &peer.error) {
        (PeerState::Connected, _) if peer.behind + peer.ahead == 0 => {
            finding(Level::Ok, &subject, "connected, in step".to_owned())
        }
        (PeerState::Connected, _) => {
            let message = format!("connected, {} entries behind and {} ahead", peer.behind, peer.ahead);
            finding(Level::Ok, &subject, message)
        }
        (PeerState::Away, _) => {
            let seen = peer.seen_at.map_or_else(|| "never".to_owned(), utc_text);
            finding(Level::Ok, &subject, format!("not connected, last seen {seen}; it dials this device"))
        }
        (PeerState::Paused, _) => finding(Level::Ok, &subject, "paused".to_owned()),
        (PeerState::Waiting | PeerState::Connecting, _) if outage => {
            finding(Level::Warning, &subject, "not connected: this node's store accepts no writes".to_owned())
        }
        (PeerState::Waiting | PeerState::Connecting, error) => {
            let Some(why) = error else {
                return finding(Level::Warning, &subject, "not connected yet".to_owned());
            };
            let elsewhere = |other: &&Peer| other.state == PeerState::Connected && other.device == peer.device;
            if let Some(other) = all.iter().find(elsewhere).filter(|_| peer.device.is_some()) {
                let message = format!(
                    "{}. The device is connected as {} now: this address is not needed any more",
                    why.trim_end_matches('.'),
                    other.address
                );
                let next = Some(format!("cosmicsync peer remove {}", quoted(&peer.address)));
                return Finding { next, ..finding(Level::Warning, &subject, message) };
            }
            let message = format!(
                "{}. The node keeps dialling it; if that device listens elsewhere now, add the new address, and \
                 `peer remove {}` forgets this one",
                why.trim_end_matches('.'),
                peer.address
            );
            let next = Some("cosmicsync peer add HOST:PORT".to_owned());
            Finding { next, ..finding(Level::Warning, &subject, message) }
        }
    }
}

fn space_finding(space: &str, missing: u64, readable: bool) -> Finding {
    let subject = format!("space {space}");
    if !readable {
        let next = Some("cosmicsync peer list".to_owned());
        return Finding { next, ..finding(Level::Warning, &subject, "its keys have not arrived yet".to_owned()) };
    }
    if missing > 0 {
        let message = format!("{missing} known entries have not arrived, or are not read yet");
        let next = Some("cosmicsync space wait".to_owned());
        return Finding { next, ..finding(Level::Warning, &subject, message) };
    }
    finding(Level::Ok, &subject, "complete, as far as connected peers know".to_owned())
}

fn trouble_finding(trouble: Trouble, me: DeviceId, founder: bool) -> Finding {
    match trouble {
        Trouble::Retired(log) => {
            let message = format!(
                "log {log} ended here: another process writes it too, as when a machine image is resumed twice with its \
                 memory. This process goes on in a new log; nothing that was acknowledged is lost"
            );
            finding(Level::Warning, "logs", message)
        }
        Trouble::Forked(log) => {
            let message = format!(
                "log {log} has several branches: its device was resumed twice from one image, or is malicious. All \
                 replicas keep the same branch; the processes that wrote the others publish their entries again"
            );
            finding(Level::Warning, "logs", message)
        }
        Trouble::Twice(device) => {
            let whose = if device == me { "this device".to_owned() } else { format!("device {device}") };
            let message = format!(
                "{whose} runs twice: its directory was copied, or a backup of it was restored, and the first one still runs. \
                 Everybody stays in sync, but the two count as one device. Stop one of them for good, and give that \
                 machine a device of its own: join there, in a new directory, with an invite"
            );
            let invite = if founder { "cosmicsync space invite" } else { ON_FIRST_DEVICE };
            Finding { next: Some(invite.to_owned()), ..finding(Level::Warning, "copies", message) }
        }
        Trouble::Mismatch(_) => {
            let message =
                "a repair left a space different from that of a peer: please report it with both logs".to_owned();
            finding(Level::Problem, "sync", message)
        }
    }
}

fn missing_text(endpoint: &Endpoint, missing: &Missing) -> (Level, String) {
    match missing {
        Missing::Body(at) => {
            (Level::Warning, format!("the body of {} is not here: it was not fetched", place(endpoint, *at)))
        }
        Missing::Dependency(at) => {
            (Level::Warning, format!("{} builds on an entry that is not here", place(endpoint, *at)))
        }
        Missing::Excluded(at) => (Level::Problem, format!("{} breaks a rule and does not count", place(endpoint, *at))),
        Missing::Sealed(at) => {
            (Level::Warning, format!("{} is sealed with a key that is not here", place(endpoint, *at)))
        }
        Missing::TooLarge(at) => {
            (Level::Warning, format!("{} inflates to far more than was sent and is not opened", place(endpoint, *at)))
        }
    }
}

fn place(endpoint: &Endpoint, at: EntryRef) -> String {
    let log = endpoint.log_id(at.log).map_or_else(|| "?".to_owned(), |log| log.to_string());
    format!("entry {} of log {log}", at.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_cannot_be_reached_is_told_how_to_find_again() {
        let peer = Peer {
            address: "a:1".to_owned(),
            dialled: true,
            device: None,
            name: None,
            state: PeerState::Waiting,
            behind: 0,
            ahead: 0,
            seen_at: None,
            error: Some("Connection refused".to_owned()),
            traffic: Traffic::default(),
        };
        let found = peer_finding(&peer, &[], false);
        assert!(found.message.starts_with("Connection refused. ") && found.message.contains("`peer remove a:1`"));
        assert_eq!(found.next.as_deref(), Some("cosmicsync peer add HOST:PORT"));

        let device = Some(Text(DeviceId([1; 32])));
        let there = Peer { address: "b:1".to_owned(), device, state: PeerState::Connected, ..peer.clone() };
        let gone = Peer { device, ..peer.clone() };
        let found = peer_finding(&gone, &[gone.clone(), there.clone()], false);
        assert_eq!(found.next.as_deref(), Some("cosmicsync peer remove a:1"));
        assert_eq!(peer_finding(&peer, &[there], false).next.as_deref(), Some("cosmicsync peer add HOST:PORT"));
        let found = peer_finding(&peer, &[], true);
        assert_eq!((found.message.contains("this node's store"), found.next), (true, None));
    }

    #[test]
    fn doctor_names_the_device_that_runs_twice_and_what_to_do() {
        let (me, other) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let finding = trouble_finding(Trouble::Twice(me), me, true);
        assert!(finding.message.starts_with("this device runs twice"), "{}", finding.message);
        assert_eq!(finding.next.as_deref(), Some("cosmicsync space invite"));
        let finding = trouble_finding(Trouble::Twice(other), me, false);
        assert!(finding.message.contains(&other.to_string()), "{}", finding.message);
        assert_eq!(finding.next.as_deref(), Some(ON_FIRST_DEVICE));
    }
}
