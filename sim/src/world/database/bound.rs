//! Somebody whom the rules of collections bind: what they ask, and what they may be told.

use super::content::{Place, Values};
use super::finding::wrong_answer;
use super::question::{Pick, Question};
use super::{Asked, DOCS, Docs, World, key_of};
use crate::coverage::Mark;
use crate::random::purpose;
use crate::report::OracleId;
use cosmicsync_data::collection::COLLECTIONS;
use cosmicsync_data::database::ask::{Query, Want};
use cosmicsync_data::database::request::{Answer, Name, Request, RequestError};
use cosmicsync_data::json;
use cosmicsync_data::rules::{Actor, Rules};
use cosmicsync_protocol::ids::PartNo;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whose documents these are whose member `a` says so.
const ACCOUNT: &str = "SECRET-x";

/// Which documents a rule lets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    None,
    All,
    /// Documents of the client itself.
    Own,
    /// Documents with a `b` of at least 1.
    Great,
}

/// Rules of collections: their canonical text, and which documents may be listed and seen.
const RULES: [(&str, Grant, Grant); 4] = [
    (r#"{"list":{},"view":{}}"#, Grant::All, Grant::All),
    (r#"{"list":{"a":{"$var":"auth.account"}},"view":{}}"#, Grant::Own, Grant::All),
    (r#"{"list":{"b":{"$gte":1}},"view":{"a":{"$var":"auth.account"}}}"#, Grant::Great, Grant::Own),
    (r#"{"view":{"b":{"$gte":1}}}"#, Grant::None, Grant::Great),
];

/// The rules with a number; none have the number 0.
pub(super) fn rules(number: u32) -> Option<Rules> {
    let (text, ..) = RULES.get((number as usize % (RULES.len() + 1)).checked_sub(1)?)?;
    let value = json::parse(text.as_bytes()).expect("rules are JSON");
    Some(Rules::from_value(&value).expect("rules that are drawn are some"))
}

/// Returns the client whom rules bind.
pub(super) fn actor() -> Arc<Actor> {
    let context = json::parse(format!(r#"{{"auth":{{"account":"{ACCOUNT}"}}}}"#).as_bytes()).expect("JSON");
    Arc::new(Actor { context, bound: true, reach: Vec::new() })
}

/// Documents of a collection that a client may be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    list: Grant,
    view: Grant,
}

impl Bounds {
    /// Reads the bounds of a collection from its description. Without rules, nothing may be shown.
    pub(super) fn of(docs: &Docs, place: Place) -> Self {
        let mut described = docs.values().filter(|found| {
            !found.meta.deleted
                && found.meta.collection.as_deref() == Some(COLLECTIONS)
                && found.meta.key.as_deref() == Some(place.collection)
        });
        let text = described.next().and_then(|found| found.value.entry("rules")?.as_text());
        let known = RULES.iter().find(|(known, ..)| Some(*known) == text);
        known.map_or(Self { list: Grant::None, view: Grant::None }, |(_, list, view)| Self { list: *list, view: *view })
    }

    /// The question about what may be listed; none if nothing may.
    pub(super) fn narrow(self, question: &Question) -> Option<Question> {
        Some(question.narrowed(self.list.pick()?))
    }
}

impl Grant {
    fn pick(self) -> Option<Pick> {
        match self {
            Self::None => None,
            Self::All => Some(Pick::all()),
            Self::Own => Some(Pick::own(ACCOUNT)),
            Self::Great => Some(Pick::great()),
        }
    }
}

pub(super) const fn is_forbidden(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed(RequestError::Forbidden { .. }))
}

impl World<'_> {
    /// Checks O21 at rest: a client whom rules bind is shown exactly the documents that the rules allow, and hidden
    /// documents are answered as absent ones.
    pub(super) fn check_bound(
        &mut self,
        peer: usize,
        place: Place,
        partition: PartNo,
        docs: &Docs,
        tag: u64,
    ) -> Option<()> {
        let bounds = Bounds::of(docs, place);
        let mut values = Values::of(self.keyed, self.keyed.draw(&[purpose::ASK, peer as u64, tag, 1]));
        let question = Question::draw(&mut values, DOCS.into());
        let query = question.query(partition, place.collection);
        let find = |query: &Query, want| Request::Find { query: Box::new(query.clone()), want };
        let whole = self.probe_as(peer, find(&query, Want::Docs))?;
        let count = self.probe_as(peer, find(&query, Want::Count))?;
        let wrong = match (bounds.narrow(&question), &whole, &count) {
            (None, whole, count) => {
                (!is_forbidden(whole) || !is_forbidden(count)).then(|| "nothing may be listed".to_owned())
            }
            (Some(narrow), Answer::Matches(matches), Answer::Count(count)) => {
                self.mark(Mark::BoundAsked);
                let is_whole = matches.bookmark.is_none();
                let wrong = wrong_answer(&narrow, place, docs, &BTreeSet::new(), &matches.docs, is_whole);
                let differs = is_whole && *count != matches.docs.len() as u64;
                wrong.or_else(|| differs.then(|| format!("{count} are counted")))
            }
            (Some(_), ..) => Some("what may be listed is refused".to_owned()),
        };
        self.stats.checks += 2;
        if let Some(wrong) = wrong {
            let text = format!("{wrong}, asked by one who is bound for {question} of {}", place.collection);
            self.violation(OracleId::O21, Some(peer), text);
        }
        for number in 0..=DOCS {
            self.check_named(peer, place, partition, docs, bounds, &key_of(number))?;
        }
        Some(())
    }

    /// One document, by its name.
    fn check_named(
        &mut self,
        peer: usize,
        place: Place,
        partition: PartNo,
        docs: &Docs,
        bounds: Bounds,
        key: &str,
    ) -> Option<()> {
        let name = Name::Key { collection: place.collection.to_owned(), key: key.to_owned() };
        let known = docs.values().find(|known| {
            known.meta.collection.as_deref() == Some(place.collection) && known.meta.key.as_deref() == Some(key)
        });
        let seen = self.probe_as(peer, Request::Get { partition, name: name.clone() })?;
        let looked = self.probe_as(peer, Request::Look { partition, name })?;
        self.stats.checks += 2;
        let is_let_out =
            |grant: Grant| known.filter(|known| grant.pick().is_some_and(|pick| pick.matches(Some(key), &known.value)));
        let seen_right = match (&seen, bounds.view) {
            (answer, Grant::None) => is_forbidden(answer),
            (Answer::Document(found), grant) => {
                let expected = is_let_out(grant).filter(|known| !known.meta.deleted);
                found.as_ref().map(|found| found.version) == expected.map(|known| known.version)
            }
            (_, _) => false,
        };
        let looked_right = match (&looked, bounds.list) {
            (answer, Grant::None) => is_forbidden(answer),
            (Answer::Snapshot(found), grant) => found.as_ref() == is_let_out(grant),
            (_, _) => false,
        };
        if !seen_right || !looked_right {
            let what = if seen_right { "looked at" } else { "seen" };
            let text =
                format!("{key} of {} is {what} otherwise than rules let it, by one who is bound", place.collection);
            self.violation(OracleId::O21, Some(peer), text);
        }
        Some(())
    }

    /// Asks as one who is bound, and waits for the answer at rest; none if the process ended.
    fn probe_as(&mut self, peer: usize, request: Request) -> Option<Answer> {
        let text: String = format!("{request:?}").chars().take(200).collect();
        let ticket = self.ask_as(peer, Some(actor()), Asked::ProbeBound, request)?;
        if !self.rest(peer) {
            return None;
        }
        let answer = self.nodes[peer].alive.as_deref_mut()?.desk.told.remove(&ticket);
        if answer.is_none() {
            self.violation(OracleId::O18, Some(peer), format!("no answer comes to {text}"));
        }
        answer
    }
}
