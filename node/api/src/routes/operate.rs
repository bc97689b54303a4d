//! Routes for operators: the log and backups.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use cosmicsync_node::service::{Command, Reply, Secret};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::call::{Caller, expect_reply};
use crate::extract::{Json, Out, Query};
use crate::model::{LogView, NewBackup};
use crate::problem::{Code, Problem};
use crate::serve::until_set;
use crate::shape::Bytes;
use crate::stream::answer;

/// Largest number of lines in an answer.
const LINES_MAX: u64 = 1_000;
/// Longest wait for a line, in milliseconds. Proxies give up after 30 seconds.
const WAIT_MS_MAX: u64 = 25_000;

/// The range of log lines to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogOptions {
    /// Number of the line after which to begin, from `next` of the page before; without it, the last lines are
    /// returned.
    #[param(maximum = 9223372036854775807_i64)]
    after: Option<u64>,
    /// Largest number of lines.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// Longest wait for a line, if there is none after `after`, in milliseconds.
    #[param(maximum = 25000, default = 0)]
    timeout: Option<u64>,
}

/// Returns the last lines of the node's log, oldest first.
///
/// The lines contain no content of documents and no secrets.
#[utoipa::path(get, operation_id = "readLog", path = "/v1/log", tag = "node", params(LogOptions),
    responses((status = 200, body = LogView)))]
pub(super) async fn log(caller: Caller, Query(options): Query<LogOptions>) -> Result<Out<LogView>, Problem> {
    let LogOptions { after, limit, timeout } = options;
    let (limit, wait_ms) = (limit.unwrap_or(100), timeout.unwrap_or(0));
    if after.is_some_and(|after| i64::try_from(after).is_err()) {
        return Err(Problem::new(Code::BadRequest, "the number of a line is at most 9223372036854775807"));
    }
    if !(1..=LINES_MAX).contains(&limit) {
        return Err(Problem::new(Code::BadRequest, format!("a limit is 1 to {LINES_MAX}")));
    }
    if wait_ms > WAIT_MS_MAX {
        return Err(Problem::new(Code::BadRequest, format!("an answer waits for at most {WAIT_MS_MAX} ms")));
    }
    let mut stopped = caller.stopped();
    let read = |wait_ms| caller.request(Command::LogRead { after, limit, wait_ms });
    let reply = tokio::select! {
        biased;
        reply = read(wait_ms) => reply?,
        // The server stops, so the answer has the lines so far.
        () = until_set(&mut stopped) => read(0).await?,
    };
    expect_reply!(reply, Reply::Log(page) => Out(page.into()))
}

/// Makes a backup of the whole node and sends it as a file.
///
/// The backup is sealed by the passphrase. This needs the role of an owner. An answer that is cut off is not a complete
/// backup; `cosmicsync backup verify` detects that.
#[utoipa::path(post, operation_id = "createBackup", path = "/v1/backup", tag = "node", request_body = NewBackup,
    responses((status = 200, content((String = "application/octet-stream")))))]
pub(super) async fn backup(caller: Caller, Json(new): Json<NewBackup>) -> Result<Response, Problem> {
    let command = Command::BackupCreate { passphrase: Secret(new.passphrase) };
    let mut response = answer(&caller, command, Bytes, "application/octet-stream").await?;
    let name = HeaderValue::from_static("attachment; filename=\"cosmicsync.backup\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
