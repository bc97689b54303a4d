//! The target of an export or a backup: a file that appears only once it is complete, or a stream.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cosmicsync_node::service::{ErrorCode, ServiceError, quoted};

/// Largest number of symbolic links to follow.
const LINKS_MAX: usize = 16;
/// Largest number of names to try for the unfinished file.
const NAMES_MAX: u32 = 100;

/// A file or a stream to write to.
pub(super) struct Target {
    /// The target's name, for messages.
    name: String,
    writer: BufWriter<File>,
    /// The unfinished file and its final name; none for a stream.
    making: Option<Making>,
}

/// An unfinished file beside its final name. The file is deleted unless it is finished.
struct Making {
    path: PathBuf,
    becomes: PathBuf,
    /// True to replace an existing file.
    replace: bool,
}

impl Drop for Making {
    fn drop(&mut self) {
        // The file may have been renamed already.
        drop(fs::remove_file(&self.path));
    }
}

/// Handling of an existing file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// Keeps the file and refuses the command.
    Keep,
    /// Replaces the file once the new one is complete.
    Replace,
}

impl Target {
    /// Opens the target. Pipes and devices are written directly, and links are followed. A new file gets `mode`.
    pub(super) fn open(path: &Path, existing: Existing, mode: u32) -> Result<Self, ServiceError> {
        let name = path.display().to_string();
        let failed = |error: &io::Error| ServiceError::io(format!("cannot write {name}"), error);
        let found = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&error)),
        };
        let kind = found.as_ref().map(fs::Metadata::file_type);
        if kind.is_some_and(|kind| kind.is_dir()) {
            return Err(ServiceError::new(ErrorCode::Usage, format!("{name} is a directory: name a file in it")));
        }
        if kind.is_some_and(|kind| kind.is_block_device()) {
            let message = format!("{name} is a disk, and would be overwritten");
            return Err(ServiceError::new(ErrorCode::Refused, message).next("the same with another file"));
        }
        let is_stream = kind.is_some_and(|kind| !kind.is_file()) || is_descriptor(path);
        if is_stream {
            let file = OpenOptions::new().write(true).open(path).map_err(|error| failed(&error))?;
            return Ok(Self { name, writer: BufWriter::new(file), making: None });
        }
        if found.is_some() && existing == Existing::Keep {
            return Err(exists(&name));
        }
        let becomes = led_to(path).map_err(|error| failed(&error))?;
        let (file, path) = make_beside(&becomes, mode).map_err(|error| failed(&error))?;
        let making = Making { path, becomes, replace: existing == Existing::Replace };
        if let Some(metadata) = found {
            // The permissions of an existing file are kept.
            let permissions = Permissions::from_mode(metadata.permissions().mode() & 0o7777);
            file.set_permissions(permissions).map_err(|error| failed(&error))?;
        }
        Ok(Self { name, writer: BufWriter::new(file), making: Some(making) })
    }

    /// Writes a piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.writer.write_all(piece)
    }

    /// Returns the error for a failed write.
    pub(super) fn failed(&self, error: &io::Error) -> ServiceError {
        ServiceError::io(format!("cannot write {}", self.name), error)
    }

    /// Makes the content durable, and renames the file.
    pub(super) fn finish(mut self) -> Result<(), ServiceError> {
        let name = self.name.clone();
        let failed = |error: &io::Error| ServiceError::io(format!("cannot write {name}"), error);
        self.writer.flush().map_err(|error| failed(&error))?;
        let Some(making) = &self.making else { return Ok(()) };
        self.writer.get_ref().sync_all().map_err(|error| failed(&error))?;
        if making.replace {
            fs::rename(&making.path, &making.becomes).map_err(|error| failed(&error))?;
        } else {
            match fs::hard_link(&making.path, &making.becomes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists(&name)),
                // Some disks have no hard links. A file of the same name that is created meanwhile may then be
                // replaced.
                Err(_) if making.becomes.try_exists().unwrap_or(true) => return Err(exists(&name)),
                Err(_) => fs::rename(&making.path, &making.becomes).map_err(|error| failed(&error))?,
            }
        }
        File::open(parent(&making.becomes)).and_then(|dir| dir.sync_all()).map_err(|error| failed(&error))
    }
}

fn exists(name: &str) -> ServiceError {
    let file = quoted(name);
    ServiceError::new(ErrorCode::Conflict, format!("{name} exists"))
        .next(format!("the same with --force, which replaces it, or: mv {file} {file}.old"))
}

/// Returns whether a path names an open descriptor of the process, such as `/dev/stdout`.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
        || path == Path::new("/dev/stdout")
        || path == Path::new("/dev/stderr")
}

/// Follows links to the existing or new file at their end.
fn led_to(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(link) => path = parent(&path).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("it leads through too many links"))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a file beside another, under an unused name.
fn make_beside(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    for number in 0..NAMES_MAX {
        let mut own = name.to_owned();
        own.push(".partial");
        if number > 0 {
            own.push(format!("-{}-{number}", std::process::id()));
        }
        let own = path.with_file_name(own);
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&own) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return file.map(|file| (file, own)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, existing: Existing, text: &str) -> Result<(), ServiceError> {
        let mut target = Target::open(path, existing, 0o644)?;
        target.write(text.as_bytes()).expect("it writes");
        target.finish()
    }

    #[test]
    fn two_at_once_are_both_whole_and_foreign_files_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, foreign) = (dir.path().join("o.csv"), dir.path().join("o.csv.partial"));
        fs::write(&foreign, "mine").expect("it writes");
        let mut one = Target::open(&path, Existing::Replace, 0o644).expect("opens");
        let mut other = Target::open(&path, Existing::Replace, 0o644).expect("opens");
        one.write(b"one").expect("it writes");
        other.write(b"other, longer").expect("it writes");
        other.finish().expect("finishes");
        one.finish().expect("finishes");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "one");
        assert_eq!(fs::read_to_string(&foreign).expect("reads"), "mine");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2);
    }

    #[test]
    fn a_file_that_is_there_stays_unless_it_may_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a");
        let mut late = Target::open(&path, Existing::Keep, 0o644).expect("opens");
        late.write(b"late").expect("it writes");
        fs::write(&path, "first").expect("it writes");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it changes");
        assert_eq!(late.finish().expect_err("exists").code, ErrorCode::Conflict);
        assert_eq!(write(&path, Existing::Keep, "x").expect_err("exists").code, ErrorCode::Conflict);
        assert_eq!(fs::read_to_string(&path).expect("reads"), "first");
        write(&path, Existing::Replace, "second").expect("replaced");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(write(dir.path(), Existing::Replace, "x").expect_err("a directory").message.contains("is a directory"));
        drop(Target::open(&path, Existing::Replace, 0o644).expect("opens"));
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let (link, file) = (dir.path().join("link"), dir.path().join("deep/file"));
        fs::create_dir(dir.path().join("deep")).expect("made");
        std::os::unix::fs::symlink("deep/file", &link).expect("linked");
        for text in ["first", "second"] {
            write(&link, Existing::Replace, text).expect("written");
            assert_eq!(fs::read_to_string(&file).expect("reads"), text);
            assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        }
        write(Path::new("/dev/null"), Existing::Keep, "x").expect("written");
        assert!(fs::metadata("/dev/null").expect("there").file_type().is_char_device());
    }
}
