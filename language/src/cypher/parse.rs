//! The open-cypher crate and what it finds wrong, in our words.
//!
//! It must never know the schema. Out of here comes one query.

use std::collections::BTreeMap;

use open_cypher::ast::{
    Binding, CallClause, CallTarget, Clause, ClauseKind, Expr, FilterClause, ForeachClause,
    LetClause, ProjectionItemKind, Query, QueryKind, RegularQuery, SetItemKind, StatementKind,
};
use open_cypher::{Token, TokenKind};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span, closest};

use super::bare_pattern::{self, BarePatterns};
use super::blocks::{self, Form};
use super::nested::is_bare;
use super::statement;

/// Longest list of what would have been accepted that is worth reading.
const MAX_EXPECTED: usize = 6;

/// Most bytes of all parts that are parsed by themselves. Each has as many as the text before it: some
/// 0.1 s.
const MAX_PARTS_BYTES: usize = 1 << 25;

/// Words that begin something which the parser does not know.
const UNSUPPORTED_WORDS: &[&str] = &[
    "EXPLAIN", "PROFILE", "LOAD", "USE", "NEXT", "USING", "SELECT",
];

const CLAUSE_WORDS: &[&str] = &[
    "MATCH", "OPTIONAL", "WHERE", "WITH", "RETURN", "UNWIND", "CREATE", "MERGE", "SET", "REMOVE",
    "DELETE", "DETACH", "ORDER", "SKIP", "LIMIT", "CALL", "UNION", "FOREACH", "LET", "FILTER",
    "INSERT", "FINISH",
];

/// A span of the parser as one of ours.
pub(super) const fn span(span: open_cypher::Span) -> Span {
    Span::new(span.start, span.end)
}

/// A statement as the parser sees it.
pub(super) struct Parsed {
    pub(super) query: RegularQuery,
    /// What stands in place of the arguments of some subqueries of it.
    pub(super) bare_patterns: BarePatterns,
    /// What clauses are that are `WITH *` in the query, by where they begin.
    pub(super) blocks: Blocks,
}

/// Clauses that the grammar of the parser does not have, by where they begin.
pub(super) type Blocks = BTreeMap<usize, Block>;

/// One of them.
pub(super) struct Block {
    pub(super) kind: ClauseKind,
    /// All of it.
    pub(super) span: Span,
}

/// Parses `text`, which [`super::limits`] has let pass.
pub(super) fn parse(text: &str) -> Result<Parsed, Diagnostics> {
    refuse_prefix(text)?;
    let mut parsing = Parsing {
        text,
        bare_patterns: BarePatterns::new(),
        blocks: Blocks::new(),
        bytes: 0,
    };
    let query = parsing.part(text)?;
    Ok(Parsed {
        query,
        bare_patterns: parsing.bare_patterns,
        blocks: parsing.blocks,
    })
}

impl Block {
    /// Whether one of its clauses assigns properties.
    pub(super) fn assigns(&self) -> bool {
        match &self.kind {
            ClauseKind::Foreach(foreach) => statement::assigns(&foreach.clauses),
            ClauseKind::Call(call) => match &call.target {
                CallTarget::Subquery { query, .. } => match &query.kind {
                    QueryKind::Regular(query) => {
                        let unions = query.unions.iter().map(|union| &union.query);
                        let mut parts = std::iter::once(&query.head).chain(unions);
                        parts.any(|part| statement::assigns(&part.kind.clauses))
                    }
                    _ => false,
                },
                _ => false,
            },
            _ => false,
        }
    }
}

/// A text that is parsed in parts.
struct Parsing<'a> {
    text: &'a str,
    bare_patterns: BarePatterns,
    blocks: Blocks,
    /// Length of all parts so far.
    bytes: usize,
}

impl Parsing<'_> {
    /// Parses a part of the text that stands at its place in `standing`.
    fn part(&mut self, standing: &str) -> Result<RegularQuery, Diagnostics> {
        let (standing, blocks) = blocks::separate(standing)?;
        let (rest, found) = bare_pattern::separate(&standing);
        let query = one(self.text, &rest)?;
        for found in found {
            self.take(&found.statement, found.inside)?;
            let pattern = self.part(&found.statement)?;
            bare_pattern::check(self.text, &found, &pattern)?;
            self.bare_patterns.insert(found.at, pattern);
        }
        for found in blocks {
            let kind = self.block(found.form, found.span)?;
            let span = found.span;
            self.blocks.insert(found.at, Block { kind, span });
        }
        Ok(query)
    }

    /// Notes that another part is parsed by itself.
    fn take(&mut self, part: &str, place: Span) -> Result<(), Diagnostics> {
        self.bytes = self.bytes.saturating_add(part.len());
        if self.bytes <= MAX_PARTS_BYTES {
            return Ok(());
        }
        let message = "too many subqueries and FOREACH, or subqueries without a MATCH, in a text as long \
                       as this: split it, or write MATCH";
        Err(vec![Diagnostic::new(
            Code::TextTooLong,
            self.text,
            place,
            message,
        )])
    }

    fn block(&mut self, form: Form, place: Span) -> Result<ClauseKind, Diagnostics> {
        Ok(match form {
            Form::Subquery {
                optional,
                scope,
                query,
            } => {
                self.take(&query, place)?;
                let kind = QueryKind::Regular(self.part(&query)?);
                let query = Query::new(kind, open_cypher::Span::new(place.start, place.end));
                ClauseKind::Call(CallClause {
                    optional,
                    target: CallTarget::Subquery {
                        scope,
                        query: Box::new(query),
                        in_transactions: None,
                    },
                    yield_clause: None,
                })
            }
            Form::Foreach {
                variable,
                list,
                clauses,
            } => {
                let list = self.expression(&list, place)?;
                ClauseKind::Foreach(ForeachClause {
                    variable,
                    list,
                    clauses: self.clauses(&clauses, place)?,
                })
            }
            Form::Let(text) => ClauseKind::Let(LetClause {
                bindings: self.bindings(&text, place)?,
            }),
            Form::Filter(text) => ClauseKind::Filter(FilterClause {
                predicate: self.expression(&text, place)?,
            }),
            Form::Finish => ClauseKind::Finish,
        })
    }

    /// Clauses that stand by themselves.
    fn clauses(&mut self, standing: &str, place: Span) -> Result<Vec<Clause>, Diagnostics> {
        self.take(standing, place)?;
        let query = self.part(standing)?;
        match query.unions.first() {
            None => Ok(query.head.kind.clauses),
            Some(union) => Err(self.misplaced(span(union.operator.span))),
        }
    }

    /// The expression behind a `RETURN`.
    fn expression(&mut self, standing: &str, place: Span) -> Result<Expr, Diagnostics> {
        let clauses = self.clauses(standing, place)?;
        if let [clause] = clauses.as_slice()
            && let ClauseKind::Return(clause) = &clause.kind
            && let [item] = clause.projection.items.as_slice()
            && let ProjectionItemKind::Expression {
                expression,
                alias: None,
            } = &item.kind
            && is_bare(&clause.projection)
        {
            return Ok(expression.clone());
        }
        Err(self.misplaced(place))
    }

    /// The names and values behind a `SET`.
    fn bindings(&mut self, standing: &str, place: Span) -> Result<Vec<Binding>, Diagnostics> {
        let clauses = self.clauses(standing, place)?;
        let [clause] = clauses.as_slice() else {
            return Err(self.misplaced(place));
        };
        let ClauseKind::Set(set) = &clause.kind else {
            return Err(self.misplaced(place));
        };
        let bindings = set.items.iter().map(|item| match &item.kind {
            SetItemKind::ReplaceProperties { target, value } => Ok(Binding {
                variable: target.clone(),
                expression: value.clone(),
                span: item.span,
            }),
            _ => Err(self.misplaced(span(item.span))),
        });
        bindings.collect()
    }

    fn misplaced(&self, place: Span) -> Diagnostics {
        let message = "this cannot stand here";
        vec![Diagnostic::new(Code::Syntax, self.text, place, message)]
    }
}

fn one(text: &str, standing: &str) -> Result<RegularQuery, Diagnostics> {
    let parsed =
        open_cypher::parse(standing).map_err(|errors| findings(text, errors.diagnostics()))?;
    let Some(statement) = parsed.program.statements.into_iter().next() else {
        return Err(vec![Diagnostic::new(
            Code::Syntax,
            text,
            Span::new(0, 0),
            "the statement is empty",
        )]);
    };
    let StatementKind::Query(statement) = statement.kind else {
        return Err(unsupported(
            text,
            span(statement.span),
            "this kind of statement",
        ));
    };
    if let Some(mode) = statement.mode {
        return Err(unsupported(text, span(mode.span), "this prefix"));
    }
    let QueryKind::Regular(query) = statement.query.kind else {
        return Err(unsupported(
            text,
            span(statement.query.span),
            "this kind of query",
        ));
    };
    let parts = std::iter::once(&query.head).chain(query.unions.iter().map(|union| &union.query));
    let mut clauses = parts.flat_map(|part| &part.kind.clauses);
    match clauses.find(|clause| matches!(clause.kind, ClauseKind::Error(_))) {
        Some(clause) => Err(vec![Diagnostic::new(
            Code::Syntax,
            text,
            span(clause.span),
            "this is not a clause",
        )]),
        None => Ok(query),
    }
}

fn unsupported(text: &str, span: Span, what: &str) -> Diagnostics {
    vec![Diagnostic::new(
        Code::Unsupported,
        text,
        span,
        format!("{what} is not supported yet"),
    )]
}

/// `EXPLAIN` and `PROFILE` are no keywords to the parser, which would call them misplaced names. Who
/// runs statements has taken them away ([`super::mode`]), unless they cannot stand there.
fn refuse_prefix(text: &str) -> Result<(), Diagnostics> {
    let lexed = open_cypher::lex(text);
    let Some(first) = lexed.tokens.iter().find(|token| !token.is_trivia()) else {
        return Ok(());
    };
    let word = first.text(text).unwrap_or_default().to_uppercase();
    match word.as_str() {
        "EXPLAIN" | "PROFILE" => Err(vec![Diagnostic::new(
            Code::Unsupported,
            text,
            span(first.span),
            format!("{word} may stand once, before a statement that is sent as a query"),
        )]),
        _ => Ok(()),
    }
}

fn findings(text: &str, errors: &[open_cypher::Diagnostic]) -> Diagnostics {
    let tokens: Vec<Token> = open_cypher::lex(text)
        .tokens
        .into_iter()
        .filter(|token| !token.is_trivia())
        .collect();
    let mut findings: Diagnostics = Vec::new();
    for error in errors.iter().filter(|error| error.is_error()) {
        let finding = finding(text, &tokens, error);
        if !findings
            .iter()
            .any(|other| (other.line, other.column) == (finding.line, finding.column))
        {
            findings.push(finding);
        }
    }
    findings.truncate(super::limits::MAX_FINDINGS);
    // One that names a missing construct explains the others.
    if let Some(index) = findings
        .iter()
        .position(|finding| finding.code != Code::Syntax)
    {
        return vec![findings.swap_remove(index)];
    }
    if findings.is_empty() {
        findings.push(Diagnostic::new(
            Code::Syntax,
            text,
            Span::new(0, 0),
            "the text is not Cypher",
        ));
    }
    findings
}

fn finding(text: &str, tokens: &[Token], error: &open_cypher::Diagnostic) -> Diagnostic {
    let place = span(error.primary_span);
    let index = tokens
        .iter()
        .position(|token| token.span.start == place.start && !token.span.is_empty());
    let word = text.get(place.start..place.end).unwrap_or_default();
    let upper = word.to_uppercase();
    use open_cypher::DiagnosticCode::{ExtraToken, UnexpectedToken};
    if matches!(error.code, UnexpectedToken | ExtraToken) {
        if UNSUPPORTED_WORDS.contains(&upper.as_str()) {
            return Diagnostic::new(
                Code::Unsupported,
                text,
                place,
                format!("{upper} is not supported yet"),
            );
        }
        if let Some(call) = unsupported_before(text, tokens, index) {
            return call;
        }
        let follows_return = index.is_some_and(|index| returned_before(tokens, index));
        if follows_return && CLAUSE_WORDS.contains(&upper.as_str()) && upper != "WHERE" {
            let message = match upper.as_str() {
                "RETURN" => "a statement has one RETURN, at its end".to_owned(),
                _ => format!("nothing may follow RETURN: {upper} must stand before it"),
            };
            return Diagnostic::new(Code::MisplacedClause, text, place, message);
        }
    }
    let message = message(&error.message, word);
    let finding = Diagnostic::new(Code::Syntax, text, place, message);
    match closest(&upper, CLAUSE_WORDS.iter().copied()) {
        Some(keyword) if word.chars().count() > 2 => Diagnostic {
            suggestion: Some(keyword.to_owned()),
            ..finding
        },
        _ => finding,
    }
}

/// `LOAD CSV`: the parser stumbles over what follows the word.
fn unsupported_before(text: &str, tokens: &[Token], index: Option<usize>) -> Option<Diagnostic> {
    let before = tokens.get(index?.checked_sub(1)?)?;
    let word = before.text(text)?.to_uppercase();
    UNSUPPORTED_WORDS.contains(&word.as_str()).then(|| {
        Diagnostic::new(
            Code::Unsupported,
            text,
            span(before.span),
            format!("{word} is not supported yet"),
        )
    })
}

fn returned_before(tokens: &[Token], index: usize) -> bool {
    let mut depth = 0_usize;
    for token in tokens.iter().take(index).rev() {
        match token.kind {
            TokenKind::RightParen | TokenKind::RightBracket | TokenKind::RightBrace => depth += 1,
            TokenKind::LeftParen | TokenKind::LeftBracket | TokenKind::LeftBrace => {
                let Some(outer) = depth.checked_sub(1) else {
                    return false;
                };
                depth = outer;
            }
            TokenKind::Keyword(open_cypher::Keyword::Return) if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// The parser's message without dozens of alternatives, and with the text instead of its class.
fn message(original: &str, word: &str) -> String {
    let (head, expected) = original.split_once("; expected ").unwrap_or((original, ""));
    let about_token = head.starts_with("unexpected token") || head.starts_with("extra token");
    let head = if about_token && !word.is_empty() {
        format!("`{word}` cannot stand here")
    } else {
        head.to_owned()
    };
    if expected.is_empty() || expected.matches('`').count() / 2 > MAX_EXPECTED {
        head
    } else {
        format!("{head}; expected {expected}")
    }
}
