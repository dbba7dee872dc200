//! The networks of a state root: records, unique names, removal.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::bridge;
use super::error::NetworkError;
use super::fixed::FixedNetwork;
use super::home::at_home;
use super::members::{Member, Members};
use super::netlink::{Netlink, link_names, used_subnets};
use super::nft;
use super::options::Options;
use super::parent;
use super::pool::{self, Used};
use super::publish::translate;
use super::record::{Network, VERSION};
use crate::spec::{NetworkDriver, NetworkSpec};
use crate::state::{Durability, Lock, Paths, create_private_dir, read_record, write_record};
use crate::sys::random;

/// The built-in network, used when a container names none.
pub(super) const DEFAULT: &str = "bridge";
/// Modes that must not be taken for networks.
const MODES: [&str; 3] = ["host", "none", "default"];

/// The networks of a state root.
#[derive(Clone, Debug)]
pub struct NetworkStore {
    paths: Paths,
}

impl NetworkStore {
    /// The store of a root; touches nothing.
    pub fn open(paths: &Paths) -> Self {
        Self {
            paths: paths.clone(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.paths.at("networks")
    }

    fn record(&self, id: &str) -> PathBuf {
        self.dir().join(id).join("network.json")
    }

    fn name(&self, name: &str) -> PathBuf {
        self.dir().join("names").join(name)
    }

    fn run(&self, id: &str) -> PathBuf {
        self.paths.run().join("networks").join(id)
    }

    /// The file of members of a network.
    pub fn members_path(&self, id: &str) -> PathBuf {
        self.run(id).join("members.json")
    }

    /// Where switches of the machine that were changed are recorded.
    pub(super) fn forwarding_path(&self) -> PathBuf {
        self.dir().join("forwarding.json")
    }

    /// Where everything is, and what the whole machine knows this root by.
    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Excludes makers and removers of networks of this root.
    pub(super) fn lock_all(&self) -> Result<Lock, NetworkError> {
        let dir = self.paths.run().join("networks");
        create_private_dir(&dir)?;
        Ok(Lock::exclusive(&dir.join("lock"))?)
    }

    /// Excludes others from one network: its members and its bridge.
    pub(super) fn lock(&self, id: &str) -> Result<Lock, NetworkError> {
        let dir = self.run(id);
        create_private_dir(&dir)?;
        Ok(Lock::exclusive(&dir.join("lock"))?)
    }

    /// Makes a network. Its bridge appears when the first container joins.
    pub fn create(&self, spec: &NetworkSpec) -> Result<Network, NetworkError> {
        valid_name(&spec.name)?;
        let _lock = self.lock_all()?;
        self.create_locked(spec)
    }

    fn create_locked(&self, spec: &NetworkSpec) -> Result<Network, NetworkError> {
        at_home(|| self.create_here(spec))
    }

    fn create_here(&self, spec: &NetworkSpec) -> Result<Network, NetworkError> {
        if self.by_name(&spec.name)?.is_some() {
            return Err(NetworkError::Exists(spec.name.clone()));
        }
        let options = Options::parse(spec.driver, &spec.driver_opts)?;
        let id = random::<32>().map_err(NetworkError::kernel("draw a random id"))?;
        let id = base16ct::lower::encode_string(&id);
        let (link, internal) = match spec.driver {
            NetworkDriver::Bridge => (bridge::choose(&id, spec, &options)?, spec.internal),
            NetworkDriver::Macvlan | NetworkDriver::Ipvlan => (
                parent::choose(spec, &id, &options, &self.records()?)?,
                spec.internal || options.parent.is_none(),
            ),
        };
        let seed = format!("{}/{}", self.paths.root_hash(), spec.name);
        let network = Network {
            pools: pool::resolve(spec, &seed, &self.used(None)?)?,
            link,
            id,
            name: spec.name.clone(),
            created: jiff::Timestamp::now(),
            driver: spec.driver,
            driver_opts: spec.driver_opts.clone(),
            labels: spec.labels.clone(),
            internal,
            attachable: spec.attachable,
            ipv4: spec.ipv4,
            ipv6: spec.ipv6,
            mtu: options.mtu,
            masquerade: options.masquerade,
            publish: options.publish,
            icc: options.icc,
        };
        create_private_dir(&self.dir().join("names"))?;
        create_private_dir(&self.dir().join(&network.id))?;
        self.save(&network)?;
        // The name is the last step: a network is there when its name is. A link without a
        // record behind it is what a crash in `remove` left, and is replaced.
        let link = self.name(&network.name);
        let claim = || match symlink(&network.id, &link) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&link)?;
                symlink(&network.id, &link)
            }
            other => other,
        };
        claim().map_err(NetworkError::kernel("claim the network's name"))?;
        Ok(network)
    }

    fn save(&self, network: &Network) -> Result<(), NetworkError> {
        Ok(write_record(
            &self.record(&network.id),
            VERSION,
            network,
            Durability::Power,
        )?)
    }

    /// Finds a network by name, id, or the unique beginning of an id. The built-in network
    /// is made when it is asked for first.
    pub fn get(&self, reference: &str) -> Result<Network, NetworkError> {
        if let Some(found) = self.by_name(reference)? {
            return Ok(found);
        }
        if reference == DEFAULT {
            return self.make_default();
        }
        if let Some(network) = FixedNetwork::find(reference) {
            return Err(NetworkError::Fixed(network.name()));
        }
        let not_found = || NetworkError::NotFound(reference.to_owned());
        if reference.is_empty() || !reference.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(not_found());
        }
        let mut found = self
            .records()?
            .into_iter()
            .filter(|n| n.id.starts_with(reference));
        let network = found.next().ok_or_else(not_found)?;
        match found.next() {
            None => Ok(network),
            Some(_) => Err(NetworkError::Ambiguous(reference.to_owned())),
        }
    }

    fn make_default(&self) -> Result<Network, NetworkError> {
        let _lock = self.lock_all()?;
        if let Some(found) = self.by_name(DEFAULT)? {
            return Ok(found);
        }
        self.create_locked(&NetworkSpec {
            name: DEFAULT.to_owned(),
            driver: NetworkDriver::Bridge,
            driver_opts: Default::default(),
            labels: Default::default(),
            internal: false,
            attachable: false,
            ipv4: true,
            ipv6: false,
            pools: Vec::new(),
        })
    }

    /// The record as it is now; `None` when the network is gone.
    pub(super) fn by_id(&self, id: &str) -> Result<Option<Network>, NetworkError> {
        Ok(read_record(&self.record(id), VERSION)?)
    }

    fn by_name(&self, name: &str) -> Result<Option<Network>, NetworkError> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Ok(None);
        }
        match fs::read_link(self.name(name)) {
            Ok(id) => self.by_id(&id.to_string_lossy()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(NetworkError::kernel("look up the network's name")(e)),
        }
    }

    /// All networks that were made.
    pub(super) fn records(&self) -> Result<Vec<Network>, NetworkError> {
        let names = match fs::read_dir(self.dir().join("names")) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(NetworkError::kernel("list networks")(e)),
        };
        let mut found = Vec::new();
        for entry in names {
            let entry = entry.map_err(NetworkError::kernel("list networks"))?;
            found.extend(self.by_name(&entry.file_name().to_string_lossy())?);
        }
        found.sort_by(|a: &Network, b: &Network| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(found)
    }

    /// All networks, the oldest first, the built-in one among them.
    pub fn list(&self) -> Result<Vec<Network>, NetworkError> {
        self.get(DEFAULT)?;
        self.records()
    }

    /// Who is on a network. Members whose container died without notice may be among them.
    pub fn members(&self, network: &Network) -> Result<Vec<Member>, NetworkError> {
        Ok(Members::read(&self.members_path(&network.id))?.members)
    }

    /// Removes a network: bridge, packet filter entries, record, name. Refused while a member
    /// of it is `alive`.
    pub fn remove(
        &self,
        reference: &str,
        alive: &dyn Fn(&str) -> bool,
    ) -> Result<Network, NetworkError> {
        if let Some(network) = FixedNetwork::find(reference) {
            return Err(NetworkError::BuiltIn(network.name().to_owned()));
        }
        let network = self.get(reference)?;
        if network.name == DEFAULT {
            return Err(NetworkError::BuiltIn(network.name));
        }
        let _all = self.lock_all()?;
        let _one = self.lock(&network.id)?;
        let members: Vec<String> = self
            .members(&network)?
            .into_iter()
            .filter(|m| m.is_alive(alive))
            .map(|m| match m.process {
                None => format!("container `{}`", m.name),
                Some(_) => format!("a build (`{}`)", m.name),
            })
            .collect();
        if !members.is_empty() {
            return Err(NetworkError::InUse {
                network: network.name,
                members,
            });
        }
        at_home(|| match network.driver {
            NetworkDriver::Bridge => self.remove_bridge(&network),
            NetworkDriver::Macvlan | NetworkDriver::Ipvlan => {
                let others = self.records()?;
                let mut others = others.iter().filter(|other| other.id != network.id);
                if others.any(|other| other.link == network.link) {
                    return Ok(());
                }
                parent::remove(self, &network)
            }
        })?;
        // The name goes last: while it is there, a repeated `remove` finds the rest.
        let gone = |result: io::Result<()>| match result {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(NetworkError::kernel("remove the network's files")(e))
            }
            _ => Ok(()),
        };
        gone(fs::remove_dir_all(self.run(&network.id)))?;
        gone(fs::remove_file(self.name(&network.name)))?;
        gone(fs::remove_dir_all(self.dir().join(&network.id)))?;
        Ok(network)
    }

    fn remove_bridge(&self, network: &Network) -> Result<(), NetworkError> {
        let ours = |address| network.pools.iter().any(|p| p.subnet.contains(address));
        translate::end(self, network, &ours)?;
        // Each waits for the kernel to forget, tens of milliseconds on a busy machine: together.
        std::thread::scope(|scope| {
            let filter = scope.spawn(|| nft::remove(self.paths(), network));
            let bridge = bridge::remove(network);
            let filter = filter
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            bridge.and(filter)
        })
    }

    /// Takes everything of this root out of the kernel: bridges and the packet filter's table.
    /// For a root that is given up (a test's), and for the doctor; networks in use lose their
    /// bridge. Records stay, and the next container that joins makes the bridge again.
    pub fn dismantle(&self) -> Result<(), NetworkError> {
        let _all = self.lock_all()?;
        at_home(|| {
            for network in self.records()? {
                let _one = self.lock(&network.id)?;
                match network.driver {
                    NetworkDriver::Bridge => bridge::remove(&network)?,
                    NetworkDriver::Macvlan | NetworkDriver::Ipvlan => {
                        parent::remove(self, &network)?;
                    }
                }
            }
            nft::remove_tables(self.paths())
        })
    }

    /// What the machine and the other networks use; without `except`, by its bridge's index
    /// and its id.
    fn used(&self, except: Option<(u32, &str)>) -> Result<Vec<Used>, NetworkError> {
        let ask = || {
            let mut netlink = Netlink::route()?;
            Ok::<_, io::Error>((used_subnets(&mut netlink)?, link_names(&mut netlink)?))
        };
        let (subnets, names) = ask().map_err(NetworkError::kernel("list the machine's routes"))?;
        let mut used: Vec<Used> = subnets
            .into_iter()
            .filter(|(_, index)| except.is_none_or(|(own, _)| own != *index))
            .map(|(subnet, index)| Used {
                subnet,
                of_machine: true,
                by: match names.iter().find(|(i, _)| *i == index) {
                    Some((_, name)) => format!("interface `{name}`"),
                    None => "a route of this machine".to_owned(),
                },
            })
            .collect();
        for network in self.records()? {
            if except.is_none_or(|(_, own)| own != network.id) {
                used.extend(network.pools.iter().map(|pool| Used {
                    subnet: pool.subnet,
                    of_machine: false,
                    by: format!("network `{}`", network.name),
                }));
            }
        }
        Ok(used)
    }

    /// Checks that nobody else took the network's subnets since they were chosen. An automatic
    /// pool of a network without members moves out of the way; any other is an error.
    /// The caller holds the network's lock and its bridge (`index`) has no address yet.
    pub(super) fn settle(&self, network: &mut Network, index: u32) -> Result<(), NetworkError> {
        let used = self.used(Some((index, &network.id)))?;
        let taken = |subnet: &super::Cidr| used.iter().find(|u| u.subnet.overlaps(subnet));
        if network.pools.iter().all(|p| taken(&p.subnet).is_none()) {
            return Ok(());
        }
        let unused = self.members(network)?.is_empty();
        let seed = format!("{}/{}", self.paths.root_hash(), network.name);
        for pool in &mut network.pools {
            if let Some(user) = taken(&pool.subnet) {
                if !(pool.automatic && unused) {
                    return Err(NetworkError::Overlap {
                        subnet: pool.subnet,
                        with: user.by.clone(),
                    });
                }
                *pool = pool::automatic(pool.subnet.is_ipv4(), &seed, &used)?;
            }
        }
        self.save(network)
    }
}

fn valid_name(name: &str) -> Result<(), NetworkError> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if name.is_empty()
        || name.len() > 128
        || !name.as_bytes()[0].is_ascii_alphanumeric()
        || !name.bytes().all(ok)
    {
        return Err(NetworkError::Name(name.to_owned()));
    }
    if MODES.contains(&name) {
        return Err(NetworkError::ReservedName(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
