//! The kinds of problems, each with its stable name.

use http::StatusCode;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $status:ident, $name:literal, $title:literal;)+) => {
        /// What kind of fault a request met. Clients tell them apart by `type`, which never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$variant,)+];

            /// The HTTP status of answers of this kind.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(ProblemKind::$variant => StatusCode::$status,)+
                }
            }

            /// The last segment of its `type`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ProblemKind::$variant => $name,)+
                }
            }

            /// What it says in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(ProblemKind::$variant => $title,)+
                }
            }

            /// What it means and what to do about it, for people.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(ProblemKind::$variant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

kinds! {
    /// The request's path, or a header, cannot be read.
    BadRequest = BAD_REQUEST, "bad-request", "The request cannot be read";
    /// The body is not JSON: it is not UTF-8, breaks the grammar, or names a member twice.
    MalformedJson = BAD_REQUEST, "malformed-json", "The body is not valid JSON";
    /// Objects and arrays are nested more than 128 levels deep.
    NestingTooDeep = BAD_REQUEST, "nesting-too-deep", "JSON is nested too deep";
    /// A field has the wrong type or a value that is not allowed, or a required one is missing; `errors` names each.
    InvalidField = BAD_REQUEST, "invalid-field", "A field is not valid";
    /// A field is not one that the broker knows; `errors` names each. Nothing is silently ignored.
    UnknownField = BAD_REQUEST, "unknown-field", "A field is unknown";
    /// A field, value or route is part of the contract, but this version of the broker does not build it yet.
    NotSupported = BAD_REQUEST, "not-supported", "Not supported by this version";
    /// A query parameter is unknown, given twice, or has a value that is not allowed.
    InvalidQuery = BAD_REQUEST, "invalid-query", "A query parameter is not valid";
    /// A name breaks the grammar of names: 1 to 128 characters of a-z, 0-9, '.', '_' and '-', of which the first is a letter or digit.
    InvalidName = BAD_REQUEST, "invalid-name", "A name is not valid";
    /// A header has a value that is not allowed.
    InvalidHeader = BAD_REQUEST, "invalid-header", "A header is not valid";
    /// What was published is not a CloudEvents 1.0 event; `errors` names each fault.
    InvalidEvent = BAD_REQUEST, "invalid-event", "An event is not valid";
    /// The request has no credentials, or none that are valid (any more).
    Unauthorized = UNAUTHORIZED, "unauthorized", "Valid credentials are needed";
    /// The credentials are valid but lack the grant.
    Forbidden = FORBIDDEN, "forbidden", "The grant is missing";
    /// Names that begin with 'relay.' are the broker's own: they cannot be made, changed or published to.
    ReservedName = FORBIDDEN, "reserved-name", "The name is the broker's own";
    /// There is no such route.
    NotFound = NOT_FOUND, "not-found", "There is nothing here";
    /// There is no such topic.
    TopicNotFound = NOT_FOUND, "topic-not-found", "There is no such topic";
    /// There is no such subscription, or none that the credentials may know of.
    SubscriptionNotFound = NOT_FOUND, "subscription-not-found", "There is no such subscription";
    /// There is no such API key.
    KeyNotFound = NOT_FOUND, "key-not-found", "There is no such key";
    /// The subscription has no such lane that is held: a lane whose events flow is not listed.
    LaneNotFound = NOT_FOUND, "lane-not-found", "There is no such held lane";
    /// There is no such dead letter: it may have been redriven or deleted.
    DeadLetterNotFound = NOT_FOUND, "dead-letter-not-found", "There is no such dead letter";
    /// The subscription has no such replay: its record is kept for 30 days.
    ReplayNotFound = NOT_FOUND, "replay-not-found", "There is no such replay";
    /// Neither the log nor the record of attempts has an event of that id, as far back as they were searched.
    EventNotFound = NOT_FOUND, "event-not-found", "There is no such event";
    /// The topic's retention has passed that place of its log, or it is of an earlier topic of that name; `earliestReplayId` names the oldest event that is kept, if there is one.
    Expired = GONE, "expired", "No longer kept";
    /// The route exists, but not for this method; the `Allow` header names those it has.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here";
    /// The body did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "The body did not arrive in time";
    /// Somebody else changed the resource at the same moment, again and again.
    Conflict = CONFLICT, "conflict", "The resource is being changed by others";
    /// A topic of this name was deleted a short while ago; the name is free again 15 minutes after that.
    TopicNameInUse = CONFLICT, "topic-name-in-use", "The name is still reserved";
    /// The topic has subscriptions: delete them first, or pass `?force=true`.
    TopicHasSubscriptions = CONFLICT, "topic-has-subscriptions", "The topic has subscriptions";
    /// The action means nothing in the subscription's present status.
    WrongStatus = CONFLICT, "wrong-status", "Not in this status";
    /// A replay of the subscription is under way: wait until it is done, or cancel it.
    ReplayUnderWay = CONFLICT, "replay-under-way", "A replay is under way";
    /// The replay is done, cancelled or failed already.
    ReplayOver = CONFLICT, "replay-over", "The replay is over";
    /// The action is for subscriptions with a webhook and this one is pulled, or the other way round.
    WrongMode = CONFLICT, "wrong-mode", "Not for a subscription of this mode";
    /// A later cursor is committed already, or the consumer was moved elsewhere after that pull: pull again.
    StaleCursor = CONFLICT, "stale-cursor", "The cursor is out of date";
    /// Too many secrets are in their grace: wait until one has expired.
    TooManySecrets = CONFLICT, "too-many-secrets", "Too many live secrets";
    /// The event named is no longer the head of its lane.
    HeadMoved = CONFLICT, "head-moved", "No longer the head of its lane";
    /// A request with the same `Idempotency-Key` is being worked on.
    IdempotencyKeyInUse = CONFLICT, "idempotency-key-in-use", "The same request is in progress";
    /// The resource is not what `If-Match` or `If-None-Match` expects: read it again.
    PreconditionFailed = PRECONDITION_FAILED, "precondition-failed", "The resource has changed";
    /// The body is larger than a request may be: 4 MiB.
    RequestTooLarge = PAYLOAD_TOO_LARGE, "request-too-large", "The request is too large";
    /// An event is larger than its topic's `maxEventBytes`.
    EventTooLarge = PAYLOAD_TOO_LARGE, "event-too-large", "An event is too large";
    /// A request may publish 1,000 events.
    TooManyEvents = PAYLOAD_TOO_LARGE, "too-many-events", "Too many events in one request";
    /// The body's media type is not one that this route reads.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The media type is not supported";
    /// The `Idempotency-Key` was used for another request before.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The idempotency key was used for another request";
    /// The broker or its store has more to do than it can: try again after `Retry-After`.
    TooManyRequests = TOO_MANY_REQUESTS, "too-many-requests", "Too many requests";
    /// The broker met a fault of its own; its log says more under the request's id.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The broker has a fault";
    /// The store or queue cannot be reached; the request may or may not have taken effect, and may be repeated.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not available for now";
    /// There is no room left to store anything: nothing was accepted.
    StorageFull = SERVICE_UNAVAILABLE, "storage-full", "The storage is full";
}

impl ProblemKind {
    /// The kind of that name.
    pub fn named(name: &str) -> Option<ProblemKind> {
        ProblemKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// True if the connection is not fit for another request: the body was not read to its end.
    pub(crate) const fn closes(self) -> bool {
        matches!(self, ProblemKind::RequestTimeout | ProblemKind::RequestTooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_kind_is_found_by_its_name() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::named(kind.name()), Some(*kind));
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(
                !kind.explanation().starts_with(' ') && kind.explanation().ends_with('.'),
                "{}",
                kind.explanation()
            );
        }
        assert_eq!(ProblemKind::named("nothing"), None);
    }
}
