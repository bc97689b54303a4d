//! `x-crdt`: the ways in which members merge; and the values that the node fills in: defaults and times
//! (`spec/schemas.md`).

use super::{Containers, NODES_MAX, Schema, SchemaError, SchemaProblem, Violation, at};
use crate::json_patch::{pointer, show};
use cosmicsync_protocol::crdt::{Change, Step, TextStep, Value};
use cosmicsync_protocol::documents::Edit;
use std::collections::BTreeSet;

/// The text that stands for the time of the write.
const NOW: &str = "$now";

/// Keywords whose subschemas apply to the same value, so they also define how it merges.
const IN_PLACE: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Collects the ways in which members merge.
pub(super) fn containers(schema: &Value) -> Result<Containers, SchemaError> {
    let mut gathered = Gathered { schema, containers: Containers::default(), within: BTreeSet::new(), looks: 0 };
    gathered.look(Vec::new(), &mut Vec::new())?;
    Ok(gathered.containers)
}

struct Gathered<'a> {
    schema: &'a Value,
    containers: Containers,
    /// The `$ref`s being followed; a recursive schema is followed once.
    within: BTreeSet<Vec<String>>,
    /// Number of subschemas examined; one is examined once for each way to it.
    looks: usize,
}

impl Gathered<'_> {
    /// Examines the subschema at a place, which defines how the value at a path merges. Recursion ends at a recursive
    /// `$ref`, and is as deep as the schema.
    fn look(&mut self, place: Vec<String>, path: &mut Vec<TextStep>) -> Result<(), SchemaError> {
        self.looks += 1;
        if self.looks > NODES_MAX {
            return Err(SchemaError { pointer: show(&place), problem: SchemaProblem::TooMany });
        }
        let Some(Value::Map(members)) = at(self.schema, &place) else { return Ok(()) };
        let below = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            place.iter().cloned().chain(names).collect::<Vec<_>>()
        };
        if let Some(container) = members.get("x-crdt") {
            self.declare(container, members.get("type").and_then(Value::as_text), path)
                .map_err(|problem| SchemaError { pointer: show(&place), problem })?;
        }
        for name in members.get("properties").and_then(Value::as_map).into_iter().flat_map(|named| named.keys()) {
            path.push(TextStep::Key(name.clone()));
            self.look(below(&["properties", name]), path)?;
            path.pop();
        }
        if members.contains_key("items") && !members.contains_key("prefixItems") {
            path.push(TextStep::Each);
            self.look(below(&["items"]), path)?;
            path.pop();
        }
        for keyword in IN_PLACE {
            let count = members.get(keyword).and_then(Value::as_list).map_or(0, Vec::len);
            for index in 0..count {
                self.look(below(&[keyword, &index.to_string()]), path)?;
            }
        }
        for keyword in ["then", "else"] {
            self.look(below(&[keyword]), path)?;
        }
        let target = members.get("$ref").and_then(Value::as_text).and_then(|text| pointer(text.strip_prefix('#')?));
        if let Some(target) = target
            && self.within.insert(target.clone())
        {
            self.look(target.clone(), path)?;
            self.within.remove(&target);
        }
        Ok(())
    }

    fn declare(&mut self, container: &Value, of: Option<&str>, path: &[TextStep]) -> Result<(), SchemaProblem> {
        let wrong = |wanted| SchemaProblem::Form { keyword: "x-crdt", wanted };
        let name = container.as_text().ok_or(wrong("a text"))?;
        let needs = |container, wanted| {
            if of == Some(wanted) { Ok(()) } else { Err(SchemaProblem::ContainerType { container, wanted }) }
        };
        let is_member = matches!(path.last(), Some(TextStep::Key(_)));
        let here = |paths: &mut cosmicsync_protocol::crdt::TextPaths| paths.insert(path.to_vec());
        match name {
            "text" if path.is_empty() => return Err(SchemaProblem::ContainerPlace("text")),
            "text" => {
                needs("text", "string")?;
                here(&mut self.containers.texts);
            }
            "counter" | "timestamp" if !is_member => return Err(SchemaProblem::ContainerPlace("counter or timestamp")),
            "counter" => {
                needs("counter", "integer")?;
                here(&mut self.containers.counters);
            }
            "timestamp" => {
                needs("timestamp", "integer")?;
                here(&mut self.containers.timestamps);
            }
            "list" => needs("list", "array")?,
            "map" => needs("map", "object")?,
            // A list or an object merges by its parts, however it is declared.
            "register" if matches!(of, Some("array" | "object")) => {
                return Err(SchemaProblem::ContainerType {
                    container: "register",
                    wanted: "string, number or boolean",
                });
            }
            "register" => {}
            other => return Err(SchemaProblem::Container(other.to_owned())),
        }
        Ok(())
    }
}

impl Schema {
    /// Adds defaults for missing members to a document of a put.
    pub fn complete(&self, value: &mut Value) {
        complete(&self.source, &self.source, value);
    }

    /// Completes an imported document and checks it. Returns its key, if it has one, and its value.
    ///
    /// # Errors
    /// The document's violations of the schema.
    pub fn admit(
        &self,
        key: Option<String>,
        mut value: Value,
        now_ms: u64,
    ) -> Result<(Option<String>, Value), Vec<Violation>> {
        self.complete(&mut value);
        self.stamp(&mut value, now_ms);
        let key = key.or_else(|| self.key_of(&value));
        let violations = self.violations(&value, key.as_deref());
        if violations.is_empty() { Ok((key, value)) } else { Err(violations) }
    }

    /// Replaces `"$now"` at timestamps of a document of a put by the time of the write.
    pub fn stamp(&self, value: &mut Value, now_ms: u64) {
        self.stamp_at(&mut Vec::new(), value, now_ms);
    }

    /// Replaces `"$now"` at timestamps of edits by the time of the write, and turns the setting of a counter into an
    /// addition. If two devices set a counter concurrently, both changes are added.
    pub fn finish(&self, edits: &mut [Edit], current: Option<&Value>, now_ms: u64) {
        for edit in edits {
            match edit {
                Edit::Create { value, .. } => self.stamp(value, now_ms),
                Edit::Apply(changes) => changes.iter_mut().for_each(|change| self.finish_one(change, current, now_ms)),
                Edit::SetDeleted(_) | Edit::Undo { .. } => {}
            }
        }
    }

    fn finish_one(&self, change: &mut Change, current: Option<&Value>, now_ms: u64) {
        match change {
            Change::Set { path, value } => {
                self.stamp_at(&mut path.clone(), value, now_ms);
                let stands = current.and_then(|current| stands(current, path)?.as_int());
                if let (true, Some(stands), Some(wanted)) =
                    (self.containers.counters.contains(path), stands, value.as_int())
                {
                    // A difference beyond 64 bits saturates.
                    let by = wanted.saturating_sub(stands);
                    *change = Change::Add { path: core::mem::take(path), by };
                }
            }
            Change::Insert { path, index, values } => {
                for (value, at) in values.iter_mut().zip(*index..) {
                    let mut path = path.clone();
                    path.push(Step::Index(at));
                    self.stamp_at(&mut path, value, now_ms);
                }
            }
            Change::Remove { .. } | Change::Delete { .. } | Change::Splice { .. } | Change::Add { .. } => {}
        }
    }

    fn stamp_at(&self, path: &mut Vec<Step>, value: &mut Value, now_ms: u64) {
        let timestamps = &self.containers.timestamps;
        if !timestamps.is_empty() {
            let now = Value::Int(i64::try_from(now_ms).unwrap_or(i64::MAX));
            walk(path, value, &mut |path, value| {
                if value.as_text() == Some(NOW) && timestamps.contains(path) {
                    *value = now.clone();
                }
            });
        }
    }
}

/// Returns the value at a path.
fn stands<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |here, step| match step {
        Step::Key(key) => here.entry(key),
        Step::Index(index) => here.as_list()?.get(*index),
    })
}

/// Visits a value and everything in it. Recursion is as deep as the value.
fn walk(path: &mut Vec<Step>, value: &mut Value, visit: &mut impl FnMut(&mut Vec<Step>, &mut Value)) {
    visit(path, value);
    match value {
        Value::Map(entries) => {
            for (name, value) in entries {
                path.push(Step::Key(name.clone()));
                walk(path, value, visit);
                path.pop();
            }
        }
        Value::List(items) => {
            for (at, value) in items.iter_mut().enumerate() {
                path.push(Step::Index(at));
                walk(path, value, visit);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => {}
    }
}

/// Adds defaults to an object in the value. Defaults get no defaults themselves, so the recursion ends: the compiler
/// limits the nesting on one value, and the search for containers limits the ways to a subschema.
fn complete(root: &Value, schema: &Value, value: &mut Value) {
    let target = schema.entry("$ref").and_then(Value::as_text).and_then(|text| pointer(text.strip_prefix('#')?));
    if let Some(target) = target.and_then(|place| at(root, &place)) {
        complete(root, target, value);
    }
    for part in schema.entry("allOf").and_then(Value::as_list).into_iter().flatten() {
        complete(root, part, value);
    }
    let (Some(Value::Map(properties)), Value::Map(members)) = (schema.entry("properties"), value) else { return };
    for (name, schema) in properties {
        match (members.get_mut(name), schema.entry("default")) {
            (Some(value), _) => complete(root, schema, value),
            (None, Some(default)) => drop(members.insert(name.clone(), default.clone())),
            (None, None) => {}
        }
    }
}
