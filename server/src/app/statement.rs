//! From the text of a statement to a plan whose every type was decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::Column;
use language::diagnostic::closest;
use language::plan::{Plan, Touch};
use language::schema::{Schema, TypeId};
use language::{Value, cypher};
use policy::{Authorized, Permit, TypeKind, TypeTouch};
use storage_engine::executor::Parameters;

use super::plans::Prepared;
use super::{App, Error, Limits};

/// The longest text that is compiled on a thread that must not block, in bytes: some 0.1 ms.
const SHORT_TEXT: usize = 1 << 10;
/// The most types of a schema that a text is compiled against on such a thread.
const FEW_DECLARED: usize = 64;
/// The most types that are decided on such a thread.
pub(crate) const FEW_TYPES: usize = 16;
/// The most elements of all parameters that a statement runs with on such a thread.
const FEW_VALUES: usize = 256;
/// The most bytes of text in them.
const FEW_BYTES: usize = 16 << 10;

/// A plan whose every type was decided.
pub(crate) type Decided = Authorized<Arc<Plan>>;

impl Prepared {
    /// May the holder of the permit run it?
    pub(crate) fn decide(&self, app: &App, permit: &Permit) -> Result<Decided, Error> {
        let touches: Vec<_> = self.touches().collect();
        let access = app.access.load();
        let plan = Arc::clone(&self.plan);
        Ok(access.authorizer.authorize_types(permit, plan, &touches)?)
    }
}

/// Whether a text alone makes no work to speak of.
pub(crate) fn is_short(text: &str) -> bool {
    text.len() <= SHORT_TEXT
}

/// Whether it is compiled in next to no time: what is not said in it may be any type of the schema.
pub(crate) fn is_cheap(text: &str, schema: &Schema) -> bool {
    is_short(text) && schema.node_types.len() + schema.edge_types.len() <= FEW_DECLARED
}

/// Whether there are only a few values in JSON parameters, and little text.
pub(crate) fn are_few(parameters: &api_types::Parameters) -> bool {
    use serde_json::Value as Json;
    let (mut values, mut bytes) = (0, 0);
    let mut open: Vec<&Json> = Vec::new();
    for value in parameters.values() {
        open.push(value);
        while let Some(value) = open.pop() {
            values += 1;
            match value {
                Json::String(text) => bytes += text.len(),
                Json::Array(list) if list.len() <= FEW_VALUES => open.extend(list.iter()),
                Json::Object(map) if map.len() <= FEW_VALUES => open.extend(map.values()),
                Json::Array(_) | Json::Object(_) => return false,
                Json::Null | Json::Bool(_) | Json::Number(_) => {}
            }
            if values + open.len() > FEW_VALUES || bytes > FEW_BYTES {
                return false;
            }
        }
    }
    true
}

/// Whether a statement with these parameters cannot take long because of them.
pub(crate) fn are_small(parameters: &Parameters) -> bool {
    let (mut values, mut bytes) = (0, 0);
    let mut open: Vec<&Value> = Vec::new();
    for value in parameters.values() {
        open.push(value);
        while let Some(value) = open.pop() {
            values += 1;
            match value {
                Value::String(text) => bytes += text.len(),
                Value::List(list) if list.len() <= FEW_VALUES => open.extend(list.iter()),
                Value::Map(map) if map.len() <= FEW_VALUES => open.extend(map.values()),
                Value::List(_) | Value::Map(_) => return false,
                _ => {}
            }
            if values + open.len() > FEW_VALUES || bytes > FEW_BYTES {
                return false;
            }
        }
    }
    true
}

/// Checks the text against the schema. `statement`: which of several it is, from 0.
pub(crate) fn compile(
    text: &str,
    schema: &Schema,
    statement: Option<usize>,
) -> Result<Plan, Error> {
    cypher::compile(text, schema).map_err(|diagnostics| Error::InvalidQuery {
        statement,
        diagnostics,
    })
}

/// What policy is asked about: each type that is read, each that is written.
pub(crate) fn touches<'a>(
    types: impl IntoIterator<Item = (&'a TypeId, &'a Touch)>,
    schema: &Schema,
) -> Vec<TypeTouch<'_>> {
    let mut touches = Vec::new();
    for (type_id, touch) in types {
        let Some(name) = schema.type_name(*type_id) else {
            continue;
        };
        let kind = kind(*type_id, schema);
        let ways = [(touch.read, false), (touch.write, true)];
        let ways = ways.into_iter().filter(|(does, _)| *does);
        touches.extend(ways.map(|(_, write)| TypeTouch { kind, name, write }));
    }
    touches
}

/// Refuses a type that the schema does not have.
pub(crate) fn require_type(name: &str, schema: &Schema) -> Result<(), Error> {
    let there = schema.node_type_named(name).is_some() || schema.edge_type_named(name).is_some();
    there
        .then_some(())
        .ok_or_else(|| Error::InvalidRequest(unknown_type(name, schema)))
}

/// What is said of such a type.
pub(crate) fn unknown_type(name: &str, schema: &Schema) -> String {
    let nodes = schema.node_types.iter().map(|node| node.name.as_str());
    let known = nodes.chain(schema.edge_types.iter().map(|edge| edge.name.as_str()));
    let hint = closest(name, known).map(|name| format!("; did you mean {name:?}?"));
    let hint = hint.unwrap_or_default();
    format!("type: the schema has neither a node type nor an edge type {name:?}{hint}")
}

/// Every type of the schema, read or written.
pub(crate) fn all_types(schema: &Schema, write: bool) -> Vec<TypeTouch<'_>> {
    let nodes = schema
        .node_types
        .iter()
        .map(|node| (TypeKind::Node, node.name.as_str()));
    let edges = schema
        .edge_types
        .iter()
        .map(|edge| (TypeKind::Edge, edge.name.as_str()));
    nodes
        .chain(edges)
        .map(|(kind, name)| TypeTouch { kind, name, write })
        .collect()
}

/// These types, read or written.
pub(crate) fn types(
    types: impl IntoIterator<Item = TypeId>,
    schema: &Schema,
    write: bool,
) -> impl Iterator<Item = TypeTouch<'_>> {
    let named = types
        .into_iter()
        .filter_map(|id| Some((id, schema.type_name(id)?)));
    named.map(move |(id, name)| TypeTouch {
        kind: kind(id, schema),
        name,
        write,
    })
}

fn kind(type_id: TypeId, schema: &Schema) -> TypeKind {
    match schema.node_type(type_id) {
        Some(_) => TypeKind::Node,
        None => TypeKind::Edge,
    }
}

/// The columns as they are told.
pub(crate) fn columns(plan: &Plan) -> Vec<Column> {
    plan.columns
        .iter()
        .map(|column| Column {
            name: column.name.clone(),
            value_type: column.value_type.to_string(),
        })
        .collect()
}

/// Refuses a limit that nothing can keep.
pub(crate) fn refuse_zero(name: &str, value: Option<u64>) -> Result<(), Error> {
    match value {
        Some(0) => Err(Error::InvalidRequest(format!(
            "{name} must be at least 1; leave it out to have the server's own limit"
        ))),
        _ => Ok(()),
    }
}

/// What a statement may take, from what the caller asks and what the server gives.
pub(crate) fn deadline(limits: &Limits, timeout_ms: Option<u64>) -> Instant {
    let allowed = limits.query_timeout_ms;
    Instant::now() + Duration::from_millis(timeout_ms.unwrap_or(allowed).min(allowed))
}

/// The most rows of an answer, from what the caller asks and what the server gives.
pub(crate) fn max_rows(limits: &Limits, max_rows: Option<u64>) -> usize {
    let rows = max_rows.unwrap_or(limits.max_rows).min(limits.max_rows);
    usize::try_from(rows).unwrap_or(usize::MAX)
}

/// The same as [`parameters`], on a thread that may block when there are many.
pub(crate) async fn parameters_soon(given: api_types::Parameters) -> Result<Parameters, Error> {
    match are_few(&given) {
        true => parameters(given),
        false => super::aside(move || parameters(given)).await,
    }
}

/// Values as statements know them. Whether they suit their uses is the executor's to say.
pub(crate) fn parameters(given: api_types::Parameters) -> Result<Parameters, Error> {
    given
        .into_iter()
        .map(|(name, json)| match value(json) {
            Ok(value) => Ok((name, value)),
            Err(problem) => Err(Error::InvalidParameter { name, problem }),
        })
        .collect()
}

fn value(json: serde_json::Value) -> Result<Value, &'static str> {
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::String(text) => Value::string(text),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Int(integer),
            (None, _) if number.is_u64() => return Err("does not fit a 64-bit signed integer"),
            (None, Some(float)) => Value::Float(float),
            (None, None) => return Err("is not a number that a 64-bit float can hold"),
        },
        serde_json::Value::Array(elements) => Value::List(
            elements
                .into_iter()
                .map(value)
                .collect::<Result<Vec<_>, _>>()?
                .into(),
        ),
        serde_json::Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(name, json)| Ok::<_, &'static str>((name, value(json)?)));
            Value::Map(
                members
                    .collect::<Result<BTreeMap<_, _>, &'static str>>()?
                    .into(),
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_becomes_values_and_nothing_is_rounded() {
        let given = json!({"a": 1, "b": 1.5, "c": [null, true, {"d": "e"}]});
        let values = parameters(serde_json::from_value(given).expect("an object")).expect("fits");
        assert_eq!(values["a"], Value::Int(1));
        assert_eq!(values["b"], Value::Float(1.5));
        let Value::List(list) = &values["c"] else {
            panic!("{:?}", values["c"])
        };
        assert_eq!(list[..2], [Value::Null, Value::Bool(true)]);
        let large = json!({"a": u64::MAX});
        let error =
            parameters(serde_json::from_value(large).expect("an object")).expect_err("large");
        assert!(error.to_string().contains("`$a` does not fit"), "{error}");
    }

    #[test]
    fn parameters_are_small_or_not() {
        let check = |given: serde_json::Value, expected: bool| {
            let given = serde_json::from_value(given).expect("an object");
            assert_eq!(are_few(&given), expected);
            let values = parameters(given).expect("fits");
            assert_eq!(are_small(&values), expected);
        };
        check(json!({}), true);
        check(
            json!({"a": 1, "b": ["x", {"c": null}], "d": "y".repeat(FEW_BYTES - 1)}),
            true,
        );
        check(json!({"d": "y".repeat(FEW_BYTES + 1)}), false);
        check(json!({"a": vec![0; FEW_VALUES - 1]}), true);
        check(json!({"a": vec![0; FEW_VALUES + 1]}), false);
        check(json!({"a": vec![vec![0; 20]; 20]}), false);
        check(json!({"a": vec!["y".repeat(1 << 10); 20]}), false);
    }

    #[test]
    fn the_server_s_limits_are_never_exceeded() {
        let limits = Limits {
            json_body_bytes: 1,
            load_body_bytes: 1,
            query_timeout_ms: 1000,
            max_rows: 10,
            query_memory_bytes: 1,
            shares: crate::app::Shares {
                per_principal: 1,
                per_graph: 1,
            },
            connections: 1,
        };
        assert_eq!(max_rows(&limits, None), 10);
        assert_eq!(max_rows(&limits, Some(3)), 3);
        assert_eq!(max_rows(&limits, Some(11)), 10);
        assert!(deadline(&limits, Some(u64::MAX)) <= Instant::now() + Duration::from_millis(1000));
    }
}
