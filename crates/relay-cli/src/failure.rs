//! How a command fails, and what exit code that is.

use std::fmt;
use std::process::ExitCode;

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// The flags or the environment are at fault: every fault, one by one.
    Configuration(Vec<String>),
    /// Something went wrong while it ran.
    Runtime(anyhow::Error),
    /// It ran, and what it checked does not hold. It has said so.
    Verdict,
    /// Somebody interrupted it.
    Interrupted,
}

impl Failure {
    /// Faults of the configuration.
    pub fn configuration<T: Into<String>>(faults: impl IntoIterator<Item = T>) -> Failure {
        Failure::Configuration(faults.into_iter().map(Into::into).collect())
    }

    /// The process's exit code: 2 for a faulty configuration, 130 after an interrupt as shells have it, else 1.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Configuration(_) => 2,
            Failure::Runtime(_) | Failure::Verdict => 1,
            Failure::Interrupted => 130,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Configuration(faults) => {
                let mut lines = faults.iter();
                if let Some(first) = lines.next() {
                    write!(f, "error: {first}")?;
                }
                lines.try_for_each(|fault| write!(f, "\nerror: {fault}"))
            }
            Failure::Runtime(error) => write!(f, "error: {error:#}"),
            Failure::Verdict => f.write_str("error: what was checked does not hold"),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Runtime(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Runtime(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_on_a_line_of_its_own() {
        let failure = Failure::configuration(["--listen x: no address", "RELAY_LOG: no level"]);
        assert_eq!(failure.to_string(), "error: --listen x: no address\nerror: RELAY_LOG: no level");
    }
}
