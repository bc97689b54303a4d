//! Neutralises control characters in foreign text, so that it cannot control a terminal or disguise itself.

/// Returns whether a character moves the cursor, changes colours or reverses the direction of text.
pub(crate) fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a text on one line, with each such character replaced by a space.
pub(crate) fn single_line(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// Returns lines with such characters escaped.
pub(crate) fn lines(text: &str) -> String {
    spelled(text, |c| matches!(c, '\n'))
}

/// Returns table lines with such characters escaped.
pub(crate) fn cells(text: &str) -> String {
    spelled(text, |c| matches!(c, '\n' | '\r' | '\t'))
}

/// Returns equivalent JSON with such characters escaped.
pub(crate) fn json(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && c != '\n' { clean.push_str(&format!("\\u{:04x}", u32::from(c))) } else { clean.push(c) }
    }
    clean
}

fn spelled(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && !stays(c) { clean.extend(c.escape_unicode()) } else { clean.push(c) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "a\x1b[31m\u{9b}2J\u{202e}\n\tb\u{7f}";
        assert_eq!(single_line(hostile), "a [31m 2J   b ");
        assert_eq!(lines(hostile), "a\\u{1b}[31m\\u{9b}2J\\u{202e}\n\\u{9}b\\u{7f}");
        assert_eq!(cells("a\t\x07\r\n"), "a\t\\u{7}\r\n");
        assert_eq!(json("{\"a\":\"\u{9b}é\"}\n"), "{\"a\":\"\\u009bé\"}\n");
    }
}
