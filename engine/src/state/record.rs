//! Records: versioned JSON, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{StateError, failed};

/// What a record must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A crash of any process until the machine goes down: for what runs. A power cut may leave
    /// an empty file, which [`read_boot_record`] takes for none.
    Boot,
    /// A crash of any process: for what is derived, or gone when it ends (`--rm`).
    Process,
    /// A power cut too: for what the user asked for. Costs a third of a millisecond.
    Power,
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    version: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Replaces the record at `path`. Readers see the old one or the new one.
pub fn write_record<T: Serialize>(
    path: &Path,
    version: u32,
    record: &T,
    durability: Durability,
) -> Result<(), StateError> {
    let text = serde_json::to_vec(&Outgoing { version, record }).map_err(|source| {
        StateError::Damaged {
            path: path.to_owned(),
            source,
        }
    })?;
    write_file(path, &text, durability)
}

/// Reads a record; `None` when there is none.
pub fn read_record<T: DeserializeOwned>(
    path: &Path,
    version: u32,
) -> Result<Option<T>, StateError> {
    read(path)?.map_or(Ok(None), |text| parse(path, &text, version))
}

/// Reads a record that was written to last until the machine goes down.
pub fn read_boot_record<T: DeserializeOwned>(
    path: &Path,
    version: u32,
) -> Result<Option<T>, StateError> {
    match read(path)? {
        Some(text) if !text.is_empty() => parse(path, &text, version),
        _ => Ok(None),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &[u8],
    version: u32,
) -> Result<Option<T>, StateError> {
    let damaged = |source| StateError::Damaged {
        path: path.to_owned(),
        source,
    };
    match serde_json::from_slice(text) {
        Ok(record) => {
            // The version is looked at after the fact: a record of ours parses in one pass.
            let Version { version: found } = serde_json::from_slice(text).map_err(damaged)?;
            if found == version {
                Ok(Some(record))
            } else {
                Err(StateError::Version {
                    path: path.to_owned(),
                    found,
                    known: version,
                })
            }
        }
        Err(source) => match serde_json::from_slice::<Version>(text) {
            Ok(Version { version: found }) if found != version => Err(StateError::Version {
                path: path.to_owned(),
                found,
                known: version,
            }),
            _ => Err(damaged(source)),
        },
    }
}

/// Replaces a file as a whole, mode 0600.
pub fn write_file(path: &Path, content: &[u8], durability: Durability) -> Result<(), StateError> {
    // One writer a record, so a fixed temporary name: a leftover is overwritten, not collected.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)
        .map_err(failed("write", temporary))?;
    file.write_all(content)
        .map_err(failed("write", temporary))?;
    if durability == Durability::Power {
        file.sync_data().map_err(failed("sync", temporary))?;
    }
    drop(file);
    if durability == Durability::Boot {
        replace_unflushed(temporary, path)
    } else {
        fs::rename(temporary, path)
    }
    .map_err(failed("replace", path))?;
    if durability == Durability::Power
        && let Some(parent) = path.parent()
    {
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed("sync", parent))?;
    }
    Ok(())
}

/// ext4 (`auto_da_alloc`), btrfs and f2fs begin to write a file out when it is renamed over another
/// one, in half a millisecond; not when the two change places, after which the old one goes.
fn replace_unflushed(temporary: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => fs::remove_file(temporary),
        // The first one, or a file system that exchanges nothing.
        Err(_) => fs::rename(temporary, path),
    }
}

/// Has a file or directory look as if it was written now.
pub fn touch(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}

/// Removes a file; a missing one is fine.
pub fn remove_file(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
    }

    #[test]
    fn a_record_comes_back_and_another_version_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        assert_eq!(read_record::<Sample>(&path, 1).unwrap(), None);
        let sample = Sample { name: "web".into() };
        write_record(&path, 1, &sample, Durability::Power).unwrap();
        assert_eq!(read_record(&path, 1).unwrap(), Some(sample));
        assert!(matches!(
            read_record::<Sample>(&path, 2),
            Err(StateError::Version {
                found: 1,
                known: 2,
                ..
            })
        ));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_of_what_runs_is_replaced_and_an_empty_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        for name in ["one", "two", "three"] {
            let sample = Sample { name: name.into() };
            write_record(&path, 1, &sample, Durability::Boot).unwrap();
            assert_eq!(read_boot_record(&path, 1).unwrap(), Some(sample));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(read_boot_record::<Sample>(&path, 1).unwrap(), None);
        fs::write(&path, b"{").unwrap();
        read_boot_record::<Sample>(&path, 1).unwrap_err();
    }

    #[test]
    fn a_damaged_record_is_an_error_not_a_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        fs::write(&path, b"{\"version\":1,").unwrap();
        assert!(matches!(
            read_record::<Sample>(&path, 1),
            Err(StateError::Damaged { .. })
        ));
    }
}
