//! The operations of `gantry oci`.

use std::io;
use std::os::fd::AsFd as _;

use gantry_engine::container::exec::Streams;
use gantry_engine::container::signal;
use gantry_engine::container::terminal::converse;
use gantry_engine::engine::ProcessTable;
use gantry_engine::oci::{
    self, Attachment, CreateOptions, Created, ExecOptions, Force, OciError, PassedOn, Store,
};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::print;
use crate::ui::table::Table;

use super::RunArgs;
use super::log::Log;
use super::watching;
use super::{CreateArgs, DeleteArgs, ExecArgs, KillArgs, ListArgs, ListFormat, OciCommand, PsArgs};

/// Narrowest column of a table.
const COLUMN: usize = 12;

/// Does one of them.
pub(super) fn act(store: &Store, command: OciCommand, log: &Log) -> Result<Exit, CliError> {
    match command {
        OciCommand::Create(args) => {
            create(store, &args, elsewhere(&args.console_socket), log)?;
        }
        OciCommand::Start(args) => log.warn(&oci::start(store, &args.id).map_err(failed)?),
        OciCommand::Run(args) => return run(store, args, log),
        OciCommand::Exec(args) => return exec(store, args, log),
        OciCommand::State(args) => print_json(&oci::state(store, &args.id).map_err(failed)?)?,
        OciCommand::List(args) => list(store, &args)?,
        OciCommand::Ps(args) => processes(store, &args)?,
        OciCommand::Kill(args) => kill(store, &args)?,
        OciCommand::Pause(args) => oci::pause(store, &args.id).map_err(failed)?,
        OciCommand::Resume(args) => oci::resume(store, &args.id).map_err(failed)?,
        OciCommand::Delete(args) => delete(store, &args, log)?,
        OciCommand::Events(args) => watching::events(store, &args)?,
        OciCommand::Update(args) => watching::update(store, &args)?,
        OciCommand::Spec(args) => watching::spec(&args)?,
        OciCommand::Features => print_json(&oci::features())?,
    }
    Ok(Exit::Success)
}

fn elsewhere(socket: &Option<std::path::PathBuf>) -> Attachment {
    Attachment::Elsewhere(socket.clone())
}

fn create(
    store: &Store,
    args: &CreateArgs,
    attachment: Attachment,
    log: &Log,
) -> Result<Created, CliError> {
    oci::check_preserved(args.preserve_fds).map_err(failed)?;
    oci::seal().map_err(failed)?;
    log.debug(&format!("create {}", args.id));
    let created = oci::create(
        store,
        &CreateOptions {
            id: args.id.clone(),
            bundle: args.bundle.clone(),
            attachment,
            pid_file: args.pid_file.clone(),
            preserved: args.preserve_fds,
        },
    )
    .map_err(failed)?;
    log.warn(&created.warnings);
    Ok(created)
}

fn run(store: &Store, args: RunArgs, log: &Log) -> Result<Exit, CliError> {
    let create_args = &args.create;
    let attachment = if args.detach || create_args.console_socket.is_some() {
        elsewhere(&create_args.console_socket)
    } else {
        Attachment::Here
    };
    let created = create(store, create_args, attachment, log)?;
    let id = &create_args.id;
    // Before the program runs: who sees it run may signal us at once.
    let signals = (created.terminal.is_none() && !args.detach).then(PassedOn::begin);
    match oci::start(store, id) {
        Ok(warnings) => log.warn(&warnings),
        Err(error) => {
            log.warn(&oci::delete(store, id, Force::Yes).map_err(failed)?);
            return Err(failed(error));
        }
    }
    if args.detach {
        return Ok(Exit::Success);
    }
    let code = attend(&created, signals);
    if !args.keep {
        log.warn(&oci::delete(store, id, Force::Yes).map_err(failed)?);
    }
    code.map(Exit::Child)
}

fn exec(store: &Store, args: ExecArgs, log: &Log) -> Result<Exit, CliError> {
    oci::check_preserved(args.preserve_fds).map_err(failed)?;
    oci::seal().map_err(failed)?;
    if args.process.is_none() && args.command.is_empty() {
        return Err(CliError::usage("exec: name a program, or use --process"));
    }
    let capability = |name: &String| {
        let short = name.strip_prefix("CAP_").unwrap_or(name);
        short
            .parse()
            .map_err(|_| CliError::usage(format!("`{name}` is no capability")))
    };
    let attachment = if args.detach || args.console_socket.is_some() {
        elsewhere(&args.console_socket)
    } else {
        Attachment::Here
    };
    let options = ExecOptions {
        capabilities: args.cap.iter().map(capability).collect::<Result<_, _>>()?,
        id: args.id,
        process: args.process,
        args: args.command,
        cwd: args.cwd,
        env: args.env,
        user: args.user,
        groups: args.additional_gids,
        terminal: args.tty.then_some(true),
        no_new_privileges: args.no_new_privs,
        apparmor: args.apparmor,
        preserved: args.preserve_fds,
        pid_file: args.pid_file,
        ignore_paused: args.ignore_paused,
    };
    let started = oci::exec(store, &options, &attachment).map_err(failed)?;
    log.warn(&started.warnings);
    if args.detach {
        return Ok(Exit::Success);
    }
    attend(&started, None).map(Exit::Child)
}

pub(super) fn failed(error: OciError) -> CliError {
    CliError::Oci(Box::new(error))
}

fn unattended(source: io::Error) -> CliError {
    CliError::Io {
        what: "attend the container".to_owned(),
        source,
    }
}

/// Stays until its end, with the signals that are kept already, if they are.
fn attend(process: &Created, signals: Option<io::Result<PassedOn>>) -> Result<u8, CliError> {
    let Some(terminal) = &process.terminal else {
        let signals = signals
            .unwrap_or_else(PassedOn::begin)
            .map_err(unattended)?;
        return process.attend(&signals).map_err(unattended);
    };
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let streams = Streams {
        stdin: Some(stdin.as_fd()),
        stdout: Some(stdout.as_fd()),
        stderr: None,
    };
    converse(terminal.as_fd(), process.ended(), streams, None).map_err(unattended)?;
    process.wait().map_err(unattended)
}

fn list(store: &Store, args: &ListArgs) -> Result<(), CliError> {
    let found = oci::list(store).map_err(failed)?;
    if args.quiet {
        return print(
            &found
                .iter()
                .map(|one| format!("{}\n", one.id))
                .collect::<String>(),
        );
    }
    if args.format == ListFormat::Json {
        return print_json(&serde_json::to_value(&found).unwrap_or_default());
    }
    let mut table = Table::new(
        &["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
        COLUMN,
    );
    for one in found {
        table.row([
            one.id,
            one.pid.to_string(),
            one.status.to_string(),
            one.bundle.display().to_string(),
            one.created.to_string(),
            format!("#{}", one.owner),
        ]);
    }
    print(&table.render())
}

fn processes(store: &Store, args: &PsArgs) -> Result<(), CliError> {
    if args.options.iter().any(|option| option != "-ef") {
        return Err(CliError::Unsupported {
            what: format!("`{}` for ps", args.options.join(" ")),
            reason: "the columns are those of `-ef`",
        });
    }
    let pids = oci::processes(store, &args.id).map_err(failed)?;
    if args.format == ListFormat::Json {
        let numbers: Vec<i32> = pids.iter().map(|pid| pid.as_raw_pid()).collect();
        return print(&format!("{}\n", serde_json::json!(numbers)));
    }
    let found = ProcessTable::of(&pids);
    let mut table = Table::new(&found.titles, COLUMN);
    for row in found.rows {
        table.row(row);
    }
    print(&table.render())
}

fn kill(store: &Store, args: &KillArgs) -> Result<(), CliError> {
    let number = signal::parse(&args.signal).map_err(|error| CliError::usage(error.to_string()))?;
    let sent = if args.all {
        oci::kill_all(store, &args.id, number)
    } else {
        oci::kill(store, &args.id, number)
    };
    sent.map_err(failed)
}

fn delete(store: &Store, args: &DeleteArgs, log: &Log) -> Result<(), CliError> {
    let force = if args.force { Force::Yes } else { Force::No };
    log.warn(&oci::delete(store, &args.id, force).map_err(failed)?);
    Ok(())
}

fn print_json(value: &serde_json::Value) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    print(&format!("{text}\n"))
}
