//! Patterns with one wildcard, for names of claims and expected output.

/// Returns whether `text` matches `pattern`, in which `wildcard` stands for any text.
pub(crate) fn matches(pattern: &str, wildcard: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once(wildcard) else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, wildcard, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_wildcard_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("sim-*", "sim-", true),
            ("sim-*", "sim-lag", true),
            ("sim-*", "a-sim-lag", false),
            ("*", "", true),
            ("a*b*c", "a1b2bc", true),
            ("a*b", "abc", false),
            ("a", "a", true),
        ] {
            assert_eq!(matches(pattern, "*", text), expected, "{pattern} {text}");
        }
    }
}
