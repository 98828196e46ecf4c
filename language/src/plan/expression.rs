//! Checked expressions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Branch, Function, Slot, Type};
use crate::diagnostic::Span;
use crate::schema::{PropertyId, TypeId};
use crate::value::Value;

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// What is known of its value.
    pub value_type: Type,
    /// Where it stands in the text: for errors at run time.
    pub span: Span,
}

/// The forms of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Value),
    /// `$name`.
    Parameter(String),
    /// A variable.
    Variable(Slot),
    /// `x.name` on a node, relationship or map. Null on a null `x`.
    Property {
        /// On what.
        object: Box<Expr>,
        /// The name, for maps and for values whose type was not known.
        name: String,
        /// Which property it is in each possible type.
        ids: BTreeMap<TypeId, PropertyId>,
    },
    /// Prefix operator.
    Unary {
        /// Which.
        operator: UnaryOperator,
        /// On what.
        operand: Box<Expr>,
    },
    /// Infix operator. A chain `a < b < c` arrives as `a < b AND b < c`.
    Binary {
        /// Which.
        operator: BinaryOperator,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// `IS NULL` / `IS NOT NULL`.
    IsNull {
        /// Of what.
        operand: Box<Expr>,
        /// `IS NOT NULL`.
        negated: bool,
    },
    /// `n:Label`: whether the node (or relationship) has one of these types.
    HasType {
        /// On what.
        operand: Box<Expr>,
        /// Any of these.
        types: BTreeSet<TypeId>,
    },
    /// `n:Label` in an open graph; without a label, whether there is any.
    HasLabel {
        /// On what.
        operand: Box<Expr>,
        /// The label, or the type of a relationship.
        label: Option<String>,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{name: value}`.
    Map(Vec<(String, Expr)>),
    /// `list[i]`, `map[key]`, `node[key]`.
    Index {
        /// On what.
        object: Box<Expr>,
        /// Which element.
        index: Box<Expr>,
    },
    /// `list[from..to]`.
    Slice {
        /// On what.
        object: Box<Expr>,
        /// First element; negative counts from the end.
        from: Option<Box<Expr>>,
        /// One past the last.
        to: Option<Box<Expr>>,
    },
    /// `CASE`. A simple case arrives as comparisons with its operand.
    Case {
        /// Condition and value, tried in order.
        branches: Vec<(Expr, Expr)>,
        /// `ELSE`; null when absent.
        otherwise: Option<Box<Expr>>,
    },
    /// A function call with the right number of arguments.
    Call {
        /// Which.
        function: Function,
        /// With what.
        arguments: Vec<Expr>,
    },
    /// `[x IN list WHERE filter | result]`.
    Comprehension {
        /// The variable for each element.
        variable: Slot,
        /// The list.
        list: Box<Expr>,
        /// What an element must fulfil.
        filter: Option<Box<Expr>>,
        /// What becomes of it; itself when absent.
        result: Option<Box<Expr>>,
    },
    /// `all(x IN list WHERE predicate)` and its kin.
    Quantified {
        /// Which.
        quantifier: Quantifier,
        /// The variable for each element.
        variable: Slot,
        /// The list.
        list: Box<Expr>,
        /// What is asked of an element.
        predicate: Box<Expr>,
    },
    /// `reduce(total = initial, x IN list | step)`.
    Reduce {
        /// The variable for the result so far.
        accumulator: Slot,
        /// What it begins with.
        initial: Box<Expr>,
        /// The variable for each element.
        variable: Slot,
        /// The list.
        list: Box<Expr>,
        /// The result after an element.
        step: Box<Expr>,
    },
    /// A query within an expression; a pattern as a condition and a pattern comprehension too.
    Subquery(Box<Subquery>),
}

/// How many elements must fulfil a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// Each.
    All,
    /// At least one.
    Any,
    /// Not one.
    None,
    /// Exactly one.
    Single,
}

/// A query within an expression. It sees the row around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is made of its rows.
    pub kind: SubqueryKind,
    /// The query; several parts when there is `UNION`.
    pub branches: Vec<Branch>,
    /// `UNION` rather than `UNION ALL`.
    pub distinct: bool,
}

/// What is made of the rows of a subquery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubqueryKind {
    /// Whether there are any.
    Exists,
    /// How many there are.
    Count,
    /// Their only column, as a list.
    Collect,
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `NOT`, in three-valued logic.
    Not,
    /// `-`
    Negate,
}

/// Infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// Three-valued.
    Or,
    /// Three-valued.
    Xor,
    /// Three-valued.
    And,
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `IN`
    In,
    /// `STARTS WITH`
    StartsWith,
    /// `ENDS WITH`
    EndsWith,
    /// `CONTAINS`
    Contains,
    /// `+` on numbers, text and lists.
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; of integers an integer, by zero an error.
    Divide,
    /// `%`
    Remainder,
    /// `^`, always a float.
    Power,
    /// `=~`: the whole text matches a regular expression.
    Matches,
}

impl Expr {
    /// Its operands, left to right; what stands inside a subquery is none.
    #[must_use]
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Literal(_)
            | ExprKind::Parameter(_)
            | ExprKind::Variable(_)
            | ExprKind::Subquery(_) => Vec::new(),
            ExprKind::Property { object, .. } => vec![object],
            ExprKind::Unary { operand, .. }
            | ExprKind::IsNull { operand, .. }
            | ExprKind::HasType { operand, .. }
            | ExprKind::HasLabel { operand, .. } => vec![operand],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::List(items) => items.iter().collect(),
            ExprKind::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
            ExprKind::Index { object, index } => vec![object, index],
            ExprKind::Slice { object, from, to } => std::iter::once(object)
                .chain(from)
                .chain(to)
                .map(AsRef::as_ref)
                .collect(),
            ExprKind::Case {
                branches,
                otherwise,
            } => branches
                .iter()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref())
                .collect(),
            ExprKind::Call { arguments, .. } => arguments.iter().collect(),
            ExprKind::Comprehension {
                list,
                filter,
                result,
                ..
            } => std::iter::once(list)
                .chain(filter)
                .chain(result)
                .map(AsRef::as_ref)
                .collect(),
            ExprKind::Quantified {
                list, predicate, ..
            } => vec![list, predicate],
            ExprKind::Reduce {
                initial,
                list,
                step,
                ..
            } => vec![initial, list, step],
        }
    }

    /// Its operands, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match &mut self.kind {
            ExprKind::Literal(_)
            | ExprKind::Parameter(_)
            | ExprKind::Variable(_)
            | ExprKind::Subquery(_) => Vec::new(),
            ExprKind::Property { object, .. } => vec![object],
            ExprKind::Unary { operand, .. }
            | ExprKind::IsNull { operand, .. }
            | ExprKind::HasType { operand, .. }
            | ExprKind::HasLabel { operand, .. } => vec![operand],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::List(items) => items.iter_mut().collect(),
            ExprKind::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
            ExprKind::Index { object, index } => vec![object, index],
            ExprKind::Slice { object, from, to } => std::iter::once(object)
                .chain(from)
                .chain(to)
                .map(AsMut::as_mut)
                .collect(),
            ExprKind::Case {
                branches,
                otherwise,
            } => branches
                .iter_mut()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref_mut())
                .collect(),
            ExprKind::Call { arguments, .. } => arguments.iter_mut().collect(),
            ExprKind::Comprehension {
                list,
                filter,
                result,
                ..
            } => std::iter::once(list)
                .chain(filter)
                .chain(result)
                .map(AsMut::as_mut)
                .collect(),
            ExprKind::Quantified {
                list, predicate, ..
            } => vec![list, predicate],
            ExprKind::Reduce {
                initial,
                list,
                step,
                ..
            } => vec![initial, list, step],
        }
    }
}
