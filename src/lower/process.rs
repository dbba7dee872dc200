//! What runs and how: command, environment, user, terminal, restarts, probes, logs.

use gantry_engine::spec::{
    ContainerSpec, Healthcheck, LogDriver, LogSpec, NamespaceMode, RestartPolicy, UserNamespace,
};

use crate::model;

use super::{Context, Findings, some};

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let service = context.service;
    spec.platform = some(&service.platform);
    spec.command = service.command.0.clone();
    spec.entrypoint = service.entrypoint.0.clone();
    spec.env = service
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    spec.annotations = service.annotations.clone();
    spec.user = some(&service.user);
    spec.group_add = service.group_add.clone();
    spec.working_dir = some(&service.working_dir);
    spec.hostname = some(&service.hostname);
    spec.domainname = some(&service.domainname);
    spec.tty = service.tty;
    spec.open_stdin = service.stdin_open;
    spec.init = service.init;
    spec.stop_signal = some(&service.stop_signal);
    spec.stop_timeout = service.stop_grace_period.map(model::Duration::to_std);
    spec.restart = restart(context, findings);
    spec.healthcheck = service.healthcheck.as_ref().map(healthcheck);
    spec.log = log(context, findings);
    spec.pid = namespace(context, "pid", &service.pid, findings);
    spec.ipc = namespace(context, "ipc", &service.ipc, findings);
    spec.no_shm = service.ipc == "none";
    spec.uts = namespace(context, "uts", &service.uts, findings);
    spec.cgroup = namespace(context, "cgroup", &service.cgroup, findings);
    // Docker's name for its own one.
    let other = !matches!(service.runtime.as_str(), "" | "runc");
    spec.runtime = other.then(|| service.runtime.clone());
    spec.user_namespace = user_namespace(context, findings);
    spec.cgroup_parent = some(&service.cgroup_parent);
}

/// `deploy.restart_policy` overrides `restart`, as in Docker Compose.
fn restart(context: &Context<'_>, findings: &mut Findings) -> RestartPolicy {
    let deploy = context
        .service
        .deploy
        .as_ref()
        .and_then(|deploy| deploy.restart_policy.as_ref());
    if let Some(policy) = deploy {
        let max_retries = policy
            .max_attempts
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
            .filter(|n| *n > 0);
        return match policy.condition.as_str() {
            "none" => RestartPolicy::No,
            "on-failure" => RestartPolicy::OnFailure { max_retries },
            "" | "any" => RestartPolicy::Always,
            other => {
                findings.refuse(
                    context.path("deploy.restart_policy.condition"),
                    format!("`{other}` is no restart condition"),
                    "use `none`, `on-failure` or `any`",
                );
                RestartPolicy::No
            }
        };
    }
    match model::RestartPolicy::parse(&context.service.restart) {
        Some(model::RestartPolicy::No) => RestartPolicy::No,
        Some(model::RestartPolicy::Always) => RestartPolicy::Always,
        Some(model::RestartPolicy::UnlessStopped) => RestartPolicy::UnlessStopped,
        Some(model::RestartPolicy::OnFailure(max_retries)) => {
            RestartPolicy::OnFailure { max_retries }
        }
        None => {
            findings.refuse(
                context.path("restart"),
                format!("`{}` is no restart policy", context.service.restart),
                "use `no`, `always`, `unless-stopped` or `on-failure[:N]`",
            );
            RestartPolicy::No
        }
    }
}

fn healthcheck(check: &model::Healthcheck) -> Healthcheck {
    let mut test = check.test.iter().map(String::as_str);
    let test = match test.next() {
        _ if check.disable => return Healthcheck::Disabled,
        Some("NONE") => return Healthcheck::Disabled,
        Some("CMD-SHELL") => {
            let line: Vec<_> = test.collect();
            let shell = ["/bin/sh", "-c"].map(str::to_owned);
            Some(shell.into_iter().chain([line.join(" ")]).collect())
        }
        Some("CMD") => Some(test.map(str::to_owned).collect()),
        Some(_) => Some(check.test.clone()),
        None => None,
    };
    Healthcheck::Probe {
        test,
        interval: check.interval.map(model::Duration::to_std),
        timeout: check.timeout.map(model::Duration::to_std),
        retries: check.retries.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        start_period: check.start_period.map(model::Duration::to_std),
        start_interval: check.start_interval.map(model::Duration::to_std),
    }
}

fn log(context: &Context<'_>, findings: &mut Findings) -> LogSpec {
    let Some(logging) = &context.service.logging else {
        return LogSpec::default();
    };
    let driver = match logging.driver.as_str() {
        "" | "json-file" => LogDriver::JsonFile,
        "local" => LogDriver::Local,
        "none" => LogDriver::None,
        other => {
            findings.refuse(
                context.path("logging.driver"),
                format!("the log driver `{other}` is not supported"),
                "use `local`, `json-file` or `none`",
            );
            LogDriver::JsonFile
        }
    };
    LogSpec {
        driver,
        options: logging.options.clone(),
    }
}

fn user_namespace(context: &Context<'_>, findings: &mut Findings) -> UserNamespace {
    let mode = &context.service.userns_mode;
    if mode.is_empty() {
        return UserNamespace::Host;
    }
    match namespace(context, "userns_mode", mode, findings) {
        NamespaceMode::Private => UserNamespace::Private,
        NamespaceMode::Host => UserNamespace::Host,
        NamespaceMode::Container(name) => UserNamespace::Container(name),
    }
}

fn namespace(
    context: &Context<'_>,
    attribute: &str,
    mode: &str,
    findings: &mut Findings,
) -> NamespaceMode {
    match mode.split_once(':') {
        Some(("service", name)) => NamespaceMode::Container(context.container_of(name)),
        Some(("container", name)) => NamespaceMode::Container(name.to_owned()),
        _ => match mode {
            "" | "private" => NamespaceMode::Private,
            // A private namespace here can be joined by others in any case; one without shared
            // memory is private, too.
            "shareable" | "none" if attribute == "ipc" => NamespaceMode::Private,
            "host" => NamespaceMode::Host,
            other => {
                findings.refuse(
                    context.path(attribute),
                    format!("`{attribute}: {other}` is not supported"),
                    "use `host`, `private`, `service:NAME` or `container:NAME`",
                );
                NamespaceMode::Private
            }
        },
    }
}
