//! Texts for display that both sides of the control socket format alike.

/// Returns a word quoted for a shell, for commands that people copy.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if word.chars().any(char::is_control) {
        // Control characters are escaped, so that none reaches the terminal.
        let spelled = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        return format!("$'{}'", word.chars().map(spelled).collect::<String>());
    }
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Returns a size for display: `999 B`, `1.2 kB`, `3.4 MB`.
pub fn bytes_text(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut units = ["kB", "MB", "GB", "TB"].iter();
    let mut unit = units.next();
    while value >= 999.95 {
        let Some(next) = units.next() else { break };
        value /= 1000.0;
        unit = Some(next);
    }
    format!("{value:.1} {}", unit.copied().unwrap_or("PB"))
}

#[cfg(test)]
mod tests {
    use super::{bytes_text, quoted};

    #[test]
    fn a_word_can_be_pasted() {
        assert_eq!(
            (quoted("a/b-1").as_str(), quoted("it's").as_str(), quoted("").as_str()),
            ("a/b-1", r"'it'\''s'", "''")
        );
        assert_eq!(quoted("c/\x1b[31m'\n"), r"$'c/\u001b[31m\'\n'");
    }

    #[test]
    fn sizes_round_like_people_do() {
        assert_eq!(bytes_text(999), "999 B");
        assert_eq!(bytes_text(1_234), "1.2 kB");
        assert_eq!(bytes_text(999_999), "1.0 MB");
        assert_eq!(bytes_text(u64::MAX), "18446744.1 TB");
    }
}
