//! Running for an ordinary user: everything happens in one user namespace of theirs, in which the
//! engine is root. What is root's elsewhere (mounts, bridges, packet filters, network namespaces)
//! is the same code here.
//!
//! [`enter`] takes a command into the user's namespace, and makes it when there is none. The
//! namespace lives as long as its [`holder`], a process that waits until nobody needs it; so
//! every process of ours keeps a mark that it is there ([`stay`]). A command sees the machine's
//! own network, and goes into the holder's only to work on bridges: there are the networks of all
//! of the user's projects.
//!
//! Where the user has a systemd of their own, it gives the containers a part of the cgroup tree ([`scope`]), and limits are
//! in force.
//!
//! With ranges in /etc/subuid and /etc/subgid there are 65,536 ids and more (`ids`), else one.

mod egress;
mod holder;
mod ids;
mod places;
mod scope;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Once, OnceLock};

use rustix::thread::ThreadNameSpaceType;

use crate::error::{Classify, ErrorKind};
use crate::network::{NetNs, set_home};
use crate::state::{Lock, StateError};
use crate::sys::namespace;
use crate::sys::user_namespace;

pub(crate) use egress::main as lead_out;
pub(crate) use holder::main as hold;
pub use places::Places;
use scope::Scope;

/// Why an ordinary user can have no namespace.
#[derive(Debug, thiserror::Error)]
pub enum RootlessError {
    /// The kernel refuses.
    #[error(
        "this machine lets ordinary users have no user namespace: {remedy}, or run the same command with `sudo`"
    )]
    Refused {
        /// What the administrator can do.
        remedy: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no directory for what lives as long as a login.
    #[error("cannot use `{}`: {reason}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// Ids could not be given to the namespace.
    #[error("cannot map the ids of {file}: {message}")]
    Map {
        /// Where they are.
        file: &'static str,
        /// What the program that maps them said.
        message: String,
    },
    /// A step of making or entering it.
    #[error("cannot {action} the user namespace")]
    Step {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Its files.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Classify for RootlessError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } | Self::Directory { .. } => ErrorKind::Permission,
            Self::Map { .. } => ErrorKind::Invalid,
            Self::Step { source, .. } => Classify::kind(source),
            Self::State(error) => error.kind(),
        }
    }
}

fn step(action: &'static str) -> impl FnOnce(io::Error) -> RootlessError {
    move |source| RootlessError::Step { action, source }
}

/// Takes this process, which has one thread, into the user's namespace; root stays where it is.
/// Returns what the user should know of a namespace that was made for this.
///
/// # Errors
/// When the machine gives ordinary users no namespaces, and when the process has a second thread.
pub fn enter() -> Result<Option<String>, RootlessError> {
    if rustix::process::geteuid().is_root() {
        return stay().map(|()| None);
    }
    let places = Places::of_user()?;
    let mark = present(&places)?;
    let (holder, warning) = holder::find_or_make(&places)?;
    let user = ThreadNameSpaceType::USER;
    namespace::enter_process(holder.pidfd.as_fd(), user).map_err(step("enter"))?;
    // Mounts of our own; those of the machine are seen, also new ones.
    let mounts = rustix::thread::UnshareFlags::NEWNS;
    namespace::unshare(mounts).map_err(step("make mounts in"))?;
    settle(places, &holder, mark)?;
    Ok(warning)
}

/// For a process that was started in the namespace already: keeps it, and finds its network.
/// Nothing happens elsewhere.
pub fn stay() -> Result<(), RootlessError> {
    if user_namespace::is_initial() {
        return Ok(());
    }
    // A namespace that somebody else made: root in it is all we know.
    let Ok(places) = Places::of_user() else {
        return Ok(());
    };
    let Some(holder) = holder::find(&places)? else {
        return Ok(());
    };
    let mark = present(&places)?;
    settle(places, &holder, mark)
}

/// A mark that somebody is there.
fn present(places: &Places) -> Result<Lock, RootlessError> {
    Ok(Lock::shared(&places.users())?)
}

/// Where the user's things are, if this process is in their namespace.
#[must_use]
pub fn places() -> Option<&'static Places> {
    INSIDE.get().map(|(places, _)| places)
}

/// The mark of this process, for a child that lives on without what it has inherited. As long as
/// somebody has it, the namespaces stay.
pub(crate) fn mark() -> Option<BorrowedFd<'static>> {
    INSIDE.get().map(|(_, mark)| mark.as_fd())
}

/// Set when this process is in the user's namespace; the mark is kept as long as it lives.
static INSIDE: OnceLock<(Places, Lock)> = OnceLock::new();

/// For a process that is about to start one in a cgroup of its own: takes it to where that may be done. Without such a
/// place, and elsewhere than in a user's namespace, nothing happens: then there are no limits, or nothing is in the way.
pub fn join_scope() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let scope = places().and_then(Scope::find);
        if let Some(Err(reason)) = scope.map(|scope| scope.join()) {
            tracing::warn!(
                reason,
                "this process cannot join the scope of the user's containers"
            );
        }
    });
}

fn settle(places: Places, holder: &Holder, mark: Lock) -> Result<(), RootlessError> {
    set_home(holder.network().map_err(step("find the network of"))?);
    if let Some(scope) = Scope::find(&places) {
        scope.settle();
    }
    let _ = INSIDE.set((places, mark));
    Ok(())
}

/// A process of ours that holds the namespaces.
struct Holder {
    pid: u32,
    pidfd: OwnedFd,
}

impl Holder {
    fn network(&self) -> io::Result<NetNs> {
        NetNs::of_process(self.pid)
    }
}
