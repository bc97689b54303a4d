//! Prints results: tables for people, tab-separated lines for pipes, one JSON object per line for programs.
//!
//! Results go to stdout; progress and notes go to stderr, and only there.

use core::time::Duration;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use crate::cli::OutputFormat;

/// Spaces between columns.
const GAP: usize = 2;

/// Writes results in the requested format.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    json: bool,
    columns: bool,
    quiet: bool,
}

impl Output<io::StdoutLock<'static>> {
    /// Makes an output to stdout.
    pub(crate) fn stdout(format: OutputFormat, quiet: bool) -> Self {
        let stdout = io::stdout();
        Self { columns: stdout.is_terminal(), writer: stdout.lock(), json: format == OutputFormat::Json, quiet }
    }
}

impl<W: Write> Output<W> {
    /// Writes one value as a line of JSON if JSON was requested.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        serde_json::to_writer(&mut self.writer, value)?;
        self.writer.write_all(b"\n")?;
        self.writer.flush()
    }

    /// Returns whether JSON was requested.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line for people, unless JSON was requested.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(self.writer, "{line}") }
    }

    /// Writes text in any format.
    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())
    }

    /// Writes rows under a header, unless JSON was requested. A pipe gets tabs and no header.
    pub(crate) fn table<const N: usize>(&mut self, header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| single_line(cell))).collect();
        if !self.columns {
            return rows.iter().try_for_each(|row| writeln!(self.writer, "{}", row.join("\t")));
        }
        let mut widths = header.map(|name| name.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if header.iter().any(|name| !name.is_empty()) {
            writeln!(self.writer, "{}", aligned(&header.map(str::to_owned), &widths))?;
        }
        rows.iter().try_for_each(|row| writeln!(self.writer, "{}", aligned(row, &widths)))
    }

    /// Writes a note to stderr, unless quiet was requested.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet && !self.json {
            complain(line);
        }
    }

    /// Makes a progress bar on stderr, for `total` items.
    pub(crate) fn bar(&self, total: u64, what: &'static str) -> ProgressBar {
        self.progress(Some(total), "{bar:30} {human_pos} of {human_len} {prefix}{rate}{msg}").with_prefix(what)
    }

    /// Makes a progress line on stderr, for work of unknown length.
    pub(crate) fn spinner(&self) -> ProgressBar {
        let bar = self.progress(None, "{spinner} {msg}");
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar
    }

    /// Makes a bar that is hidden unless stderr is a terminal and quiet was not requested.
    fn progress(&self, total: Option<u64>, template: &str) -> ProgressBar {
        let hidden = self.quiet || !io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        bar
    }
}

/// Writes the number per minute since the beginning; nothing in the first second, which tells little.
fn rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    let elapsed = state.elapsed().as_secs_f64();
    if elapsed >= 1.0 {
        // A terminal that refuses it shows it the next time.
        let _ = write!(text, ", {:.0} a minute", state.pos() as f64 * 60.0 / elapsed);
    }
}

/// Writes a line to stderr. A closed stderr is ignored.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn aligned<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, full) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(core::iter::repeat_n(' ', full - cell.chars().count() + GAP));
    }
    line.trim_end().to_owned()
}

/// Keeps a cell on its line, and control characters of a file away from the terminal.
fn single_line(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(json: bool, columns: bool) -> String {
        let mut output = Output { writer: Vec::new(), json, columns, quiet: true };
        let row = ["clone".to_owned(), "a\nb".to_owned()];
        output.table(["NAME", "ABOUT"], &[row]).unwrap();
        output.object(&serde_json::json!({ "name": "clone" })).unwrap();
        String::from_utf8(output.writer).unwrap()
    }

    #[test]
    fn people_see_columns_pipes_tabs_and_programs_objects() {
        assert_eq!(drawn(false, true), "NAME   ABOUT\nclone  a b\n");
        assert_eq!(drawn(false, false), "clone\ta b\n");
        assert_eq!(drawn(true, true), "{\"name\":\"clone\"}\n");
    }
}
