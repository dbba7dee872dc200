//! Health probes with Docker's policy (moby's `daemon/health.go`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use crate::sys::readiness;
use jiff::Timestamp;
use tokio::io::Interest;
use tokio::time::{Instant, sleep};

use crate::container::control::{Reply, WaitFor};
use crate::container::events::Action;
use crate::container::exec::{ExecSpec, spawn_probe};
use crate::container::record::ProbeConfig;
use crate::container::{Failure, Health, HealthStatus, Probe};

use super::shared::Shared;

/// Output kept of one probe.
const OUTPUT: usize = 4096;
/// Probes remembered.
const REMEMBERED: usize = 5;

/// Probes for as long as the container runs; the caller drops the future at its end.
pub async fn probe(shared: Rc<Shared>, config: ProbeConfig) {
    let begun = Instant::now();
    loop {
        let starting = begun.elapsed() < config.start_period
            && shared
                .status
                .borrow()
                .live
                .health
                .as_ref()
                .is_none_or(|health| health.status == HealthStatus::Starting);
        sleep(if starting {
            config.start_interval.min(config.interval)
        } else {
            config.interval
        })
        .await;
        let result = once(&shared, &config).await;
        let in_start_period = begun.elapsed() < config.start_period;
        record(&shared, &config, result, in_start_period);
    }
}

fn record(shared: &Rc<Shared>, config: &ProbeConfig, probe: Probe, in_start_period: bool) {
    let changed = {
        let mut status = shared.status.borrow_mut();
        let Some(health) = status.live.health.as_mut() else {
            return;
        };
        let before = health.status;
        judge(health, config, probe, in_start_period);
        let after = health.status;
        if let Err(error) = status.save() {
            eprintln!("health: {error}");
        }
        if before != after {
            status.emit(Action::HealthStatus { status: after });
        }
        (before != after).then_some(after)
    };
    if let Some(status) = changed.filter(|status| *status != HealthStatus::Starting) {
        shared
            .clients
            .release(&Reply::Health(status), |wait| wait == WaitFor::Healthy);
    }
}

/// What one more probe means.
fn judge(health: &mut Health, config: &ProbeConfig, probe: Probe, in_start_period: bool) {
    if probe.exit_code == 0 {
        health.failing_streak = 0;
        health.status = HealthStatus::Healthy;
    } else if !(in_start_period && health.status == HealthStatus::Starting) {
        health.failing_streak += 1;
        if health.failing_streak >= config.retries {
            health.status = HealthStatus::Unhealthy;
        }
    }
    health.log.push(probe);
    let surplus = health.log.len().saturating_sub(REMEMBERED);
    health.log.drain(..surplus);
}

async fn once(shared: &Rc<Shared>, config: &ProbeConfig) -> Probe {
    let start = Timestamp::now();
    let (exit_code, output) = match run(shared, config).await {
        Ok(result) => result,
        Err(error) => (-1, error.to_string()),
    };
    Probe {
        start,
        end: Timestamp::now(),
        exit_code,
        output,
    }
}

async fn run(shared: &Rc<Shared>, config: &ProbeConfig) -> io::Result<(i32, String)> {
    let (reader, writer) = rustix::pipe::pipe_with(
        rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
    )?;
    // Only our side is to be non-blocking.
    let flags = rustix::fs::fcntl_getfl(&writer)?;
    rustix::fs::fcntl_setfl(&writer, flags - rustix::fs::OFlags::NONBLOCK)?;
    let child = {
        let status = shared.status.borrow();
        let spec = ExecSpec {
            argv: config.test.clone(),
            ..ExecSpec::default()
        };
        spawn_probe(
            status.store(),
            &status.record,
            &shared.executable,
            &spec,
            config.timeout,
            writer.as_fd(),
        )
        .map_err(|error| io::Error::other(Failure::from(&error).line()))?
    };
    drop(writer);
    let mut output = Vec::new();
    let ended = readiness::register(
        child.pidfd.as_fd().try_clone_to_owned()?,
        Interest::READABLE,
    )?;
    let reader = readiness::register(reader, Interest::READABLE)?;
    // The role ends the probe in time; this is for a role that hangs itself.
    let latest = sleep(config.timeout + Duration::from_secs(5));
    tokio::pin!(latest);
    loop {
        tokio::select! {
            ready = reader.readable() => {
                let mut ready = ready?;
                if collect(reader.get_ref(), &mut output)? {
                    break;
                }
                ready.clear_ready();
            }
            ready = ended.readable() => {
                drop(ready?);
                break;
            }
            () = &mut latest => {
                let _ = rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL);
                break;
            }
        }
    }
    drop(ended.readable().await?);
    let exit = crate::sys::process::wait(child.pidfd.as_fd())?;
    collect(reader.get_ref(), &mut output)?;
    let text = String::from_utf8_lossy(&output).into_owned();
    Ok(match exit.code() {
        super::role::PROBE_TIMED_OUT => (
            -1,
            format!(
                "Health check exceeded timeout ({}): {text}",
                seconds(config.timeout)
            ),
        ),
        code => (i32::from(code), text),
    })
}

/// Reads what is there; `true` at the end of it.
fn collect(reader: &OwnedFd, output: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0u8; OUTPUT];
    loop {
        match rustix::io::read(reader, &mut chunk) {
            Ok(0) => return Ok(true),
            Ok(count) => {
                let room = OUTPUT - output.len();
                output.extend_from_slice(&chunk[..count.min(room)]);
            }
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ProbeConfig {
        let second = Duration::from_secs(1);
        ProbeConfig {
            test: vec!["true".into()],
            interval: second,
            timeout: second,
            retries: 3,
            start_period: second,
            start_interval: second,
        }
    }

    fn probe(exit_code: i32) -> Probe {
        let now = Timestamp::now();
        Probe {
            start: now,
            end: now,
            exit_code,
            output: String::new(),
        }
    }

    #[test]
    fn the_verdict_follows_dockers_rules() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        let mut health = Health {
            status: Starting,
            failing_streak: 0,
            log: Vec::new(),
        };
        let mut see = |code, early| {
            judge(&mut health, &config(), probe(code), early);
            (health.status, health.failing_streak, health.log.len())
        };
        assert_eq!(see(1, true), (Starting, 0, 1));
        assert_eq!(see(1, false), (Starting, 1, 2));
        assert_eq!(see(0, false), (Healthy, 0, 3));
        assert_eq!(see(1, true), (Healthy, 1, 4));
        assert_eq!(see(1, false), (Healthy, 2, 5));
        assert_eq!(see(1, false), (Unhealthy, 3, 5));
        assert_eq!(see(0, false), (Healthy, 0, 5));
    }
}
