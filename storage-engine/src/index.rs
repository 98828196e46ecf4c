//! From the value of a property to the rows that have it, for properties that are declared with `@index`.
//!
//! Beside a column of a chunk stand the hashes of its values with the places of the rows, made when somebody
//! first looks a value up. Chunks are never changed and most outlive a fold, so that is done once for each,
//! and a column that leaves memory takes it along. Of the rows that changed since the base, hashes and ids
//! stand in a persistent set ([`crate::rows`]). Both say who *may* have a value: whoever asks looks at
//! the rows, and so values that a row had before, hashes that values share and NaN are no matter.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use language::value::Value;
use rpds::RedBlackTreeSetSync;

use crate::columns;
use crate::keys;
use crate::rows::{Row, Rows};

/// What a changed row takes in the set, for each indexed property.
const ENTRY_BYTES: usize = 96;

/// The hash of a value: the same for values that are equal.
pub(crate) fn hash_of(value: &Value) -> u32 {
    keys::short(keys::hash(&keys::bytes_of([value])))
}

/// Where the values of a column stand.
#[derive(Debug)]
pub(crate) struct Places {
    /// Ascending.
    hashes: Box<[u32]>,
    /// In the order of the hashes; those of equal hashes ascending.
    rows: Box<[u32]>,
}

impl Places {
    pub(crate) fn of(column: &ArrayRef) -> Self {
        let texts = (*column.data_type() == DataType::LargeUtf8).then(|| column.as_string::<i64>());
        let mut key = Vec::new();
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(column.len());
        for (row, place) in (0..column.len()).zip(0_u32..) {
            if column.is_null(row) {
                continue;
            }
            key.clear();
            match texts {
                Some(texts) => keys::write_text(texts.value(row), &mut key),
                None => columns::value_at(column, row).write_group_key(&mut key),
            }
            pairs.push((keys::short(keys::hash(&key)), place));
        }
        pairs.sort_unstable();
        Self {
            hashes: pairs.iter().map(|(hash, _)| *hash).collect(),
            rows: pairs.iter().map(|(_, row)| *row).collect(),
        }
    }

    /// The rows whose value has a hash, ascending.
    fn rows(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let start = self.hashes.partition_point(|other| *other < hash);
        let hashes = self.hashes.iter().skip(start);
        let rows = self.rows.iter().skip(start);
        let same = hashes.zip(rows).take_while(move |(it, _)| **it == hash);
        same.map(|(_, row)| *row as usize)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.hashes) + size_of_val(&*self.rows)
    }
}

/// Values of indexed properties of rows that changed since the base: position, hash, id.
#[derive(Clone, Debug)]
pub(crate) struct Changed(RedBlackTreeSetSync<(usize, u32, u64)>);

impl Default for Changed {
    fn default() -> Self {
        Self(RedBlackTreeSetSync::new_sync())
    }
}

impl Changed {
    /// A row of that id was as the one, and is as the other. What is [left](Row::left) on disk, the base
    /// has.
    pub(crate) fn put(
        &mut self,
        indexed: &[usize],
        id: u64,
        before: Option<&Row>,
        after: Option<&Row>,
    ) {
        for position in indexed {
            let hash = |row: Option<&Row>| {
                let value = row?.values.get(*position)?;
                (!value.is_null()).then(|| hash_of(value))
            };
            let (before, after) = (hash(before), hash(after));
            if before == after {
                continue;
            }
            if let Some(hash) = before {
                self.0.remove_mut(&(*position, hash, id));
            }
            if let Some(hash) = after {
                self.0.insert_mut((*position, hash, id));
            }
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.size() * ENTRY_BYTES
    }

    fn ids(&self, position: usize, hash: u32) -> impl Iterator<Item = u64> + '_ {
        let range = (position, hash, 0)..=(position, hash, u64::MAX);
        self.0.range(range).map(|(_, _, id)| *id)
    }
}

impl Rows {
    /// Adds the ids of those rows that may have a value with a hash, for a property that is indexed. `pace`
    /// is asked before work of so many steps.
    pub(crate) fn seek<E>(
        &self,
        position: usize,
        hash: u32,
        pace: &mut dyn FnMut(usize) -> Result<(), E>,
        ids: &mut Vec<u64>,
    ) -> Result<(), E> {
        self.bring(position);
        for chunk in self.base.chunks() {
            if !chunk.has_places(position) {
                pace(chunk.len())?;
            }
            let places = chunk.places(position).into_iter();
            let rows = places.flat_map(|places| places.rows(hash));
            ids.extend(rows.filter_map(|row| chunk.ids().get(row)));
        }
        ids.extend(self.indexed().ids(position, hash));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, LargeStringArray};

    use super::*;

    #[test]
    fn rows_are_found_by_values_that_are_equal() {
        let texts = LargeStringArray::from(vec![Some("a"), None, Some("b"), Some("a")]);
        let places = Places::of(&(Arc::new(texts) as ArrayRef));
        let rows = |value: &Value| places.rows(hash_of(value)).collect::<Vec<_>>();
        assert_eq!(rows(&Value::from("a")), [0, 3]);
        assert_eq!(rows(&Value::from("c")), [0_usize; 0]);
        let floats = Float64Array::from(vec![1.0, -0.0, 0.0, 2.5]);
        let places = Places::of(&(Arc::new(floats) as ArrayRef));
        let rows = |value: &Value| places.rows(hash_of(value)).collect::<Vec<_>>();
        assert_eq!(rows(&Value::Int(1)), [0]);
        assert_eq!(rows(&Value::Int(0)), [1, 2]);
    }

    #[test]
    fn a_changed_row_stands_under_the_value_that_it_has() {
        let row = |value: Value| Row {
            values: vec![value],
            left: Vec::new(),
            identity: None,
            ends: None,
            lsn: 1,
            run: uuid::Uuid::nil(),
        };
        let (one, two) = (row(Value::Int(1)), row(Value::Int(2)));
        let mut changed = Changed::default();
        let ids = |changed: &Changed, value: i64| {
            changed
                .ids(0, hash_of(&Value::Int(value)))
                .collect::<Vec<_>>()
        };
        changed.put(&[0], 8, None, Some(&one));
        changed.put(&[0], 7, None, Some(&one));
        assert_eq!(ids(&changed, 1), [7, 8]);
        changed.put(&[0], 8, Some(&one), Some(&two));
        assert_eq!((ids(&changed, 1), ids(&changed, 2)), (vec![7], vec![8]));
        changed.put(&[0], 8, Some(&two), None);
        changed.put(&[0], 7, Some(&one), Some(&row(Value::Null)));
        assert_eq!(changed.bytes(), 0);
    }
}
