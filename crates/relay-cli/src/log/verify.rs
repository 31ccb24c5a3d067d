//! `relay log verify`: reads every segment from its first byte to its last, and says what is wrong.

use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::event::StoredData;
use relay_core::names::{TopicId, TopicName};
use relay_core::pack::LaneKey;
use relay_core::replay_id::LogPosition;
use relay_core::sequence::PackSequence;
use relay_segment::{Index, entries_of, index_of, path_of, retention_of};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Check every segment of a log: counts, order per key, duplicates, gaps, unreadable files
///
/// Reads the files alone, so the broker may run, and a copy of the folder does as well. Exits with 1 if anything is wrong.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The folder that holds events/: a broker's data folder, or a copy of its bucket
    #[arg(long, env = "RELAY_DATA", value_name = "FOLDER", default_value = "./relay-data")]
    data: PathBuf,
}

/// What is known of a topic so far.
#[derive(Debug, Default)]
struct TopicLog {
    segments: u64,
    events: u64,
    raw_bytes: u64,
    bytes: u64,
    /// Of each shard, where the last segment ended.
    ends: HashMap<u8, LogPosition>,
    /// Of each key, the last entry.
    keys: HashMap<LaneKey, PackSequence>,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    topics: BTreeMap<(TopicName, TopicId), TopicLog>,
    faults: Vec<String>,
    payloads: BTreeSet<PathBuf>,
}

pub(super) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let events = args.data.join("events");
    if !args.data.is_dir() {
        return Err(Failure::configuration([format!("--data {}: there is no such folder", args.data.display())]));
    }
    let mut files = Vec::new();
    if events.is_dir() {
        walk(&events, &mut files).with_context(|| format!("{} cannot be read", events.display()))?;
    }
    // Names begin with positions, so those of a shard come in its order, whatever folder they lie in.
    files.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    let mut found = Found::default();
    for file in &files {
        let name = file.strip_prefix(&args.data).unwrap_or(file).to_string_lossy().into_owned();
        if let Err(fault) = check(&mut found, &name, file) {
            found.faults.push(fault);
        }
    }
    check_payloads(&mut found, &args.data);
    report(&found)
}

/// Checks what large payloads the segments name. A copy of the segments alone has none.
fn check_payloads(found: &mut Found, data: &Path) {
    if found.payloads.is_empty() {
        return;
    }
    if !data.join("payloads").is_dir() {
        anstream::println!(
            "{} large payloads are not checked: there is no payloads/ beside events/",
            found.payloads.len()
        );
        return;
    }
    for path in &found.payloads {
        let hash = path.file_name().and_then(|hash| hash.to_str()).unwrap_or_default();
        // A bucket has them without the folder of their first two digits.
        let in_folder = path.with_file_name(hash.get(..2).unwrap_or_default()).join(hash);
        let path = if data.join(&in_folder).exists() { &in_folder } else { path };
        match std::fs::read(data.join(path)) {
            Ok(bytes) if hexadecimal(&sha256([&bytes[..]])) == hash => {}
            Ok(_) => found.faults.push(format!("{}: it is not the payload that its name says", path.display())),
            Err(error) => found.faults.push(format!("{}: {error}", path.display())),
        }
    }
    anstream::println!("{} large payloads", found.payloads.len());
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "zst") {
            files.push(path);
        }
    }
    Ok(())
}

/// Checks one segment. What is wrong with the whole of it is the error, what is wrong within is noted.
fn check(found: &mut Found, name: &str, file: &Path) -> Result<(), String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    let index = index_of(&bytes).map_err(|error| format!("{name}: {error}"))?;
    let topic = found.topics.entry((index.topic.clone(), index.topic_id.clone())).or_default();
    topic.segments += 1;
    topic.bytes += bytes.len() as u64;
    let (mut events, mut first, mut last) = (0, None, None);
    for frame in &index.frames {
        let of_frame = usize::try_from(frame.offset).ok().zip(usize::try_from(frame.offset + frame.bytes).ok());
        let Some(of_frame) = of_frame.and_then(|(start, end)| bytes.get(start..end)) else {
            return Err(format!("{name}: it is cut off"));
        };
        topic.raw_bytes += frame.raw_bytes;
        let entries = match entries_of(name, &index, frame, of_frame, None) {
            Ok(entries) => entries,
            Err(error) => {
                found.faults.push(error.to_string());
                continue;
            }
        };
        for entry in entries {
            events += entry.pack.events.len() as u64;
            let path = |payload: &StoredData| Path::new(&StoredData::folder_for(payload.retention)).join(&payload.hash);
            found.payloads.extend(entry.pack.stored().map(path));
            first.get_or_insert(entry.position);
            if last.is_some_and(|last| entry.position <= last) {
                found.faults.push(format!("{name}: its entries are not in order"));
            }
            last = Some(entry.position);
            let known = topic.keys.insert(entry.pack.key.clone(), entry.sequence);
            let key = || entry.pack.key.partition_key().map_or("none", |key| key.as_str()).to_owned();
            match known.map(|known| known.cmp(&entry.sequence)) {
                Some(std::cmp::Ordering::Equal) => {
                    found.faults.push(format!(
                        "{name}: {:?} of the key {} is there twice",
                        entry.sequence.event(0).to_string(),
                        key()
                    ));
                }
                Some(std::cmp::Ordering::Greater) => {
                    found.faults.push(format!(
                        "{name}: the key {} is not in order at {}",
                        key(),
                        entry.sequence.event(0)
                    ));
                }
                _ => {}
            }
        }
    }
    topic.events += events;
    if events != index.events {
        found.faults.push(format!("{name}: it has {events} readable events, and was written with {}", index.events));
    }
    if let Some(span) = first.zip(last) {
        place(found, name, &index, span);
    }
    Ok(())
}

/// Checks that a segment is called what it holds, and begins after the one before it.
fn place(found: &mut Found, name: &str, index: &Index, span: (LogPosition, LogPosition)) {
    let shard = relay_core::replay_id::LogShard::new(index.shard);
    let path = retention_of(name)
        .zip(shard)
        .map(|(retention, shard)| path_of(retention, (&index.topic, &index.topic_id), shard, span));
    if path.as_deref() != Some(name) {
        found.faults.push(format!("{name}: its name is not that of what it holds"));
    }
    let topic = found.topics.entry((index.topic.clone(), index.topic_id.clone())).or_default();
    let before = topic.ends.insert(index.shard, span.1);
    if before.is_some_and(|before| before >= span.0) {
        found.faults.push(format!("{name}: it holds what another segment of its shard holds"));
    }
}

fn report(found: &Found) -> Result<(), Failure> {
    for ((name, id), topic) in &found.topics {
        let share = topic.bytes as f64 / (topic.raw_bytes as f64).max(1.0) * 100.0;
        anstream::println!(
            "{name} ({id}): {} events of {} keys in {} segments, {} bytes, {share:.0} % of their JSON",
            topic.events,
            topic.keys.len(),
            topic.segments,
            topic.bytes
        );
    }
    for fault in &found.faults {
        anstream::println!("WRONG {fault}");
    }
    if found.faults.is_empty() {
        anstream::println!("nothing is wrong");
        return Ok(());
    }
    Err(Failure::Verdict)
}
