//! Waits for replicas to agree. There is no polling: each turn of the driver checks the waits.

use super::state::Core;
use crate::service::{Bodies, ErrorCode, ServiceError};
use cosmicsync_protocol::endpoint::{CommitId, LinkInfo};
use cosmicsync_protocol::sync;
use cosmicsync_protocol::sync::SpaceNo;
use tokio::sync::oneshot;

/// The goal of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// All connected peers, at least one, have the whole space durably, and this node lacks nothing that it knows of.
    Synced,
    /// The keys of the space are here, and everything of it that connected peers have.
    Readable,
}

/// One wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) space: SpaceNo,
    pub(crate) goal: Goal,
    /// A commit that must become durable first, because writes from before the wait are part of the goal.
    pub(crate) barrier: Option<CommitId>,
    /// Deadline on the monotonic clock, in microseconds.
    pub(crate) deadline_us: u64,
    pub(crate) reply: oneshot::Sender<Result<u64, ServiceError>>,
}

impl Wait {
    /// Records that a commit is durable.
    pub(crate) fn handle_committed(&mut self, commit: CommitId) {
        if self.barrier == Some(commit) {
            self.barrier = None;
        }
    }

    /// Ends the wait with a result.
    pub(crate) fn answer(self, result: Result<u64, ServiceError>) {
        drop(self.reply.send(result));
    }
}

impl Core {
    /// Begins a wait. All writes up to now are part of the goal.
    pub(crate) fn wait(
        &mut self,
        space: SpaceNo,
        goal: Goal,
        timeout_us: u64,
        reply: oneshot::Sender<Result<u64, ServiceError>>,
    ) {
        let barrier = Some(self.barrier(Vec::new()));
        let deadline_us = self.now.mono_us.saturating_add(timeout_us);
        self.waits.push(Wait { space, goal, barrier, deadline_us, reply });
    }

    /// Returns the deadline of the first wait to expire.
    pub(crate) fn wait_timeout(&self) -> Option<u64> {
        self.waits.iter().map(|wait| wait.deadline_us).min()
    }

    /// Records the links that have caught up, and answers the waits that are over.
    pub(crate) fn answer_waits(&mut self) {
        let catching_up = self.links.iter().any(|(link, _)| self.links.is_catching_up(*link));
        if !catching_up && self.waits.is_empty() {
            return;
        }
        let infos = self.db.endpoint().stats().links;
        for info in infos.iter().filter(|info| info.is_settled()) {
            self.links.handle_settled(info.link);
        }
        let now_us = self.now.mono_us;
        for wait in core::mem::take(&mut self.waits) {
            if wait.reply.is_closed() {
                continue;
            }
            let state = match wait.barrier {
                None => self.agreement(wait.space, wait.goal, &infos),
                Some(_) => Err("the last writes are not durable yet".to_owned()),
            };
            match state {
                Ok(peers) => wait.answer(Ok(peers)),
                Err(why) if wait.deadline_us <= now_us => {
                    let next = if self.peers.is_paused() { "cosmicsync peer resume" } else { "cosmicsync doctor" };
                    wait.answer(Err(ServiceError::new(ErrorCode::TimedOut, why).next(next)));
                }
                Err(_) => self.waits.push(wait),
            }
        }
    }

    /// Returns the number of peers that have everything, or a description of the missing part.
    fn agreement(&self, space: SpaceNo, goal: Goal, infos: &[LinkInfo]) -> Result<u64, String> {
        let endpoint = self.db.endpoint();
        let Some(info) = endpoint.spaces().find(|info| info.no == space) else {
            return Err("the space is gone".to_owned());
        };
        let of_space = |link: &&LinkInfo| match goal {
            Goal::Synced => link.peer.is_some_and(|peer| info.devices.contains(&peer.device)),
            Goal::Readable => link.spaces.contains_key(&space),
        };
        let members: Vec<_> = infos.iter().filter(of_space).collect();
        if members.is_empty() {
            let failed = || self.peers.iter().find_map(|(address, known)| Some((address, known.error.as_ref()?)));
            return Err(if self.peers.is_paused() {
                "links are paused".to_owned()
            } else if infos.iter().any(|link| link.peer.is_some()) {
                "no connected peer has the space".to_owned()
            } else if let Some((address, error)) = failed() {
                format!("no peer is connected; {address}: {error}")
            } else {
                "no peer is connected".to_owned()
            });
        }
        if goal == Goal::Readable && !info.readable {
            return Err("the keys of the space have not arrived yet".to_owned());
        }
        if let Some(link) = members.iter().find(|link| link.spaces.get(&space) != Some(&true)) {
            let device = link.peer.map(|peer| peer.device.to_string()).unwrap_or_default();
            return Err(format!("the sync with {device} is still under way"));
        }
        let missing = self.missing(space);
        if missing > 0 {
            return Err(format!("{missing} entries are still to come or to be read"));
        }
        Ok(members.len() as u64)
    }

    /// Returns the number of entries of a space that are known and wanted, but not yet here or not yet read.
    pub(crate) fn missing(&self, space: SpaceNo) -> u64 {
        let endpoint = self.db.endpoint();
        let all = endpoint.spaces().any(|info| info.no == space && info.bodies == sync::Bodies::All);
        let of_log = |log: cosmicsync_protocol::endpoint::LogInfo| {
            let wanted = if all { log.entries } else { log.held };
            wanted.saturating_sub(log.read.min(log.held))
        };
        endpoint.logs().filter(|log| log.space == space).map(of_log).sum()
    }
}

/// Converts the choice of fetched bodies to the service's type.
pub(crate) const fn bodies(of: sync::Bodies) -> Bodies {
    match of {
        sync::Bodies::All => Bodies::All,
        sync::Bodies::HeadOnly => Bodies::None,
        sync::Bodies::Newest(count) => Bodies::Newest(count),
    }
}
