//! The lines of /proc/self/mountinfo (proc(5)).

/// The columns of one that we need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountLine<'a> {
    /// The mount's id, as statx(2) tells it of a file there.
    pub id: &'a str,
    /// What of the file system is mounted.
    pub root: &'a str,
    /// Where, escaped: see [`unescape`].
    pub mount_point: &'a str,
    /// Tags separated by blanks: `shared:1`, `master:1`.
    pub tags: &'a str,
    /// The file system's type.
    pub fs_type: &'a str,
    /// Options of the file system.
    pub super_options: &'a str,
}

impl<'a> MountLine<'a> {
    /// Reads a line; `None` when it is none.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.splitn(7, ' ');
        let id = left.next()?;
        let root = left.nth(2)?;
        let mount_point = left.next()?;
        // Options of this mount, then the tags, if any.
        left.next()?;
        let tags = left.next().unwrap_or_default();
        let mut right = right.split(' ');
        Some(Self {
            id,
            root,
            mount_point,
            tags,
            fs_type: right.next()?,
            super_options: right.nth(1)?,
        })
    }

    /// Whether what is mounted here appears in other mounts.
    pub fn is_shared(&self) -> bool {
        self.has_tag("shared:")
    }

    /// Whether what is mounted in another mount appears here.
    pub fn is_slave(&self) -> bool {
        self.has_tag("master:")
    }

    fn has_tag(&self, kind: &str) -> bool {
        self.tags.split(' ').any(|tag| tag.starts_with(kind))
    }
}

/// Octal escapes of blanks and backslashes in mountinfo.
pub fn unescape(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(code);
                rest = &after[3..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found() {
        let line = "36 35 98:0 /m /a\\040b rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue";
        let mount = MountLine::parse(line).expect("a line");
        assert_eq!((mount.id, mount.root, mount.fs_type), ("36", "/m", "ext3"));
        assert_eq!(unescape(mount.mount_point), "/a b");
        assert!(mount.is_shared() && mount.is_slave());
        assert_eq!(mount.super_options, "rw,errors=continue");
        let private = MountLine::parse("1 0 0:1 / / rw - tmpfs none rw").expect("a line");
        assert!(!private.is_shared() && !private.is_slave());
        assert_eq!(MountLine::parse("1 0 0:1 / / rw"), None);
    }
}
