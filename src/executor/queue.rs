//! Work for the threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use super::job::Job;
use crate::plan::StepId;

/// Jobs, handed out in order.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<(VecDeque<(StepId, Job)>, bool)>,
    changed: Condvar,
}

impl Queue {
    /// Adds a job.
    pub(super) fn push(&self, step: StepId, job: Job) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.push_back((step, job));
        self.changed.notify_one();
    }

    /// The next job; `None` when there will be none.
    pub(super) fn pop(&self) -> Option<(StepId, Job)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = state.0.pop_front() {
                return Some(next);
            }
            if state.1 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// There will be no more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = true;
        self.changed.notify_all();
    }
}
