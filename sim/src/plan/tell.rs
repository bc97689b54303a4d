//! Names and descriptions of actions, for people.

use super::{Act, Ask, Disk, Image, Link, Plan, Tampering, Way};

/// The names of all kinds of faults, as [`Act::kind`] returns them.
pub const FAULTS: [&str; 19] = [
    "hang",
    "reset",
    "stall",
    "partition",
    "quality",
    "split",
    "gather",
    "flap",
    "refuse",
    "unanswered",
    "tamper",
    "crash",
    "stop",
    "restart",
    "resume",
    "pause",
    "slow-store",
    "fail-store",
    "clock",
];

impl Act {
    /// Returns the name of its kind, as in files.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Insert { .. } => "insert",
            Self::Item { .. } => "item",
            Self::Make { .. } => "make",
            Self::Member { .. } => "member",
            Self::Scribble { .. } => "scribble",
            Self::Set { .. } => "set",
            Self::Both { .. } => "both",
            Self::Delete { .. } => "delete",
            Self::Import { .. } => "import",
            Self::Open { .. } => "open",
            Self::Close { .. } => "close",
            Self::Hold { .. } => "hold",
            Self::Ask { .. } => "ask",
            Self::Bodies { .. } => "bodies",
            Self::Dial { .. } => "dial",
            Self::Hang { .. } => "hang",
            Self::Reset { .. } => "reset",
            Self::Stall { .. } => "stall",
            Self::Partition { .. } => "partition",
            Self::Quality { .. } => "quality",
            Self::Split { .. } => "split",
            Self::Gather { .. } => "gather",
            Self::Flap { .. } => "flap",
            Self::Refuse { .. } => "refuse",
            Self::Unanswered { .. } => "unanswered",
            Self::Tamper { .. } => "tamper",
            Self::Crash { .. } => "crash",
            Self::Stop { .. } => "stop",
            Self::Snapshot { .. } => "snapshot",
            Self::Restart { .. } => "restart",
            Self::Resume { .. } => "resume",
            Self::Pause { .. } => "pause",
            Self::SlowStore { .. } => "slow-store",
            Self::FailStore { .. } => "fail-store",
            Self::Clock { .. } => "clock",
        }
    }

    /// Returns its duration in microseconds: 0 if it ends at once, `None` if it lasts until faults end.
    pub fn lasts_us(&self) -> Option<u64> {
        match self {
            Self::Stall { for_us, .. }
            | Self::Partition { for_us, .. }
            | Self::Refuse { for_us, .. }
            | Self::Unanswered { for_us, .. }
            | Self::Pause { for_us, .. } => Some(*for_us),
            Self::Flap { up_us, times, .. } => Some(up_us.saturating_mul(u64::from(*times))),
            Self::Crash { restart_us, .. } => *restart_us,
            Self::Stop { restart_us, .. } => Some(*restart_us),
            Self::FailStore { reopen_us, .. } => Some(*reopen_us),
            Self::Quality { .. } | Self::SlowStore { .. } | Self::Hang { .. } => None,
            Self::Split { bytes, .. } => (*bytes == 0).then_some(0),
            Self::Gather { for_us, .. } => (*for_us == 0).then_some(0),
            Self::Clock { rate, .. } => (*rate == 1000).then_some(0),
            Self::Hold { on, .. } => (!on).then_some(0),
            Self::Create { .. }
            | Self::Insert { .. }
            | Self::Item { .. }
            | Self::Make { .. }
            | Self::Member { .. }
            | Self::Scribble { .. }
            | Self::Set { .. }
            | Self::Both { .. }
            | Self::Delete { .. }
            | Self::Import { .. }
            | Self::Open { .. }
            | Self::Close { .. }
            | Self::Ask { .. }
            | Self::Bodies { .. }
            | Self::Dial { .. }
            | Self::Reset { .. }
            | Self::Tamper { .. }
            | Self::Snapshot { .. }
            | Self::Restart { .. }
            | Self::Resume { .. } => Some(0),
        }
    }

    /// Returns whether it restores the original speed of a link or disk.
    #[expect(clippy::wildcard_enum_match_arm, reason = "few kinds set something")]
    pub fn restores(&self, plan: &Plan) -> bool {
        match self {
            Self::Quality { link, latency_us, jitter_us, bandwidth } => plan.links.get(*link).is_some_and(|own| {
                (own.latency_us, own.jitter_us, own.bandwidth) == (*latency_us, *jitter_us, *bandwidth)
            }),
            Self::SlowStore { peer, commit_us } => plan.peers.get(*peer).is_some_and(|own| own.commit_us == *commit_us),
            _ => false,
        }
    }

    /// Describes it. Links come with the peers that they join.
    pub fn tell(&self, plan: &Plan) -> String {
        if self.restores(plan) {
            let what = self.link().map(|link| plan.link_name(link));
            let disk = || self.peers().first().map(|peer| format!("the disk of {}", plan.peer_name(*peer)));
            return format!("{} is as fast as before", what.or_else(disk).unwrap_or_default());
        }
        if let Some(link) = self.link() {
            return self.describe_link(&plan.link_name(link), plan.links.get(link));
        }
        if self.is_fault() { self.describe_peer(plan) } else { self.describe_work(plan) }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn describe_link(&self, link: &str, ends: Option<&Link>) -> String {
        let (from, to) = ends.map_or((0, 0), |ends| (ends.from, ends.to));
        let arrow = |way: Way| match way {
            Way::Both => String::new(),
            Way::Forth => format!(" from {from} to {to}"),
            Way::Back => format!(" from {to} to {from}"),
        };
        match self {
            Self::Dial { .. } => format!("dial {link}"),
            Self::Hang { .. } => format!("hang up {link} for good"),
            Self::Reset { after_bytes: 0, .. } => format!("reset {link}"),
            Self::Reset { after_bytes, .. } => format!("reset {link} after {after_bytes} more bytes"),
            Self::Stall { way, for_us, .. } => {
                format!("hold back bytes{} on {link} for {}", arrow(*way), span(*for_us))
            }
            Self::Quality { latency_us, jitter_us, bandwidth, .. } => {
                let jitter = if *jitter_us > 0 { format!(", jitter {}", span(*jitter_us)) } else { String::new() };
                let rate = if *bandwidth > 0 { format!(", {bandwidth} bytes/s") } else { String::new() };
                format!("{link} becomes slow: latency {}{jitter}{rate}", span(*latency_us))
            }
            Self::Split { bytes: 0, .. } => format!("{link} delivers whole pieces again"),
            Self::Split { bytes, .. } => format!("{link} delivers {bytes} bytes at a time"),
            Self::Gather { for_us: 0, .. } => format!("{link} delivers at once again"),
            Self::Gather { for_us, .. } => format!("{link} delivers in lumps, each {}", span(*for_us)),
            Self::Flap { up_us, times, .. } => format!("reset {link} {times} times, every {}", span(*up_us)),
            Self::Refuse { for_us, .. } => format!("refuse dials of {link} for {}", span(*for_us)),
            Self::Unanswered { for_us, .. } => format!("leave dials of {link} unanswered for {}", span(*for_us)),
            Self::Tamper { way, with, .. } => {
                let what = match with {
                    Tampering::Flip(_) => "flip a bit".to_owned(),
                    Tampering::Drop(bytes) => format!("drop {bytes} bytes"),
                    Tampering::Repeat(bytes) => format!("repeat {bytes} bytes"),
                    Tampering::Forge(bytes) => format!("insert {bytes} forged bytes"),
                    Tampering::Swap(bytes) => format!("swap stretches of {bytes} bytes"),
                };
                let way = if *way == Way::Both { Way::Forth } else { *way };
                format!("{what}{} on {link}", arrow(way))
            }
            _ => self.kind().to_owned(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn describe_peer(&self, plan: &Plan) -> String {
        let name = |peer: usize| plan.peer_name(peer);
        match self {
            Self::Partition { sides, for_us, reset } => {
                let side = |side: &Vec<usize>| side.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let sides = sides.iter().map(side).collect::<Vec<_>>().join(" | ");
                let reset = if *reset { ", connections reset" } else { "" };
                format!("partition {sides} for {}{reset}", span(*for_us))
            }
            Self::Crash { peer, keep, restart_us } => {
                let kept = if *keep == 0 { "loses unsynced commits" } else { "keeps unsynced commits" };
                let back = match restart_us {
                    None => "does not restart by itself".to_owned(),
                    Some(0) => "restarts at once".to_owned(),
                    Some(after) => format!("restarts after {}", span(*after)),
                };
                format!("crash {}: {kept}, {back}", name(*peer))
            }
            Self::Stop { peer, restart_us } => format!("stop {}, restart after {}", name(*peer), span(*restart_us)),
            Self::Restart { peer, store } => {
                let from = match store {
                    Disk::Same => "its own store".to_owned(),
                    Disk::Snapshot => "its backup".to_owned(),
                    Disk::Wiped => "its store as the run began".to_owned(),
                    Disk::CloneOf(other) => format!("a copy of the store of {}", name(*other)),
                };
                format!("start {} from {from}", name(*peer))
            }
            Self::Resume { peer, of, slept_ms } => {
                let of = match of {
                    Image::Now(other) if other == peer => "itself".to_owned(),
                    Image::Now(other) => name(*other),
                    Image::Snapshot => "its last copy".to_owned(),
                };
                let slept = if *slept_ms > 0 { format!(", {} later", span(slept_ms * 1000)) } else { String::new() };
                format!("resume {} as a copy of {of}, memory and all{slept}", name(*peer))
            }
            Self::Pause { peer, for_us } => format!("pause {} for {}", name(*peer), span(*for_us)),
            Self::SlowStore { peer, commit_us } => {
                format!("slow disk of {}: a commit takes {}", name(*peer), span(*commit_us))
            }
            Self::FailStore { peer, reads: true, .. } => format!("a read of {} fails", name(*peer)),
            Self::FailStore { peer, full, .. } => {
                let why = if *full { "the disk is full" } else { "fsync fails" };
                format!("commits of {} fail: {why}", name(*peer))
            }
            Self::Clock { peer, jump_ms, rate } => {
                let jump = if *jump_ms == 0 { String::new() } else { format!(" jumps by {jump_ms} ms") };
                let rate = if *rate == 1000 { String::new() } else { format!(" runs at {rate} thousandths") };
                format!("clock of {}{jump}{rate}", name(*peer))
            }
            _ => self.kind().to_owned(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn describe_work(&self, plan: &Plan) -> String {
        let who = self.peers().first().map_or_else(String::new, |peer| plan.peer_name(*peer));
        match self {
            Self::Create { doc, .. } | Self::Make { doc, .. } => format!("{who} creates document {doc}"),
            Self::Insert { doc, .. } => format!("{who} types into document {doc}"),
            Self::Item { doc, .. } => format!("{who} adds an item to document {doc}"),
            Self::Member { doc, .. } | Self::Set { doc, .. } => format!("{who} changes a field of document {doc}"),
            Self::Scribble { doc, .. } => format!("{who} edits the draft of document {doc}"),
            Self::Both { docs: [a, b], .. } => format!("{who} types into documents {a} and {b} in one transaction"),
            Self::Delete { doc, deleted: true, .. } => format!("{who} deletes document {doc}"),
            Self::Delete { doc, deleted: false, .. } => format!("{who} restores document {doc}"),
            Self::Import { docs, .. } => format!("{who} imports {docs} documents"),
            Self::Open { doc, .. } => format!("{who} opens document {doc}"),
            Self::Close { doc, .. } => format!("{who} closes document {doc}"),
            Self::Hold { doc, on: true, .. } => format!("{who} holds document {doc} at what it shows"),
            Self::Hold { doc, on: false, .. } => format!("{who} lets changes into document {doc} again"),
            Self::Ask { what: Ask::Step, .. } => format!("{who}: the app's user takes a step"),
            Self::Ask { what, .. } => {
                format!("{who} asks its database: {what:?}").replace(" {", " (").replace('}', ")")
            }
            Self::Bodies { bodies, .. } => format!("{who} fetches other bodies: {bodies:?}"),
            Self::Snapshot { .. } => format!("a backup of {who} is kept"),
            _ => self.kind().to_owned(),
        }
    }
}

impl Plan {
    /// Returns a peer's number, and its name if it has one.
    pub fn peer_name(&self, peer: usize) -> String {
        match self.peers.get(peer) {
            Some(found) if !found.name.is_empty() => format!("peer {peer} ({})", found.name),
            _ => format!("peer {peer}"),
        }
    }

    /// Returns a link's number and the peers that it joins.
    pub fn link_name(&self, link: usize) -> String {
        let ends = self.links.get(link).map(|ends| format!(" (peers {} and {})", ends.from, ends.to));
        format!("link {link}{}", ends.unwrap_or_default())
    }
}

/// Formats a span of time.
fn span(us: u64) -> String {
    let with = |whole: u64, thousandths: u64, unit: &str| match thousandths {
        0 => format!("{whole} {unit}"),
        _ => format!("{} {unit}", format!("{whole}.{thousandths:03}").trim_end_matches('0')),
    };
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => with(us / 1_000, us % 1_000, "ms"),
        1_000_000..600_000_000 => with(us / 1_000_000, us / 1_000 % 1_000, "s"),
        600_000_000..7_200_000_000 => format!("{} min", us / 60_000_000),
        7_200_000_000.. => format!("{} h", us / 3_600_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_called_as_in_files() {
        let plan = Plan::quiet(1, 2);
        let acts = [
            Act::FailStore { peer: 0, nth: 0, full: true, reads: false, reopen_us: 5 },
            Act::Create { peer: 0, doc: 1, items: false },
            Act::Quality { link: 0, latency_us: 5_500, jitter_us: 0, bandwidth: 0 },
            Act::Stall { link: 0, way: Way::Back, for_us: 2_000_000 },
        ];
        for act in &acts {
            let tree = serde_json::to_value(act).unwrap();
            assert_eq!(tree["kind"], act.kind());
            assert_eq!(FAULTS.contains(&act.kind()), act.is_fault(), "{}", act.kind());
        }
        assert_eq!(acts[2].tell(&plan), "link 0 (peers 1 and 0) becomes slow: latency 5.5 ms");
        assert_eq!(acts[3].tell(&plan), "hold back bytes from 0 to 1 on link 0 (peers 1 and 0) for 2 s");
        assert_eq!(span(63_966_337_000), "17 h");
        assert_eq!(acts[0].tell(&plan), "commits of peer 0 fail: the disk is full");
    }
}
