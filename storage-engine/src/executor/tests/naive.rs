//! A naive evaluator of plans that read: every assignment is tried in the order of the text, on
//! plain lists of nodes and edges, and tested when it is complete. No indexes, no reordering, no
//! early tests. It shares only the comparison of values with what it checks.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use language::plan::{
    Aggregate, AggregateFunction, Clause, Direction, EdgePattern, Expr, Length, Match, NodePattern,
    PathPattern, Plan, Projection, PropertyTest, Shortest, Slot,
};
use language::schema::PropertyId;
use language::value::{EdgeRef, NodeRef, Path, Value};

/// A graph as two lists.
#[derive(Clone, Debug, Default)]
pub(super) struct NaiveGraph {
    pub(super) nodes: Vec<(NodeRef, BTreeMap<PropertyId, Value>)>,
    pub(super) edges: Vec<(EdgeRef, NodeRef, NodeRef, BTreeMap<PropertyId, Value>)>,
}

/// More work than a test should do.
#[derive(Debug)]
pub(super) struct TooMuch;

pub(super) type Row = Vec<Value>;

/// Most rows between clauses, and most trails of one step.
const MOST: usize = 3_000;
/// Most tries over the whole statement.
pub(super) const MOST_TRIES: usize = 600_000;

/// Evaluates a plan; rows hold its columns.
pub(super) fn evaluate(graph: &NaiveGraph, plan: &Plan) -> Result<Vec<Row>, TooMuch> {
    let mut naive = Naive {
        graph,
        tries: &Cell::new(0),
        around: vec![Value::Null; plan.slots],
        too_much: &Cell::new(false),
    };
    let rows = naive.clauses(&plan.clauses, vec![naive.around.clone()])?;
    if naive.too_much.get() {
        return Err(TooMuch);
    }
    let columns = |row: &Row| {
        plan.columns
            .iter()
            .map(|column| row[column.slot.0].clone())
            .collect()
    };
    Ok(rows.iter().map(columns).collect())
}

fn with(row: &Row, slot: Slot, value: Value) -> Row {
    let mut row = row.clone();
    row[slot.0] = value;
    row
}

pub(super) struct Naive<'a> {
    pub(super) graph: &'a NaiveGraph,
    /// Of the whole statement.
    pub(super) tries: &'a Cell<usize>,
    /// What a row holds before anything is bound.
    pub(super) around: Row,
    /// A query within an expression is too much.
    pub(super) too_much: &'a Cell<bool>,
}

impl Naive<'_> {
    pub(super) fn clauses(
        &mut self,
        clauses: &[Clause],
        mut rows: Vec<Row>,
    ) -> Result<Vec<Row>, TooMuch> {
        for clause in clauses {
            rows = match clause {
                Clause::Match(matching) => self.matching(matching, &rows)?,
                Clause::Unwind(unwind) => rows
                    .iter()
                    .flat_map(|row| {
                        let values = match self.value(&unwind.list, row) {
                            Value::Null => Vec::new(),
                            Value::List(list) => list.to_vec(),
                            one => vec![one],
                        };
                        values
                            .into_iter()
                            .map(|value| with(row, unwind.slot, value))
                            .collect::<Vec<_>>()
                    })
                    .collect(),
                Clause::Project(projection) => self.project(projection, rows),
                other => panic!("the naive evaluator only reads, not {other:?}"),
            };
            if rows.len() > MOST {
                return Err(TooMuch);
            }
        }
        Ok(rows)
    }

    fn matching(&mut self, matching: &Match, rows: &[Row]) -> Result<Vec<Row>, TooMuch> {
        let mut result = Vec::new();
        for row in rows {
            let mut complete = vec![(row.clone(), Vec::new())];
            for path in &matching.paths {
                let mut longer = Vec::new();
                for (row, used) in complete {
                    self.path(path, &row, &used, &mut longer)?;
                }
                complete = longer;
            }
            let before = result.len();
            for (row, used) in complete {
                let distinct: HashSet<&EdgeRef> = used.iter().collect();
                let tested = matching
                    .paths
                    .iter()
                    .all(|path| self.tests_hold(path, &row));
                let filtered = matching
                    .filter
                    .as_ref()
                    .is_none_or(|filter| self.is_true(filter, &row));
                if distinct.len() == used.len() && tested && filtered {
                    result.push(row);
                }
            }
            if matching.optional && result.len() == before {
                let mut row = row.clone();
                for slot in new_slots(matching) {
                    row[slot.0] = Value::Null;
                }
                result.push(row);
            }
            if result.len() > MOST {
                return Err(TooMuch);
            }
        }
        Ok(result)
    }

    /// All assignments of a path's elements; tests on properties are left for the end, but for
    /// shortest paths, which are shortest among those that pass.
    fn path(
        &mut self,
        path: &PathPattern,
        row: &Row,
        used: &[EdgeRef],
        out: &mut Vec<(Row, Vec<EdgeRef>)>,
    ) -> Result<(), TooMuch> {
        let mut partial = Vec::new();
        for node in self.node_candidates(&path.start, row) {
            let row = with(row, path.start.slot, Value::Node(node));
            let walk = Path {
                nodes: vec![node],
                edges: Vec::new(),
            };
            partial.push((row, used.to_vec(), walk));
        }
        for step in &path.steps {
            let mut longer = Vec::new();
            for (row, used, walk) in partial {
                let from = *walk.nodes.last().expect("a walk has a start");
                let exact = Length {
                    min: 1,
                    max: Some(1),
                };
                let mut trails = Vec::new();
                let length = step.edge.length.unwrap_or(exact);
                self.trails(
                    &step.edge,
                    length,
                    &mut Path {
                        nodes: vec![from],
                        edges: vec![],
                    },
                    &mut trails,
                )?;
                let ends: Vec<NodeRef> = self.node_candidates(&step.node, &row);
                let mut fitting: Vec<(Row, Path)> = Vec::new();
                for trail in trails {
                    let to = *trail.nodes.last().expect("a trail has an end");
                    let bound = match step.edge.length {
                        None => Value::Relationship(trail.edges[0]),
                        Some(_) => {
                            Value::list(trail.edges.iter().copied().map(Value::Relationship))
                        }
                    };
                    let free = !step.edge.bound || row[step.edge.slot.0] == bound;
                    if ends.contains(&to) && free {
                        let row = with(
                            &with(&row, step.edge.slot, bound),
                            step.node.slot,
                            Value::Node(to),
                        );
                        fitting.push((row, trail));
                    }
                }
                if let Some(which) = path.shortest {
                    fitting.retain(|(row, _)| self.edge_tests_hold(&step.edge, row));
                    fitting = shortest(fitting, which);
                }
                for (row, trail) in fitting {
                    let mut used = used.clone();
                    if path.shortest.is_none() {
                        used.extend(&trail.edges);
                    }
                    let mut walk = walk.clone();
                    walk.nodes.extend(&trail.nodes[1..]);
                    walk.edges.extend(&trail.edges);
                    longer.push((row, used, walk));
                }
            }
            if longer.len() > MOST {
                return Err(TooMuch);
            }
            partial = longer;
        }
        for (mut row, used, walk) in partial {
            if let Some(slot) = path.binding {
                row[slot.0] = Value::Path(std::sync::Arc::new(walk));
            }
            out.push((row, used));
        }
        if out.len() > MOST {
            Err(TooMuch)
        } else {
            Ok(())
        }
    }

    fn node_candidates(&self, pattern: &NodePattern, row: &Row) -> Vec<NodeRef> {
        let all = self.graph.nodes.iter().map(|(node, _)| *node);
        let typed = all.filter(|node| pattern.types.contains(&node.type_id));
        typed
            .filter(|node| !pattern.bound || row[pattern.slot.0] == Value::Node(*node))
            .collect()
    }

    fn trails(
        &mut self,
        edge: &EdgePattern,
        length: Length,
        trail: &mut Path,
        out: &mut Vec<Path>,
    ) -> Result<(), TooMuch> {
        let depth = trail.edges.len();
        if depth >= length.min as usize {
            out.push(trail.clone());
        }
        if length.max.is_some_and(|max| depth >= max as usize) {
            return Ok(());
        }
        let from = *trail.nodes.last().expect("a trail has a start");
        for (candidate, source, target, _) in self.graph.edges.clone() {
            self.tries.set(self.tries.get() + 1);
            if self.tries.get() > MOST_TRIES || out.len() > MOST {
                return Err(TooMuch);
            }
            if trail.edges.contains(&candidate) || !edge.types.contains(&candidate.type_id) {
                continue;
            }
            let to = match edge.direction {
                Direction::Outgoing if source == from => target,
                Direction::Incoming if target == from => source,
                Direction::Either if source == from => target,
                Direction::Either if target == from => source,
                _ => continue,
            };
            trail.nodes.push(to);
            trail.edges.push(candidate);
            self.trails(edge, length, trail, out)?;
            trail.nodes.pop();
            trail.edges.pop();
        }
        Ok(())
    }

    fn tests_hold(&self, path: &PathPattern, row: &Row) -> bool {
        let node_tests = |node: &NodePattern| {
            node.properties
                .iter()
                .all(|test| self.test_holds(&row[node.slot.0], test, row))
        };
        node_tests(&path.start)
            && path
                .steps
                .iter()
                .all(|step| node_tests(&step.node) && self.edge_tests_hold(&step.edge, row))
    }

    fn edge_tests_hold(&self, edge: &EdgePattern, row: &Row) -> bool {
        edge.properties.iter().all(|test| match &row[edge.slot.0] {
            Value::List(list) => list
                .iter()
                .all(|element| self.test_holds(element, test, row)),
            one => self.test_holds(one, test, row),
        })
    }

    fn test_holds(&self, element: &Value, test: &PropertyTest, row: &Row) -> bool {
        let id = match element {
            Value::Node(node) => test.ids.get(&node.type_id),
            Value::Relationship(edge) => test.ids.get(&edge.type_id),
            _ => None,
        };
        id.is_some_and(|id| {
            self.property(element, *id)
                .equals(&self.value(&test.value, row))
                == Some(true)
        })
    }

    pub(super) fn property(&self, element: &Value, id: PropertyId) -> Value {
        let properties = match element {
            Value::Node(node) => self
                .graph
                .nodes
                .iter()
                .find(|(found, _)| found == node)
                .map(|(_, properties)| properties),
            Value::Relationship(edge) => self
                .graph
                .edges
                .iter()
                .find(|found| found.0 == *edge)
                .map(|found| &found.3),
            _ => None,
        };
        properties
            .and_then(|properties| properties.get(&id))
            .cloned()
            .unwrap_or(Value::Null)
    }

    fn project(&self, projection: &Projection, rows: Vec<Row>) -> Vec<Row> {
        let mut rows = rows;
        if let Some(aggregation) = &projection.aggregation {
            let mut groups: Vec<(Vec<Value>, Vec<Row>)> = Vec::new();
            let mut places = HashMap::new();
            if aggregation.keys.is_empty() {
                groups.push((Vec::new(), Vec::new()));
                places.insert(Value::group_key_of([]), 0);
            }
            for row in rows {
                let keys: Vec<Value> = aggregation
                    .keys
                    .iter()
                    .map(|key| self.value(&key.expr, &row))
                    .collect();
                let place = *places
                    .entry(Value::group_key_of(&keys))
                    .or_insert(groups.len());
                if place == groups.len() {
                    groups.push((keys, Vec::new()));
                }
                groups[place].1.push(row);
            }
            rows = groups
                .into_iter()
                .map(|(keys, members)| {
                    let mut row = self.around.clone();
                    for (key, value) in aggregation.keys.iter().zip(keys) {
                        row[key.slot.0] = value;
                    }
                    for aggregate in &aggregation.aggregates {
                        row[aggregate.slot.0] = self.aggregate(aggregate, &members);
                    }
                    row
                })
                .collect();
        }
        for row in &mut rows {
            let values: Vec<Value> = projection
                .items
                .iter()
                .map(|item| self.value(&item.expr, row))
                .collect();
            for (item, value) in projection.items.iter().zip(values) {
                row[item.slot.0] = value;
            }
        }
        if projection.distinct {
            let mut seen = HashSet::new();
            rows.retain(|row| {
                seen.insert(Value::group_key_of(
                    projection.items.iter().map(|item| &row[item.slot.0]),
                ))
            });
        }
        rows.sort_by(|a, b| {
            let keys = projection.order.iter().map(|key| {
                let ordering = self.value(&key.expr, a).order(&self.value(&key.expr, b));
                if key.descending {
                    ordering.reverse()
                } else {
                    ordering
                }
            });
            keys.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        let count = |expr: &Option<Expr>| match expr.as_ref().map(|expr| self.value(expr, &vec![]))
        {
            Some(Value::Int(count)) => Some(usize::try_from(count).expect("a count")),
            _ => None,
        };
        let rows = rows.into_iter().skip(count(&projection.skip).unwrap_or(0));
        let rows = rows.take(count(&projection.limit).unwrap_or(usize::MAX));
        rows.filter(|row| {
            projection
                .filter
                .as_ref()
                .is_none_or(|filter| self.is_true(filter, row))
        })
        .collect()
    }

    fn aggregate(&self, aggregate: &Aggregate, rows: &[Row]) -> Value {
        let Some(argument) = &aggregate.argument else {
            return int(rows.len());
        };
        let mut values: Vec<Value> = rows.iter().map(|row| self.value(argument, row)).collect();
        values.retain(|value| !value.is_null());
        if aggregate.distinct {
            let mut seen = HashSet::new();
            values.retain(|value| seen.insert(value.group_key()));
        }
        let sum = || {
            values
                .iter()
                .map(|value| if let Value::Int(int) = value { *int } else { 0 })
                .sum::<i64>()
        };
        match aggregate.function {
            AggregateFunction::Count => int(values.len()),
            AggregateFunction::Sum => Value::Int(sum()),
            AggregateFunction::Avg if values.is_empty() => Value::Null,
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            AggregateFunction::Avg => Value::Float(sum() as f64 / values.len() as f64),
            AggregateFunction::Min => values
                .into_iter()
                .min_by(Value::order)
                .unwrap_or(Value::Null),
            AggregateFunction::Max => values
                .into_iter()
                .max_by(Value::order)
                .unwrap_or(Value::Null),
            AggregateFunction::Collect => Value::list(values),
            other => panic!("{other:?} is not in the random queries"),
        }
    }
}

pub(super) fn int(count: usize) -> Value {
    Value::Int(i64::try_from(count).expect("a small number"))
}

/// Of the trails between the same ends, the shortest.
fn shortest(fitting: Vec<(Row, Path)>, which: Shortest) -> Vec<(Row, Path)> {
    let mut best: HashMap<NodeRef, usize> = HashMap::new();
    for (_, trail) in &fitting {
        let end = *trail.nodes.last().expect("an end");
        let length = best.entry(end).or_insert(trail.edges.len());
        *length = trail.edges.len().min(*length);
    }
    let mut taken = HashSet::new();
    fitting
        .into_iter()
        .filter(|(_, trail)| {
            let end = *trail.nodes.last().expect("an end");
            trail.edges.len() == best[&end] && (which == Shortest::All || taken.insert(end))
        })
        .collect()
}

fn new_slots(matching: &Match) -> Vec<Slot> {
    let mut slots = Vec::new();
    for path in &matching.paths {
        slots.extend(path.binding);
        slots.extend((!path.start.bound).then_some(path.start.slot));
        for step in &path.steps {
            slots.extend((!step.edge.bound).then_some(step.edge.slot));
            slots.extend((!step.node.bound).then_some(step.node.slot));
        }
    }
    slots
}
