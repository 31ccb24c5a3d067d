//! Messages as they lie in the queue: the pack's own form as the body, the rest in SQS's attributes.

use super::batch::MAX_BYTES;
use bytes::Bytes;
use relay_core::pack::Pack;
use relay_core::pack::codec::{self, CodecFault};
use relay_core::ports::{Message, PortError, Receipt};
use relay_core::sequence::PackSequence;
use std::sync::Arc;

/// A message as SQS, or Lambda's event of it, hands it over.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    /// The body.
    pub body: &'a str,
    /// Attribute `SequenceNumber`.
    pub sequence_number: &'a str,
    /// Attribute `ApproximateReceiveCount`, this receive included.
    pub receive_count: &'a str,
    /// The receipt handle.
    pub receipt: &'a str,
}

/// The number that a FIFO queue gave a message: 20 digits, which rise within a group.
///
/// # Errors
/// `Corrupt` if it is no number.
pub fn sequence_of(era: u64, number: &str) -> Result<PackSequence, PortError> {
    let number = number.parse().map_err(|_| PortError::Corrupt(format!("SQS gave the sequence number {number:?}")))?;
    Ok(PackSequence { era, number })
}

/// The body of a pack's message.
///
/// # Errors
/// `Invalid` for what SQS would never take: then it would refuse the whole call, and with it the packs beside this one.
pub(crate) fn body_of(pack: &Pack) -> Result<String, PortError> {
    let body = String::from_utf8(codec::encode(pack));
    let body = body.map_err(|_| PortError::Invalid("a pack is not UTF-8".to_owned()))?;
    if body.len() > MAX_BYTES {
        return Err(PortError::Invalid(format!("a pack of {} bytes; a message has {MAX_BYTES} at most", body.len())));
    }
    Ok(body)
}

/// Decodes a message.
///
/// # Errors
/// `Corrupt` if it was not written by this broker: it belongs in quarantine. `Unavailable` if a later version wrote it,
/// as may be while one is being deployed: it has to wait for a process of that version.
pub fn decode(era: u64, raw: &RawMessage<'_>) -> Result<Message, PortError> {
    let pack = codec::decode(&Bytes::copy_from_slice(raw.body.as_bytes()));
    Ok(Message {
        pack: Arc::new(pack.map_err(|fault| match fault {
            CodecFault::Version(_) => PortError::Unavailable(fault.to_string()),
            _ => PortError::Corrupt(fault.to_string()),
        })?),
        sequence: sequence_of(era, raw.sequence_number)?,
        // A count that cannot be read is no reason to lose a message.
        receives: raw.receive_count.parse().unwrap_or(1),
        receipt: Receipt::Text(raw.receipt.to_owned()),
        position: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(body: &str) -> Result<Message, PortError> {
        decode(1, &RawMessage { body, sequence_number: "7", receive_count: "1", receipt: "r" })
    }

    #[test]
    fn what_a_later_version_wrote_waits_and_what_nobody_wrote_does_not() {
        assert!(matches!(decoded(r#"{"v":1000000,"new":true}"#), Err(PortError::Unavailable(_))));
        assert!(matches!(decoded("no pack"), Err(PortError::Corrupt(_))));
    }
}
