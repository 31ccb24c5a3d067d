//! How long the disk itself takes to make a small write durable: what a durable 202 cannot be faster than.

use super::ledger::histogram;
use super::stopwatch::nanos;
use hdrhistogram::Histogram;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Instant;

const WRITES: usize = 200;
const BLOCK: [u8; 4096] = [0x5a; 4096];
const FILE: &str = "disk-probe.tmp";

/// Microseconds that each of some writes of 4 KiB and its `fdatasync` took, on the file system of this folder. They go
/// over what is there already, as those of the store's log do once it has its size: making a file longer costs more.
///
/// # Errors
/// If the folder cannot be written to.
pub fn probe(folder: &Path) -> anyhow::Result<Histogram<u64>> {
    let path = folder.join(FILE);
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let measured = measure(file);
    std::fs::remove_file(&path)?;
    measured
}

fn measure(mut file: File) -> anyhow::Result<Histogram<u64>> {
    let mut took = histogram()?;
    for _ in 0..WRITES {
        file.write_all(&BLOCK)?;
    }
    file.sync_all()?;
    file.rewind()?;
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        took.saturating_record(nanos(begun.elapsed()) / 1000);
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::super::folder::TemporaryFolder;
    use super::*;

    #[test]
    fn each_write_is_measured_and_nothing_is_left_behind() {
        let folder = TemporaryFolder::new("relay-disk-test").unwrap();
        let took = probe(folder.path()).unwrap();
        assert_eq!(took.len(), WRITES as u64);
        assert!(took.max() >= took.value_at_quantile(0.5));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
