//! Reads the names of root containers from an update, before the engine sees them.
//!
//! A root name of more than 65,535 bytes breaks a document for ever: the engine can no longer copy it. Honest
//! writers use only the root names of `spec/documents.md`, section 3; an update that names another root is
//! refused.

use super::slot::NAME_LEN;
use super::{ROOT_DOC, ROOT_GONE, ROOT_META};

/// Returns whether every root container that an update names is one of ours. `None` if the update cannot be
/// read.
///
/// `update` is Loro's encoding without its envelope: blocks behind their lengths. A block begins with five
/// numbers, followed by slices: two of headers, the containers, and the keys that name them.
pub(super) fn are_ours(update: &[u8]) -> Option<bool> {
    let mut rest = Bytes(update);
    while !rest.0.is_empty() {
        let len = rest.number()?;
        let mut block = Bytes(rest.take(len)?);
        // Start and length of counters and lamports, and the number of changes.
        for _ in 0..5 {
            block.number()?;
        }
        let [_header, _meta, containers, keys] = [block.slice()?, block.slice()?, block.slice()?, block.slice()?];
        if !names_are_ours(containers, keys)? {
            return Some(false);
        }
    }
    Some(true)
}

fn names_are_ours(containers: &[u8], keys: &[u8]) -> Option<bool> {
    let mut names = Vec::new();
    let mut keys = Bytes(keys);
    while !keys.0.is_empty() {
        names.push(keys.slice()?);
    }
    let mut containers = Bytes(containers);
    let count = containers.number()?;
    for _ in 0..count {
        // A row of four: a flag for a root, its kind, the peer that made it, and its key or counter.
        let (4, is_root, _kind, _peer) =
            (containers.number()?, containers.number()?, containers.number()?, containers.number()?)
        else {
            return None;
        };
        let zigzag = containers.number()?;
        if is_root == 0 {
            continue;
        }
        let index = if zigzag.is_multiple_of(2) { zigzag / 2 } else { return None };
        if !is_ours(names.get(index)?) {
            return Some(false);
        }
    }
    Some(true)
}

fn is_ours(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    [ROOT_DOC, ROOT_META, ROOT_GONE].iter().any(|own| own.as_bytes() == name)
        || (name.len() == NAME_LEN && name.iter().all(is_plain))
}

/// Bytes that are left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encode::fresh, envelope};
    use super::*;
    use loro::{ExportMode, LoroMap, LoroText};

    fn update_with(root: &str) -> Vec<u8> {
        let doc = fresh(7);
        doc.get_map(ROOT_DOC).insert("a", 1).unwrap();
        doc.get_text(root).insert(0, "x").unwrap();
        let list = doc.get_list("abcdefgh_jklmn-0");
        let map = list.insert_container(0, LoroMap::new()).unwrap();
        map.insert_container("t", LoroText::new()).unwrap().insert(0, "y").unwrap();
        doc.commit();
        envelope::without(&doc.export(ExportMode::all_updates()).unwrap()).unwrap()
    }

    #[test]
    fn only_our_names_pass() {
        for ours in ["doc", "meta", "gone", "ABCDEFGHijklmn_-"] {
            assert_eq!(are_ours(&update_with(ours)), Some(true), "{ours}");
        }
        for other in ["Doc", "abcdefghijklmno", "abcdefghijklmno=", "ABCDEFGHijklmn_-0", "body", &"x".repeat(70_000)] {
            assert_eq!(are_ours(&update_with(other)), Some(false), "{other:.40}");
        }
    }

    #[test]
    fn a_cut_update_is_not_read() {
        let update = update_with("doc");
        let cut = update.len() / 2;
        assert_eq!(are_ours(&update[..cut]), None);
    }
}
