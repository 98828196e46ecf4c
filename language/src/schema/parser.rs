//! Tokens -> syntax tree, by recursive descent.
//!
//! After a mistake in a property it goes on at the next line or comma, after one in a declaration
//! at the next line that begins with `node`, `edge` or `interface`: so one text gives several
//! findings. The grammar is `docs/schema.ebnf`; each function names the rule that it reads.

use super::arguments::{self, closing, depth_after, run_length, split};
use super::findings::Findings;
use super::lexer::{Bracket, Kind, Token};
use super::syntax::{
    Annotation, Argument, Arguments, Declaration, DeclarationKind, Document, Name,
    PropertyDeclaration, TypeExpression, TypeKind,
};
use crate::diagnostic::{Code, Span};

const DECLARATIONS: [&str; 3] = ["interface", "node", "edge"];

/// A mistake that has been noted; the caller only has to find a place to go on.
struct Noted;

type Parsed<T> = Result<T, Noted>;

/// The tree of what could be read; what could not goes to `findings`.
pub(super) fn parse(text: &str, tokens: &[Token], findings: &mut Findings<'_>) -> Document {
    Parser {
        text,
        tokens,
        at: 0,
        findings,
    }
    .document()
}

struct Parser<'a, 'f, 't> {
    text: &'a str,
    /// Never empty: the last is [`Kind::End`].
    tokens: &'a [Token],
    at: usize,
    findings: &'f mut Findings<'t>,
}

impl<'a> Parser<'a, '_, '_> {
    /// `schema = { declaration }`
    fn document(&mut self) -> Document {
        let mut document = Document::default();
        while self.token().kind != Kind::End && !self.findings.is_full() {
            match self.declaration() {
                Ok(declaration) => document.declarations.push(declaration),
                Err(Noted) => self.skip_to_declaration(),
            }
        }
        document
    }

    /// `declaration = interface | node | edge`
    fn declaration(&mut self) -> Parsed<Declaration> {
        let keyword = self.word();
        let kind = match keyword {
            Some("interface" | "node" | "edge") => keyword,
            _ => return Err(self.unexpected_declaration()),
        };
        self.advance();
        let name = self.name("a name for the type")?;
        let (kind, body_required) = match kind {
            Some("interface") => (DeclarationKind::Interface, true),
            Some("node") => (
                DeclarationKind::Node {
                    implements: self.implements()?,
                },
                true,
            ),
            _ => (self.ends()?, false),
        };
        let mut declaration = Declaration {
            kind,
            name,
            properties: Vec::new(),
            annotations: Vec::new(),
        };
        while self.token().kind == Kind::At {
            declaration.annotations.push(self.annotation()?);
        }
        if self.token().kind == Kind::Open(Bracket::Curly) {
            self.body(&mut declaration)?;
        } else if body_required {
            return Err(self.expected("`{`"));
        } else if self.token().kind != Kind::End && !self.at_declaration() {
            return Err(self.expected("`{` or the next declaration"));
        }
        Ok(declaration)
    }

    /// `[ "implements" name { "," name } ]`
    fn implements(&mut self) -> Parsed<Vec<Name>> {
        let mut interfaces = Vec::new();
        if self.word() == Some("implements") {
            self.advance();
            interfaces.push(self.name("the name of an interface")?);
            while self.take(&Kind::Comma) {
                interfaces.push(self.name("the name of an interface")?);
            }
        }
        Ok(interfaces)
    }

    /// `":" name "->" name`
    fn ends(&mut self) -> Parsed<DeclarationKind> {
        self.require(
            &Kind::Colon,
            "`:` and the node types that the edge joins, as in `: A -> B`",
        )?;
        let source = self.name("the node type that the edge leaves")?;
        self.require(&Kind::Arrow, "`->`")?;
        let target = self.name("the node type that the edge enters")?;
        Ok(DeclarationKind::Edge { source, target })
    }

    /// `body = "{" { property | annotation | "," } "}"`
    fn body(&mut self, declaration: &mut Declaration) -> Parsed<()> {
        let open = self.token().span;
        self.advance();
        loop {
            if self.findings.is_full() {
                return Err(Noted);
            }
            if self.take(&Kind::Close(Bracket::Curly)) {
                return Ok(());
            }
            if self.token().kind == Kind::End || self.at_declaration() {
                let message = format!("the `{{` of `{}` is never closed", declaration.name.text);
                self.findings.add(Code::Syntax, open, message);
                return Err(Noted);
            }
            if self.take(&Kind::Comma) {
                continue;
            }
            let start = self.at;
            if self.member(declaration).is_err() {
                self.skip_to_member(start);
            }
        }
    }

    fn member(&mut self, declaration: &mut Declaration) -> Parsed<()> {
        if self.token().kind == Kind::At {
            let annotation = self.annotation()?;
            declaration.annotations.push(annotation);
            return Ok(());
        }
        if !self.is_separated() {
            return Err(self.expected("a comma or a new line before the next property"));
        }
        self.property(declaration)
    }

    /// `property = name ":" type [ "?" ] { annotation }`
    fn property(&mut self, declaration: &mut Declaration) -> Parsed<()> {
        let name = self.name("a property, an annotation or `}`")?;
        self.require(
            &Kind::Colon,
            &format!("`:` and the type of `{}`", name.text),
        )?;
        let value_type = self.type_expression()?;
        let nullable = self.take(&Kind::Question);
        let mut annotations = Vec::new();
        while self.token().kind == Kind::At {
            let annotation = self.annotation()?;
            if annotation.names_properties() {
                declaration.annotations.push(annotation);
            } else {
                annotations.push(annotation);
            }
        }
        declaration.properties.push(PropertyDeclaration {
            name,
            value_type,
            nullable,
            annotations,
        });
        Ok(())
    }

    /// `type = "[" type "]" | "enum" "(" values ")" | name [ arguments ]`
    fn type_expression(&mut self) -> Parsed<TypeExpression> {
        let start = self.token().span.start;
        let kind = if self.take(&Kind::Open(Bracket::Square)) {
            let element = Box::new(self.type_expression()?);
            let question = self.token().span;
            let nullable_element = self.take(&Kind::Question).then_some(question);
            self.require(&Kind::Close(Bracket::Square), "`]`")?;
            TypeKind::List {
                element,
                nullable_element,
            }
        } else {
            let name = self.name("a type")?;
            let has_arguments = self.token().kind == Kind::Open(Bracket::Round);
            if name.text == "enum" {
                TypeKind::Enum(self.enum_values()?)
            } else {
                if has_arguments {
                    self.arguments(&name.text)?;
                }
                TypeKind::Named {
                    name,
                    has_arguments,
                }
            }
        };
        Ok(TypeExpression {
            kind,
            span: Span::new(start, self.last_end()),
        })
    }

    /// `values = value { "," value } [ "," ]`
    fn enum_values(&mut self) -> Parsed<Vec<Name>> {
        self.require(
            &Kind::Open(Bracket::Round),
            "`(` and the values of the enum",
        )?;
        let mut values = Vec::new();
        loop {
            if self.take(&Kind::Close(Bracket::Round)) {
                return Ok(values);
            }
            values.push(self.enum_value()?);
            if !self.take(&Kind::Comma) && self.token().kind != Kind::Close(Bracket::Round) {
                return Err(self.expected("`,` or `)` after a value of the enum"));
            }
        }
    }

    /// `value = text | word`, where a word may have hyphens and begin with a digit.
    fn enum_value(&mut self) -> Parsed<Name> {
        let span = self.token().span;
        if let Kind::Text(text) = &self.token().kind {
            let text = text.clone();
            self.advance();
            return Ok(Name { text, span });
        }
        let run = run_length(self.tokens.get(self.at..).unwrap_or_default());
        if run == 0 {
            return Err(self.expected("a value of the enum"));
        }
        self.at += run;
        let span = Span::new(span.start, self.last_end());
        Ok(Name {
            text: self.slice(span).to_owned(),
            span,
        })
    }

    /// `annotation = "@" name [ arguments ]`
    fn annotation(&mut self) -> Parsed<Annotation> {
        let start = self.token().span.start;
        self.advance();
        let name = self.name("the name of an annotation")?;
        let arguments = match self.token().kind {
            Kind::Open(Bracket::Round) => Some(self.arguments(&name.text)?),
            _ => None,
        };
        Ok(Annotation {
            name,
            span: Span::new(start, self.last_end()),
            arguments,
        })
    }

    /// `arguments = "(" [ argument { "," argument } [ "," ] ] ")"`; anything with balanced brackets
    /// is read, because unknown annotations are kept as they are.
    fn arguments(&mut self, of: &str) -> Parsed<Arguments> {
        let open = self.token().span;
        let Some(length) = closing(self.tokens.get(self.at..).unwrap_or_default()) else {
            let message = format!("the `(` of `{of}` is never closed");
            self.findings.add(Code::Syntax, open, message);
            return Err(Noted);
        };
        let inside = self
            .tokens
            .get(self.at + 1..self.at + length)
            .unwrap_or_default();
        self.at += length;
        let close = self.token().span;
        self.advance();
        let text = self
            .slice(Span::new(open.end, close.start))
            .trim()
            .to_owned();
        let mut values = Vec::new();
        let mut parts = split(inside);
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop();
        }
        for part in parts {
            let span = match (part.first(), part.last()) {
                (Some(first), Some(last)) => Span::new(first.span.start, last.span.end),
                _ => open,
            };
            values.push(Argument {
                kind: arguments::argument(self.text, part),
                span,
            });
        }
        Ok(Arguments { text, values })
    }

    fn token(&self) -> &'a Token {
        let last = self.tokens.len().saturating_sub(1);
        &self.tokens[self.at.min(last)]
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn word(&self) -> Option<&'a str> {
        let token = self.token();
        (token.kind == Kind::Word).then(|| self.slice(token.span))
    }

    fn advance(&mut self) {
        if self.token().kind != Kind::End {
            self.at += 1;
        }
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let found = self.token().kind == *kind;
        if found {
            self.advance();
        }
        found
    }

    fn require(&mut self, kind: &Kind, what: &str) -> Parsed<()> {
        if self.take(kind) {
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    fn name(&mut self, what: &str) -> Parsed<Name> {
        let span = self.token().span;
        let text = self.word().ok_or_else(|| self.expected(what))?.to_owned();
        self.advance();
        Ok(Name { text, span })
    }

    /// Where the token before this one ends.
    fn last_end(&self) -> usize {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map_or(0, |token| token.span.end)
    }

    /// Whether a new member of a body may begin here.
    fn is_separated(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        self.token().new_line
            || before.is_none_or(|token| matches!(token.kind, Kind::Comma | Kind::Open(_)))
    }

    /// Whether a declaration begins here: `node` alone may also be the name of a property.
    fn at_declaration(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
        self.word().is_some_and(|word| DECLARATIONS.contains(&word)) && next == Some(&Kind::Word)
    }

    fn expected(&mut self, what: &str) -> Noted {
        let span = self.token().span;
        let message = format!("expected {what}, found {}", self.found());
        self.findings.add(Code::Syntax, span, message);
        Noted
    }

    fn unexpected_declaration(&mut self) -> Noted {
        let span = self.token().span;
        let message = format!(
            "expected `node`, `edge` or `interface`, found {}",
            self.found()
        );
        let word = self.word().unwrap_or_default();
        self.findings
            .add_suggesting((Code::Syntax, span, message), word, DECLARATIONS);
        Noted
    }

    fn found(&self) -> String {
        const SHOWN: usize = 32;
        let token = self.token();
        if token.kind == Kind::End {
            return "the end of the text".to_owned();
        }
        let text = self.slice(token.span);
        let cut = text.char_indices().nth(SHOWN).map(|(at, _)| at);
        match cut.and_then(|at| text.get(..at)) {
            Some(short) => format!("`{short}...`"),
            None => format!("`{text}`"),
        }
    }

    /// Goes on after a mistake outside any body.
    fn skip_to_declaration(&mut self) {
        self.advance();
        while self.token().kind != Kind::End && !(self.token().new_line && self.at_declaration()) {
            self.advance();
        }
    }

    /// Goes on after a mistake in the member that began at token `start`.
    fn skip_to_member(&mut self, start: usize) {
        if self.at == start {
            self.advance();
        }
        let mut depth = 0_usize;
        for token in self.tokens.get(start..self.at).unwrap_or_default() {
            depth = depth_after(depth, &token.kind);
        }
        loop {
            let token = self.token();
            let may_begin = token.new_line || token.kind == Kind::Comma;
            let over = matches!(token.kind, Kind::End | Kind::Close(Bracket::Curly));
            if over || (depth == 0 && may_begin) || (token.new_line && self.at_declaration()) {
                return;
            }
            depth = depth_after(depth, &token.kind);
            self.advance();
        }
    }
}
