//! `export`: writes what the node streams to a file, which appears only once it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use cosmicsync_node::service::{Command, ErrorCode, Format, Item, Reply, ServiceError, quoted};

use crate::cli::{Export, format_of};
use crate::run::{Failure, Run, usage};

/// Carries out the command.
pub(crate) async fn export(run: &mut Run<'_>, options: Export) -> Result<(), Failure> {
    let format = chosen_format(&options)?;
    let command = Command::Export { space: options.space.space, collection: options.collection, format };
    let door = run.door(false).await?;
    let result = if options.file == Path::new("-") {
        // The data is the output: no summary behind it.
        run.call_at(&*door.backend, command, |output, item| output.item(&item)).await.map(|_| None)
    } else {
        to_file(run, &*door.backend, command, &options.file, options.force).await.map(Some)
    };
    door.close().await;
    if let Some(reply) = result? {
        run.output.reply(&reply)?;
    }
    Ok(())
}

async fn to_file(
    run: &mut Run<'_>,
    backend: &dyn cosmicsync_node::service::Backend,
    command: Command,
    path: &Path,
    force: bool,
) -> Result<Reply, Failure> {
    let failed = |error: &io::Error| ServiceError::io(format!("cannot write {}", path.display()), error);
    if path.exists() && !force {
        let error = ServiceError::new(ErrorCode::Conflict, format!("{} exists", path.display()));
        let file = quoted(&path.display().to_string());
        return Err(error.next(format!("the same with --force, which replaces it, or: mv {file} {file}.old")).into());
    }
    let partial = Partial { path: partial_path(path) };
    let mut file = BufWriter::new(File::create(&partial.path).map_err(|error| failed(&error))?);
    let mut written = Ok(());
    let called = run.call_at(backend, command, |_, item| {
        if let Item::Chunk(text) = item
            && written.is_ok()
        {
            written = file.write_all(text.as_bytes());
        }
        // Ends the call early: the rest could not be written either.
        if written.is_err() { Err(io::Error::from(io::ErrorKind::WriteZero)) } else { Ok(()) }
    });
    let called = called.await;
    written.map_err(|error| failed(&error))?;
    let reply = called?;
    let file = file.into_inner().map_err(|error| failed(error.error()))?;
    file.sync_all().map_err(|error| failed(&error))?;
    fs::rename(&partial.path, path).map_err(|error| failed(&error))?;
    Ok(reply)
}

/// A file that is removed unless it was renamed.
struct Partial {
    path: PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

fn chosen_format(options: &Export) -> Result<Format, ServiceError> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    if options.file == Path::new("-") {
        return Ok(Format::Ndjson);
    }
    let ending = options.file.extension().and_then(|ending| ending.to_str());
    ending.and_then(format_of).ok_or_else(|| {
        let file = options.file.display().to_string();
        let next = format!("cosmicsync export {} {} --format ndjson", quoted(&options.collection), quoted(&file));
        usage(format!("the ending of {file} names no format: pass --format csv, ndjson or json")).next(next)
    })
}
