//! Carries out `backup`: sealed copies of the store, to and from files and streams.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cosmicsync_node::BackupSource;
use cosmicsync_node::service::{Command, ErrorCode, Item, Reply, Secret, ServiceError};

use super::export::to_target;
use super::target::{Existing, Target};
use super::{Failure, Run, usage};
use crate::cli::{BackupVerb, Passphrase};
use crate::{node, terminal};

/// File mode of a backup: only its owner may read it.
const MODE: u32 = 0o600;

/// Carries out the command.
pub(super) async fn backup(run: &mut Run<'_>, verb: BackupVerb) -> Result<(), Failure> {
    match verb {
        BackupVerb::Create { file, passphrase } => {
            let passphrase = run.passphrase(&passphrase, true)?;
            create(run, &file, passphrase).await
        }
        BackupVerb::Verify { file, passphrase } => {
            let passphrase = run.passphrase(&passphrase, false)?;
            let backup = node::verify_backup(open(&file)?, &passphrase).await?;
            Ok(run.output.reply(&Reply::Backup(backup))?)
        }
        BackupVerb::Restore { file, passphrase } => {
            let passphrase = run.passphrase(&passphrase, false)?;
            let backup = node::restore_backup(open(&file)?, &passphrase, &run.dir).await?;
            Ok(run.output.reply(&Reply::Backup(backup))?)
        }
    }
}

async fn create(run: &mut Run<'_>, file: &Path, passphrase: Secret) -> Result<(), Failure> {
    let command = Command::BackupCreate { passphrase };
    if file == Path::new("-") {
        if run.surroundings.stdout_tty {
            let error = usage("a backup is binary, and the output is a terminal".to_owned());
            return Err(error.next("cosmicsync backup create FILE").into());
        }
        let door = run.door(false).await?;
        let written = run.call_at(&*door.backend, command, None, |output, item| match item {
            Item::Bytes(bytes) => output.writer.write_all(&bytes),
            Item::Chunk(_)
            | Item::Progress(_)
            | Item::Document(_)
            | Item::Revision(_)
            | Item::Change(_)
            | Item::Conflict(_)
            | Item::Live(_) => Ok(()),
        });
        let written = written.await;
        door.close().await;
        return written.map(drop);
    }
    let door = run.door(false).await?;
    let result = match Target::open(file, Existing::Keep, MODE) {
        Ok(target) => to_target(run, &*door.backend, command, target).await,
        Err(error) if error.code == ErrorCode::Conflict => {
            let message = format!("{}: choose another name", error.message);
            Err(ServiceError::new(error.code, message).next("cosmicsync backup create NEW_FILE").into())
        }
        Err(error) => Err(error.into()),
    };
    door.close().await;
    let mut reply = result?;
    if let Reply::Backup(backup) = &mut reply {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        backup.path = path.display().to_string();
    }
    Ok(run.output.reply(&reply)?)
}

/// Opens a backup to read, from a file or a stream.
fn open(file: &Path) -> Result<BackupSource, ServiceError> {
    let ms = |time: SystemTime| {
        u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or_default()
    };
    if file == Path::new("-") {
        let made_ms = ms(SystemTime::now());
        return Ok(BackupSource { name: "-".to_owned(), input: Box::new(io::stdin()), made_ms });
    }
    let failed = |error: &io::Error| ServiceError::io(format!("cannot read {}", file.display()), error);
    let opened = fs::File::open(file).map_err(|error| failed(&error))?;
    let made = opened.metadata().and_then(|metadata| metadata.modified()).map_err(|error| failed(&error))?;
    Ok(BackupSource { name: file.display().to_string(), input: Box::new(opened), made_ms: ms(made) })
}

impl Run<'_> {
    fn passphrase(&self, source: &Passphrase, new: bool) -> Result<Secret, ServiceError> {
        match self.surroundings.secret("passphrase", source.passphrase_file.as_deref())? {
            Some(passphrase) => Ok(passphrase),
            None => terminal::ask_secret("passphrase", new),
        }
    }
}
