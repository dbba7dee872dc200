//! `run`: run a one-off command on a service.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use gantry_engine::spec::{BindOptions, MountKind, MountSpec, PortSpec, Protocol};

use clap::Args;
use indexmap::IndexMap;

use crate::backend::AttachSpec;
use crate::cli::apply::{self, ImageOptions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output;
use crate::cli::session::{self, Session};
use crate::cli::verbs::exec::split;
use crate::executor::{Cancel, Execution, Sink, wait};
use crate::loader::discover::read_env_files;
use crate::loader::env::Variables;
use crate::loader::{self, Diagnostics};
use crate::lower::{OneOff, PublishedPorts, Stack};
use crate::model::Project;
use crate::plan::images::{Builds, Policy};
use crate::plan::up::{
    Anonymous, ChangedVolumes, Dependencies, Recreate, Start, UpOptions, up as plan_up,
};
use crate::plan::{Wait, observed};

/// What was typed after `run`.
#[derive(Debug, Args)]
#[command(override_usage = "gantry run [OPTIONS] SERVICE [COMMAND] [ARGS...]")]
pub struct RunArgs {
    /// Build image before starting container.
    #[arg(long)]
    pub build: bool,
    /// Add Linux capabilities.
    #[arg(long)]
    pub cap_add: Vec<String>,
    /// Drop Linux capabilities.
    #[arg(long)]
    pub cap_drop: Vec<String>,
    /// Run container in background and print container ID.
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Override the entrypoint of the image.
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Set environment variables.
    #[arg(short = 'e', long)]
    pub env: Vec<String>,
    /// Set environment variables from file.
    #[arg(long)]
    pub env_from_file: Vec<String>,
    /// Keep STDIN open even if not attached.
    #[arg(short = 'i', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub interactive: bool,
    /// Add or override a label.
    #[arg(short = 'l', long)]
    pub label: Vec<String>,
    /// Assign a name to the container.
    #[arg(long)]
    pub name: Option<String>,
    /// Disable pseudo-TTY allocation.
    #[arg(short = 'T', long = "no-TTY", visible_alias = "no-tty")]
    pub no_tty: bool,
    /// Don't start linked services.
    #[arg(long)]
    pub no_deps: bool,
    /// Publish a container's port(s) to the host.
    #[arg(short = 'p', long)]
    pub publish: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never").
    #[arg(long, default_value = "policy")]
    pub pull: String,
    /// Don't print anything to STDOUT.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Suppress progress output from the build process.
    #[arg(long)]
    pub quiet_build: bool,
    /// Pull without printing progress information.
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Automatically remove the container when it exits.
    #[arg(long)]
    pub rm: bool,
    /// Run command with all service's ports enabled and mapped to the host.
    #[arg(short = 'P', long)]
    pub service_ports: bool,
    /// Use the service's network useAliases in the network(s) the container connects to.
    #[arg(long)]
    pub use_aliases: bool,
    /// Run as specified username or uid.
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Bind mount a volume.
    #[arg(short = 'v', long)]
    pub volume: Vec<String>,
    /// Working directory inside the container.
    #[arg(short = 'w', long)]
    pub workdir: Option<String>,
    /// The service, then the command and its arguments: everything after the service's
    /// name belongs to the command, flags too.
    #[arg(
        value_name = "SERVICE [COMMAND [ARGS...]]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub service_and_command: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: RunArgs) -> Result<Exit, CliError> {
    let options = args.resolve()?;
    let dependencies = match options.dependencies {
        Dependencies::Included => loader::Dependencies::Include,
        Dependencies::Ignored => loader::Dependencies::Ignore,
    };
    let service = options.service.clone();
    let (session, project) = Session::loaded(global, std::slice::from_ref(&service), dependencies)?;
    let mut stack = apply::lowered(global, project, &[])?;
    stack.desired.select(std::slice::from_ref(&service))?;
    let one_off = options.one_off(global, &stack)?;
    let reporter = apply::reporter(global, "Running");
    let prepared = prepare(global, &session, &mut stack, &options, &|event| {
        reporter.tell(event)
    });
    reporter.finish();
    prepared?;
    if global.dry_run {
        return output::print(&format!("service {service} run one-off\n")).map(|()| Exit::Success);
    }
    let spec = stack
        .one_off(&service, one_off)
        .ok_or_else(|| CliError::NotFound {
            what: "service",
            name: service.clone(),
            hint: None,
        })?;
    let made = session.backend.create(&spec)?;
    output::warn(&made.warnings);
    let id = made.id;
    output::warn(&session.backend.prepare(&id)?);
    if options.detach {
        session.backend.start(&id)?;
        output::print(&format!("{id}\n"))?;
        return Ok(Exit::Success);
    }
    let attach = AttachSpec {
        stdin: options.interactive,
        signals: true,
        detach_keys: None,
        start: true,
    };
    let code = session.backend.attach(&id, &attach)?;
    Ok(Exit::of_child(code))
}

/// What was typed, with nothing left open.
struct Run {
    service: String,
    command: Vec<String>,
    dependencies: Dependencies,
    images: ImageOptions,
    remove_orphans: bool,
    detach: bool,
    interactive: bool,
    tty: bool,
    typed: RunArgs,
}

impl RunArgs {
    fn resolve(mut self) -> Result<Run, CliError> {
        let (service, command) = split(std::mem::take(&mut self.service_and_command), "run")?;
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        Ok(Run {
            service,
            command,
            dependencies: if self.no_deps {
                Dependencies::Ignored
            } else {
                Dependencies::Included
            },
            images: ImageOptions {
                builds: if self.build {
                    Builds::Always
                } else {
                    Builds::WhenMissing
                },
                pull: apply::pull_flag(&self.pull)?.filter(|policy| *policy != Policy::Build),
                quiet_pull: self.quiet_pull || self.quiet,
                quiet_build: self.quiet_build || self.quiet,
            },
            remove_orphans: self.remove_orphans,
            detach: self.detach,
            interactive: self.interactive && !self.detach,
            tty: !self.no_tty && !self.detach && terminal,
            typed: self,
        })
    }
}

impl Run {
    /// What the command line changes of the service's container.
    fn one_off(&self, global: &Global, stack: &Stack) -> Result<OneOff, CliError> {
        let typed = &self.typed;
        let env = environment(global, &stack.project, typed)?;
        let entrypoint = match &typed.entrypoint {
            Some(text) => Some(words(text).ok_or_else(|| {
                CliError::usage(format!("`--entrypoint {text}`: a quote is not closed"))
            })?),
            None => None,
        };
        let ports = if !typed.publish.is_empty() {
            let ports = typed.publish.iter().map(|text| published(text));
            PublishedPorts::These(ports.collect::<Result<_, _>>()?)
        } else if typed.service_ports {
            PublishedPorts::Service
        } else {
            PublishedPorts::None
        };
        let here = std::env::current_dir().map_err(|source| CliError::Io {
            what: "find the working directory".to_owned(),
            source,
        })?;
        let mounts = typed.volume.iter().map(|text| mount(text, stack, &here));
        Ok(OneOff {
            name: typed.name.clone(),
            slug: slug()?,
            command: self.command.clone(),
            entrypoint,
            env,
            labels: typed
                .label
                .iter()
                .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            user: typed.user.clone(),
            workdir: typed.workdir.clone(),
            mounts: mounts.collect::<Result<_, _>>()?,
            ports,
            cap_add: typed.cap_add.clone(),
            cap_drop: typed.cap_drop.clone(),
            use_aliases: typed.use_aliases,
            tty: self.tty,
            interactive: self.interactive,
            remove: typed.rm,
        })
    }
}

/// Images, networks, volumes, and what the service depends on.
fn prepare(
    global: &Global,
    session: &Session,
    stack: &mut Stack,
    run: &Run,
    events: Sink<'_>,
) -> Result<(), CliError> {
    let backend = &*session.backend;
    let named = [run.service.clone()];
    let services = match run.dependencies {
        Dependencies::Included => stack.desired.with_dependencies(&named),
        Dependencies::Ignored => named.to_vec(),
    };
    let (own, others): (Vec<_>, Vec<_>) =
        services.into_iter().partition(|name| *name == run.service);
    // `--build` is about the service itself.
    let missing = ImageOptions {
        builds: Builds::WhenMissing,
        ..run.images.clone()
    };
    apply::provide_images(global, backend, stack, &others, &missing, events)?;
    apply::provide_images(global, backend, stack, &own, &run.images, events)?;
    let lock = apply::lock(backend, &session.project_name)?;
    // The service's own containers are none of this command's business: it is planned as one
    // that wants no container and has none, which leaves its networks, volumes, dependencies.
    let mut desired = stack.desired.clone();
    if let Some(service) = desired.services.get_mut(&run.service) {
        service.replicas = 0;
    }
    let mut observed = apply::observe(backend, &session.project_name, Some(&desired))?;
    observed
        .containers
        .retain(|container| observed::service(container) != run.service);
    let options = UpOptions {
        services: named.to_vec(),
        dependencies: run.dependencies,
        recreate: Recreate::Diverged,
        recreate_dependencies: Recreate::Diverged,
        anonymous: Anonymous::Inherited,
        changed_volumes: ChangedVolumes::Kept,
        orphans: apply::orphans(run.remove_orphans),
        start: Start::Yes,
        timeout: None,
    };
    let plan = plan_up(&desired, &observed, &options)?;
    let cancel = Cancel::default();
    let execution = Execution {
        backend,
        project: &session.project_name,
        stack: Some(stack),
        events,
        parallel: global.parallel,
        cancel: &cancel,
        lock: Some(&*lock),
    };
    apply::carry_out(global, &execution, &plan)?;
    if global.dry_run || run.dependencies == Dependencies::Ignored {
        return Ok(());
    }
    let waits: Vec<_> = stack.desired.services[&run.service]
        .depends_on
        .iter()
        .filter(|(name, _)| {
            stack
                .desired
                .services
                .get(*name)
                .is_some_and(|s| s.replicas > 0)
        })
        .map(|(name, dependency)| Wait {
            service: name.clone(),
            condition: dependency.condition,
            required: dependency.required,
        })
        .collect();
    Ok(wait::conditions(&execution, &run.service, &waits)?)
}

/// 12 hexadecimal digits.
fn slug() -> Result<String, CliError> {
    let mut bytes = [0_u8; 6];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| CliError::Io {
            what: "read `/dev/urandom`".to_owned(),
            source,
        })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What `-e` and `--env-from-file` set, in this order of precedence; a name alone has its value from the project's
/// environment. Files are read as every `.env` file is.
fn environment(
    global: &Global,
    project: &Project,
    typed: &RunArgs,
) -> Result<Vec<(String, Option<String>)>, CliError> {
    let entry = |text: &String| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.clone(), project.environment.get(text).cloned()),
    };
    let mut environment: IndexMap<_, _> = typed.env.iter().map(entry).collect();
    let known = environment
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    let known = Variables::from_process(&known.collect());
    let mut problems = Diagnostics::default();
    for path in &typed.env_from_file {
        let path = [PathBuf::from(path)];
        let (sources, list) = (&mut problems.sources, &mut problems.list);
        for (key, (value, _)) in read_env_files(&path, &known, sources, list).iter() {
            environment
                .entry(key.to_owned())
                .or_insert_with(|| Some(value.clone()));
        }
    }
    let told = problems.render(session::colour(global));
    if problems.has_errors() {
        return Err(CliError::Load(told));
    }
    eprint!("{told}");
    Ok(environment.into_iter().collect())
}

/// Splits like a shell does, without expanding anything; `None` when a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// `[[IP:]HOST[-HOST]:]CONTAINER[/PROTOCOL]`.
fn published(text: &str) -> Result<PortSpec, CliError> {
    let wrong = || {
        CliError::usage(format!(
            "`--publish {text}`: expected [[IP:]HOST:]CONTAINER[/PROTOCOL]"
        ))
    };
    let (rest, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some((rest, "sctp")) => (rest, Protocol::Sctp),
        Some(_) => return Err(wrong()),
    };
    let (left, container) = match rest.rsplit_once(':') {
        Some((left, container)) => (Some(left), container),
        None => (None, rest),
    };
    let container_port = container.parse().map_err(|_| wrong())?;
    let (host_ip, host) = match left {
        None => (None, ""),
        Some(left) => match left.rsplit_once(':') {
            Some((ip, host)) => {
                let ip = ip.trim_matches(['[', ']']).parse().map_err(|_| wrong())?;
                (Some(ip), host)
            }
            None => (None, left),
        },
    };
    let host_ports = match (host, host.split_once('-')) {
        ("" | "0", _) => None,
        (_, Some((first, last))) => Some((
            first.parse().map_err(|_| wrong())?,
            last.parse().map_err(|_| wrong())?,
        )),
        (one, None) => {
            let port = one.parse().map_err(|_| wrong())?;
            Some((port, port))
        }
    };
    Ok(PortSpec {
        container_port,
        host_ports,
        host_ip,
        protocol,
    })
}

/// `[SOURCE:]TARGET[:OPTIONS]`.
fn mount(text: &str, stack: &Stack, here: &Path) -> Result<MountSpec, CliError> {
    let parts: Vec<_> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] if target.starts_with('/') => (*source, *target, ""),
        [target, options] => ("", *target, *options),
        [source, target, options] => (*source, *target, *options),
        _ => {
            return Err(CliError::usage(format!(
                "`--volume {text}`: too many colons"
            )));
        }
    };
    if !target.starts_with('/') {
        return Err(CliError::usage(format!(
            "`--volume {text}`: `{target}` is not an absolute path"
        )));
    }
    let mut read_only = false;
    let mut no_copy = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "nocopy" => no_copy = true,
            "rw" | "z" | "Z" => {}
            other => {
                return Err(CliError::usage(format!(
                    "`--volume {text}`: `{other}` is not supported"
                )));
            }
        }
    }
    let kind = if source.starts_with(['.', '/', '~']) {
        let source = match (source.strip_prefix('~'), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest.trim_start_matches('/')),
            _ => here.join(source),
        };
        MountKind::Bind {
            source,
            options: BindOptions {
                create_source: true,
                ..BindOptions::default()
            },
        }
    } else {
        let name = match stack.desired.volumes.get(source) {
            Some(volume) => Some(volume.name.clone()),
            None => (!source.is_empty()).then(|| source.to_owned()),
        };
        MountKind::Volume {
            name,
            no_copy,
            subpath: None,
            labels: BTreeMap::new(),
        }
    };
    Ok(MountSpec {
        target: target.to_owned(),
        kind,
        read_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_like_a_shell() {
        let split = |text| words(text).map(|words| words.join("|"));
        assert_eq!(
            split("sh -c 'a b' \"c d\" e\\ f"),
            Some("sh|-c|a b|c d|e f".to_owned())
        );
        assert_eq!(split("'open"), None);
        assert_eq!(split("''"), Some(String::new()));
    }

    #[test]
    fn ports_in_every_form() {
        let check = |text: &str| {
            published(text).ok().map(|p| {
                (
                    p.host_ip.map(|ip| ip.to_string()),
                    p.host_ports,
                    p.container_port,
                    p.protocol,
                )
            })
        };
        let tcp = Protocol::Tcp;
        assert_eq!(check("80"), Some((None, None, 80, tcp)));
        assert_eq!(
            check("8080:80/udp"),
            Some((None, Some((8080, 8080)), 80, Protocol::Udp))
        );
        assert_eq!(
            check("8000-8005:80"),
            Some((None, Some((8000, 8005)), 80, tcp))
        );
        assert_eq!(
            check("127.0.0.1:8080:80"),
            Some((Some("127.0.0.1".to_owned()), Some((8080, 8080)), 80, tcp))
        );
        assert_eq!(
            check("[::1]:8080:80"),
            Some((Some("::1".to_owned()), Some((8080, 8080)), 80, tcp))
        );
        assert_eq!(
            check("127.0.0.1::80"),
            Some((Some("127.0.0.1".to_owned()), None, 80, tcp))
        );
        for bad in ["", "x", "80/icmp", "1:2:3:4", "99999"] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }
}
