//! The numbers that bound what an endpoint spends on its peers.
//!
//! Every queue and table of the core has its limit here. None of them decides whether an entry is valid: they delay,
//! shed or end a link, so that replicas with other limits still converge (`spec/sync.md`, section 9).

use crate::connection::transport::REKEY_MESSAGES;
use crate::wire::hello::{Feature, VERSION, Versions};

/// Bounds on one session's memory and traffic. The default suits a desktop or a small server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest logical message, in bytes. A protocol constant: both sides must agree.
    pub message_bytes_max: usize,
    /// After how many messages each direction of a link takes a new key. A protocol constant: both sides must agree.
    pub rekey_messages: u64,
    /// Largest chunk of a message while another class waits, in bytes.
    pub chunk_bytes_max: usize,
    /// How many bytes of entries one range carries at most, unless a single entry is larger.
    pub run_bytes_max: usize,
    /// Largest encoded entry, in bytes. At most three quarters of the smallest window.
    pub entry_bytes_max: usize,
    /// Largest log card, in bytes.
    pub card_bytes_max: usize,
    /// Largest body of an endpoint's own message, in bytes.
    pub app_bytes_max: usize,
    /// How many bytes of entries a peer may have in flight to us, for each class. At least a mebibyte each.
    pub window_bytes: u64,
    /// How many logs each side may name on one link. A session that used them up asks to be renewed.
    pub handles_max: usize,
    /// How many spaces a peer may open on one link.
    pub spaces_max: usize,
    /// How many runs may be on their way from the store, or ready to leave, for each class.
    pub reads_max: usize,
    /// How many of the endpoint's own messages may wait for the link.
    pub queued_max: usize,
    /// How many answers of a repair walk may wait for the link.
    pub walk_tasks_max: usize,
    /// How many repair walks a session starts again for the same two roots before it reports that they don't help.
    pub walks_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: u64 = 1024 * 1024;
        Self {
            message_bytes_max: 1024 * KIB,
            rekey_messages: REKEY_MESSAGES,
            chunk_bytes_max: 16 * KIB,
            run_bytes_max: 256 * KIB,
            entry_bytes_max: 512 * KIB,
            card_bytes_max: 4 * KIB,
            app_bytes_max: 64 * KIB,
            window_bytes: 2 * MIB,
            handles_max: 65_536,
            spaces_max: 4_096,
            reads_max: 16,
            queued_max: 64,
            walk_tasks_max: 65_536,
            walks_max: 1,
        }
    }
}

/// How an endpoint behaves. The default suits a desktop or a small server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Edits are gathered for at most this long before they become an entry, in microseconds.
    pub coalesce_us: u64,
    /// A handshake that takes longer is given up, in microseconds.
    pub handshake_us_max: u64,
    /// A link on which nothing came for this long is probed; twice as long and it is dead. In microseconds.
    pub keep_alive_us: u64,
    /// Half-open handshakes that are kept at a time.
    pub handshakes_max: usize,
    /// Entries kept in memory, in bytes.
    pub recent_bytes_max: usize,
    /// Documents that stay in memory after they were let go.
    pub idle_docs_max: usize,
    /// So many documents that others brought have their values made without being asked for.
    pub values_min: usize,
    /// Bounds on each session.
    pub limits: Limits,
    /// The versions of the protocol that this end offers.
    pub versions: Versions,
    /// What this end can do beyond the base protocol, ascending by id.
    pub features: Vec<Feature>,
}

impl Default for Config {
    fn default() -> Self {
        const SECOND_US: u64 = 1_000_000;
        Self {
            coalesce_us: 20_000,
            handshake_us_max: 10 * SECOND_US,
            keep_alive_us: 15 * SECOND_US,
            handshakes_max: 256,
            recent_bytes_max: 8 * 1024 * 1024,
            idle_docs_max: 64,
            values_min: 128,
            limits: Limits::default(),
            versions: Versions { min: VERSION, max: VERSION },
            features: Vec::new(),
        }
    }
}
