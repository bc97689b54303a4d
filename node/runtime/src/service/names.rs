//! How people name what a command is about.

use super::error::{ErrorCode, ServiceError};
use core::fmt;
use core::str::FromStr;
use cosmicsync_protocol::ids::DocId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that travels as its text form: ids as lowercase hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<T>(pub T);

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// How a person names a document: `collection/key`, or its id in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DocRef {
    /// By id.
    Id(DocId),
    /// By the key it was stored under.
    Key {
        /// The collection's name.
        collection: String,
        /// The key within it; may itself hold slashes.
        key: String,
    },
}

impl FromStr for DocRef {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        match text.split_once('/') {
            Some((collection, key)) if !collection.is_empty() && !key.is_empty() => {
                Ok(Self::Key { collection: collection.to_owned(), key: key.to_owned() })
            }
            _ => text.parse().map(Self::Id).map_err(|_| {
                ServiceError::new(ErrorCode::Usage, format!("'{text}' is neither COLLECTION/KEY nor a document id"))
                    .next("cosmicsync doc list")
            }),
        }
    }
}

impl fmt::Display for DocRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Key { collection, key } => write!(f, "{collection}/{key}"),
        }
    }
}

/// A passphrase or another secret text. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A name or an unambiguous beginning of a space's id; none means the only space there is. For commands about documents
/// `SPACE:PARTITION` names a partition of it, or `:PARTITION` one of the only space; else they mean `main`.
pub type SpaceRef = Option<String>;

/// [`DocRef`] as its text.
pub(super) mod doc_ref {
    use super::{Deserialize, Deserializer, DocRef, Serializer};

    pub(in crate::service) fn serialize<S: Serializer>(doc: &DocRef, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(doc)
    }

    pub(in crate::service) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DocRef, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The same, where there may be none.
pub(super) mod doc_ref_option {
    use super::{Deserialize, Deserializer, DocRef, Serialize, Serializer, Text};

    pub(in crate::service) fn serialize<S: Serializer>(doc: &Option<DocRef>, serializer: S) -> Result<S::Ok, S::Error> {
        doc.as_ref().map(Text).serialize(serializer)
    }

    pub(in crate::service) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DocRef>, D::Error> {
        Ok(Option::<Text<DocRef>>::deserialize(deserializer)?.map(|text| text.0))
    }
}
