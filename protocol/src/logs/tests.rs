use super::*;
use crate::entropy::Entropy;
use crate::identity::{DeviceKeys, OwnIdentity};
use crate::ids::SpaceNo;
use crate::spaces::record::Record;
use crate::spaces::{Admission, Spaces};
use crate::storage::rows::{entry_key, log_key};
use crate::storage::{Op, Row, Table};
use crate::time::Now;
use bytes::Bytes;
use std::collections::BTreeMap;

const NOW: Now = Now { mono_us: 0, wall_ms: 1_000 };
const SPACE: SpaceNo = SpaceNo(0);

/// The logs and spaces of a device, with the rows of its entries.
struct Device {
    spaces: Spaces,
    logs: Logs,
    entropy: Entropy,
    entries: BTreeMap<Bytes, Bytes>,
}

impl Device {
    fn new(seed: u8) -> Self {
        let mut entropy = Entropy::new([seed; 32]);
        let own = OwnIdentity { keys: DeviceKeys::generate(&mut entropy), user: None };
        let (spaces, logs) = (Spaces::new(own), Logs::new(&Config::default()));
        Self { spaces, logs, entropy, entries: BTreeMap::new() }
    }

    /// Returns the founder of a space, and a device that joined it and holds the founder's log.
    fn pair() -> (Self, Self) {
        let (mut founder, mut other) = (Self::new(1), Self::new(2));
        let mut batch = Batch::default();
        let Self { spaces, entropy, .. } = &mut founder;
        spaces.create_user(entropy, &mut batch.ops).expect("the first user");
        let (_, records, epoch) = spaces.found("home", entropy, &mut batch.ops).expect("a user founds");
        founder.append(&records, Some(epoch));
        let Self { spaces, entropy, .. } = &mut founder;
        let addresses = vec!["localhost:1".to_owned()];
        let invite = spaces.invite(SPACE, addresses, 2_000, NOW, entropy, &mut batch.ops).expect("an invite");
        let claim = Admission::Claim(other.spaces.own.keys.claim());
        let admitted = spaces.admit(&invite.psk(), &claim, entropy, &mut batch.ops).expect("an open invite");
        other.spaces.join(&invite.space(), &admitted.accept, &mut batch.ops).expect("an answer");
        let (record, epoch) = admitted.introduction.expect("it is new");
        let end = founder.append(&[record], Some(epoch));
        let (taken, news) = other.accept(&founder.run(0..=end.seq));
        assert_eq!(taken, Taken::Yes(LogNo(0)));
        assert!(news.ended.is_empty() && news.forked.is_empty() && news.wanted.is_empty());
        (founder, other)
    }

    /// Makes the batch durable.
    fn commit(&mut self, mut batch: Batch) {
        for op in &batch.ops {
            if let Op::Put { table: Table::Entry, key, value } = op {
                self.entries.insert(key.clone(), value.clone());
            }
        }
        for no in batch.take_touched().into_keys() {
            let progress = self.logs.registry.log(no).staged().clone();
            self.logs.publish(no, progress);
        }
    }

    fn append(&mut self, records: &[Record], open: Option<Vec<u8>>) -> EntryRef {
        let mut batch = Batch::default();
        let Self { spaces, logs, entropy, .. } = self;
        let source = &mut Source { spaces, entropy, wall_ms: NOW.wall_ms };
        logs.append_control(SPACE, records, open, source, &mut batch).expect("a short entry");
        self.commit(batch);
        EntryRef { log: LogNo(0), seq: self.logs.registry.log(LogNo(0)).next_seq() - 1 }
    }

    /// Returns entries of the founder's log; the last one ends the log.
    fn run(&self, seqs: core::ops::RangeInclusive<u64>) -> Run {
        let (no, start) = (LogNo(0), *seqs.start());
        let log = self.logs.registry.log(no);
        let tip = log.staged().tip.as_ref().expect("a head");
        assert_eq!(tip.seq, *seqs.end());
        let held = |seq| self.logs.entry_cache.get(EntryRef { log: no, seq }).expect("a recent entry");
        Run {
            log: log.id,
            card: Some(log.card_bytes().clone()),
            start,
            h_prev: held(start).h_prev,
            entries: seqs.map(|seq| held(seq).bytes.clone()).collect(),
            signature: tip.signature,
        }
    }

    fn accept(&mut self, run: &Run) -> (Taken, News) {
        self.take(|logs, arrival| logs.accept(run, arrival))
    }

    fn take(&mut self, work: impl FnOnce(&mut Logs, &mut Arrival<'_>) -> Result<Taken, Refusal>) -> (Taken, News) {
        let mut batch = Batch::default();
        let mut arrival = Arrival::new(&mut self.spaces, &mut batch);
        let taken = work(&mut self.logs, &mut arrival).expect("a run that verifies");
        let news = arrival.news;
        self.commit(batch);
        (taken, news)
    }

    /// Continues the founder's log, as a copy of its process does.
    fn copy_key(&mut self, founder: &Self) {
        let key = founder.logs.own.signing[&LogNo(0)].clone();
        self.logs.registry.log_mut(LogNo(0)).mine = true;
        self.logs.own.signing.insert(LogNo(0), key);
        self.logs.own.control.insert(SPACE, LogNo(0));
    }

    /// Returns the stored entries of a log.
    fn rows(&self, no: LogNo) -> Vec<Row> {
        let range = entry_key(EntryRef { log: no, seq: 0 })..log_key(LogNo(no.0 + 1));
        self.entries.range(range).map(|(key, row)| (key.clone(), row.clone())).collect()
    }
}

fn named(name: &str) -> [Record; 1] {
    [Record::Partition { name: name.to_owned() }]
}

#[test]
fn records_of_a_trusted_author_apply_as_they_arrive() {
    let (mut founder, mut other) = Device::pair();
    let at = founder.append(&named("notes"), None);
    other.accept(&founder.run(at.seq..=at.seq));
    let names: Vec<&str> = other.spaces.partitions().map(|partition| partition.name.as_str()).collect();
    assert_eq!(names, ["control", "main", "notes"]);
}

#[test]
fn more_of_an_own_log_ends_it() {
    let (mut founder, mut copy) = Device::pair();
    copy.copy_key(&founder);
    let at = founder.append(&named("notes"), None);
    let (taken, news) = copy.accept(&founder.run(at.seq..=at.seq));
    assert_eq!(taken, Taken::Yes(LogNo(0)));
    assert_eq!(news.ended, [founder.logs.registry.log(LogNo(0)).id]);
    assert!(!copy.logs.can_append(LogNo(0)) && copy.logs.own.signing.is_empty());
}

#[test]
fn a_further_history_is_taken_once_the_first_is_traced() {
    let (mut founder, mut copy) = Device::pair();
    copy.copy_key(&founder);
    let at = founder.append(&named("notes"), None);
    copy.append(&named("photos"), None);
    let run = copy.run(at.seq..=at.seq);
    let (taken, news) = founder.accept(&run);
    assert_eq!((taken, news.forked.len()), (Taken::No, 0));

    let (taken, _) = founder.take(|logs, arrival| logs.accept_branch(&run, None, arrival));
    assert_eq!(taken, Taken::Later);
    let rows = founder.rows(LogNo(0));
    let collected = founder.logs.handle_fork_index(ForkStep::Trace(LogNo(0)), &rows, false, &founder.spaces);
    assert_eq!(collected.traced, Some(LogNo(0)));

    let (taken, news) = founder.take(|logs, arrival| logs.accept_branch(&run, None, arrival));
    assert_eq!(taken, Taken::Yes(LogNo(1)));
    assert_eq!((&news.ended, &news.forked), (&vec![run.log], &vec![run.log]));
    assert_eq!(founder.logs.registry.leaves(LogNo(0)).len(), 2);
}
