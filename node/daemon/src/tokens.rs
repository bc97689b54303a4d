//! Tokens as people read them.

use cosmicsync_node::service::{Scope, Token, utc_text};

use crate::table::Table;

/// A table of tokens.
pub(crate) fn table(tokens: &[Token]) -> Table {
    let mut table = Table::new(&["TOKEN", "ALLOWS", "MADE", "ENDS"]);
    for token in tokens {
        let scope = match token.scope {
            Scope::Read => "read",
            Scope::Write => "write",
        };
        let ends = token.expires_at.map(utc_text).unwrap_or_default();
        table.row([token.name.clone(), scope.to_owned(), utc_text(token.created_at), ends]);
    }
    table
}
