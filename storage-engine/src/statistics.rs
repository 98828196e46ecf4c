//! What is known of the values that rows have: for choosing between plans, never for answers.
//!
//! They are gathered when a type is folded and has changed by a tenth since the last time, from a sample
//! of its rows and of those columns alone that are in memory; of others what was known before stays. A
//! checkpoint keeps them, so that a graph whose columns are on disk alone is planned as well as any. How
//! many rows there are, every snapshot knows by itself.
//!
//! Example: of 20,000 people in a sample, 9,000 have `gender = 'f'`: `WHERE p.gender = 'f'` is expected to
//! leave 45 in a hundred, and `WHERE p.age > 80` as many as lie above the bound next to 80.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use language::schema::{OpenTypes, PropertyId, PropertyType, TypeId};
use language::value::Value;
use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};

use crate::rows::Rows;
use crate::snapshot::Snapshot;

/// Rows of a type that are looked at; of fewer, all.
const SAMPLE: u64 = 16_384;
/// Values that are kept with their number.
const MOST_COMMON: usize = 12;
/// Parts of equal number between the bounds of values.
const PARTS: usize = 16;
/// Names of properties and labels of an open graph that are kept, those first that most rows have.
const MOST_NAMES: usize = 128;
/// Types are looked at anew when one row in so many has changed.
const CHANGED_PART: u64 = 10;

/// What is known of the types of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Statistics {
    /// By type.
    types: BTreeMap<u32, OfType>,
}

/// What is known of a type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OfType {
    /// How many rows there were.
    rows: u64,
    /// How many of them were looked at.
    sampled: u64,
    /// Rows changed since then.
    changed: u64,
    /// By property.
    properties: BTreeMap<u32, Spread>,
    /// In an open graph: by the name of a property.
    #[serde(default)]
    named: BTreeMap<String, Spread>,
    /// In an open graph: how many of the rows that were looked at have a label, or are of a type.
    #[serde(default)]
    labels: BTreeMap<String, u64>,
    /// There are more names and labels than are kept.
    #[serde(default)]
    cut: bool,
}

/// How the values of a property are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// Rows that were looked at.
    sampled: u64,
    /// How many of them have a value.
    known: u64,
    /// How many different values all rows have, about.
    distinct: u64,
    /// Hashes of values, and how many of the rows looked at have each. A hash that changes with the
    /// program makes a guess worse and nothing wrong.
    common: Vec<(u64, u64)>,
    /// What kind of values the bounds are of, as [`rank`] has it.
    kind: u8,
    /// Ranks between which equally many values lie, the smallest and the largest included.
    bounds: Vec<i64>,
}

impl Statistics {
    /// What is known once a snapshot is folded: `before` its rows were, and `folded` they are. `self` is
    /// what was known.
    pub(crate) fn renewed(&self, before: &Snapshot, folded: &Snapshot) -> Self {
        let open = folded.open();
        let mut types = BTreeMap::new();
        for (before, folded) in before.tables().zip(folded.tables()) {
            let type_id = folded.layout.type_id;
            let known = self.types.get(&type_id.0);
            let changed = before.unfolded() as u64 + known.map_or(0, |known| known.changed);
            let renewed = match known {
                Some(known) if changed.saturating_mul(CHANGED_PART) < folded.count => OfType {
                    changed,
                    ..known.clone()
                },
                known => OfType::gather(folded, open, known),
            };
            if renewed.rows > 0 {
                types.insert(type_id.0, renewed);
            }
        }
        Self { types }
    }

    /// What is known of a type.
    pub(crate) fn of(&self, type_id: TypeId) -> Option<&OfType> {
        self.types.get(&type_id.0)
    }
}

impl OfType {
    fn gather(rows: &Rows, open: Option<OpenTypes>, before: Option<&Self>) -> Self {
        let stride = usize::try_from(rows.count.div_ceil(SAMPLE)).unwrap_or(usize::MAX);
        let ids: Vec<u64> = rows.ids().step_by(stride.max(1)).collect();
        let mut known = Self {
            rows: rows.count,
            sampled: ids.len() as u64,
            ..Self::default()
        };
        for (position, property) in rows.layout.properties.iter().enumerate() {
            let id = property.id;
            if !rows.is_warm(position) {
                known.keep(id, open, before);
                continue;
            }
            let values = ids.iter().map(|id| rows.value(*id, position));
            match open {
                Some(open) if open.labels == id || open.name == id => known.count_labels(values),
                _ if property.value_type == PropertyType::Map => known.take_maps(values),
                _ => {
                    let spread = Spread::of(values, known.sampled, rows.count);
                    known.properties.insert(id.0, spread);
                }
            }
        }
        known
    }

    /// Takes over what was known of a column that is not in memory.
    fn keep(&mut self, id: PropertyId, open: Option<OpenTypes>, before: Option<&Self>) {
        let Some(before) = before else {
            // Nothing can be concluded from what is missing.
            self.cut = true;
            return;
        };
        match open {
            Some(open) if open.labels == id || open.name == id => {
                // As many of those that are looked at now.
                let scaled = |count: u64| {
                    let scaled = u128::from(count) * u128::from(self.sampled);
                    u64::try_from(scaled / u128::from(before.sampled.max(1))).unwrap_or(u64::MAX)
                };
                let labels = before.labels.iter();
                self.labels = labels
                    .map(|(name, count)| (name.clone(), scaled(*count)))
                    .collect();
            }
            Some(_) => self.named.clone_from(&before.named),
            None => {
                let spread = before.properties.get(&id.0).cloned();
                self.properties.extend(spread.map(|spread| (id.0, spread)));
            }
        }
        self.cut |= before.cut;
    }

    fn count_labels(&mut self, values: impl Iterator<Item = Value>) {
        let mut counts = FxHashMap::<String, u64>::default();
        let mut count = |value: &Value| {
            if let Value::String(name) = value {
                match counts.get_mut(&**name) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(name.to_string(), 1)),
                }
            }
        };
        for value in values {
            match &value {
                Value::List(labels) => labels.iter().for_each(&mut count),
                name => count(name),
            }
        }
        let counts = counts.into_iter().map(|(name, count)| (count, name));
        let (kept, cut) = most(counts.collect());
        self.labels = kept
            .into_iter()
            .map(|(count, name)| (name, count))
            .collect();
        self.cut |= cut;
    }

    fn take_maps(&mut self, values: impl Iterator<Item = Value>) {
        let mut named = FxHashMap::<String, Vec<Value>>::default();
        for value in values {
            let Value::Map(map) = value else { continue };
            for (name, value) in map.iter() {
                match named.get_mut(name) {
                    Some(values) => values.push(value.clone()),
                    None => drop(named.insert(name.clone(), vec![value.clone()])),
                }
            }
        }
        let (sampled, rows) = (self.sampled, self.rows);
        let counted = named
            .keys()
            .map(|name| (named[name].len() as u64, name.clone()));
        let (kept, cut) = most(counted.collect());
        let spread = |name: String| {
            let values = named.remove(&name).unwrap_or_default();
            (name, Spread::of(values.into_iter(), sampled, rows))
        };
        self.named = kept.into_iter().map(|(_, name)| name).map(spread).collect();
        self.cut |= cut;
    }

    /// How the values of a property are spread.
    pub(crate) fn property(&self, id: PropertyId) -> Option<&Spread> {
        self.properties.get(&id.0)
    }

    /// The same for a property of an open graph; `Err` with the part of rows that may have it when it was
    /// not seen.
    pub(crate) fn named(&self, name: &str) -> Option<Result<&Spread, f64>> {
        match self.named.get(name) {
            Some(spread) => Some(Ok(spread)),
            None => (!self.cut).then(|| Err(self.unseen())),
        }
    }

    /// The part of rows that have a label, or are of a type, of an open graph.
    pub(crate) fn labelled(&self, name: &str) -> Option<f64> {
        match self.labels.get(name) {
            Some(count) => Some(part(*count, self.sampled)),
            None => (!self.cut).then(|| self.unseen()),
        }
    }

    /// The part of rows that may have what none has that was looked at.
    fn unseen(&self) -> f64 {
        part(1, self.sampled.saturating_mul(2))
    }

    /// How many times the rows are now that there were.
    pub(crate) fn growth(&self, rows: u64) -> f64 {
        part(rows, self.rows).max(1.0)
    }
}

impl Spread {
    /// Of the values of `sampled` rows out of `rows`; null is no value, and what is missing is null.
    fn of(values: impl Iterator<Item = Value>, sampled: u64, rows: u64) -> Self {
        let mut counts = FxHashMap::<u64, u64>::default();
        let mut ranks = BTreeMap::<u8, Vec<i64>>::new();
        let mut known = 0;
        for value in values.filter(|value| !value.is_null()) {
            known += 1;
            *counts.entry(hash(&value)).or_default() += 1;
            if let Some((kind, rank)) = rank(&value) {
                ranks.entry(kind).or_default().push(rank);
            }
        }
        let single = counts.values().filter(|count| **count == 1).count() as u64;
        let seen = counts.len() as u64;
        let mut common: Vec<(u64, u64)> = counts.into_iter().collect();
        common.retain(|(_, count)| *count > 1 || sampled == rows && seen <= MOST_COMMON as u64);
        common.sort_unstable_by_key(|(hash, count)| (std::cmp::Reverse(*count), *hash));
        common.truncate(MOST_COMMON);
        let (kind, mut ranks) = ranks
            .into_iter()
            .max_by_key(|(_, ranks)| ranks.len())
            .unwrap_or_default();
        ranks.sort_unstable();
        let bound = |place: usize| ranks.get(place * (ranks.len().saturating_sub(1)) / PARTS);
        Self {
            sampled,
            known,
            distinct: distinct((known, seen, single), sampled, rows),
            common,
            kind,
            bounds: (0..=PARTS).filter_map(bound).copied().collect(),
        }
    }

    /// The part of rows that have a value.
    pub(crate) fn known(&self) -> f64 {
        part(self.known, self.sampled)
    }

    /// How many different values there are, once there are `growth` times as many rows.
    pub(crate) fn distinct(&self, growth: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let distinct = self.distinct.max(1) as f64;
        // Where nearly every row has its own, new rows have too.
        let own = self.common.is_empty();
        if own { distinct * growth } else { distinct }
    }

    /// The part of rows whose value equals this one, or any one.
    pub(crate) fn equal(&self, value: Option<&Value>, growth: f64) -> f64 {
        let found = value.map(hash);
        let same = |common: &&(u64, u64)| Some(common.0) == found;
        if let Some((_, count)) = self.common.iter().find(same) {
            return part(*count, self.sampled);
        }
        if value.is_none() {
            return self.known() / self.distinct(growth);
        }
        let common: u64 = self.common.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        let others = self.distinct(growth) - self.common.len() as f64;
        let rest = part(self.known.saturating_sub(common), self.sampled);
        (rest / others.max(1.0)).max(self.least() / growth)
    }

    /// The part of rows whose value is below this one, or equal if `included`; `None` for what has no
    /// order here.
    pub(crate) fn below(&self, value: &Value, included: bool) -> Option<f64> {
        let (kind, rank) = rank(value)?;
        if kind != self.kind {
            return (!self.bounds.is_empty()).then(|| self.least());
        }
        Some(self.known() * self.part_below(rank, included)?)
    }

    /// The part of rows whose text begins so.
    pub(crate) fn beginning(&self, text: &str) -> Option<f64> {
        let value = Value::string(text);
        let (kind, first) = rank(&value)?;
        if kind != self.kind {
            return None;
        }
        let last = prefix_rank(text, u8::MAX);
        let between = self.part_below(last, true)? - self.part_below(first, false)?;
        Some((self.known() * between).max(self.least()))
    }

    fn part_below(&self, rank: i64, included: bool) -> Option<f64> {
        let parts = self
            .bounds
            .len()
            .checked_sub(1)
            .filter(|parts| *parts > 0)?;
        let passed = match included {
            true => self.bounds.partition_point(|bound| *bound <= rank),
            false => self.bounds.partition_point(|bound| *bound < rank),
        };
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        let (passed, parts) = (passed as f64, parts as f64);
        Some(((passed - 0.5) / parts).clamp(0.0, 1.0))
    }

    /// Less than one of the rows that were looked at.
    fn least(&self) -> f64 {
        part(1, self.sampled.saturating_mul(2))
    }
}

/// The first so many, of what is counted most first; whether there were more.
fn most(mut counted: Vec<(u64, String)>) -> (Vec<(u64, String)>, bool) {
    counted.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let cut = counted.len() > MOST_NAMES;
    counted.truncate(MOST_NAMES);
    (counted, cut)
}

/// How many different values all rows have, when of `sampled` rows `known` have one, `seen` different ones
/// and `single` of these once (Haas and Stokes, 1998, as in other databases).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate between numbers of rows"
)]
fn distinct((known, seen, single): (u64, u64, u64), sampled: u64, rows: u64) -> u64 {
    if sampled >= rows || known == 0 {
        return seen;
    }
    let all = known as f64 * rows as f64 / sampled as f64;
    let (known, single) = (known as f64, single as f64);
    let estimate = known * seen as f64 / (known - single + single * known / all);
    (estimate.min(all) as u64).max(seen)
}

/// A number that is the same for values that are equal.
fn hash(value: &Value) -> u64 {
    let mut hasher = FxHasher::default();
    match value {
        // Equal numbers are equal, whatever they are kept as.
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        Value::Int(number) => sortable(*number as f64).hash(&mut hasher),
        Value::Float(number) => sortable(*number).hash(&mut hasher),
        value => value.group_key().hash(&mut hasher),
    }
    hasher.finish()
}

/// Kinds of values that are compared with one another, and numbers in the order of their values.
fn rank(value: &Value) -> Option<(u8, i64)> {
    Some(match value {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        Value::Int(number) => (1, sortable(*number as f64)),
        Value::Float(number) => (1, sortable(*number)),
        Value::Date(days) => (2, i64::from(*days)),
        Value::DateTime(micros) => (3, *micros),
        Value::String(text) => (4, prefix_rank(text, 0)),
        _ => return None,
    })
}

/// Bits in the order of the numbers.
fn sortable(number: f64) -> i64 {
    let bits = (number + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The first eight bytes as a number; `missing` stands for those that are not there.
fn prefix_rank(text: &str, missing: u8) -> i64 {
    let mut bytes = [missing; 8];
    for (byte, own) in bytes.iter_mut().zip(text.as_bytes()) {
        *byte = *own;
    }
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn part(count: u64, all: u64) -> f64 {
    count as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.05, "{found} for {expected}");
    }

    #[test]
    fn values_are_counted_where_they_are_few() {
        let values = (0..1_000).map(|at| match at % 10 {
            0 => Value::Null,
            1..=6 => Value::string("often"),
            _ => Value::string("seldom"),
        });
        let spread = Spread::of(values, 1_000, 1_000);
        near(spread.known(), 0.9);
        near(spread.equal(Some(&Value::string("often")), 1.0), 0.6);
        near(spread.equal(Some(&Value::string("seldom")), 1.0), 0.3);
        assert!(spread.equal(Some(&Value::string("never")), 1.0) < 0.001);
        near(spread.equal(None, 1.0), 0.45);
    }

    #[test]
    fn what_every_row_has_its_own_of_grows_with_the_rows() {
        let own = Spread::of((0..1_000).map(Value::Int), 1_000, 100_000);
        let one = own.equal(Some(&Value::Int(7)), 1.0);
        assert!(one < 0.001, "{one}");
        assert!(own.distinct(1.0) > 50_000.0 && own.distinct(3.0) > 150_000.0);
    }

    #[test]
    fn ranges_are_parts_of_what_lies_in_order() {
        let numbers = Spread::of((0..2_000).map(|at| Value::Int(at * at)), 2_000, 2_000);
        near(
            numbers
                .below(&Value::Int(1_000_000), false)
                .expect("numbers"),
            0.5,
        );
        near(
            numbers.below(&Value::Float(-3.5), true).expect("numbers"),
            0.0,
        );
        near(
            numbers
                .below(&Value::Int(5_000_000), true)
                .expect("numbers"),
            1.0,
        );
        assert!(numbers.below(&Value::string("x"), true).expect("no number") < 0.001);
        assert_eq!(numbers.below(&Value::Bool(true), true), None);
        let few = Spread::of((0..1_000).map(|at| Value::Int(at % 2)), 1_000, 1_000);
        near(few.below(&Value::Int(1), false).expect("numbers"), 0.5);
        near(few.below(&Value::Int(1), true).expect("numbers"), 1.0);
        let names = (0..1_000).map(|at| Value::string(format!("{}{at}", ["an", "bo"][at % 2])));
        let names = Spread::of(names, 1_000, 1_000);
        near(names.beginning("an").expect("texts"), 0.5);
        near(names.beginning("c").expect("texts"), 0.0);
        near(names.below(&Value::string("b"), true).expect("texts"), 0.5);
    }

    #[test]
    fn they_are_the_same_after_a_checkpoint_has_been_written_and_read() {
        let values = [
            Value::Float(f64::NAN),
            Value::Float(-0.0),
            Value::Int(i64::MIN),
        ];
        let spread = Spread::of(values.into_iter(), 3, 3);
        let text = serde_json::to_string(&spread).expect("is JSON");
        assert_eq!(
            serde_json::from_str::<Spread>(&text).expect("is one"),
            spread
        );
    }
}
