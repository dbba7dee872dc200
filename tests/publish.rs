//! Published ports, from outside: what goes through them, who answers, and who is in the way.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use support::{Sandbox, wait_for};

const LONG: Duration = Duration::from_secs(20);

/// `perl echo.pl PROTOCOL PORT`: greets with its host name and port, then sends back what comes.
const ECHO: &str = r#"
use strict; use IO::Socket::INET; use Sys::Hostname;
my ($protocol, $port) = @ARGV;
$SIG{CHLD} = 'IGNORE'; $SIG{TERM} = sub { exit 0 };
my %how = (LocalPort => $port, Proto => $protocol);
%how = (%how, Listen => 64, ReuseAddr => 1) if $protocol eq 'tcp';
my $socket = IO::Socket::INET->new(%how) or die "port $port: $!";
if ($protocol eq 'udp') {
    while (1) { my $from = $socket->recv(my $text, 65000); $socket->send(hostname() . ":$port:$text", 0, $from) if defined $from }
}
while (1) {
    my $client = $socket->accept or next;
    next if fork;
    $client->autoflush(1);
    print $client hostname() . ":$port\n";
    while (sysread($client, my $block, 65536)) { print $client $block }
    exit 0;
}
"#;

/// A service that runs echo servers; `servers` are perl's arguments, one a server.
fn service(name: &str, servers: &[&str], more: &str) -> String {
    let commands: String = servers
        .iter()
        .map(|server| format!("perl /srv/echo.pl {server} & "))
        .collect();
    format!(
        "  {name}:
    image: host
    hostname: {name}
    command: [bash, -c, \"trap 'kill $$(jobs -p); exit 0' TERM; {commands} wait; wait\"]
    volumes: [\"./srv:/srv:ro\"]
    {more}
"
    )
}

fn stack(services: &[String]) -> Sandbox {
    let sandbox = Sandbox::of_compose(&format!("services:\n{}", services.concat()));
    sandbox.write("srv/echo.pl", ECHO);
    sandbox
}

/// Where a service's port is published.
#[track_caller]
fn address(sandbox: &Sandbox, args: &[&str]) -> SocketAddr {
    let args = [&["port"], args].concat();
    let text = sandbox.ok(&args).stdout();
    text.trim().parse().expect("an address")
}

/// A connection that has been greeted, and the greeting.
fn try_connect(address: SocketAddr) -> Option<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    let mut greeting = Vec::new();
    let mut byte = [0];
    while byte[0] != b'\n' {
        stream.read_exact(&mut byte).ok()?;
        greeting.push(byte[0]);
    }
    let greeting = String::from_utf8(greeting).ok()?.trim_end().to_owned();
    Some((stream, greeting))
}

/// The same, as soon as the server listens.
#[track_caller]
fn connect(address: SocketAddr) -> (TcpStream, String) {
    wait_for(LONG, || try_connect(address)).expect("the service answers")
}

/// The first of so many ports in a row that nobody has.
fn free_ports(count: u16) -> u16 {
    (0..200)
        .find_map(|_| {
            let probe = TcpListener::bind("127.0.0.1:0").ok()?;
            let first = probe.local_addr().ok()?.port();
            drop(probe);
            let last = first.checked_add(count - 1)?;
            let held: Vec<_> = (first..=last)
                .map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok())
                .collect();
            (held.len() == usize::from(count)).then_some(first)
        })
        .expect("free ports")
}

/// Sends bytes and ends the sending side; returns what came back until the other side ended too.
fn exchange(mut stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("clone");
    let sending = std::thread::spawn(move || {
        writer.write_all(&bytes).expect("sent");
        writer.shutdown(Shutdown::Write).expect("half-closed");
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("received");
    sending.join().expect("sender");
    back
}

fn noise(length: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn tcp_carries_much_both_ways_at_once_and_half_closes() {
    need_kernel!();
    need_program!("perl");
    let sandbox = stack(&[service("echo", &["tcp 80"], "ports: [\"127.0.0.1::80\"]")]);
    sandbox.ok(&["up", "-d"]);
    let address = address(&sandbox, &["echo", "80"]);
    assert!(address.ip().is_loopback());
    drop(connect(address));
    let clients: Vec<_> = [8 << 20, 1 << 20, 70_000, 1, 0]
        .into_iter()
        .zip(1..)
        .map(|(length, seed)| {
            std::thread::spawn(move || {
                let (stream, greeting) = connect(address);
                assert_eq!(greeting, "echo:80");
                let sent = noise(length, seed);
                assert!(
                    exchange(stream, sent.clone()) == sent,
                    "{length} bytes changed"
                );
            })
        })
        .collect();
    for client in clients {
        client.join().expect("client");
    }
    sandbox.ok(&["down"]);
    assert!(
        TcpStream::connect(address).is_err(),
        "the port is free again"
    );
    sandbox.finish();
}

#[test]
fn udp_replies_reach_the_client_that_asked() {
    need_kernel!();
    need_program!("perl");
    let ports = "ports: [\"127.0.0.1::5353/udp\", \"127.0.0.1::5353/tcp\"]";
    let sandbox = stack(&[service("echo", &["udp 5353", "tcp 5353"], ports)]);
    sandbox.ok(&["up", "-d"]);
    let address = address(&sandbox, &["--protocol", "udp", "echo", "5353"]);
    let clients: Vec<UdpSocket> = (0..8)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
            socket.connect(address).expect("connect");
            socket
                .set_read_timeout(Some(Duration::from_millis(200)))
                .expect("timeout");
            socket
        })
        .collect();
    let mut buffer = [0; 2000];
    // The first datagrams may come before the server listens.
    wait_for(LONG, || {
        clients[0].send(b"ready?").ok()?;
        clients[0].recv(&mut buffer).ok()
    })
    .expect("an answer");
    while clients[0].recv(&mut buffer).is_ok() {}
    for (number, client) in clients.iter().enumerate() {
        client.send(format!("{number}").as_bytes()).expect("send");
    }
    let large = "x".repeat(1400);
    for (number, client) in clients.iter().enumerate() {
        let length = client.recv(&mut buffer).expect("an answer");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert_eq!(text, format!("echo:5353:{number}"));
        client.send(large.as_bytes()).expect("send");
        let length = client.recv(&mut buffer).expect("an answer");
        assert_eq!(length, "echo:5353:".len() + large.len());
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_range_maps_port_by_port() {
    need_kernel!();
    need_program!("perl");
    let first = free_ports(3);
    let range = format!("ports: [\"127.0.0.1:{first}-{}:80-82\"]", first + 2);
    let servers = ["tcp 80", "tcp 81", "tcp 82"];
    let sandbox = stack(&[service("echo", &servers, &range)]);
    sandbox.ok(&["up", "-d"]);
    for offset in 0..3 {
        let inside = (80 + offset).to_string();
        let address = address(&sandbox, &["echo", &inside]);
        assert_eq!(address.port(), first + offset);
        assert_eq!(connect(address).1, format!("echo:{inside}"));
    }
    sandbox
        .ok(&["ps"])
        .expect_stdout(&[&format!("127.0.0.1:{first}")]);
    sandbox
        .run(&["port", "echo", "99"])
        .expect_code(1)
        .expect_stderr(&["99", "echo"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn replicas_share_a_host_range_until_it_is_used_up() {
    need_kernel!();
    need_program!("perl");
    let first = free_ports(2);
    let last = first + 1;
    let ports = format!("ports: [\"127.0.0.1:{first}-{last}:80\"]");
    let sandbox = stack(&[service("echo", &["tcp 80"], &ports)]);
    sandbox.ok(&["up", "-d", "--scale", "echo=2"]);
    let mut used: Vec<u16> = ["1", "2"]
        .iter()
        .map(|index| {
            let address = address(&sandbox, &["--index", index, "echo", "80"]);
            connect(address);
            address.port()
        })
        .collect();
    used.sort_unstable();
    assert_eq!(used, [first, last]);
    let run = sandbox.run(&["scale", "echo=3"]).expect_code(1);
    run.expect_stderr(&["echo", "-echo-3", "taken by container `"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_port_is_refused_to_a_second_with_the_name_of_the_first() {
    need_kernel!();
    need_program!("perl");
    let port = free_ports(1);
    let ports = format!("ports: [\"127.0.0.1:{port}:80\"]");
    let sandbox = stack(&[service("first", &["tcp 80"], &ports)]);
    sandbox.ok(&["up", "-d"]);
    sandbox.write(
        "other.yaml",
        &format!("name: other\nservices:\n{}", service("second", &[], &ports)),
    );
    sandbox
        .run(&["-f", "other.yaml", "up", "-d"])
        .expect_code(1)
        .expect_stderr(&[
            "service `second`",
            &format!("127.0.0.1:{port}/tcp is taken by container `"),
            "first-1`",
        ]);
    // The first one is not disturbed, and the second comes up when it is gone.
    connect(address(&sandbox, &["first", "80"]));
    sandbox.ok(&["down"]);
    sandbox.ok(&["-f", "other.yaml", "up", "-d"]);
    sandbox.ok(&["-f", "other.yaml", "down"]);

    let twice = format!("ports: [\"127.0.0.1:{port}:80\", \"127.0.0.1:{port}:81\"]");
    sandbox.write(
        "compose.yaml",
        &format!("services:\n{}", service("twice", &[], &twice)),
    );
    sandbox.run(&["up", "-d"]).expect_code(1).expect_stderr(&[
        "`twice`",
        &format!("{port}/tcp"),
        "another of its own ports",
    ]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_port_outlives_restarts_and_its_supervisor() {
    need_kernel!();
    need_program!("perl");
    let sandbox = stack(&[service("echo", &["tcp 80"], "ports: [\"127.0.0.1::80\"]")]);
    sandbox.ok(&["up", "-d"]);
    let before = address(&sandbox, &["echo", "80"]);
    connect(before);
    support::kill_9(&support::supervisors(&sandbox));
    // The next command replaces it; the same port is served again.
    assert_eq!(address(&sandbox, &["echo", "80"]), before);
    connect(before);
    sandbox.ok(&["restart", "-t", "5", "echo"]);
    connect(address(&sandbox, &["echo", "80"]));
    // A connection that is open when the service stops ends.
    let (mut open, _) = connect(address(&sandbox, &["echo", "80"]));
    sandbox.ok(&["stop", "-t", "5"]);
    let mut rest = Vec::new();
    // Reset or closed: over in either case.
    let _ = open.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn ipv6_loopback_and_every_address() {
    need_kernel!();
    need_program!("perl");
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: needs IPv6 on the loopback");
        return;
    }
    let sandbox = stack(&[
        service("six", &["tcp 80"], "ports: [\"[::1]::80\"]"),
        service("all", &["tcp 80"], "ports: [\"80\"]"),
    ]);
    sandbox.ok(&["up", "-d"]);
    let six = address(&sandbox, &["six", "80"]);
    assert!(six.is_ipv6());
    assert_eq!(connect(six).1, "six:80");
    assert!(TcpStream::connect(("127.0.0.1", six.port())).is_err());
    let port = address(&sandbox, &["all", "80"]).port();
    for host in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(host.parse().expect("address"), port);
        assert_eq!(connect(address).1, "all:80");
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}
