//! One client's connection: its requests in, its frames out.

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::container::control::{self, HEADER, Kind, Reply, Request};
use crate::container::{ContainerError, Failure};

use super::clients::Client;
use super::shared::{Command, Shared};

/// Takes connections for ever.
pub async fn accept(shared: Rc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if is_ours(&stream) {
                    tokio::task::spawn_local(serve(Rc::clone(&shared), stream, false));
                }
            }
            // Out of descriptors: those who are connected already must leave first.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// Only root and the user we run as may give orders, whatever the socket's mode has become.
fn is_ours(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw())
}

/// Serves one connection until its end. `launcher` is the one that started us: with it
/// ends a container that was prepared and never started.
pub async fn serve(shared: Rc<Shared>, stream: UnixStream, launcher: bool) {
    let client = shared.clients.enter();
    let (reader, writer) = stream.into_split();
    let sender = tokio::task::spawn_local(send(Rc::clone(&shared), Rc::clone(&client), writer));
    // However it ends, the client is gone.
    let _ = receive(&shared, &client, reader).await;
    if client.stdin.get() && shared.stdin_once {
        client.stdin.set(false);
        shared.close_stdin();
    }
    sender.abort();
    shared.clients.leave(&client);
    if launcher {
        let _ = shared.commands.send(Command::LauncherGone);
    }
}

async fn send(shared: Rc<Shared>, client: Rc<Client>, mut writer: OwnedWriteHalf) {
    loop {
        let frame = client.next().await;
        if writer.write_all(&frame).await.is_err() {
            // What still waits for it must not hold the container back: its input may be what
            // the container is waiting for.
            shared.clients.leave(&client);
            return;
        }
        client.sent(frame.len());
        shared.clients.progressed();
    }
}

async fn receive(
    shared: &Rc<Shared>,
    client: &Rc<Client>,
    mut reader: OwnedReadHalf,
) -> io::Result<()> {
    loop {
        let mut head = [0; HEADER];
        reader.read_exact(&mut head).await?;
        let (kind, length) = control::parse_header(head)?;
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload).await?;
        match kind {
            Kind::Message => {
                let request = serde_json::from_slice::<Request>(&payload)?;
                handle(shared, client, request);
            }
            Kind::Stdin if client.stdin.get() => {
                // A container that does not read, or has ended, is the end of input and not of the client.
                let _ = shared.input(&payload).await;
            }
            Kind::Stdin | Kind::Stdout | Kind::Stderr => {}
        }
    }
}

fn handle(shared: &Rc<Shared>, client: &Rc<Client>, request: Request) {
    match request {
        Request::Attach {
            stdin,
            stdout,
            stderr,
        } => {
            client.attach(stdout, stderr);
            client.stdin.set(stdin);
            client.reply(&Reply::Done);
        }
        Request::CloseStdin => {
            client.stdin.set(false);
            if shared.stdin_once || !shared.clients.any_input() {
                shared.close_stdin();
            }
        }
        Request::Resize { rows, columns } => {
            let done = shared.resize(rows, columns);
            client.reply(&match done {
                Ok(()) => Reply::Done,
                Err(source) => Reply::Failed(Failure::from(&ContainerError::Host {
                    action: "resize",
                    path: "the terminal".to_owned(),
                    source,
                })),
            });
        }
        other => {
            let _ = shared
                .commands
                .send(Command::Request(other, Rc::clone(client)));
        }
    }
}
