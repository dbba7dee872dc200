//! Which stages depend on which, and which of them the target needs.
//!
//! Edges come from `FROM name`, `COPY --from` and `RUN --mount=from`. Names that are no stage are images or
//! named contexts. A name of this or a later stage is an error, as is a cycle.

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Dfs;

use super::diagnostic::{Diagnostic, Source, Span, did_you_mean};
use super::parse::{Instruction, Kind, error};
use super::stages::Stages;

/// What a `from` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A stage, by number.
    Stage(usize),
    /// An image or a named context.
    Outside(String),
}

/// The stages with their dependencies.
pub(super) struct Graph {
    graph: DiGraph<(), Span>,
}

impl Graph {
    /// Builds the graph. `base` tells what each stage's `FROM` means once expanded, `is_context` whether a
    /// name is a named context, which goes before stages.
    pub(super) fn new(
        source: &Source,
        stages: &Stages,
        bases: &[Origin],
        is_context: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Box<Diagnostic>> {
        let mut graph = DiGraph::new();
        let nodes: Vec<NodeIndex> = stages.list.iter().map(|_| graph.add_node(())).collect();
        let mut forward = None;
        for (index, stage) in stages.list.iter().enumerate() {
            if let Origin::Stage(base) = bases[index] {
                graph.add_edge(nodes[index], nodes[base], stage.span);
            }
            for (instruction, from) in stage
                .instructions
                .iter()
                .flat_map(|i| references(i).map(move |from| (i, from)))
            {
                if is_context(from) {
                    continue;
                }
                match stages.by_name(from, index) {
                    Some(other) => {
                        graph.add_edge(nodes[index], nodes[other], instruction.span);
                    }
                    None => {
                        if let Some(other) = stages.by_name(from, stages.list.len()) {
                            graph.add_edge(nodes[index], nodes[other], instruction.span);
                            forward.get_or_insert((
                                instruction.span,
                                from.to_owned(),
                                stage.label(index),
                            ));
                        } else if let Some(other) = number(source, instruction.span, from, index)? {
                            graph.add_edge(nodes[index], nodes[other], instruction.span);
                        }
                    }
                }
            }
        }
        let looped = tarjan_scc(&graph).into_iter().find_map(|group| {
            let first = group.iter().min()?.index();
            let own = NodeIndex::new(first);
            let edge = graph
                .edges(own)
                .find(|edge| group.contains(&petgraph::visit::EdgeRef::target(edge)))?;
            Some((first, *edge.weight()))
        });
        if let Some((first, span)) = looped {
            let message = format!(
                "circular dependency detected on stage `{}`",
                stages.list[first].label(first)
            );
            return Err(error(
                source,
                span,
                message,
                Some("a stage may only use stages that come before it"),
            ));
        }
        if let Some((span, from, stage)) = forward {
            let message = format!(
                "cannot copy from stage `{from}`: it needs to be defined before the current stage `{stage}`"
            );
            return Err(error(source, span, message, Some("move that stage up")));
        }
        Ok(Self { graph })
    }

    /// The target and everything it depends on, in file order.
    pub(super) fn needed(&self, target: usize) -> Vec<usize> {
        let mut walk = Dfs::new(&self.graph, NodeIndex::new(target));
        let mut needed = Vec::new();
        while let Some(node) = walk.next(&self.graph) {
            needed.push(node.index());
        }
        needed.sort_unstable();
        needed
    }
}

/// The `from`s of an instruction.
fn references(instruction: &Instruction) -> impl Iterator<Item = &str> {
    let (copy, mounts) = match &instruction.kind {
        Kind::Copy(flags, _) => (flags.from.as_deref(), None),
        Kind::Run(flags, _) => (
            None,
            Some(
                flags
                    .mounts
                    .iter()
                    .filter_map(|mount| mount.from.as_deref()),
            ),
        ),
        _ => (None, None),
    };
    copy.into_iter()
        .chain(mounts.into_iter().flatten())
        .filter(|from| !from.is_empty())
}

/// What a `from` means to the stage `index`: a stage before it, by name or number, or something outside.
pub(super) fn origin(
    source: &Source,
    span: Span,
    stages: &Stages,
    from: &str,
    index: usize,
) -> Result<Origin, Box<Diagnostic>> {
    if let Some(stage) = stages.by_name(from, index) {
        return Ok(Origin::Stage(stage));
    }
    Ok(match number(source, span, from, index)? {
        Some(stage) => Origin::Stage(stage),
        None => Origin::Outside(from.to_owned()),
    })
}

fn number(
    source: &Source,
    span: Span,
    from: &str,
    index: usize,
) -> Result<Option<usize>, Box<Diagnostic>> {
    if from.is_empty() || !from.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match from.parse::<usize>() {
        Ok(stage) if stage < index => Ok(Some(stage)),
        Ok(stage) if stage == index => Err(error(
            source,
            span,
            format!("circular dependency detected on stage `{from}`"),
            None,
        )),
        _ => {
            let help = format!(
                "stages before this one have the numbers 0 to {}",
                index.saturating_sub(1)
            );
            Err(error(
                source,
                span,
                format!("invalid stage index `{from}`"),
                Some(&help),
            ))
        }
    }
}

/// A remedy for a target that is no stage.
pub(super) fn near_stage(stages: &Stages, name: &str) -> Option<String> {
    let names = stages
        .list
        .iter()
        .filter_map(|stage| stage.from.name.as_deref());
    did_you_mean(name, names).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::parse::parse;

    fn graph(text: &str) -> Result<(Stages, Graph), String> {
        let file = parse("Dockerfile", text.as_bytes()).map_err(|e| e.message)?;
        let stages = Stages::new(&file).map_err(|e| e.message)?;
        let bases: Vec<Origin> = stages
            .list
            .iter()
            .enumerate()
            .map(
                |(index, stage)| match stages.by_name(&stage.from.image, index) {
                    Some(base) => Origin::Stage(base),
                    None => Origin::Outside(stage.from.image.clone()),
                },
            )
            .collect();
        let graph = Graph::new(&file.source, &stages, &bases, &|_| false).map_err(|e| e.message)?;
        Ok((stages, graph))
    }

    #[test]
    fn only_what_the_target_reaches_is_needed() {
        let text = "FROM i AS a\nFROM i AS b\nFROM i AS c\nCOPY --from=a / /\nRUN --mount=from=3,target=/x true\n";
        assert!(graph(text).is_err_and(|e| e.contains("invalid stage index")));
        let text = "FROM i AS a\nFROM i AS b\nFROM a AS c\nRUN --mount=from=image,target=/x true\nFROM i\nCOPY --from=C / /\n";
        let (stages, graph) = graph(text).unwrap();
        assert_eq!(graph.needed(stages.target(None).unwrap()), [0, 2, 3]);
        assert_eq!(graph.needed(stages.target(Some("B")).unwrap()), [1]);
    }

    #[test]
    fn cycles_and_forward_references_are_refused() {
        let cycle = "FROM i AS a\nCOPY --from=b / /\nFROM i AS b\nCOPY --from=a / /\n";
        assert!(
            graph(cycle).is_err_and(|e| e.contains("circular dependency detected on stage `a`"))
        );
        let own = "FROM i AS a\nCOPY --from=a / /\n";
        assert!(graph(own).is_err_and(|e| e.contains("circular")));
        let forward = "FROM i AS a\nCOPY --from=b / /\nFROM i AS b\n";
        assert!(graph(forward).is_err_and(|e| e.contains("`b`") && e.contains("before")));
    }
}
