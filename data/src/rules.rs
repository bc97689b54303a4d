//! The rules of a collection: the documents that an actor may list, view, create, update and delete.
//!
//! A rule is a [selector](crate::query) of the documents with which a deed is allowed. The selector may contain
//! variables such as `{"$var": "auth.account"}`, which are bound to properties of the actor. Rules limit clients of a
//! node's HTTP API, never other devices, because those hold the keys. Specified in `spec/rules.md`.

use crate::json;
use crate::query::{Selector, parse};
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::sync::SpaceNo;
use std::collections::BTreeMap;

/// Name of the member of a collection's description with the rules.
pub(crate) const RULES: &str = "rules";

/// An operation on a document that rules allow or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Finding it by a query, counting it, or following its changes.
    List,
    /// Reading it by its name, with its versions.
    View,
    /// Creating it, or restoring it.
    Create,
    /// Changing it: the rule must match the document before and after.
    Update,
    /// Deleting it.
    Delete,
}

impl Deed {
    /// All deeds.
    pub const ALL: [Self; 5] = [Self::List, Self::View, Self::Create, Self::Update, Self::Delete];

    /// Returns the deed's name, which is also the name of its rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::View => "view",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Returns whether the deed changes the document.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }
}

/// The rules of a collection. A deed without a rule is locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    selectors: BTreeMap<Deed, Selector>,
    /// The rules as they were written.
    written: BTreeMap<String, Value>,
}

/// Reasons for a value not to be rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The value is not an object.
    #[error("rules are an object with the members list, view, create, update and delete")]
    NotObject,
    /// A member has an unknown name.
    #[error("there is no rule {0:?}: there are list, view, create, update and delete")]
    NoSuchRule(String),
    /// A rule uses an unknown variable.
    #[error("the rule {}: there is no variable {:?}: there are auth.account, auth.role, auth.token and now", .0.name(), .1)]
    NoSuchVariable(Deed, String),
    /// A rule is not a selector.
    #[error("the rule {}: {}", .0.name(), .1)]
    Selector(Deed, String),
}

/// The variables of rules.
const VARIABLES: [&str; 4] = ["auth.account", "auth.role", "auth.token", "now"];

/// Returns a variable of a rule that does not exist. Recursion is limited, because the rule was parsed before.
fn unknown_variable(rule: &Value) -> Option<&str> {
    match rule {
        Value::Map(members) => members.iter().find_map(|(name, value)| match value.as_text() {
            Some(variable) if name == "$var" => (!VARIABLES.contains(&variable)).then_some(variable),
            _ => unknown_variable(value),
        }),
        Value::List(items) => items.iter().find_map(unknown_variable),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_) => None,
    }
}

/// Longest unknown name that an error repeats, in characters.
const SHOWN_MAX: usize = 64;

impl Rules {
    /// Parses rules: a selector for each deed, or null for a locked one.
    pub fn from_value(value: &Value) -> Result<Self, RulesError> {
        let Value::Map(members) = value else { return Err(RulesError::NotObject) };
        let mut rules = Self::default();
        for (name, rule) in members {
            let deed = Deed::ALL.into_iter().find(|deed| deed.name() == name);
            let deed = deed.ok_or_else(|| RulesError::NoSuchRule(name.chars().take(SHOWN_MAX).collect()))?;
            if *rule != Value::Null {
                let selector =
                    parse::from_value(rule).map_err(|error| RulesError::Selector(deed, error.to_string()))?;
                if let Some(variable) = unknown_variable(rule) {
                    return Err(RulesError::NoSuchVariable(deed, variable.chars().take(SHOWN_MAX).collect()));
                }
                rules.selectors.insert(deed, selector);
                rules.written.insert(name.clone(), rule.clone());
            }
        }
        Ok(rules)
    }

    /// Returns the rules as a value for [`Self::from_value`].
    pub fn to_value(&self) -> Value {
        self.written.iter().map(|(name, rule)| (name.as_str(), rule.clone())).collect()
    }

    /// Reads the rules of a stored description; `None` if it has none. Rules that are not readable here lock every
    /// deed.
    pub fn of(description: &Value) -> Option<Self> {
        let text = description.entry(RULES)?.as_text();
        let value = text.and_then(|text| json::parse(text.as_bytes()).ok());
        Some(value.and_then(|value| Self::from_value(&value).ok()).unwrap_or_default())
    }

    /// Returns the rules as a member of the description. The member is one text, so if two devices set rules, one set
    /// wins as a whole.
    pub(crate) fn member(&self) -> Value {
        json::to_json(&self.to_value()).to_string().into()
    }

    /// Returns the rule of a deed; `None` if the deed is locked.
    pub fn rule(&self, deed: Deed) -> Option<&Selector> {
        self.selectors.get(&deed)
    }
}

/// The originator of a request whose rights are limited.
#[derive(Debug, Clone, PartialEq)]
pub struct Actor {
    /// Values for the variables of rules: a map such as `{"auth": {"account": "ada"}}`.
    pub context: Value,
    /// True if the rules of collections apply.
    pub bound: bool,
    /// Spaces and collections that the actor may use; if empty, all of them.
    pub reach: Vec<Reach>,
}

/// A space or collection that an actor may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The space; `None` means every space.
    pub space: Option<SpaceNo>,
    /// The collection; `None` means every collection.
    pub collection: Option<String>,
    /// True if its documents may be changed.
    pub writes: bool,
}

impl Actor {
    /// Returns whether a deed in a collection is within the actor's reach, whatever the rules say.
    pub fn reaches(&self, space: SpaceNo, collection: &str, deed: Deed) -> bool {
        let is_in_reach = |reach: &Reach| {
            reach.space.is_none_or(|one| one == space)
                && reach.collection.as_ref().is_none_or(|one| one == collection)
                && (reach.writes || !deed.writes())
        };
        self.reach.is_empty() || self.reach.iter().any(is_in_reach)
    }

    /// Returns the selector of the documents with which a deed is allowed; `None` if it is never allowed.
    pub fn may(&self, space: SpaceNo, collection: &str, deed: Deed, rules: Option<&Rules>) -> Option<Selector> {
        if !self.reaches(space, collection, deed) {
            return None;
        }
        if !self.bound {
            return Some(Selector::All(Vec::new()));
        }
        rules?.rule(deed).map(|rule| rule.bind(&self.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Subject;
    use cosmicsync_protocol::ids::DocId;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes()).unwrap()
    }

    fn actor(bound: bool, reach: Vec<Reach>) -> Actor {
        Actor { context: value(r#"{"auth":{"account":"ada"}}"#), bound, reach }
    }

    #[test]
    fn rules_survive_being_a_member() {
        let rules = Rules::from_value(&value(r#"{"list":{},"update":{"by":{"$var":"auth.account"}},"view":null}"#));
        let rules = rules.unwrap();
        let description: Value = [("name", Value::from("c")), (RULES, rules.member())].into_iter().collect();
        assert_eq!(Rules::of(&description), Some(rules));
        assert_eq!(Rules::of(&value(r#"{"name":"c"}"#)), None);
        // Rules that are not readable allow nothing.
        for unreadable in [r#"{"rules":"no"}"#, r#"{"rules":7}"#, r#"{"rules":"{\"list\":{\"a\":{\"$later\":1}}}"}"#] {
            assert_eq!(Rules::of(&value(unreadable)), Some(Rules::default()));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (text, shown) in [
            ("[]", "rules are an object"),
            (r#"{"lists":{}}"#, "no rule \"lists\""),
            (r#"{"list":{"a":{"$than":1}}}"#, "the rule list: "),
            (r#"{"view":{"$or":[{"a":1},{"b":{"$var":"auth.acount"}}]}}"#, "no variable \"auth.acount\""),
        ] {
            let error = Rules::from_value(&value(text)).unwrap_err().to_string();
            assert!(error.contains(shown), "{error}");
        }
    }

    #[test]
    fn a_rule_asks_who_asks() {
        let rules =
            Rules::from_value(&value(r#"{"list":{"by":{"$var":"auth.account"}},"view":{"by":{"$var":"auth.token"}}}"#));
        let rules = rules.unwrap();
        let (own, other) = (value(r#"{"by":"ada"}"#), value(r#"{"by":"bob"}"#));
        let space = SpaceNo(1);
        let list = actor(true, Vec::new()).may(space, "c", Deed::List, Some(&rules)).unwrap();
        assert!(list.matches(&Subject::new(&own, DocId::default())));
        assert!(!list.matches(&Subject::new(&other, DocId::default())));
        // An unbound variable matches nothing.
        let view = actor(true, Vec::new()).may(space, "c", Deed::View, Some(&rules)).unwrap();
        assert!(!view.matches(&Subject::new(&own, DocId::default())));
        assert_eq!(actor(true, Vec::new()).may(space, "c", Deed::Create, Some(&rules)), None);
        assert_eq!(actor(true, Vec::new()).may(space, "c", Deed::List, None), None);
        assert!(actor(false, Vec::new()).may(space, "c", Deed::Delete, None).is_some());
    }

    #[test]
    fn reach_ends_where_it_says() {
        let (space, other) = (SpaceNo(1), SpaceNo(2));
        let reach = Reach { space: Some(space), collection: Some("c".to_owned()), writes: false };
        let actor = actor(false, vec![reach]);
        assert!(actor.may(space, "c", Deed::View, None).is_some());
        assert_eq!(actor.may(space, "c", Deed::Update, None), None);
        assert_eq!(actor.may(space, "d", Deed::View, None), None);
        assert_eq!(actor.may(other, "c", Deed::View, None), None);
        assert!(actor.reaches(space, "c", Deed::View) && !actor.reaches(space, "c", Deed::Update));
        assert!(!actor.reaches(space, "d", Deed::View) && !actor.reaches(other, "c", Deed::View));
    }
}
