//! Events in one file, which appears when it is whole.

use super::durable;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that is written under another name. Dropped before its end, it leaves nothing behind.
pub(super) struct WholeFile {
    path: PathBuf,
    temporary: PathBuf,
    /// None once it was placed.
    lines: Option<Lines>,
}

enum Lines {
    Plain(BufWriter<File>),
    Zstd(Box<zstd::Encoder<'static, BufWriter<File>>>),
}

/// As in the segments of the log.
const LEVEL: i32 = 3;

impl WholeFile {
    /// Begins one; what ends in .zst is compressed.
    pub fn create(path: &Path) -> io::Result<WholeFile> {
        let temporary = path.with_added_extension("tmp");
        let file = BufWriter::new(File::create(&temporary)?);
        let lines = if path.extension().is_some_and(|extension| extension == "zst") {
            let mut encoder = zstd::Encoder::new(file, LEVEL)?;
            encoder.include_checksum(true)?;
            Lines::Zstd(Box::new(encoder))
        } else {
            Lines::Plain(file)
        };
        Ok(WholeFile { path: path.to_owned(), temporary, lines: Some(lines) })
    }

    /// Adds a line.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        match &mut self.lines {
            Some(Lines::Plain(file)) => writeln!(file, "{line}"),
            Some(Lines::Zstd(encoder)) => writeln!(encoder, "{line}"),
            None => Ok(()),
        }
    }

    /// Gives it its name.
    pub fn finish(mut self) -> io::Result<()> {
        let file = match self.lines.take() {
            Some(Lines::Plain(file)) => file,
            Some(Lines::Zstd(encoder)) => encoder.finish()?,
            None => return Ok(()),
        };
        let placed = file.into_inner().map_err(io::IntoInnerError::into_error);
        placed.and_then(|file| durable::place(&file, &self.temporary, &self.path)).inspect_err(|_| self.discard())
    }

    fn discard(&self) {
        // What cannot be removed is told apart by its name.
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.lines.is_some() {
            self.discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::folder::TemporaryFolder;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = TemporaryFolder::new("relay-file").unwrap();
        let path = folder.path().join("orders.jsonl");
        let mut file = WholeFile::create(&path).unwrap();
        file.write("{}").unwrap();
        assert_eq!(names(folder.path()), ["orders.jsonl.tmp"]);
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
        let mut file = WholeFile::create(&path).unwrap();
        file.write("{}").unwrap();
        file.finish().unwrap();
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["orders.jsonl".to_owned()], b"{}\n".to_vec())
        );
    }

    #[test]
    fn what_is_called_zst_is_compressed() {
        let folder = TemporaryFolder::new("relay-file").unwrap();
        let path = folder.path().join("orders.jsonl.zst");
        let mut file = WholeFile::create(&path).unwrap();
        file.write("{}").unwrap();
        file.finish().unwrap();
        assert_eq!(zstd::decode_all(File::open(path).unwrap()).unwrap(), b"{}\n");
    }
}
