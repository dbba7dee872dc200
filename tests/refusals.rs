//! Every attribute that Gantry loads and cannot do: refused by name where containers or images
//! are made, at the place the user wrote, with a remedy; told where it only has no effect.

mod support;

use support::Sandbox;

/// One attribute. `§` in the text marks where the message must point.
struct Case {
    /// What is run, with `--dry-run`.
    verb: &'static str,
    /// Attributes of the service `web`, then other top-level elements after a `---`.
    text: &'static str,
    path: &'static str,
    message: &'static str,
}

const fn up(text: &'static str, path: &'static str, message: &'static str) -> Case {
    Case {
        verb: "up",
        text,
        path,
        message,
    }
}

const fn build(text: &'static str, path: &'static str, message: &'static str) -> Case {
    Case {
        verb: "build",
        ..up(text, path, message)
    }
}

const REFUSED: &[Case] = &[
    // Of Windows.
    up("cpu_count: §2", "services.web.cpu_count", "of Windows"),
    up("cpu_percent: §50", "services.web.cpu_percent", "of Windows"),
    up(
        "§credential_spec: {file: spec.json}",
        "services.web.credential_spec",
        "of Windows",
    ),
    up("isolation: §hyperv", "services.web.isolation", "of Windows"),
    // What needs other programs.
    up(
        "runtime: §kata",
        "services.web.runtime",
        "no such OCI runtime",
    ),
    up(
        "§gpus: all",
        "services.web.gpus[0]",
        "no device `nvidia.com/gpu=all` is described below `/etc/cdi` and `/var/run/cdi`",
    ),
    up("§provider: {type: x}", "services.web.provider", "providers"),
    up(
        "use_api_socket: §true",
        "services.web.use_api_socket",
        "no engine socket",
    ),
    up(
        "§storage_opt: {size: 1G}",
        "services.web.storage_opt",
        "storage options",
    ),
    up(
        "§models: [llm]\n---\nmodels: {llm: {model: ai/x}}",
        "services.web.models",
        "AI models",
    ),
    up(
        "§pre_start:\n  - command: [\"true\"]",
        "services.web.pre_start",
        "`pre_start` hooks",
    ),
    up(
        "external_links:\n  - §other:alias",
        "services.web.external_links[0]",
        "cannot rename",
    ),
    // Networks.
    up(
        "networks:\n  back:\n    link_local_ips: [169.254.8.8, §10.1.2.3]\n---\nnetworks: {back: {}}",
        "services.web.networks.back.link_local_ips[1]",
        "`10.1.2.3` is not a link-local address",
    ),
    up(
        "networks:\n  back:\n    driver_opts: {a: §b}\n---\nnetworks: {back: {}}",
        "services.web.networks.back.driver_opts.a",
        "driver option `a` of an endpoint",
    ),
    up(
        "networks:\n  back:\n    ipv4_address: §ten\n---\nnetworks: {back: {}}",
        "services.web.networks.back.ipv4_address",
        "`ten` is no such address",
    ),
    up(
        "networks:\n  back:\n    ipv6_address: §ten\n---\nnetworks: {back: {}}",
        "services.web.networks.back.ipv6_address",
        "`ten` is no such address",
    ),
    up(
        "networks: [back]\n---\nnetworks:\n  back:\n    driver: §weave",
        "networks.back.driver",
        "the network driver `weave`",
    ),
    up(
        "networks: [back]\n---\nnetworks:\n  back:\n    ipam:\n      driver: §dhcp",
        "networks.back.ipam.driver",
        "the address management `dhcp`",
    ),
    up(
        "networks: [back]\n---\nnetworks:\n  back:\n    ipam:\n      config:\n        - subnet: 10.9.0.0/24\n          gateway: §first",
        "networks.back.ipam.config[0].gateway",
        "`first` is not an IP address",
    ),
    up(
        "networks: [back]\n---\nnetworks:\n  back:\n    ipam:\n      config:\n        - subnet: 10.9.0.0/24\n          aux_addresses:\n            host1: §x",
        "networks.back.ipam.config[0].aux_addresses.host1",
        "`x` is not an IP address",
    ),
    up(
        "ports:\n  - §target: 70000\n    published: 80",
        "services.web.ports[0]",
        "`70000` is not a port",
    ),
    up(
        "ports:\n  - §target: 80\n    published: many",
        "services.web.ports[0]",
        "`many` is neither a port nor a range",
    ),
    up(
        "ports:\n  - §target: 80\n    protocol: quic",
        "services.web.ports[0]",
        "`quic` is not a transport protocol",
    ),
    up(
        "extra_hosts:\n  - §db=here",
        "services.web.extra_hosts[0]",
        "is not an IP address",
    ),
    up(
        "dns:\n  - §nine",
        "services.web.dns[0]",
        "`nine` is not an IP address",
    ),
    // Volumes, configs, secrets.
    up(
        "volumes: [\"data:/data\"]\n---\nvolumes:\n  data:\n    driver: §nfs",
        "volumes.data.driver",
        "the volume driver `nfs`",
    ),
    up(
        "volumes: [\"data:/data\"]\n---\nvolumes:\n  data:\n    §driver_opts: {type: nfs, o: \"addr=127.0.0.1\"}",
        "volumes.data.driver_opts",
        "`type=nfs` needs a `device`",
    ),
    up(
        "networks: [net]\n---\nnetworks:\n  net:\n    driver_opts: {mtu: §huge}",
        "networks.net.driver_opts.mtu",
        "it is between 68 and 65535",
    ),
    up(
        "volumes:\n  - §type: bind\n    source: /\n    target: /x\n    x-gantry: {idmapp: true}",
        "services.web.volumes[0]",
        "`idmapp` is not known in the `x-gantry` of a mount",
    ),
    up(
        "volumes:\n  - §type: tmpfs\n    target: /x\n    x-gantry: {idmap: true}",
        "services.web.volumes[0]",
        "only the ids of a bind mount are mapped",
    ),
    up(
        "volumes:\n  - §type: bind\n    source: /\n    target: /x\n    bind: {propagation: sideways}",
        "services.web.volumes[0]",
        "`sideways` is no mount propagation",
    ),
    up(
        "volumes:\n  - §type: bind\n    source: /\n    target: /x\n    bind: {recursive: readonly}",
        "services.web.volumes[0]",
        "`bind.recursive: readonly` needs `read_only: true`",
    ),
    up(
        "volumes:\n  - §type: cluster\n    source: c\n    target: /x",
        "services.web.volumes[0]",
        "`type: cluster`",
    ),
    up(
        "volumes:\n  - §type: npipe\n    source: c\n    target: /x",
        "services.web.volumes[0]",
        "`type: npipe`",
    ),
    up(
        "tmpfs:\n  - §/run:colour=red",
        "services.web.tmpfs[0]",
        "the tmpfs option `colour=red`",
    ),
    up(
        "secrets: [token]\n---\nsecrets:\n  token:\n    environment: §NOT_SET",
        "secrets.token.environment",
        "the variable `NOT_SET` is not set",
    ),
    up(
        "configs: [motd]\n---\nconfigs:\n  motd:\n    environment: §NOT_SET",
        "configs.motd.environment",
        "the variable `NOT_SET` is not set",
    ),
    up(
        "configs: [motd]\n---\nconfigs:\n  §motd:\n    external: true",
        "configs.motd",
        "external configs need",
    ),
    up(
        "secrets: [token]\n---\nsecrets:\n  §token:\n    external: true",
        "secrets.token",
        "external secrets need",
    ),
    up(
        "configs:\n  - source: motd\n    uid: §root\n---\nconfigs: {motd: {content: hello}}",
        "services.web.configs[0].uid",
        "`root` is not a number",
    ),
    // Process and its limits.
    up(
        "restart: §sometimes",
        "services.web.restart",
        "no restart policy",
    ),
    up(
        "deploy:\n  restart_policy:\n    condition: §maybe",
        "services.web.deploy.restart_policy.condition",
        "no restart condition",
    ),
    up(
        "logging:\n  driver: §syslog",
        "services.web.logging.driver",
        "the log driver `syslog`",
    ),
    up(
        "platform: §linux/mips64le",
        "services.web.platform",
        "programs for mips64le need an emulator here",
    ),
    up("pid: §elsewhere", "services.web.pid", "`pid: elsewhere`"),
    up("ipc: §elsewhere", "services.web.ipc", "`ipc: elsewhere`"),
    up("uts: §elsewhere", "services.web.uts", "`uts: elsewhere`"),
    up(
        "userns_mode: §keep-id",
        "services.web.userns_mode",
        "`userns_mode: keep-id`",
    ),
    up(
        "userns_mode: §private\nprivileged: true",
        "services.web.userns_mode",
        "a privileged container has the machine's rights",
    ),
    up(
        "userns_mode: private\npid: §host",
        "services.web.pid",
        "the pid namespace of the machine cannot be used",
    ),
    up(
        "userns_mode: private\nnetwork_mode: §host",
        "services.web.network_mode",
        "the network namespace of the machine cannot be used",
    ),
    up(
        "userns_mode: private\nnetwork_mode: §service:other\n---\n  other: {image: host}",
        "services.web.network_mode",
        "has its user namespace too",
    ),
    up(
        "hostname: §web\nuts: host",
        "services.web.hostname",
        "needs a UTS namespace of the container's own",
    ),
    up(
        "healthcheck:\n  test: [CMD, ls]\n  interval: §30ns",
        "services.web.healthcheck.interval",
        "less than a millisecond",
    ),
    up(
        "security_opt:\n  - §everything=off",
        "services.web.security_opt[0]",
        "not a known security option",
    ),
    up(
        "devices:\n  - §vendor.com/class=name",
        "services.web.devices[0]",
        "no device `vendor.com/class=name` is described",
    ),
    up(
        "deploy:\n  mode: §global",
        "services.web.deploy.mode",
        "only `replicated`",
    ),
    up(
        "deploy:\n  resources:\n    reservations:\n      devices:\n        - §capabilities: [tpu]",
        "services.web.deploy.resources.reservations.devices[0]",
        "devices that can do `tpu`",
    ),
    up(
        "image: §Web:1",
        "services.web.image",
        "a repository name must be lower case",
    ),
    up(
        "networks:\n  outside:\n    ipv4_address: §192.0.2.7\n---\nnetworks: {outside: {name: host, external: true}}",
        "services.web.networks.outside.ipv4_address",
        "network `host` gives no ipv4_address",
    ),
    up(
        "networks: [§outside, default]\n---\nnetworks: {outside: {name: host, external: true}}",
        "services.web.networks.outside",
        "a service on network `host` cannot be on others",
    ),
    // Builds.
    build(
        "build:\n  context: .\n  tags: [\"web:2\", §\"web:a b\"]",
        "services.web.build.tags[1]",
        "invalid image reference `web:a b`",
    ),
    build(
        "build:\n  context: .\n  isolation: §hyperv",
        "services.web.build.isolation",
        "of Windows",
    ),
    build(
        "build:\n  context: .\n  provenance: §mode=max",
        "services.web.build.provenance",
        "attestations",
    ),
    build(
        "build:\n  context: .\n  sbom: §true",
        "services.web.build.sbom",
        "attestations",
    ),
    build(
        "build:\n  context: .\n  privileged: §true",
        "services.web.build.privileged",
        "privileged builds",
    ),
    build(
        "build:\n  context: §service:web",
        "services.web.build.context",
        "another service's image",
    ),
    build(
        "build:\n  context: .\n  cache_to: [§\"type=s3,bucket=b\"]",
        "services.web.build.cache_to[0]",
        "`s3`",
    ),
    build(
        "build:\n  context: .\n  secrets: [token]\n---\nsecrets:\n  §token:\n    environment: NOT_SET",
        "secrets.token",
        "the secret has no value",
    ),
];

const TOLD: &[Case] = &[
    build(
        "build:\n  context: .\n  cache_from: [§\"type=gha\"]",
        "services.web.build.cache_from[0]",
        "`gha` is ignored",
    ),
    up(
        "secrets:\n  - §source: token\n    mode: 0400\n---\nsecrets: {token: {file: ./compose.yaml}}",
        "services.web.secrets[0]",
        "`uid`, `gid` and `mode` are not supported",
    ),
    up(
        "networks: [back]\n---\nnetworks:\n  back:\n    driver: §overlay",
        "networks.back.driver",
        "a bridge",
    ),
    up(
        "deploy:\n  §update_config: {parallelism: 2}",
        "services.web.deploy.update_config",
        "no effect on one machine",
    ),
    up(
        "deploy:\n  §rollback_config: {parallelism: 2}",
        "services.web.deploy.rollback_config",
        "no effect on one machine",
    ),
    up(
        "deploy:\n  endpoint_mode: §vip",
        "services.web.deploy.endpoint_mode",
        "no effect on one machine",
    ),
    up(
        "deploy:\n  §placement: {constraints: [\"node.role==manager\"]}",
        "services.web.deploy.placement",
        "no effect on one machine",
    ),
    up(
        "deploy:\n  restart_policy:\n    delay: §5s",
        "services.web.deploy.restart_policy.delay",
        "no effect on one machine",
    ),
    up(
        "deploy:\n  restart_policy:\n    window: §5s",
        "services.web.deploy.restart_policy.window",
        "no effect on one machine",
    ),
];

impl Case {
    /// The compose file, and line and column of its mark.
    fn file(&self) -> (String, usize, usize) {
        let (service, rest) = match self.text.split_once("\n---\n") {
            Some((service, rest)) => (service, format!("{rest}\n")),
            None => (self.text, String::new()),
        };
        let mut text = String::from("services:\n  web:\n");
        if !service.starts_with("image:") {
            text.push_str("    image: host\n");
        }
        for line in service.lines() {
            text.push_str(&format!("    {line}\n"));
        }
        text.push_str(&rest);
        let before = &text[..text.find('§').expect("a mark")];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1;
        (text.replace('§', ""), line, column)
    }

    /// What is missing in the message.
    fn check(&self, level: &str, code: i32) -> Vec<String> {
        let (text, line, column) = self.file();
        let sandbox = Sandbox::of_compose(&text);
        let run = sandbox.run(&["--dry-run", self.verb]);
        let stderr = run.stderr();
        let excerpt = text.lines().nth(line - 1).unwrap_or_default();
        let caret = format!("  | {}^", " ".repeat(column - 1));
        let mut missing: Vec<String> = [
            format!("{level}: "),
            self.message.to_owned(),
            format!("compose.yaml:{line}:{column}\n"),
            excerpt.to_owned(),
            caret,
            format!("= at: {}", self.path),
            "= help: ".to_owned(),
        ]
        .into_iter()
        .filter(|part| !stderr.contains(part))
        .map(|part| format!("{}: no `{part}` in\n{stderr}", self.path))
        .collect();
        if run.code() != code {
            missing.push(format!("{}: exit code {}\n{stderr}", self.path, run.code()));
        }
        missing
    }
}

#[test]
fn every_refusal_points_at_the_text_and_names_a_remedy() {
    let missing: Vec<_> = REFUSED.iter().flat_map(|c| c.check("error", 1)).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_attribute_without_effect_is_told_where_it_is() {
    let missing: Vec<_> = TOLD
        .iter()
        .flat_map(|c| c.check("warning[no-effect]", 0))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// A file that asks for what Gantry cannot do may still hold running containers.
#[test]
fn a_refused_attribute_does_not_keep_a_project_from_going_down() {
    let sandbox = Sandbox::of_compose("services:\n  web:\n    image: host\n    runtime: kata\n");
    for verb in ["stop", "down"] {
        sandbox.ok(&[verb]);
    }
}

#[test]
fn a_file_from_standard_input_has_places_too() {
    let sandbox = Sandbox::new();
    let text = "services:\n  web:\n    image: host\n    runtime: kata\n";
    let mut child = sandbox
        .command(&["-f", "-", "--dry-run", "up"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the executable starts");
    use std::io::Write as _;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(" --> -:4:14"), "{stderr}");
}
