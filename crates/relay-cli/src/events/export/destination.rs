//! Where events are copied to.

use super::file::WholeFile;
use super::folder::Folder;
use super::manifest::Request;
use crate::events::event::Event;
use crate::failure::Failure;
use anyhow::Context;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;

/// Where events go, after the place where reading begins.
pub(super) enum Destination {
    Stdout { out: BufWriter<Stdout>, request: Request },
    File { file: WholeFile, name: String, request: Request },
    Folder(Folder),
}

impl Destination {
    /// What `--out` names.
    pub fn open(out: &str, request: Request, file_events: u64) -> Result<Destination, Failure> {
        if out == "-" {
            return Ok(Destination::Stdout { out: BufWriter::new(io::stdout()), request });
        }
        if out.is_empty() {
            return Err(Failure::configuration(["--out: names nothing"]));
        }
        if !Path::new(out).is_dir() && [".jsonl", ".jsonl.zst"].iter().any(|ending| out.ends_with(ending)) {
            let file = WholeFile::create(Path::new(out)).with_context(|| format!("{out} cannot be written"))?;
            return Ok(Destination::File { file, name: out.to_owned(), request });
        }
        Folder::open(Path::new(out), request, file_events).map(Destination::Folder)
    }

    /// Where to read on; none if all that is wanted is there.
    pub fn begins_at(&self) -> Option<String> {
        match self {
            Destination::Stdout { request, .. } | Destination::File { request, .. } => Some(request.begin()),
            Destination::Folder(folder) => folder.begins_at(),
        }
    }

    pub fn write(&mut self, event: &Event) -> Result<(), Failure> {
        match self {
            Destination::Stdout { out, .. } => writeln!(out, "{}", event.line())?,
            Destination::File { file, .. } => file.write(&event.line())?,
            Destination::Folder(folder) => folder.write(event)?,
        }
        Ok(())
    }

    /// Tells that all before this place is written.
    pub fn end_page(&mut self, cursor: &str) -> io::Result<()> {
        match self {
            Destination::Stdout { out, .. } => out.flush(),
            Destination::File { .. } => Ok(()),
            Destination::Folder(folder) => folder.end_page(cursor),
        }
    }

    /// All is written; if it is complete, nothing more will ever be wanted here. Answers what to tell, and of it from
    /// which place another export has what this one has not.
    pub fn finish(self, cursor: &str, place: &str, is_complete: bool) -> io::Result<String> {
        let going_on = format!("to go on from here: --from {place}");
        match self {
            Destination::Stdout { mut out, .. } => out.flush().map(|()| going_on),
            Destination::File { file, name, .. } => {
                file.finish()?;
                Ok(format!("written to {name}\n{going_on}"))
            }
            Destination::Folder(mut folder) => folder.commit(cursor, is_complete).map(|()| folder.told()),
        }
    }

    /// It ended before its end, after whole pages. Answers what to tell of what is kept.
    pub fn stop(self, cursor: &str) -> io::Result<String> {
        match self {
            Destination::Stdout { request, .. } => {
                let to = request.to.map(|to| format!(" --to {to}")).unwrap_or_default();
                Ok(format!("to go on from here: --from {cursor}{to}"))
            }
            Destination::File { name, .. } => Ok(format!("{name} is not written")),
            Destination::Folder(mut folder) => {
                folder.commit(cursor, false)?;
                Ok(format!("{}; run it again to go on", folder.told()))
            }
        }
    }
}
