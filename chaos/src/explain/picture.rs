//! Draws a part of a run as a space-time diagram: peers side by side, time from top to bottom.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::axis::Axis;
use super::caption::Caption;
use super::gather::Part;
use super::legend;
use super::story::{Kind, Mark, Message, What};
use super::svg::{Anchor, Area, Svg, fitting, width_of, wrapped};
use crate::report::time;

/// Width of the times, left of the peers.
const TIMES: f64 = 92.0;
/// Smallest and largest distance of two peers.
const PEER_GAP: (f64, f64) = (112.0, 210.0);
/// Preferred width of all peers.
const PEERS: f64 = 520.0;
/// Width of the notes, right of the peers.
const NOTES: f64 = 400.0;
const MARGIN: f64 = 16.0;
/// Distance of messages of one moment that take no time.
const INSTANT: f64 = 11.0;
const NOTE_SIZE: f64 = 11.5;
const NOTE_LINE: f64 = 15.0;

/// A text beside the picture.
#[derive(Debug, Clone, PartialEq)]
struct Note {
    at_us: u64,
    /// The peer, if it is about one.
    peer: Option<usize>,
    class: &'static str,
    lines: Vec<String>,
}

/// Draws a part of a run, below its caption.
pub(crate) fn draw(part: &Part, caption: Option<&Caption>, title: &str) -> String {
    let mut sheet = Sheet::new(part, caption);
    sheet.axis();
    sheet.faults();
    sheet.lifelines();
    sheet.lines();
    part.story.messages.iter().for_each(|message| sheet.message(message));
    part.story.marks.iter().for_each(|mark| sheet.mark(mark));
    sheet.notes();
    sheet.arrow_labels();
    sheet.finish(title)
}

struct Sheet<'a> {
    svg: Svg,
    part: &'a Part,
    axis: Axis,
    /// Horizontal positions of the peers that are shown.
    columns: BTreeMap<usize, f64>,
    gap: f64,
    notes: Vec<Note>,
    /// Vertical offsets of messages that take no time.
    lowered: BTreeMap<Instant, f64>,
    top: f64,
    width: f64,
}

impl<'a> Sheet<'a> {
    fn new(part: &'a Part, caption: Option<&Caption>) -> Self {
        let count = part.peers.len().max(1) as f64;
        let gap = (PEERS / (count - 1.0).max(1.0)).clamp(PEER_GAP.0, PEER_GAP.1);
        let columns: BTreeMap<usize, f64> =
            part.peers.iter().enumerate().map(|(at, peer)| (*peer, TIMES + gap * (at as f64 + 0.5))).collect();
        let width = TIMES + gap * count + NOTES + MARGIN;
        let mut svg = Svg::default();
        let mut y = MARGIN + 6.0;
        for (at, line) in caption.map(Caption::lines).unwrap_or_default().iter().enumerate() {
            let (class, size) = if at == 0 { ("b", 15.0) } else { ("", 12.5) };
            for line in wrapped(line, width - 2.0 * MARGIN, size) {
                y += size * 1.32;
                svg.text(class, (MARGIN, y), size, Anchor::Start, &line);
            }
            y += 3.0;
        }
        if part.left_out > 0 {
            y += 17.0;
            let text = format!(
                "Not shown: {} messages and marks before {}. `--from 0s` shows them.",
                part.left_out,
                time(part.from_us)
            );
            svg.text("dim", (MARGIN, y), 12.0, Anchor::Start, &text);
        }
        let hidden = part.story.peers.len() - part.peers.len();
        if hidden > 0 {
            y += 17.0;
            let text = format!("Not shown: {hidden} more peers, which play a smaller part here.");
            svg.text("dim", (MARGIN, y), 12.0, Anchor::Start, &text);
        }
        y += 30.0;
        for (peer, x) in &columns {
            let name = fitting(&part.story.peers[*peer], gap - 8.0, 12.5);
            svg.text("b", (*x, y), 12.5, Anchor::Middle, &name);
        }
        let top = y + 20.0;
        let notes = notes(part);
        let lowered = lowered(part);
        let axis = Axis::new(&moments(part, &notes, &lowered), top);
        Self { svg, part, axis, columns, gap, notes, lowered, top, width }
    }

    fn x(&self, peer: usize) -> Option<f64> {
        self.columns.get(&peer).copied()
    }

    fn y(&self, at_us: u64) -> f64 {
        self.axis.y(at_us.clamp(self.part.from_us, self.part.until_us))
    }

    /// Returns the right end of the peers.
    fn edge(&self) -> f64 {
        TIMES + self.gap * self.columns.len() as f64
    }

    fn axis(&mut self) {
        let places = self.axis.places().to_vec();
        let (mut free, mut said) = (f64::MIN, String::new());
        for (at, (at_us, y)) in places.iter().enumerate() {
            // Of several close moments the first has a label; so has the last of all.
            if *y < free && at + 1 < places.len() {
                continue;
            }
            self.svg.line("axis", (TIMES - 8.0, *y), (TIMES, *y));
            let (place, label) = ((TIMES - 12.0, *y + 3.5), moment(*at_us));
            if label != said {
                self.svg.label("dim", &[place], 10.0, Anchor::End, &label);
            }
            (free, said) = (*y + 13.0, label);
        }
        let breaks: Vec<_> = self.axis.breaks().collect();
        for ((from_us, from), (to_us, to)) in breaks {
            let middle = (from + to) / 2.0;
            self.svg.line("break", (TIMES - 4.0, middle), (self.edge(), middle));
            let text = format!("… {} …", short(to_us - from_us));
            self.svg.label("dim", &[(TIMES - 12.0, middle + 3.5)], 10.0, Anchor::End, &text);
        }
    }

    fn faults(&mut self) {
        for fault in &self.part.story.faults {
            let (top, bottom) = (self.y(fault.from_us), self.y(fault.until_us));
            let height = (bottom - top).max(5.0);
            self.svg.begin(&format!("{}: {} to {}", fault.text, time(fault.from_us), time(fault.until_us)));
            let ends = fault.link.map_or_else(|| fault.peers.clone(), |(from, to)| vec![from, to]);
            let places: Vec<f64> = ends.iter().filter_map(|peer| self.x(*peer)).collect();
            let (left, right) =
                (places.iter().copied().fold(f64::MAX, f64::min), places.iter().copied().fold(f64::MIN, f64::max));
            let area = match (places.len(), fault.kind) {
                (0, _) => None,
                (1, _) => Some(Area { x: left - 9.0, y: top, width: 18.0, height }),
                (_, "partition") => Some(Area { x: TIMES + 2.0, y: top, width: self.edge() - TIMES - 4.0, height }),
                _ => Some(Area { x: left, y: top, width: right - left, height }),
            };
            if let Some(area) = area {
                self.svg.rect("fault", area);
                let name = fault.kind;
                let x = if places.len() > 1 { (area.x + 4.0).max(left + 12.0) } else { area.x + 22.0 };
                let below = (0..6).map(|step| (x, top + 11.0 + 12.0 * f64::from(step)));
                let inside: Vec<_> = below.filter(|(_, y)| *y < top + height.max(14.0)).collect();
                self.svg.label("dim b", &inside, 10.0, Anchor::Start, name);
            }
            self.svg.end();
        }
    }

    fn lifelines(&mut self) {
        let (top, bottom) = (self.top - 10.0, self.axis.bottom() + 14.0);
        for x in self.columns.values() {
            self.svg.line("life", (*x, top), (*x, bottom));
        }
        for (peer, from_us, until_us) in &self.part.story.down {
            let Some(x) = self.x(*peer) else { continue };
            let (from, until) = (self.y(*from_us), self.y(*until_us));
            self.svg.begin(&format!("peer {peer} does not run: {} to {}", time(*from_us), time(*until_us)));
            self.svg.rect("down", Area { x: x - 5.0, y: from, width: 10.0, height: (until - from).max(4.0) });
            self.svg.end();
        }
    }

    /// Draws the lines across all peers, and the violations.
    fn lines(&mut self) {
        for line in &self.part.story.lines {
            let y = self.y(line.at_us);
            let class = if line.is_bad { "bad" } else { "end" };
            self.svg.begin(&line.text);
            self.svg.line(class, (TIMES, y), (self.edge(), y));
            if line.is_bad {
                let peers = if line.peers.is_empty() { self.part.peers.clone() } else { line.peers.clone() };
                for x in peers.iter().filter_map(|peer| self.x(*peer)).collect::<Vec<_>>() {
                    self.svg.shape("star", &star((x, y), 8.0));
                    self.svg.take(Area { x: x - 8.0, y: y - 8.0, width: 16.0, height: 16.0 });
                }
            }
            self.svg.end();
        }
    }

    /// Returns the width of an arrow that does not arrive.
    fn reach(&self, from: f64, to: f64) -> f64 {
        self.gap * 0.5 * (to - from).signum()
    }

    /// Returns the positions of the first and last sending, and of the arrival.
    fn heights(&self, message: &Message) -> [f64; 3] {
        let low = self.lowered.get(&instant(message)).copied();
        let (first, last) = (self.y(message.sent_us.0), self.y(message.sent_us.1) + low.unwrap_or(0.0));
        let end = match (message.arrived_us, low) {
            (_, Some(_)) => last + INSTANT * 0.7,
            (Some((_, last_us)), None) => self.y(last_us),
            (None, None) => last + 14.0,
        };
        [first, last, end]
    }

    fn message(&mut self, message: &Message) {
        let (Some(from), Some(to)) = (self.x(message.from), self.x(message.to)) else { return };
        let [first, last, end] = self.heights(message);
        let is_lost = message.arrived_us.is_none() && !message.is_under_way;
        let class = if is_lost { "lost" } else { message.kind.name() };
        let end = match message.arrived_us {
            Some(_) => (to, end),
            // It ends on its way.
            None => (from + self.reach(from, to), end),
        };
        self.svg.begin(&told(message));
        if message.count > 1
            && message.kind != Kind::Settled
            && let Some((first_us, _)) = message.arrived_us
        {
            let early = (to, self.y(first_us));
            self.svg.shape(&format!("{class} bundle"), &[(from, first), (from, last), end, early]);
        }
        self.svg.line(&format!("{class} arrow"), (from, last), end);
        self.svg.shape(class, &head((from, last), end));
        if is_lost && last > first {
            let side = from + 5.0 * (to - from).signum();
            self.svg.line("lost", (side, first), (side, last));
        }
        if is_lost {
            let (x, y) = end;
            self.svg.line("lost arrow", (x - 4.0, y - 4.0), (x + 4.0, y + 4.0));
            self.svg.line("lost arrow", (x - 4.0, y + 4.0), (x + 4.0, y - 4.0));
        }
        self.svg.end();
    }

    /// Labels arrows with their sizes where there is space, the largest first.
    fn arrow_labels(&mut self) {
        let mut messages: Vec<&Message> = self.part.story.messages.iter().collect();
        messages.sort_by_key(|message| (core::cmp::Reverse(message.bytes), message.sent_us));
        for message in messages {
            let (Some(from), Some(to)) = (self.x(message.from), self.x(message.to)) else { continue };
            let [_, last, end] = self.heights(message);
            let reach = if message.arrived_us.is_some() { to - from } else { self.reach(from, to) };
            let at = |part: f64| (from + reach * part, last + (end - last) * part - 2.5);
            let mut text = match message.count {
                1 => bytes(message.bytes),
                count => format!("{count}× {}", bytes(message.bytes)),
            };
            if message.arrived_us.is_none() {
                let _ = write!(text, " to {}", message.to);
            }
            let kind = if message.kind == Kind::Handshake { "handshake " } else { "" };
            let places = [at(0.5), at(0.36), at(0.64), at(0.24), at(0.76)];
            // Not on a lifeline.
            let half = width_of(&text, 9.5) / 2.0;
            let on_line = |x: f64| self.columns.values().any(|line| (line - x).abs() < half + 4.0);
            let places: Vec<_> = places.into_iter().filter(|(x, _)| !on_line(*x)).collect();
            if !self.svg.label("dim", &places, 9.5, Anchor::Middle, &format!("{kind}{text}")) {
                self.svg.label("dim", &places, 9.5, Anchor::Middle, &text);
            }
        }
    }

    fn mark(&mut self, mark: &Mark) {
        let Some(x) = self.x(mark.peer) else { return };
        let y = self.y(mark.at_us);
        let times = if mark.count > 1 { format!(", {} times", mark.count) } else { String::new() };
        let what = match mark.what {
            What::Edit => "edit",
            What::Commit => "commit durable",
            What::Up => "handshake done",
            What::Lost => "link gone",
            What::Refused => "failed",
            What::Start => "starts",
            What::Crash => "ends",
        };
        self.svg.begin(&format!("{what} at {}{times} {}", time(mark.at_us), mark.text));
        match mark.what {
            What::Edit if mark.count > 0 => {
                let until = self.y(mark.until_us);
                if until > y {
                    self.svg.rect("edit", Area { x: x - 2.0, y, width: 4.0, height: until - y });
                    self.svg.dot("edit", (x, until), 4.0);
                }
                self.svg.dot("edit", (x, y), 4.0);
            }
            What::Edit => {}
            What::Commit => self.svg.rect("commit", Area { x: x - 2.5, y: y - 2.5, width: 5.0, height: 5.0 }),
            What::Up => self.svg.dot("up", (x, y), 3.0),
            What::Lost | What::Refused => {
                self.svg.line("lost arrow", (x - 4.0, y - 4.0), (x + 4.0, y + 4.0));
                self.svg.line("lost arrow", (x - 4.0, y + 4.0), (x + 4.0, y - 4.0));
            }
            What::Start => self.svg.shape("up", &[(x - 5.0, y - 5.0), (x + 5.0, y - 5.0), (x, y + 4.0)]),
            What::Crash => self.svg.shape("star", &[(x - 5.0, y), (x, y - 5.0), (x + 5.0, y), (x, y + 5.0)]),
        }
        self.svg.end();
    }

    fn notes(&mut self) {
        let (x, mut free) = (self.edge() + 30.0, f64::MIN);
        for note in core::mem::take(&mut self.notes) {
            let y = self.y(note.at_us);
            let top = (y + 4.0).max(free);
            let from = note.peer.and_then(|peer| self.x(peer)).map_or(self.edge(), |at| at + 8.0);
            self.svg.pieces("lead", &[(from, y), (self.edge(), y), (x - 6.0, top - 4.0)]);
            for (at, line) in note.lines.iter().enumerate() {
                self.svg.text(note.class, (x, top + NOTE_LINE * at as f64), NOTE_SIZE, Anchor::Start, line);
            }
            free = top + NOTE_LINE * note.lines.len() as f64 + 2.0;
        }
        self.svg.take(Area { x: self.edge(), y: free, width: 0.0, height: 0.0 });
        self.top = free;
    }

    fn finish(mut self, title: &str) -> String {
        let y = (self.axis.bottom() + 34.0).max(self.top + 14.0);
        let bottom = legend::draw(&mut self.svg, y, self.width, MARGIN);
        self.svg.finish(self.width, bottom + MARGIN, title)
    }
}

/// Moment, connection, sender and kind of a message.
type Instant = (u64, u64, usize, Kind);

/// Returns the key of a message among those of its moment.
const fn instant(message: &Message) -> Instant {
    (message.sent_us.1, message.connection, message.from, message.kind)
}

/// Returns the vertical offsets of messages that take no time, in the order of sending.
fn lowered(part: &Part) -> BTreeMap<Instant, f64> {
    let mut lowered = BTreeMap::new();
    let mut before: BTreeMap<u64, u32> = BTreeMap::new();
    for message in &part.story.messages {
        let sent_us = message.sent_us.1;
        if message.arrived_us.is_some_and(|(_, last_us)| last_us == sent_us) && sent_us <= part.until_us {
            let before = before.entry(sent_us).or_default();
            lowered.insert(instant(message), f64::from(*before) * INSTANT);
            *before += 1;
        }
    }
    lowered
}

/// Describes a message, for its tooltip.
fn told(message: &Message) -> String {
    let Message { link, from, to, count, .. } = message;
    let times = if *count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
    let (sent, kind, size) = (time(message.sent_us.0), message.kind.name(), bytes(message.bytes));
    let arrived = match message.arrived_us {
        Some((_, last_us)) => format!("arrived by {}", time(last_us)),
        None if message.is_under_way => "still on its way at the end".to_owned(),
        None => "never arrived".to_owned(),
    };
    format!("{times}, {size}, {kind}, from peer {from} to peer {to} on link {link}: sent from {sent}, {arrived}")
}

/// Returns the notes of a part, in order.
fn notes(part: &Part) -> Vec<Note> {
    let story = &part.story;
    let mut notes = Vec::new();
    let mut note = |at_us: u64, peer: Option<usize>, class: &'static str, text: String| {
        let lines = wrapped(&text, NOTES - 46.0, NOTE_SIZE);
        notes.push(Note { at_us: at_us.max(part.from_us), peer, class, lines });
    };
    for fault in &story.faults {
        note(fault.from_us, fault.peers.first().copied(), "b", format!("fault: {}", fault.text));
        if fault.until_us > fault.from_us && !fault.is_open && fault.until_us <= part.until_us && !fault.ends_process()
        {
            note(fault.until_us, None, "dim", format!("{} ends", fault.kind));
        }
    }
    for mark in story.marks.iter().filter(|mark| !mark.text.is_empty()) {
        if part.peers.contains(&mark.peer) {
            note(mark.at_us, Some(mark.peer), "", mark.text.clone());
        }
    }
    for line in &story.lines {
        let class = if line.is_bad { "b red" } else { "b" };
        note(line.at_us, None, class, line.text.clone());
    }
    notes.sort_by_key(|note| note.at_us);
    notes
}

/// Returns the moments of the axis, with the space that each needs below it.
fn moments(part: &Part, notes: &[Note], lowered: &BTreeMap<Instant, f64>) -> BTreeMap<u64, f64> {
    let story = &part.story;
    let mut moments = BTreeMap::new();
    let mut moment = |at_us: u64, room: f64| {
        if (part.from_us..=part.until_us).contains(&at_us) {
            *moments.entry(at_us).or_insert(0.0) += room;
        }
    };
    moment(part.from_us, 0.0);
    for message in &story.messages {
        moment(message.sent_us.0, 0.0);
        moment(message.sent_us.1, 0.0);
        message.arrived_us.iter().for_each(|(first, last)| [*first, *last].iter().for_each(|at| moment(*at, 0.0)));
    }
    story.marks.iter().for_each(|mark| [mark.at_us, mark.until_us].iter().for_each(|at_us| moment(*at_us, 0.0)));
    for fault in &story.faults {
        moment(fault.from_us, 0.0);
        moment(fault.until_us, 0.0);
    }
    for (_, from_us, until_us) in &story.down {
        moment(*from_us, 0.0);
        moment(*until_us, 0.0);
    }
    notes.iter().for_each(|note| moment(note.at_us, NOTE_LINE * note.lines.len() as f64 + 3.0));
    for ((at_us, ..), low) in lowered {
        if let Some(room) = moments.get_mut(at_us) {
            *room = f64::max(*room, low + 1.6 * INSTANT);
        }
    }
    moments
}

/// Formats a size.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000.. => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// Formats a moment for the axis.
fn moment(us: u64) -> String {
    if us < 600_000_000 { format!("{:.3} s", us as f64 / 1e6) } else { time(us) }
}

/// Formats a span, shorter than [`time`] does.
fn short(us: u64) -> String {
    if us < 600_000_000 { format!("{:.1} s", us as f64 / 1e6) } else { format!("{} min", us / 60_000_000) }
}

/// Returns the points of an arrow head.
pub(crate) fn head(from: (f64, f64), to: (f64, f64)) -> [(f64, f64); 3] {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(0.1);
    let (ux, uy) = (dx / length, dy / length);
    let side = |out: f64| (to.0 - 8.0 * ux - out * uy, to.1 - 8.0 * uy + out * ux);
    [to, side(3.2), side(-3.2)]
}

/// Returns the points of a star.
pub(crate) fn star((x, y): (f64, f64), radius: f64) -> Vec<(f64, f64)> {
    let point = |at: u32| {
        let radius = if at.is_multiple_of(2) { radius } else { radius * 0.45 };
        let angle = f64::from(at) * core::f64::consts::PI / 5.0;
        (x + radius * angle.sin(), y - radius * angle.cos())
    };
    (0..10).map(point).collect()
}
