//! A shop under simulation: each sale is a document, and adds one to a counter.
//!
//! Run it with `cargo run -p cosmicsync-sim --example own_app`.

use cosmicsync_sim::app::{Draw, Observation, Writes, add, put};
use cosmicsync_sim::{App, Profile, generate};
use serde_json::{Value, json};

const GOODS: [&str; 3] = ["apples", "bread", "cheese"];

fn shop() -> Result<App, String> {
    let sale = json!({ "type": "object", "required": ["what"], "properties": { "what": { "enum": GOODS } } });
    let app = App::new().schema("sales", &sale)?.user(|seen, draw| step(seen, draw).unwrap_or_default());
    let app = app.always("only goods are sold", |seen| {
        let strange = seen.collection("sales").find(|(_, sale)| !GOODS.map(Value::from).contains(&sale["what"]));
        strange.map_or(Ok(()), |(key, sale)| Err(format!("sale {key} is {sale}")))
    });
    Ok(app.at_rest("the counter is the number of sales", |seen| {
        for what in GOODS {
            let sales = seen.collection("sales").filter(|(_, sale)| sale["what"] == what).count() as i64;
            let counted = seen.get("stock", what).and_then(|stock| stock["sold"].as_i64()).unwrap_or(0);
            if sales != counted {
                return Err(format!("{sales} sales of {what}, and {counted} counted"));
            }
        }
        Ok(())
    }))
}

/// A user sells something: both documents change in one transaction.
fn step(seen: &Observation, draw: &mut Draw) -> Result<Writes, String> {
    let what = draw.pick(&GOODS);
    if seen.get("stock", what).is_none() {
        return Ok(vec![put("stock", what, &json!({ "name": what }))?]);
    }
    let sale = put("sales", &format!("sale-{}", draw.step()), &json!({ "what": what, "by": seen.peer }))?;
    Ok(vec![sale, add("stock", what, "sold", 1)])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = shop()?;
    for seed in 0..20 {
        let report = app.run(&app.plan(generate(seed, &Profile::default())))?;
        if let Some(violation) = report.violations.first() {
            return Err(
                format!("seed {seed}: {} on peer {:?}: {}", violation.oracle, violation.peer, violation.text).into()
            );
        }
    }
    Ok(())
}

#[test]
fn the_shop_holds() {
    main().expect("every rule holds");
}
