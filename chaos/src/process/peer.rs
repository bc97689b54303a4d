//! One peer: a data directory, and the process that runs on it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{CallError, Client};

/// Longest time for a process to start, or to end by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// Interval of checks for the end of a process.
const POLL: Duration = Duration::from_millis(5);
/// Longest wait for an answer at which to kill a process.
const DOOM: Duration = Duration::from_millis(400);
/// Size of a piece of ballast on a disk, in bytes.
const BALLAST_BYTES: usize = 4096;

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its number.
    pub(super) number: usize,
    /// The program that it runs.
    pub(super) program: PathBuf,
    /// The data directory.
    pub(super) dir: PathBuf,
    log: PathBuf,
    state: Mutex<State>,
    /// True if the process is to be killed at its next answer.
    doomed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    paused: bool,
    /// Times of the last backup, and of acknowledged writes that a restore took back.
    backup: Option<Instant>,
    undone: Vec<(Instant, Instant)>,
    starts: u32,
    kills: u32,
    /// True if the process was killed at an answer, and its end not yet taken note of.
    struck: bool,
    /// True if the data directory has a small disk of its own.
    mounted: bool,
}

/// The store that a peer starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    /// Its state before the first action.
    Initial,
    /// Its last backup.
    Backup,
}

impl Image {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Backup => "backup",
        }
    }
}

impl Peer {
    /// Makes a peer without a process, with its directory below `root`.
    pub(super) fn new(number: usize, program: &Path, root: &Path) -> Self {
        Self {
            number,
            program: program.to_owned(),
            dir: root.join(number.to_string()).join("node"),
            log: root.join(format!("{number}.log")),
            state: Mutex::default(),
            doomed: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the process id, if a process runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.state().child.as_ref().map(Child::id)
    }

    /// Returns the numbers of starts and kills.
    pub(super) fn lives(&self) -> (u32, u32) {
        let state = self.state();
        (state.starts, state.kills)
    }

    /// Returns whether a restore took back what was acknowledged at this time.
    pub(super) fn took_back(&self, acked: Instant) -> bool {
        self.state().undone.iter().any(|(from, to)| (*from..=*to).contains(&acked))
    }

    /// Starts the process; returns its address. Does nothing if it runs already.
    pub(super) fn start(&self) -> Result<Option<SocketAddr>, String> {
        let mut state = self.state();
        if state.child.is_some() {
            return Ok(None);
        }
        let (child, listen) = self.spawn().map_err(|error| self.trouble(&error))?;
        state.child = Some(child);
        state.starts += 1;
        Ok(Some(listen))
    }

    fn spawn(&self) -> Result<(Child, SocketAddr), String> {
        let text = |error: io::Error| format!("it cannot be started: {error}");
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(text)?;
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(&self.dir).args(["--output", "json", "up", "--listen", "127.0.0.1:0"]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COSMICSYNC_")) {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().map_err(text)?;
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut line = String::new();
                // A process that ends early gives an empty line.
                let _ = BufReader::new(stdout).read_line(&mut line);
                // If nobody waits any more, the wait has timed out.
                let _ = sender.send(line);
            });
        }
        let line = receiver.recv_timeout(PATIENCE).unwrap_or_default();
        let status: Value = serde_json::from_str(&line).unwrap_or_default();
        match status.get("listen").and_then(Value::as_str).and_then(|listen| listen.parse().ok()) {
            Some(listen) => Ok((child, listen)),
            None => {
                end(&mut child);
                Err("it did not start".to_owned())
            }
        }
    }

    /// Describes a failure, with the last error of the process's log.
    fn trouble(&self, what: &str) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let said = log.lines().rev().find(|line| line.contains("error")).or_else(|| log.lines().last());
        format!("peer {}: {what}: {}", self.number, said.unwrap_or("it printed nothing"))
    }

    /// Kills the process at its next answer to a write, when something that was acknowledged too early is most likely
    /// to be lost; without an answer, after a while. Reports one that had ended by itself.
    pub(super) fn kill_at_answer(&self) -> Result<(), String> {
        self.doomed.store(true, Ordering::Release);
        let until = Instant::now() + DOOM;
        while self.doomed.load(Ordering::Acquire) && Instant::now() < until {
            thread::sleep(POLL);
        }
        self.doomed.store(false, Ordering::Release);
        self.kill()
    }

    /// Takes note of an answer to a write.
    pub(super) fn answered(&self) {
        if self.doomed.swap(false, Ordering::AcqRel) {
            let mut state = self.state();
            if let Some(child) = &mut state.child {
                // One that has ended already cannot be killed, and is reported later.
                state.struck = child.kill().is_ok();
            }
        }
    }

    /// Kills the process. Reports one that had ended by itself.
    pub(super) fn kill(&self) -> Result<(), String> {
        let mut state = self.state();
        let Some(mut child) = state.child.take() else { return Ok(()) };
        state.paused = false;
        state.kills += 1;
        let (ended, struck) = (child.try_wait(), std::mem::take(&mut state.struck));
        end(&mut child);
        match ended {
            Ok(Some(status)) if !struck => Err(self.trouble(&format!("the process had ended by itself ({status})"))),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Stops the process in good order.
    pub(super) fn stop(&self) -> Result<(), String> {
        self.proceed();
        let mut state = self.state();
        let Some(mut child) = state.child.take() else { return Ok(()) };
        let asked = Client::connect(&self.dir, PATIENCE).and_then(|mut client| client.call("shutdown", json!({})));
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until && asked.is_ok() => thread::sleep(POLL),
                Ok(None) | Err(_) => break None,
            }
        };
        match (status, asked) {
            (Some(status), _) if status.success() => Ok(()),
            (Some(status), _) => Err(self.trouble(&format!("it did not stop cleanly ({status})"))),
            (None, asked) => {
                end(&mut child);
                let why = asked.map_or_else(|error| error.to_string(), |_| "in time".to_owned());
                Err(self.trouble(&format!("it did not stop ({why})")))
            }
        }
    }

    /// Stops the process's time. Its sockets stay open.
    pub(super) fn pause(&self) {
        let mut state = self.state();
        if let Some(child) = &state.child {
            signal(child.id(), "STOP");
            state.paused = true;
        }
    }

    /// Ends a pause.
    pub(super) fn proceed(&self) {
        let mut state = self.state();
        if let (Some(child), true) = (&state.child, state.paused) {
            signal(child.id(), "CONT");
        }
        state.paused = false;
    }

    /// Copies the data directory as it is, while the process stands still.
    pub(super) fn copy_to(&self, to: &Path) -> io::Result<()> {
        let state = self.state();
        if let Some(child) = &state.child {
            signal(child.id(), "STOP");
        }
        let copied = copy(&self.dir, to);
        if let (Some(child), false) = (&state.child, state.paused) {
            signal(child.id(), "CONT");
        }
        copied
    }

    fn image(&self, image: Image) -> PathBuf {
        self.dir.with_extension(image.suffix())
    }

    /// Keeps a copy of the data directory.
    pub(super) fn keep(&self, image: Image) -> io::Result<()> {
        let taken = Instant::now();
        self.copy_to(&self.image(image))?;
        if image == Image::Backup {
            self.state().backup = Some(taken);
        }
        Ok(())
    }

    /// Kills the process and puts a copy back; without one, nothing.
    pub(super) fn put_back(&self, image: Image, began: Instant) -> Result<(), String> {
        self.kill()?;
        let from = self.image(image);
        if !from.exists() {
            return Ok(());
        }
        copy(&from, &self.dir).map_err(|error| self.trouble(&format!("a copy was not put back: {error}")))?;
        let mut state = self.state();
        let taken = if image == Image::Backup { state.backup.unwrap_or(began) } else { began };
        state.undone.push((taken, Instant::now()));
        Ok(())
    }

    /// Returns a connection to the running process.
    pub(super) fn client(&self) -> Result<Client, CallError> {
        Client::connect(&self.dir, ANSWER)
    }

    /// Sends one command on a connection of its own.
    pub(super) fn ask(&self, name: &str, arguments: Value) -> Result<Value, String> {
        let asked = self.client().and_then(|mut client| client.call(name, arguments));
        asked.map_err(|error| format!("peer {}: {name}: {error}", self.number))
    }

    /// Returns the number of lines of the log that report a panic.
    pub(super) fn panics(&self) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("panicked at")).count()
    }

    /// Mounts a small file system in memory below the data directory.
    pub(super) fn mount(&self, bytes: u64) -> Result<(), String> {
        let place = self.dir.parent().unwrap_or(&self.dir);
        fs::create_dir_all(place).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"]).arg(place);
        let output = mount.output().map_err(|error| format!("mount: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        self.state().mounted = output.status.success();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.with_extension("ballast")
    }

    /// Fills the peer's own disk to its last byte. Without one, does nothing.
    pub(super) fn fill_disk(&self) {
        if !self.state().mounted {
            return;
        }
        let Ok(mut file) = OpenOptions::new().create(true).append(true).open(self.ballast()) else { return };
        while file.write_all(&[0; BALLAST_BYTES]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    /// Makes room on the disk again.
    pub(super) fn make_room(&self) {
        // Without ballast there is room.
        let _ = fs::remove_file(self.ballast());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut state = self.state();
        if let Some(mut child) = state.child.take() {
            end(&mut child);
        }
        if let (true, Some(place)) = (state.mounted, self.dir.parent()) {
            // A mount that stays is gone with the namespace.
            let _ = Command::new("umount").arg(place).stderr(Stdio::null()).status();
        }
    }
}

/// Kills and reaps a process. It fails only if the process is gone already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends a signal. A process that is gone needs none.
fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status();
}

/// Copies the files of a directory to another, which has no others afterwards.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for file in fs::read_dir(from)? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}
