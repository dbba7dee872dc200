//! One line of a json-file log, byte for byte as Docker writes it.

use std::io::Write;

use jiff::Timestamp;

/// Longest piece of a line in one entry; a longer line is continued in the next.
pub const PIECE: usize = 16 * 1024;

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What ends every entry of one batch: `","stream":"stdout","attrs":{…},"time":"…"}` and a newline.
pub fn tail(stream: Stream, attributes: Option<&str>, time: Timestamp) -> Vec<u8> {
    let attributes = attributes.map(|json| format!("\"attrs\":{json},"));
    format!(
        "\",\"stream\":\"{}\",{}\"time\":\"{}\"}}\n",
        stream.as_str(),
        attributes.unwrap_or_default(),
        rfc3339_nano(time)
    )
    .into_bytes()
}

/// Go's RFC3339Nano in UTC: fractions without trailing zeros.
pub fn rfc3339_nano(time: Timestamp) -> String {
    time.to_string()
}

/// Appends entries for the complete lines of `input`, and for full pieces of an incomplete one,
/// until there is no more of them or `out` has `enough` bytes. Returns how many bytes of the
/// input are in them.
pub fn encode_lines(input: &[u8], tail: &[u8], enough: usize, out: &mut Vec<u8>) -> usize {
    let mut done = 0;
    while done < input.len() && out.len() < enough {
        let rest = &input[done..];
        let window = &rest[..rest.len().min(PIECE)];
        let length = match memchr(b'\n', window) {
            Some(at) => at + 1,
            None if window.len() == PIECE => PIECE,
            None => break,
        };
        entry(&rest[..length], tail, out);
        done += length;
    }
    done
}

/// Appends one entry, whatever it ends with.
pub fn entry(text: &[u8], tail: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(text, out);
    out.extend_from_slice(tail);
}

/// As Go's encoder with HTML escaping, which Docker's log files carry.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        escape_str(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            // One replacement for each wrong byte, as Go's decoder counts them.
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
    }
}

fn escape_str(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9: line ends in JavaScript.
            0xE2 if bytes[at..].starts_with(&[0xE2, 0x80, 0xA8]) => b"\\u2028",
            0xE2 if bytes[at..].starts_with(&[0xE2, 0x80, 0xA9]) => b"\\u2029",
            0..=0x1F => {
                out.extend_from_slice(&bytes[plain..at]);
                let _ = write!(out, "\\u{byte:04x}");
                plain = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain.min(at)..at]);
        out.extend_from_slice(escaped);
        plain = at + if byte == 0xE2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[plain..]);
}

fn memchr(needle: u8, haystack: &[u8]) -> Option<usize> {
    haystack.iter().position(|&byte| byte == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(input: &[u8]) -> (String, usize) {
        let mut out = Vec::new();
        let done = encode_lines(input, b"\"}\n", usize::MAX, &mut out);
        (String::from_utf8(out).unwrap(), done)
    }

    #[test]
    fn whole_lines_become_entries_and_the_rest_stays() {
        let (text, done) = encoded(b"one\ntwo\nthr");
        assert_eq!(text, "{\"log\":\"one\\n\"}\n{\"log\":\"two\\n\"}\n");
        assert_eq!(done, 8);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let mut line = vec![b'x'; PIECE + 10];
        line.push(b'\n');
        let (text, done) = encoded(&line);
        assert_eq!(done, line.len());
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("xxxxxxxxxx\\n\"}\n"));
    }

    #[test]
    fn it_reads_as_dockers() {
        let mut out = Vec::new();
        let time: Timestamp = "2026-11-21T05:04:03.120000000Z".parse().unwrap();
        entry(
            b"a\"\\<&>\t\x01\xe2\x80\xa8\xff\xc3\xa4\r\n",
            &tail(Stream::Stderr, None, time),
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"log\":\"a\\\"\\\\\\u003c\\u0026\\u003e\\t\\u0001\\u2028\\ufffdä\\r\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-21T05:04:03.12Z\"}\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn every_entry_is_valid_json_with_the_text(input: Vec<u8>) {
            let mut out = Vec::new();
            entry(&input, b"\"}\n", &mut out);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            if let Ok(text) = std::str::from_utf8(&input) {
                proptest::prop_assert_eq!(value["log"].as_str(), Some(text));
            }
        }
    }
}
