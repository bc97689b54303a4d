//! Bodies about spaces, collections, peers, imports and the node.

use cosmicsync_node::service::{self, Collection, Imported, Peer, PeerState, Space, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Collection)]
pub(crate) struct CollectionView {
    /// The collection's name.
    name: String,
    /// Number of documents on this node that are not deleted.
    documents: u64,
    /// The format of the imported file, such as `csv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// The column or member of the imported file that became the document's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Dotted paths of texts that merge character by character.
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
    /// The collections, ordered by name.
    pub(crate) collections: Vec<CollectionView>,
}

/// A new space.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSpace {
    /// The space's name, unique on this device.
    pub(crate) name: String,
}

/// A space.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Space)]
pub(crate) struct SpaceView {
    /// The space's id.
    id: String,
    /// The space's name on this device.
    pub(crate) name: String,
    /// Number of documents on this node that are not deleted.
    documents: u64,
    /// Number of devices that may read the space.
    devices: u64,
    /// Number of entries that this node knows of but has not fetched yet.
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
    /// The spaces, ordered by name.
    pub(crate) spaces: Vec<SpaceView>,
}

/// A request for an invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewInvite {
    /// Lifetime of the invite, in milliseconds; one day by default.
    #[serde(default = "day_ms")]
    #[schema(default = 86_400_000)]
    pub(crate) expires_ms: u64,
}

const fn day_ms() -> u64 {
    24 * 60 * 60 * 1000
}

/// An invite: a line of text that lets one device join a space.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invite)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InviteView {
    /// The invite, for `cosmicsync space join` or `POST /v1/join` on the other device. Keep it secret.
    invite: String,
    /// The time at which the invite expires, in Unix milliseconds.
    expires_at: u64,
}

impl From<service::Invite> for InviteView {
    fn from(invite: service::Invite) -> Self {
        let service::Invite { invite, expires_at } = invite;
        Self { invite, expires_at }
    }
}

/// An invite to join by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinBody {
    /// The line of the invite, unchanged.
    pub(crate) invite: String,
}

/// A device of a space.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(crate) struct DeviceView {
    /// The device's id.
    device: String,
    /// The device's name, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// True for the device that answers.
    this: bool,
    /// True while a link to the device is up.
    connected: bool,
    /// The last time that the device sent anything since this node started, in Unix milliseconds.
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
    /// The devices, in no particular order.
    pub(crate) devices: Vec<DeviceView>,
}

/// The address of a peer to dial.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPeer {
    /// The address, in the form `HOST:PORT`.
    #[schema(pattern = "^([A-Za-z0-9.-]+|\\[[0-9a-fA-F:.]+\\]):[1-9][0-9]{0,4}$")]
    pub(crate) address: String,
}

/// A peer: an address that this node dials, or a device that dialled this node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Peer)]
pub(crate) struct PeerView {
    /// The address to dial, or the address that the peer dialled from.
    address: String,
    /// True if this node dials the peer.
    dialled: bool,
    /// The device, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The state of the connection: `paused`, `waiting` (dialled again later), `away` (dialled this node before),
    /// `connecting` or `connected`.
    state: &'static str,
    /// Number of entries that the peer has not stored yet, as far as known.
    behind: u64,
    /// Number of entries that the peer has and this node lacks, as far as known.
    ahead: u64,
    /// The last time that the peer sent anything, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<u64>,
    /// The reason why the last link ended.
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
    /// The peers, each once.
    pub(crate) peers: Vec<PeerView>,
}

/// The state of a node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status)]
pub(crate) struct StatusView {
    /// The device's name.
    name: String,
    /// The device's id.
    device: String,
    /// The program's version.
    version: String,
    /// The address that this node listens on for other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// True while all links are paused.
    paused: bool,
    /// Time since the start of the node, in milliseconds.
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
    /// Size of the store's data file, in bytes.
    bytes: u64,
    /// Size beyond which this node writes nothing, in bytes.
    bytes_max: u64,
    /// Number of logs in the store.
    logs: u64,
    /// Number of entries in the store.
    entries: u64,
    /// The reason why the store accepts no requests at present.
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

/// The result of an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Imported)]
pub(crate) struct ImportReport {
    /// The format of the file.
    format: &'static str,
    /// Number of documents stored that did not exist before; in a dry run, number of rows.
    documents: u64,
    /// Number of rows that replaced another value under their key.
    replaced: u64,
    /// Number of rows that equal the document under their key.
    unchanged: u64,
    /// Number of bytes read.
    bytes: u64,
    /// Duration of the import, in milliseconds.
    elapsed_ms: u64,
    /// True if nothing was stored, because the request asked for a report only.
    dry_run: bool,
    /// The columns of a table, or the names of XML elements. Only in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    /// A remark about the file.
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
