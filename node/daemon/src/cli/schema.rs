//! Commands about schemas.

use clap::Subcommand;

use super::SpaceOption;

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaVerb {
    /// Set the schema of a collection, which later writes must match
    Set {
        /// Collection, created if it does not exist
        collection: String,
        /// A file with a JSON Schema, the schema itself in braces, or - for stdin
        #[arg(value_name = "FILE|SCHEMA")]
        schema: String,
        /// Set the schema even if documents do not match it; $valid finds these
        #[arg(long)]
        force: bool,
        /// Compare the documents with the schema without setting it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Show the schema of a collection
    Show {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List the documents that do not match the schema
    Check {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Remove the schema on every device
    Drop {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl SchemaVerb {
    /// Returns the option with the space.
    pub(crate) const fn space(&self) -> &SpaceOption {
        match self {
            Self::Set { space, .. }
            | Self::Show { space, .. }
            | Self::Check { space, .. }
            | Self::Drop { space, .. } => space,
        }
    }
}
