//! Memory limits.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::Version;
use super::limits::Settings;

/// What to write for the memory limits.
pub(super) fn translate(
    limits: &LinuxResources,
    version: Version,
    directory: &Path,
    settings: &mut Settings,
) {
    let Some(memory) = limits.memory() else {
        return;
    };
    match version {
        Version::V1 => {
            let limit = memory
                .limit()
                .map(|n| ("memory", "memory.limit_in_bytes", n));
            let swap = memory
                .swap()
                .map(|n| ("memory swap", "memory.memsw.limit_in_bytes", n));
            // Memory must never be above memory plus swap: a limit that is raised past the present sum goes second.
            let sum = std::fs::read_to_string(directory.join("memory.memsw.limit_in_bytes"));
            let sum: u64 = sum
                .ok()
                .and_then(|t| t.trim().parse().ok())
                .unwrap_or(u64::MAX);
            let raises = limit.is_some_and(|(_, _, n)| u64::try_from(n).unwrap_or(u64::MAX) > sum);
            let order = if raises { [swap, limit] } else { [limit, swap] };
            for (name, file, value) in order.into_iter().flatten() {
                settings.write(name, file, value);
            }
            if let Some(reservation) = memory.reservation() {
                settings.write(
                    "memory reservation",
                    "memory.soft_limit_in_bytes",
                    reservation,
                );
            }
            if let Some(swappiness) = memory.swappiness() {
                settings.write("memory swappiness", "memory.swappiness", swappiness);
            }
            if let Some(disable) = memory.disable_oom_killer() {
                settings.write("oom kill disable", "memory.oom_control", i32::from(disable));
            }
        }
        Version::V2 => {
            let max = |n: i64| match n {
                ..0 => "max".to_owned(),
                n => n.to_string(),
            };
            if let Some(limit) = memory.limit() {
                settings.write("memory", "memory.max", max(limit));
            }
            match (memory.swap(), memory.limit()) {
                (Some(..0), _) => settings.write("memory swap", "memory.swap.max", "max"),
                // v2 limits swap alone, the specification the sum.
                (Some(sum), Some(limit @ 0..)) if sum >= limit => {
                    settings.write("memory swap", "memory.swap.max", sum - limit);
                }
                (Some(_), Some(0..)) => {
                    settings.refuse(
                        "memory swap",
                        "it is less than the memory limit, which it includes",
                    );
                }
                (Some(_), _) => {
                    settings.refuse("memory swap", "it needs a memory limit too");
                }
                (None, _) => {}
            }
            if let Some(reservation) = memory.reservation() {
                settings.write("memory reservation", "memory.low", max(reservation));
            }
            if memory.swappiness().is_some() {
                settings.refuse("memory swappiness", "cgroup v2 has none");
            }
            if memory.disable_oom_killer() == Some(true) {
                settings.refuse("oom kill disable", "cgroup v2 has none");
            }
        }
    }
    if memory.kernel().is_some() || memory.kernel_tcp().is_some() {
        settings.refuse("kernel memory", "the kernel has given this limit up");
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::shown;
    use super::*;
    use oci_spec::runtime::{LinuxMemoryBuilder, LinuxResourcesBuilder};

    fn limits(limit: i64, swap: i64) -> LinuxResources {
        let memory = LinuxMemoryBuilder::default()
            .limit(limit)
            .swap(swap)
            .swappiness(10u64)
            .reservation(5)
            .build()
            .expect("valid");
        LinuxResourcesBuilder::default()
            .memory(memory)
            .build()
            .expect("valid")
    }

    #[test]
    fn v1_and_v2_count_swap_differently() {
        let (writes, warnings) = shown(translate, &limits(100, 150), Version::V1);
        assert_eq!(
            writes,
            [
                "memory.limit_in_bytes=100",
                "memory.memsw.limit_in_bytes=150",
                "memory.soft_limit_in_bytes=5",
                "memory.swappiness=10"
            ]
        );
        assert!(warnings.is_empty());
        let (writes, warnings) = shown(translate, &limits(100, 150), Version::V2);
        assert_eq!(
            writes,
            ["memory.max=100", "memory.swap.max=50", "memory.low=5"]
        );
        assert_eq!(warnings, ["memory swappiness"]);
        let (writes, _) = shown(translate, &limits(-1, -1), Version::V2);
        assert_eq!(writes[..2], ["memory.max=max", "memory.swap.max=max"]);
        let (_, warnings) = shown(translate, &limits(100, 50), Version::V2);
        assert_eq!(warnings, ["memory swap", "memory swappiness"]);
    }
}
