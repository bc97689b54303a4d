//! A plan survives its way to a file and back, and unknown fields are refused.

use cosmicsync_sim::plan::{Act, Action, After, Ask, Change, Disk, Plan, PlanError, Tampering, Way, When};

fn plan() -> Plan {
    let mut plan = Plan::quiet(7, 3);
    let acts = [
        Act::Create { peer: 0, doc: 1, items: false },
        Act::Create { peer: 0, doc: 2, items: true },
        Act::Item { peer: 1, doc: 2 },
        Act::Both { peer: 1, docs: [1, 2] },
        Act::Partition { sides: vec![vec![0], vec![1, 2]], for_us: 5, reset: true },
        Act::Tamper { link: 1, way: Way::Back, after_bytes: 3, with: Tampering::Flip(2) },
        Act::Restart { peer: 2, store: Disk::CloneOf(1) },
        Act::Crash { peer: 2, keep: 1, restart_us: None },
    ];
    let after = After { event: "handshake.done".to_owned(), peer: 1, nth: 2, delay_us: 0 };
    let whens = [When::AtUs(5), When::Event(9), When::After(after)];
    for (at, act) in acts.into_iter().enumerate() {
        plan.actions.push(Action { id: at as u32, when: whens[at % 3].clone(), act });
    }
    plan
}

#[test]
fn json_and_back() {
    let text = serde_json::to_string(&plan()).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan());
    assert!(text.contains(r#""act":{"kind":"restart","peer":2,"store":{"clone-of":1}}"#), "{text}");
}

#[test]
fn unknown_fields_are_refused() {
    let text = serde_json::to_string(&plan()).unwrap();
    let wrong = text.replace(r#""kind":"both""#, r#""kind":"both","color":3"#);
    assert!(serde_json::from_str::<Plan>(&wrong).unwrap_err().to_string().contains("color"));
}

#[test]
fn what_is_not_there_is_noticed() {
    plan().check().unwrap();
    let mut wrong = plan();
    wrong.actions[0].act = Act::Create { peer: 3, doc: 1, items: false };
    assert!(wrong.check().is_err());
}

#[test]
fn a_core_that_falls_apart_is_refused() {
    let mut chain = Plan::quiet(7, 3);
    chain.bounds.core = vec![0, 1];
    chain.check().unwrap();
    chain.bounds.core = vec![0, 2];
    assert_eq!(chain.check(), Err(PlanError::Core));
}

#[test]
fn what_databases_are_asked_stands_in_plans_that_have_them() {
    let mut plan = Plan::quiet(7, 1);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(!text.contains("databases") && !text.contains("batch"), "older plans stay as they are");
    plan.databases = true;
    let acts = [Ask::Index { place: 1, index: 2, change: Change::Rebuild }, Ask::Both { docs: [0, 2] }, Ask::Unfollow];
    for (id, what) in (0..).zip(acts) {
        plan.actions.push(Action { id, when: When::AtUs(1), act: Act::Ask { peer: 0, what } });
    }
    plan.check().unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    assert!(
        text.contains(r#""act":{"kind":"ask","peer":0,"what":{"index":{"place":1,"index":2,"change":"rebuild"}}}"#)
    );
    plan.databases = false;
    assert_eq!(plan.check(), Err(PlanError::Databases(0)));
}
