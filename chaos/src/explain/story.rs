//! Stories: the messages, events and faults of a run, from its plan and trace.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cosmicsync_sim::report::{Bound, Record};
use cosmicsync_sim::{Plan, Report};

use crate::report::time;

/// The content of a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Story {
    pub(crate) peers: Vec<String>,
    pub(crate) messages: Vec<Message>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) faults: Vec<Fault>,
    /// Intervals in which processes did not run: peer, beginning, end.
    pub(crate) down: Vec<(usize, u64, u64)>,
    /// Lines across all peers.
    pub(crate) lines: Vec<Line>,
    pub(crate) end_us: u64,
}

/// A message, or several that were sent close together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) link: usize,
    pub(crate) connection: u64,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Times of the first and the last sending.
    pub(crate) sent_us: (u64, u64),
    /// Times of the first and the last arrival; `None` if they never arrived.
    pub(crate) arrived_us: Option<(u64, u64)>,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    /// True if the message was still on its way when the run ended.
    pub(crate) is_under_way: bool,
}

/// Kind of a message, by the state of its link: the bytes are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Handshake,
    Sync,
    /// A keep-alive, or the first message about new entries.
    Settled,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Settled => "settled",
        }
    }
}

/// An event on a peer, or several of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at_us: u64,
    /// Time of the last of several.
    pub(crate) until_us: u64,
    pub(crate) peer: usize,
    pub(crate) what: What,
    pub(crate) count: u64,
    /// Text of its note; empty for no note.
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Edit,
    Commit,
    Up,
    Lost,
    Refused,
    Start,
    Crash,
}

/// A fault that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
    /// True if the fault lasts until faults end.
    pub(crate) is_open: bool,
    /// True if the action only ends another fault.
    restores: bool,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    pub(crate) peers: Vec<usize>,
    pub(crate) link: Option<(usize, usize)>,
}

impl Fault {
    /// Returns a crash of peer 0 that ends at once.
    #[cfg(test)]
    pub(crate) fn at(from_us: u64) -> Self {
        let (kind, text, peers) = ("crash", "crash peer 0".to_owned(), vec![0]);
        Self { from_us, until_us: from_us, is_open: false, restores: false, kind, text, peers, link: None }
    }

    /// Returns whether it ends a process, whose start has a note of its own.
    pub(crate) fn ends_process(&self) -> bool {
        ["crash", "stop", "restart", "resume"].contains(&self.kind)
    }
}

/// A line across all peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at_us: u64,
    /// The peers of a violation; empty for all.
    pub(crate) peers: Vec<usize>,
    pub(crate) text: String,
    pub(crate) is_bad: bool,
    /// True at the moment of agreement.
    pub(crate) is_end: bool,
}

impl Story {
    /// Returns the story of a traced run.
    pub(crate) fn of(plan: &Plan, report: &Report) -> Self {
        let mut story = Self {
            peers: (0..plan.peers.len()).map(|peer| plan.peer_name(peer)).collect(),
            faults: faults(plan, report),
            end_us: report.stats.virtual_us,
            ..Self::default()
        };
        let trace = report.trace.as_deref().unwrap_or_default();
        story.messages = messages(plan, trace);
        story.down = down(plan, trace, story.end_us);
        story.marks = marks(plan, report, trace);
        // Actions on a peer that does not run have no effect.
        let down = &story.down;
        let is_down = |mark: &Mark| {
            down.iter().any(|(peer, from, until)| *peer == mark.peer && (*from..*until).contains(&mark.at_us))
        };
        story.marks.retain(|mark| mark.what != What::Edit || !is_down(mark));
        story.lines = lines(plan, report);
        story
    }
}

/// Returns the faults that took effect, in order.
pub(crate) fn faults(plan: &Plan, report: &Report) -> Vec<Fault> {
    let end_us = plan.bounds.phase_one_us;
    let mut faults = Vec::new();
    for acted in &report.acted {
        let Some(action) = plan.actions.iter().find(|action| action.id == acted.action) else { continue };
        let act = &action.act;
        if !act.is_fault() {
            continue;
        }
        let lasts_us = act.lasts_us();
        let until_us = lasts_us.map_or(end_us, |lasts_us| acted.at_us.saturating_add(lasts_us).min(end_us));
        let ends = act.link().and_then(|link| plan.links.get(link)).map(|link| (link.from, link.to));
        faults.push(Fault {
            from_us: acted.at_us,
            until_us: until_us.max(acted.at_us),
            is_open: lasts_us.is_none(),
            restores: act.restores(plan),
            kind: act.kind(),
            text: act.tell(plan),
            peers: act.peers(),
            link: ends,
        });
    }
    end_settings(&mut faults);
    faults.retain(|fault| !fault.restores);
    faults
}

/// Ends each setting when the next one of its kind replaces it.
fn end_settings(faults: &mut [Fault]) {
    for at in 0..faults.len() {
        let (fault, later) = match faults.split_at_mut(at + 1) {
            ([.., fault], later) if fault.is_open => (fault, later),
            _ => continue,
        };
        let about = (fault.kind, fault.link, fault.peers.clone());
        if let Some(next) = later.iter().find(|next| (next.kind, next.link, next.peers.clone()) == about) {
            (fault.until_us, fault.is_open) = (next.from_us, false);
        }
    }
}

fn messages(plan: &Plan, trace: &[Record]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut sent: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    // Messages on their way, in order, by connection and sender.
    let mut under_way: BTreeMap<(u64, usize), VecDeque<usize>> = BTreeMap::new();
    let mut ends: BTreeSet<(u64, usize)> = BTreeSet::new();
    // Ends of connections whose process is gone: nothing arrives there.
    let mut gone: BTreeSet<(u64, usize)> = BTreeSet::new();
    for record in trace {
        match (record.kind.as_str(), record.link, record.connection) {
            ("link.dialled" | "link.accepted", _, Some(connection)) => {
                ends.insert((connection, record.peer));
            }
            ("peer.crashed", ..) => {
                let of = |(_, peer): &&(u64, usize)| *peer == record.peer;
                gone.extend(ends.iter().filter(of));
            }
            ("bytes.sent", Some(link), Some(connection)) => {
                let Some(ends) = plan.links.get(link) else { continue };
                let kind = match record.note.as_str() {
                    "handshake" => Kind::Handshake,
                    "settled" => Kind::Settled,
                    _ => Kind::Sync,
                };
                sent.insert((record.peer, record.index), messages.len());
                under_way.entry((connection, record.peer)).or_default().push_back(messages.len());
                messages.push(Message {
                    link,
                    connection,
                    from: record.peer,
                    to: if ends.from == record.peer { ends.to } else { ends.from },
                    sent_us: (record.at_us, record.at_us),
                    arrived_us: None,
                    count: 1,
                    bytes: record.bytes.unwrap_or_default(),
                    kind,
                    is_under_way: false,
                });
            }
            ("bytes.received", _, Some(connection)) => {
                // Messages that were sent before it have arrived too: connections are ordered.
                let Some(last) = record.cause.and_then(|cause| sent.get(&cause)).copied() else { continue };
                let Some(way) = messages.get(last).map(|message| (connection, message.from)) else { continue };
                let way = under_way.entry(way).or_default();
                while let Some(next) = way.pop_front_if(|next| *next <= last) {
                    if let Some(message) = messages.get_mut(next) {
                        message.arrived_us = Some((record.at_us, record.at_us));
                    }
                }
            }
            ("link.lost" | "link.closed", _, Some(connection)) => {
                under_way.retain(|(open, _), _| *open != connection);
            }
            _ => {}
        }
    }
    for at in under_way.into_values().flatten() {
        if let Some(message) = messages.get_mut(at) {
            message.is_under_way = !gone.contains(&(message.connection, message.to));
        }
    }
    messages
}

fn marks(plan: &Plan, report: &Report, trace: &[Record]) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut work: VecDeque<(u64, usize, String)> = VecDeque::new();
    for acted in &report.acted {
        let action = plan.actions.iter().find(|action| action.id == acted.action && !action.act.is_fault());
        if let Some((action, peer)) = action.and_then(|action| Some((action, *action.act.peers().first()?))) {
            work.push_back((acted.at_us, peer, action.act.tell(plan)));
        }
    }
    // The note of a fault covers the end of its process.
    let ended: BTreeSet<(u64, usize)> = faults(plan, report)
        .into_iter()
        .filter_map(|fault| Some((fault.from_us, *fault.peers.first().filter(|_| fault.ends_process())?)))
        .collect();
    let mark = |record: &Record, what: What, text: String| {
        let Record { at_us, peer, .. } = *record;
        Mark { at_us, until_us: at_us, peer, what, count: 1, text }
    };
    for record in trace {
        let who = plan.peer_name(record.peer);
        match record.kind.as_str() {
            // Oracles ask databases, too, once faults ended.
            "data.asked" if record.at_us >= plan.bounds.phase_one_us => {}
            "edit.taken" | "data.asked" => marks.push(mark(record, What::Edit, String::new())),
            "edit.refused" => {
                marks.push(mark(record, What::Refused, format!("{who}: an edit is refused: {}", record.note)))
            }
            "edit.failed" => {
                marks.push(mark(record, What::Refused, format!("{who}: an edit failed to become durable")))
            }
            "commit.durable" => marks.push(mark(record, What::Commit, String::new())),
            "commit.failed" => marks.push(mark(record, What::Refused, format!("{who}: a commit failed"))),
            "handshake.done" => marks.push(mark(record, What::Up, String::new())),
            "link.lost" => {
                marks.push(mark(record, What::Lost, format!("{who} learns that its {} is gone", link_of(plan, record))))
            }
            "link.refused" => marks.push(mark(record, What::Refused, format!("{who}: a {} fails", record.note))),
            // Without a reason, the connection was lost before.
            "link.closed" if !record.note.is_empty() => {
                let text = format!("{who} closes its {}: {}", link_of(plan, record), record.note);
                marks.push(mark(record, What::Lost, text));
            }
            "peer.started" if record.at_us > 0 => marks.push(mark(record, What::Start, format!("{who} starts"))),
            "peer.crashed" if !record.note.is_empty() => {
                marks.push(mark(record, What::Crash, format!("{who} ends {}", record.note)));
            }
            "peer.crashed" if ended.contains(&(record.at_us, record.peer)) => {
                marks.push(mark(record, What::Crash, String::new()))
            }
            "peer.crashed" => marks.push(mark(record, What::Crash, format!("{who} ends"))),
            "log.forked" => marks.push(mark(record, What::Refused, format!("{who} sees a log fork"))),
            "log.retired" => marks.push(mark(record, What::Refused, format!("{who} gives up its log"))),
            "space.mismatch" => marks.push(mark(record, What::Refused, format!("{who} cannot repair its space"))),
            _ => {}
        }
    }
    // The note is at the action; the edit may follow when the document is open.
    marks.extend(work.into_iter().map(|(at_us, peer, text)| Mark {
        at_us,
        until_us: at_us,
        peer,
        what: What::Edit,
        count: 0,
        text,
    }));
    marks.sort_by_key(|mark| mark.at_us);
    marks
}

fn link_of(plan: &Plan, record: &Record) -> String {
    let other = record.link.and_then(|link| plan.links.get(link));
    let other = other.map(|link| if link.from == record.peer { link.to } else { link.from });
    other.map_or_else(|| "link".to_owned(), |other| format!("link to {}", plan.peer_name(other)))
}

/// Returns the moment that a bound is measured from, in words.
pub(crate) const fn since(bound: &Bound) -> &'static str {
    if bound.again { "all links were made again" } else { "faults ended" }
}

/// Returns the intervals in which peers did not run.
fn down(plan: &Plan, trace: &[Record], end_us: u64) -> Vec<(usize, u64, u64)> {
    let mut since: BTreeMap<usize, u64> = BTreeMap::new();
    for (peer, entry) in plan.peers.iter().enumerate() {
        if entry.absent {
            since.insert(peer, 0);
        }
    }
    let mut down = Vec::new();
    for record in trace {
        if record.kind == "peer.crashed" {
            since.insert(record.peer, record.at_us);
        } else if record.kind == "peer.started"
            && let Some(from_us) = since.remove(&record.peer)
        {
            down.push((record.peer, from_us, record.at_us));
        }
    }
    down.extend(since.into_iter().map(|(peer, from_us)| (peer, from_us, end_us)));
    down
}

/// Beginning of the text at the moment of agreement.
const AGREED: &str = "all agree";

/// Returns the lines across all peers, and the violations.
fn lines(plan: &Plan, report: &Report) -> Vec<Line> {
    const VIOLATIONS: usize = 4;
    let mut lines = Vec::new();
    let mut line = |at_us, peers: Vec<usize>, text: String, is_bad| {
        let is_end = text.starts_with(AGREED);
        lines.push(Line { at_us, peers, text, is_bad, is_end });
    };
    if report.stats.virtual_us >= plan.bounds.phase_one_us {
        line(
            plan.bounds.phase_one_us,
            Vec::new(),
            "faults end: links, disks and clocks are repaired".to_owned(),
            false,
        );
    }
    if let Some(bound) = report.stats.bound {
        let over_us = bound.from_us.saturating_add(bound.total_us());
        if bound.again {
            line(bound.from_us, Vec::new(), "all links are made again".to_owned(), false);
        }
        if over_us <= report.stats.virtual_us && report.stats.converged_us.is_none() {
            line(
                over_us,
                Vec::new(),
                format!("the bound is over: {} since {}", time(bound.total_us()), since(&bound)),
                false,
            );
        }
    }
    if let Some(converged_us) = report.stats.converged_us {
        let text = format!("{AGREED}, {} after faults ended", time(converged_us));
        let agreed_us = plan.bounds.phase_one_us.saturating_add(converged_us);
        line(agreed_us, Vec::new(), text, false);
        let again_us = agreed_us.saturating_add(2 * plan.core.keep_alive_us);
        if report.stats.bound.is_some_and(|bound| !bound.again) && again_us < report.stats.virtual_us {
            line(again_us, Vec::new(), "all links are broken and made again: nothing may change".to_owned(), false);
        }
    }
    for violation in report.violations.iter().take(VIOLATIONS) {
        let on = violation.peer.map(|peer| format!(" on {}", plan.peer_name(peer))).unwrap_or_default();
        let peers = match violation.peer {
            Some(peer) => vec![peer],
            None => report.unmet.iter().filter_map(|unmet| unmet.peer).collect(),
        };
        line(violation.at_us, peers, format!("{}{on}: {}", violation.oracle, violation.text), true);
    }
    if let Some(more) = report.violations.get(VIOLATIONS..).filter(|more| !more.is_empty()) {
        let at_us = more.first().map_or(0, |violation| violation.at_us);
        line(at_us, Vec::new(), format!("and {} more violations", more.len()), true);
    }
    lines.sort_by_key(|line| line.at_us);
    lines
}
