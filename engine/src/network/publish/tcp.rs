//! TCP: accept, connect inside, and move bytes both ways without copying them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{Shutdown, SocketType, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::Listener;
use super::forward::Target;

/// A pipe as it is made holds this much; one that was filled is made [`LARGE`].
const SMALL: usize = 64 << 10;
/// Large pipes halve the proxy's work per byte. Their pages exist only while they hold data.
const LARGE: usize = 1 << 20;
/// How long to wait before accepting again when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn serve(listener: &Listener, target: Arc<Target>) -> io::Result<()> {
    let port = listener.published().container_port;
    let accepting = TcpListener::from_std(std::net::TcpListener::from(listener.socket()?))?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accepting.accept() => match accepted {
                Ok((client, address)) => {
                    let target = Arc::clone(&target);
                    connections.spawn(async move {
                        // A connection's end is the two programs' business, whatever it was.
                        let _ = connection(client, &target, target.address(address, port)).await;
                    });
                }
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept on a published port");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Errors of accept(2) that belong to the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connection(
    client: TcpStream,
    target: &Target,
    address: std::net::SocketAddr,
) -> io::Result<()> {
    let inside = match connect(target, address).await {
        Ok(inside) => inside,
        Err(e) => {
            // Nobody listens in the container: reset, the nearest to a refusal that is left.
            sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
            return Err(e);
        }
    };
    for stream in [&client, &inside] {
        stream.set_nodelay(true)?;
        // A peer that vanished without a word must not hold its connection for ever.
        sockopt::set_socket_keepalive(stream, true)?;
    }
    // Each direction ends by itself: one that was shut down still lets the other finish.
    // A broken one ends both.
    tokio::try_join!(pump(&client, &inside), pump(&inside, &client))?;
    Ok(())
}

async fn connect(target: &Target, address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let socket = target.socket(address, SocketType::STREAM)?;
    TcpSocket::from_std_stream(std::net::TcpStream::from(socket))
        .connect(address)
        .await
}

/// Moves everything from one stream to the other, then shuts the other's sending side.
async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut pipe = None;
    loop {
        from.readable().await?;
        // No pipe before there is something to move: an idle connection costs none.
        let (output, input, size): &mut (OwnedFd, OwnedFd, usize) = match &mut pipe {
            Some(pipe) => pipe,
            none => {
                let (output, input) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                none.insert((output, input, SMALL))
            }
        };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = from.try_io(Interest::READABLE, || {
            Ok(splice(from, None, &*input, None, *size, flags)?)
        });
        let mut left = match moved {
            Ok(0) => {
                return Ok(rustix::net::shutdown(to, Shutdown::Write)?);
            }
            Ok(moved) => moved,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        if left >= SMALL / 2 && *size == SMALL {
            // Beyond the user's share of pipe memory the small one does it too.
            *size = fcntl_setpipe_size(&*input, LARGE).map_or(SMALL + 1, |size| size.max(LARGE));
        }
        while left > 0 {
            to.writable().await?;
            let moved = to.try_io(Interest::WRITABLE, || {
                Ok(splice(&*output, None, to, None, left, flags)?)
            });
            match moved {
                Ok(moved) => left -= moved,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}
