//! Real nodes: the released program as processes with data directories of their own.

use super::client::{CallError, Client};
use crate::Failure;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time for replicas to agree, in milliseconds.
pub(super) const SYNC_MS: u64 = 300_000;
/// Lifetime of an invite, in milliseconds.
const INVITE_MS: u64 = 600_000;
/// An address with any free port.
pub(super) const ANY_PORT: &str = "127.0.0.1:0";
/// Longest time for a process to end by itself.
const EXIT: Duration = Duration::from_secs(30);

/// A data directory with a device.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) dir: PathBuf,
    /// The file for the process's stderr.
    pub(super) log: PathBuf,
    pub(super) program: PathBuf,
}

/// A device whose node is running. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) device: Device,
    pub(super) listen: String,
    /// Time from the start of the process to its first status line.
    pub(super) ready: Duration,
    client: Client,
    child: Child,
}

impl Device {
    /// Returns the device in the directory `name` of `home`; starting it creates it if it does not exist.
    fn at(program: &Path, home: &Path, name: &str) -> Self {
        Self { dir: home.join(name), log: home.join(format!("{name}.log")), program: program.to_owned() }
    }

    /// Creates a user and a device in the new directory `name` of `home`.
    fn init(program: &Path, home: &Path, name: &str) -> Result<Self, Failure> {
        let device = Self::at(program, home, name);
        let status = device.command(&["init", "--name", name])?.stdout(Stdio::null()).status()?;
        if status.success() { Ok(device) } else { Err(device.failure("init failed")) }
    }

    /// Starts the node and waits until it serves.
    pub(super) fn start(&self, listen: &str) -> Result<Node, Failure> {
        self.start_with(listen, &[])
    }

    /// Starts the node with additional environment variables.
    pub(super) fn start_with(&self, listen: &str, variables: &[(&str, &str)]) -> Result<Node, Failure> {
        let began = Instant::now();
        let mut up = self.command(&["--output", "json", "up", "--listen", listen])?;
        let mut child = up.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let ready = began.elapsed();
        let listen = serde_json::from_str::<Value>(&line).ok().and_then(|status| text(&status, "listen").ok());
        match (listen, Client::connect(&self.dir)) {
            (Some(listen), Ok(client)) => Ok(Node { device: self.clone(), listen, ready, client, child }),
            (Some(_), Err(error)) => {
                end(&mut child);
                Err(self.failure(&format!("its control socket is not there: {error}")))
            }
            (None, _) => {
                end(&mut child);
                Err(self.failure("it did not start"))
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(&self.dir).args(arguments).stdin(Stdio::null()).stderr(log);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COSMICSYNC_")) {
            command.env_remove(name);
        }
        Ok(command)
    }

    /// Returns an error with the node's last log line.
    pub(super) fn failure(&self, what: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let said = log.lines().rev().find(|line| line.contains("error")).or_else(|| log.lines().last());
        format!("{}: {what}: {}", self.dir.display(), said.unwrap_or("it said nothing")).into()
    }
}

impl Node {
    /// Sends a command and returns the value of its reply.
    pub(super) fn ask(&mut self, name: &str, arguments: Value) -> Result<Value, CallError> {
        self.client.call(name, arguments, &mut |_| ())
    }

    /// Sends a command with an input and returns the value of its reply.
    pub(super) fn ask_with(&mut self, name: &str, arguments: Value, input: &[u8]) -> Result<Value, CallError> {
        self.client.call_with(name, arguments, input)
    }

    /// Sends a command and passes on the items before the reply.
    pub(super) fn ask_items(
        &mut self,
        name: &str,
        arguments: Value,
        on_item: &mut dyn FnMut(Value),
    ) -> Result<Value, CallError> {
        self.client.call(name, arguments, on_item)
    }

    /// Returns the process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens another connection to the same node.
    pub(super) fn client(&self) -> Result<Client, CallError> {
        Client::connect(&self.device.dir)
    }

    pub(super) fn status(&mut self) -> Result<Value, CallError> {
        self.ask("status", json!({}))
    }

    /// Returns a number of the node's status, by JSON pointer.
    pub(super) fn figure(&mut self, pointer: &str) -> Result<u64, Failure> {
        let status = self.status()?;
        status.pointer(pointer).and_then(Value::as_u64).ok_or_else(|| format!("status has no {pointer}").into())
    }

    /// Waits until this node and all connected peers are in sync.
    pub(super) fn wait_sync(&mut self) -> Result<(), Failure> {
        let waited = self.ask("wait_sync", json!({ "timeout_ms": SYNC_MS }));
        waited.map(drop).map_err(|error| self.device.failure(&format!("no agreement: {error}")))
    }

    /// Waits until the node holds `documents` documents that are not deleted.
    pub(super) fn wait_documents(&mut self, documents: u64) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_millis(SYNC_MS);
        while self.figure("/spaces/0/documents")? < documents {
            if Instant::now() > until {
                return Err(self.device.failure(&format!("the {documents} documents did not come")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub(super) fn digest(&mut self) -> Result<Value, CallError> {
        self.ask("digest", json!({}))
    }

    /// Calls `on_document` with each document of a collection, by key.
    pub(super) fn documents(&mut self, collection: &str, on_document: &mut dyn FnMut(Value)) -> Result<(), Failure> {
        let list = json!({ "collection": collection, "values": true });
        self.ask_items("doc_list", list, &mut |item| {
            if let Some(document) = item.get("document") {
                on_document(document.clone());
            }
        })?;
        Ok(())
    }

    /// Kills the process at once.
    pub(super) fn kill(mut self) -> Device {
        end(&mut self.child);
        self.device.clone()
    }

    /// Stops the node and waits for the end of its process.
    pub(super) fn stop(mut self) -> Result<Device, Failure> {
        self.ask("shutdown", json!({}))?;
        match self.wait_exit()? {
            Some(status) if status.success() => Ok(self.device.clone()),
            _ => Err(self.device.failure("it did not stop cleanly")),
        }
    }

    /// Waits a while for the process to end by itself.
    pub(super) fn wait_exit(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let until = Instant::now() + EXIT;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > until {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills and reaps the process. It fails only if the process is gone already.
fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

/// Starts `count` devices that share one space: the first creates it and invites the others.
pub(super) fn start_joined(program: &Path, home: &Path, count: usize) -> Result<Vec<Node>, Failure> {
    let mut first = start_owner(program, home)?;
    let mut others = Vec::new();
    for at in 1..count {
        others.push(join(program, home, &name_of(at), &mut first)?);
    }
    others.insert(0, first);
    Ok(others)
}

/// Starts the device that creates the space.
pub(super) fn start_owner(program: &Path, home: &Path) -> Result<Node, Failure> {
    let mut node = Device::init(program, home, &name_of(0))?.start(ANY_PORT)?;
    node.ask("space_create", json!({ "name": "home" }))?;
    Ok(node)
}

/// Starts a device that joins the first one's space.
pub(super) fn join(program: &Path, home: &Path, name: &str, first: &mut Node) -> Result<Node, Failure> {
    let invite = text(&first.ask("space_invite", json!({ "expires_ms": INVITE_MS }))?, "invite")?;
    let mut node = Device::at(program, home, name).start(ANY_PORT)?;
    node.ask("space_join", json!({ "invite": invite }))?;
    Ok(node)
}

fn name_of(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at) if at < 26 => char::from(b'a' + at).to_string(),
        _ => format!("d{at}"),
    }
}

/// Returns a member that must be a text.
pub(super) fn text(value: &Value, member: &str) -> Result<String, Failure> {
    let text = value.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("the answer has no text {member}").into())
}

/// Returns a member that must be a number.
pub(super) fn number(value: &Value, member: &str) -> Result<u64, Failure> {
    value.get(member).and_then(Value::as_u64).ok_or_else(|| format!("the answer has no number {member}").into())
}

/// Creates a new file for text.
pub(super) fn create(path: &Path) -> Result<std::io::BufWriter<File>, Failure> {
    Ok(std::io::BufWriter::new(File::create(path)?))
}
