//! From the port's headers to those of an HTTP message.

use crate::directory::Destination;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use relay_core::ports::webhook::{WebhookError, WebhookRequest};
use std::borrow::Cow;

/// Makes the message. It copies from `request`, which outlives it, since a retry makes a second one.
pub(crate) fn message(
    request: &WebhookRequest,
    destination: &Destination,
    user_agent: &HeaderValue,
) -> Result<Request<Full<Bytes>>, WebhookError> {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 3);
    headers.insert(header::HOST, destination.authority.clone());
    for (name, value) in &request.headers {
        let name = header_name(name)?;
        if !is_framing(&name) {
            headers.append(name, header_value(value)?);
        }
    }
    headers.entry(header::USER_AGENT).or_insert_with(|| user_agent.clone());
    headers.insert(header::CONTENT_LENGTH, request.body.len().into());

    let mut message = Request::new(Full::new(request.body.clone()));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = destination.resource.clone();
    *message.headers_mut() = headers;
    Ok(message)
}

/// Headers that say where a message goes, where it ends and what becomes of the connection. They are this crate's to
/// set: a subscriber's would let one message be read as two, or reach another host behind the same address.
fn is_framing(name: &HeaderName) -> bool {
    const FRAMING: [HeaderName; 8] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::EXPECT,
        header::TE,
        header::TRAILER,
    ];
    FRAMING.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[expect(clippy::ptr_arg, reason = "a borrowed text lives for ever and is shared, an owned one is copied")]
fn header_name(name: &Cow<'static, str>) -> Result<HeaderName, WebhookError> {
    match name {
        // Nothing is copied; but this constructor panics on what is not a lower-case token.
        Cow::Borrowed(name) if is_lower_token(name) => Ok(HeaderName::from_static(name)),
        name => HeaderName::from_bytes(name.as_bytes()).map_err(|_| WebhookError::Protocol),
    }
}

#[expect(clippy::ptr_arg, reason = "a borrowed text lives for ever and is shared, an owned one is copied")]
fn header_value(value: &Cow<'static, str>) -> Result<HeaderValue, WebhookError> {
    match value {
        Cow::Borrowed(value) => HeaderValue::from_maybe_shared(Bytes::from_static(value.as_bytes())),
        Cow::Owned(value) => HeaderValue::from_bytes(value.as_bytes()),
    }
    .map_err(|_| WebhookError::Protocol)
}

fn is_lower_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 256
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressPolicy;
    use crate::directory::Directory;
    use proptest::prelude::*;
    use std::time::Duration;

    fn headers(headers: Vec<(Cow<'static, str>, Cow<'static, str>)>) -> Result<HeaderMap, WebhookError> {
        let url = "https://example.com:8443/hook?x=1".into();
        let destination = Directory::new(AddressPolicy::public_only(), 1).find(&url).unwrap();
        let request = WebhookRequest { url, headers, body: Bytes::from_static(b"{}"), timeout: Duration::from_secs(1) };
        let message = message(&request, &destination, &HeaderValue::from_static("relay"))?;
        assert_eq!((message.method(), message.uri().to_string().as_str()), (&Method::POST, "/hook?x=1"));
        Ok(message.headers().clone())
    }

    #[test]
    fn headers_are_sent_with_what_frames_the_message() {
        let sent = headers(vec![
            ("webhook-id".into(), "evt_1".into()),
            ("x-multi".into(), "1".into()),
            (Cow::Owned("x-multi".into()), Cow::Owned("2".into())),
        ])
        .unwrap();
        let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            sent,
            [
                ("host", "example.com:8443"),
                ("webhook-id", "evt_1"),
                ("x-multi", "1"),
                ("x-multi", "2"),
                ("user-agent", "relay"),
                ("content-length", "2"),
            ]
        );
    }

    #[test]
    fn a_request_may_bring_its_own_user_agent_but_no_framing() {
        let sent = headers(vec![
            ("user-agent".into(), "mine".into()),
            ("Host".into(), "internal".into()),
            ("content-length".into(), "0".into()),
            ("transfer-encoding".into(), "chunked".into()),
            ("connection".into(), "upgrade".into()),
            ("expect".into(), "100-continue".into()),
            ("keep-alive".into(), "1".into()),
        ])
        .unwrap();
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[header::USER_AGENT], "mine");
        assert_eq!(sent[header::HOST], "example.com:8443");
        assert_eq!(sent[header::CONTENT_LENGTH], "2");
    }

    #[test]
    fn what_is_not_a_header_is_refused_without_a_panic() {
        for (name, value) in [("", "x"), ("a b", "x"), ("a:b", "x"), ("ä", "x"), ("x", "a\r\nb: c"), ("x", "a\0")] {
            assert_eq!(headers(vec![(name.into(), value.into())]), Err(WebhookError::Protocol));
            assert_eq!(headers(vec![(Cow::Owned(name.into()), Cow::Owned(value.into()))]), Err(WebhookError::Protocol));
        }
    }

    proptest! {
        #[test]
        fn no_borrowed_name_panics(name in "\\PC{0,12}") {
            let leaked: &'static str = Box::leak(name.into_boxed_str());
            let _ = header_name(&Cow::Borrowed(leaked));
        }
    }
}
