//! Every attribute of the Compose Specification as data: kinds of values, keys, limits.
//!
//! `validate` walks a tree along these tables; `config --schema` prints them as JSON Schema. The
//! file is long because it is a table.

use std::collections::BTreeSet;

use super::tree::{Node, Value};
use Others::{Any, Deny, Named};

/// What a value may be. Several kinds may be allowed at once.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Scalars: a set of the constants below.
    pub scalars: u8,
    /// Allowed texts; empty: all.
    pub words: &'static [&'static str],
    /// Rule for texts.
    pub text: Text,
    /// Least and greatest whole number.
    pub range: Option<(i64, i64)>,
    /// A list of these.
    pub list: Option<(&'static Shape, Repeats)>,
    /// A mapping.
    pub map: Option<&'static Keys>,
}

/// Text.
pub const STR: u8 = 1;
/// Boolean.
pub const BOOL: u8 = 2;
/// Whole number.
pub const INT: u8 = 4;
/// Any number.
pub const NUM: u8 = 8;
/// Null.
pub const NULL: u8 = 16;

/// Rules for texts beyond a list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Any text.
    Any,
    /// A letter or digit followed by one of `[a-zA-Z0-9_.-]`, anywhere in the text.
    ContainerName,
    /// One of the pull policies, anywhere in the text.
    PullPolicy,
}

/// Whether a list may repeat an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Yes.
    Allowed,
    /// No.
    Refused,
}

/// Keys of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Known keys.
    pub known: &'static [Attribute],
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Whether `x-` keys are allowed.
    pub extensions: bool,
    /// What other keys hold.
    pub others: Others,
}

/// A known key.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Key.
    pub name: &'static str,
    /// Value.
    pub shape: &'static Shape,
    /// Meaning, in a few words.
    pub doc: &'static str,
}

/// Keys that are not in the table.
#[derive(Clone, Copy, Debug)]
pub enum Others {
    /// Errors.
    Deny,
    /// Anything.
    Any,
    /// User-chosen names of `[a-zA-Z0-9._-]+`; other names are errors.
    Names(&'static Shape),
    /// User-chosen names, checked only if of that form.
    LooseNames(&'static Shape),
    /// Any key.
    Named(&'static Shape),
    /// Lower-case names are checked, others are not.
    LowerNames(&'static Shape),
}

const fn scalar(scalars: u8) -> Shape {
    Shape {
        scalars,
        words: &[],
        text: Text::Any,
        range: None,
        list: None,
        map: None,
    }
}
const fn words(words: &'static [&'static str]) -> Shape {
    Shape {
        words,
        ..scalar(STR)
    }
}
const fn ranged(low: i64, high: i64) -> Shape {
    Shape {
        range: Some((low, high)),
        ..scalar(STR | INT)
    }
}
const fn list(item: &'static Shape) -> Shape {
    Shape {
        list: Some((item, Repeats::Allowed)),
        ..scalar(0)
    }
}
const fn set(item: &'static Shape) -> Shape {
    Shape {
        list: Some((item, Repeats::Refused)),
        ..scalar(0)
    }
}
const fn map(keys: &'static Keys) -> Shape {
    Shape {
        map: Some(keys),
        ..scalar(0)
    }
}
const fn or(scalars: u8, shape: Shape) -> Shape {
    Shape {
        scalars: shape.scalars | scalars,
        ..shape
    }
}
const fn list_or_map(list: Shape, keys: &'static Keys) -> Shape {
    Shape {
        map: Some(keys),
        ..list
    }
}
const fn keys(known: &'static [Attribute], required: &'static [&'static str]) -> Keys {
    Keys {
        known,
        required,
        extensions: true,
        others: Deny,
    }
}
const fn strict(known: &'static [Attribute], required: &'static [&'static str]) -> Keys {
    Keys {
        known,
        required,
        extensions: false,
        others: Deny,
    }
}
const fn open(others: Others) -> Keys {
    Keys {
        known: &[],
        required: &[],
        extensions: false,
        others,
    }
}
const fn a(name: &'static str, shape: &'static Shape, doc: &'static str) -> Attribute {
    Attribute { name, shape, doc }
}

static TEXT: Shape = scalar(STR);
static BOOLEAN: Shape = scalar(BOOL | STR);
static PLAIN_BOOLEAN: Shape = scalar(BOOL);
static INTEGER: Shape = scalar(INT | STR);
static PLAIN_INTEGER: Shape = scalar(INT);
static NUMBER: Shape = scalar(NUM | STR);
static PLAIN_NUMBER: Shape = scalar(NUM);
static TEXTS: Shape = list(&TEXT);
static TEXT_SET: Shape = set(&TEXT);
static TEXT_OR_NUMBER_SET: Shape = set(&NUMBER);
static TEXT_OR_SET: Shape = or(STR, set(&TEXT));
static TEXT_OR_LIST: Shape = or(STR, list(&TEXT));
static COMMAND: Shape = or(STR | NULL, list(&TEXT));
static ANY_KEYS: Keys = open(Any);

static SCALAR_OR_NULL: Shape = scalar(STR | NUM | BOOL | NULL);
static LIST_OR_DICT: Shape = list_or_map(set(&TEXT), &DICT_KEYS);
static DICT_KEYS: Keys = open(Named(&SCALAR_OR_NULL));
static OPTIONS: Shape = map(&OPTION_KEYS);
static OPTION_KEYS: Keys = open(Named(&NUMBER));
static TEXT_MAP: Shape = map(&TEXT_MAP_KEYS);
static TEXT_MAP_KEYS: Keys = open(Named(&TEXT));
static EXTRA_HOSTS: Shape = list_or_map(set(&TEXT), &EXTRA_HOST_KEYS);
static EXTRA_HOST_KEYS: Keys = open(Named(&TEXT_OR_LIST));

static ULIMITS: Shape = map(&ULIMIT_NAMES);
static ULIMIT_NAMES: Keys = open(Others::LowerNames(&ULIMIT));
static ULIMIT: Shape = Shape {
    map: Some(&ULIMIT_KEYS),
    ..scalar(INT | STR)
};
static ULIMIT_KEYS: Keys = keys(
    &[
        a("soft", &INTEGER, "soft limit"),
        a("hard", &INTEGER, "hard limit"),
    ],
    &["soft", "hard"],
);

static FILE_MOUNTS: Shape = list(&FILE_MOUNT);
static FILE_MOUNT: Shape = Shape {
    map: Some(&FILE_MOUNT_KEYS),
    ..scalar(STR)
};
static FILE_MOUNT_KEYS: Keys = keys(
    &[
        a("source", &TEXT, "name of the top-level element"),
        a("target", &TEXT, "path in the container"),
        a("uid", &TEXT, "owner"),
        a("gid", &TEXT, "group"),
        a("mode", &NUMBER, "permission bits, octal"),
    ],
    &[],
);

static BUILD: Shape = Shape {
    map: Some(&BUILD_KEYS),
    ..scalar(STR)
};
static BUILD_KEYS: Keys = keys(
    &[
        a("context", &TEXT, "directory or URL the build reads"),
        a("dockerfile", &TEXT, "Dockerfile, relative to the context"),
        a("dockerfile_inline", &TEXT, "the Dockerfile's text"),
        a("entitlements", &TEXTS, "extra privileges of the build"),
        a("args", &LIST_OR_DICT, "build arguments"),
        a("ssh", &LIST_OR_DICT, "SSH agents or keys"),
        a("labels", &LIST_OR_DICT, "labels of the image"),
        a("cache_from", &TEXTS, "cache sources"),
        a("cache_to", &TEXTS, "cache destinations"),
        a("no_cache", &BOOLEAN, "build without cache"),
        a(
            "no_cache_filter",
            &TEXT_OR_LIST,
            "stages built without cache",
        ),
        a("additional_contexts", &LIST_OR_DICT, "named contexts"),
        a("network", &TEXT, "network of RUN"),
        a("provenance", &BOOLEAN, "provenance attestation"),
        a("sbom", &BOOLEAN, "SBOM attestation"),
        a("pull", &BOOLEAN, "always pull base images"),
        a("target", &TEXT, "stage to build"),
        a("shm_size", &INTEGER, "size of /dev/shm"),
        a("extra_hosts", &EXTRA_HOSTS, "lines for /etc/hosts"),
        a("isolation", &TEXT, "isolation technology"),
        a("privileged", &BOOLEAN, "run RUN with all privileges"),
        a("secrets", &FILE_MOUNTS, "secrets for RUN"),
        a("tags", &TEXTS, "more names of the image"),
        a("ulimits", &ULIMITS, "resource limits"),
        a("platforms", &TEXTS, "platforms to build"),
    ],
    &[],
);

static DEVELOP: Shape = Shape {
    map: Some(&DEVELOP_KEYS),
    ..scalar(NULL)
};
static DEVELOP_KEYS: Keys = keys(&[a("watch", &WATCH, "what file changes do")], &[]);
static WATCH: Shape = list(&WATCH_RULE);
static WATCH_RULE: Shape = map(&WATCH_KEYS);
static WATCH_KEYS: Keys = keys(
    &[
        a("ignore", &TEXT_OR_SET, "patterns left out"),
        a("include", &TEXT_OR_SET, "patterns taken"),
        a("path", &TEXT, "watched path"),
        a("action", &WATCH_ACTION, "what happens"),
        a("target", &TEXT, "path in the container"),
        a("exec", &HOOK, "command of sync+exec"),
        a(
            "initial_sync",
            &PLAIN_BOOLEAN,
            "copy everything at the start",
        ),
    ],
    &["path", "action"],
);
static WATCH_ACTION: Shape = words(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]);

static HOOKS: Shape = list(&HOOK);
static HOOK: Shape = map(&HOOK_KEYS);
static HOOK_KEYS: Keys = keys(
    &[
        a("command", &COMMAND, "command"),
        a("user", &TEXT, "user"),
        a("privileged", &BOOLEAN, "all privileges"),
        a("working_dir", &TEXT, "directory"),
        a("environment", &LIST_OR_DICT, "variables"),
    ],
    &["command"],
);
static PRE_START: Shape = list(&PRE_START_HOOK);
static PRE_START_HOOK: Shape = map(&PRE_START_KEYS);
static PRE_START_KEYS: Keys = keys(
    &[
        a("command", &COMMAND, "command"),
        a("image", &TEXT, "image of the hook's container"),
        a("user", &TEXT, "user"),
        a("privileged", &BOOLEAN, "all privileges"),
        a("working_dir", &TEXT, "directory"),
        a("environment", &LIST_OR_DICT, "variables"),
        a("per_replica", &BOOLEAN, "run for each replica"),
    ],
    &["command"],
);

static DEPLOY: Shape = Shape {
    map: Some(&DEPLOY_KEYS),
    ..scalar(NULL)
};
static DEPLOY_KEYS: Keys = keys(
    &[
        a("mode", &TEXT, "replicated or global"),
        a("endpoint_mode", &TEXT, "vip or dnsrr"),
        a("replicas", &INTEGER, "number of containers"),
        a("labels", &LIST_OR_DICT, "labels of the service"),
        a("rollback_config", &UPDATE, "how updates are rolled back"),
        a("update_config", &UPDATE, "how updates are rolled out"),
        a("resources", &RESOURCES, "limits and reservations"),
        a(
            "restart_policy",
            &RESTART_POLICY,
            "when containers are restarted",
        ),
        a("placement", &PLACEMENT, "where containers run"),
    ],
    &[],
);
static UPDATE: Shape = map(&UPDATE_KEYS);
static UPDATE_KEYS: Keys = keys(
    &[
        a("parallelism", &INTEGER, "containers at a time"),
        a("delay", &TEXT, "time between batches"),
        a("failure_action", &TEXT, "what a failure does"),
        a("monitor", &TEXT, "time a container is watched"),
        a("max_failure_ratio", &NUMBER, "failures tolerated"),
        a("order", &UPDATE_ORDER, "start-first or stop-first"),
    ],
    &[],
);
static UPDATE_ORDER: Shape = words(&["start-first", "stop-first"]);
static RESOURCES: Shape = map(&RESOURCE_KEYS);
static RESOURCE_KEYS: Keys = keys(
    &[
        a("limits", &LIMITS, "upper bounds"),
        a("reservations", &RESERVATIONS, "guarantees"),
    ],
    &[],
);
static LIMITS: Shape = map(&LIMIT_KEYS);
static LIMIT_KEYS: Keys = keys(
    &[
        a("cpus", &NUMBER, "processors"),
        a("memory", &TEXT, "memory"),
        a("pids", &INTEGER, "processes"),
    ],
    &[],
);
static RESERVATIONS: Shape = map(&RESERVATION_KEYS);
static RESERVATION_KEYS: Keys = keys(
    &[
        a("cpus", &NUMBER, "processors"),
        a("memory", &TEXT, "memory"),
        a(
            "generic_resources",
            &GENERIC_RESOURCES,
            "user-defined resources",
        ),
        a("devices", &DEVICE_REQUESTS, "devices"),
    ],
    &[],
);
static GENERIC_RESOURCES: Shape = list(&GENERIC_RESOURCE);
static GENERIC_RESOURCE: Shape = map(&GENERIC_KEYS);
static GENERIC_KEYS: Keys = keys(
    &[a("discrete_resource_spec", &DISCRETE, "kind and amount")],
    &[],
);
static DISCRETE: Shape = map(&DISCRETE_KEYS);
static DISCRETE_KEYS: Keys = keys(
    &[a("kind", &TEXT, "kind"), a("value", &NUMBER, "amount")],
    &[],
);
static DEVICE_REQUESTS: Shape = list(&DEVICE_REQUEST);
static DEVICE_REQUEST: Shape = map(&DEVICE_REQUEST_KEYS);
static DEVICE_REQUEST_KEYS: Keys = keys(DEVICE_REQUEST_ATTRIBUTES, &["capabilities"]);
static DEVICE_REQUEST_ATTRIBUTES: &[Attribute] = &[
    a("capabilities", &TEXT_SET, "capabilities a device must have"),
    a("count", &INTEGER, "how many, or all"),
    a("device_ids", &TEXT_SET, "which"),
    a("driver", &TEXT, "driver"),
    a("options", &LIST_OR_DICT, "driver options"),
];
static GPUS: Shape = Shape {
    words: &["all"],
    list: Some((&GPU, Repeats::Allowed)),
    ..scalar(STR)
};
static GPU: Shape = map(&GPU_KEYS);
static GPU_KEYS: Keys = Keys {
    others: Any,
    ..keys(DEVICE_REQUEST_ATTRIBUTES, &[])
};
static RESTART_POLICY: Shape = map(&RESTART_POLICY_KEYS);
static RESTART_POLICY_KEYS: Keys = keys(
    &[
        a("condition", &TEXT, "none, on-failure or any"),
        a("delay", &TEXT, "time between attempts"),
        a("max_attempts", &INTEGER, "most attempts"),
        a("window", &TEXT, "time after which a start succeeded"),
    ],
    &[],
);
static PLACEMENT: Shape = map(&PLACEMENT_KEYS);
static PLACEMENT_KEYS: Keys = keys(
    &[
        a("constraints", &TEXTS, "constraints"),
        a("preferences", &PREFERENCES, "preferences"),
        a("max_replicas_per_node", &INTEGER, "most containers a node"),
    ],
    &[],
);
static PREFERENCES: Shape = list(&PREFERENCE);
static PREFERENCE: Shape = map(&PREFERENCE_KEYS);
static PREFERENCE_KEYS: Keys = keys(&[a("spread", &TEXT, "label to spread over")], &[]);

static BLKIO: Shape = map(&BLKIO_KEYS);
static BLKIO_KEYS: Keys = strict(
    &[
        a("device_read_bps", &BLKIO_LIMITS, "bytes a second"),
        a("device_read_iops", &BLKIO_LIMITS, "operations a second"),
        a("device_write_bps", &BLKIO_LIMITS, "bytes a second"),
        a("device_write_iops", &BLKIO_LIMITS, "operations a second"),
        a("weight", &INTEGER, "weight"),
        a("weight_device", &BLKIO_WEIGHTS, "weight of a device"),
    ],
    &[],
);
static BLKIO_LIMITS: Shape = list(&BLKIO_LIMIT);
static BLKIO_LIMIT: Shape = map(&BLKIO_LIMIT_KEYS);
static BLKIO_LIMIT_KEYS: Keys = strict(
    &[a("path", &TEXT, "device"), a("rate", &INTEGER, "limit")],
    &[],
);
static BLKIO_WEIGHTS: Shape = list(&BLKIO_WEIGHT);
static BLKIO_WEIGHT: Shape = map(&BLKIO_WEIGHT_KEYS);
static BLKIO_WEIGHT_KEYS: Keys = strict(
    &[a("path", &TEXT, "device"), a("weight", &INTEGER, "weight")],
    &[],
);

static CREDENTIAL_SPEC: Shape = map(&CREDENTIAL_SPEC_KEYS);
static CREDENTIAL_SPEC_KEYS: Keys = keys(
    &[
        a("config", &TEXT, "name of a config"),
        a("file", &TEXT, "file"),
        a("registry", &TEXT, "registry key"),
    ],
    &[],
);

static DEPENDS_ON: Shape = list_or_map(set(&TEXT), &DEPENDENCIES);
static DEPENDENCIES: Keys = open(Others::Names(&DEPENDENCY));
static DEPENDENCY: Shape = map(&DEPENDENCY_KEYS);
static DEPENDENCY_KEYS: Keys = keys(
    &[
        a("restart", &BOOLEAN, "restart this service with that one"),
        a(
            "required",
            &PLAIN_BOOLEAN,
            "whether its absence is an error",
        ),
        a("condition", &CONDITION, "what it must have reached"),
    ],
    &["condition"],
);
static CONDITION: Shape = words(&[
    "service_started",
    "service_healthy",
    "service_completed_successfully",
]);

static DEVICES: Shape = list(&DEVICE);
static DEVICE: Shape = Shape {
    map: Some(&DEVICE_KEYS),
    ..scalar(STR)
};
static DEVICE_KEYS: Keys = keys(
    &[
        a("source", &TEXT, "path on the host"),
        a("target", &TEXT, "path in the container"),
        a("permissions", &TEXT, "among rwm"),
    ],
    &["source"],
);

static ENV_FILE: Shape = or(STR, list(&ENV_FILE_ENTRY));
static ENV_FILE_ENTRY: Shape = Shape {
    map: Some(&ENV_FILE_KEYS),
    ..scalar(STR)
};
static ENV_FILE_KEYS: Keys = strict(
    &[
        a("path", &TEXT, "file"),
        a("format", &TEXT, "raw, or none"),
        a("required", &BOOLEAN, "whether its absence is an error"),
    ],
    &["path"],
);

static EXTENDS: Shape = Shape {
    map: Some(&EXTENDS_KEYS),
    ..scalar(STR)
};
static EXTENDS_KEYS: Keys = strict(
    &[
        a("service", &TEXT, "service to extend"),
        a("file", &TEXT, "file it is in"),
    ],
    &["service"],
);

static PROVIDER: Shape = map(&PROVIDER_KEYS);
static PROVIDER_KEYS: Keys = keys(
    &[
        a("type", &TEXT, "program or plug-in"),
        a("options", &PROVIDER_OPTIONS, "its options"),
    ],
    &["type"],
);
static PROVIDER_OPTIONS: Shape = map(&PROVIDER_OPTION_KEYS);
static PROVIDER_OPTION_KEYS: Keys = open(Named(&PROVIDER_OPTION));
static PROVIDER_OPTION: Shape = Shape {
    list: Some((&PROVIDER_SCALAR, Repeats::Allowed)),
    ..scalar(STR | NUM | BOOL)
};
static PROVIDER_SCALAR: Shape = scalar(STR | NUM | BOOL);

static HEALTHCHECK: Shape = map(&HEALTHCHECK_KEYS);
static HEALTHCHECK_KEYS: Keys = keys(
    &[
        a("disable", &BOOLEAN, "turn the image's probe off"),
        a("interval", &TEXT, "time between probes"),
        a("retries", &NUMBER, "failures that make it unhealthy"),
        a("test", &TEXT_OR_LIST, "command"),
        a("timeout", &TEXT, "longest time of a probe"),
        a("start_period", &TEXT, "time in which failures do not count"),
        a(
            "start_interval",
            &TEXT,
            "time between probes in the start period",
        ),
    ],
    &[],
);

static LOGGING: Shape = map(&LOGGING_KEYS);
static LOGGING_KEYS: Keys = keys(
    &[
        a("driver", &TEXT, "log driver"),
        a("options", &LOGGING_OPTIONS, "its options"),
    ],
    &[],
);
static LOGGING_OPTIONS: Shape = map(&LOGGING_OPTION_KEYS);
static LOGGING_OPTION_KEYS: Keys = open(Named(&LOGGING_OPTION));
static LOGGING_OPTION: Shape = scalar(STR | NUM | NULL);

static SERVICE_MODELS: Shape = list_or_map(set(&TEXT), &SERVICE_MODEL_NAMES);
static SERVICE_MODEL_NAMES: Keys = open(Others::LooseNames(&SERVICE_MODEL));
static SERVICE_MODEL: Shape = Shape {
    map: Some(&SERVICE_MODEL_KEYS),
    ..scalar(NULL)
};
static SERVICE_MODEL_KEYS: Keys = keys(
    &[
        a("endpoint_var", &TEXT, "variable that gets the endpoint"),
        a("model_var", &TEXT, "variable that gets the model's name"),
    ],
    &[],
);

static SERVICE_NETWORKS: Shape = list_or_map(set(&TEXT), &SERVICE_NETWORK_NAMES);
static SERVICE_NETWORK_NAMES: Keys = open(Others::Names(&SERVICE_NETWORK));
static SERVICE_NETWORK: Shape = Shape {
    map: Some(&SERVICE_NETWORK_KEYS),
    ..scalar(NULL)
};
static SERVICE_NETWORK_KEYS: Keys = keys(
    &[
        a("aliases", &TEXT_SET, "more names in this network"),
        a("interface_name", &TEXT, "name of the interface"),
        a("ipv4_address", &TEXT, "fixed IPv4 address"),
        a("ipv6_address", &TEXT, "fixed IPv6 address"),
        a("link_local_ips", &TEXT_SET, "link-local addresses"),
        a("mac_address", &TEXT, "fixed MAC address"),
        a("driver_opts", &OPTIONS, "driver options"),
        a("priority", &PLAIN_NUMBER, "order of attachment"),
        a(
            "gw_priority",
            &PLAIN_NUMBER,
            "priority for the default gateway",
        ),
    ],
    &[],
);

static PORTS: Shape = set(&PORT);
static PORT: Shape = Shape {
    map: Some(&PORT_KEYS),
    ..scalar(NUM | STR)
};
static PORT_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "name"),
        a("mode", &TEXT, "ingress or host"),
        a("host_ip", &TEXT, "address of the host"),
        a("target", &INTEGER, "container port"),
        a("published", &INTEGER, "host port or range"),
        a("protocol", &TEXT, "tcp, udp or sctp"),
        a("app_protocol", &TEXT, "protocol spoken"),
    ],
    &[],
);

static MOUNTS: Shape = set(&MOUNT);
static MOUNT: Shape = Shape {
    map: Some(&MOUNT_KEYS),
    ..scalar(STR)
};
static MOUNT_KEYS: Keys = keys(
    &[
        a("type", &MOUNT_TYPE, "what is mounted"),
        a("source", &TEXT, "path, volume or image"),
        a("target", &TEXT, "path in the container"),
        a("read_only", &BOOLEAN, "mount read-only"),
        a("consistency", &TEXT, "ignored on Linux"),
        a("bind", &BIND, "settings of a bind mount"),
        a("volume", &VOLUME_OPTIONS, "settings of a volume"),
        a("tmpfs", &TMPFS_OPTIONS, "settings of a tmpfs"),
        a("image", &IMAGE_OPTIONS, "settings of an image mount"),
    ],
    &["type"],
);
static MOUNT_TYPE: Shape = words(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]);
static BIND: Shape = map(&BIND_KEYS);
static BIND_KEYS: Keys = keys(
    &[
        a("propagation", &TEXT, "mount propagation"),
        a("create_host_path", &BOOLEAN, "create a missing source"),
        a("recursive", &RECURSIVE, "submounts"),
        a("selinux", &SELINUX, "z or Z"),
    ],
    &[],
);
static RECURSIVE: Shape = words(&["enabled", "disabled", "writable", "readonly"]);
static SELINUX: Shape = words(&["z", "Z"]);
static VOLUME_OPTIONS: Shape = map(&VOLUME_OPTION_KEYS);
static VOLUME_OPTION_KEYS: Keys = keys(
    &[
        a("labels", &LIST_OR_DICT, "labels of an anonymous volume"),
        a("nocopy", &BOOLEAN, "do not copy the image's content"),
        a("subpath", &TEXT, "directory of the volume"),
    ],
    &[],
);
static TMPFS_OPTIONS: Shape = map(&TMPFS_KEYS);
static TMPFS_KEYS: Keys = keys(
    &[
        a("size", &POSITIVE, "size"),
        a("mode", &NUMBER, "permission bits"),
    ],
    &[],
);
static POSITIVE: Shape = ranged(0, i64::MAX);
static IMAGE_OPTIONS: Shape = map(&IMAGE_OPTION_KEYS);
static IMAGE_OPTION_KEYS: Keys = keys(&[a("subpath", &TEXT, "directory of the image")], &[]);

static CGROUP: Shape = words(&["host", "private"]);
static CONTAINER_NAME: Shape = Shape {
    text: Text::ContainerName,
    ..scalar(STR)
};
static PULL_POLICY: Shape = Shape {
    text: Text::PullPolicy,
    ..scalar(STR)
};
static CPU_PERCENT: Shape = ranged(0, 100);
static OOM_SCORE: Shape = ranged(-1000, 1000);
static PID: Shape = scalar(STR | NULL);
static STORAGE_OPT: Shape = map(&ANY_KEYS);

static SERVICE: Shape = map(&SERVICE_KEYS);
/// Attributes of a service.
pub static SERVICE_KEYS: Keys = keys(
    &[
        a("develop", &DEVELOP, "what `watch` does"),
        a("deploy", &DEPLOY, "replicas, limits, restart policy"),
        a("annotations", &LIST_OR_DICT, "OCI annotations"),
        a("attach", &BOOLEAN, "whether `up` streams its output"),
        a("build", &BUILD, "how its image is built"),
        a("blkio_config", &BLKIO, "block-device weights and limits"),
        a("cap_add", &TEXT_SET, "capabilities added"),
        a("cap_drop", &TEXT_SET, "capabilities dropped"),
        a("cgroup", &CGROUP, "cgroup namespace"),
        a("cgroup_parent", &TEXT, "parent cgroup"),
        a("command", &COMMAND, "arguments that replace the image's"),
        a("configs", &FILE_MOUNTS, "configs mounted"),
        a(
            "container_name",
            &CONTAINER_NAME,
            "name of its only container",
        ),
        a("cpu_count", &POSITIVE, "processors (Windows)"),
        a(
            "cpu_percent",
            &CPU_PERCENT,
            "percentage of processors (Windows)",
        ),
        a("cpu_shares", &NUMBER, "relative weight"),
        a("cpu_quota", &NUMBER, "CFS quota in microseconds"),
        a("cpu_period", &NUMBER, "CFS period in microseconds"),
        a("cpu_rt_period", &NUMBER, "real-time period in microseconds"),
        a(
            "cpu_rt_runtime",
            &NUMBER,
            "real-time runtime in microseconds",
        ),
        a("cpus", &NUMBER, "processors it may use"),
        a("cpuset", &TEXT, "processors it may run on"),
        a(
            "credential_spec",
            &CREDENTIAL_SPEC,
            "managed account credentials",
        ),
        a("depends_on", &DEPENDS_ON, "services it waits for"),
        a("device_cgroup_rules", &TEXT_SET, "device cgroup rules"),
        a("devices", &DEVICES, "devices of the host"),
        a("dns", &TEXT_OR_SET, "name servers"),
        a("dns_opt", &TEXT_SET, "resolver options"),
        a("dns_search", &TEXT_OR_SET, "search domains"),
        a("domainname", &TEXT, "domain name"),
        a("entrypoint", &COMMAND, "program that replaces the image's"),
        a("env_file", &ENV_FILE, "files of variables"),
        a("label_file", &TEXT_OR_LIST, "files of labels"),
        a("environment", &LIST_OR_DICT, "variables"),
        a("expose", &TEXT_OR_NUMBER_SET, "ports for other services"),
        a("extends", &EXTENDS, "service it is based on"),
        a("provider", &PROVIDER, "a program outside that provides it"),
        a("external_links", &TEXT_SET, "links outside the project"),
        a("extra_hosts", &EXTRA_HOSTS, "lines for /etc/hosts"),
        a("gpus", &GPUS, "GPU requests"),
        a("group_add", &TEXT_OR_NUMBER_SET, "groups added"),
        a("healthcheck", &HEALTHCHECK, "health probe"),
        a("hostname", &TEXT, "host name"),
        a("image", &TEXT, "image reference"),
        a("init", &BOOLEAN, "run an init as PID 1"),
        a("ipc", &TEXT, "IPC namespace"),
        a("isolation", &TEXT, "isolation technology"),
        a("labels", &LIST_OR_DICT, "labels"),
        a("links", &TEXT_SET, "links to services"),
        a("logging", &LOGGING, "log driver and options"),
        a("mac_address", &TEXT, "MAC address"),
        a("mem_limit", &NUMBER, "memory limit"),
        a("mem_reservation", &INTEGER, "memory reservation"),
        a("mem_swappiness", &INTEGER, "swappiness"),
        a("memswap_limit", &NUMBER, "memory and swap"),
        a("network_mode", &TEXT, "how its network is made"),
        a("models", &SERVICE_MODELS, "AI models used"),
        a("networks", &SERVICE_NETWORKS, "networks it joins"),
        a("oom_kill_disable", &BOOLEAN, "turn the OOM killer off"),
        a("oom_score_adj", &OOM_SCORE, "OOM score adjustment"),
        a("pid", &PID, "PID namespace"),
        a("pids_limit", &NUMBER, "most processes"),
        a("platform", &TEXT, "platform"),
        a("ports", &PORTS, "published ports"),
        a("pre_start", &PRE_START, "run before the first start"),
        a("post_start", &HOOKS, "run after a start"),
        a("pre_stop", &HOOKS, "run before a stop"),
        a("privileged", &BOOLEAN, "all privileges"),
        a("profiles", &TEXT_SET, "profiles that enable it"),
        a("pull_policy", &PULL_POLICY, "when its image is pulled"),
        a(
            "pull_refresh_after",
            &TEXT,
            "age after which its image is pulled",
        ),
        a("read_only", &BOOLEAN, "read-only root file system"),
        a("restart", &TEXT, "restart policy"),
        a("runtime", &TEXT, "OCI runtime"),
        a("scale", &INTEGER, "number of containers"),
        a("security_opt", &TEXT_SET, "security options"),
        a("shm_size", &NUMBER, "size of /dev/shm"),
        a("secrets", &FILE_MOUNTS, "secrets mounted"),
        a("sysctls", &LIST_OR_DICT, "kernel parameters"),
        a("stdin_open", &BOOLEAN, "keep stdin open"),
        a("stop_grace_period", &TEXT, "time until SIGKILL"),
        a("stop_signal", &TEXT, "signal that stops it"),
        a("storage_opt", &STORAGE_OPT, "storage driver options"),
        a("tmpfs", &TEXT_OR_SET, "tmpfs mounts"),
        a("tty", &BOOLEAN, "give it a terminal"),
        a("ulimits", &ULIMITS, "resource limits"),
        a(
            "use_api_socket",
            &PLAIN_BOOLEAN,
            "mount the engine's API socket",
        ),
        a("user", &TEXT, "user"),
        a("uts", &TEXT, "UTS namespace"),
        a("userns_mode", &TEXT, "user namespace"),
        a("volumes", &MOUNTS, "mounts"),
        a("volumes_from", &TEXT_SET, "services whose mounts it takes"),
        a("working_dir", &TEXT, "working directory"),
    ],
    &[],
);

static EXTERNAL: Shape = Shape {
    map: Some(&EXTERNAL_KEYS),
    ..scalar(BOOL | STR)
};
static EXTERNAL_KEYS: Keys = keys(&[a("name", &TEXT, "name")], &[]);
static LOOSE_EXTERNAL: Shape = Shape {
    map: Some(&LOOSE_EXTERNAL_KEYS),
    ..scalar(BOOL | STR)
};
static LOOSE_EXTERNAL_KEYS: Keys = Keys {
    others: Any,
    ..keys(&[a("name", &TEXT, "name")], &[])
};

static NETWORK: Shape = Shape {
    map: Some(&NETWORK_KEYS),
    ..scalar(NULL)
};
/// Attributes of a network.
pub static NETWORK_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "name in the engine"),
        a("driver", &TEXT, "driver"),
        a("driver_opts", &OPTIONS, "driver options"),
        a("ipam", &IPAM, "address management"),
        a("external", &EXTERNAL, "exists already"),
        a("internal", &BOOLEAN, "no way out"),
        a("enable_ipv4", &BOOLEAN, "IPv4"),
        a("enable_ipv6", &BOOLEAN, "IPv6"),
        a("attachable", &BOOLEAN, "others may join"),
        a("labels", &LIST_OR_DICT, "labels"),
    ],
    &[],
);
static IPAM: Shape = map(&IPAM_KEYS);
static IPAM_KEYS: Keys = keys(
    &[
        a("driver", &TEXT, "driver"),
        a("config", &POOLS, "pools"),
        a("options", &TEXT_MAP, "driver options"),
    ],
    &[],
);
static POOLS: Shape = list(&POOL);
static POOL: Shape = map(&POOL_KEYS);
static POOL_KEYS: Keys = keys(
    &[
        a("subnet", &TEXT, "subnet"),
        a("ip_range", &TEXT, "part that containers get"),
        a("gateway", &TEXT, "gateway"),
        a("aux_addresses", &TEXT_MAP, "reserved addresses"),
    ],
    &[],
);

static VOLUME: Shape = Shape {
    map: Some(&VOLUME_KEYS),
    ..scalar(NULL)
};
/// Attributes of a volume.
pub static VOLUME_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "name in the engine"),
        a("driver", &TEXT, "driver"),
        a("driver_opts", &OPTIONS, "driver options"),
        a("external", &EXTERNAL, "exists already"),
        a("labels", &LIST_OR_DICT, "labels"),
    ],
    &[],
);

static SECRET: Shape = map(&SECRET_KEYS);
/// Attributes of a secret.
pub static SECRET_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "name"),
        a("environment", &TEXT, "variable that holds it"),
        a("file", &TEXT, "file that holds it"),
        a("external", &LOOSE_EXTERNAL, "an orchestrator holds it"),
        a("labels", &LIST_OR_DICT, "labels"),
        a("driver", &TEXT, "driver"),
        a("driver_opts", &OPTIONS, "driver options"),
        a("template_driver", &TEXT, "template driver"),
    ],
    &[],
);

static CONFIG: Shape = map(&CONFIG_KEYS);
/// Attributes of a config.
pub static CONFIG_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "name"),
        a("content", &TEXT, "its text"),
        a("environment", &TEXT, "variable that holds it"),
        a("file", &TEXT, "file that holds it"),
        a("external", &LOOSE_EXTERNAL, "an orchestrator holds it"),
        a("labels", &LIST_OR_DICT, "labels"),
        a("template_driver", &TEXT, "template driver"),
    ],
    &[],
);

static MODEL: Shape = map(&MODEL_KEYS);
/// Attributes of a model.
pub static MODEL_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "name"),
        a("model", &TEXT, "reference"),
        a("context_size", &PLAIN_INTEGER, "size of the context"),
        a("runtime_flags", &TEXTS, "flags for the runtime"),
    ],
    &["model"],
);

static INCLUDE: Shape = list(&INCLUDE_ENTRY);
static INCLUDE_ENTRY: Shape = Shape {
    map: Some(&INCLUDE_KEYS),
    ..scalar(STR)
};
/// Attributes of an include.
pub static INCLUDE_KEYS: Keys = strict(
    &[
        a("path", &TEXT_OR_SET, "files"),
        a("env_file", &TEXT_OR_SET, "files of variables"),
        a("project_directory", &TEXT, "directory of relative paths"),
    ],
    &[],
);

static SERVICES: Shape = map(&SERVICE_NAMES);
static SERVICE_NAMES: Keys = open(Others::Names(&SERVICE));
static NETWORKS: Shape = map(&NETWORK_NAMES);
static NETWORK_NAMES: Keys = open(Others::LooseNames(&NETWORK));
static VOLUMES: Shape = map(&VOLUME_NAMES);
static VOLUME_NAMES: Keys = open(Others::Names(&VOLUME));
static SECRETS: Shape = map(&SECRET_NAMES);
static SECRET_NAMES: Keys = open(Others::Names(&SECRET));
static CONFIGS: Shape = map(&CONFIG_NAMES);
static CONFIG_NAMES: Keys = open(Others::Names(&CONFIG));
static MODELS: Shape = map(&MODEL_NAMES);
static MODEL_NAMES: Keys = open(Others::LooseNames(&MODEL));

/// A Compose file.
pub static ROOT: Shape = map(&ROOT_KEYS);
/// Top-level elements.
pub static ROOT_KEYS: Keys = keys(
    &[
        a("version", &TEXT, "ignored"),
        a("name", &TEXT, "project name"),
        a("include", &INCLUDE, "other Compose files"),
        a("services", &SERVICES, "services"),
        a("models", &MODELS, "AI models"),
        a("networks", &NETWORKS, "networks"),
        a("volumes", &VOLUMES, "volumes"),
        a("secrets", &SECRETS, "secrets"),
        a("configs", &CONFIGS, "configs"),
    ],
    &[],
);

/// Where a key that people put in the wrong place, or that is gone, belongs.
pub fn relocated(key: &str) -> Option<&'static str> {
    Some(match key {
        "net" => "use `network_mode` or `networks`",
        "log_driver" | "log_opt" => "use `logging` with `driver` and `options`",
        "volume_driver" => "set `driver` on the volume at top level",
        "dockerfile" => "put it under `build`",
        "context" | "args" | "target" => "put it under `build`",
        "replicas" | "restart_policy" | "resources" | "placement" | "update_config" => {
            "put it under `deploy`"
        }
        "limits" | "reservations" => "put it under `deploy.resources`",
        "interval" | "timeout" | "retries" | "start_period" | "test" => {
            "put it under `healthcheck`"
        }
        "env" | "env_vars" | "variables" => "did you mean `environment`?",
        "depends" => "did you mean `depends_on`?",
        "cpu" => "did you mean `cpus`?",
        "memory" | "mem" => "did you mean `mem_limit`?",
        "watch" => "put it under `develop`",
        "aliases" | "ipv4_address" => "put it under the network, in `networks`",
        _ => return None,
    })
}

/// Every attribute as a pattern (`services.*.build.args`; `*` is a name or an item).
pub fn attributes() -> Vec<String> {
    let mut found = Vec::new();
    collect(&ROOT, "", &mut found);
    found
}

fn collect(shape: &Shape, path: &str, found: &mut Vec<String>) {
    if let Some((item, _)) = shape.list {
        collect(item, &join(path, "*"), found);
    }
    let Some(keys) = shape.map else { return };
    for attribute in keys.known {
        let at = join(path, attribute.name);
        found.push(at.clone());
        collect(attribute.shape, &at, found);
    }
    if let Others::Names(inner)
    | Others::LooseNames(inner)
    | Named(inner)
    | Others::LowerNames(inner) = keys.others
    {
        collect(inner, &join(path, "*"), found);
    }
}

fn join(path: &str, part: &str) -> String {
    if path.is_empty() {
        part.to_owned()
    } else {
        format!("{path}.{part}")
    }
}

/// The attributes a document uses, as [`attributes`] names them.
pub fn used(root: &Node) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    use_of(root, &ROOT, "", &mut found);
    found
}

fn use_of(node: &Node, shape: &Shape, path: &str, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::Seq(items) => {
            if let Some((item, _)) = shape.list {
                for node in items {
                    use_of(node, item, &join(path, "*"), found);
                }
            }
        }
        Value::Map(map) => {
            let Some(keys) = shape.map else { return };
            for (key, node) in map {
                if let Some(attribute) = keys.known.iter().find(|a| a.name == key) {
                    let at = join(path, key);
                    found.insert(at.clone());
                    use_of(node, attribute.shape, &at, found);
                } else if let Others::Names(inner)
                | Others::LooseNames(inner)
                | Named(inner)
                | Others::LowerNames(inner) = keys.others
                {
                    use_of(node, inner, &join(path, "*"), found);
                }
            }
        }
        _ => {}
    }
}

/// The tables as JSON Schema.
pub fn json_schema() -> serde_json::Value {
    let mut schema = shape_schema(&ROOT, "");
    if let Some(map) = schema.as_object_mut() {
        map.insert(
            "$schema".to_owned(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        map.insert("title".to_owned(), "Compose file".into());
    }
    schema
}

fn shape_schema(shape: &Shape, doc: &str) -> serde_json::Value {
    use serde_json::{Map, json};
    let mut kinds = Vec::new();
    let mut out = Map::new();
    for (bit, name) in [
        (STR, "string"),
        (BOOL, "boolean"),
        (INT, "integer"),
        (NUM, "number"),
        (NULL, "null"),
    ] {
        if shape.scalars & bit != 0 {
            kinds.push(name);
        }
    }
    if !doc.is_empty() {
        out.insert("description".to_owned(), doc.into());
    }
    if let Some((item, repeats)) = shape.list {
        kinds.push("array");
        out.insert("items".to_owned(), shape_schema(item, ""));
        if repeats == Repeats::Refused {
            out.insert("uniqueItems".to_owned(), true.into());
        }
    }
    if let Some(keys) = shape.map {
        kinds.push("object");
        let properties: Map<String, serde_json::Value> = keys
            .known
            .iter()
            .map(|a| (a.name.to_owned(), shape_schema(a.shape, a.doc)))
            .collect();
        if !properties.is_empty() {
            out.insert("properties".to_owned(), properties.into());
        }
        if !keys.required.is_empty() {
            out.insert("required".to_owned(), json!(keys.required));
        }
        let mut patterns = Map::new();
        if keys.extensions {
            patterns.insert("^x-".to_owned(), json!({}));
        }
        let closed = match keys.others {
            Deny => true,
            Any => false,
            Named(inner) => {
                patterns.insert(".+".to_owned(), shape_schema(inner, ""));
                true
            }
            Others::Names(inner) => {
                patterns.insert("^[a-zA-Z0-9._-]+$".to_owned(), shape_schema(inner, ""));
                true
            }
            Others::LooseNames(inner) => {
                patterns.insert("^[a-zA-Z0-9._-]+$".to_owned(), shape_schema(inner, ""));
                false
            }
            Others::LowerNames(inner) => {
                patterns.insert("^[a-z]+$".to_owned(), shape_schema(inner, ""));
                false
            }
        };
        if !patterns.is_empty() {
            out.insert("patternProperties".to_owned(), patterns.into());
        }
        if closed {
            out.insert("additionalProperties".to_owned(), false.into());
        }
    }
    if !shape.words.is_empty() {
        // Other kinds than texts are not words.
        let mut choices = vec![json!({ "enum": shape.words })];
        choices.extend(
            kinds
                .iter()
                .filter(|k| **k != "string")
                .map(|k| json!({ "type": k })),
        );
        out.insert("anyOf".to_owned(), choices.into());
    }
    match shape.text {
        Text::Any => {}
        Text::ContainerName => {
            out.insert("pattern".to_owned(), "[a-zA-Z0-9][a-zA-Z0-9_.-]+".into());
        }
        Text::PullPolicy => {
            out.insert("pattern".to_owned(), "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+".into());
        }
    }
    if let Some((low, high)) = shape.range {
        out.insert("minimum".to_owned(), low.into());
        if high != i64::MAX {
            out.insert("maximum".to_owned(), high.into());
        }
    }
    out.insert(
        "type".to_owned(),
        if kinds.len() == 1 {
            json!(kinds[0])
        } else {
            json!(kinds)
        },
    );
    out.into()
}
