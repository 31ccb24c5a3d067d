//! From what went wrong to the stable word for it.

use crate::target::UrlFault;
use relay_core::ports::webhook::WebhookError;
use std::error::Error;
use std::io;

/// A URL that was fine when it was written, and is not under today's policy, or never was.
pub(crate) fn of_url(fault: &UrlFault) -> WebhookError {
    match fault {
        UrlFault::ForbiddenAddress(_) | UrlFault::PlainHttp => WebhookError::ForbiddenAddress,
        UrlFault::Unreadable(_) | UrlFault::Scheme | UrlFault::UserInfo | UrlFault::Fragment | UrlFault::Port => {
            WebhookError::Connect
        }
    }
}

/// A handshake that failed. A peer that hangs up on a `ClientHello` disagrees about TLS more often than it crashes, so an
/// end of stream counts as that; a reset does not.
pub(crate) fn of_handshake(error: &io::Error) -> WebhookError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            WebhookError::Reset
        }
        _ => WebhookError::Tls,
    }
}

/// An exchange that failed on an established connection.
pub(crate) fn of_exchange(error: &hyper::Error) -> WebhookError {
    if error.is_parse_too_large() {
        WebhookError::ResponseTooLarge
    } else if error.is_parse() || error.is_user() {
        WebhookError::Protocol
    } else if error.is_timeout() {
        WebhookError::Timeout
    } else if let Some(cause) = error.source().and_then(<dyn Error>::downcast_ref::<hyper::Error>) {
        // The request was cancelled because its connection failed: that is what went wrong.
        of_exchange(cause)
    } else if let Some(io) = find_io(error) {
        of_stream(io)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        WebhookError::Reset
    } else {
        // What is left has no name outside of hyper: bytes from the server that no request had asked for.
        WebhookError::Protocol
    }
}

fn of_stream(error: &io::Error) -> WebhookError {
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return WebhookError::Tls;
    }
    match error.kind() {
        io::ErrorKind::TimedOut => WebhookError::Timeout,
        // A malformed chunk, by hyper's decoder.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => WebhookError::Protocol,
        _ => WebhookError::Reset,
    }
}

fn find_io<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_policy_refuses_are_forbidden_addresses() {
        assert_eq!(of_url(&UrlFault::ForbiddenAddress("10.0.0.1".into())), WebhookError::ForbiddenAddress);
        assert_eq!(of_url(&UrlFault::PlainHttp), WebhookError::ForbiddenAddress);
        for fault in [
            UrlFault::Unreadable(String::new()),
            UrlFault::Scheme,
            UrlFault::UserInfo,
            UrlFault::Fragment,
            UrlFault::Port,
        ] {
            assert_eq!(of_url(&fault), WebhookError::Connect);
        }
    }

    #[test]
    fn handshakes_fail_as_tls_unless_the_connection_was_lost() {
        let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert_eq!(of_handshake(&tls), WebhookError::Tls);
        assert_eq!(of_handshake(&io::ErrorKind::UnexpectedEof.into()), WebhookError::Tls);
        assert_eq!(of_handshake(&io::ErrorKind::ConnectionReset.into()), WebhookError::Reset);
    }

    #[test]
    fn faults_of_the_stream_keep_their_kind() {
        let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert_eq!(of_stream(&tls), WebhookError::Tls);
        assert_eq!(of_stream(&io::ErrorKind::TimedOut.into()), WebhookError::Timeout);
        assert_eq!(of_stream(&io::ErrorKind::InvalidData.into()), WebhookError::Protocol);
        assert_eq!(of_stream(&io::ErrorKind::InvalidInput.into()), WebhookError::Protocol);
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::BrokenPipe] {
            assert_eq!(of_stream(&kind.into()), WebhookError::Reset);
        }
    }

    #[test]
    fn an_io_error_is_found_however_deep() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::ErrorKind::TimedOut.into());
        assert_eq!(find_io(&error).unwrap().kind(), io::ErrorKind::TimedOut);
        assert!(find_io(&rustls::Error::DecryptError).is_none());
    }
}
