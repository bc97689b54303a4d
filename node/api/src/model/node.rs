//! Spaces, collections, peers, imports and the node.

use cosmicsync_node::service::{self, Collection, Imported, Peer, PeerState, Space, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Collection)]
pub(crate) struct CollectionView {
    /// Its name.
    name: String,
    /// Documents that are here and not deleted.
    documents: u64,
    /// The format that it was imported from.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// The member of a row that became its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Dotted paths of texts that merge.
    text: Vec<String>,
}

impl From<Collection> for CollectionView {
    fn from(collection: Collection) -> Self {
        let Collection { collection: name, documents, format, id_column: id, text, .. } = collection;
        Self { name, documents, format, id, text }
    }
}

/// The collections of a space.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Collections {
    /// By name.
    pub(crate) collections: Vec<CollectionView>,
}

/// The name of a new space.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSpace {
    /// Unique on this device.
    pub(crate) name: String,
}

/// A space.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Space)]
pub(crate) struct SpaceView {
    /// Its id.
    id: String,
    /// Its name on this device.
    pub(crate) name: String,
    /// Documents that are here and not deleted.
    documents: u64,
    /// Devices that may read it.
    devices: u64,
    /// Entries whose bodies are still to come.
    missing: u64,
}

impl From<Space> for SpaceView {
    fn from(space: Space) -> Self {
        let Space { space: id, name, documents, devices, missing, .. } = space;
        Self { id: id.to_string(), name, documents, devices, missing }
    }
}

/// The spaces of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Spaces {
    /// By name.
    pub(crate) spaces: Vec<SpaceView>,
}

/// How long an invite may be used.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewInvite {
    /// In milliseconds; a day where it is not said.
    #[serde(default = "day_ms")]
    #[schema(default = 86_400_000)]
    pub(crate) expires_ms: u64,
}

const fn day_ms() -> u64 {
    24 * 60 * 60 * 1000
}

/// A line that brings one device into a space.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invite)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InviteView {
    /// For `cosmicsync space join`, or `POST /v1/join` of the other node. It is a secret.
    invite: String,
    /// Until when it may be used, in Unix milliseconds.
    expires_at: u64,
}

impl From<service::Invite> for InviteView {
    fn from(invite: service::Invite) -> Self {
        let service::Invite { invite, expires_at } = invite;
        Self { invite, expires_at }
    }
}

/// The line of an invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinBody {
    /// As it was made.
    pub(crate) invite: String,
}

/// A device of a space.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(crate) struct DeviceView {
    /// Its id.
    device: String,
    /// Its name, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Whether it is this one.
    this: bool,
    /// Whether a link to it is up.
    connected: bool,
    /// The last time it sent anything since this node started, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", rename = "seenAt")]
    seen_at: Option<u64>,
}

impl From<service::Device> for DeviceView {
    fn from(device: service::Device) -> Self {
        let service::Device { device: id, name, this, connected, seen_at } = device;
        Self { device: id.to_string(), name, this, connected, seen_at }
    }
}

/// The devices of a space.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Devices {
    /// In no order.
    pub(crate) devices: Vec<DeviceView>,
}

/// An address to dial.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPeer {
    /// `HOST:PORT`.
    #[schema(pattern = "^[A-Za-z0-9.-]+:[1-9][0-9]{0,3}$")]
    pub(crate) address: String,
}

/// A peer: an address to dial, or a device that dialled this one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Peer)]
pub(crate) struct PeerView {
    /// The address to dial, or the one it came from.
    address: String,
    /// Whether this node dials the peer.
    dialled: bool,
    /// The device, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// `paused`, `waiting`, `away`, `connecting` or `connected`.
    state: &'static str,
    /// Entries that it does not durably have yet, as far as is known.
    behind: u64,
    /// Entries that it has and this node does not, as far as is known.
    ahead: u64,
    /// The last time it sent anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<u64>,
    /// Why the last link ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Peer> for PeerView {
    fn from(peer: Peer) -> Self {
        let state = match peer.state {
            PeerState::Paused => "paused",
            PeerState::Waiting => "waiting",
            PeerState::Away => "away",
            PeerState::Connecting => "connecting",
            PeerState::Connected => "connected",
        };
        Self {
            address: peer.address,
            dialled: peer.dialled,
            device: peer.device.map(|device| device.to_string()),
            state,
            behind: peer.behind,
            ahead: peer.ahead,
            seen_at: peer.seen_at,
            error: peer.error,
        }
    }
}

/// The peers of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Peers {
    /// Each once.
    pub(crate) peers: Vec<PeerView>,
}

/// The state of a node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status)]
pub(crate) struct StatusView {
    /// The device's name.
    name: String,
    /// The device.
    device: String,
    /// The program's version.
    version: String,
    /// Where it listens for other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// Whether links are paused.
    paused: bool,
    /// How long it runs.
    uptime_ms: u64,
    /// The store.
    store: StoreView,
    /// The spaces.
    spaces: Vec<SpaceView>,
    /// The peers.
    peers: Vec<PeerView>,
}

/// The state of a store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Store)]
struct StoreView {
    /// Its size.
    bytes: u64,
    /// The size from which on nothing more is written here.
    bytes_max: u64,
    /// Logs it holds.
    logs: u64,
    /// Entries it holds.
    entries: u64,
    /// Why it takes no requests at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        let service::Store { bytes, bytes_max, logs, entries, error, .. } = status.store;
        Self {
            name: status.name,
            device: status.device.to_string(),
            version: status.version,
            listen: status.listen,
            paused: status.paused,
            uptime_ms: status.uptime_ms,
            store: StoreView { bytes, bytes_max, logs, entries, error },
            spaces: status.spaces.into_iter().map(SpaceView::from).collect(),
            peers: status.peers.into_iter().map(PeerView::from).collect(),
        }
    }
}

/// The end of an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Imported)]
pub(crate) struct ImportReport {
    /// The format that was read.
    format: &'static str,
    /// Documents stored that were not there before; of a dry run, rows.
    documents: u64,
    /// Rows that took the place of another value under their key.
    replaced: u64,
    /// Rows whose document was just so already.
    unchanged: u64,
    /// Bytes read.
    bytes: u64,
    /// The time that it took.
    elapsed_ms: u64,
    /// Whether nothing was stored.
    dry_run: bool,
    /// The columns of a table, or the names of the elements of XML. Only of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl From<Imported> for ImportReport {
    fn from(imported: Imported) -> Self {
        let Imported { format, documents, replaced, unchanged, bytes, elapsed_ms, dry_run, columns, note, .. } =
            imported;
        let format = format.name();
        Self { format, documents, replaced, unchanged, bytes, elapsed_ms, dry_run, columns, note }
    }
}
