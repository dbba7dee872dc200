//! What benchmarks fill files with.

use std::fmt::Write as _;

/// Marsaglia's xorshift: the same files in every run.
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// So many bytes: half of it random, half repeated, so that it can be compressed to about a third.
    pub fn text(&mut self, size: usize) -> String {
        let mut text = String::with_capacity(size);
        while text.len() < size / 2 {
            let _ = writeln!(text, "{:016x}{:016x}", self.next(), self.next());
        }
        while text.len() < size {
            text.push_str("the same line in every file of the project\n");
        }
        text.truncate(size);
        text
    }
}
