//! `gantry login` and `gantry logout`: credentials for registries, kept where Docker keeps them.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::Args;
use gantry_engine::registry::{self, Keeper, RegistryOptions};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::print;

const CTRL_C: u8 = 3;

/// What was typed after `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Password or access token; visible to everybody on this machine while the command runs.
    #[arg(short = 'p', long)]
    password: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Name at the registry.
    #[arg(short = 'u', long)]
    username: Option<String>,
    /// The registry; default: Docker Hub.
    #[arg(value_name = "SERVER", default_value = "", hide_default_value = true)]
    server: String,
}

/// What was typed after `logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// The registry; default: Docker Hub.
    #[arg(value_name = "SERVER", default_value = "", hide_default_value = true)]
    server: String,
}

/// Tries a name and a password, and keeps them.
///
/// # Errors
/// When the registry does not take them, or they cannot be kept.
pub fn login(args: &LoginArgs) -> Result<Exit, CliError> {
    let host = registry::server(&args.server);
    let username = match &args.username {
        Some(name) => name.clone(),
        None => ask_name(args)?,
    };
    if username.is_empty() || username.contains(':') {
        return Err(CliError::usage(
            "a username is not empty and has no colon: give one with --username",
        ));
    }
    let password = password(args)?;
    if password.is_empty() {
        return Err(CliError::usage(
            "the password is empty: give one with --password-stdin",
        ));
    }
    let options = RegistryOptions::of_machine();
    let keeper =
        registry::login_blocking(&host, &username, &password, &options).map_err(|source| {
            CliError::Registry {
                what: format!("log in to `{host}`"),
                source: Box::new(source),
            }
        })?;
    if let Keeper::File(path) = keeper {
        eprintln!(
            "warning: the password is kept unencrypted in `{}`; a credential helper (credsStore there) keeps it safe",
            path.display()
        );
    }
    print("Login Succeeded\n")?;
    Ok(Exit::Success)
}

/// Forgets the credentials for a registry.
///
/// # Errors
/// When they cannot be taken away.
pub fn logout(args: &LogoutArgs) -> Result<Exit, CliError> {
    let host = registry::server(&args.server);
    let known = registry::logout(&host, &RegistryOptions::of_machine()).map_err(|source| {
        CliError::Registry {
            what: format!("log out of `{host}`"),
            source: Box::new(source),
        }
    })?;
    match known {
        Some(_) => print(&format!("Removing login credentials for {host}\n"))?,
        None => print(&format!("Not logged in to {host}\n"))?,
    }
    Ok(Exit::Success)
}

fn ask_name(args: &LoginArgs) -> Result<String, CliError> {
    if args.password.is_some() || args.password_stdin || !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "login needs a name where nobody can be asked: give it with --username",
        ));
    }
    eprint!("Username: ");
    line()
}

fn password(args: &LoginArgs) -> Result<String, CliError> {
    match (&args.password, args.password_stdin) {
        (Some(_), true) => Err(CliError::usage(
            "--password and --password-stdin exclude each other",
        )),
        (Some(password), false) => {
            eprintln!(
                "warning: everybody on this machine can see --password: use --password-stdin"
            );
            Ok(password.clone())
        }
        (None, true) => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(unreadable)?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, false) if std::io::stdin().is_terminal() => hidden(),
        (None, false) => Err(CliError::usage(
            "login needs a password where nobody can be asked: pipe it in with --password-stdin",
        )),
    }
}

/// A line of the terminal that is not shown.
fn hidden() -> Result<String, CliError> {
    let failed = |errno: rustix::io::Errno| unreadable(errno.into());
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(failed)?;
    let mut silent = before.clone();
    // Ctrl-C ends the line instead of the process, which would leave the terminal silent.
    silent
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    tcsetattr(&stdin, OptionalActions::Now, &silent).map_err(failed)?;
    eprint!("Password: ");
    let text = line();
    let restored = tcsetattr(&stdin, OptionalActions::Now, &before);
    eprintln!();
    restored.map_err(failed)?;
    text.and_then(|text| match text.ends_with(char::from(CTRL_C)) {
        true => Err(CliError::Declined),
        false => Ok(text),
    })
}

fn line() -> Result<String, CliError> {
    // The question is on the terminal; the answer follows it.
    let _ = std::io::stderr().flush();
    let mut text = String::new();
    let read = std::io::stdin().lock().read_line(&mut text);
    read.map_err(unreadable)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(source: std::io::Error) -> CliError {
    CliError::Io {
        what: "read the answer".to_owned(),
        source,
    }
}
