//! A bundle: a directory with a `config.json`, checked before anything is made.
//!
//! Members that the specification does not know are passed over, as it demands. Members that it knows are
//! checked here where the types cannot, and refused by the runtime where it does not do them.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, LinuxSeccomp, Process, Spec};

use crate::runtime::RuntimeError;
use crate::runtime::hook::HookPoint;
use crate::runtime::seccomp::Profile;

use super::OciError;

/// A bundle, read and checked.
pub(super) struct Bundle {
    /// Absolute.
    pub(super) path: PathBuf,
    /// The directory that becomes the root.
    pub(super) rootfs: PathBuf,
    pub(super) spec: Spec,
}

impl Bundle {
    /// Of a directory.
    pub(super) fn load(path: &Path) -> Result<Self, OciError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OciError::File {
                action,
                path,
                source,
            }
        };
        let path = std::path::absolute(path).map_err(failed("find", path))?;
        let file = path.join("config.json");
        let spec: Spec = read_json(&file)?;
        let wrong = |what: String| OciError::Config {
            path: file.clone(),
            what,
        };
        check(&spec).map_err(wrong)?;
        let root = spec
            .root()
            .as_ref()
            .ok_or_else(|| wrong("`root` is missing".to_owned()))?;
        let rootfs = path.join(root.path());
        let rootfs = rootfs
            .canonicalize()
            .map_err(failed("open the root", &rootfs))?;
        if !rootfs.is_dir() {
            let shown = rootfs.display();
            return Err(wrong(format!("`root.path` `{shown}` is not a directory")));
        }
        Ok(Self { path, rootfs, spec })
    }
}

/// Reads a file of JSON.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, OciError> {
    let text = std::fs::read(path).map_err(|source| OciError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| OciError::Syntax {
        path: path.to_owned(),
        source,
    })
}

/// The system call filter of a specification.
pub(super) fn seccomp(filter: Option<&LinuxSeccomp>) -> Result<Option<Profile>, OciError> {
    let Some(filter) = filter else {
        return Ok(None);
    };
    // The same format as that of a profile file, which has more.
    let text =
        serde_json::to_string(filter).map_err(|error| OciError::Invalid(error.to_string()))?;
    let profile = Profile::parse(&text).map_err(RuntimeError::from)?;
    Ok(Some(profile))
}

fn check(spec: &Spec) -> Result<(), String> {
    check_version(spec.version())?;
    let foreign = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    if let Some((name, _)) = foreign.iter().find(|(_, present)| *present) {
        return Err(format!("`{name}` is for another platform than Linux"));
    }
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    for mount in spec.mounts().iter().flatten() {
        let place = mount.destination();
        if !place.is_absolute() {
            let place = place.display();
            return Err(format!("`mounts`: destination `{place}` is not absolute"));
        }
        let maps = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        let options = mount.options().as_deref().unwrap_or_default();
        if maps
            && !options
                .iter()
                .any(|o| matches!(o.as_str(), "idmap" | "ridmap"))
        {
            let place = place.display();
            return Err(format!(
                "`mounts`: the id mappings of `{place}` need the option `idmap` or `ridmap`"
            ));
        }
    }
    check_hooks(spec)?;
    check_linux(spec)
}

/// The version must be one of the specification's first major.
fn check_version(version: &str) -> Result<(), String> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    let numeric = |part: &&str| part.parse::<u32>().is_ok();
    match (&parts[..], parts.iter().all(numeric)) {
        (["1", _, _], true) => Ok(()),
        ([_, _, _], true) => Err(format!(
            "`ociVersion` `{version}` is not supported: 1.0.0 to {} are",
            super::SPEC_VERSION
        )),
        _ => Err(format!("`ociVersion` `{version}` is not a version")),
    }
}

/// What the types of a process leave open.
pub(super) fn check_process(process: &Process) -> Result<(), String> {
    if process.args().as_deref().unwrap_or_default().is_empty() {
        return Err("`process.args` is empty".to_owned());
    }
    if !process.cwd().is_absolute() {
        let cwd = process.cwd().display();
        return Err(format!("`process.cwd` `{cwd}` is not absolute"));
    }
    if process.command_line().is_some() || process.user().username().is_some() {
        return Err("`process.commandLine` and `process.user.username` are for Windows".to_owned());
    }
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (index, limit) in limits.iter().enumerate() {
        if limits[..index]
            .iter()
            .any(|other| other.typ() == limit.typ())
        {
            return Err(format!("`process.rlimits` has {:?} twice", limit.typ()));
        }
    }
    Ok(())
}

fn check_hooks(spec: &Spec) -> Result<(), String> {
    for point in HookPoint::ALL {
        for hook in point.of(spec.hooks().as_ref()) {
            let (name, path) = (point.name(), hook.path().display());
            if !hook.path().is_absolute() {
                return Err(format!("`hooks.{name}`: path `{path}` is not absolute"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(format!(
                    "`hooks.{name}`: the timeout of `{path}` must be above zero"
                ));
            }
        }
    }
    Ok(())
}

fn check_linux(spec: &Spec) -> Result<(), String> {
    let Some(linux) = spec.linux() else {
        return Err("`linux` is missing".to_owned());
    };
    let mut seen: HashSet<LinuxNamespaceType> = HashSet::new();
    for namespace in linux.namespaces().iter().flatten() {
        if !seen.insert(namespace.typ()) {
            return Err(format!("`linux.namespaces` has {} twice", namespace.typ()));
        }
    }
    if let Some(path) = linux.cgroups_path() {
        let text = path.to_string_lossy();
        if text.contains(':') && !text.contains('/') {
            return Err(format!(
                "`linux.cgroupsPath` `{text}` is a path of systemd; the cgroup manager must be `cgroupfs`"
            ));
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(format!("`linux.cgroupsPath` `{text}` contains `..`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.9.9+x"] {
            assert_eq!(check_version(good), Ok(()), "{good}");
        }
        for bad in ["", "invalid", "0.2.0", "2.0.0", "1.0", "1.x.0"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[track_caller]
    fn refused(json: &str, part: &str) {
        let spec: Spec = serde_json::from_str(json).expect("of the format");
        let what = check(&spec).expect_err("refused");
        assert!(what.contains(part), "{what}");
    }

    #[test]
    fn wrong_members_are_named() {
        let with = |rest: &str| format!(r#"{{"ociVersion":"1.0.0","linux":{{}},{rest}}}"#);
        refused(&with(r#""windows":{"layerFolders":[]}"#), "windows");
        refused(
            &with(r#""mounts":[{"destination":"proc","type":"proc"}]"#),
            "`proc`",
        );
        refused(
            &with(r#""hooks":{"poststop":[{"path":"true"}]}"#),
            "poststop",
        );
        refused(
            &with(r#""hooks":{"prestart":[{"path":"/x","timeout":0}]}"#),
            "above zero",
        );
        let process = |rest: &str| {
            with(&format!(
                r#""process":{{"cwd":"/","user":{{"uid":0,"gid":0}},"args":["x"]{rest}}}"#
            ))
        };
        let nofile = r#"{"type":"RLIMIT_NOFILE","hard":1,"soft":1}"#;
        refused(
            &process(&format!(r#","rlimits":[{nofile},{nofile}]"#)),
            "twice",
        );
        let linux = |rest: &str| format!(r#"{{"ociVersion":"1.0.0","linux":{{{rest}}}}}"#);
        refused(
            &linux(r#""namespaces":[{"type":"pid"},{"type":"pid"}]"#),
            "pid twice",
        );
        refused(&linux(r#""cgroupsPath":"a.slice:b:c""#), "systemd");
        refused(&linux(r#""cgroupsPath":"/a/../b""#), "..");
    }
}
