//! A value of the query language, and how values compare.
//!
//! There are three relations, and they differ on purpose (openCypher 9, "Comparability" and
//! "Orderability"):
//! - [`Value::equals`]: `=`; null with anything is unknown, `1 = 1.0` is true;
//! - [`Value::compare`]: `<` and its kin; unknown between values of different kinds;
//! - [`Value::order`]: the total order of `ORDER BY`, `min` and `max`;
//! - [`Value::group_key`]: equivalence, as `DISTINCT` and grouping need it; null equals null.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::schema::TypeId;
use crate::temporal::{self, Temporal};

/// A node: its type and its id within the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRef {
    /// Its type.
    pub type_id: TypeId,
    /// Its internal id; never shown to users.
    pub id: u64,
}

/// A relationship: its type and its id within the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EdgeRef {
    /// Its type.
    pub type_id: TypeId,
    /// Its internal id; never shown to users.
    pub id: u64,
}

/// A walk through the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Path {
    /// One more than there are edges.
    pub nodes: Vec<NodeRef>,
    /// In the order in which they are walked.
    pub edges: Vec<EdgeRef>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Absent or unknown.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit float.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    DateTime(i64),
    /// A list.
    List(Arc<[Value]>),
    /// A map.
    Map(Arc<BTreeMap<String, Value>>),
    /// A node.
    Node(NodeRef),
    /// A relationship.
    Relationship(EdgeRef),
    /// A path.
    Path(Arc<Path>),
    /// Any other time, or an amount of it.
    Temporal(Arc<Temporal>),
}

/// A hashable stand-in for a value under equivalence; made by [`Value::group_key`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey(Vec<u8>);

impl Value {
    /// Text.
    pub fn string(text: impl AsRef<str>) -> Self {
        Self::String(Arc::from(text.as_ref()))
    }

    /// A list.
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }

    /// Whether this is null.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The name of the value's kind, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Date(_) => "date",
            Self::DateTime(_) => "datetime",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Node(_) => "node",
            Self::Relationship(_) => "relationship",
            Self::Path(_) => "path",
            Self::Temporal(temporal) => temporal.kind(),
        }
    }

    /// `=`: `None` when unknown.
    #[must_use]
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Int(a), Self::Int(b)) => Some(a == b),
            (Self::String(a), Self::String(b)) => Some(a == b),
            (Self::Int(a), Self::Float(b)) | (Self::Float(b), Self::Int(a)) => {
                Some(compare_int_float(*a, *b) == Some(Ordering::Equal))
            }
            (Self::List(a), Self::List(b)) => {
                if a.len() != b.len() {
                    return Some(false);
                }
                all(a.iter().zip(b.iter()).map(|(x, y)| x.equals(y)))
            }
            (Self::Map(a), Self::Map(b)) => {
                if !a.keys().eq(b.keys()) {
                    return Some(false);
                }
                all(a.values().zip(b.values()).map(|(x, y)| x.equals(y)))
            }
            (a, b) => match (temporal::of(a), temporal::of(b)) {
                (Some(a), Some(b)) => Some(a.equals(&b)),
                _ => Some(a == b),
            },
        }
    }

    /// `<`, `>` and kin: `None` when unknown or not comparable.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(*b, *a).map(Ordering::reverse),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::DateTime(a), Self::DateTime(b)) => Some(a.cmp(b)),
            (Self::List(a), Self::List(b)) => {
                for (x, y) in a.iter().zip(b.iter()) {
                    match x.compare(y) {
                        Some(Ordering::Equal) => {}
                        decided => return decided,
                    }
                }
                Some(a.len().cmp(&b.len()))
            }
            (a, b) => temporal::of(a)?.compare(&temporal::of(b)?),
        }
    }

    /// The total order of `ORDER BY`: maps, nodes, relationships, lists, paths, dates and times,
    /// text, booleans, numbers, NaN, null.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Map(a), Self::Map(b)) => a
                .iter()
                .zip(b.iter())
                .map(|((ka, va), (kb, vb))| ka.cmp(kb).then_with(|| va.order(vb)))
                .find(|ordering| ordering.is_ne())
                .unwrap_or_else(|| a.len().cmp(&b.len())),
            (Self::Node(a), Self::Node(b)) => a.cmp(b),
            (Self::Relationship(a), Self::Relationship(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a
                .iter()
                .zip(b.iter())
                .map(|(x, y)| x.order(y))
                .find(|ordering| ordering.is_ne())
                .unwrap_or_else(|| a.len().cmp(&b.len())),
            (Self::Path(a), Self::Path(b)) => {
                a.nodes.cmp(&b.nodes).then_with(|| a.edges.cmp(&b.edges))
            }
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => float_order(*a, *b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b).unwrap_or(Ordering::Less),
            (Self::Float(a), Self::Int(b)) => {
                compare_int_float(*b, *a).map_or(Ordering::Greater, Ordering::reverse)
            }
            (a, b) => match (temporal::of(a), temporal::of(b)) {
                (Some(a), Some(b)) => a.instant().cmp(&b.instant()),
                _ => a
                    .rank()
                    .cmp(&b.rank())
                    .then_with(|| a.compare(b).unwrap_or(Ordering::Equal)),
            },
        }
    }

    /// A key under which equivalent values, and only those, are equal.
    #[must_use]
    pub fn group_key(&self) -> GroupKey {
        let mut bytes = Vec::new();
        self.write_group_key(&mut bytes);
        GroupKey(bytes)
    }

    /// A key for several values together.
    pub fn group_key_of<'a>(values: impl IntoIterator<Item = &'a Self>) -> GroupKey {
        let mut bytes = Vec::new();
        for value in values {
            value.write_group_key(&mut bytes);
        }
        GroupKey(bytes)
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Map(_) => 0,
            Self::Node(_) => 1,
            Self::Relationship(_) => 2,
            Self::List(_) => 3,
            Self::Path(_) => 4,
            Self::DateTime(_) | Self::Date(_) | Self::Temporal(_) => 5,
            Self::String(_) => 7,
            Self::Bool(_) => 8,
            Self::Int(_) | Self::Float(_) => 9,
            Self::Null => 10,
        }
    }

    /// Appends what [`Value::group_key`] is made of, for those that keep keys in a form of their own.
    /// A text is the byte 4, its length in eight bytes, most significant first, and itself.
    pub fn write_group_key(&self, out: &mut Vec<u8>) {
        fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
            out.push(tag);
            out.extend_from_slice(bytes);
        }
        fn sized(out: &mut Vec<u8>, tag: u8, len: usize) {
            tagged(out, tag, &(len as u64).to_be_bytes());
        }
        match self {
            Self::Null => out.push(0),
            Self::Bool(value) => tagged(out, 1, &[u8::from(*value)]),
            Self::Int(value) => tagged(out, 2, &value.to_be_bytes()),
            Self::Float(value) => match exact_int(*value) {
                Some(int) => tagged(out, 2, &int.to_be_bytes()),
                None if value.is_nan() => tagged(out, 3, &f64::NAN.to_bits().to_be_bytes()),
                None => tagged(out, 3, &value.to_bits().to_be_bytes()),
            },
            Self::String(text) => {
                sized(out, 4, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Date(_) | Self::DateTime(_) | Self::Temporal(_) => {
                out.push(5);
                if let Some(temporal) = temporal::of(self) {
                    temporal.write_key(out);
                }
            }
            Self::List(values) => {
                sized(out, 7, values.len());
                values.iter().for_each(|value| value.write_group_key(out));
            }
            Self::Map(map) => {
                sized(out, 8, map.len());
                for (name, value) in map.iter() {
                    sized(out, 4, name.len());
                    out.extend_from_slice(name.as_bytes());
                    value.write_group_key(out);
                }
            }
            Self::Node(node) => {
                tagged(out, 9, &node.type_id.0.to_be_bytes());
                out.extend_from_slice(&node.id.to_be_bytes());
            }
            Self::Relationship(edge) => {
                tagged(out, 10, &edge.type_id.0.to_be_bytes());
                out.extend_from_slice(&edge.id.to_be_bytes());
            }
            Self::Path(path) => {
                sized(out, 11, path.edges.len());
                path.nodes
                    .iter()
                    .for_each(|node| Self::Node(*node).write_group_key(out));
                path.edges
                    .iter()
                    .for_each(|edge| Self::Relationship(*edge).write_group_key(out));
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Three-valued conjunction.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            Some(true) => {}
            None => result = None,
        }
    }
    result
}

/// The integer that a float is exactly, if it is one of 64 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn exact_int(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

/// Compares without losing bits of large integers; `None` for NaN.
fn compare_int_float(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    let floor = float.floor();
    match exact_int(floor) {
        Some(whole) => Some(int.cmp(&whole).then(if float > floor {
            Ordering::Less
        } else {
            Ordering::Equal
        })),
        None => Some(if float > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        }),
    }
}

fn float_order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = Value::Int(i64::MAX);
        assert_eq!(big.equals(&Value::Float(i64::MAX as f64)), Some(false));
        assert_eq!(Value::Int(1).equals(&Value::Float(1.0)), Some(true));
        assert_eq!(
            Value::Int(1).compare(&Value::Float(1.5)),
            Some(Ordering::Less)
        );
        assert_eq!(
            Value::Int(-1).compare(&Value::Float(-1.5)),
            Some(Ordering::Greater)
        );
        assert_eq!(Value::Int(1).compare(&Value::Float(f64::NAN)), None);
        assert_eq!(Value::Int(1).group_key(), Value::Float(1.0).group_key());
        assert_ne!(Value::Int(1).group_key(), Value::Float(1.5).group_key());
    }

    #[test]
    fn null_is_unknown_in_equality_and_last_in_order() {
        assert_eq!(Value::Null.equals(&Value::Null), None);
        assert_eq!(Value::Null.order(&Value::Int(1)), Ordering::Greater);
        assert_eq!(Value::Null.group_key(), Value::Null.group_key());
        let with_null = Value::list([Value::Int(1), Value::Null]);
        assert_eq!(with_null.equals(&with_null), None);
        assert_eq!(
            with_null.equals(&Value::list([Value::Int(2), Value::Null])),
            Some(false)
        );
    }

    #[test]
    fn order_is_total_over_kinds() {
        let mut values = [
            Value::Null,
            Value::Float(f64::NAN),
            Value::Int(2),
            Value::Bool(true),
            Value::from("a"),
            Value::list([Value::Int(1)]),
        ];
        values.sort_by(Value::order);
        let kinds: Vec<_> = values.iter().map(Value::kind).collect();
        assert_eq!(
            kinds,
            ["list", "string", "boolean", "integer", "float", "null"]
        );
    }
}
