//! An OCI image layout in a directory, as a context: one of its images, as an archive that the store loads.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::layer::{TarWriter, plain_file};

/// `index.json` may not be larger.
const INDEX_LIMIT: u64 = 4 << 20;

/// A layout, and which of its images.
#[derive(Debug)]
pub(super) struct Layout {
    directory: PathBuf,
    /// `index.json` with that image only, without its name: the store is not to name it.
    index: Vec<u8>,
}

impl Layout {
    /// Opens `directory[:tag][@digest]`.
    pub(super) fn open(place: &str) -> Result<Self, String> {
        let (rest, digest) = match place.rsplit_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (place, None),
        };
        let (directory, tag) = match rest.rsplit_once(':') {
            Some((directory, tag)) if !tag.contains('/') => (directory, Some(tag)),
            _ => (rest, None),
        };
        let directory = Path::new(directory);
        let mut text = Vec::new();
        std::fs::File::open(directory.join("index.json"))
            .and_then(|file| file.take(INDEX_LIMIT).read_to_end(&mut text))
            .map_err(|error| format!("cannot read its index.json: {error}"))?;
        let index: Value = serde_json::from_slice(&text)
            .map_err(|error| format!("its index.json is wrong: {error}"))?;
        Ok(Self {
            directory: directory.to_owned(),
            index: narrowed(index, tag, digest)?,
        })
    }

    /// Writes it as an archive.
    pub(super) fn write(&self, out: impl Write) -> io::Result<()> {
        let mut tar = TarWriter::new(out);
        tar.member("index.json", 0o644, 0, &self.index)?;
        let mut names: Vec<_> = std::fs::read_dir(self.directory.join("blobs/sha256"))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        let mut buffer = vec![0; 256 << 10];
        for name in names {
            let mut file = std::fs::File::open(self.directory.join("blobs/sha256").join(&name))?;
            let size = file.metadata()?.len();
            let path = format!("blobs/sha256/{}", name.to_string_lossy());
            tar.header(&plain_file(&path, size))?;
            let mut left = size;
            while left > 0 {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
                tar.data(&buffer[..count])?;
                left -= count as u64;
            }
            tar.pad(size)?;
        }
        tar.finish().map(drop)
    }
}

/// The index with the one image that is meant.
fn narrowed(mut index: Value, tag: Option<&str>, digest: Option<&str>) -> Result<Vec<u8>, String> {
    let all = index["manifests"].as_array().cloned().unwrap_or_default();
    let name = |entry: &Value, key: &str| entry["annotations"][key].as_str().map(str::to_owned);
    let tagged = |entry: &Value, tag: &str| {
        name(entry, "org.opencontainers.image.ref.name")
            .is_some_and(|name| name == tag || name.ends_with(&format!(":{tag}")))
            || name(entry, "io.containerd.image.name")
                .is_some_and(|name| name.ends_with(&format!(":{tag}")))
    };
    let chosen = match (digest, tag) {
        (Some(digest), _) => all
            .iter()
            .find(|entry| entry["digest"] == digest)
            .ok_or_else(|| format!("it has no `{digest}`"))?,
        (None, Some(tag)) => all
            .iter()
            .find(|entry| tagged(entry, tag))
            .ok_or_else(|| format!("it has no image tagged `{tag}`"))?,
        (None, None) => match all.as_slice() {
            [] => return Err("it holds no image".into()),
            [one] => one,
            several => several
                .iter()
                .find(|entry| tagged(entry, "latest"))
                .ok_or("it holds several images; add :tag or @digest")?,
        },
    };
    let mut chosen = chosen.clone();
    if let Some(annotations) = chosen.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("io.containerd.image.name");
        annotations.remove("org.opencontainers.image.ref.name");
    }
    index["manifests"] = Value::Array(vec![chosen]);
    serde_json::to_vec(&index).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_image_is_chosen_and_loses_its_name() {
        let index = || {
            json!({"schemaVersion": 2, "manifests": [
                {"digest": "sha256:a", "annotations": {"org.opencontainers.image.ref.name": "one"}},
                {"digest": "sha256:b", "annotations": {"io.containerd.image.name": "docker.io/library/x:latest", "k": "v"}},
            ]})
        };
        let digest = |tag, digest| {
            let bytes = narrowed(index(), tag, digest)?;
            let chosen: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(chosen["manifests"].as_array().unwrap().len(), 1);
            assert!(!String::from_utf8(bytes).unwrap().contains(".name"));
            Ok::<_, String>(
                chosen["manifests"][0]["digest"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            )
        };
        assert_eq!(digest(Some("one"), None).unwrap(), "sha256:a");
        assert_eq!(digest(None, None).unwrap(), "sha256:b");
        assert_eq!(digest(None, Some("sha256:a")).unwrap(), "sha256:a");
        assert!(digest(Some("two"), None).is_err());
        assert!(digest(None, Some("sha256:c")).is_err());
        assert!(narrowed(json!({}), None, None).is_err());
        let plain = json!({"manifests": [{"digest": "sha256:a"}]});
        let chosen = narrowed(plain.clone(), None, None).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&chosen).unwrap(), plain);
    }
}
