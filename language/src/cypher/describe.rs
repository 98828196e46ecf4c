//! A plan as text, for people: one line a clause, `#n` for the slot n.
//!
//! ```text
//! match (#0:Person {name = 'Ada'})-[#1:Knows]->(#2:Person) where #2.born > $born
//! project #3 = #2.name order #3 skip 1 limit 10
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::plan::{
    Aggregate, AggregateFunction, Clause, Create, Direction, EdgePattern, Expr, ExprKind, Match,
    Merge, MergeTarget, NewEdge, NewElement, NewNode, NodePattern, PathPattern, Plan, Projection,
    PropertyTest, SetItem, Shortest, Slot, Touch, Type, UnaryOperator,
};
use crate::schema::{PropertyId, Schema, TypeId};
use crate::value::Value;

use super::operator::symbol;

impl Plan {
    /// The plan, what it touches, and its parameters, as text; `schema` gives the names.
    #[must_use]
    pub fn describe(&self, schema: &Schema) -> String {
        let writer = Describer { schema };
        let mut out: Vec<String> = self
            .clauses
            .iter()
            .map(|clause| writer.clause(clause))
            .collect();
        for branch in &self.unions {
            out.push(if self.distinct { "union" } else { "union all" }.to_owned());
            out.extend(branch.clauses.iter().map(|clause| writer.clause(clause)));
        }
        if !self.columns.is_empty() {
            let columns = self.columns.iter().map(|column| {
                format!(
                    "{} {} {}",
                    slot(column.slot),
                    column.name,
                    writer.value_type(&column.value_type)
                )
            });
            out.push(format!(
                "columns {}",
                columns.collect::<Vec<_>>().join(", ")
            ));
        }
        if !self.parameters.is_empty() {
            let parameters = self
                .parameters
                .iter()
                .map(|(name, asked)| format!("${name} {}", writer.value_type(asked)));
            out.push(format!(
                "parameters {}",
                parameters.collect::<Vec<_>>().join(", ")
            ));
        }
        out.extend(
            self.touches
                .types
                .iter()
                .map(|(type_id, touch)| writer.touch(*type_id, touch)),
        );
        out.join("\n")
    }
}

pub(super) struct Describer<'a> {
    schema: &'a Schema,
}

pub(super) fn slot(slot: Slot) -> String {
    format!("#{}", slot.0)
}

impl Describer<'_> {
    pub(super) fn clause(&self, clause: &Clause) -> String {
        match clause {
            Clause::Match(clause) => self.match_clause(clause),
            Clause::Unwind(unwind) => format!(
                "unwind {} as {}",
                self.expr(&unwind.list),
                slot(unwind.slot)
            ),
            Clause::Project(projection) => self.projection(projection),
            Clause::Create(create) => self.create(create),
            Clause::Merge(merge) => self.merge(merge),
            Clause::Set(items) => format!("set {}", self.set_items(items)),
            Clause::Delete(delete) => {
                let verb = if delete.detach {
                    "detach delete"
                } else {
                    "delete"
                };
                format!("{verb} {}", self.list(&delete.expressions))
            }
            Clause::Call(call) => self.call(call),
            Clause::Nested(nested) => self.within(nested),
        }
    }

    pub(super) fn match_clause(&self, clause: &Match) -> String {
        let verb = if clause.optional {
            "optional match"
        } else {
            "match"
        };
        let paths = clause
            .paths
            .iter()
            .map(|path| self.path(path))
            .collect::<Vec<_>>();
        let mut out = format!("{verb} {}", paths.join(", "));
        if let Some(filter) = &clause.filter {
            let _ = write!(out, " where {}", self.expr(filter));
        }
        out
    }

    fn path(&self, path: &PathPattern) -> String {
        let mut out = self.node(&path.start);
        for step in &path.steps {
            out.push_str(&self.edge(&step.edge));
            out.push_str(&self.node(&step.node));
        }
        let out = match path.shortest {
            Some(Shortest::One) => format!("shortest {out}"),
            Some(Shortest::All) => format!("all shortest {out}"),
            None => out,
        };
        match path.binding {
            Some(binding) => format!("{} = {out}", slot(binding)),
            None => out,
        }
    }

    fn node(&self, node: &NodePattern) -> String {
        let bound = if node.bound { "!" } else { "" };
        format!(
            "({}{bound}:{}{})",
            slot(node.slot),
            self.types(&node.types),
            self.tests(&node.properties)
        )
    }

    fn edge(&self, edge: &EdgePattern) -> String {
        let bound = if edge.bound { "!" } else { "" };
        let length = match edge.length {
            None => String::new(),
            Some(length) => {
                let max = length.max.map_or_else(String::new, |max| max.to_string());
                format!("*{}..{max}", length.min)
            }
        };
        let types = match edge.names.as_slice() {
            [] => self.types(&edge.types),
            names => names.join("|"),
        };
        let tests = self.tests(&edge.properties);
        let inner = format!("[{}{bound}:{types}{length}{tests}]", slot(edge.slot));
        match edge.direction {
            Direction::Outgoing => format!("-{inner}->"),
            Direction::Incoming => format!("<-{inner}-"),
            Direction::Either => format!("-{inner}-"),
        }
    }

    fn tests(&self, tests: &[PropertyTest]) -> String {
        if tests.is_empty() {
            return String::new();
        }
        let tests = tests
            .iter()
            .map(|test| format!("{} = {}", test.name, self.expr(&test.value)));
        format!(" {{{}}}", tests.collect::<Vec<_>>().join(", "))
    }

    fn projection(&self, projection: &Projection) -> String {
        let mut out = String::new();
        if let Some(aggregation) = &projection.aggregation {
            let keys = aggregation
                .keys
                .iter()
                .map(|key| format!("{} = {}", slot(key.slot), self.expr(&key.expr)));
            let aggregates = aggregation
                .aggregates
                .iter()
                .map(|aggregate| self.aggregate(aggregate));
            let keys = keys.collect::<Vec<_>>().join(", ");
            let aggregates = aggregates.collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "group [{keys}] [{aggregates}]");
        }
        out.push_str(if projection.distinct {
            "project distinct "
        } else {
            "project "
        });
        let items = projection
            .items
            .iter()
            .map(|item| format!("{} = {}", slot(item.slot), self.expr(&item.expr)));
        out.push_str(&items.collect::<Vec<_>>().join(", "));
        if !projection.order.is_empty() {
            let keys = projection.order.iter().map(|key| {
                format!(
                    "{}{}",
                    self.expr(&key.expr),
                    if key.descending { " desc" } else { "" }
                )
            });
            let _ = write!(out, " order {}", keys.collect::<Vec<_>>().join(", "));
        }
        let tails = [
            ("skip", &projection.skip),
            ("limit", &projection.limit),
            ("where", &projection.filter),
        ];
        for (name, expr) in tails {
            if let Some(expr) = expr {
                let _ = write!(out, " {name} {}", self.expr(expr));
            }
        }
        out
    }

    fn aggregate(&self, aggregate: &Aggregate) -> String {
        let name = match aggregate.function {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::Collect => "collect",
            AggregateFunction::StDev => "stDev",
            AggregateFunction::StDevP => "stDevP",
            AggregateFunction::PercentileCont => "percentileCont",
            AggregateFunction::PercentileDisc => "percentileDisc",
        };
        let distinct = if aggregate.distinct { "distinct " } else { "" };
        let argument = aggregate
            .argument
            .as_ref()
            .map_or_else(|| "*".to_owned(), |expr| self.expr(expr));
        let parameter = aggregate
            .parameter
            .as_ref()
            .map_or_else(String::new, |expr| format!(", {}", self.expr(expr)));
        format!(
            "{} = {name}({distinct}{argument}{parameter})",
            slot(aggregate.slot)
        )
    }

    pub(super) fn create(&self, create: &Create) -> String {
        let elements = create.elements.iter().map(|element| match element {
            NewElement::Node(node) => self.new_node(node),
            NewElement::Edge(edge) => self.new_edge(edge),
        });
        let paths = create.paths.iter().map(|path| {
            let elements: Vec<String> =
                path.elements.iter().map(|element| slot(*element)).collect();
            format!("{} = path({})", slot(path.slot), elements.join(" "))
        });
        format!(
            "create {}",
            elements.chain(paths).collect::<Vec<_>>().join(", ")
        )
    }

    fn new_node(&self, node: &NewNode) -> String {
        let given = self.given(node.type_id, &node.properties, node.map.as_ref());
        format!(
            "({}:{}{given})",
            slot(node.slot),
            self.type_name(node.type_id)
        )
    }

    fn new_edge(&self, edge: &NewEdge) -> String {
        let given = self.given(edge.type_id, &edge.properties, edge.map.as_ref());
        let (source, target) = (slot(edge.source), slot(edge.target));
        format!(
            "({source})-[{}:{}{given}]->({target})",
            slot(edge.slot),
            self.type_name(edge.type_id)
        )
    }

    fn given(
        &self,
        type_id: TypeId,
        properties: &[(PropertyId, Expr)],
        map: Option<&Expr>,
    ) -> String {
        if let Some(map) = map {
            return format!(" {}", self.expr(map));
        }
        if properties.is_empty() {
            return String::new();
        }
        let properties = properties.iter().map(|(id, value)| {
            format!("{}: {}", self.property_name(type_id, *id), self.expr(value))
        });
        format!(" {{{}}}", properties.collect::<Vec<_>>().join(", "))
    }

    fn merge(&self, merge: &Merge) -> String {
        let mut out = match &merge.target {
            MergeTarget::Node(node) => format!("merge {}", self.new_node(node)),
            MergeTarget::Edge(edge) => format!("merge {}", self.new_edge(edge)),
            MergeTarget::Pattern(pattern) => format!("merge {}", self.merge_pattern(pattern)),
        };
        for (when, items) in [("create", &merge.on_create), ("match", &merge.on_match)] {
            if !items.is_empty() {
                let _ = write!(out, " on {when} set {}", self.set_items(items));
            }
        }
        out
    }

    fn set_items(&self, items: &[SetItem]) -> String {
        let items = items.iter().map(|item| match item {
            SetItem::Property { target, ids, value } => {
                format!(
                    "{}.{} = {}",
                    slot(*target),
                    self.property(ids),
                    self.expr(value)
                )
            }
            SetItem::Properties {
                target,
                replace,
                value,
            } => {
                format!(
                    "{} {} {}",
                    slot(*target),
                    if *replace { "=" } else { "+=" },
                    self.expr(value)
                )
            }
        });
        items.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn expr(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Literal(value) => literal(value),
            ExprKind::Parameter(name) => format!("${name}"),
            ExprKind::Variable(variable) => slot(*variable),
            ExprKind::Property { object, name, ids } => {
                let dot = if ids.is_empty() { "?." } else { "." };
                format!("{}{dot}{name}", self.expr(object))
            }
            ExprKind::Unary { operator, operand } => match operator {
                UnaryOperator::Not => format!("NOT {}", self.expr(operand)),
                UnaryOperator::Negate => format!("-{}", self.expr(operand)),
            },
            ExprKind::Binary {
                operator,
                left,
                right,
            } => {
                format!(
                    "({} {} {})",
                    self.expr(left),
                    symbol(*operator),
                    self.expr(right)
                )
            }
            ExprKind::IsNull { operand, negated } => {
                format!(
                    "{} IS {}NULL",
                    self.expr(operand),
                    if *negated { "NOT " } else { "" }
                )
            }
            ExprKind::HasType { operand, types } => {
                format!("{}:{}", self.expr(operand), self.types(types))
            }
            ExprKind::HasLabel { operand, label } => {
                format!("{}:{}", self.expr(operand), label.as_deref().unwrap_or("%"))
            }
            ExprKind::List(items) => format!("[{}]", self.list(items)),
            ExprKind::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", self.expr(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            ExprKind::Index { object, index } => {
                format!("{}[{}]", self.expr(object), self.expr(index))
            }
            ExprKind::Slice { object, from, to } => {
                let bound = |bound: &Option<Box<Expr>>| {
                    bound.as_ref().map_or_else(String::new, |b| self.expr(b))
                };
                format!("{}[{}..{}]", self.expr(object), bound(from), bound(to))
            }
            ExprKind::Case {
                branches,
                otherwise,
            } => self.case(branches, otherwise.as_deref()),
            ExprKind::Call {
                function,
                arguments,
            } => format!("{}({})", function.signature().name, self.list(arguments)),
            ExprKind::Comprehension { .. }
            | ExprKind::Quantified { .. }
            | ExprKind::Reduce { .. }
            | ExprKind::Subquery(_) => self.nested(expr),
        }
    }

    fn case(&self, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> String {
        let mut out = "CASE".to_owned();
        for (condition, value) in branches {
            let _ = write!(
                out,
                " WHEN {} THEN {}",
                self.expr(condition),
                self.expr(value)
            );
        }
        if let Some(otherwise) = otherwise {
            let _ = write!(out, " ELSE {}", self.expr(otherwise));
        }
        out + " END"
    }

    pub(super) fn list(&self, exprs: &[Expr]) -> String {
        exprs
            .iter()
            .map(|expr| self.expr(expr))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn type_name(&self, type_id: TypeId) -> &str {
        self.schema.type_name(type_id).unwrap_or("?")
    }

    /// `Person|Org`; a star where it says nothing.
    fn types(&self, types: &BTreeSet<TypeId>) -> String {
        let count =
            |ids: &mut dyn Iterator<Item = TypeId>| ids.filter(|id| types.contains(id)).count();
        let (nodes, edges) = (self.schema.node_types.len(), self.schema.edge_types.len());
        let all_nodes = count(&mut self.schema.node_types.iter().map(|node| node.id)) == nodes;
        let all_edges = count(&mut self.schema.edge_types.iter().map(|edge| edge.id)) == edges;
        if types.is_empty() {
            return "nothing".to_owned();
        }
        if (all_nodes && types.len() == nodes && nodes > 1)
            || (all_edges && types.len() == edges && edges > 1)
        {
            return "*".to_owned();
        }
        types
            .iter()
            .map(|type_id| self.type_name(*type_id))
            .collect::<Vec<_>>()
            .join("|")
    }

    fn property_name(&self, type_id: TypeId, id: PropertyId) -> &str {
        let properties = self.schema.properties(type_id).unwrap_or_default();
        properties
            .iter()
            .find(|property| property.id == id)
            .map_or("?", |property| property.name.as_str())
    }

    fn property(&self, ids: &BTreeMap<TypeId, PropertyId>) -> String {
        ids.first_key_value()
            .map_or("?", |(type_id, id)| self.property_name(*type_id, *id))
            .to_owned()
    }

    fn value_type(&self, value_type: &Type) -> String {
        match value_type {
            Type::Node(types) | Type::Relationship(types) => self.types(types),
            Type::List(element) => format!("[{}]", self.value_type(element)),
            other => format!("{other:?}"),
        }
    }

    fn touch(&self, type_id: TypeId, touch: &Touch) -> String {
        let mut out = self.type_name(type_id).to_owned();
        for (word, done, properties) in [
            ("read", touch.read, &touch.properties_read),
            ("write", touch.write, &touch.properties_written),
        ] {
            if done {
                let names: Vec<&str> = properties
                    .iter()
                    .map(|id| self.property_name(type_id, *id))
                    .collect();
                let _ = write!(out, " {word}({})", names.join(" "));
            }
        }
        out
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::String(text) => format!("'{text}'"),
        other => format!("{other:?}"),
    }
}
