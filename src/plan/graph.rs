//! The plan itself: a directed acyclic graph of steps.

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

use super::operation::{Operation, Reason, Warning};

/// A step's place in its plan.
pub type StepId = NodeIndex<u32>;

/// An operation and its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub operation: Operation,
    /// Why.
    pub reason: Reason,
}

/// Steps, each after those it needs. Steps are added after what they need, so insertion order
/// is a topological order and no cycle can be built.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    graph: DiGraph<Step, ()>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Adds a step that begins when all of `after` are done.
    pub fn add(&mut self, operation: Operation, reason: Reason, after: &[StepId]) -> StepId {
        let id = self.graph.add_node(Step { operation, reason });
        for before in after {
            // `update_edge`: naming a predecessor twice is one edge.
            self.graph.update_edge(*before, id, ());
        }
        id
    }

    /// A step.
    #[must_use]
    pub fn step(&self, id: StepId) -> &Step {
        &self.graph[id]
    }

    /// All steps, each after those it needs.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.graph.node_indices().map(|id| (id, &self.graph[id]))
    }

    /// What a step needs, in order.
    #[must_use]
    pub fn after(&self, id: StepId) -> Vec<StepId> {
        let mut before: Vec<_> = self
            .graph
            .edges_directed(id, Direction::Incoming)
            .map(|edge| edge.source())
            .collect();
        before.sort();
        before
    }

    /// What needs a step, in order.
    #[must_use]
    pub fn before(&self, id: StepId) -> Vec<StepId> {
        let mut after: Vec<_> = self
            .graph
            .edges_directed(id, Direction::Outgoing)
            .map(|edge| edge.target())
            .collect();
        after.sort();
        after
    }

    /// How many steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graph.node_count() == 0
    }
}
