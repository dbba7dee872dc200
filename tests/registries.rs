//! Logging in and out, certificates, mirrors and proxies, with a real registry on loopback.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use support::archive::docker_archive;
use support::registry::{Registry, Wants};
use support::{Run, Sandbox};

/// A command with a password on its standard input.
fn login(sandbox: &Sandbox, args: &[&str], password: &str) -> Run {
    let mut command = sandbox.command(args);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = command
        .env("PATH", format!("{}:{path}", sandbox.project().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the executable starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may end without reading.
    let _ = stdin.write_all(password.as_bytes());
    drop(stdin);
    Run::of(args, child.wait_with_output().expect("it ends"))
}

/// Puts an image of that name into the store.
fn load(sandbox: &Sandbox, name: &str) {
    let archive = docker_archive(&sandbox.project(), name, 1000);
    sandbox.ok(&["image", "load", "-q", "-i", &archive.display().to_string()]);
}

#[test]
fn who_logs_in_may_push_pull_and_build_and_who_logs_out_may_not() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Password);
    let address = registry.address.as_str();
    let name = format!("{address}/small:1");
    load(&sandbox, &name);
    let words = ["login", "-u", "user", "--password-stdin", address];
    login(&sandbox, &words, "wrong\n")
        .expect_code(1)
        .expect_stderr(&[address]);
    let config = sandbox.project().with_file_name(".docker/config.json");
    assert!(!config.exists(), "a wrong password was kept");

    login(&sandbox, &words, "password\n")
        .expect_code(0)
        .expect_stdout(&["Login Succeeded"])
        .expect_stderr(&["unencrypted", "config.json"]);
    let mode = fs::metadata(&config).expect("config.json").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    sandbox.ok(&["image", "push", "-q", &name]);
    sandbox.ok(&["image", "rm", &name]);
    sandbox.ok(&["image", "pull", "-q", &name]);
    sandbox.ok(&["image", "rm", &name]);
    sandbox.write("Dockerfile", &format!("FROM {name}\nLABEL a=b\n"));
    sandbox.ok(&["image", "build", "-q", "-t", "built", "."]);

    sandbox
        .ok(&["logout", address])
        .expect_stdout(&["Removing login credentials"]);
    sandbox
        .ok(&["logout", address])
        .expect_stdout(&["Not logged in"]);
    let refused = sandbox.run(&["image", "pull", &name]).expect_code(1);
    refused.expect_stderr(&[address]);
    drop(registry);
    sandbox.finish();
}

#[test]
fn a_credential_helper_keeps_the_password_out_of_the_file() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Password);
    let address = registry.address.as_str();
    // A keychain that is a file: what it is told to store, it gives back.
    let chain = sandbox.project().join("keychain");
    sandbox.write(
        "docker-credential-test",
        &format!(
            "#!/bin/sh\nchain={}\ncase $1 in\nstore) cat > $chain;;\nerase) rm $chain;;\nget) cat $chain 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }};;\nesac\n",
            chain.display()
        ),
    );
    let program = sandbox.project().join("docker-credential-test");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("chmod");
    let config = sandbox.project().with_file_name(".docker/config.json");
    fs::create_dir_all(config.parent().expect("parent")).expect("folder");
    let text = format!("{{\"credHelpers\": {{\"{address}\": \"test\"}}, \"psFormat\": \"x\"}}");
    fs::write(&config, text).expect("config.json");

    let words = ["login", "-u", "user", "--password-stdin", address];
    login(&sandbox, &words, "password").expect_code(0);
    let kept = fs::read_to_string(&chain).expect("the helper was asked");
    assert!(
        kept.contains("password") && kept.contains(address),
        "{kept}"
    );
    let text = fs::read_to_string(&config).expect("config.json");
    assert!(
        !text.contains("cGFzc3dvcmQ") && !text.contains("password"),
        "{text}"
    );
    assert!(text.contains("psFormat"), "{text}");

    let name = format!("{address}/small:1");
    load(&sandbox, &name);
    login(&sandbox, &["image", "push", "-q", &name], "").expect_code(0);
    login(&sandbox, &["logout", address], "")
        .expect_code(0)
        .expect_stdout(&["Removing"]);
    assert!(!chain.exists());
    login(&sandbox, &["image", "push", "-q", &name], "").expect_code(1);
    // A helper that is missing is named.
    fs::write(&config, "{\"credsStore\": \"nowhere\"}").expect("config.json");
    login(&sandbox, &["image", "push", "-q", &name], "")
        .expect_code(1)
        .expect_stderr(&["docker-credential-nowhere"]);
    drop(registry);
    sandbox.finish();
}

#[test]
fn a_login_without_a_name_or_password_says_what_is_missing() {
    let sandbox = Sandbox::new();
    for (args, piece) in [
        (&["login", "127.0.0.1:9"][..], "--username"),
        (&["login", "-u", "a", "127.0.0.1:9"], "--password-stdin"),
        (
            &["login", "-u", "a", "--password-stdin", "127.0.0.1:9"],
            "password is empty",
        ),
        (
            &["login", "-u", "a", "-p", "b", "--password-stdin"],
            "exclude",
        ),
    ] {
        sandbox.run(args).expect_code(2).expect_stderr(&[piece]);
    }
}

#[test]
fn an_unknown_authority_is_refused_until_it_is_named() {
    need_kernel!();
    need_program!("busybox", "docker-registry", "openssl");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Tls);
    let name = format!("{}/small:1", registry.address);
    load(&sandbox, &name);
    let push = ["image", "push", "-q", name.as_str()];
    sandbox
        .run(&push)
        .expect_code(1)
        .expect_stderr(&["certificate"]);
    let certificate = sandbox.project().join("registry.crt");
    let with = |variable: &str, value: &str| {
        let output = sandbox.command(&push).env(variable, value).output();
        Run::of(&push, output.expect("the executable starts"))
    };
    with("SSL_CERT_FILE", &certificate.display().to_string()).expect_code(0);
    with("GANTRY_INSECURE_REGISTRIES", "127.0.0.0/8").expect_code(0);
    // Docker's folder for the authorities of one registry.
    let folder = std::path::Path::new("/etc/docker/certs.d").join(&registry.address);
    fs::create_dir_all(&folder).expect("certs.d");
    fs::copy(&certificate, folder.join("ca.crt")).expect("ca.crt");
    let pushed = sandbox.run(&push);
    fs::remove_dir_all(&folder).expect("certs.d");
    pushed.expect_code(0);
    drop(registry);
    sandbox.finish();
}

#[test]
fn a_mirror_is_asked_for_what_docker_hub_has() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Nothing);
    let name = format!("{}/library/mirrored:1", registry.address);
    load(&sandbox, &name);
    sandbox.ok(&["image", "push", "-q", &name]);
    sandbox.ok(&["image", "rm", &name]);
    let pull = ["image", "pull", "-q", "mirrored:1"];
    let mirror = format!("http://{}", registry.address);
    let output = sandbox
        .command(&pull)
        .env("GANTRY_REGISTRY_MIRRORS", mirror)
        .output();
    Run::of(&pull, output.expect("the executable starts")).expect_code(0);
    sandbox.ok(&["image", "ls"]).expect_stdout(&["mirrored"]);
    drop(registry);
    sandbox.finish();
}

/// A proxy that answers one request a connection, from one server for all names. Gives its address, and the hosts
/// that were asked for.
fn proxy(server: &str) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("port").to_string();
    let (sender, hosts) = std::sync::mpsc::channel();
    let server = server.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (server, sender) = (server.clone(), sender.clone());
            std::thread::spawn(move || forward(stream, &server, &sender));
        }
    });
    (address, hosts)
}

/// `GET http://host/path` becomes `GET /path` at the server, on a connection that ends with the answer.
fn forward(client: TcpStream, server: &str, hosts: &std::sync::mpsc::Sender<String>) -> Option<()> {
    let mut from = BufReader::new(client.try_clone().ok()?);
    let mut first = String::new();
    from.read_line(&mut first).ok()?;
    let (method, rest) = first.split_once(" http://")?;
    let (host, path) = rest.split_once('/')?;
    hosts.send(host.to_owned()).ok()?;
    let mut to = TcpStream::connect(server).ok()?;
    write!(to, "{method} /{path}").ok()?;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        if line == "\r\n" {
            break;
        }
        let name = line.split(':').next()?.to_ascii_lowercase();
        if !matches!(name.as_str(), "connection" | "proxy-connection") {
            to.write_all(line.as_bytes()).ok()?;
        }
    }
    to.write_all(b"Connection: close\r\n\r\n").ok()?;
    std::io::copy(&mut to, &mut &client).ok()?;
    client.shutdown(std::net::Shutdown::Both).ok()
}

#[test]
fn a_registry_behind_a_proxy_is_reached_and_loopback_is_not_proxied() {
    need_kernel!();
    need_program!("busybox", "docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Nothing);
    let name = format!("{}/small:1", registry.address);
    load(&sandbox, &name);
    let (address, hosts) = proxy(&registry.address);
    let through = |args: &[&str], exceptions: &str| {
        let mut command = sandbox.command(args);
        command
            .env("HTTP_PROXY", format!("http://{address}"))
            .env("http_proxy", format!("http://{address}"))
            .env("NO_PROXY", exceptions)
            .env("GANTRY_INSECURE_REGISTRIES", "registry.invalid:80");
        Run::of(args, command.output().expect("the executable starts"))
    };
    through(&["image", "push", "-q", &name], "").expect_code(0);
    assert!(hosts.try_recv().is_err(), "loopback went through the proxy");
    let remote = "registry.invalid:80/small:1";
    through(&["image", "pull", "-q", remote], "").expect_code(0);
    let asked = hosts.try_recv().expect("the proxy was asked");
    assert!(asked.starts_with("registry.invalid"), "{asked}");
    sandbox.ok(&["image", "rm", remote]);
    through(&["image", "pull", "-q", remote], "registry.invalid").expect_code(1);
    drop(registry);
    sandbox.finish();
}
