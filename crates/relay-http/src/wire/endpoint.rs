//! Endpoints of subscriptions.

use super::word_for;
use crate::document::{Faults, Object};
use crate::state::EndpointPolicy;
use http::{HeaderName, HeaderValue};
use relay_core::subscription::{Endpoint, Mode};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const MODES: &[(&str, Mode)] = &[
    ("structured", Mode::Structured),
    ("binary", Mode::Binary),
    ("batch", Mode::Batch),
    ("raw", Mode::Raw),
    ("pull", Mode::Pull),
];
/// Members that mean nothing where there is no webhook.
const OF_WEBHOOKS: &[&str] = &["url", "headers", "timeoutMs", "maxBatch"];
/// Members of later work.
const LATER: &[&str] = &["profile", "verification"];
const TIMEOUTS_MS: RangeInclusive<u64> = 1_000..=30_000;
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
const BATCH_SIZES: RangeInclusive<u64> = 1..=100;
const MAX_URL_CHARS: usize = 2_048;
const MAX_HEADERS: usize = 32;
const MAX_HEADER_VALUE_BYTES: usize = 4_096;

/// An endpoint as clients see it.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum EndpointView<'a> {
    Webhook { url: &'a str, headers: BTreeMap<&'a str, &'a str>, timeout_ms: u64, mode: &'static str, max_batch: u16 },
    Pull { mode: &'static str },
}

impl<'a> From<&'a Endpoint> for EndpointView<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        let mode = word_for(MODES, &endpoint.mode);
        if endpoint.mode == Mode::Pull {
            return EndpointView::Pull { mode };
        }
        EndpointView::Webhook {
            url: &endpoint.url,
            headers: endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            timeout_ms: endpoint.timeout_ms,
            mode,
            max_batch: endpoint.max_batch,
        }
    }
}

/// Reads an endpoint. A URL that it has already is not checked again: a policy that became stricter since must not
/// stand in the way of other changes.
pub(crate) fn read(
    mut object: Object,
    present: Option<&Endpoint>,
    policy: &dyn EndpointPolicy,
    faults: &mut Faults,
) -> Endpoint {
    let mode = object.word("mode", MODES, &[], faults).unwrap_or_default();
    if let Some(present) = present.filter(|present| (present.mode == Mode::Pull) != (mode == Mode::Pull)) {
        let detail = "does not change from or to `pull`: create another subscription";
        faults.invalid(object.pointer_to("mode"), detail);
        return present.clone();
    }
    if mode == Mode::Pull {
        object.refuse(OF_WEBHOOKS, "means nothing with the mode `pull`", faults);
        object.later(LATER, faults);
        object.finish(faults);
        return Endpoint::pulled();
    }
    let url = object.text("url", 1..=MAX_URL_CHARS, faults);
    if let Some(url) = &url
        && present.is_none_or(|present| present.url != *url)
        && let Err(refusal) = policy.check(url)
    {
        faults.invalid(object.pointer_to("url"), refusal);
    }
    let max_batch = object.integer("maxBatch", BATCH_SIZES, faults).unwrap_or(1);
    if max_batch > 1 && mode != Mode::Batch {
        faults.invalid(object.pointer_to("maxBatch"), "more than 1 needs the mode `batch`");
    }
    let endpoint = Endpoint {
        url: object.require("url", url, faults).unwrap_or_default(),
        headers: object.object("headers", faults).map(|members| headers(members, faults)).unwrap_or_default(),
        timeout_ms: object.integer("timeoutMs", TIMEOUTS_MS, faults).unwrap_or(DEFAULT_TIMEOUT_MS),
        mode,
        max_batch: u16::try_from(max_batch).unwrap_or(1),
    };
    object.later(LATER, faults);
    object.finish(faults);
    endpoint
}

fn headers(members: Object, faults: &mut Faults) -> Vec<(String, String)> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (pointer, name, value) in members.into_members() {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            faults.invalid(pointer, "is not the name of a header");
            continue;
        };
        let name = parsed.as_str().to_owned();
        if is_ours(&name) {
            faults.invalid(pointer, "the broker sets this header itself");
            continue;
        }
        match value {
            Value::String(text) if is_value(&text) => {
                if headers.insert(name, text).is_some() {
                    faults.invalid(pointer, "is there twice: case does not matter in names of headers");
                }
            }
            _ => {
                let detail = format!("must be up to {MAX_HEADER_VALUE_BYTES} characters of visible ASCII and spaces");
                faults.invalid(pointer, detail);
            }
        }
    }
    if headers.len() > MAX_HEADERS {
        faults.invalid("/endpoint/headers".to_owned(), format!("there may be {MAX_HEADERS} headers"));
    }
    headers.into_iter().collect()
}

/// Headers that say what a request is, where it goes and where it ends.
fn is_ours(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "user-agent",
        "traceparent",
        "tracestate",
        "accept-encoding",
    ];
    const PREFIXES: &[&str] = &["webhook-", "relay-", "ce-", "content-", "proxy-"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_value(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    plain && text.trim() == text && text.len() <= MAX_HEADER_VALUE_BYTES && HeaderValue::from_str(text).is_ok()
}
