//! An independent reading of a plan: whatever it names must be among what it says it touches.
//!
//! It walks the finished plan and knows nothing of how the compiler keeps its books.

use std::collections::{BTreeMap, BTreeSet};

use crate::cypher::walk;
use crate::plan::{
    Clause, Expr, ExprKind, MergeTarget, NewEdge, NewElement, NewNode, PathPattern, Plan,
    PropertyTest, SetItem, Type,
};
use crate::schema::{PropertyId, Schema, TypeId};

/// Panics when the plan touches something that it does not admit.
pub(super) fn audit(plan: &Plan, schema: &Schema, query: &str) {
    let auditor = Auditor {
        plan,
        schema,
        query,
    };
    for (clauses, columns) in plan.branches() {
        clauses.iter().for_each(|clause| auditor.clause(clause));
        columns
            .iter()
            .for_each(|column| auditor.whole(&column.value_type));
    }
}

struct Auditor<'a> {
    plan: &'a Plan,
    schema: &'a Schema,
    query: &'a str,
}

impl Auditor<'_> {
    fn projection(&self, projection: &crate::plan::Projection) {
        if let Some(aggregation) = &projection.aggregation {
            aggregation.keys.iter().for_each(|key| self.expr(&key.expr));
            let arguments = aggregation
                .aggregates
                .iter()
                .flat_map(|found| &found.argument);
            arguments.for_each(|argument| self.expr(argument));
        }
        projection
            .items
            .iter()
            .for_each(|item| self.expr(&item.expr));
        projection.order.iter().for_each(|key| self.expr(&key.expr));
        projection
            .filter
            .iter()
            .for_each(|filter| self.expr(filter));
    }

    fn clause(&self, clause: &Clause) {
        match clause {
            Clause::Match(clause) => {
                clause.paths.iter().for_each(|path| self.path(path));
                clause.filter.iter().for_each(|filter| self.expr(filter));
            }
            Clause::Unwind(unwind) => self.expr(&unwind.list),
            Clause::Nested(nested) => {
                nested.each.iter().for_each(|each| self.expr(&each.list));
                nested.clauses().for_each(|clause| self.clause(clause));
            }
            Clause::Project(projection) => self.projection(projection),
            Clause::Create(create) => create.elements.iter().for_each(|element| match element {
                NewElement::Node(node) => self.new_node(node),
                NewElement::Edge(edge) => self.new_edge(edge),
            }),
            Clause::Merge(merge) => {
                match &merge.target {
                    MergeTarget::Node(node) => {
                        self.read(&[node.type_id].into());
                        self.new_node(node);
                    }
                    MergeTarget::Edge(edge) => {
                        self.read(&[edge.type_id].into());
                        self.new_edge(edge);
                    }
                    MergeTarget::Pattern(pattern) => {
                        self.clause(&Clause::Match(pattern.matching.clone()));
                        self.clause(&Clause::Create(pattern.create.clone()));
                        pattern.required.iter().for_each(|it| self.expr(&it.value));
                    }
                }
                merge
                    .on_create
                    .iter()
                    .chain(&merge.on_match)
                    .for_each(|item| self.set(item));
            }
            Clause::Call(call) => call
                .arguments
                .iter()
                .for_each(|argument| self.expr(argument)),
            Clause::Set(items) => items.iter().for_each(|item| self.set(item)),
            Clause::Delete(delete) => {
                for expr in &delete.expressions {
                    self.expr(expr);
                    if let Type::Node(types) | Type::Relationship(types) = &expr.value_type {
                        types
                            .iter()
                            .for_each(|type_id| self.written(*type_id, None));
                        let edges = self.schema.edge_types.iter().filter(|edge| {
                            types.contains(&edge.source) || types.contains(&edge.target)
                        });
                        if delete.detach {
                            edges.for_each(|edge| self.written(edge.id, None));
                        }
                    }
                }
            }
        }
    }

    fn path(&self, path: &PathPattern) {
        let nodes = std::iter::once(&path.start).chain(path.steps.iter().map(|step| &step.node));
        for node in nodes {
            self.read(&node.types);
            self.tests(&node.properties);
        }
        for edge in path.steps.iter().map(|step| &step.edge) {
            self.read(&edge.types);
            self.tests(&edge.properties);
            if edge.length.is_some() {
                let walked = edge
                    .types
                    .iter()
                    .filter_map(|id| self.schema.edge_type(*id));
                self.read(&walked.flat_map(|edge| [edge.source, edge.target]).collect());
            }
        }
    }

    fn tests(&self, tests: &[PropertyTest]) {
        for test in tests {
            self.read_properties(&test.ids);
            self.expr(&test.value);
        }
    }

    fn new_node(&self, node: &NewNode) {
        self.new_row(node.type_id, &node.properties);
        node.map.iter().for_each(|map| self.expr(map));
    }

    fn new_edge(&self, edge: &NewEdge) {
        self.new_row(edge.type_id, &edge.properties);
        edge.map.iter().for_each(|map| self.expr(map));
    }

    fn new_row(&self, type_id: TypeId, properties: &[(PropertyId, Expr)]) {
        self.written(type_id, None);
        for (property, value) in properties {
            self.written(type_id, Some(*property));
            self.expr(value);
        }
    }

    fn set(&self, item: &SetItem) {
        match item {
            SetItem::Property { ids, value, .. } => {
                ids.iter()
                    .for_each(|(type_id, id)| self.written(*type_id, Some(*id)));
                self.expr(value);
            }
            SetItem::Properties { value, .. } => {
                self.expr(value);
                self.whole(&value.value_type);
            }
        }
    }

    fn expr(&self, expr: &Expr) {
        walk::any(expr, &mut |part| {
            match &part.kind {
                ExprKind::Property { ids, .. } => self.read_properties(ids),
                // A map forgets what is in it.
                ExprKind::Map(entries) => {
                    entries
                        .iter()
                        .for_each(|(_, value)| self.whole(&value.value_type));
                }
                ExprKind::Subquery(subquery) => {
                    let clauses = subquery.branches.iter().flat_map(|branch| &branch.clauses);
                    clauses.for_each(|clause| self.clause(clause));
                }
                _ => {}
            }
            if let Type::Node(types) | Type::Relationship(types) = &part.value_type
                && !matches!(part.kind, ExprKind::Variable(_))
            {
                self.read(types);
            }
            false
        });
    }

    fn whole(&self, value_type: &Type) {
        match value_type {
            Type::List(element) => self.whole(element),
            Type::Node(types) | Type::Relationship(types) => {
                for type_id in types {
                    let properties = self.schema.properties(*type_id).unwrap_or_default();
                    let ids = properties.iter().map(|property| (*type_id, property.id));
                    self.read(&[*type_id].into());
                    ids.for_each(|(type_id, id)| self.read_properties(&[(type_id, id)].into()));
                }
            }
            _ => {}
        }
    }

    fn read(&self, types: &BTreeSet<TypeId>) {
        for type_id in types {
            let read = self
                .plan
                .touches
                .types
                .get(type_id)
                .is_some_and(|touch| touch.read);
            assert!(
                read,
                "{:?} is read: {}",
                self.schema.type_name(*type_id),
                self.query
            );
        }
    }

    fn read_properties(&self, ids: &BTreeMap<TypeId, PropertyId>) {
        for (type_id, id) in ids {
            let touch = self.plan.touches.types.get(type_id);
            let read = touch.is_some_and(|touch| touch.read && touch.properties_read.contains(id));
            assert!(
                read,
                "{id:?} of {:?} is read: {}",
                self.schema.type_name(*type_id),
                self.query
            );
        }
    }

    fn written(&self, type_id: TypeId, property: Option<PropertyId>) {
        let touch = self.plan.touches.types.get(&type_id);
        let written = touch.is_some_and(|touch| {
            touch.write && property.is_none_or(|id| touch.properties_written.contains(&id))
        });
        let name = self.schema.type_name(type_id);
        assert!(
            written,
            "{property:?} of {name:?} is written: {}",
            self.query
        );
    }
}
