//! What an editor asks, once the conversation is open.

use lsp_types::request::{
    CodeActionRequest, Completion, DocumentSymbolRequest, GotoDefinition, HoverRequest,
    PrepareRenameRequest, References, Rename, Request,
};
use lsp_types::{
    CodeActionParams, CompletionParams, CompletionResponse, DocumentSymbolParams,
    GotoDefinitionParams, GotoDefinitionResponse, HoverContents, HoverParams, MarkupContent,
    MarkupKind, PrepareRenameResponse, ReferenceParams, RenameParams, TextDocumentPositionParams,
};
use serde_json::Value;

use crate::lsp::documents::Document;
use crate::lsp::references::{self, Definitions};
use crate::lsp::wire::code;
use crate::lsp::{completion, definition, fixes, hover, symbols};

use super::{Refusal, Server, parse, value};

type Answer = Result<Value, Refusal>;

impl<W> Server<W> {
    pub(super) fn request(&mut self, method: &str, params: Value) -> Answer {
        match method {
            Completion::METHOD => self.complete(&parse(params)?),
            HoverRequest::METHOD => self.explain(&parse(params)?),
            GotoDefinition::METHOD => self.define(&parse(params)?),
            References::METHOD => self.refer(&parse(params)?),
            PrepareRenameRequest::METHOD => self.prepare_rename(&parse(params)?),
            Rename::METHOD => self.rename(&parse(params)?),
            CodeActionRequest::METHOD => self.fix(parse(params)?),
            DocumentSymbolRequest::METHOD => self.list_symbols(&parse(params)?),
            _ => Err(Refusal(
                code::METHOD_NOT_FOUND,
                format!("`{method}` is not answered here"),
            )),
        }
    }

    fn complete(&mut self, params: &CompletionParams) -> Answer {
        self.at_place(
            &params.text_document_position,
            |server, document, offset| {
                let encoding = server.client.encoding;
                let items = completion::complete(&mut server.workspace, document, offset, encoding);
                value(&CompletionResponse::Array(items))
            },
        )
    }

    fn explain(&mut self, params: &HoverParams) -> Answer {
        self.at_place(
            &params.text_document_position_params,
            |server, document, offset| {
                let Some((markdown, range)) = hover::hover(&mut server.workspace, document, offset)
                else {
                    return Ok(Value::Null);
                };
                let encoding = server.client.encoding;
                value(&lsp_types::Hover {
                    contents: HoverContents::Markup(MarkupContent {
                        kind: MarkupKind::Markdown,
                        value: markdown,
                    }),
                    range: Some(document.lines.positions(&document.text, &range, encoding)),
                })
            },
        )
    }

    fn define(&mut self, params: &GotoDefinitionParams) -> Answer {
        self.at_place(
            &params.text_document_position_params,
            |server, document, offset| {
                let encoding = server.client.encoding;
                let found = definition::find(&mut server.workspace, document, offset, encoding);
                value(&GotoDefinitionResponse::Array(found))
            },
        )
    }

    fn refer(&mut self, params: &ReferenceParams) -> Answer {
        let definitions = if params.context.include_declaration {
            Definitions::Counted
        } else {
            Definitions::LeftOut
        };
        self.at_place(
            &params.text_document_position,
            |server, document, offset| {
                value(&references::find(
                    &mut server.workspace,
                    document,
                    offset,
                    server.client.encoding,
                    definitions,
                ))
            },
        )
    }

    fn prepare_rename(&mut self, params: &TextDocumentPositionParams) -> Answer {
        self.at_place(params, |server, document, offset| {
            let Some((placeholder, at)) = references::renamable(document, offset) else {
                return Ok(Value::Null);
            };
            let encoding = server.client.encoding;
            let range = document.lines.positions(&document.text, &at, encoding);
            value(&PrepareRenameResponse::RangeWithPlaceholder { range, placeholder })
        })
    }

    fn rename(&mut self, params: &RenameParams) -> Answer {
        let new = &params.new_name;
        self.at_place(
            &params.text_document_position,
            |server, document, offset| {
                let encoding = server.client.encoding;
                references::rename(&mut server.workspace, document, offset, encoding, new)
                    .map_err(|why| Refusal(code::REQUEST_FAILED, why))
                    .and_then(|edit| value(&edit))
            },
        )
    }

    fn fix(&mut self, params: CodeActionParams) -> Answer {
        let encoding = self.client.encoding;
        match self.workspace.documents.get(&params.text_document.uri) {
            Some(document) if self.client.fixes => {
                value(&fixes::of(document, params.context.diagnostics, encoding))
            }
            _ => Ok(Value::Null),
        }
    }

    fn list_symbols(&mut self, params: &DocumentSymbolParams) -> Answer {
        let client = self.client;
        match self.workspace.documents.get(&params.text_document.uri) {
            Some(document) if document.is_compose() => value(&symbols::symbols(
                document,
                client.encoding,
                client.nested_symbols,
            )),
            _ => Ok(Value::Null),
        }
    }

    /// Asks about a place of an open text; of texts that are not ours there is nothing to say.
    fn at_place(
        &mut self,
        params: &TextDocumentPositionParams,
        ask: impl FnOnce(&mut Self, &Document, usize) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let document = self.workspace.documents.get(&params.text_document.uri);
        let Some(document) = document.filter(|document| document.is_compose()).cloned() else {
            return Ok(Value::Null);
        };
        let encoding = self.client.encoding;
        let offset = document
            .lines
            .offset(&document.text, params.position, encoding);
        ask(self, &document, offset)
    }
}
