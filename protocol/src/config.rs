//! The numbers that bound what an endpoint spends on its peers.
//!
//! Every queue and table of the core has its limit here. No limit decides whether an entry is valid: a limit
//! delays, sheds or ends a link, so replicas with other limits still converge (`spec/sync.md`, section 9).

use crate::connection::transport::{HANDSHAKE_MESSAGES, REKEY_MESSAGES};
use crate::wire::frame::{FRAME_BYTES_MIN, PLAINTEXT_MAX};
use crate::wire::hello::{Feature, VERSION, Versions};
use crate::wire::message::LEAF_MAX;

/// Bounds on one session's memory and traffic. The default suits a desktop or a small server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest logical message, in bytes. A protocol constant: both sides must agree.
    pub message_bytes_max: usize,
    /// Number of messages after which each direction of a link changes its key. A protocol constant: both
    /// sides must agree.
    pub rekey_messages: u64,
    /// Number of messages in one direction after which a link is renewed.
    pub handshake_messages: u64,
    /// Largest chunk of a message while another class waits, in bytes.
    pub chunk_bytes_max: usize,
    /// Most bytes of entries that one range carries, unless a single entry is larger.
    pub run_bytes_max: usize,
    /// Largest encoded entry, in bytes. At most three quarters of the smallest window.
    pub entry_bytes_max: usize,
    /// Largest log card, in bytes.
    pub card_bytes_max: usize,
    /// Largest body of an endpoint's own message, in bytes.
    pub app_bytes_max: usize,
    /// Most bytes of entries that a peer may have in flight to this side, per class. At least four thirds of
    /// `entry_bytes_max`.
    pub window_bytes: u64,
    /// Most logs that each side may name on one link. A session that reaches the limit asks to be renewed.
    pub handles_max: usize,
    /// Most spaces that a peer may open on one link.
    pub spaces_max: usize,
    /// Most runs on their way from the store or ready to leave, per class.
    pub reads_max: usize,
    /// Most messages of the endpoint itself that may wait for the link.
    pub queued_max: usize,
    /// Most answers of a repair walk that may wait for the link.
    pub walk_tasks_max: usize,
    /// Most repair walks that a session starts again for the same two roots before it reports a mismatch.
    pub walks_max: u32,
    /// Most ranges of unanswerable requests that are kept apart for a log; more are merged into one.
    pub absent_max: usize,
    /// Most logs that are looked up at once for an announcement.
    pub changes_max: usize,
    /// Most logs that one message introduces.
    pub names_max: usize,
    /// Most items that one step of a repair walk looks up; more than a leaf of the trie has.
    pub walk_items_max: usize,
    /// Bytes of one message of a repair walk, about.
    pub walk_bytes_max: usize,
    /// Most bytes of plaintext in a transport message.
    pub frame_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: u64 = 1024 * 1024;
        Self {
            message_bytes_max: 1024 * KIB,
            rekey_messages: REKEY_MESSAGES,
            handshake_messages: HANDSHAKE_MESSAGES,
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
            absent_max: 8,
            changes_max: 256,
            names_max: 512,
            walk_items_max: 64,
            walk_bytes_max: 16 * KIB,
            frame_bytes_max: PLAINTEXT_MAX,
        }
    }
}

/// Sizes of single steps: pages of reads, and batches. They cost time or memory and decide nothing, so
/// peers may differ in all of them but [`leaf_items`](Self::leaf_items). Smaller ones suit tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// Bytes of entries or rows that one read of logs asks for.
    pub read_bytes: usize,
    /// Bytes of an index that one read asks for.
    pub index_bytes: usize,
    /// Most entries of a document that one read asks for.
    pub read_entries: usize,
    /// Bytes of gathered edits from which on they become an entry.
    pub gathered_bytes: usize,
    /// Number of edited documents from which on their edits become an entry.
    pub gathered_docs: usize,
    /// Number of entries after which a segment of a log ends: a head is kept there, and at the tip.
    pub segment_entries: u64,
    /// Bytes of entries from which on a segment ends.
    pub segment_bytes: u64,
    /// Number of values from which on they are stored without waiting for another commit.
    pub kept_values: usize,
    /// Most documents whose values are made at once.
    pub made_docs: usize,
    /// Number of made values from which on they are stored.
    pub made_values: usize,
    /// Most documents of one imported entry.
    pub bulk_docs: usize,
    /// Most bytes of an imported entry before compression, unless a single document is larger.
    pub bulk_bytes: usize,
    /// Most bytes of a section of an imported entry before compression, unless a single document is larger.
    pub section_bytes: usize,
    /// Most items of a trie's leaf, up to 16. A protocol constant: both sides must agree.
    pub leaf_items: usize,
}

impl Default for Steps {
    fn default() -> Self {
        const KIB: usize = 1024;
        Self {
            read_bytes: 1024 * KIB,
            index_bytes: 1024 * KIB,
            read_entries: 256,
            gathered_bytes: 128 * KIB,
            gathered_docs: 512,
            segment_entries: 64,
            segment_bytes: 256 * 1024,
            kept_values: 512,
            made_docs: 48,
            made_values: 256,
            bulk_docs: 4096,
            bulk_bytes: 384 * KIB,
            section_bytes: 64 * KIB,
            leaf_items: LEAF_MAX,
        }
    }
}

/// Error of a configuration that an endpoint cannot work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is not valid: {field} {demand}")]
pub struct ConfigError {
    /// Name of the field.
    pub field: &'static str,
    /// The demand that it does not meet.
    pub demand: &'static str,
}

/// Configuration of an endpoint. The default suits a desktop or a small server.
///
/// ```
/// use cosmicsync_protocol::Recovery;
/// use cosmicsync_protocol::config::{Config, Limits};
///
/// // A telephone: fewer documents in memory, and a window of the smallest size.
/// let small = Config {
///     idle_docs_max: 8,
///     recent_bytes_max: 1024 * 1024,
///     limits: Limits { window_bytes: 1024 * 1024, ..Limits::default() },
///     ..Config::default()
/// };
/// small.check().expect("an entry of the largest size still fits the window");
/// let recovery = Recovery::new(small, [7; 32]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longest time for which edits are gathered before they become an entry, in microseconds.
    pub coalesce_us: u64,
    /// Longest duration of a handshake, in microseconds. A longer one is given up.
    pub handshake_us_max: u64,
    /// Silence after which a link is probed, in microseconds. After twice this time it is closed as dead.
    pub keep_alive_us: u64,
    /// Most half-open handshakes that are kept at one time.
    pub handshakes_max: usize,
    /// Size of the cache of recent entries, in bytes.
    pub recent_bytes_max: usize,
    /// Most closed documents that stay in memory.
    pub idle_docs_max: usize,
    /// Fewest documents of a partition that must arrive from others before their values are made unasked.
    pub values_min: usize,
    /// Bounds on each session.
    pub limits: Limits,
    /// Sizes of single steps.
    pub steps: Steps,
    /// The versions of the protocol that this end offers.
    pub versions: Versions,
    /// Optional features that this end supports, ascending by id.
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
            steps: Steps::default(),
            versions: Versions { min: VERSION, max: VERSION },
            features: Vec::new(),
        }
    }
}

impl Config {
    /// Checks that an endpoint can work with this configuration. [`Recovery`](crate::Recovery) checks it too.
    ///
    /// # Errors
    /// Names the first field that does not meet a demand.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (limits, steps) = (&self.limits, &self.steps);
        let at_least_one = [
            ("handshakes_max", self.handshakes_max as u64),
            ("keep_alive_us", self.keep_alive_us),
            ("limits.rekey_messages", limits.rekey_messages),
            ("limits.handshake_messages", limits.handshake_messages),
            ("limits.chunk_bytes_max", limits.chunk_bytes_max as u64),
            ("limits.run_bytes_max", limits.run_bytes_max as u64),
            ("limits.handles_max", limits.handles_max as u64),
            ("limits.spaces_max", limits.spaces_max as u64),
            ("limits.reads_max", limits.reads_max as u64),
            ("limits.queued_max", limits.queued_max as u64),
            ("limits.walk_tasks_max", limits.walk_tasks_max as u64),
            ("limits.changes_max", limits.changes_max as u64),
            ("limits.names_max", limits.names_max as u64),
            ("limits.walk_items_max", limits.walk_items_max as u64),
            ("limits.walk_bytes_max", limits.walk_bytes_max as u64),
            ("steps.read_bytes", steps.read_bytes as u64),
            ("steps.index_bytes", steps.index_bytes as u64),
            ("steps.read_entries", steps.read_entries as u64),
            ("steps.segment_entries", steps.segment_entries),
            ("steps.made_docs", steps.made_docs as u64),
            ("steps.bulk_docs", steps.bulk_docs as u64),
            ("steps.bulk_bytes", steps.bulk_bytes as u64),
            ("steps.section_bytes", steps.section_bytes as u64),
            ("steps.leaf_items", steps.leaf_items as u64),
        ];
        let is_window_small = limits.entry_bytes_max as u64 > limits.window_bytes / 4 * 3;
        let is_message_small = limits.message_bytes_max <= limits.entry_bytes_max;
        let is_unordered = !self.features.is_sorted_by(|a, b| a.id < b.id);
        let broken = at_least_one.into_iter().find(|(_, value)| *value == 0).map(|(field, _)| (field, "must not be 0"));
        let broken = broken
            .or(is_window_small.then_some(("limits.entry_bytes_max", "must be at most three quarters of window_bytes")))
            .or(is_message_small.then_some(("limits.message_bytes_max", "must be above entry_bytes_max")))
            .or((!(FRAME_BYTES_MIN..=PLAINTEXT_MAX).contains(&limits.frame_bytes_max))
                .then_some(("limits.frame_bytes_max", "must be the size of a frame that a sealed message holds")))
            .or((steps.leaf_items > LEAF_MAX).then_some(("steps.leaf_items", "must fit a message of a walk")))
            .or((self.versions.min > self.versions.max).then_some(("versions", "must not end before they begin")))
            .or(is_unordered.then_some(("features", "must ascend by id, each once")));
        broken.map_or(Ok(()), |(field, demand)| Err(ConfigError { field, demand }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(change: impl FnOnce(&mut Config)) -> Option<&'static str> {
        let mut config = Config::default();
        change(&mut config);
        config.check().err().map(|error| error.field)
    }

    #[test]
    fn a_field_that_meets_no_demand_is_named() {
        assert_eq!(broken(|_| {}), None);
        assert_eq!(broken(|config| config.limits.reads_max = 0), Some("limits.reads_max"));
        assert_eq!(broken(|config| config.limits.window_bytes = 600 * 1024), Some("limits.entry_bytes_max"));
        assert_eq!(broken(|config| config.limits.message_bytes_max = 512 * 1024), Some("limits.message_bytes_max"));
        assert_eq!(broken(|config| config.limits.walk_items_max = 0), Some("limits.walk_items_max"));
        assert_eq!(broken(|config| config.limits.frame_bytes_max += 1), Some("limits.frame_bytes_max"));
        assert_eq!(broken(|config| config.limits.frame_bytes_max = 1), Some("limits.frame_bytes_max"));
        assert_eq!(broken(|config| config.steps.segment_entries = 0), Some("steps.segment_entries"));
        assert_eq!(broken(|config| config.steps.leaf_items = LEAF_MAX + 1), Some("steps.leaf_items"));
        assert_eq!(broken(|config| config.versions.min.0 += 1), Some("versions"));
        let feature = |id| Feature { id, critical: false };
        assert_eq!(broken(|config| config.features = vec![feature(2), feature(1)]), Some("features"));
    }
}
