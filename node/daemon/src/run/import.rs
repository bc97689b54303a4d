//! Carries out `import`: opens the file or stream here, and sends its bytes to the node.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cosmicsync_node::service::{Command, Input, ServiceError};

use super::{Failure, Run, usage};
use crate::cli::Import;

/// Carries out the command.
pub(super) async fn import(run: &mut Run<'_>, options: Import) -> Result<(), Failure> {
    let (name, file, bytes) = open(&options.file)?;
    let door = run.door(false).await?;
    let (input, failed) = Input::of(file)?;
    let command = Command::Import(cosmicsync_node::service::Import {
        space: options.space.space,
        collection: options.collection,
        path: name.clone(),
        bytes,
        format: options.format,
        delimiter: options.delimiter,
        id_column: options.id_column,
        rows: options.rows,
        text: options.text,
        numbers: options.numbers,
        erasable_together: options.erasable_together,
        resume: options.resume,
        dry_run: options.dry_run,
    });
    let result = run.call_at(&*door.backend, command, Some(input), |output, item| output.item(&item)).await;
    door.close().await;
    match (result, failed.try_recv()) {
        // The file failed, but the node only saw an end.
        (Err(_), Ok(error)) => Err(ServiceError::io(format!("cannot read {name}"), &error).into()),
        (result, _) => Ok(run.output.reply(&result?)?),
    }
}

/// The name, the bytes, and their number.
type Opened = (String, Box<dyn Read + Send>, Option<u64>);

/// Opens the file. Returns its name for the node, its bytes, and their number if it is known.
fn open(path: &Path) -> Result<Opened, ServiceError> {
    if path == Path::new("-") {
        return Ok(("-".to_owned(), Box::new(io::stdin()), None));
    }
    let failed = |error: &io::Error| ServiceError::io(format!("cannot read {}", path.display()), error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if metadata.is_dir() {
        return Err(usage(format!("{} is a directory: name a file in it", path.display())));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    let name = std::path::absolute(path).map_err(|error| failed(&error))?;
    Ok((name.to_string_lossy().into_owned(), Box::new(file), bytes))
}
