//! Stores that are copied, processes that are resumed twice, and logs that fork: stories, and the fate of every
//! written token in them.

use crate::config::Config;
use crate::endpoint::Event;
use crate::testkit::notes::{BODY, body, doc_id, insert, note, set};
use crate::testkit::peer::{Net, Peer};
use std::collections::BTreeMap;

/// Fate of the written tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Number of tokens that were reported durable.
    pub words: usize,
    /// Number of these that are missing on some replica.
    pub lost: usize,
    /// Number of these that occur more than once in a value.
    pub repeated: usize,
    /// Number of documents whose values differ between replicas.
    pub differing: usize,
    /// Number of replicas whose root is not that of the first.
    pub roots: usize,
    /// Number of logs that some replica found to be forked.
    pub forked: usize,
}

/// Peers, and the tokens written on them.
struct Story {
    net: Net,
    words: BTreeMap<u32, Vec<String>>,
}

impl Story {
    /// Makes `peers` devices of one user, all in one space and in sync, and documents 1 to `docs` made by the
    /// first.
    fn begin(peers: usize, docs: u32) -> Self {
        let mut first = Peer::new(1);
        first.found("home");
        let mut all = vec![first];
        all.extend((1..peers).map(|at| Peer::new(at as u8 + 1)));
        let mut story = Self { net: Net::new(all), words: BTreeMap::new() };
        (1..peers).for_each(|peer| story.net.join(peer, 0));
        for doc in 1..=docs {
            story.net.peers[0].create(doc_id(doc), note(""), BODY);
        }
        story.meet_all();
        story
    }

    fn meet(&mut self, pairs: &[(usize, usize)]) {
        for (from, to) in pairs {
            self.net.dial(*from, *to);
            self.net.run();
            self.net.cut();
        }
    }

    /// Has all peers meet each other, until nothing is new.
    fn meet_all(&mut self) {
        for _ in 0..3 {
            for from in 1..self.net.peers.len() {
                (0..from).for_each(|to| self.meet(&[(from, to)]));
            }
        }
    }

    /// Starts a copy of a peer's store, byte for byte. Returns the copy's number.
    fn copy(&mut self, peer: usize) -> usize {
        let store = self.net.peers[peer].store.crash(0);
        self.add(|seed| Peer::recover(store, seed))
    }

    /// Resumes a copy of a peer's store and memory beside it. Returns the copy's number.
    fn resume(&mut self, peer: usize) -> usize {
        let store = self.net.peers[peer].store.crash(0);
        let image = self.net.peers[peer].endpoint.image();
        self.add(|seed| Peer::resume(store, image, seed, Config::default()))
    }

    fn add(&mut self, start: impl FnOnce(u8) -> Peer) -> usize {
        let number = self.net.peers.len();
        self.net.peers.push(start(100 + number as u8));
        self.net.sent.push(0);
        number
    }

    fn write(&mut self, peer: usize, doc: u32, word: &str) {
        let word = format!("<{word}>");
        let open = self.net.peers[peer].open(doc_id(doc));
        let edited = self.net.peers[peer].edit(open, insert(0, &word), BODY);
        assert!(edited.is_ok(), "the document is there: {edited:?}");
        let state = &mut self.net.peers[peer];
        state.endpoint.close(state.now, open);
        self.words.entry(doc).or_default().push(word);
    }

    /// Writes an entry without a token.
    fn mark(&mut self, peer: usize, doc: u32, count: u32) {
        let open = self.net.peers[peer].open(doc_id(doc));
        let edited = self.net.peers[peer].edit(open, set("count", i64::from(count)), BODY);
        assert!(edited.is_ok(), "the document is there: {edited:?}");
        let state = &mut self.net.peers[peer];
        state.endpoint.close(state.now, open);
    }

    fn make(&mut self, peer: usize, doc: u32, word: &str) {
        let word = format!("<{word}>");
        self.net.peers[peer].create(doc_id(doc), note(&word), BODY);
        self.words.entry(doc).or_default().push(word);
    }

    /// Has the first device republish the excluded entries of all documents, after all peers met.
    fn publish_excluded(&mut self) {
        self.meet_all();
        let docs: Vec<u32> = self.words.keys().copied().collect();
        for doc in docs {
            let at = self.net.peers[0].open(doc_id(doc));
            let first = &mut self.net.peers[0];
            if !first.endpoint.excluded_entries(at).is_empty() {
                first.endpoint.publish_excluded(first.now, at);
                first.settle();
            }
            first.endpoint.close(first.now, at);
        }
    }

    fn end(mut self) -> Outcome {
        self.meet_all();
        let mut outcome = Outcome::default();
        let roots: Vec<_> = self.net.peers.iter().map(Peer::root).collect();
        outcome.roots = roots.iter().filter(|root| **root != roots[0]).count();
        let forks = self
            .net
            .peers
            .iter()
            .map(|peer| peer.events.iter().filter(|event| matches!(event, Event::Forked { .. })).count());
        outcome.forked = forks.max().unwrap_or(0);
        for (doc, words) in &self.words {
            let values: Vec<_> = self.net.peers.iter_mut().map(|peer| peer.value(doc_id(*doc))).collect();
            outcome.differing += usize::from(values.iter().any(|value| *value != values[0]));
            outcome.words += words.len();
            for word in words {
                let found =
                    |value: &Option<_>| value.as_ref().map_or(0, |value| body(value).matches(word.as_str()).count());
                outcome.lost += usize::from(values.iter().any(|value| found(value) == 0));
                outcome.repeated += usize::from(values.iter().any(|value| found(value) > 1));
            }
        }
        outcome
    }
}

/// Copies a store byte for byte `copies` times while it runs. Each copy starts and continues apart: in the same
/// document, in different ones, in new ones. Another device hears `first` before the others, and writes on top of
/// that.
pub fn copied(copies: usize, first: usize) -> Outcome {
    go_apart(copies, first, Story::copy)
}

/// Does the same as [`copied`], with the memory of the process and its keys: logs fork.
pub fn resumed(copies: usize, first: usize) -> Outcome {
    go_apart(copies, first, Story::resume)
}

fn go_apart(copies: usize, first: usize, another: impl Fn(&mut Story, usize) -> usize) -> Outcome {
    let mut story = Story::begin(2, 3);
    story.write(0, 1, "before");
    let mut copied = vec![0];
    copied.extend((0..copies).map(|_| another(&mut story, 0)));
    for (number, peer) in copied.iter().copied().enumerate() {
        for count in 0..4 {
            story.write(peer, 1, &format!("copy {number} {count}"));
        }
        story.write(peer, 2 + number as u32 % 2, &format!("apart {number}"));
        story.make(peer, 10 + number as u32, &format!("new {number}"));
        story.write(peer, 10 + number as u32, &format!("newer {number}"));
    }
    let heard = copied[first % copied.len()];
    story.meet(&[(1, heard)]);
    story.write(1, 1, "on top");
    story.write(1, 10 + (first % copied.len()) as u32, "on what is new");
    story.end()
}

/// Gives a writer's log of `entries` entries, which two others built on, another history from its second entry on.
/// A fourth device hears that history first if `hears_other`, and builds on it; a fifth hears nothing until the
/// end.
pub fn forked_at_the_start(entries: u32, hears_other: bool) -> Outcome {
    let mut story = Story::begin(5, 1);
    let copy = story.resume(0);
    for doc in 2..6 {
        story.make(0, doc, &format!("made {doc}"));
    }
    for count in 0..entries.saturating_sub(5) {
        // A text that grew with each entry would dominate the work.
        if count.is_multiple_of(20) {
            story.write(0, 1 + count / 20 % 5, &format!("long {count}"));
        } else {
            story.mark(0, 1 + count % 5, count);
        }
        if count > 0 && count.is_multiple_of(1_000) {
            story.meet(&[(1, 0), (2, 0)]);
        }
    }
    story.meet(&[(1, 0), (2, 0)]);
    for count in 0..5 {
        story.write(1, 1 + count, &format!("second {count}"));
        story.write(2, 1 + count, &format!("third {count}"));
    }
    story.write(copy, 1, "other history");
    story.make(copy, 7, "other document");
    if hears_other {
        story.meet(&[(3, copy)]);
        story.write(3, 1, "fourth");
        story.write(3, 1, "fourth too");
    }
    story.publish_excluded();
    story.end()
}
