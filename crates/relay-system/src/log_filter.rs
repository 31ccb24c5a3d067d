//! What is to be logged.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Reads a log filter: a level for all, or by module, as in `info,relay_core=debug`.
///
/// # Errors
/// The entry that is neither. `Targets` by itself would take a mistyped level for a module, and silence everything.
pub fn log_filter(text: &str) -> Result<Targets, String> {
    for entry in text.split(',').map(str::trim) {
        let level = entry.rsplit_once('=').map_or(entry, |(_, level)| level);
        // An empty text counts as a level there.
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(entry.to_owned());
        }
    }
    text.parse().map_err(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filters_are_levels_for_all_or_by_module() {
        for good in ["info", "off", "warn,relay_http=debug", "relay_core::drain=trace, error"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for (bad, named) in [
            ("loud", "loud"),
            ("relay_http", "relay_http"),
            ("info,relay_http=loud", "relay_http=loud"),
            ("info,,", ""),
            ("=", "="),
        ] {
            assert_eq!(log_filter(bad).unwrap_err(), named, "{bad}");
        }
    }
}
