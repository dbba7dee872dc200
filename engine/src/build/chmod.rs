//! `--chmod`: octal, or symbolic as chmod(1).

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These bits.
    Octal(u32),
    /// `u=rwX,go=rX`.
    Symbolic(Vec<Clause>),
}

/// `who` and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    user: bool,
    group: bool,
    other: bool,
    operator: char,
    permissions: Permissions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Permissions {
    /// Letters of `rwxXst`.
    Letters(String),
    /// Those of `u`, `g` or `o`.
    Copy(char),
}

impl Change {
    /// Reads the value of `--chmod`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok()?;
            return (mode <= 0o7777).then_some(Self::Octal(mode));
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let at = part.find(['+', '-', '='])?;
            let who = &part[..at];
            if !who.chars().all(|c| "ugoa".contains(c)) {
                return None;
            }
            let all = who.is_empty() || who.contains('a');
            // Several actions may follow one `who`: `u+r-w`.
            let mut rest = &part[at..];
            while let Some(operator) = rest.chars().next() {
                let end = rest[1..]
                    .find(['+', '-', '='])
                    .map_or(rest.len(), |at| at + 1);
                let letters = &rest[1..end];
                let permissions = match letters {
                    "u" | "g" | "o" => Permissions::Copy(letters.chars().next()?),
                    _ if letters.chars().all(|c| "rwxXst".contains(c)) => {
                        Permissions::Letters(letters.to_owned())
                    }
                    _ => return None,
                };
                clauses.push(Clause {
                    user: all || who.contains('u'),
                    group: all || who.contains('g'),
                    other: all || who.contains('o'),
                    operator,
                    permissions,
                });
                rest = &rest[end..];
            }
        }
        Some(Self::Symbolic(clauses))
    }

    /// The bits of an entry after the change.
    pub(super) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode, |mode, clause| clause.apply(mode, directory)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let who = [
            (self.user, 6, 0o4000),
            (self.group, 3, 0o2000),
            (self.other, 0, 0o1000),
        ];
        let mut out = mode;
        for (chosen, shift, special) in who {
            if !chosen {
                continue;
            }
            let mut bits = 0;
            match &self.permissions {
                Permissions::Copy(from) => {
                    let shift_from = match from {
                        'u' => 6,
                        'g' => 3,
                        _ => 0,
                    };
                    bits |= ((mode >> shift_from) & 0o7) << shift;
                }
                Permissions::Letters(letters) => {
                    for letter in letters.chars() {
                        bits |= match letter {
                            'r' => 4 << shift,
                            'w' => 2 << shift,
                            'x' => 1 << shift,
                            'X' if directory || mode & 0o111 != 0 => 1 << shift,
                            's' if shift > 0 => special,
                            't' if shift == 0 => special,
                            _ => 0,
                        };
                    }
                }
            }
            out = match self.operator {
                '+' => out | bits,
                '-' => out & !bits,
                _ => (out & !(0o7 << shift) & !special) | bits,
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        for (text, mode, directory, expected) in [
            ("0640", 0o755, false, 0o640),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("u+s,o+t", 0o755, false, 0o5755),
            ("a-w", 0o666, false, 0o444),
            ("u=rw-w", 0o777, false, 0o477),
        ] {
            assert_eq!(
                Change::parse(text).unwrap().apply(mode, directory),
                expected,
                "{text}"
            );
        }
        for bad in ["0888", "10000", "rw", "", "u", "z+x", "u+q"] {
            assert_eq!(Change::parse(bad), None, "{bad}");
        }
    }
}
