//! Carries out `export`: writes the node's stream to a file or a stream.

use std::io;
use std::path::Path;

use cosmicsync_node::service::{Backend, Command, Format, Item, Reply, ServiceError, quoted};

use super::target::{Existing, Target};
use super::{Failure, Run, usage};
use crate::cli::{Export, format_of};

/// File mode of an exported file, before the umask.
const MODE: u32 = 0o666;

/// Carries out the command.
pub(super) async fn export(run: &mut Run<'_>, options: Export) -> Result<(), Failure> {
    let format = chosen_format(&options)?;
    let command = Command::Export(cosmicsync_node::service::Export {
        space: options.space.space,
        collection: options.collection,
        format,
        delimiter: options.delimiter,
    });
    if options.file == Path::new("-") {
        // The data is the output, so no summary follows it.
        let door = run.door(false).await?;
        let result = run.call_at(&*door.backend, command, None, |output, item| output.item(&item)).await;
        door.close().await;
        return result.map(drop);
    }
    let existing = if options.force { Existing::Replace } else { Existing::Keep };
    let door = run.door(false).await?;
    let result = match Target::open(&options.file, existing, MODE) {
        Ok(target) => to_target(run, &*door.backend, command, target).await,
        Err(error) => Err(error.into()),
    };
    door.close().await;
    Ok(run.output.reply(&result?)?)
}

/// Sends a command and writes the received pieces to a target.
pub(super) async fn to_target(
    run: &mut Run<'_>,
    backend: &dyn Backend,
    command: Command,
    mut target: Target,
) -> Result<Reply, Failure> {
    let mut written = Ok(());
    let called = run.call_at(backend, command, None, |_, item| {
        if written.is_ok() {
            written = match item {
                Item::Chunk(text) => target.write(text.as_bytes()),
                Item::Bytes(bytes) => target.write(&bytes),
                Item::Progress(_)
                | Item::Document(_)
                | Item::Revision(_)
                | Item::Change(_)
                | Item::Conflict(_)
                | Item::Live(_) => Ok(()),
            };
        }
        // Ends the call early, because the rest could not be written either.
        if written.is_err() { Err(io::Error::from(io::ErrorKind::WriteZero)) } else { Ok(()) }
    });
    let called = called.await;
    written.map_err(|error| target.failed(&error))?;
    let reply = called?;
    target.finish()?;
    Ok(reply)
}

fn chosen_format(options: &Export) -> Result<Format, ServiceError> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    let ending = options.file.extension().and_then(|ending| ending.to_str());
    let named = ending.and_then(format_of).or_else(|| options.delimiter.map(|_| Format::Csv));
    if options.file == Path::new("-") {
        return Ok(named.unwrap_or(Format::Ndjson));
    }
    named.ok_or_else(|| {
        let file = options.file.display().to_string();
        let next = format!("cosmicsync export {} {} --format ndjson", quoted(&options.collection), quoted(&file));
        usage(format!("the name of {file} does not show its format: pass --format csv, tsv, ndjson, json or xml"))
            .next(next)
    })
}
