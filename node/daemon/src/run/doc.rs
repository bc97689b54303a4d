//! Carries out commands about documents.

use std::fs;
use std::io;
use std::path::Path;

use cosmicsync_node::service::{
    Command, DocList, DocOp, DocRef, DocSplice, JsonMistake, Listed, Patch, Reply, ServiceError, parse_json, quoted,
    request,
};
use serde_json::Value;

use super::{Failure, Run, usage};
use crate::cli::{DocVerb, List, Type};
use crate::{terminal, text_path};

/// Default number of listed documents on a terminal.
const LISTED: u64 = 100;
/// Default number of history entries on a terminal.
const REVISIONS: u64 = 50;

/// Carries out a command about documents.
pub(super) async fn doc(run: &mut Run<'_>, verb: DocVerb) -> Result<(), Failure> {
    run.doc(verb).await
}

/// A document for an example.
const DOCUMENT: &str = r#"{"title": "a text", "count": 1}"#;

impl Run<'_> {
    async fn doc(&mut self, verb: DocVerb) -> Result<(), Failure> {
        let command = match verb {
            DocVerb::Put { target, value, text, options } => {
                let command = format!("doc put {}", quoted(&target));
                let value = json_argument(&value, "a document", &command, DOCUMENT)?;
                text.iter().try_for_each(|path| text_path::check(&value, path))?;
                let condition = options.condition.clone();
                return self.write(DocOp::Put { doc: target, value, text, condition }, options).await;
            }
            DocVerb::Get { doc, space } => Command::DocGet { space: space.space, doc },
            DocVerb::Patch { doc, patch, options } => {
                let command = format!("doc patch {}", quoted(&doc.to_string()));
                let patch = any_json_argument(&patch, &command, DOCUMENT)?;
                if !(patch.is_object() || patch.is_array()) {
                    let message = "a patch is a JSON object, or an array of operations".to_owned();
                    return Err(usage(message).next(shown(&command, DOCUMENT)).into());
                }
                let condition = options.condition.clone();
                return self.write(DocOp::Patch { doc, patch, condition }, options).await;
            }
            DocVerb::Delete { doc, options } => {
                let condition = options.condition.clone();
                return self.write(DocOp::Delete { doc, condition }, options).await;
            }
            DocVerb::Intent(verb) => return self.intent(verb).await,
            DocVerb::List(options) => return self.doc_list(options).await,
            DocVerb::History { doc, space, limit } => {
                let (asked, shown) = (limit.is_some(), limit.or_else(|| self.page(REVISIONS)));
                let again = format!("cosmicsync doc history {} --limit N", quoted(&doc.to_string()));
                let again = self.global.about_same(space.space.as_deref(), &again);
                let reply = self.call(Command::DocHistory { space: space.space, doc, limit: shown }).await?;
                return self.listed(&reply, asked, &again);
            }
            DocVerb::Excluded { doc, space, publish } => Command::DocExcluded { space: space.space, doc, publish },
            DocVerb::Watch { target, since, space } => {
                let (collection, doc) = match target.map(|target| (target.parse::<DocRef>(), target)) {
                    None => (None, None),
                    Some((Ok(doc), _)) => (None, Some(doc)),
                    Some((Err(_), collection)) => (Some(collection), None),
                };
                Command::DocWatch { space: space.space, collection, doc, since }
            }
            DocVerb::Type(options) => return self.doc_type(options).await,
        };
        self.print(command).await
    }

    async fn doc_list(&mut self, options: List) -> Result<(), Failure> {
        let List { collection, after, limit, values, space } = options;
        let mut again = "cosmicsync doc list".to_owned();
        for (before, word) in [(" ", collection.clone()), (" --limit ", limit.map(|limit| limit.to_string()))] {
            again.extend(word.map(|word| format!("{before}{}", quoted(&word))));
        }
        if values {
            again.push_str(" --values");
        }
        let asked = limit.is_some();
        let limit = limit.or_else(|| self.page(LISTED));
        let list = DocList { space: space.space.clone(), collection, after, limit, values };
        let reply = self.call(Command::DocList(list)).await?;
        if let Reply::Listed(Listed { next: Some(next), .. }) = &reply {
            again = self.global.about_same(space.space.as_deref(), &format!("{again} --after {}", quoted(next)));
        }
        self.listed(&reply, asked, &again)
    }

    /// Returns the default limit of a list, which applies on a terminal only.
    pub(super) fn page(&self, lines: u64) -> Option<u64> {
        (self.surroundings.stdout_tty && !self.output.format.json).then_some(lines)
    }

    /// Ends a list. Prints the number of further entries after it, unless a limit was requested or output is quiet.
    fn listed(&mut self, reply: &Reply, asked: bool, again: &str) -> Result<(), Failure> {
        self.output.reply(reply)?;
        if let Reply::Listed(Listed { more, .. }) = reply
            && *more > 0
            && !self.output.format.json
            && !(self.global.quiet && asked)
        {
            self.output.writer.flush()?;
            terminal::note(&format!("{more} more: {again}"));
        }
        Ok(())
    }

    async fn doc_type(&mut self, options: Type) -> Result<(), Failure> {
        let splice = |patches| DocSplice {
            space: options.space.space.clone(),
            doc: options.doc.clone(),
            path: options.path.clone(),
            patches,
            seen: None,
        };
        let Some(file) = &options.patches else {
            let patch = Patch(options.at, options.delete, options.insert.clone());
            return self.print(Command::DocSplice(splice(vec![patch]))).await;
        };
        let door = self.door(false).await?;
        let mut written = Ok(None);
        for (line, patches) in (1u64..).zip(patch_lines(file)?) {
            written = match patches {
                Ok(patches) => request(&*door.backend, Command::DocSplice(splice(patches))).await.map(Some),
                Err(error) => Err(error),
            };
            if let Err(error) = &mut written {
                let before = match line - 1 {
                    0 => "nothing is written".to_owned(),
                    1 => "line 1 is written".to_owned(),
                    last => format!("lines 1 to {last} are written"),
                };
                error.message = format!("line {line} of the patches: {}. {before}", error.message);
                break;
            }
        }
        door.close().await;
        Ok(written?.map_or(Ok(()), |reply| self.output.reply(&reply))?)
    }
}

/// Parses an argument, or stdin for `-`, as a JSON object. The error shows the mistake in its place, with an example.
pub(super) fn json_argument(text: &str, what: &str, command: &str, example: &str) -> Result<Value, ServiceError> {
    let value = any_json_argument(text, command, example)?;
    if value.is_object() {
        return Ok(value);
    }
    Err(usage(format!("{what} is a JSON object, in braces")).next(shown(command, example)))
}

fn any_json_argument(text: &str, command: &str, example: &str) -> Result<Value, ServiceError> {
    let piped = if text == "-" { Some(terminal::read_stdin()?) } else { None };
    let text = piped.as_deref().unwrap_or(text);
    parse_json(text).map_err(|mistake| usage(json_mistake(text, &mistake)).next(shown(command, example)))
}

fn shown(command: &str, example: &str) -> String {
    format!("cosmicsync {command} '{example}'")
}

/// Returns the message about a mistake, with its place.
fn json_mistake(text: &str, mistake: &JsonMistake) -> String {
    const SHOWN: usize = 60;
    let JsonMistake { message, place, .. } = mistake;
    let Some((number, column)) = *place else { return message.clone() };
    let message = format!("{message} at line {number} column {column}");
    let Some(line) = text.lines().nth(number - 1).filter(|line| !line.trim().is_empty()) else { return message };
    // The column is in bytes.
    let at = line.get(..column.saturating_sub(1)).map_or(0, |before| before.chars().count());
    let from = at.saturating_sub(SHOWN / 2);
    let part: String = line.chars().skip(from).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{message}\n       {part}\n       {}^", " ".repeat(at - from))
}

type PatchLines = Box<dyn Iterator<Item = Result<Vec<Patch>, ServiceError>>>;

/// Reads batches of patches, one JSON array per line.
fn patch_lines(file: &Path) -> Result<PatchLines, ServiceError> {
    let lines: Box<dyn Iterator<Item = io::Result<String>>> = if file == Path::new("-") {
        Box::new(terminal::stdin_lines())
    } else {
        let file = fs::File::open(file)
            .map_err(|error| ServiceError::io(format!("cannot read {}", file.display()), &error))?;
        Box::new(io::BufRead::lines(io::BufReader::new(file)))
    };
    Ok(Box::new(lines.map(|line| {
        let line = line.map_err(|error| ServiceError::io("cannot read the patches", &error))?;
        let wrong = |why: &str| usage(format!("{why}; write [[position, deleted, \"inserted\"]]"));
        let json = parse_json(&line).map_err(|mistake| wrong(&json_mistake("", &mistake)))?;
        serde_json::from_value(json).map_err(|error| wrong(&error.to_string()))
    })))
}
