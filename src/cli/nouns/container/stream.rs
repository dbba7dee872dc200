//! Verbs that connect the caller's terminal or pipes to a container: run, start, attach,
//! exec, logs.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::Args;
use gantry_engine::engine::{
    AttachEnd, AttachOptions, Engine, EngineError, ExecSpec, Interaction, LogQuery, Stream,
    Streams, WaitFor,
};

use super::options::ContainerOptions;
use super::values::{self, given};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{print, warn};
use crate::cli::time;

/// What was typed after `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Do not stay connected; print the id.
    #[arg(short = 'd', long)]
    detach: bool,
    /// Keys that disconnect; default ctrl-p,ctrl-q.
    #[arg(long)]
    detach_keys: Option<String>,
    /// Pass signals on to the container.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: bool,
    /// Connect only these: stdin, stdout, stderr.
    #[arg(short = 'a', long)]
    attach: Vec<String>,
    /// Write the id to a file that does not exist.
    #[arg(long)]
    cidfile: Option<String>,
    #[command(flatten)]
    options: ContainerOptions,
}

/// What was typed after `start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Stay connected.
    #[arg(short = 'a', long)]
    attach: bool,
    /// Connect standard input.
    #[arg(short = 'i', long)]
    interactive: bool,
    /// Keys that disconnect; default ctrl-p,ctrl-q.
    #[arg(long)]
    detach_keys: Option<String>,
    /// Containers.
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

/// What was typed after `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Keys that disconnect; default ctrl-p,ctrl-q.
    #[arg(long)]
    detach_keys: Option<String>,
    /// Do not connect standard input.
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the container.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: bool,
    /// The container.
    #[arg(value_name = "CONTAINER")]
    name: String,
}

/// What was typed after `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Do not wait.
    #[arg(short = 'd', long)]
    detach: bool,
    /// Keys that leave it; default ctrl-p,ctrl-q.
    #[arg(long)]
    detach_keys: Option<String>,
    /// Environment variable; a name alone takes its value from here.
    #[arg(short = 'e', long)]
    env: Vec<String>,
    /// File of environment variables.
    #[arg(long)]
    env_file: Vec<PathBuf>,
    /// Connect standard input.
    #[arg(short = 'i', long)]
    interactive: bool,
    /// All capabilities.
    #[arg(long)]
    privileged: bool,
    /// With a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// user[:group].
    #[arg(short = 'u', long)]
    user: Option<String>,
    /// Working directory.
    #[arg(short = 'w', long)]
    workdir: Option<String>,
    /// The container, then the command and its arguments: everything after the container's
    /// name belongs to the command, flags too.
    #[arg(
        value_name = "CONTAINER COMMAND [ARGS...]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true
    )]
    name_and_command: Vec<String>,
}

/// What was typed after `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Put before each line what the log's options have it carry.
    #[arg(long)]
    details: bool,
    /// Go on with what is written from now on.
    #[arg(short = 'f', long)]
    follow: bool,
    /// Not before this time, or this long ago.
    #[arg(long)]
    since: Option<String>,
    /// Not after this time, or this long ago.
    #[arg(long)]
    until: Option<String>,
    /// Only the last lines; all, as with less than none.
    #[arg(
        short = 'n',
        long,
        default_value = "all",
        allow_negative_numbers = true
    )]
    tail: String,
    /// Put the time before each line.
    #[arg(short = 't', long)]
    timestamps: bool,
    /// The container.
    #[arg(value_name = "CONTAINER")]
    name: String,
}

/// `run`.
pub fn run(engine: &Engine, args: &RunArgs) -> Result<Exit, CliError> {
    let mut spec = args.options.to_spec().map_err(CliError::before_run)?;
    let make = |spec| {
        super::make(engine, &args.options, spec, &args.cidfile).map_err(CliError::before_run)
    };
    let interactive = spec.open_stdin;
    if args.detach {
        if !args.attach.is_empty() {
            return Err(CliError::usage("--attach contradicts --detach"));
        }
        // Nobody is connected who could leave.
        spec.stdin_once = false;
        let id = make(spec)?;
        warn(&started(engine, &id, args.options.rm, engine.start(&id))?);
        print(&format!("{id}\n"))?;
        return Ok(Exit::Success);
    }
    terminal_needed(spec.tty && interactive)?;
    let tty = spec.tty;
    let options = attach_options(&args.attach, interactive, tty).map_err(CliError::before_run)?;
    let id = make(spec)?;
    let attachment = started(
        engine,
        &id,
        args.options.rm,
        engine.start_attached(&id, &heard(options)),
    )?;
    warn(&attachment.warnings);
    let interaction = Interaction {
        tty,
        detach_keys: given(&args.detach_keys),
        signal_proxy: args.sig_proxy,
    };
    ended(
        engine,
        &id,
        attachment.interact(streams(&options), &interaction),
    )
}

/// Docker's answer to a container that cannot be started: it stays, unless it was to be
/// removed, and the exit code tells the kind of failure.
fn started<T>(
    engine: &Engine,
    id: &str,
    remove: bool,
    result: Result<T, EngineError>,
) -> Result<T, CliError> {
    result.map_err(|error| {
        if remove {
            let options = gantry_engine::engine::RemoveOptions {
                force: true,
                volumes: true,
            };
            // The start's failure is what the user must read.
            let _ = engine.remove(id, &options);
        }
        CliError::Start {
            code: error.exit_code(),
            source: Box::new(error),
        }
    })
}

/// Whether all are names of streams.
pub fn check_streams(list: &[String]) -> Result<(), CliError> {
    attach_options(list, false, false).map(drop)
}

fn attach_options(
    list: &[String],
    interactive: bool,
    tty: bool,
) -> Result<AttachOptions, CliError> {
    if list.is_empty() {
        return Ok(AttachOptions {
            stdin: interactive,
            stdout: true,
            stderr: true,
            size: terminal_size(tty),
        });
    }
    let mut options = AttachOptions {
        stdin: false,
        stdout: false,
        stderr: false,
        size: terminal_size(tty),
    };
    for name in list {
        match name.to_lowercase().as_str() {
            "stdin" => options.stdin = true,
            "stdout" => options.stdout = true,
            "stderr" => options.stderr = true,
            other => return Err(values::bad("attach", other, "stdin, stdout or stderr")),
        }
    }
    Ok(options)
}

/// That of ours, for a container that has a terminal.
fn terminal_size(tty: bool) -> Option<(u16, u16)> {
    tty.then(|| Streams::of_process().size()).flatten()
}

/// What to ask the supervisor for. It tells of the end only who takes some output, and when the
/// container is removed with its end nobody else knows how it ended: output that was not asked
/// for is taken and dropped.
fn heard(options: AttachOptions) -> AttachOptions {
    AttachOptions {
        stdout: options.stdout || !options.stderr,
        ..options
    }
}

fn streams(options: &AttachOptions) -> Streams<'static> {
    // Static borrows: the process's own streams stay open to its end.
    Streams {
        stdin: options.stdin.then(rustix::stdio::stdin),
        stdout: options.stdout.then(rustix::stdio::stdout),
        stderr: options.stderr.then(rustix::stdio::stderr),
    }
}

fn terminal_needed(wanted: bool) -> Result<(), CliError> {
    if wanted && !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "-t with -i needs a terminal on standard input; leave out -t",
        ));
    }
    Ok(())
}

fn ended(
    engine: &Engine,
    name: &str,
    end: Result<AttachEnd, gantry_engine::container::ContainerError>,
) -> Result<Exit, CliError> {
    Ok(match end.map_err(EngineError::from)? {
        AttachEnd::Exited(exit) => Exit::Child(exit.code),
        AttachEnd::Detached => Exit::Success,
        // Its supervisor was killed; the record knows, or will know, how it ended.
        AttachEnd::Lost => Exit::Child(engine.wait(name, WaitFor::NotRunning)?.state.exit_code),
    })
}

/// `start`.
pub fn start(engine: &Engine, args: &StartArgs) -> Result<Exit, CliError> {
    if !args.attach && !args.interactive {
        return super::each(&args.names, false, |name| {
            engine.start(name).map(|warnings| warn(&warnings))
        });
    }
    let [name] = &args.names[..] else {
        return Err(CliError::usage(
            "--attach and --interactive take one container",
        ));
    };
    let container = engine.inspect(name)?;
    let tty = container.spec.tty;
    let options = AttachOptions {
        stdin: args.interactive && container.spec.open_stdin,
        stdout: true,
        stderr: true,
        size: terminal_size(tty),
    };
    let attachment = engine.start_attached(name, &options)?;
    warn(&attachment.warnings);
    let interaction = Interaction {
        tty,
        detach_keys: given(&args.detach_keys),
        signal_proxy: true,
    };
    ended(
        engine,
        name,
        attachment.interact(streams(&options), &interaction),
    )
}

/// `attach`.
pub fn attach(engine: &Engine, args: &AttachArgs) -> Result<Exit, CliError> {
    let container = engine.inspect(&args.name)?;
    let tty = container.spec.tty;
    let options = AttachOptions {
        stdin: container.spec.open_stdin && !args.no_stdin,
        stdout: true,
        stderr: true,
        size: terminal_size(tty),
    };
    let attachment = engine.attach(&args.name, &options)?;
    let interaction = Interaction {
        tty,
        detach_keys: given(&args.detach_keys),
        signal_proxy: args.sig_proxy,
    };
    ended(
        engine,
        &args.name,
        attachment.interact(streams(&options), &interaction),
    )
}

/// `exec`.
pub fn exec(engine: &Engine, args: &ExecArgs) -> Result<Exit, CliError> {
    let [name, command @ ..] = &args.name_and_command[..] else {
        return Err(CliError::usage("a container is missing"));
    };
    if command.is_empty() {
        return Err(CliError::usage("`exec` needs a command"));
    }
    let environment = values::environment(&args.env_file, &args.env)?;
    let spec = ExecSpec {
        argv: command.to_vec(),
        env: environment.into_iter().collect(),
        user: given(&args.user),
        working_dir: given(&args.workdir),
        tty: args.tty,
        privileged: args.privileged,
        detach_keys: given(&args.detach_keys),
    };
    if args.detach {
        engine.exec_detached(name, &spec)?;
        return Ok(Exit::Success);
    }
    terminal_needed(args.tty && args.interactive)?;
    let stdin = std::io::stdin();
    let streams = Streams {
        stdin: args.interactive.then(|| stdin.as_fd()),
        stdout: Some(rustix::stdio::stdout()),
        stderr: Some(rustix::stdio::stderr()),
    };
    match engine.exec(name, &spec, streams) {
        Ok(code) => Ok(Exit::Child(code)),
        Err(source) => Err(match source.exec_exit_code() {
            Some(code) => CliError::Exec {
                code,
                source: Box::new(source),
            },
            None => CliError::Engine(source),
        }),
    }
}

/// What a line carries, as Docker shows it.
fn details(attributes: &BTreeMap<String, String>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(attributes);
    query.finish().replace('&', ",") + " "
}

/// `logs`.
pub fn logs(engine: &Engine, args: &LogsArgs) -> Result<Exit, CliError> {
    let now = jiff::Timestamp::now();
    let moment = |text: &Option<String>| {
        let text = given(text);
        text.map(|text| time::parse(&text, now)).transpose()
    };
    let less_than_none = args.tail.parse().is_ok_and(|lines: i64| lines < 0);
    let query = LogQuery {
        since: moment(&args.since)?,
        until: moment(&args.until)?,
        tail: match less_than_none {
            true => None,
            false => time::tail(&args.tail)?,
        },
        follow: args.follow,
    };
    let mut out = std::io::stdout().lock();
    let mut err = std::io::stderr().lock();
    for entry in engine.logs(&args.name, &query)? {
        let entry = entry.map_err(|source| CliError::Io {
            what: "read the log".to_owned(),
            source,
        })?;
        let mut line = Vec::new();
        if args.timestamps {
            line.extend(format!("{:.9} ", entry.time).bytes());
        }
        if args.details {
            line.extend(details(&entry.attributes).bytes());
        }
        line.extend_from_slice(&entry.bytes);
        let written = match entry.stream {
            Stream::Stdout => out.write_all(&line).and_then(|()| out.flush()),
            Stream::Stderr => err.write_all(&line),
        };
        if written.is_err() {
            // The reader went away.
            break;
        }
    }
    Ok(Exit::Success)
}
