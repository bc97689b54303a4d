//! The settings, by precedence: defaults < `config.toml` in the data directory < environment < flags.
//!
//! Every setting has a section and a name: `[net] listen` in the file is `COSMICSYNC_NET__LISTEN` in the environment.
//! An unknown setting is an error that names its place. This module reads no environment variables itself; they are
//! passed in.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use cosmicsync_node::service::{ErrorCode, ServiceError, quoted};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Spanned, Table, Value};

/// Name of the settings file in the data directory.
pub(crate) const FILE_NAME: &str = "config.toml";

/// Returns the JSON Schema of the settings.
pub(crate) fn schema() -> String {
    let schema = schemars::schema_for!(Config);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// The default port, which is fixed, so that an invited device finds this node again after a restart.
const PORT: u16 = 7520;

const PREFIX: &str = "COSMICSYNC_";

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Links to other nodes.
    pub(crate) net: Net,
    /// The store.
    pub(crate) store: Store,
    /// The HTTP API.
    pub(crate) http: Http,
    /// Another issuer whose tokens the HTTP API accepts.
    pub(crate) issuer: Issuer,
    /// Log lines.
    pub(crate) log: Log,
    /// Traces of requests.
    pub(crate) otlp: Otlp,
}

/// Traces of requests, for programs built with the feature `otlp`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Otlp {
    /// Address of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; nothing sends none.
    pub(crate) endpoint: String,
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// The address and port on which the API is served, such as `127.0.0.1:7521`; empty means not at all.
    #[serde(deserialize_with = "address_or_nothing")]
    pub(crate) listen: String,
    /// The address and port on which `/metrics`, `/healthz` and `/readyz` are served without a token; empty means not
    /// at all.
    #[serde(deserialize_with = "address_or_nothing")]
    pub(crate) metrics: String,
    /// The PEM file of the certificate for HTTPS, with its chain. A relative path begins in the data directory.
    pub(crate) tls_cert: String,
    /// The PEM file of the certificate's key.
    pub(crate) tls_key: String,
    /// Largest number of concurrent connections; more wait.
    pub(crate) connections_max: u32,
    /// Largest number of concurrent WebSockets and remote command lines.
    pub(crate) sockets_max: u32,
    /// Largest number of requests per second and token; 0 means no limit.
    pub(crate) requests_per_second: u32,
    /// Largest number of mebibytes that each token may send per day, in bodies and messages; 0 means no limit.
    pub(crate) mib_per_day: u32,
    /// Origins of web pages that may call the API, such as `https://app.example`. The console's own origin is always
    /// allowed.
    #[serde(deserialize_with = "origins")]
    pub(crate) origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: String::new(),
            metrics: String::new(),
            tls_cert: String::new(),
            tls_key: String::new(),
            connections_max: 512,
            sockets_max: 256,
            requests_per_second: 0,
            mib_per_day: 0,
            origins: Vec::new(),
        }
    }
}

/// Another issuer, whose JSON Web Tokens the HTTP API accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Issuer {
    /// The claim `iss` of the issuer's tokens; empty means no issuer.
    pub(crate) name: String,
    /// The claim `aud` of tokens for this node.
    pub(crate) audience: String,
    /// The issuer's keys, a JWK set: the path of a file, or an `http` URL on this machine.
    pub(crate) keys: String,
    /// The role of the issuer's accounts, within the rules of collections.
    pub(crate) role: IssuerRole,
}

/// A role for accounts of another issuer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IssuerRole {
    /// May read and write documents, as far as rules allow.
    #[default]
    Editor,
    /// May read documents, as far as rules allow.
    Viewer,
    /// May read the node's status, but no documents.
    Auditor,
}

fn address_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_one = text.is_empty() || text.parse::<SocketAddr>().is_ok();
    is_one.then_some(text).ok_or_else(|| Error::custom("invalid socket address syntax: write ADDRESS:PORT, or nothing"))
}

/// Parses origins in the form that browsers send: a scheme, a host and an optional port.
fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(deserializer)?;
    let is_origin = |text: &str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        host.is_some_and(|host| {
            let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            !host.is_empty() && host.bytes().all(is_host)
        })
    };
    match origins.iter().find(|text| !is_origin(text)) {
        None => Ok(origins),
        Some(other) => Err(Error::custom(format!("{other} is not an origin: write https://HOST or https://HOST:PORT"))),
    }
}

/// Links to other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Net {
    /// The address and port on which to listen; port 0 picks a free one.
    #[schemars(with = "String")]
    pub(crate) listen: SocketAddr,
    /// Addresses to dial, in addition to those of `peer add`.
    pub(crate) peers: Vec<String>,
    /// Largest number of open links to known devices, dialled and accepted.
    pub(crate) links_max: u32,
    /// Largest number of accepted connections that are not authenticated yet.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// Size limit of the store, in bytes.
    pub(crate) bytes_max: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { bytes_max: 64 << 30 }
    }
}

/// Log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// The least severe level that is logged.
    pub(crate) level: LogLevel,
    /// The format of log lines.
    pub(crate) format: LogFormat,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Acknowledged data is at risk.
    Error,
    /// An operator should investigate.
    Warn,
    /// Events of interest to an operator.
    #[default]
    Info,
    /// Events of interest to a developer.
    Debug,
    /// Everything.
    Trace,
}

/// Formats of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Origin of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The setting has its default value.
    Default,
    /// A line of the settings file.
    File {
        /// The line number, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// A command line flag.
    Flag {
        /// The flag as it is typed.
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

/// One setting in the output of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The setting's name, in the form `section.key`.
    pub(crate) key: String,
    /// The value; TOML and JSON write it the same way.
    pub(crate) value: serde_json::Value,
    /// The setting's origin.
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
    /// Reads the settings file of a data directory, if it exists, and overrides it by environment variables.
    ///
    /// Fails with `usage` on an unknown or malformed setting, naming the line or the variable.
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
        let mut mistakes = loaded.take_file(path, text);
        let in_file = !mistakes.is_empty();
        for (variable, value) in variables {
            let Some((section, key)) = variable.strip_prefix(PREFIX).and_then(|name| name.split_once("__")) else {
                continue;
            };
            let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
            let value = known(&loaded.config, &section, &key).and_then(|slot| like(&slot, value));
            match value.and_then(|value| loaded.set(&section, &key, value)) {
                Ok(()) => drop(
                    loaded
                        .origins
                        .insert(format!("{section}.{key}"), Origin::Environment { variable: variable.to_owned() }),
                ),
                Err(why) => mistakes.push(format!("environment variable {variable}: {why}")),
            }
        }
        if mistakes.is_empty() {
            return Ok(loaded);
        }
        let mend = if in_file {
            format!("correct {}", quoted(&path.display().to_string()))
        } else {
            "correct or unset it".to_owned()
        };
        Err(ServiceError::new(ErrorCode::Usage, mistakes.join("\n       "))
            .next(format!("{mend}, then: cosmicsync config check")))
    }

    /// Applies every valid setting of the file; returns the errors, each with its line.
    fn take_file(&mut self, path: &Path, text: &str) -> Vec<String> {
        let at = |offset: usize, why: &str| format!("{}:{}: {}", path.display(), line_at(text, offset), why.trim_end());
        let table: BTreeMap<String, Spanned<Value>> = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => return vec![at(error.span().map_or(0, |span| span.start), error.message())],
        };
        let mut mistakes = Vec::new();
        let places: BTreeMap<(String, String), usize> = places_of_keys(text).into_iter().collect();
        for (section, keys) in table {
            let offset = keys.span().start;
            if let Err(why) = keys_of(&self.config, &section) {
                mistakes.push((offset, why));
                continue;
            }
            let Value::Table(keys) = keys.into_inner() else {
                mistakes.push((offset, format!("`{section}` is not a section: write [{section}] and its keys below")));
                continue;
            };
            for (key, value) in keys {
                let place = (section.clone(), key.clone());
                let offset = places.get(&place).copied().unwrap_or(offset);
                match known(&self.config, &section, &key).and_then(|_| self.set(&section, &key, value)) {
                    Ok(()) => {
                        let line = line_at(text, offset);
                        self.origins.insert(format!("{section}.{key}"), Origin::File { line });
                    }
                    Err(why) => mistakes.push((offset, why)),
                }
            }
        }
        mistakes.sort();
        mistakes.iter().map(|(offset, why)| at(*offset, why)).collect()
    }

    /// Sets one existing setting.
    fn set(&mut self, section: &str, key: &str, value: Value) -> Result<(), String> {
        let mut all = Table::try_from(&self.config).map_err(|error| error.to_string())?;
        if let Some(slot) = all.get_mut(section).and_then(|keys| keys.get_mut(key)) {
            *slot = value;
        }
        self.config = all.try_into().map_err(|error: toml::de::Error| error.message().trim_end().to_owned())?;
        Ok(())
    }

    /// Overrides the setting by the flag.
    pub(crate) fn listen_flag(&mut self, listen: Option<SocketAddr>) {
        if let Some(listen) = listen {
            self.config.net.listen = listen;
            self.origins.insert("net.listen".to_owned(), Origin::Flag { flag: "--listen" });
        }
    }

    /// Overrides the HTTP API's address by the flag.
    pub(crate) fn http_flag(&mut self, listen: Option<SocketAddr>) {
        if let Some(listen) = listen {
            self.config.http.listen = listen.to_string();
            self.origins.insert("http.listen".to_owned(), Origin::Flag { flag: "--http" });
        }
    }

    /// Overrides the metrics' address by the flag.
    pub(crate) fn metrics_flag(&mut self, listen: Option<SocketAddr>) {
        if let Some(listen) = listen {
            self.config.http.metrics = listen.to_string();
            self.origins.insert("http.metrics".to_owned(), Origin::Flag { flag: "--metrics" });
        }
    }

    /// Returns all settings, ordered by their names.
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

    /// Returns the place to change a setting: the line of the file or the variable that sets it, else the file.
    pub(crate) fn place(&self, dir: &Path, key: &str) -> String {
        let file = dir.join(FILE_NAME);
        match self.origins.get(key) {
            Some(Origin::File { line }) => format!("{}:{line}", file.display()),
            Some(origin @ (Origin::Environment { .. } | Origin::Flag { .. })) => origin.to_string(),
            Some(Origin::Default) | None => file.display().to_string(),
        }
    }
}

/// Returns the settings of a section; fails if the section does not exist.
fn keys_of(config: &Config, section: &str) -> Result<Table, String> {
    let all = Table::try_from(config).map_err(|error| error.to_string())?;
    let keys = all.get(section).and_then(Value::as_table);
    keys.cloned().ok_or_else(|| format!("unknown field `{section}`, expected {}", either(all.keys())))
}

/// Returns the value of a setting; fails if the setting does not exist.
fn known(config: &Config, section: &str, key: &str) -> Result<Value, String> {
    let keys = keys_of(config, section)?;
    keys.get(key).cloned().ok_or_else(|| format!("unknown field `{key}`, expected {}", either(keys.keys())))
}

fn either<'k>(keys: impl Iterator<Item = &'k String>) -> String {
    let keys: Vec<String> = keys.map(|key| format!("`{key}`")).collect();
    keys.join(" or ")
}

/// Parses a variable as a value of the same type as another one.
fn like(slot: &Value, value: &str) -> Result<Value, String> {
    Ok(match slot {
        Value::Integer(_) => Value::Integer(value.parse().map_err(|_| "not a whole number".to_owned())?),
        Value::Array(_) => {
            let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        Value::String(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => {
            Value::String(value.to_owned())
        }
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Returns section, key and line of every setting in the file.
fn places_of_keys(text: &str) -> Vec<((String, String), usize)> {
    type Sections = BTreeMap<String, BTreeMap<String, Spanned<Value>>>;
    let sections: Sections = toml::from_str(text).unwrap_or_default();
    let keys = sections.into_iter().flat_map(|(section, keys)| {
        keys.into_iter().map(move |(key, value)| ((section.clone(), key), value.span().start))
    });
    keys.collect()
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
    fn a_place_is_where_a_setting_is_changed() {
        let file = "[store]\nbytes_max = 9\n";
        let place = |loaded: Loaded| loaded.place(Path::new("d"), "store.bytes_max");
        assert_eq!(place(merged(file, &[]).expect("valid")), "d/config.toml:2");
        assert_eq!(place(merged("", &[]).expect("valid")), "d/config.toml");
        let variable = "COSMICSYNC_STORE__BYTES_MAX";
        assert_eq!(place(merged(file, &[(variable, "7")]).expect("valid")), variable);
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
    fn all_mistakes_are_named_at_once() {
        let text = "[net]\nlinks = 7\nlisten = \"x\"\n[disk]\na = 1\n";
        let error = merged(text, &[("COSMICSYNC_LOG__LEVEL", "loud")]).expect_err("four mistakes");
        let places: Vec<_> =
            error.message.lines().map(|line| line.trim_start().split_once(": ").map(|at| at.0)).collect();
        let expected =
            ["config.toml:2", "config.toml:3", "config.toml:4", "environment variable COSMICSYNC_LOG__LEVEL"];
        assert_eq!(places, expected.map(Some));
        assert_eq!(error.next.as_deref(), Some("correct config.toml, then: cosmicsync config check"));
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
