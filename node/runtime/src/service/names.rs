//! Names of spaces and documents, as a person writes them.

use super::error::{ErrorCode, ServiceError};
use core::fmt;
use core::str::FromStr;
use cosmicsync_protocol::ids::DocId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is serialised as its text form, such as an id as lowercase hex.
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

/// A document's name, as a person writes it: `collection/key`, or the id in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DocRef {
    /// The document's id.
    Id(DocId),
    /// The document's key in a collection.
    Key {
        /// The collection's name.
        collection: String,
        /// The key in the collection; may contain slashes.
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

/// A passphrase or other secret text. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The name of a space or an unambiguous prefix of its id; none means the only space. For commands about documents,
/// `SPACE:PARTITION` names a partition, and `:PARTITION` one of the only space; without it, the partition is `main`.
pub type SpaceRef = Option<String>;

/// Serialises a [`DocRef`] as its text.
pub(super) mod doc_ref {
    use super::{Deserialize, Deserializer, DocRef, Serializer};

    pub(in crate::service) fn serialize<S: Serializer>(doc: &DocRef, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(doc)
    }

    pub(in crate::service) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DocRef, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Serialises an optional [`DocRef`] as its text.
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
