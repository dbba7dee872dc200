//! Durations, byte sizes and the other scalars that Compose prints in its own way.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::record::{Omit, SCALAR};

/// A span of time in nanoseconds; may be negative. Serialised as Go prints it (`1m30s`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

impl Duration {
    /// As the standard library's type; negative spans are zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.unsigned_abs();
        if ns == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let fraction = |f: &mut fmt::Formatter<'_>, value: u64, unit: u64, name: &str| {
            let (whole, rest) = (value / unit, value % unit);
            if rest == 0 {
                return write!(f, "{whole}{name}");
            }
            let width = unit.ilog10() as usize;
            let digits = format!("{rest:0width$}");
            write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
        };
        match ns {
            0..1_000 => write!(f, "{ns}ns"),
            1_000..1_000_000 => fraction(f, ns, 1_000, "µs"),
            1_000_000..1_000_000_000 => fraction(f, ns, 1_000_000, "ms"),
            _ => {
                let seconds = ns / 1_000_000_000;
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if hours > 0 || minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                fraction(f, ns % 60_000_000_000, 1_000_000_000, "s")
            }
        }
    }
}

impl Omit for Duration {
    fn omit(&self) -> bool {
        self.0 == 0
    }
}

/// The canonical text is for people; the tree hands nanoseconds over.
impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        i64::deserialize(d).map(Self)
    }
}

/// A number of bytes; serialised as a decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub i64);

impl Omit for Bytes {
    fn omit(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        i64::deserialize(d).map(Self)
    }
}

/// A number of processors, possibly fractional.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Cpus(pub f32);

impl Cpus {
    /// In billionths of a processor.
    pub fn nanos(self) -> i64 {
        (f64::from(self.0) * 1e9).round() as i64
    }
}

impl Omit for Cpus {
    fn omit(&self) -> bool {
        self.0 == 0.0
    }
}

/// The shortest decimal that reads back as this f32; whole numbers without a fraction.
impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let text = match self.0 {
            f32::INFINITY => ".inf".to_owned(),
            f32::NEG_INFINITY => "-.inf".to_owned(),
            v if v.is_nan() => ".nan".to_owned(),
            v => v.to_string(),
        };
        if let Ok(whole) = text.parse() {
            return s.serialize_i64(whole);
        }
        match text.parse::<f64>() {
            Ok(v) => s.serialize_f64(v),
            Err(_) => s.collect_map([(SCALAR, text)]),
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        f64::deserialize(d).map(|v| Self(v as f32))
    }
}

/// File permission bits; serialised as an octal string (`"0440"`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileMode(pub i64);

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let sign = if self.0 < 0 { "-" } else { "" };
        s.collect_str(&format_args!("0{sign}{:o}", self.0.unsigned_abs()))
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        i64::deserialize(d).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_go_prints_them() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (93_600_000_000_000, "26h0m0s"),
            (-2_000_000_000, "-2s"),
        ];
        for (ns, text) in cases {
            assert_eq!(Duration(ns).to_string(), text);
        }
    }
}
