//! A graph's entry as YAML text, in block or flow style, quoted where a plain word would be read
//! as something else.

use std::fmt::Write as _;

use super::model::{GraphEntry, GraphKind};
use crate::GraphId;

/// Words that some YAML reader takes for a bool or null.
const NOT_TEXT: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// A scalar that every YAML reader takes for this text, in block and in flow.
pub(super) fn scalar(text: &str) -> String {
    let plain_start = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        || text.starts_with("./")
        || text.starts_with("../");
    let plain = plain_start
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !NOT_TEXT.iter().any(|word| word.eq_ignore_ascii_case(text));
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Infallible: the target is a String. Control characters fit four digits.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The fields in their order, each as (name, value on one line).
fn fields(entry: &GraphEntry) -> Vec<(&'static str, String)> {
    let mut fields = vec![("uri", scalar(&entry.uri))];
    if let Some(tenant) = &entry.tenant {
        fields.push(("tenant", scalar(tenant)));
    }
    if !entry.labels.is_empty() {
        let labels: Vec<String> = entry
            .labels
            .iter()
            .map(|(name, value)| format!("{}: {}", scalar(name), scalar(value)))
            .collect();
        fields.push(("labels", format!("{{ {} }}", labels.join(", "))));
    }
    if let Some(policy) = &entry.policy {
        fields.push(("policy", format!("{{ file: {} }}", scalar(&policy.file))));
    }
    if let Some(kind) = entry.graph_type {
        let word = match kind {
            GraphKind::Closed => "closed",
            GraphKind::Open => "open",
        };
        fields.push(("graph_type", word.to_owned()));
    }
    fields
}

/// As [`fields`], without the uri, which never changes.
pub(super) fn inline_fields(entry: &GraphEntry) -> Vec<(&'static str, String)> {
    let mut fields = fields(entry);
    fields.retain(|(name, _)| *name != "uri");
    fields
}

/// The entry as lines, without a line ending after the last.
pub(super) fn block(
    graph_id: &GraphId,
    entry: &GraphEntry,
    indent: usize,
    step: usize,
    line_ending: &str,
) -> String {
    let mut out = format!("{:indent$}{}:", "", scalar(graph_id.as_str()));
    let inner = indent + step;
    for (name, value) in fields(entry) {
        // Infallible: the target is a String.
        let _ = write!(out, "{line_ending}{:inner$}{name}: {value}", "");
    }
    out
}

/// The entry on one line: `alpha: { uri: ../data/alpha }`.
pub(super) fn flow(graph_id: &GraphId, entry: &GraphEntry) -> String {
    let fields: Vec<String> = fields(entry)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!("{}: {{ {} }}", scalar(graph_id.as_str()), fields.join(", "))
}
