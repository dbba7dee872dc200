//! The conversation: who said what, in which order, and what is answered.
//!
//! Messages are read ahead, so that a request that was taken back is not worked on, and problems
//! are looked for only when nothing else waits: while somebody types, answers come first.

mod requests;

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use lsp_types::notification::{
    Cancel, DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument,
    DidOpenTextDocument, DidSaveTextDocument, Exit, Initialized, Notification, PublishDiagnostics,
};
use lsp_types::request::{Initialize, RegisterCapability, Request, Shutdown};
use lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    InitializeParams, InitializeResult, PublishDiagnosticsParams, ServerInfo,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::loader::LoadOptions;

use super::client::Client;
use super::documents::Document;
use super::problems::{self, Style};
use super::wire::{self, Id, Incoming, WireError, code};
use super::workspace::Workspace;

/// How long nothing must be said before problems are looked for.
const QUIET: Duration = Duration::from_millis(40);
/// Messages read ahead, at most.
const AHEAD: usize = 1024;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As the protocol wants it: `shutdown`, then `exit`.
    Orderly,
    /// `exit` alone, or nobody there any more.
    Cut,
}

/// How far a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Strange,
    Open,
    Closing,
}

/// A language server.
pub struct Server<W> {
    output: W,
    workspace: Workspace,
    phase: Phase,
    client: Client,
    inbox: VecDeque<Incoming>,
    /// Whether problems must be looked for.
    stale: bool,
    /// Files whose problems the client has.
    shown: BTreeSet<PathBuf>,
}

/// Why a request gets no result.
struct Refusal(i32, String);

impl<W: Write> Server<W> {
    /// A server that has not been spoken to.
    pub fn new(output: W, options: LoadOptions) -> Self {
        Self {
            output,
            workspace: Workspace::new(options),
            phase: Phase::Strange,
            client: Client::default(),
            inbox: VecDeque::new(),
            stale: false,
            shown: BTreeSet::new(),
        }
    }

    /// Answers until the conversation ends.
    ///
    /// # Errors
    /// When nothing can be written, or what is read is not the protocol.
    pub fn run(&mut self, input: &Receiver<Result<Incoming, WireError>>) -> Result<End, WireError> {
        loop {
            while self.inbox.len() < AHEAD
                && let Ok(message) = input.try_recv()
            {
                self.inbox.push_back(message?);
            }
            let message = match self.inbox.pop_front() {
                Some(message) => message,
                None if self.stale => match input.recv_timeout(QUIET) {
                    Ok(message) => message?,
                    Err(RecvTimeoutError::Timeout) => {
                        self.publish()?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(End::Cut),
                },
                None => match input.recv() {
                    Ok(message) => message?,
                    Err(_) => return Ok(End::Cut),
                },
            };
            if let Some(end) = self.receive(message)? {
                return Ok(end);
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result<(), WireError> {
        wire::write(&mut self.output, message)
    }

    fn receive(&mut self, message: Incoming) -> Result<Option<End>, WireError> {
        match message {
            Incoming::Response => {}
            Incoming::Invalid(code, why) => self.send(&wire::refusal(Value::Null, code, &why))?,
            Incoming::Notification { method, params } => {
                if method == Exit::METHOD {
                    return Ok(Some(if self.phase == Phase::Closing {
                        End::Orderly
                    } else {
                        End::Cut
                    }));
                }
                if self.phase == Phase::Open {
                    self.notified(&method, params)?;
                }
            }
            Incoming::Request { id, method, params } => {
                let answer = if self.is_cancelled(&id) {
                    Err(Refusal(code::CANCELLED, "cancelled".to_owned()))
                } else {
                    self.asked(&method, params)
                };
                let message = match answer {
                    Ok(result) => wire::answer(id, result),
                    Err(Refusal(code, why)) => wire::refusal(id, code, &why),
                };
                self.send(&message)?;
            }
        }
        Ok(None)
    }

    /// Whether the client has taken a request back while it waited.
    fn is_cancelled(&self, id: &Id) -> bool {
        self.inbox.iter().any(|message| match message {
            Incoming::Notification { method, params } => {
                method == Cancel::METHOD && params.get("id") == Some(id)
            }
            _ => false,
        })
    }

    fn asked(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        match (self.phase, method) {
            (Phase::Strange, Initialize::METHOD) => {
                let result = self.initialize(&parse::<InitializeParams>(params)?);
                self.phase = Phase::Open;
                result
            }
            (Phase::Strange, _) => Err(Refusal(
                code::NOT_INITIALIZED,
                "the first request is `initialize`".to_owned(),
            )),
            (Phase::Closing, _) | (_, Initialize::METHOD) => Err(Refusal(
                code::INVALID_REQUEST,
                format!("`{method}` at the wrong time"),
            )),
            (Phase::Open, Shutdown::METHOD) => {
                self.phase = Phase::Closing;
                Ok(Value::Null)
            }
            (Phase::Open, _) => self.request(method, params),
        }
    }

    fn initialize(&mut self, params: &InitializeParams) -> Result<Value, Refusal> {
        self.client = Client::of(&params.capabilities);
        value(&InitializeResult {
            capabilities: self.client.capabilities(),
            server_info: Some(ServerInfo {
                name: "gantry".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
        })
    }

    fn notified(&mut self, method: &str, params: Value) -> Result<(), WireError> {
        // A notification cannot be refused: one that is not understood is left out.
        match method {
            Initialized::METHOD if self.client.watches => self.watch_files()?,
            DidOpenTextDocument::METHOD => {
                if let Ok(DidOpenTextDocumentParams {
                    text_document: item,
                }) = parse(params)
                {
                    let document =
                        Document::new(item.uri, item.language_id, item.version, item.text);
                    self.workspace.documents.open(document);
                    self.touched();
                }
            }
            DidChangeTextDocument::METHOD => {
                if let Ok(params) = parse::<DidChangeTextDocumentParams>(params)
                    && let Some(document) =
                        self.workspace.documents.get_mut(&params.text_document.uri)
                {
                    document.change(
                        params.text_document.version,
                        params.content_changes,
                        self.client.encoding,
                    );
                    self.touched();
                }
            }
            DidCloseTextDocument::METHOD => {
                if let Ok(DidCloseTextDocumentParams { text_document }) = parse(params)
                    && let Some(closed) = self.workspace.documents.close(&text_document.uri)
                {
                    self.workspace.forget(&closed.path);
                    self.touched();
                }
            }
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => self.touched(),
            _ => {}
        }
        Ok(())
    }

    fn touched(&mut self) {
        self.workspace.changed();
        self.stale = true;
    }

    /// Asks to be told when files change that are not open: included ones, `.env`.
    fn watch_files(&mut self) -> Result<(), WireError> {
        let watchers = json!([{ "globPattern": "**/*.{yaml,yml}" }, { "globPattern": "**/*.env" }]);
        let registration = json!({ "registrations": [{
            "id": "files",
            "method": DidChangeWatchedFiles::METHOD,
            "registerOptions": { "watchers": watchers },
        }] });
        self.send(&wire::request(
            "files",
            RegisterCapability::METHOD,
            registration,
        ))
    }

    /// Tells the client the problems of all open texts and the files they lead to.
    fn publish(&mut self) -> Result<(), WireError> {
        self.stale = false;
        let paths: Vec<PathBuf> = self
            .workspace
            .documents
            .iter()
            .filter(|document| document.is_compose())
            .map(|document| document.path.clone())
            .collect();
        let mut projects = Vec::new();
        for path in paths {
            let project = self.workspace.project(&path);
            if !projects.iter().any(|known| Rc::ptr_eq(known, &project)) {
                projects.push(project);
            }
        }
        let style = Style {
            encoding: self.client.encoding,
            related: self.client.related,
        };
        let mut found = problems::by_file(&projects, style);
        for path in std::mem::take(&mut self.shown) {
            found.entry(path).or_default();
        }
        for (path, diagnostics) in found {
            let document = self.workspace.documents.of_path(&path);
            let Some(uri) = self.workspace.documents.uri(&path) else {
                continue;
            };
            let version = document.map(|document| document.version);
            if !diagnostics.is_empty() {
                self.shown.insert(path);
            }
            let params = PublishDiagnosticsParams::new(uri, diagnostics, version);
            let params = serde_json::to_value(params).unwrap_or_default();
            self.send(&wire::notification(PublishDiagnostics::METHOD, params))?;
        }
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params)
        .map_err(|error| Refusal(code::INVALID_PARAMS, format!("parameters: {error}")))
}

fn value(result: &impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(result).map_err(|error| Refusal(code::INTERNAL, error.to_string()))
}

#[cfg(test)]
mod tests;
