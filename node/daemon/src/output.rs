//! Prints replies: tables on a terminal, tab-separated lines in a pipe, or one JSON object per line.
//!
//! Results go to the given writer. Progress, notes and errors go to stderr.

use core::time::Duration;
use std::io::{self, Write};

use cosmicsync_node::service::{
    Backup, Bodies, Change, Collection, Conflict, Device, Diff, Digest, DocView, Finding, Imported, Item, Level,
    Partition, Peer, PeerState, Reply, Revision, RevisionKind, ServiceError, Space, Status, Written, bytes_text,
    utc_text,
};
use serde::Serialize;

use crate::access;
use crate::clean;
use crate::queried;
use crate::table::{Style, Table, duration_text};

/// Format of results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// True for one JSON object per line, instead of text.
    pub(crate) json: bool,
    /// Style of tables.
    pub(crate) style: Style,
}

/// Writes results in the requested format.
pub(crate) struct Output<'a> {
    /// The writer of results.
    pub(crate) writer: &'a mut dyn Write,
    /// The format of results.
    pub(crate) format: Format,
    /// True if no daemon is running, so the store was opened for this command.
    pub(crate) alone: bool,
    rows: Option<Table>,
}

/// Number of rows of a list that are aligned together on a terminal.
const ROWS_TOGETHER: usize = 200;

impl<'a> Output<'a> {
    /// Returns an output to a writer.
    pub(crate) fn new(writer: &'a mut dyn Write, format: Format) -> Self {
        Self { writer, format, alone: false, rows: None }
    }
}

impl Output<'_> {
    /// Writes one value as a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_string(value)?;
        // Programs get the exact text; a terminal gets it without control characters.
        let line = if self.format.style == Style::Tabs { line } else { clean::json(&line) };
        writeln!(self.writer, "{line}")
    }

    /// Writes a piece of an exported file.
    fn chunk(&mut self, text: &str) -> io::Result<()> {
        if self.format.style == Style::Tabs {
            return self.writer.write_all(text.as_bytes());
        }
        self.writer.write_all(clean::cells(text).as_bytes())
    }

    /// Writes a line of text.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.writer, "{}", clean::lines(line))
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, table: &Table) -> io::Result<()> {
        table.write(&mut self.writer, self.format.style)
    }

    /// Writes an item of an answer, except progress.
    pub(crate) fn item(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Progress(_) => Ok(()),
            Item::Chunk(text) => self.chunk(text),
            Item::Bytes(bytes) => self.writer.write_all(bytes),
            Item::Document(document) if self.format.json => self.json(document),
            Item::Revision(revision) if self.format.json => self.json(revision),
            Item::Change(change) if self.format.json => self.json(change),
            Item::Conflict(conflict) if self.format.json => self.json(conflict),
            Item::Live(batch) if self.format.json => self.json(batch),
            Item::Live(batch) => queried::live(batch).into_iter().try_for_each(|cells| self.streamed(cells)),
            Item::Document(document) => self.gathered(["ID", "COLLECTION", "KEY", "VALUE"], document_cells(document)),
            Item::Revision(revision) => {
                self.gathered(["WHEN", "CHANGE", "DEVICE", "VERSION", "LOG", "ENTRY"], revision_cells(revision))
            }
            Item::Conflict(conflict) => self.gathered(["PATH", "NOT SHOWN", "DEVICE"], conflict_cells(conflict)),
            Item::Change(change) => self.streamed(change_cells(change)),
        }?;
        // A watch must print at once, not when the buffer is full.
        if matches!(item, Item::Change(_) | Item::Live(_)) { self.writer.flush() } else { Ok(()) }
    }

    /// Writes the final reply. In JSON, lists have one object per line.
    pub(crate) fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        self.write_rows()?;
        if self.format.json { self.json_reply(reply) } else { self.text_reply(reply) }
    }

    fn json_reply(&mut self, reply: &Reply) -> io::Result<()> {
        match reply {
            Reply::Done {} => self.json(&serde_json::json!({ "done": true })),
            Reply::Status(status) => self.json(status),
            Reply::Doctor(findings) => self.json_lines(findings),
            Reply::Peer(peer) => self.json(peer),
            Reply::Peers(peers) => self.json_lines(peers),
            Reply::Devices(devices) => self.json_lines(devices),
            Reply::Space(space) => self.json(space),
            Reply::Spaces(spaces) => self.json_lines(spaces),
            Reply::Invite(invite) => self.json(invite),
            Reply::Partition(partition) => self.json(partition),
            Reply::Partitions(partitions) => self.json_lines(partitions),
            Reply::Collections(collections) => self.json_lines(collections),
            Reply::Collection(collection) => self.json(collection),
            Reply::Queried(queried) => self.json(queried),
            Reply::Plan(plan) => self.json(plan),
            Reply::Counted { count } => self.json(&serde_json::json!({ "count": count })),
            Reply::Groups(groups) => self.json_lines(groups),
            Reply::Index(index) => self.json(index),
            Reply::Indexes(indexes) => self.json_lines(indexes),
            Reply::IndexCheck(check) => self.json(check),
            Reply::Schema(schema) => self.json(schema),
            Reply::Schemas(schemas) => self.json_lines(schemas),
            Reply::SchemaReport(report) => self.json(report),
            Reply::Written(written) => self.json(written),
            Reply::Wrote(wrote) => self.json_lines(&wrote.documents),
            Reply::Version(version) => self.json(version),
            Reply::Diff(diff) => self.json(diff),
            Reply::Document(document) => self.json(document),
            // The items were the result, unless some were left out.
            Reply::Listed(listed) if listed.more == 0 => Ok(()),
            Reply::Listed(listed) => {
                let mut more = serde_json::json!({ "count": listed.more });
                if let Some(after) = &listed.next {
                    more["after"] = after.as_str().into();
                }
                self.json(&serde_json::json!({ "more": more }))
            }
            Reply::Imported(imported) => self.json(imported),
            Reply::Exported(exported) => self.json(exported),
            Reply::Digest(digest) => self.json(digest),
            Reply::Synced(synced) => self.json(synced),
            Reply::Changes { cursor, more } => self.json(&serde_json::json!({ "cursor": cursor, "more": more })),
            Reply::TokenMade(made) => self.json(made),
            Reply::Tokens(tokens) => self.json_lines(tokens),
            Reply::Who(who) => self.json(who),
            Reply::Account(account) => self.json(account),
            Reply::Accounts(accounts) => self.json_lines(accounts),
            Reply::Link(link) => self.json(link),
            Reply::Audit(rows) => self.json_lines(rows),
            Reply::Log(page) => self.json_lines(&page.lines),
            Reply::Rules(rules) => self.json(rules),
            Reply::Verdicts(verdicts) => self.json_lines(verdicts),
            Reply::Backup(backup) => self.json(backup),
        }
    }

    fn json_lines(&mut self, values: &[impl Serialize]) -> io::Result<()> {
        values.iter().try_for_each(|value| self.json(value))
    }

    fn text_reply(&mut self, reply: &Reply) -> io::Result<()> {
        match reply {
            Reply::Done {} | Reply::Listed(_) | Reply::Queried(_) => Ok(()),
            Reply::Plan(plan) => self.pairs(queried::plan(plan)),
            Reply::Counted { count } => self.line(&count.to_string()),
            Reply::Groups(groups) => groups.iter().try_for_each(|group| self.json(group)),
            Reply::Index(index) => self.table(&queried::indexes(core::slice::from_ref(index))),
            Reply::Indexes(indexes) => self.table(&queried::indexes(indexes)),
            Reply::IndexCheck(check) => self.pairs(queried::check(check)),
            Reply::Schema(schema) => self.line(&clean::json(&serde_json::to_string_pretty(&schema.schema)?)),
            Reply::Schemas(schemas) => schemas.iter().try_for_each(|schema| self.json(schema)),
            Reply::SchemaReport(report) => {
                self.pairs(queried::schema(report))?;
                if report.invalid > 0 { self.table(&queried::invalid(report)) } else { Ok(()) }
            }
            Reply::Status(status) => self.status(status),
            Reply::Doctor(findings) => self.findings(findings),
            Reply::Peer(peer) => self.table(&peer_table([peer], self.alone)),
            Reply::Peers(peers) => self.table(&peer_table(peers, self.alone)),
            Reply::Devices(devices) => self.table(&device_table(devices)),
            Reply::Space(space) => self.table(&space_table([space])),
            Reply::Spaces(spaces) => self.table(&space_table(spaces)),
            Reply::Invite(invite) => self.line(&invite.invite),
            Reply::Partition(partition) => self.table(&partition_table([partition])),
            Reply::Partitions(partitions) => self.table(&partition_table(partitions)),
            Reply::Collections(collections) => self.table(&collection_table(collections)),
            Reply::Collection(one) => self.pairs([
                ("collection", one.collection.clone()),
                ("documents", one.documents.to_string()),
                ("format", one.format.clone().unwrap_or_default()),
                ("key", one.id_column.clone().unwrap_or_default()),
                ("texts", one.text.join(" ")),
                ("erasable", if one.erasable_together { "together" } else { "alone" }.to_owned()),
            ]),
            Reply::Written(written) => self.line(&clean::single_line(&written_name(written))),
            Reply::Wrote(wrote) => {
                wrote.documents.iter().try_for_each(|one| self.line(&clean::single_line(&written_name(one))))
            }
            Reply::Version(version) => self.line(&serde_json::to_string_pretty(&version.value)?),
            Reply::Diff(diff) => self.diff(diff),
            Reply::Document(document) => {
                let value = document.value.as_ref().unwrap_or(&serde_json::Value::Null);
                self.line(&clean::json(&serde_json::to_string_pretty(value)?))
            }
            Reply::Imported(imported) => self.imported(imported),
            Reply::Exported(exported) => self.pairs([
                ("collection", exported.collection.clone()),
                ("documents", exported.documents.to_string()),
                ("written", bytes_text(exported.bytes)),
            ]),
            Reply::Digest(digest) => self.digest(digest),
            Reply::Synced(synced) => self.pairs([
                ("peers", synced.peers.to_string()),
                ("waited", duration_text(Duration::from_micros(synced.waited_us))),
            ]),
            Reply::Changes { cursor, .. } => self.line(cursor),
            Reply::TokenMade(made) => self.line(&made.token.0),
            Reply::Tokens(tokens) => self.table(&access::tokens(tokens)),
            Reply::Who(who) => self.table(&access::tokens(core::slice::from_ref(&who.token))),
            Reply::Account(account) => self.table(&access::accounts(core::slice::from_ref(account))),
            Reply::Accounts(accounts) => self.table(&access::accounts(accounts)),
            Reply::Link(link) => self.line(&link.link.0),
            Reply::Audit(rows) => self.table(&access::audit(rows)),
            Reply::Log(page) => access::log(page).try_for_each(|line| self.line(&line)),
            Reply::Rules(rules) => self.line(&clean::json(&serde_json::to_string_pretty(&rules.rules)?)),
            Reply::Verdicts(verdicts) => self.table(&access::verdicts(verdicts)),
            Reply::Backup(backup) => self.backup(backup),
        }
    }

    /// Writes a difference, one line for each operation of the patch.
    fn diff(&mut self, diff: &Diff) -> io::Result<()> {
        let mut table = Table::new(&["CHANGE", "PATH", "BEFORE", "AFTER"]);
        for (operation, before) in diff.patch.iter().zip(&diff.before) {
            let text = |member: &str| operation.get(member).and_then(serde_json::Value::as_str).unwrap_or_default();
            let (op, path) = (text("op"), text("path"));
            let before = before.as_ref().map(ToString::to_string);
            let after = operation.get("value").map(ToString::to_string);
            table.row([op.to_owned(), path.to_owned(), before.unwrap_or_default(), after.unwrap_or_default()]);
        }
        self.table(&table)
    }

    /// Writes pairs of a name and a value.
    pub(crate) fn pairs<'p>(&mut self, pairs: impl IntoIterator<Item = (&'p str, String)>) -> io::Result<()> {
        let mut table = Table::new(&["", ""]);
        for (name, value) in pairs {
            table.row([name.to_owned(), value]);
        }
        self.table(&table)
    }

    /// Writes a row of a list: at once in a pipe, aligned with its neighbours on a terminal.
    fn gathered<const N: usize>(&mut self, header: [&'static str; N], cells: [String; N]) -> io::Result<()> {
        if self.format.style == Style::Tabs {
            return self.streamed(cells);
        }
        let table = self.rows.get_or_insert_with(|| Table::new(&header));
        table.row(cells);
        if table.len() >= ROWS_TOGETHER { self.write_rows() } else { Ok(()) }
    }

    /// Writes a found document: its key and value, or a column for each requested field.
    pub(crate) fn found(&mut self, document: &DocView, columns: &[String]) -> io::Result<()> {
        let key = document.key.clone().unwrap_or_else(|| document.doc.to_string());
        let value = document.value.as_ref();
        let cells = if columns.is_empty() {
            vec![value.map(ToString::to_string).unwrap_or_default()]
        } else {
            let cell = |column: &String| match column.as_str() {
                "$id" => Some(document.doc.to_string()),
                "$key" => document.key.clone(),
                "$version" => document.version.as_ref().map(ToString::to_string),
                "$valid" => document.valid.as_ref().map(shown),
                path => value.and_then(|value| reached(value, path)).map(shown),
            };
            columns.iter().map(|column| cell(column).unwrap_or_default()).collect()
        };
        let header = if columns.is_empty() { vec!["VALUE".to_owned()] } else { columns.to_vec() };
        let header = [vec!["KEY".to_owned()], header.iter().map(|name| name.to_uppercase()).collect()].concat();
        let table = self.rows.get_or_insert_with(|| Table::of(header));
        table.row([vec![key], cells].concat());
        if self.format.style == Style::Tabs || table.len() >= ROWS_TOGETHER { self.write_rows() } else { Ok(()) }
    }

    /// Writes the collected rows of a list.
    pub(crate) fn end_of_list(&mut self) -> io::Result<()> {
        self.write_rows()
    }

    fn write_rows(&mut self) -> io::Result<()> {
        self.rows.take().map_or(Ok(()), |table| self.table(&table))
    }

    fn streamed<const N: usize>(&mut self, cells: [String; N]) -> io::Result<()> {
        let mut table = Table::new(&[""; N]);
        table.row(cells);
        self.table(&table)
    }

    fn status(&mut self, status: &Status) -> io::Result<()> {
        let user = || "none yet: space join, or init on the first device".to_owned();
        let mut pairs = vec![
            ("name", status.name.clone()),
            ("device", status.device.to_string()),
            ("user", status.user.as_ref().map_or_else(user, ToString::to_string)),
            ("version", status.version.clone()),
        ];
        if status.daemon {
            let listen = status.listen.clone().unwrap_or_else(|| "nowhere".to_owned());
            pairs.push(("daemon", format!("runs as process {}", status.pid)));
            pairs.push(("listens", if status.paused { format!("{listen} (paused)") } else { listen }));
            pairs.push(("up", duration_text(Duration::from_millis(status.uptime_ms))));
        } else {
            pairs.push(("daemon", "not running".to_owned()));
        }
        pairs.push(("store", status.store.path.clone()));
        pairs.push((
            "size",
            format!("{}, at most {}", bytes_text(status.store.bytes), bytes_text(status.store.bytes_max)),
        ));
        pairs.push(("entries", format!("{} in {} logs", status.store.entries, status.store.logs)));
        if status.daemon {
            pairs.push(("sent", bytes_text(status.traffic.bytes_out)));
            pairs.push(("received", bytes_text(status.traffic.bytes_in)));
        }
        self.pairs(pairs)?;
        if let Some(error) = &status.store.error {
            self.pairs([("trouble", error.clone())])?;
        }
        if let Some(key) = &status.recovery_key {
            self.line("")?;
            self.pairs([("recovery key", key.clone())])?;
            self.line(
                "It is shown only now: write it down and keep it off this device, for a coming version. Until then only a \
                 backup of this device (`cosmicsync backup create FILE`) brings back what it alone can do: invite.",
            )?;
        }
        if !status.spaces.is_empty() {
            self.line("")?;
            self.table(&space_table(&status.spaces))?;
        }
        if !status.peers.is_empty() {
            self.line("")?;
            self.table(&peer_table(&status.peers, !status.daemon))?;
        }
        Ok(())
    }

    fn findings(&mut self, findings: &[Finding]) -> io::Result<()> {
        let apart = self.format.style != Style::Tabs;
        let mut table =
            Table::new(if apart { &["LEVEL", "WHAT", "FOUND"] } else { &["LEVEL", "WHAT", "FOUND", "NEXT"] });
        for finding in findings {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Problem => "problem",
            };
            let row = [level.to_owned(), finding.subject.clone(), finding.message.clone()];
            if apart {
                // On its own line, because it would not fit beside the other cells.
                table.row(row);
                let next = finding.next.iter().map(|next| [String::new(), String::new(), format!("next: {next}")]);
                next.for_each(|next| table.row(next));
            } else {
                table.row(row.into_iter().chain([finding.next.clone().unwrap_or_default()]));
            }
        }
        self.table(&table)
    }

    fn imported(&mut self, imported: &Imported) -> io::Result<()> {
        let mut pairs = vec![("collection", imported.collection.clone())];
        if imported.dry_run {
            let delimiter = imported.delimiter.map(|delimiter| format!(", cells separated by {delimiter}"));
            pairs.push(("format", imported.format.name().to_owned() + &delimiter.unwrap_or_default()));
        }
        pairs.push(("documents", imported.documents.to_string()));
        pairs.push(("replaced", imported.replaced.to_string()));
        pairs.push(("unchanged", imported.unchanged.to_string()));
        pairs.push(("skipped", imported.skipped.to_string()));
        if !imported.columns.is_empty() {
            pairs.push(("columns", imported.columns.join(", ")));
        }
        pairs.push(("read", bytes_text(imported.bytes)));
        pairs.push(("time", duration_text(Duration::from_millis(imported.elapsed_ms))));
        pairs.extend(imported.note.as_ref().map(|note| ("note", note.clone())));
        self.pairs(pairs)
    }

    fn digest(&mut self, digest: &Digest) -> io::Result<()> {
        let mut table = Table::new(&["COLLECTION", "DOCUMENTS", "DIGEST"]);
        for part in &digest.collections {
            table.row([part.collection.clone(), part.documents.to_string(), part.digest.clone()]);
        }
        table.row(["*".to_owned(), digest.documents.to_string(), digest.digest.clone()]);
        self.table(&table)
    }

    fn backup(&mut self, backup: &Backup) -> io::Result<()> {
        self.pairs([
            ("file", backup.path.clone()),
            ("size", bytes_text(backup.bytes)),
            ("spaces", backup.spaces.to_string()),
            ("entries", backup.entries.to_string()),
        ])
    }
}

/// Returns a table of peers; `alone` if no daemon is running that could connect to them.
fn peer_table<'a>(peers: impl IntoIterator<Item = &'a Peer>, alone: bool) -> Table {
    let mut table =
        Table::new(&["ADDRESS", "DEVICE", "STATE", "BEHIND", "AHEAD", "SENT", "RECEIVED", "LAST SEEN", "LAST ERROR"]);
    for peer in peers {
        let state = match peer.state {
            _ if alone => "no daemon",
            PeerState::Paused => "paused",
            PeerState::Waiting => "waiting",
            PeerState::Away => "away",
            PeerState::Connecting => "connecting",
            PeerState::Connected => "connected",
        };
        table.row([
            peer.address.clone(),
            peer.device.as_ref().map(short).unwrap_or_default(),
            state.to_owned(),
            peer.behind.to_string(),
            peer.ahead.to_string(),
            bytes_text(peer.traffic.bytes_out),
            bytes_text(peer.traffic.bytes_in),
            peer.seen_at.map(utc_text).unwrap_or_default(),
            peer.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn device_table(devices: &[Device]) -> Table {
    let mut table = Table::new(&["DEVICE", "NAME", "", "LAST SEEN"]);
    for device in devices {
        let how = match (device.this, device.connected) {
            (true, _) => "this device",
            (false, true) => "connected",
            (false, false) => "",
        };
        table.row([
            device.device.to_string(),
            device.name.clone().unwrap_or_default(),
            how.to_owned(),
            device.seen_at.map(utc_text).unwrap_or_default(),
        ]);
    }
    table
}

fn space_table<'a>(spaces: impl IntoIterator<Item = &'a Space>) -> Table {
    let mut table = Table::new(&["SPACE", "ID", "DOCUMENTS", "DEVICES", "LOGS", "BODIES", "MISSING"]);
    for space in spaces {
        let bodies = match space.bodies {
            Bodies::All => "all".to_owned(),
            Bodies::None => "none".to_owned(),
            Bodies::Newest(count) => format!("newest:{count}"),
        };
        table.row([
            space.name.clone(),
            short(&space.space),
            space.documents.to_string(),
            space.devices.to_string(),
            space.logs.to_string(),
            bodies,
            space.missing.to_string(),
        ]);
    }
    table
}

fn partition_table<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> Table {
    let mut table = Table::new(&["PARTITION", "ID", "LOGS", "ENTRIES"]);
    for partition in partitions {
        let id = partition.partition.to_string();
        table.row([partition.name.clone(), id, partition.logs.to_string(), partition.entries.to_string()]);
    }
    table
}

/// Returns the value at a path, in a value that has only the requested members.
fn reached<'v>(value: &'v serde_json::Value, path: &str) -> Option<&'v serde_json::Value> {
    let path = cosmicsync_node::service::field_steps(path)?;
    path.iter().try_fold(value, |value, step| value.get(step).or_else(|| value.as_array()?.first()))
}

/// Returns the text of a cell: a text unchanged, anything else as JSON.
pub(crate) fn shown(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn document_cells(document: &DocView) -> [String; 4] {
    let value = document.value.as_ref().map(ToString::to_string).unwrap_or_default();
    [document.doc.to_string(), document.collection.clone(), document.key.clone().unwrap_or_default(), value]
}

fn revision_cells(revision: &Revision) -> [String; 6] {
    let device = revision.device.as_ref().map(short).unwrap_or_default();
    [
        utc_text(revision.at),
        kind_text(revision.kind).to_owned(),
        revision.name.clone().unwrap_or(device),
        revision.version.as_ref().map(short).unwrap_or_default(),
        short(&revision.log),
        revision.seq.to_string(),
    ]
}

fn collection_table(collections: &[Collection]) -> Table {
    let mut table = Table::new(&["COLLECTION", "DOCUMENTS", "FORMAT", "KEY", "TEXTS"]);
    for one in collections {
        let format = one.format.clone().unwrap_or_default();
        let key = one.id_column.clone().unwrap_or_default();
        table.row([one.collection.clone(), one.documents.to_string(), format, key, one.text.join(" ")]);
    }
    table
}

fn conflict_cells(conflict: &Conflict) -> [String; 3] {
    let device = conflict.device.as_ref().map(short).unwrap_or_default();
    [conflict.path.clone(), conflict.value.to_string(), device]
}

const fn kind_text(kind: RevisionKind) -> &'static str {
    match kind {
        RevisionKind::Created => "created",
        RevisionKind::Edited => "edited",
        RevisionKind::Deleted => "deleted",
        RevisionKind::Undeleted => "undeleted",
        RevisionKind::Excluded => "excluded",
        RevisionKind::Missing => "not here",
    }
}

fn change_cells(change: &Change) -> [String; 4] {
    let name = change.key.clone().unwrap_or_else(|| change.doc.to_string());
    let value = change.value.as_ref().map_or_else(|| "deleted".to_owned(), ToString::to_string);
    let origin = if change.local { "here" } else { "remote" };
    [utc_text(change.at), origin.to_owned(), format!("{}/{name}", change.collection), value]
}

/// Returns the name of a written document.
pub(crate) fn written_name(written: &Written) -> String {
    written.key.as_ref().map_or_else(|| written.doc.to_string(), |key| format!("{}/{key}", written.collection))
}

fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(12).collect()
}

/// Begins each further line of a message.
const INDENTED: &str = "\n       ";

/// Returns a text with all characters escaped that would break its line.
fn clean_line(text: &str) -> String {
    clean::lines(text).replace('\n', "\\n")
}

/// Returns an error as two lines, or as one JSON object.
pub(crate) fn error_text(error: &ServiceError, json: bool, color: bool) -> String {
    if json {
        return serde_json::json!({ "error": error }).to_string();
    }
    let (red, bold, end) = if color { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    // Indented lines are our own: they show the place of a mistake.
    let message: Vec<String> = error.message.split(INDENTED).map(clean_line).collect();
    let first = format!("{red}error:{end} {}", message.join(INDENTED));
    match &error.next {
        Some(next) => format!("{first}\n{bold} next:{end} {}", clean_line(next)),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use cosmicsync_node::service::ErrorCode;

    use super::*;

    #[test]
    fn an_error_is_two_lines_or_one_object() {
        let error = ServiceError::new(ErrorCode::Unavailable, "no daemon").next("cosmicsync up");
        assert_eq!(error_text(&error, false, false), "error: no daemon\n next: cosmicsync up");
        assert_eq!(
            error_text(&error, true, false),
            r#"{"error":{"code":"unavailable","message":"no daemon","next":"cosmicsync up"}}"#
        );
    }

    #[test]
    fn an_error_says_names_without_what_steers_a_terminal() {
        let error = ServiceError::new(ErrorCode::NotFound, "no a\x1b[2J\n next: b\n       ^").next("c\nd");
        assert_eq!(error_text(&error, false, false), "error: no a\\u{1b}[2J\\n next: b\n       ^\n next: c\\nd");
    }

    fn listed(style: Style) -> String {
        let document = |collection: &str, key: &str| {
            let doc = cosmicsync_node::service::Text(cosmicsync_node::service::DocId([0xab; 16]));
            Item::Document(DocView {
                doc,
                collection: collection.into(),
                key: Some(key.into()),
                version: None,
                valid: None,
                value: None,
            })
        };
        let mut bytes = Vec::new();
        let mut output = Output::new(&mut bytes, Format { json: false, style });
        output.item(&document("a", "long key")).expect("memory");
        output.item(&document("collection", "k")).expect("memory");
        let end = cosmicsync_node::service::Listed { count: 2, more: 0, next: None };
        output.reply(&Reply::Listed(end)).expect("memory");
        String::from_utf8(bytes).expect("text").replace(&"ab".repeat(16), "ID")
    }

    #[test]
    fn a_list_is_aligned_for_people_and_not_for_pipes() {
        assert_eq!(listed(Style::Tabs), "ID\ta\tlong key\t\nID\tcollection\tk\t\n");
        let aligned = listed(Style::Columns);
        let keys: Vec<_> =
            aligned.lines().filter_map(|line| line.find("long key").or_else(|| line.find("k"))).collect();
        assert!(aligned.starts_with("ID ") && aligned.lines().count() == 3, "{aligned}");
        assert_eq!(keys[0], keys[1], "{aligned}");
    }

    #[test]
    fn what_a_finding_asks_for_has_a_line_of_its_own_on_a_terminal() {
        let next = Some("cosmicsync peer resume".to_owned());
        let finding = Finding { level: Level::Warning, subject: "links".into(), message: "paused".into(), next };
        let drawn = |style| {
            let mut bytes = Vec::new();
            let reply = Reply::Doctor(vec![finding.clone()]);
            Output::new(&mut bytes, Format { json: false, style }).reply(&reply).expect("memory");
            String::from_utf8(bytes).expect("text")
        };
        assert_eq!(drawn(Style::Tabs), "warning\tlinks\tpaused\tcosmicsync peer resume\n");
        assert!(
            drawn(Style::Columns).ends_with("\n                next: cosmicsync peer resume\n"),
            "{}",
            drawn(Style::Columns)
        );
    }

    #[test]
    fn a_list_is_one_object_a_line() {
        let finding = Finding { level: Level::Ok, subject: "a".into(), message: "b".into(), next: None };
        let mut bytes = Vec::new();
        let format = Format { json: true, style: Style::Tabs };
        let reply = Reply::Doctor(vec![finding.clone(), finding]);
        Output::new(&mut bytes, format).reply(&reply).expect("memory");
        let line = r#"{"level":"ok","subject":"a","message":"b"}"#;
        assert_eq!(String::from_utf8_lossy(&bytes), format!("{line}\n{line}\n"));
    }
}
