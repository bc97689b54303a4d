//! States of peers and links, for coverage and traces. Nothing here changes a run.

use super::World;
use super::node::Queued;
use crate::plan::Act;
use cosmicsync_protocol::endpoint::{CloseReason, LinkId};
use cosmicsync_protocol::wire::close::CloseCode;

impl World<'_> {
    /// Counts the states in which a fault finds its peers.
    pub(super) fn note_hit(&mut self, act: &Act) {
        let mut peers = act.peers();
        if let Some(link) = act.link() {
            peers = vec![self.plan.links[link].from, self.plan.links[link].to];
        }
        for peer in peers {
            let hit = format!("{} {}", act.kind(), self.state_of(peer));
            *self.stats.hits.entry(hit).or_default() += 1;
        }
    }

    /// Returns one of [`STATES`](crate::coverage::STATES).
    fn state_of(&self, peer: usize) -> &'static str {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return "down" };
        if alive.store_queue.front().is_some_and(|queued| *queued != Queued::Read) {
            "writing"
        } else if alive.links.len() > alive.up.len() {
            "connecting"
        } else if alive.links.is_empty() {
            "alone"
        } else if alive.endpoint.stats().links.iter().all(|link| link.is_settled()) {
            "settled"
        } else {
            "syncing"
        }
    }

    /// Returns the kind of a message, from the state of its link: the bytes are sealed.
    pub(super) fn kind_of(&self, peer: usize, link: LinkId) -> &'static str {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return "" };
        if !alive.up.contains_key(&link) {
            "handshake"
        } else if alive.endpoint.link(link).is_some_and(|info| info.is_settled()) {
            "settled"
        } else {
            "sync"
        }
    }
}

/// Describes the reason for the end of a link.
pub(super) fn tell_close(reason: &CloseReason) -> String {
    let code = |code: CloseCode| {
        let more = [
            (CloseCode::Renew, ", to connect anew"),
            (CloseCode::StoreFailed, ", a store failed"),
            (CloseCode::Replaced, ", by a newer link"),
        ];
        let more = more.iter().find(|(known, _)| *known == code).map_or("", |(_, more)| more);
        format!("{code:?}{more}")
    };
    match reason {
        CloseReason::Ours(ours) => code(*ours),
        CloseReason::Theirs(number) => {
            let said = CloseCode::from_number(*number).map_or_else(|| format!("code {number}"), code);
            format!("the other end said {said}")
        }
        CloseReason::Timeout => "nothing came for too long".to_owned(),
        CloseReason::Lost => "the connection broke".to_owned(),
        CloseReason::Done => "done".to_owned(),
        CloseReason::Handshake(_) | CloseReason::Join(_) | CloseReason::Admission(_) => format!("{reason:?}"),
    }
}
