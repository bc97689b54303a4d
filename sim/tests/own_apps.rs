//! Apps run with their own documents, users and rules, and their plans behave like all others.

use cosmicsync_sim::app::{Observation, add, patch, put};
use cosmicsync_sim::plan::{PlanError, When};
use cosmicsync_sim::{App, OracleId, Plan, Profile, generate, run};
use serde_json::json;

/// Returns an app whose users count their steps, with a counter or, wrongly, by writing one more than they see.
fn counting(by_counter: bool) -> App {
    let schema = json!({ "type": "object", "properties": { "count": { "type": "integer" } } });
    let app = App::new().schema("counts", &schema).expect("a schema").user(move |seen, draw| {
        let Some(count) = seen.get("counts", "all") else {
            return vec![put("counts", "all", &json!({ "name": "all" })).expect("a document")];
        };
        let step = put("steps", &draw.step().to_string(), &json!({ "by": seen.peer })).expect("a document");
        if by_counter {
            return vec![step, add("counts", "all", "count", 1)];
        }
        let count = count["count"].as_i64().unwrap_or(0);
        vec![step, patch("counts", "all", &json!({ "count": count + 1 })).expect("a patch")]
    });
    app.at_rest("all steps are counted", |seen| {
        let steps = seen.collection("steps").count() as i64;
        let counted = seen.get("counts", "all").and_then(|all| all["count"].as_i64()).unwrap_or(0);
        if steps == counted { Ok(()) } else { Err(format!("{steps} steps, and {counted} counted")) }
    })
}

fn plan(app: &App, seed: u64) -> Plan {
    app.plan(generate(seed, &Profile::default()))
}

#[test]
fn a_rule_that_is_broken_is_named_and_the_plan_shrinks() {
    let wrong = counting(false);
    let (plan, report) = (0..20)
        .map(|seed| plan(&wrong, seed))
        .map(|plan| (plan.clone(), wrong.run(&plan).unwrap()))
        .find(|(_, report)| !report.is_ok())
        .expect("a seed in which two count at once");
    assert_eq!(report.first(), Some(OracleId::App), "{:?}", report.violations);
    let text = &report.violations[0].text;
    assert!(text.starts_with("all steps are counted: ") && text.ends_with(" counted"), "{text}");
    let small = wrong.shrink(&plan, 200, |_| {}).unwrap();
    assert!(small.plan.actions.len() < plan.actions.len(), "{} actions", small.plan.actions.len());
    assert_eq!(small.report.first(), Some(OracleId::App));
}

#[test]
fn a_rule_that_holds_holds() {
    let right = counting(true);
    let reports: Vec<_> = (0..8).map(|seed| right.run(&plan(&right, seed)).unwrap()).collect();
    assert!(reports.iter().all(|report| report.is_ok()), "{:?}", reports.iter().map(|report| &report.violations));
    assert!(reports.iter().map(|report| report.stats.acked).sum::<u64>() > 20, "users wrote");
}

#[test]
fn the_same_plan_gives_the_same_run_of_an_app() {
    let app = counting(true);
    let plan = plan(&app, 3);
    let (one, other) = (app.run(&plan).unwrap(), app.run_traced(&plan).unwrap());
    assert_eq!((one.trace_hash, one.stats), (other.trace_hash, other.stats));
    assert!(other.trace.is_some_and(|trace| trace.iter().any(|record| record.kind == "data.asked")));
}

#[test]
fn steps_need_their_app() {
    let plan = plan(&counting(true), 3);
    assert!(matches!(run(&plan), Err(PlanError::NoApp(_))));
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn a_schema_that_is_none_is_refused() {
    assert!(App::new().schema("counts", &json!({ "type": "nothing" })).is_err());
}

#[test]
fn a_rule_for_every_moment_is_checked_before_the_end() {
    let few = |seen: &Observation| match seen.collection("notes").count() {
        0..3 => Ok(()),
        notes => Err(format!("{notes} notes")),
    };
    let note = |step: u64| put("notes", &step.to_string(), &json!({ "text": "hello" })).expect("a document");
    let app = App::new().user(move |_, draw| vec![note(draw.step())]).always("few notes", few);
    let plan = plan(&app, 1);
    let report = app.run(&plan).unwrap();
    let first = report.violations.first().expect("there are many notes");
    assert_eq!((first.oracle, first.text.as_str()), (OracleId::App, "few notes: 3 notes"));
    assert!(first.at_us < plan.bounds.phase_one_us && first.peer.is_some(), "{first:?}");
}

#[test]
fn a_user_sees_its_own_writes() {
    // Nobody else writes, so reading the counter and writing one more is right.
    let app = counting(false);
    let mut plan = plan(&app, 3);
    plan.actions.retain(|action| !action.act.is_fault() && action.act.peers().first() == Some(&0));
    // All but the first at once.
    for (at, action) in plan.actions.iter_mut().enumerate() {
        action.when = When::AtUs(if at == 0 { 0 } else { 500_000 });
    }
    let report = app.run(&plan).unwrap();
    assert!(report.is_ok(), "{:?}", report.violations);
    assert!(report.stats.acked > 2, "{:?}", report.stats);
}
