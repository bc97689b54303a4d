//! `up`: the node as a long-running process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cosmicsync_api::Server as HttpServer;
use cosmicsync_node::Node;
use cosmicsync_node::service::{Backend, Command, ErrorCode, Reply, Server, ServiceError, Status, request};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli;
use crate::config::Loaded;
use crate::logging;
use crate::node;
use crate::run::{Failure, Run};
use crate::terminal;

/// Runs until a signal or `cosmicsync down`; prints the status once it serves.
pub(crate) async fn up(run: &mut Run<'_>, options: &cli::Up) -> Result<(), Failure> {
    let mut loaded = Loaded::load(&run.dir, &run.surroundings.variables)?;
    if let Some(listen) = &options.listen {
        loaded.listen_flag(Some(address(listen, loaded.config.net.listen).await?));
    }
    if let Some(listen) = &options.http {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        loaded.http_flag(Some(address(listen, own).await?));
    }
    // Before the store: an address that cannot be had must not leave a new device behind.
    let http = match loaded.config.http.listen.parse::<SocketAddr>() {
        Ok(listen) => Some(HttpServer::bind(listen).await?),
        Err(_) => None,
    };
    logging::start(&loaded.config.log, &run.global);
    let node = Arc::new(node::open(&run.dir, &loaded, true).await?);
    if let Some(name) = &options.name
        && let Err(error) = request(&*node, Command::DeviceRename { name: name.clone() }).await
    {
        request(&*node, Command::Shutdown {}).await?;
        return Err(error.into());
    }
    let served = serve(run, &node, http).await;
    let closed = request(&*node, Command::Shutdown {}).await;
    served?;
    closed?;
    Ok(())
}

/// Finds the address that a flag means.
async fn address(text: &str, setting: SocketAddr) -> Result<SocketAddr, ServiceError> {
    let wrong = |why: &str| {
        let message = format!("cannot listen on '{text}': {why}; write ADDRESS:PORT, HOST:PORT or :PORT");
        ServiceError::new(ErrorCode::Usage, message)
    };
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| wrong("the port is no number up to 65535"))?;
        return Ok(SocketAddr::new(setting.ip(), port));
    }
    let found: Vec<SocketAddr> = match tokio::net::lookup_host(text).await {
        Ok(found) => found.collect(),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    // What others dial by a name of two kinds of addresses is most often the older one.
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| wrong("the name has no address"))
}

async fn serve(run: &mut Run<'_>, node: &Arc<Node>, http: Option<HttpServer>) -> Result<(), Failure> {
    let server = Server::bind(&run.dir)?;
    if let Some(http) = &http {
        node.serves_http(http.url());
        if !http.address().ip().is_loopback() {
            tracing::warn!("HTTP is not encrypted: others on the way can read tokens; put a proxy with TLS in front");
        }
    }
    let handler = |kind| signal(kind).map_err(|error| ServiceError::io("cannot handle signals", &error));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let reply = request(&**node, Command::Status {}).await?;
    announce(run, &reply)?;
    let stop = async {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            // The disk failed: the shutdown that follows tells why.
            _ = node.ended() => {}
        }
        tracing::info!("stopping");
    };
    let backend: Arc<Node> = Arc::clone(node);
    let Some(http) = http else {
        server.run(backend, stop).await;
        return Ok(());
    };
    // A signal ends both, and so does `down`, which comes through the control socket.
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let router = cosmicsync_api::router(Arc::clone(&backend) as Arc<dyn Backend>, stopped.clone());
    let stop = async {
        stop.await;
        stopping.send_replace(true);
    };
    let controlled = async {
        server.run(backend, stop).await;
        stopping.send_replace(true);
    };
    tokio::join!(controlled, http.run(router, stopped));
    Ok(())
}

/// What somebody most likely wants to do with a node that just started.
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

/// Says on stdout that commands are served now: a line of JSON, or where it listens.
fn announce(run: &mut Run<'_>, reply: &Reply) -> Result<(), Failure> {
    if run.output.format.json {
        run.output.reply(reply)?;
    } else if let Reply::Status(status) = reply {
        let listen = status.listen.as_deref().unwrap_or("nowhere");
        run.output.line(&format!("{} listens on {listen}", status.name))?;
        if let Some(url) = &status.http {
            run.output.line(&format!("HTTP at {url}"))?;
        }
        if !run.global.quiet && run.surroundings.stderr_tty {
            terminal::note(&format!("next: {}\nCtrl-C stops it", what_next(run, status)));
        }
    }
    Ok(run.output.writer.flush()?)
}
