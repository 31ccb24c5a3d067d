//! A process's resident memory, where the system tells.

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// The most it ever was.
    pub peak: u64,
}

/// A process's resident memory; none if there is no such process or the system has no `/proc`.
#[must_use]
pub fn resident(process: u32) -> Option<Resident> {
    parse(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn parse(status: &str) -> Option<Resident> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Resident { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_form_is_read() {
        let status = "Name:\trelay\nVmHWM:\t   23456 kB\nVmRSS:\t   12345 kB\nThreads:\t4\n";
        assert_eq!(parse(status), Some(Resident { now: 12_345 * 1024, peak: 23_456 * 1024 }));
        assert_eq!(parse("Name:\tkthreadd\n"), None);
    }
}
