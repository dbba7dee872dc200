//! Runs every folder of `examples/` as it stands.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::{Sandbox, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// One GET over HTTP/1.0; `None` while nothing answers.
fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let body = answer.split_once("\r\n\r\n")?.1.trim();
    (!body.is_empty()).then(|| body.to_owned())
}

/// Where a service's port is published.
fn address(sandbox: &Sandbox, service: &str, port: &str, index: &str) -> String {
    sandbox
        .ok(&["port", "--index", index, service, port])
        .stdout()
        .trim()
        .to_owned()
}

/// The number in "you are visitor number N".
fn visitor(page: &str) -> u64 {
    let rest = page
        .split("number ")
        .nth(1)
        .unwrap_or_else(|| panic!("no number in `{page}`"));
    rest.chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .expect("a number")
}

/// The quickstart with ports of this test's own choosing: ephemeral ones.
fn quickstart() -> Sandbox {
    let sandbox = Sandbox::of_example("quickstart");
    let env = std::fs::read_to_string(sandbox.project().join(".env")).expect(".env");
    sandbox.write(".env", &env.replace("WEB_PORTS=8080-8089", "WEB_PORTS=0"));
    sandbox
}

#[test]
fn quickstart_talks_keeps_its_volume_and_scales() {
    need_kernel!();
    need_program!("cc", "bash");
    let sandbox = quickstart();
    sandbox.ok(&["up", "-d", "--wait"]);

    let page = get(&address(&sandbox, "web", "8080", "1")).expect("web answers");
    assert!(page.starts_with("Ahoy, you are visitor number"), "{page}");
    let first = visitor(&page);

    wait_for(PATIENCE, || {
        let logs = sandbox.ok(&["logs", "visitor"]).stdout();
        logs.contains("web says: Ahoy").then_some(())
    })
    .expect("the visitor's log shows the page");

    // The volume survives `down`, so the count goes on.
    sandbox.ok(&["down"]);
    sandbox.ok(&["up", "-d", "--wait"]);
    let page = get(&address(&sandbox, "web", "8080", "1")).expect("web answers again");
    assert!(visitor(&page) > first, "{page} after {first}");

    sandbox.ok(&["scale", "web=3"]);
    let hosts = wait_for(PATIENCE, || {
        let mut hosts: Vec<String> = (1..=3)
            .map(|n| get(&address(&sandbox, "web", "8080", &n.to_string())))
            .collect::<Option<Vec<_>>>()?
            .iter()
            .map(|page| page.rsplit(' ').next().unwrap_or_default().to_owned())
            .collect();
        hosts.dedup();
        Some(hosts)
    })
    .expect("three replicas answer");
    assert_eq!(hosts.len(), 3, "{hosts:?}");

    sandbox.ok(&["down", "-v"]);
    sandbox.finish();
}

#[test]
fn quickstart_shows_an_edited_page_under_watch() {
    need_kernel!();
    need_program!("cc", "bash");
    let sandbox = quickstart();
    sandbox.ok(&["up", "-d", "--wait"]);
    let web = address(&sandbox, "web", "8080", "1");
    let mut watch = sandbox.spawn(&["watch", "--no-up"]);

    // Saved again until it shows: the watch may not have begun at the first save.
    let mut edition = 0;
    wait_for(PATIENCE, || {
        edition += 1;
        sandbox.write(
            "web/page.txt",
            &format!("edition {edition}, visitor number %s on %s\n"),
        );
        std::thread::sleep(Duration::from_millis(200));
        get(&web).filter(|page| page.contains("edition"))
    })
    .expect("the edit shows");

    rustix::process::kill_process(
        rustix::process::Pid::from_child(&watch),
        rustix::process::Signal::INT,
    )
    .expect("the watch runs");
    watch.wait().expect("the watch ends");
    sandbox.ok(&["down", "-v", "--rmi", "local"]);
    sandbox.finish();
}

#[test]
fn three_servers_keep_what_the_client_writes() {
    need_kernel!();
    need_program!("redis-server", "nginx", "psql", "setpriv", "bash");
    let sandbox = Sandbox::of_example("postgres-redis-nginx");
    sandbox
        .ok(&["up", "--exit-code-from", "client"])
        .expect_stdout(&[
            "postgres keeps 1 word(s)",
            "redis keeps the word",
            "all three answered",
        ]);
    // The database's volume outlives the containers.
    sandbox.ok(&["down"]);
    sandbox
        .ok(&["up", "--exit-code-from", "client"])
        .expect_stdout(&["postgres keeps 2 word(s)", "all three answered"]);
    sandbox.ok(&["down", "-v"]);
    sandbox.finish();
}
