//! Values between JSON and the engine, as far as the benchmark's statements need them.

use std::sync::Arc;

use language::value::Value;
use serde_json::Value as Json;
use storage_engine::executor::Parameters;

use crate::subject::Failure;

/// The parameters of one execution.
pub(crate) fn parameters(json: &Json) -> Result<Arc<Parameters>, Failure> {
    let members = json.as_object().ok_or("parameters are an object")?;
    let values = members
        .iter()
        .map(|(name, json)| Ok((name.clone(), value(json)?)));
    Ok(Arc::new(values.collect::<Result<_, Failure>>()?))
}

fn value(json: &Json) -> Result<Value, Failure> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::string(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Int(integer),
            (None, Some(float)) => Value::Float(float),
            (None, None) => return Err(format!("{number} fits no value").into()),
        },
        Json::Array(elements) => {
            let elements = elements.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            Value::list(elements)
        }
        Json::Object(_) => return Err("no statement of the benchmark takes a map".into()),
    })
}

/// A value in an answer.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => text.as_ref().into(),
        Value::List(elements) => elements.iter().map(json).collect(),
        Value::Null => Json::Null,
        other => other.kind().into(),
    }
}
