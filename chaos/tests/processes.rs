//! The lane of processes: the shipped program under a cut, a kill and a stop; its refusals; and a soak.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const SMALL: &str = r#"
name = "small"
about = "Two processes type while the link between them is cut, one is killed, and one is paused."
lanes = ["core", "process"]

[topology]
peers = 2
link = { latency = "2ms" }

[[workload]]
kind = "text-edits"
peers = [0, 1]
rate_hz = 20.0
until = "3s"

[[fault]]
kind = "partition"
at = "300ms"
for = "700ms"
sides = [[0], [1]]

[[fault]]
kind = "crash"
at = "1200ms"
peer = 1
restart = "200ms"

[[fault]]
kind = "pause"
at = "2200ms"
peer = 0
for = "400ms"

[oracle]
converge_within = "60s"
"#;

/// Runs the program; returns its exit code, stdout and stderr.
fn chaos(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_cosmicsync-chaos"));
    let shipped = program.with_file_name("cosmicsync");
    assert!(shipped.is_file(), "{} is missing: cargo build --workspace --bins", shipped.display());
    let mut command = Command::new(program);
    let Output { status, stdout, stderr } = command.args(args).current_dir(dir).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

fn objects(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn processes_lose_nothing_and_become_equal() {
    let dir = TempDir::new().expect("a directory");
    std::fs::write(dir.path().join("small.toml"), SMALL).expect("a file");
    let (code, out, err) = chaos(dir.path(), &["run", "small.toml", "--lane", "process", "-o", "json"]);
    assert_eq!(code, 0, "{out}{err}");
    let run = &objects(&out)[0];
    assert_eq!((&run["lane"], &run["held"]), (&Value::from("process"), &Value::from(true)), "{run}");
    let (acked, checks) = (run["stats"]["acked"].as_u64(), run["stats"]["checks"].as_u64());
    assert!(acked > Some(40) && checks > Some(80), "{run}");
    assert_eq!((&run["stats"]["faults"], &run["peers"][1]["kills"]), (&Value::from(3), &Value::from(1)), "{run}");
    assert!(run["peers"][0]["files"].as_u64() > Some(3), "{run}");
    assert!(run["not_run"][0].as_str().is_some_and(|line| line.starts_with("clock jumps: ")), "{run}");
}

#[test]
fn a_demand_that_is_not_met_is_red_and_can_be_played_again() {
    let dir = TempDir::new().expect("a directory");
    // Over a link that carries nothing the peers still differ at the end.
    let apart = SMALL.replace("link = { latency = \"2ms\" }", "link = { latency = \"1h\" }").replace("60s", "1s");
    std::fs::write(dir.path().join("apart.toml"), apart.replace("[oracle]", "[oracle]\nround_trips = 0"))
        .expect("a file");
    let (code, out, err) = chaos(dir.path(), &["run", "apart.toml", "--lane", "process"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("violated: O8: the replicas did not become equal within 1 s"), "{out}");
    assert!(out.contains("violated: O2: peer "), "{out}");
    let logs = out.lines().find_map(|line| line.strip_prefix("logs: ")).expect("a directory of logs");
    assert!(dir.path().join(logs).join("0.log").is_file(), "{out}");
    let replay = "play it again: cosmicsync-chaos replay ";
    let again = out.lines().find_map(|line| line.strip_prefix(replay)).expect("a bundle");
    let (code, out, _) = chaos(dir.path(), &["replay", again, "-o", "json"]);
    assert_eq!((code, &objects(&out)[0]["lane"]), (1, &Value::from("process")), "{out}");
}

#[test]
fn a_lane_names_the_faults_that_it_cannot_play() {
    let dir = TempDir::new().expect("a directory");
    let clock = format!("{SMALL}\n[[fault]]\nkind = \"clock\"\nat = \"1s\"\npeer = 0\njump = \"1h\"\n");
    std::fs::write(dir.path().join("clock.toml"), clock).expect("a file");
    let (code, _, err) = chaos(dir.path(), &["run", "clock.toml", "--lane", "process"]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("the lane process cannot play this: all processes share the machine's wall clock"), "{err}");
    std::fs::write(dir.path().join("small.toml"), SMALL).expect("a file");
    let missing = ["run", "small.toml", "--lane", "process", "--program", "nowhere"];
    let (code, _, err) = chaos(dir.path(), &missing);
    assert_eq!((code, err.lines().next()), (3, Some("error: there is no program nowhere")), "{err}");
}

#[test]
fn a_soak_is_a_timetable_of_random_faults() {
    let dir = TempDir::new().expect("a directory");
    let (code, out, err) = chaos(dir.path(), &["soak", "--peers", "3", "--for", "12s", "--seed", "3", "-o", "json"]);
    assert_eq!(code, 0, "{out}{err}");
    let lines = objects(&out);
    assert!(lines[0]["stats"]["faults"].as_u64() > Some(2), "{out}");
    assert_eq!(lines[1]["summary"]["held"], true, "{out}");
}
