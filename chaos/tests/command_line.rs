//! The command line keeps to `docs/chaos.md`: exit codes, JSON lines, bundles that replay and shrink.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory to work in, and the program.
struct Bench {
    dir: TempDir,
}

/// Result of a command.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        Self { dir: TempDir::new().expect("a directory") }
    }

    fn command(&self, args: &[&str]) -> Command {
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosmicsync-chaos"));
        command.args(args).current_dir(self.dir.path()).env("COSMICSYNC_SCENARIOS", scenarios);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(args).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: status.code().expect("an exit code"), out: text(stdout), err: text(stderr) }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).expect("a file");
    }

    fn bundles(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("chaos-bundles"));
        let mut files: Vec<PathBuf> =
            entries.into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

impl Ran {
    fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

const SMALL: &str = r#"
name = "small"
about = "Two peers type while the link between them is down."
[topology]
peers = 2
[[workload]]
kind = "text-edits"
peers = [0, 1]
rate_hz = 5.0
until = "2s"
[[fault]]
kind = "partition"
at = "1s"
for = "1s"
sides = [[0], [1]]
"#;

#[test]
fn a_scenario_that_holds_is_green() {
    let bench = Bench::new();
    bench.write("small.toml", SMALL);
    let ran = bench.run(&["run", "small.toml", "--seeds", "3", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let objects = ran.objects();
    assert_eq!(objects.len(), 4);
    assert!(objects[..3].iter().all(|run| run["held"] == true && run["stats"]["checks"].as_u64() > Some(0)));
    assert_eq!(objects[3]["summary"]["tally"]["runs"], 3);
    assert!(bench.bundles().is_empty());
    // A fresh process gives the same run.
    let fresh = bench.run(&["run", "small.toml", "--seeds", "3", "-o", "json", "--fresh-process"]);
    let hashes = |ran: &Ran| {
        let mut hashes: Vec<_> =
            ran.objects().iter().map(|run| (run["seed"].as_u64(), run["trace_hash"].clone())).collect();
        hashes.sort_by_key(|(seed, _)| *seed);
        hashes
    };
    assert_eq!(hashes(&ran), hashes(&fresh));
}

#[test]
fn a_scenario_that_does_not_show_what_it_promises_is_red() {
    let bench = Bench::new();
    bench.write("small.toml", &format!("{SMALL}\n[oracle]\nsometimes = [\"store.cloned\"]\n"));
    let ran = bench.run(&["run", "small.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("never met: store.cloned"), "{}", ran.out);
}

#[test]
fn a_canary_fails_and_its_bundle_replays_and_shrinks() {
    let bench = Bench::new();
    let ran = bench.run(&["campaign", "--seeds", "2", "--canary", "--jobs", "1"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let bundles = bench.bundles();
    assert!(!bundles.is_empty(), "{}", ran.out);
    let lines: Vec<&str> = ran.out.lines().collect();
    let replays = lines.iter().filter(|line| line.starts_with("replay: cosmicsync-chaos replay chaos-bundles/canary-"));
    assert_eq!(replays.count(), bundles.len(), "once for each failure: {}", ran.out);

    let bundle = bundles[0].to_str().unwrap();
    let replayed = bench.run(&["replay", bundle]);
    assert_eq!(replayed.code, 1);
    assert!(replayed.out.contains("the same run as in the bundle, to the last event"), "{}", replayed.out);

    let shrunk = bench.run(&["shrink", bundle, "--to", "small.json", "-o", "json", "--runs-max", "300"]);
    assert_eq!(shrunk.code, 0, "{}{}", shrunk.out, shrunk.err);
    let object = &shrunk.objects()[0];
    let size = |when: &str| object[when]["faults"].as_u64().unwrap() + object[when]["work"].as_u64().unwrap();
    assert!(size("after") < size("before"), "{object}");
    assert_eq!(object["verified"], 2);
    assert_eq!(bench.run(&["replay", "small.json"]).code, 1);

    let same = bench.run(&["diff", bundle, bundle]);
    assert_eq!((same.code, same.out.starts_with("the same run: ")), (0, true), "{}", same.out);
    let differs = bench.run(&["diff", bundle, "small.json"]);
    assert_eq!(differs.code, 1);
    assert!(differs.out.contains("actions and faults only in A: "), "what shrinking took away: {}", differs.out);
    assert!(!differs.out.contains("the runs part at record"), "the first record always differs: {}", differs.out);
}

#[test]
fn a_failure_says_what_when_where_and_what_to_do() {
    let bench = Bench::new();
    let hasty = SMALL.replacen("[topology]", "[oracle]\nconverge_within = \"0s\"\nround_trips = 0\n[topology]", 1);
    bench.write("hasty.toml", &hasty);
    let ran = bench.run(&["run", "hasty.toml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let bundle = bench.bundles()[0].file_name().unwrap().to_str().unwrap().to_owned();
    let line =
        |start: &str| ran.out.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{}", ran.out));
    assert!(line("violated: O8 at ").contains(" s of virtual time"), "{}", ran.out);
    assert!(line("      O8: once faults have ended the peers agree in time").ends_with("(spec/invariants.md)"));
    assert_eq!(line("shrink: "), format!("shrink: cosmicsync-chaos shrink chaos-bundles/{bundle}"));
    // An oracle's demand is printed once, not again for a second violation.
    assert_eq!(ran.out.matches("      O8: ").count(), 1, "{}", ran.out);
    let replayed = bench.run(&["replay", &format!("chaos-bundles/{bundle}")]);
    assert!(replayed.out.contains("      O8: once faults"), "{}", replayed.out);
    assert!(
        replayed.out.contains(&format!("shrink: cosmicsync-chaos shrink chaos-bundles/{bundle}")),
        "{}",
        replayed.out
    );
    let shrunk = bench.run(&["shrink", &format!("chaos-bundles/{bundle}"), "--to", "small.json"]);
    assert!(shrunk.out.starts_with("peers\t2 -> 2\nlinks\t1 -> 1\nfaults\t1 -> "), "{}", shrunk.out);
    // A shrunk bundle is not to be shrunk again.
    assert!(!shrunk.out.contains("\nshrink: "), "{}", shrunk.out);
    assert!(!bench.run(&["replay", "small.json"]).out.contains("\nshrink: "));
}

#[test]
fn a_reader_that_has_enough_is_not_complained_about() {
    let bench = Bench::new();
    bench.write("small.toml", SMALL);
    for (args, code) in [
        (&["list"][..], 0),
        (&["schema"], 0),
        (&["completions", "bash"], 0),
        // The result is unknown.
        (&["run", "small.toml", "-o", "json"], 1),
    ] {
        let mut child = bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), said.as_str()), (Some(code), ""), "{args:?}");
    }
}

#[test]
fn a_campaign_that_shows_nothing_is_red() {
    let bench = Bench::new();
    let none = bench.run(&["campaign", "--seeds", "0"]);
    assert_eq!(none.code, 1);
    assert!(none.out.contains("red: no seed was asked for"), "{}", none.out);
    let cancelled = bench.run(&["campaign", "--seeds", "3", "--time-limit", "0s", "-o", "json"]);
    assert_eq!(cancelled.code, 1);
    let objects = cancelled.objects();
    assert_eq!((&objects[0]["summary"]["cancelled"], &objects[0]["summary"]["held"]), (&3.into(), &false.into()));
}

#[test]
fn mistakes_have_codes_and_name_what_to_do_next() {
    let bench = Bench::new();
    bench.write("wrong.toml", &SMALL.replacen("rate_hz", "rate", 1));
    let wrong = bench.run(&["run", "wrong.toml"]);
    assert_eq!(wrong.code, 2);
    let mistake = "wrong.toml has a mistake\nline 9, column 1: unknown key `rate`: did you mean `rate_hz`?";
    assert!(wrong.err.contains(mistake), "{}", wrong.err);
    assert!(wrong.err.contains("next: correct wrong.toml, then: cosmicsync-chaos run wrong.toml"), "{}", wrong.err);

    let unknown = bench.run(&["run", "a-flapping-lnk"]);
    assert_eq!(unknown.code, 3);
    assert!(unknown.err.contains("did you mean a-flapping-link?"), "{}", unknown.err);

    bench.write("small.toml", SMALL);
    let lane = bench.run(&["run", "small.toml", "--lane", "process", "-o", "json"]);
    assert_eq!(lane.code, 4);
    let error: Value = serde_json::from_str(lane.err.trim()).unwrap();
    assert_eq!(error["error"]["code"], "refused");

    bench.write("bundle.json", "{\"plan\": 1}");
    assert_eq!(bench.run(&["replay", "bundle.json"]).code, 2);
    assert_eq!(bench.run(&["replay", "gone.json"]).code, 3);
    assert_eq!(bench.run(&["run", "small.toml", "--seeds", "0"]).code, 2);
    assert_eq!(bench.run(&["run", "small.toml", "--lane", "moon"]).code, 2);
}

#[test]
fn every_next_step_runs_and_does_not_fail_in_the_same_way() {
    let bench = Bench::new();
    bench.write("small.toml", SMALL);
    bench.write("bundle.json", "{\"plan\": 1}");
    bench.write("plan.json", &serde_json::to_string(&cosmicsync_sim::Plan::quiet(1, 2)).unwrap());
    std::fs::create_dir(bench.dir.path().join("none")).unwrap();
    std::fs::create_dir(bench.dir.path().join("some")).unwrap();
    bench.write("some/small.toml", SMALL);
    for arguments in [
        &["run", "wrong.toml"][..],
        &["run", "a-flapping-lnk"],
        &["--scenarios", "some", "run", "smal"],
        &["--scenarios", "none", "list"],
        &["run", "small.toml", "--seeds", "0"],
        &["run", "small.toml", "--lane", "process"],
        &["run", "elsewhere.toml"],
        &["run", "none.toml"],
        &["replay", "bundle.json"],
        &["replay", "small.toml"],
        &["explain", "a-flapping-link"],
        &["replay", "gone.json"],
        &["replay", "a-root-compared-once-too-many"],
        &["shrink", "plan.json"],
    ] {
        bench.write("wrong.toml", &SMALL.replacen("rate_hz", "rate", 1));
        bench.write("elsewhere.toml", &SMALL.replacen("about", "lanes = [\"process\"]\nabout", 1));
        let failed = bench.run(arguments);
        let (message, next) =
            failed.err.trim_end().rsplit_once("\n next: ").unwrap_or_else(|| panic!("{}", failed.err));
        // The step before the command is done by hand.
        bench.write("wrong.toml", SMALL);
        let command = next.rsplit_once(": ").map_or(next, |(_, command)| command);
        let command = command.replace("DIR", "some").replace("--seeds 100", "--seeds 1");
        let words: Vec<&str> = command.strip_prefix("cosmicsync-chaos ").expect(next).split(' ').collect();
        let ran = bench.run(&words);
        assert!(!ran.err.contains("Usage:") && ran.code != 2, "'{next}' does not run: {}", ran.err);
        let first = message.lines().next().expect("a line");
        assert!(!ran.err.contains(first), "{arguments:?}: '{next}' says the same again: {}", ran.err);
    }
}

#[test]
fn a_kept_bundle_replays_by_its_name() {
    let bench = Bench::new();
    let replayed = bench.run(&["replay", "a-root-compared-once-too-few"]);
    assert_eq!(replayed.code, 0, "{}", replayed.err);
    assert!(replayed.out.contains("holds now"), "{}", replayed.out);
    let same = bench.run(&["diff", "a-root-compared-once-too-few.json", "a-root-compared-once-too-few"]);
    assert_eq!(same.code, 0, "{}", same.err);
    let unknown = bench.run(&["replay", "a-root-compared-once-too-many"]);
    assert_eq!(unknown.code, 3);
    assert!(unknown.err.contains("did you mean a-root-compared-once-too-few"), "{}", unknown.err);
    let elsewhere = bench.command(&["replay", "gone.json"]).env_remove("COSMICSYNC_SCENARIOS").output().unwrap();
    let said = String::from_utf8(elsewhere.stderr).unwrap();
    assert!(said.contains("cannot read gone.json"), "{said}");
}

#[test]
fn what_holds_cannot_be_shrunk() {
    let bench = Bench::new();
    let plan = cosmicsync_sim::Plan::quiet(1, 2);
    bench.write("plan.json", &serde_json::to_string(&plan).unwrap());
    assert_eq!(bench.run(&["replay", "plan.json"]).code, 0);
    let refused = bench.run(&["shrink", "plan.json"]);
    assert_eq!(refused.code, 4);
    assert!(refused.err.contains("the plan does not fail"), "{}", refused.err);
}

#[test]
fn scenarios_and_their_schema_are_listed() {
    let bench = Bench::new();
    let list = bench.run(&["list", "-o", "json"]);
    assert_eq!(list.code, 0, "{}", list.err);
    assert!(list.objects().len() >= 20);
    let schema: Value = serde_json::from_str(&bench.run(&["schema"]).out).unwrap();
    assert_eq!(schema["title"], "Scenario");
    assert!(bench.run(&["completions", "bash"]).out.contains("cosmicsync-chaos"));
}
