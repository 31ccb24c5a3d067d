//! Reading the members of a JSON object one by one, and finding fault with what is left.

use super::not_an_object;
use crate::problem::{Fault, FaultKind, Problem};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// Faults found so far. All are collected, so that a client learns of them at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes an invalid value.
    pub(crate) fn invalid(&mut self, pointer: String, detail: impl Into<String>) {
        self.add(pointer, detail, FaultKind::Invalid);
    }

    /// Notes something that this version does not build yet.
    pub(crate) fn not_supported(&mut self, pointer: String) {
        self.add(pointer, "this version does not support it yet", FaultKind::NotSupported);
    }

    fn add(&mut self, pointer: String, detail: impl Into<String>, kind: FaultKind) {
        self.0.push(Fault { pointer, detail: detail.into(), kind });
    }

    /// A problem unless there are none.
    pub(crate) fn none(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::of_faults(self.0)) }
    }
}

/// The members of an object that were not read yet. A member that is null counts as absent: it means the default.
#[derive(Debug)]
pub(crate) struct Object {
    pointer: String,
    members: Map<String, Value>,
}

/// The pointer to a member or element.
fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Object {
    /// The document as a whole.
    pub(crate) fn root(value: Value) -> Result<Object, Problem> {
        match value {
            Value::Object(members) => Ok(Object { pointer: String::new(), members }),
            _ => Err(not_an_object()),
        }
    }

    /// An object that lies at a pointer.
    pub(crate) fn at(pointer: String, members: Map<String, Value>) -> Object {
        Object { pointer, members }
    }

    /// The pointer to a member.
    pub(crate) fn pointer_to(&self, name: &str) -> String {
        child(&self.pointer, name)
    }

    /// True if a member is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// A member of any type.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// A text of so many characters, without control characters.
    pub(crate) fn text(&mut self, name: &str, chars: RangeInclusive<usize>, faults: &mut Faults) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if chars.contains(&text.chars().count()) && !text.chars().any(char::is_control) => {
                Some(text)
            }
            _ => {
                let (least, most) = (chars.start(), chars.end());
                let detail = format!("must be a string of {least} to {most} characters without control characters");
                faults.invalid(self.pointer_to(name), detail);
                None
            }
        }
    }

    /// An integer within bounds.
    pub(crate) fn integer(&mut self, name: &str, bounds: RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
        let value = self.take(name)?;
        let integer = value.as_u64().or_else(|| whole(&value)).filter(|integer| bounds.contains(integer));
        if integer.is_none() {
            let detail = format!("must be an integer from {} to {}", bounds.start(), bounds.end());
            faults.invalid(self.pointer_to(name), detail);
        }
        integer
    }

    /// One of several words; those of later work are refused as such.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
        later: &[&str],
        faults: &mut Faults,
    ) -> Option<T> {
        let value = self.take(name)?;
        let text = value.as_str().unwrap_or_default();
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        if later.contains(&text) {
            faults.not_supported(self.pointer_to(name));
        } else {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            faults.invalid(self.pointer_to(name), format!("must be one of {}", words.join(", ")));
        }
        None
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str, faults: &mut Faults) -> Option<Object> {
        let pointer = self.pointer_to(name);
        match self.take(name)? {
            Value::Object(members) => Some(Object { pointer, members }),
            _ => {
                faults.invalid(pointer, "must be an object");
                None
            }
        }
    }

    /// An array of so many elements, each with the pointer to it.
    pub(crate) fn array(
        &mut self,
        name: &str,
        elements: RangeInclusive<usize>,
        faults: &mut Faults,
    ) -> Option<Vec<(String, Value)>> {
        let pointer = self.pointer_to(name);
        match self.take(name)? {
            Value::Array(array) if elements.contains(&array.len()) => {
                let with_pointer = |(index, value): (usize, Value)| (child(&pointer, &index.to_string()), value);
                Some(array.into_iter().enumerate().map(with_pointer).collect())
            }
            _ => {
                let detail = format!("must be an array of {} to {} elements", elements.start(), elements.end());
                faults.invalid(pointer, detail);
                None
            }
        }
    }

    /// An element of an array, as an object.
    pub(crate) fn of_element((pointer, value): (String, Value), faults: &mut Faults) -> Option<Object> {
        match value {
            Value::Object(members) => Some(Object { pointer, members }),
            _ => {
                faults.invalid(pointer, "must be an object");
                None
            }
        }
    }

    /// All members with their pointers, whatever they are called.
    pub(crate) fn into_members(self) -> impl Iterator<Item = (String, String, Value)> {
        let pointer = self.pointer;
        self.members.into_iter().filter(|(_, value)| !value.is_null()).map(move |(name, value)| {
            let pointer = child(&pointer, &name);
            (pointer, name, value)
        })
    }

    /// Members that only the broker sets: they may be sent back as they were read, and not otherwise.
    pub(crate) fn fixed(&mut self, names: &[&str], present: Option<&Value>, faults: &mut Faults) {
        for name in names {
            let Some(sent) = self.take(name) else { continue };
            if present.and_then(|present| present.get(name)) != Some(&sent) {
                faults.invalid(self.pointer_to(name), "only the broker sets it");
            }
        }
    }

    /// Members that are good elsewhere, but not here.
    pub(crate) fn refuse(&mut self, names: &[&str], why: &str, faults: &mut Faults) {
        for name in names {
            if self.take(name).is_some() {
                faults.invalid(self.pointer_to(name), why);
            }
        }
    }

    /// Members of later work.
    pub(crate) fn later(&mut self, names: &[&str], faults: &mut Faults) {
        for name in names {
            if self.take(name).is_some() {
                faults.not_supported(self.pointer_to(name));
            }
        }
    }

    /// Requires that a member was there.
    pub(crate) fn require<T>(&self, name: &str, value: Option<T>, faults: &mut Faults) -> Option<T> {
        let pointer = self.pointer_to(name);
        if value.is_none() && !faults.0.iter().any(|fault| fault.pointer.starts_with(&pointer)) {
            faults.invalid(pointer, "is required");
        }
        value
    }

    /// Whatever was not read is unknown.
    pub(crate) fn finish(self, faults: &mut Faults) {
        for name in self.members.keys() {
            faults.add(self.pointer_to(name), "is not known", FaultKind::Unknown);
        }
    }
}

/// An integer written as a decimal or with an exponent.
fn whole(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=EXACT).contains(number))?;
    Some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointers(faults: Faults) -> Vec<String> {
        faults.0.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn whatever_is_not_read_is_found_by_its_pointer() {
        let mut faults = Faults::default();
        let mut object = Object::root(json!({"a": {"x/y": 1, "m~n": null}, "b": null, "c": 1})).unwrap();
        object.object("a", &mut faults).unwrap().finish(&mut faults);
        assert!(object.take("b").is_none());
        object.finish(&mut faults);
        assert_eq!(pointers(faults), ["/a/m~0n", "/a/x~1y", "/c"]);
    }

    #[test]
    fn values_of_the_wrong_type_or_size_are_faults_and_null_is_none() {
        let mut faults = Faults::default();
        let mut object = Object::root(json!({"t": 1, "u": "a\nb", "i": -1, "j": 1.5, "k": 2.0, "n": null})).unwrap();
        assert_eq!(object.text("t", 0..=9, &mut faults), None);
        assert_eq!(object.text("u", 0..=9, &mut faults), None);
        assert_eq!(object.integer("i", 0..=9, &mut faults), None);
        assert_eq!(object.integer("j", 0..=9, &mut faults), None);
        assert_eq!(object.integer("k", 0..=9, &mut faults), Some(2));
        assert_eq!(object.integer("n", 0..=9, &mut faults), None);
        assert_eq!(object.require("n", None::<u64>, &mut faults), None);
        assert_eq!(object.require("t", None::<u64>, &mut faults), None);
        assert_eq!(pointers(faults), ["/t", "/u", "/i", "/j", "/n"]);
    }

    #[test]
    fn what_only_the_broker_sets_may_be_sent_back_unchanged() {
        let mut faults = Faults::default();
        let present = json!({"id": "a", "version": 3});
        Object::root(json!({"id": "a", "version": 4})).unwrap().fixed(&["id", "version"], Some(&present), &mut faults);
        Object::root(json!({"id": "a"})).unwrap().fixed(&["id"], None, &mut faults);
        assert_eq!(pointers(faults), ["/version", "/id"]);
    }
}
