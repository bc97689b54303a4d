//! Commands about peers.

use super::Acting;
use crate::driver::{Core, Phase};
use crate::service::{ErrorCode, Peer, PeerState, Reply, ServiceError, Text, Traffic};
use cosmicsync_protocol::endpoint::{LinkInfo, Process};

impl Acting<'_> {
    pub(super) async fn peer_add(&self, address: String) -> Result<Reply, ServiceError> {
        check_address(&address)?;
        let handle = self.handle()?;
        let known = address.clone();
        handle.later(move |core, reply| core.add_peer(&known, reply)).await?;
        let peers = handle.with(|core| peers(core)).await?;
        let peer = peers.into_iter().find(|peer| peer.dialled && peer.address == address);
        peer.map(Reply::Peer).ok_or_else(|| no_peer(&address))
    }

    pub(super) async fn peer_list(&self) -> Result<Reply, ServiceError> {
        Ok(Reply::Peers(self.handle()?.with(|core| peers(core)).await?))
    }

    pub(super) async fn peer_remove(&self, address: String) -> Result<Reply, ServiceError> {
        let unknown = no_peer(&address);
        let (known, result) = tokio::sync::oneshot::channel();
        let removed = self.handle()?.later(move |core, reply| {
            let found = core.remove_peer(&address, reply);
            // The caller waits for both replies, or is gone.
            let _ = known.send(found);
        });
        let removed = removed.await;
        if result.await == Ok(false) {
            return Err(unknown);
        }
        removed.map(|()| Reply::Done {})
    }

    pub(super) async fn peer_pause(&self) -> Result<Reply, ServiceError> {
        self.handle()?.with(Core::pause).await?;
        Ok(Reply::Done {})
    }

    pub(super) async fn peer_resume(&self) -> Result<Reply, ServiceError> {
        self.handle()?.with(|core| core.peers.resume()).await?;
        Ok(Reply::Done {})
    }
}

/// Returns every address of the book, and every device that dialled this node.
pub(super) fn peers(core: &Core) -> Vec<Peer> {
    let infos = core.db.endpoint().stats().links;
    let mut peers = Vec::new();
    let mut listed = Vec::new();
    for (address, known) in core.peers.iter() {
        let up = known.peer.is_some_and(|process| core.peers.is_up(&process));
        let state = match known.phase {
            _ if core.peers.is_paused() => PeerState::Paused,
            _ if up => PeerState::Connected,
            Phase::Waiting { .. } | Phase::Myself => PeerState::Waiting,
            Phase::Dialling | Phase::Linked(_) => PeerState::Connecting,
        };
        let mut peer = peer(core, &infos, address.clone(), known.peer, state);
        if state != PeerState::Connected {
            // A peer that is connected under another address is well, however its link to this one ended.
            peer.error.clone_from(&known.error);
        }
        if known.peer.is_some_and(|known| listed.iter().any(|other: &Process| other.device == known.device)) {
            // A device is listed under each of its addresses; its traffic is reported once.
            peer.traffic = Traffic::default();
        }
        peers.push(peer);
        listed.extend(known.peer);
    }
    for (_, record) in core.links.iter() {
        if let Some(process) = record.peer.filter(|process| !record.dialled && !listed.contains(process)) {
            let counted = listed.iter().any(|other| other.device == process.device);
            listed.push(process);
            let mut peer = peer(core, &infos, record.address.clone(), Some(process), PeerState::Connected);
            if counted {
                peer.traffic = Traffic::default();
            }
            peer.dialled = false;
            peers.push(peer);
        }
    }
    let members: Vec<_> = core.db.endpoint().spaces().flat_map(|space| space.devices).collect();
    for (device, address) in core.links.dialled_before().filter(|(device, _)| members.contains(device)) {
        if !listed.iter().any(|process| process.device == *device) {
            let state = if core.peers.is_paused() { PeerState::Paused } else { PeerState::Away };
            let mut peer = peer(core, &infos, address.clone(), None, state);
            (peer.dialled, peer.device) = (false, Some(Text(*device)));
            peer.seen_at = core.links.seen_at(device);
            peer.traffic = core.links.of_device(device, &infos);
            peers.push(peer);
        }
    }
    peers
}

fn peer(core: &Core, infos: &[LinkInfo], address: String, process: Option<Process>, state: PeerState) -> Peer {
    let (behind, ahead) = process.map_or((0, 0), |process| distance(core, infos, process));
    let device = process.map(|process| process.device);
    Peer {
        address,
        dialled: true,
        device: device.map(Text),
        name: None,
        state,
        behind,
        ahead,
        seen_at: device.and_then(|device| core.links.seen_at(&device)),
        error: None,
        traffic: device.map(|device| core.links.of_device(&device, infos)).unwrap_or_default(),
    }
}

/// Returns the number of entries that a peer lacks durably, and the number that this node lacks, as far as known.
fn distance(core: &Core, infos: &[LinkInfo], process: Process) -> (u64, u64) {
    let mut links = infos.iter().filter(|info| info.peer == Some(process));
    let Some(link) = links.clone().next().filter(|_| !links.any(LinkInfo::is_settled)) else { return (0, 0) };
    let device = &process.device;
    let endpoint = core.db.endpoint();
    let shared: Vec<_> =
        endpoint.spaces().filter(|space| space.devices.contains(device)).map(|space| space.no).collect();
    let mut distance = (0, 0);
    for log in endpoint.logs().filter(|log| shared.contains(&log.space)) {
        let acked = link.acked.get(&log.no).map_or(0, |seq| seq + 1);
        if log.device.as_ref() != Some(device) {
            distance.0 += log.entries.saturating_sub(acked);
        }
        distance.1 += log.entries.saturating_sub(log.held);
    }
    distance
}

/// Fails unless the text has the form `HOST:PORT`.
fn check_address(address: &str) -> Result<(), ServiceError> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    let printable = address.len() <= 255 && !address.chars().any(|c| c.is_control() || c.is_whitespace());
    if printable && matches!(port, Some(Ok(1..))) {
        return Ok(());
    }
    Err(ServiceError::new(ErrorCode::Usage, format!("'{address}' is not an address: write HOST:PORT")))
}

fn no_peer(address: &str) -> ServiceError {
    ServiceError::new(ErrorCode::NotFound, format!("there is no peer {address}")).next("cosmicsync peer list")
}
