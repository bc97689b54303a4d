//! Abilities of this machine: small disks and a network of the run's own, in namespaces.
//!
//! The program runs itself again within namespaces that it makes, so that mounts and addresses end with it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// The variable that tells the inner program the state of the network.
const INSIDE: &str = "COSMICSYNC_CHAOS_NAMESPACES";
/// Value of the variable in a network namespace.
const OWN_NETWORK: &str = "network";

/// Abilities that the machine lacks.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// Reason why peers cannot have small disks of their own.
    pub(super) no_disks: Option<String>,
    /// Reason why the run has no network of its own.
    pub(super) no_network: Option<String>,
}

impl Host {
    /// Makes namespaces if the machine allows them: replaces this program by itself within them. Otherwise reports
    /// the reasons.
    pub(super) fn enter() -> Self {
        match std::env::var(INSIDE).as_deref() {
            Ok(OWN_NETWORK) => return Self::default(),
            Ok(_) => return Self { no_disks: None, no_network: Some("`ip link set lo up` failed".to_owned()) },
            Err(_) => {}
        }
        let flags =
            ["-mn", "-Urmn"].into_iter().find(|flags| unshare(flags, "true").status().is_ok_and(|s| s.success()));
        let Some(flags) = flags else {
            let why = "`unshare` may not make namespaces here: run as root, or allow user namespaces".to_owned();
            return Self { no_disks: Some(why.clone()), no_network: Some(why) };
        };
        let up = unshare(flags, "ip link set lo up").status().is_ok_and(|status| status.success());
        let (flags, value) = match (flags, up) {
            (flags, true) => (flags, OWN_NETWORK),
            // Loopback of a new network is down.
            ("-mn", false) => ("-m", "disks"),
            (_, false) => ("-Urm", "disks"),
        };
        let Ok(program) = std::env::current_exe() else {
            let why = "this program's own file is not known".to_owned();
            return Self { no_disks: Some(why.clone()), no_network: Some(why) };
        };
        let script = if up { "ip link set lo up && exec \"$@\"" } else { "exec \"$@\"" };
        let mut inner = Command::new("unshare");
        inner.args([flags, "sh", "-c", script, "sh"]).arg(program).args(std::env::args_os().skip(1));
        let error = inner.env(INSIDE, value).exec();
        let why = format!("unshare: {error}");
        Self { no_disks: Some(why.clone()), no_network: Some(why) }
    }
}

fn unshare(flags: &str, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
