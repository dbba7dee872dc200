//! Durations: `1m30s`, `1.5h`, `2d`, `1w`. A unit is required except for `0`.

use std::str::FromStr;

/// Reads a duration in nanoseconds; `None` when it is not one.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return None;
        }
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let scale: i128 = match &after[..unit_end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole = if whole.is_empty() {
            0
        } else {
            i128::from_str(whole).ok()?
        };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        if !fraction.is_empty() {
            let digits = &fraction[..fraction.len().min(15)];
            let part = i128::from_str(digits).ok()?;
            total = total.checked_add(part * scale / 10i128.pow(digits.len() as u32))?;
        }
        rest = &after[unit_end..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations() {
        let s = 1_000_000_000;
        let cases = [
            ("0", Some(0)),
            ("10s", Some(10 * s)),
            ("1m30s", Some(90 * s)),
            ("1.5h", Some(5400 * s)),
            ("2d", Some(172_800 * s)),
            ("1w", Some(604_800 * s)),
            ("-1s", Some(-s)),
            ("500ms", Some(s / 2)),
            ("10", None),
            ("", None),
            ("s", None),
            ("1 s", None),
            ("1y", None),
            ("99999999999999999999h", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
