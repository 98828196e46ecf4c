//! Schemas and what comes of them, as data.
//!
//! Each group of texts has one snapshot that shows every text with its schema or its diagnostics.
//! `INSTA_UPDATE=always cargo nextest run --workspace -E 'package(trellis-language)'` refreshes
//! them; the diff is what is reviewed.

use std::fmt::Write as _;

use super::{Property, Schema};
use crate::diagnostic::Diagnostic;

mod constraints;
mod declarations;
mod grammar;
mod look_ups;
mod mistakes;
mod robust;
mod values;

/// The example of DESIGN.md, section 4, without what is not supported yet.
pub(super) const EXAMPLE: &str = r#"
interface Named { name: String @index }
node Person implements Named {
  email: String @key
  name: String @index, born: Date?
  tags: [String]?
  stage: enum(phase-1, phase-2,
              done)?
}
edge Knows: Person -> Person { since: Date? }
edge WorksAt: Person -> Org
node Org { slug: String @key }
"#;

/// Compares the texts, each with what comes of it, with the snapshot of this name.
fn check(name: &str, texts: &[&str]) {
    let mut report = String::new();
    for text in texts {
        let outcome = match Schema::parse(text) {
            Ok(schema) => show(&schema),
            Err(diagnostics) => diagnostics.iter().map(show_diagnostic).collect(),
        };
        writeln!(report, "{}\n{outcome}", text.trim_matches('\n')).unwrap();
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, report);
    });
}

fn show_diagnostic(diagnostic: &Diagnostic) -> String {
    let end = match diagnostic.end_line == diagnostic.line {
        true => diagnostic.end_column.to_string(),
        false => format!("{}:{}", diagnostic.end_line, diagnostic.end_column),
    };
    let Diagnostic {
        code,
        message,
        line,
        column,
        suggestion,
        ..
    } = diagnostic;
    let suggestion = suggestion
        .as_ref()
        .map(|name| format!(" -> {name}"))
        .unwrap_or_default();
    format!("! {line}:{column}-{end} {code}: {message}{suggestion}\n")
}

fn show(schema: &Schema) -> String {
    let mut out = String::new();
    for interface in &schema.interfaces {
        let properties = interface.properties.join(", ");
        writeln!(
            out,
            "= interface {} ({properties}) {:?}",
            interface.name, interface.annotations
        )
        .unwrap();
    }
    for node in &schema.node_types {
        let key: Vec<_> = node.key.iter().map(|id| id.0).collect();
        let labels: Vec<_> = node.labels().collect();
        writeln!(
            out,
            "= node {} {} key {key:?} {:?}",
            node.id.0,
            labels.join(":"),
            node.annotations
        )
        .unwrap();
        node.properties
            .iter()
            .for_each(|property| show_property(property, &mut out));
    }
    for edge in &schema.edge_types {
        let ends = format!("{} -> {}", edge.source.0, edge.target.0);
        writeln!(
            out,
            "= edge {} {}: {ends} {:?}",
            edge.id.0, edge.name, edge.annotations
        )
        .unwrap();
        edge.properties
            .iter()
            .for_each(|property| show_property(property, &mut out));
    }
    out
}

fn show_property(property: &Property, out: &mut String) {
    let Property {
        id,
        name,
        value_type,
        nullable,
        indexed,
        default,
        range,
        check,
        annotations,
    } = property;
    write!(
        out,
        "=   {} {name}: {value_type}{}",
        id.0,
        if *nullable { "?" } else { "" }
    )
    .unwrap();
    if *indexed {
        out.push_str(" index");
    }
    if let Some(default) = default {
        write!(out, " default {default:?}").unwrap();
    }
    if let Some((min, max)) = range {
        write!(out, " range {min:?} to {max:?}").unwrap();
    }
    if let Some(check) = check {
        write!(out, " check /{}/", check.as_str()).unwrap();
    }
    if !annotations.is_empty() {
        write!(out, " {annotations:?}").unwrap();
    }
    out.push('\n');
}
