//! The clients connected to a supervisor: what each is to be sent.
//!
//! A client that reads slowly holds the container back as soon as a megabyte waits for it, as
//! Docker does; nothing is dropped, and memory has a bound.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::container::control::{self, Kind, Reply, WaitFor};

/// What may wait for one client before the container is held back.
const BOUND: usize = 1 << 20;

/// One connection.
#[derive(Default)]
pub struct Client {
    queue: RefCell<VecDeque<Vec<u8>>>,
    waiting: Cell<usize>,
    wake: Notify,
    /// Which outputs it wants.
    stdout: Cell<bool>,
    stderr: Cell<bool>,
    /// Whether its input goes to the container.
    pub stdin: Cell<bool>,
    /// What it waits for.
    pub wait: Cell<Option<WaitFor>>,
    closed: Cell<bool>,
}

impl Client {
    /// Asks for output from now on.
    pub fn attach(&self, stdout: bool, stderr: bool) {
        self.stdout.set(stdout);
        self.stderr.set(stderr);
    }

    /// Whether it was attached to an output.
    pub fn is_attached(&self) -> bool {
        self.stdout.get() || self.stderr.get() || self.stdin.get()
    }

    /// Puts a reply into its queue.
    pub fn reply(&self, reply: &Reply) {
        if let Ok(frame) = control::message(reply) {
            self.push(frame);
        }
    }

    fn push(&self, frame: Vec<u8>) {
        if self.closed.get() {
            return;
        }
        self.waiting.set(self.waiting.get() + frame.len());
        self.queue.borrow_mut().push_back(frame);
        self.wake.notify_one();
    }

    /// The next frame to send.
    pub async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(frame) = self.queue.borrow_mut().pop_front() {
                return frame;
            }
            self.wake.notified().await;
        }
    }

    /// A frame of this length has been sent.
    pub fn sent(&self, length: usize) {
        self.waiting.set(self.waiting.get() - length);
    }

    fn close(&self) {
        self.closed.set(true);
        self.queue.borrow_mut().clear();
        self.waiting.set(0);
    }
}

/// All connections.
#[derive(Default)]
pub struct Clients {
    all: RefCell<Vec<Rc<Client>>>,
    progress: Notify,
}

impl Clients {
    /// Takes one in.
    pub fn enter(&self) -> Rc<Client> {
        let client = Rc::new(Client::default());
        self.all.borrow_mut().push(Rc::clone(&client));
        client
    }

    /// It is gone.
    pub fn leave(&self, client: &Rc<Client>) {
        client.close();
        self.all
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, client));
        self.progress.notify_waiters();
    }

    /// Something was sent to one.
    pub fn progressed(&self) {
        self.progress.notify_waiters();
    }

    /// Gives output to all that want it.
    pub fn output(&self, kind: Kind, bytes: &[u8]) {
        for client in self.all.borrow().iter() {
            let wanted = match kind {
                Kind::Stderr => client.stderr.get(),
                _ => client.stdout.get(),
            };
            if !wanted {
                continue;
            }
            let mut frame = Vec::with_capacity(control::HEADER + bytes.len());
            frame.extend_from_slice(&control::header(kind, bytes.len()));
            frame.extend_from_slice(bytes);
            client.push(frame);
        }
    }

    /// Waits until no client is too far behind.
    pub async fn room(&self) {
        self.until(|client| client.waiting.get() < BOUND).await;
    }

    /// Waits until everything is sent.
    pub async fn flushed(&self) {
        self.until(|client| client.waiting.get() == 0).await;
    }

    async fn until(&self, fine: impl Fn(&Client) -> bool) {
        loop {
            let progress = self.progress.notified();
            if self.all.borrow().iter().all(|client| fine(client)) {
                return;
            }
            progress.await;
        }
    }

    /// Replies to those whose wait is over, in the eyes of `over`.
    pub fn release(&self, reply: &Reply, over: impl Fn(WaitFor) -> bool) {
        for client in self.all.borrow().iter() {
            if client.wait.get().is_some_and(&over) {
                client.wait.set(None);
                client.reply(reply);
            }
        }
    }

    /// Replies to everyone attached.
    pub fn tell_attached(&self, reply: &Reply) {
        for client in self.all.borrow().iter() {
            if client.is_attached() {
                client.reply(reply);
            }
        }
    }

    /// Whether an attached client is left.
    pub fn any_input(&self) -> bool {
        self.all.borrow().iter().any(|client| client.stdin.get())
    }
}
