//! Carries out a command line: converts it to commands for a node, and replies to output.
//!
//! Commands go to the daemon of the data directory. If no daemon is running, a node is opened for this command.

mod access;
mod backup;
mod doc;
mod export;
mod import;
mod query;
mod schema;
mod target;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory as _;
use cosmicsync_api::Remote;
use cosmicsync_node::service::{
    Backend, Client, Command, DocRef, ErrorCode, Finding, Input, Item, Level, Reply, Secret, ServiceError, request,
};
use tokio::sync::mpsc;

use crate::cli::{Cli, CollectionVerb, ConfigVerb, DeviceVerb, Global, PartitionVerb, PeerVerb, SpaceVerb, Verb};
use crate::config::{self, Loaded};
use crate::output::Output;
use crate::progress::Bar;
use crate::read_only::{self, Copy, ReadOnly};
use crate::terminal::{self, Surroundings};
use crate::{demo, node, up};

/// Number of items that wait while one is printed.
const ITEMS_QUEUED: usize = 64;

/// Reasons for a command line to fail.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The node, or the command line itself, refused.
    Service(ServiceError),
    /// The results could not be written.
    Output(io::Error),
    /// A check failed; the output has described it.
    Check,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The shared state of all commands.
pub(crate) struct Run<'a> {
    /// Options of all commands.
    pub(crate) global: Global,
    /// The environment and the terminal.
    pub(crate) surroundings: &'a Surroundings,
    /// The output for results.
    pub(crate) output: Output<'a>,
    /// The data directory.
    pub(crate) dir: PathBuf,
}

impl Run<'_> {
    /// Carries out the command line.
    pub(crate) async fn verb(&mut self, verb: Verb) -> Result<(), Failure> {
        if matches!(verb, Verb::Init { .. } | Verb::Up(_) | Verb::Login | Verb::Demo | Verb::Config(_)) {
            self.check_here()?;
        }
        match verb {
            Verb::Init { name } => {
                let status = node::init(&self.dir, &name).await?;
                Ok(self.output.reply(&Reply::Status(Box::new(status)))?)
            }
            Verb::Up(options) => up::up(self, &options).await,
            Verb::Down => self.down().await,
            Verb::Status => self.status().await,
            Verb::Doctor { doc, space } => self.doctor(doc, space.space).await,
            Verb::Peer(verb) => self.print(peer(verb)).await,
            Verb::Device(DeviceVerb::List { space }) => self.print(Command::DeviceList { space: space.space }).await,
            Verb::Device(DeviceVerb::Rename { name }) => self.print(Command::DeviceRename { name }).await,
            Verb::Space(verb) => self.space(verb).await,
            Verb::Partition(PartitionVerb::Create { name, space }) => {
                self.print(Command::PartitionCreate { space: space.space, name }).await
            }
            Verb::Partition(PartitionVerb::List { space }) => {
                self.print(Command::PartitionList { space: space.space }).await
            }
            Verb::Collection(verb) => {
                let command = match verb {
                    CollectionVerb::List { space } => Command::CollectionList { space: space.space },
                    CollectionVerb::Show { collection, space } => {
                        Command::CollectionShow { space: space.space, collection }
                    }
                    CollectionVerb::Drop { collection, space } => {
                        Command::CollectionDrop { space: space.space, collection }
                    }
                };
                self.print(command).await
            }
            Verb::Query(options) => query::query(self, options).await,
            Verb::Live(options) => query::live(self, options).await,
            Verb::Count(options) => query::count(self, options).await,
            Verb::Index(verb) => query::index(self, verb).await,
            Verb::Schema(verb) => schema::schema(self, verb).await,
            Verb::Doc(verb) => doc::doc(self, verb).await,
            Verb::Import(options) => import::import(self, options).await,
            Verb::Export(options) => export::export(self, options).await,
            Verb::Login => access::login(self).await,
            Verb::Account(verb) => access::account(self, verb).await,
            Verb::Token(verb) => self.print(verb.into_command()).await,
            Verb::Rules(verb) => access::rules(self, verb).await,
            Verb::Audit(verb) => access::audit(self, verb).await,
            Verb::Log(verb) => access::log(self, verb).await,
            Verb::Openapi => Ok(self.output.writer.write_all(cosmicsync_api::openapi().as_bytes())?),
            Verb::Backup(verb) => backup::backup(self, verb).await,
            Verb::Demo => demo::demo(self).await,
            Verb::Config(verb) => self.config(verb).await,
            Verb::Man { dir } => Ok(man(&dir)?),
            Verb::Completions { shell } => {
                // The script is generated in memory, because the generator panics if its writer fails, as a closed pipe
                // does.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "cosmicsync", &mut script);
                Ok(self.output.writer.write_all(&script)?)
            }
        }
    }

    /// Prints the status of the node, and fails if its store accepts no writes.
    async fn status(&mut self) -> Result<(), Failure> {
        let reply = self.call(Command::Status {}).await?;
        self.output.reply(&reply)?;
        if let Reply::Status(status) = reply
            && let Some(error) = status.store.error
        {
            return Err(ServiceError::new(ErrorCode::StoreFull, error).next("cosmicsync doctor").into());
        }
        Ok(())
    }

    /// Sends a command and prints its items and reply.
    pub(crate) async fn print(&mut self, command: Command) -> Result<(), Failure> {
        let reply = self.call(command).await?;
        Ok(self.output.reply(&reply)?)
    }

    /// Sends a command, prints its items and returns its reply.
    pub(crate) async fn call(&mut self, command: Command) -> Result<Reply, Failure> {
        let door = self.door(command.needs_daemon()).await?;
        self.output.alone = door.ours;
        let result = self.call_at(&*door.backend, command, None, |output, item| output.item(&item)).await;
        door.close().await;
        result
    }

    /// Sends a command to a node; items other than progress go to `print`.
    pub(crate) async fn call_at(
        &mut self,
        backend: &dyn Backend,
        command: Command,
        input: Option<Input>,
        mut print: impl FnMut(&mut Output<'_>, Item) -> io::Result<()>,
    ) -> Result<Reply, Failure> {
        let shown = self.surroundings.stderr_tty && !self.global.quiet && !self.output.format.json;
        let mut bar = Bar::new(shown);
        let (sender, mut items) = mpsc::channel(ITEMS_QUEUED);
        let mut call = match input {
            Some(input) => backend.call_reading(command, input, sender),
            None => backend.call(command, sender),
        };
        let result = loop {
            tokio::select! {
                biased;
                Some(item) = items.recv() => match item {
                    Item::Progress(progress) => bar.update(&progress),
                    item @ (Item::Document(_)
                    | Item::Revision(_)
                    | Item::Change(_)
                    | Item::Conflict(_)
                    | Item::Live(_)
                    | Item::Chunk(_)
                    | Item::Bytes(_)) => {
                        print(&mut self.output, item)?;
                    }
                },
                result = &mut call => break result,
            }
        };
        drop(call);
        while let Ok(item) = items.try_recv() {
            if !matches!(item, Item::Progress(_)) {
                print(&mut self.output, item)?;
            }
        }
        Ok(result?)
    }

    /// Connects to the daemon. If none is running and none is needed, opens the node in this process.
    pub(crate) async fn door(&self, needs_daemon: bool) -> Result<Door, ServiceError> {
        if let Some(remote) = self.remote()? {
            let client = Client::over(Box::new(remote)).await?;
            let client = client.ok_or_else(|| ServiceError::new(ErrorCode::Unavailable, "no node answers there"))?;
            return Ok(Door { backend: Arc::new(client), ours: false });
        }
        if needs_daemon {
            let client = Client::connect(&self.dir).await?;
            return Ok(Door { backend: Arc::new(client), ours: false });
        }
        if let Some(client) = Client::find(&self.dir).await? {
            return Ok(Door { backend: Arc::new(client), ours: false });
        }
        let loaded = Loaded::load(&self.dir, &self.surroundings.variables)?;
        if read_only::is_read_only(&self.dir) {
            let copy = Copy::of(&self.dir, &self.surroundings.temporary)?;
            let node = node::open(&copy.dir, &loaded, false).await?;
            return Ok(Door { backend: Arc::new(ReadOnly::new(node, &self.dir, copy)), ours: true });
        }
        let backend = Arc::new(node::open(&self.dir, &loaded, false).await?);
        Ok(Door { backend, ours: true })
    }

    /// Returns the way to a node on another machine, if a URL is given.
    fn remote(&self) -> Result<Option<Remote>, ServiceError> {
        let Global { dir, url, token_file, ca, .. } = &self.global;
        let url = match (url, dir) {
            (Some(url), _) => url.as_str(),
            (None, Some(_)) => return Ok(None),
            (None, None) => match self.surroundings.variable("COSMICSYNC_URL") {
                Some(url) => url,
                None => return Ok(None),
            },
        };
        let token = self.surroundings.secret("token", token_file.as_deref())?.ok_or_else(|| {
            usage("a node on another machine requires a token: --token-file FILE, or COSMICSYNC_TOKEN".to_owned())
                .next("on that machine: cosmicsync token create NAME")
        })?;
        Remote::new(url, token, ca.clone()).map(Some)
    }

    /// Refuses the URL of a node on another machine.
    fn check_here(&self) -> Result<(), ServiceError> {
        match &self.global.url {
            None => Ok(()),
            Some(_) => {
                Err(usage("this works on the node's own machine only, so --url does not belong here".to_owned()))
            }
        }
    }

    /// Stops the node. A node that does not run, or stops already, needs no stopping.
    async fn down(&mut self) -> Result<(), Failure> {
        if self.remote()?.is_some() {
            return self.print(Command::Shutdown {}).await;
        }
        if let Some(client) = Client::find(&self.dir).await? {
            let asked = request(&client, Command::Shutdown {}).await;
            // Another command may have stopped it meanwhile.
            if asked.is_err() && Client::find(&self.dir).await.is_ok_and(|found| found.is_none()) {
                return Ok(self.output.reply(&Reply::Done {})?);
            }
            return Ok(self.output.reply(&asked?)?);
        }
        if !self.dir.is_dir() {
            let error = ServiceError::new(ErrorCode::Unavailable, "there is no data directory here");
            return Err(error.next("name that of the node: cosmicsync --dir DIR down").into());
        }
        if self.output.format.json {
            return Ok(self.output.reply(&Reply::Done {})?);
        }
        Ok(writeln!(self.output.writer, "no node runs for this data directory")?)
    }

    async fn doctor(&mut self, doc: Option<DocRef>, space: Option<String>) -> Result<(), Failure> {
        let (whole, named) = (doc.is_none(), space.clone());
        let mut findings = Vec::new();
        if whole && self.remote()?.is_none() {
            findings.push(config_finding(&self.dir, self.surroundings));
        }
        match self.call(Command::Doctor { space, doc }).await {
            Ok(Reply::Doctor(found)) => findings.extend(found),
            Ok(_) => {}
            // Invalid settings prevent opening a node here, and are reported as a finding already.
            Err(Failure::Service(_)) if findings.iter().any(|finding| finding.level == Level::Problem) => {}
            // A store that does not open is a finding of doctor.
            Err(Failure::Service(error))
                if whole && self.remote()?.is_none() && error.code.exit_code() != ErrorCode::NotFound.exit_code() =>
            {
                let ServiceError { message, next, .. } = error;
                findings.push(Finding { level: Level::Problem, subject: "store".to_owned(), message, next });
            }
            Err(failure) => return Err(failure),
        }
        for finding in &mut findings {
            finding.next = finding.next.take().map(|next| self.global.about_same(named.as_deref(), &next));
        }
        let healthy = findings.iter().all(|finding| finding.level != Level::Problem);
        self.output.reply(&Reply::Doctor(findings))?;
        if healthy { Ok(()) } else { Err(Failure::Check) }
    }

    async fn space(&mut self, verb: SpaceVerb) -> Result<(), Failure> {
        let command = match verb {
            SpaceVerb::Create { name } => Command::SpaceCreate { name },
            SpaceVerb::List => Command::SpaceList {},
            SpaceVerb::Invite { space, expires } => Command::SpaceInvite { space: space.space, expires_ms: expires },
            SpaceVerb::Join { invite } => {
                let invite = if invite == "-" { terminal::read_stdin()? } else { invite };
                Command::SpaceJoin { invite: Secret(invite.trim().to_owned()) }
            }
            SpaceVerb::Fetch { bodies, space } => Command::SpaceFetch { space: space.space, bodies },
            SpaceVerb::Digest { space } => Command::Digest { space: space.space },
            SpaceVerb::Wait { space, timeout } => Command::WaitSync { space: space.space, timeout_ms: timeout },
        };
        self.print(command).await
    }

    async fn config(&mut self, verb: ConfigVerb) -> Result<(), Failure> {
        if matches!(verb, ConfigVerb::Schema) {
            return Ok(self.output.writer.write_all(config::schema().as_bytes())?);
        }
        let loaded = Loaded::load(&self.dir, &self.surroundings.variables)?;
        match verb {
            ConfigVerb::Schema => {}
            ConfigVerb::Check => self.output.reply(&Reply::Done {})?,
            ConfigVerb::Show { origin } => {
                for setting in loaded.settings() {
                    let (key, value, from) = (&setting.key, &setting.value, setting.origin.to_string());
                    match (self.output.format.json, origin) {
                        (true, true) => {
                            self.output.json(&serde_json::json!({ "key": key, "value": value, "origin": from }))?;
                        }
                        (true, false) => self.output.json(&serde_json::json!({ "key": key, "value": value }))?,
                        (false, true) => self.output.line(&format!("{key} = {value}  # {from}"))?,
                        (false, false) => self.output.line(&format!("{key} = {value}"))?,
                    }
                }
                self.note_other_address(loaded.config.net.listen).await?;
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Notes that a running node listens on another address than in its settings: by a flag, or because they were
    /// changed.
    async fn note_other_address(&mut self, setting: SocketAddr) -> Result<(), Failure> {
        let Ok(Some(client)) = Client::find(&self.dir).await else { return Ok(()) };
        let Ok(Reply::Status(status)) = request(&client, Command::Status {}).await else { return Ok(()) };
        let listen = status.listen.as_deref().and_then(|listen| listen.parse::<SocketAddr>().ok());
        let same = |listen: &SocketAddr| listen.ip() == setting.ip() && [listen.port(), 0].contains(&setting.port());
        if let Some(listen) = listen.filter(|listen| !same(listen) && !self.global.quiet) {
            self.output.writer.flush()?;
            terminal::note(&format!("the node that runs here listens on {listen}: it was started with other settings"));
        }
        Ok(())
    }
}

/// The receiver of commands.
pub(crate) struct Door {
    /// The node.
    pub(crate) backend: Arc<dyn Backend>,
    ours: bool,
}

impl Door {
    /// Closes a node that was opened for this command.
    pub(crate) async fn close(self) {
        if self.ours
            && let Err(error) = request(&*self.backend, Command::Shutdown {}).await
        {
            tracing::warn!(%error, "the store did not close cleanly");
        }
    }
}

/// Writes the manual pages into a directory.
fn man(dir: &Path) -> Result<(), ServiceError> {
    let failed = |error: &io::Error| ServiceError::io(format!("cannot write manual pages to {}", dir.display()), error);
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| failed(&error))
}

fn peer(verb: PeerVerb) -> Command {
    match verb {
        PeerVerb::Add { address } => Command::PeerAdd { address },
        PeerVerb::List => Command::PeerList {},
        PeerVerb::Remove { address } => Command::PeerRemove { address },
        PeerVerb::Pause => Command::PeerPause {},
        PeerVerb::Resume => Command::PeerResume {},
    }
}

fn config_finding(dir: &Path, surroundings: &Surroundings) -> Finding {
    let subject = "settings".to_owned();
    match Loaded::load(dir, &surroundings.variables) {
        Ok(_) => Finding { level: Level::Ok, subject, message: "valid".to_owned(), next: None },
        Err(error) => Finding { level: Level::Problem, subject, message: error.message, next: error.next },
    }
}

/// Returns an error about the command line or its input.
pub(crate) fn usage(message: String) -> ServiceError {
    ServiceError::new(ErrorCode::Usage, message)
}
