//! `!!binary`: text in base64.

/// What is written in base64, with padding; line breaks do not count. Bytes that are no text
/// become marks of replacement.
pub(super) fn decode(text: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::decode;

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
            assert_eq!(decode(text).as_deref(), want, "{text}");
        }
    }
}
