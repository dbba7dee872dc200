//! Docker's credential helpers: programs called `docker-credential-NAME`.
//!
//! A helper takes one word (`get`, `store`, `erase`) and on its standard input the registry, or all there is to
//! keep as JSON. What it holds never passes through a file of ours.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Credentials;

/// The name that stands for a token instead of a password.
const TOKEN: &str = "<token>";

/// What helpers answer and take.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default, rename = "ServerURL")]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper. `None` when it knows nothing.
pub(super) fn get(helper: &str, key: &str) -> Result<Option<Credentials>, String> {
    let answer = match run(helper, "get", key.as_bytes()) {
        Ok(answer) => answer,
        Err(said) if said.contains("credentials not found") => return Ok(None),
        Err(said) => return Err(said),
    };
    let entry: Entry = serde_json::from_slice(&answer)
        .map_err(|error| format!("docker-credential-{helper} answers no JSON: {error}"))?;
    Ok(match (entry.username.as_str(), entry.secret) {
        (_, secret) if secret.is_empty() => None,
        (TOKEN, secret) => Some(Credentials::Identity(secret)),
        (username, password) => Some(Credentials::Basic {
            username: username.to_owned(),
            password,
        }),
    })
}

/// Gives a name and password to a helper to keep.
pub(super) fn store(helper: &str, key: &str, name: &str, password: &str) -> Result<(), String> {
    let entry = Entry {
        server_url: key.to_owned(),
        username: name.to_owned(),
        secret: password.to_owned(),
    };
    let text = serde_json::to_vec(&entry).map_err(|error| error.to_string())?;
    run(helper, "store", &text).map(drop)
}

/// Makes a helper forget; one that never knew is content.
pub(super) fn erase(helper: &str, key: &str) -> Result<(), String> {
    match run(helper, "erase", key.as_bytes()) {
        Err(said) if !said.contains("credentials not found") => Err(said),
        _ => Ok(()),
    }
}

/// Runs a helper; its words when it fails.
fn run(helper: &str, action: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    if !helper
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Err(format!("`{helper}` is no helper's name"));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without reading.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Err(format!("{program}: {:.300}", said.trim()))
}
