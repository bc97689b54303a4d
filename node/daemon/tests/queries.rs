//! Queries, counts, indexes and live queries on the command line, against real nodes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command as Process, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "queries/answers.rs"]
mod answers;
#[path = "queries/live.rs"]
mod live;
#[path = "queries/refused.rs"]
mod refused;
#[path = "queries/schemas.rs"]
mod schemas;

/// Towns: name, state, number of inhabitants.
const TOWNS: [(&str, &str, u32); 6] = [
    ("Albany", "NY", 99),
    ("Albany", "GA", 69),
    ("Buffalo", "NY", 278),
    ("Dover", "DE", 39),
    ("Newark", "NJ", 311),
    ("Yonkers", "NY", 211),
];

/// A directory for devices.
struct World {
    root: TempDir,
}

/// A node that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

/// A running command whose output is read line by line.
struct Lines {
    // Killed when it is dropped.
    _process: Running,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Lines {
    fn text(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.text()).expect("JSON")
    }
}

impl World {
    /// A device `a` with a space.
    fn new() -> Self {
        let world = Self { root: TempDir::new().expect("a directory") };
        world.done("a", &["init", "--name", "a"]);
        world.done("a", &["space", "create", "home"]);
        world
    }

    /// Returns a device `a` with a space, and [`TOWNS`] in the collection `towns`, with the keys `t0`, `t1` and so on.
    fn with_towns() -> Self {
        let world = Self::new();
        let line = |(at, (name, state, pop)): (usize, &(&str, &str, u32))| {
            format!("{}\n", serde_json::json!({ "id": format!("t{at}"), "name": name, "state": state, "pop": pop }))
        };
        let file = world.file("towns.ndjson", &TOWNS.iter().enumerate().map(line).collect::<String>());
        world.done("a", &["import", &file, "-c", "towns", "--id-column", "id"]);
        world
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.root.path().join(name);
        fs::write(&path, text).expect("it writes");
        path.to_str().expect("text").to_owned()
    }

    fn dir(&self, device: &str) -> PathBuf {
        self.root.path().join(device)
    }

    fn process(&self, device: &str, arguments: &[&str]) -> Process {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.arg("--dir").arg(self.dir(device)).args(arguments).stdin(Stdio::null());
        process
    }

    fn run(&self, device: &str, arguments: &[&str]) -> Output {
        self.process(device, arguments).output().expect("it runs")
    }

    /// Returns the output of a command that must succeed.
    fn done(&self, device: &str, arguments: &[&str]) -> String {
        let output = self.run(device, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// Returns the output of a command as JSON lines.
    fn json(&self, device: &str, arguments: &[&str]) -> Vec<Value> {
        let printed = self.done(device, &[arguments, &["-o", "json"]].concat());
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Returns the exit code, the message and the next step of a command that must fail.
    fn refused(&self, device: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = self.run(device, arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        let said = String::from_utf8(output.stderr).expect("text");
        let (message, next) = said.trim_end().rsplit_once("\n next: ").unwrap_or((said.trim_end(), ""));
        (output.status.code().expect("no signal"), message.replacen("error: ", "", 1), next.to_owned())
    }

    /// Returns a command line for a device's directory.
    fn command(&self, device: &str, rest: &str) -> String {
        format!("cosmicsync --dir {} {rest}", self.dir(device).display())
    }

    fn up(&self, device: &str) -> Running {
        let mut lines = self.going(device, &["up", "--listen", "127.0.0.1:0", "-o", "json", "-q"]);
        lines.json();
        lines._process
    }

    /// Starts a command whose output is read while it runs.
    fn going(&self, device: &str, arguments: &[&str]) -> Lines {
        let mut child = self.process(device, arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Lines { _process: Running(child), lines }
    }
}
