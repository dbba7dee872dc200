//! The log of a container: Docker's json-file format, rotated, and pipes that lose nothing.
//!
//! Output reaches us through named pipes that also another process holds open, so what the
//! container has written survives our death. [`pipe`] takes bytes out of a pipe only after their
//! lines are in the file, and [`journal`] remembers across a crash how far that got.

pub mod file;
pub mod journal;
pub mod json;
pub mod pipe;

use std::collections::BTreeMap;

/// When to rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Largest file in bytes; `None` never rotates.
    pub max_size: Option<u64>,
    /// How many files, the present one included.
    pub max_file: u32,
}

impl Default for LogLimits {
    /// 20 MB × 5, as Docker's `local` driver: nobody's disk is filled by a log.
    fn default() -> Self {
        Self {
            max_size: Some(20_000_000),
            max_file: 5,
        }
    }
}

impl LogLimits {
    /// From driver options; the error names the option.
    pub fn from_options(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut limits = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "max-size" => {
                    limits.max_size = if value == "-1" {
                        None
                    } else {
                        Some(size(value).filter(|n| *n > 0).ok_or_else(|| {
                            format!("log option `max-size={value}` is not a size like `10m`")
                        })?)
                    };
                }
                "max-file" => {
                    limits.max_file = value.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                        format!("log option `max-file={value}` is not a positive number")
                    })?;
                }
                // What we do is what it asks for.
                "mode" if value == "blocking" => {}
                "compress" if value == "false" => {}
                _ => {
                    return Err(format!(
                        "log option `{key}={value}` is not supported; there are `max-size` and `max-file`"
                    ));
                }
            }
        }
        Ok(limits)
    }
}

/// `10m`, `512k`, `1g`, `100`: go-units' decimal multiples.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(options: &[(&str, &str)]) -> Result<LogLimits, String> {
        LogLimits::from_options(
            &options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn options_are_understood_or_named() {
        assert_eq!(limits(&[]).unwrap(), LogLimits::default());
        let custom = limits(&[("max-size", "10m"), ("max-file", "3")]).unwrap();
        assert_eq!((custom.max_size, custom.max_file), (Some(10_000_000), 3));
        assert_eq!(limits(&[("max-size", "-1")]).unwrap().max_size, None);
        for (key, value) in [
            ("max-size", "x"),
            ("max-file", "0"),
            ("tag", "a"),
            ("compress", "true"),
        ] {
            assert!(limits(&[(key, value)]).unwrap_err().contains(key));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_size_text_is_parsed_or_refused(text in ".*") {
            let _ = size(&text);
        }
    }
}
