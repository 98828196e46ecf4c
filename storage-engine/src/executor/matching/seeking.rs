//! Which nodes can be found by what a condition says they must equal ([`super::seek`]).

use std::collections::BTreeMap;

use language::plan::{BinaryOperator, Expr, ExprKind, Function, Slot};
use language::schema::{NodeType, PropertyId, PropertyType, TypeId};
use language::value::Value;

use super::condition::{self, Condition};
use super::planning::{NodeFacts, Planner};
use super::search::Operation;
use super::seek::{Seek, Sought, Subject, Wanted, Way};
use super::selectivity::{self, USUAL_EQUAL};
use crate::executor::lookups::{Column, Named};
use crate::executor::walk::{self, SlotSet};

/// Of a list that is not known yet, so many elements are expected.
const USUAL_LIST: f64 = 10.0;
/// An index that leaves more than this part of a type costs more than a scan, which several threads share.
const MOST_OF_A_TYPE: f64 = 0.25;
/// The rank of the ways that lead to one node for each value.
const ONE_EACH: u8 = 0;
const BY_INDEX: u8 = 1;
const BY_TABLE: u8 = 2;

/// The name of a property, and which it is in each type.
type Property<'a> = (&'a str, &'a BTreeMap<TypeId, PropertyId>);

/// What a condition says that a node must equal.
struct Equality<'a> {
    subject: Subject,
    property: Option<Property<'a>>,
    wanted: Vec<Wanted<'a>>,
    condition: Condition<'a>,
    /// Looking at it sooner than the text says changes nothing.
    infallible: bool,
}

impl<'a> Planner<'a> {
    /// The best way to find a node that is not bound by what is, when there is a better one than to look at
    /// all.
    pub(crate) fn seek(&self, slot: Slot) -> Option<Seek<'a>> {
        let facts = self.nodes.get(&slot)?;
        let mut best: Option<Seek<'a>> = None;
        for seek in self.seeks(slot, facts) {
            let rank = |seek: &Seek<'_>| (seek.rank(), seek.expected);
            if best.as_ref().is_none_or(|best| rank(&seek) < rank(best)) {
                best = Some(seek);
            }
        }
        best
    }

    /// One for each condition that leads somewhere.
    fn seeks(&self, slot: Slot, facts: &NodeFacts<'a>) -> Vec<Seek<'a>> {
        let tests = facts.occurrences.iter().flat_map(|node| &node.properties);
        let tests = tests.map(|test| Equality {
            subject: Subject::Property,
            property: Some((test.name.as_str(), &test.ids)),
            wanted: vec![Wanted {
                value: &test.value,
                each: false,
            }],
            condition: Condition::Property(slot, test),
            infallible: condition::is_infallible(&test.value),
        });
        let filters = self.matchings.iter().filter_map(|it| it.filter.as_ref());
        let parts = filters.flat_map(condition::conjuncts);
        let parts = parts.filter_map(|part| equality(part, slot));
        tests
            .chain(parts)
            .filter_map(|equality| self.worthwhile(slot, facts, equality))
            .collect()
    }

    /// How the nodes of those types are found that have what is asked for.
    fn ways(&self, facts: &NodeFacts<'a>, equality: &Equality<'a>) -> Vec<Sought> {
        let types = facts.types.iter();
        let ways = types.filter_map(|type_id| match equality.property {
            Some((name, ids)) => {
                let named = self.named(*type_id, name, ids.get(type_id).copied())?;
                Some(self.property_way(*type_id, named))
            }
            None => Some(self.identity_way(*type_id, equality.subject)),
        });
        ways.collect()
    }

    /// A seek, if what is wanted is known and it is better than a scan.
    fn worthwhile(
        &self,
        slot: Slot,
        facts: &NodeFacts<'a>,
        equality: Equality<'a>,
    ) -> Option<Seek<'a>> {
        let mut mentioned = SlotSet::new(0);
        for wanted in &equality.wanted {
            if walk::varies(wanted.value) || !self.is_known(&self.needs(wanted.value, None)) {
                return None;
            }
            walk::variables(wanted.value, &mut mentioned);
        }
        let types = self.ways(facts, &equality);
        let Equality {
            subject,
            wanted,
            condition,
            infallible,
            ..
        } = equality;
        let repeated = mentioned.iter().next().is_some() || self.bound.iter().next().is_some();
        let all = self.node_count(types.iter().map(|sought| &sought.column.type_id));
        let part = selectivity::known(self.context, &condition).unwrap_or(USUAL_EQUAL);
        let values: f64 = wanted.iter().map(expected_values).sum();
        let seek = Seek {
            slot,
            subject,
            wanted,
            types,
            condition: infallible.then_some(condition),
            repeated,
            expected: all * part,
        };
        let better = match seek.rank() {
            ONE_EACH => true,
            BY_INDEX => repeated || part <= MOST_OF_A_TYPE,
            // Clauses that write plan patterns anew for each of their rows.
            BY_TABLE => repeated || self.context.statement.writes(),
            _ => false,
        };
        better.then(|| match seek.rank() {
            ONE_EACH => Seek {
                expected: values.min(all.max(1.0)),
                ..seek
            },
            _ => seek,
        })
    }

    /// Looks up one node by what at most one has for each type; says whether there was one.
    pub(super) fn bind_by_seek(&mut self) -> bool {
        let unbound = self.nodes.keys().filter(|it| !self.bound.contains(**it));
        let mut found = unbound.filter_map(|slot| self.seek(*slot));
        let found = found.find(|seek| seek.rank() == ONE_EACH && seek.expected <= 1.0);
        match found {
            Some(seek) => {
                self.emit_seek(seek);
                true
            }
            None => false,
        }
    }

    /// Adds the step. What it stands for is not tested again.
    pub(super) fn emit_seek(&mut self, seek: Seek<'a>) {
        if let Some(condition) = seek.condition {
            self.pending.retain(|(_, other)| !other.is(&condition));
        }
        let (slot, expected) = (seek.slot, seek.expected);
        self.emit(Operation::Seek(Box::new(seek)), &[slot], expected);
    }

    /// Which property of a type has a name; `None` when none has.
    fn named(&self, type_id: TypeId, name: &str, id: Option<PropertyId>) -> Option<Named> {
        if id.is_none() && self.is_open(type_id) {
            return Some(Named::Name(name.into()));
        }
        let declared = || {
            let property = self.context.snapshot.schema().property_named(type_id, name);
            property.map(|property| property.id)
        };
        id.or_else(declared).map(Named::Id)
    }

    fn is_open(&self, type_id: TypeId) -> bool {
        let open = self.context.snapshot.open();
        open.is_some_and(|open| open.properties_of(type_id).is_some())
    }

    fn property_way(&self, type_id: TypeId, property: Named) -> Sought {
        let way = match &property {
            Named::Id(id) => {
                let position = || {
                    let layout = &self.context.snapshot.node_table(type_id)?.rows.layout;
                    let position = layout.position(*id)?;
                    layout.indexed.contains(&position).then_some(position)
                };
                match self.key(type_id).as_deref() {
                    Some([(key, part)]) if key == id => Way::Key(vec![part.clone()]),
                    _ => position().map_or(Way::Table, Way::Index),
                }
            }
            Named::Name(_) => Way::Table,
        };
        let column = Column { type_id, property };
        Sought { column, way }
    }

    fn identity_way(&self, type_id: TypeId, subject: Subject) -> Sought {
        let way = match self.key(type_id).as_deref() {
            None | Some([]) => Way::Identity,
            Some([(_, part)]) if subject == Subject::ElementId && !is_read_back(part) => Way::Scan,
            Some([_, _, ..]) if subject == Subject::ElementId => Way::Scan,
            Some(parts) => Way::Key(parts.iter().map(|(_, part)| part.clone()).collect()),
        };
        let property = Named::Name("".into());
        let column = Column { type_id, property };
        Sought { column, way }
    }

    /// The parts of a type's key.
    fn key(&self, type_id: TypeId) -> Option<Vec<(PropertyId, PropertyType)>> {
        let node_type: &NodeType = self.context.snapshot.schema().node_type(type_id)?;
        let property = |id| {
            node_type
                .properties
                .iter()
                .find(|property| property.id == id)
        };
        let parts = node_type.key.iter();
        parts
            .map(|id| Some((*id, property(*id)?.value_type.clone())))
            .collect()
    }
}

/// Whether the value of a key is found again from the text that an element id is.
const fn is_read_back(part: &PropertyType) -> bool {
    matches!(
        part,
        PropertyType::String
            | PropertyType::Enum(_)
            | PropertyType::I32
            | PropertyType::I64
            | PropertyType::U32
            | PropertyType::U64
    )
}

/// How many values are expected of what is wanted.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn expected_values(wanted: &Wanted<'_>) -> f64 {
    match (&wanted.value.kind, wanted.each) {
        (_, false) => 1.0,
        (ExprKind::Literal(Value::List(list)), true) => list.len() as f64,
        (_, true) => USUAL_LIST,
    }
}

/// What a condition says that a node must equal, if that is what it says.
fn equality<'a>(part: &'a Expr, slot: Slot) -> Option<Equality<'a>> {
    let ExprKind::Binary {
        operator,
        left,
        right,
    } = &part.kind
    else {
        return None;
    };
    let of = |(subject, property), value, each| Equality {
        subject,
        property,
        wanted: vec![Wanted { value, each }],
        condition: Condition::Filter(part),
        infallible: condition::is_infallible(part),
    };
    match operator {
        BinaryOperator::Equal => match (subject(left, slot), subject(right, slot)) {
            (Some(subject), None) => Some(of(subject, &**right, false)),
            (None, Some(subject)) => Some(of(subject, &**left, false)),
            _ => None,
        },
        BinaryOperator::In => subject(left, slot).map(|subject| of(subject, &**right, true)),
        BinaryOperator::Or => {
            let (mut one, other) = (equality(left, slot)?, equality(right, slot)?);
            let same = one.subject == other.subject && one.property == other.property;
            one.wanted.extend(other.wanted);
            same.then_some(Equality {
                condition: Condition::Filter(part),
                infallible: one.infallible && other.infallible,
                ..one
            })
        }
        _ => None,
    }
}

/// What of a node an expression is.
fn subject(expr: &Expr, slot: Slot) -> Option<(Subject, Option<Property<'_>>)> {
    let is_node = |expr: &Expr| matches!(expr.kind, ExprKind::Variable(of) if of == slot);
    match &expr.kind {
        ExprKind::Property { object, name, ids } if is_node(object) => {
            Some((Subject::Property, Some((name.as_str(), ids))))
        }
        ExprKind::Call {
            function,
            arguments,
        } => {
            let subject = match function {
                Function::Id => Subject::Id,
                Function::ElementId => Subject::ElementId,
                _ => return None,
            };
            let [argument] = arguments.as_slice() else {
                return None;
            };
            is_node(argument).then_some((subject, None))
        }
        _ => None,
    }
}
