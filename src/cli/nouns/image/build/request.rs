//! Flags of `image build` to a request.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use gantry_engine::build::{
    self, BuildRequest, ContextSource, DockerfileSource, NoCache, PullPolicy, RunNetwork,
    SecretSource,
};

use super::BuildArgs;
use crate::cli::error::CliError;
use crate::cli::nouns::container::values;
use crate::cli::platform;

/// What was typed, understood; and the names by which the result is to be pushed.
pub(super) fn request(args: &BuildArgs) -> Result<(BuildRequest, Vec<String>), CliError> {
    let outputs = outputs(args)?;
    let mut request = BuildRequest {
        context: context(&args.context),
        dockerfile: dockerfile(args)?,
        target: args.target.clone(),
        args: arguments(&args.build_arg)?,
        tags: outputs.names,
        labels: values::labels(&[], &args.label)?,
        platforms: match args.platform.as_slice() {
            [] => platform::or_default(None)?.into_iter().collect(),
            given => given.to_vec(),
        },
        contexts: values::pairs("build-context", &args.build_context)?
            .into_iter()
            .collect(),
        no_cache: match (args.no_cache, args.no_cache_filter.is_empty()) {
            (true, _) => NoCache::All,
            (false, true) => NoCache::Never,
            (false, false) => NoCache::Stages(args.no_cache_filter.clone()),
        },
        pull: if args.pull {
            PullPolicy::Always
        } else {
            PullPolicy::Missing
        },
        network: match args.network.as_str() {
            "default" | "" => RunNetwork::Default,
            "none" => RunNetwork::None,
            "host" => RunNetwork::Host,
            name => RunNetwork::Named(name.to_owned()),
        },
        extra_hosts: values::each("add-host", &args.add_host, values::extra_host)?,
        shm_size: values::optional("shm-size", args.shm_size.as_deref(), values::size)?,
        ulimits: values::each("ulimit", &args.ulimit, values::ulimit)?
            .into_iter()
            .collect(),
        entitlements: args.allow.clone(),
        cache_from: args.cache_from.clone(),
        cache_to: args.cache_to.clone(),
        outputs: outputs.list,
        cgroup_parent: args.cgroup_parent.clone(),
        explain: args.explain,
        check: args.check || call_is_check(&args.call)?,
        ..BuildRequest::default()
    };
    // As buildx does: a build argument that nobody has to write.
    if let Ok(epoch) = std::env::var(EPOCH) {
        request.args.entry(EPOCH.to_owned()).or_insert(epoch);
    }
    for text in &args.secret {
        let (id, source) = secret(text)?;
        request.secrets.insert(id, source);
    }
    for text in &args.ssh {
        let (id, socket) = ssh(text)?;
        request.ssh.insert(id, socket);
    }
    // `build - < Dockerfile`: what is not an archive is a Dockerfile without a context.
    if matches!(request.context, ContextSource::Tar(_)) {
        stdin_context(&mut request)?;
    }
    Ok((request, outputs.pushed))
}

fn context(text: &str) -> ContextSource {
    match text {
        "-" => ContextSource::Tar("/dev/stdin".into()),
        // A directory of such a name is a directory.
        text if build::is_remote(text) && !Path::new(text).is_dir() => {
            ContextSource::Url(text.to_owned())
        }
        path => ContextSource::Directory(path.into()),
    }
}

fn dockerfile(args: &BuildArgs) -> Result<DockerfileSource, CliError> {
    let Some(path) = &args.file else {
        return Ok(DockerfileSource::Default);
    };
    if path != Path::new("-") {
        return Ok(DockerfileSource::Path(path.clone()));
    }
    if args.context == "-" {
        return Err(CliError::usage(
            "the Dockerfile and the context cannot both come from standard input",
        ));
    }
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|source| CliError::Io {
            what: "read the Dockerfile".to_owned(),
            source,
        })?;
    Ok(DockerfileSource::Text {
        name: "-".to_owned(),
        text,
    })
}

/// Looks at standard input: an archive is the context, anything else the Dockerfile.
fn stdin_context(request: &mut BuildRequest) -> Result<(), CliError> {
    let failed = |source| CliError::Io {
        what: "read the context".to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
    let compressed = [
        &[0x1f, 0x8b][..],
        b"BZh",
        &[0xfd, b'7', b'z'],
        &[0x28, 0xb5, 0x2f, 0xfd],
    ];
    let archive = compressed.iter().any(|magic| bytes.starts_with(magic))
        || bytes.get(257..262) == Some(b"ustar");
    if !archive {
        request.context = ContextSource::Empty;
        request.dockerfile = DockerfileSource::Text {
            name: "-".to_owned(),
            text: bytes,
        };
        return Ok(());
    }
    let memory = rustix::fs::memfd_create("context", rustix::fs::MemfdFlags::empty())
        .map_err(|errno| failed(errno.into()))?;
    let mut file = std::fs::File::from(memory);
    std::io::Write::write_all(&mut file, &bytes).map_err(failed)?;
    std::io::Seek::rewind(&mut file).map_err(failed)?;
    use std::os::fd::IntoRawFd as _;
    // Left open to the end of the process: the build opens it by this name.
    request.context = ContextSource::Tar(format!("/proc/self/fd/{}", file.into_raw_fd()).into());
    Ok(())
}

/// The time that a reproducible build has (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn arguments(list: &[String]) -> Result<indexmap::IndexMap<String, String>, CliError> {
    let environment = values::environment(&[], list)?;
    Ok(environment
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect())
}

/// `--call`, and whether it means `--check`.
fn call_is_check(call: &str) -> Result<bool, CliError> {
    match call {
        "" | "build" => Ok(false),
        "check" | "lint" => Ok(true),
        other => Err(values::bad(
            "call",
            other,
            "it is not supported; there are `build` and `check`",
        )),
    }
}

/// What is to become of the result.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outputs {
    list: Vec<build::Output>,
    /// Its names: those of `--tag`, and of each output.
    names: Vec<String>,
    /// The names that are pushed.
    pushed: Vec<String>,
}

fn outputs(args: &BuildArgs) -> Result<Outputs, CliError> {
    let mut outputs = Outputs {
        list: Vec::with_capacity(args.output.len()),
        names: args.tag.clone(),
        pushed: Vec::new(),
    };
    if args.push {
        outputs.push(&args.tag)?;
    }
    for text in &args.output {
        outputs.add(text, &args.tag)?;
    }
    let kept = args.load || !outputs.pushed.is_empty();
    if kept && !outputs.list.is_empty() && !outputs.list.contains(&build::Output::Image) {
        outputs.list.push(build::Output::Image);
    }
    Ok(outputs)
}

impl Outputs {
    /// Has some of its names pushed.
    fn push(&mut self, names: &[String]) -> Result<(), CliError> {
        if names.is_empty() {
            return Err(CliError::usage(
                "a push needs a name to push to: add --tag REGISTRY/NAME",
            ));
        }
        for name in names {
            if !self.pushed.contains(name) {
                self.pushed.push(name.clone());
            }
        }
        Ok(())
    }

    /// An output: pushed by its own names, or by the tags where it has none.
    fn add(&mut self, text: &str, tags: &[String]) -> Result<(), CliError> {
        if !text.contains('=') {
            // A path alone is a directory, and `-` a tar on standard output.
            self.list.push(match text {
                "-" => build::Output::Tar("-".into()),
                path => build::Output::Local(path.into()),
            });
            return Ok(());
        }
        let bad = |reason: String| values::bad("output", text, reason);
        let (mut kind, mut dest, mut push) = (String::new(), None, None);
        let mut own = Vec::new();
        for (key, value) in &values::fields("output", text)? {
            match (key.as_str(), value.as_str()) {
                ("type", value) => kind = value.to_owned(),
                ("dest", value) => dest = Some(PathBuf::from(value)),
                ("name", value) if !value.is_empty() => {
                    own.extend(value.split(',').map(str::to_owned));
                }
                ("push", "true" | "1") => push = Some(true),
                ("push", "false" | "0") => push = Some(false),
                // Done in any case, where SOURCE_DATE_EPOCH is given.
                ("rewrite-timestamp", "true" | "1") => {}
                _ => return Err(bad(format!("`{key}={value}` is not supported"))),
            }
        }
        let missing = || bad("dest= is missing".to_owned());
        // Without a place an archive goes to standard output, but not to a terminal.
        let archive = || match &dest {
            Some(path) => Ok(path.clone()),
            None if std::io::stdout().is_terminal() => Err(missing()),
            None => Ok("-".into()),
        };
        self.list.push(match kind.as_str() {
            "local" => build::Output::Local(dest.clone().ok_or_else(missing)?),
            "tar" => build::Output::Tar(archive()?),
            "oci" => build::Output::Oci(archive()?),
            "docker" if dest.is_some() => build::Output::Docker(archive()?),
            "image" | "docker" | "registry" => build::Output::Image,
            "cacheonly" => build::Output::None,
            other => return Err(bad(format!("type `{other}` is not supported"))),
        });
        match (kind.as_str(), push) {
            ("registry", Some(false)) => {
                return Err(bad("type=registry is a push: write type=image".to_owned()));
            }
            ("registry", _) | ("image", Some(true)) => {
                self.push(if own.is_empty() { tags } else { &own })?;
            }
            (_, Some(true)) => {
                let reason = "only an image is pushed: type=image or type=registry";
                return Err(bad(reason.to_owned()));
            }
            _ => {}
        }
        own.retain(|name| !self.names.contains(name));
        self.names.extend(own);
        Ok(())
    }
}

fn secret(text: &str) -> Result<(String, SecretSource), CliError> {
    let mut id = None;
    let mut source = None;
    for (key, value) in values::fields("secret", text)? {
        match key.as_str() {
            "id" => id = Some(value),
            "src" | "source" => source = Some(SecretSource::File(value.into())),
            "env" => source = Some(environment_secret(text, &value)?),
            "type" if matches!(value.as_str(), "file" | "env") => {}
            other => {
                return Err(values::bad(
                    "secret",
                    text,
                    format!("`{other}` is not supported"),
                ));
            }
        }
    }
    let id = id.ok_or_else(|| values::bad("secret", text, "id= is missing"))?;
    let source = match source {
        Some(source) => source,
        // An id alone names a variable, or a file.
        None if std::env::var_os(&id).is_some() => environment_secret(text, &id)?,
        None => SecretSource::File(id.clone().into()),
    };
    if let SecretSource::File(path) = &source
        && let Err(error) = std::fs::metadata(path)
    {
        return Err(values::bad(
            "secret",
            text,
            format!("`{}`: {error}", path.display()),
        ));
    }
    Ok((id, source))
}

fn environment_secret(text: &str, name: &str) -> Result<SecretSource, CliError> {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::env::var_os(name)
        .ok_or_else(|| values::bad("secret", text, format!("the variable `{name}` is not set")))?;
    Ok(SecretSource::Bytes(value.into_vec()))
}

fn ssh(text: &str) -> Result<(String, PathBuf), CliError> {
    match text.split_once('=') {
        Some((id, path)) => {
            use std::os::unix::fs::FileTypeExt as _;
            let found = std::fs::metadata(path)
                .map_err(|error| values::bad("ssh", text, format!("`{path}`: {error}")))?;
            if !found.file_type().is_socket() {
                return Err(values::bad(
                    "ssh",
                    text,
                    format!(
                        "`{path}` is no agent's socket; add the key to an agent (`ssh-add`) and name that"
                    ),
                ));
            }
            Ok((id.to_owned(), path.into()))
        }
        None => std::env::var_os("SSH_AUTH_SOCK")
            .map(|socket| (text.to_owned(), socket.into()))
            .ok_or_else(|| values::bad("ssh", text, "no agent runs: SSH_AUTH_SOCK is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_named_and_pushed() {
        let owned = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let read = |text: &str, tags: &[&str]| {
            let mut outputs = Outputs {
                names: owned(tags),
                ..Outputs::default()
            };
            outputs.add(text, &owned(tags)).map(|()| outputs)
        };
        let check = |text: &str, tags: &[&str], names: &[&str], pushed: &[&str]| {
            let expected = Outputs {
                list: vec![build::Output::Image],
                names: owned(names),
                pushed: owned(pushed),
            };
            assert_eq!(read(text, tags).expect("valid"), expected, "{text}");
        };
        check("type=registry", &["a", "r/b"], &["a", "r/b"], &["a", "r/b"]);
        let pushed = "type=image,name=r/a,push=true";
        check(pushed, &["app"], &["app", "r/a"], &["r/a"]);
        check(pushed, &["r/a"], &["r/a"], &["r/a"]);
        let two = "type=image,\"name=r/a,r/b\",push=false";
        check(two, &[], &["r/a", "r/b"], &[]);
        for (text, part) in [
            ("type=registry", "needs a name"),
            ("type=registry,push=false", "type=image"),
            ("type=oci,dest=x,push=true", "only an image is pushed"),
            ("type=local", "dest= is missing"),
            ("type=image,push=maybe", "`push=maybe`"),
            ("type=image,colour=red", "`colour=red`"),
        ] {
            let error = read(text, &[]).expect_err("invalid").to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
