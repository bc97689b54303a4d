//! The writer thread: takes requests in order, gathers commits into groups, and reports each once.

use super::engine::Engine;
use super::readers::OnDone;
use super::snapshot::{Snapshot, SnapshotError};
use super::{StoreOptions, StoreStats};
use cosmicsync_protocol::storage::{Op, StoreDone, StoreError, StoreRequest};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

/// A message to the writer thread.
#[derive(Debug)]
pub(super) enum Message {
    Request(StoreRequest),
    Snapshot(SyncSender<Result<Snapshot, SnapshotError>>),
    Stats(SyncSender<StoreStats>),
}

/// Runs until every sender is gone and all messages are handled.
pub(super) fn run(engine: Engine, queue: &Receiver<Message>, options: &StoreOptions, on_done: &OnDone) {
    let mut writer = Writer { engine, on_done, poisoned: false, stats: StoreStats::default(), options };
    let mut waiting = VecDeque::new();
    let mut pace = Pace::default();
    while let Some(message) = waiting.pop_front().or_else(|| queue.recv().ok()) {
        match message {
            Message::Request(request @ StoreRequest::Commit { .. }) => {
                let group = gather(request, &mut waiting, queue, options, &pace);
                let began = Instant::now();
                writer.commit(&group);
                pace.note(group.len(), began.elapsed());
            }
            Message::Request(request) => writer.read(&request),
            Message::Snapshot(reply) => drop(reply.send(writer.snapshot())),
            Message::Stats(reply) => drop(reply.send(writer.measure())),
        }
    }
}

/// A group waits for more commits at most for this fraction (one in N) of a sync's time.
const PATIENCE_PART: u32 = 16;

/// Predicts the size of the next group from past ones.
///
/// A submitter that waits for its commit submits the next one right after, a moment after the next group could begin.
/// Therefore a group waits that moment. It waits only while earlier groups shared a sync, and only until as many
/// requests have come. A lone submitter never waits.
#[derive(Debug, Default)]
struct Pace {
    /// Number of requests in recent groups; decreases by one per group.
    peak: usize,
    sync_time: Duration,
}

impl Pace {
    fn note(&mut self, requests: usize, took: Duration) {
        self.peak = requests.max(self.peak.saturating_sub(1));
        self.sync_time = took;
    }

    /// Returns the next message if there is one, or if one comes during the wait.
    fn next(&self, queue: &Receiver<Message>, gathered: usize, since: Instant) -> Option<Message> {
        let waiting = queue.try_recv().ok();
        if waiting.is_some() || gathered >= self.peak {
            return waiting;
        }
        queue.recv_timeout((self.sync_time / PATIENCE_PART).checked_sub(since.elapsed())?).ok()
    }
}

/// Collects the requests queued after a commit, up to the limits of a group. Other messages wait for the end of the
/// group.
fn gather(
    first: StoreRequest,
    waiting: &mut VecDeque<Message>,
    queue: &Receiver<Message>,
    options: &StoreOptions,
    pace: &Pace,
) -> Vec<StoreRequest> {
    let since = Instant::now();
    let mut bytes = payload_bytes(&first);
    let mut group = vec![first];
    while group.len() < options.group_commits_max {
        match pace.next(queue, group.len(), since) {
            Some(Message::Request(request)) => {
                let more = payload_bytes(&request);
                if bytes + more > options.group_bytes_max as u64 {
                    waiting.push_back(Message::Request(request));
                    break;
                }
                bytes += more;
                group.push(request);
            }
            Some(other) => {
                waiting.push_back(other);
                break;
            }
            None => break,
        }
    }
    group
}

struct Writer<'a> {
    engine: Engine,
    on_done: &'a OnDone,
    poisoned: bool,
    stats: StoreStats,
    options: &'a StoreOptions,
}

impl Writer<'_> {
    fn commit(&mut self, group: &[StoreRequest]) {
        if self.poisoned {
            return group.iter().for_each(|request| self.refuse(request));
        }
        #[cfg(planted)]
        if planted!("writer.told-early") {
            group.iter().for_each(|request| self.report_early(request));
        }
        #[cfg(planted)]
        let group = match group {
            [first @ .., last @ StoreRequest::Commit { .. }] if !first.is_empty() && planted!("writer.drops-last") => {
                self.report_early(last);
                first
            }
            _ => group,
        };
        let done = self.engine.commit(group, self.options.scan_bytes_max);
        let mut committed = 0;
        for (request, done) in group.iter().zip(done) {
            match (request, &done) {
                (StoreRequest::Commit { .. }, StoreDone::Committed { .. }) => {
                    committed += 1;
                    self.stats.bytes += payload_bytes(request);
                }
                (StoreRequest::Commit { .. }, _) => self.poison(),
                _ => self.stats.reads += 1,
            }
            if !(planted!("writer.told-early") && matches!(done, StoreDone::Committed { .. })) {
                (self.on_done)(done);
            }
        }
        self.stats.commits += committed;
        self.stats.groups += u64::from(committed > 0);
    }

    /// Reports a commit that was not written.
    #[cfg(planted)]
    fn report_early(&self, request: &StoreRequest) {
        if let StoreRequest::Commit { id, .. } = request {
            (self.on_done)(StoreDone::Committed { id: *id });
        }
    }

    /// Makes every later request fail.
    fn poison(&mut self) {
        self.poisoned = true;
        self.engine.shut();
    }

    fn read(&mut self, request: &StoreRequest) {
        if self.poisoned {
            return self.refuse(request);
        }
        self.stats.reads += 1;
        let done = self.engine.read(request, self.options.scan_bytes_max);
        (self.on_done)(done);
    }

    fn refuse(&mut self, request: &StoreRequest) {
        (self.on_done)(StoreDone::Failed { id: request.id(), error: StoreError::Poisoned });
    }

    fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        if self.poisoned {
            return Err(StoreError::Poisoned.into());
        }
        let snapshot = self.engine.snapshot();
        if matches!(snapshot, Err(SnapshotError::Store(StoreError::Poisoned))) {
            self.poison();
        }
        snapshot
    }

    fn measure(&mut self) -> StoreStats {
        if !self.poisoned {
            self.engine.measure(&mut self.stats);
        }
        StoreStats { reads: self.stats.reads + self.engine.durable_reads(), ..self.stats }
    }
}

fn payload_bytes(request: &StoreRequest) -> u64 {
    let StoreRequest::Commit { ops, .. } = request else { return 0 };
    let of_op = |op: &Op| match op {
        Op::Put { key, value, .. } | Op::Replace { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } | Op::Insert { key, .. } => key.len(),
        Op::DeleteRange { from, to, .. } => from.len() + to.len(),
    };
    ops.iter().map(of_op).sum::<usize>() as u64
}
