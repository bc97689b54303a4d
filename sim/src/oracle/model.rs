//! The model: which tokens were typed, what they were typed after, and which of them were reported safe.

use crate::world::{Piece, Supply};
use cosmicsync_protocol::crdt::Version;
use cosmicsync_protocol::ids::LogId;
use std::collections::{BTreeMap, BTreeSet};

/// What plaintext never leaves a peer unsealed.
pub(crate) const NEEDLE: &[u8] = b"SECRET-";

/// A token that an edit typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token {
    /// The number of its document.
    pub(crate) doc: u64,
    /// What its author saw in the document when it was typed.
    pub(crate) deps: Vec<u64>,
    /// The token of the same transaction in another document.
    pub(crate) pair: Option<u64>,
    /// It was reported safe on this peer.
    pub(crate) acked: Option<usize>,
    /// In which of its lives: a process that lives on says again what is excluded.
    pub(crate) life: u32,
    /// Every store that held it is gone: nobody can ask for it.
    pub(crate) released: bool,
    /// The chain hashes after what its author held of each log when it was reported safe: whoever holds all that leads
    /// to these holds the token, and all that it builds on.
    pub(crate) within: Vec<[u8; 32]>,
    /// It is no word, or not only, but what an edit did to members or to the whole document.
    pub(crate) deed: Option<Deed>,
}

/// What an edit did to a document's members, or to the whole of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deed {
    /// Under which peer, and where its operations end: a replica whose version reaches there has it.
    pub(crate) by: u64,
    pub(crate) end: u32,
    /// The pieces that its author was shown after it and not before, and before it and not after.
    pub(crate) added: BTreeSet<Piece>,
    pub(crate) removed: BTreeSet<Piece>,
    /// It made the document.
    pub(crate) makes: bool,
    /// Its process went on as it was kept, perhaps without it, and then gave its numbers to other operations.
    pub(crate) is_unsure: bool,
    /// It deleted the document, having seen this.
    pub(crate) deletes: Option<Version>,
}

impl Deed {
    /// Whether a version has it.
    pub(crate) fn is_in(&self, version: &Version) -> bool {
        version.get(&self.by).copied().unwrap_or(0) >= self.end
    }
}

/// What a peer was seen to show of a document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) version: BTreeMap<u64, u32>,
    pub(crate) tokens: BTreeSet<u64>,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) tokens: BTreeMap<u64, Token>,
    /// Documents that somebody made.
    pub(crate) docs: BTreeSet<u64>,
    /// Where pieces of members come from.
    pub(crate) supply: Supply,
    /// What is shown of open documents, by peer and document.
    pub(crate) seen: BTreeMap<(usize, u64), Seen>,
    /// What a store held when its process ended: for each log how many entries, and of how many it knew.
    pub(crate) remembered: BTreeMap<usize, BTreeMap<LogId, (u64, u64)>>,
    /// Who edited a document last.
    editors: BTreeMap<u64, usize>,
    /// Plaintext went over a wire.
    pub(crate) leaks: u64,
    /// Partitions that no store knows any more.
    pub(crate) lost_partitions: BTreeSet<u32>,
    /// A process was resumed beside itself, or again: logs may fork.
    pub(crate) forks: bool,
    /// A store was wiped, rolled back, or left behind: entries may be gone that others know the heads of.
    pub(crate) losses: bool,
    /// Some clock was changed: certificates may seem invalid.
    pub(crate) clocks_wrong: bool,
}

/// The tokens of a text.
pub(crate) fn tokens_in(text: &str) -> Vec<u64> {
    let tokens = text.split('<').filter_map(|part| part.strip_prefix("SECRET-"));
    let whole = tokens.filter_map(|part| part.split_once(':').filter(|(_, rest)| rest.contains('>')));
    whole.filter_map(|(token, _)| token.parse().ok()).collect()
}

/// Whether bytes hold plaintext.
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
    /// An edit was taken. `creates` if it made the documents.
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

    /// An edit was taken that did something to members or to the whole document.
    pub(crate) fn done(&mut self, number: u64, doc: u64, deed: Deed) {
        self.tokens.insert(number, Token { doc, deed: Some(deed), ..Token::default() });
    }

    /// A process goes on from what its store holds, with its memory: these edits are there, or their numbers are used again.
    pub(crate) fn unsure(&mut self, tokens: impl Iterator<Item = u64>) {
        for token in tokens {
            if let Some(deed) = self.tokens.get_mut(&token).and_then(|token| token.deed.as_mut()) {
                deed.is_unsure = true;
            }
        }
    }

    /// What was done to a document.
    pub(crate) fn deeds(&self, doc: u64) -> impl Iterator<Item = (u64, &Token, &Deed)> {
        let tokens = self.tokens.iter().filter(move |(_, token)| token.doc == doc);
        tokens.filter_map(|(number, token)| Some((*number, token, token.deed.as_ref()?)))
    }

    /// Tokens were reported safe.
    pub(crate) fn acked(&mut self, (peer, life): (usize, u32), tokens: &[u64], within: &[[u8; 32]]) {
        for token in tokens {
            if let Some(token) = self.tokens.get_mut(token) {
                (token.acked, token.life) = (Some(peer), life);
                token.within = within.to_vec();
            }
        }
    }

    /// A document was let go: what was seen of it may be seen again anew.
    pub(crate) fn forget(&mut self, peer: usize, doc: u64) {
        self.seen.remove(&(peer, doc));
    }

    /// Notes who edits; true if another peer edited one of these documents last.
    pub(crate) fn note_edit(&mut self, peer: usize, docs: impl Iterator<Item = u64>) -> bool {
        docs.fold(false, |other, doc| self.editors.insert(doc, peer).is_some_and(|last| last != peer) | other)
    }

    /// Looks at bytes on a wire.
    pub(crate) fn watch_wire(&mut self, bytes: &[u8]) {
        self.leaks += u64::from(leaks(bytes));
    }

    /// Tokens that must be everywhere in the end.
    pub(crate) fn owed(&self) -> impl Iterator<Item = (u64, &Token)> {
        let owed = |token: &Token| token.acked.is_some() && !token.released;
        self.tokens.iter().filter(move |(_, token)| owed(token)).map(|(number, token)| (*number, token))
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
