//! A checked, typed statement: what [`crate::cypher::compile`] makes and an executor runs.
//!
//! Names are gone: variables are [`Slot`]s of one row, labels are sets of [`TypeId`]s, properties
//! are [`PropertyId`]s per type. A plan is tied to the schema it was checked against.
//!
//! A row has [`Plan::slots`] values. Slots are never reused within a statement, so a clause may
//! leave old values behind: scoping was decided when the plan was made. Unbound slots are null.
//!
//! Clauses run from first to last. A clause that writes sees all rows of the clause before it
//! before it changes anything, and every clause after it sees its changes.

use std::collections::{BTreeMap, BTreeSet};

mod expression;
mod point;
mod shown;

use crate::diagnostic::Span;
use crate::schema::{PropertyId, TypeId};

/// The place of a variable in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// A checked statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do, in order.
    pub clauses: Vec<Clause>,
    /// What the last `RETURN` gives, in order; empty for a statement without one.
    pub columns: Vec<Column>,
    /// What follows, joined by `UNION`: the same columns in the same order.
    pub unions: Vec<Branch>,
    /// `UNION` rather than `UNION ALL`: rows that are equal are given once.
    pub distinct: bool,
    /// How many values a row has.
    pub slots: usize,
    /// What slots are called in the text: variables, and expressions that have a slot of their own.
    pub names: BTreeMap<Slot, Box<str>>,
    /// Which types and properties it reads and writes: what policy decides on.
    pub touches: Touches,
    /// The parameters that the statement names, with the type that their uses ask for.
    pub parameters: BTreeMap<String, Type>,
    /// Version of the schema that it was checked against.
    pub schema_version: u64,
}

impl Plan {
    /// Whether running the plan can change the graph.
    #[must_use]
    pub fn writes(&self) -> bool {
        let mut branches = self.branches();
        branches.any(|(clauses, _)| clauses.iter().any(Clause::writes))
    }

    /// The clauses and columns of each part that `UNION` joins; mostly there is one.
    pub fn branches(&self) -> impl Iterator<Item = (&[Clause], &[Column])> {
        let first = (self.clauses.as_slice(), self.columns.as_slice());
        let others = self.unions.iter();
        std::iter::once(first)
            .chain(others.map(|branch| (branch.clauses.as_slice(), branch.columns.as_slice())))
    }
}

/// One part of a `UNION`, or a query inside another.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// What to do, in order.
    pub clauses: Vec<Clause>,
    /// What its `RETURN` gives.
    pub columns: Vec<Column>,
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The alias, or the text of the expression.
    pub name: String,
    /// Where the value stands in the row.
    pub slot: Slot,
    /// What is known of its type.
    pub value_type: Type,
}

/// What is known of a value before it exists. Every type includes null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Nothing is known.
    Any,
    /// Always null.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A 64-bit signed integer.
    Integer,
    /// A 64-bit float.
    Float,
    /// An integer or a float.
    Number,
    /// Text.
    String,
    /// A calendar date.
    Date,
    /// A date and time with an offset.
    DateTime,
    /// A time of day without an offset.
    LocalTime,
    /// A time of day with an offset.
    Time,
    /// A date and time without an offset.
    LocalDateTime,
    /// An amount of time.
    Duration,
    /// A node of one of these types.
    Node(BTreeSet<TypeId>),
    /// A relationship of one of these types.
    Relationship(BTreeSet<TypeId>),
    /// A path.
    Path,
    /// A list whose elements have this type.
    List(Box<Type>),
    /// A map.
    Map,
}

/// What a statement reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// Per type; a type that only takes part in a pattern counts as read.
    pub types: BTreeMap<TypeId, Touch>,
}

/// What a statement does with one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// Its rows are matched or returned.
    pub read: bool,
    /// Rows are created, changed or deleted.
    pub write: bool,
    /// Properties whose values are read; returning a whole node reads all.
    pub properties_read: BTreeSet<PropertyId>,
    /// In an open graph: the names that are looked up in maps of properties.
    pub names_read: BTreeSet<String>,
    /// Any name may be: rows are looked at as a whole.
    pub whole_read: bool,
    /// Properties whose values are set.
    pub properties_written: BTreeSet<PropertyId>,
}

/// One step of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// `MATCH`, `OPTIONAL MATCH`.
    Match(Match),
    /// `UNWIND list AS slot`: one row per element; null and the empty list give none.
    Unwind(Unwind),
    /// `WITH` and `RETURN`.
    Project(Projection),
    /// `CREATE`.
    Create(Create),
    /// `MERGE`.
    Merge(Merge),
    /// `SET` and `REMOVE`.
    Set(Vec<SetItem>),
    /// `DELETE`, `DETACH DELETE`.
    Delete(Delete),
    /// `CALL procedure(...) YIELD ...`.
    Call(Call),
    /// `CALL { ... }` and `FOREACH`.
    Nested(Nested),
}

impl Clause {
    /// Whether the clause can change the graph.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.any(&|clause| {
            matches!(
                clause,
                Self::Create(_) | Self::Merge(_) | Self::Set(_) | Self::Delete(_)
            )
        })
    }

    /// Whether the test holds for it or for a clause within it.
    #[must_use]
    pub fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        let within = match self {
            Self::Nested(nested) => nested.clauses().any(|clause| clause.any(test)),
            _ => false,
        };
        within || test(self)
    }
}

/// Clauses that are run for each row by themselves, one row after the other: a row sees what was changed
/// for those before it. They see what the row holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Nested {
    /// `FOREACH`: once for each element of a list, which stands in the slot.
    pub each: Option<Unwind>,
    /// What is run; several parts when there is `UNION`.
    pub branches: Vec<Branch>,
    /// `UNION` rather than `UNION ALL`.
    pub distinct: bool,
    /// Where the columns of a row that comes out of it are put, in order. Without any the row passes
    /// once, whatever comes out.
    pub outputs: Vec<Slot>,
    /// `OPTIONAL CALL`: a row that nothing comes out for passes with nulls.
    pub optional: bool,
}

impl Nested {
    /// The clauses of all parts.
    pub fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.branches.iter().flat_map(|branch| &branch.clauses)
    }
}

/// `CALL` of a procedure: for each row, the rows that it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// As it is called.
    pub name: String,
    /// What it does.
    pub body: ProcedureBody,
    /// With what, in order.
    pub arguments: Vec<Expr>,
    /// Which of its outputs, by position, go into which slots.
    pub outputs: Vec<(usize, Slot)>,
    /// `YIELD ... WHERE`.
    pub filter: Option<Expr>,
    /// It has no outputs at all: each row passes as it is.
    pub passes: bool,
}

/// `MATCH`: every way to find the patterns, no relationship used twice within the clause.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Keep a row without a match once, with the new variables null.
    pub optional: bool,
    /// The comma-separated patterns.
    pub paths: Vec<PathPattern>,
    /// `WHERE`.
    pub filter: Option<Expr>,
}

/// One path pattern: a node, then steps.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPattern {
    /// `p = ...`: bound to a [`Value::Path`].
    pub binding: Option<Slot>,
    /// `shortestPath(...)` / `allShortestPaths(...)`: one step, of variable length.
    pub shortest: Option<Shortest>,
    /// The first node.
    pub start: NodePattern,
    /// The relationships and the nodes they lead to.
    pub steps: Vec<Step>,
}

/// Which of the shortest paths are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortest {
    /// Any one.
    One,
    /// All of the same, smallest length.
    All,
}

/// A relationship of a pattern and the node at its far end.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The relationship.
    pub edge: EdgePattern,
    /// The node it leads to.
    pub node: NodePattern,
}

/// A node of a pattern to find.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePattern {
    /// Where the node stands, or is put.
    pub slot: Slot,
    /// The slot holds a value already when this pattern is reached (from an earlier clause, or
    /// from earlier in the same clause, reading left to right).
    pub bound: bool,
    /// The node types it may have; empty when nothing can match.
    pub types: BTreeSet<TypeId>,
    /// Properties that must be equal.
    pub properties: Vec<PropertyTest>,
}

/// A relationship of a pattern to find.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgePattern {
    /// Where the relationship (with a `length`: the list of them) stands, or is put.
    pub slot: Slot,
    /// The slot holds a value already.
    pub bound: bool,
    /// The edge types it may have.
    pub types: BTreeSet<TypeId>,
    /// Which way it is walked.
    pub direction: Direction,
    /// `*min..max`; absent for exactly one relationship bound as itself, not as a list.
    pub length: Option<Length>,
    /// In an open graph: the types that it may have, by name; empty for any.
    pub names: Vec<String>,
    /// Properties that must be equal, on each relationship of a variable length.
    pub properties: Vec<PropertyTest>,
}

/// Direction of a relationship as seen from the node on its left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `-->`
    Outgoing,
    /// `<--`
    Incoming,
    /// `--`; a loop is found once.
    Either,
}

/// How many relationships a variable-length step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// At least; may be 0.
    pub min: u32,
    /// At most; `None` is without limit.
    pub max: Option<u32>,
}

/// `{name: value}` in a pattern to find: true when the property equals the value; null never does.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyTest {
    /// Its name: how it is found in an open graph.
    pub name: String,
    /// Which property it is in each possible type; other types than those of an open graph cannot
    /// match when they are missing here.
    pub ids: BTreeMap<TypeId, PropertyId>,
    /// What it must equal.
    pub value: Expr,
}

/// `UNWIND`.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwind {
    /// The list; a value that is not a list counts as a list of one.
    pub list: Expr,
    /// The variable for each element.
    pub slot: Slot,
}

/// `WITH` or `RETURN`. In order: grouping (when `aggregation` is there), items, `DISTINCT` over
/// the items, `ORDER BY`, `SKIP`, `LIMIT`, then the `WHERE` of a `WITH`.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Present when an item or sort key aggregates. Afterwards a row has only its slots.
    pub aggregation: Option<Aggregation>,
    /// What is computed. With an aggregation these read the slots of `keys` and `aggregates`.
    pub items: Vec<Item>,
    /// Rows that are equal in all `items` are kept once.
    pub distinct: bool,
    /// Sort keys; they may read items and, without aggregation and distinct, older variables.
    pub order: Vec<SortKey>,
    /// Rows to leave out; an integer from 0, constant or parameter.
    pub skip: Option<Expr>,
    /// Rows to keep; an integer from 0, constant or parameter.
    pub limit: Option<Expr>,
    /// `WITH ... WHERE`.
    pub filter: Option<Expr>,
}

/// An expression and the slot that takes its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What to compute.
    pub expr: Expr,
    /// Where to put it.
    pub slot: Slot,
}

/// Grouping: one row per distinct combination of the keys; without keys always exactly one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// What groups are made by.
    pub keys: Vec<Item>,
    /// What is computed per group.
    pub aggregates: Vec<Aggregate>,
}

/// One aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub function: AggregateFunction,
    /// Over distinct values only.
    pub distinct: bool,
    /// Of what; absent for `count(*)`. Null values are left out.
    pub argument: Option<Expr>,
    /// Which percentile, from 0 to 1.
    pub parameter: Option<Expr>,
    /// Where the result goes.
    pub slot: Slot,
}

/// The aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Number of rows or non-null values.
    Count,
    /// Sum; 0 over nothing.
    Sum,
    /// Average as a float; null over nothing.
    Avg,
    /// Smallest; null over nothing.
    Min,
    /// Largest; null over nothing.
    Max,
    /// A list of the values in order of arrival.
    Collect,
    /// Standard deviation of a sample.
    StDev,
    /// Standard deviation of everything.
    StDevP,
    /// A percentile, between two values where it falls there.
    PercentileCont,
    /// The value at a percentile.
    PercentileDisc,
}

/// One sort key.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// What to sort by.
    pub expr: Expr,
    /// Largest first. Ascending order has null last, descending first.
    pub descending: bool,
}

/// `CREATE`: elements in the order in which they must be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// What to make.
    pub elements: Vec<NewElement>,
    /// Paths to bind afterwards.
    pub paths: Vec<NewPath>,
}

/// A path bound by `CREATE p = ...`: slots of nodes and edges, alternating, nodes at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPath {
    /// The variable.
    pub slot: Slot,
    /// `node, edge, node, ...`
    pub elements: Vec<Slot>,
}

/// A node or relationship to make.
#[derive(Clone, Debug, PartialEq)]
pub enum NewElement {
    /// A node.
    Node(NewNode),
    /// A relationship between two nodes that exist by then.
    Edge(NewEdge),
}

/// A node to make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewNode {
    /// The variable.
    pub slot: Slot,
    /// Its type.
    pub type_id: TypeId,
    /// Its properties: given in the text, or `None` with all of them in `map`.
    pub properties: Vec<(PropertyId, Expr)>,
    /// `CREATE (n:T $map)`: a map whose entries are matched with property names when run.
    pub map: Option<Expr>,
    /// Where it stands in the text: for errors at run time.
    pub span: Span,
}

/// A relationship to make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEdge {
    /// The variable.
    pub slot: Slot,
    /// Its type.
    pub type_id: TypeId,
    /// The node it leaves.
    pub source: Slot,
    /// The node it enters.
    pub target: Slot,
    /// Its properties.
    pub properties: Vec<(PropertyId, Expr)>,
    /// As for nodes.
    pub map: Option<Expr>,
    /// As for nodes.
    pub span: Span,
}

/// `MERGE`: for each row, bind what is there, else make it; the next row sees what was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// What to find or make.
    pub target: MergeTarget,
    /// Applied when it was made.
    pub on_create: Vec<SetItem>,
    /// Applied when it was there.
    pub on_match: Vec<SetItem>,
}

/// What a `MERGE` finds or makes. All given properties take part in finding; none may be null.
#[derive(Clone, Debug, PartialEq)]
pub enum MergeTarget {
    /// A node whose properties include the whole key of its type.
    Node(NewNode),
    /// A relationship between two bound nodes.
    Edge(NewEdge),
    /// A whole pattern, found or made as a whole.
    Pattern(Box<MergePattern>),
}

/// A pattern to find, and the same to make.
#[derive(Clone, Debug, PartialEq)]
pub struct MergePattern {
    /// How it is found.
    pub matching: Match,
    /// How it is made, into the same slots.
    pub create: Create,
    /// Values that must not be null, since nothing equals null.
    pub required: Vec<Required>,
}

/// A value that a pattern is found by.
#[derive(Clone, Debug, PartialEq)]
pub struct Required {
    /// Of what, for messages: its labels or type, or its variable.
    pub of: String,
    /// The property.
    pub name: String,
    /// The value.
    pub value: Expr,
}

/// One assignment. A null target is left alone.
#[derive(Clone, Debug, PartialEq)]
pub enum SetItem {
    /// `SET x.name = value`; null removes. `REMOVE x.name` is this with null.
    Property {
        /// The node or relationship.
        target: Slot,
        /// Which property it is in each possible type.
        ids: BTreeMap<TypeId, PropertyId>,
        /// The new value.
        value: Expr,
    },
    /// `SET x = map` (all others removed) or `SET x += map`; names are resolved when run.
    Properties {
        /// The node or relationship.
        target: Slot,
        /// `=` rather than `+=`.
        replace: bool,
        /// A map, node or relationship.
        value: Expr,
    },
}

/// `DELETE`. Null is left alone; deleting what is already deleted is no error.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// Delete the relationships of deleted nodes too, instead of refusing.
    pub detach: bool,
    /// Nodes, relationships or paths.
    pub expressions: Vec<Expr>,
}

pub use crate::cypher::functions::Function;
pub use crate::cypher::procedures::ProcedureBody;
pub use expression::{
    BinaryOperator, Expr, ExprKind, Quantifier, Subquery, SubqueryKind, UnaryOperator,
};
