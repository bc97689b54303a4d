//! Runs explain themselves: diagrams, pages, coverage, traces, and how two runs differ.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
}

/// The exit code and output of a command.
struct Ran {
    code: i32,
    out: String,
}

const FIRST: &str = r#"
name = "first"
about = "Two peers type while they are apart, and one dies."
[topology]
peers = 2
[[workload]]
kind = "text-edits"
peers = [0, 1]
rate_hz = 2.0
until = "2s"
[[fault]]
kind = "partition"
at = "500ms"
for = "1s"
sides = [[0], [1]]
[[fault]]
kind = "crash"
at = "700ms"
peer = 1
restart = "300ms"
[oracle]
converge_within = "10s"
"#;

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: TempDir::new().expect("a directory") };
        bench.write("first.toml", FIRST);
        bench.write(
            "hasty.toml",
            &FIRST.replace("\"10s\"", "\"0s\"\nround_trips = 0").replace("\"first\"", "\"hasty\""),
        );
        bench
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).expect("a file")
    }

    fn run(&self, args: &[&str]) -> Ran {
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosmicsync-chaos"));
        command.args(args).current_dir(self.dir.path()).env("COSMICSYNC_SCENARIOS", scenarios);
        let output = command.output().expect("the program runs");
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ran { code: output.status.code().expect("an exit code"), out: String::from_utf8(output.stdout).expect("text") }
    }
}

fn objects(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns the names of the members of an object, in order.
fn members(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Returns the names of all elements. Panics if the text is not well-formed.
fn elements(xml: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for part in xml.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("every tag ends");
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{xml}");
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().expect("a name").to_owned();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if !tag.ends_with('/') {
            open.push(name.clone());
        }
        all.push(name);
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn a_failure_is_drawn_and_told_in_plain_english() {
    let bench = Bench::new();
    let told = bench.run(&["explain", "hasty.toml@3", "--to", "out/hasty.svg"]);
    assert_eq!(told.code, 0);
    for part in [
        "hasty, seed 3: O8 is violated at ",
        "Rule O8: once faults have ended the peers agree in time",
        "Bound: they did not agree within 0 us, measured from ",
        "Last fault to end: partition 0 | 1 for 1 s, from 500.000 ms to 1.500 s.",
        "Lacking when the bound was over: peer ",
        "diagram: out/hasty.svg",
    ] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    let svg = bench.read("out/hasty.svg");
    let elements = elements(&svg);
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    assert!(count("line") > 20 && count("text") > 20 && count("title") > 20, "{elements:?}");
    for part in
        ["fault: partition 0 | 1 for 1 s", "fault: crash peer 1", "peer 1 starts", "class=\"star\"", "class=\"down\""]
    {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    assert!(!svg.contains("http://") || svg.matches("http").count() == 1, "nothing but the name space: {svg}");
}

#[test]
fn explain_has_one_object_and_a_window() {
    let bench = Bench::new();
    let told = objects(&bench.run(&["explain", "hasty.toml@3", "-o", "json"]));
    let expected = ["bound", "caption", "held", "left_out", "name", "peers", "seed", "svg", "violation", "window"];
    assert_eq!(members(&told[0]), expected);
    assert_eq!(members(&told[0]["caption"]), ["bound", "lacked", "last_fault", "result", "rule", "seen", "words"]);
    assert_eq!(told[0]["svg"], "hasty-3.svg", "beside what it is of");
    let all = bench.read("hasty-3.svg");
    let later = objects(&bench.run(&["explain", "hasty.toml@3", "--from", "2s", "-o", "json"]));
    assert_eq!(later[0]["window"]["from_us"], 2_000_000);
    assert!(later[0]["left_out"].as_u64() > Some(0));
    assert!(bench.read("hasty-3.svg").len() < all.len());
    // A run that holds has a picture too.
    let held = bench.run(&["explain", "first.toml@3"]);
    assert!(held.out.starts_with("first, seed 3: every rule held; all agreed "), "{}", held.out);
    assert!(held.out.contains(" s, measured from "), "{}", held.out);
}

#[test]
fn a_page_needs_no_network_and_has_all_that_happened() {
    let bench = Bench::new();
    let ran = bench.run(&["run", "hasty.toml", "--seeds", "2", "--html", "page.html"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("page: page.html"), "{}", ran.out);
    let page = bench.read("page.html");
    assert_eq!(page.matches("<svg ").count(), 2, "a diagram for each failure");
    let open = ["<meta charset=\"utf-8\">", "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"];
    elements(&open.iter().fold(page.clone(), |page, tag| page.replace(tag, "")));
    for part in
        ["Violated: 2 of 2 runs", "Rule O8", "cosmicsync-chaos replay chaos-bundles/hasty-0-O8-", "What was never met"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    for outside in ["src=", "href=", "@import", "url(", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let held = bench.run(&["report", "first.toml@0", "first.toml@1", "--html", "held.html", "-o", "json"]);
    assert_eq!((held.code, members(&objects(&held)[0])), (0, vec!["html", "runs", "violated"]));
    let page = bench.read("held.html");
    assert!(
        page.contains("Held: 2 of 2 runs") && page.contains("Slowest to agree") && !page.contains("<svg"),
        "{page}"
    );
}

#[test]
fn coverage_says_what_was_met_by_whom_and_what_never() {
    let bench = Bench::new();
    let objects = objects(&bench.run(&["coverage", "first.toml", "--campaign", "1", "-o", "json"]));
    let find = |name: &str| objects.iter().find(|object| object["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(members(find("peer.crashed")), ["by", "kind", "name", "runs", "times"]);
    assert_eq!((&find("peer.crashed")["kind"], &find("peer.crashed")["by"]["first"]), (&"event".into(), &1.into()));
    let crash = find("crash");
    assert_eq!(members(crash), ["by", "kind", "name", "runs", "states", "times"]);
    assert_eq!(crash["kind"], "fault");
    let states = crash["states"].as_object().expect("states").values();
    assert!(states.filter_map(Value::as_u64).sum::<u64>() >= 1, "{crash}");
    let summary = &objects.last().expect("a summary")["summary"];
    assert_eq!(members(summary), ["never", "runs", "violated"]);
    assert_eq!(members(&summary["never"]), ["events", "faults", "faults_in_states", "marks"]);
    let never = summary["never"]["marks"].as_array().expect("a list");
    assert!(never.contains(&"data.live-moved".into()) && !never.contains(&"partition.cut-links".into()));
    let text = bench.run(&["coverage", "first.toml"]).out;
    assert!(text.contains("\nnever met, faults: hang, reset, "), "{text}");
}

#[test]
fn traces_have_faults_links_and_sizes_of_runs_that_hold_too() {
    let bench = Bench::new();
    let traced = bench.run(&["run", "first.toml", "--trace"]);
    assert_eq!(traced.code, 0);
    assert!(traced.out.contains("  fault  partition 0 | 1 for 1 s\n"), "{}", traced.out);
    assert!(traced.out.contains("  bytes.sent  link 0 to "), "{}", traced.out);
    let objects = objects(&bench.run(&["run", "first.toml", "--trace", "-o", "json"]));
    let sent = objects.iter().find(|object| object["kind"] == "bytes.sent").expect("bytes are sent");
    let expected = ["at_us", "bytes", "cause", "connection", "hash", "index", "kind", "link", "note", "peer"];
    assert_eq!((members(sent), &sent["note"]), (expected.to_vec(), &"handshake".into()));
    let fault = objects.iter().find(|object| object["fault"] == true).expect("a fault");
    assert_eq!(members(fault), ["act", "action", "at_us", "fault", "text"]);
    assert!(objects.iter().any(|object| object["held"] == true), "the run itself comes after its trace");
}

#[test]
fn runs_that_hold_are_kept_and_compared() {
    let bench = Bench::new();
    let kept = bench.run(&["run", "first.toml", "--keep"]);
    let path = kept.out.lines().find_map(|line| line.strip_prefix("kept: ")).expect("a bundle").to_owned();
    assert!(path.starts_with("chaos-bundles/first-0-held-"), "{path}");
    let again = bench.run(&["replay", &path]);
    assert_eq!(again.code, 0);
    assert!(again.out.contains("the same run as in the bundle, to the last event"), "{}", again.out);
    assert_eq!(bench.run(&["diff", &path, "first.toml@0"]).code, 0, "a seed is the run that was kept");

    let differs = bench.run(&["diff", "first.toml@0", "first.toml@1"]);
    assert_eq!(differs.code, 1);
    assert!(differs.out.contains("the plans differ in: seed"), "{}", differs.out);
    assert!(differs.out.contains("converged\t") && differs.out.contains(" of 18.000 s"), "{}", differs.out);
    let object = &objects(&bench.run(&["diff", "first.toml@0", "hasty.toml@0", "-o", "json"]))[0];
    assert_eq!(members(object), ["marks", "outcome", "parting", "plans", "same"]);
    assert_eq!(object["plans"]["settings"], serde_json::json!(["bounds"]));
    assert_eq!((&object["outcome"]["a"]["held"], &object["outcome"]["b"]["held"]), (&true.into(), &false.into()));
}

#[test]
fn a_failure_says_that_a_link_is_half_open_and_since_when() {
    let bench = Bench::new();
    let silent = FIRST.replace("until = \"2s\"", "until = \"3s\"").replace("\"10s\"", "\"1s\"\nround_trips = 0");
    bench.write("silent.toml", &silent);
    let ran = bench.run(&["run", "silent.toml", "--seeds", "12"]);
    assert_eq!(ran.code, 1, "one crash in four is silent: {}", ran.out);
    assert!(ran.out.contains(" has not settled its link to peer "), "{}", ran.out);
    assert!(ran.out.contains(" messages queued; the other end is gone)"), "{}", ran.out);
    let seed = ran.out.lines().find_map(|line| line.strip_prefix("first failed with seed ")).expect("a seed");
    bench.run(&["explain", &format!("silent.toml@{seed}"), "--to", "silent.svg"]);
    let svg = bench.read("silent.svg");
    assert!(svg.contains("peer 1 ends without closing its connections: they stay half"), "{svg}");
    assert!(svg.contains("never arrived"), "{svg}");
}

#[test]
fn a_failure_of_an_app_is_drawn_from_its_report() {
    use cosmicsync_sim::app::put;
    use cosmicsync_sim::{App, Plan, Profile, generate};
    let note = |key: &str| put("notes", key, &serde_json::json!({ "text": "hello" })).expect("a document");
    let app = App::new().user(move |_, draw| vec![note(&draw.step().to_string())]);
    let app = app.at_rest("nobody writes", |seen| match seen.collection("notes").count() {
        0 => Ok(()),
        notes => Err(format!("there are {notes} notes")),
    });
    let plan: Plan = app.plan(generate(1, &Profile::default()));
    let report = app.run_traced(&plan).expect("it runs");
    let bench = Bench::new();
    bench.write("app.json", &serde_json::json!({ "plan": plan, "report": report }).to_string());
    let told = bench.run(&["explain", "app.json"]);
    assert!(told.out.contains(": App is violated on peer "), "{}", told.out);
    assert!(told.out.contains("Seen: nobody writes: there are "), "{}", told.out);
    elements(&bench.read("app.svg"));
    assert_eq!(bench.run(&["report", "app.json", "--html", "app.html"]).code, 1);
}

/// Returns the area that a text element occupies, at most: left, top, right, bottom.
fn area(element: &str) -> [f64; 4] {
    let attribute = |name: &str| {
        let value = element.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
        value.map(|(value, _)| value).unwrap_or_else(|| panic!("{name}: {element}"))
    };
    let number = |name: &str| attribute(name).parse::<f64>().expect("a number");
    let (_, text) = element.split_once('>').expect("a text");
    let letters = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'");
    let size = number("font-size");
    let width = letters.chars().count() as f64 * size * 0.58;
    let left = match attribute("text-anchor") {
        "start" => number("x"),
        "middle" => number("x") - width / 2.0,
        _ => number("x") - width,
    };
    [left, number("y") - size * 0.8, left + width, number("y") + size * 0.2]
}

#[test]
fn no_text_stands_on_another() {
    let bench = Bench::new();
    for run in
        ["hasty.toml@0", "a-flapping-link@1", "restart-storm@0", "slept-copies-of-copies", "resume-nested-items@0"]
    {
        bench.run(&["explain", run, "--to", "run.svg"]);
        let svg = bench.read("run.svg");
        let texts: Vec<&str> =
            svg.split("<text ").skip(1).filter_map(|rest| Some(rest.split_once("</text>")?.0)).collect();
        let texts: Vec<String> = texts.into_iter().map(|text| format!(" {text}")).collect();
        assert!(texts.len() > 30, "{run}");
        for (at, one) in texts.iter().enumerate() {
            let [left, top, right, bottom] = area(one);
            for other in &texts[at + 1..] {
                let [other_left, other_top, other_right, other_bottom] = area(other);
                let meets = left < other_right && other_left < right && top < other_bottom && other_top < bottom;
                assert!(!meets, "{run}: {one} stands on {other}");
            }
        }
    }
}
