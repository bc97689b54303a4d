//! A small SVG writer. It records occupied areas, so that labels never overlap.

use std::fmt::Write as _;

/// Upper bound of the average width of a letter, relative to the font size.
const LETTER: f64 = 0.58;

/// The styles. They are part of the file, which loads nothing.
pub(crate) const STYLE: &str = "\
.cx{font-family:system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;fill:#1b1f24}\
.cx .b{font-weight:600}.cx .dim{fill:#57606a}.cx .red{fill:#b42318}\
.cx .life{stroke:#8c959f;stroke-width:1.5}.cx .axis{stroke:#d0d7de;stroke-width:1}\
.cx .lead{stroke:#d0d7de;stroke-width:1;fill:none}.cx .break{stroke:#8c959f;stroke-width:1;stroke-dasharray:1 3}\
.cx .sync{stroke:#0969da;fill:#0969da}.cx .handshake{stroke:#8250df;fill:#8250df}\
.cx .settled{stroke:#8c959f;fill:#8c959f}.cx .lost{stroke:#b42318;fill:#b42318;stroke-dasharray:4 3}\
.cx .arrow{stroke-width:1.4}.cx .bundle{stroke:none;fill-opacity:.1}\
.cx .fault{fill:#d4a72c;fill-opacity:.16;stroke:#9a6700;stroke-opacity:.5}\
.cx .faultmark{fill:#d4a72c;stroke:#9a6700}.cx .down{fill:#fff;stroke:#b42318;stroke-dasharray:3 2}\
.cx .edit{fill:#1a7f37}.cx .commit{fill:#fff;stroke:#1a7f37}.cx .up{fill:#8250df}\
.cx .end{stroke:#0a7ea4;stroke-width:1.2;stroke-dasharray:6 4}.cx .bad{stroke:#b42318;stroke-width:1.6}\
.cx .star{fill:#b42318}.cx .halo{fill:#fff;fill-opacity:.88}.cx .paper{fill:#fff}";

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

/// Position of a text relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture under construction.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    body: String,
    /// Texts, which are drawn above all shapes.
    over: String,
    taken: Vec<Area>,
}

impl Svg {
    pub(crate) fn rect(&mut self, class: &str, area: Area) {
        let Area { x, y, width, height } = area;
        let _ = writeln!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(self.body, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
    }

    /// Draws a polygon.
    pub(crate) fn shape(&mut self, class: &str, points: &[(f64, f64)]) {
        let _ = writeln!(self.body, r#"<polygon class="{class}" points="{}"/>"#, joined(points));
    }

    /// Draws an open line of several pieces.
    pub(crate) fn pieces(&mut self, class: &str, points: &[(f64, f64)]) {
        let _ = writeln!(self.body, r#"<polyline class="{class}" points="{}"/>"#, joined(points));
    }

    pub(crate) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let _ = writeln!(self.body, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"/>"#);
    }

    /// Begins a group with a tooltip; [`Self::end`] ends it.
    pub(crate) fn begin(&mut self, title: &str) {
        let _ = writeln!(self.body, "<g><title>{}</title>", escaped(title));
    }

    pub(crate) fn end(&mut self) {
        self.body.push_str("</g>\n");
    }

    /// Draws a text, without looking for free space.
    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), size: f64, anchor: Anchor, text: &str) {
        let area = area_of(x, y, size, anchor, text);
        self.taken.push(area);
        let _ = writeln!(self.over, "{}", element(class, x, y, size, anchor, text));
    }

    /// Draws a label at the first free place; returns whether there was one.
    pub(crate) fn label(&mut self, class: &str, places: &[(f64, f64)], size: f64, anchor: Anchor, text: &str) -> bool {
        for (x, y) in places.iter().copied() {
            let area = area_of(x, y, size, anchor, text);
            if self.taken.iter().any(|taken| taken.meets(&area)) {
                continue;
            }
            self.taken.push(area);
            let Area { x: left, y: top, width, height } = area;
            let _ = writeln!(
                self.over,
                r#"<rect class="halo" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>{}"#,
                element(class, x, y, size, anchor, text)
            );
            return true;
        }
        false
    }

    /// Marks an area as occupied.
    pub(crate) fn take(&mut self, area: Area) {
        self.taken.push(area);
    }

    /// Returns the SVG text. Screen readers read `title`.
    pub(crate) fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cx\" role=\"img\" width=\"{width:.0}\" \
             height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n<rect class=\"paper\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n{}{}</svg>\n",
            escaped(title),
            self.body,
            self.over
        )
    }
}

fn joined(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

fn element(class: &str, x: f64, y: f64, size: f64, anchor: Anchor, text: &str) -> String {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let text = escaped(text);
    format!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}">{text}</text>"#)
}

fn area_of(x: f64, y: f64, size: f64, anchor: Anchor, text: &str) -> Area {
    let width = width_of(text, size);
    let x = match anchor {
        Anchor::Start => x,
        Anchor::Middle => x - width / 2.0,
        Anchor::End => x - width,
    };
    Area { x: x - 1.0, y: y - size * 0.86, width: width + 2.0, height: size * 1.14 }
}

/// Returns an upper bound of the width of a text.
pub(crate) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// Breaks a text into lines of at most this width.
pub(crate) fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words(text) {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && width_of(line, size) + width_of(&word, size) + size * LETTER > width {
            lines.push(word);
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines
}

/// Splits a text into words. Units stay with their numbers, and numbers with what they count.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let unit = word.trim_end_matches(['.', ',', ':', ';', ')']);
        match words.last_mut() {
            Some(last)
                if ["us", "ms", "s", "min", "h", "B", "kB"].contains(&unit)
                    || ["peer", "document", "link", "seed"].contains(&last.as_str()) =>
            {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Cuts a text to at most this width.
pub(crate) fn fitting(text: &str, width: f64, size: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let room = (width / (size * LETTER)).floor().max(2.0) as usize;
    text.chars().take(room - 1).chain(core::iter::once('…')).collect()
}

/// Escapes a text for XML and HTML; control characters become spaces.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_overlap() {
        let mut svg = Svg::default();
        assert!(svg.label("", &[(10.0, 10.0)], 10.0, Anchor::Start, "one"));
        assert!(!svg.label("", &[(12.0, 12.0)], 10.0, Anchor::Start, "two"));
        assert!(svg.label("", &[(12.0, 12.0), (12.0, 30.0)], 10.0, Anchor::Start, "two"));
    }

    #[test]
    fn text_is_broken_between_words_and_made_safe() {
        assert_eq!(wrapped("one two three", 8.0 * 5.8, 10.0), ["one two", "three"]);
        assert_eq!(wrapped("it took 1.5 s, in all", 11.0 * 5.8, 10.0), ["it took", "1.5 s, in", "all"]);
        assert_eq!(wrapped("than peer 0 (0 queued)", 10.0 * 5.8, 10.0), ["than", "peer 0 (0", "queued)"]);
        assert_eq!(fitting("a long name", 5.1 * 5.8, 10.0), "a lo…");
        assert_eq!(escaped("<a & \"b\"\n>"), "&lt;a &amp; &quot;b&quot; &gt;");
    }
}
