//! Instructions that change the configuration of an image and nothing else. Each gives the text that the history has
//! for it.

use super::diagnostic::Span;
use super::error::BuildError;
use super::expand::Expander;
use super::history;
use super::parse::{Argument, CommandLine, HealthTest};
use super::stage::Stage;
use super::values::{self, Ports};
use crate::image::{Empty, HealthConfig};

impl Stage<'_, '_> {
    pub(super) fn argument(
        &mut self,
        span: Span,
        arguments: &[Argument],
    ) -> Result<String, BuildError> {
        let mut text = "ARG".to_owned();
        let (given, globals) = (&self.solver.request.args, self.solver.globals);
        for argument in arguments {
            let name = &argument.name;
            // A default that the caller's value replaces may be wrong. Names are never expanded.
            let default = argument.default.as_deref();
            let expanded = Argument {
                name: name.clone(),
                default: self.expand_opt(span, default.filter(|_| !given.contains_key(name)))?,
            };
            let value = self.result.variables.declare(&expanded, given, globals);
            text += &match value {
                Some(value) => format!(" {name}={value}"),
                None => format!(" {name}"),
            };
        }
        Ok(text)
    }

    /// All values are those from before the instruction.
    pub(super) fn env(
        &mut self,
        span: Span,
        pairs: &[(String, String)],
    ) -> Result<String, BuildError> {
        let mut expanded = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            expanded.push((self.expand(span, name)?, self.expand(span, value)?));
        }
        for (name, value) in &expanded {
            self.result.variables.set(name, value);
            let env = &mut self.result.config.config.env;
            let entry = format!("{name}={value}");
            match env
                .iter_mut()
                .find(|old| old.split_once('=').is_some_and(|(old, _)| old == name))
            {
                Some(old) => *old = entry,
                None => env.push(entry),
            }
        }
        Ok(history::pairs("ENV", &expanded))
    }

    pub(super) fn labels(
        &mut self,
        span: Span,
        pairs: &[(String, String)],
    ) -> Result<String, BuildError> {
        let mut expanded = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            expanded.push((self.expand(span, name)?, self.expand(span, value)?));
        }
        let text = history::pairs("LABEL", &expanded);
        self.result.config.config.labels.extend(expanded);
        Ok(text)
    }

    pub(super) fn maintainer(&mut self, author: &str) -> String {
        author.clone_into(&mut self.result.config.author);
        format!("MAINTAINER {author}")
    }

    pub(super) fn cmd(&mut self, command: &CommandLine) -> String {
        let words = self.wrapped(command);
        let text = history::quoted("CMD", &words);
        self.result.config.config.cmd = Some(words).filter(|words| !words.is_empty());
        self.cmd_set = true;
        text
    }

    /// The base image's `CMD` was meant for the base image's `ENTRYPOINT`.
    pub(super) fn entrypoint(&mut self, command: &CommandLine) -> String {
        let words = self.wrapped(command);
        let text = history::quoted("ENTRYPOINT", &words);
        self.result.config.config.entrypoint = Some(words).filter(|words| !words.is_empty());
        if !self.cmd_set {
            self.result.config.config.cmd = None;
        }
        text
    }

    pub(super) fn shell(&mut self, words: &[String]) -> String {
        self.result.config.config.shell = Some(words.to_vec());
        history::listed("SHELL", words)
    }

    pub(super) fn user(&mut self, span: Span, text: &str) -> Result<String, BuildError> {
        let user = self.expand(span, text)?;
        self.result.config.config.user.clone_from(&user);
        Ok(format!("USER {user}"))
    }

    pub(super) fn volumes(&mut self, span: Span, paths: &[String]) -> Result<String, BuildError> {
        let mut expanded = Vec::with_capacity(paths.len());
        for path in paths {
            let path = self.expand(span, path)?;
            values::check_volume(&path).map_err(|reason| self.wrong(span, reason, None))?;
            expanded.push(path);
        }
        let text = history::listed("VOLUME", &expanded);
        let volumes = &mut self.result.config.config.volumes;
        volumes.extend(expanded.into_iter().map(|path| (path, Empty {})));
        Ok(text)
    }

    pub(super) fn expose(&mut self, span: Span, words: &[String]) -> Result<String, BuildError> {
        let lookup = |name: &str| self.result.variables.get(name);
        let expander = Expander {
            escape: self.solver.file.directives.escape,
            lookup: &lookup,
            keep_quotes: false,
        };
        let wrong = |reason| self.wrong(span, reason, None);
        let mut ports = Vec::with_capacity(words.len());
        for word in words {
            for word in expander.words(word).map_err(wrong)? {
                let read = Ports::read(&word).and_then(|ports| ports.keys());
                ports.extend(read.map_err(wrong)?);
            }
        }
        let text = history::listed("EXPOSE", &ports);
        let exposed = &mut self.result.config.config.exposed_ports;
        exposed.extend(ports.into_iter().map(|port| (port, Empty {})));
        Ok(text)
    }

    pub(super) fn stop_signal(&mut self, span: Span, text: &str) -> Result<String, BuildError> {
        let signal = self.expand(span, text)?;
        values::check_signal(&signal)
            .map_err(|reason| self.wrong(span, reason, Some(values::SIGNAL_HELP)))?;
        self.result.config.config.stop_signal.clone_from(&signal);
        Ok(format!("STOPSIGNAL {signal}"))
    }

    pub(super) fn healthcheck(&mut self, test: &HealthTest) -> String {
        let probe = HealthConfig {
            test: test.test.clone(),
            interval: test.interval,
            timeout: test.timeout,
            start_period: test.start_period,
            start_interval: test.start_interval,
            retries: test.retries,
        };
        let text = history::health(&probe);
        self.result.config.config.healthcheck = Some(probe);
        text
    }
}
