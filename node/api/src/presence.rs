//! Presence: the state that clients of this node announce at a document while they are connected. Presence is neither
//! stored nor synced.

use core::fmt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// An announced presence.
#[derive(Debug)]
pub(crate) struct Present {
    /// The account, or the token if it has no account, as this node knows it.
    pub(crate) account: String,
    /// The announced state, such as a place in a text, a colour or a name.
    pub(crate) state: Value,
}

/// The clients at one document, by a number that each has while connected.
pub(crate) type People = BTreeMap<u64, Arc<Present>>;

/// The documents with present clients.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: Mutex<BTreeMap<String, watch::Sender<People>>>,
    next: AtomicU64,
}

impl Rooms {
    /// Joins a document. Dropping the seat leaves it.
    pub(crate) fn join(self: &Arc<Self>, document: String) -> Seat {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let changed = self.locked().entry(document.clone()).or_default().subscribe();
        Seat { rooms: Arc::clone(self), document, number, changed }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<People>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place at a document.
pub(crate) struct Seat {
    rooms: Arc<Rooms>,
    document: String,
    number: u64,
    /// Receives the clients at the document whenever they change.
    pub(crate) changed: watch::Receiver<People>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Seat {
    /// Returns the number that other clients see.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Returns a handle to announce the client's state.
    pub(crate) fn voice(&self) -> Voice {
        Voice { rooms: Arc::clone(&self.rooms), document: self.document.clone(), number: self.number }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.rooms.locked();
        let Some(room) = rooms.get(&self.document) else { return };
        room.send_if_modified(|people| people.remove(&self.number).is_some());
        // This seat's receiver is the last one.
        if room.receiver_count() <= 1 {
            rooms.remove(&self.document);
        }
    }
}

/// A handle to announce the state of a seat.
#[derive(Debug)]
pub(crate) struct Voice {
    rooms: Arc<Rooms>,
    document: String,
    number: u64,
}

impl Voice {
    /// Announces the state to all clients at the document.
    pub(crate) fn say(&self, present: Present) {
        if let Some(room) = self.rooms.locked().get(&self.document) {
            room.send_modify(|people| drop(people.insert(self.number, Arc::new(present))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_leaves_is_gone_and_an_empty_room_too() {
        let rooms = Arc::new(Rooms::default());
        let (ada, bob) = (rooms.join("d".to_owned()), rooms.join("d".to_owned()));
        ada.voice().say(Present { account: "ada".to_owned(), state: Value::Null });
        assert_eq!(bob.changed.borrow().len(), 1);
        let late = ada.voice();
        drop(ada);
        assert!(bob.changed.borrow().is_empty());
        drop(bob);
        assert!(rooms.locked().is_empty());
        // A client that has left announces nothing.
        late.say(Present { account: "ada".to_owned(), state: Value::Null });
        assert!(rooms.locked().is_empty());
    }
}
