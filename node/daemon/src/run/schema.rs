//! Carries out `schema`.

use cosmicsync_node::service::{Command, Reply, SchemaSet, ServiceError, quoted};
use serde_json::Value;
use std::fs::File;
use std::io::Read as _;

use super::doc::json_argument;
use super::{Failure, Run, usage};
use crate::cli::SchemaVerb;

/// Longest file that is read as a schema or as rules, in bytes. Valid ones are shorter.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// An example of a schema, for messages.
const EXAMPLE: &str = r#"{"required": ["name"], "properties": {"name": {"type": "string"}}}"#;

/// Carries out `schema`.
pub(super) async fn schema(run: &mut Run<'_>, verb: SchemaVerb) -> Result<(), Failure> {
    let is_check = matches!(verb, SchemaVerb::Check { .. });
    let command = match verb {
        SchemaVerb::Set { collection, schema, force, dry_run, space } => {
            let command = format!("schema set {}", quoted(&collection));
            let schema = read_json_file(&schema, "a schema", &command, EXAMPLE)?;
            Command::SchemaSet(SchemaSet { space: space.space, collection, schema, force, dry_run })
        }
        SchemaVerb::Show { collection, space } => Command::SchemaShow { space: space.space, collection },
        SchemaVerb::Check { collection, space } => Command::SchemaCheck { space: space.space, collection },
        SchemaVerb::Drop { collection, space } => Command::SchemaDrop { space: space.space, collection },
    };
    let reply = run.call(command).await?;
    run.output.reply(&reply)?;
    let found = matches!(reply, Reply::SchemaReport(report) if report.invalid > 0);
    if is_check && found { Err(Failure::Check) } else { Ok(()) }
}

/// Reads a JSON object from the argument, stdin or a file.
pub(super) fn read_json_file(argument: &str, what: &str, command: &str, example: &str) -> Result<Value, ServiceError> {
    if argument == "-" || argument.trim_start().starts_with('{') {
        return json_argument(argument, what, command, example);
    }
    let mut text = String::new();
    let file = File::open(argument).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let failed = |error| ServiceError::io(format!("cannot read {}", quoted(argument)), &error);
    if file.map_err(failed)? as u64 > FILE_BYTES_MAX {
        return Err(usage(format!("{} is not {what}: it is longer than {FILE_BYTES_MAX} bytes", quoted(argument))));
    }
    json_argument(&text, what, command, example)
}
