//! `run`: run a one-off command on a service.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use gantry_engine::spec::{MountKind, MountSpec};
use indexmap::IndexMap;

use crate::backend::{AnonymousVolumes, AttachSpec, Force, Removal};
use crate::cli::apply::{self, ImageOptions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::container::values;
use crate::cli::output;
use crate::cli::session::{self, Session};
use crate::cli::verbs::exec::split;
use crate::executor::{Cancel, Execution, Sink, wait};
use crate::loader::discover::read_env_files;
use crate::loader::env::Variables;
use crate::loader::short::shell;
use crate::loader::{self, Diagnostics};
use crate::lower::{OneOff, PublishedPorts, Stack};
use crate::model::Project;
use crate::plan::Wait;
use crate::plan::images::{Builds, Policy};
use crate::plan::up::{
    Anonymous, ChangedVolumes, Dependencies, Recreate, Start, UpOptions, up as plan_up,
};

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
    // Not `allow_hyphen_values`: with it, `-p80:80` would be taken for the service.
    #[arg(
        value_name = "SERVICE [COMMAND [ARGS...]]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true
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
    let failed = |error| CliError::OneOff {
        service: service.clone(),
        error,
    };
    let made = session.backend.create(&spec).map_err(failed)?;
    output::warn(&made.warnings);
    let id = made.id;
    let backend = &*session.backend;
    // One that has been started is its supervisor's to remove.
    let not_started = |error| {
        if options.typed.rm {
            let all = Removal {
                force: Force::Yes,
                volumes: AnonymousVolumes::Remove,
            };
            // Why it could not run is what the user must read.
            let _ = backend.remove(&id, all);
        }
        failed(error)
    };
    output::warn(&backend.prepare(&id).map_err(not_started)?);
    if options.detach {
        backend.start(&id).map_err(not_started)?;
        return output::print(&format!("{id}\n")).map(|()| Exit::Success);
    }
    let attach = AttachSpec {
        stdin: options.interactive,
        signals: true,
        detach_keys: None,
        start: true,
    };
    let ended = backend.attach(&id, &attach);
    let code = ended.map_err(|error| match error.exit_code {
        Some(_) => not_started(error),
        None => failed(error),
    })?;
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
        let words = |text: &String| match shell::split(text) {
            Ok((words, false)) => Ok(words),
            Ok((_, true)) => {
                let reason =
                    "what follows `;`, `&`, `|`, `<` or `>` would be dropped: put it in quotes";
                Err(values::bad("entrypoint", text, reason))
            }
            Err(error) => Err(values::bad("entrypoint", text, error)),
        };
        let entrypoint = typed.entrypoint.as_ref().map(words).transpose()?;
        let ports = if !typed.publish.is_empty() {
            let ports = typed.publish.iter().map(|text| values::ports(text));
            PublishedPorts::These(ports.collect::<Result<Vec<_>, _>>()?.concat())
        } else if typed.service_ports {
            PublishedPorts::Service
        } else {
            PublishedPorts::None
        };
        let mounts = typed.volume.iter().map(|text| mount(text, stack));
        Ok(OneOff {
            name: values::given(&typed.name),
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
            user: values::given(&typed.user),
            workdir: values::given(&typed.workdir),
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
    let observed = apply::observe(backend, &session.project_name, Some(&stack.desired))?;
    let options = UpOptions {
        services: named.to_vec(),
        dependencies: run.dependencies,
        around: Some(run.service.clone()),
        recreate: Recreate::Diverged,
        recreate_dependencies: Recreate::Diverged,
        anonymous: Anonymous::Inherited,
        changed_volumes: ChangedVolumes::Kept,
        orphans: apply::orphans(run.remove_orphans),
        start: Start::Yes,
        timeout: None,
    };
    let plan = plan_up(&stack.desired, &observed, &options)?;
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
    let bytes = gantry_engine::sys::random::<6>().map_err(|source| CliError::Io {
        what: "draw random numbers".to_owned(),
        source,
    })?;
    Ok(base16ct::lower::encode_string(&bytes))
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

/// A mount as `container run` has it, of a volume of the project where it has one of that name.
fn mount(text: &str, stack: &Stack) -> Result<MountSpec, CliError> {
    let mut mount = values::volume(text).map_err(|reason| values::bad("volume", text, reason))?;
    if let MountKind::Volume {
        name: Some(name), ..
    } = &mut mount.kind
        && let Some(volume) = stack.desired.volumes.get(name.as_str())
    {
        name.clone_from(&volume.name);
    }
    Ok(mount)
}
