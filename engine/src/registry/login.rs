//! Logging in and out: a name and password are tried at the registry, then kept where Docker keeps them.
//!
//! A helper named in `config.json` keeps them; without one they stand in `auths`, as base64, which protects them
//! from nobody. Everything else in that file stays as it is.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::credentials::{self, Config};
use super::transport::{Request, Transport};
use super::{Credentials, RegistryError, RegistryOptions, helper};
use crate::image::DEFAULT_HOST;

/// Where credentials were put, or were taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The program `docker-credential-NAME`.
    Helper(String),
    /// This file, readable by its owner only, but not encrypted.
    File(PathBuf),
}

/// The registry that a server's name on the command line means: `https://host/v1/` is `host`, and
/// everything of Docker Hub is `docker.io`.
pub fn server(text: &str) -> String {
    let host = text.rsplit("://").next().unwrap_or(text);
    let host = host.split('/').next().unwrap_or(host);
    match host {
        "" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_HOST.to_owned(),
        host => host.to_owned(),
    }
}

/// Tries a name and password at a registry, and keeps them when it takes them.
pub async fn login(
    host: &str,
    username: &str,
    password: &str,
    options: &RegistryOptions,
) -> Result<Keeper, RegistryError> {
    let options = RegistryOptions {
        credentials: Some(Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        }),
        ..options.clone()
    };
    let transport = Transport::open(host, &options).await?;
    let request = Request::get(transport.base(), "", host.to_owned());
    transport.send(&request, &[]).await?;
    keep(host, username, password, &options)
}

/// Forgets the credentials for a registry. Gives who had them, or nothing.
pub fn logout(host: &str, options: &RegistryOptions) -> Result<Option<Keeper>, RegistryError> {
    let file = ConfigFile::open(host, options)?;
    if let Some(helper) = file.helper() {
        let known = helper::get(&helper, credentials::key(host)).map_err(|why| file.wrong(why))?;
        helper::erase(&helper, credentials::key(host)).map_err(|why| file.wrong(why))?;
        file.edit(|auths| {
            forget(auths, host);
        })?;
        return Ok(known.map(|_| Keeper::Helper(helper)));
    }
    let mut known = false;
    file.edit(|auths| known = forget(auths, host))?;
    Ok(known.then(|| Keeper::File(file.path.clone())))
}

fn keep(
    host: &str,
    username: &str,
    password: &str,
    options: &RegistryOptions,
) -> Result<Keeper, RegistryError> {
    let file = ConfigFile::open(host, options)?;
    let key = credentials::key(host);
    if let Some(helper) = file.helper() {
        helper::store(&helper, key, username, password).map_err(|why| file.wrong(why))?;
        // Docker lists here what it has asked helpers to keep.
        file.edit(|auths| {
            forget(auths, host);
            auths.insert(key.to_owned(), json!({}));
        })?;
        return Ok(Keeper::Helper(helper));
    }
    let auth = STANDARD.encode(format!("{username}:{password}"));
    file.edit(|auths| {
        forget(auths, host);
        auths.insert(key.to_owned(), json!({ "auth": auth }));
    })?;
    Ok(Keeper::File(file.path))
}

/// Takes every entry for a registry away; gives whether there was one.
fn forget(auths: &mut Map<String, Value>, host: &str) -> bool {
    let spellings = credentials::spellings(host);
    let gone: Vec<_> = spellings
        .iter()
        .filter_map(|key| auths.shift_remove(key))
        .collect();
    !gone.is_empty()
}

/// Docker's `config.json`.
struct ConfigFile {
    path: PathBuf,
    host: String,
    value: Map<String, Value>,
}

impl ConfigFile {
    fn open(host: &str, options: &RegistryOptions) -> Result<Self, RegistryError> {
        let folder = options
            .docker_config
            .clone()
            .or_else(credentials::default_folder);
        let mut file = Self {
            path: folder.unwrap_or_default().join("config.json"),
            host: host.to_owned(),
            value: Map::new(),
        };
        if file.path.parent() == Some(Path::new("")) {
            return Err(file.wrong("neither HOME nor DOCKER_CONFIG is set".to_owned()));
        }
        match fs::read(&file.path) {
            Ok(text) => {
                file.value = serde_json::from_slice(&text)
                    .map_err(|error| file.wrong(format!("{}: {error}", file.path.display())))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(file.failed(&error)),
        }
        Ok(file)
    }

    fn helper(&self) -> Option<String> {
        let config: Config = serde_json::from_value(Value::Object(self.value.clone())).ok()?;
        config.helper(&self.host).map(str::to_owned)
    }

    /// Changes `auths`, and writes the file when that made a difference.
    fn edit(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), RegistryError> {
        let mut value = self.value.clone();
        let auths = value.entry("auths").or_insert_with(|| json!({}));
        match auths.as_object_mut() {
            Some(auths) => change(auths),
            None => return Err(self.wrong("its `auths` is no object".to_owned())),
        }
        if value.get("auths") == self.value.get("auths")
            || (auths_of(&value) == 0 && auths_of(&self.value) == 0)
        {
            return Ok(());
        }
        self.write(&Value::Object(value))
            .map_err(|error| self.failed(&error))
    }

    fn write(&self, value: &Value) -> std::io::Result<()> {
        // A link to the file stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let temporary = path.with_extension(format!("json.tmp{}", std::process::id()));
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            })
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn wrong(&self, why: String) -> RegistryError {
        RegistryError::Credentials {
            host: self.host.clone(),
            why,
        }
    }

    fn failed(&self, error: &std::io::Error) -> RegistryError {
        self.wrong(format!("{}: {error}", self.path.display()))
    }
}

fn auths_of(value: &Map<String, Value>) -> usize {
    let auths = value.get("auths").and_then(Value::as_object);
    auths.map_or(0, Map::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_meant_in_many_ways() {
        for (text, host) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("r.example:5000", "r.example:5000"),
            ("https://r.example/v2/", "r.example"),
        ] {
            assert_eq!(server(text), host, "{text}");
        }
    }

    #[test]
    fn what_else_is_in_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let options = RegistryOptions {
            docker_config: Some(folder.path().to_owned()),
            ..RegistryOptions::default()
        };
        let before = "{\"psFormat\": \"x\",\"auths\":{\"https://r.example\":{\"auth\":\"YTpi\"},\"o.example\":{}}}";
        fs::write(&path, before).unwrap();
        assert_eq!(
            keep("r.example", "u", "p", &options).unwrap(),
            Keeper::File(path.clone())
        );
        let read = || -> Value { serde_json::from_slice(&fs::read(&path).unwrap()).unwrap() };
        let auths = json!({"o.example": {}, "r.example": {"auth": "dTpw"}});
        assert_eq!(read(), json!({"psFormat": "x", "auths": auths}));
        assert!(logout("r.example", &options).unwrap().is_some());
        assert!(logout("r.example", &options).unwrap().is_none());
        assert_eq!(read(), json!({"psFormat": "x", "auths": {"o.example": {}}}));
    }
}
