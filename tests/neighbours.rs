//! Containers, the machine and a neighbour of it: ports published with `gantry.network.publish:
//! dnat`, and questions of internal networks. The thread of a test has a network namespace of its
//! own, so neither the real machine's forwarding nor its filter is touched.

mod support;

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use support::{Sandbox, kill_9, supervisors, wait_for};

const LONG: Duration = Duration::from_secs(20);

/// Answers each connection with the client's address.
const SERVE: &str = "import socket; s = socket.create_server(('', 80))\\nwhile 1: c, a = s.accept(); c.send(a[0].encode()); c.close()";
const ASK: &str =
    "import socket, sys; print(socket.create_connection((sys.argv[1], 8080), 2).recv(99).decode())";

fn compose(publish: &str) -> String {
    format!(
        "
services:
  web:
    image: host
    command: [python3, -c, \"{SERVE}\"]
    stop_grace_period: 0s
    ports: ['8080:80']
networks:
  default:
    driver_opts: {{gantry.network.publish: {publish}}}
"
    )
}

/// A process that keeps a network namespace.
struct Machine(Child);

impl Machine {
    fn new() -> Self {
        let keeper = Command::new("unshare")
            .args(["--net", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let machine = Self(keeper);
        let own = fs::read_link("/proc/thread-self/ns/net").expect("own namespace");
        let other = || {
            fs::read_link(machine.namespace())
                .ok()
                .filter(|there| *there != own)
        };
        wait_for(LONG, other).expect("another namespace");
        machine
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This machine, where the test's thread and what it starts are, is 203.0.113.2, and another one
/// is `.1`.
struct Neighbour {
    other: Machine,
    _this: Machine,
}

impl Neighbour {
    fn new() -> Self {
        let (this, other) = (Machine::new(), Machine::new());
        let namespace = fs::File::open(this.namespace()).expect("namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), kind).expect("entered");
        // A new namespace takes the real machine's IPv4 switches over.
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("no forwarding");
        let pid = other.0.id();
        for line in [
            "ip link set lo up",
            &format!("ip link add near type veth peer name far netns {pid}"),
            "ip addr add 203.0.113.2/24 dev near",
            "ip link set near up",
        ] {
            run(line.split(' '));
        }
        for line in ["addr add 203.0.113.1/24 dev far", "link set far up"] {
            let namespace = other.namespace();
            run(format!("nsenter --net={namespace} ip {line}").split(' '));
        }
        Self { other, _this: this }
    }

    /// What the published port says to it.
    fn hears(&self) -> String {
        let net = format!("--net={}", self.other.namespace());
        said(&["nsenter", &net, "python3", "-c", ASK, "203.0.113.2"])
    }
}

#[track_caller]
fn run<'a>(mut words: impl Iterator<Item = &'a str>) {
    let mut command = Command::new(words.next().expect("a program"));
    assert!(command.args(words).status().expect("it runs").success());
}

fn said(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What the published port says to this machine.
fn hears_here(at: &str) -> String {
    said(&["python3", "-c", ASK, at])
}

/// Runs a command of which one process dies at `point`; somebody comes there.
#[track_caller]
fn crash(sandbox: &Sandbox, command: &[&str], point: &str) {
    let token = sandbox.project().join("crash-token");
    fs::write(&token, "").expect("token");
    let mut command = sandbox.command(command);
    command.env("GANTRY_CRASH_AT", point);
    command.env("GANTRY_CRASH_TOKEN", &token);
    command.output().expect("ended");
    assert!(!token.exists(), "nobody came to {point}");
}

#[test]
fn servers_see_their_clients_whatever_is_killed() {
    need_kernel!();
    need_program!("ip", "python3", "nsenter", "unshare");
    let neighbour = Neighbour::new();
    let sandbox = Sandbox::of_compose(&compose("dnat"));
    sandbox.ok(&["up", "-d"]);
    let heard = wait_for(LONG, || {
        Some(neighbour.hears()).filter(|text| !text.is_empty())
    });
    assert_eq!(heard.as_deref(), Some("203.0.113.1"));
    assert_eq!(hears_here("203.0.113.2"), "203.0.113.2");
    assert_ne!(hears_here("127.0.0.1"), "");

    // Without a supervisor the filter goes on; the next command brings the socket back.
    kill_9(&supervisors(&sandbox));
    assert_eq!(neighbour.hears(), "203.0.113.1");
    sandbox.ok(&["ps"]);
    wait_for(LONG, || {
        Some(hears_here("127.0.0.1")).filter(|text| !text.is_empty())
    })
    .expect("a socket again");
    assert_eq!(neighbour.hears(), "203.0.113.1");

    // Killed while it ends, and while it begins.
    crash(&sandbox, &["down"], "translate.ended");
    sandbox.ok(&["down"]);
    assert_eq!(neighbour.hears(), "");
    crash(&sandbox, &["up", "-d"], "translate.begun");
    sandbox.ok(&["up", "-d"]);
    wait_for(LONG, || {
        Some(neighbour.hears()).filter(|text| text == "203.0.113.1")
    })
    .expect("published again");
    crash(&sandbox, &["restart"], "translate.begun");
    sandbox.ok(&["down"]);

    // Nothing is led astray when the port is another container's.
    sandbox.write("compose.yaml", &compose("relay"));
    sandbox.ok(&["up", "-d"]);
    let heard = wait_for(LONG, || {
        Some(neighbour.hears()).filter(|text| !text.is_empty())
    });
    assert_ne!(heard.expect("an answer"), "203.0.113.1");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn questions_of_an_internal_network_stay_at_home() {
    need_kernel!();
    need_program!("ip", "unshare", "nsenter", "getent", "timeout");
    let _neighbour = Neighbour::new();
    // The machine's own resolver, as systemd-resolved is one, is asked from the machine.
    let resolver = UdpSocket::bind("127.0.0.1:53").expect("port 53 of a machine of our own");
    resolver.set_nonblocking(true).expect("set");
    let questions = || {
        let mut heard = String::new();
        let mut buffer = [0; 512];
        while let Ok(length) = resolver.recv(&mut buffer) {
            heard += &String::from_utf8_lossy(&buffer[..length]);
        }
        heard
    };
    let service = |name: &str| {
        format!(
            "  {name}:\n    image: host\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n    dns: [127.0.0.1]\n    networks: [{name}]\n"
        )
    };
    let text = format!(
        "services:\n{}{}networks:\n  inner: {{internal: true}}\n  outer: {{}}\n",
        service("inner"),
        service("outer")
    );
    let sandbox = Sandbox::of_compose(&text);
    sandbox.ok(&["up", "-d"]);
    let ask = |service: &str, name: &str| {
        sandbox.run(&["exec", service, "timeout", "2", "getent", "hosts", name]);
    };
    ask("outer", "secret-of-outer.example");
    assert!(questions().contains("secret-of-outer"));
    ask("inner", "secret-of-inner.example");
    ask("inner", "203.0.113.7");
    assert_eq!(questions(), "");
    sandbox
        .ok(&["exec", "inner", "getent", "hosts", "inner"])
        .expect_stdout(&["inner"]);
    // With a way out they may be asked, and no more when that is taken away.
    let project = sandbox.project();
    let project = project.file_name().expect("name").to_string_lossy();
    let (network, container) = (format!("{project}_outer"), format!("{project}-inner-1"));
    sandbox.ok(&["network", "connect", &network, &container]);
    ask("inner", "secret-with-a-way-out.example");
    assert!(questions().contains("secret-with-a-way-out"));
    sandbox.ok(&["network", "disconnect", &network, &container]);
    ask("inner", "secret-without.example");
    assert_eq!(questions(), "");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_root_deleted_by_hand_leaves_nothing_for_long() {
    need_kernel!();
    need_program!("ip", "unshare", "nsenter");
    let _neighbour = Neighbour::new();
    let run = ["container", "run", "--rm", "host", "true"];
    let (deleted, living) = (Sandbox::new(), Sandbox::new());
    for sandbox in [&deleted, &living] {
        sandbox.ok(&run);
    }
    let root = deleted.root();
    // The last process that empties the trash may be there still.
    wait_for(LONG, || fs::remove_dir_all(&root).ok()).expect("deleted");
    let bridges = || said(&["ip", "-o", "link", "show", "type", "bridge"]);
    let shown =
        |root: &std::path::Path| bridges().contains(&format!("alias gantry {}", root.display()));
    assert!(shown(&root) && shown(&living.root()), "{}", bridges());

    let third = Sandbox::new();
    let path = root.to_string_lossy().into_owned();
    let told = third.ok(&["system", "doctor"]).stdout();
    assert!(told.contains("leftovers") && told.contains(&path), "{told}");
    third
        .ok(&["system", "prune", "-f"])
        .expect_stderr(&["removed interfaces gt-", &path]);
    assert!(!shown(&root) && shown(&living.root()), "{}", bridges());
    let told = third.ok(&["system", "doctor"]).stdout();
    assert!(!told.contains("leftovers"), "{told}");
    for sandbox in [living, third] {
        sandbox.finish();
    }
}
