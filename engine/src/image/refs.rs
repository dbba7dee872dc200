//! Names of images on disk: `<root>/refs/<host>/<repository>/_tags/<tag>` and `_digests/<hex>`.
//!
//! A file holds one image id and is replaced by rename, so a name always means one image. No
//! repository component may begin with `_`, so the folders cannot clash with repositories.
//! Its time of modification is when the name was last given, be it to the same image.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::{ImageError, Reference};
use crate::content::Digest;
use crate::state::touch;

#[derive(Clone, Debug)]
pub(super) struct Refs {
    directory: PathBuf,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    version: u32,
    pub image: Digest,
    /// All images of a name with several, one for each platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Digest>,
}

impl Refs {
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        let directory = root.join("refs");
        fs::create_dir_all(&directory).map_err(ImageError::io("create", &directory))?;
        Ok(Self { directory })
    }

    /// A reference with both tag and digest is found, and kept, by its digest.
    fn path(&self, reference: &Reference) -> PathBuf {
        let repository = self
            .directory
            .join(reference.host())
            .join(reference.repository());
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => repository.join("_digests").join(digest.hex()),
            (None, tag) => repository.join("_tags").join(tag.unwrap_or("latest")),
        }
    }

    pub fn get(&self, reference: &Reference) -> Result<Option<Named>, ImageError> {
        read(&self.path(reference))
    }

    pub fn set(&self, reference: &Reference, image: &Digest) -> Result<(), ImageError> {
        self.set_all(reference, image, &[])
    }

    /// `image` is one of `variants`, if there are any.
    pub fn set_all(
        &self,
        reference: &Reference,
        image: &Digest,
        variants: &[Digest],
    ) -> Result<(), ImageError> {
        let path = self.path(reference);
        let named = Named {
            version: 1,
            image: *image,
            variants: variants.to_vec(),
        };
        if read(&path)?.as_ref() == Some(&named) && touch(&path).is_ok() {
            return Ok(());
        }
        write_record(&path, &named)
    }

    /// When a name was last given; nothing if it is none.
    pub fn given(&self, reference: &Reference) -> Option<SystemTime> {
        fs::metadata(self.path(reference)).ok()?.modified().ok()
    }

    /// Gives whether there was one. Emptied folders go too.
    pub fn remove(&self, reference: &Reference) -> Result<bool, ImageError> {
        let path = self.path(reference);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ImageError::io("remove", path)(error)),
        }
        for folder in path
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.directory)
        {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// Every name and what it means where no platform is asked for, sorted.
    pub fn list(&self) -> Result<Vec<(Reference, Digest)>, ImageError> {
        let records = self.records()?.into_iter();
        Ok(records.map(|(name, named)| (name, named.image)).collect())
    }

    /// Every name and what it means, sorted.
    pub fn records(&self) -> Result<Vec<(Reference, Named)>, ImageError> {
        let mut found = Vec::new();
        for host in entries(&self.directory)? {
            self.visit(&host, &host, "", &mut found)?;
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    fn visit(
        &self,
        host: &str,
        folder: &str,
        repository: &str,
        found: &mut Vec<(Reference, Named)>,
    ) -> Result<(), ImageError> {
        for name in entries(&self.directory.join(folder))? {
            let below = format!("{folder}/{name}");
            if name != "_tags" && name != "_digests" {
                let repository = if repository.is_empty() {
                    name
                } else {
                    format!("{repository}/{name}")
                };
                self.visit(host, &below, &repository, found)?;
                continue;
            }
            let separator = if name == "_tags" { ":" } else { "@sha256:" };
            for file in entries(&self.directory.join(&below))? {
                // What does not parse is no name of ours: a temporary file.
                let Ok(reference) =
                    Reference::parse(&format!("{host}/{repository}{separator}{file}"))
                else {
                    continue;
                };
                if let Some(named) = read(&self.directory.join(&below).join(&file))? {
                    found.push((reference, named));
                }
            }
        }
        Ok(())
    }
}

/// Names in a folder; none when it vanished meanwhile.
fn entries(folder: &Path) -> Result<Vec<String>, ImageError> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ImageError::io("list", folder)(error)),
    };
    Ok(list
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect())
}

fn read(path: &Path) -> Result<Option<Named>, ImageError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| ImageError::Record {
                path: path.to_owned(),
                source,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ImageError::io("read", path)(error)),
    }
}

/// Writes a small record: temporary file, sync, rename.
pub(super) fn write_record(path: &Path, record: &impl Serialize) -> Result<(), ImageError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let temporary = folder.join(format!(".{:016x}", crate::content::random()));
    let text = serde_json::to_vec(record).map_err(|source| ImageError::Record {
        path: path.to_owned(),
        source,
    })?;
    let mut tries = 0;
    let write = loop {
        let write = fs::create_dir_all(folder).and_then(|()| {
            use std::io::Write;
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&text)?;
            rustix::fs::fdatasync(&file)?;
            fs::rename(&temporary, path)
        });
        tries += 1;
        match write {
            // Another process removed the empty folder between our two steps.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 10 => {}
            result => break result,
        }
    };
    write.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        ImageError::io("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_set_listed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let refs = Refs::open(root.path()).unwrap();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let tag = Reference::parse("localhost:5000/x/y:1").unwrap();
        let nested = Reference::parse("localhost:5000/x:latest").unwrap();
        let by_digest = tag.with_digest(b);
        for (reference, image) in [(&tag, a), (&nested, b), (&by_digest, a)] {
            refs.set(reference, &image).unwrap();
            assert_eq!(refs.get(reference).unwrap().unwrap().image, image);
        }
        let given = refs.given(&tag).unwrap();
        refs.set(&tag, &a).unwrap();
        assert!(refs.given(&tag).unwrap() > given);
        refs.set(&tag, &b).unwrap();
        assert_eq!(
            refs.list().unwrap(),
            [
                (nested.clone(), b),
                (by_digest.clone(), a),
                (tag.clone(), b)
            ]
        );
        for reference in [&tag, &nested, &by_digest] {
            assert!(refs.remove(reference).unwrap());
            assert!(!refs.remove(reference).unwrap());
            assert_eq!(refs.given(reference), None);
        }
        assert_eq!(fs::read_dir(root.path().join("refs")).unwrap().count(), 0);
    }
}
