//! What a layer's archive looked like, member by member, and where its digest stood at each.
//!
//! A layer made over another one is mostly the archive that was hashed before. Its members are compared by their
//! fingerprints, and the digest goes on from the first that differs: nothing before it is read. The file lies
//! beside the layer that others are made over, and is replaced with every one of them. It is only a help: one
//! that is missing or damaged costs time.

use std::path::Path;

use rustix::fs::Stat;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256};

/// What all members so far come to.
const CHAIN: usize = 16;
/// A hasher's state; members begin where no bytes wait in it.
const STATE: usize = 40;
const CHECKSUM: usize = 8;
const RECORD: usize = CHAIN + STATE + CHECKSUM;

/// Stands for the bytes of one member.
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a member by its header, and for a file by the digest of its content.
    pub(super) fn of_bytes(header: &[u8], content: Option<[u8; 32]>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update((header.len() as u64).to_le_bytes());
        hasher.update(header);
        hasher.update(content.unwrap_or_default());
        Self(hasher.finalize().into())
    }

    /// Of a file of a layer by its inode. Those of layers never change; any change would show in its times.
    pub(super) fn of_inode(path: &[u8], stat: &Stat) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"inode");
        hasher.update(path);
        for number in [
            stat.st_dev,
            stat.st_ino,
            u64::from(stat.st_mode),
            stat.st_size as u64,
            stat.st_mtime as u64,
            stat.st_mtime_nsec,
            stat.st_ctime as u64,
            stat.st_ctime_nsec,
        ] {
            hasher.update(number.to_le_bytes());
        }
        Self(hasher.finalize().into())
    }
}

/// The fingerprints of the members so far, in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FingerprintChain([u8; CHAIN]);

impl FingerprintChain {
    /// With one more.
    pub(super) fn with(self, next: &Fingerprint) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(next.0);
        let sum: [u8; 32] = hasher.finalize().into();
        let mut chain = [0; CHAIN];
        chain.copy_from_slice(&sum[..CHAIN]);
        Self(chain)
    }
}

/// The checkpoints of an archive: one at the beginning of each member, and one at the end of the last.
#[derive(Debug, Default)]
pub(super) struct Checkpoints(Vec<u8>);

impl Checkpoints {
    /// Reads what was saved, if there is something.
    pub(super) fn read(path: &Path) -> Option<Self> {
        std::fs::read(path).ok().map(Self)
    }

    /// Puts them in the place of others; a failure only costs time later.
    pub(super) fn save(&self, path: &Path) {
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
        let saved =
            std::fs::write(&temporary, &self.0).and_then(|()| std::fs::rename(&temporary, path));
        if let Err(error) = saved {
            tracing::debug!(%error, path = %path.display(), "cannot remember where a digest stood");
        }
    }

    fn record(&self, number: usize) -> Option<&[u8]> {
        let start = number.checked_mul(RECORD)?;
        self.0.get(start..start + RECORD)
    }

    /// Whether the members before this one come to that.
    pub(super) fn knows(&self, number: usize, chain: FingerprintChain) -> bool {
        self.record(number)
            .is_some_and(|record| record[..CHAIN] == chain.0)
    }

    /// The hasher as it was at the beginning of a member.
    pub(super) fn state(&self, number: usize) -> Option<Sha256> {
        let (content, sum) = self.record(number)?.split_at(CHAIN + STATE);
        if checksum(content) != *sum {
            return None;
        }
        // An empty buffer follows, as long as what the hasher wants.
        let mut state = Sha256::new().serialize();
        state[..STATE].copy_from_slice(&content[CHAIN..]);
        Sha256::deserialize(&state).ok()
    }

    /// Forgets what comes from this member on.
    pub(super) fn truncate(&mut self, number: usize) {
        self.0.truncate(number.saturating_mul(RECORD));
    }

    /// Adds the next one.
    pub(super) fn push(&mut self, chain: FingerprintChain, hasher: &Sha256) {
        let start = self.0.len();
        self.0.extend_from_slice(&chain.0);
        self.0.extend_from_slice(&hasher.serialize()[..STATE]);
        let sum = checksum(&self.0[start..]);
        self.0.extend_from_slice(&sum);
    }
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    let sum: [u8; 32] = Sha256::digest(content).into();
    let mut short = [0; CHECKSUM];
    short.copy_from_slice(&sum[..CHECKSUM]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_on_where_it_stood_and_damage_is_noticed() {
        let (mut hasher, mut points) = (Sha256::new(), Checkpoints::default());
        let mut chain = FingerprintChain::default();
        for part in [[1_u8; 512], [2; 512], [3; 512]] {
            points.push(chain, &hasher);
            chain = chain.with(&Fingerprint::of_bytes(&part, None));
            hasher.update(part);
        }
        let two = [[1_u8; 512], [2; 512]]
            .iter()
            .fold(FingerprintChain::default(), |chain, part| {
                chain.with(&Fingerprint::of_bytes(part, None))
            });
        assert!(points.knows(2, two) && !points.knows(1, two) && !points.knows(3, two));
        let mut again = points.state(2).unwrap();
        again.update([3_u8; 512]);
        assert_eq!(again.finalize(), hasher.finalize());
        assert!(points.state(3).is_none());
        for byte in 0..RECORD {
            let mut damaged = Checkpoints(points.0.clone());
            damaged.0[RECORD + byte] ^= 1;
            assert!(damaged.state(1).is_none(), "{byte}");
            assert!(damaged.state(0).is_some(), "{byte}");
        }
    }
}
