//! What Docker's answers to `inspect` are in Go: the fields that its structs have, in their order, with those
//! that JSON leaves out. Tables; where Go's name of a field is not JSON's, both are known.

use crate::ui::template::Shape::{
    self, Any, Bool, List, Map, Number, Pointer, Spelled, Struct, Text,
};

const TEXTS: Shape = List(&Text);
const TEXT_BY_TEXT: Shape = Map(&Text);
const NUMBER_OR_NIL: Shape = Pointer(&Number);

pub const CONTAINER: Shape = Struct(&[
    ("Id", Text),
    ("ID", Spelled("Id")),
    ("Created", Text),
    ("Path", Text),
    ("Args", TEXTS),
    ("State", Pointer(&STATE)),
    ("Image", Text),
    ("ResolvConfPath", Text),
    ("HostnamePath", Text),
    ("HostsPath", Text),
    ("LogPath", Text),
    ("Name", Text),
    ("RestartCount", Number),
    ("Driver", Text),
    ("Platform", Text),
    ("MountLabel", Text),
    ("ProcessLabel", Text),
    ("AppArmorProfile", Text),
    ("ExecIDs", TEXTS),
    ("HostConfig", Pointer(&HOST_CONFIG)),
    ("GraphDriver", GRAPH_DRIVER),
    ("SizeRw", NUMBER_OR_NIL),
    ("SizeRootFs", NUMBER_OR_NIL),
    ("Mounts", List(&MOUNT_POINT)),
    ("Config", Pointer(&CONFIG)),
    ("NetworkSettings", Pointer(&NETWORK_SETTINGS)),
    ("ImageManifestDescriptor", Pointer(&Any)),
]);

const STATE: Shape = Struct(&[
    ("Status", Text),
    ("Running", Bool),
    ("Paused", Bool),
    ("Restarting", Bool),
    ("OOMKilled", Bool),
    ("Dead", Bool),
    ("Pid", Number),
    ("ExitCode", Number),
    ("Error", Text),
    ("StartedAt", Text),
    ("FinishedAt", Text),
    ("Health", Pointer(&HEALTH)),
]);

const HEALTH: Shape = Struct(&[
    ("Status", Text),
    ("FailingStreak", Number),
    ("Log", List(&Pointer(&PROBE))),
]);

const PROBE: Shape = Struct(&[
    ("Start", Text),
    ("End", Text),
    ("ExitCode", Number),
    ("Output", Text),
]);

const GRAPH_DRIVER: Shape = Struct(&[("Data", TEXT_BY_TEXT), ("Name", Text)]);

const MOUNT_POINT: Shape = Struct(&[
    ("Type", Text),
    ("Name", Text),
    ("Source", Text),
    ("Destination", Text),
    ("Driver", Text),
    ("Mode", Text),
    ("RW", Bool),
    ("Propagation", Text),
]);

const CONFIG: Shape = Struct(&[
    ("Hostname", Text),
    ("Domainname", Text),
    ("User", Text),
    ("AttachStdin", Bool),
    ("AttachStdout", Bool),
    ("AttachStderr", Bool),
    ("ExposedPorts", Map(&NOTHING)),
    ("Tty", Bool),
    ("OpenStdin", Bool),
    ("StdinOnce", Bool),
    ("Env", TEXTS),
    ("Cmd", TEXTS),
    ("Healthcheck", Pointer(&HEALTHCHECK)),
    ("ArgsEscaped", Bool),
    ("Image", Text),
    ("Volumes", Map(&NOTHING)),
    ("WorkingDir", Text),
    ("Entrypoint", TEXTS),
    ("NetworkDisabled", Bool),
    ("MacAddress", Text),
    ("OnBuild", TEXTS),
    ("Labels", TEXT_BY_TEXT),
    ("StopSignal", Text),
    ("StopTimeout", NUMBER_OR_NIL),
    ("Shell", TEXTS),
]);

/// The value of a key that only matters by being there.
const NOTHING: Shape = Struct(&[]);

const HEALTHCHECK: Shape = Struct(&[
    ("Test", TEXTS),
    ("Interval", Number),
    ("Timeout", Number),
    ("StartPeriod", Number),
    ("StartInterval", Number),
    ("Retries", Number),
]);

const HOST_CONFIG: Shape = Struct(&[
    ("Binds", TEXTS),
    ("ContainerIDFile", Text),
    ("LogConfig", LOG_CONFIG),
    ("NetworkMode", Text),
    ("PortBindings", PORTS),
    ("RestartPolicy", RESTART_POLICY),
    ("AutoRemove", Bool),
    ("VolumeDriver", Text),
    ("VolumesFrom", TEXTS),
    ("ConsoleSize", List(&Number)),
    ("Annotations", TEXT_BY_TEXT),
    ("CapAdd", TEXTS),
    ("CapDrop", TEXTS),
    ("CgroupnsMode", Text),
    ("Dns", TEXTS),
    ("DNS", Spelled("Dns")),
    ("DnsOptions", TEXTS),
    ("DNSOptions", Spelled("DnsOptions")),
    ("DnsSearch", TEXTS),
    ("DNSSearch", Spelled("DnsSearch")),
    ("ExtraHosts", TEXTS),
    ("GroupAdd", TEXTS),
    ("IpcMode", Text),
    ("Cgroup", Text),
    ("Links", TEXTS),
    ("OomScoreAdj", Number),
    ("PidMode", Text),
    ("Privileged", Bool),
    ("PublishAllPorts", Bool),
    ("ReadonlyRootfs", Bool),
    ("SecurityOpt", TEXTS),
    ("StorageOpt", TEXT_BY_TEXT),
    ("Tmpfs", TEXT_BY_TEXT),
    ("UTSMode", Text),
    ("UsernsMode", Text),
    ("ShmSize", Number),
    ("Sysctls", TEXT_BY_TEXT),
    ("Runtime", Text),
    ("Isolation", Text),
    ("CpuShares", Number),
    ("CPUShares", Spelled("CpuShares")),
    ("Memory", Number),
    ("NanoCpus", Number),
    ("NanoCPUs", Spelled("NanoCpus")),
    ("CgroupParent", Text),
    ("BlkioWeight", Number),
    ("BlkioWeightDevice", List(&Any)),
    ("BlkioDeviceReadBps", List(&Any)),
    ("BlkioDeviceWriteBps", List(&Any)),
    ("BlkioDeviceReadIOps", List(&Any)),
    ("BlkioDeviceWriteIOps", List(&Any)),
    ("CpuPeriod", Number),
    ("CPUPeriod", Spelled("CpuPeriod")),
    ("CpuQuota", Number),
    ("CPUQuota", Spelled("CpuQuota")),
    ("CpuRealtimePeriod", Number),
    ("CPURealtimePeriod", Spelled("CpuRealtimePeriod")),
    ("CpuRealtimeRuntime", Number),
    ("CPURealtimeRuntime", Spelled("CpuRealtimeRuntime")),
    ("CpusetCpus", Text),
    ("CpusetMems", Text),
    ("Devices", List(&DEVICE)),
    ("DeviceCgroupRules", TEXTS),
    ("DeviceRequests", List(&DEVICE_REQUEST)),
    ("KernelMemory", Number),
    ("KernelMemoryTCP", Number),
    ("MemoryReservation", Number),
    ("MemorySwap", Number),
    ("MemorySwappiness", NUMBER_OR_NIL),
    ("OomKillDisable", Pointer(&Bool)),
    ("PidsLimit", NUMBER_OR_NIL),
    ("Ulimits", List(&Any)),
    ("CpuCount", Number),
    ("CPUCount", Spelled("CpuCount")),
    ("CpuPercent", Number),
    ("CPUPercent", Spelled("CpuPercent")),
    ("IOMaximumIOps", Number),
    ("IOMaximumBandwidth", Number),
    ("Mounts", List(&MOUNT)),
    ("MaskedPaths", TEXTS),
    ("ReadonlyPaths", TEXTS),
    ("Init", Pointer(&Bool)),
]);

const LOG_CONFIG: Shape = Struct(&[("Type", Text), ("Config", TEXT_BY_TEXT)]);

const RESTART_POLICY: Shape = Struct(&[("Name", Text), ("MaximumRetryCount", Number)]);

const PORTS: Shape = Map(&List(&PORT));

const PORT: Shape = Struct(&[
    ("HostIp", Text),
    ("HostIP", Spelled("HostIp")),
    ("HostPort", Text),
]);

const DEVICE: Shape = Struct(&[
    ("PathOnHost", Text),
    ("PathInContainer", Text),
    ("CgroupPermissions", Text),
]);

const DEVICE_REQUEST: Shape = Struct(&[
    ("Driver", Text),
    ("Count", Number),
    ("DeviceIDs", TEXTS),
    ("Capabilities", List(&TEXTS)),
    ("Options", TEXT_BY_TEXT),
]);

const MOUNT: Shape = Struct(&[
    ("Type", Text),
    ("Source", Text),
    ("Target", Text),
    ("ReadOnly", Bool),
    ("Consistency", Text),
    ("BindOptions", Pointer(&Any)),
    ("VolumeOptions", Pointer(&Any)),
    ("ImageOptions", Pointer(&Any)),
    ("TmpfsOptions", Pointer(&Any)),
    ("ClusterOptions", Pointer(&Any)),
]);

const NETWORK_SETTINGS: Shape = Struct(&[
    ("Bridge", Text),
    ("SandboxID", Text),
    ("SandboxKey", Text),
    ("Ports", PORTS),
    ("HairpinMode", Bool),
    ("LinkLocalIPv6Address", Text),
    ("LinkLocalIPv6PrefixLen", Number),
    ("SecondaryIPAddresses", List(&Any)),
    ("SecondaryIPv6Addresses", List(&Any)),
    ("EndpointID", Text),
    ("Gateway", Text),
    ("GlobalIPv6Address", Text),
    ("GlobalIPv6PrefixLen", Number),
    ("IPAddress", Text),
    ("IPPrefixLen", Number),
    ("IPv6Gateway", Text),
    ("MacAddress", Text),
    ("Networks", Map(&Pointer(&ENDPOINT))),
]);

const ENDPOINT: Shape = Struct(&[
    ("IPAMConfig", Pointer(&IPAM_CONFIG)),
    ("Links", TEXTS),
    ("Aliases", TEXTS),
    ("MacAddress", Text),
    ("DriverOpts", TEXT_BY_TEXT),
    ("GwPriority", Number),
    ("NetworkID", Text),
    ("EndpointID", Text),
    ("Gateway", Text),
    ("IPAddress", Text),
    ("IPPrefixLen", Number),
    ("IPv6Gateway", Text),
    ("GlobalIPv6Address", Text),
    ("GlobalIPv6PrefixLen", Number),
    ("DNSNames", TEXTS),
]);

const IPAM_CONFIG: Shape = Struct(&[
    ("IPv4Address", Text),
    ("IPv6Address", Text),
    ("LinkLocalIPs", TEXTS),
]);

pub const IMAGE: Shape = Struct(&[
    ("Id", Text),
    ("ID", Spelled("Id")),
    ("RepoTags", TEXTS),
    ("RepoDigests", TEXTS),
    ("Parent", Text),
    ("Comment", Text),
    ("Created", Text),
    ("Container", Text),
    ("ContainerConfig", Pointer(&CONFIG)),
    ("DockerVersion", Text),
    ("Author", Text),
    ("Config", Pointer(&IMAGE_CONFIG)),
    ("Architecture", Text),
    ("Variant", Text),
    ("Os", Text),
    ("OsVersion", Text),
    ("Size", Number),
    ("VirtualSize", Number),
    ("GraphDriver", GRAPH_DRIVER),
    ("RootFS", Struct(&[("Type", Text), ("Layers", TEXTS)])),
    ("Metadata", Struct(&[("LastTagTime", Text)])),
    ("Descriptor", Pointer(&Any)),
    ("Manifests", List(&Any)),
]);

const IMAGE_CONFIG: Shape = Struct(&[
    ("User", Text),
    ("ExposedPorts", Map(&NOTHING)),
    ("Env", TEXTS),
    ("Entrypoint", TEXTS),
    ("Cmd", TEXTS),
    ("Volumes", Map(&NOTHING)),
    ("WorkingDir", Text),
    ("Labels", TEXT_BY_TEXT),
    ("StopSignal", Text),
    ("ArgsEscaped", Bool),
    ("Healthcheck", Pointer(&HEALTHCHECK)),
    ("OnBuild", TEXTS),
    ("Shell", TEXTS),
]);

pub const NETWORK: Shape = Struct(&[
    ("Name", Text),
    ("Id", Text),
    ("ID", Spelled("Id")),
    ("Created", Text),
    ("Scope", Text),
    ("Driver", Text),
    ("EnableIPv4", Bool),
    ("EnableIPv6", Bool),
    ("IPAM", IPAM),
    ("Internal", Bool),
    ("Attachable", Bool),
    ("Ingress", Bool),
    ("ConfigFrom", Struct(&[("Network", Text)])),
    ("ConfigOnly", Bool),
    ("Containers", Map(&MEMBER)),
    ("Options", TEXT_BY_TEXT),
    ("Labels", TEXT_BY_TEXT),
    ("Peers", List(&Any)),
    ("Services", Map(&Any)),
]);

const IPAM: Shape = Struct(&[
    ("Driver", Text),
    ("Options", TEXT_BY_TEXT),
    ("Config", List(&POOL)),
]);

const POOL: Shape = Struct(&[
    ("Subnet", Text),
    ("IPRange", Text),
    ("Gateway", Text),
    ("AuxiliaryAddresses", TEXT_BY_TEXT),
    ("AuxAddress", Spelled("AuxiliaryAddresses")),
]);

const MEMBER: Shape = Struct(&[
    ("Name", Text),
    ("EndpointID", Text),
    ("MacAddress", Text),
    ("IPv4Address", Text),
    ("IPv6Address", Text),
]);

pub const VOLUME: Shape = Struct(&[
    ("ClusterVolume", Pointer(&Any)),
    ("CreatedAt", Text),
    ("Driver", Text),
    ("Labels", TEXT_BY_TEXT),
    ("Mountpoint", Text),
    ("Name", Text),
    ("Options", TEXT_BY_TEXT),
    ("Scope", Text),
    ("Status", Map(&Any)),
    ("UsageData", Pointer(&Any)),
]);
