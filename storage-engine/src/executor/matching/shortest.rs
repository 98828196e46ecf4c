//! Shortest paths between two bound nodes: breadth-first from both ends at once.
//!
//! Both ends grow by whole levels, always the one with the smaller frontier; the first level that
//! meets the other side decides the length. Each visited node remembers the relationships by which
//! a shortest walk enters it, so that all shortest paths can be given without searching again.
//! Shortest paths are found by themselves: relationships of other patterns are not excluded.

use language::plan::{Length, Shortest};
use language::value::{EdgeRef, NodeRef, Value};
use rustc_hash::FxHashMap;

use super::expand::Ways;
use super::search::{Search, Used};
use super::variable_length::VariableLength;
use crate::executor::Row;
use crate::executor::context::Context;
use crate::executor::error::ExecuteError;
use crate::executor::pipeline::{ENOUGH, Flow, MORE};

/// `shortestPath(...)` and `allShortestPaths(...)`.
#[derive(Debug)]
pub(crate) struct ShortestPath<'a> {
    pub(crate) which: Shortest,
    /// A relationship may be walked both ways.
    pub(crate) undirected: bool,
    pub(crate) walk: VariableLength<'a>,
}

/// What is known of a node that one side has reached.
struct Visit {
    depth: u32,
    /// How a shortest walk enters it; nothing at the root.
    first: Option<(NodeRef, EdgeRef)>,
    more: Vec<(NodeRef, EdgeRef)>,
}

impl Visit {
    fn parent(&self, place: usize) -> Option<(NodeRef, EdgeRef)> {
        match place {
            0 => self.first,
            _ => self.more.get(place - 1).copied(),
        }
    }
}

/// One end's half of the search.
struct Side<'w> {
    ways: &'w Ways,
    visits: FxHashMap<NodeRef, Visit>,
    frontier: Vec<NodeRef>,
    depth: u32,
    /// What the visits hold, as it was charged.
    bytes: usize,
}

impl<'w> Side<'w> {
    fn new(ways: &'w Ways, root: NodeRef) -> Self {
        let visit = Visit {
            depth: 0,
            first: None,
            more: Vec::new(),
        };
        Self {
            ways,
            visits: FxHashMap::from_iter([(root, visit)]),
            frontier: vec![root],
            depth: 0,
            bytes: 0,
        }
    }

    /// The entry of a node in a search tree that holds it.
    fn visit(&self, node: NodeRef) -> &Visit {
        self.visits
            .get(&node)
            .expect("every parent and every meeting node was visited")
    }
}

/// Two sides that met, and where.
struct Meeting<'w> {
    forward: Side<'w>,
    backward: Side<'w>,
    nodes: Vec<NodeRef>,
}

impl Meeting<'_> {
    const fn length(&self) -> u32 {
        self.forward.depth + self.backward.depth
    }
}

/// From where to where, at most how far, and which relationship not to use.
#[derive(Clone, Copy)]
struct Quest {
    from: NodeRef,
    to: NodeRef,
    max: u32,
    excluded: Option<EdgeRef>,
}

const VISIT_BYTES: usize = size_of::<(NodeRef, Visit)>() + size_of::<NodeRef>() + 16;

impl ShortestPath<'_> {
    pub(crate) fn run(&self, search: &mut Search<'_, '_, '_>, at: usize, row: &mut Row) -> Flow {
        let walk = &self.walk;
        let (Value::Node(from), Value::Node(to)) = (&row[walk.from.0], &row[walk.to.0]) else {
            return MORE;
        };
        let (from, to) = (*from, *to);
        let Length { min, max } = walk.length;
        let max = max.unwrap_or(u32::MAX);
        if max < min {
            return MORE;
        }
        if min == 0 && from == to {
            return self.emit(search, at, row, &[]);
        }
        if min > 1 {
            let paths = self.by_length(search, row, from, to)?;
            return self.emit_each(search, at, row, &paths);
        }
        if from == to {
            let paths = self.cycles(search.context, row, from, max)?;
            return self.emit_each(search, at, row, &paths);
        }
        let quest = Quest {
            from,
            to,
            max,
            excluded: None,
        };
        let (meeting, bytes) = self.meet(search.context, row, quest)?;
        let flow = match &meeting {
            Some(meeting) => self.paths(meeting, &mut |path| self.emit(search, at, row, path))?,
            None => MORE?,
        };
        search.context.statement.release(bytes);
        Ok(flow)
    }

    fn emit(
        &self,
        search: &mut Search<'_, '_, '_>,
        at: usize,
        row: &mut Row,
        path: &[EdgeRef],
    ) -> Flow {
        if self.walk.list_wanted {
            row[self.walk.edge.0] = self.walk.list(path);
        }
        search.proceed(at, row)
    }

    fn emit_each(
        &self,
        search: &mut Search<'_, '_, '_>,
        at: usize,
        row: &mut Row,
        paths: &[Vec<EdgeRef>],
    ) -> Flow {
        for path in paths {
            if self.emit(search, at, row, path)?.is_break() {
                return ENOUGH;
            }
        }
        MORE
    }

    /// Grows both sides until they meet; also gives the bytes that they hold.
    fn meet(
        &self,
        context: Context<'_>,
        row: &Row,
        quest: Quest,
    ) -> Result<(Option<Meeting<'_>>, usize), ExecuteError> {
        let mut forward = Side::new(&self.walk.ways, quest.from);
        let mut backward = Side::new(&self.walk.back, quest.to);
        while forward.depth + backward.depth < quest.max {
            if forward.frontier.is_empty() || backward.frontier.is_empty() {
                break;
            }
            let nodes = if forward.frontier.len() <= backward.frontier.len() {
                self.grow(context, row, quest, &mut forward, &backward)?
            } else {
                self.grow(context, row, quest, &mut backward, &forward)?
            };
            if !nodes.is_empty() {
                let bytes = forward.bytes + backward.bytes;
                return Ok((
                    Some(Meeting {
                        forward,
                        backward,
                        nodes,
                    }),
                    bytes,
                ));
            }
        }
        Ok((None, forward.bytes + backward.bytes))
    }

    /// Visits the next level of a side; gives the nodes that the other side has too.
    fn grow(
        &self,
        context: Context<'_>,
        row: &Row,
        quest: Quest,
        side: &mut Side<'_>,
        other: &Side<'_>,
    ) -> Result<Vec<NodeRef>, ExecuteError> {
        let depth = side.depth + 1;
        let (mut next, mut met) = (Vec::new(), Vec::new());
        'level: for node in std::mem::take(&mut side.frontier) {
            for neighbour in side.ways.neighbours(context.snapshot, node) {
                context.step()?;
                let allowed = quest.excluded != Some(neighbour.edge)
                    && self.walk.allows(context, neighbour.edge, row)?;
                if !allowed {
                    continue;
                }
                let entry = (node, neighbour.edge);
                if let Some(visit) = side.visits.get_mut(&neighbour.node) {
                    if visit.depth == depth && self.which == Shortest::All {
                        context.statement.charge(size_of_val(&entry))?;
                        side.bytes += size_of_val(&entry);
                        visit.more.push(entry);
                    }
                    continue;
                }
                context.statement.charge(VISIT_BYTES)?;
                side.bytes += VISIT_BYTES;
                let visit = Visit {
                    depth,
                    first: Some(entry),
                    more: Vec::new(),
                };
                side.visits.insert(neighbour.node, visit);
                next.push(neighbour.node);
                if other.visits.contains_key(&neighbour.node) {
                    met.push(neighbour.node);
                    if self.which == Shortest::One {
                        break 'level;
                    }
                }
            }
        }
        side.frontier = next;
        side.depth = depth;
        Ok(met)
    }

    /// Calls `emit` with each path (or one, when one is wanted) that a meeting holds.
    fn paths(&self, meeting: &Meeting<'_>, emit: &mut dyn FnMut(&[EdgeRef]) -> Flow) -> Flow {
        for node in &meeting.nodes {
            let flow = paths_through(meeting, *node, self.which, emit)?;
            if flow.is_break() || self.which == Shortest::One {
                return Ok(flow);
            }
        }
        MORE
    }

    /// The shortest ways from a node back to itself: one first step, then the shortest way home.
    fn cycles(
        &self,
        context: Context<'_>,
        row: &Row,
        node: NodeRef,
        max: u32,
    ) -> Result<Vec<Vec<EdgeRef>>, ExecuteError> {
        let mut best: Vec<Vec<EdgeRef>> = Vec::new();
        let mut length = max;
        for first in self.walk.ways.neighbours(context.snapshot, node) {
            context.step()?;
            if !self.walk.allows(context, first.edge, row)? {
                continue;
            }
            let mut found = Vec::new();
            if first.node == node {
                found.push(vec![first.edge]);
            } else if length > 1 {
                let excluded = self.undirected.then_some(first.edge);
                let quest = Quest {
                    from: first.node,
                    to: node,
                    max: length - 1,
                    excluded,
                };
                let (meeting, bytes) = self.meet(context, row, quest)?;
                if let Some(meeting) = &meeting {
                    // It never breaks: all are gathered.
                    let _more = self.paths(meeting, &mut |path| {
                        context.statement.charge(size_of_val(path))?;
                        found.push([&[first.edge], path].concat());
                        MORE
                    })?;
                }
                context.statement.release(bytes);
            }
            let Some(found_length) = found.first().map(Vec::len) else {
                continue;
            };
            let found_length = u32::try_from(found_length).unwrap_or(u32::MAX);
            if found_length < length || best.is_empty() {
                length = found_length;
                best = found;
            } else if self.which == Shortest::All {
                best.extend(found);
            }
        }
        Ok(best)
    }

    /// Trails of at least two relationships: every length is tried in turn.
    fn by_length(
        &self,
        search: &mut Search<'_, '_, '_>,
        row: &mut Row,
        from: NodeRef,
        to: NodeRef,
    ) -> Result<Vec<Vec<EdgeRef>>, ExecuteError> {
        let outside = std::mem::take(search.used);
        let Length { min, max } = self.walk.length;
        let mut paths = Vec::new();
        for length in min..=max.unwrap_or(u32::MAX) {
            let mut any = false;
            let exactly = Length {
                min: length,
                max: Some(length),
            };
            // A break means that the one path that is wanted was found.
            let _flow =
                self.walk
                    .trails(search, row, from, exactly, &mut |search, _, node, mark| {
                        any = true;
                        if node == to {
                            let trail = search.used.since(mark);
                            search.context.statement.charge(size_of_val(trail))?;
                            paths.push(trail.to_vec());
                            if self.which == Shortest::One {
                                return ENOUGH;
                            }
                        }
                        MORE
                    })?;
            *search.used = Used::default();
            if !any || !paths.is_empty() {
                break;
            }
        }
        *search.used = outside;
        Ok(paths)
    }
}

/// A place on the way from a meeting node to a root.
struct Level {
    node: NodeRef,
    place: usize,
    forward: bool,
    /// Whether a relationship was taken to come here.
    entered: bool,
}

/// Calls `emit` with the paths through a meeting node: first every way back to the start, for each
/// of them every way on to the end.
fn paths_through(
    meeting: &Meeting<'_>,
    middle: NodeRef,
    which: Shortest,
    emit: &mut dyn FnMut(&[EdgeRef]) -> Flow,
) -> Flow {
    let mut edges: Vec<EdgeRef> = Vec::with_capacity(meeting.length() as usize);
    let mut stack = vec![Level {
        node: middle,
        place: 0,
        forward: true,
        entered: false,
    }];
    let half = meeting.forward.visit(middle).depth as usize;
    while let Some(level) = stack.last_mut() {
        let side = if level.forward {
            &meeting.forward
        } else {
            &meeting.backward
        };
        let visit = side.visit(level.node);
        let place = level.place;
        level.place += 1;
        if visit.depth == 0 && place == 0 {
            if level.forward {
                stack.push(Level {
                    node: middle,
                    place: 0,
                    forward: false,
                    entered: false,
                });
                continue;
            }
            let (back, on) = edges.split_at(half);
            let path: Vec<EdgeRef> = back.iter().rev().chain(on).copied().collect();
            let flow = emit(&path)?;
            if flow.is_break() || which == Shortest::One {
                return Ok(flow);
            }
        } else if let Some((node, edge)) = visit.parent(place) {
            let forward = level.forward;
            edges.push(edge);
            stack.push(Level {
                node,
                place: 0,
                forward,
                entered: true,
            });
            continue;
        }
        if stack.pop().is_some_and(|level| level.entered) {
            edges.pop();
        }
    }
    MORE
}
