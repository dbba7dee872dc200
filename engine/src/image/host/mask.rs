//! Making the mask: a directory that, laid over `/`, leaves of it what a container may see.
//!
//! In overlayfs' form: names at the top that are not shown get a whiteout; folders that start
//! empty, and `/etc`, are opaque; `/usr`, `/bin`, `/sbin` and `/lib*` are not mentioned and so
//! shine through. `/etc` is copied rather than shown, so that nothing that appears there later
//! can be seen by a running container.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, XattrFlags};
use sha2::{Digest as _, Sha256};

use super::{HostBase, etc, stamp};
use crate::content::Digest;
use crate::image::ImageError;
use crate::sys::{overlay::opaque, user_namespace};

/// Folders every container root has; those of the machine with these names are hidden.
const EMPTY: &[(&str, u32)] = &[
    ("boot", 0o755),
    ("dev", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// What Debian's base system has below `/var`; programs expect these to exist.
const VAR: &[(&str, u32)] = &[
    ("backups", 0o755),
    ("cache", 0o755),
    ("lib", 0o755),
    ("lib/misc", 0o755),
    ("local", 0o755),
    ("log", 0o755),
    ("mail", 0o755),
    ("opt", 0o755),
    ("spool", 0o755),
    ("tmp", 0o1777),
];

/// The directories of `/usr` that are the administrator's (hier(7)).
const LOCAL: &[&str] = &[
    "local",
    "local/bin",
    "local/etc",
    "local/include",
    "local/lib",
    "local/sbin",
    "local/share",
    "local/src",
];

/// Bytes; a larger file in `/etc` is data, not configuration.
const FILE_LIMIT: u64 = 8 << 20;

fn is_shown(name: &str) -> bool {
    matches!(name, "usr" | "bin" | "sbin") || name.starts_with("lib")
}

/// Makes the mask of the machine as it is now, and drops those of earlier boots.
pub(super) fn make(directory: &Path) -> Result<HostBase, ImageError> {
    fs::create_dir_all(directory).map_err(ImageError::io("create", directory))?;
    let lock = File::create(directory.join("lock"))
        .map_err(ImageError::io("create", directory.join("lock")))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| ImageError::io("lock", directory)(errno.into()))?;
    // Another process may have made it while we waited.
    if let Some(base) = stamp::current(directory) {
        return Ok(base);
    }
    let boot =
        stamp::boot_id().ok_or_else(|| ImageError::HostView("/proc is not mounted".to_owned()))?;
    let boot = boot.get(..8).unwrap_or("none").to_owned();
    drop_old(directory, &boot);
    let draft = directory.join(format!(".tmp-{:016x}", crate::content::random()));
    let result = fill(&draft, directory, &boot);
    if result.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    result
}

fn fill(draft: &Path, directory: &Path, boot: &str) -> Result<HostBase, ImageError> {
    let mut mask = Mask {
        root: draft.to_owned(),
        content: Sha256::new(),
        sources: vec![PathBuf::from("/")],
    };
    mask.folder(Path::new(""), 0o755)?;
    mask.top()?;
    for (name, mode) in EMPTY {
        mask.folder(Path::new(name), *mode)?;
        mask.hide_below(Path::new(name))?;
    }
    for (name, mode) in VAR {
        mask.folder(&Path::new("var").join(name), *mode)?;
    }
    mask.link(Path::new("var/run"), Path::new("/run"))?;
    mask.link(Path::new("var/lock"), Path::new("/run/lock"))?;
    mask.folder(Path::new("run/lock"), 0o1777)?;
    mask.folder(Path::new("etc"), 0o755)?;
    mask.hide_below(Path::new("etc"))?;
    mask.etc(Path::new(""))?;
    mask.accounts()?;
    for name in ["hostname", "hosts", "resolv.conf"] {
        mask.file(&Path::new("etc").join(name), 0o644, b"")?;
    }
    mask.link(Path::new("etc/mtab"), Path::new("/proc/mounts"))?;

    let Mask {
        content, sources, ..
    } = mask;
    let name = format!("{}-{boot}", Digest::from_hasher(content).short());
    let path = directory.join(&name);
    match fs::rename(draft, &path) {
        Ok(()) => {}
        // The same content was made before in this boot.
        Err(_) if path.is_dir() => {
            fs::remove_dir_all(draft).map_err(ImageError::io("remove", draft))?
        }
        Err(error) => return Err(ImageError::io("rename", draft)(error)),
    }
    let vanished = || ImageError::HostView("/etc changes while it is read; try again".to_owned());
    let fingerprint =
        stamp::fingerprint(sources.iter().map(PathBuf::as_path)).ok_or_else(vanished)?;
    let temporary = directory.join(format!("current.{:016x}", crate::content::random()));
    fs::write(&temporary, stamp::text(&name, &fingerprint, &sources))
        .and_then(|()| fs::rename(&temporary, directory.join("current")))
        .map_err(ImageError::io("write", &temporary))?;
    Ok(HostBase {
        mask: path,
        key: name,
    })
}

/// Masks of this boot may be mounted by running containers; those of others cannot be.
fn drop_old(directory: &Path, boot: &str) {
    let Ok(list) = fs::read_dir(directory) else {
        return;
    };
    for entry in list.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_mask = name.len() == 12 + 1 + boot.len() && !name.ends_with(boot);
        if is_mask || name.starts_with(".tmp-") {
            let _ = fs::remove_dir_all(entry.path());
        } else if name.starts_with("current.") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

struct Mask {
    root: PathBuf,
    /// Over everything the mask holds, in the order it was made.
    content: Sha256,
    /// What it was made from.
    sources: Vec<PathBuf>,
}

impl Mask {
    fn note(&mut self, kind: u8, path: &Path, mode: u32, owner: (u32, u32), content: &[u8]) {
        self.content.update([kind]);
        self.content
            .update((path.as_os_str().len() as u64).to_ne_bytes());
        self.content.update(path.as_os_str().as_bytes());
        for number in [mode, owner.0, owner.1] {
            self.content.update(number.to_ne_bytes());
        }
        self.content.update((content.len() as u64).to_ne_bytes());
        self.content.update(content);
    }

    fn folder(&mut self, path: &Path, mode: u32) -> Result<(), ImageError> {
        self.note(b'd', path, mode, (0, 0), b"");
        let target = self.root.join(path);
        fs::create_dir(&target)
            .and_then(|()| fs::set_permissions(&target, Permissions::from_mode(mode)))
            .map_err(ImageError::io("create", target))
    }

    fn hide_below(&mut self, path: &Path) -> Result<(), ImageError> {
        let target = self.root.join(path);
        rustix::fs::lsetxattr(&target, opaque(), b"y", XattrFlags::empty())
            .map_err(|errno| ImageError::io("mark", target)(errno.into()))
    }

    fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), ImageError> {
        self.note(b'f', path, mode, (0, 0), content);
        let target = self.root.join(path);
        let write = || {
            let mut file = File::create_new(&target)?;
            file.write_all(content)?;
            file.set_permissions(Permissions::from_mode(mode))
        };
        write().map_err(ImageError::io("write", &target))
    }

    fn link(&mut self, path: &Path, to: &Path) -> Result<(), ImageError> {
        self.note(b'l', path, 0, (0, 0), to.as_os_str().as_bytes());
        let target = self.root.join(path);
        symlink(to, &target).map_err(ImageError::io("link", target))
    }

    /// Hides what is neither shown nor one of the standard folders.
    fn top(&mut self) -> Result<(), ImageError> {
        let device = fs::metadata("/")
            .map_err(ImageError::io("stat", "/"))?
            .dev();
        let mut names = Vec::new();
        for entry in fs::read_dir("/").map_err(ImageError::io("list", "/"))? {
            let entry = entry.map_err(ImageError::io("list", "/"))?;
            let Ok(name) = entry.file_name().into_string() else {
                names.push(entry.file_name());
                continue;
            };
            if is_shown(&name) || name == "etc" {
                let data = fs::symlink_metadata(entry.path())
                    .map_err(ImageError::io("stat", entry.path()))?;
                if name != "etc" && !user_namespace::is_initial() {
                    self.shown_to_users(&name, &data)?;
                } else if name != "etc" && data.dev() != device {
                    return Err(ImageError::HostView(format!(
                        "/{name} is a mount of its own, which an overlay over / cannot show"
                    )));
                }
                continue;
            }
            if !EMPTY.iter().any(|(empty, _)| *empty == name) {
                names.push(name.into());
            }
        }
        names.sort();
        for name in names {
            self.note(b'w', Path::new(&name), 0, (0, 0), b"");
            let target = self.root.join(&name);
            rustix::fs::mknodat(CWD, &target, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(|errno| ImageError::io("white out", target)(errno.into()))?;
        }
        Ok(())
    }

    /// In a user namespace `/` itself is no layer, only its directories are: its links are copied,
    /// and directories have their place here. Those that administrators put their own things
    /// into belong to root here, so that it may write there; the others belong to nobody.
    fn shown_to_users(&mut self, name: &str, data: &fs::Metadata) -> Result<(), ImageError> {
        let path = Path::new(name);
        let source = Path::new("/").join(path);
        if data.is_symlink() {
            let to = fs::read_link(&source).map_err(ImageError::io("read", source))?;
            return self.link(path, &to);
        }
        if !data.is_dir() {
            return Ok(());
        }
        self.folder(path, 0o755)?;
        if name == "usr" {
            for below in LOCAL {
                self.folder(&path.join(below), 0o755)?;
            }
        }
        Ok(())
    }

    /// Copies what may be seen of one folder of `/etc`.
    fn etc(&mut self, relative: &Path) -> Result<(), ImageError> {
        let folder = Path::new("/etc").join(relative);
        let Ok(list) = fs::read_dir(&folder) else {
            return Ok(());
        };
        let mut names: Vec<_> = list
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .collect();
        names.sort();
        self.sources.push(folder.clone());
        for name in names {
            let below = relative.join(&name);
            if etc::is_hidden(&below) || matches!(below.to_str(), Some("passwd" | "group")) {
                continue;
            }
            let source = folder.join(&name);
            // What vanished or changed its type meanwhile is noticed by the stamp.
            let Ok(data) = fs::symlink_metadata(&source) else {
                continue;
            };
            let target = Path::new("etc").join(&below);
            let owner = owner_here(&data);
            if data.is_symlink() {
                let Ok(to) = fs::read_link(&source) else {
                    continue;
                };
                self.link(&target, &to)?;
            } else if data.is_dir() && data.mode() & 0o005 == 0o005 {
                self.folder(&target, data.mode() & 0o7777)?;
                self.own(&target, owner)?;
                self.etc(&below)?;
            } else if data.is_file() && data.mode() & 0o004 != 0 && data.size() <= FILE_LIMIT {
                let Ok(content) = fs::read(&source) else {
                    continue;
                };
                // Never set-id, never writable by others: it is configuration.
                self.file(&target, data.mode() & 0o755, &content)?;
                self.own(&target, owner)?;
                self.sources.push(source);
            }
        }
        Ok(())
    }

    fn own(&mut self, path: &Path, owner: (u32, u32)) -> Result<(), ImageError> {
        if owner == (0, 0) {
            return Ok(());
        }
        self.note(b'o', path, 0, owner, b"");
        let target = self.root.join(path);
        chown(&target, Some(owner.0), Some(owner.1)).map_err(ImageError::io("chown", target))
    }

    fn accounts(&mut self) -> Result<(), ImageError> {
        let read = |path: &str| {
            fs::read(path)
                .map(|text| String::from_utf8_lossy(&text).into_owned())
                .unwrap_or_default()
        };
        let passwd = etc::passwd(&read("/etc/passwd"));
        let group = etc::group(&read("/etc/group"), &passwd);
        self.file(Path::new("etc/passwd"), 0o644, passwd.as_bytes())?;
        self.file(Path::new("etc/group"), 0o644, group.as_bytes())?;
        self.sources.extend(
            ["/etc/passwd", "/etc/group"]
                .map(PathBuf::from)
                .into_iter()
                .filter(|path| path.exists()),
        );
        Ok(())
    }
}

/// The owner of one of the machine's files, as its copy should have it.
fn owner_here(data: &fs::Metadata) -> (u32, u32) {
    /// Default of `/proc/sys/kernel/overflowuid`: who has no id in a user namespace.
    const NOBODY: u32 = 65534;
    if user_namespace::is_initial() {
        return (data.uid(), data.gid());
    }
    // What belongs to others is the system's, and to be root's in the container.
    let known = |id| if id == NOBODY { 0 } else { id };
    (known(data.uid()), known(data.gid()))
}
