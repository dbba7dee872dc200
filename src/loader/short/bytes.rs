//! Sizes: `512m`, `1.5 GiB`. All units are binary.

/// Reads a size; `None` when it is not one.
pub fn parse(text: &str) -> Option<i64> {
    let digits = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .map_or(0, |i| i + 1);
    let (number, unit) = text.split_at(digits);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let value = super::number::parse(number).filter(|v| *v >= 0.0 && v.is_finite())?;
    let unit = unit.to_ascii_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => return Some(value as i64),
        Some('b') => return letters.next().is_none().then_some(value as i64),
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some('p') => 5,
        Some(_) => return None,
    };
    matches!(letters.as_str(), "" | "b" | "ib").then(|| (value * 1024f64.powi(power)) as i64)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        let cases = [
            ("0", Some(0)),
            ("42", Some(42)),
            ("1_000", Some(1000)),
            ("1_0g", Some(10 << 30)),
            ("42b", Some(42)),
            ("1k", Some(1024)),
            ("1kb", Some(1024)),
            ("1KiB", Some(1024)),
            ("1.5 GiB", Some(1_610_612_736)),
            ("64M", Some(67_108_864)),
            (".5k", Some(512)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("1bb", None),
            ("-1", None),
            ("1 2k", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
