//! `gantry system boot|shutdown|install|uninstall`: containers and the machine's own start and end.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use gantry_engine::engine::{Attempt, Engine, EngineError, Turn};
use gantry_engine::rootless;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::print;

/// The unit's name.
const UNIT: &str = "gantry.service";

/// What was typed after `install` or `uninstall`.
#[derive(Debug, Args)]
pub struct UnitArgs {
    /// Where systemd's units are; default: /etc/systemd/system, of an ordinary user ~/.config/systemd/user.
    #[arg(long, value_name = "DIRECTORY")]
    unit_directory: Option<PathBuf>,
}

/// Whose systemd starts the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    /// The machine's.
    System,
    /// An ordinary user's own.
    User,
}

impl Manager {
    fn present() -> Self {
        match rootless::places() {
            None => Self::System,
            Some(_) => Self::User,
        }
    }

    /// Where its units are (systemd.unit(5)).
    fn units(self) -> Result<PathBuf, CliError> {
        if self == Self::System {
            return Ok("/etc/systemd/system".into());
        }
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let configuration = variable("XDG_CONFIG_HOME")
            .or_else(|| Some(variable("HOME")?.join(".config")))
            .ok_or_else(|| CliError::usage("HOME is not set: use --unit-directory"))?;
        let units = configuration.join("systemd/user");
        if Path::new("/run/systemd/system").is_dir() {
            fs::create_dir_all(&units).map_err(failed("create", &units))?;
        }
        Ok(units)
    }

    /// What is reached when everything has been started.
    fn target(self) -> &'static str {
        match self {
            Self::System => "multi-user.target",
            Self::User => "default.target",
        }
    }
}

impl UnitArgs {
    fn directory(&self, manager: Manager) -> Result<PathBuf, CliError> {
        match &self.unit_directory {
            Some(directory) => Ok(directory.clone()),
            None => manager.units(),
        }
    }

    /// Another place is that of a package or of an image which is being made.
    fn is_where_systemd_looks(&self) -> bool {
        self.unit_directory.is_none()
    }
}

/// Starts what the restart policies want started.
pub fn boot(engine: &Engine) -> Result<Exit, CliError> {
    tell(engine.boot()?)
}

/// Stops everything, to be started again at boot.
pub fn shutdown(engine: &Engine) -> Result<Exit, CliError> {
    tell(engine.shut_down()?)
}

fn tell(attempts: Vec<Attempt>) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    for Attempt { name, result } in attempts {
        match result {
            Ok(turn) => {
                let turn = match turn {
                    Turn::Started => "Started",
                    Turn::Removed => "Removed",
                    Turn::Stopped => "Stopped",
                };
                print(&format!("Container {name}  {turn}\n"))?;
            }
            Err(error) => {
                eprint!(
                    "container `{name}`: {}",
                    CliError::from(EngineError::from(error)).render()
                );
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

/// Writes the unit, enables it and starts it: one that is not active when the machine goes down is not asked to
/// stop anything.
pub fn install(global: &Global, args: &UnitArgs) -> Result<Exit, CliError> {
    let manager = Manager::present();
    let directory = &args.directory(manager)?;
    if !directory.is_dir() {
        return Err(CliError::usage(format!(
            "there is no `{}`: this machine does not start with systemd. Have its init run \
             `gantry system boot` when the network is up, and `gantry system shutdown` before it \
             goes down",
            directory.display()
        )));
    }
    let executable = std::env::current_exe().map_err(failed("find", Path::new("gantry")))?;
    let text = unit(&executable, global.root.as_deref(), manager);
    let path = directory.join(UNIT);
    let partial = directory.join(format!("{UNIT}.new"));
    fs::write(&partial, text).map_err(failed("write", &partial))?;
    fs::rename(&partial, &path).map_err(failed("write", &path))?;
    let wants = directory.join(format!("{}.wants", manager.target()));
    fs::create_dir_all(&wants).map_err(failed("create", &wants))?;
    let link = wants.join(UNIT);
    match symlink(Path::new("..").join(UNIT), &link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failed("create", &link)(error));
        }
        _ => {}
    }
    if args.is_where_systemd_looks() {
        systemctl(manager, &["daemon-reload"]);
        systemctl(manager, &["start", UNIT]);
    }
    let when = match manager {
        Manager::System => "at boot",
        Manager::User => "at your login (at boot after `loginctl enable-linger`)",
    };
    print(&format!(
        "{} starts containers {when} as their restart policies say\n",
        path.display()
    ))?;
    Ok(Exit::Success)
}

/// Takes the unit away.
pub fn uninstall(args: &UnitArgs) -> Result<Exit, CliError> {
    let manager = Manager::present();
    let directory = &args.directory(manager)?;
    for path in [
        directory
            .join(format!("{}.wants", manager.target()))
            .join(UNIT),
        directory.join(UNIT),
    ] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => {}
        }
    }
    if args.is_where_systemd_looks() {
        systemctl(manager, &["daemon-reload"]);
    }
    Ok(Exit::Success)
}

/// systemd.service(5): started once, and stopped when the machine goes down.
fn unit(executable: &Path, root: Option<&Path>, manager: Manager) -> String {
    let mut command = quoted(executable);
    if let Some(root) = root {
        command = format!("{command} --root {}", quoted(root));
    }
    // A user's systemd knows nothing of the network, and may not raise limits.
    let (after, limits) = match manager {
        Manager::System => (
            "Wants=network-online.target\nAfter=network-online.target local-fs.target\n",
            "TasksMax=infinity\nLimitNOFILE=1048576\n",
        ),
        Manager::User => ("", ""),
    };
    let target = manager.target();
    format!(
        "[Unit]
Description=Containers of Gantry
{after}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command} system boot
ExecStop={command} system shutdown
TimeoutStopSec=5min
Delegate=yes
{limits}
[Install]
WantedBy={target}
"
    )
}

/// A word of a command line (systemd.syntax(7)).
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

/// Has a systemd that runs do something; one that does not finds the units at its start.
fn systemctl(manager: Manager, words: &[&str]) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let mut command = Command::new("systemctl");
    if matches!(manager, Manager::User) {
        command.arg("--user");
    }
    let problem = match command.args(words).status() {
        Ok(status) if status.success() => return,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    eprintln!("warning: systemctl {}: {problem}", words.join(" "));
}

fn failed<'a>(action: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> CliError + 'a {
    move |source| CliError::Io {
        what: format!("{action} `{}`", path.display()),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_meaning_in_a_unit() {
        let unit = unit(
            Path::new("/opt/my tools/100%/gantry"),
            Some(Path::new("/srv/$x")),
            Manager::System,
        );
        assert!(
            unit.contains(
                "ExecStart=\"/opt/my tools/100%%/gantry\" --root \"/srv/$$x\" system boot\n"
            ),
            "{unit}"
        );
    }
}
