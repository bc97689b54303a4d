//! Plans of peers that run databases: writes that collide, indexes that come and go, queries, live queries.

use super::{Copies, Draws, Profile, push};
use crate::plan::{Act, After, Ask, Change, Plan, When};

/// Number of documents.
const DOCS: u64 = 12;
/// Number of collections: not more than three partitions have.
const PLACES: u64 = 6;
/// Number of indexes.
const INDEXES: u64 = 6;
/// Number of schemas.
const SCHEMAS: u64 = 4;
/// Rules have these numbers.
const RULES: u64 = 5;
/// More documents than are read at a time, where limits are as shipped.
const MANY: (u64, u64) = (130, 600);

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Patch,
    Gather,
    Delete,
    Undelete,
    Both,
    Hold,
    Import,
    Create,
    Drop,
    Rebuild,
    Schema,
    Rules,
    Find,
    FindMore,
    FindBound,
    Follow,
    FollowBound,
    Feed,
    Unfollow,
    Check,
    Bodies,
}

const KINDS: [Kind; 21] = [
    Kind::Patch,
    Kind::Gather,
    Kind::Delete,
    Kind::Undelete,
    Kind::Both,
    Kind::Hold,
    Kind::Import,
    Kind::Create,
    Kind::Drop,
    Kind::Rebuild,
    Kind::Schema,
    Kind::Rules,
    Kind::Find,
    Kind::FindMore,
    Kind::FindBound,
    Kind::Follow,
    Kind::FollowBound,
    Kind::Feed,
    Kind::Unfollow,
    Kind::Check,
    Kind::Bodies,
];

impl Profile {
    /// Returns the profile of databases for this seed: one of four has copies.
    pub fn of_databases(seed: u64) -> Self {
        let copies = if seed % 4 == 3 { Copies::Processes } else { Copies::None };
        Self { peers: (1, 4), edits: (20, 90), faults: 10, copies, databases: true, ..Self::default() }
    }
}

/// Draws the requests to databases until phase one ends.
pub(super) fn work(draws: &mut Draws, plan: &mut Plan, profile: &Profile, end_us: u64) {
    plan.databases = true;
    // Limits are met from both sides.
    plan.core.batch = draws.pick(&[None, Some(1), Some(2), Some(3), Some(8)]);
    let mut kinds = super::subset(draws, &KINDS, profile.swarm);
    kinds.extend([Kind::Create, Kind::Find, Kind::Follow]);
    if kinds.contains(&Kind::FindBound) || kinds.contains(&Kind::FollowBound) {
        kinds.push(Kind::Rules);
    }
    // Indexes that are made, by the numbers of their collections and their own.
    let mut made = Vec::new();
    let peers = plan.peers.len() as u64;
    // Writes go to few documents and collections, or to all.
    let docs = draws.pick(&[2, 6, DOCS]);
    let places = draws.pick(&[1, 2, PLACES]);
    let mut at_us = 0;
    for _ in 0..draws.within(1, 4) {
        let peer = draws.below(peers) as usize;
        let what = index(draws, places, Change::Create);
        let at_us = draws.below(end_us / 2 + 1);
        if let Ask::Index { place, index, .. } = what {
            made.push((place, index));
            ask_while_built(draws, plan, peer, (place, index));
        }
        push(plan, When::AtUs(at_us), Act::Ask { peer, what });
    }
    for _ in 0..draws.below(4) {
        let (peer, at_us) = (draws.below(peers) as usize, draws.below(end_us / 2 + 1));
        let place = draws.below(places) as u32;
        push(plan, When::AtUs(at_us), Act::Ask { peer, what: Ask::Follow { place } });
    }
    if plan.core.batch.is_none() && draws.once_in(8) {
        let (peer, at_us) = (draws.below(peers) as usize, draws.below(end_us / 2 + 1));
        let (place, docs) = (draws.below(places) as u32, draws.within(MANY.0, MANY.1) as u32);
        push(plan, When::AtUs(at_us), Act::Ask { peer, what: Ask::Import { place, docs } });
    }
    for _ in 0..draws.within(u64::from(profile.edits.0), u64::from(profile.edits.1)) {
        at_us = if draws.once_in(4) { draws.below(end_us) } else { (at_us + draws.span_us(100, 200_000)).min(end_us) };
        let peer = draws.below(peers) as usize;
        let kind = if draws.once_in(2) { None } else { Some(draws.pick(&kinds)) };
        if kind == Some(Kind::Bodies) {
            let bodies = super::bodies(draws);
            push(plan, When::AtUs(at_us), Act::Bodies { peer, bodies });
            continue;
        }
        if draws.once_in(8) {
            let of = draws.pick(&made);
            burst(draws, plan, peer, of, at_us);
        }
        let what = one(draws, kind, docs, places, plan.partitions);
        if let Ask::Index { place, index, change: Change::Create | Change::Rebuild } = what {
            ask_while_built(draws, plan, peer, (place, index));
        }
        if let Ask::FindBound { place } | Ask::FollowBound { place } = what {
            rule(draws, plan, peer, place, (at_us, end_us));
        }
        // Queries are asked while a commit is under way, or at any time.
        let is_between = what.is_question() && !draws.once_in(3);
        let when = if is_between { between(draws, peer) } else { When::AtUs(at_us) };
        push(plan, when, Act::Ask { peer, what });
    }
}

/// Draws a moment at which an index may be some commits behind.
fn between(draws: &mut Draws, peer: usize) -> When {
    let event = draws.pick(&[
        "commit.submitted",
        "commit.durable",
        "entry.received",
        "data.asked",
        "index.submitted",
        "index.durable",
    ]);
    let delay_us = if draws.once_in(2) { 0 } else { draws.below(2_000) };
    let most = if event.starts_with("index") { 25 } else { 80 };
    When::After(After { event: event.to_owned(), peer, nth: draws.within(1, most), delay_us })
}

/// Rules are set before a moment, and often others after it.
fn rule(draws: &mut Draws, plan: &mut Plan, peer: usize, place: u32, (at_us, end_us): (u64, u64)) {
    let before_us = draws.below(at_us + 1);
    let after_us = draws.within(at_us, at_us.max(end_us));
    for (at_us, is_set) in [(before_us, true), (after_us, draws.once_in(2))] {
        let rules = draws.within(1, RULES - 1) as u32;
        if is_set {
            push(plan, When::AtUs(at_us), Act::Ask { peer, what: Ask::Rules { place, rules } });
        }
    }
}

/// A query is asked by an index when the last of it may be on its way to the disk.
fn ask_while_built(draws: &mut Draws, plan: &mut Plan, peer: usize, (place, index): (u32, u32)) {
    let index = Some(index);
    for _ in 0..draws.below(3) {
        let after = After { event: "index.submitted".to_owned(), peer, nth: draws.within(1, 6), delay_us: 0 };
        push(plan, When::After(after), Act::Ask { peer, what: Ask::Find { place, index } });
    }
}

/// One document changes several times while indexes take it in: some of it is gathered only. Queries are asked, or the
/// process ends, when what indexes hold of it is on its way to the disk or there.
fn burst(draws: &mut Draws, plan: &mut Plan, peer: usize, (place, index): (u32, u32), at_us: u64) {
    // Documents have the numbers of their collections, and others beyond these.
    let doc = place % ((plan.partitions + 1) * 2);
    let mut at_us = at_us;
    for _ in 0..draws.within(2, 5) {
        let what = match draws.below(8) {
            0 => Ask::Delete { doc },
            1 | 2 => Ask::Gather { doc },
            _ => Ask::Put { doc },
        };
        // Some follows right behind a commit, while what that changed is read; some comes from others.
        let after =
            After { event: "commit.durable".to_owned(), peer, nth: draws.within(1, 60), delay_us: draws.below(150) };
        let when = if draws.once_in(3) { When::After(after) } else { When::AtUs(at_us) };
        let writer = if draws.once_in(3) { draws.below(plan.peers.len() as u64) as usize } else { peer };
        push(plan, when, Act::Ask { peer: writer, what });
        at_us += if draws.once_in(2) { draws.below(300) } else { draws.span_us(100, 30_000) };
    }
    let index = Some(index);
    for _ in 0..draws.within(1, 4) {
        let delay_us = if draws.once_in(2) { 0 } else { draws.below(300) };
        let durable = After { event: "index.durable".to_owned(), peer, nth: draws.within(1, 25), delay_us };
        let when = if draws.once_in(2) { When::After(durable) } else { between(draws, peer) };
        push(plan, when, Act::Ask { peer, what: Ask::Find { place, index } });
    }
    if draws.once_in(4) {
        let event = draws.pick(&["index.submitted", "index.durable"]).to_owned();
        let when = When::After(After { event, peer, nth: draws.within(1, 25), delay_us: draws.below(2) * 50 });
        let (keep, restart_us) = (draws.within(0, 3) as u32, Some(draws.span_us(1_000, 100_000)));
        push(plan, when, Act::Crash { peer, keep, restart_us });
    }
}

/// Draws a write beside copies of a process.
pub(super) fn one_write(draws: &mut Draws, peer: usize) -> Act {
    Act::Ask { peer, what: Ask::Put { doc: draws.below(DOCS / 2) as u32 } }
}

fn index(draws: &mut Draws, places: u64, change: Change) -> Ask {
    Ask::Index { place: draws.below(places) as u32, index: draws.below(INDEXES) as u32, change }
}

fn one(draws: &mut Draws, kind: Option<Kind>, docs: u64, places: u64, partitions: u32) -> Ask {
    let doc = draws.below(docs) as u32;
    let place = draws.below(places) as u32;
    let Some(kind) = kind else { return Ask::Put { doc } };
    match kind {
        Kind::Patch => Ask::Patch { doc },
        Kind::Gather => Ask::Gather { doc },
        Kind::Delete => Ask::Delete { doc },
        Kind::Undelete => Ask::Undelete { doc },
        Kind::Both => {
            let step = partitions + 1;
            let other = (doc + step * (1 + draws.below(2) as u32)) % (DOCS as u32 / step * step);
            if other == doc || other % step != doc % step { Ask::Put { doc } } else { Ask::Both { docs: [doc, other] } }
        }
        Kind::Hold => Ask::Hold { doc, on: draws.once_in(2) },
        Kind::Import => Ask::Import { place, docs: draws.within(1, 20) as u32 },
        Kind::Create => index(draws, places, Change::Create),
        Kind::Drop => index(draws, places, Change::Drop),
        Kind::Rebuild => index(draws, places, Change::Rebuild),
        Kind::Schema => Ask::Schema { place, schema: draws.below(SCHEMAS) as u32 },
        Kind::Rules => Ask::Rules { place, rules: draws.below(RULES) as u32 },
        Kind::Find | Kind::FindMore => Ask::Find { place, index: None },
        Kind::FindBound => Ask::FindBound { place },
        Kind::Follow => Ask::Follow { place },
        Kind::FollowBound => Ask::FollowBound { place },
        Kind::Feed => Ask::Feed { limit: draws.within(1, 8) as u32 },
        Kind::Unfollow => Ask::Unfollow,
        Kind::Check | Kind::Bodies => Ask::Check,
    }
}
