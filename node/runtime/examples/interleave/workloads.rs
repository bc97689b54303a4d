//! The workloads: commands, cancellations, stops and kills at moments that the seed draws.

use super::dice::Dice;
use super::world::{Asked, COLLECTION, Outcome, World};
use cosmicsync_node::service::{Command, Query, Reply};
use std::future::Future;
use std::pin::Pin;

/// A workload: a number of hosts, and what happens to them.
pub(crate) struct Workload {
    /// The workload's name.
    pub(crate) name: &'static str,
    /// Returns the number of hosts.
    pub(crate) hosts: fn(&mut Dice) -> usize,
    /// Plays it. Ends at the first violation.
    pub(crate) play: for<'w> fn(&'w World) -> Played<'w>,
}

/// A workload under way.
type Played<'w> = Pin<Box<dyn Future<Output = Outcome> + 'w>>;

/// All workloads.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "cancelled-requests", hosts: |_| 2, play: |world| Box::pin(cancelled_requests(world)) },
    Workload { name: "stop-while-writing", hosts: |_| 2, play: |world| Box::pin(stop_while_writing(world)) },
    Workload { name: "restart-while-dialling", hosts: few, play: |world| Box::pin(restart_while_dialling(world)) },
    Workload { name: "store-fills-and-reopens", hosts: |_| 2, play: |world| Box::pin(store_fills(world)) },
    Workload { name: "peers-come-and-go", hosts: few, play: |world| Box::pin(peers_come_and_go(world)) },
    Workload { name: "followers-come-and-go", hosts: |_| 2, play: |world| Box::pin(followers_come_and_go(world)) },
    Workload { name: "kill-before-the-answer", hosts: few, play: |world| Box::pin(kill_before_the_answer(world)) },
    Workload { name: "join-is-cancelled", hosts: |_| 2, play: |world| Box::pin(join_is_cancelled(world)) },
];

fn few(dice: &mut Dice) -> usize {
    usize::try_from(dice.range(2, 5)).unwrap_or(2)
}

fn query() -> Query {
    Query { collection: COLLECTION.to_owned(), ..Query::default() }
}

/// Returns a command of some kind that changes no document.
fn some_command(world: &World) -> Command {
    match world.draw(0, 5) {
        0 => Command::WaitSync { space: None, timeout_ms: world.draw(0, 200) },
        1 => Command::Digest { space: None },
        2 => Command::Status {},
        3 => Command::Query(query()),
        4 => Command::CollectionList { space: None },
        _ => Command::Count { query: query(), by: None, measures: Vec::new() },
    }
}

/// Requests whose callers leave at any time: the others are answered, and the node serves on.
async fn cancelled_requests(world: &World) -> Outcome {
    world.found().await?;
    let mut asked: Vec<Asked> = Vec::new();
    for _ in 0..world.draw(20, 60) {
        let host = world.host();
        let begun = match world.draw(0, 3) {
            0 => world.put(host),
            1 => world.follow(host, Command::Live { query: query(), since: None }),
            _ => world.begin(host, some_command(world)),
        };
        match world.draw(0, 2) {
            0 => begun.cancel(),
            1 => asked.push(begun),
            _ => {
                world.pause_us(3_000).await;
                begun.cancel();
            }
        }
    }
    world.pause_us(20_000).await;
    asked.iter().filter(|_| world.draw(0, 1) == 0).for_each(Asked::cancel);
    let kept = world.put(0);
    World::answered(kept).await?;
    // Live queries end when their callers leave.
    asked.iter().for_each(Asked::cancel);
    world.end().await
}

/// A node that is told to stop while writes are under way: those that it acknowledged are there after a restart.
async fn stop_while_writing(world: &World) -> Outcome {
    world.found().await?;
    for _ in 0..world.draw(1, 3) {
        let host = world.host();
        let puts: Vec<Asked> = (0..world.draw(1, 12)).map(|_| world.put(host)).collect();
        world.pause_us(8_000).await;
        let ends = world.hosts[host].ends.borrow().len();
        world.fault();
        let twice = world.draw(0, 2) == 0;
        let first = world.begin(host, Command::Shutdown {});
        let second = twice.then(|| world.begin(host, Command::Shutdown {}));
        let late: Vec<Asked> = (0..world.draw(0, 4)).map(|_| world.put(host)).collect();
        World::answered(first).await?;
        world.ended(host, ends).await?;
        world.hosts[host].start();
        for one in puts.into_iter().chain(late).chain(second) {
            World::answered(one).await?;
        }
        world.hosts[host].node().await;
    }
    world.end().await
}

/// Nodes that are killed while others dial them, and while they dial.
async fn restart_while_dialling(world: &World) -> Outcome {
    world.found().await?;
    for _ in 0..world.draw(2, 6) {
        let host = world.host();
        world.bounce(host, 400_000).await;
        let other = world.host();
        let put = world.put(other);
        world.pause_us(300_000).await;
        World::answered(put).await?;
    }
    world.end().await
}

/// Commands that meet a store without room, one that reopens, and a node that stops meanwhile.
async fn store_fills(world: &World) -> Outcome {
    world.found().await?;
    for _ in 0..world.draw(1, 3) {
        let host = world.host();
        let mut puts: Vec<Asked> = (0..world.draw(1, 6)).map(|_| world.put(host)).collect();
        world.pause_us(4_000).await;
        world.fault();
        world.hosts[host].platter.borrow_mut().fill();
        puts.extend((0..world.draw(1, 6)).map(|_| world.put(host)));
        world.pause_us(900_000).await;
        let stops = world.draw(0, 3) == 0;
        let ends = world.hosts[host].ends.borrow().len();
        let stop = stops.then(|| world.begin(host, Command::Shutdown {}));
        world.pause_us(300_000).await;
        world.hosts[host].platter.borrow_mut().clear();
        puts.extend((0..world.draw(1, 6)).map(|_| world.begin(host, some_command(world))));
        if let Some(stop) = stop {
            World::answered(stop).await?;
            world.ended(host, ends).await?;
            world.hosts[host].start();
        }
        for put in puts {
            World::answered(put).await?;
        }
    }
    world.end().await
}

/// Addresses that are added and removed, and links that are paused, while they are dialled.
async fn peers_come_and_go(world: &World) -> Outcome {
    world.found().await?;
    let mut asked = Vec::new();
    for _ in 0..world.draw(8, 30) {
        let (host, other) = (world.host(), world.host());
        let address = world.hosts[other].address();
        let command = match world.draw(0, 3) {
            0 if other != host => Command::PeerAdd { address },
            1 if other != host => Command::PeerRemove { address },
            2 => Command::PeerPause {},
            _ => Command::PeerResume {},
        };
        asked.push(world.begin(host, command));
        asked.extend((world.draw(0, 3) == 0).then(|| world.put(host)));
        world.pause_us(20_000).await;
    }
    for one in asked {
        World::answered(one).await?;
    }
    for host in 0..world.hosts.len() {
        world.done(host, Command::PeerResume {}).await?;
    }
    // Addresses that are removed while they are dialled get no link.
    for _ in 0..world.draw(2, 8) {
        let (host, other) = (world.host(), world.host());
        if host != other {
            world.done(host, Command::PeerAdd { address: world.hosts[other].address() }).await?;
            world.pause_us(3_000).await;
            world.part(host).await?;
        }
    }
    for host in 0..world.hosts.len() {
        world.part(host).await?;
    }
    world.parted().await?;
    for host in 0..world.hosts.len() {
        world.meet(host).await?;
    }
    world.end().await
}

/// Live queries and watches that begin and end while documents change.
async fn followers_come_and_go(world: &World) -> Outcome {
    world.found().await?;
    let mut followers: Vec<Asked> = Vec::new();
    for _ in 0..world.draw(10, 30) {
        let host = world.host();
        let watch = Command::DocWatch { space: None, collection: None, doc: None, since: None };
        match world.draw(0, 3) {
            0 => followers.push(world.follow(host, Command::Live { query: query(), since: None })),
            1 => followers.push(world.follow(host, watch)),
            2 => World::answered(world.put(host)).await?,
            _ if !followers.is_empty() => {
                let at = usize::try_from(world.draw(0, followers.len() as u64 - 1)).unwrap_or(0);
                followers.swap_remove(at).cancel();
            }
            _ => world.pause_us(5_000).await,
        }
    }
    let reply = world.done(0, Command::Count { query: query(), by: None, measures: Vec::new() }).await?;
    world.must(matches!(reply, Reply::Counted { .. }), || format!("no count but {reply:?}"))?;
    // A node stops though others still follow it.
    world.end().await
}

/// Nodes that are killed between a write and its answer.
async fn kill_before_the_answer(world: &World) -> Outcome {
    world.found().await?;
    for _ in 0..world.draw(2, 6) {
        let host = world.host();
        let puts: Vec<Asked> = (0..world.draw(1, 10)).map(|_| world.put(host)).collect();
        world.pause_us(6_000).await;
        world.bounce(host, 50_000).await;
        for put in puts {
            World::answered(put).await?;
        }
    }
    world.end().await
}

/// A device that gives up joining at any time, and joins by another invite.
async fn join_is_cancelled(world: &World) -> Outcome {
    let node = world.hosts[0].node().await;
    node.found("somebody").await.map_err(|error| format!("no user: {error}"))?;
    drop(node);
    world.done(0, Command::SpaceCreate { name: "home".to_owned() }).await?;
    World::answered(world.put(0)).await?;
    for _ in 0..world.draw(1, 3) {
        let join = world.begin(1, world.invited().await?);
        world.pause_us(30_000).await;
        join.cancel();
        if world.draw(0, 3) == 0 {
            world.bounce(1, 5_000).await;
        }
    }
    // An earlier join may have come to its end unheard.
    let joined = world.join(1).await?;
    let listed = world.done(1, Command::SpaceList {}).await?;
    let member = matches!(&listed, Reply::Spaces(spaces) if !spaces.is_empty());
    world.must(joined.is_ok() || member, || format!("h1 cannot join: {joined:?}"))?;
    world.meet(1).await?;
    World::answered(world.put(1)).await?;
    world.end().await
}
