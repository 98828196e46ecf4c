//! What the changes of a transaction take in the log, counted while they are made.
//!
//! A text that a thousand rows share is in memory once, but the log writes it a thousand times. So
//! each row is counted as if it shared nothing, and what is too much is refused before it is encoded.

use std::sync::Arc;

use language::schema::TypeId;
use language::value::Value;

use crate::finish::same;
use crate::rows::{Entry, Row};
use crate::transaction::{Transaction, WriteError};

/// The head of a changed row, and of one of its values.
const HEAD: usize = 16;

impl Transaction {
    /// The same, for a commit whose changes take so many bytes in the log at most. Of several limits
    /// the lowest holds.
    pub(crate) fn of_at_most(mut self, bytes: usize) -> Self {
        self.limit_bytes(bytes);
        self
    }

    pub(crate) fn limit_bytes(&mut self, bytes: usize) {
        self.max_bytes = self.max_bytes.min(bytes);
    }

    /// Puts `row` where `old` is now; `None` is no row.
    pub(crate) fn put(
        &mut self,
        (type_id, id): (TypeId, u64),
        old: Option<Arc<Row>>,
        row: Option<Arc<Row>>,
    ) -> Result<(), WriteError> {
        let known = self.before.get(&(type_id, id));
        let was = known.map_or(0, |first| change(first.as_deref(), old.as_deref()));
        let first = known.unwrap_or(&old).as_deref();
        let counted = self.bytes.saturating_sub(was);
        let bytes = counted.saturating_add(change(first, row.as_deref()));
        if bytes > self.max_bytes && bytes > self.bytes {
            let limit = self.max_bytes;
            return Err(WriteError::TooLarge { limit });
        }
        self.bytes = bytes;
        self.before.entry((type_id, id)).or_insert(old);
        let lsn = self.lsn;
        self.snapshot.put(type_id, id, Entry { lsn, row });
        Ok(())
    }
}

/// About how many bytes the log takes to say that a row is different: of one that stays, only the
/// values that are.
fn change(before: Option<&Row>, after: Option<&Row>) -> usize {
    match (before, after) {
        (None, None) => 0,
        (None, Some(row)) | (Some(row), None) => {
            let identity = row.identity.as_ref().map_or(0, |identity| identity.len());
            HEAD + identity + row.values.iter().map(of).sum::<usize>()
        }
        (Some(before), Some(after)) => {
            let values = before.values.iter().zip(&after.values);
            let differ = values.filter(|(before, after)| !same(before, after));
            HEAD + differ
                .map(|(before, after)| of(before) + of(after))
                .sum::<usize>()
        }
    }
}

/// About how many bytes the log takes for a value.
fn of(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::String(text) => HEAD + text.len(),
        Value::List(values) => HEAD + values.iter().map(of).sum::<usize>(),
        // All properties of a node in an open graph.
        Value::Map(map) => {
            let entries = map.iter().map(|(name, value)| name.len() + of(value));
            HEAD + entries.sum::<usize>()
        }
        _ => HEAD,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_inside_counts() {
        let text = Value::from("x".repeat(1_000).as_str());
        let list = Value::List(vec![text.clone(), text.clone()].into());
        let map = BTreeMap::from([("name".to_owned(), text), ("list".to_owned(), list)]);
        assert!(of(&Value::Map(Arc::new(map))) > 3_000);
    }
}
