//! Start of a core: its settings, and recovery from its disk.

use crate::plan;
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::config::{Config, Limits, Steps};
use cosmicsync_protocol::endpoint::{Recovery, Step};
use cosmicsync_protocol::ledger::Image;
use cosmicsync_protocol::testkit::store::MemStore;
use cosmicsync_protocol::time::Now;
use cosmicsync_protocol::wire::hello::{Feature, VERSION_MAJOR, Versions};

/// Returns the core's settings in a run.
pub(crate) fn config(core: &plan::Core) -> Config {
    let sizes = core.sizes.clone().unwrap_or_default();
    let entry_bytes = Limits::default().entry_bytes_max;
    Config {
        coalesce_us: core.coalesce_us,
        handshake_us_max: core.handshake_us,
        keep_alive_us: core.keep_alive_us,
        recent_bytes_max: core.recent_bytes,
        idle_docs_max: core.idle_docs,
        values_min: 2,
        limits: Limits {
            rekey_messages: core.rekey_messages,
            run_bytes_max: core.run_bytes,
            window_bytes: core.window_bytes,
            entry_bytes_max: entry_bytes.min(core.window_bytes as usize / 4 * 3),
            queued_max: core.queued,
            reads_max: core.reads,
            chunk_bytes_max: sizes.chunk_bytes,
            changes_max: sizes.changes,
            names_max: sizes.names,
            walk_items_max: sizes.walk_items,
            walk_bytes_max: sizes.walk_bytes,
            frame_bytes_max: sizes.frame_bytes,
            absent_max: sizes.absent,
            ..Limits::default()
        },
        steps: Steps {
            read_bytes: sizes.read_bytes,
            index_bytes: sizes.index_bytes,
            read_entries: sizes.read_entries,
            gathered_bytes: sizes.gathered_bytes,
            gathered_docs: sizes.gathered_docs,
            segment_entries: sizes.segment_entries,
            segment_bytes: sizes.segment_bytes,
            kept_values: sizes.kept_values,
            made_docs: sizes.made_docs,
            made_values: sizes.made_values,
            bulk_docs: sizes.bulk_docs,
            bulk_bytes: sizes.bulk_bytes,
            section_bytes: sizes.section_bytes,
            leaf_items: sizes.leaf_items,
        },
        ..Config::default()
    }
}

/// Returns the settings of one peer's core, with those of its release.
pub(super) fn config_of(plan: &plan::Plan, peer: usize) -> Config {
    let mut config = config(&plan.core);
    let plan::Peer { minors, feature, .. } = plan.peers[peer];
    if let Some([min, max]) = minors {
        config.versions = Versions { min: (VERSION_MAJOR, min), max: (VERSION_MAJOR, max) };
    }
    config.features.extend(feature.map(|feature| Feature { id: feature.id, critical: feature.critical }));
    config
}

/// Reads a store back at once, as a new process or as the process of an image. `None` if it cannot be read.
pub(crate) fn recover(
    store: &mut MemStore,
    config: Config,
    seed: [u8; 32],
    image: Option<Image>,
    now: Now,
) -> Option<Endpoint> {
    let recovery = Recovery::new(config, seed);
    let mut recovery = match image {
        Some(image) => recovery.resume(image),
        None => recovery,
    };
    loop {
        while let Some(request) = recovery.poll_store() {
            store.submit(request);
        }
        match recovery.step(now, store.complete_next()?).ok()? {
            Step::More(more) => recovery = more,
            Step::Ready(mut endpoint) => {
                settle(&mut endpoint, store, now);
                return Some(*endpoint);
            }
        }
    }
}

/// Carries out the requests of recovery itself.
fn settle(endpoint: &mut Endpoint, store: &mut MemStore, now: Now) {
    loop {
        while let Some(request) = endpoint.poll_store() {
            store.submit(request);
        }
        let Some(done) = store.complete_next() else { return };
        endpoint.handle_stored(now, done);
    }
}
