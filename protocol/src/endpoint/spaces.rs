//! Commands and queries about users, spaces, partitions and imports.
//!
//! The ledger carries them out; this module only routes (`spec/access.md`, `spec/identity.md`).

use super::Endpoint;
use crate::documents::bulk::{self, Bulk, BulkError};
use crate::event::Process;
use crate::identity::{RecoveryKey, VerifiedCredential};
use crate::ids::{
    CollectionId, CommitId, DeviceId, DocId, Incarnation, LinkId, LogNo, PartNo, PartitionId, SpaceId, SpaceNo,
};
use crate::ledger::Ledger;
use crate::logs::{Batch, mint_doc_id};
use crate::sealed::Invite;
use crate::spaces::SpaceError;
use crate::storage::Op;
use crate::sync::Bodies;
use crate::time::Now;
use crate::wire::close::CloseCode;

/// Description of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceInfo {
    /// Local number of the space.
    pub no: SpaceNo,
    /// Id of the space.
    pub id: SpaceId,
    /// Name of the space; empty until control arrived.
    pub name: String,
    /// Devices of the space.
    pub devices: Vec<DeviceId>,
    /// True if the space's keys are here, so that it can be read and written.
    pub readable: bool,
    /// Root that peers compare: equal roots mean equal sets of logs and heads.
    pub root: [u8; 16],
    /// Choice of the bodies that are fetched.
    pub bodies: Bodies,
}

/// Description of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Local number of the partition.
    pub no: PartNo,
    /// Space of the partition.
    pub space: SpaceNo,
    /// Id of the partition.
    pub id: PartitionId,
    /// Name of the partition; empty until control arrived.
    pub name: String,
}

impl Endpoint {
    /// Returns this device.
    pub fn device(&self) -> DeviceId {
        self.ledger.spaces.own.keys.device_id()
    }

    /// Returns this process: the device and this start of its store.
    pub fn process(&self) -> Process {
        Process { device: self.device(), instance: self.ledger.instance }
    }

    /// Returns the life of this endpoint's store.
    pub fn incarnation(&self) -> Incarnation {
        self.ledger.incarnation
    }

    /// Returns the credential of this device, once it belongs to a user.
    pub fn credential(&self) -> Option<&VerifiedCredential> {
        self.ledger.spaces.own.user.as_ref().map(|user| &user.credential)
    }

    /// Returns whether this device holds the user key and can found spaces and admit devices.
    pub fn has_user_key(&self) -> bool {
        self.ledger.spaces.own.user.as_ref().is_some_and(|user| user.user_key.is_some())
    }

    /// Creates a user whose first device is this one. The recovery key is returned once and stored nowhere.
    ///
    /// # Errors
    /// Fails if the device already belongs to a user.
    pub fn create_user(&mut self, now: Now) -> Result<RecoveryKey, SpaceError> {
        self.command(now, Ledger::create_user)
    }

    /// Founds a space with the partitions `control` and `main`.
    ///
    /// # Errors
    /// Fails without a user key, or if the name is taken.
    pub fn create_space(&mut self, now: Now, name: &str) -> Result<SpaceNo, SpaceError> {
        self.command(now, |ledger, batch| ledger.create_space(name, batch))
    }

    /// Adds a partition.
    ///
    /// # Errors
    /// Fails if the name is taken, or the space is unknown or its keys are not here.
    pub fn create_partition(&mut self, now: Now, space: SpaceNo, name: &str) -> Result<PartNo, SpaceError> {
        self.command(now, |ledger, batch| ledger.create_partition(space, name, batch))
    }

    /// Makes an invite to a space for one device. `addresses` are those at which this device can be dialled, best
    /// first; `expires_ms` is the end of its validity on the wall clock, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Fails without a user key, if the space is unknown, with too many open invites, or unless there are 1 to 8
    /// addresses of the form `HOST:PORT`.
    pub fn invite(
        &mut self,
        now: Now,
        space: SpaceNo,
        addresses: Vec<String>,
        expires_ms: u64,
    ) -> Result<Invite, SpaceError> {
        self.command(now, |ledger, batch| ledger.invite(space, addresses, expires_ms, batch))
    }

    /// Chooses the bodies of a space that are fetched. Control is always fetched whole. All links close, and the next
    /// ones follow the choice.
    ///
    /// # Errors
    /// [`SpaceError::UnknownSpace`].
    pub fn set_bodies(&mut self, now: Now, space: SpaceNo, bodies: Bodies) -> Result<(), SpaceError> {
        self.advance(now);
        self.ledger.spaces.known_space(space)?;
        self.ledger.set_bodies(space, bodies);
        self.links.close_all(CloseCode::Renew, &mut self.events);
        self.settle();
        Ok(())
    }

    /// Opens a log for an import into a partition.
    ///
    /// # Errors
    /// Fails if the partition is unknown, or the space's keys are not here.
    pub fn bulk_open(&mut self, now: Now, partition: PartNo) -> Result<LogNo, SpaceError> {
        self.command(now, |ledger, batch| bulk::open(ledger, partition, batch))
    }

    /// Appends new documents to an import's log, in as few entries as possible, together with rows of the
    /// layer above.
    ///
    /// # Errors
    /// Fails if a document is too large or not an object; nothing was written then.
    pub fn bulk_append(&mut self, now: Now, log: LogNo, docs: &Bulk<'_>, rows: Vec<Op>) -> Result<CommitId, BulkError> {
        self.advance(now);
        let mut batch = Batch::default();
        let written = bulk::append(&mut self.ledger, log, docs, &mut batch);
        batch.ops.extend(rows);
        let mut written = written?;
        // A document that was opened before it existed is in memory, and empty.
        written.retain(|(doc, _)| self.documents.holds(*doc));
        if !written.is_empty() {
            batch.effects.push(self.ledger.logs.indexing(written));
        }
        Ok(self.documents.submit(&mut self.ledger, batch))
    }

    /// Ends an import's log.
    pub fn bulk_close(&mut self, now: Now, log: LogNo) {
        self.advance(now);
        let mut batch = Batch::default();
        bulk::close(&mut self.ledger, log, &mut batch);
        self.ledger.submit(batch);
    }

    /// Mints an id for a document that sorts by time.
    pub fn mint_doc_id(&mut self, now: Now) -> DocId {
        self.advance(now);
        let random = self.ledger.entropy.bytes();
        mint_doc_id(now.wall_ms, random)
    }

    /// Returns the id of a collection by its name; `None` if there is no such space here. The collection need not
    /// exist.
    pub fn collection_id(&self, space: SpaceNo, name: &str) -> Option<CollectionId> {
        self.ledger.spaces.known_space(space).ok().map(|space| space.collection(name))
    }

    /// Returns the id of a document by its collection and key; `None` if there is no such space here. The document
    /// need not exist: devices that make it apart merge.
    pub fn doc_id_for_key(&self, space: SpaceNo, collection: &CollectionId, key: &str) -> Option<DocId> {
        self.ledger.spaces.known_space(space).ok().map(|space| space.doc_for_key(collection, key))
    }

    /// Returns all spaces known here.
    pub fn spaces(&self) -> impl Iterator<Item = SpaceInfo> {
        self.ledger.spaces.iter().map(|space| SpaceInfo {
            no: space.no,
            id: space.id,
            name: space.name.clone(),
            devices: space.devices.keys().copied().collect(),
            readable: space.current_epoch().is_some(),
            root: self.ledger.logs.registry.summary(space.no).map_or([0; 16], |summary| summary.space.root()),
            bodies: self.ledger.spaces.bodies(space.no),
        })
    }

    /// Returns all partitions known here.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionInfo> {
        self.ledger.spaces.partitions().map(|partition| PartitionInfo {
            no: partition.no,
            space: partition.space,
            id: partition.id,
            name: partition.name.clone(),
        })
    }

    /// Returns a partition by its name.
    pub fn partition(&self, space: SpaceNo, name: &str) -> Option<PartNo> {
        self.partitions().find(|partition| partition.space == space && partition.name == name).map(|found| found.no)
    }

    /// Closes a link with a code for the peer.
    pub fn close_link(&mut self, now: Now, link: LinkId, code: CloseCode) {
        self.advance(now);
        self.links.close(link, code, &mut self.events);
        self.settle();
    }

    /// Shuts the endpoint down: edits become entries, links are closed, and later edits are refused. The driver drains
    /// it, completes its store requests and drops it.
    pub fn shut_down(&mut self, now: Now) {
        self.advance(now);
        self.documents.shut_down(&mut self.ledger);
        self.links.close_all(CloseCode::ShuttingDown, &mut self.events);
        self.settle();
    }

    fn command<R>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Ledger, &mut Batch) -> Result<R, SpaceError>,
    ) -> Result<R, SpaceError> {
        span!("command");
        self.advance(now);
        let mut batch = Batch::default();
        let result = work(&mut self.ledger, &mut batch)?;
        self.ledger.submit(batch);
        self.settle();
        Ok(result)
    }
}
