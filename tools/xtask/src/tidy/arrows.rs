//! The crate graph: the packages that each of our packages may use. A new dependency between them is an architecture
//! decision.

use super::Finding;
use crate::repo::{Metadata, Package, root};
use std::path::Path;

const RULE: &str = "arrows";
const FIX: &str = "move the code to where the arrow allows it, or write an ADR and add the arrow to tidy/arrows.rs";

/// Each package with the packages that any of its dependency tables may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("cosmicsync-protocol", &[]),
    ("cosmicsync-data", &["cosmicsync-protocol"]),
    ("cosmicsync-node", &["cosmicsync-data", "cosmicsync-protocol"]),
    ("cosmicsync-api", &["cosmicsync-node", "cosmicsync-data"]),
    ("cosmicsync", &["cosmicsync-api", "cosmicsync-node"]),
    ("cosmicsync-sim", &["cosmicsync-data", "cosmicsync-protocol", "cosmicsync-node"]),
    ("cosmicsync-chaos", &["cosmicsync-sim"]),
    ("cosmicsync-benches", &["cosmicsync-protocol", "cosmicsync-data", "cosmicsync-node", "cosmicsync-sim"]),
    ("cosmicsync-wasm", &["cosmicsync-data", "cosmicsync-protocol"]),
    ("crash-images", &["cosmicsync-node", "cosmicsync-protocol"]),
    ("floor", &[]),
    ("hostile", &["cosmicsync-protocol"]),
    ("xtask", &[]),
];

/// Compares the workspace with the table.
pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.packages.iter().flat_map(|package| check_package(package, metadata)).collect()
}

fn check_package(package: &Package, metadata: &Metadata) -> Vec<Finding> {
    let manifest = package.manifest_path.strip_prefix(root()).unwrap_or(&package.manifest_path);
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::error(manifest, 1, RULE, format!("{} has no row in the table", package.name), FIX)];
    };
    let ours = |name: &str| metadata.packages.iter().any(|other| other.name == name);
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        // A package may name itself, to enable its own features in tests.
        if ours(name) && name != package.name && !allowed.contains(&name) {
            let message = format!("{} may not use {name}", package.name);
            findings.push(Finding::error(manifest, line_of(manifest, name), RULE, message, FIX));
        }
    }
    findings
}

fn line_of(manifest: &Path, name: &str) -> usize {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap_or_default();
    text.lines().position(|line| line.starts_with(name)).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(json: &str) -> Metadata {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_arrow_that_points_back_is_found() {
        let found = check(&metadata(
            r#"{"packages": [
            {"name": "cosmicsync-protocol", "manifest_path": "protocol/Cargo.toml", "targets": [],
             "dependencies": [{"name": "cosmicsync-data"}, {"name": "cosmicsync-protocol"}, {"name": "loro"}]},
            {"name": "cosmicsync-data", "manifest_path": "data/Cargo.toml", "targets": [],
             "dependencies": [{"name": "cosmicsync-protocol"}]}]}"#,
        ));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "cosmicsync-protocol may not use cosmicsync-data");
    }

    #[test]
    fn an_unknown_package_needs_a_row() {
        let json =
            r#"{"packages": [{"name": "x", "manifest_path": "x/Cargo.toml", "targets": [], "dependencies": []}]}"#;
        assert_eq!(check(&metadata(json)).len(), 1);
    }
}
