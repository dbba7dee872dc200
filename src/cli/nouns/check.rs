//! `system check`: whether the store is whole, and making it so again.

use std::collections::BTreeSet;

use clap::Args;
use gantry_engine::container::Status;
use gantry_engine::engine::{Engine, ListFilter};
use gantry_engine::image::{Damage, ImageId, Problem, Reference};
use gantry_engine::registry::{self, RegistryOptions};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::print;

/// What was typed after `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Tell only what is damaged.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Verifies every digest; what a registry has is brought again.
pub fn run(global: &Global, engine: &Engine, args: &CheckArgs) -> Result<Exit, CliError> {
    let verified = engine.images().verify().map_err(wrap)?;
    for problem in &verified.problems {
        print(&format!("{}: {}\n", problem.damage, problem.reason))?;
    }
    if !verified.problems.is_empty() && !global.dry_run {
        repair(engine, &verified.problems)?;
        let again = engine.images().verify().map_err(wrap)?;
        for problem in &again.problems {
            print(&left(engine, problem))?;
        }
        if again.problems.is_empty() {
            print("everything is repaired\n")?;
            return Ok(Exit::Success);
        }
        return Ok(Exit::Failure);
    }
    if verified.problems.is_empty() && !args.quiet {
        print(&format!(
            "{} blobs, {} layers and {} images are what their names say\n",
            verified.blobs, verified.layers, verified.images
        ))?;
    }
    Ok(match verified.problems.is_empty() {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

/// Brings again what the damaged images were pulled or pushed as, each whole.
fn repair(engine: &Engine, problems: &[Problem]) -> Result<(), CliError> {
    let mut busy = BTreeSet::new();
    for container in engine.list(&ListFilter::everything())? {
        if matches!(container.state.status, Status::Running | Status::Paused) {
            busy.insert(container.image_id.clone());
        }
    }
    let images: BTreeSet<ImageId> = problems
        .iter()
        .flat_map(|problem| problem.images.iter().copied())
        .collect();
    for problem in problems {
        if let Damage::Name(_) = problem.damage {
            engine.images().discard(&problem.damage).map_err(wrap)?;
        }
    }
    for problem in problems {
        if let Damage::Layer(layer) = &problem.damage {
            // What was built here is built again, and not taken from the cache.
            let images = engine.images();
            images.forget_cached(layer).map_err(wrap)?;
            if problem.images.is_empty() {
                images.discard(&problem.damage).map_err(wrap)?;
            }
        }
    }
    for id in images {
        let Some(name) = origin(engine, &id)? else {
            continue;
        };
        if busy.contains(&id.to_string()) {
            eprintln!(
                "warning: {} is used by a running container: stop it, and check again",
                name.familiar()
            );
            continue;
        }
        bring(engine, &id, &name, problems)?;
    }
    Ok(())
}

/// A name that says what exactly a registry has.
fn origin(engine: &Engine, id: &ImageId) -> Result<Option<Reference>, CliError> {
    let (_, digests) = engine.images().names(id).map_err(wrap)?;
    Ok(digests.into_iter().next())
}

fn bring(
    engine: &Engine,
    id: &ImageId,
    name: &Reference,
    problems: &[Problem],
) -> Result<(), CliError> {
    let options = RegistryOptions::of_machine();
    let shown = name.familiar();
    // Nothing is taken away before the registry has shown that it is there.
    let result = registry::probe_blocking(name, &options).and_then(|()| {
        for problem in problems
            .iter()
            .filter(|problem| problem.images.contains(id))
        {
            engine.images().discard(&problem.damage)?;
        }
        registry::pull_blocking(engine.images(), name, &options, &|_| {})
    });
    match result {
        Ok(_) => print(&format!("pulled {shown} again\n")),
        Err(error) => {
            let error = CliError::Registry {
                what: format!("pull {shown} again"),
                source: Box::new(error),
            };
            eprint!("{}", error.render());
            Ok(())
        }
    }
}

/// What is left to the user.
fn left(engine: &Engine, problem: &Problem) -> String {
    let names: Vec<String> = problem
        .images
        .iter()
        .map(|id| {
            let names = engine.images().names(id).unwrap_or_default();
            let name = names.0.into_iter().chain(names.1).next();
            name.map_or_else(|| id.short().to_string(), |name| name.familiar())
        })
        .collect();
    let remedy = match (&problem.damage, names.as_slice()) {
        (_, []) => "no image needs it: `gantry image prune` removes it".to_owned(),
        (_, names) => format!("remove, and build or load again: {}", names.join(", ")),
    };
    format!("not repaired: {}; {remedy}\n", problem.damage)
}

fn wrap(error: gantry_engine::image::ImageError) -> CliError {
    CliError::Engine(error.into())
}
