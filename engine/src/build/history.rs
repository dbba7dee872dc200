//! What an image's history says of the instructions: BuildKit's texts, with the values they were done with.
//!
//! `docker history`, scanners and programs that turn an image back into a Dockerfile read these texts; where
//! BuildKit leaves a value to Go's formatting (`%q`), so do they.

use std::fmt::Write as _;

use super::digest::Hash;
use super::sharing::Step;
use super::stage::Stage;
use super::vertex::Made;
use crate::image::{HealthConfig, History};

/// Whether an instruction made a layer, and when.
#[derive(Clone, Copy)]
pub(super) enum LayerOf<'m> {
    Nothing,
    Made { created: &'m str },
}

impl Stage<'_, '_> {
    /// Adds a line of history.
    pub(super) fn history(&mut self, text: String, layer: LayerOf<'_>) {
        let (created, empty_layer) = match layer {
            LayerOf::Made { created } => (Some(created.to_owned()), false),
            LayerOf::Nothing => (self.solver.epoch.map(|_| self.solver.now()), true),
        };
        self.result.config.history.push(History {
            created,
            created_by: text,
            comment: "buildkit.dockerfile.v0".to_owned(),
            empty_layer,
            ..History::default()
        });
    }

    /// Puts a layer on the stack.
    pub(super) fn push(&mut self, key: Hash, made: Made, history: String) {
        let created = &made.created;
        self.history(history, LayerOf::Made { created });
        self.result.config.rootfs.diff_ids.push(made.layer.diff_id);
        if self.result.stack.below.is_empty() {
            self.result.steps.push(Step {
                key: made.key,
                layer: made.layer.clone(),
                created: made.created,
                name: made.name,
            });
        }
        self.result.stack.layers.push(made.layer);
        self.result.key = key;
    }

    /// `RUN`, with the declared build arguments before the command.
    pub(super) fn run_history(&self, argv: &[String]) -> String {
        let arguments = self.result.variables.arguments();
        let arguments: Vec<String> = arguments
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let argv = argv.join(" ");
        match arguments.as_slice() {
            [] => format!("RUN {argv} # buildkit"),
            all => format!("RUN |{} {} {argv} # buildkit", all.len(), all.join(" ")),
        }
    }
}

/// Gives entries without a time one: that of the first new layer, and after it that of the layer before them. What
/// changes no files has no time of its own, or the image would be another one each time it is built.
pub(super) fn date(history: &mut [History]) {
    let undated = history.iter().position(|entry| entry.created.is_none());
    let (before, after) = history.split_at(undated.unwrap_or(history.len()));
    let known = |entry: &History| entry.created.clone();
    let next = after.iter().find_map(known);
    let mut time = next.or_else(|| before.iter().rev().find_map(known));
    for entry in history.iter_mut().skip(undated.unwrap_or(usize::MAX)) {
        match &entry.created {
            Some(own) => time = Some(own.clone()),
            None => entry.created.clone_from(&time),
        }
    }
}

/// `ENV` and `LABEL`.
pub(super) fn pairs(keyword: &str, pairs: &[(String, String)]) -> String {
    let mut text = keyword.to_owned();
    for (name, value) in pairs {
        let _ = write!(text, " {name}={value}");
    }
    text
}

/// `CMD` and `ENTRYPOINT`: `["sh" "-c" "x"]`.
pub(super) fn quoted(keyword: &str, words: &[String]) -> String {
    format!("{keyword} {}", quoted_list(words))
}

/// `SHELL`, `VOLUME` and `EXPOSE`: `[a b]`.
pub(super) fn listed(keyword: &str, words: &[String]) -> String {
    format!("{keyword} [{}]", words.join(" "))
}

/// `HEALTHCHECK`: a structure as Go quotes it, its count as a character.
pub(super) fn health(health: &HealthConfig) -> String {
    let retries = u32::try_from(health.retries).ok().and_then(char::from_u32);
    format!(
        "HEALTHCHECK &{{{} \"{}\" \"{}\" \"{}\" \"{}\" '{}'}}",
        quoted_list(&health.test),
        duration(health.interval),
        duration(health.timeout),
        duration(health.start_period),
        duration(health.start_interval),
        escaped(retries.unwrap_or(char::REPLACEMENT_CHARACTER), '\''),
    )
}

fn quoted_list(words: &[String]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| {
            let inner: String = word.chars().map(|c| escaped(c, '"')).collect();
            format!("\"{inner}\"")
        })
        .collect();
    format!("[{}]", words.join(" "))
}

/// A character between such quotation marks in Go's source text.
fn escaped(character: char, quote: char) -> String {
    match character {
        '\\' => r"\\".to_owned(),
        c if c == quote => format!("\\{c}"),
        '\x07' => r"\a".to_owned(),
        '\x08' => r"\b".to_owned(),
        '\x0c' => r"\f".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\x0b' => r"\v".to_owned(),
        c if c < ' ' || c == '\x7f' => format!("\\x{:02x}", u32::from(c)),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// Nanoseconds as Go prints a duration: `1m30s`, `1.5s`, `20ms`.
fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", all % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{rest}{name}", all / unit)
    };
    match all {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{all}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => fraction(1_000_000_000, "s"),
        _ => {
            let (minutes, seconds) = (all / 60_000_000_000, all % 60_000_000_000);
            let tail = match seconds {
                0 => "0s".to_owned(),
                below @ 1..1_000_000_000 => {
                    format!("0.{}s", format!("{below:09}").trim_end_matches('0'))
                }
                more => duration(more as i64),
            };
            match minutes / 60 {
                0 => format!("{sign}{minutes}m{tail}"),
                hours => format!("{sign}{hours}h{}m{tail}", minutes % 60),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_a_time_take_that_of_a_layer() {
        let check = |times: &[&str], expected: &[&str]| {
            let mut entries: Vec<History> = times
                .iter()
                .map(|time| History {
                    created: (!time.is_empty()).then(|| (*time).to_owned()),
                    ..History::default()
                })
                .collect();
            date(&mut entries);
            let dated: Vec<&str> = entries
                .iter()
                .map(|entry| entry.created.as_deref().unwrap_or_default())
                .collect();
            assert_eq!(dated, expected);
        };
        check(&["", "1", "", "2", ""], &["1", "1", "1", "2", "2"]);
        check(&["0", "", "1"], &["0", "1", "1"]);
        check(&["0", "", ""], &["0", "0", "0"]);
        check(&["", ""], &["", ""]);
        check(&[], &[]);
    }

    #[test]
    fn durations_are_gos() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (1_050_000_000, "1.05s"),
            (90_000_000_000, "1m30s"),
            (60_500_000_000, "1m0.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(duration(nanoseconds), expected);
        }
    }

    #[test]
    fn lists_are_quoted_as_go_quotes_them() {
        let words = ["a".to_owned(), "b \"c\" \\ '\n\x01é".to_owned()];
        assert_eq!(quoted("CMD", &words), r#"CMD ["a" "b \"c\" \\ '\n\x01é"]"#);
        assert_eq!(quoted("CMD", &[]), "CMD []");
        let probe = HealthConfig {
            test: vec!["CMD".into(), "x".into()],
            interval: 90_000_000_000,
            retries: 3,
            ..HealthConfig::default()
        };
        assert_eq!(
            health(&probe),
            r#"HEALTHCHECK &{["CMD" "x"] "1m30s" "0s" "0s" "0s" '\x03'}"#
        );
    }
}
