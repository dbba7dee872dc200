//! Docker's restart policy as a pure function.

use std::time::Duration;

use crate::spec::RestartPolicy;

/// First delay; each further one is twice the last.
const FIRST: Duration = Duration::from_millis(100);
/// Longest delay.
const LONGEST: Duration = Duration::from_secs(60);
/// A run this long counts as a success: the delays begin anew.
const STEADY: Duration = Duration::from_secs(10);

/// The memory of a policy (moby's `restartmanager`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    delay: Duration,
}

impl BackOff {
    /// Whether a container that ended is started again, and after how long. `restarts` counts earlier ones.
    pub fn next(
        &mut self,
        policy: RestartPolicy,
        exit_code: u8,
        restarts: u32,
        ran: Duration,
        stopped_by_hand: bool,
    ) -> Option<Duration> {
        self.delay = if ran >= STEADY || self.delay.is_zero() {
            FIRST
        } else {
            (self.delay * 2).min(LONGEST)
        };
        let again = !stopped_by_hand
            && match policy {
                RestartPolicy::No => false,
                RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
                RestartPolicy::OnFailure { max_retries } => {
                    exit_code != 0 && max_retries.is_none_or(|max| max == 0 || restarts < max)
                }
            };
        again.then_some(self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_begin_anew_after_a_steady_run() {
        let mut back_off = BackOff::default();
        let mut next = |ran| {
            back_off
                .next(RestartPolicy::Always, 0, 0, Duration::from_secs(ran), false)
                .unwrap()
                .as_millis()
        };
        let delays: Vec<u128> = (0..12).map(|_| next(0)).collect();
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[11], 60_000);
        assert_eq!(next(10), 100);
        assert_eq!(next(9), 200);
    }

    #[test]
    fn policies_differ_in_what_they_restart() {
        let again = |policy, code, restarts, by_hand| {
            BackOff::default()
                .next(policy, code, restarts, Duration::ZERO, by_hand)
                .is_some()
        };
        let on_failure = |max_retries| RestartPolicy::OnFailure { max_retries };
        assert!(!again(RestartPolicy::No, 1, 0, false));
        assert!(again(RestartPolicy::Always, 0, 0, false));
        assert!(!again(RestartPolicy::Always, 0, 0, true));
        assert!(!again(on_failure(None), 0, 0, false));
        assert!(again(on_failure(None), 1, 99, false));
        assert!(again(on_failure(Some(3)), 1, 2, false));
        assert!(!again(on_failure(Some(3)), 1, 3, false));
    }
}
