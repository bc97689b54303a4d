//! Traps, not fakes: during a run, a call for the system's randomness or clock is caught at its origin. Loro draws
//! a peer id for every document that it makes. Two places make one: a function that overwrites the id before its
//! use, and, inside Loro, the code that reads the head of an update and drops the document at once.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "takes the place of three functions of the C library, for this test alone")]

use cosmicsync_sim::{Profile, generate, run};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

/// The only frames under which randomness may be asked for.
const GUARDED: [&str; 2] = ["cosmicsync_protocol::crdt::encode::fresh", "decode_updates_blob_meta"];
/// `RTLD_NEXT`.
const NEXT: *mut c_void = usize::MAX as *mut c_void;
/// The numbers of the system calls for randomness and clocks: `getrandom`, `clock_gettime`.
const WATCHED: [c_long; 2] = if cfg!(target_arch = "aarch64") { [278, 113] } else { [318, 228] };

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static GUARDED_CALLS: Cell<u64> = const { Cell::new(0) };
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Notes a call, if a run is under way on this thread.
fn note(name: &str) {
    if !ARMED.try_with(|armed| armed.replace(false)).unwrap_or(false) {
        return;
    }
    let trace = Backtrace::force_capture().to_string();
    if GUARDED.iter().any(|frame| trace.contains(frame)) {
        GUARDED_CALLS.set(GUARDED_CALLS.get() + 1);
    } else {
        CAUGHT.with_borrow_mut(|caught| caught.push(format!("{name}\n{trace}")));
    }
    ARMED.set(true);
}

fn next(name: &'static [u8]) -> *mut c_void {
    // SAFETY: the name ends in a zero byte, and the C library has the function that this one stands before.
    let found = unsafe { dlsym(NEXT, name.as_ptr().cast()) };
    assert!(!found.is_null(), "the C library has what it is asked for");
    found
}

#[unsafe(no_mangle)]
extern "C" fn getrandom(into: *mut c_void, len: usize, flags: c_uint) -> isize {
    note("getrandom");
    type Real = extern "C" fn(*mut c_void, usize, c_uint) -> isize;
    // SAFETY: the type is that of the C library's function of this name.
    let real: Real = unsafe { core::mem::transmute(next(b"getrandom\0")) };
    real(into, len, flags)
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: c_int, into: *mut c_void) -> c_int {
    note("clock_gettime");
    type Real = extern "C" fn(c_int, *mut c_void) -> c_int;
    // SAFETY: the type is that of the C library's function of this name.
    let real: Real = unsafe { core::mem::transmute(next(b"clock_gettime\0")) };
    real(clock, into)
}

#[unsafe(no_mangle)]
extern "C" fn syscall(no: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long {
    if WATCHED.contains(&no) {
        note("syscall");
    }
    type Real = extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
    // SAFETY: integers beyond those that a call has are ignored by it.
    let real: Real = unsafe { core::mem::transmute(next(b"syscall\0")) };
    real(no, a, b, c, d, e, f)
}

#[test]
fn but_where_a_document_is_made() {
    // Initial stores are made once for all runs, and the standard library draws once for each thread.
    let plan = generate(3, &Profile { peers: (2, 2), edits: (5, 5), faults: 3, ..Profile::default() });
    let before = run(&plan).unwrap();
    drop(std::collections::HashMap::<u8, u8>::new());
    ARMED.set(true);
    let report = run(&plan).unwrap();
    ARMED.set(false);
    assert_eq!(report.trace_hash, before.trace_hash);
    let caught = CAUGHT.take();
    assert!(caught.is_empty(), "{} calls, the first: {}", caught.len(), caught[0]);
    assert!(GUARDED_CALLS.get() > 0, "the trap itself must work");
}

#[test]
fn the_trap_closes() {
    ARMED.set(true);
    let now = std::time::SystemTime::now();
    ARMED.set(false);
    assert!(now > std::time::UNIX_EPOCH);
    assert_eq!(CAUGHT.take().len(), 1);
}
