//! Lines of several containers on one stream: `web-1  | text`, each container in a colour.

use std::collections::HashMap;
use std::io::{self, Write};

/// ANSI codes in Compose's order: the plain colours, then the intense ones.
const COLOURS: [&str; 10] = [
    "36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1",
];

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
pub struct LogStyle {
    /// Colours the prefix.
    pub colour: bool,
    /// Shows which container speaks.
    pub prefix: bool,
    /// Puts the time before each line.
    pub timestamps: bool,
}

/// Prints lines with aligned prefixes.
#[derive(Debug)]
pub struct LogPrinter<W> {
    out: W,
    style: LogStyle,
    colours: HashMap<String, &'static str>,
    width: usize,
}

impl<W: Write> LogPrinter<W> {
    /// For containers of these names (without the project's); others may follow.
    pub fn new(out: W, style: LogStyle, names: &[String]) -> Self {
        let mut printer = Self {
            out,
            style,
            colours: HashMap::new(),
            width: 0,
        };
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        for name in sorted {
            printer.introduce(name);
        }
        printer
    }

    /// Makes room for a container that came later.
    pub fn introduce(&mut self, name: &str) {
        if !self.colours.contains_key(name) {
            let colour = COLOURS[self.colours.len() % COLOURS.len()];
            self.colours.insert(name.to_owned(), colour);
            self.width = self.width.max(name.chars().count());
        }
    }

    /// Prints what a container wrote, one line of it, with or without its line end. The
    /// text is passed on as it is: programs colour their own logs.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn line(&mut self, name: &str, time: Option<&str>, text: &[u8]) -> io::Result<()> {
        self.introduce(name);
        let mut line = Vec::with_capacity(text.len() + 64);
        if self.style.prefix {
            let prefix = format!("{name:<width$}  | ", width = self.width);
            if self.style.colour {
                line.extend(format!("\x1b[{}m{prefix}\x1b[0m", self.colours[name]).bytes());
            } else {
                line.extend(prefix.bytes());
            }
        }
        if let Some(time) = time.filter(|_| self.style.timestamps) {
            line.extend(time.bytes());
            line.push(b' ');
        }
        line.extend(text.strip_suffix(b"\n").unwrap_or(text));
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }

    /// Says something about a container, in its colour: `web-1 exited with code 0`.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn note(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.introduce(name);
        // One write, as above: others use the terminal too.
        let line = if self.style.colour {
            format!("\x1b[{}m{name} {text}\x1b[0m\n", self.colours[name])
        } else {
            format!("{name} {text}\n")
        };
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(style: LogStyle, lines: &[(&str, &str)]) -> String {
        let names: Vec<String> = lines.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut out = Vec::new();
        let mut printer = LogPrinter::new(&mut out, style, &names);
        for (name, text) in lines {
            printer
                .line(name, Some("2026-01-02T03:04:05Z"), text.as_bytes())
                .unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prefixes_are_aligned() {
        let style = LogStyle {
            colour: false,
            prefix: true,
            timestamps: false,
        };
        let text = print(style, &[("web-1", "one\n"), ("database-1", "two")]);
        assert_eq!(text, "web-1       | one\ndatabase-1  | two\n");
    }

    #[test]
    fn colours_follow_the_names_order() {
        let style = LogStyle {
            colour: true,
            prefix: true,
            timestamps: false,
        };
        let text = print(style, &[("b", "x"), ("a", "y")]);
        assert_eq!(text, "\x1b[33mb  | \x1b[0mx\n\x1b[36ma  | \x1b[0my\n");
    }

    #[test]
    fn timestamps_and_no_prefix() {
        let style = LogStyle {
            colour: true,
            prefix: false,
            timestamps: true,
        };
        assert_eq!(print(style, &[("a", "y")]), "2026-01-02T03:04:05Z y\n");
    }
}
