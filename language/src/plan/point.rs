//! Which statements read a node by its key and little else.

use std::collections::BTreeSet;

use super::{BinaryOperator, Clause, Expr, ExprKind, Function, Match, NodePattern, Plan, Slot};
use crate::schema::{PropertyId, Schema, TypeId};

/// The most patterns, relationships and types of a point read.
const MAX_PARTS: usize = 4;

impl Plan {
    /// Whether running it is expected to take microseconds, whatever the graph holds: it reads nodes
    /// that are fixed by their whole key, at most the relationships next to each of them, and
    /// computes nothing that is larger than what is given. Relationships may be many all the same,
    /// so whoever runs it in a hurry needs a limit.
    ///
    /// ```
    /// use language::{cypher, schema::Schema};
    /// let schema = Schema::parse("node Person { email: String @key }").expect("a valid schema");
    /// let is_point = |text| cypher::compile(text, &schema).expect("a valid statement").is_point_read(&schema);
    /// assert!(is_point("MATCH (p:Person {email: $email}) RETURN p"));
    /// assert!(!is_point("MATCH (p:Person) RETURN p"));
    /// ```
    #[must_use]
    pub fn is_point_read(&self, schema: &Schema) -> bool {
        if !self.unions.is_empty() {
            return false;
        }
        let mut matches = 0;
        let clauses = self.clauses.iter().enumerate().all(|(index, clause)| {
            let is_last = index + 1 == self.clauses.len();
            match clause {
                Clause::Match(matching) => {
                    matches += 1;
                    matches == 1 && is_point_match(matching, schema)
                }
                Clause::Project(projection) => {
                    let grouped = projection.aggregation.iter().flat_map(|aggregation| {
                        let keys = aggregation.keys.iter().map(|key| &key.expr);
                        let arguments = aggregation.aggregates.iter();
                        keys.chain(arguments.filter_map(|aggregate| aggregate.argument.as_ref()))
                    });
                    let items = projection.items.iter().map(|item| &item.expr);
                    let order = projection.order.iter().map(|key| &key.expr);
                    is_last && grouped.chain(items).chain(order).all(is_small)
                }
                _ => false,
            }
        });
        clauses && self.touches.types.len() <= MAX_PARTS
    }
}

fn is_point_match(matching: &Match, schema: &Schema) -> bool {
    matching.paths.len() <= MAX_PARTS
        && matching.filter.iter().all(is_small)
        && matching.paths.iter().all(|path| {
            let ends = std::iter::once(&path.start).chain(path.steps.iter().map(|step| &step.node));
            path.shortest.is_none()
                && path.steps.len() <= 1
                && path.steps.iter().all(|step| step.edge.length.is_none())
                && ends
                    .into_iter()
                    .any(|node| is_fixed(node, matching, schema))
        })
}

/// Whether every part of the key is fixed, in each type that the node may have.
fn is_fixed(node: &NodePattern, matching: &Match, schema: &Schema) -> bool {
    let fixed = |type_id: TypeId, key: PropertyId| {
        let inline = node
            .properties
            .iter()
            .any(|test| test.ids.get(&type_id) == Some(&key) && is_given(&test.value));
        inline
            || matching
                .filter
                .iter()
                .any(|filter| equates(filter, node.slot, type_id, key))
    };
    !node.types.is_empty()
        && node.types.len() <= MAX_PARTS
        && node.types.iter().all(|type_id| {
            schema.node_type(*type_id).is_some_and(|node_type| {
                let key: BTreeSet<_> = node_type.key.iter().copied().collect();
                !key.is_empty() && key.into_iter().all(|key| fixed(*type_id, key))
            })
        })
}

/// Whether the condition holds only when that property equals something given.
fn equates(filter: &Expr, slot: Slot, type_id: TypeId, property: PropertyId) -> bool {
    let is_property = |expr: &Expr| match &expr.kind {
        ExprKind::Property { object, ids, .. } => {
            matches!(object.kind, ExprKind::Variable(of) if of == slot)
                && ids.get(&type_id) == Some(&property)
        }
        _ => false,
    };
    match &filter.kind {
        ExprKind::Binary {
            operator: BinaryOperator::And,
            left,
            right,
        } => equates(left, slot, type_id, property) || equates(right, slot, type_id, property),
        ExprKind::Binary {
            operator: BinaryOperator::Equal,
            left,
            right,
        } => (is_property(left) && is_given(right)) || (is_property(right) && is_given(left)),
        _ => false,
    }
}

fn is_given(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(_) | ExprKind::Parameter(_))
}

/// Whether the value cannot be much larger than what it is computed from.
fn is_small(expr: &Expr) -> bool {
    let grows = matches!(
        expr.kind,
        ExprKind::Call {
            function: Function::Range | Function::Replace | Function::Split,
            ..
        } | ExprKind::Comprehension { .. }
            | ExprKind::Quantified { .. }
            | ExprKind::Reduce { .. }
            | ExprKind::Subquery(_)
    );
    !grows && expr.children().into_iter().all(is_small)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cypher;

    #[test]
    fn only_what_a_key_fixes_is_a_point_read() {
        let schema = Schema::parse(
            "interface Named { name: String } \
             node Person implements Named { email: String @key, name: String, age: I64? } \
             node Place { country: String, city: String, @key(country, city) } \
             node Note { text: String } \
             edge Knows: Person -> Person edge In: Person -> Place",
        )
        .expect("a valid schema");
        let check = |text: &str, expected: bool| {
            let plan = cypher::compile(text, &schema).expect(text);
            assert_eq!(plan.is_point_read(&schema), expected, "{text}");
        };
        check("RETURN 1 AS one", true);
        check("MATCH (p:Person {email: $e}) RETURN p", true);
        check(
            "MATCH (p:Person {email: 'a'}) RETURN p.name, p.age + 1 AS next",
            true,
        );
        check("MATCH (p:Person) WHERE p.email = $e RETURN p", true);
        check(
            "MATCH (p:Person) WHERE p.age > 3 AND $e = p.email RETURN count(*) AS n",
            true,
        );
        check(
            "OPTIONAL MATCH (p:Person {email: $e}) RETURN p ORDER BY p.age LIMIT 1",
            true,
        );
        check("MATCH (c:Place {country: $a, city: $b}) RETURN c", true);
        check(
            "MATCH (p:Person {email: $e})-[:Knows]->(q) RETURN q.name",
            true,
        );
        check(
            "MATCH (q)-[:Knows]->(p:Person {email: $e}) RETURN q.name",
            true,
        );
        check(
            "MATCH (p:Person {email: $a}), (q:Person {email: $b}) RETURN p, q",
            true,
        );
        check("RETURN 1 AS one UNION RETURN 2 AS one", false);
        check(
            "MATCH (p:Person {email: $e}) RETURN [x IN $l | x] AS l",
            false,
        );
        check(
            "MATCH (p:Person {email: $e}) RETURN COUNT { MATCH (n) } AS n",
            false,
        );
        check("MATCH (p:Person) RETURN p", false);
        check("MATCH (p:Person {name: $n}) RETURN p", false);
        check("MATCH (p:Person) WHERE p.email > $e RETURN p", false);
        check(
            "MATCH (p:Person) WHERE p.email = $e OR p.age = 1 RETURN p",
            false,
        );
        check("MATCH (p:Person) WHERE p.email = p.name RETURN p", false);
        check("MATCH (c:Place {city: $b}) RETURN c", false);
        check("MATCH (n:Note {text: $t}) RETURN n", false);
        check(
            "MATCH (p:Person {email: $a}), (q:Person) RETURN p, q",
            false,
        );
        check(
            "MATCH (p:Person {email: $e})-[:Knows*1..3]->(q) RETURN q",
            false,
        );
        check(
            "MATCH (p:Person {email: $e})-[:Knows]->()-[:Knows]->(q) RETURN q",
            false,
        );
        check(
            "MATCH (p:Person {email: $e}) MATCH (q:Person) RETURN q",
            false,
        );
        check(
            "MATCH (p:Person {email: $e}) RETURN range(1, 9999999) AS all",
            false,
        );
        check("UNWIND $list AS x RETURN x", false);
        check("MATCH (p:Person {email: $e}) WITH p RETURN p", false);
        check("MATCH (p:Person {email: $e}) SET p.age = 1", false);
        check("CREATE (p:Person {email: $e, name: 'a'})", false);
    }
}
