//! Which state of a graph is meant, in a request's body.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// For `#[serde(deserialize_with)]` of `at`: text, and whoever sends something else is told which field
/// and what.
///
/// # Errors
/// For anything but text and null.
pub(crate) fn at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct At;

    impl<'de> Visitor<'de> for At {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`at` as text: the id of a commit, its sequence number, or a time")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(At)
}
