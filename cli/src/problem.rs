//! What the server refused, for a person: every finding with its place, and a caret under the
//! very text that was sent.

use std::fmt;

use api_types::{Finding, Problem};
use reqwest::StatusCode;
use unicode_width::UnicodeWidthChar;

use crate::failure::Failure;
use crate::value::printable;

/// The most findings that are printed in full.
const MAX_FINDINGS: usize = 20;
/// The longest line that is quoted, in characters.
const MAX_QUOTED: usize = 200;

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// As the contract says.
    Problem {
        /// What is wrong.
        problem: Problem,
        /// The text that its positions point into, when there is one.
        text: Option<String>,
    },
    /// Not from a Trellis server of this version: a proxy, or a code that is newer than this client.
    Other {
        /// The HTTP status.
        status: StatusCode,
        /// The body, as far as it is text.
        body: String,
    },
}

impl Failure {
    /// The same failure, with the text that positions point into.
    pub(crate) fn about(mut self, source: &str) -> Self {
        if let Self::Refused(refusal) = &mut self
            && let Refusal::Problem { text, .. } = refusal.as_mut()
        {
            *text = Some(source.to_owned());
        }
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem { problem, text } => write_problem(f, problem, text.as_deref()),
            Self::Other { status, body } => write_other(f, *status, body),
        }
    }
}

fn write_problem(f: &mut fmt::Formatter<'_>, problem: &Problem, text: Option<&str>) -> fmt::Result {
    writeln!(
        f,
        "{} ({} {})",
        printable(&problem.title),
        problem.status,
        problem.code.as_str()
    )?;
    let repeats = |finding: &Finding| problem.detail.contains(&finding.message);
    if !(problem.detail.is_empty() || problem.errors.first().is_some_and(repeats)) {
        writeln!(f, "  {}", printable(&problem.detail))?;
    }
    for finding in problem.errors.iter().take(MAX_FINDINGS) {
        write_finding(f, finding, text)?;
    }
    if let Some(more) = problem
        .errors
        .len()
        .checked_sub(MAX_FINDINGS)
        .filter(|more| *more > 0)
    {
        writeln!(f, "  ... and {more} more")?;
    }
    if let Some(decision) = &problem.decision_id {
        writeln!(f, "  decision: {}", printable(decision))?;
    }
    if !problem.request_id.is_empty() {
        writeln!(f, "  request id: {}", printable(&problem.request_id))?;
    }
    Ok(())
}

fn write_finding(f: &mut fmt::Formatter<'_>, finding: &Finding, text: Option<&str>) -> fmt::Result {
    f.write_str("  ")?;
    match (finding.line, finding.column) {
        (Some(line), Some(column)) => write!(f, "{line}:{column}: ")?,
        (Some(line), None) => write!(f, "line {line}: ")?,
        _ => {}
    }
    if let Some(code) = &finding.code {
        write!(f, "{}: ", printable(code))?;
    }
    f.write_str(&printable(&finding.message))?;
    if let Some(suggestion) = &finding.suggestion {
        write!(f, " (did you mean `{}`?)", printable(suggestion))?;
    }
    writeln!(f)?;
    match text.and_then(|text| quote(text, finding)) {
        Some(quoted) => f.write_str(&quoted),
        None => Ok(()),
    }
}

/// The line that a finding points at, and carets under it, as wide as a terminal shows it.
fn quote(text: &str, finding: &Finding) -> Option<String> {
    let (line, column) = (
        usize::try_from(finding.line?).ok()?,
        usize::try_from(finding.column?).ok()?,
    );
    let quoted = text.lines().nth(line.checked_sub(1)?)?;
    let length = quoted.chars().count();
    let start = column.checked_sub(1)?;
    if length > MAX_QUOTED || start > length {
        return None;
    }
    let on_one_line = finding
        .end_line
        .is_none_or(|end| usize::try_from(end) == Ok(line));
    let end = match finding.end_column.and_then(|end| usize::try_from(end).ok()) {
        Some(end) if on_one_line => end.saturating_sub(1).min(length),
        Some(_) => length,
        None => start,
    };
    // A tab takes the width that it takes above, whatever the terminal makes of it.
    let width = |c: char| c.width().unwrap_or(1);
    let mut indent = String::new();
    for c in quoted.chars().take(start) {
        match c {
            '\t' => indent.push('\t'),
            _ => indent.extend(std::iter::repeat_n(' ', width(c))),
        }
    }
    let shown: String = quoted
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '?' } else { c })
        .collect();
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let pointed_at = quoted.chars().take(end).skip(start);
    let carets = "^".repeat(pointed_at.map(width).sum::<usize>().max(1));
    Some(format!(
        "  {margin} |\n  {number} | {shown}\n  {margin} | {indent}{carets}\n"
    ))
}

fn write_other(f: &mut fmt::Formatter<'_>, status: StatusCode, body: &str) -> fmt::Result {
    writeln!(f, "the server answered {status}")?;
    // A problem with a code that this version does not know still has words for a person.
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let words = |name: &str| {
        problem
            .get(name)
            .and_then(serde_json::Value::as_str)
            .map(printable)
    };
    match (words("title"), words("detail")) {
        (Some(title), detail) => writeln!(f, "  {title}: {}", detail.unwrap_or_default())?,
        (None, _) => {
            if let Some(first) = body.lines().find(|line| !line.trim().is_empty()) {
                writeln!(
                    f,
                    "  {}",
                    printable(&first.chars().take(MAX_QUOTED).collect::<String>())
                )?;
            }
        }
    }
    match words("request_id") {
        Some(id) => writeln!(f, "  request id: {id}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::ErrorCode;

    fn finding(line: u64, column: u64, end_line: u64, end_column: u64) -> Finding {
        Finding {
            code: Some("unknown_type".to_owned()),
            message: "no node type `Persn`".to_owned(),
            line: Some(line),
            column: Some(column),
            end_line: Some(end_line),
            end_column: Some(end_column),
            suggestion: Some("Person".to_owned()),
        }
    }

    fn shown(text: &str, findings: Vec<Finding>) -> String {
        let mut problem = Problem::new(ErrorCode::InvalidSchema, "1 error");
        problem.errors = findings;
        problem.request_id = "r-1".to_owned();
        Refusal::Problem {
            problem,
            text: Some(text.to_owned()),
        }
        .to_string()
    }

    #[test]
    fn a_finding_shows_its_place_in_the_text() {
        let expected = "\
The schema has errors (400 invalid_schema)
  1 error
  2:4: unknown_type: no node type `Persn` (did you mean `Person`?)
    |
  2 | (p:Persn)
    |    ^^^^^
  request id: r-1
";
        assert_eq!(
            shown("MATCH\n(p:Persn)\n", vec![finding(2, 4, 2, 9)]),
            expected
        );
    }

    #[test]
    fn carets_never_leave_the_line() {
        let carets = |text: &str, finding| {
            shown(text, vec![finding])
                .lines()
                .find(|line| line.contains('^'))
                .map(str::to_owned)
        };
        let cases = [
            ("abc", finding(1, 3, 1, 99), Some("    |   ^")),
            ("abc\nde", finding(1, 2, 2, 2), Some("    |  ^^")),
            ("abc", finding(1, 4, 1, 4), Some("    |    ^")),
            ("añb", finding(1, 3, 1, 4), Some("    |   ^")),
            ("\tx", finding(1, 2, 1, 3), Some("    | \t^")),
            ("漢字x", finding(1, 3, 1, 4), Some("    |     ^")),
            ("a漢字", finding(1, 2, 1, 4), Some("    |  ^^^^")),
            ("abc", finding(9, 1, 9, 2), None),
            ("abc", finding(0, 0, 0, 0), None),
            ("abc", finding(1, 77, 1, 78), None),
        ];
        for (text, finding, expected) in cases {
            assert_eq!(carets(text, finding).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn many_findings_are_cut_and_counted() {
        let text = shown("x", vec![finding(1, 1, 1, 2); 25]);
        assert!(text.contains("... and 5 more") && text.matches("unknown_type").count() == 20);
    }

    #[test]
    fn an_answer_from_elsewhere_is_told_as_well_as_it_can_be() {
        let other = |body: &str| {
            Refusal::Other {
                status: StatusCode::BAD_GATEWAY,
                body: body.to_owned(),
            }
            .to_string()
        };
        assert_eq!(
            other("\n<html>no</html>"),
            "the server answered 502 Bad Gateway\n  <html>no</html>\n"
        );
        assert_eq!(
            other(
                r#"{"title": "New", "detail": "thing", "code": "of_tomorrow", "request_id": "7"}"#
            ),
            "the server answered 502 Bad Gateway\n  New: thing\n  request id: 7\n"
        );
    }
}
