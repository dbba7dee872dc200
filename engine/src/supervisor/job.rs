//! What a keeper launches, by our own runtime or another.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{LinuxResources, Spec};

use crate::cgroup::Cgroup;
use crate::container::Failure;
use crate::mount::RootMount;
use crate::runtime::foreign::{Foreign, ForeignParked};
use crate::runtime::seccomp::{Profile, Seccomp};
use crate::runtime::{
    self, Init, Launch, Lookup, NetNs, NsRoot, Parked, RuntimeError, Started, Stdio, UserNs,
    Warning,
};

use super::pipes::Pipes;

/// Everything a keeper needs to launch the container, again and again.
#[derive(Debug)]
pub struct Job {
    /// The container's id.
    pub id: String,
    /// The specification.
    pub spec: Spec,
    /// Its root.
    pub root: RootMount,
    /// Its network namespace; `None` is the host's.
    pub netns: Option<OwnedFd>,
    /// Its user namespace, and what its root is outside; `None` is the host's.
    pub userns: Option<(OwnedFd, NsRoot)>,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Its system call filter.
    pub seccomp: Filter,
    /// Whether PID 1 is our small init.
    pub init: Init,
    /// Who it runs as.
    pub user: String,
    /// Further groups.
    pub groups: Vec<String>,
    /// Its standard streams.
    pub pipes: Pipes,
    /// Where its bundle is made, for hooks.
    pub bundle: PathBuf,
    /// Where its end is written down.
    pub exit_file: PathBuf,
    /// The runtime, where it is not ours, and the limits that it wants to be told.
    pub foreign: Option<(Foreign, LinuxResources)>,
}

/// A system call filter that is owned.
#[derive(Debug)]
pub enum Filter {
    /// None.
    Unconfined,
    /// Docker's default.
    Default,
    /// One of the user's.
    Profile(Profile),
}

impl Filter {
    /// As the runtime takes it.
    pub fn as_seccomp(&self) -> Seccomp<'_> {
        match self {
            Self::Unconfined => Seccomp::Unconfined,
            Self::Default => Seccomp::Default,
            Self::Profile(profile) => Seccomp::Profile(profile),
        }
    }
}

/// A container that waits for its start.
pub enum Waiting {
    /// In our own runtime.
    Own(Parked),
    /// In another.
    Foreign(ForeignParked),
}

impl Job {
    /// Prepares the container.
    pub fn prepare(&mut self) -> Result<Waiting, Failure> {
        let streams = |source: io::Error| Failure {
            kind: crate::error::ErrorKind::Internal,
            exit_code: 125,
            message: "cannot open the container's standard streams".to_owned(),
            cause: Some(Box::new(Failure::new(&source, 125))),
        };
        let failed = |error: RuntimeError| Failure::new(&error, error.exit_code());
        let process = self.spec.process().as_ref();
        let stdio = if process.and_then(|p| p.terminal()) == Some(true) {
            Stdio::Terminal { size: None }
        } else {
            self.pipes.container_side().map_err(streams)?
        };
        let mut launch = Launch {
            id: &self.id,
            spec: &self.spec,
            root: &self.root,
            netns: self
                .netns
                .as_ref()
                .map_or(NetNs::Host, |fd| NetNs::Join(fd.as_fd())),
            userns: self.userns.as_ref().map(|(fd, root)| UserNs {
                fd: fd.as_fd(),
                root: *root,
                maps_root: true,
            }),
            cgroup: Some(&self.cgroup),
            stdio,
            seccomp: self.seccomp.as_seccomp(),
            init: self.init,
            user: Some(self.user.as_str()).filter(|user| !user.is_empty()),
            groups: &self.groups,
            preserved: 0,
            lookup: Lookup::AtStart,
            state: None,
        };
        let state;
        let waiting = match &self.foreign {
            None if self.spec.hooks().is_some() => {
                state = runtime::bundle(&self.bundle, &launch).map_err(failed)?;
                launch.state = Some(&state);
                runtime::prepare(launch).map(Waiting::Own)
            }
            None => runtime::prepare(launch).map(Waiting::Own),
            Some((foreign, limits)) => foreign.prepare(launch, limits).map(Waiting::Foreign),
        };
        waiting.map_err(failed)
    }

    /// Takes away what another runtime keeps of a container that has ended.
    pub fn forget(&self) {
        if let Some((foreign, _)) = &self.foreign {
            foreign.delete(&self.id);
            self.cgroup.remove_elsewhere();
        }
    }
}

impl Waiting {
    /// Its pid in our namespace.
    pub fn pid(&self) -> i32 {
        match self {
            Self::Own(parked) => parked.pid().as_raw_pid(),
            Self::Foreign(parked) => parked.pid().map_or(0, |pid| pid.as_raw_pid()),
        }
    }

    /// The master side of its terminal, if it has one; only once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        match self {
            Self::Own(parked) => parked.terminal(),
            Self::Foreign(parked) => parked.terminal(),
        }
    }

    /// What could not be done and was left out.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Own(parked) => parked.warnings(),
            Self::Foreign(parked) => parked.warnings(),
        }
    }

    /// Lets it execute its program.
    pub fn release(self) -> Result<Started, RuntimeError> {
        match self {
            Self::Own(parked) => parked.release(),
            Self::Foreign(parked) => parked.release(),
        }
    }
}
