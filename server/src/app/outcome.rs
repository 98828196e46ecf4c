//! What the engine says of commits, graphs and schemas, in the words of the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use api_types::{ChangeStats, Commit};
use jiff::Timestamp;
use language::schema::{PropertyType, Schema};
use storage_engine::{ChangeCounts, CommitInfo};

/// A commit.
pub(crate) fn commit(info: &CommitInfo) -> Commit {
    Commit {
        id: info.id.to_string(),
        branch: info.branch.to_string(),
        sequence: info.sequence,
        parents: info.parents.iter().map(ToString::to_string).collect(),
        time: time(info.time_micros),
        principal: info.principal.to_string(),
        run: info.run.to_string(),
    }
}

/// What it changed.
pub(crate) fn changes(counts: &ChangeCounts) -> ChangeStats {
    ChangeStats {
        nodes_created: counts.nodes_created,
        nodes_deleted: counts.nodes_deleted,
        edges_created: counts.edges_created,
        edges_deleted: counts.edges_deleted,
        properties_set: counts.properties_set,
    }
}

/// The types of a schema.
pub(crate) fn types(schema: &Schema) -> (Vec<api_types::NodeType>, Vec<api_types::EdgeType>) {
    let nodes = schema.node_types.iter().map(|node| api_types::NodeType {
        name: node.name.clone(),
        interfaces: node.interfaces.clone(),
        key: node
            .key
            .iter()
            .filter_map(|id| node.properties.iter().find(|property| property.id == *id))
            .map(|property| property.name.clone())
            .collect(),
        properties: node.properties.iter().map(property).collect(),
    });
    let name = |id| schema.type_name(id).unwrap_or_default().to_owned();
    let edges = schema.edge_types.iter().map(|edge| api_types::EdgeType {
        name: edge.name.clone(),
        source: name(edge.source),
        target: name(edge.target),
        properties: edge.properties.iter().map(property).collect(),
    });
    (nodes.collect(), edges.collect())
}

fn property(property: &language::schema::Property) -> api_types::Property {
    api_types::Property {
        name: property.name.clone(),
        value_type: type_name(&property.value_type),
        nullable: property.nullable,
        indexed: property.indexed,
    }
}

fn type_name(value_type: &PropertyType) -> String {
    match value_type {
        PropertyType::String => "String".to_owned(),
        PropertyType::Bool => "Bool".to_owned(),
        PropertyType::I32 => "I32".to_owned(),
        PropertyType::I64 => "I64".to_owned(),
        PropertyType::U32 => "U32".to_owned(),
        PropertyType::U64 => "U64".to_owned(),
        PropertyType::F32 => "F32".to_owned(),
        PropertyType::F64 => "F64".to_owned(),
        PropertyType::Date => "Date".to_owned(),
        PropertyType::DateTime => "DateTime".to_owned(),
        PropertyType::Enum(names) => format!("enum({})", names.join(", ")),
        PropertyType::List(element) => format!("[{}]", type_name(element)),
        PropertyType::Map => "Map".to_owned(),
    }
}

/// RFC 3339 in UTC, to the microsecond.
pub(crate) fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(
        |_| format!("{micros} microseconds since 1970"),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    )
}

/// As [`time`], of the system's clock.
pub(crate) fn time_of(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert!(time(i64::MAX).contains("since 1970"));
    }

    #[test]
    fn types_are_named_as_the_schema_language_writes_them() {
        let text = "node P { k: String @key, e: enum(a-1, b), l: [I64]? } edge E: P -> P";
        let schema = Schema::parse(text).expect("a valid schema");
        let (nodes, edges) = types(&schema);
        let of: Vec<_> = nodes[0]
            .properties
            .iter()
            .map(|p| p.value_type.as_str())
            .collect();
        assert_eq!(of, ["String", "enum(a-1, b)", "[I64]"]);
        assert_eq!(nodes[0].key, ["k"]);
        assert_eq!(
            (edges[0].source.as_str(), edges[0].target.as_str()),
            ("P", "P")
        );
    }
}
