//! Completed requests of the store: each goes to the machine that asked for it.
//!
//! Effects of a commit are carried out here, and nowhere before the store has confirmed it (`spec/storage.md`,
//! section 3).

use super::{Endpoint, Event, ReadResult};
use crate::ledger::{DocStep, MakeStep, ServePart, Work};
use crate::logs::{Effect, News};
use crate::storage::{StoreDone, StoreError};
use crate::wire::close::CloseCode;
use bytes::Bytes;

impl Endpoint {
    /// Carries out the purpose of a completed request. Returns the news of the logs.
    pub(super) fn handle_work(&mut self, work: Work, done: StoreDone) -> News {
        match (work, done) {
            (Work::Commit(effects), _) => return self.handle_effects(effects),
            (Work::Entries(log), StoreDone::Scanned { rows, .. }) => self.ledger.handle_entries(log, &rows),
            (Work::ForkIndex(step), StoreDone::Scanned { rows, more, .. }) => {
                if let Some(log) = self.ledger.handle_fork_index(step, &rows, more) {
                    self.links.resume_branches(&self.ledger, log);
                    return self.links.run(&mut self.ledger, &mut self.events);
                }
            }
            (Work::Serve { link, log, part }, StoreDone::Scanned { rows, .. }) => {
                self.links.handle_serve(&self.ledger, link, log, part, rows);
            }
            (Work::Doc { doc, life, step }, StoreDone::Scanned { rows, more, .. }) => {
                let found = Ok((rows.into_iter().map(Some).collect(), more));
                self.documents.handle_rows(&mut self.ledger, doc, life, step, found, &mut self.events);
            }
            (Work::Doc { doc, life, step }, StoreDone::Got { values, .. }) => {
                let found = values.into_iter().map(|value| Some((Bytes::new(), value?))).collect();
                self.documents.handle_rows(&mut self.ledger, doc, life, step, Ok((found, false)), &mut self.events);
            }
            (Work::App(id), StoreDone::Scanned { rows, more, .. }) => {
                self.events.push_back(Event::Read { id, result: ReadResult::Rows { rows, more } });
            }
            (Work::App(id), StoreDone::Got { values, .. }) => {
                self.events.push_back(Event::Read { id, result: ReadResult::Values(values) });
            }
            (Work::Make { pass, step }, StoreDone::Scanned { rows, more, .. }) => {
                let found = Ok((rows.into_iter().map(Some).collect(), more));
                self.documents.handle_made(&mut self.ledger, pass, step, found, &mut self.events);
            }
            (Work::Make { pass, step }, StoreDone::Got { values, .. }) => {
                let found = values.into_iter().map(|value| Some((Bytes::new(), value?))).collect();
                self.documents.handle_made(&mut self.ledger, pass, step, Ok((found, false)), &mut self.events);
            }
            (Work::Make { pass, step }, _) => {
                let stored = Ok((Vec::new(), false));
                self.documents.handle_made(&mut self.ledger, pass, step, stored, &mut self.events);
            }
            // The driver answered a request with another kind of completion: nothing can be done with it.
            (Work::Entries(_) | Work::ForkIndex(_) | Work::Serve { .. } | Work::Doc { .. } | Work::App(_), _) => {}
        }
        News::default()
    }

    /// Handles a failed store request. After a failed commit, memory is ahead of the store: the endpoint
    /// acknowledges and sends nothing more, and the driver must recover anew. A failed read fails its purpose;
    /// it is reported too, and the driver recovers anew.
    pub(super) fn handle_store_failed(&mut self, work: Work, error: StoreError) {
        match work {
            Work::Commit(effects) => {
                self.failed = true;
                for effect in effects {
                    if let Effect::Committed(commits) = effect {
                        self.events.push_back(Event::EditsFailed { commits });
                        self.documents.handle_failed();
                    }
                }
                self.links.close_all(CloseCode::StoreFailed, &mut self.events);
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::Doc { doc, life, step } => {
                let step = match step {
                    DocStep::Index(scan) => DocStep::Index(scan),
                    DocStep::Entries(_) => DocStep::Entries(Vec::new()),
                };
                self.documents.handle_rows(&mut self.ledger, doc, life, step, Err(()), &mut self.events);
                if !planted!("read.failed-unsaid") {
                    self.events.push_back(Event::StoreFailed { error });
                }
            }
            Work::App(id) => {
                self.events.push_back(Event::Read { id, result: ReadResult::Failed(error.clone()) });
                // A request that breaks the limits of a store says nothing of the store.
                if !matches!(error, StoreError::Invalid(_)) {
                    self.events.push_back(Event::StoreFailed { error });
                }
            }
            Work::Make { pass, step } => {
                if matches!(step, MakeStep::Stored) {
                    self.failed = true;
                    self.links.close_all(CloseCode::StoreFailed, &mut self.events);
                }
                self.documents.handle_made(&mut self.ledger, pass, step, Err(error.clone()), &mut self.events);
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::ForkIndex(_) => self.events.push_back(Event::StoreFailed { error }),
            Work::Serve { link, log, part } => {
                let entries = if part.is_branch() { ServePart::BranchEntries } else { ServePart::Entries };
                if planted!("serve.failed-unsaid") {
                    return;
                }
                self.links.handle_serve(&self.ledger, link, log, entries, Vec::new());
                self.events.push_back(Event::StoreFailed { error });
            }
            Work::Entries(log) => {
                self.ledger.handle_entries(log, &[]);
                self.events.push_back(Event::StoreFailed { error });
            }
        }
    }

    /// Carries out the effects of a durable commit. Returns the news of the logs.
    fn handle_effects(&mut self, effects: Vec<Effect>) -> News {
        if self.failed {
            return News::default();
        }
        let mut committed = 0;
        for effect in effects {
            match effect {
                Effect::Grown { log, progress } => {
                    let from = self.ledger.publish(log, *progress);
                    self.links.handle_grown(&self.ledger, log, from);
                }
                Effect::Received { link, log } => self.links.handle_durable(&self.ledger, link, log),
                Effect::Indexed(rows) => {
                    self.ledger.logs.indexed(&rows);
                    self.documents.handle_indexed(&mut self.ledger, rows, &mut self.events);
                }
                Effect::Dropped(docs) => {
                    self.events.extend(docs.into_iter().map(|doc| Event::Changed { doc }));
                }
                Effect::Committed(commits) => {
                    committed += 1;
                    if planted!("verdict.twice") {
                        self.events.push_back(Event::Committed { commits: commits.clone() });
                    }
                    self.events.push_back(Event::Committed { commits });
                }
                Effect::Admitted { link, accept, device, space } => {
                    self.links.send_accept(link, &accept);
                    self.events.push_back(Event::Admitted { device, space });
                }
                Effect::Joined { link, space } => {
                    self.links.finish_join(link, &mut self.events);
                    self.events.push_back(Event::Joined { space });
                }
                Effect::SpaceChanged(space) => {
                    self.links.handle_space(&self.ledger, space);
                    self.events.push_back(Event::SpaceChanged { space });
                }
            }
        }
        for _ in 0..committed {
            self.documents.handle_committed(&mut self.ledger);
        }
        self.links.run(&mut self.ledger, &mut self.events)
    }
}
