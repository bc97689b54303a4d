//! Processes and stores that fail at any moment.

use super::super::Outcome;
use super::super::host::Job;
use super::super::world::{JOIN_MS, World};
use super::{BACK_MS, HEALED_MS, SOON_MS};
use cosmicsync_node::service::{Command, Reply};

/// A host crashes while commits are in progress. Its acknowledged writes must remain.
pub(super) fn crash_before_flush(world: &mut World) -> Outcome {
    world.found()?;
    for _ in 0..3 {
        let host = world.dice.index(2);
        world.hosts[host].platter.borrow_mut().slow_us = world.dice.range(1_000, 30_000);
        world.put_each(&[host], 8, 300);
        let acked = world.acked() + world.dice.index(7);
        world.until("some puts are acknowledged", SOON_MS, |world| world.acked() >= acked)?;
        let untold = world.dice.one_in(2);
        let ripe = |world: &World| {
            let platter = world.hosts[host].platter.borrow();
            if untold { platter.has_unreported() } else { platter.pending() > 0 }
        };
        // There may be nothing left to commit.
        drop(world.until("a commit is under way", 200, ripe));
        world.crash(host);
        let ms = world.dice.range(0, 3_000);
        world.run_ms(ms)?;
        world.start(host);
        world.holds_acked(host, &[host])?;
    }
    world.end(BACK_MS)
}

/// The receiver of much data restarts several times.
pub(super) fn bounce_mid_transfer(world: &mut World) -> Outcome {
    world.found()?;
    let sender = world.dice.index(2);
    world.put_each(&[sender], 6, 60_000);
    for _ in 0..3 {
        let ms = world.dice.range(20, 1_200);
        world.run_ms(ms)?;
        world.crash(1 - sender);
        let ms = world.dice.range(0, 400);
        world.run_ms(ms)?;
        world.start(1 - sender);
    }
    world.put_each(&[sender], 1, 60_000);
    world.end(BACK_MS)
}

/// A host is stopped while it sends or receives much data.
pub(super) fn stop_while_syncing(world: &mut World) -> Outcome {
    world.found()?;
    let (sender, stopped) = (world.dice.index(2), world.dice.index(2));
    world.put_each(&[sender], 6, 50_000);
    let ms = world.dice.range(4, 500);
    world.run_ms(ms)?;
    let stop = world.ask(stopped, Job::Command(Command::Shutdown {}));
    world.await_stop(stopped, stop)?;
    let ms = world.dice.range(0, 2_000);
    world.run_ms(ms)?;
    world.start(stopped);
    world.holds_acked(stopped, &[stopped])?;
    world.end(BACK_MS)
}

/// A store has no room for a while. The node continues by itself once there is room.
pub(super) fn store_fills_up(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 2, 200);
    world.converge(SOON_MS)?;
    let host = world.dice.index(2);
    world.put_each(&[host], 4, 300);
    let ms = world.dice.range(0, 60);
    world.run_ms(ms)?;
    world.hosts[host].platter.borrow_mut().fill();
    world.put_each(&[0, 1], 3, 300);
    let ms = world.dice.range(500, 12_000);
    world.run_ms(ms)?;
    world.hosts[host].platter.borrow_mut().clear();
    world.all_put()?;
    let acked = world.acked();
    world.run_ms(5_000)?;
    world.put_each(&[host], 2, 300);
    world.all_put()?;
    world.must(world.acked() == acked + 2, "a node with room again takes writes")?;
    world.holds_acked(host, &[host])?;
    world.end(BACK_MS)
}

/// A host whose store has no room is stopped, or crashes. It comes back once there is room.
pub(super) fn end_without_room(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 2, 200);
    world.converge(SOON_MS)?;
    let host = world.dice.index(2);
    world.hosts[host].platter.borrow_mut().fill();
    world.put_each(&[0, 1], 3, 300);
    let ms = world.dice.range(20, 6_000);
    world.run_ms(ms)?;
    if world.dice.one_in(2) {
        world.stop(host)?;
    } else {
        world.crash(host);
    }
    world.hosts[host].platter.borrow_mut().clear();
    let ms = world.dice.range(0, 2_000);
    world.run_ms(ms)?;
    world.start(host);
    world.holds_acked(host, &[host])?;
    world.end(BACK_MS)
}

/// A host that is stopped says so, so its peers do not see a broken link. Bytes that they send meanwhile may reset the
/// connection, as closing a socket with unread bytes does; then they are not told.
pub(super) fn stop_says_so(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 2, 200);
    world.converge(SOON_MS)?;
    let busy = world.dice.one_in(2);
    if busy {
        world.put_each(&[0, 1], 3, 50_000);
    }
    let ms = world.dice.range(0, 300);
    world.run_ms(ms)?;
    let stop = world.ask(0, Job::Command(Command::Shutdown {}));
    world.until("the link ends", SOON_MS, |world| world.tape.streams(1, Some(0)) == 0)?;
    let Reply::Peers(peers) = world.done(1, Command::PeerList {})? else { return Err("no peers".to_owned()) };
    let why = peers.into_iter().find_map(|peer| peer.error).unwrap_or_default();
    let told = why.contains("ShuttingDown") || (busy && why == "the connection broke");
    world.must(told, &format!("the peer was told why the link ends, and not this: {why}"))?;
    world.await_stop(0, stop)?;
    world.start(0);
    world.end(BACK_MS)
}

/// A join is interrupted, at any moment and by any fault. It is answered unless its own host crashed, and another join
/// succeeds.
pub(super) fn join_interrupted(world: &mut World) -> Outcome {
    world.found_alone()?;
    world.put_each(&[0], 3, 200);
    let join = world.begin_join(1)?;
    let ms = world.dice.range(0, 250);
    world.run_ms(ms)?;
    let fault = world.dice.index(4);
    let ms = world.dice.range(0, 20_000);
    match fault {
        0 | 1 => {
            world.crash(fault);
            world.run_ms(ms / 10)?;
            world.start(fault);
        }
        2 => {
            world.cut(&[0], &[1]);
            world.run_ms(ms)?;
            world.heal();
        }
        _ => {
            world.hold(0, 1);
            world.run_ms(ms)?;
            world.release(0, 1);
        }
    }
    if fault != 1 {
        // With either result.
        drop(world.answer(1, join, JOIN_MS)?);
    }
    let Reply::Spaces(spaces) = world.done(1, Command::SpaceList {})? else { return Err("no spaces".to_owned()) };
    if spaces.is_empty() {
        world.join(1)?;
    } else {
        // The device may have joined without learning an address to dial.
        let address = world.hosts[0].address();
        world.done(1, Command::PeerAdd { address })?;
    }
    world.end(HEALED_MS)
}
