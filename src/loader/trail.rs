//! Where a walk through a tree is: the keys and indices from the root, borrowed. A step costs
//! nothing, because a path is text only once something is said about it. [`Path`] is the same,
//! owned.

use std::fmt;

use super::tree::Path;

/// The way from the root to a node.
#[derive(Clone, Copy, Debug)]
pub struct Trail<'a> {
    above: Option<&'a Trail<'a>>,
    step: Step<'a>,
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    /// Where every walk begins.
    pub const ROOT: Self = Self {
        above: None,
        step: Step::Root,
        depth: 0,
    };

    /// With one more key.
    pub fn key(&'a self, key: &'a str) -> Self {
        self.step(Step::Key(key))
    }

    /// With one more index.
    pub fn index(&'a self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&'a self, step: Step<'a>) -> Self {
        Self {
            above: Some(self),
            step,
            depth: self.depth + 1,
        }
    }

    /// Whether nothing has been walked yet.
    pub fn is_root(&self) -> bool {
        self.depth == 0
    }

    /// The last step, if it is a key.
    pub fn last_key(&self) -> Option<&'a str> {
        match self.step {
            Step::Key(key) => Some(key),
            Step::Root | Step::Index(_) => None,
        }
    }

    /// Whether the steps are those of a pattern; `*` stands for any one.
    pub fn matches(&self, pattern: &[&str]) -> bool {
        self.depth == pattern.len()
            && self
                .upwards()
                .zip(pattern.iter().rev())
                .all(|(step, want)| *want == "*" || matches!(step, Step::Key(key) if key == *want))
    }

    /// The keys, with `[]` for indices; `None` when there is no room for all of them.
    pub fn parts<'r>(&self, room: &'r mut [&'a str]) -> Option<&'r [&'a str]> {
        let parts = room.get_mut(..self.depth)?;
        for (slot, step) in parts.iter_mut().rev().zip(self.upwards()) {
            *slot = match step {
                Step::Key(key) => key,
                Step::Root | Step::Index(_) => "[]",
            };
        }
        Some(parts)
    }

    /// The steps from here to the root, without it.
    fn upwards(&self) -> impl Iterator<Item = Step<'a>> {
        std::iter::successors(Some(*self), |trail| trail.above.copied())
            .take(self.depth)
            .map(|trail| trail.step)
    }
}

impl From<&Trail<'_>> for Path {
    fn from(trail: &Trail<'_>) -> Self {
        let mut parts: Vec<String> = trail
            .upwards()
            .map(|step| match step {
                Step::Root => String::new(),
                Step::Key(key) => key.to_owned(),
                Step::Index(index) => format!("[{index}]"),
            })
            .collect();
        parts.reverse();
        Self(parts)
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Path::from(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_reads_as_its_path() {
        let services = Trail::ROOT.key("services");
        let web = services.key("web");
        let ports = web.key("ports");
        let port = ports.index(3);
        assert_eq!(port.to_string(), "services.web.ports[3]");
        assert!(port.matches(&["services", "*", "ports", "*"]));
        assert!(!port.matches(&["services", "*", "ports"]));
        assert!(!port.matches(&["services", "*", "volumes", "*"]));
        let mut room = [""; 5];
        let parts = port.parts(&mut room);
        assert_eq!(parts, Some(&["services", "web", "ports", "[]"][..]));
        assert_eq!(port.parts(&mut [""; 3]), None);
        assert_eq!((port.last_key(), ports.last_key()), (None, Some("ports")));
        assert!(Trail::ROOT.is_root() && Trail::ROOT.matches(&[]));
    }
}
