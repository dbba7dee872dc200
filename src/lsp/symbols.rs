//! The top-level elements of a text and what they define, for the outline of an editor.

use lsp_types::{DocumentSymbol, DocumentSymbolResponse, Location, SymbolInformation, SymbolKind};

use super::documents::Document;
use super::outline::Entry;
use super::position::Encoding;

/// As a tree, or as a list for clients that know no other.
#[expect(
    deprecated,
    reason = "the protocol's types have a field that nobody sets"
)]
pub fn symbols(document: &Document, encoding: Encoding, nested: bool) -> DocumentSymbolResponse {
    let outline = &document.outline;
    let tree: Vec<DocumentSymbol> = outline
        .children(None)
        .filter_map(|(index, entry)| {
            let section = entry.key()?;
            let children = outline
                .children(Some(index))
                .filter(|_| kind(section) != SymbolKind::STRING)
                .filter_map(|(child, entry)| {
                    let about = outline
                        .child(Some(child), "image")
                        .and_then(|image| outline.get(image))
                        .and_then(|image| document.text.get(image.value.clone()));
                    symbol(document, entry, kind(section), about, Vec::new(), encoding)
                })
                .collect();
            symbol(
                document,
                entry,
                SymbolKind::NAMESPACE,
                None,
                children,
                encoding,
            )
        })
        .collect();
    if nested {
        return DocumentSymbolResponse::Nested(tree);
    }
    let flat = tree
        .into_iter()
        .flat_map(|section| {
            section
                .children
                .unwrap_or_default()
                .into_iter()
                .map(move |child| SymbolInformation {
                    name: child.name,
                    kind: child.kind,
                    tags: None,
                    deprecated: None,
                    location: Location::new(document.uri.clone(), child.range),
                    container_name: Some(section.name.clone()),
                })
        })
        .collect();
    DocumentSymbolResponse::Flat(flat)
}

#[expect(
    deprecated,
    reason = "the protocol's types have a field that nobody sets"
)]
fn symbol(
    document: &Document,
    entry: &Entry,
    kind: SymbolKind,
    detail: Option<&str>,
    children: Vec<DocumentSymbol>,
    encoding: Encoding,
) -> Option<DocumentSymbol> {
    // Clients refuse symbols without a name.
    let name = entry.key().filter(|name| !name.trim().is_empty())?;
    let positions = |range| document.lines.positions(&document.text, &range, encoding);
    Some(DocumentSymbol {
        name: name.to_owned(),
        detail: detail.map(str::to_owned),
        kind,
        tags: None,
        deprecated: None,
        range: positions(entry.at.start..entry.end.max(entry.at.end)),
        selection_range: positions(entry.at.clone()),
        children: (!children.is_empty()).then_some(children),
    })
}

/// What the children of a top-level element are; `STRING` for those that are no names.
fn kind(section: &str) -> SymbolKind {
    match section {
        "services" => SymbolKind::CLASS,
        "networks" => SymbolKind::INTERFACE,
        "volumes" | "secrets" | "configs" => SymbolKind::OBJECT,
        "models" => SymbolKind::MODULE,
        _ => SymbolKind::STRING,
    }
}
