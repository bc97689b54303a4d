//! A client of a node's control socket, written from its documentation (`docs/cli.md`).

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Size of a piece of an input, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// A connection. Calls on it run one after the other.
#[derive(Debug)]
pub(super) struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

/// Error of a call.
#[derive(Debug, Clone)]
pub(super) enum CallError {
    /// The node answered with an error.
    Refused(Value),
    /// No answer came: the call may have had its effect or not.
    Lost(String),
}

impl CallError {
    /// Returns the `code` of the node's error; empty if no answer came.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused(error) => error.get("code").and_then(Value::as_str).unwrap_or_default(),
            Self::Lost(_) => "",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Lost(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Client {
    /// Connects to the node of a data directory. Each call then has at most this time.
    pub(super) fn connect(dir: &Path, patience: Duration) -> Result<Self, CallError> {
        let stream = UnixStream::connect(dir.join("control.sock"))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut client = Self { reader: BufReader::new(stream.try_clone()?), writer: stream };
        let hello = client.line()?;
        let protocol = hello.get("protocol").cloned().unwrap_or_default();
        client.send(&json!({
            "cosmicsync": env!("CARGO_PKG_VERSION"), "protocol": protocol, "pid": std::process::id(),
        }))?;
        Ok(client)
    }

    /// Sends a command and returns the value of its reply.
    pub(super) fn call(&mut self, name: &str, arguments: Value) -> Result<Value, CallError> {
        self.call_each(name, arguments, &[], &mut |_| ())
    }

    /// Sends a command and its input, passes on the items before the reply, and returns the reply's value.
    pub(super) fn call_each(
        &mut self,
        name: &str,
        arguments: Value,
        input: &[u8],
        on_item: &mut dyn FnMut(Value),
    ) -> Result<Value, CallError> {
        self.send(&json!({ name: arguments }))?;
        if !input.is_empty() {
            for piece in input.chunks(PIECE_BYTES).chain([&[][..]]) {
                self.send(&json!({ "bytes": piece.len() }))?;
                self.writer.write_all(piece)?;
            }
        }
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
