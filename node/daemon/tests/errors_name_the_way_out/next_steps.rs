//! Runs every `next:` exactly as it is printed. The step must run, and must not fail like the command that printed it.
//!
//! A next step is a command, or a preparation, a colon and a command. Words in capitals stand for values that only a
//! person knows; the tests fill them in.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use super::{Running, World};

/// An error, and its next step.
struct Step<'w> {
    world: &'w World,
    device: &'w str,
    arguments: Vec<String>,
    message: String,
    next: String,
    elsewhere: &'w str,
}

impl World {
    /// Runs a command that must fail.
    fn fails<'w>(&'w self, device: &'w str, arguments: &[&str]) -> Step<'w> {
        let (message, next) = self.error(device, arguments);
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Step { world: self, device, arguments, message, next, elsewhere: "laptop" }
    }

    /// Returns the findings of `doctor` that have a next step: message and next step.
    fn findings(&self, device: &str, arguments: &[&str]) -> Vec<(String, String)> {
        let output = self.run(device, &[&["doctor"], arguments].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        let cells = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        cells.filter(|cells| !cells[3].is_empty()).map(|cells| (cells[2].to_owned(), cells[3].to_owned())).collect()
    }

    /// Carries out a next step, on this or the other device. Returns the message if it fails.
    fn carry_out(&self, next: &str, elsewhere: &str) -> Option<String> {
        let mut line = next.split("; ").next().expect("a step").to_owned();
        if let Some(rest) = next.strip_prefix("on ") {
            let command = rest.split_once(": cosmicsync ").expect("a command").1;
            let command = command.split("; ").next().expect("a step");
            line = format!("cosmicsync --dir {} {command}", self.dir(elsewhere).display());
        } else if let Some((_, command)) = line.split_once(": ").filter(|_| !line.starts_with("cosmicsync ")) {
            line = command.to_owned();
        }
        let starts = line.ends_with(" up") || line.contains(" up --listen");
        let program = Path::new(env!("CARGO_BIN_EXE_cosmicsync")).parent().expect("a directory");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
        let mut shell = Process::new("sh");
        // The shell is replaced by the node, so that killing it kills the node.
        shell.args(["-c", &if starts { format!("exec {line} --listen 127.0.0.1:0") } else { line.clone() }]);
        shell.env("PATH", path).stdin(Stdio::null()).stderr(Stdio::piped());
        if starts {
            let mut node = Running(shell.stdout(Stdio::piped()).spawn().expect("it starts"));
            let mut first = String::new();
            BufReader::new(node.0.stdout.take().expect("piped")).read_line(&mut first).expect("it speaks");
            assert!(first.contains("listens on"), "{line}: {first}");
            return None;
        }
        let output = shell.output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        let known = !said.contains("Usage: ") && output.status.code().is_some_and(|code| code != 2 && code < 100);
        assert!(known, "'{next}' does not run: {said}");
        (!output.status.success()).then(|| said.lines().next().unwrap_or_default().to_owned())
    }
}

impl<'w> Step<'w> {
    /// Sets the device for a step on another device.
    fn elsewhere(mut self, device: &'w str) -> Self {
        self.elsewhere = device;
        self
    }

    /// Replaces a word in capitals by a value.
    fn with(mut self, word: &str, value: impl AsRef<Path>) -> Self {
        assert!(self.next.contains(word), "no {word} in '{}'", self.next);
        self.next = self.next.replace(word, &value.as_ref().display().to_string());
        self
    }

    /// Runs a manual preparation, then the step.
    fn after(self, by_hand: impl FnOnce()) -> Self {
        by_hand();
        self.leads_on()
    }

    /// Runs the step.
    fn leads_on(self) -> Self {
        let failed = self.world.carry_out(&self.next, self.elsewhere);
        let same = failed.as_ref().is_some_and(|line| line.contains(self.message.lines().next().expect("a line")));
        assert!(!same, "{:?}: '{}' says the same again: {}", self.arguments, self.next, self.message);
        self
    }

    /// Checks that the failed command now succeeds.
    fn and_cures(self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.world.done(self.device, &arguments);
    }
}

#[test]
fn of_a_directory_that_holds_no_node_or_no_daemon() {
    let world = World::new();
    world.fails("laptop", &["status"]).leads_on().and_cures();
    world.fails("laptop", &["init"]).leads_on();
    world.fails("laptop", &["doc", "list"]).with("NAME", "home").leads_on().and_cures();
    world.fails("laptop", &["space", "create", "home"]).leads_on();
    world.done("laptop", &["down"]);
    let _running = world.up("laptop");
    world.fails("laptop", &["up", "--listen", "127.0.0.1:0"]).leads_on();
    world.fails("laptop", &["peer", "add", "nonsense"]).leads_on();
    world.fails("laptop", &["peer", "remove", "a:1"]).leads_on();
    world.fails("phone", &["space", "create", "home"]).leads_on();
    let long = "d".repeat(120);
    world.fails(&long, &["up", "--listen", "127.0.0.1:0"]).with("SHORTER_PATH", world.dir("short")).leads_on();
}

#[test]
fn of_an_address_that_is_taken() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    // Port 0 picks a free port; the test needs this as well.
    world.fails("laptop", &["up", "--listen", &address]).with(" --listen ADDRESS:PORT", "").leads_on();
}

#[test]
fn of_settings_with_mistakes() {
    let world = World::new();
    world.founder("laptop");
    let file = world.dir("laptop").join("config.toml");
    for arguments in [&["config", "show"][..], &["config", "check"], &["status"], &["up"]] {
        fs::write(&file, "[net]\nlinks = 1\nlisten = 7\n").expect("written");
        let step = world.fails("laptop", arguments);
        assert_eq!(step.message.lines().count(), 2, "{}", step.message);
        let step = step.after(|| fs::write(&file, "[net]\nlisten = \"127.0.0.1:0\"\n").expect("written"));
        if arguments != ["up"] {
            step.and_cures();
        }
    }
    fs::write(&file, "[net]\nlinks = 1\n").expect("written");
    let findings = world.findings("laptop", &[]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    fs::write(&file, "").expect("written");
    assert_eq!(world.carry_out(&findings[0].1, ""), None);
}

#[test]
fn of_documents_and_spaces_that_are_not_there() {
    let world = World::new();
    world.founder("laptop");
    for arguments in [
        &["doc", "get", "notes/none"][..],
        &["doc", "get", "00000000000000000000000000000000"],
        &["doc", "patch", "notes/none", "{}"],
        &["doc", "history", "notes/none"],
        &["doc", "list", "--after", "00000000000000000000000000000000"],
        &["doc", "list", "-s", ":none"],
        &["doc", "list", "-s", "none"],
        &["doc", "put", "notes/x", "[1]"],
        &["doc", "type", "notes/trip", "none", "x"],
        &["doc", "type", "notes/trip", "s", "x"],
        &["doc", "type", "notes/trip", "body", "x", "--at", "99"],
        &["export", "none", "-"],
    ] {
        world.fails("laptop", arguments).leads_on();
    }
    world.done("laptop", &["doc", "delete", "notes/trip"]);
    for arguments in [&["doc", "patch", "notes/trip", "{}"][..], &["doc", "type", "notes/trip", "body", "x"]] {
        let step = world.fails("laptop", arguments);
        assert_eq!(step.message, "notes/trip was deleted");
        step.leads_on();
    }
    world.done("laptop", &["space", "create", "two"]);
    let elsewhere = world.dir("nowhere.else").display().to_string();
    for arguments in [
        &["doc", "list"][..],
        &["doc", "get", "notes/none", "-s", "two"],
        &["doc", "list", "-s", "two:none"],
        &["doc", "put", "notes/x", "nonsense", "-s", "two"],
        &["export", "notes", &elsewhere, "-s", "home"],
    ] {
        let step = world.fails("laptop", arguments);
        assert_eq!(world.carry_out(&step.next, ""), None, "{arguments:?}: {}", step.next);
    }
    let unknown = world.findings("laptop", &["notes/none", "-s", "two"]);
    let (_, next) = unknown.first().expect("a finding");
    assert!(world.carry_out(next, "").is_some_and(|said| said.contains("no daemon runs")), "{next}");
}

#[test]
fn of_files_that_are_not_as_they_should_be() {
    let world = World::new();
    world.founder("laptop");
    let write = |name: &str, text: &str| {
        fs::write(world.dir(name), text).expect("written");
        world.dir(name).display().to_string()
    };
    let rows = write("rows.csv", "zip,city\n1\n");
    let import = ["import", &rows, "--collection", "rows", "--id-column", "zip"];
    world.fails("laptop", &import).after(|| drop(write("rows.csv", "zip,city\n1,x\n"))).and_cures();
    let lines = write("rows.ndjson", "{\"a\": 1}\n{\"a\": }\n");
    let import = ["import", &lines, "--collection", "lines"];
    world.fails("laptop", &import).after(|| drop(write("rows.ndjson", "{\"a\": 1}\n{\"a\": 2}\n"))).and_cures();
    let unknown = write("rows.data", "something\n");
    world.fails("laptop", &["import", &unknown, "--collection", "data"]).leads_on();
    let out = write("out.csv", "mine");
    world
        .fails("laptop", &["export", "rows", &out])
        .with("the same with --force, which replaces it, or: ", "")
        .leads_on()
        .and_cures();

    let (backup, secret) = (world.dir("backup").display().to_string(), write("secret", "a long passphrase\n"));
    let create = ["backup", "create", &backup, "--passphrase-file", &secret];
    world.done("laptop", &create);
    let sealed = format!("{} --passphrase-file {secret}", world.dir("backup.2").display());
    world.fails("laptop", &create).with("NEW_FILE", sealed).leads_on();
    let sealed = format!("{backup} --passphrase-file {secret}");
    let restore = ["backup", "restore", &backup, "--passphrase-file", &secret];
    let step = world.fails("laptop", &restore).with("NEW_DIR", world.dir("restored"));
    step.with("FILE", &sealed).leads_on();

    let keys = world.dir("laptop").join("keys");
    let all_may = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&keys, all_may.clone()).expect("set");
    let found = world.findings("laptop", &[]);
    assert!(found.len() == 1 && found[0].1.starts_with("chmod 600 "), "{found:?}");
    world.fails("laptop", &["status"]).leads_on().and_cures();
    fs::set_permissions(&keys, all_may).expect("set");
    assert_eq!(world.carry_out(&found[0].1, ""), None);
    for damaged in ["keys", "data.mdb"] {
        world.done(damaged, &restore);
        fs::write(world.dir(damaged).join(damaged), "nothing that this program wrote").expect("written");
        let new = world.dir(&format!("new-{damaged}"));
        world.fails(damaged, &["status"]).with("NEW_DIR", &new).with("FILE", &sealed).leads_on();
    }
}

#[test]
fn of_two_devices() {
    let world = World::new();
    world.founder("laptop");
    world.founder("stranger");
    let (laptop, _phone) = (world.up("laptop"), world.up("phone"));
    let _stranger = world.up("stranger");
    world.fails("phone", &["space", "join", "nonsense"]).leads_on();
    let invite = world.done("laptop", &["space", "invite"]);
    world.fails("laptop", &["space", "join", &invite]).elsewhere("tablet").leads_on();
    world.fails("stranger", &["space", "join", &invite]).with("NEW_DIR", world.dir("new")).leads_on();
    world.done("phone", &["peer", "pause"]);
    world.fails("phone", &["space", "join", &invite]).leads_on().and_cures();
    for arguments in [&["space", "invite"][..], &["space", "create", "other"]] {
        let step = world.fails("phone", arguments);
        let step = if arguments[1] == "create" { step.with("NAME", "other") } else { step };
        assert_eq!(world.carry_out(&step.next, "laptop"), None, "{}", step.next);
    }
    world.done("laptop", &["peer", "pause"]);
    assert!(world.findings("laptop", &[]).iter().all(|(_, next)| world.carry_out(next, "").is_none()));
    world.done("laptop", &["peer", "pause"]);
    world.fails("laptop", &["space", "wait", "-s", "home", "--timeout", "1s"]).leads_on();
    drop(laptop);
    world.fails("phone", &["space", "wait", "--timeout", "1s", "-s", "home"]).leads_on();
}

#[test]
fn of_an_address_whose_device_is_connected_under_another() {
    let world = World::new();
    world.founder("laptop");
    let (laptop, _phone) = (world.up("laptop"), world.up("phone"));
    let invite = world.done("laptop", &["space", "invite"]);
    world.done("phone", &["space", "join", &invite]);
    drop(laptop);
    let _laptop = world.up("laptop");
    let status = world.done("laptop", &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    world.done("phone", &["peer", "add", status["listen"].as_str().expect("an address")]);
    let about = |found: &(String, String)| found.1.contains("peer remove");
    let found = (0..500).find_map(|_| world.findings("phone", &[]).into_iter().find(about));
    let (message, next) = found.expect("a finding about the old address");
    assert!(message.contains("is connected as"), "{message}");
    assert_eq!(world.carry_out(&next, ""), None);
    assert_eq!(world.findings("phone", &[]), []);
}
