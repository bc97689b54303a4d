//! The state of a node, as replies report it: the node itself, its store, its peers and its spaces.

use cosmicsync_protocol::ids::{DeviceId, PartitionId, SpaceId, UserId};
use serde::{Deserialize, Serialize};

use super::command::Bodies;
use super::names::Text;

/// The state of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The device's name.
    pub name: String,
    /// The device.
    pub device: Text<DeviceId>,
    /// The user who owns the device; none until a user was created or joined.
    pub user: Option<Text<UserId>>,
    /// Key for a later version to recover the user if all devices are lost. Shown once, by `init`, and not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<String>,
    /// The program's version.
    pub version: String,
    /// Process id of the process that replies.
    pub pid: u32,
    /// True if a daemon answers, false if the command opened the store itself.
    pub daemon: bool,
    /// The address that the node listens on, with the actual port.
    pub listen: Option<String>,
    /// The URL of the HTTP API; none if it is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// True while links are paused.
    pub paused: bool,
    /// Time since the start, in milliseconds.
    pub uptime_ms: u64,
    /// The store.
    pub store: Store,
    /// Traffic of all links since the start.
    pub traffic: Traffic,
    /// The spaces.
    pub spaces: Vec<Space>,
    /// The peers.
    pub peers: Vec<Peer>,
}

/// The state of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// The store's directory; empty for a store of an embedder.
    pub path: String,
    /// The store's format version.
    pub format: u32,
    /// Size of the data file, which does not shrink, in bytes.
    pub bytes: u64,
    /// Size limit of the data file, in bytes.
    pub bytes_max: u64,
    /// Number of logs in the store.
    pub logs: u64,
    /// Number of entries in the store.
    pub entries: u64,
    /// Bytes of the entries that this node wrote since its start, by purpose.
    #[serde(default)]
    pub written: EntryBytes,
    /// The reason why the store accepts no requests at present. The node retries by itself; `doctor` says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Sizes of entries by purpose, in bytes, sealed as they are stored and sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryBytes {
    /// Number of entries.
    pub entries: u64,
    /// Number of document parts in the entries.
    pub items: u64,
    /// Fields before the sections.
    pub fields: u64,
    /// Lengths of the sections.
    pub lengths: u64,
    /// Tags of the seals.
    pub tags: u64,
    /// Document ids that are written out.
    pub ids: u64,
    /// The rest of the headers, mostly the item table.
    pub headers: u64,
    /// Seeds of data keys.
    pub key_boxes: u64,
    /// Dictionaries and control records.
    pub records: u64,
    /// Updates of documents, compressed.
    pub bodies: u64,
    /// Open sections.
    pub open: u64,
}

/// The traffic of links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes sent, handshakes included.
    pub bytes_out: u64,
    /// Bytes received, handshakes included.
    pub bytes_in: u64,
    /// Bytes of preambles and handshakes, in both directions.
    pub bytes_handshake: u64,
    /// Number of request and answer pairs of synchronisation. Live pushes need none.
    pub round_trips: u64,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Working, but in need of attention.
    Warning,
    /// Not working.
    Problem,
}

/// One finding of the doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The finding's severity.
    pub level: Level,
    /// The examined thing.
    pub subject: String,
    /// The finding, as one sentence.
    pub message: String,
    /// The command line to run next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The state of the link to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// Links are paused.
    Paused,
    /// Not connected; the node dials again later.
    Waiting,
    /// Not connected; the peer dialled this node before, and its address is unknown.
    Away,
    /// A connection is being made, or its handshake is in progress.
    Connecting,
    /// Connected.
    Connected,
}

/// One peer: an address that this node dials, or a device that dialled this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The address to dial, or the address that the peer dialled from.
    pub address: String,
    /// True if this node dials the peer, false if the peer dialled this node.
    pub dialled: bool,
    /// The device; none until it is known.
    pub device: Option<Text<DeviceId>>,
    /// The device's name; none until it is known.
    pub name: Option<String>,
    /// The state of the link.
    pub state: PeerState,
    /// Number of entries that the peer lacks durably, as far as known.
    pub behind: u64,
    /// Number of entries that the peer has and this node lacks, as far as known.
    pub ahead: u64,
    /// The last time that the peer sent anything.
    pub seen_at: Option<u64>,
    /// The reason why the last link ended.
    pub error: Option<String>,
    /// Traffic of the peer's links.
    pub traffic: Traffic,
}

/// One device of a space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The device.
    pub device: Text<DeviceId>,
    /// The device's name; known only for this device at present.
    pub name: Option<String>,
    /// True for this device.
    pub this: bool,
    /// True while a link to the device is up.
    pub connected: bool,
    /// The last time that the device sent anything since this node started.
    pub seen_at: Option<u64>,
}

/// One space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// The space.
    pub space: Text<SpaceId>,
    /// The space's name on this device.
    pub name: String,
    /// Number of documents here that are not deleted.
    pub documents: u64,
    /// Number of logs in all partitions.
    pub logs: u64,
    /// Number of devices that may read the space.
    pub devices: u64,
    /// The bodies that this node fetches.
    pub bodies: Bodies,
    /// Number of entries that are known by their heads and whose bodies are still to come.
    pub missing: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The partition.
    pub partition: Text<PartitionId>,
    /// The partition's name.
    pub name: String,
    /// Number of logs.
    pub logs: u64,
    /// Number of entries on this node.
    pub entries: u64,
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The line to paste into `cosmicsync space join`. Any device that has it may join, once.
    pub invite: String,
    /// The time at which the invite expires.
    pub expires_at: u64,
}
