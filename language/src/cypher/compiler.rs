//! What the parts of the compiler share: the text, the schema, and what was found out so far.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};
use crate::plan::{Aggregate, Expr, Slot, Touches, Type};
use crate::schema::{OpenTypes, Schema, TypeId};

use super::bare_pattern::BarePatterns;
use super::parse::{Blocks, Parsed};
use super::procedures::Procedures;
use super::scope::Scope;
use super::{limits, types, walk};

/// A checked part, or all that is wrong with it.
pub(super) type Checked<T> = Result<T, Diagnostics>;

/// One compilation.
pub(super) struct Compiler<'a> {
    pub(super) text: &'a str,
    pub(super) schema: &'a Schema,
    pub(super) scope: Scope,
    pub(super) touches: Touches,
    /// `None` until a use says what type is wanted.
    pub(super) parameters: BTreeMap<String, Option<Type>>,
    /// Where aggregates of the current projection go; `None` where none may stand.
    pub(super) aggregates: Option<Vec<Aggregate>>,
    /// Types whose nodes and relationships may hide in values of unknown type.
    pub(super) hidden: BTreeSet<TypeId>,
    /// Types whose nodes and relationships may be in paths.
    pub(super) path_types: BTreeSet<TypeId>,
    /// Whether the statement assigns properties after creating.
    pub(super) assigns: bool,
    /// Where an open graph keeps what; `None` in a closed one.
    pub(super) open: Option<OpenTypes>,
    /// What may be called.
    pub(super) procedures: &'a Procedures,
    /// What subqueries hold that have no clause.
    pub(super) bare_patterns: &'a BarePatterns,
    /// What clauses are that the parser takes for `WITH *`.
    pub(super) blocks: &'a Blocks,
    /// Those that were met.
    pub(super) met: RefCell<BTreeSet<usize>>,
    /// The names around a subquery; they stay visible behind a WITH in it.
    pub(super) outer: Option<Scope>,
    /// In a pattern that is a condition: every name must be bound.
    pub(super) only_bound_names: bool,
    /// Where the next expression stands, a pattern may stand: as a condition.
    pub(super) predicate: bool,
    /// Variables of comprehensions and the like, which no grouping concerns.
    pub(super) locals: BTreeSet<Slot>,
    /// What slots are called in the text.
    pub(super) names: BTreeMap<Slot, Box<str>>,
    slots: usize,
    depth: usize,
    copied: usize,
    /// What is left of [`limits::MAX_EFFORT`].
    effort: Cell<usize>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        text: &'a str,
        schema: &'a Schema,
        procedures: &'a Procedures,
        parsed: &'a Parsed,
    ) -> Self {
        let open = schema.open();
        Self {
            text,
            schema,
            open,
            procedures,
            bare_patterns: &parsed.bare_patterns,
            blocks: &parsed.blocks,
            met: RefCell::default(),
            outer: None,
            only_bound_names: false,
            predicate: false,
            locals: BTreeSet::new(),
            names: BTreeMap::new(),
            scope: Scope::default(),
            touches: Touches::default(),
            parameters: BTreeMap::new(),
            aggregates: None,
            // In an open graph anything may hide anywhere.
            hidden: open
                .map(|open| [open.node, open.edge])
                .into_iter()
                .flatten()
                .collect(),
            path_types: BTreeSet::new(),
            assigns: parsed.blocks.values().any(|block| block.assigns()),
            slots: 0,
            depth: 0,
            copied: 0,
            effort: Cell::new(limits::MAX_EFFORT),
        }
    }

    /// Notes that so many types are looked at; whether there was enough left for that.
    pub(super) fn spend(&self, types: usize) -> bool {
        let left = self.effort.get().saturating_sub(types);
        self.effort.set(left);
        left > 0
    }

    /// Refuses to go on when nothing is left.
    pub(super) fn check_effort(&self, span: Span) -> Checked<()> {
        if self.effort.get() > 0 {
            return Ok(());
        }
        let message = "the statement is too much for a schema of so many types: name the labels and \
                       the types of relationships, or split it";
        self.fail(Code::TextTooLong, span, message)
    }

    /// A slot that nothing has used.
    pub(super) fn new_slot(&mut self) -> Slot {
        let slot = Slot(self.slots);
        self.slots += 1;
        slot
    }

    /// Binds `name`, over whatever it stood for.
    pub(super) fn declare(&mut self, name: &str, slot: Slot, value_type: Type) {
        self.names.insert(slot, name.into());
        self.scope.insert(name, slot, value_type);
    }

    /// The slot that [`Self::new_slot`] would give next.
    pub(super) const fn next_slot(&self) -> Slot {
        Slot(self.slots)
    }

    /// How many slots there are.
    pub(super) const fn slot_count(&self) -> usize {
        self.slots
    }

    pub(super) fn finding(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, self.text, span, message)
    }

    pub(super) fn fail<T>(&self, code: Code, span: Span, message: impl Into<String>) -> Checked<T> {
        Err(vec![self.finding(code, span, message)])
    }

    pub(super) fn unsupported<T>(&self, span: Span, what: &str) -> Checked<T> {
        self.fail(
            Code::Unsupported,
            span,
            format!("{what} is not supported yet"),
        )
    }

    pub(super) fn source(&self, span: Span) -> &'a str {
        self.text
            .get(span.start..span.end)
            .unwrap_or_default()
            .trim()
    }

    /// Runs `inner` one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        span: Span,
        inner: impl FnOnce(&mut Self) -> Checked<T>,
    ) -> Checked<T> {
        self.check_effort(span)?;
        if self.depth >= limits::MAX_EXPRESSION_DEPTH {
            let message = format!(
                "the expression is nested more than {} deep; split it with WITH",
                limits::MAX_EXPRESSION_DEPTH
            );
            return self.fail(Code::NestingTooDeep, span, message);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A second use of an operand. Copies of copies grow without bound, so they are counted.
    pub(super) fn copy(&mut self, expr: &Expr) -> Checked<Expr> {
        self.copied += walk::size(expr);
        if self.copied > limits::MAX_COPIED_NODES {
            let message =
                "chained comparisons and CASE operands are nested too deep; split them with WITH";
            return self.fail(Code::NestingTooDeep, expr.span, message);
        }
        Ok(expr.clone())
    }

    /// Runs `inner` where no aggregate may stand.
    pub(super) fn without_aggregates<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Checked<T>,
    ) -> Checked<T> {
        let aggregates = self.aggregates.take();
        let result = inner(self);
        self.aggregates = aggregates;
        result
    }

    /// The join of `parts`, remembering what it forgets about nodes and relationships.
    pub(super) fn join<'t>(&mut self, parts: impl IntoIterator<Item = &'t Type>) -> Type {
        let parts: Vec<&Type> = parts.into_iter().collect();
        let joined = parts
            .iter()
            .fold(Type::Null, |joined, part| types::join(&joined, part));
        let known = self.graph_types(&joined);
        for part in parts {
            if !self.graph_types(part).is_subset(&known) {
                self.hide(part);
            }
        }
        joined
    }

    /// The types of nodes and relationships that are known to be in a value of this type.
    pub(super) fn graph_types(&self, value_type: &Type) -> BTreeSet<TypeId> {
        match value_type {
            Type::Node(types) | Type::Relationship(types) => types.clone(),
            Type::Path => self.path_types.clone(),
            Type::List(element) => self.graph_types(element),
            _ => BTreeSet::new(),
        }
    }
}

/// Both, or the findings of both.
pub(super) fn both<A, B>(left: Checked<A>, right: Checked<B>) -> Checked<(A, B)> {
    match (left, right) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        (Err(mut findings), Err(more)) => {
            findings.extend(more);
            Err(findings)
        }
        (Err(findings), Ok(_)) | (Ok(_), Err(findings)) => Err(findings),
    }
}

/// All, or what is wrong with the first of them: enough of it to be worth reading, since each
/// finding costs a walk over the text.
pub(super) fn all<T>(parts: impl IntoIterator<Item = Checked<T>>) -> Checked<Vec<T>> {
    let mut values = Vec::new();
    let mut findings = Vec::new();
    for part in parts {
        match part {
            Ok(value) => values.push(value),
            Err(more) => findings.extend(more),
        }
        if findings.len() >= limits::MAX_FINDINGS {
            break;
        }
    }
    if findings.is_empty() {
        Ok(values)
    } else {
        Err(findings)
    }
}
