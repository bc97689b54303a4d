//! Commands about the rules of collections.

use super::Acting;
use super::accounts::no_account;
use super::acting::actor_of;
use super::docs::value_of;
use super::handle::unexpected;
use crate::service::{
    ErrorCode, Need, Reason, Reply, Rules, RulesSet, RulesTest, Scope, ServiceError, SpaceRef, Token, Verdict, Who,
};
use cosmicsync_data::database::request::{Answer, Name, Request};
use cosmicsync_data::query::Subject;
use cosmicsync_data::rules::{self, Deed};
use cosmicsync_data::{Value, json};
use cosmicsync_protocol::ids::{DocId, PartNo};

impl Acting<'_> {
    pub(super) async fn rules_set(&self, set: RulesSet) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let RulesSet { space, collection, rules } = set;
        let rules = if rules.is_null() { None } else { Some(read(&rules)?) };
        let partition = self.partition_of(space).await?;
        let shown = rules.as_ref().map_or(serde_json::Value::Null, |rules| json::to_json(&rules.to_value()));
        let request = Request::Rules { partition, collection: collection.clone(), rules };
        match self.handle()?.ask(move |_| Ok(request)).await? {
            Answer::Done => {}
            _ => return Err(unexpected()),
        }
        self.note_audit("rules_set", &collection, true).await;
        Ok(Reply::Rules(Rules { collection, rules: shown }))
    }

    pub(super) async fn rules_show(&self, space: SpaceRef, collection: String) -> Result<Reply, ServiceError> {
        let partition = self.partition_of(space).await?;
        let rules = self.rules_of(partition, &collection).await?;
        let rules = rules.map_or(serde_json::Value::Null, |rules| json::to_json(&rules.to_value()));
        Ok(Reply::Rules(Rules { collection, rules }))
    }

    pub(super) async fn rules_test(&self, test: RulesTest) -> Result<Reply, ServiceError> {
        let RulesTest { space, collection, account, key, value, rules } = test;
        let partition = self.partition_of(space.clone()).await?;
        let rules = match rules {
            Some(rules) => Some(read(&rules)?),
            None => self.rules_of(partition, &collection).await?,
        };
        let (doc, value) = match (&key, value) {
            (_, Some(value)) => (DocId::default(), value_of(&value)?),
            (Some(key), None) => self.value_of_key(partition, &collection, key).await?,
            (None, None) => {
                let message = "a test needs the key of a document, or a value";
                return Err(ServiceError::new(ErrorCode::Usage, message));
            }
        };
        let of = account.clone();
        let role = self.handle()?.with(move |core| core.accounts.role_of(&of)).await?;
        let role = role.ok_or_else(|| no_account(&account))?;
        let token = Token {
            name: "rules test".to_owned(),
            scope: Scope::Write,
            created_at: 0,
            expires_at: None,
            account: Some(account),
            only: Vec::new(),
            session: true,
            issuer: None,
        };
        let who = Who { token, role };
        let asked = who.clone();
        let (actor, no) = self
            .handle()?
            .with(move |core| Some((actor_of(core, &asked), core.db.endpoint().space_of(partition)?)))
            .await?
            .ok_or_else(unexpected)?;
        let subject = Subject { key: key.as_deref(), ..Subject::new(&value, doc) };
        let verdict = |deed: Deed| {
            let need = if deed.writes() { Need::Write } else { Need::Read };
            let (allowed, why) = if !need.is_met_by(role) {
                (false, "role")
            } else if !role.is_bound() {
                (true, "free")
            } else {
                match actor.may(no, &collection, deed, rules.as_ref()) {
                    None => (false, "locked"),
                    Some(rule) => (rule.matches(&subject), "rule"),
                }
            };
            Verdict { deed: deed.name().to_owned(), allowed, why: why.to_owned() }
        };
        Ok(Reply::Verdicts(Deed::ALL.into_iter().map(verdict).collect()))
    }

    async fn rules_of(&self, partition: PartNo, collection: &str) -> Result<Option<rules::Rules>, ServiceError> {
        Ok(self.description_of(partition, collection).await?.and_then(|meta| meta.rules))
    }

    async fn value_of_key(
        &self,
        partition: PartNo,
        collection: &str,
        key: &str,
    ) -> Result<(DocId, Value), ServiceError> {
        let name = Name::Key { collection: collection.to_owned(), key: key.to_owned() };
        match self.handle()?.ask(move |_| Ok(Request::Get { partition, name })).await? {
            Answer::Document(Some(found)) => Ok((found.doc, found.value.unwrap_or(Value::Null))),
            Answer::Document(None) => {
                let message = format!("there is no document {collection}/{key}");
                Err(ServiceError::new(ErrorCode::NotFound, message).because(Reason::NoDocument))
            }
            _ => Err(unexpected()),
        }
    }
}

fn read(rules: &serde_json::Value) -> Result<rules::Rules, ServiceError> {
    rules::Rules::from_value(&value_of(rules)?)
        .map_err(|error| ServiceError::new(ErrorCode::Usage, error.to_string()).because(Reason::BadRules))
}
