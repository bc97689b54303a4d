//! Settings: defaults < `config.toml` in the data directory < environment < flags.
//!
//! Every key has a section and a name: `[net] listen` in the file is `COSMICSYNC_NET__LISTEN` in the environment. Whatever is not
//! known is refused with the place where it stands. It reads no environment itself: variables are handed in.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use cosmicsync_node::service::{ErrorCode, ServiceError};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The file's name within the data directory.
pub(crate) const FILE_NAME: &str = "config.toml";

/// The port to listen on by default: a fixed one, so that an invited device finds this one again after a restart.
const PORT: u16 = 7520;

const PREFIX: &str = "COSMICSYNC_";

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Links to other nodes.
    pub(crate) net: Net,
    /// The store.
    pub(crate) store: Store,
    /// Log lines.
    pub(crate) log: Log,
}

/// Links to other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Net {
    /// Where to listen; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Addresses to dial, beside those that `peer add` remembers.
    pub(crate) peers: Vec<String>,
    /// Links of known devices open at once, dialled and accepted.
    pub(crate) links_max: u32,
    /// Accepted connections that are kept while nothing is known of them.
    pub(crate) strangers_max: u32,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            peers: Vec::new(),
            links_max: 256,
            strangers_max: 128,
        }
    }
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// Bytes it may grow to.
    pub(crate) bytes_max: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { bytes_max: 64 << 30 }
    }
}

/// Log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// The least severe that are written.
    pub(crate) level: LogLevel,
    /// How they are written.
    pub(crate) format: LogFormat,
}

/// How severe a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Acknowledged work is at risk.
    Error,
    /// Someone should look.
    Warn,
    /// What a person running it wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// The line, from 1.
        line: usize,
    },
    /// A variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag.
    Flag {
        /// As it is typed.
        flag: &'static str,
    },
}

impl core::fmt::Display for Origin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "{FILE_NAME}:{line}"),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// One setting as `config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// `section.key`.
    pub(crate) key: String,
    /// The value, as TOML and JSON both write it.
    pub(crate) value: serde_json::Value,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Settings with their origins.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Reads the file of a data directory, if there is one, and lays the environment over it.
    ///
    /// Fails with `usage` on anything unknown or malformed, naming the line or the variable.
    pub(crate) fn load(dir: &Path, variables: &BTreeMap<String, String>) -> Result<Self, ServiceError> {
        let path = dir.join(FILE_NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => String::new(),
            Err(error) => return Err(ServiceError::io(format!("cannot read {}", path.display()), &error)),
        };
        Self::merge(&path, &text, variables)
    }

    fn merge(path: &Path, text: &str, variables: &BTreeMap<String, String>) -> Result<Self, ServiceError> {
        let mut loaded = Self { config: Config::default(), origins: BTreeMap::new() };
        loaded.config = toml::from_str(text).map_err(|error| file_error(path, text, &error))?;
        for (key, line) in lines_of_keys(text) {
            loaded.origins.insert(key, Origin::File { line });
        }
        for (variable, value) in variables {
            let Some((section, key)) = variable.strip_prefix(PREFIX).and_then(|name| name.split_once("__")) else {
                continue;
            };
            loaded.set_from_variable(variable, &section.to_ascii_lowercase(), &key.to_ascii_lowercase(), value)?;
        }
        Ok(loaded)
    }

    /// Lays a flag over everything else.
    pub(crate) fn listen_flag(&mut self, listen: Option<SocketAddr>) {
        if let Some(listen) = listen {
            self.config.net.listen = listen;
            self.origins.insert("net.listen".to_owned(), Origin::Flag { flag: "--listen" });
        }
    }

    /// Returns all settings in the order of their keys.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let serde_json::Value::Object(sections) = serde_json::to_value(&self.config).unwrap_or_default() else {
            return Vec::new();
        };
        let mut settings = Vec::new();
        for (section, keys) in sections {
            for (key, value) in keys.as_object().cloned().unwrap_or_default() {
                let key = format!("{section}.{key}");
                let origin = self.origins.get(&key).cloned().unwrap_or(Origin::Default);
                settings.push(Setting { key, value, origin });
            }
        }
        settings
    }

    fn set_from_variable(&mut self, variable: &str, section: &str, key: &str, value: &str) -> Result<(), ServiceError> {
        let wrong = |message: &str| {
            ServiceError::new(ErrorCode::Usage, format!("environment variable {variable}: {message}"))
                .next("cosmicsync config show")
        };
        let mut all = Table::try_from(&self.config).map_err(|error| wrong(&error.to_string()))?;
        let known = all.get_mut(section).and_then(Value::as_table_mut).and_then(|keys| keys.get_mut(key));
        let slot = known.ok_or_else(|| wrong(&format!("there is no setting {section}.{key}")))?;
        *slot = match slot {
            Value::Integer(_) => Value::Integer(value.parse().map_err(|_| wrong("not a whole number"))?),
            Value::Array(_) => {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }
            Value::String(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => {
                Value::String(value.to_owned())
            }
        };
        self.config = all.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?;
        self.origins.insert(format!("{section}.{key}"), Origin::Environment { variable: variable.to_owned() });
        Ok(())
    }
}

fn file_error(path: &Path, text: &str, error: &toml::de::Error) -> ServiceError {
    let line = error.span().map_or(1, |span| line_at(text, span.start));
    ServiceError::new(ErrorCode::Usage, format!("{}:{line}: {}", path.display(), error.message()))
        .next("cosmicsync config show")
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Returns `section.key` and the line of every key in the file, which has been checked before.
fn lines_of_keys(text: &str) -> Vec<(String, usize)> {
    type Sections = BTreeMap<String, BTreeMap<String, toml::Spanned<Value>>>;
    let sections: Sections = toml::from_str(text).unwrap_or_default();
    let keys = sections.into_iter().flat_map(|(section, keys)| {
        keys.into_iter().map(move |(key, value)| (format!("{section}.{key}"), value.span().start))
    });
    keys.map(|(key, offset)| (key, line_at(text, offset))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ServiceError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Loaded::merge(Path::new("config.toml"), text, &variables)
    }

    fn origin(loaded: &Loaded, key: &str) -> String {
        let setting = loaded.settings().into_iter().find(|setting| setting.key == key).expect("a known key");
        format!("{} {}", setting.value, setting.origin)
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_default() {
        let file = "[net]\nlinks_max = 7\nlisten = \"127.0.0.1:1\"\n\n[log]\nlevel = \"debug\"\n";
        let mut loaded =
            merged(file, &[("COSMICSYNC_NET__LISTEN", "127.0.0.1:2"), ("COSMICSYNC_DIR", "/x")]).expect("valid");
        assert_eq!(origin(&loaded, "net.links_max"), "7 config.toml:2");
        assert_eq!(origin(&loaded, "log.level"), "\"debug\" config.toml:6");
        assert_eq!(origin(&loaded, "net.listen"), "\"127.0.0.1:2\" COSMICSYNC_NET__LISTEN");
        assert_eq!(origin(&loaded, "log.format"), "\"text\" default");
        loaded.listen_flag(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 3))));
        assert_eq!(origin(&loaded, "net.listen"), "\"127.0.0.1:3\" --listen");
        assert_eq!(loaded.config.net.listen.port(), 3);
    }

    #[test]
    fn lists_and_numbers_come_from_the_environment_too() {
        let loaded =
            merged("", &[("COSMICSYNC_NET__PEERS", "a:1, b:2"), ("COSMICSYNC_STORE__BYTES_MAX", "9")]).expect("valid");
        assert_eq!(loaded.config.net.peers, ["a:1", "b:2"]);
        assert_eq!(loaded.config.store.bytes_max, 9);
    }

    #[test]
    fn errors_point_at_the_line() {
        let unknown = merged("[net]\n\nlisen = \"x\"\n", &[]).expect_err("unknown key");
        assert!(unknown.message.starts_with("config.toml:3: unknown field `lisen`"), "{unknown}");
        let wrong = merged("[net]\nlisten = \"nowhere\"\n", &[]).expect_err("no address");
        assert!(wrong.message.starts_with("config.toml:2: "), "{wrong}");
        let broken = merged("[net\n", &[]).expect_err("no TOML");
        assert!(broken.message.starts_with("config.toml:1: "), "{broken}");
        assert_eq!(broken.code, ErrorCode::Usage);
    }

    #[test]
    fn errors_name_the_variable() {
        for (variable, value) in [
            ("COSMICSYNC_NET__LISEN", "127.0.0.1:2"),
            ("COSMICSYNC_NOTHING__LISTEN", "127.0.0.1:2"),
            ("COSMICSYNC_NET__LINKS_MAX", "many"),
            ("COSMICSYNC_NET__LINKS_MAX", "-1"),
            ("COSMICSYNC_LOG__LEVEL", "loud"),
        ] {
            let error = merged("", &[(variable, value)]).expect_err(variable);
            assert!(error.message.contains(variable), "{error}");
        }
    }
}
