//! The input files of proofs, compressed with gzip or not.

use crate::Failure;
use flate2::read::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;

/// A file's content, decompressed.
#[derive(Debug)]
pub(super) struct Input {
    /// The file's name without directory and `.gz`.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Input {
    /// Reads a file. Its content, not its name, shows whether it is compressed.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.file_name().ok_or("a file without a name")?.to_string_lossy();
        let name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
        let read = || {
            let bytes = fs::read(path)?;
            if !bytes.starts_with(&[0x1f, 0x8b]) {
                return Ok(bytes);
            }
            let mut plain = Vec::new();
            MultiGzDecoder::new(BufReader::new(File::open(path)?)).read_to_end(&mut plain)?;
            Ok(plain)
        };
        let bytes = read().map_err(|error: std::io::Error| format!("cannot read {}: {error}", path.display()))?;
        Ok(Self { name, bytes })
    }

    /// Returns the name without its extension.
    pub(super) fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(stem, _)| stem)
    }

    /// Returns the content as text.
    pub(super) fn text(&self) -> Result<&str, Failure> {
        Ok(std::str::from_utf8(&self.bytes).map_err(|error| format!("{} is not UTF-8: {error}", self.name))?)
    }
}
