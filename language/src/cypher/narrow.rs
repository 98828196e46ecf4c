//! Which types the nodes and relationships of a pattern can have: an edge type fixes the types at
//! its ends, and nodes leave only the edge types that fit them. Repeated until nothing changes.
//!
//! Pure: sets of types in, smaller sets out. It knows no names and no text.
//!
//! `(a:Person)-[:WorksAt]->(b)` with `edge WorksAt: Person -> Org` makes `b` an `Org`.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Direction, Length};
use crate::schema::{EdgeType, Schema, TypeId};

/// A node of the pattern; the same node may stand in several places.
#[derive(Clone, Debug)]
pub(super) struct Vertex {
    pub(super) types: BTreeSet<TypeId>,
    /// Something that the user wrote limits the types.
    pub(super) explicit: bool,
}

/// A relationship of the pattern, between two vertices.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) types: BTreeSet<TypeId>,
    pub(super) explicit: bool,
    pub(super) direction: Direction,
    pub(super) length: Option<Length>,
}

/// What one link leaves of the types at its ends and of its own.
struct Narrowed {
    left: BTreeSet<TypeId>,
    edges: BTreeSet<TypeId>,
    right: BTreeSet<TypeId>,
}

/// Is told how many types are about to be looked at, and says whether to go on.
pub(super) type Spend<'a> = &'a mut dyn FnMut(usize) -> bool;

/// Narrows everything as far as it goes, or as far as `spend` lets it. `Err` is the link that nothing can
/// match although the user asked for it; vertices and link are then as they were before it was looked at.
pub(super) fn narrow(
    schema: &Schema,
    vertices: &mut [Vertex],
    links: &mut [Link],
    spend: Spend<'_>,
) -> Result<(), usize> {
    // To and fro, so that a long chain is done in a few passes from whichever end it is narrowed.
    let order: Vec<usize> = (0..links.len()).chain((0..links.len()).rev()).collect();
    loop {
        let mut changed = false;
        for index in &order {
            let link = &mut links[*index];
            let sides = [link.left, link.right].map(|side| vertices[side].types.len());
            if !spend(sides[0] + sides[1] + schema.edge_types.len()) {
                return Ok(());
            }
            changed |= narrow_link(schema, vertices, link, spend).ok_or(*index)?;
        }
        if !changed {
            return Ok(());
        }
    }
}

/// Whether it changed anything; `None` when it can never match.
fn narrow_link(
    schema: &Schema,
    vertices: &mut [Vertex],
    link: &mut Link,
    spend: Spend<'_>,
) -> Option<bool> {
    let (left, right) = (vertices[link.left].clone(), vertices[link.right].clone());
    let was_possible = !left.types.is_empty()
        && !right.types.is_empty()
        && (!link.types.is_empty() || link.length.is_some_and(|length| length.min == 0));
    let narrowed = through(schema, &left.types, link, &right.types, spend);
    let explicit = left.explicit || right.explicit || link.explicit;
    if was_possible && explicit && (narrowed.left.is_empty() || narrowed.right.is_empty()) {
        return None;
    }
    let mut changed = false;
    for (vertex, types) in [(link.left, narrowed.left), (link.right, narrowed.right)] {
        let vertex = &mut vertices[vertex];
        let types = &vertex.types & &types;
        if types != vertex.types {
            changed = true;
            vertex.explicit |= explicit;
            vertex.types = types;
        }
    }
    if narrowed.edges != link.types {
        changed = true;
        link.explicit |= explicit;
        link.types = narrowed.edges;
    }
    Some(changed)
}

/// Whether a link could match anything between these types.
pub(super) fn possible(
    schema: &Schema,
    left: &BTreeSet<TypeId>,
    link: &Link,
    right: &BTreeSet<TypeId>,
    spend: Spend<'_>,
) -> bool {
    !through(schema, left, link, right, spend).left.is_empty()
}

fn through(
    schema: &Schema,
    left: &BTreeSet<TypeId>,
    link: &Link,
    right: &BTreeSet<TypeId>,
    spend: Spend<'_>,
) -> Narrowed {
    match link.length {
        None => one_step(schema, left, link, right),
        Some(length) => many_steps(schema, left, link, right, length, spend),
    }
}

fn one_step(
    schema: &Schema,
    left: &BTreeSet<TypeId>,
    link: &Link,
    right: &BTreeSet<TypeId>,
) -> Narrowed {
    let mut narrowed = Narrowed {
        left: BTreeSet::new(),
        edges: BTreeSet::new(),
        right: BTreeSet::new(),
    };
    for edge in schema
        .edge_types
        .iter()
        .filter(|edge| link.types.contains(&edge.id))
    {
        for (from, to) in ends(edge, link.direction) {
            if left.contains(&from) && right.contains(&to) {
                narrowed.left.insert(from);
                narrowed.edges.insert(edge.id);
                narrowed.right.insert(to);
            }
        }
    }
    narrowed
}

/// Keeps what can be reached from the left and reach the right. The lower bound counts as 0 or 1:
/// a little more than what can match, never less.
fn many_steps(
    schema: &Schema,
    left: &BTreeSet<TypeId>,
    link: &Link,
    right: &BTreeSet<TypeId>,
    length: Length,
    spend: Spend<'_>,
) -> Narrowed {
    let edges: Vec<&EdgeType> = schema
        .edge_types
        .iter()
        .filter(|edge| link.types.contains(&edge.id))
        .collect();
    let forward = steps(&edges, link.direction);
    let backward: Vec<(TypeId, TypeId)> = forward.iter().map(|(from, to)| (*to, *from)).collect();
    let limit = length.max.unwrap_or(u32::MAX);
    let from_left = reached(left, &forward, limit, spend);
    let from_right = reached(right, &backward, limit, spend);
    let mut narrowed = Narrowed {
        left: left & &from_right,
        edges: BTreeSet::new(),
        right: right & &from_left,
    };
    if length.min == 0 {
        let both = left & right;
        narrowed.left.extend(&both);
        narrowed.right.extend(&both);
    }
    if limit == 0 {
        return narrowed;
    }
    let (before, after) = (left | &from_left, right | &from_right);
    for edge in edges {
        let fits = |(from, to): &(TypeId, TypeId)| before.contains(from) && after.contains(to);
        if ends(edge, link.direction).iter().any(fits) {
            narrowed.edges.insert(edge.id);
        }
    }
    narrowed
}

/// What is reached from `start` by one to `limit` steps.
fn reached(
    start: &BTreeSet<TypeId>,
    steps: &[(TypeId, TypeId)],
    limit: u32,
    spend: Spend<'_>,
) -> BTreeSet<TypeId> {
    let mut reached = BTreeSet::new();
    if !spend(start.len() + 2 * steps.len()) {
        return reached;
    }
    let mut ways: BTreeMap<TypeId, Vec<TypeId>> = BTreeMap::new();
    for (from, to) in steps {
        ways.entry(*from).or_default().push(*to);
    }
    let mut frontier: Vec<TypeId> = start.iter().copied().collect();
    let mut taken = 0;
    while taken < limit && !frontier.is_empty() {
        let next = frontier.iter().filter_map(|from| ways.get(from)).flatten();
        // Each type is gone on from once, so that all of it is one pass over the ways.
        frontier = next.copied().filter(|to| reached.insert(*to)).collect();
        taken += 1;
    }
    reached
}

fn steps(edges: &[&EdgeType], direction: Direction) -> Vec<(TypeId, TypeId)> {
    edges
        .iter()
        .flat_map(|edge| ends(edge, direction))
        .collect()
}

/// The ways to walk an edge, as types at the left and at the right.
pub(super) fn ends(edge: &EdgeType, direction: Direction) -> Vec<(TypeId, TypeId)> {
    let (outgoing, incoming) = ((edge.source, edge.target), (edge.target, edge.source));
    match direction {
        Direction::Outgoing => vec![outgoing],
        Direction::Incoming => vec![incoming],
        Direction::Either if outgoing == incoming => vec![outgoing],
        Direction::Either => vec![outgoing, incoming],
    }
}

/// The node types at the ends of some edge types: what a walk along them may visit.
pub(super) fn visited(schema: &Schema, edges: &BTreeSet<TypeId>) -> BTreeSet<TypeId> {
    schema
        .edge_types
        .iter()
        .filter(|edge| edges.contains(&edge.id))
        .flat_map(|edge| [edge.source, edge.target])
        .collect()
}
