//! `WITH` and `RETURN`: items, grouping, `DISTINCT`, `ORDER BY`, `SKIP`, `LIMIT`, `WHERE`.

use std::collections::BTreeSet;

use open_cypher::ast::{
    Expr as Syntax, ExprKind as SyntaxKind, OrderBy, ProjectionClause, ProjectionItem,
    ProjectionItemKind, SetQuantifier, SortDirection,
};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};
use crate::plan::{
    Aggregate, Aggregation, Column, Expr, ExprKind, Item, Projection, Slot, SortKey, Type,
};
use crate::value::Value;

use super::compiler::{Checked, Compiler, all, both};
use super::group::Known;
use super::parse::span;
use super::scope::Scope;
use super::walk;

/// Which clause is projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    With,
    Return,
}

/// An item as it was written, checked where it stands.
struct Named {
    name: String,
    expr: Expr,
    /// What is wrong with it, if it has no name where it needs one.
    nameless: Option<Diagnostic>,
}

/// The items in their slots.
struct Placed {
    aggregation: Option<Aggregation>,
    items: Vec<Item>,
    /// The items before grouping, with the slots that hold their values afterwards.
    known: Vec<Known>,
    scope: Scope,
}

impl Compiler<'_> {
    /// Checks a projection and moves the scope behind it.
    pub(super) fn project(
        &mut self,
        clause: &ProjectionClause,
        filter: Option<&Syntax>,
        kind: Kind,
    ) -> Checked<(Projection, Vec<Column>)> {
        let distinct =
            matches!(&clause.quantifier, Some(given) if given.kind == SetQuantifier::Distinct);
        self.aggregates = Some(Vec::new());
        let named = self.items(&clause.items, kind);
        let aggregates = self.aggregates.take().unwrap_or_default();
        let named = named?;
        let placed = self.place(&named, aggregates)?;

        let before = std::mem::take(&mut self.scope);
        self.scope = before.overlaid(&placed.scope);
        let restricted = distinct || placed.aggregation.is_some();
        let order = self.order(clause.order_by.as_ref(), &placed, restricted);
        let filter = filter
            .map(|filter| self.filter(filter, &placed, restricted))
            .transpose();
        self.scope = Scope::default();
        let skip = self.row_count(clause.skip.as_ref().or(clause.offset.as_ref()), "SKIP");
        let limit = self.row_count(clause.limit.as_ref(), "LIMIT");
        self.scope = match &self.outer {
            Some(outer) => outer.overlaid(&placed.scope),
            None => placed.scope,
        };
        let settled = both(both(order, filter), both(skip, limit));
        // Told together with what is wrong behind the items: neither is the reason for the other.
        let nameless: Diagnostics = named.iter().filter_map(|it| it.nameless.clone()).collect();
        let ((order, filter), (skip, limit)) = match settled {
            Ok(settled) if nameless.is_empty() => settled,
            Ok(_) => return Err(nameless),
            Err(findings) => return Err(nameless.into_iter().chain(findings).collect()),
        };

        let columns = named
            .into_iter()
            .zip(&placed.items)
            .map(|(named, item)| Column {
                name: named.name,
                slot: item.slot,
                value_type: item.expr.value_type.clone(),
            })
            .collect();
        let Placed {
            aggregation, items, ..
        } = placed;
        Ok((
            Projection {
                aggregation,
                items,
                distinct,
                order,
                skip,
                limit,
                filter,
            },
            columns,
        ))
    }

    fn items(&mut self, items: &[ProjectionItem], kind: Kind) -> Checked<Vec<Named>> {
        let mut seen = BTreeSet::new();
        let lists = all(items.iter().map(|item| {
            let place = span(item.span);
            let named = self.item(item, kind)?;
            for named in named.iter().filter(|named| named.nameless.is_none()) {
                if !seen.insert(named.name.clone()) {
                    let message = format!(
                        "two columns are called `{}`: rename one with AS",
                        named.name
                    );
                    return self.fail(Code::DuplicateName, place, message);
                }
            }
            Ok(named)
        }))?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn item(&mut self, item: &ProjectionItem, kind: Kind) -> Checked<Vec<Named>> {
        let place = span(item.span);
        let (syntax, alias) = match &item.kind {
            ProjectionItemKind::Wildcard => return self.everything(place, kind),
            ProjectionItemKind::Expression { expression, alias } => (expression, alias),
            _ => return self.unsupported(place, "this kind of item"),
        };
        let mut nameless = None;
        let name = match (alias, &syntax.kind) {
            (Some(alias), _) => alias.kind.text.clone(),
            (None, SyntaxKind::Variable(name)) => name.kind.text.clone(),
            (None, _) if kind == Kind::With => {
                let text = self.source(span(syntax.span));
                let message = format!("`{text}` needs a name in WITH: write `{text} AS name`");
                nameless = Some(self.finding(Code::Syntax, place, message));
                text.to_owned()
            }
            (None, _) => self.source(span(syntax.span)).to_owned(),
        };
        Ok(vec![Named {
            name,
            expr: self.expression(syntax)?,
            nameless,
        }])
    }

    /// `*`: every variable, in alphabetical order.
    fn everything(&self, place: Span, kind: Kind) -> Checked<Vec<Named>> {
        let all: Vec<Named> = self
            .scope
            .iter()
            .map(|(name, variable)| Named {
                name: name.to_owned(),
                expr: Expr {
                    kind: ExprKind::Variable(variable.slot),
                    value_type: variable.value_type.clone(),
                    span: place,
                },
                nameless: None,
            })
            .collect();
        if all.is_empty() && kind == Kind::Return {
            return self.fail(
                Code::UnknownVariable,
                place,
                "there is no variable that `*` could stand for",
            );
        }
        Ok(all)
    }

    /// Gives every item its slot, grouping when there are aggregates.
    fn place(&mut self, named: &[Named], aggregates: Vec<Aggregate>) -> Checked<Placed> {
        let slots: BTreeSet<Slot> = aggregates.iter().map(|aggregate| aggregate.slot).collect();
        let aggregating = |expr: &Expr| {
            walk::any(
                expr,
                &mut |part| matches!(&part.kind, ExprKind::Variable(slot) if slots.contains(slot)),
            )
        };
        let mut keys = Vec::new();
        let mut known_keys = Vec::new();
        if !aggregates.is_empty() {
            for key in named.iter().filter(|named| !aggregating(&named.expr)) {
                let slot = self.new_slot();
                self.names.insert(slot, key.name.as_str().into());
                known_keys.push(Known {
                    expr: key.expr.clone(),
                    slot,
                });
                keys.push(Item {
                    expr: key.expr.clone(),
                    slot,
                });
            }
        }
        let mut key_slots = keys
            .iter()
            .map(|key| key.slot)
            .collect::<Vec<_>>()
            .into_iter();
        let mut placed = Placed {
            aggregation: None,
            items: Vec::new(),
            known: Vec::new(),
            scope: Scope::default(),
        };
        let mut findings = Vec::new();
        for named in named {
            let mut expr = named.expr.clone();
            if aggregating(&expr) {
                if let Err(more) = self.regroup(&mut expr, &known_keys, &slots) {
                    findings.extend(more);
                }
            } else if let Some(slot) = key_slots.next() {
                expr.kind = ExprKind::Variable(slot);
            }
            let slot = self.new_slot();
            self.names.insert(slot, named.name.as_str().into());
            placed
                .scope
                .insert(&named.name, slot, expr.value_type.clone());
            placed.known.push(Known {
                expr: named.expr.clone(),
                slot,
            });
            placed.items.push(Item { expr, slot });
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        placed.aggregation = (!aggregates.is_empty()).then_some(Aggregation { keys, aggregates });
        Ok(placed)
    }

    fn order(
        &mut self,
        order: Option<&OrderBy>,
        placed: &Placed,
        restricted: bool,
    ) -> Checked<Vec<SortKey>> {
        let Some(order) = order else {
            return Ok(Vec::new());
        };
        all(order.items.iter().map(|item| {
            if let Some(nulls) = &item.nulls {
                return self.unsupported(span(nulls.span), "NULLS FIRST and NULLS LAST");
            }
            let mut expr = self.sort_expression(&item.expression, placed)?;
            if restricted {
                self.settle_key(&mut expr, placed)?;
            }
            let descending =
                matches!(&item.direction, Some(given) if given.kind == SortDirection::Descending);
            Ok(SortKey { expr, descending })
        }))
    }

    /// A key that aggregates beside an aggregate names items by themselves, as items do.
    fn settle_key(&self, expr: &mut Expr, placed: &Placed) -> Checked<()> {
        let aggregates = placed
            .aggregation
            .iter()
            .flat_map(|found| &found.aggregates);
        let slots: BTreeSet<Slot> = aggregates.map(|aggregate| aggregate.slot).collect();
        let projected = placed
            .known
            .iter()
            .any(|known| walk::same(&known.expr, expr));
        let aggregating = walk::any(
            expr,
            &mut |part| matches!(&part.kind, ExprKind::Variable(slot) if slots.contains(slot)),
        );
        if aggregating && !projected {
            return self.regroup(expr, &placed.known, &visible(placed));
        }
        self.settle(expr, &placed.known, &visible(placed), "ORDER BY")
    }

    /// Aggregates may stand in a sort key when the projection has the same.
    fn sort_expression(&mut self, syntax: &Syntax, placed: &Placed) -> Checked<Expr> {
        let projected = placed
            .aggregation
            .as_ref()
            .map(|aggregation| aggregation.aggregates.clone());
        let count = projected.as_ref().map_or(0, Vec::len);
        self.aggregates = projected;
        let expr = self.expression(syntax);
        let after = self.aggregates.take().unwrap_or_default();
        let expr = expr?;
        if after.len() > count {
            let message = "an aggregate in ORDER BY must also be projected";
            return self.fail(Code::MisplacedAggregate, span(syntax.span), message);
        }
        Ok(expr)
    }

    fn filter(&mut self, filter: &Syntax, placed: &Placed, restricted: bool) -> Checked<Expr> {
        let mut expr = self.condition(filter)?;
        if restricted {
            self.settle(&mut expr, &placed.known, &visible(placed), "WHERE")?;
        }
        Ok(expr)
    }

    /// The number after `SKIP` and `LIMIT`.
    fn row_count(&mut self, syntax: Option<&Syntax>, clause: &str) -> Checked<Option<Expr>> {
        let Some(syntax) = syntax else {
            return Ok(None);
        };
        let place = span(syntax.span);
        let expr = match self.expression(syntax) {
            Err(findings)
                if findings
                    .iter()
                    .any(|finding| finding.code == Code::UnknownVariable) =>
            {
                let message = format!(
                    "{clause} takes a constant or a parameter: there are no variables here"
                );
                return self.fail(Code::InvalidValue, place, message);
            }
            other => other?,
        };
        self.require(&expr, &Type::Integer, &format!("the number after {clause}"))?;
        match &expr.kind {
            ExprKind::Literal(Value::Int(count)) if *count < 0 => self.fail(
                Code::InvalidValue,
                place,
                format!("{clause} takes 0 or more, not {count}"),
            ),
            ExprKind::Literal(Value::Null) => self.fail(
                Code::InvalidValue,
                place,
                format!("{clause} takes an integer, not null"),
            ),
            _ => Ok(Some(expr)),
        }
    }
}

/// The slots that have values after grouping.
fn visible(placed: &Placed) -> BTreeSet<Slot> {
    let aggregation = placed.aggregation.iter();
    let grouped = aggregation.flat_map(|aggregation| {
        let keys = aggregation.keys.iter().map(|key| key.slot);
        keys.chain(
            aggregation
                .aggregates
                .iter()
                .map(|aggregate| aggregate.slot),
        )
    });
    placed
        .items
        .iter()
        .map(|item| item.slot)
        .chain(grouped)
        .collect()
}
