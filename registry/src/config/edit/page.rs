//! A text cut into lines, and the manner in which it is written: what placing by lines needs.
//!
//! It takes a line that begins with `#` for a comment, which a block scalar could belie; what is
//! placed by it is proven afterwards.

use super::Piece;

/// The text cut into lines, with the manner in which it is written.
pub(super) struct Page<'a> {
    pub(super) text: &'a str,
    /// Start of every line, and the end of the text.
    pub(super) starts: Vec<usize>,
    pub(super) line_ending: &'static str,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        if starts.last() != Some(&text.len()) {
            starts.push(text.len());
        }
        let line_ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self {
            text,
            starts,
            line_ending,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// A line without its ending.
    pub(super) fn line(&self, number: usize) -> &'a str {
        match (self.starts.get(number), self.starts.get(number + 1)) {
            (Some(&from), Some(&to)) => self.text[from..to].trim_end_matches(['\n', '\r']),
            _ => "",
        }
    }

    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|&start| start <= offset)
            .saturating_sub(1)
            .min(self.count().saturating_sub(1))
    }

    pub(super) fn is_blank(&self, number: usize) -> bool {
        self.line(number).trim().is_empty()
    }

    pub(super) fn is_comment(&self, number: usize) -> bool {
        self.line(number).trim_start().starts_with('#')
    }

    pub(super) fn is_document_mark(&self, number: usize) -> bool {
        let line = self.line(number);
        ["...", "---"].iter().any(|mark| {
            line.strip_prefix(mark)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        })
    }

    pub(super) fn indent(&self, number: usize) -> usize {
        let line = self.line(number);
        line.len() - line.trim_start_matches(' ').len()
    }

    /// The lines after `key_line` that are indented deeper than `indent`, blanks and comments among
    /// them included: (after the last line of content, after the comments that follow it deeper
    /// indented, after the last line of the run that is deeper indented).
    pub(super) fn run(&self, key_line: usize, indent: usize) -> [usize; 3] {
        let mut content_end = key_line + 1;
        let mut deep_end = key_line + 1;
        let mut number = key_line + 1;
        while number < self.count() && !self.is_document_mark(number) {
            let deep = self.indent(number) > indent;
            let filler = self.is_blank(number) || self.is_comment(number);
            if !deep && !filler {
                break;
            }
            if deep && !self.is_blank(number) {
                deep_end = number + 1;
                if !filler {
                    content_end = number + 1;
                }
            }
            number += 1;
        }
        let mut comments_end = content_end;
        while comments_end < deep_end
            && self.is_comment(comments_end)
            && self.indent(comments_end) > indent
        {
            comments_end += 1;
        }
        [comments_end, content_end, deep_end]
    }

    /// A piece that puts whole lines before line `number`, whatever the end of the file is like.
    pub(super) fn lines_before(&self, number: usize, lines: &str) -> Piece {
        let at = self.starts.get(number).copied().unwrap_or(self.text.len());
        let open_ended =
            at == self.text.len() && !self.text.is_empty() && !self.text.ends_with('\n');
        let inserted = if open_ended {
            format!("{}{lines}", self.line_ending)
        } else {
            format!("{lines}{}", self.line_ending)
        };
        Piece::insert(at, inserted)
    }
}
