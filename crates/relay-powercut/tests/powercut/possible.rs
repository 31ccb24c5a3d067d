//! What a record may be: more than one thing, after a write that was not answered.

use relay_core::ports::PortError;
use std::fmt::Debug;

/// Something that was promised and is not so.
#[derive(Debug)]
pub struct Fault(pub String);

/// A fault, unless it is so.
pub fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if is_so { Ok(()) } else { Err(Fault(what())) }
}

impl From<PortError> for Fault {
    fn from(error: PortError) -> Fault {
        Fault(format!("a read failed: {error:?}"))
    }
}

/// The states that a record may be in.
#[derive(Clone, Debug)]
pub struct Possible<T>(Vec<T>);

impl<T: Clone + PartialEq + Debug> Possible<T> {
    /// It is known.
    pub fn only(state: T) -> Possible<T> {
        Possible(vec![state])
    }

    /// One of the states: the one there is, if it is known.
    pub fn any(&self) -> &T {
        &self.0[0]
    }

    /// A write was answered. `effect` is what it makes of a state, and what it answers then. An answer that tells
    /// nothing leaves open whether it was made.
    pub fn wrote<A: PartialEq + Debug>(
        &mut self,
        what: &str,
        answer: &Result<A, PortError>,
        effect: impl Fn(&T) -> (T, Result<A, PortError>),
    ) -> Result<(), Fault> {
        let before = self.0.clone();
        let outcomes = before.iter().map(effect);
        match answer {
            Err(error) if error.is_retryable() => {
                for (after, _) in outcomes {
                    if !self.0.contains(&after) {
                        self.0.push(after);
                    }
                }
                Ok(())
            }
            _ => {
                self.0 = outcomes.filter(|(_, expected)| expected == answer).map(|(after, _)| after).collect();
                ensure(!self.0.is_empty(), || format!("{what}: {answer:?} is no answer in any of {before:?}"))
            }
        }
    }

    /// It was read.
    pub fn saw(&mut self, what: &str, state: T) -> Result<(), Fault> {
        let is_possible = self.0.contains(&state);
        let before = std::mem::replace(&mut self.0, vec![state]);
        ensure(is_possible, || format!("{what} is {:?}, which is none of {before:?}", self.0[0]))
    }
}

#[test]
fn a_write_without_an_answer_leaves_two_states_until_one_is_seen() {
    let add = |number: &i32| (number + 1, Ok(*number));
    let mut number = Possible::only(1);
    number.wrote("add", &Ok(1), add).unwrap();
    assert!(number.clone().wrote("add", &Ok(7), add).is_err());
    number.wrote("add", &Err(PortError::Full), add).unwrap();
    assert!(number.clone().saw("number", 4).is_err());
    assert!(number.clone().saw("number", 1).is_err());
    number.saw("number", 3).unwrap();
    assert!(number.saw("number", 2).is_err());
}
