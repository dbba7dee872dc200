//! What an image archive holds: its blobs in the store, its small files in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read, Write};

use super::store::ImageStore;
use super::{ImageError, Lease, MANIFEST_LIMIT};
use crate::content::{ContentError, Digest};
use crate::layer::{Decoder, Kind, Limits, Reader};

/// What the archive held.
#[derive(Default)]
pub(super) struct Members {
    blobs: HashMap<String, Digest>,
    links: HashMap<String, String>,
    pub(super) small: BTreeMap<String, Vec<u8>>,
}

const MEMBERS: u64 = 100_000;

impl ImageStore {
    /// Reads an archive to its end.
    pub(super) fn receive(&self, archive: impl Read, lease: &Lease) -> Result<Members, ImageError> {
        let decoder = Decoder::new(archive)?;
        let limits = Limits {
            entries: MEMBERS,
            ..Limits::default()
        };
        let mut reader = Reader::new(BufReader::with_capacity(64 << 10, decoder), limits);
        let mut members = Members::default();
        let mut buffer = vec![0; 256 << 10];
        while let Some(entry) = reader.next()? {
            let Some(path) = String::from_utf8(entry.path)
                .ok()
                .and_then(|path| tidy(&path))
            else {
                continue;
            };
            match entry.kind {
                Kind::Symlink(target) => {
                    let target = String::from_utf8(target)
                        .ok()
                        .and_then(|target| beside(&path, &target));
                    if let Some(target) = target {
                        members.links.insert(path, target);
                    }
                }
                Kind::HardLink(target) => {
                    if let Some(target) = String::from_utf8(target)
                        .ok()
                        .and_then(|target| tidy(&target))
                    {
                        members.links.insert(path, target);
                    }
                }
                Kind::File
                    if matches!(
                        path.as_str(),
                        "manifest.json" | "index.json" | "oci-layout" | "repositories"
                    ) =>
                {
                    let bytes = reader.read_small(MANIFEST_LIMIT)?;
                    members.small.insert(path, bytes);
                }
                Kind::File => {
                    let promised = path
                        .strip_prefix("blobs/sha256/")
                        .map(Digest::from_hex)
                        .transpose()
                        .map_err(|error| ImageError::Archive(error.to_string()))?;
                    if let Some(promised) = promised {
                        lease.protect(&promised)?;
                        if self.content.contains(&promised) {
                            members.blobs.insert(path, promised);
                            continue;
                        }
                    }
                    let mut ingest = self.content.ingest()?;
                    loop {
                        match reader.read_data(&mut buffer)? {
                            0 => break,
                            count => ingest
                                .write_all(&buffer[..count])
                                .map_err(ContentError::io("write", ingest.path()))?,
                        }
                    }
                    // Protected before it becomes visible: a collection may run at any time.
                    lease.protect(&ingest.digest())?;
                    let digest = ingest.commit(promised.as_ref())?;
                    members.blobs.insert(path, digest);
                }
                _ => {}
            }
        }
        Ok(members)
    }
}

impl Members {
    /// The blob behind a member's name, links followed.
    pub(super) fn find(&self, name: &str) -> Result<Digest, ImageError> {
        let missing =
            || ImageError::Archive(format!("it names `{name:.200}`, which it does not hold"));
        let mut path = tidy(name).ok_or_else(missing)?;
        for _ in 0..8 {
            if let Some(digest) = self.blobs.get(&path) {
                return Ok(*digest);
            }
            path = self.links.get(&path).ok_or_else(missing)?.clone();
        }
        Err(missing())
    }

    pub(super) fn blob(&self, digest: &Digest) -> Result<Digest, ImageError> {
        self.find(&format!("blobs/sha256/{}", digest.hex()))
    }
}

/// A member's name without `.` and empty parts; `None` with `..` at its start.
fn tidy(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// What a link in the archive means.
fn beside(path: &str, target: &str) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    tidy(&format!("{folder}/{target}"))
}
