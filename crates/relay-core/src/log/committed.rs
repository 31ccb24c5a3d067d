//! What the consumer of a pull subscription has committed.

use super::{Cursor, CursorFault};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a pull subscription goes on. A consumer gets it with the events and commits it when it is done with them; its
/// text form is opaque to him.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Committed {
    /// How often the subscription was moved. A cursor from before the last move must not undo it.
    pub moves: u32,
    /// Where reading goes on.
    pub cursor: Cursor,
}

impl fmt::Display for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.moves, self.cursor)
    }
}

impl FromStr for Committed {
    type Err = CursorFault;

    fn from_str(text: &str) -> Result<Committed, CursorFault> {
        let (moves, cursor) = text.split_once('.').ok_or(CursorFault)?;
        Ok(Committed { moves: moves.parse().map_err(|_| CursorFault)?, cursor: cursor.parse()? })
    }
}

impl TryFrom<String> for Committed {
    type Error = CursorFault;

    fn try_from(text: String) -> Result<Committed, CursorFault> {
        text.parse()
    }
}

impl From<Committed> for String {
    fn from(committed: Committed) -> String {
        committed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn text_and_stored_form_round_trip_and_other_texts_are_refused() {
        let committed = Committed { moves: 7, cursor: Cursor::default() };
        assert_eq!(committed.to_string().parse(), Ok(committed));
        assert_eq!(record::decode(&record::encode(&committed).unwrap()), Ok(committed));
        let cursor = Cursor::default();
        for bad in ["", ".", "7.", "7", "-1.AAAA", &cursor.to_string(), &format!(".{cursor}"), &format!("x.{cursor}")] {
            assert_eq!(bad.parse::<Committed>(), Err(CursorFault), "{bad}");
        }
    }
}
