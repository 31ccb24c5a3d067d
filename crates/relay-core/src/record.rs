//! Records stored or queued as JSON text, tagged with the version of their form. For adapters.

use crate::ports::PortError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of the forms that are written.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Tagged<T> {
    v: u32,
    record: T,
}

/// Encodes a record.
///
/// # Errors
/// `Invalid` if it has no form in JSON.
pub fn encode<T: Serialize>(record: &T) -> Result<String, PortError> {
    serde_json::to_string(&Tagged { v: VERSION, record }).map_err(|error| PortError::Invalid(error.to_string()))
}

/// Decodes a record.
///
/// # Errors
/// `Corrupt` if it is none, or one of another version.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, PortError> {
    let tagged: Tagged<T> = serde_json::from_str(text).map_err(|error| PortError::Corrupt(error.to_string()))?;
    match tagged.v {
        VERSION => Ok(tagged.record),
        other => Err(PortError::Corrupt(format!("a record has version {other}; this broker reads {VERSION}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_refused() {
        let text = encode(&vec![1, 2]).unwrap();
        assert_eq!(decode::<Vec<u32>>(&text), Ok(vec![1, 2]));
        let newer = text.replace("\"v\":1", "\"v\":2");
        assert!(matches!(decode::<Vec<u32>>(&newer), Err(PortError::Corrupt(_))));
    }
}
