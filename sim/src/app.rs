//! Apps of other people under the simulator's faults: their documents, their schemas, what their users do, and what must
//! hold of it.
//!
//! An [`App`] is put together from closures. [`App::plan`] turns the work of any plan, drawn by [`generate()`] or from a
//! scenario, into steps of the app's users, and leaves the faults as they are; [`App::run`] runs it. At each step the
//! user of a peer is shown what its device holds and says what to write. What must hold at any moment on each device
//! ([`App::always`]) is looked at before each step, and again at the end; what must hold once all devices agree
//! ([`App::at_rest`]), at the end. `docs/guides/simulate-your-app.md` is the guide, `sim/examples/own_app.rs` an example.
//!
//! [`generate()`]: crate::generate()

use crate::plan::{Act, Ask, Plan, PlanError};
use crate::random::Keyed;
use crate::report::Report;
use crate::shrink::{Progress, ShrinkError, Shrunk, shrink_with};
use crate::world::World;
use cosmicsync_data::database::request::{Action, Condition, Intent, Name, Target};
use cosmicsync_data::json;
use cosmicsync_data::schema::Schema;
use cosmicsync_protocol::crdt::{Change, Step, TextPaths};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a user writes: all of it in one transaction.
pub type Writes = Vec<Intent>;

type User = Box<dyn Fn(&Observation, &mut Draw) -> Writes + Send + Sync>;
type Holds = Box<dyn Fn(&Observation) -> Result<(), String> + Send + Sync>;

/// A rule of the app's own.
struct Rule {
    name: String,
    at_rest: bool,
    holds: Holds,
}

/// An app: see the module's documentation.
///
/// Its closures may not keep anything between calls: a run depends on its plan alone.
#[derive(Default)]
pub struct App {
    schemas: Vec<(String, Arc<Schema>)>,
    user: Option<User>,
    rules: Vec<Rule>,
}

impl core::fmt::Debug for App {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let rules: Vec<&str> = self.rules.iter().map(|rule| rule.name.as_str()).collect();
        f.debug_struct("App").field("rules", &rules).finish_non_exhaustive()
    }
}

/// What one device holds, durably, in the partition `main`.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The peer's number.
    pub peer: usize,
    /// Whether all devices have come to agree.
    pub at_rest: bool,
    documents: BTreeMap<(String, String), Value>,
}

impl Observation {
    pub(crate) const fn new(peer: usize, at_rest: bool, documents: BTreeMap<(String, String), Value>) -> Self {
        Self { peer, at_rest, documents }
    }

    /// A document, if it is there.
    pub fn get(&self, collection: &str, key: &str) -> Option<&Value> {
        self.documents.get(&(collection.to_owned(), key.to_owned()))
    }

    /// The documents of a collection by their keys, in the order of keys.
    pub fn collection<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let of = self.documents.iter().filter(move |((collection, _), _)| collection == name);
        of.map(|((_, key), value)| (key.as_str(), value))
    }
}

/// Randomness for one step of a user: the same in each run of a plan.
#[derive(Debug)]
pub struct Draw {
    keyed: Keyed,
    step: u64,
    count: u64,
}

impl Draw {
    pub(crate) const fn new(keyed: Keyed, step: u64) -> Self {
        Self { keyed, step, count: 0 }
    }

    /// A number that no other step has.
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.count += 1;
        self.keyed.below(&[crate::random::purpose::APP, self.step, self.count], bound)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several. Panics if there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

impl App {
    /// An app without documents, users or rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the schema of a collection, on each device that starts. The names `cats` and `dogs` are the simulator's.
    ///
    /// # Errors
    /// When the schema is none; the text says why.
    pub fn schema(mut self, collection: &str, schema: &Value) -> Result<Self, String> {
        let schema = Schema::new(&value(schema)?).map_err(|error| error.to_string())?;
        self.schemas.push((collection.to_owned(), Arc::new(schema)));
        Ok(self)
    }

    /// What a user does at each step, seeing what the device holds.
    pub fn user(mut self, user: impl Fn(&Observation, &mut Draw) -> Writes + Send + Sync + 'static) -> Self {
        self.user = Some(Box::new(user));
        self
    }

    /// A rule that holds on each device at any moment.
    pub fn always(
        mut self,
        name: &str,
        holds: impl Fn(&Observation) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Rule { name: name.to_owned(), at_rest: false, holds: Box::new(holds) });
        self
    }

    /// A rule that holds on each device once all have come to agree.
    pub fn at_rest(
        mut self,
        name: &str,
        holds: impl Fn(&Observation) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Rule { name: name.to_owned(), at_rest: true, holds: Box::new(holds) });
        self
    }

    /// Makes all work of a plan steps of the app's users, on the same peers at the same times. Faults stay.
    pub fn plan(&self, mut plan: Plan) -> Plan {
        plan.databases = true;
        for action in &mut plan.actions {
            let peer = action.act.peers().first().copied().unwrap_or(0);
            if action.act.is_for_databases().is_some() {
                action.act = Act::Ask { peer, what: Ask::Step };
            }
        }
        plan
    }

    /// Runs a plan to its end. A rule of the app that does not hold is reported as [`OracleId::App`], by its name.
    ///
    /// [`OracleId::App`]: crate::OracleId::App
    ///
    /// # Errors
    /// When the plan refers to what is not there.
    pub fn run(&self, plan: &Plan) -> Result<Report, PlanError> {
        plan.check()?;
        Ok(World::with_app(plan, false, self).run())
    }

    /// Runs a plan to its end and keeps the trace.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_traced(&self, plan: &Plan) -> Result<Report, PlanError> {
        plan.check()?;
        Ok(World::with_app(plan, true, self).run())
    }

    /// Finds the smallest plan that fails in the same way, as [`shrink`](crate::shrink::shrink) does.
    ///
    /// # Errors
    /// When the plan cannot be run, or does not fail.
    pub fn shrink(&self, plan: &Plan, runs_max: u64, progress: impl FnMut(Progress)) -> Result<Shrunk, ShrinkError> {
        shrink_with(plan, runs_max, progress, |plan| self.run(plan))
    }

    pub(crate) fn schemas(&self) -> &[(String, Arc<Schema>)] {
        &self.schemas
    }

    pub(crate) fn step(&self, seen: &Observation, draw: &mut Draw) -> Writes {
        self.user.as_ref().map(|user| user(seen, draw)).unwrap_or_default()
    }

    /// What does not hold: the names of rules and what they say.
    pub(crate) fn broken(&self, seen: &Observation) -> Vec<String> {
        let rules = self.rules.iter().filter(|rule| seen.at_rest || !rule.at_rest);
        rules.filter_map(|rule| Some(format!("{}: {}", rule.name, (rule.holds)(seen).err()?))).collect()
    }
}

/// Stores a document whole.
///
/// # Errors
/// When JSON holds what documents cannot.
pub fn put(collection: &str, key: &str, document: &Value) -> Result<Intent, String> {
    Ok(intent(collection, key, Action::Put { value: value(document)?, texts: TextPaths::none() }))
}

/// Changes members of a document by a merge patch (RFC 7396).
///
/// # Errors
/// When JSON holds what documents cannot.
pub fn patch(collection: &str, key: &str, patch: &Value) -> Result<Intent, String> {
    Ok(intent(collection, key, Action::Patch(value(patch)?)))
}

/// Adds to a counter that is a member of a document.
pub fn add(collection: &str, key: &str, member: &str, by: i64) -> Intent {
    intent(collection, key, Action::Change(vec![Change::Add { path: vec![Step::from(member)], by }]))
}

/// Deletes a document.
pub fn delete(collection: &str, key: &str) -> Intent {
    intent(collection, key, Action::Delete)
}

fn intent(collection: &str, key: &str, action: Action) -> Intent {
    let name = Name::Key { collection: collection.to_owned(), key: key.to_owned() };
    Intent { target: Target::Named(name), action, condition: Condition::None }
}

fn value(value: &Value) -> Result<cosmicsync_protocol::crdt::Value, String> {
    json::parse(value.to_string().as_bytes()).map_err(|error| error.to_string())
}
