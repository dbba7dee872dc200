//! `logs`: view output from containers.

use std::io::Write;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use clap::Args;

use crate::backend::{Container, Flow, LogLine, LogQuery};
use crate::cli::apply::colour_stdout;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::follow::Follower;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session, numbered, short_name};
use crate::cli::time;
use crate::plan::labels;
use crate::plan::observed::{number, service};
use crate::ui::container::rfc3339;
use crate::ui::logs::{LogPrinter, LogStyle};

/// What was typed after `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Follow log output.
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// Produce monochrome output.
    #[arg(long)]
    pub no_color: bool,
    /// Don't print prefix in logs.
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes).
    #[arg(long)]
    pub since: Option<String>,
    /// Number of lines to show from the end of the logs for each container.
    #[arg(short = 'n', long, default_value = "all")]
    pub tail: String,
    /// Show timestamps.
    #[arg(short = 't', long)]
    pub timestamps: bool,
    /// Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes).
    #[arg(long)]
    pub until: Option<String>,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: LogsArgs) -> Result<Exit, CliError> {
    let now = jiff::Timestamp::now();
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| time::parse(text, now).map(SystemTime::from))
            .transpose()
    };
    let query = LogQuery {
        since: moment(&args.since)?,
        until: moment(&args.until)?,
        tail: time::tail(&args.tail)?,
        follow: args.follow,
    };
    let index = numbered(args.index);
    if index.is_some() && args.services.len() != 1 {
        return Err(CliError::usage("`--index` needs exactly one service"));
    }
    let session = Session::named(global)?;
    let containers = wanted(&session, &args)?;
    if let (Some(index), true) = (index, containers.is_empty()) {
        return Err(CliError::NotFound {
            what: "container of service",
            name: args.services.join(", "),
            hint: Some(format!("`--index {index}`: none has this number")),
        });
    }
    let style = LogStyle {
        colour: !args.no_color && colour_stdout(global),
        prefix: !args.no_log_prefix,
        timestamps: args.timestamps,
    };
    let names: Vec<String> = containers
        .iter()
        .map(|c| short_name(&session.project_name, &c.name).to_owned())
        .collect();
    let out: Box<dyn Write + Send> = Box::new(std::io::stdout());
    let printer = LogPrinter::new(out, style, &names);
    if args.follow {
        follow(&session, &args, containers, query, printer)?;
    } else {
        merge(&session, &containers, &query, printer)?;
    }
    Ok(Exit::Success)
}

/// The containers of the named services; with a compose file only of its services.
fn wanted(session: &Session, args: &LogsArgs) -> Result<Vec<Container>, CliError> {
    let mut containers = session.of_services(&args.services, OneOff::Exclude)?;
    if let Some(project) = &session.project {
        containers.retain(|container| project.any_service(service(container)).is_some());
    }
    containers
        .retain(|container| numbered(args.index).is_none_or(|index| number(container) == index));
    Ok(containers)
}

/// Prints what is there, in the order of time over all containers.
fn merge<W: Write>(
    session: &Session,
    containers: &[Container],
    query: &LogQuery,
    mut printer: LogPrinter<W>,
) -> Result<(), CliError> {
    std::thread::scope(|scope| {
        let mut sources = Vec::new();
        let mut readers = Vec::new();
        for container in containers {
            let (sender, lines) = sync_channel(256);
            readers.push(scope.spawn(|| {
                session
                    .backend
                    .logs(&container.id, query, &mut move |line| {
                        if sender.send(line).is_ok() {
                            Flow::Continue
                        } else {
                            Flow::Stop
                        }
                    })
            }));
            let name = short_name(&session.project_name, &container.name).to_owned();
            sources.push((name, lines, None));
        }
        print_in_order(&mut sources, &mut printer);
        // Readers that wait to hand over a line end when nobody takes it.
        drop(sources);
        for reader in readers {
            if let Ok(result) = reader.join() {
                result?;
            }
        }
        Ok(())
    })
}

type Source = (String, Receiver<LogLine>, Option<LogLine>);

/// Always the earliest of the lines that come next.
fn print_in_order<W: Write>(sources: &mut [Source], printer: &mut LogPrinter<W>) {
    loop {
        for (_, lines, next) in sources.iter_mut() {
            if next.is_none() {
                *next = lines.recv().ok();
            }
        }
        let earliest = sources
            .iter_mut()
            .filter(|(_, _, next)| next.is_some())
            .min_by_key(|(_, _, next)| next.as_ref().map(|line| line.time));
        let Some((name, _, next)) = earliest else {
            return;
        };
        let Some(line) = next.take() else { return };
        let time = rfc3339(line.time);
        if printer.line(name, Some(&time), &line.text).is_err() {
            // Nobody reads any more.
            return;
        }
    }
}

/// Goes on with what is written, and with containers that are started later, until
/// interrupted or until every container has ended for good.
fn follow(
    session: &Session,
    args: &LogsArgs,
    containers: Vec<Container>,
    query: LogQuery,
    printer: LogPrinter<Box<dyn Write + Send>>,
) -> Result<(), CliError> {
    let printer = Arc::new(Mutex::new(printer));
    // What runs may still say something, unless that would come too late.
    let open_ended = query.until.is_none();
    let mut follower = Follower::new(
        Arc::clone(&session.backend),
        &session.project_name,
        printer,
        query,
    );
    let (sender, changes) = channel();
    let _subscription = session
        .backend
        .subscribe(&[(labels::PROJECT, &session.project_name)], sender)?;
    follower.look_at(&containers);
    let mut containers = containers;
    while containers
        .iter()
        .any(|c| (open_ended && c.state.is_live()) || !follower.has_read(&c.id))
    {
        // A change, or the end of a log that no change tells of.
        let _ = changes.recv_timeout(Duration::from_millis(500));
        containers = wanted(session, args)?;
        follower.look_at(&containers);
    }
    follower.finish();
    Ok(())
}
