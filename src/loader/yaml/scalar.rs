//! The type of a scalar, by its text and its tag, as go-yaml v3 decides it.

use crate::loader::tree::{Tag, Value};

/// Compose's tag, and the core type a tag asks for.
pub(super) fn tag_of(tag: Option<&saphyr_parser::Tag>) -> (Tag, Core) {
    let Some(tag) = tag else {
        return (Tag::None, Core::Any);
    };
    if tag.handle == "!" {
        return match tag.suffix.as_str() {
            "reset" => (Tag::Reset, Core::Raw),
            "override" => (Tag::Override, Core::Raw),
            _ => (Tag::None, Core::Raw),
        };
    }
    let core = match tag.suffix.as_str() {
        "int" => Core::Type("int"),
        "bool" => Core::Type("bool"),
        "null" => Core::Type("null"),
        "timestamp" => Core::Type("timestamp"),
        "float" => Core::Type("float"),
        _ => Core::Raw,
    };
    (Tag::None, core)
}

/// What a tag says of a scalar.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Core {
    /// Nothing: quotes and text decide.
    Any,
    /// It is of this type.
    Type(&'static str),
    /// It is text.
    Raw,
}

/// A scalar; `Err` is the type that its text is not of.
pub(super) fn scalar(text: &str, plain: bool, core: Core) -> Result<Value, &'static str> {
    let Core::Type(wanted) = core else {
        return Ok(if plain && core == Core::Any {
            resolve(text)
        } else {
            Value::Str(text.to_owned())
        });
    };
    match (resolve(text), wanted) {
        (Value::Int(i), "float") => Ok(Value::Float(i as f64)),
        (value @ Value::Float(_), "float")
        | (value @ Value::Int(_), "int")
        | (value @ Value::Bool(_), "bool")
        | (value @ Value::Null, "null")
        | (value @ Value::Time(_), "timestamp") => Ok(value),
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
    let number = || Value::Str(text.to_owned());
    match text.as_bytes()[0] {
        b'+' | b'-' | b'0'..=b'9' => {}
        b'.' => {
            return match text.parse::<f64>() {
                Ok(v) if is_float(text) && v.is_finite() => Value::Float(v),
                _ => number(),
            };
        }
        _ => return number(),
    }
    if is_timestamp(text) {
        return Value::Time(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(i) = go_int(&digits) {
        return Value::Int(i);
    }
    if is_float(&digits)
        && let Ok(v) = digits.parse::<f64>()
        && v.is_finite()
    {
        return Value::Float(v);
    }
    number()
}

/// A whole number with Go's prefixes: `0x`, `0o`, `0b`, and `0` for octal; at most 64 bits.
fn go_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
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
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let limit = if negative {
        i128::from(i64::MAX) + 1
    } else {
        i128::from(u64::MAX)
    };
    (value <= limit).then_some(if negative { -value } else { value })
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

/// `2006-1-2`, optionally with a time.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let split = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, time) = text.split_at(split);
    let mut parts = date.split('-');
    let number = |part: Option<&str>, max: u32| {
        part.is_some_and(|p| {
            (1..=2).contains(&p.len()) && p.parse::<u32>().is_ok_and(|n| (1..=max).contains(&n))
        })
    };
    parts.next();
    if !number(parts.next(), 12) || !number(parts.next(), 31) || parts.next().is_some() {
        return false;
    }
    if time.is_empty() {
        return true;
    }
    let clock = time[1..].trim();
    let clock_end = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    if time.starts_with(' ') != (clock_end == clock.len()) {
        return false;
    }
    let mut parts = clock[..clock_end].splitn(3, ':');
    let in_range = |part: Option<&str>, max: f64| {
        part.is_some_and(|p| p.parse::<f64>().is_ok_and(|n| (0.0..=max).contains(&n)))
    };
    in_range(parts.next(), 23.0) && in_range(parts.next(), 59.0) && in_range(parts.next(), 60.0)
}
