//! The arguments of one annotation: tokens between parentheses -> values.
//!
//! `0..9` is a range, `phase-1` a word, `{ color: #fff }` nothing that is known and therefore kept
//! as text. Brackets are known to be in pairs here: the parser looked with [`closing`].

use super::lexer::{Bracket, Kind, Token};
use super::syntax::{ArgumentKind, Literal};
use crate::diagnostic::Span;

/// `argument = literal | [ literal ] ".." [ literal ] | name "=" literal`
pub(super) fn argument(text: &str, tokens: &[Token]) -> ArgumentKind {
    if let Some(literal) = literal(text, tokens) {
        return ArgumentKind::Literal(literal);
    }
    let Some(dots) = tokens.iter().position(|token| token.kind == Kind::DotDot) else {
        return ArgumentKind::Other;
    };
    let end = |tokens: &[Token]| match tokens {
        [] => Some(None),
        some => literal(text, some).map(Some),
    };
    let (before, after) = tokens.split_at(dots);
    match (end(before), end(after.get(1..).unwrap_or_default())) {
        (Some(min), Some(max)) => ArgumentKind::Range { min, max },
        _ => ArgumentKind::Other,
    }
}

/// `literal = text | word | "[" [ literal { "," literal } ] "]"`
fn literal(text: &str, tokens: &[Token]) -> Option<Literal> {
    match tokens {
        [
            Token {
                kind: Kind::Text(text),
                ..
            },
        ] => Some(Literal::Text(text.clone())),
        [
            Token {
                kind: Kind::Open(Bracket::Square),
                ..
            },
            inside @ ..,
            last,
        ] => {
            if last.kind != Kind::Close(Bracket::Square) || closing(tokens)? + 1 != tokens.len() {
                return None;
            }
            let mut parts = split(inside);
            if parts.last().is_some_and(|part| part.is_empty()) {
                parts.pop();
            }
            parts
                .into_iter()
                .map(|part| literal(text, part))
                .collect::<Option<_>>()
                .map(Literal::List)
        }
        _ if run_length(tokens) == tokens.len() => {
            let span = Span::new(tokens.first()?.span.start, tokens.last()?.span.end);
            Some(Literal::Word(text.get(span.start..span.end)?.to_owned()))
        }
        _ => None,
    }
}

pub(super) const fn depth_after(depth: usize, kind: &Kind) -> usize {
    match kind {
        Kind::Open(_) => depth + 1,
        Kind::Close(_) => depth.saturating_sub(1),
        _ => depth,
    }
}

/// How many tokens from the first make one word without a gap: `phase-1`, `-0.5`.
pub(super) fn run_length(tokens: &[Token]) -> usize {
    let mut end = None;
    tokens
        .iter()
        .take_while(|token| {
            let joined = end.is_none_or(|end| end == token.span.start);
            end = Some(token.span.end);
            joined && matches!(token.kind, Kind::Word | Kind::Number | Kind::Minus)
        })
        .count()
}

/// The index of the token that closes the bracket that the first token opens.
pub(super) fn closing(tokens: &[Token]) -> Option<usize> {
    let mut open = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open(bracket) => open.push(bracket),
            Kind::Close(bracket) => {
                if open.pop() != Some(bracket) {
                    return None;
                }
                if open.is_empty() {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts between the commas that stand in no bracket; at least one, perhaps empty.
pub(super) fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            let separates = depth == 0 && token.kind == Kind::Comma;
            depth = depth_after(depth, &token.kind);
            separates
        })
        .collect()
}
