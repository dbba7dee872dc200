//! Terminals: given to the caller's socket, or shown on the caller's own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::json;

use crate::bundle::{Bundle, ID};

/// The descriptor that comes over the socket.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().expect("a caller");
    let mut text = [0u8; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [std::io::IoSliceMut::new(&mut text)];
    let received = rustix::net::recvmsg(&stream, &mut slices, &mut ancillary, RecvFlags::empty())
        .expect("a message");
    assert!(received.bytes > 0, "a name goes with it");
    let mut messages = ancillary.drain();
    match messages.next() {
        Some(RecvAncillaryMessage::ScmRights(mut fds)) => fds.next().expect("a descriptor"),
        _ => panic!("no descriptor came"),
    }
}

fn read_until(terminal: &mut File, text: &str) {
    let mut seen = Vec::new();
    let mut byte = [0u8];
    while !String::from_utf8_lossy(&seen).contains(text) {
        assert_eq!(terminal.read(&mut byte).expect("readable"), 1);
        seen.push(byte[0]);
    }
}

#[test]
fn the_terminal_goes_to_the_console_socket() {
    need_kernel!();
    let script = "tty; stty size; read line; echo got $line; sleep 60";
    let mut bundle = Bundle::script(script);
    bundle
        .change(json!({"process": {"terminal": true, "consoleSize": {"height": 33, "width": 77}}}));
    let path = bundle.dir.join("console");
    let listener = UnixListener::bind(&path).expect("a socket");
    bundle.ok(&[
        "create",
        "--console-socket",
        path.to_str().expect("text"),
        ID,
    ]);
    let mut terminal = File::from(receive(&listener));
    bundle.ok(&["start", ID]);
    read_until(&mut terminal, "/dev/pts/0");
    read_until(&mut terminal, "33 77");
    terminal.write_all(b"this\n").expect("typed");
    read_until(&mut terminal, "got this");

    let exec = [
        "exec",
        "-d",
        "-t",
        "--console-socket",
        path.to_str().expect("text"),
        ID,
        "tty",
    ];
    bundle.ok(&exec);
    read_until(&mut File::from(receive(&listener)), "/dev/pts/1");
    bundle.finish();
}

#[test]
fn a_terminal_needs_somebody_and_a_socket_needs_a_terminal() {
    need_kernel!();
    let mut bundle = Bundle::new(&["true"]);
    bundle
        .oci(&["create", "--console-socket", "/no/such", ID])
        .expect_code(1)
        .expect_stderr(&["process.terminal"]);
    bundle.change(json!({"process": {"terminal": true}}));
    bundle
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&["--console-socket"]);
    bundle
        .oci(&["create", "--console-socket", "/no/such", ID])
        .expect_code(1)
        .expect_stderr(&["/no/such", "console socket"]);
    bundle.assert_clean();
    bundle.finish();
}

#[test]
fn an_attended_container_is_on_the_callers_terminal() {
    need_kernel!();
    need_program!("setsid");
    let mut bundle = Bundle::script("stty size; read line; echo got $line; exit 5");
    bundle.change(json!({"process": {"terminal": true}}));
    // Writes the configuration.
    drop(bundle.command(&[]));
    let dir = bundle.dir.to_str().expect("text").to_owned();
    let mut pty = bundle
        .sandbox
        .on_terminal(20, 50, &["oci", "run", "--bundle", &dir, ID]);
    pty.expect("20 50");
    pty.type_keys("this\r");
    pty.expect("got this");
    assert_eq!(pty.exit_code(), 5);
    bundle.finish();
}
