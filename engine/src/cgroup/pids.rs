//! The number of processes and threads.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::Version;
use super::limits::Settings;

/// What to write for the limit; zero and less are no limit, as with Docker.
pub(super) fn translate(
    limits: &LinuxResources,
    _version: Version,
    _directory: &Path,
    settings: &mut Settings,
) {
    match limits.pids().as_ref().map(|pids| pids.limit()) {
        Some(limit @ 1..) => settings.write("pids", "pids.max", limit),
        Some(_) => settings.write("pids", "pids.max", "max"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::shown;
    use super::*;
    use oci_spec::runtime::{LinuxPidsBuilder, LinuxResourcesBuilder};

    #[test]
    fn zero_is_no_limit() {
        for (limit, expected) in [
            (100, "pids.max=100"),
            (0, "pids.max=max"),
            (-1, "pids.max=max"),
        ] {
            let pids = LinuxPidsBuilder::default()
                .limit(limit)
                .build()
                .expect("valid");
            let limits = LinuxResourcesBuilder::default()
                .pids(pids)
                .build()
                .expect("valid");
            assert_eq!(shown(translate, &limits, Version::V2).0, [expected]);
        }
    }
}
