//! The model: the typed tokens, the tokens that their authors had seen, and the durable ones.

use super::Values;
use crate::world::{Piece, Supply};
use cosmicsync_protocol::crdt::Version;
use cosmicsync_protocol::ids::LogId;
use std::collections::{BTreeMap, BTreeSet};

/// Plaintext that never leaves a peer unsealed.
pub(crate) const NEEDLE: &[u8] = b"SECRET-";

/// A token that an edit typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    /// The number of the document.
    pub(crate) doc: u64,
    /// Tokens that the author saw in the document at that time.
    pub(crate) deps: Vec<u64>,
    /// The token of the same transaction in another document.
    pub(crate) pair: Option<u64>,
    /// The peer on which the token was reported durable.
    pub(crate) acked: Option<usize>,
    /// The life of that peer: a process that still lives republishes excluded entries.
    pub(crate) life: u32,
    /// True if every store that held the token is lost: it is not demanded any more.
    pub(crate) released: bool,
    /// For each log, the chain hash after the last entry that its author held when the token was reported durable.
    /// A store with all entries up to these holds the token and all its dependencies.
    pub(crate) within: Vec<[u8; 32]>,
    /// The effect of an edit on members or on the whole document; the token is then not, or not only, a text.
    pub(crate) deed: Option<Deed>,
}

/// Effect of an edit on a document's members, or on the whole document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deed {
    /// The editing peer, and the end of its operations: a replica whose version reaches that end has the edit.
    pub(crate) by: u64,
    pub(crate) end: u32,
    /// The pieces that its author saw after it and not before, and those that its author saw before it and not
    /// after.
    pub(crate) added: BTreeSet<Piece>,
    pub(crate) removed: BTreeSet<Piece>,
    /// True if the edit made the document.
    pub(crate) makes: bool,
    /// True if its process continued from its store, perhaps without it, and then gave its numbers to other
    /// operations.
    pub(crate) is_unsure: bool,
    /// For a deletion of the document: the version that it saw.
    pub(crate) deletes: Option<Version>,
}

impl Deed {
    /// Returns whether a version has it.
    pub(crate) fn is_in(&self, version: &Version) -> bool {
        version.get(&self.by).copied().unwrap_or(0) >= self.end
    }
}

/// Content of a document that a peer showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) version: BTreeMap<u64, u32>,
    pub(crate) tokens: BTreeSet<u64>,
}

/// The model of a run.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) tokens: BTreeMap<u64, Token>,
    /// The documents' values, as expected.
    pub(crate) values: BTreeMap<u64, Values>,
    /// Documents that were made.
    pub(crate) docs: BTreeSet<u64>,
    /// Source of pieces of members.
    pub(crate) supply: Supply,
    /// Content of open documents, by peer and document.
    pub(crate) seen: BTreeMap<(usize, u64), Seen>,
    /// Content of a store when its process ended: for each log, the number of held entries and of known ones.
    pub(crate) remembered: BTreeMap<usize, BTreeMap<LogId, (u64, u64)>>,
    /// The last editor of each document.
    editors: BTreeMap<u64, usize>,
    /// Number of times that plaintext went over a wire.
    pub(crate) leaks: u64,
    /// Partitions that no store knows any more.
    pub(crate) lost_partitions: BTreeSet<u32>,
    /// True if a process was resumed beside itself, or again: logs may fork.
    pub(crate) forks: bool,
    /// True if a store was wiped, rolled back, or left behind: entries may be lost whose heads others know.
    pub(crate) losses: bool,
    /// True if some clock was changed: certificates may seem invalid.
    pub(crate) clocks_wrong: bool,
}

/// Returns the tokens of a text.
pub(crate) fn tokens_in(text: &str) -> Vec<u64> {
    let tokens = text.split('<').filter_map(|part| part.strip_prefix("SECRET-"));
    let whole = tokens.filter_map(|part| part.split_once(':').filter(|(_, rest)| rest.contains('>')));
    whole.filter_map(|(token, _)| token.parse().ok()).collect()
}

/// Returns whether bytes contain plaintext.
pub(crate) fn leaks(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == NEEDLE[0]) {
        rest = &rest[at..];
        if rest.starts_with(NEEDLE) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

impl Model {
    /// Records an edit that was taken. `creates` is true if it made the documents.
    pub(crate) fn taken(&mut self, tokens: Vec<(u64, u64, Vec<u64>)>, creates: bool) {
        let pair = |at: usize| match (&tokens[..], creates) {
            ([first, second], false) => Some(if at == 0 { second.1 } else { first.1 }),
            _ => None,
        };
        let pairs: Vec<Option<u64>> = (0..tokens.len()).map(pair).collect();
        for ((doc, token, deps), pair) in tokens.into_iter().zip(pairs) {
            if creates {
                self.docs.insert(doc);
            }
            let token = self.tokens.entry(token).or_default();
            *token = Token { doc, deps, pair, ..Token::default() };
        }
    }

    /// Records an edit that changed members or the whole document.
    pub(crate) fn done(&mut self, number: u64, doc: u64, deed: Deed) {
        self.tokens.insert(number, Token { doc, deed: Some(deed), ..Token::default() });
    }

    /// Marks edits as unsure: their process continues from its store, with its memory, so they are there or their
    /// numbers are reused.
    pub(crate) fn unsure(&mut self, tokens: impl Iterator<Item = u64>) {
        for token in tokens {
            if let Some(deed) = self.tokens.get_mut(&token).and_then(|token| token.deed.as_mut()) {
                deed.is_unsure = true;
            }
        }
    }

    /// Returns the edits of a document that have effects.
    pub(crate) fn deeds(&self, doc: u64) -> impl Iterator<Item = (u64, &Token, &Deed)> {
        let tokens = self.tokens.iter().filter(move |(_, token)| token.doc == doc);
        tokens.filter_map(|(number, token)| Some((*number, token, token.deed.as_ref()?)))
    }

    /// Records that tokens were reported durable.
    pub(crate) fn acked(&mut self, (peer, life): (usize, u32), tokens: &[u64], within: &[[u8; 32]]) {
        for token in tokens {
            if let Some(token) = self.tokens.get_mut(token) {
                (token.acked, token.life) = (Some(peer), life);
                token.within = within.to_vec();
            }
        }
    }

    /// Forgets the seen content of a document that was closed.
    pub(crate) fn forget(&mut self, peer: usize, doc: u64) {
        self.seen.remove(&(peer, doc));
    }

    /// Records an editor. Returns true if another peer edited one of these documents last.
    pub(crate) fn note_edit(&mut self, peer: usize, docs: impl Iterator<Item = u64>) -> bool {
        docs.fold(false, |other, doc| self.editors.insert(doc, peer).is_some_and(|last| last != peer) | other)
    }

    /// Checks bytes on a wire for plaintext.
    pub(crate) fn watch_wire(&mut self, bytes: &[u8]) {
        self.leaks += u64::from(leaks(bytes));
    }

    /// Returns the tokens that every peer must have in the end.
    pub(crate) fn required(&self) -> impl Iterator<Item = (u64, &Token)> {
        let required = |token: &Token| token.acked.is_some() && !token.released;
        self.tokens.iter().filter(move |(_, token)| required(token)).map(|(number, token)| (*number, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_and_plaintext_is_noticed() {
        assert_eq!(tokens_in("<SECRET-5:abc>x<SECRET-77:><SECRET-8:cut"), [5, 77]);
        assert!(leaks(b"..SSECRET-5"));
        assert!(!leaks(b"SECRETS-ECRET"));
    }
}
