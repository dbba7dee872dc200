//! Words for times, sizes and hostile text, as Docker says them.

use std::time::Duration;

/// The text with control characters escaped, so that a container's words cannot act on
/// the user's terminal. Tabs and everything printable stay.
pub fn printable(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() && c != '\t') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// "About a minute", "3 hours": Docker's `units.HumanDuration`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let minutes = seconds / 60;
    // Hours are rounded, as Docker does.
    let hours = (span.as_secs_f64() / 3600.0).round() as u64;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// "3 hours ago".
pub fn ago(span: Duration) -> String {
    format!("{} ago", duration(span))
}

/// Decimal units with four digits: "1.23MB", "512B" (`units.HumanSize`).
pub fn size(bytes: u64) -> String {
    scaled(
        bytes as f64,
        1000.0,
        &["B", "kB", "MB", "GB", "TB", "PB"],
        4,
    )
}

/// Decimal units with three digits: "31.5MB" (`units.HumanSizeWithPrecision(_, 3)`, image sizes).
pub fn short_size(bytes: u64) -> String {
    scaled(
        bytes as f64,
        1000.0,
        &["B", "kB", "MB", "GB", "TB", "PB"],
        3,
    )
}

/// Binary units: "1.5MiB" (`units.BytesSize`).
pub fn binary_size(bytes: u64) -> String {
    scaled(
        bytes as f64,
        1024.0,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB"],
        4,
    )
}

fn scaled(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// Go's `%.4g` for numbers from 0 to 9999.
fn significant(value: f64, digits: usize) -> String {
    let whole = if value >= 1.0 {
        value.log10().floor() as usize + 1
    } else {
        1
    };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (3600 * 3, "3 hours"),
            (3600 * 24 * 3, "3 days"),
            (3600 * 24 * 21, "3 weeks"),
            (3600 * 24 * 90, "3 months"),
            (3600 * 24 * 800, "2 years"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn sizes_are_dockers() {
        let cases = [
            (0, "0B"),
            (512, "512B"),
            (1000, "1kB"),
            (1234, "1.234kB"),
            (31_500_000, "31.5MB"),
            (1_999_999, "2MB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(binary_size(1_572_864), "1.5MiB");
        assert_eq!(short_size(123_456_789), "123MB");
    }
}
