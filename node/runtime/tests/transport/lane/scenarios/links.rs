//! Links that break, stall, are refused or made twice.

use super::super::Outcome;
use super::super::host::Job;
use super::super::world::{ANSWER_MS, World};
use super::{BACK_MS, HEALED_MS, SOON_MS};
use cosmicsync_node::service::{Command, ErrorCode, Query, Reply};

/// The network splits into two parts, which both continue, and heals.
pub(super) fn partition_heal(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1, 2], 3, 200);
    world.converge(SOON_MS)?;
    let alone = world.dice.index(3);
    let others: Vec<_> = (0..3).filter(|host| *host != alone).collect();
    world.cut(&[alone], &others);
    world.put_each(&[0, 1, 2], 3, 200);
    let ms = world.dice.range(1_000, 45_000);
    world.run_ms(ms)?;
    world.put_each(&[0, 1, 2], 1, 200);
    world.all_put()?;
    world.heal();
    world.end(HEALED_MS)
}

/// One direction of a link is silent.
pub(super) fn one_way_cut(world: &mut World) -> Outcome {
    world.found()?;
    let from = world.dice.index(2);
    world.put_each(&[0, 1], 2, 200);
    let ms = world.dice.range(0, 200);
    world.run_ms(ms)?;
    world.cut_one_way(from, 1 - from);
    world.put_each(&[0, 1], 3, 200);
    let ms = world.dice.range(1_000, 50_000);
    world.run_ms(ms)?;
    world.heal();
    world.end(HEALED_MS)
}

/// A link delivers nothing for a while, then everything.
pub(super) fn stalled_link(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 2, 200);
    world.converge(SOON_MS)?;
    world.hold(0, 1);
    world.put_each(&[0, 1], 3, 2_000);
    let ms = world.dice.range(1_000, 40_000);
    world.run_ms(ms)?;
    world.release(0, 1);
    world.end(HEALED_MS)
}

/// A process crashes and its peer is not told; the next process is a second one of the same device.
pub(super) fn half_open_link(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 2, 200);
    world.converge(SOON_MS)?;
    world.cut(&[0], &[1]);
    world.crash(1);
    let ms = world.dice.range(10, 5_000);
    world.run_ms(ms)?;
    world.heal();
    world.start(1);
    world.put_each(&[0, 1], 2, 200);
    world.converge(SOON_MS)?;
    world.end(HEALED_MS)
}

/// Two hosts dial each other at the same moment, again and again.
pub(super) fn simultaneous_dial(world: &mut World) -> Outcome {
    world.found()?;
    for _ in 0..3 {
        for host in [0, 1] {
            world.done(host, Command::PeerPause {})?;
        }
        world.put_each(&[0, 1], 1, 100);
        let ms = world.dice.range(1, 3_000);
        world.run_ms(ms)?;
        let resumed = [0, 1].map(|host| world.ask(host, Job::Command(Command::PeerResume {})));
        for host in [0, 1] {
            let resumed = world.answer(host, resumed[host], ANSWER_MS)?;
            world.must(resumed.is_ok(), "links are resumed")?;
        }
        world.converge(SOON_MS)?;
    }
    for host in [0, 1] {
        world.crash(host);
    }
    for host in [0, 1] {
        world.start(host);
    }
    world.end(BACK_MS)
}

/// A host starts long after it was first dialled.
pub(super) fn dial_refused_then_up(world: &mut World) -> Outcome {
    world.found()?;
    world.crash(0);
    let ms = world.dice.range(500, 80_000);
    world.start_later(0, ms);
    world.put_each(&[1], 3, 200);
    world.run_ms(ms)?;
    world.end(BACK_MS)
}

/// A dialled address neither answers nor refuses. The dial is abandoned and repeated.
pub(super) fn dial_hangs(world: &mut World) -> Outcome {
    world.found()?;
    world.hold(0, 1);
    world.crash(1);
    world.start(1);
    world.put_each(&[0, 1], 2, 200);
    let before = world.tape.dials(1);
    world.run_ms(35_000)?;
    let dials = world.tape.dials(1) - before;
    world.must((2..=6).contains(&dials), "a dial that hangs is given up after 10 s and made again")?;
    world.release(0, 1);
    world.end(HEALED_MS)
}

/// After a good link, the next dial comes at once, however many dials failed before.
pub(super) fn redial_after_a_good_link(world: &mut World) -> Outcome {
    world.found()?;
    world.crash(0);
    let ms = world.dice.range(60_000, 100_000);
    world.start_later(0, ms);
    world.run_ms(ms)?;
    world.until("the link is back", BACK_MS, |world| world.tape.streams(1, Some(0)) == 1)?;
    world.put_each(&[0, 1], 2, 200);
    world.run_ms(5_000)?;
    world.crash(0);
    world.start(0);
    let before = world.tape.dials(1);
    world.until("it is dialled again", 1_500, |world| world.tape.dials(1) > before)?;
    world.end(SOON_MS)
}

/// Many addresses refuse, and only two links are allowed.
pub(super) fn refused_dials(world: &mut World) -> Outcome {
    world.found()?;
    for port in 5_000..5_006 {
        world.done(1, Command::PeerAdd { address: format!("h0:{port}") })?;
    }
    world.put_each(&[0, 1], 2, 200);
    let ms = world.dice.range(5_000, 15_000);
    world.run_ms(ms)?;
    world.crash(0);
    world.start(0);
    world.put_each(&[0, 1], 2, 200);
    world.converge(BACK_MS)?;
    for port in 5_000..5_006 {
        world.done(1, Command::PeerRemove { address: format!("h0:{port}") })?;
    }
    world.end(SOON_MS)
}

/// An address is removed while it is being dialled. The dial must not become a link.
pub(super) fn removed_while_dialled(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 1, 200);
    world.converge(SOON_MS)?;
    world.hold(0, 1);
    world.crash(1);
    world.start(1);
    let before = world.tape.dials(1);
    world.until("it dials", SOON_MS, |world| world.tape.dials(1) > before)?;
    let Reply::Peers(peers) = world.done(1, Command::PeerList {})? else { return Err("no peers".to_owned()) };
    let address = peers.into_iter().find(|peer| peer.dialled).map(|peer| peer.address).unwrap_or_default();
    world.done(1, Command::PeerRemove { address: address.clone() })?;
    let ms = world.dice.range(0, 5_000);
    world.run_ms(ms)?;
    world.release(0, 1);
    world.run_ms(5_000)?;
    world.must(world.tape.streams(1, None) == 0, "an address that was removed has no link")?;
    world.put_each(&[0, 1], 1, 200);
    world.done(1, Command::PeerAdd { address })?;
    world.end(BACK_MS)
}

/// A wait for a sync that does not come ends in time, and a cancelled wait leaves nothing behind.
pub(super) fn waits_run_out(world: &mut World) -> Outcome {
    world.found()?;
    world.put_each(&[0, 1], 1, 200);
    world.converge(SOON_MS)?;
    world.cut(&[0], &[1]);
    world.put_each(&[0, 1], 2, 200);
    world.all_put()?;
    let timeout_ms = world.dice.range(200, 6_000);
    for host in [0, 1] {
        let long = Command::WaitSync { space: None, timeout_ms: 600_000 };
        let waits: Vec<_> = (0..5).map(|_| world.ask(host, Job::Command(long.clone()))).collect();
        let begun_ms = world.now_ms();
        let wait = world.ask(host, Job::Command(Command::WaitSync { space: None, timeout_ms }));
        let waited = world.answer(host, wait, timeout_ms + 200)?;
        world.must(waited.is_err_and(|error| error.code == ErrorCode::TimedOut), "a wait runs out")?;
        world.must(world.now_ms() >= begun_ms + timeout_ms, "a wait is as long as was asked for")?;
        waits.into_iter().for_each(|wait| world.hosts[host].cancel(wait));
    }
    world.heal();
    world.converge(HEALED_MS)?;
    world.end(BACK_MS)
}

/// Clients with very many live queries disconnect at once, repeatedly. Afterwards the queries cost nothing.
pub(super) fn followers_leave(world: &mut World) -> Outcome {
    world.found()?;
    let host = world.dice.index(2);
    world.put(host, 100);
    for _ in 0..2 {
        let followed: Vec<_> = (0..900).map(|_| world.ask(host, live())).collect();
        let ms = world.dice.range(300, 2_000);
        world.run_ms(ms)?;
        followed.into_iter().for_each(|id| world.hosts[host].cancel(id));
        world.run_ms(100)?;
    }
    // Nothing changed meanwhile, so a query that was not cancelled would still wait, and would be examined now.
    let before = world.hosts[host].platter.borrow().requests;
    world.put(host, 100);
    world.all_put()?;
    world.run_ms(500)?;
    let more = world.hosts[host].platter.borrow().requests - before;
    world.must(more <= 100, &format!("who went away costs nothing any more, and not {more} reads"))?;
    world.put_each(&[0, 1], 2, 100);
    world.end(SOON_MS)
}

fn live() -> Job {
    let query = Query { collection: "c".to_owned(), ..Query::default() };
    Job::Follow(Command::Live { query, since: None })
}

/// More clients follow live queries than requests may run. Waiting for changes must not block writes.
pub(super) fn many_followers(world: &mut World) -> Outcome {
    world.found()?;
    let host = world.dice.index(2);
    world.put(host, 100);
    let followed: Vec<_> = (0..1_200).map(|_| world.ask(host, live())).collect();
    world.run_ms(3_000)?;
    world.put(host, 100);
    world.all_put()?;
    world.put_each(&[0, 1], 2, 100);
    world.converge(SOON_MS)?;
    followed.into_iter().for_each(|id| world.hosts[host].cancel(id));
    world.end(SOON_MS)
}
