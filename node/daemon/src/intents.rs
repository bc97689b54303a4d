//! Commands that change documents, read their versions, and list hidden concurrent values.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cosmicsync_node::service::{
    Command, DocAt, DocDiff, DocOp, DocRef, DocWrite, ErrorCode, Reply, ServiceError, quoted,
};
use serde_json::Value;

use crate::cli::SpaceOption;
use crate::run::{Failure, Run, usage};
use crate::terminal;

/// Number of lines of `doc apply` that are written together.
const LINES_TOGETHER: usize = 256;

/// Options of all writes.
#[derive(Debug, Clone, Args)]
pub(crate) struct WriteOptions {
    /// Write only on this condition: absent, exists, or the document's version (its first digits, at least 4)
    #[arg(long = "if", value_name = "CONDITION")]
    pub(crate) condition: Option<String>,
    /// Write only once within a day under this name, however often the command runs
    #[arg(long, value_name = "NAME")]
    pub(crate) idempotency_key: Option<String>,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Further commands about documents.
#[derive(Debug, Subcommand)]
pub(crate) enum IntentVerb {
    /// Add to a number; concurrent additions of several devices sum up
    Add {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// Dotted path of the number, created if it does not exist
        path: String,
        /// Number to add; a negative one subtracts
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Insert items into a list
    Insert {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// Dotted path of the list
        path: String,
        /// Items to insert, each a JSON value
        #[arg(required = true, value_name = "JSON")]
        values: Vec<String>,
        /// Index of the item before which to insert, from 0 [default: at the end]
        #[arg(long, value_name = "N")]
        index: Option<u64>,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Move an item of a list
    Move {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// Dotted path of the list
        path: String,
        /// Index of the item before the move, from 0
        from: u64,
        /// Index of the item after the move, from 0
        to: u64,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Remove a member or an item
    Remove {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// Dotted path of the member or item
        path: String,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Restore a deleted document
    Undelete {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Set the value of an earlier version, as a new change
    Revert {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// Version: its first digits, at least 4, as `doc history` prints it
        version: String,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Take back the newest change that this device made
    Undo {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Carry out many writes: one JSON object per line, such as {"op":"put","doc":"notes/a","value":{}}
    Apply {
        /// File with the writes; - reads stdin
        #[arg(default_value = "-", value_name = "FILE")]
        file: PathBuf,
        /// Carry out all lines or none (at most 256)
        #[arg(long)]
        atomic: bool,
        /// Write only once within a day under this name, however often the command runs
        #[arg(long, value_name = "NAME", requires = "atomic")]
        idempotency_key: Option<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Print a document as of a version
    At {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// Version: its first digits, at least 4, as `doc history` prints it
        version: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Print the difference between two versions
    Diff {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// The earlier version
        from: String,
        /// The later version [default: the present one]
        to: Option<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List the values that concurrent writes hide
    Conflicts {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl IntentVerb {
    /// Returns the option with the space.
    pub(crate) const fn space(&self) -> &SpaceOption {
        match self {
            Self::Add { options, .. }
            | Self::Insert { options, .. }
            | Self::Move { options, .. }
            | Self::Remove { options, .. }
            | Self::Undelete { options, .. }
            | Self::Revert { options, .. }
            | Self::Undo { options, .. } => &options.space,
            Self::Apply { space, .. }
            | Self::At { space, .. }
            | Self::Diff { space, .. }
            | Self::Conflicts { space, .. } => space,
        }
    }
}

impl Run<'_> {
    /// Carries out a command that changes a document, or reads its versions.
    pub(crate) async fn intent(&mut self, verb: IntentVerb) -> Result<(), Failure> {
        let (op, options) = match verb {
            IntentVerb::At { doc, version, space } => {
                return self.print(Command::DocAt(DocAt { space: space.space, doc, version })).await;
            }
            IntentVerb::Diff { doc, from, to, space } => {
                return self.print(Command::DocDiff(DocDiff { space: space.space, doc, from, to })).await;
            }
            IntentVerb::Conflicts { doc, space } => {
                return self.print(Command::DocConflicts { space: space.space, doc }).await;
            }
            IntentVerb::Apply { file, atomic, idempotency_key, space } => {
                return self.apply(&file, atomic, idempotency_key, space).await;
            }
            IntentVerb::Add { doc, path, by, options } => {
                (DocOp::Add { doc, path, by, condition: options.condition.clone() }, options)
            }
            IntentVerb::Insert { doc, path, values, index, options } => {
                let values = values.iter().map(|text| json_value(text)).collect::<Result<_, _>>()?;
                (DocOp::Insert { doc, path, index, values, condition: options.condition.clone() }, options)
            }
            IntentVerb::Move { doc, path, from, to, options } => {
                (DocOp::Move { doc, path, from, to, condition: options.condition.clone() }, options)
            }
            IntentVerb::Remove { doc, path, options } => {
                (DocOp::Remove { doc, path, condition: options.condition.clone() }, options)
            }
            IntentVerb::Undelete { doc, options } => {
                (DocOp::Undelete { doc, condition: options.condition.clone() }, options)
            }
            IntentVerb::Revert { doc, version, options } => {
                (DocOp::Revert { doc, version, condition: options.condition.clone() }, options)
            }
            IntentVerb::Undo { doc, options } => (DocOp::Undo { doc, condition: options.condition.clone() }, options),
        };
        self.write(op, options).await
    }

    /// Carries out one write.
    pub(crate) async fn write(&mut self, op: DocOp, options: WriteOptions) -> Result<(), Failure> {
        let (space, idempotency_key) = (options.space.space, options.idempotency_key);
        self.print(Command::DocWrite(DocWrite { space, writes: vec![op], idempotency_key })).await
    }

    /// Carries out the writes of a file, in groups or all as one transaction.
    async fn apply(
        &mut self,
        file: &std::path::Path,
        atomic: bool,
        idempotency_key: Option<String>,
        space: SpaceOption,
    ) -> Result<(), Failure> {
        let mut lines: Box<dyn Iterator<Item = std::io::Result<String>>> = if file.as_os_str() == "-" {
            Box::new(terminal::stdin_lines())
        } else {
            let opened = std::fs::File::open(file)
                .map_err(|error| ServiceError::io(format!("cannot read {}", file.display()), &error))?;
            Box::new(std::io::BufRead::lines(std::io::BufReader::new(opened)))
        };
        let door = self.door(false).await?;
        let (mut number, mut done) = (0_u64, 0_u64);
        let result = loop {
            let mut writes = Vec::new();
            let first = number + 1;
            let read = loop {
                // An atomic request reads one line beyond the limit, so that it is refused as too large.
                if writes.len() >= LINES_TOGETHER + usize::from(atomic) {
                    break Ok(true);
                }
                let Some(line) = lines.next() else { break Ok(false) };
                number += 1;
                match line.map_err(|error| ServiceError::io("cannot read the writes", &error)) {
                    Ok(line) if line.trim().is_empty() => {}
                    Ok(line) => match serde_json::from_str::<DocOp>(&line) {
                        Ok(op) => writes.push(op),
                        Err(error) => {
                            let example = r#"{"op":"put","doc":"notes/a","value":{"title":"a"}}"#;
                            let message = format!("line {number} is not a write such as {example}: {error}");
                            break Err(usage(message));
                        }
                    },
                    Err(error) => break Err(error),
                }
            };
            // The writes before an invalid line are carried out, unless the request is atomic.
            if writes.is_empty() || (atomic && read.is_err()) {
                break read.map(|_| ());
            }
            let count = writes.len() as u64;
            let command = DocWrite { space: space.space.clone(), writes, idempotency_key: idempotency_key.clone() };
            match self
                .call_at(&*door.backend, Command::DocWrite(command), None, |output, item| output.item(&item))
                .await
            {
                Ok(reply @ Reply::Wrote(_)) => {
                    done += count;
                    self.output.reply(&reply)?;
                }
                Ok(_) => {}
                Err(Failure::Service(mut error)) => {
                    let last = number;
                    error.message = format!("lines {first} to {last}: {}", error.message);
                    break Err(error);
                }
                Err(failure) => {
                    door.close().await;
                    return Err(failure);
                }
            }
            match read {
                Ok(true) if !atomic => {}
                read => break read.map(|_| ()),
            }
        };
        door.close().await;
        result.map_err(|mut error| {
            if done > 0 {
                error.message = format!("{}. {done} writes before are done", error.message);
            }
            Failure::Service(error)
        })
    }
}

/// Parses a JSON value; the error about an unquoted word suggests quotes.
fn json_value(text: &str) -> Result<Value, ServiceError> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("'{text}' is not a JSON value: {error}");
        ServiceError::new(ErrorCode::Usage, message)
            .next(format!("write a text in quotes: {}", quoted(&format!("\"{text}\""))))
    })
}
