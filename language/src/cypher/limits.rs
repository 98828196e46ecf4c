//! How long and how deep a text may be, decided before it is parsed: the parser and whatever walks
//! its tree recurse, and a stack that overflows takes the process with it.
//!
//! Depth does not come from brackets alone: `NOT NOT NOT ...`, `1 + 1 + ...` and `CASE` nest
//! without any. So operators are counted too, and added up along the open brackets.

use open_cypher::{Keyword, Token, TokenKind};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span};

/// Longest text, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 18;
/// Most words, numbers and signs. The parser looks back from every colon and bracket, so its time
/// grows with the square of this: here to about half a second.
pub(super) const MAX_TOKENS: usize = 20_000;
/// Deepest nesting of `(`, `[` and `{` together.
pub(super) const MAX_NESTING: usize = 200;
/// Most operators within one item of a list of expressions.
pub(super) const MAX_OPERATORS: usize = 4_000;
/// Deepest nesting of expressions once parsed; boolean chains do not count, they are balanced.
pub(super) const MAX_EXPRESSION_DEPTH: usize = 128;
/// Most findings about one list of things.
pub(super) const MAX_FINDINGS: usize = 8;
/// Most expression nodes that may be copied: chained comparisons and simple `CASE` copy operands.
pub(super) const MAX_COPIED_NODES: usize = 20_000;

/// Most types of the schema that one compilation looks at, all its steps together. A label that may be
/// any type, and a relationship between any, cost as much as the schema is large; so does each step of
/// narrowing them. Some 0.2 s.
pub(super) const MAX_EFFORT: usize = 1_500_000;

/// Refuses texts that are too long or too deep to be parsed safely.
pub(super) fn check(text: &str) -> Result<(), Diagnostics> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!(
            "the statement has {} bytes; at most {MAX_TEXT_BYTES} are accepted: pass data as parameters",
            text.len()
        );
        return Err(vec![Diagnostic::new(
            Code::TextTooLong,
            text,
            Span::new(0, 0),
            message,
        )]);
    }
    let mut depth = Depth::new();
    let lexed = open_cypher::lex(text);
    let tokens = lexed.tokens.iter().filter(|token| !token.is_trivia());
    for (index, token) in tokens.enumerate() {
        if index >= MAX_TOKENS {
            let span = Span::new(token.span.start, token.span.end);
            let message =
                format!("the statement has more than {MAX_TOKENS} words: pass data as parameters");
            return Err(vec![Diagnostic::new(
                Code::TextTooLong,
                text,
                span,
                message,
            )]);
        }
        if let Err(message) = depth.take(*token) {
            let span = Span::new(token.span.start, token.span.end);
            return Err(vec![Diagnostic::new(
                Code::NestingTooDeep,
                text,
                span,
                message,
            )]);
        }
    }
    Ok(())
}

/// What is open at one point of the text.
struct Depth {
    levels: Vec<Level>,
    /// Operators of all open levels together.
    operators: usize,
    previous: Option<TokenKind>,
}

/// One open bracket, or the text around all of them.
#[derive(Default)]
struct Level {
    /// Since the last separator; an upper bound of the depth of the tree that they make.
    operators: usize,
    /// Largest `operators` so far.
    peak: usize,
    /// After a `CASE` a comma may be one of its own, which separates nothing.
    has_case: bool,
}

impl Depth {
    fn new() -> Self {
        Self {
            levels: vec![Level::default()],
            operators: 0,
            previous: None,
        }
    }

    fn take(&mut self, token: Token) -> Result<(), String> {
        match token.kind {
            TokenKind::LeftParen | TokenKind::LeftBracket | TokenKind::LeftBrace => {
                self.levels.push(Level::default());
                if self.levels.len() > MAX_NESTING + 1 {
                    return Err(format!("brackets are nested more than {MAX_NESTING} deep"));
                }
            }
            TokenKind::RightParen | TokenKind::RightBracket | TokenKind::RightBrace => self.close(),
            TokenKind::Comma if !self.top().has_case => self.separate(),
            TokenKind::Keyword(keyword)
                if starts_clause(keyword) && ends_operand(self.previous) =>
            {
                self.separate();
                self.top().has_case = false;
            }
            kind if deepens(kind) => {
                if kind == TokenKind::Keyword(Keyword::Case) {
                    self.top().has_case = true;
                }
                self.add(1);
            }
            _ => {}
        }
        self.previous = Some(token.kind);
        if self.operators > MAX_OPERATORS {
            return Err(format!(
                "more than {MAX_OPERATORS} operators in one expression: use IN with a parameter"
            ));
        }
        Ok(())
    }

    fn top(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        self.levels
            .last_mut()
            .expect("a level was pushed when there was none")
    }

    fn add(&mut self, count: usize) {
        self.operators += count;
        let level = self.top();
        level.operators += count;
        level.peak = level.peak.max(level.operators);
    }

    fn separate(&mut self) {
        self.operators -= self.top().operators;
        self.top().operators = 0;
    }

    /// What stood in the brackets is now an operand of the level around them.
    fn close(&mut self) {
        if self.levels.len() > 1
            && let Some(closed) = self.levels.pop()
        {
            self.operators -= closed.operators;
            self.add(closed.peak + 1);
        }
    }
}

const fn deepens(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Dot
            | TokenKind::Pipe
            | TokenKind::DoublePipe
            | TokenKind::Ampersand
            | TokenKind::Bang
            | TokenKind::Plus
            | TokenKind::Minus
            | TokenKind::Star
            | TokenKind::Slash
            | TokenKind::Percent
            | TokenKind::Caret
            | TokenKind::Equal
            | TokenKind::NotEqual
            | TokenKind::Less
            | TokenKind::LessEqual
            | TokenKind::Greater
            | TokenKind::GreaterEqual
            | TokenKind::RegexMatch
            | TokenKind::Keyword(
                Keyword::And
                    | Keyword::Or
                    | Keyword::Xor
                    | Keyword::Not
                    | Keyword::In
                    | Keyword::Is
                    | Keyword::Starts
                    | Keyword::Ends
                    | Keyword::Contains
                    | Keyword::Case
                    | Keyword::When
                    | Keyword::Then
                    | Keyword::Else
                    | Keyword::Union
            )
    )
}

const fn starts_clause(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Match
            | Keyword::Optional
            | Keyword::Unwind
            | Keyword::With
            | Keyword::Return
            | Keyword::Create
            | Keyword::Merge
            | Keyword::Set
            | Keyword::Remove
            | Keyword::Delete
            | Keyword::Detach
    )
}

/// Only then is a clause keyword no name: after an operator it would be an operand.
const fn ends_operand(previous: Option<TokenKind>) -> bool {
    matches!(
        previous,
        Some(
            TokenKind::Identifier
                | TokenKind::EscapedIdentifier
                | TokenKind::Parameter
                | TokenKind::Integer
                | TokenKind::Float
                | TokenKind::String
                | TokenKind::RightParen
                | TokenKind::RightBracket
                | TokenKind::RightBrace
        )
    )
}
