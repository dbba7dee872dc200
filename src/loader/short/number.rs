//! Numbers as Go reads them from a text: with `_` between digits, in hexadecimal with an exponent,
//! and words for those that are infinite.

/// Reads a number; `None` when it is not one, or too large.
pub fn parse(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = match digits.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if digits.len() == text.len() => f64::NAN,
        lower => finite(lower)?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn finite(lower: &str) -> Option<f64> {
    if !marks_part_digits(lower) {
        return None;
    }
    let plain = lower.replace('_', "");
    match plain.strip_prefix("0x") {
        Some(hex) => hexadecimal(hex),
        None if plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') => plain.parse().ok(),
        None => None,
    }
    .filter(|v: &f64| v.is_finite())
}

/// Whether each `_` stands between two digits; the `0x` counts as one.
fn marks_part_digits(lower: &str) -> bool {
    let (hex, body) = match lower.strip_prefix("0x") {
        Some(body) => (true, body),
        None => (false, lower),
    };
    let is_digit = |b: u8| b.is_ascii_digit() || hex && b.is_ascii_hexdigit();
    let mut before = hex;
    let mut after_mark = false;
    for byte in body.bytes() {
        let mark = byte == b'_';
        if mark && !before || after_mark && !is_digit(byte) {
            return false;
        }
        before = is_digit(byte);
        after_mark = mark;
    }
    !after_mark
}

/// `1.8p3`: hexadecimal digits times a power of two.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = whole.chars().chain(fraction.chars());
    let value = digits
        .map(|c| c.to_digit(16))
        .try_fold(0.0, |value, digit| Some(value * 16.0 + f64::from(digit?)))?;
    let exponent: i32 = exponent.parse().ok()?;
    let shift = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2f64.powi(exponent.checked_sub(shift)?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let cases = [
            ("1", Some(1.0)),
            ("-0.5", Some(-0.5)),
            ("+1_0", Some(10.0)),
            ("1_000", Some(1000.0)),
            ("1_0.5", Some(10.5)),
            ("1e3", Some(1000.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("0x1p4", Some(16.0)),
            ("0x_1.8p1", Some(3.0)),
            ("Inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("1_.5", None),
            ("0x1F", None),
            ("0x", None),
            ("1e400", None),
            ("+nan", None),
            ("", None),
            ("-", None),
            (" 1", None),
            ("e3", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
        assert!(parse("NaN").is_some_and(f64::is_nan));
    }
}
