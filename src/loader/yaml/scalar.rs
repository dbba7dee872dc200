//! The type of a scalar, by its text and its tag, as go-yaml v3 decides it.

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
        Some("int") => Core::Type("int"),
        Some("bool") => Core::Type("bool"),
        Some("null") => Core::Type("null"),
        Some("timestamp") => Core::Type("timestamp"),
        Some("float") => Core::Type("float"),
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
    Type(&'static str),
    /// It is text.
    Raw,
    /// It is text in base64.
    Binary,
}

/// A scalar; `Err` is the type that its text is not of.
pub(super) fn scalar(text: &str, plain: bool, core: Core) -> Result<Value, &'static str> {
    let wanted = match core {
        Core::Any if plain => return Ok(resolve(text)),
        Core::Any | Core::Raw => return Ok(Value::Str(text.to_owned())),
        Core::Binary => return base64(text).map(Value::Str).ok_or("binary"),
        Core::Type(wanted) => wanted,
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

/// What is written in base64, with padding; line breaks do not count. Bytes that are no text
/// become marks of replacement.
fn base64(text: &str) -> Option<String> {
    let written: Vec<u8> = text
        .bytes()
        .filter(|b| !matches!(b, b'\n' | b'\r'))
        .collect();
    if !written.len().is_multiple_of(4) {
        return None;
    }
    let padding = written.iter().rev().take_while(|b| **b == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(written.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for byte in &written[..written.len() - padding] {
        bits = bits << 6 | u32::from(sextet(*byte)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
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

/// `2006-1-2`, optionally with a time: after `T` with a zone, after a space without.
fn is_timestamp(text: &str) -> bool {
    let (date, time) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    if !is_date(date) {
        return false;
    }
    match time.as_bytes().first() {
        None => true,
        Some(b' ') => clock(time.trim_start_matches(' ')) == Some(""),
        Some(_) => clock(&time[1..]).is_some_and(is_zone),
    }
}

fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Some(month), Some(day)) = (short_number(month), short_number(day)) else {
        return false;
    };
    let Some(year) = year.parse::<u32>().ok().filter(|_| year.len() == 4) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// One or two digits.
fn short_number(text: &str) -> Option<u32> {
    let fits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// `15:4:5.9`; what follows it.
fn clock(text: &str) -> Option<&str> {
    let digits = |text: &str| {
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len())
    };
    let (hour, rest) = text.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let (second, rest) = rest.split_at(digits(rest));
    let fits = short_number(hour)? < 24 && short_number(minute)? < 60 && short_number(second)? < 60;
    let fraction = rest.strip_prefix(['.', ',']).unwrap_or_default();
    let rest = match digits(fraction) {
        0 => rest,
        length => &fraction[length..],
    };
    fits.then_some(rest)
}

/// `Z` or `+07:00`.
fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else {
        return text == "Z";
    };
    let fits = |part: &str, most| part.len() == 2 && short_number(part).is_some_and(|n| n <= most);
    offset
        .split_once(':')
        .is_some_and(|(hours, minutes)| fits(hours, 24) && fits(minutes, 59))
}

#[cfg(test)]
mod tests {
    use super::{Core, Value, base64, resolve, scalar};

    #[test]
    fn dates_are_those_of_go_yaml() {
        for (text, want) in [
            ("2024-01-01", true),
            ("2024-1-1T1:2:3Z", true),
            ("2024-02-29t01:02:03.5+02:00", true),
            ("2024-01-01  1:2:3,25", true),
            ("2023-02-29", false),
            ("2024-13-01", false),
            ("2024-01-01T01:02:03", false),
            ("2024-01-01 01:02:03Z", false),
            ("2024-01-01T01:02:03.Z", false),
            ("2024-01-01T01:02:60Z", false),
            ("2024-01-01T01:02:03+0:00", false),
            ("2024-01-01 01:02", false),
            ("24-01-01", false),
        ] {
            assert_eq!(matches!(resolve(text), Value::Time(_)), want, "{text}");
        }
    }

    #[test]
    fn binary_is_decoded() {
        for (text, want) in [
            ("aGk=", Some("hi")),
            ("aGkh\nIQ==\n", Some("hi!!")),
            ("aGkh\r\naGk=", Some("hi!hi")),
            ("", Some("")),
            ("/w==", Some("\u{fffd}")),
            ("aGk", None),
            ("a?==", None),
            ("a===", None),
            ("=aGk", None),
        ] {
            assert_eq!(base64(text).as_deref(), want, "{text}");
        }
        assert_eq!(scalar("?", true, Core::Binary).err(), Some("binary"));
    }
}
