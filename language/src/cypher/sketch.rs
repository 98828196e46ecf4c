//! A pattern taken apart: a chain of nodes and relationships, with what is not supported refused.
//!
//! It must never know the schema. `MATCH`, `CREATE` and `MERGE` all begin here.

use open_cypher::ast::{
    NodePattern, PathFactor, PathFactorKind, PathPattern, PatternPart, Quantifier, QuantifierKind,
    RelationshipDirection, RelationshipPattern,
};

use crate::diagnostic::{Code, Span};
use crate::plan::{Direction, Length, Shortest};

use super::compiler::{Checked, Compiler};
use super::parse::span;

/// A path pattern as it was written: one node more than relationships.
pub(super) struct Chain<'q> {
    pub(super) shortest: Option<Shortest>,
    pub(super) nodes: Vec<(&'q NodePattern, Span)>,
    pub(super) edges: Vec<(&'q RelationshipPattern, Span)>,
}

impl Compiler<'_> {
    /// Takes a pattern part apart.
    pub(super) fn chain<'q>(&self, part: &'q PatternPart) -> Checked<Chain<'q>> {
        if let Some(selector) = &part.kind.selector {
            return self.unsupported(span(selector.span), "a path selector");
        }
        let path = &part.kind.path;
        if let [factor] = path.kind.factors.as_slice()
            && let PathFactorKind::LegacyShortest { all, pattern } = &factor.kind
        {
            let shortest = if *all { Shortest::All } else { Shortest::One };
            return Ok(Chain {
                shortest: Some(shortest),
                ..self.factors(pattern)?
            });
        }
        self.factors(path)
    }

    fn factors<'q>(&self, path: &'q PathPattern) -> Checked<Chain<'q>> {
        let mut chain = Chain {
            shortest: None,
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        for factor in &path.kind.factors {
            self.factor(factor, &mut chain)?;
        }
        if chain.nodes.len() != chain.edges.len() + 1 {
            return self.fail(
                Code::Syntax,
                span(path.span),
                "a pattern begins and ends with a node",
            );
        }
        Ok(chain)
    }

    fn factor<'q>(&self, factor: &'q PathFactor, chain: &mut Chain<'q>) -> Checked<()> {
        let place = span(factor.span);
        match &factor.kind {
            PathFactorKind::Node(_) if chain.nodes.len() > chain.edges.len() => self.fail(
                Code::Syntax,
                place,
                "a relationship must stand between two nodes",
            ),
            PathFactorKind::Node(node) => {
                chain.nodes.push((node, place));
                Ok(())
            }
            PathFactorKind::Relationship(_) if chain.nodes.len() != chain.edges.len() + 1 => self
                .fail(
                    Code::Syntax,
                    place,
                    "a relationship must stand between two nodes",
                ),
            PathFactorKind::Relationship(edge) => {
                if let Some(quantifier) = &edge.graph_quantifier {
                    return self
                        .unsupported(span(quantifier.span), "a quantified path (write [*1..3])");
                }
                chain.edges.push((edge, place));
                Ok(())
            }
            PathFactorKind::QuantifiedNode { quantifier, .. } => {
                self.unsupported(span(quantifier.span), "a quantified path (write [*1..3])")
            }
            PathFactorKind::Parenthesized {
                quantifier: Some(quantifier),
                ..
            }
            | PathFactorKind::Subpath {
                quantifier: Some(quantifier),
                ..
            } => self.unsupported(span(quantifier.span), "a quantified path (write [*1..3])"),
            PathFactorKind::Parenthesized { .. } | PathFactorKind::Subpath { .. } => {
                self.unsupported(place, "a path in parentheses")
            }
            PathFactorKind::LegacyShortest { .. } => {
                self.unsupported(place, "shortestPath as a part of a longer pattern")
            }
            _ => self.fail(Code::Syntax, place, "this is not a pattern"),
        }
    }

    /// `*`, `*2`, `*1..3`; absent for exactly one relationship.
    pub(super) fn length(&self, quantifier: Option<&Quantifier>) -> Checked<Option<Length>> {
        let Some(quantifier) = quantifier else {
            return Ok(None);
        };
        let bound = |text: &String| match text.parse::<u32>() {
            Ok(bound) => Ok(bound),
            Err(_) => {
                let message = format!("a length is an integer up to {}, not {text}", u32::MAX);
                self.fail(Code::InvalidValue, span(quantifier.span), message)
            }
        };
        let length = match &quantifier.kind {
            // Inside of brackets a bare star means at least one.
            QuantifierKind::ZeroOrMore => Length { min: 1, max: None },
            QuantifierKind::Fixed(text) => {
                let exact = bound(text)?;
                Length {
                    min: exact,
                    max: Some(exact),
                }
            }
            QuantifierKind::Range { lower, upper } => Length {
                min: lower.as_ref().map(bound).transpose()?.unwrap_or(1),
                max: upper.as_ref().map(bound).transpose()?,
            },
            _ => return self.unsupported(span(quantifier.span), "this quantifier"),
        };
        Ok(Some(length))
    }
}

/// The direction of a relationship as seen from the left.
pub(super) const fn direction(edge: &RelationshipPattern) -> Direction {
    match edge.direction.kind {
        RelationshipDirection::Right => Direction::Outgoing,
        RelationshipDirection::Left => Direction::Incoming,
        _ => Direction::Either,
    }
}
