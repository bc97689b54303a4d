//! Slow readers, much data, many hosts.

use super::super::Outcome;
use super::super::host::Pace;
use super::super::world::World;
use super::{BACK_MS, HEALED_MS, SOON_MS};
use cosmicsync_node::service::Command;
use std::time::Duration;

/// One host reads slowly. It delays no other host, and the data that waits for it is bounded.
pub(super) fn slow_reader(world: &mut World) -> Outcome {
    world.found()?;
    let bytes = usize::try_from(world.dice.range(150, 1_500)).unwrap_or(150);
    world.hosts[1].pace.set(Some(Pace { bytes, every: Duration::from_millis(20) }));
    world.put_each(&[0], 30, 10_000);
    world.all_put()?;
    let began_ms = world.now_ms();
    loop {
        world.done(0, Command::Status {})?;
        if world.holds_acked(2, &[0]).is_ok() {
            break;
        }
        world.must(world.now_ms() < began_ms + SOON_MS, "who reads slowly is waited for")?;
        world.run_ms(100)?;
    }
    // Four segments of 64,000 bytes, and one that is being read.
    world.must(world.tape.under_way_max() <= 5 * 64_000, "more is under way than the streams hold")?;
    world.run_ms(5_000)?;
    world.hosts[1].pace.set(None);
    world.end(BACK_MS)
}

/// Large documents pass through streams with small buffers: first one way, then both ways while commands are answered.
pub(super) fn large_documents(world: &mut World) -> Outcome {
    world.found()?;
    let sender = world.dice.index(2);
    world.put_each(&[sender], 5, 240_000);
    world.all_put()?;
    let began_ms = world.now_ms();
    while world.holds_acked(1 - sender, &[sender]).is_err() {
        world.must(world.now_ms() < began_ms + SOON_MS, "a transfer goes on by itself")?;
        world.run_ms(100)?;
    }
    world.put_each(&[0, 1], 2, 240_000);
    for _ in 0..4 {
        let ms = world.dice.range(10, 300);
        world.run_ms(ms)?;
        for host in [0, 1] {
            let begun_ms = world.now_ms();
            world.done(host, Command::PeerList {})?;
            world.must(world.now_ms() <= begun_ms + 500, "a command is answered beside a transfer")?;
        }
    }
    world.put_each(&[0, 1], 3, 200);
    world.end(BACK_MS)
}

/// Some peers are near, and some are very far.
pub(super) fn uneven_latency(world: &mut World) -> Outcome {
    world.found()?;
    for host in 1..4 {
        let ms = [world.dice.range(1, 10), world.dice.range(50, 300), world.dice.range(600, 1_200)][host - 1];
        world.latency(0, host, ms);
    }
    world.put_each(&[0, 1, 2, 3], 3, 2_000);
    let ms = world.dice.range(0, 2_000);
    world.run_ms(ms)?;
    let bounced = world.dice.index(4);
    world.crash(bounced);
    world.start(bounced);
    world.put_each(&[0, 1, 2, 3], 2, 2_000);
    world.end(HEALED_MS)
}

/// Many hosts around one; all of them write, and some of them crash, including the central one.
pub(super) fn many_hosts_star(world: &mut World) -> Outcome {
    world.found()?;
    let all: Vec<_> = (0..world.hosts.len()).collect();
    world.put_each(&all, 2, 300);
    let leaf = 1 + world.dice.index(all.len() - 1);
    for host in [leaf, 0] {
        let ms = world.dice.range(0, 1_500);
        world.run_ms(ms)?;
        world.crash(host);
        world.put_each(&all, 1, 300);
        let ms = world.dice.range(0, 3_000);
        world.run_ms(ms)?;
        world.start(host);
    }
    world.put_each(&all, 1, 300);
    world.end(HEALED_MS)
}
