//! Descriptions of collections: the layout of the imported file, and the definitions of indexes, schema and rules.
//!
//! A [`CollectionMeta`] is stored as a document of the reserved collection [`COLLECTIONS`], under the collection's
//! name. The description syncs with the documents, so an export on another device writes the same file. Specified in
//! `spec/documents.md`, section 8.

use crate::import::{Envelope, Format, Kind};
use crate::index::define::{self, Indexes};
use crate::query::Validity;
use crate::rules::{RULES, Rules};
use crate::schema::Schema;
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::documents::Erasable;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Name of the reserved collection that describes the others.
pub const COLLECTIONS: &str = "_collections";

const ERASABLE: &str = "erasable";
const TOGETHER: &str = "together";
const DELIMITER: &str = "delimiter";
/// Name of the member that defines the indexes.
pub(crate) const INDEXES: &str = "indexes";
/// Name of the member that declares the schema.
pub(crate) const SCHEMA: &str = "schema";

/// Description of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionMeta {
    /// The collection's name.
    pub name: String,
    /// The format of the imported file, which is also the default format of an export.
    pub format: Option<Format>,
    /// CSV: the columns, in order. XML: the names of elements, in order.
    pub columns: Vec<String>,
    /// CSV: the separator between cells.
    pub delimiter: u8,
    /// JSON and XML: the text around the rows.
    pub envelope: Option<Envelope>,
    /// The paths of strings that merge character by character.
    pub text_paths: TextPaths,
    /// The field whose value is the document's key, if one was chosen.
    pub id_column: Option<String>,
    /// The unit of erasure in imported documents; set by the first import, and valid for later ones.
    pub erasable: Erasable,
    /// The collection's indexes. Indexes are changed one by one, in the stored description.
    pub indexes: Indexes,
    /// The collection's schema. It is changed in the stored description.
    pub schema: Option<Declared>,
    /// The collection's rules. They are changed in the stored description.
    pub rules: Option<Rules>,
}

/// The declared schema of a collection.
///
/// The description stores its number and its text as one value, so if two devices set a schema concurrently, one schema
/// wins as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The schema's number: 1 at first, and one more with each change.
    pub number: u64,
    /// The schema; `None` if it is not readable here, because a later version of this program wrote it.
    pub schema: Option<Arc<Schema>>,
}

impl Declared {
    /// Reads the schema of a stored description.
    pub fn of(description: &Value) -> Option<Self> {
        let text = description.entry(SCHEMA)?.as_text();
        let parts = text.and_then(|text| text.split_once(':'));
        let number = parts.and_then(|(number, _)| number.parse().ok());
        let schema = parts.and_then(|(_, text)| Schema::from_text(text)).map(Arc::new);
        Some(Self { number: number.unwrap_or(0), schema: schema.filter(|_| number.is_some()) })
    }

    /// Returns the text of the schema in a stored description, whether or not it is readable here.
    pub(crate) fn text_of(description: &Value) -> Option<&str> {
        let (_, schema) = description.entry(SCHEMA)?.as_text()?.split_once(':')?;
        Some(schema)
    }

    /// Returns the result of comparing a document with the schema.
    pub fn validity(&self, value: &Value, key: Option<&str>) -> Validity {
        match &self.schema {
            Some(schema) if schema.is_valid(value, key) => Validity::Valid,
            Some(_) => Validity::Invalid,
            None => Validity::Unknown,
        }
    }

    /// Returns the schema as a member of the description; `None` if it is not readable here.
    pub fn to_value(&self) -> Option<Value> {
        let schema = self.schema.as_ref()?;
        Some(format!("{}:{}", self.number, schema.text()).into())
    }
}

/// Reason for a value not to be a collection's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the description of the collection lacks or misuses the field {0:?}")]
pub struct CollectionError(pub &'static str);

impl CollectionMeta {
    /// Returns a description with a name only.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            format: None,
            columns: Vec::new(),
            delimiter: b',',
            envelope: None,
            text_paths: TextPaths::none(),
            id_column: None,
            erasable: Erasable::Alone,
            indexes: Indexes::new(),
            schema: None,
            rules: None,
        }
    }

    /// Takes over the declarations of the stored description that an import must not change: texts, unit of erasure,
    /// indexes, schema and rules.
    pub fn adopt(&mut self, known: &Self) {
        self.text_paths.extend(&known.text_paths);
        if known.erasable == Erasable::Together {
            self.erasable = Erasable::Together;
        }
        self.indexes.clone_from(&known.indexes);
        self.schema.clone_from(&known.schema);
        self.rules.clone_from(&known.rules);
    }

    /// Returns the description as a value to store.
    pub fn to_value(&self) -> Value {
        let mut entries = vec![("name", Value::from(self.name.as_str()))];
        if let Some(format) = self.format {
            entries.push(("format", format.name().into()));
        }
        if !self.columns.is_empty() {
            entries.push(("columns", Value::List(self.columns.iter().map(|name| name.as_str().into()).collect())));
        }
        if self.delimiter != b',' {
            entries.push((DELIMITER, char::from(self.delimiter).to_string().into()));
        }
        if let Some(Envelope { head, tail, rows_member }) = &self.envelope {
            let parts = [("head", head), ("tail", tail), ("rows_member", rows_member)];
            entries.push(("envelope", parts.into_iter().map(|(name, text)| (name, text.as_str())).collect()));
        }
        if !self.text_paths.is_empty() {
            entries.push(("text_paths", Value::List(self.text_paths.dotted().map(Value::from).collect())));
        }
        if let Some(column) = &self.id_column {
            entries.push(("id_column", column.as_str().into()));
        }
        if self.erasable == Erasable::Together {
            entries.push((ERASABLE, TOGETHER.into()));
        }
        if !self.indexes.is_empty() {
            entries.push((INDEXES, define::to_value(&self.indexes)));
        }
        if let Some(schema) = self.schema.as_ref().and_then(Declared::to_value) {
            entries.push((SCHEMA, schema));
        }
        if let Some(rules) = &self.rules {
            entries.push((RULES, rules.member()));
        }
        entries.into_iter().collect()
    }

    /// Reads a stored description. Unknown fields of later versions are ignored.
    pub fn from_value(value: &Value) -> Result<Self, CollectionError> {
        let format = match text(value, "format")? {
            Some(name) => Some(Format::named(name).ok_or(CollectionError("format"))?),
            None => None,
        };
        let envelope = match value.entry("envelope") {
            None => None,
            Some(parts) => {
                let part = |name| Ok(text(parts, name)?.ok_or(CollectionError("envelope"))?.to_owned());
                Some(Envelope { head: part("head")?, tail: part("tail")?, rows_member: part("rows_member")? })
            }
        };
        let delimiter = match text(value, DELIMITER)?.map(str::as_bytes) {
            None => b',',
            Some(&[byte]) if Kind::separates(char::from(byte)) => byte,
            Some(_) => return Err(CollectionError(DELIMITER)),
        };
        Ok(Self {
            delimiter,
            name: text(value, "name")?.ok_or(CollectionError("name"))?.to_owned(),
            format,
            columns: unique(texts(value, "columns")?),
            envelope,
            text_paths: texts(value, "text_paths")?.into_iter().collect(),
            id_column: text(value, "id_column")?.map(str::to_owned),
            // A later version may write another unit of erasure, so an unknown one is an error: to assume less would be
            // wrong.
            erasable: if text(value, ERASABLE)? == Some(TOGETHER) { Erasable::Together } else { Erasable::Alone },
            indexes: value.entry(INDEXES).map(define::from_value).unwrap_or_default(),
            schema: Declared::of(value),
            rules: Rules::of(value),
        })
    }
}

/// Returns the names in order, each once. Two devices that import one file concurrently both append to this list.
fn unique(names: Vec<&str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, name: &'static str) -> Result<Option<&'a str>, CollectionError> {
    value.entry(name).map(|field| field.as_text().ok_or(CollectionError(name))).transpose()
}

fn texts<'a>(value: &'a Value, name: &'static str) -> Result<Vec<&'a str>, CollectionError> {
    let Some(field) = value.entry(name) else { return Ok(Vec::new()) };
    let items = field.as_list().ok_or(CollectionError(name))?;
    items.iter().map(|item| item.as_text().ok_or(CollectionError(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_being_a_value() {
        let meta = CollectionMeta {
            format: Some(Format::Json),
            columns: vec!["b".to_owned(), "a".to_owned()],
            delimiter: b'\t',
            envelope: Some(Envelope {
                head: "{\"rows\":[".to_owned(),
                tail: "]}".to_owned(),
                rows_member: "rows".to_owned(),
            }),
            text_paths: ["body", "notes.*.text"].into_iter().collect(),
            id_column: Some("a".to_owned()),
            erasable: Erasable::Together,
            indexes: [("by_a".to_owned(), define::Fields::parse(["a"]).unwrap())].into(),
            schema: Some(Declared { number: 3, schema: Schema::from_text(r#"{"required":["a"]}"#).map(Arc::new) }),
            rules: Some(Rules::default()),
            ..CollectionMeta::new("c")
        };
        assert_eq!(CollectionMeta::from_value(&meta.to_value()), Ok(meta));
        let bare = CollectionMeta::new("c");
        assert_eq!(CollectionMeta::from_value(&bare.to_value()), Ok(bare));
        let later = Value::from_iter([("name", "c"), (SCHEMA, "4:{\"unheard\":1}")]);
        let later = CollectionMeta::from_value(&later).unwrap();
        assert_eq!(later.schema, Some(Declared { number: 4, schema: None }));
        assert_eq!(CollectionMeta::from_value(&Value::Null), Err(CollectionError("name")));
    }
}
