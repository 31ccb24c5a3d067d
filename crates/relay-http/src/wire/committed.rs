//! What the consumer of a pull subscription commits.

use super::start_from;
use crate::document::{Faults, Object};
use relay_core::log::{Committed, Start};
use serde::Serialize;

/// Longest text of a cursor.
const MAX_CHARS: usize = 512;

/// Where a consumer wants to go on.
#[derive(Debug, PartialEq)]
pub(crate) enum Place {
    /// After what a pull answered.
    Pulled(Box<Committed>),
    /// Anywhere else.
    Start(Start),
}

/// What is committed, as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommittedView {
    cursor: String,
}

impl From<&Committed> for CommittedView {
    fn from(committed: &Committed) -> CommittedView {
        CommittedView { cursor: committed.to_string() }
    }
}

/// Reads a whole document.
pub(crate) fn read(mut document: Object, faults: &mut Faults) -> Place {
    let pointer = document.pointer_to("cursor");
    let text = document.text("cursor", 1..=MAX_CHARS, faults);
    let place = document.require("cursor", text, faults).and_then(|text| {
        let place = parse(&text);
        if place.is_none() {
            let detail = "must be a `cursor` of a pull, \"earliest\", \"latest\", a replay id or a time";
            faults.invalid(pointer, detail);
        }
        place
    });
    document.finish(faults);
    // What stands in for a place at fault goes nowhere.
    place.unwrap_or(Place::Start(Start::Latest))
}

fn parse(text: &str) -> Option<Place> {
    let pulled = text.parse().ok().map(|cursor| Place::Pulled(Box::new(cursor)));
    pulled.or_else(|| start_from::parse(text).map(Place::Start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::log::Cursor;
    use serde_json::{Value, json};

    fn read_one(document: Value) -> Result<Place, String> {
        let mut faults = Faults::default();
        let place = read(Object::root(document).unwrap(), &mut faults);
        faults.none().map(|()| place).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn a_cursor_is_told_from_a_start() {
        let committed = Committed { moves: 1, cursor: Cursor::default() };
        let cursor = CommittedView::from(&committed).cursor;
        assert_eq!(read_one(json!({ "cursor": cursor })), Ok(Place::Pulled(Box::new(committed))));
        assert_eq!(read_one(json!({ "cursor": "earliest" })), Ok(Place::Start(Start::Earliest)));
        for bad in [json!({}), json!({ "cursor": "" }), json!({ "cursor": 7 }), json!({ "cursor": "1.x" })] {
            assert!(read_one(bad.clone()).is_err_and(|detail| detail.starts_with("/cursor:")), "{bad}");
        }
        // One of a topic's log says nothing of what was moved.
        assert!(read_one(json!({ "cursor": Cursor::default().to_string() })).is_err());
        assert!(read_one(json!({ "cursor": "latest", "force": true })).is_err());
    }
}
