//! Carries out `account`, `rules`, `audit` and `login`.

use cosmicsync_node::service::{
    AccountChange, AccountCreate, Command, Reply, RulesSet, RulesTest, Secret, ServiceError, quoted,
};
use serde_json::Value;

use super::doc::json_argument;
use super::schema::read_json_file;
use super::{Failure, Run, usage};
use crate::cli::{AccountVerb, AuditVerb, LogVerb, Password, RulesVerb};
use crate::terminal;

/// Longest wait of a request for new log lines, in milliseconds.
const LOG_WAIT_MS: u64 = 25_000;
/// An example of rules, for messages.
const EXAMPLE: &str = r#"{"list": {}, "view": {}, "create": {"by": {"$var": "auth.account"}}}"#;

/// Carries out `account`.
pub(super) async fn account(run: &mut Run<'_>, verb: AccountVerb) -> Result<(), Failure> {
    let command = match verb {
        AccountVerb::Create { name, role, password, no_password } => {
            let password = if no_password { None } else { Some(run.password(&password)?) };
            Command::AccountCreate(AccountCreate { name, role: role.into(), password })
        }
        AccountVerb::List => Command::AccountList {},
        AccountVerb::Set { name, role, password, source } => {
            let changes = password || source.password_file.is_some();
            let password = if changes { Some(run.password(&source)?) } else { None };
            Command::AccountChange(AccountChange { name, role: role.map(Into::into), password })
        }
        AccountVerb::Remove { name } => Command::AccountRemove { name },
    };
    run.print(command).await
}

/// Carries out `rules`.
pub(super) async fn rules(run: &mut Run<'_>, verb: RulesVerb) -> Result<(), Failure> {
    let command = match verb {
        RulesVerb::Set { collection, rules, space } => {
            let rules = read(&rules, &format!("rules set {}", quoted(&collection)))?;
            Command::RulesSet(RulesSet { space: space.space, collection, rules })
        }
        RulesVerb::Show { collection, space } => Command::RulesShow { space: space.space, collection },
        RulesVerb::Test { collection, account, key, value, rules, space } => {
            let command = format!("rules test {} --account {}", quoted(&collection), quoted(&account));
            let value = value.map(|value| json_argument(&value, "a value", &format!("{command} --value"), "{}"));
            let rules = rules.map(|rules| read(&rules, &format!("{command} --value '{{}}' --rules")));
            let (value, rules) = (value.transpose()?, rules.transpose()?);
            Command::RulesTest(RulesTest { space: space.space, collection, account, key, value, rules })
        }
        RulesVerb::Drop { collection, space } => {
            Command::RulesSet(RulesSet { space: space.space, collection, rules: Value::Null })
        }
    };
    run.print(command).await
}

/// Carries out `audit`.
pub(super) async fn audit(run: &mut Run<'_>, verb: AuditVerb) -> Result<(), Failure> {
    let AuditVerb::List { limit, before } = verb;
    run.print(Command::AuditList { before, limit }).await
}

/// Carries out `log`.
pub(super) async fn log(run: &mut Run<'_>, verb: LogVerb) -> Result<(), Failure> {
    let LogVerb::Show { limit, follow } = verb;
    let mut after = None;
    loop {
        let wait_ms = if after.is_some() { LOG_WAIT_MS } else { 0 };
        let reply = run.call(Command::LogRead { after, limit, wait_ms }).await?;
        run.output.reply(&reply)?;
        run.output.writer.flush()?;
        let Reply::Log(page) = reply else { return Ok(()) };
        if !follow {
            return Ok(());
        }
        after = Some(page.next);
    }
}

/// Carries out `login`.
pub(super) async fn login(run: &mut Run<'_>) -> Result<(), Failure> {
    let reply = run.call(Command::LinkMake {}).await?;
    if let Reply::Link(link) = &reply
        && !link.link.0.starts_with("http")
    {
        let message = "the node serves no HTTP";
        return Err(usage(message.to_owned()).next("cosmicsync up --http 127.0.0.1:7521").into());
    }
    run.output.reply(&reply)?;
    if !run.global.quiet && run.surroundings.stderr_tty {
        terminal::note("It opens the console as an owner, once, within 15 minutes.");
    }
    Ok(())
}

/// Reads rules from the argument, stdin or a file.
fn read(argument: &str, command: &str) -> Result<Value, ServiceError> {
    read_json_file(argument, "rules", command, EXAMPLE)
}

impl Run<'_> {
    fn password(&self, source: &Password) -> Result<Secret, ServiceError> {
        match self.surroundings.secret("password", source.password_file.as_deref())? {
            Some(password) => Ok(password),
            None => terminal::ask_secret("password", true),
        }
    }
}
