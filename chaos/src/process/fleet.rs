//! The peers and links of a run, as the plan lays them out, and the threads that keep them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cosmicsync_sim::plan::{Act, Bodies, Disk, Link, Plan};
use serde_json::{Value, json};

use super::host::Host;
use super::peer::{Image, Peer};
use super::proxy::{Carried, Proxy};

/// Lifetime of an invite, in milliseconds.
const INVITE_MS: u64 = 600_000;
/// Longest time for all peers to have joined and agreed, in milliseconds.
const JOINED_MS: u64 = 120_000;
/// Size of the small disk of a peer whose disk fills up, in bytes.
const DISK_BYTES: u64 = 64 << 20;

/// Peers and links. Dropping it ends all processes.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The peers, by number.
    pub(super) peers: Vec<Arc<Peer>>,
    /// The links, by number.
    pub(super) wires: Arc<Vec<Wire>>,
    /// Start of the first action.
    pub(super) began: Instant,
    keepers: Vec<Keeper>,
    troubles: Arc<Mutex<Vec<String>>>,
}

/// A link and its proxy.
#[derive(Debug)]
pub(super) struct Wire {
    /// The link of the plan.
    pub(super) link: Link,
    /// Its proxy.
    pub(super) proxy: Proxy,
}

/// Something done to a process. The deeds of one peer follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Start,
    Kill,
    Stop,
    Pause,
    Proceed,
    Keep,
    PutBack(Image),
    CloneOf(usize),
    Fill,
    MakeRoom,
    Bodies(Bodies),
}

#[derive(Debug)]
struct Keeper {
    deeds: mpsc::Sender<Deed>,
    thread: JoinHandle<()>,
}

/// Programs of the peers.
#[derive(Debug)]
pub(super) struct Paths {
    /// Program of those without another.
    pub(super) program: PathBuf,
    /// Programs of single peers.
    pub(super) others: BTreeMap<usize, PathBuf>,
}

impl Paths {
    fn of(&self, peer: usize) -> &Path {
        self.others.get(&peer).unwrap_or(&self.program)
    }
}

/// Programs of the peers, the directory of the run, and the machine's abilities.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    /// The programs.
    pub(super) paths: &'a Paths,
    /// The directory.
    pub(super) root: PathBuf,
    /// The abilities.
    pub(super) host: &'a Host,
}

impl Wire {
    /// Sets the quality that the link has without faults.
    pub(super) fn restore(&self) {
        let Link { latency_us, jitter_us, bandwidth, .. } = self.link;
        self.proxy.quality(Duration::from_micros(latency_us), Duration::from_micros(jitter_us), bandwidth);
    }
}

impl Fleet {
    /// Starts all peers, has them join the space of peer 0, and connects them by their links.
    pub(super) fn assemble(plan: &Plan, ground: &Ground<'_>) -> Result<Self, String> {
        let peers: Vec<_> = (0..plan.peers.len())
            .map(|number| Arc::new(Peer::new(number, ground.paths.of(number), &ground.root)))
            .collect();
        let mut wires = Vec::new();
        for (at, link) in plan.links.iter().enumerate() {
            let buffer = usize::try_from(link.buffer.get()).unwrap_or(usize::MAX);
            let proxy = Proxy::listen(plan.seed ^ at as u64, buffer).map_err(|error| format!("a proxy: {error}"))?;
            wires.push(Wire { link: link.clone(), proxy });
        }
        for action in &plan.actions {
            if let Act::FailStore { peer, .. } = action.act
                && ground.host.no_disks.is_none()
                && !peers[peer].dir.parent().is_some_and(Path::exists)
            {
                peers[peer].mount(DISK_BYTES).map_err(|error| format!("peer {peer}: a small disk: {error}"))?;
            }
        }
        let troubles = Arc::new(Mutex::new(Vec::new()));
        let mut fleet = Self { peers, wires: Arc::new(wires), began: Instant::now(), keepers: Vec::new(), troubles };
        fleet.join(plan)?;
        fleet.connect(plan)?;
        fleet.keepers = (0..fleet.peers.len()).map(|number| fleet.keeper(number)).collect();
        for wire in fleet.wires.iter() {
            wire.restore();
            wire.proxy.take_down(wire.link.idle);
        }
        fleet.began = Instant::now();
        Ok(fleet)
    }

    fn join(&self, plan: &Plan) -> Result<(), String> {
        let (first, others) = self.peers.split_first().ok_or("no peers")?;
        for peer in &self.peers {
            std::fs::create_dir_all(peer.dir.parent().unwrap_or(&peer.dir)).map_err(|error| error.to_string())?;
        }
        // Only a device that was created founds spaces; the others get their user as they join.
        let mut init = std::process::Command::new(&first.program);
        init.arg("--dir").arg(&first.dir).args(["init", "--name", "peer 0"]).stdout(std::process::Stdio::null());
        let output = init.output().map_err(|error| format!("{}: {error}", first.program.display()))?;
        if !output.status.success() {
            return Err(format!("peer 0: init: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        started(first, &self.wires)?;
        first.ask("space_create", json!({ "name": "home" }))?;
        for peer in others {
            if is_clone(plan, peer.number) {
                continue;
            }
            let invite = first.ask("space_invite", json!({ "expires_ms": INVITE_MS }))?;
            started(peer, &self.wires)?;
            peer.ask("space_join", json!({ "invite": invite.get("invite").cloned().unwrap_or_default() }))?;
            for address in addresses(peer)? {
                peer.ask("peer_remove", json!({ "address": address }))?;
            }
        }
        Ok(())
    }

    /// Has each peer dial its links, and waits until all that dial have agreed.
    fn connect(&self, plan: &Plan) -> Result<(), String> {
        for wire in self.wires.iter() {
            let from = &self.peers[wire.link.from];
            if from.pid().is_some() {
                from.ask("peer_add", json!({ "address": wire.proxy.address.to_string() }))?;
            }
        }
        let linked = |number| self.wires.iter().any(|wire| wire.link.from == number || wire.link.to == number);
        for peer in &self.peers {
            if peer.pid().is_some() && linked(peer.number) {
                peer.ask("wait_sync", json!({ "timeout_ms": JOINED_MS / 5 }))?;
            }
        }
        for (peer, planned) in self.peers.iter().zip(&plan.peers) {
            if peer.pid().is_none() {
                continue;
            }
            set_bodies(peer, planned.bodies)?;
            if planned.absent {
                peer.stop()?;
                lead(&self.wires, peer.number, None);
            }
            peer.keep(Image::Initial).map_err(|error| format!("peer {}: a copy: {error}", peer.number))?;
        }
        Ok(())
    }

    fn keeper(&self, number: usize) -> Keeper {
        let (deeds, received) = mpsc::channel();
        let (peers, wires) = (self.peers.clone(), Arc::clone(&self.wires));
        let (troubles, began) = (Arc::clone(&self.troubles), self.began);
        let thread = thread::spawn(move || {
            for deed in received {
                if let Err(trouble) = carry_out(deed, number, &peers, &wires, began) {
                    troubles.lock().unwrap_or_else(PoisonError::into_inner).push(trouble);
                }
            }
        });
        Keeper { deeds, thread }
    }

    /// Does something to a peer's process, after what was asked for before.
    pub(super) fn ask(&self, peer: usize, deed: Deed) {
        if let Some(keeper) = self.keepers.get(peer) {
            // A keeper ends only with its fleet.
            let _ = keeper.deeds.send(deed);
        }
    }

    /// Waits until all deeds are done; returns the failures.
    pub(super) fn settle(&mut self) -> Vec<String> {
        for Keeper { deeds, thread } in self.keepers.drain(..) {
            drop(deeds);
            if thread.join().is_err() {
                self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push("a keeper panicked".to_owned());
            }
        }
        std::mem::take(&mut *self.troubles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the sums over all links.
    pub(super) fn carried(&self) -> Carried {
        self.wires.iter().map(|wire| wire.proxy.carried()).fold(Carried::default(), |sum, one| Carried {
            connections: sum.connections + one.connections,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// Returns whether a peer starts as the copy of another.
fn is_clone(plan: &Plan, peer: usize) -> bool {
    let clone = |act: &Act| matches!(act, Act::Restart { peer: of, store: Disk::CloneOf(_) } if *of == peer);
    plan.actions.iter().any(|action| clone(&action.act))
}

/// Starts a peer, and leads its links to it.
fn started(peer: &Peer, wires: &[Wire]) -> Result<(), String> {
    if let Some(listen) = peer.start()? {
        lead(wires, peer.number, Some(listen));
    }
    Ok(())
}

fn lead(wires: &[Wire], peer: usize, target: Option<std::net::SocketAddr>) {
    wires.iter().filter(|wire| wire.link.to == peer).for_each(|wire| wire.proxy.lead_to(target));
}

/// Returns the addresses that a peer dials.
fn addresses(peer: &Peer) -> Result<Vec<String>, String> {
    let listed = peer.ask("peer_list", json!({}))?;
    let dialled = |entry: &Value| entry.get("dialled").and_then(Value::as_bool) != Some(false);
    let address = |entry: &Value| entry.get("address").and_then(Value::as_str).map(str::to_owned);
    Ok(listed.as_array().into_iter().flatten().filter(|entry| dialled(entry)).filter_map(address).collect())
}

fn set_bodies(peer: &Peer, bodies: Bodies) -> Result<(), String> {
    let bodies = match bodies {
        Bodies::All => return Ok(()),
        Bodies::None => json!("none"),
        Bodies::Newest(count) => json!({ "newest": count }),
    };
    peer.ask("space_fetch", json!({ "bodies": bodies })).map(drop)
}

fn carry_out(deed: Deed, number: usize, peers: &[Arc<Peer>], wires: &[Wire], began: Instant) -> Result<(), String> {
    let peer = &peers[number];
    let copied = |result: std::io::Result<()>| result.map_err(|error| format!("peer {number}: a copy: {error}"));
    match deed {
        Deed::Start => started(peer, wires),
        Deed::Kill => {
            lead(wires, number, None);
            peer.kill_at_answer()
        }
        Deed::Stop => {
            lead(wires, number, None);
            peer.stop()
        }
        Deed::Pause => {
            peer.pause();
            Ok(())
        }
        Deed::Proceed => {
            peer.proceed();
            Ok(())
        }
        Deed::Keep => copied(peer.keep(Image::Backup)),
        Deed::PutBack(image) => {
            lead(wires, number, None);
            peer.put_back(image, began)?;
            started(peer, wires)
        }
        Deed::CloneOf(of) => {
            lead(wires, number, None);
            peer.kill()?;
            copied(peers[of].copy_to(&peer.dir))?;
            started(peer, wires)?;
            for address in addresses(peer)? {
                peer.ask("peer_remove", json!({ "address": address }))?;
            }
            for wire in wires.iter().filter(|wire| wire.link.from == number) {
                peer.ask("peer_add", json!({ "address": wire.proxy.address.to_string() }))?;
            }
            Ok(())
        }
        Deed::Fill => {
            peer.fill_disk();
            Ok(())
        }
        Deed::MakeRoom => {
            peer.make_room();
            Ok(())
        }
        Deed::Bodies(Bodies::All) if peer.pid().is_some() => {
            peer.ask("space_fetch", json!({ "bodies": "all" })).map(drop)
        }
        Deed::Bodies(bodies) if peer.pid().is_some() => set_bodies(peer, bodies),
        Deed::Bodies(_) => Ok(()),
    }
}
