//! Who we are to a registry: Docker's `config.json` and its helper programs.
//!
//! `credHelpers` for the host come first, then `credsStore`, then `auths`. Written is in `login`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::{RegistryError, RegistryOptions, helper};
use crate::image::DEFAULT_HOST;

/// The name under which Docker keeps credentials for docker.io.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Name and password.
    Basic {
        /// Name.
        username: String,
        /// Password or access token.
        password: String,
    },
    /// A token that buys tokens (OAuth2 refresh token).
    Identity(String),
    /// A token that is used as it is.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never into a log.
        f.write_str("Credentials(…)")
    }
}

/// What `config.json` says about credentials.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Config {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: String,
}

impl Config {
    /// The helper that keeps a registry's credentials.
    pub(super) fn helper(&self, host: &str) -> Option<&str> {
        let named = self.cred_helpers.get(key(host));
        named
            .or_else(|| self.cred_helpers.get(host))
            .or(Some(&self.creds_store))
            .filter(|name| !name.is_empty())
            .map(String::as_str)
    }

    /// What the file itself holds for a registry.
    pub(super) fn entry(&self, host: &str) -> Result<Option<Credentials>, String> {
        let names = spellings(host);
        match names.iter().find_map(|name| self.auths.get(name)) {
            Some(auth) => decode(auth),
            None => Ok(None),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// The credentials for a registry, if there are any.
pub(super) fn find(
    host: &str,
    options: &RegistryOptions,
) -> Result<Option<Credentials>, RegistryError> {
    if let Some(given) = &options.credentials {
        return Ok(Some(given.clone()));
    }
    let Some(folder) = options.docker_config.clone().or_else(default_folder) else {
        return Ok(None);
    };
    let wrong = |why: String| RegistryError::Credentials {
        host: host.to_owned(),
        why,
    };
    let text = match std::fs::read(folder.join("config.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(wrong(format!(
                "{}: {error}",
                folder.join("config.json").display()
            )));
        }
    };
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("{}: {error}", folder.join("config.json").display())))?;
    if let Some(helper) = config.helper(host)
        && let Some(found) = helper::get(helper, key(host)).map_err(wrong)?
    {
        return Ok(Some(found));
    }
    config.entry(host).map_err(wrong)
}

/// Under which name Docker keeps what belongs to a registry.
pub(super) fn key(host: &str) -> &str {
    if host == DEFAULT_HOST { HUB_KEY } else { host }
}

/// All names under which it may stand in `auths`.
pub(super) fn spellings(host: &str) -> [String; 6] {
    [
        key(host).to_owned(),
        host.to_owned(),
        format!("https://{host}"),
        format!("http://{host}"),
        format!("https://{host}/v1/"),
        format!("https://{host}/v2/"),
    ]
}

pub(super) fn default_folder() -> Option<PathBuf> {
    match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => Some(Path::new(&std::env::var_os("HOME")?).join(".docker")),
    }
}

fn decode(auth: &Auth) -> Result<Option<Credentials>, String> {
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credentials::Identity(auth.identitytoken.clone())));
    }
    if !auth.registrytoken.is_empty() {
        return Ok(Some(Credentials::Bearer(auth.registrytoken.clone())));
    }
    if !auth.username.is_empty() {
        return Ok(Some(Credentials::Basic {
            username: auth.username.clone(),
            password: auth.password.clone(),
        }));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD
        .decode(&auth.auth)
        .or_else(|_| STANDARD_NO_PAD.decode(&auth.auth));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match text
        .as_deref()
        .map(|text| text.trim_end_matches('\0'))
        .and_then(|text| text.split_once(':'))
    {
        Some((username, password)) => Ok(Some(Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        })),
        None => Err("its `auth` entry is not the base64 of `user:password`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(config: &str, host: &str) -> Result<Option<Credentials>, RegistryError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        find(
            host,
            &RegistryOptions {
                docker_config: Some(folder.path().to_owned()),
                ..RegistryOptions::default()
            },
        )
    }

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn reads_dockers_configuration() {
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"r.example:5000":{"auth":"dTpwOnE="},"i.example":{"identitytoken":"tok"},"e.example":{}}}"#;
        assert_eq!(lookup(config, "docker.io").unwrap(), Some(basic("a", "b")));
        assert_eq!(
            lookup(config, "r.example:5000").unwrap(),
            Some(basic("u", "p:q"))
        );
        assert_eq!(
            lookup(config, "i.example").unwrap(),
            Some(Credentials::Identity("tok".to_owned()))
        );
        assert_eq!(lookup(config, "e.example").unwrap(), None);
        assert_eq!(lookup(config, "other").unwrap(), None);
        assert!(lookup(r#"{"auths":{"x.y":{"auth":"%%%"}}}"#, "x.y").is_err());
        assert!(lookup("{", "x.y").is_err());
    }

    #[test]
    fn a_missing_helper_is_named() {
        let error = lookup(r#"{"credHelpers":{"x.y":"gantry-test-missing"}}"#, "x.y")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("docker-credential-gantry-test-missing"),
            "{error}"
        );
        assert!(lookup(r#"{"credsStore":"../../evil"}"#, "x.y").is_err());
    }

    #[test]
    fn secrets_do_not_reach_logs() {
        assert!(!format!("{:?}", basic("u", "hunter2")).contains("hunter2"));
    }
}
