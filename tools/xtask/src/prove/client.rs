//! A client of the control socket, written from its documentation alone (`docs/cli.md`): one JSON object per line, and
//! announced bytes.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a node's output; the longest commands wait for a sync.
const SILENCE: Duration = Duration::from_secs(600);

/// Size of a piece of an input, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// A connection. Calls on it run one after the other.
#[derive(Debug)]
pub(super) struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

/// Errors of a call.
#[derive(Debug)]
pub(super) enum CallError {
    /// The node answered with an error.
    Refused(Value),
    /// The connection is gone, or the node broke the protocol.
    Lost(String),
}

impl CallError {
    /// Returns the `code` of the node's error; empty if there was none.
    pub(super) fn code(&self) -> &str {
        self.member("code")
    }

    /// Returns a text of the node's error; empty if there was none.
    pub(super) fn member(&self, name: &str) -> &str {
        match self {
            Self::Refused(error) => error.get(name).and_then(Value::as_str).unwrap_or_default(),
            Self::Lost(_) => "",
        }
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused, {error}"),
            Self::Lost(why) => write!(f, "no answer, {why}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<std::io::Error> for CallError {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Client {
    /// Connects to the node of a data directory.
    pub(super) fn connect(dir: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(dir.join("control.sock"))?;
        stream.set_read_timeout(Some(SILENCE))?;
        let mut client = Self { reader: BufReader::new(stream.try_clone()?), writer: stream };
        let hello = client.line()?;
        if hello.get("protocol") != Some(&json!(2)) {
            return Err(CallError::Lost(format!("the node greets with {hello}")));
        }
        client.send(&json!({ "cosmicsync": env!("CARGO_PKG_VERSION"), "protocol": 2, "pid": std::process::id() }))?;
        Ok(client)
    }

    /// Sends a command, passes on the items before the reply, and returns the reply's value.
    pub(super) fn call(
        &mut self,
        name: &str,
        arguments: Value,
        on_item: &mut dyn FnMut(Value),
    ) -> Result<Value, CallError> {
        self.send(&json!({ name: arguments }))?;
        self.replied(on_item)
    }

    /// Sends a command with an input.
    pub(super) fn call_with(&mut self, name: &str, arguments: Value, input: &[u8]) -> Result<Value, CallError> {
        self.send(&json!({ name: arguments }))?;
        let mut writer = self.writer.try_clone()?;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let pieces = input.chunks(PIECE_BYTES).chain([&[][..]]);
                for piece in pieces {
                    let line = format!("{}\n", json!({ "bytes": piece.len() }));
                    // If the node stops reading, its reply gives the reason.
                    if writer.write_all(line.as_bytes()).and_then(|()| writer.write_all(piece)).is_err() {
                        return;
                    }
                }
            });
            self.replied(&mut |_| ())
        })
    }

    fn replied(&mut self, on_item: &mut dyn FnMut(Value)) -> Result<Value, CallError> {
        loop {
            let Value::Object(mut frame) = self.line()? else { return Err(CallError::Lost("no frame".into())) };
            if let Some(item) = frame.remove("item") {
                on_item(item);
            } else if let Some(error) = frame.remove("error") {
                return Err(CallError::Refused(error));
            } else if let Some(Value::Object(reply)) = frame.remove("reply") {
                return Ok(reply.into_iter().next().map(|(_, value)| value).unwrap_or_default());
            } else {
                return Err(CallError::Lost("an unknown frame".into()));
            }
        }
    }

    fn send(&mut self, value: &Value) -> Result<(), CallError> {
        let mut line = value.to_string().into_bytes();
        line.push(b'\n');
        Ok(self.writer.write_all(&line)?)
    }

    fn line(&mut self) -> Result<Value, CallError> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(CallError::Lost("the connection closed".into()));
        }
        serde_json::from_slice(&line).map_err(|error| CallError::Lost(error.to_string()))
    }
}
