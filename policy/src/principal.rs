//! Who asks. A principal comes from a credential and from nothing else.
//!
//! ```
//! use policy::{Principal, PrincipalKind};
//! let anonymous = Principal::anonymous();
//! assert_eq!((anonymous.kind, anonymous.id.as_str()), (PrincipalKind::User, "anonymous"));
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The id of the principal of a server that runs with `--unauthenticated`. No token may bear it.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Whether a principal is a person or a program.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// `User::"alice"`.
    #[default]
    User,
    /// `Service::"indexer"`.
    Service,
}

/// One attribute of a principal, as the operator or a claim gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// Several texts, in no order.
    List(Vec<String>),
}

/// Who asks: the same on every path, whichever credential it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name, unique among all principals of a server.
    pub id: String,
    /// The groups that it is in.
    pub groups: BTreeSet<String>,
    /// The tenant that it belongs to.
    pub tenant: Option<String>,
    /// What else is known of it, by name. Policies read them as tags.
    pub attributes: BTreeMap<String, AttributeValue>,
    /// What its credential is limited to: names of actions and of action groups. `None` is no limit,
    /// an empty list allows nothing.
    pub scopes: Option<Vec<String>>,
}

impl Principal {
    /// A person without groups, tenant or attributes.
    pub fn user(id: impl Into<String>) -> Self {
        Self {
            kind: PrincipalKind::User,
            id: id.into(),
            groups: BTreeSet::new(),
            tenant: None,
            attributes: BTreeMap::new(),
            scopes: None,
        }
    }

    /// The principal of every request to a server that runs with `--unauthenticated`.
    pub fn anonymous() -> Self {
        Self::user(ANONYMOUS)
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeVisitor)
    }
}

/// By hand, since a derived untagged enum says only that "no variant matched".
struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true or false, or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Text(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Flag(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AttributeValue, E> {
        i64::try_from(number)
            .map(AttributeValue::Number)
            .map_err(|_| E::custom(format_args!("{number} does not fit a 64-bit signed number")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<AttributeValue, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = sequence.next_element()? {
            list.push(text);
        }
        Ok(AttributeValue::List(list))
    }
}
