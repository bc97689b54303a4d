//! Carrying one author's part of a document over to another version of it that lacks what the part was written on.
//!
//! A character, an item or a map's entry is carried by who wrote it. What others wrote stays where it is: they carry it
//! themselves. Deletions are not carried, so nothing is lost that somebody else still counts on
//! (`spec/exclusion.md`, section 5).

use loro::cursor::{Cursor, Side};
use loro::{
    Container, ContainerID, ContainerTrait, ID, LoroDoc, LoroList, LoroMap, LoroResult, LoroText, ValueOrContainer,
};
use std::collections::BTreeMap;

/// Whose operations are whose.
pub(super) struct Authors {
    /// Stretches of own operations, as (peer, start, end).
    pub(super) own: Vec<(u64, u32, u32)>,
    /// Where the operations end that both versions share.
    pub(super) shared: BTreeMap<u64, u32>,
}

/// Why a part could not be carried.
#[derive(Debug)]
pub(super) enum CarryError {
    /// It stands in something that another author has to carry first.
    Waits,
    /// The engine refused.
    Refused,
}

impl From<loro::LoroError> for CarryError {
    fn from(_: loro::LoroError) -> Self {
        Self::Refused
    }
}

impl Authors {
    fn is_own(&self, id: ID) -> bool {
        let counter = u32::try_from(id.counter).unwrap_or(u32::MAX);
        self.own.iter().any(|(peer, start, end)| *peer == id.peer && (*start..*end).contains(&counter))
    }

    fn is_shared(&self, id: ID) -> bool {
        let counter = u32::try_from(id.counter).unwrap_or(u32::MAX);
        self.shared.get(&id.peer).is_some_and(|end| counter < *end)
    }
}

/// Carries what `authors.own` wrote in `old` over to `new`. `base` is the version that both build on.
pub(super) fn carry(old: &LoroDoc, base: &LoroDoc, new: &LoroDoc, authors: &Authors) -> Result<(), CarryError> {
    let carrier = Carrier { base, new, authors };
    for root in [super::ROOT_META, super::ROOT_DOC] {
        carrier.map(&old.get_map(root), &new.get_map(root), false)?;
    }
    new.commit();
    Ok(())
}

/// Where each operation's character or item stands, by peer and counter.
type Positions = BTreeMap<(u64, i32), usize>;

struct Carrier<'a> {
    base: &'a LoroDoc,
    new: &'a LoroDoc,
    authors: &'a Authors,
}

/// Where what an old container holds goes.
enum Place {
    /// Into the container of that id, or one that stands in its place.
    Same(Container),
    /// Into a container still to be made.
    Own,
}

impl Carrier<'_> {
    /// Finds where a container's content goes. `beside` is what stands at its place in the new version, and `ours` says
    /// that nobody else will ever put anything there.
    fn place(&self, old: &Container, beside: Option<Container>, ours: bool) -> Result<Place, CarryError> {
        match old.id() {
            ContainerID::Normal { peer, counter, .. } if self.authors.is_own(ID::new(peer, counter)) => Ok(Place::Own),
            ContainerID::Normal { peer, counter, .. } if self.authors.is_shared(ID::new(peer, counter)) => {
                self.new.get_container(old.id()).map(Place::Same).ok_or(CarryError::Refused)
            }
            ContainerID::Normal { .. } | ContainerID::Root { .. } => {
                let same_kind = |other: &Container| other.get_type() == old.get_type();
                match beside.filter(same_kind) {
                    Some(beside) => Ok(Place::Same(beside)),
                    None if self.holds_own(old) && !ours => Err(CarryError::Waits),
                    None => Ok(Place::Own),
                }
            }
        }
    }

    /// Whether anything under a container is own.
    fn holds_own(&self, old: &Container) -> bool {
        let own_container = |child: &Container| match child.id() {
            ContainerID::Normal { peer, counter, .. } => self.authors.is_own(ID::new(peer, counter)),
            ContainerID::Root { .. } => false,
        };
        match old {
            Container::Text(text) => ids(text.len_unicode(), |at| text.get_cursor(at, Side::Middle))
                .any(|id| id.is_some_and(|id| self.authors.is_own(id))),
            Container::List(list) => {
                ids(list.len(), |at| list.get_cursor(at, Side::Middle))
                    .any(|id| id.is_some_and(|id| self.authors.is_own(id)))
                    || (0..list.len()).filter_map(|at| container(list.get(at))).any(|child| self.holds_own(&child))
            }
            Container::Map(map) => {
                let mut found = false;
                map.for_each(|key, child| {
                    found |= match container(Some(child)) {
                        Some(child) => own_container(&child) || self.holds_own(&child),
                        None => self.is_own_editor(map.get_last_editor(key)),
                    };
                });
                found
            }
            Container::Tree(_) | Container::MovableList(_) | Container::Counter(_) | Container::Unknown(_) => false,
        }
    }

    fn is_own_editor(&self, editor: Option<u64>) -> bool {
        editor.is_some_and(|editor| self.authors.own.iter().any(|(peer, ..)| *peer == editor))
    }

    fn fill(&self, old: &Container, new: &Container, ours: bool) -> Result<(), CarryError> {
        match (old, new) {
            (Container::Map(old), Container::Map(new)) => self.map(old, new, ours),
            (Container::List(old), Container::List(new)) => self.list(old, new),
            (Container::Text(old), Container::Text(new)) => Ok(self.text(old, new)?),
            _ => Ok(()),
        }
    }

    fn map(&self, old: &LoroMap, new: &LoroMap, ours: bool) -> Result<(), CarryError> {
        let mut entries: Vec<(String, ValueOrContainer)> = Vec::new();
        old.for_each(|key, child| entries.push((key.to_owned(), child)));
        let base = self.base.has_container(&old.id()).then(|| self.base.get_map(old.id()));
        for (key, child) in entries {
            let child = match child {
                ValueOrContainer::Container(child) => child,
                ValueOrContainer::Value(value) => {
                    let was = base.as_ref().and_then(|base| base.get(&key)).and_then(|was| was.into_value().ok());
                    if self.is_own_editor(old.get_last_editor(&key)) && was.as_ref() != Some(&value) {
                        new.insert(&key, value)?;
                    }
                    continue;
                }
            };
            match self.place(&child, container(new.get(&key)), ours)? {
                Place::Same(there) => self.fill(&child, &there, ours)?,
                Place::Own if self.is_created_by_us(&child) || ours && self.holds_own(&child) => {
                    let made = new.insert_container(&key, like(&child)?)?;
                    self.fill(&child, &made, ours)?;
                }
                Place::Own => {}
            }
        }
        Ok(())
    }

    fn is_created_by_us(&self, child: &Container) -> bool {
        match child.id() {
            ContainerID::Normal { peer, counter, .. } => self.authors.is_own(ID::new(peer, counter)),
            ContainerID::Root { .. } => false,
        }
    }

    /// Where something stands in the new version that both versions have. What two histories of a log wrote apart bears the
    /// same ids, so an id alone says nothing.
    fn there(&self, at_of: &Positions, id: ID) -> Option<usize> {
        at_of.get(&(id.peer, id.counter)).copied().filter(|_| self.authors.is_shared(id))
    }

    fn list(&self, old: &LoroList, new: &LoroList) -> Result<(), CarryError> {
        let mut at_of = positions(new.len(), |at| new.get_cursor(at, Side::Middle));
        let mut next = 0;
        for (at, id) in ids(old.len(), |at| old.get_cursor(at, Side::Middle)).enumerate() {
            let Some(id) = id else { continue };
            if let Some(there) = self.there(&at_of, id) {
                if let (Some(child), Some(there)) = (container(old.get(at)), container(new.get(there))) {
                    self.fill(&child, &there, false)?;
                }
                next = there + 1;
                continue;
            }
            // A container of somebody else comes back as another item, which nothing tells from the rest: what is own in it
            // gets an item of its own.
            if !self.authors.is_own(id) && !container(old.get(at)).is_some_and(|child| self.holds_own(&child)) {
                continue;
            }
            match old.get(at) {
                Some(ValueOrContainer::Value(value)) => new.insert(next, value)?,
                Some(ValueOrContainer::Container(child)) => {
                    let made = new.insert_container(next, like(&child)?)?;
                    self.fill(&child, &made, true)?;
                }
                None => continue,
            }
            at_of.values_mut().filter(|there| **there >= next).for_each(|there| *there += 1);
            next += 1;
        }
        Ok(())
    }

    fn text(&self, old: &LoroText, new: &LoroText) -> LoroResult<()> {
        let at_of = positions(new.len_unicode(), |at| new.get_cursor(at, Side::Middle));
        // Own stretches, by the place in the new text that they come before.
        let mut inserts: Vec<(usize, String)> = Vec::new();
        let mut next = 0;
        for (letter, id) in old.to_string().chars().zip(ids(old.len_unicode(), |at| old.get_cursor(at, Side::Middle))) {
            let Some(id) = id else { continue };
            if let Some(there) = self.there(&at_of, id) {
                next = there + 1;
            } else if self.authors.is_own(id) {
                match inserts.last_mut().filter(|(at, _)| *at == next) {
                    Some((_, text)) => text.push(letter),
                    None => inserts.push((next, letter.into())),
                }
            }
        }
        inserts.sort_by_key(|(at, _)| *at);
        inserts.iter().rev().try_for_each(|(at, text)| new.insert(*at, text))
    }
}

fn container(child: Option<ValueOrContainer>) -> Option<Container> {
    child.and_then(|child| child.into_container().ok())
}

/// An empty container of the same kind.
fn like(old: &Container) -> Result<Container, CarryError> {
    match old {
        Container::Map(_) => Ok(Container::Map(LoroMap::new())),
        Container::List(_) => Ok(Container::List(LoroList::new())),
        Container::Text(_) => Ok(Container::Text(LoroText::new())),
        Container::Tree(_) | Container::MovableList(_) | Container::Counter(_) | Container::Unknown(_) => {
            Err(CarryError::Refused)
        }
    }
}

fn ids(len: usize, cursor: impl Fn(usize) -> Option<Cursor>) -> impl Iterator<Item = Option<ID>> {
    (0..len).map(move |at| cursor(at).and_then(|cursor| cursor.id))
}

fn positions(len: usize, cursor: impl Fn(usize) -> Option<Cursor>) -> Positions {
    ids(len, cursor).enumerate().filter_map(|(at, id)| Some(((id?.peer, id?.counter), at))).collect()
}
