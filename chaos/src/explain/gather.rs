//! Reduces a story to the size of a picture: close items of a kind become one, and early items are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::story::{Line, Mark, Message, Story, What};

/// Candidates for the longest gap between items that become one, in microseconds. The first that suffices is used.
const GAPS_US: [u64; 8] = [0, 2_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000, 30_000_000];

/// Largest number of arrows.
const MESSAGES_MAX: usize = 50;
/// Largest number of marks.
const MARKS_MAX: usize = 70;
/// Largest number of notes.
const NOTES_MAX: usize = 45;
/// Largest number of arrows and marks of a run that is always shown whole.
const WHOLE_MAX: usize = 60;
/// Number of the last faults that a picture shows.
const FAULTS_LED: usize = 5;
/// Time before the first of these faults, in microseconds.
const LEAD_US: u64 = 150_000;
/// Largest number of peers.
const PEERS_MAX: usize = 9;

/// A part of a run that fits a picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) story: Story,
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
    /// The peers that are shown.
    pub(crate) peers: Vec<usize>,
    /// Number of messages and marks before it.
    pub(crate) left_out: usize,
}

/// Returns the part of a story between two times, by default around the last faults and the violation.
pub(crate) fn part(story: &Story, from_us: Option<u64>, until_us: Option<u64>) -> Part {
    let until_us = until_us.unwrap_or_else(|| after_violations(story));
    let first_us = from_us.unwrap_or_else(|| before_faults(story, until_us));
    let mut part = within(story, first_us, until_us);
    let whole = &part.story;
    let fits = |found: &Vec<Message>| found.len() <= MESSAGES_MAX;
    let found = GAPS_US.map(|gap_us| messages(&whole.messages, gap_us)).into_iter().find(fits);
    let all = found.unwrap_or_else(|| messages(&whole.messages, u64::MAX));
    let notes_of = |found: &[Mark]| found.iter().filter(|mark| !mark.text.is_empty()).count();
    let others = whole.faults.len() + whole.lines.len();
    let fits = |found: &Vec<Mark>| found.len() <= MARKS_MAX && notes_of(found) + others <= NOTES_MAX;
    let found = GAPS_US.map(|gap_us| marks(&whole.marks, gap_us)).into_iter().find(fits);
    let marks = found.unwrap_or_else(|| marks(&whole.marks, u64::MAX));
    part.story = Story { messages: all, marks, ..whole.clone() };
    if from_us.is_none() {
        part.from_us = first_us;
        let begin_us = begin(&part.story);
        if begin_us > first_us {
            let gathered = part.story;
            part = within(&gathered, begin_us, until_us);
        }
    }
    part.left_out = size(story) - size(&within(story, part.from_us, u64::MAX).story);
    part.peers = peers(&part.story);
    part
}

fn size(story: &Story) -> usize {
    story.messages.len() + story.marks.len()
}

fn within(story: &Story, from_us: u64, until_us: u64) -> Part {
    let is_in = |at_us: u64| (from_us..=until_us).contains(&at_us);
    let mut story = story.clone();
    story.messages.retain(|message| is_in(message.sent_us.0));
    story.marks.retain(|mark| is_in(mark.at_us));
    story.faults.retain(|fault| fault.from_us <= until_us && fault.until_us >= from_us);
    story.down.retain(|(_, from, until)| *from <= until_us && *until >= from_us);
    story.lines.retain(|line| is_in(line.at_us));
    Part { story, from_us, until_us, peers: Vec::new(), left_out: 0 }
}

/// Returns the default end: shortly after the last violation, or else after agreement.
fn after_violations(story: &Story) -> u64 {
    let last = |which: fn(&Line) -> bool| story.lines.iter().filter(|line| which(line)).map(|line| line.at_us).max();
    let end = last(|line| line.is_bad).or_else(|| last(|line| line.is_end));
    end.map_or(story.end_us, |at_us| at_us.saturating_add(LEAD_US).min(story.end_us))
}

/// Returns the default beginning: shortly before the last faults, or 0 for a short run.
fn before_faults(story: &Story, until_us: u64) -> u64 {
    let whole = within(story, 0, until_us).story;
    if messages(&whole.messages, 10_000).len() + marks(&whole.marks, 10_000).len() <= WHOLE_MAX {
        return 0;
    }
    let starts = story.faults.iter().map(|fault| fault.from_us).filter(|from_us| *from_us <= until_us);
    let mut starts: Vec<u64> = starts.collect();
    starts.sort_unstable();
    let first = starts.len().saturating_sub(FAULTS_LED);
    starts.get(first).map_or(0, |from_us| from_us.saturating_sub(LEAD_US))
}

/// Returns the beginning of the longest part at the end that fits a picture.
fn begin(story: &Story) -> u64 {
    let of = |at_us: u64, kind: Kind| (at_us, kind);
    let mut moments: Vec<(u64, Kind)> =
        story.messages.iter().map(|message| of(message.sent_us.0, Kind::Message)).collect();
    moments.extend(story.marks.iter().map(|mark| of(mark.at_us, Kind::Mark)));
    moments.extend(story.marks.iter().filter(|mark| !mark.text.is_empty()).map(|mark| of(mark.at_us, Kind::Note)));
    moments.extend(story.faults.iter().map(|fault| of(fault.from_us, Kind::Note)));
    moments.extend(story.lines.iter().map(|line| of(line.at_us, Kind::Note)));
    moments.sort_unstable();
    let (mut messages, mut marks, mut notes) = (0, 0, 0);
    let mut begin_us = 0;
    for (at_us, kind) in moments.iter().rev() {
        match kind {
            Kind::Message => messages += 1,
            Kind::Mark => marks += 1,
            Kind::Note => notes += 1,
        }
        if messages > MESSAGES_MAX || marks > MARKS_MAX || notes > NOTES_MAX {
            return begin_us;
        }
        begin_us = *at_us;
    }
    0
}

/// Kind of an item, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Message,
    Mark,
    Note,
}

fn messages(messages: &[Message], gap_us: u64) -> Vec<Message> {
    let mut gathered: Vec<Message> = Vec::new();
    let mut last: BTreeMap<(u64, usize), usize> = BTreeMap::new();
    for message in messages {
        let way = (message.connection, message.from);
        let open = last.get(&way).and_then(|at| gathered.get_mut(*at));
        let open = open.filter(|open| {
            open.kind == message.kind
                && open.arrived_us.is_some() == message.arrived_us.is_some()
                && open.is_under_way == message.is_under_way
                && message.sent_us.0 - open.sent_us.1 <= gap_us
        });
        if let Some(open) = open {
            open.count += message.count;
            open.bytes += message.bytes;
            open.sent_us.1 = message.sent_us.1;
            open.arrived_us = open.arrived_us.zip(message.arrived_us).map(|((first, _), (_, last))| (first, last));
        } else {
            last.insert(way, gathered.len());
            gathered.push(message.clone());
        }
    }
    gathered
}

fn marks(marks: &[Mark], gap_us: u64) -> Vec<Mark> {
    let mut gathered: Vec<Mark> = Vec::new();
    let mut last: BTreeMap<(usize, What, bool), (usize, u64)> = BTreeMap::new();
    let mut more: BTreeMap<usize, u64> = BTreeMap::new();
    for mark in marks {
        // Edits before and after the end of a process stay apart.
        if mark.what == What::Crash {
            last.retain(|(peer, ..), _| *peer != mark.peer);
        }
        // Starts and ends are never merged, and failures only if their texts are equal.
        let kind = (mark.peer, mark.what, mark.text.is_empty());
        let open = last.get(&kind).copied().filter(|(_, last_us)| mark.at_us - last_us <= gap_us);
        let open = open.filter(|_| !matches!(mark.what, What::Start | What::Crash));
        let is_alike = |open: &Mark| mark.what == What::Edit || mark.text == open.text;
        match open.and_then(|(at, _)| Some((at, gathered.get_mut(at).filter(|open| is_alike(open))?))) {
            Some((at, open)) => {
                open.count += mark.count;
                open.until_us = mark.at_us;
                *more.entry(at).or_default() += 1;
                last.insert(kind, (at, mark.at_us));
            }
            None => {
                last.insert(kind, (gathered.len(), mark.at_us));
                gathered.push(mark.clone());
            }
        }
    }
    for (at, times) in more {
        if let Some(mark) = gathered.get_mut(at).filter(|mark| !mark.text.is_empty()) {
            let what = match (mark.what, times) {
                (What::Edit, 1) => "more action",
                (What::Edit, _) => "more actions",
                (_, 1) => "time more",
                (_, _) => "times more",
            };
            mark.text = format!("{}, and {times} {what}", mark.text);
        }
    }
    gathered
}

/// Returns the peers with activity; if there are too many, the most active ones.
fn peers(story: &Story) -> Vec<usize> {
    let mut parts: BTreeMap<usize, usize> = BTreeMap::new();
    let mut plays = |peer: usize, times: usize| *parts.entry(peer).or_default() += times;
    for message in &story.messages {
        plays(message.from, 1);
        plays(message.to, 1);
    }
    story.marks.iter().for_each(|mark| plays(mark.peer, 1));
    story.lines.iter().flat_map(|line| &line.peers).for_each(|peer| plays(*peer, 1_000_000));
    for fault in &story.faults {
        fault.peers.iter().for_each(|peer| plays(*peer, 1_000));
        fault.link.iter().for_each(|(from, to)| [*from, *to].into_iter().for_each(|peer| plays(peer, 1_000)));
    }
    let mut ranked: Vec<(usize, usize)> = parts.into_iter().map(|(peer, times)| (times, peer)).collect();
    ranked.sort_by_key(|(times, peer)| (core::cmp::Reverse(*times), *peer));
    let shown: BTreeSet<usize> = ranked.into_iter().take(PEERS_MAX).map(|(_, peer)| peer).collect();
    if shown.is_empty() { (0..story.peers.len().min(PEERS_MAX)).collect() } else { shown.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::super::story::{Fault, Kind};
    use super::{LEAD_US, MESSAGES_MAX, Mark, Message, Story, What, marks, messages, part};

    fn message(sent_us: u64, arrived_us: Option<u64>) -> Message {
        Message {
            link: 0,
            connection: 7,
            from: 0,
            to: 1,
            sent_us: (sent_us, sent_us),
            arrived_us: arrived_us.map(|at_us| (at_us, at_us)),
            count: 1,
            bytes: 100,
            kind: Kind::Sync,
            is_under_way: false,
        }
    }

    fn mark(at_us: u64, what: What) -> Mark {
        Mark { at_us, until_us: at_us, peer: 0, what, count: 1, text: String::new() }
    }

    #[test]
    fn like_things_that_are_close_are_one() {
        let all =
            messages(&[message(0, Some(20)), message(5, Some(25)), message(9, None), message(500, Some(520))], 10);
        let counts: Vec<u64> = all.iter().map(|message| message.count).collect();
        assert_eq!(counts, [2, 1, 1], "what was lost is another, and so is what comes late");
        assert_eq!((all[0].bytes, all[0].arrived_us), (200, Some((20, 25))));
    }

    #[test]
    fn edits_before_and_after_a_crash_are_apart() {
        let all = marks(&[mark(0, What::Edit), mark(1, What::Edit), mark(2, What::Crash), mark(3, What::Edit)], 10);
        assert_eq!(
            all.iter().map(|mark| (mark.what, mark.count)).collect::<Vec<_>>(),
            [(What::Edit, 2), (What::Crash, 1), (What::Edit, 1)]
        );
    }

    #[test]
    fn a_long_run_is_shown_from_before_its_last_faults_on() {
        let busy = (0..1_000).map(|at| message(at * 20_000, Some(at * 20_000 + 20))).collect();
        let fault = |from_us| Fault::at(from_us);
        let faults = (1..20).map(|at| fault(at * 1_000_000)).collect();
        let story = Story { messages: busy, faults, end_us: 20_000_000, ..Story::default() };
        let part = part(&story, None, None);
        assert_eq!(part.from_us, 15_000_000 - LEAD_US);
        assert!(part.story.messages.len() <= MESSAGES_MAX && part.left_out > 500, "{}", part.left_out);
        let asked = super::part(&story, Some(0), Some(3_000_000));
        assert_eq!((asked.from_us, asked.until_us, asked.left_out), (0, 3_000_000, 0));
    }
}
