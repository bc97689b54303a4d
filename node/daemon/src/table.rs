//! Tables: aligned with a header on a terminal, separated by tabs without a header in a pipe.

use std::io::{self, Write};

use crate::clean::single_line;

/// Number of spaces between columns.
const GAP: usize = 2;

/// Rows of one result.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Style of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Cells separated by tabs, for other programs.
    Tabs,
    /// Aligned columns.
    Columns,
    /// Aligned columns under a bold header.
    Colors,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self::of(header.iter().map(|&name| name.to_owned()).collect())
    }

    /// Returns a table whose columns are known only at run time.
    pub(crate) const fn of(header: Vec<String>) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// Adds a row; it must have as many cells as the header.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| single_line(&cell)).collect();
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells);
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes all rows. If all names of the header are empty, no header is written.
    pub(crate) fn write(&self, out: &mut impl Write, style: Style) -> io::Result<()> {
        if style == Style::Tabs {
            return self.rows.iter().try_for_each(|row| writeln!(out, "{}", row.join("\t")));
        }
        let named = self.header.iter().any(|name| !name.is_empty());
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
                cells.chain([width(&self.header[column])]).max().unwrap_or(0)
            })
            .collect();
        if named {
            let header = aligned(self.header.iter().map(String::as_str), &widths);
            if style == Style::Colors { writeln!(out, "\x1b[1m{header}\x1b[0m")? } else { writeln!(out, "{header}")? }
        }
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", aligned(row.iter().map(String::as_str), &widths)))
    }
}

fn aligned<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, full) in cells.zip(widths) {
        line.push_str(cell);
        line.extend(core::iter::repeat_n(' ', full.saturating_sub(width(cell)) + GAP));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Returns the number of characters. Wide characters make a column ragged, which does not justify a table of the
/// Unicode database.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// Returns a duration for display: `850 µs`, `12 ms`, `3.4 s`, `5 min`, `7 h`, `2 d`.
pub(crate) fn duration_text(duration: core::time::Duration) -> String {
    let (us, seconds) = (duration.as_micros(), duration.as_secs());
    if us < 1_000 {
        format!("{us} µs")
    } else if us < 10_000 {
        format!("{}.{} ms", us / 1000, us % 1000 / 100)
    } else if us < 1_000_000 {
        format!("{} ms", us / 1000)
    } else if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else if seconds < 7_200 {
        format!("{} min", seconds / 60)
    } else if seconds < 172_800 {
        format!("{} h", seconds / 3600)
    } else {
        format!("{} d", seconds / 86_400)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn drawn(style: Style) -> String {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["é".to_owned(), "connected".to_owned()]);
        table.row(["long name\nwith\x1b[31m".to_owned(), String::new()]);
        let mut out = Vec::new();
        table.write(&mut out, style).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_line_up_and_nothing_trails() {
        assert_eq!(
            drawn(Style::Columns),
            "NAME                 STATE\né                    connected\nlong name with [31m\n"
        );
        assert!(drawn(Style::Colors).starts_with("\x1b[1mNAME"));
    }

    #[test]
    fn a_pipe_gets_tabs_and_no_header() {
        assert_eq!(drawn(Style::Tabs), "é\tconnected\nlong name with [31m\t\n");
    }

    #[test]
    fn times_round_like_people_do() {
        assert_eq!(duration_text(Duration::from_micros(850)), "850 µs");
        assert_eq!(duration_text(Duration::from_micros(1_850)), "1.8 ms");
        assert_eq!(duration_text(Duration::from_millis(12)), "12 ms");
        assert_eq!(duration_text(Duration::from_millis(3_400)), "3.4 s");
        assert_eq!(duration_text(Duration::from_secs(300)), "5 min");
        assert_eq!(duration_text(Duration::from_secs(90_000)), "25 h");
        assert_eq!(duration_text(Duration::from_secs(200_000)), "2 d");
    }
}
