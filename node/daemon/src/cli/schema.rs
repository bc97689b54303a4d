//! Commands about schemas.

use clap::Subcommand;

use super::SpaceOption;

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaVerb {
    /// Declare the schema of a collection: what is written from now on must be as it says
    Set {
        /// The collection; made if it is new
        collection: String,
        /// A file with a JSON Schema, the schema itself in braces, or - for stdin
        #[arg(value_name = "FILE|SCHEMA")]
        schema: String,
        /// Also if documents are not as it says: they stay, and $valid tells which
        #[arg(long)]
        force: bool,
        /// Only compare the documents with it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Show the schema of a collection
    Show {
        /// The collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List the documents that are not as the schema says
    Check {
        /// The collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Take the schema away, on every device
    Drop {
        /// The collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl SchemaVerb {
    /// The space that was named.
    pub(crate) const fn space(&self) -> &SpaceOption {
        match self {
            Self::Set { space, .. }
            | Self::Show { space, .. }
            | Self::Check { space, .. }
            | Self::Drop { space, .. } => space,
        }
    }
}
