//! What is wrong with events that somebody sent.

use crate::json::read::JsonFault;
use std::borrow::Cow;
use std::fmt::Write;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFault {
    /// JSON pointer (RFC 6901) into the event in the JSON format, or into the batch: `/3/source`. Attributes that came
    /// as headers are named the same way.
    pub pointer: String,
    /// What is wrong, for people.
    pub detail: Cow<'static, str>,
    /// What sort of rule it breaks.
    pub kind: FaultKind,
}

/// Sorts of faults; the later one says more about a request that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A rule of CloudEvents, or of what the broker takes of it.
    Event,
    /// The value of a header that is not of the event.
    Header,
    /// The grammar of JSON, or UTF-8.
    Grammar,
    /// The bound on the nesting of JSON.
    Nesting,
}

impl From<&JsonFault> for FaultKind {
    fn from(fault: &JsonFault) -> Self {
        if *fault == JsonFault::TooDeep { FaultKind::Nesting } else { FaultKind::Grammar }
    }
}

/// Why what was sent is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseFault {
    /// It breaks rules; the list is not empty and may not be complete.
    Invalid(Vec<EventFault>),
    /// It has more than [`crate::limits::MAX_EVENTS_PER_REQUEST`] events.
    TooManyEvents,
}

/// Most faults that are told at a time.
const MAX_FAULTS: usize = 20;

/// Collects the faults of a request.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<EventFault>,
}

impl Faults {
    /// Notes a fault of the member `name` of the event at `index`, or of all if both are absent.
    pub(crate) fn add(&mut self, index: Option<usize>, name: &str, detail: impl Into<Cow<'static, str>>) {
        self.push(EventFault::new(index, name, detail, FaultKind::Event));
    }

    /// Notes that the JSON of a member is broken.
    pub(crate) fn add_json(&mut self, index: Option<usize>, name: &str, fault: JsonFault) {
        self.push(EventFault::new(index, name, fault.to_string(), FaultKind::from(&fault)));
    }

    /// Notes a fault.
    pub(crate) fn push(&mut self, fault: EventFault) {
        if self.list.len() < MAX_FAULTS {
            self.list.push(fault);
        }
    }

    /// True if it is pointless to look for more.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_FAULTS
    }

    /// The value if no fault was found.
    pub(crate) fn or<T>(self, value: T) -> Result<T, ParseFault> {
        if self.list.is_empty() { Ok(value) } else { Err(ParseFault::Invalid(self.list)) }
    }

    /// The faults so far, and this last one.
    pub(crate) fn and(mut self, index: Option<usize>, name: &str, fault: JsonFault) -> ParseFault {
        self.list.truncate(MAX_FAULTS - 1);
        self.add_json(index, name, fault);
        ParseFault::Invalid(self.list)
    }
}

impl EventFault {
    /// A fault of the member `name` of the event at `index`, or of all if both are absent.
    pub(crate) fn new(
        index: Option<usize>,
        name: &str,
        detail: impl Into<Cow<'static, str>>,
        kind: FaultKind,
    ) -> EventFault {
        EventFault { pointer: pointer(index, name), detail: detail.into(), kind }
    }
}

impl ParseFault {
    /// A single fault of the body as a whole.
    pub(crate) fn whole(detail: impl Into<Cow<'static, str>>, kind: FaultKind) -> ParseFault {
        ParseFault::Invalid(vec![EventFault::new(None, "", detail, kind)])
    }
}

/// The JSON pointer of a member, `name` empty for the event itself.
fn pointer(index: Option<usize>, name: &str) -> String {
    let mut pointer = String::new();
    if let Some(index) = index {
        // Writing to a string cannot fail.
        let _ = write!(pointer, "/{index}");
    }
    if !name.is_empty() {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped_as_rfc_6901_says() {
        assert_eq!(pointer(Some(3), "source"), "/3/source");
        assert_eq!(pointer(None, "a/b~c"), "/a~1b~0c");
        assert_eq!(pointer(None, ""), "");
    }
}
