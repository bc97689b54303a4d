//! Detects panics of this thread, including those of tasks, which would go unnoticed.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A watch for panics.
#[derive(Debug)]
pub(crate) struct Panics;

/// Watches this thread from now on.
pub(crate) fn watch() -> Panics {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            SEEN.with(|seen| seen.borrow_mut().get_or_insert_with(|| format!("panic: {info}")).len());
            previous(info);
        }));
    });
    SEEN.with(RefCell::take);
    Panics
}

impl Panics {
    /// Returns the first panic since the watch began.
    pub(crate) fn first(&self) -> Option<String> {
        SEEN.with(RefCell::take)
    }
}
