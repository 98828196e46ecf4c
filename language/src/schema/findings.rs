//! What is wrong with one schema text: collected, so that several mistakes are told at once.
//!
//! `findings.add(Code::Syntax, span, "expected `{`")` notes one; `finish` gives them in the order
//! of the text.

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Span, closest};

/// Most diagnostics that one text is answered with.
pub const MAX_DIAGNOSTICS: usize = 32;
/// Most names that a misspelled one is compared with.
const MAX_CANDIDATES: usize = 2_000;

pub(super) struct Findings<'a> {
    text: &'a str,
    found: Diagnostics,
}

impl<'a> Findings<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, code: Code, span: Span, message: impl Into<String>) {
        if !self.is_full() {
            self.found
                .push(Diagnostic::new(code, self.text, span, message));
        }
    }

    /// Notes a finding about `name`, and which of `candidates` was probably meant.
    pub(super) fn add_suggesting<'c>(
        &mut self,
        finding: (Code, Span, String),
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) {
        if !self.is_full() {
            let suggestion = closest(name, candidates.into_iter().take(MAX_CANDIDATES));
            self.push(finding, suggestion);
        }
    }

    /// Notes a finding and the name that was meant.
    pub(super) fn add_with(&mut self, finding: (Code, Span, String), suggestion: &str) {
        if !self.is_full() {
            self.push(finding, Some(suggestion));
        }
    }

    fn push(&mut self, (code, span, message): (Code, Span, String), suggestion: Option<&str>) {
        let suggestion = suggestion.map(str::to_owned);
        let diagnostic = Diagnostic::new(code, self.text, span, message);
        self.found.push(Diagnostic {
            suggestion,
            ..diagnostic
        });
    }

    /// Whether further findings would be dropped.
    pub(super) const fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn finish(mut self) -> Diagnostics {
        self.found
            .sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        // What an interface gets wrong is found again in each type that implements it.
        self.found.dedup();
        self.found
    }
}
