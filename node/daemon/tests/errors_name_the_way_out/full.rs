//! A store at its size limit, and a full disk: the messages, the kept data, and the recovery.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command as Process, Output, Stdio};
use std::time::{Duration, Instant};

use super::{World, said};

/// A file system in memory, visible only to processes in its namespace. It is gone with the process that mounted it.
pub(super) struct Disk {
    mounter: Child,
    pub(super) place: PathBuf,
    enter: &'static [&'static str],
}

impl Disk {
    /// Needs root, or user namespaces for everyone.
    fn new(place: PathBuf, bytes: u64, ballast: u64) -> Self {
        let mount = format!("mount -t tmpfs -o size={bytes} none '{}'", place.display());
        let fill = format!("head -c {ballast} /dev/zero > '{}/ballast'", place.display());
        let script = format!("{mount} && {fill} && echo && exec cat");
        for (flags, enter) in [("-m", &["-m"][..]), ("-Urm", &["-U", "-m", "--preserve-credentials"])] {
            let mut unshare = Process::new("unshare");
            let piped = unshare.arg(flags).args(["sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut mounter = piped.stderr(Stdio::null()).spawn().expect("unshare is installed");
            let mut line = String::new();
            BufReader::new(mounter.stdout.as_mut().expect("piped")).read_line(&mut line).expect("text");
            if !line.is_empty() {
                return Self { mounter, place, enter };
            }
            mounter.wait().expect("it ended");
        }
        panic!("this test mounts a small disk: run it as root, or where everyone may have namespaces")
    }

    /// Returns a program that sees the disk.
    pub(super) fn process(&self, program: &str) -> Process {
        let mut process = Process::new("nsenter");
        process.args(self.enter).arg(format!("--target={}", self.mounter.id())).arg("--").arg(program);
        process
    }

    /// Deletes the ballast, which takes a part of the disk.
    fn make_room(&self) {
        let ballast = self.place.join("ballast");
        assert!(self.process("rm").arg(ballast).status().expect("it runs").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // No other process uses the disk.
        let _ = self.mounter.kill().and_then(|()| self.mounter.wait().map(drop));
    }
}

impl World {
    /// Returns a world on a disk of this size, with ballast that can be deleted.
    fn on_disk(bytes: u64, ballast: u64) -> Self {
        let mut world = Self::new();
        let place = world.temporary.path().join("disk");
        fs::create_dir(&place).expect("a directory");
        world.disk = Some(Disk::new(place, bytes, ballast));
        world
    }

    /// Writes a table of `rows` rows.
    fn table(&self, rows: usize) -> String {
        let path = self.temporary.path().join("rows.csv");
        let lines = (0..rows).map(|row| format!("{row},a row of the table,{}\n", row * 7 % 1_000));
        fs::write(&path, format!("id,text,number\n{}", lines.collect::<String>())).expect("written");
        path.display().to_string()
    }

    /// Runs a suggested command.
    fn told(&self, command: &str) -> Output {
        let program = format!("{} ", env!("CARGO_BIN_EXE_cosmicsync"));
        let command = command.replacen("cosmicsync ", &program, 1);
        self.program("sh").args(["-c", &command]).stdin(Stdio::null()).output().expect("it runs")
    }

    fn documents(&self, device: &str) -> usize {
        let list = self.done(device, &["space", "list"]);
        list.split('\t').nth(2).and_then(|cell| cell.parse().ok()).unwrap_or_else(|| panic!("{list}"))
    }

    /// Returns the line of `doctor` about a subject.
    fn found(&self, device: &str, subject: &str) -> String {
        let output = self.run(device, &["doctor"]);
        let text = String::from_utf8(output.stdout).expect("text");
        let line = text.lines().find(|line| line.split('\t').nth(1) == Some(subject));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    }
}

#[test]
fn an_import_that_a_limit_ended_resumes_once_there_is_room() {
    const ROWS: usize = 3_000;
    const LIMIT: u64 = 1_000_000;
    let world = World::new();
    world.founder("a");
    let settings = world.dir("a").join("config.toml");
    fs::write(&settings, format!("[store]\nbytes_max = {LIMIT}\n")).expect("written");
    let up = world.up("a");
    let import = ["import", &world.table(ROWS), "--collection", "rows", "--id-column", "id"];
    let output = world.run("a", &import);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let (message, next) = said(&output);
    let bytes = fs::metadata(world.dir("a").join("data.mdb")).expect("a store").len();
    assert!((LIMIT..LIMIT * 5 / 4).contains(&bytes), "{bytes}");
    let limit = format!("the store has {bytes} bytes and may have {LIMIT} (store.bytes_max)");
    let stored = message.strip_prefix(&format!("{limit}. ")).expect(&message);
    let stored: usize =
        stored.strip_suffix(" rows of the file are stored").and_then(|rows| rows.parse().ok()).expect(stored);
    let raise = format!("raise store.bytes_max in {}:2 and start the node again, then: ", settings.display());
    let resume = next.strip_prefix(&raise).expect(&next);
    let raise = raise + &world.command("a", "doctor");

    // All commands report the same.
    assert_eq!(world.found("a", "store"), format!("problem\tstore\t{limit}\t{raise}"));
    assert_eq!(world.run("a", &["doctor"]).status.code(), Some(1));
    assert!(world.done("a", &["status", "-o", "json"]).contains(&format!("\"bytes\":{bytes},\"bytes_max\":{LIMIT},")));
    assert_eq!(world.error("a", &["doc", "put", "c/k", "{}"]), (limit, raise));
    assert!(stored > 0 && stored < ROWS);
    assert_eq!(world.documents("a"), stored + 1);

    fs::write(&settings, "[store]\nbytes_max = 100000000\n").expect("written");
    world.done("a", &["down"]);
    drop(up);
    let _up = world.up("a");
    let output = world.told(resume);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.documents("a"), ROWS + 1);
    assert!(world.found("a", "store").starts_with("ok\t"));
}

#[test]
fn a_full_disk_in_the_middle_of_an_import() {
    const ROWS: usize = 3_000;
    let world = World::on_disk(16 << 20, 15 << 20);
    world.founder("a");
    let mut up = world.up("a");
    let other = World::new();
    let _other = other.up("b");
    let invite = world.done("a", &["space", "invite", "-q"]);
    other.done("b", &["space", "join", &invite]);
    let import = ["import", &world.table(ROWS), "--collection", "rows", "--id-column", "id"];
    let output = world.run("a", &import);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let (message, next) = said(&output);
    let stored = message.strip_prefix("the disk is full: free some space. ").expect(&message);
    let stored: usize =
        stored.strip_suffix(" rows of the file are stored").and_then(|rows| rows.parse().ok()).expect(stored);
    let resume = next.strip_prefix("free some space, then: ").filter(|next| next.ends_with(" --resume")).expect(&next);
    assert!(stored < ROWS);

    // While the store is full, every command says so, and that it is this one.
    let status = world.run("a", &["status"]);
    assert_eq!(status.status.code(), Some(6));
    let said = String::from_utf8(status.stdout).expect("text");
    assert!(said.contains("trouble\tthe disk is full: free some space\n"), "{said}");
    assert!(!said.contains("size\t0 B") && !said.contains("the peer's log"), "{said}");
    let found = world.found("a", "store");
    assert!(
        found.starts_with("problem\tstore\tthe disk is full: free some space. The node goes on by itself"),
        "{found}"
    );
    assert_eq!(world.run("a", &["doctor"]).status.code(), Some(1));
    assert_eq!(
        world.error("a", &["doc", "put", "c/k", "{}"]),
        ("the disk is full: free some space".into(), "df -h".into())
    );
    world.done("a", &["down"]);
    assert!(up.0.wait().expect("it ends").success());

    // The node starts on a full disk too, and continues by itself once there is room.
    let _up = world.up("a");
    let output = world.told(resume);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    world.disk.as_ref().expect("a disk").make_room();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.run("a", &["doc", "put", "c/k", "{}"]).status.success() {
        assert!(Instant::now() < deadline, "{}", world.found("a", "store"));
    }
    assert!(world.documents("a") >= stored + 2, "what was acknowledged is there");
    let output = world.told(resume);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.documents("a"), ROWS + 2);
    assert!(world.found("a", "store").starts_with("ok\t"));
}
