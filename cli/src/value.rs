//! How a value of a result reads in a cell: Cypher's own notation for nodes, relationships and
//! paths, JSON for the rest, and nothing that a terminal would obey.

use serde_json::{Map, Value};

/// The text of a cell.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(cell).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(members) => object(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The text with control characters shown instead of obeyed: a stored name must not be able to
/// rewrite somebody's terminal, nor to turn around the order in which it is read.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_direction_mark(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The marks of Unicode's bidirectional algorithm (UAX #9, section 2).
fn is_direction_mark(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn object(members: &Map<String, Value>) -> String {
    let member = |name: &str| members.get(name);
    if let (Some(Value::Array(nodes)), Some(Value::Array(relationships)), 2) =
        (member("nodes"), member("relationships"), members.len())
    {
        return path(nodes, relationships);
    }
    if let (Some(id), Some(Value::Array(labels))) = (member("id"), member("labels")) {
        let labels: String = labels
            .iter()
            .map(|label| format!(":{}", cell(label)))
            .collect();
        return format!("({labels} {})", cell(id));
    }
    if let (Some(Value::String(name)), Some(start), Some(end)) =
        (member("type"), member("start"), member("end"))
    {
        return format!("({})-[:{}]->({})", cell(start), printable(name), cell(end));
    }
    let shown: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{}: {}", printable(name), cell(value)))
        .collect();
    format!("{{{}}}", shown.join(", "))
}

/// `(a)-[:T]->(b)<-[:U]-(c)`: each node by its id.
fn path(nodes: &[Value], relationships: &[Value]) -> String {
    let id = |node: &Value| cell(node.get("id").unwrap_or(node));
    let mut text = String::new();
    for (position, node) in nodes.iter().enumerate() {
        if let Some(relationship) = position
            .checked_sub(1)
            .and_then(|before| relationships.get(before))
        {
            let name = cell(relationship.get("type").unwrap_or(&Value::Null));
            let forward = relationship.get("end") == node.get("id");
            text += &if forward {
                format!("-[:{name}]->")
            } else {
                format!("<-[:{name}]-")
            };
        }
        text += &format!("({})", id(node));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_as_in_cypher() {
        let node = |id: &str| json!({"id": id, "labels": ["Crate"], "properties": {}});
        let edge = |start: &str, end: &str| json!({"id": "e", "type": "DependsOn", "start": start, "end": end, "properties": {}});
        let cases = [
            (json!(null), "null"),
            (json!(1.5), "1.5"),
            (json!("plain"), "plain"),
            (json!("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n"),
            (json!("a\u{202e}b"), "a\\u{202e}b"),
            (json!([1, "two", null]), "[1, two, null]"),
            (json!({"a": 1, "b": [true]}), "{a: 1, b: [true]}"),
            (node("syn@2"), "(:Crate syn@2)"),
            (
                json!({"id": [1, "x"], "labels": ["A", "B"], "properties": {}}),
                "(:A:B [1, x])",
            ),
            (edge("a", "b"), "(a)-[:DependsOn]->(b)"),
            (
                json!({"nodes": [node("a"), node("b"), node("c")],
                       "relationships": [edge("a", "b"), edge("c", "b")]}),
                "(a)-[:DependsOn]->(b)<-[:DependsOn]-(c)",
            ),
            (json!({"nodes": [node("a")], "relationships": []}), "(a)"),
        ];
        for (value, expected) in cases {
            assert_eq!(cell(&value), expected);
        }
    }
}
