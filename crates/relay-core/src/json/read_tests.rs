use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn raw(text: &str) -> Result<&str, JsonFault> {
    let mut cursor = Cursor::new(text);
    let value = cursor.raw(MAX_JSON_DEPTH)?;
    cursor.finish().map(|()| value)
}

fn string(text: &str) -> Result<String, JsonFault> {
    let mut cursor = Cursor::new(text);
    let value = cursor.string()?.into_owned();
    cursor.finish().map(|()| value)
}

/// Texts that are nearly JSON: its tokens in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\n\"",
        "\"ü\"",
        "\"",
        "\\",
        "0",
        "-1",
        "01",
        "1.5",
        "1.",
        "2e3",
        "2E+",
        "-",
        "true",
        "false",
        "null",
        "nul",
        "\u{1}",
        "\"\\x\"",
        "\"\\ud800\"",
        "é",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_verdict_and_the_slice_are_those_of_serde_json(text in nearly_json()) {
        let theirs = serde_json::from_str::<&RawValue>(&text).map(RawValue::get).ok();
        prop_assert_eq!(raw(&text).ok(), theirs);
    }

    #[test]
    fn one_changed_byte_of_a_valid_text_gets_the_same_verdict(at in 0usize..100, byte in 0u8..128) {
        let valid = r#"{"a":[1,-2.5e+3,{"b":null}],"c\u0041\"":"text \\ é","d":[[],{},true,false],"e":""}"#;
        let mut bytes = valid.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(raw(text).is_ok(), serde_json::from_str::<&RawValue>(text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn strings_are_read_as_serde_json_writes_them(text: String) {
        let written = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(string(&written), Ok(text));
    }
}

#[test]
fn escapes_stand_for_their_characters() {
    assert_eq!(string(r#""\ud83d\ude00\/\b\f\n\r\t\"\\""#).unwrap(), "😀/\u{8}\u{c}\n\r\t\"\\");
    for half in [r#""\ud83d""#, r#""\ud83dx""#, r#""\ud83d\u0041""#, r#""\ude00""#] {
        assert!(matches!(string(half), Err(JsonFault::Surrogate(_))), "{half}");
    }
    assert_eq!(string("\"a\nb\""), Err(JsonFault::Syntax(2)));
    assert_eq!(string("\"abc"), Err(JsonFault::End));
}

#[test]
fn nesting_is_bounded_however_long_the_text_is() {
    let nested = |open: &str, close: &str, levels: usize| open.repeat(levels) + "1" + &close.repeat(levels);
    assert!(raw(&nested("[", "]", MAX_JSON_DEPTH)).is_ok());
    assert!(raw(&nested("{\"a\":", "}", MAX_JSON_DEPTH)).is_ok());
    assert_eq!(raw(&nested("[", "]", MAX_JSON_DEPTH + 1)), Err(JsonFault::TooDeep));
    assert_eq!(raw(&nested("{\"a\":", "}", MAX_JSON_DEPTH + 1)), Err(JsonFault::TooDeep));
    assert_eq!(raw(&"[".repeat(100_000)), Err(JsonFault::TooDeep));
    assert!(raw(&("[".to_owned() + &"[],".repeat(1_000) + "[]]")).is_ok());
}

#[test]
fn objects_and_arrays_are_walked_member_by_member() {
    let mut cursor = Cursor::new(r#" { "a" : [ 1 , "x" ] , "b" : true } "#);
    let (mut first, mut inner) = (true, true);
    cursor.open(b'{').unwrap();
    assert_eq!(cursor.member(&mut first).unwrap().as_deref(), Some("a"));
    assert_eq!(cursor.kind(), Ok(Kind::Array));
    cursor.open(b'[').unwrap();
    assert_eq!(cursor.element(&mut inner), Ok(true));
    assert_eq!(cursor.integer::<i32>(), Ok(1));
    assert_eq!(cursor.element(&mut inner), Ok(true));
    assert_eq!(cursor.string().unwrap(), "x");
    assert_eq!(cursor.element(&mut inner), Ok(false));
    assert_eq!(cursor.member(&mut first).unwrap().as_deref(), Some("b"));
    assert_eq!(cursor.boolean(), Ok(true));
    assert_eq!(cursor.member(&mut first), Ok(None));
    assert_eq!(cursor.finish(), Ok(()));
}

#[test]
fn a_comma_too_many_is_refused() {
    let mut cursor = Cursor::new("[1,]");
    let mut first = true;
    cursor.open(b'[').unwrap();
    assert_eq!(cursor.element(&mut first), Ok(true));
    assert_eq!(cursor.integer::<u64>(), Ok(1));
    assert_eq!(cursor.element(&mut first), Ok(true));
    assert_eq!(cursor.kind(), Err(JsonFault::Syntax(3)));
}
