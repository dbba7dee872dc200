//! Networks with driver `macvlan`, on a link that the test makes: from a Compose file and by hand.

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use support::{Sandbox, wait_for};

const LONG: Duration = Duration::from_secs(20);

/// A pair of interfaces that leads nowhere else; gone with this.
struct Link(String);

impl Link {
    fn new(name: &str) -> Self {
        let name = format!("{name}{}", std::process::id() % 100_000);
        let far = format!("{name}x");
        ip(&["link", "add", &name, "type", "veth", "peer", "name", &far]);
        let link = Self(name);
        for end in [&link.0, &far] {
            ip(&["link", "set", end, "up"]);
        }
        link
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        ip(&["link", "del", &self.0]);
    }
}

#[track_caller]
fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).status().expect("ip runs");
    assert!(done.success(), "ip {args:?}");
}

/// Whether containers can be on such a network here.
fn kernel_has_macvlan(sandbox: &Sandbox) -> bool {
    let made = sandbox.run(&["network", "create", "-d", "macvlan", "probe"]);
    if made.code() == 0 {
        sandbox.ok(&["network", "rm", "probe"]);
        return true;
    }
    made.expect_stderr(&["this machine's kernel has no `macvlan`"]);
    eprintln!("skipped: the kernel has no macvlan");
    false
}

const SERVE: &str = "import socket; s = socket.create_server(('', 80))\nwhile 1: c, a = s.accept(); c.send(a[0].encode()); c.close()";

fn compose(parent: &str) -> String {
    format!(
        "
services:
  web:
    image: host
    command: [python3, -c, \"{}\"]
    ports: ['127.0.0.1::80']
    networks:
      lan: {{ipv4_address: 10.214.7.77, aliases: [shop]}}
  peer:
    image: host
    command: [sleep, '1000']
    networks: [lan]
networks:
  lan:
    driver: macvlan
    driver_opts: {{parent: {parent}}}
    ipam:
      config:
        - subnet: 10.214.7.0/24
          ip_range: 10.214.7.64/26
          gateway: 10.214.7.1
          aux_addresses: {{printer: 10.214.7.64}}
",
        SERVE.replace('\n', "\\n")
    )
}

#[test]
fn a_project_lives_on_a_macvlan() {
    need_kernel!();
    need_program!("ip", "python3", "getent");
    let link = Link::new("gtm");
    let sandbox = Sandbox::of_compose(&compose(&link.0));
    if !kernel_has_macvlan(&sandbox) {
        return;
    }
    sandbox.ok(&["up", "-d"]);
    let network = sandbox.ok(&["network", "ls", "-q", "-f", "driver=macvlan"]);
    let network = network.stdout().trim().to_owned();
    let shown = "{{.Driver}} {{.Internal}} {{index .Options \"parent\"}} {{(index .IPAM.Config 0).IPRange}}";
    let shown = sandbox.ok(&["network", "inspect", "-f", shown, &network]);
    assert_eq!(
        shown.stdout().trim(),
        format!("macvlan false {} 10.214.7.64/26", link.0)
    );
    for name in ["web", "shop"] {
        sandbox
            .ok(&["exec", "peer", "getent", "hosts", name])
            .expect_stdout(&["10.214.7.77"]);
    }
    // Among neighbours a member has an address of the range, and not the one kept for another.
    let ask = "import socket; print(socket.create_connection(('shop', 80)).recv(99).decode())";
    wait_for(LONG, || {
        let run = sandbox.run(&["exec", "peer", "python3", "-c", ask]);
        let client = run.stdout().trim().to_owned();
        let last: Option<u8> = client.strip_prefix("10.214.7.")?.parse().ok();
        last.filter(|n| (65..128).contains(n))
    })
    .expect("the peer is seen under its own address");
    // A published port needs no way to the container.
    let port = sandbox.ok(&["port", "web", "80"]).stdout();
    let mut stream = TcpStream::connect(port.trim()).expect("the port is published");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert_eq!(text, "10.214.7.77");
    // The same address again at once, for the same MAC address.
    sandbox.ok(&["restart", "-t", "0", "web"]);
    sandbox
        .ok(&["exec", "peer", "getent", "hosts", "web"])
        .expect_stdout(&["10.214.7.77"]);
    sandbox.ok(&["down"]);
    let left = sandbox.ok(&["network", "ls", "-q", "-f", "type=custom"]);
    assert_eq!(left.stdout(), "");
    sandbox.finish();
}

#[test]
fn containers_come_and_go_and_mistakes_are_named() {
    need_kernel!();
    need_program!("ip", "getent");
    let link = Link::new("gtn");
    let sandbox = Sandbox::new();
    if !kernel_has_macvlan(&sandbox) {
        return;
    }
    let parent = format!("parent={}", link.0);
    let create = |options: &[&str]| {
        let args = [&["network", "create", "-d"], options].concat();
        sandbox.run(&args)
    };
    for (options, says) in [
        (
            &["weave", "n"][..],
            "bridge, macvlan and ipvlan are supported",
        ),
        (
            &["macvlan", "-o", "parent=nope0", "n"],
            "no interface `nope0`",
        ),
        (
            &["macvlan", "-o", "ipvlan_mode=l2", "n"],
            "`ipvlan_mode` is not supported with driver `macvlan`",
        ),
        (
            &["macvlan", "-o", &parent, "-o", "macvlan_mode=x", "n"],
            "`macvlan_mode: x` is invalid",
        ),
    ] {
        let made = create(options).expect_stderr(&[says]).code();
        assert_ne!(made, 0);
    }
    create(&["macvlan", "--subnet", "10.214.8.0/24", "-o", &parent, "lan"]).expect_code(0);
    create(&["macvlan", "--internal", "--subnet", "10.214.9.0/24", "own"]).expect_code(0);
    for name in ["aa", "bb"] {
        sandbox.ok(&[
            "container",
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "own",
            "host",
            "sleep",
            "1000",
        ]);
    }
    let found = |name: &str| {
        let run = sandbox.run(&["container", "exec", "aa", "getent", "hosts", name]);
        run.stdout().split_whitespace().next().map(str::to_owned)
    };
    assert!(found("bb").is_some_and(|address| address.starts_with("10.214.9.")));
    for name in ["aa", "bb"] {
        sandbox.ok(&["network", "connect", "lan", name]);
    }
    sandbox.ok(&["network", "disconnect", "own", "bb"]);
    assert!(found("bb").is_some_and(|address| address.starts_with("10.214.8.")));
    sandbox
        .run(&["network", "rm", "lan"])
        .expect_code(1)
        .expect_stderr(&["network `lan` is in use by container `aa`, container `bb`"]);
    sandbox.ok(&["container", "rm", "-f", "aa", "bb"]);
    sandbox.ok(&["network", "rm", "lan", "own"]);
    sandbox.finish();
}
