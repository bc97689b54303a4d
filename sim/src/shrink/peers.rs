//! Removes peers and links, and renumbers the rest.

use super::Search;
use crate::plan::{Act, Disk, Image, Plan, When};
use std::collections::BTreeSet;

impl Search<'_> {
    /// Removes peers except the founder, and links, the last first.
    pub(super) fn peers_and_links(&mut self) {
        for peer in (1..self.best.plan.peers.len()).rev() {
            let plan = without_peer(&self.best.plan, peer);
            self.try_plan(plan);
        }
        for link in (0..self.best.plan.links.len()).rev() {
            let plan = without_link(&self.best.plan, link);
            self.try_plan(plan);
        }
        for peer in 0..self.best.plan.peers.len() {
            self.change(|plan| plan.peers[peer] = crate::plan::Peer::default());
        }
    }
}

/// Returns whether the peers of the core are connected by links among themselves.
pub(super) fn are_connected(plan: &Plan) -> bool {
    let lives = |peer: usize| plan.bounds.core.is_empty() || plan.bounds.core.contains(&peer);
    let all: BTreeSet<usize> = (0..plan.peers.len()).filter(|peer| lives(*peer)).collect();
    let mut reached: BTreeSet<usize> = all.first().copied().into_iter().collect();
    loop {
        let before = reached.len();
        for link in plan.links.iter().filter(|link| lives(link.from) && lives(link.to)) {
            if reached.contains(&link.from) || reached.contains(&link.to) {
                reached.extend([link.from, link.to]);
            }
        }
        if reached.len() == before {
            return reached == all;
        }
    }
}

fn without_peer(plan: &Plan, gone: usize) -> Plan {
    let mut plan = plan.clone();
    plan.peers.remove(gone);
    let links = plan.links.iter().enumerate().filter(|(_, link)| link.from == gone || link.to == gone);
    let links: Vec<usize> = links.map(|(at, _)| at).collect();
    for link in links.into_iter().rev() {
        plan = without_link(&plan, link);
    }
    let renumber = |peer: &mut usize| *peer -= usize::from(*peer > gone);
    for link in &mut plan.links {
        renumber(&mut link.from);
        renumber(&mut link.to);
    }
    plan.bounds.core.retain(|peer| *peer != gone);
    plan.bounds.core.iter_mut().for_each(renumber);
    plan.actions.retain_mut(|action| {
        if let Act::Partition { sides, .. } = &mut action.act {
            sides.iter_mut().for_each(|side| side.retain(|peer| *peer != gone));
            sides.retain(|side| !side.is_empty());
            if sides.len() < 2 {
                return false;
            }
        } else if action.act.peers().contains(&gone) {
            return false;
        }
        let waits_for_gone = matches!(&action.when, When::After(after) if after.peer == gone);
        !waits_for_gone
    });
    for action in &mut plan.actions {
        peers_of(&mut action.act).into_iter().for_each(renumber);
        if let When::After(after) = &mut action.when {
            renumber(&mut after.peer);
        }
    }
    plan
}

fn without_link(plan: &Plan, gone: usize) -> Plan {
    let mut plan = plan.clone();
    plan.links.remove(gone);
    plan.actions.retain(|action| action.act.link() != Some(gone));
    for link in plan.actions.iter_mut().filter_map(|action| link_of(&mut action.act)) {
        *link -= usize::from(*link > gone);
    }
    plan
}

fn peers_of(act: &mut Act) -> Vec<&mut usize> {
    match act {
        Act::Create { peer, .. }
        | Act::Insert { peer, .. }
        | Act::Item { peer, .. }
        | Act::Make { peer, .. }
        | Act::Member { peer, .. }
        | Act::Scribble { peer, .. }
        | Act::Set { peer, .. }
        | Act::Both { peer, .. }
        | Act::Delete { peer, .. }
        | Act::Import { peer, .. }
        | Act::Open { peer, .. }
        | Act::Close { peer, .. }
        | Act::Hold { peer, .. }
        | Act::Ask { peer, .. }
        | Act::Bodies { peer, .. }
        | Act::Crash { peer, .. }
        | Act::Stop { peer, .. }
        | Act::Snapshot { peer }
        | Act::Pause { peer, .. }
        | Act::SlowStore { peer, .. }
        | Act::FailStore { peer, .. }
        | Act::Clock { peer, .. } => vec![peer],
        Act::Restart { peer, store: Disk::CloneOf(other) } | Act::Resume { peer, of: Image::Now(other), .. } => {
            vec![peer, other]
        }
        Act::Restart { peer, .. } | Act::Resume { peer, .. } => vec![peer],
        Act::Partition { sides, .. } => sides.iter_mut().flatten().collect(),
        Act::Dial { .. }
        | Act::Hang { .. }
        | Act::Reset { .. }
        | Act::Stall { .. }
        | Act::Quality { .. }
        | Act::Split { .. }
        | Act::Gather { .. }
        | Act::Flap { .. }
        | Act::Refuse { .. }
        | Act::Unanswered { .. }
        | Act::Tamper { .. } => Vec::new(),
    }
}

const fn link_of(act: &mut Act) -> Option<&mut usize> {
    match act {
        Act::Dial { link }
        | Act::Hang { link }
        | Act::Reset { link, .. }
        | Act::Stall { link, .. }
        | Act::Quality { link, .. }
        | Act::Split { link, .. }
        | Act::Gather { link, .. }
        | Act::Flap { link, .. }
        | Act::Refuse { link, .. }
        | Act::Unanswered { link, .. }
        | Act::Tamper { link, .. } => Some(link),
        Act::Create { .. }
        | Act::Insert { .. }
        | Act::Item { .. }
        | Act::Make { .. }
        | Act::Member { .. }
        | Act::Scribble { .. }
        | Act::Set { .. }
        | Act::Both { .. }
        | Act::Delete { .. }
        | Act::Import { .. }
        | Act::Open { .. }
        | Act::Close { .. }
        | Act::Hold { .. }
        | Act::Ask { .. }
        | Act::Bodies { .. }
        | Act::Partition { .. }
        | Act::Crash { .. }
        | Act::Stop { .. }
        | Act::Snapshot { .. }
        | Act::Restart { .. }
        | Act::Resume { .. }
        | Act::Pause { .. }
        | Act::SlowStore { .. }
        | Act::FailStore { .. }
        | Act::Clock { .. } => None,
    }
}
