//! Formats accounts, tokens, rules and the audit log for display.

use cosmicsync_node::service::{Account, Audited, LogPage, Only, Scope, Token, Verdict, utc_text};

use crate::table::Table;

/// Returns a table of tokens.
pub(crate) fn tokens(tokens: &[Token]) -> Table {
    let mut table = Table::new(&["TOKEN", "FOR", "ALLOWS", "ONLY", "MADE", "ENDS"]);
    for token in tokens {
        let ends = token.expires_at.map(utc_text).unwrap_or_default();
        let account = token.account.clone().unwrap_or_else(|| "an owner".to_owned());
        let only: Vec<String> = token.only.iter().map(part).collect();
        let allows = name_of(token.scope).to_owned();
        table.row([token.name.clone(), account, allows, only.join(" "), utc_text(token.created_at), ends]);
    }
    table
}

const fn name_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
    }
}

/// Returns a part of a node in the form of `--only`.
fn part(only: &Only) -> String {
    let space = only.space.as_deref().unwrap_or_default();
    let collection = only.collection.as_ref().map(|collection| format!("/{collection}")).unwrap_or_default();
    let read = if only.scope == Scope::Read { ":read" } else { "" };
    format!("{space}{collection}{read}")
}

/// Returns a table of accounts.
pub(crate) fn accounts(accounts: &[Account]) -> Table {
    let mut table = Table::new(&["ACCOUNT", "ROLE", "LOGS IN", "MADE"]);
    for account in accounts {
        let logs_in = if account.password { "yes" } else { "no" };
        let role = account.role.name().to_owned();
        table.row([account.name.clone(), role, logs_in.to_owned(), utc_text(account.created_at)]);
    }
    table
}

/// Returns a table of audit entries.
pub(crate) fn audit(rows: &[Audited]) -> Table {
    let mut table = Table::new(&["NUMBER", "TIME", "WHO", "WHAT", "ABOUT", "DONE"]);
    for row in rows {
        let done = if row.done { "yes" } else { "no" };
        let (who, what, about) = (row.who.clone(), row.what.clone(), row.about.clone());
        table.row([row.number.to_string(), utc_text(row.at), who, what, about, done.to_owned()]);
    }
    table
}

/// Returns the lines of a log as text.
pub(crate) fn log(page: &LogPage) -> impl Iterator<Item = String> {
    let missed = (page.missed > 0).then(|| format!("... {} lines are no longer kept", page.missed));
    let lines = page.lines.iter().map(|line| {
        let level = line.level.to_ascii_uppercase();
        crate::clean::single_line(&format!("{} {level:>5} {}", utc_text(line.at), line.message))
    });
    missed.into_iter().chain(lines)
}

/// Returns a table of an account's permissions on a document.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(&["RULE", "ALLOWED", "WHY"]);
    for verdict in verdicts {
        let allowed = if verdict.allowed { "yes" } else { "no" };
        let why = match verdict.why.as_str() {
            "role" => "the role does not allow it",
            "locked" => "there is no such rule",
            "free" => "rules do not bind the role",
            _ if verdict.allowed => "the rule matches",
            _ => "the rule does not match",
        };
        table.row([verdict.deed.clone(), allowed.to_owned(), why.to_owned()]);
    }
    table
}
