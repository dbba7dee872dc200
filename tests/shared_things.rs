//! Networks and volumes that several projects know: external ones, given names, addresses and
//! names across projects, and networks without a way out.

mod support;

use support::Sandbox;

const SLEEP: &str = "command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]";

/// IPv4 addresses that a name has inside a service's container, sorted.
fn look_up(sandbox: &Sandbox, file: &str, service: &str, name: &str) -> Vec<String> {
    let args = [
        "-f", file, "exec", "-T", service, "getent", "ahostsv4", name,
    ];
    let text = sandbox.run(&args).stdout();
    let mut found: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn external_volumes_are_used_and_never_removed() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  write:
    image: host
    command: [bash, -c, \"echo kept >> /shared/file; echo gone > /own/file; echo named > /named/file\"]
    volumes: [\"shared:/shared\", \"own:/own\", \"named:/named\"]
volumes:
  shared: { external: true, name: archive }
  own:
  named: { name: given-name }
",
    );
    sandbox.ok(&["volume", "create", "archive"]);
    sandbox.ok(&["up"]);
    let project = sandbox.project();
    let own = format!(
        "{}_own",
        project.file_name().expect("name").to_string_lossy()
    );
    let volumes = || sandbox.ok(&["volume", "ls", "-q"]).stdout();
    for name in ["archive", "given-name", own.as_str()] {
        assert!(
            volumes().lines().any(|line| line == name),
            "{name}: {}",
            volumes()
        );
    }
    sandbox.ok(&["down", "-v"]);
    assert_eq!(volumes(), "archive\n");
    sandbox.ok(&["up"]);
    sandbox.ok(&["down", "-v"]);
    sandbox
        .ok(&[
            "container",
            "run",
            "--rm",
            "-v",
            "archive:/a",
            "host",
            "cat",
            "/a/file",
        ])
        .expect_stdout(&["kept\nkept\n"]);
    sandbox.ok(&["volume", "rm", "archive"]);
    sandbox.finish();
}

#[test]
fn two_projects_meet_on_an_external_network() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let file = |project: &str, service: &str| {
        format!(
            "name: {project}
services:
  {service}:
    image: host
    {SLEEP}
    networks:
      meeting: {{ aliases: [{service}-alias] }}
      default:
networks:
  meeting: {{ external: true }}
"
        )
    };
    sandbox.write("one.yaml", &file("one", "alice"));
    sandbox.write("two.yaml", &file("two", "bob"));
    sandbox.ok(&["network", "create", "--subnet", "10.123.45.0/24", "meeting"]);
    for file in ["one.yaml", "two.yaml"] {
        sandbox.ok(&["-f", file, "up", "-d"]);
    }
    for name in ["bob", "bob-alias", "two-bob-1"] {
        let found = look_up(&sandbox, "one.yaml", "alice", name);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with("10.123.45."), "{found:?}");
    }
    assert_eq!(look_up(&sandbox, "two.yaml", "bob", "alice-alias").len(), 1);
    // The network is in use and nobody's to remove.
    sandbox
        .run(&["network", "rm", "meeting"])
        .expect_code(1)
        .expect_stderr(&["meeting", "one-alice-1"]);
    sandbox.ok(&["-f", "one.yaml", "down"]);
    assert_eq!(
        look_up(&sandbox, "two.yaml", "bob", "alice"),
        Vec::<String>::new()
    );
    sandbox.ok(&["-f", "two.yaml", "down", "-v"]);
    sandbox.ok(&["network", "inspect", "meeting"]);
    sandbox.ok(&["network", "rm", "meeting"]);
    sandbox.finish();
}

#[test]
fn addresses_and_names_are_as_they_were_asked_for() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  fixed:
    image: host
    hostname: box
    {SLEEP}
    networks:
      lan: {{ ipv4_address: 10.123.46.77, mac_address: \"02:42:ac:11:00:77\" }}
    extra_hosts: [\"printer:10.9.8.7\", \"gateway:host-gateway\"]
  many:
    image: host
    {SLEEP}
    scale: 3
    networks: [lan]
networks:
  lan:
    name: given-lan
    ipam: {{ config: [{{ subnet: 10.123.46.0/24, gateway: 10.123.46.254, ip_range: 10.123.46.64/27 }}] }}
"
    ));
    sandbox.ok(&["up", "-d"]);
    sandbox
        .ok(&["network", "inspect", "given-lan"])
        .expect_stdout(&["10.123.46.254"]);
    let inside = |command: &str| {
        sandbox
            .ok(&["exec", "-T", "fixed", "bash", "-c", command])
            .stdout()
    };
    assert_eq!(
        look_up(&sandbox, "compose.yaml", "many", "fixed"),
        ["10.123.46.77"]
    );
    assert_eq!(
        inside("cat /sys/class/net/eth0/address"),
        "02:42:ac:11:00:77\n"
    );
    assert_eq!(inside("hostname"), "box\n");
    assert_eq!(
        inside("getent hosts printer").split_whitespace().next(),
        Some("10.9.8.7")
    );
    assert_eq!(
        inside("getent hosts gateway").split_whitespace().next(),
        Some("10.123.46.254")
    );
    assert!(
        inside("cat /proc/net/route").contains("FE2E7B0A"),
        "default route"
    );
    let many = look_up(&sandbox, "compose.yaml", "fixed", "many");
    assert_eq!(many.len(), 3, "{many:?}");
    // All from the range.
    let last = |address: &String| {
        address
            .rsplit('.')
            .next()
            .and_then(|n| n.parse::<u8>().ok())
    };
    assert!(
        many.iter()
            .all(|a| last(a).is_some_and(|n| (64..96).contains(&n))),
        "{many:?}"
    );
    sandbox.ok(&["scale", "many=1"]);
    assert_eq!(look_up(&sandbox, "compose.yaml", "fixed", "many").len(), 1);
    // An address that somebody has is refused with the one who has it.
    sandbox
        .run(&[
            "container",
            "run",
            "--rm",
            "--network",
            "given-lan",
            "--ip",
            "10.123.46.77",
            "host",
            "true",
        ])
        .expect_stderr(&["10.123.46.77"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn an_internal_network_has_names_but_no_way_out() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  a:
    image: host
    {SLEEP}
    networks: [closed]
  b:
    image: host
    {SLEEP}
    networks: [closed]
networks:
  closed: {{ internal: true }}
"
    ));
    sandbox.ok(&["up", "-d"]);
    assert_eq!(look_up(&sandbox, "compose.yaml", "a", "b").len(), 1);
    let routes = sandbox
        .ok(&["exec", "-T", "a", "cat", "/proc/net/route"])
        .stdout();
    let default = routes
        .lines()
        .filter(|line| line.split('\t').nth(1) == Some("00000000"));
    assert_eq!(default.count(), 0, "{routes}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn outside_names_are_asked_of_the_given_server_only() {
    need_kernel!();
    // A name server on this machine's loopback: nothing leaves it.
    let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("socket");
    let port = server.local_addr().expect("address").port();
    if port == 53 {
        return;
    }
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  asks:
    image: host
    {SLEEP}
    dns: [127.0.0.1]
    dns_search: [corp.example]
    dns_opt: [\"timeout:1\", \"attempts:1\"]
"
    ));
    sandbox.ok(&["up", "-d"]);
    let resolv = sandbox
        .ok(&["exec", "-T", "asks", "cat", "/etc/resolv.conf"])
        .stdout();
    for expected in ["nameserver 127.0.0.11", "search corp.example", "timeout:1"] {
        assert!(resolv.contains(expected), "{resolv}");
    }
    // Nobody answers there; the container's own name is known all the same.
    assert!(look_up(&sandbox, "compose.yaml", "asks", "no-such-name.invalid").is_empty());
    assert_eq!(look_up(&sandbox, "compose.yaml", "asks", "asks").len(), 1);
    sandbox.ok(&["down"]);
    sandbox.finish();
}
