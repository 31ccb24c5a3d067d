//! JSON text to values, more strictly than `serde_json` alone: no member twice, and a fault of its own for depth.

use crate::problem::{Problem, ProblemKind};
use relay_core::limits::MAX_JSON_DEPTH;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads a JSON text.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let malformed = |detail: String| Problem::new(ProblemKind::MalformedJson, detail);
    let text = std::str::from_utf8(bytes).map_err(|fault| malformed(format!("the body is not UTF-8: {fault}")))?;
    if depth(text) > MAX_JSON_DEPTH {
        let detail = format!("objects and arrays may be nested {MAX_JSON_DEPTH} levels deep");
        return Err(Problem::new(ProblemKind::NestingTooDeep, detail));
    }
    serde_json::from_str(text).map(|Strict(value)| value).map_err(|fault| malformed(described(text, &fault)))
}

/// The fault and its byte, as faults of events are told.
fn described(text: &str, fault: &serde_json::Error) -> String {
    let whole = fault.to_string();
    let place = format!(" at line {} column {}", fault.line(), fault.column());
    let before: usize = text.split_inclusive('\n').take(fault.line().saturating_sub(1)).map(str::len).sum();
    let byte = (before + fault.column()).saturating_sub(1);
    format!("{}, at byte {byte}", whole.strip_suffix(&place).unwrap_or(&whole))
}

/// How deep objects and arrays are nested, at most; of a text that is not JSON, some number.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut within_string, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within_string => escaped = true,
            b'"' => within_string = !within_string,
            b'{' | b'[' if !within_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !within_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the member {name:?} is there twice")));
            }
            let Strict(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> Option<ProblemKind> {
        parse(bytes).err().map(|problem| problem.kind())
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for bad in [&b"{"[..], b"", b"{} x", b"{\"a\":1,\"a\":2}", b"\"\xff\"", b"[1e999]", b"nul", b"{'a':1}"] {
            assert_eq!(kind(bad), Some(ProblemKind::MalformedJson), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(b" {\"a\":[1,-2,0.5,\"x\\\"[\",null,true]} ").unwrap()["a"][3], "x\"[");
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(kind(nested(MAX_JSON_DEPTH + 1).as_bytes()), Some(ProblemKind::NestingTooDeep));
        assert_eq!(kind(nested(100_000).as_bytes()), Some(ProblemKind::NestingTooDeep));
        assert_eq!(kind(nested(MAX_JSON_DEPTH - 1).as_bytes()), None);
        assert_eq!(kind(format!("{:?}", "[".repeat(500)).as_bytes()), None);
    }
}
