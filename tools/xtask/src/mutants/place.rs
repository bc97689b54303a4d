//! Places of a source file where a mutant can be planted, and the draw among them.

#![expect(clippy::wildcard_enum_match_arm, reason = "syntax trees have many kinds of nodes; few get a mutant")]

use crate::Failure;
use crate::random::Random;
use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Expr, Stmt};

/// A place with its mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// File, relative to the root.
    pub(super) file: PathBuf,
    /// Line, from 1.
    pub(super) line: usize,
    /// Bytes of the file that the mutant replaces.
    pub(super) range: Range<usize>,
    /// The present text.
    text: String,
    change: Change,
}

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// Another operator between two operands.
    Operator { left: String, right: String, before: &'static str, after: &'static str },
    /// The opposite of a condition.
    Negated,
    /// A statement is left out.
    Omitted,
}

impl Place {
    /// Returns the text with both behaviours; `on` is an expression that is true if the mutant is on.
    pub(super) fn with_switch(&self, on: &str) -> String {
        let text = &self.text;
        match &self.change {
            Change::Operator { left, right, before, after } => {
                format!("(if {on} {{ {left} {after} {right} }} else {{ {left} {before} {right} }})")
            }
            Change::Negated => format!("({on} != ({text}))"),
            Change::Omitted => format!("if !{on} {{ {text} }}"),
        }
    }

    /// Returns the room: the crate and the first module.
    fn room(&self) -> String {
        let mut parts = self.file.iter().map(|part| part.to_string_lossy());
        let (of, module) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        format!("{of}/{}", module.trim_end_matches(".rs"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Vec<&str> = self.text.split_whitespace().collect();
        let text: String = text.join(" ").chars().take(90).collect();
        let change = match &self.change {
            Change::Operator { before, after, .. } => format!("`{before}` becomes `{after}` in"),
            Change::Negated => "the opposite of".to_owned(),
            Change::Omitted => "without".to_owned(),
        };
        write!(f, "{}:{} {change} `{text}`", self.file.display(), self.line)
    }
}

/// Draws places, in turn from each room, none within another.
pub(super) fn draw(sources: &[(PathBuf, String)], seed: u64, count: usize) -> Result<Vec<Place>, Failure> {
    let mut rooms = BTreeMap::<String, Vec<Place>>::new();
    for (file, text) in sources {
        let found = places(file, text)?;
        found.into_iter().for_each(|place| rooms.entry(place.room()).or_default().push(place));
    }
    let mut random = Random(seed);
    let mut drawn: Vec<Place> = Vec::new();
    while drawn.len() < count && rooms.values().any(|places| !places.is_empty()) {
        for places in rooms.values_mut().filter(|places| !places.is_empty()) {
            let place = places.swap_remove(random.place(places.len()));
            let overlaps = |other: &Place| {
                other.file == place.file && other.range.start < place.range.end && place.range.start < other.range.end
            };
            if drawn.len() < count && !drawn.iter().any(overlaps) {
                drawn.push(place);
            }
        }
    }
    Ok(drawn)
}

/// Returns all places of a file.
fn places(file: &Path, text: &str) -> Result<Vec<Place>, Failure> {
    let parsed = syn::parse_file(text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut finder = Finder { file, text, found: Vec::new() };
    finder.visit_file(&parsed);
    Ok(finder.found)
}

struct Finder<'a> {
    file: &'a Path,
    text: &'a str,
    found: Vec<Place>,
}

impl Finder<'_> {
    fn add(&mut self, node: &impl syn::spanned::Spanned, change: Change) {
        let span = node.span();
        let range = span.byte_range();
        let text = self.text[range.clone()].to_owned();
        self.found.push(Place { file: self.file.to_owned(), line: span.start().line, range, text, change });
    }

    fn text_of(&self, expr: &Expr) -> String {
        self.text[expr.span().byte_range()].to_owned()
    }

    fn condition(&mut self, condition: &Expr) {
        if !has_let(condition) {
            self.add(condition, Change::Negated);
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        if node.sig.constness.is_none() && !is_special(&node.attrs) {
            visit::visit_item_fn(self, node);
        }
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        if node.sig.constness.is_none() && !is_special(&node.attrs) {
            visit::visit_impl_item_fn(self, node);
        }
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        let is_debug = node.trait_.as_ref().is_some_and(|(_, path, _)| {
            path.segments.last().is_some_and(|last| last.ident == "Debug" || last.ident == "Display")
        });
        if !is_debug && !is_special(&node.attrs) {
            visit::visit_item_impl(self, node);
        }
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if !is_special(&node.attrs) {
            visit::visit_item_mod(self, node);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_type_array(&mut self, _: &'ast syn::TypeArray) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.visit_expr(&node.expr);
    }

    fn visit_expr_if(&mut self, node: &'ast syn::ExprIf) {
        self.condition(&node.cond);
        visit::visit_expr_if(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        if let Some((_, guard)) = &node.guard {
            self.condition(guard);
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let swapped = match node.op {
            BinOp::Lt(_) => Some(("<", "<=")),
            BinOp::Le(_) => Some(("<=", "<")),
            BinOp::Gt(_) => Some((">", ">=")),
            BinOp::Ge(_) => Some((">=", ">")),
            BinOp::Eq(_) => Some(("==", "!=")),
            BinOp::Ne(_) => Some(("!=", "==")),
            BinOp::And(_) => Some(("&&", "||")),
            BinOp::Or(_) => Some(("||", "&&")),
            _ => None,
        };
        if let Some((before, after)) = swapped.filter(|_| !has_let(&node.left) && !has_let(&node.right)) {
            let (left, right) = (self.text_of(&node.left), self.text_of(&node.right));
            self.add(node, Change::Operator { left, right, before, after });
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_stmt(&mut self, node: &'ast Stmt) {
        if let Stmt::Expr(Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_) | Expr::Binary(_), Some(_)) = node {
            self.add(node, Change::Omitted);
        }
        visit::visit_stmt(self, node);
    }
}

/// Returns whether a condition binds names: its parts cannot be replaced.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Returns whether an item is compiled only at times, as tests are.
fn is_special(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn f(a: u8, b: u8) { if a < b && b > 1 { g(a); } let x = a == b; }\n\
        const fn c(a: u8) -> bool { a < 1 }\n\
        #[cfg(test)] mod tests { fn t() { g(1); } }\n";

    #[test]
    fn places_keep_what_stands_there_when_they_are_off() {
        let found = places(Path::new("protocol/src/a.rs"), SOURCE).expect("it is parsed");
        assert_eq!(found.len(), 6, "{found:#?}");
        let mut switched: Vec<String> = found.iter().map(|place| place.with_switch("on")).collect();
        switched.sort();
        assert_eq!(
            switched,
            [
                "(if on { a != b } else { a == b })",
                "(if on { a < b || b > 1 } else { a < b && b > 1 })",
                "(if on { a <= b } else { a < b })",
                "(if on { b >= 1 } else { b > 1 })",
                "(on != (a < b && b > 1))",
                "if !on { g(a); }",
            ]
        );
    }

    #[test]
    fn a_seed_draws_the_same_places_none_within_another() {
        let sources = [(PathBuf::from("protocol/src/a.rs"), SOURCE.to_owned())];
        let draw = |seed| draw(&sources, seed, 10).expect("places");
        assert_eq!(draw(7), draw(7));
        let drawn = draw(7);
        for (at, one) in drawn.iter().enumerate() {
            assert!(
                drawn[..at]
                    .iter()
                    .all(|other| other.range.end <= one.range.start || one.range.end <= other.range.start)
            );
        }
    }
}
