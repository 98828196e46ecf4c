//! Subqueries without a clause: `EXISTS { (a)-->(b:Label) WHERE ... }`.
//!
//! The parser takes a label within an expression for a condition, unless a `MATCH` stands before it. So what
//! such a subquery holds is parsed as a statement of its own, `MATCH` and all, and where it stood the parser
//! finds `()`. Either text is as long as the first, so that every position means the same place.

use std::collections::BTreeMap;

use open_cypher::ast::{ClauseKind, RegularQuery};
use open_cypher::{Keyword, Token, TokenKind};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};

const CLAUSE: &str = "MATCH ";
const NOTHING: &str = "()";

/// What subqueries match that have no clause, by where their first word begins.
pub(super) type BarePatterns = BTreeMap<usize, RegularQuery>;

/// A subquery without a clause.
pub(super) struct Found {
    /// Where its first word begins.
    pub(super) at: usize,
    /// What stands between its braces.
    pub(super) inside: Span,
    /// That, as a statement.
    pub(super) statement: String,
}

/// The outermost of them, and the text without what they hold.
pub(super) fn separate(text: &str) -> (String, Vec<Found>) {
    let lexed = open_cypher::lex(text);
    let tokens: Vec<_> = lexed.tokens.iter().filter(|t| !t.is_trivia()).collect();
    let mut rest = text.to_owned();
    let mut found: Vec<Found> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Some(inside) = inside(&tokens, index) else {
            continue;
        };
        let within = found
            .last()
            .is_some_and(|last| token.span.start < last.inside.end);
        let (Some(start), Some(content)) = (
            inside.start.checked_sub(CLAUSE.len()),
            text.get(inside.start..inside.end),
        ) else {
            continue;
        };
        if within || content.len() < NOTHING.len() {
            continue;
        }
        let filler = " ".repeat(content.len() - NOTHING.len());
        rest.replace_range(inside.start..inside.end, &format!("{NOTHING}{filler}"));
        let before = " ".repeat(start);
        found.push(Found {
            at: token.span.start,
            inside,
            statement: format!("{before}{CLAUSE}{content}"),
        });
    }
    (rest, found)
}

/// Where the pattern stands that is all of the subquery whose first word is at `index`.
fn inside(tokens: &[&Token], index: usize) -> Option<Span> {
    use TokenKind::{Equal, LeftBrace, LeftParen};
    let kind = |index: usize| tokens.get(index).map(|token| token.kind);
    let is_subquery = matches!(
        kind(index)?,
        TokenKind::Keyword(Keyword::Exists | Keyword::Count | Keyword::Collect)
    );
    if !is_subquery || kind(index + 1)? != LeftBrace {
        return None;
    }
    let begins = match kind(index + 2)? {
        LeftParen => true,
        TokenKind::Keyword(Keyword::ShortestPath | Keyword::AllShortestPaths) => true,
        _ => kind(index + 3)? == Equal,
    };
    let mut open = 0_usize;
    let end = tokens.get(index + 1..)?.iter().find(|token| {
        match token.kind {
            LeftBrace => open += 1,
            TokenKind::RightBrace => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    let start = tokens.get(index + 1)?.span.end;
    begins.then(|| Span::new(start, end.span.start))
}

/// Refuses what is more than a pattern with a condition: further clauses need the `MATCH` before them.
pub(super) fn check(text: &str, found: &Found, query: &RegularQuery) -> Result<(), Diagnostics> {
    let clauses = &query.head.kind.clauses;
    let is_pattern =
        matches!(clauses.as_slice(), [clause] if matches!(clause.kind, ClauseKind::Match(_)));
    if is_pattern && query.unions.is_empty() {
        return Ok(());
    }
    let message = "a subquery with more than a pattern and its WHERE begins with MATCH";
    Err(vec![Diagnostic::new(
        Code::Syntax,
        text,
        found.inside,
        message,
    )])
}
