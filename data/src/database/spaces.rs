//! The commands of the endpoint that the database leaves to its caller: users, spaces, links, the end.

use super::Database;
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::endpoint::LinkId;
use cosmicsync_protocol::identity::RecoveryKey;
use cosmicsync_protocol::ids::{CommitId, PartNo};
use cosmicsync_protocol::sealed::Invite;
use cosmicsync_protocol::spaces::SpaceError;
use cosmicsync_protocol::storage::Op;
use cosmicsync_protocol::sync::{Bodies, SpaceNo};
use cosmicsync_protocol::time::Now;
use cosmicsync_protocol::wire::close::CloseCode;

/// The commands about users, spaces and partitions. [`Database::endpoint`] answers questions about them.
#[derive(Debug)]
pub struct Spaces<'a> {
    endpoint: &'a mut Endpoint,
    now: Now,
}

impl Spaces<'_> {
    /// Creates a user whose first device is this one. The recovery key is returned once and stored nowhere.
    ///
    /// # Errors
    /// Fails if the device already belongs to a user.
    pub fn create_user(&mut self) -> Result<RecoveryKey, SpaceError> {
        self.endpoint.create_user(self.now)
    }

    /// Founds a space with the partitions `control` and `main`.
    ///
    /// # Errors
    /// Fails without a user key, or if the name is taken.
    pub fn create(&mut self, name: &str) -> Result<SpaceNo, SpaceError> {
        self.endpoint.create_space(self.now, name)
    }

    /// Adds a partition.
    ///
    /// # Errors
    /// Fails if the name is taken, or the space is unknown or its keys are not here.
    pub fn create_partition(&mut self, space: SpaceNo, name: &str) -> Result<PartNo, SpaceError> {
        self.endpoint.create_partition(self.now, space, name)
    }

    /// Makes an invite for one device, as [`Endpoint::invite`] does. To join, dial with the invite:
    /// [`Database::handle_link_up`].
    ///
    /// # Errors
    /// As [`Endpoint::invite`].
    pub fn invite(&mut self, space: SpaceNo, addresses: Vec<String>, expires_ms: u64) -> Result<Invite, SpaceError> {
        self.endpoint.invite(self.now, space, addresses, expires_ms)
    }

    /// Chooses the bodies of a space that are fetched. All links close, and the next ones follow the choice.
    ///
    /// # Errors
    /// [`SpaceError::UnknownSpace`].
    pub fn set_bodies(&mut self, space: SpaceNo, bodies: Bodies) -> Result<(), SpaceError> {
        self.endpoint.set_bodies(self.now, space, bodies)
    }
}

impl Database {
    /// Returns the commands about users, spaces and partitions.
    pub const fn spaces(&mut self, now: Now) -> Spaces<'_> {
        Spaces { endpoint: &mut self.endpoint, now }
    }

    /// Returns the endpoint, for tests that go past the database.
    #[cfg(feature = "testkit")]
    pub const fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// Writes rows of the layer above, after all earlier writes. [`Event::Committed`](super::Event::Committed) names the
    /// returned id.
    pub fn write_rows(&mut self, now: Now, rows: Vec<Op>) -> CommitId {
        self.endpoint.flush(now);
        self.endpoint.write(now, rows)
    }

    /// Closes a link with a code for the peer.
    pub fn close_link(&mut self, now: Now, link: LinkId, code: CloseCode) {
        self.endpoint.close_link(now, link, code);
    }

    /// Mixes fresh randomness into all future keys, as [`Endpoint::stir`] says.
    pub fn stir(&mut self, fresh: &[u8; 32]) {
        self.endpoint.stir(fresh);
    }

    /// Shuts the endpoint down: edits become entries, links are closed, and later edits are refused. The driver drains
    /// the database, completes its store requests and drops it.
    pub fn shut_down(&mut self, now: Now) {
        self.endpoint.shut_down(now);
    }
}
