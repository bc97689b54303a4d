//! Finds scenarios: by path, or by name in the scenarios directory.

use std::fs;
use std::path::{Path, PathBuf};

use cosmicsync_sim::scenario::{Lane, Scenario, parse};

use crate::bundle::{Input, Loaded};
use crate::cli::Global;
use crate::error::{Code, Failure};
use crate::report::shell_word;

/// Returns the scenarios directory: the named one, or `scenarios` here or in a directory above.
pub(crate) fn directory(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(dir) = &global.scenarios {
        return Ok(dir.clone());
    }
    let here = std::env::current_dir().map_err(|error| Failure::file("find", Path::new("."), &error))?;
    let has_some = |dir: &PathBuf| files(dir).is_ok_and(|files| !files.is_empty());
    let found = here.ancestors().map(|dir| dir.join("scenarios")).find(has_some);
    found.ok_or_else(|| {
        Failure::new(Code::NotFound, "there is no directory `scenarios` with a scenario in it, here or above")
            .next("cosmicsync-chaos --scenarios DIR list")
    })
}

/// Returns the scenario files of a directory, by name.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    files_of(dir, "toml")
}

fn files_of(dir: &Path, kind: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(dir).map_err(|error| Failure::file("read", dir, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file("read", dir, &error))?.path();
        if path.extension().is_some_and(|extension| extension == kind) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a scenario, by path or by name.
pub(crate) fn find(global: &Global, name: &str) -> Result<(PathBuf, Scenario), Failure> {
    let path = PathBuf::from(name);
    let path = if path.is_file() || name.contains(['/', '.']) {
        path
    } else {
        let dir = directory(global)?;
        let path = dir.join(name).with_extension("toml");
        if !path.is_file() {
            return Err(unknown(&dir, name));
        }
        path
    };
    let scenario = read(&path)?;
    Ok((path, scenario))
}

/// Loads a run: a bundle or plan in a file, the name of a kept one, or `SCENARIO@SEED`.
pub(crate) fn load(global: &Global, name: &Path) -> Result<Loaded, Failure> {
    let text = name.to_string_lossy();
    let drawn = text.rsplit_once('@').and_then(|(scenario, seed)| Some((scenario, seed.parse::<u64>().ok()?)));
    let Some((scenario, seed)) = drawn.filter(|_| !name.exists()) else {
        if is_scenario(global, name) {
            let scenario = shell_word(&text);
            let failure = Failure::new(Code::Usage, format!("{text} is a scenario; a run needs a seed as well"));
            return Err(failure.next(format!("cosmicsync-chaos explain {scenario}@0")));
        }
        return Loaded::read(bundle(global, name)?);
    };
    let (path, found) = find(global, scenario)?;
    let expansion = found.expand(Lane::Core, seed).map_err(|error| wrong(&path, &error))?;
    Ok(Loaded { path: name.to_owned(), input: Input::Plan(Box::new(expansion.plan), seed) })
}

/// Returns whether this names a scenario, by its file or as one of the scenarios directory.
fn is_scenario(global: &Global, name: &Path) -> bool {
    let is_file = name.is_file() && name.extension().is_some_and(|extension| extension == "toml");
    let is_bare = !name.exists() && name.components().count() == 1;
    is_file || is_bare && directory(global).is_ok_and(|dir| dir.join(name).with_extension("toml").is_file())
}

/// Returns the path of a bundle: this path, or, for a bare name, a file among the kept ones.
fn bundle(global: &Global, name: &Path) -> Result<PathBuf, Failure> {
    if name.exists() || name.components().count() != 1 {
        return Ok(name.to_owned());
    }
    // Without scenarios nothing is kept: the file itself is missing.
    let Ok(dir) = directory(global).map(|dir| dir.join("regressions")) else { return Ok(name.to_owned()) };
    let path = dir.join(name).with_extension("json");
    // Those that still fail are kept apart.
    let open = dir.join("open").join(name).with_extension("json");
    if let Some(path) = [&path, &open].into_iter().find(|path| path.is_file()) {
        return Ok(path.clone());
    }
    let named = path.file_stem().unwrap_or_default().to_string_lossy();
    let hint = hint(&names(&dir, "json"), &named);
    let message = format!("there is no file {} here, and no kept bundle of that name{hint}", name.display());
    Err(Failure::new(Code::NotFound, message).next("cosmicsync-chaos campaign --seeds 100"))
}

/// Reads a scenario file.
pub(crate) fn read(path: &Path) -> Result<Scenario, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error).next("cosmicsync-chaos list"))?;
    parse(&text).map_err(|error| wrong(path, &error))
}

/// Returns the failure for a scenario with mistakes.
pub(crate) fn wrong(path: &Path, error: &cosmicsync_sim::scenario::ScenarioError) -> Failure {
    let mistakes = match error.problems.len() {
        1 => "a mistake".to_owned(),
        several => format!("{several} mistakes"),
    };
    let message = format!("{} has {mistakes}\n{error}", path.display());
    let file = shell_word(&path.display().to_string());
    Failure::new(Code::Usage, message).next(format!("correct {file}, then: cosmicsync-chaos run {file}"))
}

/// Returns the names of a directory's files, without their extension.
fn names(dir: &Path, kind: &str) -> Vec<String> {
    let files = files_of(dir, kind).unwrap_or_default();
    files.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}

/// Returns a hint at known names that may have been intended.
fn hint(names: &[String], name: &str) -> String {
    let alike: Vec<&String> = names.iter().filter(|known| known.contains(name) || shared(known, name)).collect();
    match alike.as_slice() {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [first, second, ..] => format!("; did you mean {first} or {second}?"),
    }
}

fn unknown(dir: &Path, name: &str) -> Failure {
    let hint = hint(&names(dir, "toml"), name);
    Failure::new(Code::NotFound, format!("no scenario is called {name}{hint}")).next("cosmicsync-chaos list")
}

/// Returns whether two names share a part of at least four letters.
fn shared(a: &str, b: &str) -> bool {
    a.split('-').any(|word| word.len() > 3 && b.split('-').any(|other| other == word))
}
