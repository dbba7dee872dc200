//! Flags that stand before the verb, and what they resolve to.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::ui::progress::Mode;

/// What was typed before the verb.
#[derive(Debug, Args)]
pub struct GlobalArgs {
    /// Include all resources, even those not used by services.
    #[arg(long)]
    pub all_resources: bool,
    /// Control when to print ANSI control characters.
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        env = "COMPOSE_ANSI",
        hide_env = true
    )]
    pub ansi: Ansi,
    /// Separate the parts of container names with `_`.
    #[arg(long, env = "COMPOSE_COMPATIBILITY", hide_env = true)]
    pub compatibility: bool,
    /// Show what would be done; change nothing.
    #[arg(long, global = true, display_order = 1000)]
    pub dry_run: bool,
    /// Specify an alternate environment file.
    #[arg(long)]
    pub env_file: Vec<PathBuf>,
    /// Compose configuration files; `-` is standard input.
    #[arg(short = 'f', long)]
    pub file: Vec<PathBuf>,
    /// Control max parallelism, -1 for unlimited.
    #[arg(
        long,
        default_value_t = -1,
        allow_negative_numbers = true,
        env = "COMPOSE_PARALLEL_LIMIT",
        hide_env = true
    )]
    pub parallel: i64,
    /// Specify a profile to enable.
    #[arg(long)]
    pub profile: Vec<String>,
    /// Set type of progress output.
    #[arg(long, value_enum, env = "COMPOSE_PROGRESS", hide_env = true)]
    pub progress: Option<Progress>,
    /// Specify an alternate working directory; default: the directory of the first Compose file.
    #[arg(long)]
    pub project_directory: Option<PathBuf>,
    /// Project name.
    #[arg(short = 'p', long)]
    pub project_name: Option<String>,
    /// Directory of all of Gantry's state; default: `/var/lib/gantry`.
    #[arg(long, env = "GANTRY_ROOT")]
    pub root: Option<PathBuf>,
    /// Former name of `--project-directory`.
    #[arg(long, hide = true)]
    pub workdir: Option<PathBuf>,
    /// Former name of `--ansi never`.
    #[arg(long, hide = true)]
    pub no_ansi: bool,
    /// Changes nothing, as in Docker Compose.
    #[arg(long, hide = true)]
    pub verbose: bool,
}

/// When to use colours and cursor movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ansi {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// A list that is redrawn in place.
    Tty,
    /// A line per event.
    Plain,
    /// A JSON object per event.
    Json,
    /// Nothing.
    Quiet,
}

impl From<Progress> for Mode {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Auto if std::io::stderr().is_terminal() => Self::Tty,
            Progress::Auto | Progress::Plain => Self::Plain,
            Progress::Tty => Self::Tty,
            Progress::Json => Self::Json,
            Progress::Quiet => Self::Quiet,
        }
    }
}

/// The global flags, resolved.
#[derive(Clone, Debug)]
pub struct Global {
    /// Compose files as typed; empty means: search.
    pub files: Vec<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// Keep resources that no service uses.
    pub all_resources: bool,
    /// Container names with `_`.
    pub compatibility: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// How many operations run at once; `None` leaves it to the executor.
    pub parallel: Option<usize>,
    /// Where state lives; `None` is the engine's default.
    pub root: Option<PathBuf>,
    /// Colours and progress.
    pub ansi: Ansi,
    /// How progress is shown.
    pub progress: Progress,
}

impl GlobalArgs {
    /// Flags to options in which nothing is open that has a default.
    #[must_use]
    pub fn resolve(self) -> Global {
        Global {
            files: self.file,
            project_name: self.project_name,
            project_directory: self.project_directory.or(self.workdir),
            profiles: self.profile,
            env_files: self.env_file,
            all_resources: self.all_resources,
            compatibility: self.compatibility,
            dry_run: self.dry_run,
            parallel: usize::try_from(self.parallel).ok().filter(|n| *n > 0),
            root: self.root,
            ansi: if self.no_ansi { Ansi::Never } else { self.ansi },
            progress: self.progress.unwrap_or(Progress::Auto),
        }
    }
}
