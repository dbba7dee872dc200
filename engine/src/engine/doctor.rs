//! What this machine lets us do, found out by doing it: `system doctor`.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::cgroup::Layout;
use crate::error::with_causes;
use crate::mount::{Overlay, RootMount, detached_root};
use crate::network;
use crate::rootless;
use crate::sys::user_namespace;

use super::Engine;

/// Bytes free below which pulls and builds fail soon.
const LITTLE_SPACE: u64 = 1 << 30;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it should be.
    Ok,
    /// Containers run, without something.
    Limited,
    /// Containers do not run.
    Missing,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub condition: Condition,
    /// What was tried.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            condition: Condition::Ok,
            what,
            found: found.into(),
            remedy: None,
        }
    }

    fn poor(
        condition: Condition,
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            condition,
            what,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl Engine {
    /// Tries everything that containers need.
    pub fn examine(&self) -> Vec<Finding> {
        let mut findings = vec![user(), self.layers(), networks(), self.firewall(), limits()];
        if rootless::places().is_some() {
            findings.extend([way_out(), low_ports()]);
        }
        findings.extend(self.leftovers());
        findings.push(self.space());
        findings
    }

    /// An overlay with an upper directory where ours will be.
    fn layers(&self) -> Finding {
        let what = "layers";
        let root = self.paths.root();
        let scratch = root.join(format!(".doctor-{}", std::process::id()));
        let attempt = || -> Result<(), String> {
            let part = |name: &str| {
                let path = scratch.join(name);
                fs::create_dir_all(&path)
                    .map(|()| path)
                    .map_err(|error| error.to_string())
            };
            let overlay = Overlay {
                lower: vec![part("a")?, part("b")?],
                upper: Some(part("upper")?),
                work: Some(part("work")?),
                volatile: true,
            };
            detached_root(&RootMount::Overlay(overlay))
                .map(drop)
                .map_err(|error| with_causes(&error))
        };
        let attempted = attempt();
        let _ = fs::remove_dir_all(&scratch);
        let place = root.display();
        match attempted {
            Ok(()) => Finding::ok(what, format!("overlay mounts work in {place}")),
            Err(why) => Finding::poor(
                Condition::Missing,
                what,
                format!("no overlay mounts in {place}: {why}"),
                "move the state to a directory on ext4, xfs or btrfs with `--root`",
            ),
        }
    }

    fn firewall(&self) -> Finding {
        let obstacle = self
            .networks
            .list()
            .ok()
            .and_then(|networks| networks.iter().find_map(network::Network::obstacle));
        match obstacle {
            None => Finding::ok("firewall", "nothing that can be seen is in the way"),
            Some(text) => match text.split_once("; ") {
                Some((found, remedy)) => {
                    Finding::poor(Condition::Limited, "firewall", found, remedy)
                }
                None => Finding::poor(Condition::Limited, "firewall", text, "change that rule"),
            },
        }
    }

    /// Only when there are some: a line for what nearly nobody has helps nobody.
    fn leftovers(&self) -> Option<Finding> {
        let left = self.networks.leftovers().ok()?;
        let found: Vec<String> = left.iter().map(ToString::to_string).collect();
        let remedy = "`gantry system prune` removes them";
        (!found.is_empty())
            .then(|| Finding::poor(Condition::Limited, "leftovers", found.join("; "), remedy))
    }

    fn space(&self) -> Finding {
        let root = self.paths.root();
        let Ok(stat) = rustix::fs::statvfs(root) else {
            return Finding::ok("space", "not known");
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let found = format!(
            "{:.1} GiB free in {}",
            free as f64 / (1u64 << 30) as f64,
            root.display()
        );
        if free < LITTLE_SPACE {
            let remedy = "`gantry system prune` removes what nothing uses";
            Finding::poor(Condition::Limited, "space", found, remedy)
        } else {
            Finding::ok("space", found)
        }
    }
}

fn user() -> Finding {
    let what = "user";
    if rootless::places().is_none() {
        return Finding::ok(what, "root");
    }
    match user_namespace::last_group() {
        0 => Finding::poor(
            Condition::Limited,
            what,
            "an ordinary user with one id: containers can be root only, and all their files are yours",
            "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`, and newuidmap \
             (package `uidmap`); it counts when no container of yours runs",
        ),
        last => Finding::ok(
            what,
            format!("an ordinary user with {} ids", u64::from(last) + 1),
        ),
    }
}

fn networks() -> Finding {
    match network::probe() {
        Ok(missing) => {
            let mut found = "namespaces, bridges, veth pairs and nftables work".to_owned();
            for driver in missing {
                found += &format!("; the kernel has no `{}`", driver.name());
            }
            Finding::ok("networks", found)
        }
        Err(error) => Finding::poor(
            Condition::Missing,
            "networks",
            with_causes(&error),
            "load the modules `bridge`, `veth` and `nf_tables`, or use `--network none` and `host`",
        ),
    }
}

fn limits() -> Finding {
    let what = "limits";
    let layout = match Layout::detect() {
        Ok(layout) => layout,
        Err(error) => {
            let remedy = "mount it as your distribution does at boot";
            return Finding::poor(Condition::Missing, what, with_causes(&error), remedy);
        }
    };
    let missing: Vec<&str> = [
        ("memory", "memory"),
        ("cpu", "cpu"),
        ("cpuset", "cpuset"),
        ("pids", "pids"),
        ("io", "blkio"),
    ]
    .into_iter()
    .filter(|(new, old)| layout.route(new).or(layout.route(old)).is_none())
    .map(|(new, _)| new)
    .collect();
    if missing.is_empty() {
        return Finding::ok(what, format!("cgroups {}", layout.name()));
    }
    let found = format!("cgroups {}, without {}", layout.name(), missing.join(", "));
    let remedy = if user_namespace::is_initial() {
        "boot with the controllers on (`cgroup_enable=memory`, `systemd.unified_cgroup_hierarchy=1`)"
    } else {
        limits_of_users(&layout)
    };
    Finding::poor(Condition::Limited, what, found, remedy)
}

/// What gives an ordinary user limits, or more of them.
fn limits_of_users(layout: &Layout) -> &'static str {
    let only_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if layout.unified().is_some() {
        "have systemd delegate them: `Delegate=cpu cpuset io memory pids` below `[Service]` in /etc/systemd/system/user@.service.d/delegate.conf, then log in again; or run the command with `sudo`"
    } else if only_v2 {
        "log in by ssh, on a console or with `machinectl shell`, so that you have a systemd of your own (packages `libpam-systemd` and `dbus-user-session`); `loginctl enable-linger` keeps it; it counts when no container of yours runs. Or run the command with `sudo`"
    } else {
        "they need cgroup v2 alone (boot with `systemd.unified_cgroup_hierarchy=1`), or root: run the command with `sudo`"
    }
}

fn way_out() -> Finding {
    if network::has_way_out() {
        return Finding::ok("way out", "containers reach what this machine reaches");
    }
    Finding::poor(
        Condition::Limited,
        "way out",
        "containers reach nothing outside this machine",
        "install `pasta` (package `passt`), with /dev/net/tun for all users; it counts when no container of yours runs",
    )
}

fn low_ports() -> Finding {
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let first: u32 = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024);
    if first <= 80 {
        return Finding::ok(
            "low ports",
            format!("ports from {first} on can be published"),
        );
    }
    Finding::poor(
        Condition::Limited,
        "low ports",
        format!("ports below {first} cannot be published"),
        "`sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80`",
    )
}
