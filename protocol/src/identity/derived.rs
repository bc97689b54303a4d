//! Ids and tokens derived from other ids (`spec/identity.md`, section 1).

use crate::ids::{CollectionId, DocId, LogId, PartitionId, SpaceId};

/// Hashes the concatenation of `parts` under a context of its own.
pub(crate) fn derive(context: &'static str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Returns the first `N` bytes of [`derive()`]. `N` is at most 32.
pub(crate) fn derive_cut<const N: usize>(context: &'static str, parts: &[&[u8]]) -> [u8; N] {
    let mut cut = [0; N];
    cut.copy_from_slice(&derive(context, parts)[..N]);
    cut
}

/// Derives the id of the partition `name` of a space. `control` and `main` exist in every space.
pub fn partition_id(space: &SpaceId, name: &str) -> PartitionId {
    PartitionId(derive_cut("cosmicsync partition 1", &[space.as_ref(), name.as_bytes()]))
}

/// Derives the id of the collection `name` of a space.
pub fn collection_id(space: &SpaceId, name: &str) -> CollectionId {
    CollectionId(derive_cut("cosmicsync collection 1", &[space.as_ref(), name.as_bytes()]))
}

/// Derives the id of a document from a key of a collection, so that every device with that key uses the same
/// document.
pub fn doc_id_for_key(space: &SpaceId, collection: &CollectionId, key: &[u8]) -> DocId {
    DocId(derive_cut("cosmicsync doc 1", &[space.as_ref(), collection.as_ref(), key]))
}

/// Derives the token that a relay sees instead of the space.
pub fn space_token(space: &SpaceId) -> [u8; 16] {
    derive_cut("cosmicsync space token 1", &[space.as_ref()])
}

/// Derives the token that a relay sees instead of the partition.
pub fn partition_token(space: &SpaceId, partition: &PartitionId) -> [u8; 16] {
    derive_cut("cosmicsync partition token 1", &[space.as_ref(), partition.as_ref()])
}

/// Derives the id of a log from its key, its place and its owner box. The lane is 0 for live and 1 for bulk.
pub fn log_id(
    log_pk: &[u8; 32],
    space_token: &[u8; 16],
    partition_token: &[u8; 16],
    lane: u8,
    owner_box: &[u8],
) -> LogId {
    let owner = owner_box_hash(owner_box);
    LogId(derive("cosmicsync log 1", &[log_pk, space_token, partition_token, &[lane], &owner]))
}

/// Returns the hash of an owner box, as used in a log's id and in its admission.
pub(crate) fn owner_box_hash(owner_box: &[u8]) -> [u8; 32] {
    derive("cosmicsync owner box 1", &[owner_box])
}

/// Derives the Loro peer that a log writes as, so that nobody can write under the peer of another log.
pub fn peer_id(log: &LogId) -> u64 {
    u64::from_le_bytes(derive_cut("cosmicsync peer 1", &[log.as_ref()]))
}

/// Derives the commitment to the recovery key in a genesis record: enough to check the key later, useless before.
pub fn recovery_commitment(recovery_pk: &[u8; 32]) -> [u8; 32] {
    derive("cosmicsync recovery 1", &[recovery_pk])
}
