//! Maps in which a name stands once. Most readers of JSON keep the last of two; which one the writer
//! meant cannot be known.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// For `#[serde(deserialize_with)]`.
pub(crate) fn map<'de, V, D>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Unique<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = access.next_entry::<String, V>()? {
                if map.contains_key(&name) {
                    return Err(A::Error::custom(format_args!(
                        "`{name}` stands there twice"
                    )));
                }
                map.insert(name, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}

/// As [`map`], of a field that may be left out.
pub(crate) fn optional_map<'de, V, D>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, V>>, D::Error>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    map(deserializer).map(Some)
}

/// A field of which null says something else than leaving it out.
pub(crate) fn given<'de, V, D>(deserializer: D) -> Result<Option<Option<V>>, D::Error>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let read = |text: &str| serde_json::from_str::<crate::QueryRequest>(text);
        assert_eq!(
            read(r#"{"query": "x", "params": {"a": 1, "b": 2}}"#)
                .expect("sound")
                .params
                .len(),
            2
        );
        let error = read(r#"{"query": "x", "params": {"a": 1, "a": 2}}"#).expect_err("twice");
        assert!(
            error.to_string().contains("`a` stands there twice"),
            "{error}"
        );
        let error = read(r#"{"query": "x", "query": "y"}"#).expect_err("twice");
        assert!(error.to_string().contains("duplicate field"), "{error}");
    }
}
