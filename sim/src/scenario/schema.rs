//! The JSON Schema of scenario files, for editors.

use super::fault::After;
use super::{Fault, Head, LinkEntry, PeerEntry, Span, Workload};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Returns the JSON Schema (draft 2020-12) of a scenario file.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let faults = generator.subschema_for::<Fault>();
    let workloads = generator.subschema_for::<Workload>();
    let links = generator.subschema_for::<LinkEntry>();
    let peers = generator.subschema_for::<PeerEntry>();
    let when = json!({
        "at": generator.subschema_for::<Span>(),
        "after": generator.subschema_for::<After>(),
        "at_every_event": { "const": true, "description": "In one run after another, once after each event." },
    });
    let mut root = generator.into_root_schema_for::<Head>().to_value();
    if let Some(Value::Array(kinds)) = root.pointer_mut("/$defs/Fault/oneOf") {
        for kind in kinds {
            add_when(kind, &when);
        }
    }
    if let Some(Value::Object(properties)) = root.pointer_mut("/properties") {
        let list = |items: Value, about: &str| json!({ "type": "array", "items": items, "description": about });
        properties.insert("link".into(), list(links.to_value(), "Links that differ from the others."));
        properties.insert("peer".into(), list(peers.to_value(), "Peers that differ from the others."));
        properties.insert("workload".into(), list(workloads.to_value(), "What the peers do."));
        properties.insert("fault".into(), list(faults.to_value(), "What goes wrong."));
    }
    root
}

/// Adds the keys for a fault's time, in one of three ways, to those of its kind.
fn add_when(kind: &mut Value, when: &Value) {
    if let (Some(Value::Object(properties)), Value::Object(when)) = (kind.pointer_mut("/properties"), when) {
        properties.extend(when.clone());
    }
    let ways: Vec<Value> = ["at", "after", "at_every_event"].map(|way| json!({ "required": [way] })).into();
    kind["oneOf"] = Value::Array(ways);
}
