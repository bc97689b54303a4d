//! Commands about queries and indexes.

use clap::{Args, Subcommand};

use super::SpaceOption;

/// Which documents a command is about, and in what order.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The collection
    pub(crate) collection: String,
    /// Which documents, such as '{"state":"NY","pop":{"$gt":1000}}'; - reads stdin [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Fields to sort by, such as state,-pop: the greatest pop first
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// Fields to show, such as city,address.street [default: all]
    #[arg(long, value_name = "FIELDS")]
    pub(crate) fields: Option<String>,
    /// At most so many [default: all; of a query 100 on a terminal]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// The operators of selectors, for `--help`.
const OPERATORS: &str = "\
Selectors:
  {\"state\": \"NY\"}                        equal, or a list that has it
  {\"pop\": {\"$gt\": 5, \"$lte\": 9}}         also $eq $ne $gte $lt $in $nin $exists $type $mod
  {\"name\": {\"$regex\": \"^Al\"}}            with \"$options\": \"i\" in any case
  {\"tags\": {\"$all\": [\"a\", \"b\"]}}         also $size $elemMatch
  {\"$or\": [{\"a\": 1}, {\"b.c\": 2}]}        also $and $nor $not
  {\"$valid\": false}                      also $id $key $version";

/// Options of `query`.
#[derive(Debug, Args)]
#[command(after_help = OPERATORS)]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) find: Find,
    /// Go on where an answer ended
    #[arg(long, value_name = "BOOKMARK")]
    pub(crate) bookmark: Option<String>,
    /// Read this index or fail
    #[arg(long, value_name = "NAME")]
    pub(crate) index: Option<String>,
    /// Say how it is answered instead
    #[arg(long)]
    pub(crate) explain: bool,
}

/// Options of `live`.
#[derive(Debug, Args)]
pub(crate) struct Live {
    #[command(flatten)]
    pub(crate) find: Find,
    /// Only what changed behind this one: the cursor that a batch printed with -o json
    #[arg(long, value_name = "CURSOR")]
    pub(crate) since: Option<String>,
}

/// Options of `count`.
#[derive(Debug, Args)]
pub(crate) struct Count {
    /// The collection
    pub(crate) collection: String,
    /// Which documents; - reads stdin [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Count those with the same value of this field together
    #[arg(long, value_name = "FIELD")]
    pub(crate) by: Option<String>,
    /// Add up this field
    #[arg(long, value_name = "FIELD")]
    pub(crate) sum: Vec<String>,
    /// The least of this field
    #[arg(long, value_name = "FIELD")]
    pub(crate) min: Vec<String>,
    /// The greatest of this field
    #[arg(long, value_name = "FIELD")]
    pub(crate) max: Vec<String>,
    /// The mean of this field
    #[arg(long, value_name = "FIELD")]
    pub(crate) average: Vec<String>,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexVerb {
    /// Define an index and build it
    Create {
        /// The collection
        collection: String,
        /// Its name
        index: String,
        /// Paths of its fields, first to last
        #[arg(required = true, value_name = "FIELD")]
        fields: Vec<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List the indexes of a collection
    List {
        /// The collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Compare an index with the documents
    Check {
        /// The collection
        collection: String,
        /// Its name
        index: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Build an index anew, on this device
    Rebuild {
        /// The collection
        collection: String,
        /// Its name
        index: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Drop an index, on every device
    Drop {
        /// The collection
        collection: String,
        /// Its name
        index: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl IndexVerb {
    /// The space that was named.
    pub(crate) const fn space(&self) -> &SpaceOption {
        match self {
            Self::Create { space, .. }
            | Self::List { space, .. }
            | Self::Check { space, .. }
            | Self::Rebuild { space, .. }
            | Self::Drop { space, .. } => space,
        }
    }
}
