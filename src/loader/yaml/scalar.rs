//! The type of a scalar, by its text and its tag, as go-yaml v3 decides it.

use std::fmt;

use super::binary;
use super::timestamp::is_timestamp;
use crate::loader::tree::{Tag, Value};

/// Compose's tag, and the core type a tag asks for. `!` alone asks for nothing.
pub(super) fn tag_of(tag: Option<&str>) -> (Tag, Core) {
    match tag {
        None | Some("!") => (Tag::None, Core::Any),
        Some("!reset") => (Tag::Reset, Core::Raw),
        Some("!override") => (Tag::Override, Core::Raw),
        Some(tag) => (Tag::None, core_of(tag)),
    }
}

fn core_of(tag: &str) -> Core {
    match tag
        .strip_prefix("tag:yaml.org,2002:")
        .or(tag.strip_prefix("!!"))
    {
        Some("int") => Core::Type(Wanted::Int),
        Some("bool") => Core::Type(Wanted::Bool),
        Some("null") => Core::Type(Wanted::Null),
        Some("timestamp") => Core::Type(Wanted::Timestamp),
        Some("float") => Core::Type(Wanted::Float),
        Some("binary") => Core::Binary,
        _ => Core::Raw,
    }
}

/// What a tag says of a scalar.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Core {
    /// Nothing: quotes and text decide.
    Any,
    /// It is of this type.
    Type(Wanted),
    /// It is text.
    Raw,
    /// It is text in base64.
    Binary,
}

/// A type that a tag asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Int,
    Bool,
    Null,
    Timestamp,
    Float,
    Binary,
}

/// As in its tag.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Null => "null",
            Self::Timestamp => "timestamp",
            Self::Float => "float",
            Self::Binary => "binary",
        })
    }
}

/// A scalar; `Err` is the type that its text is not of.
pub(super) fn scalar(text: &str, plain: bool, core: Core) -> Result<Value, Wanted> {
    let wanted = match core {
        Core::Any if plain => return Ok(resolve(text)),
        Core::Any | Core::Raw => return Ok(Value::Str(text.to_owned())),
        Core::Binary => return binary::decode(text).map(Value::Str).ok_or(Wanted::Binary),
        Core::Type(wanted) => wanted,
    };
    match (resolve(text), wanted) {
        // Go does so for signed numbers only.
        (Value::Int(i), Wanted::Float) if i <= i128::from(i64::MAX) => Ok(Value::Float(i as f64)),
        (value @ Value::Float(_), Wanted::Float)
        | (value @ Value::Int(_), Wanted::Int)
        | (value @ Value::Bool(_), Wanted::Bool)
        | (value @ Value::Null, Wanted::Null)
        | (value @ Value::Time(_), Wanted::Timestamp) => Ok(value),
        _ => Err(wanted),
    }
}

/// The type of a plain scalar, as go-yaml v3 decides it.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::Str(text.to_owned()))
}

/// A number or a date; what begins as neither is not looked at further.
fn number(text: &str) -> Option<Value> {
    match text.as_bytes()[0] {
        b'+' | b'-' | b'0'..=b'9' => {}
        b'.' if separates_digits(text) => return float(&text.replace('_', "")),
        _ => return None,
    }
    if is_timestamp(text) {
        return Some(Value::Time(text.to_owned()));
    }
    let digits = text.replace('_', "");
    match integer(&digits) {
        Some(i) => Some(Value::Int(i)),
        None => float(&digits).or_else(|| signed_after_prefix(&digits).map(Value::Int)),
    }
}

/// Whether each `_` stands between two digits.
fn separates_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    text.match_indices('_')
        .all(|(at, _)| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)))
}

fn float(text: &str) -> Option<Value> {
    let value = text.parse::<f64>().ok().filter(|_| is_float(text))?;
    value.is_finite().then_some(Value::Float(value))
}

/// A whole number with Go's prefixes: `0x`, `0o`, `0b`, and `0` for octal; at most 64 bits.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (Some(-1), &text[1..]),
        b'+' => (Some(1), &text[1..]),
        _ => (None, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()? * sign.unwrap_or(1);
    // Only what has no sign is read as an unsigned number.
    let most = match sign {
        None => i128::from(u64::MAX),
        Some(_) => i128::from(i64::MAX),
    };
    (i128::from(i64::MIN)..=most)
        .contains(&value)
        .then_some(value)
}

/// `0b-1`: go-yaml takes these two prefixes away by itself, and lets a sign follow.
fn signed_after_prefix(text: &str) -> Option<i128> {
    let (radix, digits) = match text.strip_prefix("0b") {
        Some(rest) => (2, rest),
        None => (8, text.strip_prefix("0o")?),
    };
    i64::from_str_radix(digits, radix).ok().map(i128::from)
}

fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(i) => (&text[..i], Some(&text[i + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fine =
        digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_fine = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_fine && exponent_fine
}

#[cfg(test)]
mod tests {
    use super::{Core, Value, Wanted, resolve, scalar};

    #[test]
    fn numbers_are_those_of_go_yaml() {
        for (text, want) in [
            ("0x10", Value::Int(16)),
            ("-0X1f", Value::Int(-31)),
            ("010", Value::Int(8)),
            ("+0o7", Value::Int(7)),
            ("0b-1", Value::Int(-1)),
            ("0b+1", Value::Int(1)),
            ("0o-_7", Value::Int(-7)),
            ("-0b1", Value::Int(-1)),
            (
                "18446744073709551615",
                Value::Int(18_446_744_073_709_551_615),
            ),
            (
                "+18446744073709551615",
                Value::Float(18_446_744_073_709_551_615.0),
            ),
            (
                "-9223372036854775809",
                Value::Float(-9_223_372_036_854_775_809.0),
            ),
            (".5", Value::Float(0.5)),
            (".5_0", Value::Float(0.5)),
            (".5e1_0", Value::Float(5e9)),
            ("1__5", Value::Int(15)),
        ] {
            let found = resolve(text);
            assert_eq!(format!("{found:?}"), format!("{want:?}"), "{text}");
        }
        for text in [
            "+202-1-1", ".5__0", ".5_", "._5", "0x-1", "-0b-1", "-0o-7", "0b--1", "0B-1", "-+1",
            "+-1", "0b2", "08x",
        ] {
            assert!(matches!(resolve(text), Value::Str(_)), "{text}");
        }
    }

    #[test]
    fn a_tag_asks_for_a_type() {
        for (text, wanted, fits) in [
            ("1", Wanted::Float, true),
            (".5_0", Wanted::Float, true),
            ("9223372036854775807", Wanted::Float, true),
            ("18446744073709551615", Wanted::Float, false),
            ("1.5", Wanted::Int, false),
            ("2024-01-01", Wanted::Timestamp, true),
            ("2024-01-01", Wanted::Float, false),
        ] {
            let found = scalar(text, false, Core::Type(wanted));
            assert_eq!(found.err(), (!fits).then_some(wanted), "{text}");
        }
        assert_eq!(scalar("?", true, Core::Binary).err(), Some(Wanted::Binary));
    }
}
