//! Asking a run to end early: no new step begins, those that run are finished.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Listener = Box<dyn Fn() + Send>;

/// A wish to stop, shared by whoever may have it and whoever heeds it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    next: AtomicU64,
    listeners: Mutex<Vec<(u64, Listener)>>,
}

/// Ends a [`Cancel::on_cancel`] when dropped.
pub struct Listening {
    cancel: Cancel,
    id: u64,
}

impl Cancel {
    /// Wishes.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        let listeners = self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (_, listener) in listeners.iter() {
            listener();
        }
    }

    /// Whether somebody wished.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Calls `listener` when somebody wishes.
    #[must_use]
    pub fn on_cancel(&self, listener: impl Fn() + Send + 'static) -> Listening {
        let id = self.0.next.fetch_add(1, Ordering::SeqCst);
        let mut listeners = self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push((id, Box::new(listener)));
        Listening {
            cancel: self.clone(),
            id,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self
            .cancel
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(id, _)| *id != self.id);
    }
}
