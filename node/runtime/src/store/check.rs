//! Checks the pages of a data file before LMDB maps it. LMDB trusts its pages: a damaged one makes it read memory that
//! does not exist.
//!
//! The check reads the file page by page, holds one page for each level of a tree, and never writes. Every page that
//! the newest root leads to is visited. The check verifies the numbers and kinds of pages, the places of nodes, the
//! order of keys, and the numbers of rows and pages. No page may be used twice, or be both used and free. The content
//! of values is skipped, because it has seals and checksums of its own. Specified in `spec/storage.md`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const HEADER_BYTES: usize = 16;
const NODE_BYTES: usize = 8;
const TREE_BYTES: usize = 48;
const META_BYTES: usize = 152;
const MAGIC: u32 = 0xbeef_c0de;
const DATA_VERSION: u32 = 1;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META: u16 = 8;
const BIG_DATA: u16 = 1;
const SUB_TREE: u16 = 2;
/// Longest key in LMDB, in bytes.
const KEY_BYTES_MAX: usize = 511;
/// Largest depth of a tree in LMDB.
const DEPTH_MAX: u16 = 32;
/// Stands for no page: the root of an empty tree.
const NO_PAGE: u64 = u64::MAX;

/// An error in a data file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// A page is not as LMDB writes it.
    #[error("page {page}: {what}")]
    Page {
        /// The page's number.
        page: u64,
        /// The error.
        what: &'static str,
    },
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// LMDB's record of one tree.
#[derive(Debug, Clone, Copy)]
struct Tree {
    flags: u16,
    depth: u16,
    branches: u64,
    leaves: u64,
    overflows: u64,
    entries: u64,
    root: u64,
}

/// A root: the state of the file after one transaction.
#[derive(Debug)]
pub(super) struct Root {
    page_bytes: usize,
    free: Tree,
    main: Tree,
    last_page: u64,
    txn: u64,
}

impl Root {
    /// Reads both roots and returns the newer one.
    pub(super) fn newest(file: &File) -> Result<Self, Damage> {
        let first = Self::read(file, 0, 0)?;
        let second = Self::read(file, 1, first.page_bytes as u64)?;
        if first.page_bytes != second.page_bytes {
            return Err(damaged(1, "it has another size than the first"));
        }
        Ok(if second.txn > first.txn { second } else { first })
    }

    fn read(file: &File, page: u64, offset: u64) -> Result<Self, Damage> {
        let mut bytes = [0; META_BYTES];
        read_at(file, &mut bytes, offset, page)?;
        let meta = &bytes[HEADER_BYTES..];
        if u16_at(&bytes, 10) != META || u32_at(meta, 0) != MAGIC || u32_at(meta, 4) != DATA_VERSION {
            return Err(damaged(page, "it is not the root of a store"));
        }
        let page_bytes = u32_at(meta, 24) as usize;
        if !page_bytes.is_power_of_two() || !(512..=0x8000).contains(&page_bytes) {
            return Err(damaged(page, "the size of pages is invalid"));
        }
        let (free, main) = (Tree::read(&meta[24..]), Tree::read(&meta[24 + TREE_BYTES..]));
        let (last_page, txn) = (u64_at(meta, 120), u64_at(meta, 128));
        Ok(Self { page_bytes, free, main, last_page, txn })
    }

    /// Returns whether the file includes the last page that the root names. A file that does not may still be complete,
    /// because the last pages may be free.
    pub(super) fn fits(&self, file_bytes: u64) -> bool {
        let pages = file_bytes / self.page_bytes as u64;
        self.last_page < pages
    }
}

impl Tree {
    fn read(bytes: &[u8]) -> Self {
        Self {
            flags: u16_at(bytes, 4),
            depth: u16_at(bytes, 6),
            branches: u64_at(bytes, 8),
            leaves: u64_at(bytes, 16),
            overflows: u64_at(bytes, 24),
            entries: u64_at(bytes, 32),
            root: u64_at(bytes, 40),
        }
    }
}

/// Checks every page that the newest root leads to.
pub(super) fn check(file: &File) -> Result<(), Damage> {
    let root = Root::newest(file)?;
    let file_pages = file.metadata()?.len() / root.page_bytes as u64;
    // Free pages at the end may be missing, but a file that lacks more pages than it has is not LMDB's.
    if root.last_page < 1 || root.last_page > file_pages.saturating_mul(2).saturating_add(1 << 16) {
        return Err(damaged(0, "the number of pages does not fit the file"));
    }
    let words = usize::try_from(root.last_page / 64 + 1).map_err(|_| damaged(0, "the number of pages is invalid"))?;
    let mut walk = Walk { file, root: &root, file_pages, seen: vec![0; words], pages: 2 };
    walk.seen[0] = 0b11;
    let mut free = Vec::new();
    walk.tree(&root.free, Kind::Free, &mut free)?;
    let mut trees = Vec::new();
    walk.tree(&root.main, Kind::Names, &mut trees)?;
    for tree in &trees {
        walk.tree(&Tree::read(tree), Kind::Rows, &mut Vec::new())?;
    }
    for list in &free {
        walk.free_list(list)?;
    }
    if walk.pages == root.last_page + 1 { Ok(()) } else { Err(damaged(0, "some pages are neither used nor free")) }
}

/// The kind of rows in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Lists of free pages, by transaction.
    Free,
    /// Other trees, by name.
    Names,
    /// Rows of a table.
    Rows,
}

struct Walk<'a> {
    file: &'a File,
    root: &'a Root,
    file_pages: u64,
    /// One bit for each page: set if the page was visited.
    seen: Vec<u64>,
    /// Number of visited pages.
    pages: u64,
}

/// Counts of a tree.
#[derive(Debug, Default)]
struct Counted {
    branches: u64,
    leaves: u64,
    overflows: u64,
    entries: u64,
}

/// The range of the keys of a page.
#[derive(Debug, Clone, Default)]
struct Range {
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &Tree, kind: Kind, values: &mut Vec<Vec<u8>>) -> Result<(), Damage> {
        if kind != Kind::Free && tree.flags != 0 {
            return Err(damaged(0, "a tree has properties that no table has"));
        }
        let mut counted = Counted::default();
        match (tree.root, tree.depth) {
            (NO_PAGE, 0) => {}
            (root, 1..=DEPTH_MAX) => {
                self.page(root, tree.depth, kind, &Range::default(), (&mut counted, values))?;
            }
            _ => return Err(damaged(tree.root, "the root of a tree is invalid")),
        }
        let same = counted.branches == tree.branches
            && counted.leaves == tree.leaves
            && counted.overflows == tree.overflows
            && counted.entries == tree.entries;
        if same { Ok(()) } else { Err(damaged(tree.root, "a tree holds more or fewer rows or pages than it counts")) }
    }

    /// Marks a page as visited; a page that was visited before is used twice.
    fn mark(&mut self, page: u64) -> Result<(), Damage> {
        if page < 2 || page > self.root.last_page {
            return Err(damaged(page, "it lies outside the store"));
        }
        let (word, bit) = (usize::try_from(page / 64).unwrap_or(usize::MAX), 1u64 << (page % 64));
        let word = self.seen.get_mut(word).ok_or_else(|| damaged(page, "it lies outside the store"))?;
        if *word & bit != 0 {
            return Err(damaged(page, "it is used twice"));
        }
        *word |= bit;
        self.pages += 1;
        Ok(())
    }

    fn read(&mut self, page: u64) -> Result<Vec<u8>, Damage> {
        self.mark(page)?;
        if page >= self.file_pages {
            return Err(damaged(page, "it lies behind the end of the file"));
        }
        let mut bytes = vec![0; self.root.page_bytes];
        read_at(self.file, &mut bytes, page * self.root.page_bytes as u64, page)?;
        if u64_at(&bytes, 0) != page {
            return Err(damaged(page, "it has the number of another page"));
        }
        Ok(bytes)
    }

    /// Checks a page and all pages below it; `depth` is 1 for leaves.
    fn page(
        &mut self,
        number: u64,
        depth: u16,
        kind: Kind,
        range: &Range,
        found: (&mut Counted, &mut Vec<Vec<u8>>),
    ) -> Result<(), Damage> {
        let bytes = self.read(number)?;
        let (counted, values) = found;
        let flags = u16_at(&bytes, 10);
        let is_leaf = depth == 1;
        if flags != if is_leaf { LEAF } else { BRANCH } {
            return Err(damaged(number, "it is of another kind"));
        }
        let nodes = nodes(&bytes, number, is_leaf)?;
        if nodes.is_empty() || (!is_leaf && nodes.len() < 2) {
            return Err(damaged(number, "it has too few nodes"));
        }
        *(if is_leaf { &mut counted.leaves } else { &mut counted.branches }) += 1;
        let ascends = |before: &[u8], after: &[u8]| match kind {
            Kind::Free => as_number(before) < as_number(after),
            Kind::Names | Kind::Rows => before < after,
        };
        for (at, node) in nodes.iter().enumerate() {
            // The first key of a branch stands for all keys before the second, so it is not checked.
            let named = is_leaf || at > 0;
            if named {
                let wrong_size = kind == Kind::Free && node.key.len() != 8;
                let before = nodes[..at].last().filter(|_| is_leaf || at > 1);
                let after_before = before.is_none_or(|before| ascends(before.key, node.key));
                let inside = range.from.as_ref().is_none_or(|from| !ascends(node.key, from))
                    && range.to.as_ref().is_none_or(|to| ascends(node.key, to));
                if wrong_size || node.key.is_empty() || !after_before || !inside {
                    return Err(damaged(number, "its keys are out of order"));
                }
            }
            if is_leaf {
                counted.entries += 1;
                let value = self.value(node, kind, number, counted)?;
                values.extend(value);
                continue;
            }
            let key = |node: &Node<'_>| Some(node.key.to_vec());
            let from = if at > 0 { key(node) } else { range.from.clone() };
            let to = nodes.get(at + 1).map_or_else(|| range.to.clone(), key);
            self.page(node.child(), depth - 1, kind, &Range { from, to }, (&mut *counted, &mut *values))?;
        }
        Ok(())
    }

    /// Follows a value to its own pages. Returns the value if it is a record of LMDB.
    fn value(
        &mut self,
        node: &Node<'_>,
        kind: Kind,
        page: u64,
        counted: &mut Counted,
    ) -> Result<Option<Vec<u8>>, Damage> {
        match (node.flags, kind) {
            (SUB_TREE, Kind::Names) if node.data.len() == TREE_BYTES => Ok(Some(node.data.to_vec())),
            (0, Kind::Free) => Ok(Some(node.data.to_vec())),
            (0, Kind::Rows) => Ok(None),
            (BIG_DATA, Kind::Free | Kind::Rows) => {
                let first = u64_at(node.data, 0);
                let needed = ((HEADER_BYTES - 1 + node.size) / self.root.page_bytes + 1) as u64;
                if first >= self.file_pages {
                    return Err(damaged(page, "a value lies behind the end of the file"));
                }
                let mut header = [0; HEADER_BYTES];
                let offset = first * self.root.page_bytes as u64;
                read_at(self.file, &mut header, offset, first)?;
                // A value that became shorter within one transaction keeps its pages.
                let pages = u64::from(u32_at(&header, 12));
                let whole = u64_at(&header, 0) == first
                    && u16_at(&header, 10) == OVERFLOW
                    && pages >= needed
                    && pages <= self.file_pages - first;
                if !whole {
                    return Err(damaged(first, "it is not the beginning of a value"));
                }
                (first..first + pages).try_for_each(|page| self.mark(page))?;
                counted.overflows += pages;
                if kind == Kind::Rows {
                    return Ok(None);
                }
                let mut value = vec![0; node.size];
                read_at(self.file, &mut value, offset + HEADER_BYTES as u64, first)?;
                Ok(Some(value))
            }
            _ => Err(damaged(page, "a value is of another kind")),
        }
    }

    /// Marks free pages, none of which may be in use. The list begins with its length, and its numbers descend.
    fn free_list(&mut self, list: &[u8]) -> Result<(), Damage> {
        let wrong = || damaged(0, "a list of free pages is invalid");
        if list.len() < 8 || !list.len().is_multiple_of(8) || u64_at(list, 0) != (list.len() / 8 - 1) as u64 {
            return Err(wrong());
        }
        let mut before = NO_PAGE;
        for place in (8..list.len()).step_by(8) {
            let page = u64_at(list, place);
            if page >= before {
                return Err(wrong());
            }
            before = page;
            self.mark(page)?;
        }
        Ok(())
    }
}

/// A node of a page.
struct Node<'p> {
    flags: u16,
    key: &'p [u8],
    /// The data in the page: a value, or the number of its first page.
    data: &'p [u8],
    /// Size of the value, in bytes.
    size: usize,
    low: u64,
}

impl Node<'_> {
    /// Returns the page below, in a branch.
    fn child(&self) -> u64 {
        self.low | (u64::from(self.flags) << 32)
    }
}

/// Returns the nodes of a page; all lie within the page, and none overlaps another.
fn nodes(bytes: &[u8], page: u64, is_leaf: bool) -> Result<Vec<Node<'_>>, Damage> {
    let wrong = || damaged(page, "its nodes do not fit into it");
    let (lower, upper) = (usize::from(u16_at(bytes, 12)), usize::from(u16_at(bytes, 14)));
    if lower < HEADER_BYTES || lower % 2 != 0 || lower > upper || upper > bytes.len() {
        return Err(wrong());
    }
    let mut nodes = Vec::with_capacity((lower - HEADER_BYTES) / 2);
    let mut spans = Vec::with_capacity(nodes.capacity());
    for place in (HEADER_BYTES..lower).step_by(2) {
        let start = usize::from(u16_at(bytes, place));
        let header = bytes.get(start..start + NODE_BYTES).filter(|_| start >= upper && start % 2 == 0);
        let header = header.ok_or_else(wrong)?;
        let (low, flags) = (u64::from(u32_at(header, 0)), u16_at(header, 4));
        let key_bytes = usize::from(u16_at(header, 6));
        let size = usize::try_from(low).map_err(|_| wrong())?;
        let data_bytes = match (is_leaf, flags) {
            (false, _) => 0,
            (true, BIG_DATA) => 8,
            (true, _) => size,
        };
        let key_start = start + NODE_BYTES;
        let end = key_start.checked_add(key_bytes).and_then(|end| end.checked_add(data_bytes)).ok_or_else(wrong)?;
        if key_bytes > KEY_BYTES_MAX || end > bytes.len() {
            return Err(wrong());
        }
        let (key, data) = bytes[key_start..end].split_at(key_bytes);
        spans.push((start, end.next_multiple_of(2)));
        nodes.push(Node { flags, key, data, size, low });
    }
    spans.sort_unstable();
    let apart = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    if apart { Ok(nodes) } else { Err(wrong()) }
}

fn damaged(page: u64, what: &'static str) -> Damage {
    Damage::Page { page, what }
}

fn read_at(file: &File, bytes: &mut [u8], offset: u64, page: u64) -> Result<(), Damage> {
    file.read_exact_at(bytes, offset).map_err(|error| {
        let cut_off = error.kind() == io::ErrorKind::UnexpectedEof;
        if cut_off { damaged(page, "it lies behind the end of the file") } else { Damage::Io(error) }
    })
}

fn as_number(key: &[u8]) -> u64 {
    key.try_into().map(u64::from_ne_bytes).unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    array_at(bytes, at).map(u16::from_ne_bytes).unwrap_or_default()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map(u32::from_ne_bytes).unwrap_or_default()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    array_at(bytes, at).map(u64::from_ne_bytes).unwrap_or_default()
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests;
