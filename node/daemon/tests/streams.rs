//! Input and output of the program through files, pipes and arguments: correct results for inputs that once had wrong
//! ones. Against real nodes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "streams/json.rs"]
mod json;
#[path = "streams/pipes.rs"]
mod pipes;
#[path = "streams/resume.rs"]
mod resume;
#[path = "streams/xml.rs"]
mod xml;

/// A device with a space, and a directory for files.
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

impl World {
    fn new() -> Self {
        let world = Self { root: TempDir::new().expect("a directory") };
        world.done(&["init", "--name", "n"]);
        world.done(&["space", "create", "home"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("it writes");
        path.to_str().expect("text").to_owned()
    }

    fn process(&self, arguments: &[&str]) -> Process {
        let mut process = Process::new(env!("CARGO_BIN_EXE_cosmicsync"));
        process.current_dir(self.root.path()).args(["--dir", "d"]).args(arguments).stdin(Stdio::null());
        process
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.process(arguments).output().expect("it runs")
    }

    /// Returns the output of a command that must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        finished(arguments, &self.run(arguments))
    }

    /// Returns the exit code and the error of a command that must fail.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().expect("no signal"), String::from_utf8(output.stderr).expect("text"))
    }

    /// Runs a command with an input.
    fn fed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut process = self.process(arguments);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        // The command may close its input before it has read everything.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        feeding.join().expect("fed");
        output
    }

    fn up(&self) -> Running {
        let mut up = self.process(&["up", "--listen", "127.0.0.1:0", "-o", "json", "-q"]);
        let mut child = up.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        assert!(line.starts_with('{'), "{line}");
        Running(child)
    }

    /// Returns the values of a collection, ordered by key.
    fn values(&self, collection: &str) -> Vec<Value> {
        let listed = self.done(&["doc", "list", collection, "--values", "-o", "json"]);
        listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["value"].clone()).collect()
    }
}

fn finished(arguments: &[&str], output: &Output) -> String {
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Returns a number in an import's output.
fn count(printed: &str, name: &str) -> u64 {
    let line = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name}: {printed}"))
}

#[test]
fn a_name_that_no_command_can_say_is_taken_by_none() {
    let world = World::new();
    let file = world.file("in.csv", "id,x\n1,a\n");
    for import in
        [["import", &file, "-c", "a/b", "--id-column", "id"], ["import", &file, "-c", "", "--id-column", "id"]]
    {
        let (code, said) = world.refused(&import);
        assert!(code == 2 && said.contains("the collection's name"), "{said}");
    }
    let (code, _) = world.refused(&["doc", "put", "/x", "{}"]);
    assert_eq!(code, 2);
    world.done(&["doc", "put", "a/b/1", r#"{"n":1}"#]);
    world.done(&["doc", "get", "a/b/1"]);
    let lines = world.file("nul.ndjson", "{\"id\":\"a\\u0000b\"}\n");
    assert!(world.refused(&["import", &lines, "-c", "c", "--id-column", "id"]).1.contains("NUL"));
}

#[test]
fn a_cell_that_was_cut_off_is_refused() {
    let world = World::new();
    for text in ["id,note\n1,fine\n2,\"cut off he", "id,note\n1,fine\n2,\"", "id;note\n1;\"a\"\"b"] {
        let file = world.file("in.csv", text);
        let (code, said) = world.refused(&["import", &file, "-c", "c", "--id-column", "id"]);
        assert!(code == 2 && said.contains("a quote is never closed"), "{said}");
        // The suggested step works once the file is corrected.
        let next = said.split("then: cosmicsync ").nth(1).expect("a next step").trim().to_owned();
        world.file("in.csv", format!("{text}\"\n"));
        world.done(&next.split(' ').skip(2).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_counted_is_what_was_stored() {
    let world = World::new();
    let csv = world.file("in.csv", "id,x\n7,first\n7,second\n8,a\n8,a\n");
    let import = ["import", &csv, "-c", "c", "--id-column", "id"];
    let printed = world.done(&import);
    let counts = |printed: &str| ["documents", "replaced", "unchanged", "skipped"].map(|name| count(printed, name));
    assert_eq!(counts(&printed), [2, 1, 1, 0]);
    let printed = world.done(&import);
    assert_eq!(counts(&printed)[0], 0, "{printed}");
    let lines = world.file("in.ndjson", "{\"id\":1,\"x\":1}\n{\"id\":\"1\",\"x\":2}\n");
    assert_eq!(counts(&world.done(&["import", &lines, "-c", "n", "--id-column", "id"])), [1, 1, 0, 0]);
    assert_eq!(world.values("n").len(), 1);
    // Rows with the same key in different batches.
    let rows: String = (0..4_000).map(|row| format!("{},{row}\n", row % 1_500)).collect();
    let csv = world.file("many.csv", format!("id,x\n{rows}"));
    assert_eq!(counts(&world.done(&["import", &csv, "-c", "m", "--id-column", "id"])), [1_500, 2_500, 0, 0]);
    let dry = world.done(&["import", &csv, "-c", "dry", "--id-column", "id", "--dry-run"]);
    assert_eq!(counts(&dry), [1_500, 2_500, 0, 0]);
    assert!(dry.contains("columns\tid, x\n") && dry.contains("nothing was stored"), "{dry}");
    assert!(world.values("dry").is_empty());
}

#[test]
fn named_columns_of_a_table_become_numbers() {
    let world = World::new();
    let csv = world.file("in.csv", "zip,pop,lat,name\n00501,120,40.5,Holtsville\n10001,,40.75,New York\n");
    let import = ["import", &csv, "-c", "towns", "--id-column", "zip"];
    let printed = world.done(&import);
    // The zip codes are no numbers, for they begin with zeros.
    assert!(printed.contains("--number lat --number pop"), "{printed}");
    let numbers = [&import[..], &["--number", "pop", "--number", "lat"]].concat();
    let printed = world.done(&numbers);
    assert!(!printed.contains("--number"), "{printed}");
    let town = serde_json::json!({ "zip": "10001", "pop": null, "lat": 40.75, "name": "New York" });
    assert_eq!(world.values("towns")[1], town);
    let found = world.done(&["query", "towns", r#"{"pop": {"$gte": 100}}"#, "--fields", "name", "-o", "json"]);
    assert!(found.contains("Holtsville") && !found.contains("New York"), "{found}");

    let wrong = world.file("wrong.csv", "zip,pop\n1,many\n");
    let (code, said) = world.refused(&["import", &wrong, "-c", "wrong", "--number", "pop"]);
    assert!(code == 2 && said.contains("line 2 (row 1): 'many' in the column 'pop' is not a number"), "{said}");
    assert!(said.contains("--number pop") && !said.contains("--resume"), "nothing is stored: {said}");
    let (code, said) = world.refused(&["import", &csv, "-c", "typo", "--number", "popp"]);
    assert!(code == 2 && said.contains("there is no column 'popp'; there are zip, pop, lat, name"), "{said}");
    let lines = world.file("in.ndjson", "{\"pop\":1}\n");
    let (code, said) = world.refused(&["import", &lines, "-c", "n", "--number", "pop"]);
    assert!(code == 2 && said.contains("other formats have their own numbers"), "{said}");
}

#[test]
fn a_compressed_file_is_told_by_its_first_bytes() {
    let world = World::new();
    let file = world.file("in.csv.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    let (code, said) = world.refused(&["import", &file, "-c", "c"]);
    assert!(code == 2 && said.contains("compressed with gzip") && said.contains("gunzip -c "), "{said}");
}

#[test]
fn a_row_that_is_too_large_is_named_with_its_limit() {
    let world = World::new();
    let long = "x".repeat(300_000);
    let file = world.file("in.ndjson", format!("{{\"id\":1}}\n{{\"id\":2,\"body\":\"{long}\"}}\n{{\"id\":3}}\n"));
    let (code, said) = world.refused(&["import", &file, "-c", "notes", "--id-column", "id"]);
    assert!(code == 4 && said.contains("line 2 (row 2)") && said.contains("262144 bytes"), "{said}");
    world.file("in.ndjson", "{\"id\":1}\n{\"id\":2,\"body\":\"short\"}\n{\"id\":3}\n");
    let next = said.split("then: cosmicsync ").nth(1).expect("a next step").trim().to_owned();
    world.done(&next.split(' ').skip(2).collect::<Vec<_>>());
    assert_eq!(world.values("notes").len(), 3);
}

#[test]
fn patches_that_do_not_fit_are_named_by_their_line() {
    let world = World::new();
    world.done(&["doc", "put", "n/q", r#"{"body":""}"#, "--text", "body"]);
    let patches =
        |text: &str| world.refused(&["doc", "type", "n/q", "body", "--patches", &world.file("p.txt", text)]).1;
    let said = patches("[[0,0,\"one\"]]\n[[99,0,\"two\"]]\n[[0,0,\"three\"]]\n");
    assert!(said.contains("line 2 of the patches") && said.contains("line 1 is written"), "{said}");
    assert!(patches("[[0,0,\"a\"]]\n[[0,0,\"b\"]]\n[1]\n").contains("line 3 of the patches"));
    assert!(patches("[[0,0,\"a\",\"b\"]]\n").contains("line 1 of the patches"));
    assert_eq!(world.values("n")[0]["body"], "baone");
}

#[test]
fn nothing_that_is_printed_steers_a_terminal() {
    let world = World::new();
    let hostile = "c/\x1b[31mred\nsecond\u{9b}2J line\u{202e}";
    let steers = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}');
    for arguments in [
        &["doc", "put", hostile, r#"{"k":"\u009b"}"#, "--text", "k"][..],
        &["doc", "patch", hostile, r#"{"l":1}"#],
        &["doc", "type", hostile, "k", "x"],
        &["doc", "get", hostile],
        &["doc", "list", "c", "--values"],
        &["doc", "delete", hostile],
    ] {
        let printed = world.done(arguments);
        assert!(!steers(&printed), "{arguments:?}: {printed:?}");
        assert!(arguments[1] == "get" || printed.lines().count() == 1, "{arguments:?}: {printed:?}");
    }
    for arguments in [&["doc", "get", hostile][..], &["doc", "type", hostile, "k", "x"], &["export", hostile, "-"]] {
        let (_, said) = world.refused(arguments);
        assert!(!steers(&said) && said.trim_end().lines().count() == 2, "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_file_is_told_by_its_whole_first_record() {
    let world = World::new();
    let lines: String =
        (0..200).map(|line| format!("{{\"id\":\"line-{line}\",\"article\":\"{}\"}},", "x".repeat(60))).collect();
    let order = |id: u32| format!("{{\"id\":\"order-{id}\",\"lines\":[{}]}}\n", lines.trim_end_matches(','));
    let import = |name: &str, text: &str| {
        let file = world.file(name, text);
        world.run(&["import", &file, "-c", name, "--id-column", "id"])
    };
    assert_eq!(count(&finished(&[], &import("one.ndjson", &order(1))), "documents"), 1);
    assert_eq!(count(&finished(&[], &import("two.ndjson", &(order(1) + &order(2)))), "documents"), 2);
    assert_eq!(count(&finished(&[], &import("two.json", &(order(1) + &order(2)))), "documents"), 2);
    // A single line that may be either format is not guessed.
    let unclear = import("orders", &order(1));
    let said = String::from_utf8_lossy(&unclear.stderr).into_owned();
    assert!(said.contains("with ndjson it is a record") && said.contains("--format json"), "{said}");
    let columns: String = (0..3_000).map(|column| format!("column {column};")).collect();
    let wide = format!("{columns}id\n{}1\n", "a,b;".repeat(3_000));
    assert_eq!(count(&finished(&[], &import("wide", &wide)), "documents"), 1);
    assert_eq!(count(&finished(&[], &import("t.tsv", "id\tx\n1\ta,b;c\n")), "documents"), 1);
    assert_eq!(world.values("t.tsv")[0]["x"], "a,b;c");
    world.done(&["export", "t.tsv", "-", "--format", "csv"]);
    assert_eq!(world.done(&["export", "t.tsv", "-", "--format", "csv"]), "id\tx\n1\ta,b;c\n");
    assert_eq!(world.done(&["export", "t.tsv", "-", "--format", "csv", "--delimiter", ";"]), "id;x\n1;\"a,b;c\"\n");
    let odd = world.file("odd.txt", "id#x\n1#2\n");
    world.done(&["import", &odd, "-c", "odd", "--id-column", "id", "--delimiter", "#"]);
    assert_eq!(world.values("odd")[0]["x"], "2");
    assert_eq!(world.refused(&["import", &odd, "-c", "odd", "--delimiter", "ab"]).0, 2);
}

#[test]
fn a_dotted_path_leads_to_the_rows() {
    let world = World::new();
    let file = world.file("in.json", r#"{"data":{"items":[{"id":1},{"id":2}],"n":[1]},"other":[{"id":3}]}"#);
    let import = |rows: &str| world.run(&["import", &file, "-c", "c", "--rows", rows, "--id-column", "id"]);
    assert_eq!(count(&finished(&[], &import("data.items")), "documents"), 2);
    let wrong = import("data.none");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && said.contains("at 'data.none'"), "{said}");
}

fn exists(path: &Path) -> bool {
    path.try_exists().expect("it can be asked")
}
