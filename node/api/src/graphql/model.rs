//! The GraphQL names and types of a collection, derived from its name and its JSON Schema.

use cosmicsync_node::service::{CollectionSchema, field_steps};
use serde_json::{Map, Value};
use std::sync::Arc;

use super::naming::{Names, endings, field_name, in_order, type_name};

/// Number of levels of members with types of their own. Deeper members have the type JSON.
const LEVELS: usize = 4;
/// Field of a document's id.
pub(super) const ID: &str = "_id";
/// Field of a document's key.
pub(super) const KEY: &str = "_key";
/// Field of a document's version.
pub(super) const VERSION: &str = "_version";
/// Field of a document's whole value.
pub(super) const VALUE: &str = "_value";
/// Conditions on virtual fields: the GraphQL name, and the field of a selector.
pub(super) const VIRTUAL: [(&str, &str); 4] = [(ID, "$id"), (KEY, "$key"), (VERSION, "$version"), ("_valid", "$valid")];
/// Reserved names of fields, which no member may have.
const TAKEN: [&str; 9] = [ID, KEY, VERSION, VALUE, "_valid", "_and", "_or", "_not", "_selector"];
/// Reserved names of types, which no collection may have.
const TYPES: [&str; 23] = [
    "Query",
    "Mutation",
    "Subscription",
    "Int",
    "Float",
    "String",
    "Boolean",
    "ID",
    "Json",
    "Int64",
    "Order",
    "CollectionInfo",
    "Aggregate",
    "AggregateGroup",
    "StringFilter",
    "Int64Filter",
    "FloatFilter",
    "BooleanFilter",
    "JsonFilter",
    "StringListFilter",
    "Int64ListFilter",
    "FloatListFilter",
    "BooleanListFilter",
];

/// A collection.
#[derive(Debug)]
pub(super) struct Model {
    /// The collection's name.
    pub(super) collection: String,
    /// The name of its fields, such as `zip_codes`.
    pub(super) field: String,
    /// The name of its documents' type, such as `ZipCodes`.
    pub(super) type_name: String,
    /// The members that its schema declares. Empty without a schema; then all values are JSON.
    pub(super) members: Arc<[Member]>,
}

/// A member of documents, or of objects in them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The member's name in GraphQL.
    pub(super) name: String,
    /// The member's name in the document.
    pub(super) key: String,
    /// The member's path from the document, in the form of selectors.
    pub(super) path: String,
    /// The type of the member's value.
    pub(super) kind: Kind,
    /// The description in the schema.
    pub(super) about: Option<String>,
}

/// The type of a member's value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, a number or a boolean.
    Scalar(Scalar),
    /// A list of scalars.
    List(Scalar),
    /// An object, whose type has this name.
    Object(String, Arc<[Member]>),
    /// Any JSON.
    Json,
}

/// A type of values without parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A text.
    Text,
    /// An integer.
    Int64,
    /// A number.
    Float,
    /// A boolean.
    Boolean,
}

impl Scalar {
    /// All scalar types.
    pub(super) const ALL: [Self; 4] = [Self::Text, Self::Int64, Self::Float, Self::Boolean];

    /// Returns the name of its GraphQL type.
    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::Text => "String",
            Self::Int64 => "Int64",
            Self::Float => "Float",
            Self::Boolean => "Boolean",
        }
    }
}

/// Returns the models of the collections, without the reserved ones.
pub(super) fn models(collections: &[CollectionSchema]) -> Vec<Model> {
    let is_open = |name: &str| crate::routes::check_collection(name).is_ok();
    let mut names: Vec<String> = collections.iter().map(|one| one.collection.clone()).collect();
    names.retain(|name| is_open(name));
    in_order(&mut names);
    let (mut fields, mut types) = (Names::new(&["_collections"]), Names::new(&TYPES));
    let mut models = Vec::with_capacity(names.len());
    for name in names {
        let base = field_name(&name);
        let ty = type_name(&base);
        let is_free = |ending: &String| {
            fields.are_free(&roots(&format!("{base}{ending}"))) && types.are_free(&parts(&format!("{ty}{ending}")))
        };
        let ending = endings().find(is_free).unwrap_or_default();
        let (field, type_name) = (format!("{base}{ending}"), format!("{ty}{ending}"));
        fields.insert(roots(&field));
        types.insert(parts(&type_name));
        models.push(Model { collection: name, field, type_name, members: Arc::new([]) });
    }
    // Members are named later, so that the names of collections take precedence.
    for model in &mut models {
        let described = collections.iter().find(|one| one.collection == model.collection);
        let schema = described.and_then(|one| one.schema.as_deref());
        let schema: Option<Value> = schema.and_then(|text| serde_json::from_str(text).ok());
        if let Some(Value::Object(properties)) = schema.as_ref().and_then(|schema| schema.get("properties")) {
            model.members = members(properties, &[], &model.type_name, &mut types);
        }
    }
    models.sort_by(|a, b| a.collection.cmp(&b.collection));
    models
}

/// Returns the names of a collection's fields at the roots.
fn roots(field: &str) -> Vec<String> {
    let mut names = vec![field.to_owned()];
    names.extend(["by_pk", "aggregate", "stream"].map(|what| format!("{field}_{what}")));
    names.push(format!("insert_{field}_one"));
    names.extend(["put", "update", "delete"].map(|what| format!("{what}_{field}_by_pk")));
    names
}

/// Returns the names of a collection's types.
fn parts(ty: &str) -> Vec<String> {
    ["", "Page", "Where", "OrderBy", "Input", "Written", "Feed", "Change"].map(|part| format!("{ty}{part}")).to_vec()
}

/// Returns the members that a schema declares, with their names.
fn members(properties: &Map<String, Value>, above: &[&str], owner: &str, types: &mut Names) -> Arc<[Member]> {
    let mut keys: Vec<String> = properties.keys().cloned().collect();
    in_order(&mut keys);
    let mut names = Names::new(&TAKEN);
    let member = |key: String| {
        let steps: Vec<&str> = above.iter().copied().chain([key.as_str()]).collect();
        // A member that no selector can name has no field; `_value` shows it.
        let path = path(&steps)?;
        let schema = properties.get(&key).unwrap_or(&Value::Null);
        let name = names.take(&field_name(&key));
        let kind = kind(schema, &steps, &format!("{owner}{}", type_name(&name)), types);
        let about = schema.get("description").and_then(Value::as_str).map(str::to_owned);
        Some(Member { name, key, path, kind, about })
    };
    keys.into_iter().filter_map(member).collect()
}

/// Returns the type that a schema declares for a member.
fn kind(schema: &Value, steps: &[&str], type_name: &str, types: &mut Names) -> Kind {
    match type_of(schema) {
        Some("array") => schema.get("items").and_then(scalar).map_or(Kind::Json, Kind::List),
        Some("object") if steps.len() < LEVELS => {
            let Some(Value::Object(properties)) = schema.get("properties") else { return Kind::Json };
            let type_name = types.take_all(type_name, &["", "Where", "OrderBy", "Input"]);
            let members = members(properties, steps, &type_name, types);
            if members.is_empty() { Kind::Json } else { Kind::Object(type_name, members) }
        }
        Some(_) | None => scalar(schema).map_or(Kind::Json, Kind::Scalar),
    }
}

fn scalar(schema: &Value) -> Option<Scalar> {
    match type_of(schema)? {
        "string" => Some(Scalar::Text),
        "integer" => Some(Scalar::Int64),
        "number" => Some(Scalar::Float),
        "boolean" => Some(Scalar::Boolean),
        _ => None,
    }
}

/// Returns the only type beside null that a schema allows.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut others = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            let only = others.next();
            only.filter(|_| others.next().is_none())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Returns the path to a member, in the form of selectors.
fn path(steps: &[&str]) -> Option<String> {
    let spelled = |step: &&str| step.replace('\\', "\\\\").replace('.', "\\.").replace('$', "\\$");
    let path = steps.iter().map(spelled).collect::<Vec<_>>().join(".");
    // Paths have limits, so the result is parsed again to verify it.
    field_steps(&path).filter(|read| read == steps).map(|_| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(name: &str, schema: Option<Value>) -> CollectionSchema {
        CollectionSchema { collection: name.to_owned(), schema: schema.map(|schema| schema.to_string()) }
    }

    #[test]
    fn collections_are_told_apart() {
        let names = ["zip_codes", "zip-codes", "ZipCodes", "zip_codes_by_pk", "_collections", "Query", "2"];
        let models = models(&names.map(|name| described(name, None)));
        let mut named: Vec<(&str, &str, &str)> = models
            .iter()
            .map(|model| (model.collection.as_str(), model.field.as_str(), model.type_name.as_str()))
            .collect();
        named.sort_unstable();
        assert_eq!(
            named,
            [
                ("2", "_2", "_2"),
                ("Query", "Query_2", "Query_2"),
                ("ZipCodes", "ZipCodes", "ZipCodes"),
                ("zip-codes", "zip_codes_3", "ZipCodes_3"),
                ("zip_codes", "zip_codes_2", "ZipCodes_2"),
                ("zip_codes_by_pk", "zip_codes_by_pk", "ZipCodesByPk"),
            ]
        );
    }

    #[test]
    fn members_have_the_types_that_a_schema_says() {
        let schema = json!({ "properties": {
            "city": { "type": "string", "description": "A town." }, "pop": { "type": ["integer", "null"] },
            "area": { "type": "number" }, "open": { "type": "boolean" }, "tags": { "type": "array", "items": { "type": "string" } },
            "loc": { "type": "object", "properties": { "x.y": { "type": "number" } } },
            "rows": { "type": "array", "items": { "type": "object" } }, "any": {}, "both": { "type": ["string", "number"] },
            "_id": { "type": "string" }, "a-b": true, "a_b": { "type": "object" }, "": { "type": "string" },
        } });
        let models = models(&[described("towns", Some(schema)), described("TownsLoc", None)]);
        let towns = models.iter().find(|model| model.collection == "towns").expect("it is there");
        let text = |kind: &Kind| match kind {
            Kind::Scalar(scalar) => scalar.type_name().to_owned(),
            Kind::List(scalar) => format!("[{}]", scalar.type_name()),
            Kind::Object(name, members) => {
                format!("{name} {:?}", members.iter().map(|one| &one.path).collect::<Vec<_>>())
            }
            Kind::Json => "Json".to_owned(),
        };
        let told: Vec<(String, String)> = towns.members.iter().map(|one| (one.name.clone(), text(&one.kind))).collect();
        let expected = [
            ("_id_2", "String"),
            ("a_b", "Json"),
            ("any", "Json"),
            ("area", "Float"),
            ("both", "Json"),
            ("city", "String"),
            ("loc", "TownsLoc_2 [\"loc.x\\\\.y\"]"),
            ("open", "Boolean"),
            ("pop", "Int64"),
            ("rows", "Json"),
            ("tags", "[String]"),
            ("a_b_2", "Json"),
        ];
        assert_eq!(told, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    }
}
