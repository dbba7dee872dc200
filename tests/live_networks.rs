//! Networks joined and left by containers that run: addresses, names, published ports, default
//! routes, and the same after a supervisor was killed in the middle.

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use support::{Sandbox, kill_9, supervisors, wait_for};

const LONG: Duration = Duration::from_secs(20);

/// Two networks, `web` on the first with a published port, `peer` on the second. Returns the port.
fn machine(sandbox: &Sandbox) -> u16 {
    sandbox.ok(&["network", "create", "--subnet", "10.213.1.0/24", "one"]);
    sandbox.ok(&["network", "create", "--subnet", "10.213.2.0/24", "two"]);
    let serve = "import socket; s = socket.create_server(('', 80))\nwhile 1: c, _ = s.accept(); c.send(b'here'); c.close()";
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "one",
        "-p",
        "127.0.0.1::80",
        "host",
        "python3",
        "-c",
        serve,
    ]);
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "peer",
        "--network",
        "two",
        "host",
        "sleep",
        "1000",
    ]);
    let port = sandbox.ok(&["container", "port", "web", "80"]).stdout();
    port.trim()
        .rsplit(':')
        .next()
        .expect("a port")
        .parse()
        .expect("a number")
}

/// What the published port says.
fn answer(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

fn address(sandbox: &Sandbox, container: &str, network: &str) -> String {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    let args = ["container", "inspect", "-f", &template, container];
    sandbox.ok(&args).stdout().trim().to_owned()
}

/// The first address that `peer` finds under a name.
fn found(sandbox: &Sandbox, name: &str) -> Option<String> {
    let run = sandbox.run(&["container", "exec", "peer", "getent", "hosts", name]);
    let line = run.stdout();
    line.split_whitespace().next().map(str::to_owned)
}

#[test]
fn a_running_container_joins_and_leaves() {
    need_kernel!();
    need_program!("python3", "getent");
    let sandbox = Sandbox::new();
    let port = machine(&sandbox);
    assert_eq!(found(&sandbox, "web"), None);
    sandbox.ok(&[
        "network",
        "connect",
        "--ip",
        "10.213.2.77",
        "--alias",
        "shop",
        "--link",
        "peer:db",
        "two",
        "web",
    ]);
    assert_eq!(address(&sandbox, "web", "two"), "10.213.2.77");
    for name in ["web", "shop"] {
        assert_eq!(
            found(&sandbox, name).as_deref(),
            Some("10.213.2.77"),
            "{name}"
        );
    }
    // The link is a name in `web` alone.
    sandbox
        .ok(&["container", "exec", "web", "getent", "hosts", "db"])
        .expect_stdout(&[&address(&sandbox, "peer", "two")]);
    assert_eq!(found(&sandbox, "db"), None);
    sandbox
        .ok(&["container", "exec", "web", "cat", "/etc/hosts"])
        .expect_stdout(&["10.213.2.77"]);
    wait_for(LONG, || answer(port)).expect("the port is served");

    sandbox
        .run(&["network", "connect", "two", "web"])
        .expect_code(1)
        .expect_stderr(&["already connected to network `two`"]);
    sandbox
        .run(&["network", "connect", "--ip", "10.213.2.77", "two", "peer"])
        .expect_code(1);

    // The first network goes: the port reaches it by the other, which has the default route now.
    sandbox.ok(&["network", "disconnect", "one", "web"]);
    assert_eq!(answer(port).as_deref(), Some("here"));
    sandbox
        .ok(&["container", "exec", "web", "cat", "/proc/net/route"])
        .expect_stdout(&["eth1\t00000000"]);
    let hosts = sandbox
        .ok(&["container", "exec", "web", "cat", "/etc/hosts"])
        .stdout();
    assert!(!hosts.contains("10.213.1."), "{hosts}");
    sandbox
        .run(&["network", "disconnect", "one", "web"])
        .expect_code(1)
        .expect_stderr(&["not connected to network `one`"]);

    // A stop and a start keep it.
    sandbox.ok(&["container", "restart", "-t", "0", "web"]);
    assert_eq!(address(&sandbox, "web", "two"), "10.213.2.77");
    assert_eq!(found(&sandbox, "shop").as_deref(), Some("10.213.2.77"));

    // Off the last network nothing but loopback is left, and there is a way back.
    sandbox.ok(&["network", "disconnect", "two", "web"]);
    assert_eq!(found(&sandbox, "web"), None);
    sandbox.ok(&["network", "rm", "one"]);
    sandbox.ok(&["network", "connect", "two", "web"]);
    assert!(found(&sandbox, "web").is_some());
    sandbox.finish();
}

#[test]
fn a_change_survives_its_supervisor() {
    need_kernel!();
    need_program!("python3", "getent");
    let sandbox = Sandbox::new();
    let port = machine(&sandbox);
    sandbox.ok(&["network", "connect", "--alias", "shop", "two", "web"]);
    let before = address(&sandbox, "web", "two");
    kill_9(&supervisors(&sandbox));
    assert_eq!(address(&sandbox, "web", "two"), before);
    assert_eq!(found(&sandbox, "shop"), Some(before));
    wait_for(LONG, || answer(port)).expect("the port is served again");
    sandbox.ok(&["network", "disconnect", "two", "web"]);
    assert_eq!(found(&sandbox, "web"), None);
    sandbox.finish();
}

#[test]
fn a_change_that_was_interrupted_anywhere_is_finished_by_the_next() {
    need_kernel!();
    need_program!("getent");
    let sandbox = Sandbox::new();
    sandbox.ok(&["network", "create", "one"]);
    sandbox.ok(&["network", "create", "two"]);
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "peer",
        "--network",
        "two",
        "host",
        "sleep",
        "1000",
    ]);
    let token = sandbox.project().join("crash-token");
    for point in [
        "connect.recorded",
        "reload.limited",
        "reload.joined",
        "reload.left",
        "disconnect.recorded",
    ] {
        std::fs::write(&token, "").expect("token");
        let dying = |args: &[&str]| {
            sandbox
                .command(args)
                .env("GANTRY_CRASH_AT", point)
                .env("GANTRY_CRASH_TOKEN", &token)
                .output()
                .expect("ended")
        };
        dying(&[
            "container",
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "one",
            "host",
            "sleep",
            "1000",
        ]);
        // Either process dies; then it is connected already, or the next call connects it.
        dying(&["network", "connect", "two", "web"]);
        let again = sandbox.run(&["network", "connect", "two", "web"]);
        assert!(
            again.code() == 0 || again.stderr().contains("already connected"),
            "{point}: {}",
            again.stderr()
        );
        assert!(found(&sandbox, "web").is_some(), "{point}");
        dying(&["network", "disconnect", "two", "web"]);
        let again = sandbox.run(&["network", "disconnect", "two", "web"]);
        assert!(
            again.code() == 0 || again.stderr().contains("not connected"),
            "{point}: {}",
            again.stderr()
        );
        assert_eq!(found(&sandbox, "web"), None, "{point}");
        let links = sandbox
            .ok(&["container", "exec", "web", "ls", "/sys/class/net"])
            .stdout();
        assert_eq!(
            links.split_whitespace().collect::<Vec<_>>(),
            ["eth0", "lo"],
            "{point}"
        );
        assert!(!token.exists(), "nobody came to {point}");
        sandbox.ok(&["container", "rm", "-f", "web"]);
    }
    sandbox.finish();
}

#[test]
fn networks_of_others_cannot_be_changed_and_stopped_ones_can() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.ok(&["network", "create", "--subnet", "10.213.3.0/24", "one"]);
    let make = |name: &str, network: &str| {
        sandbox.ok(&[
            "container",
            "create",
            "--name",
            name,
            "--network",
            network,
            "host",
            "sleep",
            "1000",
        ]);
    };
    make("outside", "host");
    sandbox
        .run(&["network", "connect", "one", "outside"])
        .expect_code(1)
        .expect_stderr(&["outside", "the machine's own network"]);
    sandbox
        .run(&["network", "connect", "nowhere", "outside"])
        .expect_code(1)
        .expect_stderr(&["no network `nowhere`"]);
    sandbox.ok(&["network", "disconnect", "--force", "one", "nobody"]);
    make("alone", "none");
    sandbox.ok(&["network", "connect", "--ip", "10.213.3.9", "one", "alone"]);
    sandbox.ok(&["container", "start", "alone"]);
    assert_eq!(address(&sandbox, "alone", "one"), "10.213.3.9");
    // An address that cannot be had changes nothing.
    make("second", "bridge");
    sandbox.ok(&["container", "start", "second"]);
    sandbox
        .run(&["network", "connect", "--ip", "10.213.3.9", "one", "second"])
        .expect_code(1)
        .expect_stderr(&["10.213.3.9", "alone"]);
    sandbox.ok(&["container", "restart", "-t", "0", "second"]);
    sandbox.ok(&["network", "connect", "one", "second"]);
    sandbox.ok(&["container", "rename", "second", "renamed"]);
    sandbox
        .ok(&["network", "inspect", "-f", "{{json .Containers}}", "one"])
        .expect_stdout(&["\"Name\":\"renamed\"", "10.213.3.9"]);
    sandbox.finish();
}

#[test]
fn the_networks_that_nobody_makes_are_there_too() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  web: {image: host, command: sleep 1000, networks: [machine], init: true}
networks:
  machine: {name: host, external: true}
",
    );
    let names = ["network", "ls", "--format", "{{.Name}} {{.Driver}}"];
    let all = "bridge bridge\nhost host\nnone null\n";
    assert_eq!(sandbox.ok(&names).stdout(), all);
    sandbox.ok(&["up", "-d"]);
    let web = sandbox.ok(&["ps", "--format", "{{.Name}}"]).stdout();
    let web = web.trim();
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    let seen = sandbox.inside(web, "readlink /proc/self/ns/net");
    assert_eq!(seen, own.to_string_lossy());
    let members = "{{range .Containers}}{{.Name}}{{end}}";
    let inspect = ["network", "inspect", "-f", members, "host", "none"];
    assert_eq!(sandbox.ok(&inspect).stdout(), format!("{web}\n\n"));
    let on_it = [
        "container",
        "ls",
        "-f",
        "network=host",
        "--format",
        "{{.Names}}",
    ];
    assert_eq!(sandbox.ok(&on_it).stdout().trim(), web);
    for args in [
        &["network", "rm", "host"][..],
        &["network", "connect", "none", web],
    ] {
        sandbox.run(args).expect_code(1);
    }
    sandbox.ok(&["down"]);
    assert_eq!(sandbox.ok(&names).stdout(), all);
    sandbox.finish();
}
