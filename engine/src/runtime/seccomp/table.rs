//! System call numbers by name, from generated data.

/// The data; see the file's own header.
const DATA: &str = include_str!("syscalls.tbl");

/// Architectures with numbers, in the order of the data's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    I386,
    X32,
    Aarch64,
    Arm,
}

/// x32 calls are x86_64 calls with this bit.
const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// By libseccomp's name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "SCMP_ARCH_X86_64" => Self::X86_64,
            "SCMP_ARCH_X86" => Self::I386,
            "SCMP_ARCH_X32" => Self::X32,
            "SCMP_ARCH_AARCH64" => Self::Aarch64,
            "SCMP_ARCH_ARM" => Self::Arm,
            _ => return None,
        })
    }

    /// Ours, where we know its numbers.
    pub(super) fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The names profiles use in `includes` and `excludes`.
    pub(super) fn docker_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::I386 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// `AUDIT_ARCH_*`, as the kernel puts it into `seccomp_data`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments have 32 bits; the kernel widens them.
    pub(super) fn is_narrow(self) -> bool {
        matches!(self, Self::I386 | Self::Arm)
    }

    /// The bit that marks the calls of this architecture.
    pub(super) fn mark(self) -> u32 {
        match self {
            Self::X32 => X32_BIT,
            _ => 0,
        }
    }
}

/// The table, parsed.
pub(super) struct Table {
    /// Sorted by name, as in the data.
    rows: Vec<(&'static str, &'static str)>,
}

impl Table {
    /// Parses the data: only the names; numbers are read when they are asked for.
    pub(super) fn new() -> Self {
        let rows = DATA
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(' '));
        Self {
            rows: rows.collect(),
        }
    }

    /// Whether any of our architectures has this call.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.rows.binary_search_by_key(&name, |row| row.0).is_ok()
    }

    /// The number, with the architecture's mark.
    pub(super) fn number(&self, name: &str, arch: Arch) -> Option<u32> {
        let at = self.rows.binary_search_by_key(&name, |row| row.0).ok()?;
        let column = self.rows[at].1.split(' ').nth(arch as usize)?;
        column.parse::<u32>().ok().map(|n| n | arch.mark())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_sorted_and_complete() {
        let table = Table::new();
        assert!(table.rows.is_sorted_by_key(|row| row.0));
        for (name, columns) in &table.rows {
            let columns: Vec<_> = columns.split(' ').collect();
            assert_eq!(columns.len(), 5, "{name}");
            let fine = |c: &&&str| **c == "-" || c.parse::<u32>().is_ok();
            assert!(columns.iter().filter(fine).count() == 5, "{name}");
        }
    }

    #[test]
    fn known_numbers() {
        let table = Table::new();
        assert_eq!(table.number("read", Arch::X86_64), Some(0));
        assert_eq!(table.number("read", Arch::I386), Some(3));
        assert_eq!(table.number("clone3", Arch::Arm), Some(435));
        assert_eq!(table.number("ioctl", Arch::X32), Some(X32_BIT | 514));
        assert_eq!(table.number("open", Arch::Aarch64), None);
        assert_eq!(table.number("none", Arch::X86_64), None);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            table.number("mount_setattr", Arch::X86_64),
            Some(libc::SYS_mount_setattr as u32)
        );
    }
}
