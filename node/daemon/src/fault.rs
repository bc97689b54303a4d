//! Handles the loss of a mapped file's end, or of its disk, while it is in use, after all checks of the store.
//!
//! An access then causes a memory fault. The handler prints a message and ends the process with the exit code of a
//! damaged store.
//!
//! This is the only code of the program that runs in a signal handler, and the only place of this crate with `unsafe`.
#![expect(unsafe_code, reason = "a handler of signals needs the system's own calls")]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use cosmicsync_node::service::ErrorCode;

/// True if errors are written as JSON.
static JSON: AtomicBool = AtomicBool::new(false);

const TEXT: &[u8] = b"error: the store's file is damaged, or its disk failed while it was read\n \
    next: cosmicsync doctor; or restore a backup: cosmicsync --dir NEW_DIR backup restore FILE\n";
const OBJECT: &[u8] =
    b"{\"error\":{\"code\":\"store_damaged\",\"message\":\"the store's file is damaged, or its disk failed \
    while it was read\",\"next\":\"cosmicsync doctor\"}}\n";

/// Installs the handler of memory faults.
pub(crate) fn handle(json: bool) {
    JSON.store(json, Ordering::Relaxed);
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: `action` is a plain structure for which zeros are valid, and it is filled in before it is used. The
        // handler has the signature of a handler without SA_SIGINFO, and calls only async-signal-safe functions.
        // SA_ONSTACK runs it on the stack that the standard library gives every thread for this, and SA_RESETHAND lets
        // a second fault end the process.
        unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = told as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
            libc::sigemptyset(&raw mut action.sa_mask);
            // If this fails, the system ends the process as before.
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Prints the message and ends the process at once, because nothing in memory can be trusted.
extern "C" fn told(_signal: libc::c_int) {
    let message = if JSON.load(Ordering::Relaxed) { OBJECT } else { TEXT };
    // SAFETY: write and _exit are async-signal-safe, and the bytes are static.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::_exit(i32::from(ErrorCode::StoreDamaged.exit_code()));
    }
}
