//! Devices as they are typed: by path, by name, and by number.

use gantry_engine::cdi;
use gantry_engine::spec::DeviceSpec;

use super::values::bad;
use crate::cli::error::CliError;

/// `--device` and `--gpus`: devices by path, and by the names that their makers gave them.
pub fn devices(
    device: &[String],
    gpus: Option<&str>,
) -> Result<(Vec<DeviceSpec>, Vec<String>), CliError> {
    let mut paths = Vec::new();
    let mut names = Vec::new();
    for text in device {
        match cdi::is_name(text) {
            true => names.push(text.clone()),
            false => paths.push(path(text).map_err(|reason| bad("device", text, reason))?),
        }
    }
    if let Some(text) = gpus {
        names.extend(gpu_names(text).map_err(|reason| bad("gpus", text, reason))?);
    }
    Ok((paths, names))
}

/// `path[:path[:rwm]]`.
fn path(text: &str) -> Result<DeviceSpec, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let letters = |part: &str| !part.is_empty() && part.chars().all(|c| "rwm".contains(c));
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, mode] if letters(mode) => (source, source, mode),
        [source, target] => (source, target, "rwm"),
        [source, target, mode] if letters(mode) => (source, target, mode),
        _ => return Err("expected path[:path[:rwm]]".to_owned()),
    };
    if !target.starts_with('/') {
        return Err(format!("`{target}` is not an absolute path"));
    }
    Ok(DeviceSpec {
        source: source.into(),
        target: target.to_owned(),
        permissions: permissions.to_owned(),
    })
}

/// `all`, a number, or Docker's fields: `device=0,driver=nvidia`, `"device=0,1"`, `count=2`.
fn gpu_names(text: &str) -> Result<Vec<String>, String> {
    let mut driver = "";
    let mut count = None;
    let mut ids: Vec<String> = Vec::new();
    let number = |text: &str| match text {
        "all" => Ok(-1),
        digits => digits
            .parse::<i64>()
            .ok()
            .filter(|number| *number >= -1)
            .ok_or_else(|| format!("`{digits}` is neither a number nor `all`")),
    };
    for field in fields(text)? {
        match field.split_once('=') {
            None if count.is_none() => count = Some(number(field)?),
            None => return Err("only one number can be given".to_owned()),
            Some(("count", value)) => count = Some(number(value)?),
            Some(("device", value)) => ids.extend(value.split(',').map(str::to_owned)),
            Some(("driver", value)) => driver = value,
            // A GPU by its name comes with everything that it can do.
            Some(("capabilities", _)) => {}
            Some((other, _)) => {
                return Err(format!(
                    "`{other}` is not supported; there are `count`, `device`, `driver` and `capabilities`"
                ));
            }
        }
    }
    if count.is_some() && !ids.is_empty() {
        return Err("`count` and `device` cannot be given together".to_owned());
    }
    cdi::request(driver, count.unwrap_or(-1), &ids).map_err(|error| error.to_string())
}

/// Fields between commas; one in quotes may have commas of its own.
fn fields(text: &str) -> Result<Vec<&str>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted
                .split_once('"')
                .ok_or_else(|| "a quote is not closed".to_owned())?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("expected a comma after a quote".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names() {
        let given = ["/dev/null:/dev/x:r", "v.com/c=1"].map(str::to_owned);
        let (paths, names) = devices(&given, Some("2")).unwrap();
        assert_eq!((paths.len(), paths[0].target.as_str()), (1, "/dev/x"));
        assert_eq!(names, ["v.com/c=1", "nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
        for bad in ["/a:/b:x:y", "/a:/b:q", "/a:b"] {
            assert!(devices(&[bad.to_owned()], None).is_err(), "{bad}");
        }
    }

    #[test]
    fn gpus_as_docker_writes_them() {
        for (text, names) in [
            ("all", &["nvidia.com/gpu=all"][..]),
            ("1", &["nvidia.com/gpu=0"]),
            ("device=GPU-1", &["nvidia.com/gpu=GPU-1"]),
            ("\"device=0,2\"", &["nvidia.com/gpu=0", "nvidia.com/gpu=2"]),
            ("driver=amd,count=1", &["amd.com/gpu=0"]),
            ("all,capabilities=utility", &["nvidia.com/gpu=all"]),
            (
                "\"capabilities=gpu,utility\",device=3",
                &["nvidia.com/gpu=3"],
            ),
        ] {
            assert_eq!(gpu_names(text).unwrap(), names, "{text}");
        }
        for bad in [
            "",
            "x",
            "-2",
            "1,2",
            "count=1,device=0",
            "\"all",
            "\"a\"b",
            "colour=1",
            "driver=tpu",
        ] {
            assert!(gpu_names(bad).is_err(), "{bad}");
        }
    }
}
