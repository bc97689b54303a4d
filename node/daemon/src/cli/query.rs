//! Commands about queries and indexes.

use clap::{Args, Subcommand};

use super::SpaceOption;

/// The documents of a query, and their order.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Name of the collection
    pub(crate) collection: String,
    /// Selector of the documents, such as '{"state":"NY","pop":{"$gt":1000}}'; - reads stdin [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Fields to sort by, such as state,-pop: by state, then by descending pop
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// Fields to show, such as city,address.street [default: all]
    #[arg(long, value_name = "FIELDS")]
    pub(crate) fields: Option<String>,
    /// Largest number of documents [default: all; 100 for a query on a terminal]
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
    /// Bookmark of the answer to continue
    #[arg(long, value_name = "BOOKMARK")]
    pub(crate) bookmark: Option<String>,
    /// Name of the only index to use; fails if that is not possible
    #[arg(long, value_name = "NAME")]
    pub(crate) index: Option<String>,
    /// Print the plan of the query instead of running it
    #[arg(long)]
    pub(crate) explain: bool,
}

/// Options of `live`.
#[derive(Debug, Args)]
pub(crate) struct Live {
    #[command(flatten)]
    pub(crate) find: Find,
    /// Cursor after which to begin, as a batch shows it with -o json
    #[arg(long, value_name = "CURSOR")]
    pub(crate) since: Option<String>,
}

/// Options of `count`.
#[derive(Debug, Args)]
pub(crate) struct Count {
    /// Name of the collection
    pub(crate) collection: String,
    /// Selector of the documents; - reads stdin [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Field to group by
    #[arg(long, value_name = "FIELD")]
    pub(crate) by: Option<String>,
    /// Field to add up; repeatable
    #[arg(long, value_name = "FIELD")]
    pub(crate) sum: Vec<String>,
    /// Field whose least value to print; repeatable
    #[arg(long, value_name = "FIELD")]
    pub(crate) min: Vec<String>,
    /// Field whose greatest value to print; repeatable
    #[arg(long, value_name = "FIELD")]
    pub(crate) max: Vec<String>,
    /// Field whose mean to print; repeatable
    #[arg(long, value_name = "FIELD")]
    pub(crate) average: Vec<String>,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexVerb {
    /// Create an index and build it
    Create {
        /// Name of the collection
        collection: String,
        /// Name of the index
        index: String,
        /// Dotted paths of the fields, most significant first
        #[arg(required = true, value_name = "FIELD")]
        fields: Vec<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List the indexes of a collection
    List {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Compare an index with the documents
    Check {
        /// Name of the collection
        collection: String,
        /// Name of the index
        index: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Rebuild an index on this device
    Rebuild {
        /// Name of the collection
        collection: String,
        /// Name of the index
        index: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Drop an index on every device
    Drop {
        /// Name of the collection
        collection: String,
        /// Name of the index
        index: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl IndexVerb {
    /// Returns the option with the space.
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
