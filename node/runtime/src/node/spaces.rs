//! Commands about spaces, partitions and invites, and waits for other devices.

use super::blame::{founder_error, space_error};
use super::{Acting, handle};
use crate::driver::{Core, DialOrder, Goal, INVITE_AGAIN, Purpose, bodies, other_user};
use crate::service::{
    Bodies, CollectionDigest, Digest, ErrorCode, Invite, Item, Partition, Progress, Reply, Secret, ServiceError, Space,
    SpaceRef, Synced, Text,
};
use cosmicsync_data::collection::COLLECTIONS;
use cosmicsync_data::database::request::{Answer, Request};
use cosmicsync_protocol::endpoint::{LogInfo, SpaceInfo};
use cosmicsync_protocol::ids::PartNo;
use cosmicsync_protocol::sealed;
use cosmicsync_protocol::spaces::MAIN;
use cosmicsync_protocol::sync::{self, SpaceNo};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::PoisonError;
use std::time::Instant;
use tokio::sync::mpsc;

/// Longest time for a joined device to receive the space's keys, in microseconds.
const JOIN_US: u64 = 30_000_000;

impl Acting<'_> {
    pub(super) async fn space_create(&self, name: String) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let handle = self.handle()?;
        let made = handle
            .with(move |core| {
                core.available()?;
                let now = core.now;
                let made = core.db.spaces(now).create(&name);
                made.map_err(|error| founder_error(&error, "cosmicsync space create NAME"))
            })
            .await??;
        self.durable().await?;
        self.space_reply(made).await
    }

    pub(super) async fn space_list(&self) -> Result<Reply, ServiceError> {
        Ok(Reply::Spaces(self.spaces().await?))
    }

    pub(super) async fn space_invite(&self, space: SpaceRef, expires_ms: u64) -> Result<Reply, ServiceError> {
        let invite = self
            .handle()?
            .with(move |core| {
                core.available()?;
                let space = find_space(core, &space)?.no;
                let addresses = own_addresses(core)?;
                let expires_at = core.now.wall_ms.saturating_add(expires_ms);
                let now = core.now;
                let invite = core.db.spaces(now).invite(space, addresses, expires_at);
                invite.map_err(|error| founder_error(&error, "cosmicsync space invite"))
            })
            .await??;
        self.durable().await?;
        let line = invite.to_line();
        Ok(Reply::Invite(Invite { invite: (*line).clone(), expires_at: invite.expires_ms() }))
    }

    pub(super) async fn space_join(&self, line: &Secret, items: &mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let invite = sealed::Invite::parse(&line.0)
            .map_err(|error| ServiceError::new(ErrorCode::Usage, error.to_string()).next(INVITE_AGAIN))?;
        let handle = self.handle()?;
        let (expected, inviter) = (invite.space(), *invite.inviter());
        let expires_ms = invite.expires_ms();
        let usable = handle.with(move |core| {
            if core.peers.is_paused() {
                let error = ServiceError::new(ErrorCode::Unavailable, "links are paused");
                return Err(error.next("cosmicsync peer resume"));
            }
            if core.now.wall_ms > expires_ms {
                let error = ServiceError::new(ErrorCode::Refused, "the invite has expired");
                return Err(error.next(INVITE_AGAIN));
            }
            let endpoint = core.db.endpoint();
            if endpoint.credential().is_some_and(|me| me.device().noise == inviter) {
                let error = ServiceError::new(ErrorCode::Conflict, "this device made the invite: use it on another");
                return Err(error.next("on the other device: cosmicsync up; then there: cosmicsync space join LINE"));
            }
            // The device has a user of its own, which is probably not the inviter's user.
            if endpoint.has_user_key() {
                return Err(other_user());
            }
            Ok(())
        });
        usable.await??;
        let mut last = ServiceError::new(ErrorCode::PeerUnreachable, "the invite names no address");
        for address in invite.addresses().to_vec() {
            progress(items, format!("dialling {address}")).await;
            let (dialled, invite) = (address.clone(), Box::new(invite.clone()));
            let joined = handle.later(move |core, reply| {
                let purpose = Purpose::Join(invite, reply);
                core.dials.push_back(DialOrder { address: dialled, purpose });
            });
            match joined.await {
                Ok(()) => return self.finish_join(expected, address, items).await,
                Err(error) if error.code == ErrorCode::PeerUnreachable => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last
            .next("on the device that invites: cosmicsync status; it must run and listen where this device reaches it"))
    }

    /// Finishes a join: the device syncs with the inviter until it can read the space.
    async fn finish_join(
        &self,
        expected: cosmicsync_protocol::ids::SpaceId,
        address: String,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        progress(items, "joined, fetching the space".to_owned()).await;
        let handle = self.handle()?;
        let space = handle
            .with(move |core| core.db.endpoint().spaces().find(|space| space.id == expected).map(|space| space.no))
            .await?
            .ok_or_else(handle::unexpected)?;
        handle.later(move |core, reply| core.add_peer(&address, reply)).await?;
        handle.later(move |core, reply| core.wait(space, Goal::Readable, JOIN_US, reply)).await?;
        self.space_reply(space).await
    }

    pub(super) async fn space_fetch(&self, space: SpaceRef, chosen: Bodies) -> Result<Reply, ServiceError> {
        let found = self
            .handle()?
            .with(move |core| {
                core.available()?;
                let space = find_space(core, &space)?.no;
                let chosen = match chosen {
                    Bodies::All => sync::Bodies::All,
                    Bodies::None => sync::Bodies::HeadOnly,
                    Bodies::Newest(count) => sync::Bodies::Newest(count),
                };
                let now = core.now;
                core.db.spaces(now).set_bodies(space, chosen).map_err(|error| space_error(&error))?;
                Ok::<_, ServiceError>(space)
            })
            .await??;
        self.durable().await?;
        self.space_reply(found).await
    }

    pub(super) async fn partition_create(&self, space: SpaceRef, name: String) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let made = self
            .handle()?
            .with(move |core| {
                core.available()?;
                let space = find_space(core, &space)?.no;
                let now = core.now;
                let made = core.db.spaces(now).create_partition(space, &name);
                made.map(|no| (space, no)).map_err(|error| space_error(&error))
            })
            .await??;
        self.durable().await?;
        let all = self.handle()?.with(move |core| partitions(core, made.0)).await?;
        let found = all.into_iter().find(|(no, _)| *no == made.1);
        found.map(|(_, partition)| Reply::Partition(partition)).ok_or_else(handle::unexpected)
    }

    pub(super) async fn partition_list(&self, space: SpaceRef) -> Result<Reply, ServiceError> {
        let all = self
            .handle()?
            .with(move |core| Ok::<_, ServiceError>(partitions(core, find_space(core, &space)?.no)))
            .await??;
        Ok(Reply::Partitions(all.into_iter().map(|(_, partition)| partition).collect()))
    }

    pub(super) async fn digest(&self, space: SpaceRef) -> Result<Reply, ServiceError> {
        let (id, partitions) = self
            .handle()?
            .with(move |core| {
                let space = find_space(core, &space)?;
                let all = data_partitions(core, space.no);
                Ok::<_, ServiceError>((space.id, all))
            })
            .await??;
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync space digest 1");
        let mut documents = 0;
        let mut collections = Vec::new();
        for (name, partition) in partitions {
            let answer = self.handle()?.ask(move |_| Ok(Request::Digest { partition })).await?;
            let Answer::Digest(found) = answer else { return Err(handle::unexpected()) };
            for part in found {
                for text in [&name, &part.collection] {
                    hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
                }
                hasher.update(&part.count.to_be_bytes()).update(&part.digest);
                // The hash covers the descriptions of collections, but they are not counted as documents.
                if part.collection == COLLECTIONS {
                    continue;
                }
                documents += part.count;
                let collection = if name == MAIN { part.collection } else { format!("{name}:{}", part.collection) };
                collections.push(CollectionDigest { collection, documents: part.count, digest: hex(&part.digest) });
            }
        }
        let digest = hex(hasher.finalize().as_bytes());
        Ok(Reply::Digest(Digest { space: Text(id), documents, digest, collections }))
    }

    pub(super) async fn wait_sync(&self, space: SpaceRef, timeout_ms: u64) -> Result<Reply, ServiceError> {
        let handle = self.handle()?;
        let begun = Instant::now();
        let (no, id) = handle.with(move |core| find_space(core, &space).map(|info| (info.no, info.id))).await??;
        let timeout_us = timeout_ms.saturating_mul(1000);
        let peers = handle.later(move |core, reply| core.wait(no, Goal::Synced, timeout_us, reply)).await?;
        let waited_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Reply::Synced(Synced { space: Text(id), peers, waited_us }))
    }

    /// Waits until all writes so far are durable.
    pub(super) async fn durable(&self) -> Result<(), ServiceError> {
        self.handle()?.later(|core, reply| core.write(Vec::new(), reply)).await
    }

    pub(super) async fn spaces(&self) -> Result<Vec<Space>, ServiceError> {
        let all =
            self.handle()?.with(|core| core.db.endpoint().spaces().map(|info| info.no).collect::<Vec<_>>()).await?;
        let mut spaces = Vec::new();
        for no in all {
            spaces.push(self.space(no).await?);
        }
        Ok(spaces)
    }

    /// Returns the spaces with their last counted numbers of documents, for a time when the store is closed.
    pub(super) async fn remembered_spaces(&self) -> Result<Vec<Space>, ServiceError> {
        let counts = self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let described = self
            .handle()?
            .with(move |core| {
                let counted = counts.into_iter().map(|(no, (_, documents))| (no, documents));
                counted.filter_map(|(no, documents)| describe(core, no, documents)).collect()
            })
            .await?;
        Ok(described)
    }

    async fn space_reply(&self, space: SpaceNo) -> Result<Reply, ServiceError> {
        self.space(space).await.map(Reply::Space)
    }

    async fn space(&self, no: SpaceNo) -> Result<Space, ServiceError> {
        let documents = self.count_documents(no).await?;
        self.handle()?.with(move |core| describe(core, no, documents)).await?.ok_or_else(handle::unexpected)
    }
}

/// Describes a space; returns `None` if it does not exist.
fn describe(core: &Core, no: SpaceNo, documents: u64) -> Option<Space> {
    let endpoint = core.db.endpoint();
    let info = endpoint.spaces().find(|info| info.no == no)?;
    Some(Space {
        space: Text(info.id),
        name: info.name,
        documents,
        logs: endpoint.logs().filter(|log| log.space == no).count() as u64,
        devices: info.devices.len() as u64,
        bodies: bodies(info.bodies),
        missing: core.missing(no),
    })
}

/// Returns the space of a reference.
pub(super) fn find_space(core: &Core, space: &SpaceRef) -> Result<SpaceInfo, ServiceError> {
    let all: Vec<_> = core.db.endpoint().spaces().collect();
    let mut found: Vec<_> = match space {
        None => all,
        Some(name) => {
            let named: Vec<_> = all.iter().filter(|info| info.name == *name).cloned().collect();
            let begins = |info: &SpaceInfo| !name.is_empty() && info.id.to_string().starts_with(name.as_str());
            if named.is_empty() { all.into_iter().filter(begins).collect() } else { named }
        }
    };
    match (found.len(), space) {
        (1, _) => Ok(found.remove(0)),
        (0, _) => Err(no_space(space)),
        (_, None) => Err(ServiceError::new(ErrorCode::Usage, "there are several spaces: name one with --space")
            .next("cosmicsync space list")),
        (_, Some(name)) => {
            Err(ServiceError::new(ErrorCode::Usage, format!("several spaces match '{name}'"))
                .next("cosmicsync space list"))
        }
    }
}

/// Returns the partition of a reference, and its space.
pub(super) fn find_partition(core: &Core, text: &SpaceRef) -> Result<(SpaceInfo, PartNo), ServiceError> {
    let (space, name) = space_and_partition(core, text)?;
    let partition = core.db.endpoint().partition(space.no, name).ok_or_else(|| match name {
        MAIN => ServiceError::new(ErrorCode::Unavailable, "the space has not arrived yet").next("cosmicsync peer list"),
        _ => ServiceError::new(ErrorCode::NotFound, format!("there is no partition '{name}'"))
            .next("cosmicsync partition list"),
    })?;
    Ok((space, partition))
}

/// Returns the space of a reference, and the name of a partition in it.
pub(super) fn space_and_partition<'a>(core: &Core, text: &'a SpaceRef) -> Result<(SpaceInfo, &'a str), ServiceError> {
    match (find_space(core, text), text.as_ref().and_then(|text| text.rsplit_once(':'))) {
        // The name of a space may contain a colon.
        (Err(error), Some((space, name))) if error.code == ErrorCode::NotFound => {
            Ok((find_space(core, &Some(space.to_owned()).filter(|space| !space.is_empty()))?, name))
        }
        (found, _) => Ok((found?, MAIN)),
    }
}

/// Returns the error for a space that does not exist.
pub(super) fn no_space(space: &SpaceRef) -> ServiceError {
    let error = |message: String| ServiceError::new(ErrorCode::NotFound, message);
    match space {
        None => error("there is no space here yet".to_owned()).next("cosmicsync space create NAME"),
        Some(name) => error(format!("there is no space '{name}'")).next("cosmicsync space list"),
    }
}

/// Returns all partitions with documents, ordered by name.
pub(super) fn data_partitions(core: &Core, space: SpaceNo) -> Vec<(String, PartNo)> {
    let all = core.db.endpoint().partitions();
    let mut found: Vec<_> = all
        .filter(|part| part.space == space && part.name != cosmicsync_protocol::spaces::CONTROL)
        .map(|part| (part.name, part.no))
        .collect();
    found.sort();
    found
}

fn partitions(core: &Core, space: SpaceNo) -> Vec<(PartNo, Partition)> {
    let endpoint = core.db.endpoint();
    let logs: Vec<LogInfo> = endpoint.logs().filter(|log| log.space == space).collect();
    let of = |no| logs.iter().filter(move |log: &&LogInfo| log.partition == Some(no));
    let describe = |part: cosmicsync_protocol::endpoint::PartitionInfo| {
        let (count, entries) = (of(part.no).count() as u64, of(part.no).map(|log| log.held).sum());
        (part.no, Partition { partition: Text(part.id), name: part.name, logs: count, entries })
    };
    endpoint.partitions().filter(|part| part.space == space).map(describe).collect()
}

/// Returns this node's own addresses for other devices, best first.
fn own_addresses(core: &Core) -> Result<Vec<String>, ServiceError> {
    let listen = core
        .listen
        .ok_or_else(|| ServiceError::new(ErrorCode::Unavailable, "this node does not listen").next("cosmicsync up"))?;
    if !listen.ip().is_unspecified() {
        return Ok(vec![listen.to_string()]);
    }
    outward(listen).map(|ip| vec![SocketAddr::new(ip, listen.port()).to_string()]).ok_or_else(|| {
        let message = "this node listens on every address and can't tell which of them others reach";
        ServiceError::new(ErrorCode::Refused, message)
            .next("after cosmicsync down: cosmicsync up --listen ADDRESS:PORT")
    })
}

/// Returns the source address of packets to the outside. No packets are sent.
fn outward(listen: SocketAddr) -> Option<IpAddr> {
    let (from, to): (&str, &str) =
        if listen.is_ipv4() { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

async fn progress(items: &mpsc::Sender<Item>, note: String) {
    // Items without a receiver are dropped; the join continues.
    drop(items.send(Item::Progress(Progress { done: 0, total: None, unit: "steps".to_owned(), note })).await);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
