//! Whole lines from the pieces in which a log keeps long ones.

use super::super::{LogLine, Stream};

/// A line that is still longer is passed on in parts: a program that never ends its line must
/// not fill our memory.
const LONGEST: usize = 8 << 20;

/// Lines whose end has not come yet, of both streams.
#[derive(Default)]
pub(super) struct Lines {
    begun: [Option<LogLine>; 2],
}

impl Lines {
    /// Takes an entry, which ends with a newline unless it is a piece; returns the line that it
    /// completes, without the newline.
    pub(super) fn whole(&mut self, entry: LogLine) -> Option<LogLine> {
        let begun = &mut self.begun[usize::from(entry.stream == Stream::Stderr)];
        let mut line = match begun.take() {
            None => entry,
            Some(mut line) => {
                line.text.extend(entry.text);
                line
            }
        };
        if line.text.last() == Some(&b'\n') {
            line.text.pop();
        } else if line.text.len() < LONGEST {
            *begun = Some(line);
            return None;
        }
        Some(line)
    }

    /// What never got its end.
    pub(super) fn rest(self) -> impl Iterator<Item = LogLine> {
        self.begun.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn pieces_become_lines_stream_by_stream() {
        let mut lines = Lines::default();
        let mut take = |stream, text: &str| {
            let whole = lines.whole(LogLine {
                time: SystemTime::UNIX_EPOCH,
                stream,
                text: text.into(),
            });
            whole.map(|line| String::from_utf8(line.text).expect("text"))
        };
        assert_eq!(take(Stream::Stdout, "one\n").as_deref(), Some("one"));
        assert_eq!(take(Stream::Stdout, "tw"), None);
        assert_eq!(take(Stream::Stderr, "err\n").as_deref(), Some("err"));
        assert_eq!(take(Stream::Stdout, "o\n").as_deref(), Some("two"));
        assert_eq!(take(Stream::Stderr, "prompt"), None);
        let rest: Vec<_> = lines.rest().map(|line| line.text).collect();
        assert_eq!(rest, [b"prompt".to_vec()]);
    }
}
