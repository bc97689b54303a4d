//! Makes a story short enough for a picture: what comes soon after its like is drawn as one, and what is too long ago is
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use super::story::{Mark, Message, Story, What};

/// How soon after each other things are drawn as one, in microseconds: the first that makes the picture short enough.
const GAPS_US: [u64; 8] = [0, 2_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000, 30_000_000];

/// How many messages and marks a picture shows.
const SHOWN_MAX: usize = 90;
/// How many of them are notes, each of a line or more.
const NOTES_MAX: usize = 45;
/// How many of both there may be in a run that is shown whole.
const WHOLE_MAX: usize = 60;
/// A picture begins before so many of the last faults, by so many microseconds.
const FAULTS_LED: usize = 6;
/// See [`FAULTS_LED`].
const LEAD_US: u64 = 150_000;
/// How many peers.
const PEERS_MAX: usize = 9;

/// A part of a run, short enough to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) story: Story,
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
    /// Which peers are shown.
    pub(crate) peers: Vec<usize>,
    /// Messages and marks before it.
    pub(crate) left_out: usize,
}

/// The part of a story from and until a time; without a beginning, as much before the end as can be drawn.
pub(crate) fn part(story: &Story, from_us: Option<u64>, until_us: Option<u64>) -> Part {
    let until_us = until_us.unwrap_or_else(|| after_violations(story));
    let first_us = from_us.unwrap_or_else(|| before_faults(story, until_us));
    let mut part = within(story, first_us, until_us);
    for gap_us in GAPS_US {
        part.story = gathered(&within(story, first_us, until_us).story, gap_us);
        if size(&part.story) <= SHOWN_MAX && notes(&part.story) <= NOTES_MAX {
            break;
        }
    }
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

fn notes(story: &Story) -> usize {
    story.marks.iter().filter(|mark| !mark.text.is_empty()).count() + story.faults.len() + story.lines.len()
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

/// Where a picture ends of which nothing else is said: shortly after the last violation, if there is one.
fn after_violations(story: &Story) -> u64 {
    let bad = story.lines.iter().filter(|line| line.is_bad).map(|line| line.at_us).max();
    bad.map_or(story.end_us, |at_us| at_us.saturating_add(LEAD_US).min(story.end_us))
}

/// Where a picture begins that has a beginning of its own: shortly before the last few faults, unless the whole run is
/// short.
fn before_faults(story: &Story, until_us: u64) -> u64 {
    let whole = gathered(&within(story, 0, until_us).story, 10_000);
    if size(&whole) <= WHOLE_MAX {
        return 0;
    }
    let starts = story.faults.iter().map(|fault| fault.from_us).filter(|from_us| *from_us <= until_us);
    let mut starts: Vec<u64> = starts.collect();
    starts.sort_unstable();
    let first = starts.len().saturating_sub(FAULTS_LED);
    starts.get(first).map_or(0, |from_us| from_us.saturating_sub(LEAD_US))
}

/// The beginning of the last part that is short enough. Where much happens since the last fault began, that is it.
fn begin(story: &Story) -> u64 {
    let mut moments: Vec<(u64, bool)> = story.messages.iter().map(|message| (message.sent_us.0, false)).collect();
    moments.extend(story.marks.iter().map(|mark| (mark.at_us, !mark.text.is_empty())));
    moments.extend(story.faults.iter().map(|fault| (fault.from_us, true)));
    moments.extend(story.lines.iter().map(|line| (line.at_us, true)));
    moments.sort_unstable();
    let (mut shown, mut notes) = (0, 0);
    let mut begin_us = 0;
    for (at_us, is_note) in moments.iter().rev() {
        shown += 1;
        notes += usize::from(*is_note);
        if shown > SHOWN_MAX + NOTES_MAX || notes > NOTES_MAX {
            return begin_us;
        }
        begin_us = *at_us;
    }
    0
}

/// Draws as one what comes soon after its like.
fn gathered(story: &Story, gap_us: u64) -> Story {
    Story { messages: messages(&story.messages, gap_us), marks: marks(&story.marks, gap_us), ..story.clone() }
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
        // Starts and ends stand for themselves; so does what failed, unless it says the same again.
        let kind = (mark.peer, mark.what, mark.text.is_empty());
        let open = last.get(&kind).copied().filter(|(_, last_us)| mark.at_us - last_us <= gap_us);
        let open = open.filter(|_| !matches!(mark.what, What::Start | What::Crash));
        let is_alike = |open: &Mark| mark.what == What::Edit || mark.text == open.text;
        match open.and_then(|(at, _)| Some((at, gathered.get_mut(at).filter(|open| is_alike(open))?))) {
            Some((at, open)) => {
                open.count += mark.count;
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

/// The peers that play a part, by number; if they are too many, those that do most.
fn peers(story: &Story) -> Vec<usize> {
    let mut parts: BTreeMap<usize, usize> = BTreeMap::new();
    let mut plays = |peer: usize, times: usize| *parts.entry(peer).or_default() += times;
    for message in &story.messages {
        plays(message.from, 1);
        plays(message.to, 1);
    }
    story.marks.iter().for_each(|mark| plays(mark.peer, 1));
    story.lines.iter().filter_map(|line| line.peer).for_each(|peer| plays(peer, 1_000_000));
    for fault in &story.faults {
        fault.peers.iter().for_each(|peer| plays(*peer, 1_000));
        fault.link.iter().for_each(|(from, to)| [*from, *to].into_iter().for_each(|peer| plays(peer, 1_000)));
    }
    let mut ranked: Vec<(usize, usize)> = parts.into_iter().map(|(peer, times)| (times, peer)).collect();
    ranked.sort_by_key(|(times, peer)| (core::cmp::Reverse(*times), *peer));
    let shown: BTreeSet<usize> = ranked.into_iter().take(PEERS_MAX).map(|(_, peer)| peer).collect();
    if shown.is_empty() { (0..story.peers.len().min(PEERS_MAX)).collect() } else { shown.into_iter().collect() }
}
