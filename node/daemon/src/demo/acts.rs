//! The acts of the demo, in order. Each does something, checks it, and reports it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cosmicsync_node::service::{
    Backend as _, Client, Command, Digest, DocPut, DocRef, DocSplice, ErrorCode, Import, Item, Patch, Reply, Secret,
    ServiceError, Status,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::process::{Device, Running, ask, unexpected};
use super::{Summary, Teller, grouped};
use super::{ms, us};
use crate::run::Failure;
use crate::table::duration_text;

const ZIPCODES: (&str, &[u8]) = ("zipcodes-sample.csv", include_bytes!("../../samples/zipcodes-sample.csv"));
const EARTHQUAKES: (&str, &[u8]) = ("earthquakes-sample.json", include_bytes!("../../samples/earthquakes-sample.json"));

/// Longest time for the two nodes to agree.
const SYNC_TIMEOUT_MS: u64 = 20_000;
/// Number of edits whose delay to the other node is measured.
const LIVE_EDITS: usize = 20;
/// Number of connections that write while the process is killed.
const WRITERS: usize = 8;
/// Number of acknowledged writes before the process is killed.
const WRITES_BEFORE_KILL: usize = 400;
/// Longest wait for these writes.
const BURST_TIMEOUT: Duration = Duration::from_secs(6);

const LOOPBACK: &str = "127.0.0.1:0";
const TEXT_BEFORE: &str = "Packing list: tent";
const TEXT_AFTER: &str = "Summer 2026. Packing list: tent, stove";

/// The two nodes while they run.
pub(super) struct Act {
    laptop: Running,
    phone: Running,
}

impl Act {
    /// Plays all acts and returns the summary.
    pub(super) async fn play(teller: &mut Teller<'_, '_>, root: &Path) -> Result<Summary, Failure> {
        let mut act = Self::two_devices(teller, root).await?;
        act.one_space(teller).await?;
        act.import(teller, root).await?;
        act.live(teller).await?;
        act.offline_edits(teller).await?;
        act.heal(teller).await?;
        let acknowledged;
        (act, acknowledged) = act.crash(teller).await?;
        act.end(acknowledged).await
    }

    async fn two_devices(teller: &mut Teller<'_, '_>, root: &Path) -> Result<Self, Failure> {
        let surroundings = teller.run.surroundings;
        let laptop = Device::init("laptop", root, surroundings).await?.start(LOOPBACK).await?;
        // The phone gets its user by joining.
        let phone = Device::fresh("phone", root, surroundings).start(LOOPBACK).await?;
        let text = format!("laptop listens on {}, phone on {}", laptop.listen, phone.listen);
        let figures = json!({ "laptop": laptop.listen, "phone": phone.listen });
        teller.step("two devices", &text, "init, cosmicsync up", figures)?;
        Ok(Self { laptop, phone })
    }

    async fn one_space(&self, teller: &mut Teller<'_, '_>) -> Result<(), Failure> {
        self.laptop.ask(Command::SpaceCreate { name: "home".to_owned() }).await?;
        let Reply::Invite(invite) = self.laptop.ask(Command::SpaceInvite { space: None, expires_ms: 600_000 }).await?
        else {
            return Err(unexpected().into());
        };
        self.phone.ask(Command::SpaceJoin { invite: Secret(invite.invite) }).await?;
        teller.step(
            "one space",
            "the phone joined by an invite of one line",
            "space invite | space join",
            json!({}),
        )?;
        Ok(())
    }

    async fn import(&self, teller: &mut Teller<'_, '_>, root: &Path) -> Result<(), Failure> {
        let zipcodes = sample(root, ZIPCODES)?;
        let earthquakes = sample(root, EARTHQUAKES)?;
        let mut documents = 0;
        for (path, collection, id_column, rows) in
            [(zipcodes, "zipcodes", "zip_code", None), (earthquakes, "earthquakes", "id", Some("features"))]
        {
            let import = Import {
                space: None,
                collection: collection.to_owned(),
                path,
                id_column: Some(id_column.to_owned()),
                rows: rows.map(str::to_owned),
                ..Import::default()
            };
            let Reply::Imported(imported) = self.laptop.import(import).await? else {
                return Err(unexpected().into());
            };
            documents += imported.documents;
        }
        let imported = teller.last.elapsed();
        let digest = self.agree().await?;
        let text = format!(
            "{} documents on the laptop in {}, on the phone {} later",
            grouped(documents),
            duration_text(imported),
            duration_text(teller.last.elapsed().saturating_sub(imported)),
        );
        check(digest.documents == documents, "the phone has another number of documents than were imported")?;
        let zip = self.phone_value("zipcodes/00501").await?;
        check(zip.get("zip_code") == Some(&json!("00501")), "a leading zero was lost")?;
        let command = "import zipcodes-sample.csv --collection zipcodes --id-column zip_code";
        Ok(teller.step("import", &text, command, json!({ "documents": documents }))?)
    }

    async fn live(&self, teller: &mut Teller<'_, '_>) -> Result<(), Failure> {
        let watcher = self.phone.client().await?;
        let (sender, mut items) = mpsc::channel(64);
        let watch = Command::DocWatch { space: None, collection: Some("live".to_owned()), doc: None, since: None };
        let watching = tokio::spawn(async move { watcher.call(watch, sender).await });
        // The first item reports that the watch has begun.
        expect_item(&mut items).await?;
        let mut times = Vec::new();
        for edit in 0..LIVE_EDITS {
            let key = format!("edit-{edit}");
            let begun = Instant::now();
            self.laptop.ask(put("live", &key, json!({ "edit": edit }), &[])).await?;
            loop {
                if let Item::Change(change) = expect_item(&mut items).await?
                    && change.key.as_deref() == Some(&key)
                {
                    break;
                }
            }
            times.push(begun.elapsed());
        }
        watching.abort();
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let text = format!(
            "{LIVE_EDITS} edits, from the laptop's command to the phone's screen: median {}, worst {}",
            duration_text(median),
            duration_text(worst)
        );
        let figures = json!({
            "edits": LIVE_EDITS,
            "median_us": us(median),
            "worst_us": us(worst),
        });
        Ok(teller.step("live", &text, "doc watch live", figures)?)
    }

    async fn offline_edits(&self, teller: &mut Teller<'_, '_>) -> Result<(), Failure> {
        let trip = json!({ "title": "Trip", "body": TEXT_BEFORE });
        self.laptop.ask(put("notes", "trip", trip, &["body"])).await?;
        self.agree().await?;
        self.phone.ask(Command::PeerPause {}).await?;
        teller.step("cut", &format!("the phone is offline; both know \"{TEXT_BEFORE}\""), "peer pause", json!({}))?;

        let end = u64::try_from(TEXT_BEFORE.chars().count()).unwrap_or_default();
        self.laptop.ask(splice(Patch(0, 0, "Summer 2026. ".to_owned()))).await?;
        self.phone.ask(splice(Patch(end, 0, ", stove".to_owned()))).await?;
        for (node, key, patch) in [
            (&self.laptop, "zipcodes/00501", json!({ "visited_by_laptop": true })),
            (&self.phone, "zipcodes/00501", json!({ "visited_by_phone": true })),
        ] {
            node.ask(Command::DocPatch { space: None, doc: name(key)?, patch }).await?;
        }
        self.laptop.ask(put("notes", "laptop", json!({ "written": "offline" }), &[])).await?;
        self.phone.ask(put("notes", "phone", json!({ "written": "offline" }), &[])).await?;
        let (laptop, phone) = (digest(&self.laptop).await?, digest(&self.phone).await?);
        check(laptop.digest != phone.digest, "the two agree although they are apart")?;
        let text = "laptop types \"Summer 2026. \" in front, phone \", stove\" behind; both patch a postal code";
        let command = "doc type notes/trip body \", stove\" --at 18";
        let figures = json!({ "laptop_digest": laptop.digest, "phone_digest": phone.digest });
        Ok(teller.step("both edit", text, command, figures)?)
    }

    async fn heal(&self, teller: &mut Teller<'_, '_>) -> Result<(), Failure> {
        let before = status(&self.laptop).await?.traffic;
        let begun = Instant::now();
        self.phone.ask(Command::PeerResume {}).await?;
        let digest = self.agree().await?;
        let healed = begun.elapsed();
        let after = status(&self.laptop).await?.traffic;
        let trip = self.phone_value("notes/trip").await?;
        check(trip.get("body") == Some(&json!(TEXT_AFTER)), "an edit of the text was lost")?;
        let zip = self.phone_value("zipcodes/00501").await?;
        let both =
            ["visited_by_laptop", "visited_by_phone"].iter().all(|member| zip.get(*member) == Some(&json!(true)));
        check(both, "a patch was lost")?;
        let round_trips = after.round_trips.saturating_sub(before.round_trips);
        let text = format!("\"{TEXT_AFTER}\" on both after {}, {round_trips} round trips", duration_text(healed));
        let figures = json!({ "healed_ms": ms(healed), "round_trips": round_trips });
        teller.step("heal", &text, "peer resume", figures)?;

        let text = format!(
            "{}… over {} documents, equal on both",
            &digest.digest[..16.min(digest.digest.len())],
            grouped(digest.documents)
        );
        let figures = json!({ "digest": digest.digest, "documents": digest.documents });
        Ok(teller.step("proof", &text, "space digest", figures)?)
    }

    async fn crash(self, teller: &mut Teller<'_, '_>) -> Result<(Self, u64), Failure> {
        let Self { laptop, phone } = self;
        let burst = Burst::start(&phone).await?;
        burst.wait().await;
        let listen = phone.listen.clone();
        let device = phone.kill()?;
        let (acknowledged, attempted) = burst.end().await;
        check(!acknowledged.is_empty(), "no write was acknowledged before the kill")?;
        let text = format!(
            "SIGKILL to the phone within a burst: {} writes acknowledged, {} under way",
            grouped(acknowledged.len() as u64),
            attempted - acknowledged.len() as u64
        );
        let figures = json!({ "acknowledged": acknowledged.len(), "attempted": attempted });
        teller.step("crash", &text, "", figures)?;

        let phone = device.start(&listen).await?;
        let back = teller.last.elapsed();
        let act = Self { laptop, phone };
        let digest = act.agree().await?;
        for node in [&act.phone, &act.laptop] {
            let found = node.documents("burst").await?;
            let found: BTreeMap<_, _> = found.into_iter().filter_map(|doc| Some((doc.key?, doc.value?))).collect();
            let lost = acknowledged.iter().filter(|key| found.get(*key) != Some(&burst_value(key))).count();
            let message = format!("{lost} acknowledged writes are not on the {}", node.device.name);
            check(lost == 0, &message)?;
        }
        let text = format!(
            "the phone is back after {}; every acknowledged write is on both, digests are equal",
            duration_text(back)
        );
        let figures = json!({ "restart_ms": ms(back), "lost": 0, "digest": digest.digest });
        teller.step("recover", &text, "up", figures)?;
        Ok((act, acknowledged.len() as u64))
    }

    async fn end(self, acknowledged: u64) -> Result<Summary, Failure> {
        let digest = self.agree().await?;
        let traffic = status(&self.laptop).await?.traffic;
        self.phone.stop().await?;
        self.laptop.stop().await?;
        Ok(Summary {
            documents: digest.documents,
            digest: digest.digest,
            bytes: traffic.bytes_in + traffic.bytes_out,
            round_trips: traffic.round_trips,
            acknowledged,
        })
    }

    /// Waits until both nodes have the same, and verifies it by their digests.
    async fn agree(&self) -> Result<Digest, ServiceError> {
        for node in [&self.laptop, &self.phone] {
            node.ask(Command::WaitSync { space: None, timeout_ms: SYNC_TIMEOUT_MS }).await?;
        }
        let (laptop, phone) = (digest(&self.laptop).await?, digest(&self.phone).await?);
        check(laptop == phone, "the digests differ after the sync")?;
        Ok(laptop)
    }

    async fn phone_value(&self, doc: &str) -> Result<Value, ServiceError> {
        let Reply::Document(document) = self.phone.ask(Command::DocGet { space: None, doc: name(doc)? }).await? else {
            return Err(unexpected());
        };
        document.value.ok_or_else(unexpected)
    }
}

/// Several writers on one node, until the node is killed.
struct Burst {
    acknowledged: Arc<Mutex<Vec<String>>>,
    enough: Arc<Notify>,
    writers: JoinSet<u64>,
}

impl Burst {
    async fn start(node: &Running) -> Result<Self, ServiceError> {
        let (acknowledged, enough) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let client = node.client().await?;
            writers.spawn(write_until_failure(client, writer, Arc::clone(&acknowledged), Arc::clone(&enough)));
        }
        Ok(Self { acknowledged, enough, writers })
    }

    /// Waits for enough acknowledged writes; a slow disk may have fewer.
    async fn wait(&self) {
        let _ = timeout(BURST_TIMEOUT, self.enough.notified()).await;
    }

    /// Returns the keys of acknowledged writes, and the number of attempted ones.
    async fn end(self) -> (Vec<String>, u64) {
        let attempted = self.writers.join_all().await.iter().sum();
        let acknowledged = core::mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        (acknowledged, attempted)
    }
}

/// Writes documents one after the other and records the acknowledged ones; returns the number of attempts.
async fn write_until_failure(
    client: Client,
    writer: usize,
    acknowledged: Arc<Mutex<Vec<String>>>,
    enough: Arc<Notify>,
) -> u64 {
    for number in 0.. {
        let key = format!("{writer}-{number}");
        if ask(&client, put("burst", &key, burst_value(&key), &[])).await.is_err() {
            return number + 1;
        }
        let mut keys = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        keys.push(key);
        if keys.len() >= WRITES_BEFORE_KILL {
            enough.notify_one();
        }
    }
    0
}

fn burst_value(key: &str) -> Value {
    json!({ "burst": key, "note": "acknowledged means durable" })
}

fn put(collection: &str, key: &str, value: Value, text: &[&str]) -> Command {
    let text = text.iter().map(|path| (*path).to_owned()).collect();
    Command::DocPut(DocPut { space: None, collection: collection.to_owned(), key: Some(key.to_owned()), value, text })
}

fn splice(patch: Patch) -> Command {
    let doc = DocRef::Key { collection: "notes".to_owned(), key: "trip".to_owned() };
    Command::DocSplice(DocSplice { space: None, doc, path: "body".to_owned(), patches: vec![patch], seen: None })
}

fn name(text: &str) -> Result<DocRef, ServiceError> {
    text.parse()
}

async fn digest(node: &Running) -> Result<Digest, ServiceError> {
    let Reply::Digest(digest) = node.ask(Command::Digest { space: None }).await? else { return Err(unexpected()) };
    Ok(digest)
}

async fn status(node: &Running) -> Result<Status, ServiceError> {
    let Reply::Status(status) = node.ask(Command::Status {}).await? else { return Err(unexpected()) };
    Ok(*status)
}

async fn expect_item(items: &mut mpsc::Receiver<Item>) -> Result<Item, ServiceError> {
    let patience = Duration::from_millis(SYNC_TIMEOUT_MS);
    match timeout(patience, items.recv()).await {
        Ok(Some(item)) => Ok(item),
        Ok(None) => Err(unexpected()),
        Err(_) => Err(ServiceError::new(ErrorCode::TimedOut, "an edit did not arrive")),
    }
}

fn check(holds: bool, otherwise: &str) -> Result<(), ServiceError> {
    if holds { Ok(()) } else { Err(ServiceError::new(ErrorCode::CheckFailed, otherwise)) }
}

/// Writes a shipped sample to a file, so that the import reads a file.
fn sample(root: &Path, (name, bytes): (&str, &[u8])) -> Result<String, ServiceError> {
    let path: PathBuf = root.join(name);
    fs::write(&path, bytes).map_err(|error| ServiceError::io(format!("cannot write {}", path.display()), &error))?;
    path.into_os_string()
        .into_string()
        .map_err(|_| ServiceError::new(ErrorCode::Usage, "the temporary path is not Unicode"))
}
