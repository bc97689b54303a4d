//! Reads and expands scenarios.

use super::keys::Keys;
use super::*;
use crate::plan::{self, Act};
use std::collections::BTreeSet;

const SMALL: &str = r#"
name = "small"
about = "Two peers type."

[topology]
peers = 2
link = { latency = "5ms" }

[[workload]]
kind = "text-edits"
peers = [0, 1]
rate_hz = 10.0
until = "2s"

[[fault]]
kind = "partition"
at = "500ms"
for = "1s"
sides = [[0], [1]]

[[fault]]
kind = "crash"
after = { event = "handshake.done", peer = 1 }
peer = 1
restart = "100ms"
"#;

/// Returns all mistakes in a text.
fn problems(text: &str) -> Vec<Problem> {
    parse(text).and_then(|scenario| scenario.expand(Lane::Core, 1)).expect_err("an error").problems
}

/// Returns the only mistake in a text.
fn failure(text: &str) -> (usize, usize, String) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0].line, found[0].column, found[0].message.clone())
}

#[test]
fn a_scenario_becomes_a_plan() {
    let scenario = parse(SMALL).unwrap();
    let plan = scenario.expand(Lane::Core, 7).unwrap().plan;
    assert_eq!(plan.links.len(), 1);
    assert_eq!(plan.links[0].latency_us, 5_000);
    let edits = plan.actions.iter().filter(|action| matches!(action.act, Act::Insert { .. })).count();
    assert_eq!(edits, 40);
    assert!(matches!(plan.actions[0].act, Act::Create { peer: 0, doc: 0, items: false }));
    let last = plan.actions.last().unwrap();
    assert!(matches!(&last.when, plan::When::After(after) if after.event == "handshake.done" && after.nth == 1));
    assert!((2_900_000..3_200_000).contains(&plan.bounds.phase_one_us), "{}", plan.bounds.phase_one_us);
}

#[test]
fn a_seed_decides_what_is_drawn_and_nothing_else_does() {
    let scenario = parse(SMALL).unwrap();
    let plan = |seed| scenario.expand(Lane::Core, seed).unwrap().plan;
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7).actions, plan(8).actions);
    // A further workload leaves the others unchanged.
    let more = format!("{SMALL}\n[[workload]]\nkind = \"import\"\npeer = 0\ncount = 3\n");
    let more = parse(&more).unwrap().expand(Lane::Core, 7).unwrap().plan;
    let acts = |plan: &crate::Plan| plan.actions.iter().map(|action| action.act.clone()).collect::<Vec<_>>();
    assert!(acts(&plan(7)).iter().all(|act| acts(&more).contains(act)));
}

#[test]
fn errors_point_at_the_key_and_say_what_is_allowed() {
    let replaced = |from: &str, to: &str| failure(&SMALL.replacen(from, to, 1));
    for (from, to, at, message) in [
        ("rate_hz = 10.0", "rate = 10.0", (12, 1), "unknown key `rate`: did you mean `rate_hz`?"),
        (
            "kind = \"partition\"",
            "kind = \"partitoin\"",
            (16, 8),
            "unknown kind `partitoin`: did you mean `partition`?",
        ),
        ("sides = [[0], [1]]", "sides = [[0], [5]]", (19, 1), "there is no peer 5: the peers are 0 to 1"),
        (
            "handshake.done",
            "handshake.doen",
            (23, 19),
            "unknown event `handshake.doen`: did you mean `handshake.done`?",
        ),
        ("at = \"500ms\"\n", "", (15, 1), "say when, in one way"),
        ("peers = 2", "piers = 2", (6, 1), "unknown key `piers`: did you mean `peers`?"),
        ("peers = [0, 1]", "peers = []", (11, 1), "name at least one peer"),
        ("name = \"small\"", "name = \"so small\"", (2, 1), "a name has 1 to 64 small letters, digits and hyphens"),
        ("until = \"2s\"\n", "", (9, 1), "missing `until`"),
        ("latency", "latancy", (7, 10), "unknown key `latancy`: did you mean `latency`?"),
        ("about = \"Two peers type.\"\n", "", (1, 1), "missing `about`"),
        ("peers = 2", "peers = 0", (6, 1), "there are 1 to 1024 peers"),
    ] {
        let (line, column, said) = replaced(from, to);
        assert_eq!(((line, column), said.as_str()), (at, message), "{to}");
    }
    let (line, column, message) = replaced("for = \"1s\"", "for = \"1 parsec\"");
    assert_eq!((line, column), (18, 7));
    assert!(message.starts_with("`1 parsec` is not a time"), "{message}");
    let help = |from: &str, to: &str| problems(&SMALL.replacen(from, to, 1))[0].help.clone().unwrap_or_default();
    assert_eq!(
        help("rate_hz = 10.0", "rate = 10.0"),
        "`text-edits` needs `peers`, `rate_hz`, `until`; it may have `at`, `bytes`, `docs`, `urgent`"
    );
    assert!(help("kind = \"partition\"", "kind = \"x\"").contains("`partition`, `one-way`, `stall`"));
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() {
    let text = r#"
name = "many"
abuot = "x"
until = "soon"

[topology]
peers = 2
shape = "rng"
link = { latency = "5 parsecs", jiter = "1s" }

[[link]]
between = [0, 7]

[[peer]]
peer = 9
skew = "+1s"

[[workload]]
kind = "text-edits"
peers = [0, 3]
rate_hz = 0.0
until = "2s"

[[workload]]
kind = "fields"
peers = [0]
docs = "all"
rate_hz = "often"
at = 5

[[fault]]
kind = "crash"
peer = 4
at = "1s"

[[fault]]
kind = "flap"
at = "now"
heal = "1s"
between = [0]

[[fault]]
kind = "clock"
at = "1s"
peer = 1
speed = -1.0

[[fault]]
kind = "clone"
at = "1s"
peer = 1
of = 1

[[fault]]
kind = "partition"
at = "1s"
sides = [[0], [1, 0]]
for = "1s"

[oracle]
sometimes = ["peer.crashed", "peer.crushed"]
alive = [8]
"#;
    let found = problems(text);
    let lines: Vec<usize> = found.iter().map(|problem| problem.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
    let said: BTreeSet<(usize, String)> = found
        .iter()
        .map(|problem| (problem.line, problem.message.split([':', ',']).next().unwrap_or_default().to_owned()))
        .collect();
    let expected = [
        (3, "unknown key `abuot`"),
        (4, "`soon` is not a time"),
        (8, "unknown word `rng`"),
        (9, "`5 parsecs` is not a time"),
        (9, "unknown key `jiter`"),
        (12, "there is no peer 7"),
        (15, "there is no peer 9"),
        (16, "`+1s` is not a time"),
        (20, "there is no peer 3"),
        (21, "a rate is above 0 and at most 10000 a second"),
        (24, "missing `until`"),
        (27, "invalid type"),
        (28, "invalid type"),
        (29, "invalid type"),
        (33, "there is no peer 4"),
        (36, "missing `every`"),
        (38, "`now` is not a time"),
        (39, "unknown key `heal`"),
        (40, "invalid length 1"),
        (46, "a speed is 0.0 to 1000.0"),
        (52, "a clone is of another peer; `restore` puts a peer's own store back"),
        (57, "peer 0 stands twice"),
        (61, "there is no `peer.crushed` to be met"),
        (62, "there is no peer 8"),
    ];
    assert_eq!(said, expected.map(|(line, message)| (line, message.to_owned())).into(), "{found:#?}");
}

#[test]
fn a_text_that_is_no_toml_is_shown_where_it_breaks() {
    let found = problems("name = \nabout = \"x\n[topology\n");
    assert!(found.len() > 1 && found[0].line == 1, "{found:?}");
}

#[test]
fn an_error_shows_its_line() {
    let error = parse("name = \"x\"\nabuot = \"y\"\n").unwrap_err().to_string();
    assert!(error.contains("line 2, column 1: unknown key `abuot`: did you mean `about`?\n  |\n2 | abuot = \"y\"\n  | ^\n  = the top needs"), "{error}");
    assert!(error.contains("line 1, column 1: missing `topology`"), "{error}");
}

/// Returns the names in backquotes of a row's cells; the first cell is the subject of the row.
fn row(line: &str) -> Option<(String, Vec<BTreeSet<String>>)> {
    let mut cells = line.strip_prefix("| `")?.strip_suffix('|')?.split('|');
    let name = cells.next()?.split('`').next()?.trim_matches(['[', ']']).to_owned();
    let word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    // Names in parentheses, after a colon or in braces are values.
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).filter(word).map(str::to_owned).collect();
    Some((name, cells.map(names).collect()))
}

#[test]
fn the_readme_lists_the_keys_of_every_table() {
    let readme = include_str!("../../../scenarios/README.md");
    let sections: Vec<&str> = readme.split("\n### ").collect();
    let section = |start: &str| *sections.iter().find(|section| section.starts_with(start)).expect("a section");
    for (of, start) in [("Workload", "`[[workload]]`"), ("Fault", "`[[fault]]`")] {
        let rows: Vec<_> = section(start).lines().filter_map(row).collect();
        let named: BTreeSet<&str> = rows.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(named, Keys::kinds(of).into_iter().collect(), "the kinds of {start}");
        for (kind, cells) in &rows {
            let keys = Keys::of_kind(of, kind).expect("a kind");
            let when = ["at", "after", "at_every_event"];
            let optional = keys.optional.iter().filter(|key| of == "Workload" || !when.contains(&key.as_str()));
            assert_eq!(cells[1], keys.needed, "what `{kind}` needs");
            let optional: BTreeSet<String> = optional.cloned().collect();
            assert!(
                optional.is_subset(&cells[2]),
                "what `{kind}` may have: {optional:?}, and the table has {:?}",
                cells[2]
            );
            let foreign: Vec<_> = cells[2].difference(&optional).collect();
            assert!(foreign.is_empty(), "`{kind}` takes no {foreign:?}");
        }
    }
    let tables = [
        ("topology", "Topology"),
        ("link", "LinkEntry"),
        ("peer", "PeerEntry"),
        ("core", "CoreSettings"),
        ("oracle", "Oracle"),
    ];
    let rows: Vec<_> = section("One table each").lines().filter_map(row).collect();
    assert_eq!(rows.len(), tables.len());
    for ((name, cells), (table, defined)) in rows.iter().zip(tables) {
        let keys = Keys::defined(defined);
        assert_eq!(name, table);
        assert_eq!(cells[0], keys.needed, "what [{table}] needs");
        assert!(keys.optional.is_subset(&cells[1]), "what [{table}] may have: {:?}, not {:?}", keys.optional, cells[1]);
    }
    let top: BTreeSet<String> = ["name", "about", "scripted", "lanes", "until"].map(str::to_owned).into();
    let lists = ["topology", "link", "peer", "core", "oracle", "workload", "fault"].map(str::to_owned).into();
    let keys = Keys::head();
    assert_eq!(keys.needed.union(&keys.optional).cloned().collect::<BTreeSet<_>>(), &top | &lists);
    assert!(top.iter().all(|key| section("The top").contains(&format!("`{key}`"))));
}

#[test]
fn a_lane_that_cannot_do_it_says_so() {
    let error = parse(SMALL).unwrap().expand(Lane::Process, 1).unwrap_err();
    assert!(error.problems[0].message.contains("does not run in the lane process, but in core"), "{error}");
    let both = SMALL.replacen("[topology]", "lanes = [\"core\", \"process\"]\n[topology]", 1);
    let error = parse(&both).unwrap().expand(Lane::Process, 1).unwrap_err();
    let found = |part: &str| error.problems.iter().any(|problem| problem.message.contains(part));
    assert!(found("the lane process cannot play this: events inside a process are not seen"), "{error}");
    let clock = format!("{both}\n[[fault]]\nkind = \"clock\"\npeer = 0\nat = \"1s\"\njump = \"1h\"\n");
    let error = parse(&clock).unwrap().expand(Lane::Process, 1).unwrap_err();
    assert!(error.problems.iter().any(|problem| problem.message.contains("wall clock")), "{error}");
}

#[test]
fn what_happens_at_every_event_is_a_plan_for_each() {
    let every = SMALL.replacen("after = { event = \"handshake.done\", peer = 1 }", "at_every_event = true", 1);
    let expansion = parse(&every).unwrap().expand(Lane::Core, 1).unwrap();
    assert_eq!(expansion.at_every_event.len(), 1);
    let plan = expansion.at_event(17);
    assert_eq!(plan.actions.last().unwrap().when, plan::When::Event(17));
    assert_eq!(plan.actions.len(), expansion.plan.actions.len() + 1);
}
