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
    /// Texts that people write where all are allowed: for completion, not for checks.
    pub hints: &'static [&'static str],
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
        hints: &[],
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
const fn hints(hints: &'static [&'static str]) -> Shape {
    Shape {
        hints,
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
        a(
            "soft",
            &INTEGER,
            "The limit in force; a process may raise it up to `hard`",
        ),
        a("hard", &INTEGER, "The limit that no process may raise"),
    ],
    &["soft", "hard"],
);

// Texts that are not checked, or not here, but of which people write a few.
static RESTART: Shape = hints(&["no", "always", "on-failure", "unless-stopped"]);
static NETWORK_MODE: Shape = hints(&["none", "host", "bridge", "service:"]);
static IPC: Shape = hints(&["private", "shareable", "host", "none", "service:"]);
static UTS: Shape = hints(&["host"]);
static USERNS: Shape = hints(&["host", "private"]);
static SIGNAL: Shape = hints(&[
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL",
]);
static DEPLOY_MODE: Shape = hints(&["replicated", "global", "replicated-job", "global-job"]);
static ENDPOINT_MODE: Shape = hints(&["vip", "dnsrr"]);
static FAILURE_ACTION: Shape = hints(&["continue", "rollback", "pause"]);
static RESTART_CONDITION: Shape = hints(&["none", "on-failure", "any"]);
static PORT_MODE: Shape = hints(&["ingress", "host"]);
static PROTOCOL: Shape = hints(&["tcp", "udp", "sctp"]);
static ENV_FORMAT: Shape = hints(&["raw"]);
static PROPAGATION: Shape = hints(&[
    "rprivate", "private", "rshared", "shared", "rslave", "slave",
]);
static LOG_DRIVER: Shape = hints(&["json-file", "none"]);
static NETWORK_DRIVER: Shape = hints(&["bridge", "macvlan", "ipvlan", "host", "none"]);
static BUILD_NETWORK: Shape = hints(&["default", "none", "host"]);
static DEVICE_PERMISSIONS: Shape = hints(&["r", "rw", "rwm"]);
static CAPABILITY: Shape = hints(&[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
]);
static CAPABILITIES: Shape = set(&CAPABILITY);

static FILE_MOUNTS: Shape = list(&FILE_MOUNT);
static FILE_MOUNT: Shape = Shape {
    map: Some(&FILE_MOUNT_KEYS),
    ..scalar(STR)
};
static FILE_MOUNT_KEYS: Keys = keys(
    &[
        a("source", &TEXT, "Name of the top-level element"),
        a("target", &TEXT, "Path in the container"),
        a("uid", &TEXT, "Owner of the file, by number"),
        a("gid", &TEXT, "Group of the file, by number"),
        a("mode", &NUMBER, "Permission bits in octal, such as `0440`"),
    ],
    &[],
);

static BUILD: Shape = Shape {
    map: Some(&BUILD_KEYS),
    ..scalar(STR)
};
static BUILD_KEYS: Keys = keys(
    &[
        a(
            "context",
            &TEXT,
            "The directory or URL that the build can copy from; paths are relative to this file",
        ),
        a(
            "dockerfile",
            &TEXT,
            "The Dockerfile, relative to the context",
        ),
        a(
            "dockerfile_inline",
            &TEXT,
            "The Dockerfile's text, in place of a file",
        ),
        a(
            "entitlements",
            &TEXTS,
            "Extra privileges of the build, such as `network.host`",
        ),
        a(
            "args",
            &LIST_OR_DICT,
            "Values of the Dockerfile's `ARG`s; a name without a value takes it from the environment",
        ),
        a(
            "ssh",
            &LIST_OR_DICT,
            "SSH agents or keys for `RUN --mount=type=ssh`",
        ),
        a("labels", &LIST_OR_DICT, "Labels of the image"),
        a(
            "cache_from",
            &TEXTS,
            "Images or directories to take cached steps from",
        ),
        a("cache_to", &TEXTS, "Where cached steps are written to"),
        a("no_cache", &BOOLEAN, "Run every step again"),
        a(
            "no_cache_filter",
            &TEXT_OR_LIST,
            "Stages whose steps are run again",
        ),
        a(
            "additional_contexts",
            &LIST_OR_DICT,
            "More directories or images for `COPY --from=NAME`; `service:NAME` is another service's image",
        ),
        a(
            "network",
            &BUILD_NETWORK,
            "Network of `RUN` steps: `default`, `none` or `host`",
        ),
        a(
            "provenance",
            &BOOLEAN,
            "Add an attestation of how the image was built",
        ),
        a(
            "sbom",
            &BOOLEAN,
            "Add an attestation of what the image holds",
        ),
        a("pull", &BOOLEAN, "Pull base images even when they are here"),
        a(
            "target",
            &TEXT,
            "The stage to build; the last one unless said otherwise",
        ),
        a("shm_size", &INTEGER, "Size of /dev/shm in `RUN` steps"),
        a(
            "extra_hosts",
            &EXTRA_HOSTS,
            "More lines for /etc/hosts in `RUN` steps",
        ),
        a(
            "isolation",
            &TEXT,
            "Isolation technology of the build (Windows)",
        ),
        a(
            "privileged",
            &BOOLEAN,
            "Run `RUN` steps with all privileges",
        ),
        a(
            "secrets",
            &FILE_MOUNTS,
            "Top-level secrets for `RUN --mount=type=secret`",
        ),
        a("tags", &TEXTS, "More names for the image"),
        a("ulimits", &ULIMITS, "Resource limits of `RUN` steps"),
        a("platforms", &TEXTS, "Platforms to build for"),
    ],
    &[],
);

static DEVELOP: Shape = Shape {
    map: Some(&DEVELOP_KEYS),
    ..scalar(NULL)
};
static DEVELOP_KEYS: Keys = keys(
    &[a(
        "watch",
        &WATCH,
        "Paths that are watched, and what a change does",
    )],
    &[],
);
static WATCH: Shape = list(&WATCH_RULE);
static WATCH_RULE: Shape = map(&WATCH_KEYS);
static WATCH_KEYS: Keys = keys(
    &[
        a(
            "ignore",
            &TEXT_OR_SET,
            "Patterns of files that are not watched",
        ),
        a(
            "include",
            &TEXT_OR_SET,
            "Patterns of files that are; without it, all",
        ),
        a("path", &TEXT, "The file or directory that is watched"),
        a(
            "action",
            &WATCH_ACTION,
            "What a change does: `sync` copies, `rebuild` builds and replaces, `restart` restarts, `sync+restart` and `sync+exec` do both",
        ),
        a(
            "target",
            &TEXT,
            "Path in the container that files are copied to",
        ),
        a(
            "exec",
            &HOOK,
            "Command that `sync+exec` runs in the container",
        ),
        a(
            "initial_sync",
            &PLAIN_BOOLEAN,
            "Copy everything once when watching begins",
        ),
    ],
    &["path", "action"],
);
static WATCH_ACTION: Shape = words(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]);

static HOOKS: Shape = list(&HOOK);
static HOOK: Shape = map(&HOOK_KEYS);
static HOOK_KEYS: Keys = keys(
    &[
        a("command", &COMMAND, "The command"),
        a(
            "user",
            &TEXT,
            "User that runs it; the container's unless said otherwise",
        ),
        a("privileged", &BOOLEAN, "Run it with all privileges"),
        a("working_dir", &TEXT, "Directory it runs in"),
        a(
            "environment",
            &LIST_OR_DICT,
            "Variables it gets besides the container's",
        ),
    ],
    &["command"],
);
static PRE_START: Shape = list(&PRE_START_HOOK);
static PRE_START_HOOK: Shape = map(&PRE_START_KEYS);
static PRE_START_KEYS: Keys = keys(
    &[
        a("command", &COMMAND, "The command"),
        a(
            "image",
            &TEXT,
            "Image of the hook's container; the service's unless said otherwise",
        ),
        a("user", &TEXT, "User that runs it"),
        a("privileged", &BOOLEAN, "Run it with all privileges"),
        a("working_dir", &TEXT, "Directory it runs in"),
        a("environment", &LIST_OR_DICT, "Variables it gets"),
        a(
            "per_replica",
            &BOOLEAN,
            "Run it before each replica rather than once",
        ),
    ],
    &["command"],
);

static DEPLOY: Shape = Shape {
    map: Some(&DEPLOY_KEYS),
    ..scalar(NULL)
};
static DEPLOY_KEYS: Keys = keys(
    &[
        a(
            "mode",
            &DEPLOY_MODE,
            "`replicated` (a number of containers) or `global` (one on each machine)",
        ),
        a(
            "endpoint_mode",
            &ENDPOINT_MODE,
            "How clients find the service: `vip` or `dnsrr`",
        ),
        a("replicas", &INTEGER, "Number of containers"),
        a(
            "labels",
            &LIST_OR_DICT,
            "Labels of the service, not of its containers",
        ),
        a(
            "rollback_config",
            &UPDATE,
            "How a failed update is taken back",
        ),
        a(
            "update_config",
            &UPDATE,
            "How containers are replaced by new ones",
        ),
        a(
            "resources",
            &RESOURCES,
            "Limits and reservations of processors, memory and devices",
        ),
        a(
            "restart_policy",
            &RESTART_POLICY,
            "When ended containers are started again",
        ),
        a("placement", &PLACEMENT, "On which machines containers run"),
    ],
    &[],
);
static UPDATE: Shape = map(&UPDATE_KEYS);
static UPDATE_KEYS: Keys = keys(
    &[
        a(
            "parallelism",
            &INTEGER,
            "How many containers are replaced at a time; 0 for all",
        ),
        a("delay", &TEXT, "Time between groups"),
        a(
            "failure_action",
            &FAILURE_ACTION,
            "What a failure does: `continue`, `rollback` or `pause`",
        ),
        a(
            "monitor",
            &TEXT,
            "How long a new container is watched for failure",
        ),
        a(
            "max_failure_ratio",
            &NUMBER,
            "Share of failures that is accepted",
        ),
        a("order", &UPDATE_ORDER, "`stop-first` or `start-first`"),
    ],
    &[],
);
static UPDATE_ORDER: Shape = words(&["start-first", "stop-first"]);
static RESOURCES: Shape = map(&RESOURCE_KEYS);
static RESOURCE_KEYS: Keys = keys(
    &[
        a("limits", &LIMITS, "What the container cannot go beyond"),
        a("reservations", &RESERVATIONS, "What it is sure to get"),
    ],
    &[],
);
static LIMITS: Shape = map(&LIMIT_KEYS);
static LIMIT_KEYS: Keys = keys(
    &[
        a(
            "cpus",
            &NUMBER,
            "Most processors used at once; `0.5` is half of one",
        ),
        a("memory", &TEXT, "Most memory, such as `512M`"),
        a("pids", &INTEGER, "Most processes"),
    ],
    &[],
);
static RESERVATIONS: Shape = map(&RESERVATION_KEYS);
static RESERVATION_KEYS: Keys = keys(
    &[
        a("cpus", &NUMBER, "Processors it is sure to get"),
        a("memory", &TEXT, "Memory it is sure to get, such as `64M`"),
        a(
            "generic_resources",
            &GENERIC_RESOURCES,
            "User-defined resources of the machine",
        ),
        a("devices", &DEVICE_REQUESTS, "Devices, such as GPUs"),
    ],
    &[],
);
static GENERIC_RESOURCES: Shape = list(&GENERIC_RESOURCE);
static GENERIC_RESOURCE: Shape = map(&GENERIC_KEYS);
static GENERIC_KEYS: Keys = keys(
    &[a("discrete_resource_spec", &DISCRETE, "Kind and amount")],
    &[],
);
static DISCRETE: Shape = map(&DISCRETE_KEYS);
static DISCRETE_KEYS: Keys = keys(
    &[
        a("kind", &TEXT, "Name of the resource"),
        a("value", &NUMBER, "How much of it"),
    ],
    &[],
);
static DEVICE_REQUESTS: Shape = list(&DEVICE_REQUEST);
static DEVICE_REQUEST: Shape = map(&DEVICE_REQUEST_KEYS);
static DEVICE_REQUEST_KEYS: Keys = keys(DEVICE_REQUEST_ATTRIBUTES, &["capabilities"]);
static DEVICE_REQUEST_ATTRIBUTES: &[Attribute] = &[
    a(
        "capabilities",
        &TEXT_SET,
        "What a device must be able to do, such as `gpu`",
    ),
    a("count", &INTEGER, "How many devices, or `all`"),
    a(
        "device_ids",
        &TEXT_SET,
        "Which devices, in place of `count`",
    ),
    a("driver", &TEXT, "Driver of the devices, such as `nvidia`"),
    a("options", &LIST_OR_DICT, "Options of the driver"),
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
        a(
            "condition",
            &RESTART_CONDITION,
            "`none`, `on-failure` or `any`",
        ),
        a("delay", &TEXT, "Time between attempts"),
        a(
            "max_attempts",
            &INTEGER,
            "Most attempts; without it, no limit",
        ),
        a(
            "window",
            &TEXT,
            "Time after which a start counts as successful",
        ),
    ],
    &[],
);
static PLACEMENT: Shape = map(&PLACEMENT_KEYS);
static PLACEMENT_KEYS: Keys = keys(
    &[
        a("constraints", &TEXTS, "Conditions a machine must meet"),
        a("preferences", &PREFERENCES, "How containers are spread"),
        a(
            "max_replicas_per_node",
            &INTEGER,
            "Most containers on one machine",
        ),
    ],
    &[],
);
static PREFERENCES: Shape = list(&PREFERENCE);
static PREFERENCE: Shape = map(&PREFERENCE_KEYS);
static PREFERENCE_KEYS: Keys = keys(
    &[a(
        "spread",
        &TEXT,
        "Label over whose values containers are spread",
    )],
    &[],
);

static BLKIO: Shape = map(&BLKIO_KEYS);
static BLKIO_KEYS: Keys = strict(
    &[
        a(
            "device_read_bps",
            &BLKIO_LIMITS,
            "Bytes read from a device in a second",
        ),
        a(
            "device_read_iops",
            &BLKIO_LIMITS,
            "Reads from a device in a second",
        ),
        a(
            "device_write_bps",
            &BLKIO_LIMITS,
            "Bytes written to a device in a second",
        ),
        a(
            "device_write_iops",
            &BLKIO_LIMITS,
            "Writes to a device in a second",
        ),
        a(
            "weight",
            &INTEGER,
            "Weight relative to other containers, 10 to 1000",
        ),
        a(
            "weight_device",
            &BLKIO_WEIGHTS,
            "Weights for single devices",
        ),
    ],
    &[],
);
static BLKIO_LIMITS: Shape = list(&BLKIO_LIMIT);
static BLKIO_LIMIT: Shape = map(&BLKIO_LIMIT_KEYS);
static BLKIO_LIMIT_KEYS: Keys = strict(
    &[
        a("path", &TEXT, "The device, such as `/dev/sda`"),
        a(
            "rate",
            &INTEGER,
            "The limit: a number of operations, or bytes with a unit",
        ),
    ],
    &[],
);
static BLKIO_WEIGHTS: Shape = list(&BLKIO_WEIGHT);
static BLKIO_WEIGHT: Shape = map(&BLKIO_WEIGHT_KEYS);
static BLKIO_WEIGHT_KEYS: Keys = strict(
    &[
        a("path", &TEXT, "The device, such as `/dev/sda`"),
        a("weight", &INTEGER, "Its weight, 10 to 1000"),
    ],
    &[],
);

static CREDENTIAL_SPEC: Shape = map(&CREDENTIAL_SPEC_KEYS);
static CREDENTIAL_SPEC_KEYS: Keys = keys(
    &[
        a(
            "config",
            &TEXT,
            "Top-level config that holds the credentials",
        ),
        a("file", &TEXT, "File that holds the credentials"),
        a("registry", &TEXT, "Registry key that holds the credentials"),
    ],
    &[],
);

static DEPENDS_ON: Shape = list_or_map(set(&TEXT), &DEPENDENCIES);
static DEPENDENCIES: Keys = open(Others::Names(&DEPENDENCY));
static DEPENDENCY: Shape = map(&DEPENDENCY_KEYS);
static DEPENDENCY_KEYS: Keys = keys(
    &[
        a(
            "restart",
            &BOOLEAN,
            "Restart this service too when that one is restarted or replaced",
        ),
        a(
            "required",
            &PLAIN_BOOLEAN,
            "Whether it is an error when that service is not there; true unless said otherwise",
        ),
        a(
            "condition",
            &CONDITION,
            "What it waits for: `service_started`, `service_healthy` or `service_completed_successfully`",
        ),
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
        a("source", &TEXT, "Device of the machine"),
        a(
            "target",
            &TEXT,
            "Path in the container; the same unless said otherwise",
        ),
        a(
            "permissions",
            &DEVICE_PERMISSIONS,
            "Among `r`, `w` and `m` (make nodes)",
        ),
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
        a("path", &TEXT, "The file"),
        a(
            "format",
            &ENV_FORMAT,
            "`raw` takes values literally: no quotes, no variables",
        ),
        a(
            "required",
            &BOOLEAN,
            "Whether it is an error when the file is missing; true unless said otherwise",
        ),
    ],
    &["path"],
);

static EXTENDS: Shape = Shape {
    map: Some(&EXTENDS_KEYS),
    ..scalar(STR)
};
static EXTENDS_KEYS: Keys = strict(
    &[
        a("service", &TEXT, "The service to start from"),
        a(
            "file",
            &TEXT,
            "The file it is in; this one unless said otherwise",
        ),
    ],
    &["service"],
);

static PROVIDER: Shape = map(&PROVIDER_KEYS);
static PROVIDER_KEYS: Keys = keys(
    &[
        a("type", &TEXT, "The program that provides the service"),
        a("options", &PROVIDER_OPTIONS, "Options passed to it"),
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
        a(
            "disable",
            &BOOLEAN,
            "Turn off the check that the image defines",
        ),
        a(
            "interval",
            &TEXT,
            "Time between checks, 30s unless said otherwise",
        ),
        a(
            "retries",
            &NUMBER,
            "Failures in a row that make it unhealthy, 3 unless said otherwise",
        ),
        a(
            "test",
            &TEXT_OR_LIST,
            "The command: a text for the shell, or a list that begins with `CMD`, `CMD-SHELL` or `NONE`; exit code 0 is healthy",
        ),
        a(
            "timeout",
            &TEXT,
            "Longest time of a check, 30s unless said otherwise",
        ),
        a(
            "start_period",
            &TEXT,
            "Time after the start in which failures do not count",
        ),
        a(
            "start_interval",
            &TEXT,
            "Time between checks in that period, 5s unless said otherwise",
        ),
    ],
    &[],
);

static LOGGING: Shape = map(&LOGGING_KEYS);
static LOGGING_KEYS: Keys = keys(
    &[
        a(
            "driver",
            &LOG_DRIVER,
            "Log driver, such as `json-file` or `none`",
        ),
        a(
            "options",
            &LOGGING_OPTIONS,
            "Options of the driver, such as `max-size`",
        ),
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
        a("endpoint_var", &TEXT, "Variable that gets the model's URL"),
        a("model_var", &TEXT, "Variable that gets the model's name"),
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
        a(
            "aliases",
            &TEXT_SET,
            "More names by which services of this network find it",
        ),
        a(
            "interface_name",
            &TEXT,
            "Name of the network interface in the container",
        ),
        a(
            "ipv4_address",
            &TEXT,
            "A fixed IPv4 address of the network's subnet",
        ),
        a(
            "ipv6_address",
            &TEXT,
            "A fixed IPv6 address of the network's subnet",
        ),
        a("link_local_ips", &TEXT_SET, "Link-local addresses"),
        a("mac_address", &TEXT, "A fixed MAC address"),
        a(
            "driver_opts",
            &OPTIONS,
            "Options of the network's driver for this connection",
        ),
        a(
            "priority",
            &PLAIN_NUMBER,
            "Networks with a higher number are joined first",
        ),
        a(
            "gw_priority",
            &PLAIN_NUMBER,
            "The network with the highest number gives the default route",
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
        a("name", &TEXT, "A name for people"),
        a("mode", &PORT_MODE, "`ingress` (load-balanced) or `host`"),
        a(
            "host_ip",
            &TEXT,
            "Address of the machine to listen on; all unless said otherwise",
        ),
        a("target", &INTEGER, "Port of the container"),
        a(
            "published",
            &INTEGER,
            "Port of the machine, or a range of which one is taken",
        ),
        a("protocol", &PROTOCOL, "`tcp`, `udp` or `sctp`"),
        a(
            "app_protocol",
            &TEXT,
            "Protocol spoken over it, such as `http`",
        ),
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
        a(
            "type",
            &MOUNT_TYPE,
            "What is mounted: `bind` (a path of the machine), `volume`, `tmpfs` (memory), `image`",
        ),
        a(
            "source",
            &TEXT,
            "Path of the machine, top-level volume, or image",
        ),
        a("target", &TEXT, "Path in the container"),
        a("read_only", &BOOLEAN, "Mount it read-only"),
        a("consistency", &TEXT, "No meaning on Linux"),
        a("bind", &BIND, "Settings of a bind mount"),
        a("volume", &VOLUME_OPTIONS, "Settings of a volume"),
        a("tmpfs", &TMPFS_OPTIONS, "Settings of a tmpfs"),
        a("image", &IMAGE_OPTIONS, "Settings of an image"),
    ],
    &["type"],
);
static MOUNT_TYPE: Shape = words(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]);
static BIND: Shape = map(&BIND_KEYS);
static BIND_KEYS: Keys = keys(
    &[
        a(
            "propagation",
            &PROPAGATION,
            "Whether later mounts are passed on: `rprivate`, `rslave`, `rshared`, ...",
        ),
        a(
            "create_host_path",
            &BOOLEAN,
            "Make the source as a directory when it is missing",
        ),
        a(
            "recursive",
            &RECURSIVE,
            "What happens with mounts below the source",
        ),
        a(
            "selinux",
            &SELINUX,
            "SELinux label: `z` shared, `Z` private",
        ),
    ],
    &[],
);
static RECURSIVE: Shape = words(&["enabled", "disabled", "writable", "readonly"]);
static SELINUX: Shape = words(&["z", "Z"]);
static VOLUME_OPTIONS: Shape = map(&VOLUME_OPTION_KEYS);
static VOLUME_OPTION_KEYS: Keys = keys(
    &[
        a("labels", &LIST_OR_DICT, "Labels of a volume without a name"),
        a(
            "nocopy",
            &BOOLEAN,
            "Do not fill a new volume with the image's files",
        ),
        a("subpath", &TEXT, "Directory of the volume to mount"),
    ],
    &[],
);
static TMPFS_OPTIONS: Shape = map(&TMPFS_KEYS);
static TMPFS_KEYS: Keys = keys(
    &[
        a("size", &POSITIVE, "Size, in bytes or with a unit"),
        a("mode", &NUMBER, "Permission bits in octal"),
    ],
    &[],
);
static POSITIVE: Shape = ranged(0, i64::MAX);
static IMAGE_OPTIONS: Shape = map(&IMAGE_OPTION_KEYS);
static IMAGE_OPTION_KEYS: Keys = keys(
    &[a("subpath", &TEXT, "Directory of the image to mount")],
    &[],
);

static CGROUP: Shape = words(&["host", "private"]);
static CONTAINER_NAME: Shape = Shape {
    text: Text::ContainerName,
    ..scalar(STR)
};
static PULL_POLICY: Shape = Shape {
    text: Text::PullPolicy,
    ..hints(&["always", "never", "missing", "build", "daily", "weekly"])
};
static CPU_PERCENT: Shape = ranged(0, 100);
static OOM_SCORE: Shape = ranged(-1000, 1000);
static PID: Shape = or(NULL, hints(&["host", "service:"]));
static STORAGE_OPT: Shape = map(&ANY_KEYS);

static SERVICE: Shape = map(&SERVICE_KEYS);
/// Attributes of a service.
pub static SERVICE_KEYS: Keys = keys(
    &[
        a("develop", &DEVELOP, "What `watch` does when files change"),
        a(
            "deploy",
            &DEPLOY,
            "How many containers, their resource limits, and when they are restarted",
        ),
        a(
            "annotations",
            &LIST_OR_DICT,
            "OCI annotations of the container: free-form text for tools",
        ),
        a(
            "attach",
            &BOOLEAN,
            "Whether `up` shows this service's output; true unless said otherwise",
        ),
        a(
            "build",
            &BUILD,
            "How the image is built from source: a directory, or settings",
        ),
        a(
            "blkio_config",
            &BLKIO,
            "Weights and limits of block devices",
        ),
        a(
            "cap_add",
            &CAPABILITIES,
            "Linux capabilities the container gets beyond the usual ones (`ALL` for every one)",
        ),
        a(
            "cap_drop",
            &CAPABILITIES,
            "Linux capabilities taken away (`ALL` for every one)",
        ),
        a(
            "cgroup",
            &CGROUP,
            "The cgroup namespace: the machine's (`host`) or its own (`private`)",
        ),
        a(
            "cgroup_parent",
            &TEXT,
            "The cgroup below which the container's own is made",
        ),
        a(
            "command",
            &COMMAND,
            "Arguments in place of the image's `CMD`; a text is split like a shell line, without a shell",
        ),
        a(
            "configs",
            &FILE_MOUNTS,
            "Top-level configs that appear as files in the container",
        ),
        a(
            "container_name",
            &CONTAINER_NAME,
            "A fixed container name in place of the generated one; then only one replica is possible",
        ),
        a("cpu_count", &POSITIVE, "Number of processors (Windows)"),
        a(
            "cpu_percent",
            &CPU_PERCENT,
            "Percentage of the processors (Windows)",
        ),
        a(
            "cpu_shares",
            &NUMBER,
            "CPU weight relative to other containers; counts only when processors are busy (1024 is normal)",
        ),
        a(
            "cpu_quota",
            &NUMBER,
            "Microseconds of CPU time in each `cpu_period`",
        ),
        a(
            "cpu_period",
            &NUMBER,
            "Length of the period for `cpu_quota`, in microseconds",
        ),
        a(
            "cpu_rt_period",
            &NUMBER,
            "Length of the real-time period, in microseconds or with a unit",
        ),
        a(
            "cpu_rt_runtime",
            &NUMBER,
            "Real-time CPU time in each period, in microseconds or with a unit",
        ),
        a(
            "cpus",
            &NUMBER,
            "Most processors used at once; `0.5` is half of one",
        ),
        a(
            "cpuset",
            &TEXT,
            "The processors it may run on, such as `0-3` or `0,2`",
        ),
        a(
            "credential_spec",
            &CREDENTIAL_SPEC,
            "Credentials of a managed service account (Windows)",
        ),
        a(
            "depends_on",
            &DEPENDS_ON,
            "Services that start before this one and stop after it; with conditions, it waits for them",
        ),
        a(
            "device_cgroup_rules",
            &TEXT_SET,
            "Device access rules in the cgroup's form, such as `c 1:3 mr`",
        ),
        a(
            "devices",
            &DEVICES,
            "Devices of the machine: `HOST[:CONTAINER[:rwm]]`",
        ),
        a(
            "dns",
            &TEXT_OR_SET,
            "Name servers in place of the machine's",
        ),
        a(
            "dns_opt",
            &TEXT_SET,
            "Resolver options for resolv.conf, such as `ndots:2`",
        ),
        a(
            "dns_search",
            &TEXT_OR_SET,
            "Domains tried after a name without a dot",
        ),
        a(
            "domainname",
            &TEXT,
            "The domain part of the container's host name",
        ),
        a(
            "entrypoint",
            &COMMAND,
            "Program in place of the image's `ENTRYPOINT`; setting it also clears the image's `CMD`",
        ),
        a(
            "env_file",
            &ENV_FILE,
            "Files of `NAME=value` lines for the container; `environment` wins over them",
        ),
        a(
            "label_file",
            &TEXT_OR_LIST,
            "Files of `NAME=value` lines that become labels",
        ),
        a(
            "environment",
            &LIST_OR_DICT,
            "Variables of the container; a name without a value takes it from the environment of this command",
        ),
        a(
            "expose",
            &TEXT_OR_NUMBER_SET,
            "Ports that the service listens on for other services; nothing is published on the machine",
        ),
        a(
            "extends",
            &EXTENDS,
            "Another service, of this or another file, whose attributes this one starts from",
        ),
        a(
            "provider",
            &PROVIDER,
            "A program that provides this service in place of a container",
        ),
        a(
            "external_links",
            &TEXT_SET,
            "Links to containers outside this project",
        ),
        a(
            "extra_hosts",
            &EXTRA_HOSTS,
            "More lines for /etc/hosts: `NAME=ADDRESS`; `host-gateway` stands for the machine",
        ),
        a(
            "gpus",
            &GPUS,
            "GPUs for the container, `all` or a list of requests",
        ),
        a(
            "group_add",
            &TEXT_OR_NUMBER_SET,
            "More groups for the user, by name or number",
        ),
        a(
            "healthcheck",
            &HEALTHCHECK,
            "The command that tells whether the container is healthy, and how often it runs",
        ),
        a("hostname", &TEXT, "Host name inside the container"),
        a(
            "image",
            &TEXT,
            "The image to run, `NAME[:TAG|@DIGEST]`; with `build`, the name the result gets",
        ),
        a(
            "init",
            &BOOLEAN,
            "Run a small init as PID 1 that forwards signals and collects dead processes",
        ),
        a(
            "ipc",
            &IPC,
            "The IPC namespace: `private`, `shareable`, `host`, or `service:NAME`",
        ),
        a(
            "isolation",
            &TEXT,
            "Isolation technology of the container (Windows)",
        ),
        a(
            "labels",
            &LIST_OR_DICT,
            "Labels of the container, for people and tools",
        ),
        a(
            "links",
            &TEXT_SET,
            "Other names for services: `SERVICE[:ALIAS]`; services of one network see each other without it",
        ),
        a(
            "logging",
            &LOGGING,
            "Where the output is kept: the log driver and its options",
        ),
        a(
            "mac_address",
            &TEXT,
            "MAC address of the first network interface",
        ),
        a(
            "mem_limit",
            &NUMBER,
            "Most memory, such as `512m`; a process that needs more is killed",
        ),
        a(
            "mem_reservation",
            &INTEGER,
            "Memory that is left to it when the machine runs short",
        ),
        a(
            "mem_swappiness",
            &INTEGER,
            "How readily its memory is swapped, 0 to 100",
        ),
        a(
            "memswap_limit",
            &NUMBER,
            "Memory and swap together; -1 for unlimited swap",
        ),
        a(
            "network_mode",
            &NETWORK_MODE,
            "How it is connected: `none`, `host`, `bridge`, or the network of `service:NAME`; excludes `networks`",
        ),
        a(
            "models",
            &SERVICE_MODELS,
            "Top-level AI models this service uses",
        ),
        a(
            "networks",
            &SERVICE_NETWORKS,
            "Top-level networks it joins; without it, `default`",
        ),
        a(
            "oom_kill_disable",
            &BOOLEAN,
            "Do not kill processes when memory runs out",
        ),
        a(
            "oom_score_adj",
            &OOM_SCORE,
            "How likely it is killed when the machine is out of memory, -1000 to 1000",
        ),
        a(
            "pid",
            &PID,
            "The PID namespace: `host`, or that of `service:NAME`",
        ),
        a("pids_limit", &NUMBER, "Most processes; -1 for no limit"),
        a(
            "platform",
            &TEXT,
            "Platform of the image, `OS[/ARCH[/VARIANT]]`",
        ),
        a(
            "ports",
            &PORTS,
            "Ports published on the machine: `[IP:][HOST:]CONTAINER[/PROTOCOL]`; ranges are possible. Quote them",
        ),
        a(
            "pre_start",
            &PRE_START,
            "Commands that run in containers of their own before the service first starts",
        ),
        a(
            "post_start",
            &HOOKS,
            "Commands that run inside the container after it has started",
        ),
        a(
            "pre_stop",
            &HOOKS,
            "Commands that run inside the container before it is stopped",
        ),
        a(
            "privileged",
            &BOOLEAN,
            "Give the container every privilege and device of the machine",
        ),
        a(
            "profiles",
            &TEXT_SET,
            "Profiles that enable this service; without one it is always enabled",
        ),
        a(
            "pull_policy",
            &PULL_POLICY,
            "When the image is pulled: `missing` (the default), `always`, `never`, `build`, `daily`, `weekly`, or `every_12h`",
        ),
        a(
            "pull_refresh_after",
            &TEXT,
            "Age after which the image is pulled again",
        ),
        a(
            "read_only",
            &BOOLEAN,
            "Make the root file system read-only; volumes and tmpfs stay writable",
        ),
        a(
            "restart",
            &RESTART,
            "Whether an ended container is started again: `no`, `always`, `on-failure[:TIMES]`, `unless-stopped`",
        ),
        a("runtime", &TEXT, "OCI runtime that runs the container"),
        a(
            "scale",
            &INTEGER,
            "Number of containers; the short form of `deploy.replicas`",
        ),
        a(
            "security_opt",
            &TEXT_SET,
            "Security settings, such as `no-new-privileges:true` or `seccomp:FILE`",
        ),
        a("shm_size", &NUMBER, "Size of /dev/shm, such as `128m`"),
        a(
            "secrets",
            &FILE_MOUNTS,
            "Top-level secrets that appear as files below /run/secrets",
        ),
        a(
            "sysctls",
            &LIST_OR_DICT,
            "Kernel parameters of the container's namespaces, such as `net.core.somaxconn`",
        ),
        a(
            "stdin_open",
            &BOOLEAN,
            "Keep standard input open (`-i` of `run`)",
        ),
        a(
            "stop_grace_period",
            &TEXT,
            "Time between the stop signal and SIGKILL; 10s unless said otherwise",
        ),
        a(
            "stop_signal",
            &SIGNAL,
            "Signal that asks the container to stop; SIGTERM unless the image says otherwise",
        ),
        a("storage_opt", &STORAGE_OPT, "Options of the storage driver"),
        a(
            "tmpfs",
            &TEXT_OR_SET,
            "Directories in memory: `PATH[:OPTIONS]`",
        ),
        a("tty", &BOOLEAN, "Give it a terminal (`-t` of `run`)"),
        a(
            "ulimits",
            &ULIMITS,
            "Resource limits of the processes, by name: one number, or soft and hard",
        ),
        a(
            "use_api_socket",
            &PLAIN_BOOLEAN,
            "Give the container the engine's API socket",
        ),
        a(
            "user",
            &TEXT,
            "User that runs the processes: `NAME|UID[:GROUP|GID]`",
        ),
        a(
            "uts",
            &UTS,
            "The UTS namespace (host name): `host` for the machine's",
        ),
        a(
            "userns_mode",
            &USERNS,
            "The user namespace: `host` for the machine's, `private` for ids that nobody else has",
        ),
        a(
            "volumes",
            &MOUNTS,
            "Directories, files and volumes mounted into the container: `[SOURCE:]TARGET[:ro]`, or settings",
        ),
        a(
            "volumes_from",
            &TEXT_SET,
            "Services (or `container:NAME`) whose mounts this one also gets: `SERVICE[:ro]`",
        ),
        a(
            "working_dir",
            &TEXT,
            "Directory in which the command starts",
        ),
    ],
    &[],
);

static EXTERNAL: Shape = Shape {
    map: Some(&EXTERNAL_KEYS),
    ..scalar(BOOL | STR)
};
static EXTERNAL_KEYS: Keys = keys(
    &[a(
        "name",
        &TEXT,
        "Its name in the engine; write `name` beside `external` instead",
    )],
    &[],
);
static LOOSE_EXTERNAL: Shape = Shape {
    map: Some(&LOOSE_EXTERNAL_KEYS),
    ..scalar(BOOL | STR)
};
static LOOSE_EXTERNAL_KEYS: Keys = Keys {
    others: Any,
    ..keys(
        &[a(
            "name",
            &TEXT,
            "Its name; write `name` beside `external` instead",
        )],
        &[],
    )
};

static NETWORK: Shape = Shape {
    map: Some(&NETWORK_KEYS),
    ..scalar(NULL)
};
/// Attributes of a network.
pub static NETWORK_KEYS: Keys = keys(
    &[
        a(
            "name",
            &TEXT,
            "Its name in the engine, in place of `PROJECT_NAME`",
        ),
        a(
            "driver",
            &NETWORK_DRIVER,
            "`bridge`, `macvlan`, `ipvlan`, `host`, `none`, or another driver of the engine",
        ),
        a("driver_opts", &OPTIONS, "Options of the driver"),
        a("ipam", &IPAM, "Subnets and how addresses are given out"),
        a(
            "external",
            &EXTERNAL,
            "It exists already and is neither made nor removed",
        ),
        a("internal", &BOOLEAN, "No way out of this network"),
        a(
            "enable_ipv4",
            &BOOLEAN,
            "Give out IPv4 addresses; true unless said otherwise",
        ),
        a("enable_ipv6", &BOOLEAN, "Give out IPv6 addresses"),
        a(
            "attachable",
            &BOOLEAN,
            "Containers outside this project may join",
        ),
        a("labels", &LIST_OR_DICT, "Labels of the network"),
    ],
    &[],
);
static IPAM: Shape = map(&IPAM_KEYS);
static IPAM_KEYS: Keys = keys(
    &[
        a("driver", &TEXT, "Driver that manages addresses"),
        a("config", &POOLS, "Subnets with their gateway and range"),
        a("options", &TEXT_MAP, "Options of that driver"),
    ],
    &[],
);
static POOLS: Shape = list(&POOL);
static POOL: Shape = map(&POOL_KEYS);
static POOL_KEYS: Keys = keys(
    &[
        a("subnet", &TEXT, "The subnet, such as `10.5.0.0/16`"),
        a(
            "ip_range",
            &TEXT,
            "The part of it from which containers get addresses",
        ),
        a("gateway", &TEXT, "Address of the gateway"),
        a(
            "aux_addresses",
            &TEXT_MAP,
            "Addresses that no container gets, by name",
        ),
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
        a(
            "name",
            &TEXT,
            "Its name in the engine, in place of `PROJECT_NAME`",
        ),
        a(
            "driver",
            &TEXT,
            "Driver of the volume; `local` unless said otherwise",
        ),
        a(
            "driver_opts",
            &OPTIONS,
            "Options of the driver, such as `type`, `device` and `o` of mount",
        ),
        a(
            "external",
            &EXTERNAL,
            "It exists already and is neither made nor removed",
        ),
        a("labels", &LIST_OR_DICT, "Labels of the volume"),
    ],
    &[],
);

static SECRET: Shape = map(&SECRET_KEYS);
/// Attributes of a secret.
pub static SECRET_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "Its name where an orchestrator holds it"),
        a(
            "environment",
            &TEXT,
            "Variable of this command's environment that holds it",
        ),
        a("file", &TEXT, "File that holds it"),
        a(
            "external",
            &LOOSE_EXTERNAL,
            "An orchestrator holds it already",
        ),
        a("labels", &LIST_OR_DICT, "Labels of the secret"),
        a("driver", &TEXT, "Driver that holds it"),
        a("driver_opts", &OPTIONS, "Options of that driver"),
        a("template_driver", &TEXT, "Driver that fills in a template"),
    ],
    &[],
);

static CONFIG: Shape = map(&CONFIG_KEYS);
/// Attributes of a config.
pub static CONFIG_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "Its name where an orchestrator holds it"),
        a("content", &TEXT, "Its text; variables are filled in"),
        a(
            "environment",
            &TEXT,
            "Variable of this command's environment that holds it",
        ),
        a("file", &TEXT, "File that holds it"),
        a(
            "external",
            &LOOSE_EXTERNAL,
            "An orchestrator holds it already",
        ),
        a("labels", &LIST_OR_DICT, "Labels of the config"),
        a("template_driver", &TEXT, "Driver that fills in a template"),
    ],
    &[],
);

static MODEL: Shape = map(&MODEL_KEYS);
/// Attributes of a model.
pub static MODEL_KEYS: Keys = keys(
    &[
        a("name", &TEXT, "Its name"),
        a("model", &TEXT, "Reference of the model"),
        a("context_size", &PLAIN_INTEGER, "Most tokens of the context"),
        a(
            "runtime_flags",
            &TEXTS,
            "Flags for the program that runs it",
        ),
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
        a(
            "path",
            &TEXT_OR_SET,
            "The file, or a file and those that override it",
        ),
        a(
            "env_file",
            &TEXT_OR_SET,
            "Files of variables for it, in place of the `.env` beside it",
        ),
        a(
            "project_directory",
            &TEXT,
            "The directory its relative paths begin at; its own unless said otherwise",
        ),
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
        a("version", &TEXT, "No meaning any more; remove it"),
        a(
            "name",
            &TEXT,
            "The project's name: prefix of containers, networks and volumes",
        ),
        a(
            "include",
            &INCLUDE,
            "Other Compose files whose services and other elements become part of this project",
        ),
        a(
            "services",
            &SERVICES,
            "The services: what runs, from which image, how connected",
        ),
        a("models", &MODELS, "AI models that services use"),
        a(
            "networks",
            &NETWORKS,
            "Networks that services join; `default` is there anyway",
        ),
        a(
            "volumes",
            &VOLUMES,
            "Named volumes: data that outlives containers",
        ),
        a(
            "secrets",
            &SECRETS,
            "Sensitive data that services get as files",
        ),
        a(
            "configs",
            &CONFIGS,
            "Files that services get without an image of their own",
        ),
    ],
    &[],
);

impl Shape {
    /// What a key of this mapping holds, and the attribute if it is a known one.
    pub fn key(&self, key: &str) -> Option<(&'static Shape, Option<&'static Attribute>)> {
        let keys = self.map?;
        if let Some(attribute) = keys.known.iter().find(|a| a.name == key) {
            return Some((attribute.shape, Some(attribute)));
        }
        match keys.others {
            Others::Names(inner)
            | Others::LooseNames(inner)
            | Named(inner)
            | Others::LowerNames(inner) => Some((inner, None)),
            Deny | Any => None,
        }
    }

    /// What an item of this list is.
    pub fn item(&self) -> Option<&'static Shape> {
        self.list.map(|(item, _)| item)
    }
}

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
