//! Flag values in Docker's short syntaxes.

mod mount;
mod network;

pub use mount::{mount, volume_to_make};
pub use network::{address, domain, endpoint, endpoint_option, link, link_local, network, ports};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_engine::spec::{
    BindOptions, BlockIoDevice, MountKind, MountSpec, NamespaceMode, Resources, RestartPolicy,
    Ulimit, UserNamespace,
};
use indexmap::IndexMap;

use crate::cli::error::CliError;
use crate::loader::short;
use crate::lower::words;

pub use crate::lower::words::{extra_host, size, tmpfs};

/// A value that cannot be understood, named with its flag.
pub fn bad(flag: &str, value: &str, reason: impl std::fmt::Display) -> CliError {
    CliError::usage(format!("--{flag} `{value}`: {reason}"))
}

type Parsed<T> = Result<T, String>;

/// Parses every value of a flag.
pub fn each<T>(
    flag: &str,
    list: &[String],
    parse: fn(&str) -> Parsed<T>,
) -> Result<Vec<T>, CliError> {
    list.iter()
        .map(|text| parse(text).map_err(|reason| bad(flag, text, reason)))
        .collect()
}

/// The fields `key=value` of a flag, separated by commas; one in quotes may hold some.
pub fn fields(flag: &str, text: &str) -> Result<Vec<(String, String)>, CliError> {
    let fields = mount::csv(text).map_err(|reason| bad(flag, text, reason))?;
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (field, String::new()),
    };
    Ok(fields.into_iter().map(pair).collect())
}

/// A flag's text; as with Docker, an empty one is none.
pub fn given(value: &Option<String>) -> Option<String> {
    value.clone().filter(|text| !text.is_empty())
}

/// Seconds until SIGKILL; less than none is for ever.
pub fn patience(seconds: i64) -> Duration {
    // A hundred years is for ever.
    Duration::from_secs(u64::try_from(seconds).unwrap_or(100 * 365 * 24 * 3600))
}

/// As with Docker, a limit of 0 or nothing asks for none.
pub fn leave_zeros_unset(resources: &mut Resources) {
    let unsigned = [
        &mut resources.cpu_shares,
        &mut resources.cpu_period,
        &mut resources.cpu_rt_period,
    ];
    for limit in unsigned {
        limit.take_if(|limit| *limit == 0);
    }
    let signed = [
        &mut resources.memory_swap,
        &mut resources.cpu_quota,
        &mut resources.cpu_rt_runtime,
    ];
    for limit in signed {
        limit.take_if(|limit| *limit == 0);
    }
    for set in [&mut resources.cpuset_cpus, &mut resources.cpuset_mems] {
        set.take_if(|set| set.is_empty());
    }
    resources.cpus.take_if(|cpus| *cpus == 0.0);
    resources.block_io.weight.take_if(|weight| *weight == 0);
}

/// Parses a flag's value if there is one.
pub fn optional<T>(
    flag: &str,
    value: Option<&str>,
    parse: fn(&str) -> Parsed<T>,
) -> Result<Option<T>, CliError> {
    value
        .map(|text| parse(text).map_err(|reason| bad(flag, text, reason)))
        .transpose()
}

/// A flag's size in bytes; 0 is none.
pub fn bytes(flag: &str, value: &Option<String>) -> Result<Option<u64>, CliError> {
    let bytes = optional(flag, value.as_deref(), size)?;
    Ok(bytes.filter(|bytes| *bytes != 0))
}

/// `--memory-swap`: a size, or -1 for no limit.
pub fn memory_swap(value: Option<&str>) -> Result<Option<i64>, CliError> {
    match value {
        Some("-1") => Ok(Some(-1)),
        value => {
            Ok(optional("memory-swap", value, size)?.and_then(|bytes| i64::try_from(bytes).ok()))
        }
    }
}

/// `1m30s`.
pub fn duration(text: &str) -> Parsed<Duration> {
    short::duration::parse(text)
        .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| "not a duration like 1m30s".to_owned())
}

/// `key=value` lines of a flag.
pub fn pairs(flag: &str, list: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    list.iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(bad(flag, text, "expected key=value")),
        })
        .collect()
}

/// Lines of a file in Docker's format: `#` begins a comment, blank lines do not count.
fn lines(flag: &str, file: &Path) -> Result<Vec<String>, CliError> {
    let text =
        fs::read_to_string(file).map_err(|error| bad(flag, &file.to_string_lossy(), error))?;
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim_start);
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// `--env-file` and `-e`. A name alone takes its value from this process, or nothing.
pub fn environment(
    files: &[PathBuf],
    list: &[String],
) -> Result<IndexMap<String, Option<String>>, CliError> {
    let mut entries = Vec::new();
    for file in files {
        for line in lines("env-file", file)? {
            let name = line.split_once('=').map_or(&*line, |(name, _)| name);
            if name.contains(char::is_whitespace) {
                let reason = format!("the name `{name}` holds white space");
                return Err(bad("env-file", &file.to_string_lossy(), reason));
            }
            entries.push(line);
        }
    }
    entries.extend(list.iter().cloned());
    let mut environment = IndexMap::new();
    for entry in entries {
        match entry.split_once('=') {
            Some(("", _)) => return Err(bad("env", &entry, "no name before the `=`")),
            None if entry.is_empty() => return Err(bad("env", &entry, "no name")),
            Some((name, value)) => {
                environment.insert(name.to_owned(), Some(value.to_owned()));
            }
            None => {
                if let Ok(value) = std::env::var(&entry) {
                    environment.insert(entry, Some(value));
                }
            }
        }
    }
    Ok(environment)
}

/// `--label-file` and `-l`; a key alone has an empty value.
pub fn labels(files: &[PathBuf], list: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut entries = Vec::new();
    for file in files {
        entries.extend(lines("label-file", file)?);
    }
    entries.extend(list.iter().cloned());
    named("label", &entries)
}

/// `--annotation`; a key alone has an empty value.
pub fn annotations(list: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    named("annotation", list)
}

fn named(flag: &str, list: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    list.iter()
        .map(|entry| match entry.split_once('=').unwrap_or((entry, "")) {
            (key, _) if key.trim().is_empty() => Err(bad(flag, entry, "no name")),
            (key, value) => Ok((key.to_owned(), value.to_owned())),
        })
        .collect()
}

/// `no`, `always`, `unless-stopped`, `on-failure[:N]`.
pub fn restart(text: &str) -> Result<RestartPolicy, CliError> {
    let (word, count) = match text.split_once(':') {
        Some((word, count)) => (word, Some(count)),
        None => (text, None),
    };
    match (word, count) {
        ("no" | "", None) => Ok(RestartPolicy::No),
        ("always", None) => Ok(RestartPolicy::Always),
        ("unless-stopped", None) => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", None) => Ok(RestartPolicy::OnFailure { max_retries: None }),
        ("on-failure", Some(count)) => {
            let count = count
                .parse()
                .map_err(|_| bad("restart", text, "N is not a number"))?;
            Ok(RestartPolicy::OnFailure {
                max_retries: (count != 0).then_some(count),
            })
        }
        _ => Err(bad(
            "restart",
            text,
            "no, on-failure[:N], always or unless-stopped",
        )),
    }
}

/// `host`, `private`, `container:NAME`.
pub fn namespace(flag: &str, value: Option<&str>) -> Result<NamespaceMode, CliError> {
    match value {
        None | Some("" | "private") => Ok(NamespaceMode::Private),
        // IPC only: other containers may join, which every one of ours allows, or it has no
        // shared memory, which is not the namespace's concern.
        Some("shareable" | "none") if flag == "ipc" => Ok(NamespaceMode::Private),
        Some("host") => Ok(NamespaceMode::Host),
        Some(text) => match text.strip_prefix("container:") {
            Some(name) if !name.is_empty() => Ok(NamespaceMode::Container(name.to_owned())),
            _ => Err(bad(flag, text, "private, host or container:NAME")),
        },
    }
}

/// `host`, `private`, `container:NAME`, or nothing for the machine's.
pub fn user_namespace(value: Option<&str>) -> Result<UserNamespace, CliError> {
    let Some(text) = value.filter(|text| !text.is_empty()) else {
        return Ok(UserNamespace::Host);
    };
    Ok(match namespace("userns", Some(text))? {
        NamespaceMode::Private => UserNamespace::Private,
        NamespaceMode::Host => UserNamespace::Host,
        NamespaceMode::Container(name) => UserNamespace::Container(name),
    })
}

/// `path:number`.
pub fn device_number(text: &str) -> Parsed<BlockIoDevice> {
    let (path, number) = text.rsplit_once(':').ok_or("expected path:number")?;
    Ok(BlockIoDevice {
        path: path.into(),
        value: number
            .parse()
            .map_err(|_| format!("`{number}` is not a whole number"))?,
    })
}

/// `path:rate`, the rate a number or a size.
pub fn device_rate(text: &str) -> Parsed<BlockIoDevice> {
    let (path, rate) = text.rsplit_once(':').ok_or("expected path:rate")?;
    Ok(BlockIoDevice {
        path: path.into(),
        value: size(rate)?,
    })
}

/// `name=soft[:hard]`.
pub fn ulimit(text: &str) -> Parsed<(String, Ulimit)> {
    let (name, limits) = text.split_once('=').ok_or("expected name=soft[:hard]")?;
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| format!("`{text}` is not a number"))
    };
    let limit = match limits.split_once(':') {
        Some((soft, hard)) => Ulimit {
            soft: number(soft)?,
            hard: number(hard)?,
        },
        None => Ulimit {
            soft: number(limits)?,
            hard: number(limits)?,
        },
    };
    if limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard) {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok((name.to_owned(), limit))
}

/// `[source:]target[:options]`; a source with a `/` or `.` is a path of this machine.
pub fn volume(text: &str) -> Parsed<MountSpec> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err("too many colons: expected [source:]target[:options]".to_owned()),
    };
    if !target.starts_with('/') {
        return Err(format!("`{target}` is not an absolute path"));
    }
    let mut read_only = false;
    let mut no_copy = false;
    let mut idmap = false;
    let mut propagation = None;
    contradiction(options)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => read_only = true,
            // SELinux labels: accepted where there is no SELinux, as Docker does.
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            "nocopy" => no_copy = true,
            "idmap" => idmap = true,
            word => {
                let options = "options are ro, rw, nocopy, idmap, z, Z and the propagations";
                let known = words::propagation(word);
                propagation = Some(known.map_err(|_| format!("`{word}` is not known: {options}"))?);
            }
        }
    }
    let kind = match source {
        Some(path) if path.starts_with(['/', '.', '~']) => MountKind::Bind {
            source: absolute(path)?,
            options: BindOptions {
                create_source: true,
                propagation: propagation.unwrap_or_default(),
                idmap,
                ..BindOptions::default()
            },
        },
        _ if propagation.is_some() => {
            return Err("a propagation is for directories of this machine".to_owned());
        }
        _ if idmap => return Err("`idmap` is for directories of this machine".to_owned()),
        name => MountKind::Volume {
            name: name.map(str::to_owned),
            no_copy,
            subpath: None,
            labels: BTreeMap::new(),
        },
    };
    Ok(MountSpec {
        target: target.to_owned(),
        kind,
        read_only,
    })
}

/// Whether two options answer the same question.
fn contradiction(options: &str) -> Parsed<()> {
    let questions: [&[&str]; 3] = [
        &["ro", "readonly", "rw"],
        &["z", "Z"],
        &["cached", "delegated", "consistent"],
    ];
    for words in questions {
        let given: Vec<&str> = options
            .split(',')
            .filter(|option| words.contains(option))
            .collect();
        if let [first, second, ..] = given[..] {
            return Err(format!("`{first}` and `{second}`: only one of them"));
        }
    }
    Ok(())
}

/// Drops anonymous volumes where something else is mounted too: as with Docker, they are only what is there
/// when nothing else is.
pub fn yield_anonymous(mounts: &mut Vec<MountSpec>) {
    let anonymous = |mount: &MountSpec| matches!(mount.kind, MountKind::Volume { name: None, .. });
    let same = |a: &MountSpec, b: &MountSpec| {
        Path::new(&a.target)
            .components()
            .eq(Path::new(&b.target).components())
    };
    let all = mounts.clone();
    let mut index = 0;
    mounts.retain(|mount| {
        let (before, after) = (&all[..index], &all[index + 1..]);
        index += 1;
        !anonymous(mount)
            || !(before.iter().any(|other| same(other, mount))
                || after
                    .iter()
                    .any(|other| !anonymous(other) && same(other, mount)))
    });
}

/// A path of this machine. A `~` that no shell has seen is the home directory, as in a Compose file.
fn absolute(path: &str) -> Parsed<PathBuf> {
    let below_home = path
        .strip_prefix('~')
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match (below_home, std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Ok(Path::new(&home).join(rest.trim_start_matches('/'))),
        _ => std::path::absolute(path).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_and_mounts_say_the_same() {
        let short = volume("data:/data:ro").unwrap();
        assert_eq!(mount("type=volume,src=data,dst=/data,ro").unwrap(), short);
        let bind = volume("/a:/b").unwrap();
        assert!(matches!(&bind.kind, MountKind::Bind { source, .. } if source == Path::new("/a")));
        assert!(matches!(
            volume("/anonymous").unwrap().kind,
            MountKind::Volume { name: None, .. }
        ));
        assert!(volume("a:relative").is_err());
        assert!(mount("type=bind,target=/x").is_err());
        assert!(
            mount("target=/x,frobnicate=1")
                .unwrap_err()
                .contains("frobnicate")
        );
    }

    #[test]
    fn policies_and_limits() {
        assert_eq!(
            restart("on-failure:3").unwrap(),
            RestartPolicy::OnFailure {
                max_retries: Some(3)
            }
        );
        assert!(restart("sometimes").is_err());
        assert_eq!(
            ulimit("nofile=10:20").unwrap().1,
            Ulimit { soft: 10, hard: 20 }
        );
        assert!(ulimit("nofile=20:10").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-a-z0-9:=/,.]{0,30}") {
            let _ = (volume(&text), mount(&text), tmpfs(&text), ulimit(&text));
            let _ = (ports(&text), extra_host(&text), network(std::slice::from_ref(&text)), restart(&text));
        }
    }
}
