//! `image rm`, `image prune`, `image tag`.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use gantry_engine::image::{ImageStore, ImageSummary, Reference, Removed, Roots};

use super::list::{has_label, time};
use super::{PruneArgs, RmArgs, TagArgs, failed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::print;
use crate::ui::text;

pub(super) fn rm(store: &ImageStore, args: &RmArgs, roots: &Roots) -> Result<Exit, CliError> {
    use gantry_engine::error::{Classify as _, ErrorKind};
    let mut exit = Exit::Success;
    for name in &args.images {
        match store.remove(name, args.force, roots) {
            Ok(removed) => print(&lines(&removed))?,
            Err(error) if args.force && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                eprint!(
                    "{}",
                    failed(format!("cannot remove image `{name}`"), error).render()
                );
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

fn lines(removed: &[Removed]) -> String {
    removed
        .iter()
        .map(|removed| match removed {
            Removed::Untagged(name) => format!("Untagged: {}\n", name.familiar()),
            Removed::Deleted(id) => format!("Deleted: {id}\n"),
        })
        .collect()
}

pub(super) fn tag(store: &ImageStore, args: &TagArgs) -> Result<Exit, CliError> {
    let what = || format!("cannot tag `{}` as `{}`", args.source, args.target);
    let target = Reference::parse(&args.target)
        .map_err(|error| failed(what(), gantry_engine::image::ImageError::from(error)))?;
    if target.digest().is_some() {
        return Err(CliError::usage(format!(
            "`{}`: a tag cannot hold a digest",
            args.target
        )));
    }
    let source = store
        .resolve_id(&args.source)
        .map_err(|error| failed(what(), error))?;
    store
        .tag(&source, &target)
        .map_err(|error| failed(what(), error))?;
    Ok(Exit::Success)
}

pub(super) fn prune(store: &ImageStore, args: &PruneArgs, roots: &Roots) -> Result<Exit, CliError> {
    let mut keep: Vec<Box<dyn Fn(&ImageSummary) -> bool>> = Vec::new();
    for filter in &args.filter {
        let (key, value) = filter
            .split_once('=')
            .ok_or_else(|| CliError::usage(format!("filter `{filter}`: expected key=value")))?;
        let value = value.to_owned();
        keep.push(match key {
            "label" => Box::new(move |image| !has_label(image, &value)),
            "label!" => Box::new(move |image| has_label(image, &value)),
            "until" => {
                let border = until(&value)?;
                Box::new(move |image| {
                    time(image.created.as_deref()).is_some_and(|created| created >= border)
                })
            }
            other => {
                return Err(CliError::usage(format!(
                    "filter `{other}` is not supported; known are label, label! and until"
                )));
            }
        });
    }
    let what = if args.all {
        "all images that no container uses"
    } else {
        "all images without a name"
    };
    if !args.force && !confirmed(what)? {
        return Ok(Exit::Success);
    }
    let (removed, freed) = store
        .prune(args.all, roots, &|image| {
            keep.iter().any(|keep| keep(image))
        })
        .map_err(|error| failed("cannot prune images", error))?;
    let mut out = String::new();
    if !removed.is_empty() {
        let lines = lines(&removed)
            .replace("Untagged: ", "untagged: ")
            .replace("Deleted: ", "deleted: ");
        out = format!("Deleted Images:\n{lines}\n");
    }
    print(&format!(
        "{out}Total reclaimed space: {}\n",
        text::size(freed.bytes)
    ))?;
    Ok(Exit::Success)
}

/// `2026-01-31T12:00:00Z`, or how long ago: `24h`, `1h30m`.
fn until(value: &str) -> Result<SystemTime, CliError> {
    if let Ok(time) = value.parse::<jiff::Timestamp>() {
        return Ok(time.into());
    }
    let wrong = || {
        CliError::usage(format!(
            "filter `until={value}`: expected a time or a duration such as 24h"
        ))
    };
    let mut total = Duration::ZERO;
    let mut digits = String::new();
    for character in value.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let number: u64 = std::mem::take(&mut digits).parse().map_err(|_| wrong())?;
        total += Duration::from_secs(number.saturating_mul(unit));
    }
    if !digits.is_empty() || total.is_zero() {
        return Err(wrong());
    }
    SystemTime::now().checked_sub(total).ok_or_else(wrong)
}

fn confirmed(what: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(format!(
            "this removes {what}, and nobody can be asked here: use --force"
        )));
    }
    eprint!("WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|source| CliError::Io {
            what: "read the answer".to_owned(),
            source,
        })?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times_are_read() {
        assert!(
            until("24h").is_ok() && until("1h30m").is_ok() && until("2026-01-31T12:00:00Z").is_ok()
        );
        for bad in ["", "5", "h", "1x", "-1h"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
