//! A cursor over JSON text.

use crate::limits::MAX_JSON_DEPTH;
use std::borrow::Cow;

/// Why a text is not the JSON that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// The grammar is broken, or another type was expected.
    #[error("not the JSON that was expected, at byte {0}")]
    Syntax(usize),
    /// The text ends within a value.
    #[error("the JSON text ends too early")]
    End,
    /// Objects and arrays within each other.
    #[error("JSON is nested more than {MAX_JSON_DEPTH} levels deep")]
    TooDeep,
    /// An escape that is half of a surrogate pair stands for no character.
    #[error("a string holds half of a surrogate pair, at byte {0}")]
    Surrogate(usize),
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Boolean,
    Null,
}

/// Reads values one after another. What it has passed was valid.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    /// How far it has read, in bytes.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The text from an earlier offset to here.
    pub(crate) fn since(&self, offset: usize) -> &'a str {
        &self.text[offset..self.at]
    }

    /// What comes next, white space passed.
    pub(crate) fn kind(&mut self) -> Result<Kind, JsonFault> {
        match self.peek()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::Text),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' | b'f' => Ok(Kind::Boolean),
            b'n' => Ok(Kind::Null),
            _ => Err(JsonFault::Syntax(self.at)),
        }
    }

    /// Enters an object (`{`) or an array (`[`).
    pub(crate) fn open(&mut self, bracket: u8) -> Result<(), JsonFault> {
        self.expect(bracket)
    }

    /// The name of the next member of the object entered; none after its end. `first` starts as true.
    pub(crate) fn member(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, JsonFault> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(None);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        let name = self.string()?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// True if the array entered has another element, which comes next. `first` starts as true.
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<bool, JsonFault> {
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Nothing but white space may follow.
    pub(crate) fn finish(mut self) -> Result<(), JsonFault> {
        self.white();
        if self.at == self.text.len() { Ok(()) } else { Err(JsonFault::Syntax(self.at)) }
    }

    /// A string, without its quotes and escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonFault> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = plain_end(self.text.as_bytes(), start);
        match self.byte()? {
            b'"' => {
                self.at += 1;
                Ok(Cow::Borrowed(&self.text[start..self.at - 1]))
            }
            b'\\' => self.escaped(start).map(Cow::Owned),
            _ => Err(JsonFault::Syntax(self.at)),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool, JsonFault> {
        let truth = self.peek()? == b't';
        self.literal(if truth { "true" } else { "false" })?;
        Ok(truth)
    }

    /// `null`.
    pub(crate) fn null(&mut self) -> Result<(), JsonFault> {
        self.white();
        self.literal("null")
    }

    /// A number in decimal notation that fits.
    pub(crate) fn integer<T: std::str::FromStr>(&mut self) -> Result<T, JsonFault> {
        self.white();
        let start = self.at;
        self.number()?;
        self.since(start).parse().map_err(|_| JsonFault::Syntax(start))
    }

    /// Any value, as it is written; at most `depth` objects and arrays within each other, at most [`MAX_JSON_DEPTH`].
    pub(crate) fn raw(&mut self, depth: usize) -> Result<&'a str, JsonFault> {
        self.white();
        let start = self.at;
        self.skip(depth.min(MAX_JSON_DEPTH))?;
        Ok(self.since(start))
    }

    /// Passes a value, without recursion: a bit per open bracket tells objects from arrays.
    fn skip(&mut self, limit: usize) -> Result<(), JsonFault> {
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    self.skip_text()?;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                bracket @ (b'{' | b'[') => {
                    if depth == limit {
                        return Err(JsonFault::TooDeep);
                    }
                    self.at += 1;
                    let object = bracket == b'{';
                    if self.peek()? == if object { b'}' } else { b']' } {
                        self.at += 1;
                    } else {
                        objects = objects << 1 | u128::from(object);
                        depth += 1;
                        if object {
                            self.skip_name()?;
                        }
                        continue;
                    }
                }
                _ => return Err(JsonFault::Syntax(self.at)),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                let byte = self.peek()?;
                if byte == b',' {
                    self.at += 1;
                    if object {
                        self.skip_name()?;
                    }
                    break;
                }
                if byte != if object { b'}' } else { b']' } {
                    return Err(JsonFault::Syntax(self.at));
                }
                self.at += 1;
                objects >>= 1;
                depth -= 1;
            }
        }
    }

    fn skip_name(&mut self) -> Result<(), JsonFault> {
        self.expect(b'"')?;
        self.skip_text()?;
        self.expect(b':')
    }

    /// Passes a string whose opening quote is passed.
    fn skip_text(&mut self) -> Result<(), JsonFault> {
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.byte()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            self.hexadecimal()?;
                        }
                        _ => return Err(JsonFault::Syntax(self.at)),
                    }
                }
                _ => return Err(JsonFault::Syntax(self.at)),
            }
        }
    }

    /// The rest of a string whose first escape is here.
    fn escaped(&mut self, start: usize) -> Result<String, JsonFault> {
        let mut text = String::with_capacity(self.at - start + 32);
        text.push_str(&self.text[start..self.at]);
        loop {
            let plain = self.at;
            self.at = plain_end(self.text.as_bytes(), plain);
            text.push_str(&self.text[plain..self.at]);
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(JsonFault::Syntax(self.at)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonFault> {
        let start = self.at;
        let simple = match self.byte()? {
            letter @ (b'"' | b'\\' | b'/') => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hexadecimal()?;
                let code = match first {
                    0xD800..=0xDBFF if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                        self.at += 1;
                        let second = self.hexadecimal()?;
                        if !(0xDC00..=0xDFFF).contains(&second) {
                            return Err(JsonFault::Surrogate(start));
                        }
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    other => other,
                };
                return char::from_u32(code).ok_or(JsonFault::Surrogate(start));
            }
            _ => return Err(JsonFault::Syntax(self.at)),
        };
        self.at += 1;
        Ok(simple)
    }

    /// `u` and four hexadecimal digits.
    fn hexadecimal(&mut self) -> Result<u32, JsonFault> {
        let mut code = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = char::from(self.byte()?).to_digit(16).ok_or(JsonFault::Syntax(self.at))?;
            code = code << 4 | digit;
        }
        self.at += 1;
        Ok(code)
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        if self.byte()? == b'-' {
            self.at += 1;
        }
        if self.byte()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if let Some(b'.') = self.next() {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.next() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.next() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        if !self.byte()?.is_ascii_digit() {
            return Err(JsonFault::Syntax(self.at));
        }
        while let Some(b'0'..=b'9') = self.next() {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonFault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(JsonFault::Syntax(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), JsonFault> {
        if self.peek()? != byte {
            return Err(JsonFault::Syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn peek(&mut self) -> Result<u8, JsonFault> {
        self.white();
        self.byte()
    }

    #[inline]
    fn byte(&self) -> Result<u8, JsonFault> {
        self.next().ok_or(JsonFault::End)
    }

    #[inline]
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn white(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.next() {
            self.at += 1;
        }
    }
}

/// Index of the first byte from `at` that cannot stand in a JSON string as it is: a quote, a backslash, a control
/// character; the length if there is none. Eight bytes at a time.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    const fn zero_bytes(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero_bytes(word ^ (ONES * b'"' as u64));
        let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    bytes[at..].iter().position(special).map_or(bytes.len(), |index| at + index)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
