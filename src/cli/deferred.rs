//! Flags of a verb, described to the parser only once the verb was typed: the whole grammar takes
//! longer to build than most commands to run.

use std::cell::Cell;

use clap::builder::Resettable;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Subcommand};

use super::flags::with_boolean_values;

thread_local! {
    static DESCRIBE: Cell<Describe> = const { Cell::new(Describe::WhenTyped) };
}

/// When the flags of verbs are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Describe {
    WhenTyped,
    AtOnce,
}

/// Builds a grammar with nothing left out. Switches take no values in it.
pub fn at_once(build: fn() -> Command) -> Command {
    let before = DESCRIBE.replace(Describe::AtOnce);
    let command = build();
    DESCRIBE.set(before);
    command
}

/// What follows a verb or a noun.
#[derive(Debug)]
pub struct Deferred<A>(pub A);

/// Leaves the description for later; what the verb says about itself stays.
fn describe(
    command: Command,
    now: fn(Command) -> Command,
    later: fn(Command) -> Command,
) -> Command {
    match DESCRIBE.get() {
        Describe::AtOnce => now(command),
        Describe::WhenTyped => command.defer(later),
    }
}

/// Describes it now, with the words of the verb rather than those of its flags' type.
fn described(command: Command, by: fn(Command) -> Command) -> Command {
    let about = command.get_about().cloned();
    let long_about = command.get_long_about().cloned();
    let command = with_boolean_values(by(command));
    command
        .about(Resettable::from(about))
        .long_about(Resettable::from(long_about))
}

fn args<A: Args>(command: Command) -> Command {
    described(command, A::augment_args)
}

fn subcommands<S: Subcommand>(command: Command) -> Command {
    described(command, S::augment_subcommands)
}

impl<A: Args> Args for Deferred<A> {
    fn augment_args(command: Command) -> Command {
        describe(command, A::augment_args, args::<A>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        A::augment_args_for_update(command)
    }
}

impl<S: Subcommand> Subcommand for Deferred<S> {
    fn augment_subcommands(command: Command) -> Command {
        describe(command, S::augment_subcommands, subcommands::<S>)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        S::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        S::has_subcommand(name)
    }
}

impl<A: FromArgMatches> FromArgMatches for Deferred<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}
