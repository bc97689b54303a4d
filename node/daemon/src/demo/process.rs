//! One node of the demo: a process with its own store, used through its control socket.

use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command as Process, Stdio};

use cosmicsync_node::service::{
    Backend as _, Client, Command, DocView, ErrorCode, Import, Input, Item, Reply, ServiceError, Status, request,
};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::terminal::Surroundings;

/// Longest wait for one answer; the demo then fails.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval of checks for the end of a stopped process.
const EXIT_POLL: Duration = Duration::from_millis(5);
/// Longest first line of a node, in bytes.
const READY_BYTES_MAX: u64 = 1 << 20;

/// A node's store, whether the node is running or not.
#[derive(Debug, Clone)]
pub(super) struct Device {
    /// The device's name.
    pub(super) name: &'static str,
    /// The device's data directory.
    pub(super) dir: PathBuf,
    program: PathBuf,
    log: PathBuf,
    inherited: Vec<String>,
}

/// A device whose node is running. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Running {
    /// The device.
    pub(super) device: Device,
    /// The address that the node listens on.
    pub(super) listen: String,
    client: Client,
    child: Child,
}

impl Device {
    /// Returns a device in a directory below `root`, which `up` creates.
    pub(super) fn fresh(name: &'static str, root: &Path, surroundings: &Surroundings) -> Self {
        Self {
            name,
            dir: root.join(name),
            program: surroundings.program.clone(),
            log: root.join(format!("{name}.log")),
            inherited: surroundings.variables.keys().filter(|key| key.starts_with("COSMICSYNC_")).cloned().collect(),
        }
    }

    /// Creates a user and a store in a directory below `root`.
    pub(super) async fn init(
        name: &'static str,
        root: &Path,
        surroundings: &Surroundings,
    ) -> Result<Self, ServiceError> {
        let device = Self::fresh(name, root, surroundings);
        let mut init = device.command(&["init", "--name", name])?;
        let init = spawn_blocking(move || init.stdout(Stdio::null()).status());
        let status = match timeout(ANSWER_TIMEOUT, init).await {
            Ok(Ok(status)) => status.map_err(|error| device.io("cannot run init", &error))?,
            Ok(Err(_)) | Err(_) => return Err(device.failure("init did not end")),
        };
        if status.success() { Ok(device) } else { Err(device.failure("init failed")) }
    }

    /// Starts `up` and waits until it serves commands.
    pub(super) async fn start(self, listen: &str) -> Result<Running, ServiceError> {
        let mut up = self.command(&["--output", "json", "up", "--listen", listen])?;
        let mut child = up.stdout(Stdio::piped()).spawn().map_err(|error| self.io("cannot start it", &error))?;
        let ready = match child.stdout.take() {
            Some(stdout) => timeout(ANSWER_TIMEOUT, spawn_blocking(move || first_line(stdout))).await,
            None => return Err(self.failure("it has no output")),
        };
        let status: Option<Status> = match ready {
            Ok(Ok(Ok(line))) => serde_json::from_str(&line).ok(),
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => None,
        };
        let Some(Status { listen: Some(listen), .. }) = status else {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(self.failure("it did not start"));
        };
        let client = Client::connect(&self.dir).await?;
        Ok(Running { device: self, listen, client, child })
    }

    fn command(&self, arguments: &[&str]) -> Result<Process, ServiceError> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| self.io("cannot open its log", &error))?;
        let mut process = Process::new(&self.program);
        process.arg("--dir").arg(&self.dir).args(arguments).stdin(Stdio::null()).stderr(log);
        for variable in &self.inherited {
            process.env_remove(variable);
        }
        Ok(process)
    }

    fn io(&self, what: &str, error: &std::io::Error) -> ServiceError {
        ServiceError::io(format!("{}: {what}", self.name), error)
    }

    /// Returns an error with the node's last log line.
    fn failure(&self, what: &str) -> ServiceError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let said = log.lines().rev().find(|line| line.contains("error")).unwrap_or("it said nothing");
        ServiceError::new(ErrorCode::CheckFailed, format!("{}: {what}: {said}", self.name))
            .next(format!("less {}", self.log.display()))
    }
}

impl Running {
    /// Sends one command and discards its items.
    pub(super) async fn ask(&self, command: Command) -> Result<Reply, ServiceError> {
        ask(&self.client, command).await
    }

    /// Imports a file.
    pub(super) async fn import(&self, import: Import) -> Result<Reply, ServiceError> {
        let file = fs::File::open(&import.path).map_err(|error| self.device.io("cannot read the sample", &error))?;
        let (input, _) = Input::of(file)?;
        let (items, _) = mpsc::channel(1);
        match timeout(ANSWER_TIMEOUT, self.client.call_reading(Command::Import(import), input, items)).await {
            Ok(result) => result,
            Err(_) => Err(late()),
        }
    }

    /// Opens another connection to the same node.
    pub(super) async fn client(&self) -> Result<Client, ServiceError> {
        Client::connect(&self.device.dir).await
    }

    /// Reads all documents of a collection with their values.
    pub(super) async fn documents(&self, collection: &str) -> Result<Vec<DocView>, ServiceError> {
        let mut documents = Vec::new();
        let collection = Some(collection.to_owned());
        let list = cosmicsync_node::service::DocList { collection, values: true, ..Default::default() };
        let (sender, mut items) = mpsc::channel(64);
        let collect = async {
            while let Some(item) = items.recv().await {
                if let Item::Document(document) = item {
                    documents.push(document);
                }
            }
        };
        let (reply, ()) = tokio::join!(self.client.call(Command::DocList(list), sender), collect);
        reply.map(|_| documents)
    }

    /// Kills the process abruptly, like a power failure.
    pub(super) fn kill(mut self) -> Result<Device, ServiceError> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|error| self.device.io("cannot kill it", &error))?;
        Ok(self.device.clone())
    }

    /// Tells the node to stop and waits for its end.
    pub(super) async fn stop(mut self) -> Result<Device, ServiceError> {
        self.ask(Command::Shutdown {}).await?;
        let exited = async {
            loop {
                match self.child.try_wait() {
                    Ok(Some(exit)) => return exit.success(),
                    Ok(None) => sleep(EXIT_POLL).await,
                    Err(_) => return false,
                }
            }
        };
        match timeout(ANSWER_TIMEOUT, exited).await {
            Ok(true) => Ok(self.device.clone()),
            Ok(false) | Err(_) => Err(self.device.failure("it did not stop cleanly")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

/// Sends one command within the demo's time limit.
pub(super) async fn ask(client: &Client, command: Command) -> Result<Reply, ServiceError> {
    match timeout(ANSWER_TIMEOUT, request(client, command)).await {
        Ok(result) => result,
        Err(_) => Err(late()),
    }
}

fn late() -> ServiceError {
    ServiceError::new(ErrorCode::TimedOut, "a node did not answer in time")
}

/// Returns the error for a reply that does not belong to its command.
pub(super) fn unexpected() -> ServiceError {
    ServiceError::new(ErrorCode::Internal, "internal error: the reply does not match the request")
}

fn first_line(stdout: ChildStdout) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(stdout.take(READY_BYTES_MAX)).read_line(&mut line)?;
    Ok(line)
}
