//! Every error names a next step: the device, the directory, and the exact command. Against real nodes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};

use tempfile::TempDir;

#[path = "errors_name_the_way_out/full.rs"]
mod full;
#[path = "errors_name_the_way_out/next_steps.rs"]
mod next_steps;

/// Returns the message and the next step of a failed command.
fn said(output: &Output) -> (String, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let (message, next) = text.trim_end().rsplit_once("\n next: ").unwrap_or_else(|| panic!("no next step: {text}"));
    (message.strip_prefix("error: ").unwrap_or_else(|| panic!("{text}")).to_owned(), next.to_owned())
}

/// A directory for devices.
struct World {
    temporary: TempDir,
    /// A small disk for the devices, instead of the directory.
    disk: Option<full::Disk>,
}

/// A node that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

impl World {
    fn new() -> Self {
        Self { temporary: TempDir::new().expect("a directory"), disk: None }
    }

    fn dir(&self, device: &str) -> PathBuf {
        self.disk.as_ref().map_or(self.temporary.path(), |disk| &disk.place).join(device)
    }

    fn program(&self, program: &str) -> Process {
        self.disk.as_ref().map_or_else(|| Process::new(program), |disk| disk.process(program))
    }

    fn process(&self, device: &str, arguments: &[&str]) -> Process {
        let mut process = self.program(env!("CARGO_BIN_EXE_cosmicsync"));
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

    /// Returns the message and the next step of a command that must fail.
    fn error(&self, device: &str, arguments: &[&str]) -> (String, String) {
        let output = self.run(device, arguments);
        assert!(!output.status.success(), "{arguments:?} went well");
        said(&output)
    }

    /// Returns a command line for a device's directory.
    fn command(&self, device: &str, rest: &str) -> String {
        format!("cosmicsync --dir {} {rest}", self.dir(device).display())
    }

    /// Creates a device with a user, a space and a document.
    fn founder(&self, device: &str) {
        self.done(device, &["init", "--name", device]);
        self.done(device, &["space", "create", "home"]);
        self.done(device, &["doc", "put", "notes/trip", r#"{"body":"tent","s":"plain","n":1}"#, "--text", "body"]);
    }

    fn up(&self, device: &str) -> Running {
        let mut up = self.process(device, &["up", "--listen", "127.0.0.1:0", "-o", "json", "-q"]);
        let mut child = up.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        assert!(line.starts_with('{'), "{line}");
        Running(child)
    }
}

const INVITE_AGAIN: &str =
    "on the device that invites: cosmicsync space invite; then here: cosmicsync space join with the new line";

#[test]
fn a_bad_invite_names_the_device_that_invites() {
    let world = World::new();
    world.founder("laptop");
    let _running = [world.up("laptop"), world.up("phone"), world.up("tablet")];
    let (message, next) = world.error("phone", &["space", "join", "nonsense"]);
    assert!(message.starts_with("this is not an invite"), "{message}");
    assert_eq!(next, INVITE_AGAIN);

    let invite = world.done("laptop", &["space", "invite"]);
    let (message, next) = world.error("laptop", &["space", "join", &invite]);
    assert_eq!(message, "this device made the invite: use it on another");
    assert!(next.starts_with("on the other device: cosmicsync up"), "{next}");

    world.done("phone", &["space", "join", &invite]);
    let (message, next) = world.error("tablet", &["space", "join", &invite]);
    assert!(message.contains("the invite was used by another device"), "{message}");
    assert_eq!(next, INVITE_AGAIN);
}

#[test]
fn an_unreachable_peer_is_told_by_doctor_with_its_cure() {
    let world = World::new();
    world.founder("laptop");
    let (laptop, _phone) = (world.up("laptop"), world.up("phone"));
    let invite = world.done("laptop", &["space", "invite"]);
    world.done("phone", &["space", "join", &invite]);
    drop(laptop);
    // Each wait gives the phone a second for failed dials.
    let unreachable = (0..30).find_map(|_| {
        let (message, next) = world.error("phone", &["space", "wait", "--timeout", "1s"]);
        assert!(message.starts_with("no peer is connected"), "{message}");
        assert_eq!(next, world.command("phone", "doctor"));
        let found = world.done("phone", &["doctor"]);
        found.lines().find(|line| line.contains("refused")).map(str::to_owned)
    });
    let line = unreachable.expect("a finding");
    let cells: Vec<&str> = line.split('\t').collect();
    assert_eq!(cells[0], "warning");
    assert!(cells[2].contains("if that device listens elsewhere now, add the new address"), "{line}");
    assert_eq!(cells[3], world.command("phone", "peer add HOST:PORT"));

    // On the new port nobody finds the laptop, and the laptop knows no other address.
    let _laptop = world.up("laptop");
    let found = world.done("laptop", &["doctor"]);
    assert!(found.contains(&world.command("laptop", "peer add HOST:PORT")), "{found}");
}

#[test]
fn typing_where_no_text_is_names_the_place_and_the_way() {
    let world = World::new();
    world.founder("laptop");
    let error = |arguments: &[&str]| world.error("laptop", &[&["doc", "type"], arguments].concat());
    let get = world.command("laptop", "doc get notes/trip");
    assert_eq!(error(&["notes/trip", "bodi", "x"]), ("notes/trip has no 'bodi'".to_owned(), get.clone()));
    let past = "the edit reaches past the end of 'body' of notes/trip, which has 4 characters".to_owned();
    assert_eq!(error(&["notes/trip", "body", "x", "--at", "9"]), (past, get.clone()));
    let patches = world.dir("patches");
    fs::write(&patches, "[[0, 0, \"a\"], [99, 0, \"b\"]]\n").expect("written");
    let (message, _) = error(&["notes/trip", "body", "--patches", patches.to_str().expect("text")]);
    assert!(message.starts_with("line 1 of the patches: edit 2 of 2 reaches past the end"), "{message}");
    let list = world.command("laptop", "doc list notes");
    assert_eq!(error(&["notes/trap", "body", "x"]), ("there is no document notes/trap".to_owned(), list));

    // The suggested step helps.
    let (message, next) = error(&["notes/trip", "s", "x"]);
    assert!(message.starts_with("'s' of notes/trip is not a collaborative text"), "{message}");
    let get = world.command("laptop", "doc get notes/trip");
    assert_eq!(next, world.command("laptop", &format!(r#"doc put notes/trip "$({get})" --text s"#)));
    let whole = world.done("laptop", &["doc", "get", "notes/trip"]);
    world.done("laptop", &["doc", "put", "notes/trip", &whole, "--text", "s"]);
    world.done("laptop", &["doc", "type", "notes/trip", "s", "x"]);
    assert!(world.done("laptop", &["doc", "get", "notes/trip"]).contains("xplain"));
}

#[test]
fn an_import_without_its_key_lists_the_columns() {
    let world = World::new();
    world.founder("laptop");
    let import = |file: &Path, column: &str| {
        let file = file.to_str().expect("text");
        world.error("laptop", &["import", file, "--collection", "cities", "--id-column", column])
    };
    let csv = world.dir("cities.csv");
    fs::write(&csv, "zip,city\n00501,Holtsville\n,Agawam\n").expect("written");
    assert_eq!(import(&csv, "code").0, "line 2 (row 1): there is no 'code'; there are zip, city");
    assert!(import(&csv, "zip").0.starts_with("line 3 (row 2): 'zip' is "));
    let ragged = world.dir("ragged.csv");
    fs::write(&ragged, "zip,city\n00501\n").expect("written");
    let again = format!("import {} --collection cities --id-column zip", ragged.display());
    let mended = format!("correct {}, then: {}", ragged.display(), world.command("laptop", &again));
    assert_eq!(import(&ragged, "zip").1, mended);
    let lines = world.dir("cities.ndjson");
    fs::write(&lines, "{\"name\": \"Agawam\", \"at\": {\"zip\": 1001}}\n").expect("written");
    assert_eq!(import(&lines, "zip").0, "line 1 (row 1): there is no 'zip'; there are at, name");
}

#[test]
fn without_a_daemon_status_says_so_and_nothing_of_links() {
    let world = World::new();
    world.founder("laptop");
    let status = world.done("laptop", &["status"]);
    assert!(status.contains("daemon\tnot running\n"), "{status}");
    assert!(!["\nup\t", "\nlistens\t", "paused"].iter().any(|word| status.contains(word)), "{status}");
}

#[test]
fn a_restored_device_starts_without_a_warning() {
    let world = World::new();
    world.founder("laptop");
    let (file, passphrase) = (world.dir("backup"), world.dir("passphrase"));
    fs::write(&passphrase, "a long passphrase\n").expect("written");
    let (file, passphrase) = (file.to_str().expect("text"), passphrase.to_str().expect("text"));
    world.done("laptop", &["backup", "create", file, "--passphrase-file", passphrase]);
    world.done("restored", &["backup", "restore", file, "--passphrase-file", passphrase]);
    let output = world.run("restored", &["doc", "get", "notes/trip"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_backup_of_the_first_device_brings_back_that_it_can_invite() {
    let world = World::new();
    let said = world.done("laptop", &["init", "--name", "laptop"]);
    assert!(said.contains("Until then only a backup of this device (`cosmicsync backup create FILE`)"), "{said}");
    world.done("laptop", &["space", "create", "home"]);
    world.done("laptop", &["doc", "put", "notes/a", "{\"n\":1}"]);
    let (file, passphrase) = (world.dir("backup"), world.dir("passphrase"));
    fs::write(&passphrase, "a long passphrase\n").expect("written");
    let (file, passphrase) = (file.to_str().expect("text"), passphrase.to_str().expect("text"));
    world.done("laptop", &["backup", "create", file, "--passphrase-file", passphrase]);
    fs::remove_dir_all(world.dir("laptop")).expect("the laptop is lost");

    world.done("restored", &["backup", "restore", file, "--passphrase-file", passphrase]);
    let _running = [world.up("restored"), world.up("phone")];
    let invite = world.done("restored", &["space", "invite"]);
    world.done("phone", &["space", "join", &invite]);
    world.done("phone", &["space", "wait"]);
    assert!(world.done("phone", &["doc", "get", "notes/a"]).contains("\"n\": 1"));
    world.done("restored", &["space", "create", "another"]);
}

#[test]
fn lists_are_by_key_and_whole_unless_a_limit_is_asked_for() {
    let world = World::new();
    world.founder("laptop");
    let rows: String = (0..300).rev().map(|number| format!("k{number:03},{number}\n")).collect();
    let csv = world.dir("rows.csv");
    fs::write(&csv, format!("key,n\n{rows}")).expect("written");
    world.done("laptop", &["import", csv.to_str().expect("text"), "--collection", "big", "--id-column", "key"]);
    world.done("laptop", &["doc", "put", "big", "{\"n\":-1}"]);
    let keys = |arguments: &[&str]| -> Vec<String> {
        let text = world.done("laptop", &[&["doc", "list"], arguments].concat());
        text.lines().map(|line| line.split('\t').nth(2).unwrap_or_default().to_owned()).collect()
    };
    let mut all: Vec<String> = (0..300).map(|number| format!("k{number:03}")).collect();
    // Documents without a key come last.
    all.push(String::new());
    assert_eq!(keys(&["big"]), all);
    assert_eq!(keys(&["big", "--values"]), all);
    assert_eq!(keys(&["big", "--limit", "2", "--after", "big/k100"]), ["k101", "k102"]);
    assert_eq!(keys(&["big", "--after", "big/k299"]), [""]);
    // The last document of a page may be deleted before the next page is read.
    world.done("laptop", &["doc", "delete", "big/k100"]);
    assert_eq!(keys(&["big", "--limit", "1", "--after", "big/k100"]), ["k101"]);
    assert_eq!(keys(&[]).len(), 301);
    let page = world.done("laptop", &["-o", "json", "doc", "list", "--limit", "1"]);
    let lines: Vec<serde_json::Value> =
        page.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines[1], serde_json::json!({ "more": { "count": 300, "after": "big/k000" } }));
}

#[test]
fn a_command_that_fails_leaves_nothing_behind() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    world.error("phone", &["up", "--listen", &address]);
    assert!(!world.dir("phone").exists());

    world.founder("laptop");
    let (file, passphrase, wrong) = (world.dir("backup"), world.dir("passphrase"), world.dir("wrong"));
    fs::write(&passphrase, "a long passphrase\n").expect("written");
    fs::write(&wrong, "another passphrase\n").expect("written");
    let path = |file: &Path| file.to_str().expect("text").to_owned();
    let of = |verb: &'static str, by: &Path| {
        ["backup".to_owned(), verb.to_owned(), path(&file), "--passphrase-file".to_owned(), path(by)]
    };
    let run = |device: &str, arguments: &[String]| {
        world.run(device, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).status.code()
    };
    assert_eq!(run("laptop", &of("create", &passphrase)), Some(0));
    assert_eq!(run("restored", &of("restore", &wrong)), Some(1));
    assert!(!world.dir("restored").exists());
}

#[test]
fn a_backup_wants_a_passphrase_that_is_not_guessed_at_once() {
    let world = World::new();
    world.founder("laptop");
    let (file, passphrase) = (world.dir("backup"), world.dir("passphrase"));
    fs::write(&passphrase, "ab\n").expect("written");
    let arguments = ["backup", "create", file.to_str().expect("text"), "--passphrase-file"];
    let (message, _) = world.error("laptop", &[&arguments[..], &[passphrase.to_str().expect("text")]].concat());
    assert!(message.starts_with("a passphrase needs 8 characters or more"), "{message}");
    assert!(!file.exists());
}

#[test]
fn a_text_path_that_leads_nowhere_is_refused() {
    let world = World::new();
    world.founder("laptop");
    let put = |value: &str, path: &str| world.run("laptop", &["doc", "put", "notes/a", value, "--text", path]);
    for (value, path, why) in [
        (r#"{"a":"x"}"#, "b", "the text path 'b' is not in the document"),
        (r#"{"a":[{"b":"x"}]}"#, "a.b", "the text path 'a.b' is not in the document"),
        (r#"{"a":1}"#, "a", "the value at the text path 'a' is not a string"),
    ] {
        let output = put(value, path);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{value}");
    }
    for (value, path) in [(r#"{"a":[]}"#, "a.*.b"), (r#"{"a":[1,{"b":"x"}]}"#, "a.*.b"), (r#"{"a":"x"}"#, "a")] {
        assert!(put(value, path).status.success(), "{value} {path}");
    }
}

#[test]
fn a_node_listens_where_a_name_or_a_port_alone_says() {
    let world = World::new();
    let up = |address: &str| {
        let mut up = world.process("laptop", &["up", "--listen", address, "-q"]);
        let mut node = Running(up.stdout(Stdio::piped()).spawn().expect("it starts"));
        let mut line = String::new();
        BufReader::new(node.0.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        (node, line.trim_end().rsplit_once(' ').expect("an address").1.to_owned())
    };
    for address in ["localhost:0", ":0"] {
        let (_node, listens) = up(address);
        assert!(listens.starts_with("127.0.0.1:") || listens.starts_with("[::1]:"), "{listens}");
        // The settings name another address, and `config show` notes that.
        let shown = world.run("laptop", &["config", "show"]);
        let said = String::from_utf8(shown.stderr).expect("text");
        assert!(said.contains(&format!("listens on {listens}")), "{said}");
    }
    assert_eq!(world.run("laptop", &["up", "--listen", "nonsense"]).status.code(), Some(2));
    assert_eq!(world.run("laptop", &["up", "--listen", ":70000"]).status.code(), Some(2));
}

#[test]
fn a_device_under_two_addresses_is_counted_once() {
    let world = World::new();
    world.founder("laptop");
    let _running = [world.up("laptop"), world.up("phone")];
    let invite = world.done("laptop", &["space", "invite"]);
    world.done("phone", &["space", "join", &invite]);
    let status = world.done("laptop", &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let port = status["listen"].as_str().and_then(|listen| listen.rsplit_once(':')).expect("an address").1;
    world.done("phone", &["peer", "add", &format!("localhost:{port}")]);
    let peers = || -> Vec<serde_json::Value> {
        let text = world.done("phone", &["peer", "list", "-o", "json"]);
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    };
    let both = (0..500).map(|_| peers()).find(|peers| peers.iter().all(|peer| peer["state"] == "connected"));
    let both = both.expect("both addresses lead to the laptop");
    assert_eq!(both.len(), 2);
    let counted = both.iter().filter(|peer| peer["traffic"]["bytes_in"].as_u64() > Some(0)).count();
    assert_eq!(counted, 1, "{both:?}");
    assert!(both.iter().all(|peer| peer["error"].is_null()), "{both:?}");
}

#[test]
fn a_device_without_a_user_is_told_to_join_first() {
    let world = World::new();
    let _phone = world.up("phone");
    let (message, next) = world.error("phone", &["space", "create", "home"]);
    assert!(message.starts_with("this device has no user yet"), "{message}");
    assert_eq!(next, world.command("phone", "space join LINE; or, on the first device, cosmicsync init"));
    let found = world.done("phone", &["doctor"]);
    assert!(found.contains(&world.command("phone", "space join LINE")), "{found}");
}

#[test]
fn typing_that_a_deletion_has_not_seen_brings_a_document_back() {
    let world = World::new();
    world.founder("laptop");
    let (_laptop, _phone) = (world.up("laptop"), world.up("phone"));
    let invite = world.done("laptop", &["space", "invite"]);
    world.done("phone", &["space", "join", &invite]);
    world.done("phone", &["space", "wait"]);
    world.done("phone", &["peer", "pause"]);
    world.done("laptop", &["doc", "delete", "notes/trip"]);
    world.done("phone", &["doc", "type", "notes/trip", "body", "two hours of it"]);
    world.done("phone", &["peer", "resume"]);
    world.done("phone", &["space", "wait"]);
    world.done("laptop", &["space", "wait"]);
    for device in ["laptop", "phone"] {
        let found = world.done(device, &["doc", "get", "notes/trip"]);
        assert!(found.contains("two hours of it"), "{found}");
    }

    let changes = |device: &str| {
        let history = world.done(device, &["doc", "history", "notes/trip"]);
        let mut kinds: Vec<String> =
            history.lines().map(|line| line.split('\t').nth(1).expect("a change").to_owned()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(changes("laptop"), ["created", "deleted", "edited"]);
    assert_eq!(changes("phone"), changes("laptop"));
    let limited = world.done("laptop", &["-o", "json", "doc", "history", "notes/trip", "--limit", "1"]);
    assert_eq!(limited.lines().last(), Some(r#"{"more":{"count":2}}"#));
    assert!(world.done("phone", &["doctor", "notes/trip"]).contains("the document is complete here"));

    world.done("laptop", &["doc", "put", "notes/old", "{\"n\":1}"]);
    world.done("laptop", &["doc", "delete", "notes/old"]);
    let told = world.done("laptop", &["doctor", "notes/old"]);
    assert!(told.starts_with("ok\tnotes/old\tdeleted at 20") && !told.contains("written"), "{told}");
    world.done("laptop", &["doc", "put", "notes/old", "{\"n\":2}"]);
    assert_eq!(changes_of(&world, "notes/old"), ["undeleted", "deleted", "created"]);
    assert!(world.done("laptop", &["doctor", "notes/old"]).contains("the document is complete here"));
}

/// Returns the history of a document, newest first.
fn changes_of(world: &World, doc: &str) -> Vec<String> {
    let history = world.done("laptop", &["doc", "history", doc]);
    history.lines().map(|line| line.split('\t').nth(1).expect("a change").to_owned()).collect()
}

#[test]
fn a_device_has_a_name_and_one_that_dialled_in_is_remembered() {
    let world = World::new();
    world.founder("laptop");
    let _laptop = world.up("laptop");
    let mut up = world.process("phone", &["up", "--listen", "127.0.0.1:0", "--name", "my phone", "-q"]);
    let mut phone = Running(up.stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(phone.0.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
    assert!(line.starts_with("my phone listens on "), "{line}");
    let invite = world.done("laptop", &["space", "invite"]);
    world.done("phone", &["space", "join", &invite]);
    assert!(world.done("phone", &["device", "rename", "phone"]).starts_with("name\tphone\n"));
    for wrong in ["", "a\u{7}", &"n".repeat(65)] {
        assert_eq!(world.run("phone", &["device", "rename", wrong]).status.code(), Some(2), "{wrong:?}");
    }
    let devices = world.done("phone", &["device", "list"]);
    assert_eq!(devices.lines().count(), 2, "{devices}");
    assert!(devices.lines().any(|line| line.contains("\tphone\tthis device")), "{devices}");
    assert!(devices.lines().any(|line| line.contains("\t\tconnected\t20")), "{devices}");

    drop(phone);
    let away = (0..500).map(|_| world.done("laptop", &["peer", "list"])).find(|peers| peers.contains("\taway\t"));
    assert!(away.is_some_and(|peers| peers.lines().count() == 1 && peers.contains("Z")), "the phone is remembered");
    assert!(world.done("laptop", &["doctor"]).contains("not connected, last seen 20"));
    // The device's name stays.
    let status = world.done("phone", &["status"]);
    assert!(status.starts_with("name\tphone\n"), "{status}");
}
