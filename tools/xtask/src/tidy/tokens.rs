//! Rust source as tokens with line numbers, without comments and the text of literals, so that a rule sees only code.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::str::FromStr;

/// A token. Groups appear as their opening and closing characters; literals are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier or keyword.
    Word(String),
    /// A single punctuation character, or a bracket.
    Mark(char),
}

/// A token and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) line: usize,
}

impl Placed {
    /// Returns whether this is the identifier `word`.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(found) if found == word)
    }

    fn is_mark(&self, mark: char) -> bool {
        self.token == Token::Mark(mark)
    }
}

/// Splits a source file; returns `None` if it is not valid Rust, which the compiler will report.
pub(crate) fn scan(source: &str) -> Option<Vec<Placed>> {
    let mut tokens = Vec::new();
    flatten(TokenStream::from_str(source).ok()?, &mut tokens);
    Some(tokens)
}

fn flatten(stream: TokenStream, into: &mut Vec<Placed>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Ident(word) => into.push(Placed { token: Token::Word(word.to_string()), line }),
            TokenTree::Punct(mark) => into.push(Placed { token: Token::Mark(mark.as_char()), line }),
            TokenTree::Literal(_) => {}
            TokenTree::Group(group) => flatten_group(&group, into),
        }
    }
}

fn flatten_group(group: &Group, into: &mut Vec<Placed>) {
    let marks = match group.delimiter() {
        Delimiter::Parenthesis => Some(('(', ')')),
        Delimiter::Brace => Some(('{', '}')),
        Delimiter::Bracket => Some(('[', ']')),
        Delimiter::None => None,
    };
    if let Some((open, _)) = marks {
        into.push(Placed { token: Token::Mark(open), line: group.span_open().start().line });
    }
    flatten(group.stream(), into);
    if let Some((_, close)) = marks {
        into.push(Placed { token: Token::Mark(close), line: group.span_close().start().line });
    }
}

/// Returns every place where the tokens match `pattern`: identifiers, or the characters of punctuation.
pub(crate) fn find<'a>(tokens: &'a [Placed], pattern: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    tokens.windows(pattern.len()).filter(move |window| spells(window, pattern)).map(|window| window[0].line)
}

fn spells(window: &[Placed], pattern: &[&str]) -> bool {
    window.iter().zip(pattern).all(|(placed, wanted)| match &placed.token {
        Token::Word(word) => word == wanted,
        Token::Mark(mark) => wanted.chars().eq([*mark]),
    })
}

/// Returns the uses of the standard-library modules `names`, also inside `use std::{...}`.
pub(crate) fn std_modules<'a>(tokens: &'a [Placed], names: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, placed)| placed.is("std")) {
        let rest = &tokens[at + 1..];
        if !(rest.len() > 2 && rest[0].is_mark(':') && rest[1].is_mark(':')) {
            continue;
        }
        for placed in imported(&rest[2..]) {
            found.extend(names.iter().filter(|name| placed.is(name)).map(|name| (placed.line, *name)));
        }
    }
    found
}

/// Returns the first path segment after `std::`, or each first segment of the group that follows it.
fn imported(rest: &[Placed]) -> Vec<&Placed> {
    if !rest[0].is_mark('{') {
        return vec![&rest[0]];
    }
    let mut depth = 0;
    let mut segments = Vec::new();
    for pair in rest.windows(2) {
        match pair[0].token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth -= 1,
            Token::Mark(_) | Token::Word(_) => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (pair[0].is_mark('{') || pair[0].is_mark(',')) {
            segments.push(&pair[1]);
        }
    }
    segments
}

/// Returns the line of `#[cfg(test)]` before an inline `mod tests { ... }`; the code after it is not product code.
pub(crate) fn tests_start(tokens: &[Placed]) -> Option<usize> {
    find(tokens, &["#", "[", "cfg", "(", "test", ")", "]", "mod", "tests", "{"]).next()
}

/// Returns the names of the test functions: those with an attribute whose path ends in `test`.
pub(crate) fn test_functions(tokens: &[Placed]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for (at, placed) in tokens.iter().enumerate() {
        match &placed.token {
            Token::Mark(']') if at > 0 && tokens[at - 1].is("test") => is_test = true,
            // #[tokio::test(flavor = "...")]
            Token::Mark('(') if at > 2 && tokens[at - 1].is("test") && tokens[at - 2].is_mark(':') => is_test = true,
            Token::Word(word) if word == "fn" => {
                if let Some(Placed { token: Token::Word(name), .. }) = tokens.get(at + 1).filter(|_| is_test) {
                    names.push(name.as_str());
                }
                is_test = false;
            }
            Token::Word(_) | Token::Mark(_) => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let tokens = scan("// HashMap\n/// HashMap\nfn f() { let x = \"HashMap\"; HashMap::new(); }").unwrap();
        assert_eq!(find(&tokens, &["HashMap"]).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn grouped_imports_of_std_are_seen() {
        let tokens = scan("use std::{collections::BTreeMap,\n fs::File, io};\nlet t = std::thread::id();").unwrap();
        assert_eq!(std_modules(&tokens, &["fs", "thread", "net"]), [(2, "fs"), (3, "thread")]);
    }

    #[test]
    fn a_module_of_tests_starts_at_its_attribute() {
        let tokens = scan("fn f() {}\n#[cfg(test)]\nmod tests {\n}\n").unwrap();
        assert_eq!(tests_start(&tokens), Some(2));
        let elsewhere = scan("fn f() {}\n#[cfg(test)]\nmod tests;\n").unwrap();
        assert_eq!(tests_start(&elsewhere), None);
    }

    #[test]
    fn test_functions_are_those_with_a_test_attribute() {
        let source = "#[test] fn one() {} fn two() {} #[tokio::test(start_paused = true)] async fn three() {}
            proptest! { #[test] fn four(x: u8) {} } #[cfg(test)] mod tests { fn five() {} }";
        let tokens = scan(source).unwrap();
        assert_eq!(test_functions(&tokens), ["one", "three", "four"]);
    }
}
