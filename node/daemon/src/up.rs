//! `up`: runs the node as a long-lived process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cosmicsync_api::{Issuer, IssuerSettings, Metrics, Router, Server as HttpServer, Settings, Tls};
use cosmicsync_node::Node;
use cosmicsync_node::service::{
    Backend, Command, ErrorCode, Format, Import, Input, Reply, Role, Server, ServiceError, Status, request,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{self, Global};
use crate::config::{Config, IssuerRole, Loaded};
use crate::logging;
use crate::node;
use crate::run::{Failure, Run};
use crate::terminal::{self, Surroundings};
use crate::traces::{self, Traces};

/// The collections of a sandbox, and their documents.
const SAMPLES: [(&str, &str); 2] =
    [("plants", include_str!("samples/plants.ndjson")), ("notes", include_str!("samples/notes.ndjson"))];

/// The address of a sandbox's HTTP API, unless another one is named.
const SANDBOX_HTTP: &str = "127.0.0.1:7521";

/// Runs until a signal or `cosmicsync down`; prints the status once it serves commands.
pub(crate) async fn up(run: &mut Run<'_>, options: &cli::Up) -> Result<(), Failure> {
    if !options.dev {
        return open_and_serve(run, options).await;
    }
    let sandbox = Sandbox::new(&run.surroundings.temporary)?;
    if run.global.dir.is_none() {
        run.dir.clone_from(&sandbox.dir);
        run.global.dir = Some(sandbox.dir.clone());
    }
    node::init(&run.dir, "sandbox").await?;
    let here = || Some("127.0.0.1:0".to_owned());
    let options = cli::Up {
        listen: options.listen.clone().or_else(here),
        http: options.http.clone().or_else(|| Some(SANDBOX_HTTP.to_owned())),
        metrics: options.metrics.clone(),
        name: None,
        dev: true,
    };
    open_and_serve(run, &options).await
}

/// A directory that is deleted when it is dropped.
struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    fn new(temporary: &Path) -> Result<Self, ServiceError> {
        let dir = temporary.join(format!("cosmicsync-sandbox-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| ServiceError::io(format!("cannot make {}", dir.display()), &error))?;
        Ok(Self { dir })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, "the sandbox stays in {}", self.dir.display());
        }
    }
}

/// Imports the sample data into a new node.
async fn fill(node: &Node) -> Result<(), ServiceError> {
    request(node, Command::SpaceCreate { name: "home".to_owned() }).await?;
    for (collection, rows) in SAMPLES {
        let import = Import {
            collection: (*collection).to_owned(),
            path: "-".to_owned(),
            format: Some(Format::Ndjson),
            id_column: Some("id".to_owned()),
            ..Import::default()
        };
        let (feed, input) = Input::new();
        let (items, _) = tokio::sync::mpsc::channel(1);
        let feeding = async {
            // If the node stops reading, its reply gives the reason.
            let _ = feed.send(rows.as_bytes().to_vec()).await;
            feed.end().await;
        };
        let (imported, ()) = tokio::join!(node.call_reading(Command::Import(import), input, items), feeding);
        imported?;
    }
    Ok(())
}

async fn open_and_serve(run: &mut Run<'_>, options: &cli::Up) -> Result<(), Failure> {
    let mut loaded = Loaded::load(&run.dir, &run.surroundings.variables)?;
    if let Some(listen) = &options.listen {
        loaded.listen_flag(Some(address(listen, loaded.config.net.listen).await?));
    }
    if let Some(listen) = &options.http {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        loaded.http_flag(Some(address(listen, own).await?));
    }
    if let Some(listen) = &options.metrics {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        loaded.metrics_flag(Some(address(listen, own).await?));
    }
    // Addresses are bound before the store opens: an address in use must not leave a new device behind.
    let doors = Doors::open(&run.dir, &loaded.config, options.dev).await.map_err(|error| {
        // The next step of a sandbox needs the flag `--dev`, too.
        let next = error.next.as_deref().map(|next| next.replace("cosmicsync up", "cosmicsync up --dev"));
        if options.dev { ServiceError { next, ..error } } else { error }
    })?;
    let traces = Traces::start(&loaded.config.otlp)?;
    let tail = logging::start(&loaded.config.log, &run.global, &traces);
    let node = Arc::new(node::open(&run.dir, &loaded, true).await?);
    node.keeps_log(tail);
    if let Some(name) = &options.name
        && let Err(error) = request(&*node, Command::DeviceRename { name: name.clone() }).await
    {
        request(&*node, Command::Shutdown {}).await?;
        return Err(error.into());
    }
    if options.dev
        && let Err(error) = fill(&node).await
    {
        request(&*node, Command::Shutdown {}).await?;
        return Err(error.into());
    }
    let served = serve(run, &node, doors).await;
    let closed = request(&*node, Command::Shutdown {}).await;
    served?;
    closed?;
    Ok(())
}

/// Returns the address of a flag.
async fn address(text: &str, setting: SocketAddr) -> Result<SocketAddr, ServiceError> {
    let wrong = |why: &str| {
        let message = format!("cannot listen on '{text}': {why}; write ADDRESS:PORT, HOST:PORT or :PORT");
        ServiceError::new(ErrorCode::Usage, message)
    };
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| wrong("the port is not a number up to 65535"))?;
        return Ok(SocketAddr::new(setting.ip(), port));
    }
    let found: Vec<SocketAddr> = match tokio::net::lookup_host(text).await {
        Ok(found) => found.collect(),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    // If a name has addresses of both kinds, other nodes most often dial the IPv4 one.
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| wrong("the name has no address"))
}

/// The requested HTTP listeners.
struct Doors {
    /// The listener of the API.
    http: Option<HttpServer>,
    /// The listener of metrics and health.
    metrics: Option<HttpServer>,
    /// Settings of the API.
    settings: Settings,
    /// The certificate of the API.
    tls: Option<Tls>,
    /// True for the node of a sandbox.
    is_sandbox: bool,
}

impl Doors {
    /// Binds the addresses in the settings.
    async fn open(dir: &Path, config: &Config, is_sandbox: bool) -> Result<Self, ServiceError> {
        let tls = tls(dir, config)?;
        let settings = settings(dir, config).await?;
        let http = bind(&config.http.listen).await?;
        let http = http.map(|http| http.with_connections_max(settings.connections_max).with_tls(tls.clone()));
        let metrics = bind(&config.http.metrics).await?;
        Ok(Self { http, metrics, settings, tls, is_sandbox })
    }

    /// Reads again the certificate and the keys of the issuer, which may change while the node runs.
    async fn reload(tls: Option<&Tls>, issuer: Option<&Issuer>) -> Result<(), ServiceError> {
        if let Some(tls) = tls {
            tls.reload()?;
        }
        if let Some(issuer) = issuer {
            issuer.reload().await?;
        }
        Ok(())
    }
}

/// Reads the certificate, if one is configured.
fn tls(dir: &Path, config: &Config) -> Result<Option<Tls>, ServiceError> {
    let (certificate, key) = (&config.http.tls_cert, &config.http.tls_key);
    match (certificate.is_empty(), key.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Tls::load(dir.join(certificate), dir.join(key)).map(Some),
        (true, false) | (false, true) => {
            let message = "HTTPS needs both [http] tls_cert and tls_key";
            Err(ServiceError::new(ErrorCode::Usage, message).next("cosmicsync config show --origin"))
        }
    }
}

/// Converts the settings to those of the API.
async fn settings(dir: &Path, config: &Config) -> Result<Settings, ServiceError> {
    let most = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    let issuer = if config.issuer.name.is_empty() {
        None
    } else {
        let issuer = config.issuer.clone();
        let is_url = issuer.keys.contains("://");
        let keys = if is_url { issuer.keys } else { dir.join(issuer.keys).display().to_string() };
        let role = match issuer.role {
            IssuerRole::Editor => Role::Editor,
            IssuerRole::Viewer => Role::Viewer,
            IssuerRole::Auditor => Role::Auditor,
        };
        let settings = IssuerSettings { issuer: issuer.name, audience: issuer.audience, keys, role };
        Some(Arc::new(Issuer::load(settings).await?))
    };
    Ok(Settings {
        connections_max: most(config.http.connections_max),
        sockets_max: most(config.http.sockets_max),
        requests_per_second: NonZeroU32::new(config.http.requests_per_second),
        mib_per_day: NonZeroU32::new(config.http.mib_per_day),
        origins: config.http.origins.clone(),
        parent: traces::parent(),
        issuer,
    })
}

/// Binds an address of the settings, if it is set.
async fn bind(listen: &str) -> Result<Option<HttpServer>, ServiceError> {
    match listen.parse::<SocketAddr>() {
        Ok(listen) => HttpServer::bind(listen).await.map(Some),
        Err(_) => Ok(None),
    }
}

async fn serve(run: &mut Run<'_>, node: &Arc<Node>, doors: Doors) -> Result<(), Failure> {
    let server = Server::bind(&run.dir)?;
    if let Some(http) = &doors.http {
        node.serves_http(http.url());
        if !http.address().ip().is_loopback() && doors.tls.is_none() {
            tracing::warn!(
                "HTTP is not encrypted: others on the way can read tokens; set [http] tls_cert and tls_key, or put a proxy with TLS in front"
            );
        }
    }
    let handler = |kind| signal(kind).map_err(|error| ServiceError::io("cannot handle signals", &error));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let mut hangup = handler(SignalKind::hangup())?;
    let reply = request(&**node, Command::Status {}).await?;
    announce(run, &reply, doors.metrics.as_ref())?;
    offer_link(run, node, doors.is_sandbox).await?;
    let stop = async {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            // The disk failed; the shutdown that follows reports the reason.
            _ = node.ended() => {}
        }
        tracing::info!("stopping");
    };
    let backend: Arc<Node> = Arc::clone(node);
    let metrics = Metrics::default();
    // A signal ends the node, and so does `down`, which comes through the control socket.
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let as_backend = Arc::clone(&backend) as Arc<dyn Backend>;
    let router = cosmicsync_api::router(as_backend, &doors.settings, metrics.clone(), stopped.clone());
    let watched = cosmicsync_api::operator_router(Arc::clone(&backend) as Arc<dyn Backend>, metrics);
    let stop = async {
        stop.await;
        stopping.send_replace(true);
    };
    let controlled = async {
        server.run(backend, stop).await;
        stopping.send_replace(true);
    };
    let (global, surroundings) = (run.global.clone(), run.surroundings);
    let mut over = stopped.clone();
    let reloading = async {
        loop {
            tokio::select! {
                biased;
                _ = over.wait_for(|stop| *stop) => return,
                _ = hangup.recv() => {}
            }
            match reload(&run.dir, surroundings, &global, &doors.settings, doors.tls.as_ref()).await {
                Ok(()) => tracing::info!("settings were read again"),
                Err(error) => tracing::error!(error = error.message, "settings were not read again"),
            }
        }
    };
    let served = (run_door(doors.http, router, stopped.clone()), run_door(doors.metrics, watched, stopped));
    tokio::join!(controlled, served.0, served.1, reloading);
    Ok(())
}

/// Handles `SIGHUP`: reloads the log level, the certificate, and the keys of the issuer.
async fn reload(
    dir: &Path,
    surroundings: &Surroundings,
    global: &Global,
    settings: &Settings,
    tls: Option<&Tls>,
) -> Result<(), ServiceError> {
    let loaded = Loaded::load(dir, &surroundings.variables)?;
    logging::reload(&loaded.config.log, global);
    Doors::reload(tls, settings.issuer.as_deref()).await
}

/// Serves a listener, if there is one.
async fn run_door(door: Option<HttpServer>, router: Router, stopped: tokio::sync::watch::Receiver<bool>) {
    if let Some(door) = door {
        door.run(router, stopped).await;
    }
}

/// Returns the most likely next command for a node that has just started.
fn what_next(run: &Run<'_>, status: &Status) -> String {
    let same = |command: &str| run.global.about_same(None, command);
    if status.user.is_none() {
        let join = same("cosmicsync space join LINE");
        format!("{join}  (with a line that `cosmicsync space invite` prints on another device)")
    } else if status.spaces.is_empty() {
        format!("{}  (makes a space)", same("cosmicsync space create NAME"))
    } else {
        format!("{}  (lets one more device in)", same("cosmicsync space invite"))
    }
}

/// Prints a link to the console if stdout is a terminal. A link does not belong in a log.
async fn offer_link(run: &mut Run<'_>, node: &Node, is_sandbox: bool) -> Result<(), Failure> {
    if run.output.format.json || run.global.quiet {
        return Ok(());
    }
    if !run.surroundings.stderr_tty {
        let login = run.global.about_same(None, "cosmicsync login");
        if is_sandbox {
            run.output.line(&format!("console: {login}"))?;
        }
        return Ok(run.output.writer.flush()?);
    }
    let Reply::Link(link) = request(node, Command::LinkMake {}).await? else { return Ok(()) };
    if link.link.0.starts_with("http") {
        terminal::note(&format!("console: {}  (once, within 15 minutes)", link.link.0));
    }
    Ok(())
}

/// Reports on stdout that commands are served now: one JSON line, or the addresses.
fn announce(run: &mut Run<'_>, reply: &Reply, metrics: Option<&HttpServer>) -> Result<(), Failure> {
    if run.output.format.json {
        run.output.reply(reply)?;
    } else if let Reply::Status(status) = reply {
        let listen = status.listen.as_deref().unwrap_or("nowhere");
        run.output.line(&format!("{} listens on {listen}", status.name))?;
        if let Some(url) = &status.http {
            run.output.line(&format!("HTTP at {url}"))?;
        }
        if let Some(metrics) = metrics {
            run.output.line(&format!("metrics at {}/metrics", metrics.url()))?;
        }
        if !run.global.quiet && run.surroundings.stderr_tty {
            terminal::note(&format!("next: {}\nCtrl-C stops it", what_next(run, status)));
        }
    }
    Ok(run.output.writer.flush()?)
}
