//! The last line behind the checks of a store: a file that is mapped can lose its end, or its disk, while it is in use.
//! What touches it then is a fault of memory; it is told in words and ends the process with the code of a damaged store.
//!
//! The only code of the program that runs in a signal handler, and the only place of this crate with `unsafe`.
#![expect(unsafe_code, reason = "a handler of signals needs the system's own calls")]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use cosmicsync_node::service::ErrorCode;

/// Errors are written as JSON.
static JSON: AtomicBool = AtomicBool::new(false);

const TEXT: &[u8] = b"error: the store's file is damaged, or its disk failed while it was read\n \
    next: cosmicsync doctor; or restore a backup: cosmicsync --dir NEW_DIR backup restore FILE\n";
const OBJECT: &[u8] =
    b"{\"error\":{\"code\":\"store_damaged\",\"message\":\"the store's file is damaged, or its disk failed \
    while it was read\",\"next\":\"cosmicsync doctor\"}}\n";

/// Handles faults of memory from now on.
pub(crate) fn handle(json: bool) {
    JSON.store(json, Ordering::Relaxed);
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: `action` is a plain structure for which zeros are valid, and it is filled in before it is used. The handler
        // has the signature that a handler without SA_SIGINFO has, and calls only what a handler may call. SA_ONSTACK runs it
        // on the stack that the standard library gives every thread for this, SA_RESETHAND lets a second fault end the process.
        unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = told as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
            libc::sigemptyset(&raw mut action.sa_mask);
            // Without a handler it is as it was: the system ends the process.
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Says what happened and ends the process at once: nothing that is in memory can be trusted.
extern "C" fn told(_signal: libc::c_int) {
    let message = if JSON.load(Ordering::Relaxed) { OBJECT } else { TEXT };
    // SAFETY: write and _exit are among the calls that a handler may make; the bytes are static.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::_exit(i32::from(ErrorCode::StoreDamaged.exit_code()));
    }
}
