//! `google.protobuf.Value` and JSON text.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// How deep lists and structs may nest: a scalar is 0 deep, `[[]]` is 2.
///
/// The protobuf decoder refuses more on its own, at a depth that depends on the message around the
/// value; this one is lower everywhere, so that the refusal can name a limit.
pub const MAX_DEPTH: usize = 32;

/// Integers up to here are exact as doubles, and printed as integers.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_992.0; // 2^53

/// Why a `google.protobuf.Value` has no JSON text, or JSON text no `Value`. The messages are meant
/// for the caller of the API.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// NaN or an infinity.
    #[error("NaN and infinities are not JSON")]
    NotFinite,
    /// A `Value` without any of its kinds set.
    #[error("a value has no kind set (use null_value for null)")]
    Unset,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("must nest arrays and objects at most {MAX_DEPTH} deep")]
    TooDeep,
    /// Not one JSON value.
    #[error("not a JSON value: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// The JSON text of a value, without white space and with the members of objects in the order of
/// their names.
///
/// Integral numbers within ±2^53 are printed as integers (negative zero as `0`), all others so that
/// reading them gives the same double.
///
/// # Errors
///
/// [`ValueError`], but for `Syntax`.
pub fn value_to_json(value: &Value) -> Result<String, ValueError> {
    let mut out = String::new();
    write_value(&mut out, value, 0)?;
    Ok(out)
}

/// The value that JSON text stands for. Numbers become doubles, and of members with the same name
/// the last one counts.
///
/// # Errors
///
/// [`ValueError::Syntax`] for text that is not one JSON value, [`ValueError::TooDeep`].
pub fn value_from_json(text: &str) -> Result<Value, ValueError> {
    from_serde(serde_json::from_str(text)?, 0)
}

fn write_value(out: &mut String, value: &Value, depth: usize) -> Result<(), ValueError> {
    match value.kind.as_ref().ok_or(ValueError::Unset)? {
        Kind::NullValue(_) => out.push_str("null"),
        Kind::BoolValue(true) => out.push_str("true"),
        Kind::BoolValue(false) => out.push_str("false"),
        Kind::NumberValue(number) => write_number(out, *number)?,
        Kind::StringValue(text) => write_string(out, text)?,
        Kind::ListValue(ListValue { values }) => {
            let depth = deeper(depth)?;
            out.push('[');
            for (i, item) in values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item, depth)?;
            }
            out.push(']');
        }
        Kind::StructValue(Struct { fields }) => {
            let depth = deeper(depth)?;
            out.push('{');
            for (i, (name, member)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, name)?;
                out.push(':');
                write_value(out, member, depth)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, ValueError> {
    if depth == MAX_DEPTH {
        return Err(ValueError::TooDeep);
    }
    Ok(depth + 1)
}

fn write_number(out: &mut String, number: f64) -> Result<(), ValueError> {
    if !number.is_finite() {
        return Err(ValueError::NotFinite);
    }
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
        // Exact: the bound was just checked.
        out.push_str(&(number as i64).to_string());
    } else {
        out.push_str(&serde_json::to_string(&number)?);
    }
    Ok(())
}

fn write_string(out: &mut String, text: &str) -> Result<(), ValueError> {
    out.push_str(&serde_json::to_string(text)?);
    Ok(())
}

fn from_serde(json: serde_json::Value, depth: usize) -> Result<Value, ValueError> {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::Number(number) => {
            // Every JSON number that was read fits a double, if not exactly.
            Kind::NumberValue(number.as_f64().ok_or(ValueError::NotFinite)?)
        }
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => {
            let depth = deeper(depth)?;
            let values = items.into_iter().map(|item| from_serde(item, depth));
            Kind::ListValue(ListValue { values: values.collect::<Result<_, _>>()? })
        }
        serde_json::Value::Object(members) => {
            let depth = deeper(depth)?;
            let fields =
                members.into_iter().map(|(name, member)| Ok((name, from_serde(member, depth)?)));
            Kind::StructValue(Struct { fields: fields.collect::<Result<_, ValueError>>()? })
        }
    };
    Ok(Value { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::api;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn number(n: f64) -> Result<String, ValueError> {
        value_to_json(&value(Kind::NumberValue(n)))
    }

    fn nested(depth: usize, wrap: impl Fn(Value) -> Kind) -> Value {
        (0..depth).fold(value(Kind::BoolValue(true)), |inner, _| value(wrap(inner)))
    }

    fn in_list(inner: Value) -> Kind {
        Kind::ListValue(ListValue { values: vec![inner] })
    }

    fn in_struct(inner: Value) -> Kind {
        Kind::StructValue(Struct { fields: [("a".to_owned(), inner)].into() })
    }

    #[test]
    fn integral_numbers_within_two_to_the_53_print_as_integers() {
        let printed = |n| number(n).expect("finite");
        assert_eq!(printed(0.0), "0");
        assert_eq!(printed(-0.0), "0");
        assert_eq!(printed(42.0), "42");
        assert_eq!(printed(-1e15), "-1000000000000000");
        assert_eq!(printed(9_007_199_254_740_992.0), "9007199254740992");
        assert_eq!(printed(-9_007_199_254_740_992.0), "-9007199254740992");
        assert_eq!(printed(0.1), "0.1");
        assert_eq!(printed(1e300), "1e+300");
        assert_eq!(printed(5e-324), "5e-324");
    }

    #[test]
    fn nan_and_infinities_are_refused_wherever_they_stand() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(number(bad), Err(ValueError::NotFinite)));
            let deep = value(in_struct(value(in_list(value(Kind::NumberValue(bad))))));
            assert!(matches!(value_to_json(&deep), Err(ValueError::NotFinite)));
        }
    }

    #[test]
    fn a_value_without_a_kind_is_refused() {
        let unset = Value { kind: None };
        assert!(matches!(value_to_json(&unset), Err(ValueError::Unset)));
        assert!(matches!(value_to_json(&value(in_list(unset))), Err(ValueError::Unset)));
    }

    #[test]
    fn depth_is_bounded_both_ways() {
        for wrap in [in_list as fn(Value) -> Kind, in_struct] {
            let deepest = value_to_json(&nested(MAX_DEPTH, wrap)).expect("within the limit");
            value_from_json(&deepest).expect("within the limit");
            let deeper = nested(MAX_DEPTH + 1, wrap);
            assert!(matches!(value_to_json(&deeper), Err(ValueError::TooDeep)));
        }
        let text = format!("{}1{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert!(matches!(value_from_json(&text), Err(ValueError::TooDeep)));
    }

    #[test]
    fn the_decoder_admits_max_depth_in_a_batch() {
        for wrap in [in_list as fn(Value) -> Kind, in_struct] {
            let notice = api::SendNoticeRequest {
                payload: Some(api::send_notice_request::Payload::Data(nested(MAX_DEPTH, wrap))),
                ..Default::default()
            };
            let batch = api::BatchSendNoticesRequest {
                items: vec![api::BatchSendNoticesItem {
                    notice: Some(notice),
                    ..Default::default()
                }],
            };
            let bytes = batch.encode_to_vec();
            assert_eq!(api::BatchSendNoticesRequest::decode(&bytes[..]).expect("decodes"), batch);
        }
    }

    #[test]
    fn strings_are_escaped() {
        let text = "\"\\\u{0}\u{1f}\n/é\u{2028}𝄞";
        let json = value_to_json(&value(Kind::StringValue(text.to_owned()))).expect("a string");
        assert_eq!(json, "\"\\\"\\\\\\u0000\\u001f\\n/é\u{2028}𝄞\"");
    }

    #[test]
    fn text_that_is_not_one_json_value_is_refused() {
        for bad in ["", "{", "1 2", "NaN", "{a:1}", "1e999"] {
            assert!(matches!(value_from_json(bad), Err(ValueError::Syntax(_))), "{bad:?}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Kind::NullValue(0)),
            any::<bool>().prop_map(Kind::BoolValue),
            any::<i32>().prop_map(|n| Kind::NumberValue(n.into())),
            (proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL)
                .prop_map(Kind::NumberValue),
            any::<String>().prop_map(Kind::StringValue),
        ]
        .prop_map(value);
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6)
                    .prop_map(|values| Kind::ListValue(ListValue { values })),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Kind::StructValue(Struct { fields })),
            ]
            .prop_map(value)
        })
    }

    proptest! {
        #[test]
        fn every_finite_value_comes_back_from_its_text(v in any_value()) {
            let text = value_to_json(&v).expect("finite and shallow");
            prop_assert_eq!(value_from_json(&text).expect("own text"), v);
        }

        #[test]
        fn every_double_comes_back_to_the_bit(bits in any::<u64>()) {
            let n = f64::from_bits(bits);
            prop_assume!(n.is_finite() && bits != (-0.0f64).to_bits());
            let text = number(n).expect("finite");
            prop_assert_eq!(text.parse::<f64>().expect("a number").to_bits(), bits);
            let Some(Kind::NumberValue(back)) = value_from_json(&text).expect("own text").kind else {
                return Err(TestCaseError::fail("not a number"));
            };
            prop_assert_eq!(back, n);
        }
    }
}
