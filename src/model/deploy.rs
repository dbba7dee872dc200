//! `deploy`: replicas, limits, restart policy; update and placement for orchestrators.

use super::record::{Always, record};
use super::scalar::{Bytes, Cpus, Duration};
use super::service::StringMap;

record! {
    /// Deployment.
    Deploy {
        /// `replicated` or `global`.
        mode: String,
        /// Number of containers.
        replicas: Option<i64>,
        /// Labels of the service, not of its containers.
        labels: StringMap,
        /// How updates are rolled out.
        update_config: Option<UpdateConfig>,
        /// How updates are rolled back.
        rollback_config: Option<UpdateConfig>,
        /// Limits and reservations.
        resources: Always<Resources>,
        /// When containers are restarted; overrides `restart`.
        restart_policy: Option<DeployRestart>,
        /// Where containers run.
        placement: Always<Placement>,
        /// `vip` or `dnsrr`.
        endpoint_mode: String,
    }
}

record! {
    /// How an update is rolled out.
    UpdateConfig {
        /// Containers at a time.
        parallelism: Option<u64>,
        /// Time between batches.
        delay: Duration,
        /// What a failure does.
        failure_action: String,
        /// Time a new container is watched.
        monitor: Duration,
        /// Failures tolerated.
        max_failure_ratio: Cpus,
        /// `start-first` or `stop-first`.
        order: String,
    }
}

record! {
    /// Limits and reservations.
    Resources {
        /// Upper bounds.
        limits: Option<Resource>,
        /// Guarantees.
        reservations: Option<Resource>,
    }
}

record! {
    /// Amounts of resources.
    Resource {
        /// Processors.
        cpus: Cpus,
        /// Memory.
        memory: Bytes,
        /// Processes.
        pids: i64,
        /// Devices.
        devices: Vec<DeviceRequest>,
        /// Resources of the user's own kinds.
        generic_resources: Vec<GenericResource>,
    }
}

record! {
    /// A request for devices.
    DeviceRequest {
        /// Capabilities a device must have.
        capabilities: Vec<String>,
        /// Driver.
        driver: String,
        /// How many; -1 is all.
        count: i64,
        /// Which.
        device_ids: Vec<String>,
        /// Driver options.
        options: StringMap,
    }
}

record! {
    /// A resource of the user's own kind.
    GenericResource {
        /// Kind and amount.
        discrete_resource_spec: Option<DiscreteResource>,
    }
}

record! {
    /// Kind and amount.
    DiscreteResource {
        /// Kind.
        kind: Always<String>,
        /// Amount.
        value: Always<i64>,
    }
}

record! {
    /// When containers are restarted.
    DeployRestart {
        /// `none`, `on-failure` or `any`.
        condition: String,
        /// Time between attempts.
        delay: Option<Duration>,
        /// Most attempts.
        max_attempts: Option<u64>,
        /// Time after which a start counts as successful.
        window: Option<Duration>,
    }
}

record! {
    /// Where containers run.
    Placement {
        /// Constraints.
        constraints: Vec<String>,
        /// Preferences.
        preferences: Vec<PlacementPreference>,
        /// Most containers a node.
        max_replicas_per_node: u64,
    }
}

record! {
    /// A preference.
    PlacementPreference {
        /// Label over whose values containers are spread.
        spread: String,
    }
}
