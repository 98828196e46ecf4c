//! Clauses that the parser has in its tree and not in its grammar: `CALL { ... }`, `FOREACH`, `LET`,
//! `FILTER`, `FINISH`, `INSERT`, and the hints of a `MATCH`.
//!
//! Where such a clause stands the parser finds `WITH *`; what it holds is parsed as a statement of its
//! own. As with [`super::bare_pattern`] every text is as long as the first, so that positions are those of
//! the statement. `INSERT` becomes `CREATE`, and a hint blanks: nothing here is planned by hints.

use open_cypher::ast::{Identifier, Name, SubqueryScope};
use open_cypher::{Keyword, Token, TokenKind};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};

/// What the parser finds in place of a clause.
const FILLER: &str = "WITH *";

/// Words that begin a clause and are no keywords to the parser, or cannot follow an operand otherwise.
const CLAUSE_WORDS: &[&str] = &[
    "CALL", "UNION", "FOREACH", "LET", "FILTER", "INSERT", "FINISH", "USE", "LOAD", "NODETACH",
    "MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CREATE", "MERGE", "SET", "REMOVE", "DELETE",
    "DETACH",
];

/// One such clause.
pub(super) struct Found {
    /// Where it begins.
    pub(super) at: usize,
    /// All of it.
    pub(super) span: Span,
    pub(super) form: Form,
}

/// What such a clause is, and what it holds, as statements.
pub(super) enum Form {
    /// `CALL { ... }`.
    Subquery {
        optional: bool,
        scope: Option<SubqueryScope>,
        query: String,
    },
    /// `FOREACH (variable IN list | clauses)`; the list stands behind a `RETURN`.
    Foreach {
        variable: Name,
        list: String,
        clauses: String,
    },
    /// `LET`, with `SET` in its place.
    Let(String),
    /// `FILTER`, with `RETURN` in its place.
    Filter(String),
    /// `FINISH`.
    Finish,
}

/// The outermost of them, and the text without.
pub(super) fn separate(text: &str) -> Result<(String, Vec<Found>), Diagnostics> {
    let lexed = open_cypher::lex(text);
    let tokens: Vec<Token> = lexed
        .tokens
        .iter()
        .copied()
        .filter(|t| !t.is_trivia())
        .collect();
    let reader = Reader {
        text,
        tokens: &tokens,
    };
    let mut rest = text.to_owned();
    let mut found: Vec<Found> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if let Some((filler, end)) = reader.renamed(index) {
            reader.replace(&mut rest, (index, end), filler);
            index = end;
            continue;
        }
        let Some((form, end)) = reader.form(index)? else {
            index += 1;
            continue;
        };
        let span = reader.replace(&mut rest, (index, end), FILLER);
        found.push(Found {
            at: span.start,
            span,
            form,
        });
        index = end;
    }
    Ok((rest, found))
}

/// A text and its words.
struct Reader<'t> {
    text: &'t str,
    tokens: &'t [Token],
}

impl Reader<'_> {
    fn kind(&self, index: usize) -> Option<TokenKind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    fn is(&self, index: usize, kind: TokenKind) -> bool {
        self.kind(index) == Some(kind)
    }

    fn source(&self, index: usize) -> &str {
        let token = self.tokens.get(index);
        token
            .and_then(|token| token.text(self.text))
            .unwrap_or_default()
    }

    fn says(&self, index: usize, word: &str) -> bool {
        self.source(index).eq_ignore_ascii_case(word)
    }

    fn start(&self, index: usize) -> usize {
        let token = self.tokens.get(index);
        token.map_or(self.text.len(), |token| token.span.start)
    }

    fn end(&self, index: usize) -> usize {
        let token = self.tokens.get(index);
        token.map_or(self.text.len(), |token| token.span.end)
    }

    /// Puts something, and blanks, in place of some words; says where they stood.
    fn replace(&self, rest: &mut String, (first, end): (usize, usize), filler: &str) -> Span {
        let span = Span::new(self.start(first), self.end(end.saturating_sub(1)));
        let blanks = span.end.saturating_sub(span.start + filler.len());
        rest.replace_range(
            span.start..span.end,
            &format!("{filler}{}", " ".repeat(blanks)),
        );
        span
    }

    /// What stands from one place to another, behind `before`, at its place in the text.
    fn standing(&self, before: &str, start: usize, end: usize) -> Option<String> {
        let blanks = " ".repeat(start.checked_sub(before.len())?);
        Some(format!("{blanks}{before}{}", self.text.get(start..end)?))
    }

    /// A bracket's other end.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        (open..self.tokens.len()).find(|index| {
            depth = match self.kind(*index) {
                Some(kind) if opens(kind) => depth + 1,
                Some(kind) if closes(kind) => depth.saturating_sub(1),
                _ => depth,
            };
            depth == 0
        })
    }

    /// Whether a clause can begin here: what stands before is whole.
    fn begins_clause(&self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1) else {
            return true;
        };
        match self.kind(before) {
            Some(
                TokenKind::Identifier
                | TokenKind::EscapedIdentifier
                | TokenKind::Parameter
                | TokenKind::Integer
                | TokenKind::HexInteger
                | TokenKind::OctalInteger
                | TokenKind::Float
                | TokenKind::String
                | TokenKind::RightParen
                | TokenKind::RightBracket
                | TokenKind::RightBrace
                | TokenKind::LeftBrace,
            ) => true,
            Some(TokenKind::Keyword(
                Keyword::End | Keyword::Null | Keyword::True | Keyword::False,
            )) => true,
            Some(TokenKind::Star) => before > 0 && self.says(before - 1, "WITH"),
            _ => false,
        }
    }

    /// Where the clause ends that began at `index`: before the next, or a bracket that it did not open.
    fn clause_end(&self, index: usize) -> usize {
        let mut at = index + 1;
        while let Some(kind) = self.kind(at) {
            if opens(kind) {
                at = self.closing(at).unwrap_or(self.tokens.len());
            } else if closes(kind)
                || kind == TokenKind::Semicolon
                || at > index + 1
                    && self.begins_clause(at)
                    && CLAUSE_WORDS.iter().any(|word| self.says(at, word))
            {
                return at;
            }
            at += 1;
        }
        at.min(self.tokens.len())
    }

    /// What is only called otherwise, and what goes: with what stands in its place.
    fn renamed(&self, index: usize) -> Option<(&'static str, usize)> {
        if !self.begins_clause(index) {
            return None;
        }
        if self.says(index, "INSERT") && self.is(index + 1, TokenKind::LeftParen) {
            return Some(("CREATE", index + 1));
        }
        if !self.says(index, "USING") {
            return None;
        }
        let mut at = index + 2;
        if self.says(index + 1, "JOIN") && self.says(at, "ON") {
            at = self.names(at + 1)?;
            return Some(("", at));
        }
        let is_index = ["INDEX", "TEXT", "RANGE", "POINT"]
            .iter()
            .any(|word| self.says(index + 1, word));
        if !is_index && !self.says(index + 1, "SCAN") {
            return None;
        }
        while is_index
            && (self.says(at, "INDEX") || self.says(at, "SEEK"))
            && !self.is(at + 1, TokenKind::Colon)
        {
            at += 1;
        }
        if !self.is(at + 1, TokenKind::Colon) {
            return None;
        }
        at += 3;
        if is_index {
            at = self
                .closing(at)
                .filter(|_| self.is(at, TokenKind::LeftParen))?
                + 1;
        }
        Some(("", at))
    }

    /// Behind names with commas between them.
    fn names(&self, index: usize) -> Option<usize> {
        let mut at = index;
        loop {
            self.name(at)?;
            if !self.is(at + 1, TokenKind::Comma) {
                return Some(at + 1);
            }
            at += 2;
        }
    }

    /// A clause that begins with this word, and where it ends.
    fn form(&self, index: usize) -> Result<Option<(Form, usize)>, Diagnostics> {
        if self.says(index, "CALL") {
            return self.subquery(index, false);
        }
        if self.says(index, "OPTIONAL") && self.says(index + 1, "CALL") {
            return self.subquery(index + 1, true);
        }
        if self.says(index, "FOREACH") {
            return self.foreach(index);
        }
        if !self.begins_clause(index) {
            return Ok(None);
        }
        let start = self.end(index);
        let rest = |before| {
            let end = self.clause_end(index);
            let text = self.standing(before, start, self.end(end - 1));
            text.map(|text| (text, end))
        };
        Ok(match self.source(index).to_ascii_uppercase().as_str() {
            "LET" if self.name(index + 1).is_some() && self.is(index + 2, TokenKind::Equal) => {
                rest("SET").map(|(text, end)| (Form::Let(text), end))
            }
            "FILTER" if !self.ends_name(index + 1) && !self.kind(index + 1).is_some_and(closes) => {
                rest("RETURN").map(|(mut text, end)| {
                    if self.says(index + 1, "WHERE") {
                        let (from, to) = (self.start(index + 1), self.end(index + 1));
                        text.replace_range(from..to, &" ".repeat(to - from));
                    }
                    (Form::Filter(text), end)
                })
            }
            "FINISH"
                if index > 0
                    && !self.is(index - 1, TokenKind::LeftBrace)
                    && !self.ends_name(index + 1) =>
            {
                Some((Form::Finish, index + 1))
            }
            _ => None,
        })
    }

    /// Whether a word before this one is a name: of a key, a property, an item.
    fn ends_name(&self, index: usize) -> bool {
        matches!(
            self.kind(index),
            Some(TokenKind::Colon | TokenKind::Comma | TokenKind::Dot | TokenKind::Equal)
        )
    }

    /// `CALL { ... }` and `CALL (names) { ... }`; the word is at `index`. A map projection of something
    /// called `call` is none.
    fn subquery(&self, index: usize, optional: bool) -> Result<Option<(Form, usize)>, Diagnostics> {
        let mut open = index + 1;
        let mut scope = None;
        if self.is(open, TokenKind::LeftParen) {
            let Some(given) = self.scope(open) else {
                return Ok(None);
            };
            scope = Some(given.0);
            open = given.1 + 1;
        }
        if !self.is(open, TokenKind::LeftBrace) {
            return Ok(None);
        }
        let begins = CLAUSE_WORDS.iter().any(|word| self.says(open + 1, word));
        if scope.is_none()
            && (!begins || self.ends_name(open + 2) || self.is(open + 2, TokenKind::RightBrace))
        {
            return Ok(None);
        }
        let Some(close) = self.closing(open) else {
            return Ok(None);
        };
        if let Some(at) = (close + 1..close + 5).find(|at| self.says(*at, "TRANSACTIONS"))
            && self.says(close + 1, "IN")
        {
            let span = Span::new(self.start(close + 1), self.end(at));
            let message = "CALL { ... } IN TRANSACTIONS is not supported: a request is one commit; \
                           send the rows in several requests, or load them";
            return Err(vec![Diagnostic::new(
                Code::Unsupported,
                self.text,
                span,
                message,
            )]);
        }
        let query = self.standing("", self.end(open), self.start(close));
        Ok(query.map(|query| {
            let form = Form::Subquery {
                optional,
                scope,
                query,
            };
            (form, close + 1)
        }))
    }

    /// The names between the parentheses that open at `open`, and where they close.
    fn scope(&self, open: usize) -> Option<(SubqueryScope, usize)> {
        let close = self.closing(open)?;
        let mut scope = SubqueryScope {
            import_all: false,
            variables: Vec::new(),
            span: open_cypher::Span::new(self.start(open), self.end(close)),
        };
        if close == open + 1 {
            return Some((scope, close));
        }
        if self.is(open + 1, TokenKind::Star) && close == open + 2 {
            scope.import_all = true;
            return Some((scope, close));
        }
        if self.names(open + 1)? != close {
            return None;
        }
        scope.variables = (open + 1..close)
            .step_by(2)
            .filter_map(|at| self.name(at))
            .collect();
        Some((scope, close))
    }

    fn foreach(&self, index: usize) -> Result<Option<(Form, usize)>, Diagnostics> {
        let open = index + 1;
        let is_one = self.is(open, TokenKind::LeftParen) && self.says(open + 2, "IN");
        let (Some(variable), Some(close), true) = (self.name(open + 1), self.closing(open), is_one)
        else {
            return Ok(None);
        };
        let mut bar = open + 3;
        while bar < close {
            if self.kind(bar).is_some_and(opens) {
                bar = self.closing(bar).unwrap_or(close);
            } else if self.is(bar, TokenKind::Pipe)
                && CLAUSE_WORDS.iter().any(|word| self.says(bar + 1, word))
            {
                break;
            }
            bar += 1;
        }
        if bar >= close {
            let span = Span::new(self.start(index), self.end(close));
            let message = "write FOREACH (variable IN list | clauses that write)";
            return Err(vec![Diagnostic::new(
                Code::Syntax,
                self.text,
                span,
                message,
            )]);
        }
        let list = self.standing("RETURN", self.end(open + 2), self.start(bar));
        let clauses = self.standing("", self.end(bar), self.start(close));
        Ok(list.zip(clauses).map(|(list, clauses)| {
            let form = Form::Foreach {
                variable,
                list,
                clauses,
            };
            (form, close + 1)
        }))
    }

    /// The word as a name.
    fn name(&self, index: usize) -> Option<Name> {
        let token = self.tokens.get(index)?;
        let text = token.text(self.text)?;
        let name = match token.kind {
            TokenKind::Identifier | TokenKind::Keyword(_) => Identifier::new(text, false),
            TokenKind::EscapedIdentifier => {
                let inside = text.strip_prefix('`')?.strip_suffix('`')?;
                Identifier::new(inside.replace("``", "`"), true)
            }
            _ => return None,
        };
        Some(Name::new(name, token.span))
    }
}

const fn opens(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::LeftParen | TokenKind::LeftBracket | TokenKind::LeftBrace
    )
}

const fn closes(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::RightParen | TokenKind::RightBracket | TokenKind::RightBrace
    )
}
