//! From a key to the node that has it.
//!
//! The key of a type with a declared key is its properties; else it is the identity that was given
//! or made. Most of the index stands in a few *levels*: hashes and ids, sorted, no keys; a hit is
//! verified against the rows, so that those of nodes which are gone say nothing. Keys set since stand in
//! a persistent map, which a fold turns into a level. Levels hold ids, so that folding rows into tables
//! changes nothing in them.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use language::value::Value;
use rpds::HashTrieMapSync;

use crate::chunk::Chunk;
use crate::columns::Layout;
use crate::packed::{Numbers, Packer, bounds};
use crate::rows::{Row, Rows};

/// Nobody who writes keys can know which of them share a hash.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Keys of the nodes of one type.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    levels: Arc<[Held]>,
    /// Keys set since the levels. One that was freed may be taken by a level that comes later.
    changes: HashTrieMapSync<Box<[u8]>, u64>,
}

/// A level of the index.
#[derive(Clone, Debug)]
struct Held {
    level: Arc<KeyLevel>,
    /// The commit that brought it; 0 once that is folded.
    lsn: u64,
}

/// Hashes of keys, ascending, and who has them.
#[derive(Debug, Default)]
pub(crate) struct KeyLevel {
    hashes: Box<[u32]>,
    ids: Numbers,
}

impl Keys {
    /// The keys of all rows, which must have no changes.
    pub(crate) fn build(rows: &Rows) -> Self {
        let level = KeyLevel::of_chunks(&rows.layout, rows.base.chunks());
        Self::of_levels((level.len() > 0).then(|| Held {
            level: Arc::new(level),
            lsn: 0,
        }))
    }

    /// No keys.
    pub(crate) fn empty() -> Self {
        Self::of_levels([])
    }

    fn of_levels(levels: impl IntoIterator<Item = Held>) -> Self {
        Self {
            levels: levels.into_iter().collect(),
            changes: HashTrieMapSync::new_sync(),
        }
    }

    /// The node with this key.
    pub(crate) fn get(&self, rows: &Rows, key: &[Value]) -> Option<u64> {
        self.find(rows, &bytes_of(key))
    }

    /// The node with a key, given as [`bytes_of`] writes it.
    pub(crate) fn find(&self, rows: &Rows, key: &[u8]) -> Option<u64> {
        if let Some(set) = self.changes.get(key) {
            return Some(*set);
        }
        if self.levels.is_empty() {
            return None;
        }
        let hash = short(hash(key));
        // A node that is gone has left its place, which another one may have taken since.
        let mut levels = self.levels.iter().rev();
        levels.find_map(|held| {
            let mut ids = held.level.candidates(hash);
            ids.find(|id| rows.has_key(*id, key))
        })
    }

    /// Notes that `row` is there, or gone.
    pub(crate) fn put(&mut self, layout: &Layout, row: &Row, id: Option<u64>) {
        let key = bytes_of(&key_of(layout, row));
        match id {
            Some(id) => self.changes.insert_mut(key.into(), id),
            None => {
                self.changes.remove_mut(key.as_slice());
            }
        }
    }

    /// Takes in what a commit brings.
    pub(crate) fn add_level(&mut self, level: &Arc<KeyLevel>, lsn: u64) {
        let new = Held {
            level: level.clone(),
            lsn,
        };
        self.levels = self.levels.iter().cloned().chain([new]).collect();
    }

    /// The same keys, with those set as a level. `rows` are the folded ones.
    pub(crate) fn folded(&self, rows: &Rows) -> Self {
        let without_lsn = |held: &Held| Held {
            level: held.level.clone(),
            lsn: 0,
        };
        let set = self.changes.iter();
        let set = set.map(|(key, id)| (short(hash(key)), *id));
        let new = KeyLevel::of_pairs(set.collect());
        let held: usize = self.levels.iter().map(|held| held.level.len()).sum();
        // A fifth of the places are of nodes that are gone.
        if (held + new.len()) as u64 > rows.count + rows.count / 4 + 64 {
            return Self::build(rows);
        }
        let new = (new.len() > 0).then(|| Held {
            level: Arc::new(new),
            lsn: 0,
        });
        let mut levels: Vec<Held> = Vec::new();
        for mut held in self.levels.iter().map(without_lsn).chain(new) {
            while let Some(before) = levels.last()
                && before.level.len() / 4 < held.level.len()
                && let Some(before) = levels.pop()
            {
                let pairs = before.level.pairs().chain(held.level.pairs());
                held.level = Arc::new(KeyLevel::of_pairs(pairs.collect()));
            }
            levels.push(held);
        }
        Self::of_levels(levels)
    }

    /// What holds everything up to `folded`, and what `newer` was brought after that.
    pub(crate) fn with_newer(&self, newer: &Self, folded: u64) -> Self {
        let after = newer
            .levels
            .iter()
            .filter(|held| held.lsn > folded)
            .cloned();
        Self {
            levels: self.levels.iter().cloned().chain(after).collect(),
            changes: self.changes.clone(),
        }
    }

    /// Bytes of memory of the levels.
    pub(crate) fn bytes(&self) -> usize {
        let levels = self.levels.iter();
        levels
            .map(|held| size_of_val(&*held.level.hashes) + held.level.ids.bytes())
            .sum()
    }
}

impl KeyLevel {
    /// The keys of all rows of these chunks.
    pub(crate) fn of_chunks<'a>(layout: &Layout, chunks: impl Iterator<Item = &'a Chunk>) -> Self {
        let mut pairs = Vec::new();
        let mut key = Vec::new();
        for chunk in chunks {
            for (row, id) in chunk.ids().iter().enumerate() {
                key.clear();
                write_row_key(layout, chunk, row, &mut key);
                pairs.push((short(hash(&key)), id));
            }
        }
        Self::of_pairs(pairs)
    }

    fn of_pairs(mut pairs: Vec<(u32, u64)>) -> Self {
        pairs.sort_unstable();
        let (low, high) = bounds(pairs.iter().map(|(_, id)| *id));
        let mut ids = Packer::new(low, high, pairs.len());
        for (index, (_, id)) in pairs.iter().enumerate() {
            ids.set(index, *id);
        }
        Self {
            hashes: pairs.iter().map(|(hash, _)| *hash).collect(),
            ids: ids.finish(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.hashes.iter().copied().zip(self.ids.iter())
    }

    fn candidates(&self, hash: u32) -> impl Iterator<Item = u64> + '_ {
        let start = self.hashes.partition_point(|other| *other < hash);
        let same = self.hashes.iter().skip(start);
        let count = same.take_while(move |other| **other == hash).count();
        (start..start + count).filter_map(|index| self.ids.get(index))
    }

    /// The node of these chunks that has the key.
    pub(crate) fn find(&self, layout: &Layout, chunks: &[Arc<Chunk>], key: &[u8]) -> Option<u64> {
        self.candidates(short(hash(key))).find(|id| {
            let after = chunks.partition_point(|chunk| chunk.first() <= *id);
            let chunk = after.checked_sub(1).and_then(|at| chunks.get(at));
            chunk.is_some_and(|chunk| chunk_has_key(layout, chunk, *id, key))
        })
    }
}

impl Rows {
    /// Whether a row is there and has this key, as [`bytes_of`] writes it.
    fn has_key(&self, id: u64, key: &[u8]) -> bool {
        match self.changes.get(&id) {
            Some(entry) => entry
                .row
                .as_deref()
                .is_some_and(|row| bytes_of(&key_of(&self.layout, row)) == key),
            None => self
                .base
                .find(id)
                .is_some_and(|(chunk, row)| row_has_key(&self.layout, chunk, row, key)),
        }
    }
}

/// The key of a row: its key properties, or its identity.
pub(crate) fn key_of(layout: &Layout, row: &Row) -> Vec<Value> {
    if layout.key.is_empty() {
        return vec![row.identity.clone().map_or(Value::Null, Value::String)];
    }
    let value = |position: &usize| row.values.get(*position).cloned().unwrap_or(Value::Null);
    layout.key.iter().map(value).collect()
}

/// Bytes that are equal when the keys are equivalent, and only then.
pub(crate) fn bytes_of<'a>(key: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in key {
        value.write_group_key(&mut bytes);
    }
    bytes
}

/// The values of a key that [`bytes_of`] wrote, for messages. A float that is whole comes back as an
/// integer; what stands in no key comes back as null.
pub(crate) fn values_of(mut key: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = key.split_first() {
        let eight = rest.first_chunk::<8>().copied().unwrap_or_default();
        let (value, len) = match tag {
            1 => (Value::Bool(rest.first() == Some(&1)), 1),
            2 => (Value::Int(i64::from_be_bytes(eight)), 8),
            3 => (Value::Float(f64::from_bits(u64::from_be_bytes(eight))), 8),
            4 => {
                let len = usize::try_from(u64::from_be_bytes(eight)).unwrap_or(usize::MAX);
                let text = rest.get(8..len.saturating_add(8)).unwrap_or_default();
                (
                    Value::string(String::from_utf8_lossy(text)),
                    len.saturating_add(8),
                )
            }
            5 => (instant(rest).unwrap_or(Value::Null), 1 + 16),
            _ => (Value::Null, rest.len()),
        };
        values.push(value);
        key = rest.get(len..).unwrap_or_default();
    }
    values
}

/// A date or a point in time as keys hold it: its kind, and nanoseconds since 1970.
fn instant(key: &[u8]) -> Option<Value> {
    const DATE_TIME: u8 = 0;
    const DATE: u8 = 2;
    const DAY: i128 = 86_400_000_000_000;
    let (kind, nanos) = key.split_first()?;
    let nanos = i128::from_be_bytes(*nanos.first_chunk()?);
    match *kind {
        DATE_TIME => i64::try_from(nanos / 1_000).ok().map(Value::DateTime),
        DATE => i32::try_from(nanos / DAY).ok().map(Value::Date),
        _ => None,
    }
}

/// How [`Value::write_group_key`] begins a text.
const TEXT: u8 = 4;

/// What [`bytes_of`] writes for one text.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(TEXT);
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The key of a row of a chunk, as [`bytes_of`] writes it.
pub(crate) fn write_row_key(layout: &Layout, chunk: &Chunk, row: usize, out: &mut Vec<u8>) {
    match layout.key.as_slice() {
        [] => match chunk.identity(row) {
            Some(identity) => write_text(identity, out),
            None => Value::Null.write_group_key(out),
        },
        key => {
            for position in key {
                match text_at(chunk, row, *position) {
                    Some(text) => write_text(text, out),
                    None => chunk.value(row, *position).write_group_key(out),
                }
            }
        }
    }
}

/// Whether a chunk has a row and the row has the key.
pub(crate) fn chunk_has_key(layout: &Layout, chunk: &Chunk, id: u64, key: &[u8]) -> bool {
    let row = chunk.find(id);
    row.is_some_and(|row| row_has_key(layout, chunk, row, key))
}

fn row_has_key(layout: &Layout, chunk: &Chunk, row: usize, key: &[u8]) -> bool {
    let text = match layout.key.as_slice() {
        [] => chunk.identity(row),
        [position] => text_at(chunk, row, *position),
        _ => None,
    };
    if let (Some(text), Some((&TEXT, rest))) = (text, key.split_first()) {
        // Behind the length, which follows from the rest.
        return rest.get(8..) == Some(text.as_bytes());
    }
    let mut own = Vec::with_capacity(key.len());
    write_row_key(layout, chunk, row, &mut own);
    own == key
}

fn text_at(chunk: &Chunk, row: usize, position: usize) -> Option<&str> {
    let column = chunk.resident(position)?;
    let text = *column.data_type() == DataType::LargeUtf8 && column.is_valid(row);
    text.then(|| column.as_string::<i64>().value(row))
}

/// The hash of a key as [`bytes_of`] writes it.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let mut hasher = HASHES.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// The upper half of its bits.
pub(crate) fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_values_write_it() {
        for text in ["", "a", "ünï\u{0}🦀"] {
            let mut bytes = Vec::new();
            write_text(text, &mut bytes);
            assert_eq!(bytes, bytes_of(&[Value::from(text)]));
        }
    }

    #[test]
    fn values_come_back_for_messages() {
        let values = [
            Value::Bool(true),
            Value::Int(-7),
            Value::Float(0.5),
            Value::from("é"),
            Value::Date(-1),
            Value::DateTime(9),
        ];
        assert_eq!(values_of(&bytes_of(&values)), values);
        assert_eq!(values_of(&bytes_of(&[Value::Null])), [Value::Null]);
    }
}
