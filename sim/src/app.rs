//! Apps under simulation: their schemas, users and rules.
//!
//! An [`App`] is built from closures. [`App::plan`] replaces the work of a plan, from [`generate()`] or a scenario, by
//! steps of the app's users, and keeps the faults. [`App::run`] runs it. At each step a user sees the content of its
//! device and returns writes; the next step on that device waits until they are answered. Rules of [`App::always`] are
//! checked before each step and at the end, those of [`App::at_rest`] at the end. Guide:
//! `docs/guides/simulate-your-app.md`. Example: `sim/examples/own_app.rs`.
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

/// The writes of a step, as one transaction.
pub type Writes = Vec<Intent>;

type User = Box<dyn Fn(&Observation, &mut Draw) -> Writes + Send + Sync>;
type Holds = Box<dyn Fn(&Observation) -> Result<(), String> + Send + Sync>;

/// A rule of an app.
struct Rule {
    name: String,
    at_rest: bool,
    holds: Holds,
}

/// The schemas, users and rules of an app.
///
/// Its closures must not keep state between calls: a run depends on its plan alone.
///
/// ```
/// use cosmicsync_sim::app::put;
/// use cosmicsync_sim::{App, Profile, generate};
/// use serde_json::json;
///
/// let app = App::new()
///     .user(|seen, draw| {
///         let note = json!({ "by": seen.peer });
///         put("notes", &draw.step().to_string(), &note).into_iter().collect()
///     })
///     .always("notes have an author", |seen| {
///         let nobody = seen.collection("notes").find(|(_, note)| note["by"].is_null());
///         nobody.map_or(Ok(()), |(key, _)| Err(format!("note {key}")))
///     });
/// let plan = app.plan(generate(1, &Profile::default()));
/// let report = app.run(&plan).expect("the plan can be run");
/// assert!(report.is_ok(), "{:?}", report.violations);
/// ```
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

/// The durable content of a device in the partition `main`.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The peer's number.
    pub peer: usize,
    /// True if all devices agree.
    pub at_rest: bool,
    documents: BTreeMap<(String, String), Value>,
}

impl Observation {
    pub(crate) const fn new(peer: usize, at_rest: bool, documents: BTreeMap<(String, String), Value>) -> Self {
        Self { peer, at_rest, documents }
    }

    /// Returns a document, if it exists.
    pub fn get(&self, collection: &str, key: &str) -> Option<&Value> {
        self.documents.get(&(collection.to_owned(), key.to_owned()))
    }

    /// Returns the keys and documents of a collection, in the order of keys.
    pub fn collection<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let of = self.documents.iter().filter(move |((collection, _), _)| collection == name);
        of.map(|((_, key), value)| (key.as_str(), value))
    }
}

/// Random values for one step, the same in each run of a plan.
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

    /// Returns a number that no other step of the plan has.
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// Returns a number below `bound`, or 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.count += 1;
        self.keyed.below(&[crate::random::purpose::APP, self.step, self.count], bound)
    }

    /// Returns true once in `times` on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Returns one of several values.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

impl App {
    /// Makes an app without schemas, users and rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the schema of a collection on each device that starts. The names `cats` and `dogs` are reserved.
    ///
    /// # Errors
    /// If the schema is invalid.
    pub fn schema(mut self, collection: &str, schema: &Value) -> Result<Self, String> {
        let schema = Schema::new(&value(schema)?).map_err(|error| error.to_string())?;
        self.schemas.push((collection.to_owned(), Arc::new(schema)));
        Ok(self)
    }

    /// Sets the function that returns a user's writes at each step.
    pub fn user(mut self, user: impl Fn(&Observation, &mut Draw) -> Writes + Send + Sync + 'static) -> Self {
        self.user = Some(Box::new(user));
        self
    }

    /// Adds a rule that must hold on each device at any moment.
    pub fn always(
        mut self,
        name: &str,
        holds: impl Fn(&Observation) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Rule { name: name.to_owned(), at_rest: false, holds: Box::new(holds) });
        self
    }

    /// Adds a rule that must hold on each device once all agree.
    pub fn at_rest(
        mut self,
        name: &str,
        holds: impl Fn(&Observation) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Rule { name: name.to_owned(), at_rest: true, holds: Box::new(holds) });
        self
    }

    /// Replaces the work of a plan by steps of the app's users, on the same peers at the same times. Faults stay.
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

    /// Runs a plan to its end. A broken rule is reported as [`OracleId::App`], with its name.
    ///
    /// [`OracleId::App`]: crate::OracleId::App
    ///
    /// # Errors
    /// If the plan refers to a missing peer, link or document.
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

    /// Searches for the smallest plan that fails in the same way, as [`shrink`](crate::shrink::shrink) does.
    ///
    /// # Errors
    /// If the plan cannot be run, or does not fail.
    pub fn shrink(&self, plan: &Plan, runs_max: u64, progress: impl FnMut(Progress)) -> Result<Shrunk, ShrinkError> {
        shrink_with(plan, runs_max, progress, |plan| self.run(plan))
    }

    pub(crate) fn schemas(&self) -> &[(String, Arc<Schema>)] {
        &self.schemas
    }

    pub(crate) fn step(&self, seen: &Observation, draw: &mut Draw) -> Writes {
        self.user.as_ref().map(|user| user(seen, draw)).unwrap_or_default()
    }

    /// Returns the broken rules, each with its name and text.
    pub(crate) fn broken(&self, seen: &Observation) -> Vec<String> {
        let rules = self.rules.iter().filter(|rule| seen.at_rest || !rule.at_rest);
        rules.filter_map(|rule| Some(format!("{}: {}", rule.name, (rule.holds)(seen).err()?))).collect()
    }
}

/// Stores a document whole.
///
/// # Errors
/// If documents cannot hold a value of the JSON text.
pub fn put(collection: &str, key: &str, document: &Value) -> Result<Intent, String> {
    Ok(intent(collection, key, Action::Put { value: value(document)?, texts: TextPaths::none() }))
}

/// Changes members of a document by a merge patch (RFC 7396).
///
/// # Errors
/// If documents cannot hold a value of the JSON text.
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
