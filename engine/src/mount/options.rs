//! Mount options as text, in the words of mount(8) and the OCI specification.

use rustix::mount::MountAttrFlags as Attr;

use crate::sys::mount::{MountAttr, Reach};

use super::MountError;

/// The options of one mount, sorted by who understands them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Attributes of the mount itself.
    pub attr: MountAttr,
    /// Attributes of the mount and all below it.
    pub recursive: MountAttr,
    /// Whether it is a bind, and of what.
    pub bind: Option<Reach>,
    /// How later mounts travel.
    pub propagation: Option<(u64, Reach)>,
    /// Whether ids change on the way, and how far below.
    pub idmap: Option<Reach>,
    /// A directory or file inside the source instead of the source itself.
    pub subpath: Option<String>,
    /// The process among whose mounts the source is, instead of ours.
    pub of: Option<i32>,
    /// Whether a tmpfs begins with what it hides.
    pub copies_up: bool,
    /// What the file system itself understands.
    pub data: Vec<(String, Option<String>)>,
}

/// Attributes by name: what the name sets, what it clears.
const ATTRIBUTES: &[(&str, Attr, Attr)] = &[
    ("ro", Attr::MOUNT_ATTR_RDONLY, Attr::empty()),
    ("rw", Attr::empty(), Attr::MOUNT_ATTR_RDONLY),
    ("nosuid", Attr::MOUNT_ATTR_NOSUID, Attr::empty()),
    ("suid", Attr::empty(), Attr::MOUNT_ATTR_NOSUID),
    ("nodev", Attr::MOUNT_ATTR_NODEV, Attr::empty()),
    ("dev", Attr::empty(), Attr::MOUNT_ATTR_NODEV),
    ("noexec", Attr::MOUNT_ATTR_NOEXEC, Attr::empty()),
    ("exec", Attr::empty(), Attr::MOUNT_ATTR_NOEXEC),
    ("nodiratime", Attr::MOUNT_ATTR_NODIRATIME, Attr::empty()),
    ("diratime", Attr::empty(), Attr::MOUNT_ATTR_NODIRATIME),
    ("noatime", Attr::MOUNT_ATTR_NOATIME, Attr::empty()),
    ("strictatime", Attr::MOUNT_ATTR_STRICTATIME, Attr::empty()),
    ("relatime", Attr::empty(), Attr::MOUNT_ATTR__ATIME),
    ("atime", Attr::empty(), Attr::MOUNT_ATTR__ATIME),
    ("norelatime", Attr::empty(), Attr::empty()),
    ("nostrictatime", Attr::empty(), Attr::empty()),
    ("nosymfollow", Attr::MOUNT_ATTR_NOSYMFOLLOW, Attr::empty()),
    ("symfollow", Attr::empty(), Attr::MOUNT_ATTR_NOSYMFOLLOW),
];

/// Our own word for a recursive bind that is read-only, while what is mounted below it stays as it is.
pub const READ_ONLY_HERE: &str = "ro-here";

/// Our own option of a bind, before a process's id: the source is a path among the mounts of that process.
pub const MOUNTS_OF: &str = "mounts-of=";

/// Propagation types by name.
const PROPAGATION: &[(&str, u64)] = &[
    ("private", libc::MS_PRIVATE),
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("unbindable", libc::MS_UNBINDABLE),
];

impl Options {
    /// Reads the options of the mount at `destination`. On a bind every option must be known;
    /// other file systems are asked about those that we do not know.
    pub fn parse(options: &[String], typ: &str, destination: &str) -> Result<Self, MountError> {
        let mut parsed = Self {
            attr: MountAttr::NONE,
            recursive: MountAttr::NONE,
            bind: (typ == "bind").then_some(Reach::This),
            propagation: None,
            idmap: None,
            subpath: None,
            of: None,
            copies_up: false,
            data: Vec::new(),
        };
        for option in options {
            parsed.add(option, destination)?;
        }
        if parsed.bind.is_some() {
            if let Some((key, _)) = parsed.data.first() {
                return Err(MountError::Option {
                    option: key.clone(),
                    destination: destination.to_owned(),
                    reason: "a bind mount has no such option",
                });
            }
        } else if parsed.copies_up && typ != "tmpfs" {
            return Err(MountError::Option {
                option: "tmpcopyup".to_owned(),
                destination: destination.to_owned(),
                reason: "only a tmpfs begins with what it hides",
            });
        } else if parsed.subpath.is_some() && typ != "overlay" {
            return Err(MountError::Option {
                option: "subpath".to_owned(),
                destination: destination.to_owned(),
                reason: "only a bind mount or an overlay has something to look into",
            });
        } else if parsed.idmap.is_some() && super::attach::OWN.contains(&typ) {
            return Err(MountError::Option {
                option: "idmap".to_owned(),
                destination: destination.to_owned(),
                reason: "only the ids of a bind mount, or of a device or server, are mapped",
            });
        }
        // A read-only recursive bind means everything below, as Docker does on kernels that can.
        if parsed.bind == Some(Reach::Recursive)
            && !options.iter().any(|option| option == READ_ONLY_HERE)
            && parsed.attr.set.contains(Attr::MOUNT_ATTR_RDONLY)
        {
            parsed.recursive.set |= Attr::MOUNT_ATTR_RDONLY;
        }
        Ok(parsed)
    }

    /// Everything that a new file system is mounted with.
    pub fn set(&self) -> Attr {
        self.attr.set | self.recursive.set
    }

    fn add(&mut self, option: &str, destination: &str) -> Result<(), MountError> {
        let refuse = |reason| {
            Err(MountError::Option {
                option: option.to_owned(),
                destination: destination.to_owned(),
                reason,
            })
        };
        if let Some(&(_, set, clear)) = ATTRIBUTES.iter().find(|(name, ..)| *name == option) {
            change(&mut self.attr, set, clear);
            return Ok(());
        }
        if let Some(propagation) = propagation(option) {
            self.propagation = Some(propagation);
            return Ok(());
        }
        match option {
            READ_ONLY_HERE => change(&mut self.attr, Attr::MOUNT_ATTR_RDONLY, Attr::empty()),
            "bind" => self.bind = Some(self.bind.unwrap_or(Reach::This)),
            "rbind" => self.bind = Some(Reach::Recursive),
            // Says nothing on any kernel we run on: every devpts mount is an instance of its own.
            "defaults" | "newinstance" | "" => {}
            "idmap" => self.idmap = Some(Reach::This),
            "ridmap" => self.idmap = Some(Reach::Recursive),
            "tmpcopyup" if self.bind.is_none() => self.copies_up = true,
            "z" | "Z" => return refuse("SELinux labels are not supported"),
            _ => {
                if let Some(&(_, set, clear)) = option
                    .strip_prefix('r')
                    .and_then(|name| ATTRIBUTES.iter().find(|(n, ..)| *n == name))
                {
                    change(&mut self.recursive, set, clear);
                } else if let Some(path) = option.strip_prefix("subpath=") {
                    self.subpath = Some(path.to_owned());
                } else if let Some(pid) = option
                    .strip_prefix(MOUNTS_OF)
                    .filter(|_| self.bind.is_some())
                {
                    let Ok(pid) = pid.parse() else {
                        return refuse("it is not the id of a process");
                    };
                    self.of = Some(pid);
                } else {
                    self.data.push(match option.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (option.to_owned(), None),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Every option that says something about a mount itself, for those who ask what there is.
pub fn names() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|(name, ..)| *name);
    let types = PROPAGATION.iter().map(|(name, _)| *name);
    let with_recursive = |name: &str| [name.to_owned(), format!("r{name}")];
    let mut names: Vec<String> = attributes.chain(types).flat_map(with_recursive).collect();
    names.extend(["bind", "rbind", "defaults", "tmpcopyup"].map(str::to_owned));
    names.sort();
    names
}

/// A propagation type, `r` before it for everything below too.
pub fn propagation(name: &str) -> Option<(u64, Reach)> {
    let find = |name| PROPAGATION.iter().find(|(n, _)| *n == name).map(|p| p.1);
    find(name).map(|flag| (flag, Reach::This)).or_else(|| {
        let flag = find(name.strip_prefix('r')?)?;
        Some((flag, Reach::Recursive))
    })
}

/// A later option undoes an earlier one.
fn change(attr: &mut MountAttr, set: Attr, clear: Attr) {
    attr.set.remove(clear);
    attr.clear.remove(set);
    attr.set.insert(set);
    attr.clear.insert(clear);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typ: &str, options: &str) -> Result<Options, MountError> {
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        Options::parse(&options, typ, "/x")
    }

    #[test]
    fn a_read_only_recursive_bind_is_read_only_to_the_bottom() {
        let options = parse("bind", "rbind,ro,nosuid").expect("known");
        assert_eq!(options.bind, Some(Reach::Recursive));
        assert_eq!(options.recursive.set, Attr::MOUNT_ATTR_RDONLY);
        assert_eq!(
            options.attr.set,
            Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NOSUID
        );
    }

    #[test]
    fn a_recursive_bind_may_be_read_only_by_itself() {
        let options = parse("bind", "rbind,ro-here").expect("known");
        assert_eq!(options.attr.set, Attr::MOUNT_ATTR_RDONLY);
        assert!(options.recursive.set.is_empty());
    }

    #[test]
    fn later_options_win() {
        let options = parse("bind", "ro,rw").expect("known");
        assert!(options.attr.set.is_empty());
        assert_eq!(options.attr.clear, Attr::MOUNT_ATTR_RDONLY);
    }

    #[test]
    fn file_systems_get_what_we_do_not_know_and_binds_refuse_it() {
        let options = parse("tmpfs", "size=64k,noexec,huge").expect("passed on");
        assert_eq!(
            options.data,
            [
                ("size".to_owned(), Some("64k".to_owned())),
                ("huge".to_owned(), None)
            ]
        );
        assert!(parse("bind", "bind,size=1").is_err());
        assert!(parse("tmpfs", "subpath=a").is_err());
        assert!(parse("tmpfs", "tmpcopyup").expect("known").copies_up);
        assert!(parse("bind", "tmpcopyup").is_err());
        assert!(parse("devpts", "tmpcopyup").is_err());
        assert!(parse("bind", "bind,Z").is_err());
    }

    #[test]
    fn propagation_names() {
        assert_eq!(
            propagation("rslave"),
            Some((libc::MS_SLAVE, Reach::Recursive))
        );
        assert_eq!(propagation("shared"), Some((libc::MS_SHARED, Reach::This)));
        assert_eq!(propagation("rro"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = parse("bind", &text);
            let _ = parse("tmpfs", &text);
        }
    }
}
