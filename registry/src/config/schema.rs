//! The JSON Schema of the config file, generated from the types that it is read into: what editors
//! complete and check it with.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::model::{Auth, GraphEntry, Server};

/// The operator's file of a Trellis server.
#[derive(JsonSchema)]
#[schemars(title = "Trellis", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Document {
    /// The version of this file's format.
    #[schemars(extend("const" = 1))]
    version: u64,
    /// How the server runs.
    server: Option<Server>,
    /// Who may knock.
    auth: Option<Auth>,
    /// Group name to the principals in it.
    groups: Option<BTreeMap<String, Vec<String>>>,
    /// The graphs by their ids: 1 to 64 letters, digits and hyphens, the same in any case.
    #[schemars(extend("propertyNames" = {"pattern": "^[a-zA-Z0-9-]{1,64}$"}))]
    graphs: Option<BTreeMap<String, GraphEntry>>,
}

/// The schema as JSON, with a line ending at its end.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Document);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::shape::{ROOT, Shape};
    use super::*;

    /// Every key that the reader knows, dotted.
    fn keys(shape: &Shape, path: &str, found: &mut Vec<String>) {
        match shape {
            Shape::Leaf => {}
            Shape::Named(below) => keys(below, path, found),
            Shape::Keys(below) => {
                for (name, shape) in *below {
                    let path = format!("{path}.{name}");
                    keys(shape, &path, found);
                    found.push(path);
                }
            }
        }
    }

    /// Every property of the schema, dotted, references followed.
    fn properties(root: &Value, at: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(reference) = at["$ref"].as_str() {
            let target = root
                .pointer(reference.trim_start_matches('#'))
                .expect("it leads somewhere");
            properties(root, target, path, found);
        }
        for one in at["anyOf"].as_array().into_iter().flatten() {
            properties(root, one, path, found);
        }
        if path == ".graphs" && at["additionalProperties"].is_object() {
            properties(root, &at["additionalProperties"], path, found);
        }
        for (name, below) in at["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            properties(root, below, &path, found);
            found.push(path);
        }
    }

    #[test]
    fn the_schema_has_every_key_that_the_reader_knows() {
        let schema: Value = serde_json::from_str(&json_schema()).expect("JSON");
        let (mut known, mut told) = (Vec::new(), Vec::new());
        keys(&ROOT, "", &mut known);
        properties(&schema, &schema, "", &mut told);
        known.sort();
        told.sort();
        told.dedup();
        assert_eq!(told, known);
        assert_eq!(schema["additionalProperties"], false);
    }

    /// Editors say of the keys that may name variables that they may, and of no others.
    #[test]
    fn the_schema_says_where_variables_stand() {
        let schema: Value = serde_json::from_str(&json_schema()).expect("JSON");
        let definitions = schema["$defs"].as_object().expect("definitions");
        let properties = definitions
            .values()
            .filter_map(|it| it["properties"].as_object());
        let mut told: Vec<&str> = properties
            .flatten()
            .filter(|(_, property)| property.to_string().contains("${NAME}"))
            .map(|(name, _)| name.as_str())
            .collect();
        let keys = crate::environment::KEYS.iter();
        let mut expect: Vec<&str> = keys.filter_map(|key| key.rsplit('.').next()).collect();
        told.sort_unstable();
        expect.sort_unstable();
        assert_eq!(told, expect);
    }

    #[test]
    fn the_example_explains_every_key() {
        let example = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../config/trellis.example.yaml"
        );
        let example = std::fs::read_to_string(example).expect("it is committed");
        let mut known = Vec::new();
        keys(&ROOT, "", &mut known);
        for key in known {
            let name = key.rsplit('.').next().unwrap_or_default();
            assert!(
                example.contains(&format!("{name}:")),
                "{key} is not in the example"
            );
        }
    }

    #[test]
    fn the_example_shows_the_defaults() {
        use super::super::model::{Limits, Log, OpenGraphs};
        let example = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../config/trellis.example.yaml"
        );
        let example = std::fs::read_to_string(example).expect("it is committed");
        let parsed = super::super::parse(&example).expect("sound");
        let shown = parsed.config.server;
        let default = Server::default();
        assert_eq!(shown.limits, Limits::default());
        assert_eq!(shown.open_graphs, OpenGraphs::default());
        assert_eq!(shown.log, Log::default());
        assert_eq!(shown.bind, default.bind);
        assert_eq!(shown.deleted_retention, default.deleted_retention);
        assert_eq!(shown.history_retention, default.history_retention);
        assert_eq!(shown.metrics_open, default.metrics_open);
        assert_eq!(shown.require_all_graphs, default.require_all_graphs);
    }

    /// `UPDATE_SCHEMA=1` writes it.
    #[test]
    fn the_committed_schema_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/trellis.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, json_schema()).expect("writable");
        }
        let committed = std::fs::read_to_string(path).expect("it is committed");
        assert!(
            committed == json_schema(),
            "config/trellis.schema.json is not what the types say; run with UPDATE_SCHEMA=1 and review"
        );
    }
}
