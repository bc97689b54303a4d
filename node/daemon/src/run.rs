//! Carries out one command line: turns it into commands for a node, and replies into output.
//!
//! Commands go to the daemon of the data directory, or to a node opened for just this command when none runs.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory as _;
use cosmicsync_node::service::{
    Backend, Client, Command, DocList, DocPut, DocRef, DocSplice, ErrorCode, Finding, Item, Level, Listed, Patch,
    Reply, Secret, ServiceError, quoted, request,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cli::{
    BackupVerb, Cli, ConfigVerb, DeviceVerb, DocVerb, Global, Import, List, PartitionVerb, Passphrase, PeerVerb,
    SpaceVerb, Type, Verb,
};
use crate::config::Loaded;
use crate::output::{Bar, Output};
use crate::terminal::{self, Surroundings};
use crate::{demo, export, node, text_path, up};

/// Documents of a list on a terminal, unless another number is asked for.
const LISTED: u64 = 100;
/// Entries of a history on a terminal, in the same way.
const REVISIONS: u64 = 50;
/// Items that wait while one is printed.
const ITEMS_QUEUED: usize = 64;

/// Why a command line did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The node, or the command line itself, says no.
    Service(ServiceError),
    /// The results could not be written.
    Output(io::Error),
    /// Nothing to add: the output has said it.
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

/// What every command needs.
pub(crate) struct Run<'a> {
    /// Options of every command.
    pub(crate) global: Global,
    /// Environment and terminal.
    pub(crate) surroundings: &'a Surroundings,
    /// Where results go.
    pub(crate) output: Output<'a>,
    /// The data directory.
    pub(crate) dir: PathBuf,
}

impl Run<'_> {
    /// Carries out the command line.
    pub(crate) async fn verb(&mut self, verb: Verb) -> Result<(), Failure> {
        match verb {
            Verb::Init { name } => {
                let status = node::init(&self.dir, &name).await?;
                Ok(self.output.reply(&Reply::Status(Box::new(status)))?)
            }
            Verb::Up(options) => up::up(self, &options).await,
            Verb::Down => self.print(Command::Shutdown {}).await,
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
            Verb::Doc(verb) => self.doc(verb).await,
            Verb::Import(options) => self.print(import(options)?).await,
            Verb::Export(options) => export::export(self, options).await,
            Verb::Backup(verb) => self.backup(verb).await,
            Verb::Demo => demo::demo(self).await,
            Verb::Config(verb) => self.config(verb).await,
            Verb::Completions { shell } => {
                // Generated in memory: the generator panics when its writer fails, which a closed pipe does.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "cosmicsync", &mut script);
                Ok(self.output.writer.write_all(&script)?)
            }
        }
    }

    /// Prints how the node is, and fails if its store takes nothing.
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

    /// Sends a command and prints what comes.
    pub(crate) async fn print(&mut self, command: Command) -> Result<(), Failure> {
        let reply = self.call(command).await?;
        Ok(self.output.reply(&reply)?)
    }

    /// Sends a command, prints its items and returns its reply.
    async fn call(&mut self, command: Command) -> Result<Reply, Failure> {
        let door = self.door(command.needs_daemon()).await?;
        self.output.alone = door.ours;
        let result = self.call_at(&*door.backend, command, |output, item| output.item(&item)).await;
        door.close().await;
        result
    }

    /// Sends a command to a node; items other than progress go to `print`.
    pub(crate) async fn call_at(
        &mut self,
        backend: &dyn Backend,
        command: Command,
        mut print: impl FnMut(&mut Output<'_>, Item) -> io::Result<()>,
    ) -> Result<Reply, Failure> {
        let shown = self.surroundings.stderr_tty && !self.global.quiet && !self.output.format.json;
        let mut bar = Bar::new(shown);
        let (sender, mut items) = mpsc::channel(ITEMS_QUEUED);
        let mut call = backend.call(command, sender);
        let result = loop {
            tokio::select! {
                biased;
                Some(item) = items.recv() => match item {
                    Item::Progress(progress) => bar.update(&progress),
                    item => {
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

    /// Reaches the daemon, or opens the node here when none runs and none is needed.
    pub(crate) async fn door(&self, needs_daemon: bool) -> Result<Door, ServiceError> {
        if needs_daemon {
            let client = Client::connect(&self.dir).await?;
            return Ok(Door { backend: Arc::new(client), ours: false });
        }
        if let Some(client) = Client::find(&self.dir).await? {
            return Ok(Door { backend: Arc::new(client), ours: false });
        }
        let loaded = Loaded::load(&self.dir, &self.surroundings.variables)?;
        let backend = Arc::new(node::open(&self.dir, &loaded, false).await?);
        Ok(Door { backend, ours: true })
    }

    async fn doctor(&mut self, doc: Option<DocRef>, space: Option<String>) -> Result<(), Failure> {
        let (whole, named) = (doc.is_none(), space.clone());
        let mut findings = Vec::new();
        if whole {
            findings.push(config_finding(&self.dir, self.surroundings));
        }
        match self.call(Command::Doctor { space, doc }).await {
            Ok(Reply::Doctor(found)) => findings.extend(found),
            Ok(_) => {}
            // Broken settings keep a node from being opened here, and are a finding already.
            Err(Failure::Service(_)) if findings.iter().any(|finding| finding.level == Level::Problem) => {}
            // A store that does not open is what doctor is asked about.
            Err(Failure::Service(error)) if whole && error.code.exit_code() != ErrorCode::NotFound.exit_code() => {
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

    async fn doc(&mut self, verb: DocVerb) -> Result<(), Failure> {
        let command = match verb {
            DocVerb::Put { target, value, text, space } => {
                let shown = target.clone();
                let (collection, key) = match target.split_once('/') {
                    Some((collection, key)) => (collection.to_owned(), Some(key.to_owned())),
                    None => (target, None),
                };
                let value = json_argument(&value, &format!("doc put {}", quoted(&shown)))?;
                text.iter().try_for_each(|path| text_path::check(&value, path))?;
                Command::DocPut(DocPut { space: space.space, collection, key, value, text })
            }
            DocVerb::Get { doc, space } => Command::DocGet { space: space.space, doc },
            DocVerb::Patch { doc, patch, space } => {
                let patch = json_argument(&patch, &format!("doc patch {}", quoted(&doc.to_string())))?;
                Command::DocPatch { space: space.space, doc, patch }
            }
            DocVerb::Delete { doc, space } => Command::DocDelete { space: space.space, doc },
            DocVerb::List(options) => return self.doc_list(options).await,
            DocVerb::History { doc, space, limit } => {
                let (asked, shown) = (limit.is_some(), limit.or_else(|| self.page(REVISIONS)));
                let again = format!("cosmicsync doc history {} --limit N", quoted(&doc.to_string()));
                let again = self.global.about_same(space.space.as_deref(), &again);
                let reply = self.call(Command::DocHistory { space: space.space, doc, limit: shown }).await?;
                return self.listed(&reply, asked, &again);
            }
            DocVerb::Excluded { doc, space, publish } => Command::DocExcluded { space: space.space, doc, publish },
            DocVerb::Watch { target, space } => {
                let (collection, doc) = match target.map(|target| (target.parse::<DocRef>(), target)) {
                    None => (None, None),
                    Some((Ok(doc), _)) => (None, Some(doc)),
                    Some((Err(_), collection)) => (Some(collection), None),
                };
                Command::DocWatch { space: space.space, collection, doc }
            }
            DocVerb::Type(options) => return self.doc_type(options).await,
            DocVerb::Intent(verb) => return self.intent(verb).await,
        };
        self.print(command).await
    }

    async fn doc_list(&mut self, options: List) -> Result<(), Failure> {
        let List { collection, after, limit, values, space } = options;
        let mut again = "cosmicsync doc list".to_owned();
        for (before, word) in [(" ", collection.clone()), (" --limit ", limit.map(|limit| limit.to_string()))] {
            again.extend(word.map(|word| format!("{before}{}", quoted(&word))));
        }
        if values {
            again.push_str(" --values");
        }
        let asked = limit.is_some();
        let limit = limit.or_else(|| self.page(LISTED));
        let list = DocList { space: space.space.clone(), collection, after, limit, values };
        let reply = self.call(Command::DocList(list)).await?;
        if let Reply::Listed(Listed { next: Some(next), .. }) = &reply {
            again = self.global.about_same(space.space.as_deref(), &format!("{again} --after {}", quoted(next)));
        }
        self.listed(&reply, asked, &again)
    }

    /// How many lines a list has that nobody gave a limit, where a person reads it.
    fn page(&self, lines: u64) -> Option<u64> {
        (self.surroundings.stdout_tty && !self.output.format.json).then_some(lines)
    }

    /// Ends a list: behind its rows it says how many more there are, unless a limit was asked for and quiet, too.
    fn listed(&mut self, reply: &Reply, asked: bool, again: &str) -> Result<(), Failure> {
        self.output.reply(reply)?;
        if let Reply::Listed(Listed { more, .. }) = reply
            && *more > 0
            && !self.output.format.json
            && !(self.global.quiet && asked)
        {
            self.output.writer.flush()?;
            terminal::note(&format!("{more} more: {again}"));
        }
        Ok(())
    }

    async fn doc_type(&mut self, options: Type) -> Result<(), Failure> {
        let splice = |patches| DocSplice {
            space: options.space.space.clone(),
            doc: options.doc.clone(),
            path: options.path.clone(),
            patches,
            seen: None,
        };
        let Some(file) = &options.patches else {
            let patch = Patch(options.at, options.delete, options.insert.clone());
            return self.print(Command::DocSplice(splice(vec![patch]))).await;
        };
        let door = self.door(false).await?;
        let mut last = None;
        for line in patch_lines(file)? {
            let patches = line?;
            last = Some(request(&*door.backend, Command::DocSplice(splice(patches))).await?);
        }
        door.close().await;
        Ok(last.map_or(Ok(()), |reply| self.output.reply(&reply))?)
    }

    async fn backup(&mut self, verb: BackupVerb) -> Result<(), Failure> {
        match verb {
            BackupVerb::Create { file, passphrase } => {
                let passphrase = self.passphrase(&passphrase, true)?;
                let path = absolute(&file)?;
                self.print(Command::BackupCreate { path, passphrase }).await
            }
            BackupVerb::Verify { file, passphrase } => {
                let passphrase = self.passphrase(&passphrase, false)?;
                let backup = node::verify_backup(&file, &passphrase).await?;
                Ok(self.output.reply(&Reply::Backup(backup))?)
            }
            BackupVerb::Restore { file, passphrase } => {
                let passphrase = self.passphrase(&passphrase, false)?;
                let backup = node::restore_backup(&file, &passphrase, &self.dir).await?;
                Ok(self.output.reply(&Reply::Backup(backup))?)
            }
        }
    }

    fn passphrase(&self, source: &Passphrase, new: bool) -> Result<Secret, ServiceError> {
        if let Some(file) = &source.passphrase_file {
            let text = fs::read_to_string(file)
                .map_err(|error| ServiceError::io(format!("cannot read {}", file.display()), &error))?;
            let line = text.lines().next().unwrap_or_default();
            return if line.is_empty() {
                Err(usage(format!("the first line of {} is empty: write the passphrase there", file.display())))
            } else {
                Ok(Secret(line.to_owned()))
            };
        }
        match self.surroundings.variable("COSMICSYNC_PASSPHRASE") {
            Some(passphrase) => Ok(Secret(passphrase.to_owned())),
            None => terminal::ask_passphrase(new),
        }
    }

    async fn config(&mut self, verb: ConfigVerb) -> Result<(), Failure> {
        let loaded = Loaded::load(&self.dir, &self.surroundings.variables)?;
        match verb {
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
    /// Says that a running node listens elsewhere than its settings say now: by a flag, or since they were changed.
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

/// A node that a command was sent to.
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

fn peer(verb: PeerVerb) -> Command {
    match verb {
        PeerVerb::Add { address } => Command::PeerAdd { address },
        PeerVerb::List => Command::PeerList {},
        PeerVerb::Remove { address } => Command::PeerRemove { address },
        PeerVerb::Pause => Command::PeerPause {},
        PeerVerb::Resume => Command::PeerResume {},
    }
}

fn import(options: Import) -> Result<Command, ServiceError> {
    let path = absolute(&options.file)?;
    fs::File::open(&path).map_err(|error| ServiceError::io(format!("cannot read {path}"), &error))?;
    Ok(Command::Import(cosmicsync_node::service::Import {
        space: options.space.space,
        collection: options.collection,
        path,
        format: options.format,
        id_column: options.id_column,
        rows: options.rows,
        text: options.text,
        erasable_together: options.erasable_together,
        resume: options.resume,
    }))
}

fn config_finding(dir: &Path, surroundings: &Surroundings) -> Finding {
    let subject = "settings".to_owned();
    match Loaded::load(dir, &surroundings.variables) {
        Ok(_) => Finding { level: Level::Ok, subject, message: "valid".to_owned(), next: None },
        Err(error) => Finding { level: Level::Problem, subject, message: error.message, next: error.next },
    }
}

/// Reads an argument, or stdin for `-`, as a JSON object. A mistake is shown where it stands, with an example.
fn json_argument(text: &str, command: &str) -> Result<Value, ServiceError> {
    let piped = if text == "-" { Some(terminal::read_stdin()?) } else { None };
    let text = piped.as_deref().unwrap_or(text);
    let example = format!(r#"cosmicsync {command} '{{"title": "a text", "count": 1}}'"#);
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(usage("a document is a JSON object, in braces".to_owned()).next(example)),
        Err(error) => Err(usage(json_mistake(text, &error)).next(example)),
    }
}

/// Says what is wrong with a text that is no JSON, and shows where.
fn json_mistake(text: &str, error: &serde_json::Error) -> String {
    const SHOWN: usize = 60;
    let Some(line) = text.lines().nth(error.line().saturating_sub(1)).filter(|line| !line.trim().is_empty()) else {
        return format!("not JSON: {error}");
    };
    // The column counts bytes.
    let at = line.get(..error.column().saturating_sub(1)).map_or(0, |before| before.chars().count());
    let from = at.saturating_sub(SHOWN / 2);
    let part: String = line.chars().skip(from).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("not JSON: {error}\n       {part}\n       {}^", " ".repeat(at - from))
}

type PatchLines = Box<dyn Iterator<Item = Result<Vec<Patch>, ServiceError>>>;

/// Reads batches of patches, one JSON array a line.
fn patch_lines(file: &Path) -> Result<PatchLines, ServiceError> {
    let lines: Box<dyn Iterator<Item = io::Result<String>>> = if file == Path::new("-") {
        Box::new(terminal::stdin_lines())
    } else {
        let file = fs::File::open(file)
            .map_err(|error| ServiceError::io(format!("cannot read {}", file.display()), &error))?;
        Box::new(io::BufRead::lines(io::BufReader::new(file)))
    };
    Ok(Box::new(lines.enumerate().map(|(index, line)| {
        let line = line.map_err(|error| ServiceError::io("cannot read the patches", &error))?;
        serde_json::from_str(&line).map_err(|error| {
            let message = format!("patches, line {}: {error}; write [[position, deleted, \"inserted\"]]", index + 1);
            usage(message)
        })
    })))
}

/// Makes a path absolute: the node may run elsewhere.
fn absolute(path: &Path) -> Result<String, ServiceError> {
    let failed = |error: io::Error| ServiceError::io(format!("cannot use the path {}", path.display()), &error);
    let path = std::path::absolute(path).map_err(failed)?;
    path.into_os_string().into_string().map_err(|path| usage(format!("the path {} is not Unicode", path.display())))
}

/// Returns an error about the command line or its input.
pub(crate) fn usage(message: String) -> ServiceError {
    ServiceError::new(ErrorCode::Usage, message)
}
