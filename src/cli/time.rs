//! Points in time and line counts as `logs` and `events` take them.

use jiff::Timestamp;

use crate::cli::error::CliError;
use crate::loader::short;

/// `2026-01-02T15:04:05Z`, seconds since 1970, or a duration before now (`42m`).
///
/// # Errors
/// When the text is none of these.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let unclear = || {
        CliError::usage(format!(
            "`{text}` is not a time: write 2026-01-02T15:04:05Z, seconds since 1970, or 42m for 42 minutes ago"
        ))
    };
    if let Some(before) =
        short::duration::parse(text).filter(|_| text.ends_with(char::is_alphabetic))
        && !text.ends_with('Z')
    {
        return now
            .checked_sub(jiff::SignedDuration::from_nanos(before))
            .map_err(|_| unclear());
    }
    if let Some((seconds, fraction)) = unix(text) {
        return Timestamp::new(seconds, fraction).map_err(|_| unclear());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    // A date alone, or a time without a zone, is in UTC: this machine's zone is not asked.
    let civil = text
        .parse::<jiff::civil::DateTime>()
        .map_err(|_| unclear())?;
    let zoned = civil
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|_| unclear())?;
    Ok(zoned.timestamp())
}

fn unix(text: &str) -> Option<(i64, i32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((
        seconds.parse().ok()?,
        format!("{fraction:0<9}").parse().ok()?,
    ))
}

/// `all` or a number of lines.
///
/// # Errors
/// When it is neither.
pub fn tail(text: &str) -> Result<Option<usize>, CliError> {
    match text {
        "all" | "" | "-1" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| CliError::usage(format!("--tail `{text}`: a number of lines, or all"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_form() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let cases = [
            ("42m", "2026-01-02T11:18:00Z"),
            ("1h30m", "2026-01-02T10:30:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
            ("1767225600.5", "2026-01-01T00:00:00.5Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse(text, now).unwrap(),
                expected.parse::<Timestamp>().unwrap(),
                "{text}"
            );
        }
        assert!(parse("yesterday", now).is_err());
        assert_eq!(tail("10").unwrap(), Some(10));
        assert!(tail("some").is_err());
    }
}
