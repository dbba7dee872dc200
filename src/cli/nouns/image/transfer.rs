//! `image load`, `save`, `pull`, `push`.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Read, Write as _};
use std::sync::Mutex;

use gantry_engine::image::{
    ImageError, ImageStore, Platform, Reference, Transfer, TransferState, is_host_image,
};
use gantry_engine::registry::{self, RegistryOptions};

use super::{LoadArgs, PullArgs, PushArgs, SaveArgs, failed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::print;

pub(super) fn load(store: &ImageStore, args: &LoadArgs) -> Result<Exit, CliError> {
    let archive: Box<dyn Read> = match &args.input {
        Some(path) => Box::new(File::open(path).map_err(|source| CliError::Io {
            what: format!("open `{}`", path.display()),
            source,
        })?),
        None if std::io::stdin().is_terminal() => {
            return Err(CliError::usage(
                "load reads an archive: give it with --input, or on standard input",
            ));
        }
        None => Box::new(std::io::stdin().lock()),
    };
    let loaded = store
        .load(archive, &gantry_engine::image::quiet)
        .map_err(|error| failed("cannot load images", error))?;
    if args.quiet {
        return Ok(Exit::Success);
    }
    for image in loaded {
        if image.tags.is_empty() {
            print(&format!("Loaded image ID: {}\n", image.id))?;
        }
        for tag in image.tags {
            print(&format!("Loaded image: {}\n", tag.familiar()))?;
        }
    }
    Ok(Exit::Success)
}

pub(super) fn save(store: &ImageStore, args: &SaveArgs) -> Result<Exit, CliError> {
    let done = |result: Result<(), ImageError>| {
        result.map_err(|error| failed("cannot save images", error))
    };
    let Some(path) = &args.output else {
        if std::io::stdout().is_terminal() {
            return Err(CliError::usage(
                "cannot save to a terminal: use --output or redirect",
            ));
        }
        done(store.save(
            &args.images,
            BufWriter::with_capacity(256 << 10, std::io::stdout().lock()),
        ))?;
        return Ok(Exit::Success);
    };
    // A failure leaves what was there before.
    let temporary = path.with_file_name(format!(
        ".{}.{}.part",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let io = |what: String| move |source| CliError::Io { what, source };
    let file = File::create(&temporary).map_err(io(format!("create `{}`", temporary.display())))?;
    let result = done(store.save(&args.images, BufWriter::with_capacity(256 << 10, file)));
    let result = result.and_then(|()| {
        std::fs::rename(&temporary, path).map_err(io(format!("write `{}`", path.display())))
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result.map(|()| Exit::Success)
}

fn options(insecure: &[String], platform: Option<&str>) -> Result<RegistryOptions, CliError> {
    let platform = platform
        .map(Platform::parse)
        .transpose()
        .map_err(|error| failed("cannot use the platform", error))?;
    Ok(RegistryOptions {
        insecure: insecure.to_vec(),
        platform,
        ..RegistryOptions::default()
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Io {
            what: "start the network".to_owned(),
            source,
        })
}

fn reference(name: &str, what: &str) -> Result<Reference, CliError> {
    Reference::parse(name).map_err(|error| failed(what, ImageError::from(error)))
}

/// A line for each change of a layer's state, as Docker prints where it cannot redraw.
fn plain() -> impl Fn(Transfer) + Send + Sync {
    let told: Mutex<std::collections::BTreeMap<String, TransferState>> =
        Mutex::new(Default::default());
    move |transfer: Transfer| {
        let Ok(mut told) = told.lock() else { return };
        if told.insert(transfer.layer.clone(), transfer.state) == Some(transfer.state) {
            return;
        }
        let words = match transfer.state {
            TransferState::Waiting => "Waiting",
            TransferState::Downloading => "Pulling fs layer",
            TransferState::Uploading => "Pushing",
            TransferState::Retrying => "Retrying",
            TransferState::Exists => "Already exists",
            TransferState::Mounted => "Mounted from another repository",
            TransferState::Done => "Complete",
        };
        let _ = writeln!(std::io::stderr().lock(), "{}: {words}", transfer.layer);
    }
}

pub(super) fn pull(store: &ImageStore, args: &PullArgs) -> Result<Exit, CliError> {
    if is_host_image(&args.name) {
        print("The image `host` is built in and needs no pull.\n")?;
        return Ok(Exit::Success);
    }
    let what = format!("cannot pull `{}`", args.name);
    let reference = reference(&args.name, &what)?;
    let options = options(&args.insecure_registry, args.platform.as_deref())?;
    let progress: Box<dyn Fn(Transfer) + Send + Sync> = if args.quiet {
        Box::new(gantry_engine::image::quiet)
    } else {
        Box::new(plain())
    };
    let pulled = runtime()?
        .block_on(registry::pull(store, &reference, &options, &*progress))
        .map_err(|error| failed(what, error))?;
    if !args.quiet {
        let status = if pulled.up_to_date {
            "Image is up to date for"
        } else {
            "Downloaded newer image for"
        };
        print(&format!(
            "Digest: {}\nStatus: {status} {}\n",
            pulled.digest,
            reference.familiar()
        ))?;
    }
    print(&format!("{reference}\n"))?;
    Ok(Exit::Success)
}

pub(super) fn push(store: &ImageStore, args: &PushArgs) -> Result<Exit, CliError> {
    let what = format!("cannot push `{}`", args.name);
    if is_host_image(&args.name) {
        return Err(failed(
            what,
            ImageError::HostBound(args.name.clone(), "pushed"),
        ));
    }
    let named = reference(&args.name, &what)?;
    let names = if args.all_tags {
        let list = store.list().map_err(|error| failed(what.as_str(), error))?;
        list.into_iter()
            .flat_map(|image| image.tags)
            .filter(|tag| tag.familiar_name() == named.familiar_name())
            .collect()
    } else {
        vec![named]
    };
    if names.is_empty() {
        return Err(failed(what, ImageError::NotFound(args.name.clone())));
    }
    let options = options(&args.insecure_registry, None)?;
    let progress: Box<dyn Fn(Transfer) + Send + Sync> = if args.quiet {
        Box::new(gantry_engine::image::quiet)
    } else {
        Box::new(plain())
    };
    let runtime = runtime()?;
    for name in names {
        let pushed = runtime
            .block_on(registry::push(store, &name, &options, &*progress))
            .map_err(|error| failed(what.as_str(), error))?;
        if args.quiet {
            print(&format!("{name}\n"))?;
        } else {
            print(&format!(
                "{}: digest: {} size: {}\n",
                name.tag().unwrap_or_default(),
                pushed.digest,
                pushed.size
            ))?;
        }
    }
    Ok(Exit::Success)
}
