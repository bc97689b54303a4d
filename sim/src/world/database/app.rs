//! Apps: steps of their users, and checks of their rules.

use super::{Asked, World};
use crate::app::{Draw, Observation};
use crate::report::OracleId;
use cosmicsync_data::database::request::{Name, Request, Target};
use cosmicsync_data::database::schema_ops::SchemaChange;
use cosmicsync_data::json;
use cosmicsync_protocol::ids::{DocRef, PartNo};
use cosmicsync_protocol::sync::SpaceNo;
use std::collections::BTreeMap;
use std::sync::Arc;

impl World<'_> {
    /// Takes a step of a peer's user. Returns whether the action is done.
    pub(super) fn take_step(&mut self, peer: usize, id: u64) -> bool {
        let Some(app) = self.app else { return true };
        let Some(partition) = self.main(peer) else { return false };
        // A user waits for the answer to the previous write.
        let alive = self.nodes[peer].alive.as_deref();
        if alive.is_some_and(|alive| alive.desk.open.values().any(|asked| asked.written().is_some())) {
            return false;
        }
        let life = self.nodes[peer].life;
        if self.declared.insert((peer, life)) {
            for (collection, schema) in app.schemas() {
                let (collection, schema) = (collection.clone(), Arc::clone(schema));
                let change = SchemaChange::Set { schema, force: true, dry_run: false };
                self.ask(peer, Asked::Change, Request::Schema { partition, collection, change });
            }
        }
        let Some(seen) = self.observe(peer, partition, false) else { return true };
        self.check_rules(&seen);
        let intents = app.step(&seen, &mut Draw::new(self.keyed, id));
        let docs: Vec<DocRef> =
            intents.iter().filter_map(|intent| self.target(peer, partition, &intent.target)).collect();
        if !intents.is_empty() {
            self.ask(peer, Asked::Write(docs, true), Request::Write { partition, intents, once: None });
        }
        true
    }

    /// Checks the app's rules on every peer that fetches everything, after convergence.
    pub(crate) fn check_app_at_rest(&mut self) {
        if self.app.is_none() {
            return;
        }
        for peer in (0..self.nodes.len()).filter(|peer| self.core[*peer]).collect::<Vec<_>>() {
            let Some(partition) = self.main(peer).filter(|_| !self.nodes[peer].partial) else { continue };
            if let Some(seen) = self.observe(peer, partition, true) {
                self.check_rules(&seen);
            }
        }
    }

    fn main(&self, peer: usize) -> Option<PartNo> {
        let alive = self.nodes[peer].alive.as_deref()?;
        alive.endpoint.partition(SpaceNo(0), &crate::world::partition_name(0))
    }

    /// Returns the document of a write, if it has a key.
    fn target(&self, peer: usize, partition: PartNo, target: &Target) -> Option<DocRef> {
        let Target::Named(Name::Key { collection, key }) = target else { return None };
        let endpoint = &self.nodes[peer].alive.as_deref()?.endpoint;
        let collection = endpoint.collection_id(SpaceNo(0), collection)?;
        Some(DocRef { partition, doc: endpoint.doc_id_for_key(SpaceNo(0), &collection, key)? })
    }

    /// Returns the durable content of a peer's store, from a fresh replica.
    fn observe(&mut self, peer: usize, partition: PartNo, at_rest: bool) -> Option<Observation> {
        let store = self.nodes[peer].durable();
        let docs = self.documents(peer, store, partition)?;
        let mut documents = BTreeMap::new();
        for snapshot in docs.values().filter(|snapshot| !snapshot.meta.deleted) {
            let meta = &snapshot.meta;
            let (Some(collection), Some(key)) = (meta.collection.clone(), meta.key.clone()) else { continue };
            let Ok(value) = serde_json::from_str(&json::to_string(&snapshot.value)) else { continue };
            documents.insert((collection, key), value);
        }
        Some(Observation::new(peer, at_rest, documents))
    }

    fn check_rules(&mut self, seen: &Observation) {
        self.stats.checks += 1;
        for text in self.app.map(|app| app.broken(seen)).unwrap_or_default() {
            self.violation(OracleId::App, Some(seen.peer), text);
        }
    }
}
