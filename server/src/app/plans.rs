//! Statements that were compiled before, by the very text.
//!
//! A plan holds neither the caller nor the values of parameters, so whoever sends the same text to the
//! same graph gets the same plan; what may be touched is decided each time. A plan is tied to one
//! value of a schema: two graphs share none, however alike they are, and a changed schema is another
//! value. What is kept is bounded in bytes, and graphs are spread over parts, so that whoever sends
//! ever new texts displaces the plans of a few other graphs at most.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use api_types::Column;
use language::plan::Plan;
use language::schema::Schema;
use policy::{TypeKind, TypeTouch};

use super::{Error, rows, statement};

/// Parts that plans are spread over.
const SHARDS: usize = 16;
/// Bytes of the newer half of a part, and of the older.
const SHARD_BYTES: usize = 1 << 20;
/// The longest text that is kept, in bytes.
const MAX_TEXT: usize = 8 << 10;
/// The largest plan that is kept, as [`weight`] has it.
const MAX_PLAN: usize = 128 << 10;

/// How many runs are not tried at once after one that took too long.
const PASSES: u32 = 64;
/// How long the last run may have taken of what is worth no change of threads.
const BRIEF: Duration = Duration::from_millis(2);

/// A compiled statement, and what every run of it needs.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    /// As they are told.
    pub(crate) columns: Arc<[Column]>,
    /// `"name":` for each column.
    pub(crate) labels: Vec<Vec<u8>>,
    /// Kind, name and whether it is written.
    touches: Vec<(TypeKind, Box<str>, bool)>,
    is_point: bool,
    /// How many more runs are not tried at once.
    passes: AtomicU32,
    /// How long the last run took on a thread of its own, in microseconds; the most before there was one.
    took: AtomicU32,
}

impl Prepared {
    fn new(plan: Plan, schema: &Schema) -> Self {
        let columns: Arc<[Column]> = statement::columns(&plan).into();
        let touches = statement::touches(&plan.touches.types, schema);
        Self {
            labels: columns
                .iter()
                .map(|column| rows::label(&column.name))
                .collect(),
            touches: touches
                .into_iter()
                .map(|touch| (touch.kind, touch.name.into(), touch.write))
                .collect(),
            is_point: plan.is_point_read(schema),
            passes: AtomicU32::new(0),
            took: AtomicU32::new(u32::MAX),
            columns,
            plan: Arc::new(plan),
        }
    }

    /// What policy is asked about.
    pub(crate) fn touches(&self) -> impl Iterator<Item = TypeTouch<'_>> {
        let touches = self.touches.iter();
        touches.map(|(kind, name, write)| TypeTouch {
            kind: *kind,
            name,
            write: *write,
        })
    }

    /// Whether it is likely to be done in microseconds.
    pub(crate) fn is_quick(&self) -> bool {
        self.is_point && !self.passes()
    }

    /// Whether it is likely to take less than waking a thread for it is worth.
    pub(crate) fn is_brief(&self) -> bool {
        u128::from(self.took.load(Ordering::Relaxed)) <= BRIEF.as_micros() && !self.passes()
    }

    /// Whether this run is not tried at once.
    fn passes(&self) -> bool {
        let passed = |passes: u32| passes.checked_sub(1);
        self.passes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, passed)
            .is_ok()
    }

    /// It took so long on a thread of its own.
    pub(crate) fn took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.took.store(micros, Ordering::Relaxed);
    }

    /// It was not: a node has more relationships than one reads in passing, or the machine had
    /// something else to do. Which of both is not known, so it is tried again some time.
    pub(crate) fn was_long(&self) {
        self.passes.store(PASSES, Ordering::Relaxed);
    }
}

/// Every plan that is kept.
#[derive(Debug)]
pub(crate) struct Plans {
    hashing: RandomState,
    shards: Vec<Mutex<Shard>>,
}

/// In two halves: what is asked for goes into the newer one; when that is full it becomes the older,
/// whose rest is forgotten.
#[derive(Debug, Default)]
struct Shard {
    newer: Half,
    older: Half,
    /// Of the newer half.
    bytes: usize,
}

/// By the address of the schema, which is that schema's as long as it is referred to.
type Half = HashMap<usize, OfSchema>;

#[derive(Debug)]
struct OfSchema {
    /// Keeps the address from being another schema's, but not the schema itself.
    _schema: Weak<Schema>,
    plans: HashMap<Box<str>, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    statement: Arc<Prepared>,
    bytes: usize,
}

impl Default for Plans {
    fn default() -> Self {
        Self {
            hashing: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Plans {
    /// The statement if it was compiled before.
    pub(crate) fn known(&self, text: &str, schema: &Arc<Schema>) -> Option<Arc<Prepared>> {
        let address = Arc::as_ptr(schema).addr();
        let mut shard = self.shard(address)?;
        if let Some(kept) = find(&shard.newer, address, text) {
            return Some(Arc::clone(&kept.statement));
        }
        let kept = find(&shard.older, address, text)?.clone();
        let statement = Arc::clone(&kept.statement);
        shard.put(address, schema, text, kept);
        Some(statement)
    }

    /// The statement, compiled if need be. `index`: which of several it is, from 0.
    pub(crate) fn prepare(
        &self,
        text: &str,
        schema: &Arc<Schema>,
        index: Option<usize>,
    ) -> Result<Arc<Prepared>, Error> {
        if let Some(known) = self.known(text, schema) {
            return Ok(known);
        }
        let plan = statement::compile(text, schema, index)?;
        let weight = weight(&plan).filter(|_| text.len() <= MAX_TEXT);
        let statement = Arc::new(Prepared::new(plan, schema));
        let address = Arc::as_ptr(schema).addr();
        if let (Some(weight), Some(mut shard)) = (weight, self.shard(address)) {
            let kept = Kept {
                statement: Arc::clone(&statement),
                bytes: weight + text.len(),
            };
            shard.put(address, schema, text, kept);
        }
        Ok(statement)
    }

    fn shard(&self, address: usize) -> Option<MutexGuard<'_, Shard>> {
        let hash = self.hashing.hash_one(address);
        let index = usize::try_from(hash % SHARDS as u64).ok()?;
        let shard = self.shards.get(index)?;
        // What is in it may be forgotten at any time, and is never half written.
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn put(&mut self, address: usize, schema: &Arc<Schema>, text: &str, kept: Kept) {
        self.bytes += kept.bytes;
        let of_schema = self.newer.entry(address).or_insert_with(|| OfSchema {
            _schema: Arc::downgrade(schema),
            plans: HashMap::new(),
        });
        of_schema.plans.insert(text.into(), kept);
        if self.bytes > SHARD_BYTES {
            self.older = std::mem::take(&mut self.newer);
            self.bytes = 0;
        }
    }
}

fn find<'a>(half: &'a Half, address: usize, text: &str) -> Option<&'a Kept> {
    half.get(&address)?.plans.get(text)
}

/// What keeping a plan takes, roughly: a plan written out is about as long as it is large. `None`
/// when that is more than is kept.
fn weight(plan: &Plan) -> Option<usize> {
    struct Length(usize);

    impl Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            if self.0 <= MAX_PLAN {
                Ok(())
            } else {
                Err(fmt::Error)
            }
        }
    }

    let mut length = Length(1 << 10);
    write!(length, "{plan:?}").ok()?;
    Some(2 * length.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Arc<Schema> {
        let text =
            "node Person { email: String @key, name: String? } node Org { slug: String @key }";
        Arc::new(Schema::parse(text).expect("a valid schema"))
    }

    #[test]
    fn a_text_is_compiled_once_for_each_schema() {
        let (plans, one, other) = (Plans::default(), schema(), schema());
        let text = "MATCH (p:Person {email: $e}) RETURN p.name";
        assert!(plans.known(text, &one).is_none());
        let first = plans.prepare(text, &one, None).expect("compiles");
        assert!(Arc::ptr_eq(&first, &plans.known(text, &one).expect("kept")));
        assert!(Arc::ptr_eq(
            &first,
            &plans.prepare(text, &one, None).expect("kept")
        ));
        assert!(plans.known(text, &other).is_none(), "equal, and another's");
        assert!(plans.known("MATCH (p:Person) RETURN p", &one).is_none());
        assert!(first.is_quick() && first.is_quick());
        first.was_long();
        let tries = (0..=PASSES).filter(|_| first.is_quick()).count();
        assert_eq!(tries, 1, "not at once for a while, and then again");
        let touches: Vec<_> = first.touches().map(|touch| touch.name).collect();
        assert_eq!(touches, ["Person"]);
        assert_eq!(first.labels, [b"\"p.name\":".to_vec()]);
        let wrong = "MATCH (p:Persn) RETURN p";
        for _ in 0..2 {
            assert!(plans.prepare(wrong, &one, None).is_err());
        }
    }

    #[test]
    fn an_address_is_not_used_again_while_plans_are_kept_for_it() {
        let plans = Plans::default();
        let text = "MATCH (p:Person {email: $e}) RETURN p.name";
        for _ in 0..1_000 {
            let schema = schema();
            assert!(plans.known(text, &schema).is_none());
            plans.prepare(text, &schema, None).expect("compiles");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_in_use_stays() {
        let (plans, schema) = (Plans::default(), schema());
        let used = "MATCH (p:Person {email: $e}) RETURN p.name";
        let first = plans.prepare(used, &schema, None).expect("compiles");
        for number in 0..3_000 {
            let text = format!("MATCH (p:Person {{email: $e}}) RETURN {number} AS n");
            plans.prepare(&text, &schema, None).expect("compiles");
            let found = plans.known(used, &schema).expect("kept");
            assert!(Arc::ptr_eq(&first, &found), "{number}");
        }
        let count: usize = plans
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().expect("sound");
                let halves = shard.newer.values().chain(shard.older.values());
                halves.map(|of_schema| of_schema.plans.len()).sum::<usize>()
            })
            .sum();
        assert!(count < 1_500, "{count}");
        let long = format!("MATCH (p:Person) RETURN '{}' AS n", "x".repeat(MAX_TEXT));
        plans.prepare(&long, &schema, None).expect("compiles");
        assert!(plans.known(&long, &schema).is_none());
        let list = "[p],".repeat(1_500);
        let wide = format!("MATCH (p:Person) RETURN [{list}p] AS n");
        plans.prepare(&wide, &schema, None).expect("compiles");
        assert!(plans.known(&wide, &schema).is_none(), "its plan is large");
    }
}
