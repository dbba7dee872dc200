//! Which texts are dates and times, as go-yaml v3 decides it.

/// `2006-1-2`, optionally with a time: after `T` with a zone, after a space without.
pub(super) fn is_timestamp(text: &str) -> bool {
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
    let is_year = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let Some(year) = year.parse::<u32>().ok().filter(|_| is_year) else {
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

/// `Z` or `+07:00`; Go takes `+24:60`.
fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else {
        return text == "Z";
    };
    let fits = |part: &str, most| part.len() == 2 && short_number(part).is_some_and(|n| n <= most);
    offset
        .split_once(':')
        .is_some_and(|(hours, minutes)| fits(hours, 24) && fits(minutes, 60))
}

#[cfg(test)]
mod tests {
    use super::is_timestamp;

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
            ("2024-01-01T01:02:03+24:60", true),
            ("2024-01-01T01:02:03+01:61", false),
            ("24-01-01", false),
            ("+202-1-1", false),
        ] {
            assert_eq!(is_timestamp(text), want, "{text}");
        }
    }
}
