//! Events of a core: what the application and the runtime around it learn.

use super::World;
use super::state::tell_close;
use super::work::number_of;
use crate::coverage::Point;
use cosmicsync_protocol::endpoint::{CloseReason, Event, LinkId, Process};
use cosmicsync_protocol::wire::close::CloseCode;

impl World<'_> {
    /// Handles an event of a core. Returns whether the core was called.
    pub(super) fn handle_event(&mut self, peer: usize, event: Event) -> bool {
        match event {
            Event::PeerUp { link, peer: Process { device, .. } } => {
                let alive = self.nodes[peer].alive.as_deref_mut();
                let conn = alive.and_then(|alive| {
                    alive.up.insert(link, device);
                    alive.links.get(&link).copied()
                });
                if let Some((conn, _)) = conn {
                    self.is_up(conn);
                }
                self.point(peer, Point::Shaken, None, device.as_ref());
                conn.into_iter().for_each(|(conn, _)| self.detail_link(conn, None, String::new));
                false
            }
            Event::Close { link, reason, .. } => self.close(peer, link, &reason),
            Event::Committed { commits } => {
                commits.iter().for_each(|commit| self.acked(peer, commit.0));
                false
            }
            Event::EditsFailed { commits } => {
                commits.iter().for_each(|commit| self.edit_failed(peer, commit.0));
                false
            }
            Event::Opened { doc, .. } => {
                self.point(peer, Point::DocOpened, None, doc.doc.as_ref());
                self.opened(peer, doc)
            }
            Event::Changed { doc } => {
                self.point(peer, Point::DocChanged, None, doc.doc.as_ref());
                self.changed(peer, doc)
            }
            Event::Retired { log } => {
                self.point(peer, Point::Retired, None, log.as_ref());
                self.check_retired(peer, "gave its log up");
                false
            }
            Event::Forked { log } => {
                self.point(peer, Point::Forked, None, log.as_ref());
                self.check_retired(peer, "saw a log fork");
                false
            }
            Event::Mismatch { .. } => {
                self.point(peer, Point::Mismatch, None, &[]);
                self.check_retired(peer, "could not repair its space");
                false
            }
            Event::SpaceChanged { .. } => {
                self.point(peer, Point::SpaceChanged, None, &[]);
                if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
                    alive.retry = true;
                }
                false
            }
            Event::StoreFailed { error } => {
                if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
                    alive.failed.get_or_insert(error);
                }
                false
            }
            Event::Republished { doc, .. } => {
                self.point(peer, Point::Republished, None, doc.doc.as_ref());
                self.watch(peer, number_of(doc.doc));
                false
            }
            Event::Twice { .. } => false,
            Event::Joined { .. } | Event::Admitted { .. } | Event::Read { .. } => {
                self.point(peer, Point::Other, None, &[]);
                false
            }
        }
    }

    fn close(&mut self, peer: usize, link: LinkId, reason: &CloseReason) -> bool {
        self.point(peer, Point::Closed, None, format!("{reason:?}").as_bytes());
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return false };
        let Some((conn, end)) = alive.links.remove(&link) else { return false };
        self.detail_link(conn, None, || tell_close(reason));
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return false };
        alive.up.remove(&link);
        self.note_closed(conn);
        self.check_close(peer, conn, reason);
        let renews = [CloseReason::Ours(CloseCode::Renew), CloseReason::Theirs(CloseCode::Renew as u16)];
        let route = self.conns.get(&conn).map(|conn| conn.route);
        self.hang_up(conn, end);
        if let Some(route) = route.filter(|route| renews.contains(reason) && self.plan.links[*route].from == peer) {
            self.dial_later(route, 0);
        }
        self.call(peer, |alive, now| alive.endpoint.handle_link_lost(now, link));
        true
    }
}
