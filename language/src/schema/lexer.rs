//! Schema text -> tokens with spans.
//!
//! Knows characters and brackets, never what a schema means. Reading never stops at a bad
//! character: it becomes a token of its own, which only the place that meets it can judge (the
//! arguments of an unknown annotation may hold anything). `age: I32?` gives the tokens word,
//! colon, word, question mark.

use super::findings::Findings;
use crate::diagnostic::{Code, Span};

/// Longest schema text that is read, in bytes.
pub const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting of parentheses, brackets and braces.
pub const MAX_NESTING: usize = 64;
/// Longest name or number, in bytes.
pub const MAX_WORD: usize = 255;

/// What a token is; its text is found by its span.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    /// An unsigned number.
    Number,
    /// A string, its escapes resolved.
    Text(String),
    Open(Bracket),
    Close(Bracket),
    Colon,
    Comma,
    Question,
    At,
    Minus,
    Equals,
    Arrow,
    DotDot,
    /// A character that begins no token.
    Other,
    /// The end of the text.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    Round,
    Square,
    Curly,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
    /// Whether a line ends between the token before and this one.
    pub(super) new_line: bool,
}

/// All tokens of `text`, the last of them [`Kind::End`]; `None` when brackets are nested too deep.
/// What is wrong goes to `findings`.
pub(super) fn tokens(text: &str, findings: &mut Findings<'_>) -> Option<Vec<Token>> {
    let mut lexer = Lexer {
        text,
        at: 0,
        new_line: false,
        findings,
    };
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let Some(first) = lexer.peek() else { break };
        let kind = lexer.token(first);
        let span = Span::new(start, lexer.at);
        match kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens.push(Token {
            kind,
            span,
            new_line: std::mem::take(&mut lexer.new_line),
        });
        if depth > MAX_NESTING {
            let message = format!("brackets are nested deeper than {MAX_NESTING}");
            lexer.findings.add(Code::NestingTooDeep, span, message);
            return None;
        }
    }
    let end = text.len();
    tokens.push(Token {
        kind: Kind::End,
        span: Span::new(end, end),
        new_line: true,
    });
    Some(tokens)
}

struct Lexer<'a, 'f, 't> {
    text: &'a str,
    at: usize,
    new_line: bool,
    findings: &'f mut Findings<'t>,
}

impl Lexer<'_, '_, '_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if rest.starts_with("/*") {
                self.skip_block();
            } else {
                match self.peek() {
                    Some('\n') => self.new_line = true,
                    // A byte order mark counts as blank: editors put it there unasked.
                    Some(c) if c.is_whitespace() || c == '\u{feff}' => {}
                    _ => return,
                }
                self.next();
            }
        }
    }

    fn skip_block(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let (length, closed) = match rest.get(2..).and_then(|inside| inside.find("*/")) {
            Some(end) => (end + 4, true),
            None => (rest.len(), false),
        };
        self.new_line |= rest
            .get(..length)
            .is_some_and(|comment| comment.contains('\n'));
        self.at += length;
        if !closed {
            let message = "this comment is never closed: `*/` is missing";
            self.findings
                .add(Code::Syntax, Span::new(start, start + 2), message);
        }
    }

    fn token(&mut self, first: char) -> Kind {
        if first == '_' || first.is_alphabetic() {
            let start = self.at;
            self.take_while(|c| c == '_' || c.is_alphanumeric());
            self.check_length(start);
            return Kind::Word;
        }
        if first.is_ascii_digit() {
            let start = self.at;
            self.number();
            self.check_length(start);
            return Kind::Number;
        }
        if first == '"' {
            return self.string();
        }
        self.next();
        let second = self.peek();
        let kind = match (first, second) {
            ('-', Some('>')) => Kind::Arrow,
            ('.', Some('.')) => Kind::DotDot,
            _ => return single(first),
        };
        self.next();
        kind
    }

    fn number(&mut self) {
        let digits = |c: char| c.is_ascii_digit();
        self.take_while(digits);
        // `0..9` is a range: a point belongs to the number only when a digit follows.
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(digits) {
            self.next();
            self.take_while(digits);
        }
        let mut after = self.rest().chars();
        if matches!(after.next(), Some('e' | 'E')) {
            let sign_or_digit = after.next();
            let signed = matches!(sign_or_digit, Some('+' | '-'));
            let digit = if signed { after.next() } else { sign_or_digit };
            if digit.is_some_and(digits) {
                self.at += 1 + usize::from(signed);
                self.take_while(digits);
            }
        }
    }

    fn string(&mut self) -> Kind {
        let start = self.at;
        let mut text = String::new();
        self.next();
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    return Kind::Text(text);
                }
                None | Some('\n') => {
                    let message = "this text is never closed: `\"` is missing at its end";
                    self.findings
                        .add(Code::Syntax, Span::new(start, self.at), message);
                    return Kind::Text(text);
                }
                Some('\\') => {
                    self.next();
                    self.escape(&mut text);
                }
                Some(c) => {
                    self.next();
                    text.push(c);
                }
            }
        }
    }

    /// What follows a backslash. Before any character but these the backslash stands for itself,
    /// so that regular expressions need no doubling.
    fn escape(&mut self, text: &mut String) {
        let escaped = match self.peek() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some(c @ ('"' | '\\')) => c,
            _ => {
                text.push('\\');
                return;
            }
        };
        self.next();
        text.push(escaped);
    }

    fn check_length(&mut self, start: usize) {
        if self.at - start > MAX_WORD {
            let message = format!(
                "this name is {} bytes long; {MAX_WORD} are accepted",
                self.at - start
            );
            self.findings
                .add(Code::Syntax, Span::new(start, self.at), message);
        }
    }
}

const fn single(character: char) -> Kind {
    match character {
        '(' => Kind::Open(Bracket::Round),
        ')' => Kind::Close(Bracket::Round),
        '[' => Kind::Open(Bracket::Square),
        ']' => Kind::Close(Bracket::Square),
        '{' => Kind::Open(Bracket::Curly),
        '}' => Kind::Close(Bracket::Curly),
        ':' => Kind::Colon,
        ',' => Kind::Comma,
        '?' => Kind::Question,
        '@' => Kind::At,
        '-' => Kind::Minus,
        '=' => Kind::Equals,
        _ => Kind::Other,
    }
}
