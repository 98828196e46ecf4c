//! What a piece of work needs in memory, and how it comes to have it.
//!
//! Who is about to work on a copy of a graph says which columns that takes, and waits a little when there
//! is no room for them. Meanwhile it holds no more than it needs: where others have been rid of columns,
//! it goes on with what is left ([`Base::newest`](crate::base::Base::newest)). To be rid of columns, a graph
//! publishes the same snapshot without them ([`Snapshot::cooled`]): who reads them at that moment keeps
//! them until he is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use language::plan::{Clause, Plan, Touch};
use language::schema::TypeId;

use crate::account::Account;
use crate::cold::{ColumnError, Failures, Mark, Need};
use crate::columns::Layout;
use crate::rows::Rows;
use crate::snapshot::Snapshot;

/// How long it is waited for room in memory.
const PATIENCE: Duration = Duration::from_millis(500);

/// Positions of properties, by type.
pub(crate) type Needed = BTreeMap<TypeId, Vec<usize>>;

impl Snapshot {
    /// Where to begin looking for columns that cannot be read.
    pub(crate) fn mark(&self) -> Mark {
        self.failures.mark()
    }

    /// That no column has failed to be read since: what was seen is what there is. On a snapshot that
    /// others have too, also another's failure is one.
    pub(crate) fn whole_since(&self, mark: Mark) -> Result<(), Arc<ColumnError>> {
        self.failures.none_since(mark)
    }

    /// The same to be worked on by one: what others cannot read is nothing to it.
    pub(crate) fn apart(mut self) -> Self {
        self.failures = Arc::new(Failures::default());
        let failures = self.failures.clone();
        for rows in self.tables_mut() {
            rows.failures = failures.clone();
        }
        self
    }

    /// Whether everything that a statement needs is in memory, so that it does not block on a disk.
    #[must_use]
    pub fn is_warm(&self, plan: &Plan) -> bool {
        let manner = Manner::of(plan);
        plan.touches.types.iter().all(|(type_id, touch)| {
            self.rows(*type_id).is_none_or(|rows| {
                !rows.base.has_cold()
                    || needed(rows, touch, manner).all(|position| rows.base.is_warm(position))
            })
        })
    }

    /// Notes what a statement needs, all of which is in memory.
    fn touch(&self, plan: &Plan) {
        let manner = Manner::of(plan);
        for (type_id, touch) in &plan.touches.types {
            if let Some(rows) = self.rows(*type_id) {
                rows.base.touch(needed(rows, touch, manner));
            }
        }
    }

    /// What a statement needs.
    fn needed(&self, plan: &Plan) -> Needed {
        let manner = Manner::of(plan);
        let of_type = |(type_id, touch): (&TypeId, &Touch)| {
            let rows = self.rows(*type_id)?;
            Some((*type_id, needed(rows, touch, manner).collect()))
        };
        plan.touches.types.iter().filter_map(of_type).collect()
    }

    /// Reads what a statement needs and is not in memory. Blocks, but does not wait for room.
    pub(crate) fn warm(&self, plan: &Plan) -> Result<(), Arc<ColumnError>> {
        if self.is_warm(plan) {
            self.touch(plan);
            return Ok(());
        }
        self.read_needed(&self.needed(plan))
    }

    fn read_needed(&self, needed: &Needed) -> Result<(), Arc<ColumnError>> {
        let bases = needed.iter().filter_map(|(type_id, positions)| {
            let base = &self.rows(*type_id)?.base;
            Some((base, base.source()?, positions))
        });
        let mut need: Option<Need> = None;
        for (base, source, positions) in bases.clone() {
            let need = need.get_or_insert_with(|| source.need());
            let here = positions.iter().filter(|it| base.is_warm(**it));
            here.for_each(|position| need.add(base.column_bytes(*position)));
        }
        for (base, source, positions) in bases {
            let need = need.get_or_insert_with(|| source.need());
            base.warm(positions.iter().copied(), need)?;
        }
        Ok(())
    }

    /// The same graph for one statement, with what that needs in memory: others' columns are not held
    /// while memory is short. Waits a little for room. Blocks.
    ///
    /// # Errors
    /// When a column cannot be read, or there is no room for what is needed.
    pub fn prepared(self: Arc<Self>, plan: &Plan) -> Result<Arc<Self>, Arc<ColumnError>> {
        if !self.tables().any(|rows| rows.base.has_cold())
            && !self.account().is_some_and(|account| account.is_tight())
        {
            self.touch(plan);
            return Ok(self);
        }
        let mut own = self.as_ref().clone().apart();
        // What it holds would not be let go.
        drop(self);
        own.prepare(plan, true)?;
        Ok(Arc::new(own))
    }

    /// The same with the snapshot that a work changes. Only one that is nobody else's afterwards lets
    /// others' columns go.
    pub(crate) fn prepare(&mut self, plan: &Plan, own: bool) -> Result<(), Arc<ColumnError>> {
        let needed = self.needed(plan);
        self.come_to_have(&needed, own)
    }

    /// Comes to have columns in memory, and lets others go while memory is short.
    pub(crate) fn have(&mut self, needed: &Needed) -> Result<(), Arc<ColumnError>> {
        self.come_to_have(needed, true)
    }

    fn come_to_have(&mut self, needed: &Needed, own: bool) -> Result<(), Arc<ColumnError>> {
        let begun = Instant::now();
        let account = self.account().cloned();
        loop {
            let read = self.read_needed(needed);
            match (&account, &read) {
                (Some(account), Err(error)) if is_full(error) && begun.elapsed() < PATIENCE => {
                    account.wait(begun + PATIENCE);
                    self.follow(needed);
                    if own && begun.elapsed() > PATIENCE / 2 {
                        // Nobody else is rid of what only this one holds.
                        self.lighten(needed);
                    }
                }
                _ => {
                    read?;
                    break;
                }
            }
        }
        if own && account.is_some_and(|account| account.is_tight()) {
            self.lighten(needed);
        }
        Ok(())
    }

    /// Takes over columns from another, of those tables whose rows are the same.
    pub(crate) fn take_over(&self, other: &Self, needed: &Needed) {
        for (type_id, positions) in needed {
            if let (Some(own), Some(other)) = (self.rows(*type_id), other.rows(*type_id)) {
                let positions = positions.iter();
                positions.for_each(|position| own.base.take_over_from(&other.base, *position));
            }
        }
    }

    /// Whether these columns are in memory.
    pub(crate) fn has(&self, needed: &Needed) -> bool {
        needed.iter().all(|(type_id, positions)| {
            let base = self.rows(*type_id).map(|rows| &rows.base);
            base.is_none_or(|base| positions.iter().all(|it| base.is_warm(*it)))
        })
    }

    /// The account of the memory that its columns take.
    fn account(&self) -> Option<&Arc<Account>> {
        let mut sources = self.tables().filter_map(|rows| rows.base.source());
        sources.find_map(|source| source.account())
    }

    /// Goes on with what everybody gets now of the same rows, and with what is needed and was here.
    pub(crate) fn follow(&mut self, needed: &Needed) {
        for rows in self.tables_mut() {
            let Some(newest) = rows.base.newest() else {
                continue;
            };
            let own = needed.get(&rows.layout.type_id).into_iter().flatten();
            own.for_each(|position| newest.share(*position, &rows.base));
            rows.base = newest;
        }
    }

    /// Holds nothing but what is needed.
    fn lighten(&mut self, needed: &Needed) {
        for rows in self.tables_mut() {
            let own = needed.get(&rows.layout.type_id);
            let own = own.map_or(&[][..], Vec::as_slice);
            let others = (0..rows.layout.width()).filter(|position| {
                !own.contains(position)
                    && !rows.layout.is_fixed(*position)
                    && rows.base.column_bytes(*position) > 0
            });
            let others: Vec<usize> = others.collect();
            if rows.base.source().is_some() && !others.is_empty() {
                rows.base = rows.base.cooled(&others);
            }
        }
    }

    /// The same snapshot without what was needed the longest time ago, so many bytes at least as far as
    /// there are; and how many bytes those were. `None` when there is nothing to be rid of.
    pub(crate) fn cooled(&self, bytes: u64) -> Option<(Self, u64)> {
        let mut known: Vec<(u64, u64, TypeId, usize)> = Vec::new();
        for rows in self.tables() {
            let Some(source) = rows.base.source() else {
                continue;
            };
            for position in 0..rows.layout.width() {
                let bytes = rows.base.column_bytes(position);
                if bytes > 0 && !rows.layout.is_fixed(position) {
                    known.push((source.used(position), bytes, rows.layout.type_id, position));
                }
            }
        }
        known.sort_unstable();
        let mut freed = 0;
        let mut victims = Needed::new();
        for (_, of_column, type_id, position) in known {
            if freed >= bytes {
                break;
            }
            freed += of_column;
            victims.entry(type_id).or_default().push(position);
        }
        if victims.is_empty() {
            return None;
        }
        let mut cooled = self.clone();
        for rows in cooled.tables_mut() {
            if let Some(positions) = victims.get(&rows.layout.type_id) {
                rows.base = rows.base.cooled(positions);
            }
        }
        Some((cooled, freed))
    }

    /// Whoever works on an earlier one goes on with the columns of this one.
    pub(crate) fn lead(&self) {
        self.tables().for_each(|rows| rows.base.lead());
    }

    /// The same snapshot with all of one type in memory, which is let go with it. Waits a little for room.
    /// Blocks.
    pub(crate) fn with_whole(&self, type_id: TypeId) -> Result<Self, Arc<ColumnError>> {
        let mut whole = self.clone().apart();
        let mut needed = Needed::new();
        for rows in whole.tables_mut() {
            if rows.layout.type_id == type_id && rows.base.has_cold() {
                rows.base = rows.base.cooled(&[]);
                needed.insert(type_id, rows.positions().collect());
            }
        }
        whole.have(&needed)?;
        Ok(whole)
    }
}

impl Rows {
    /// Reads a column if it is on disk alone, for who is about to look at it chunk by chunk.
    pub(crate) fn bring(&self, position: usize) {
        if !self.base.is_warm(position) {
            self.base.fetch(position, &self.failures);
        }
    }

    /// The positions of all columns of values.
    pub(crate) fn positions(&self) -> std::ops::Range<usize> {
        0..self.layout.width()
    }
}

/// Whether there may be room the next time.
fn is_full(error: &ColumnError) -> bool {
    matches!(error, ColumnError::Full { .. })
}

/// What a statement does with rows that are there, as far as that says what it needs of them.
#[derive(Clone, Copy)]
struct Manner {
    /// It may change some: what is written is needed, for the log says what it was.
    changes: bool,
    /// It may delete some: everything is needed of them, for the log says that too.
    deletes: bool,
}

impl Manner {
    fn of(plan: &Plan) -> Self {
        let any = |is: fn(&Clause) -> bool| {
            let mut branches = plan.branches();
            branches.any(|(clauses, _)| clauses.iter().any(|clause| clause.any(&is)))
        };
        Self {
            changes: any(|clause| matches!(clause, Clause::Set(_) | Clause::Merge(_))),
            deletes: any(|clause| matches!(clause, Clause::Delete(_))),
        }
    }
}

/// The positions of the properties of a type that a statement needs.
fn needed<'a>(
    rows: &'a Rows,
    touch: &'a Touch,
    manner: Manner,
) -> impl Iterator<Item = usize> + 'a {
    let layout = &rows.layout;
    let by_name = layout.map.is_some();
    // Of a map that is changed, all is read, for the log has whole maps.
    let changes = by_name && (touch.whole_read || manner.changes && touch.write);
    let whole = changes || manner.deletes && touch.write;
    let all = 0..if whole { layout.width() } else { 0 };
    let of_names = (by_name && !whole).then(|| of_names(layout, &touch.names_read));
    let some = !whole && !by_name;
    let read = touch.properties_read.iter().filter(move |_| some);
    let written = touch.properties_written.iter();
    let written = written.filter(move |_| some && manner.changes);
    let some = read.chain(written);
    let some = some.filter_map(|id| layout.position(*id));
    all.chain(of_names.into_iter().flatten()).chain(some)
}

/// The positions of the columns of an open graph in which names are looked up, and of those of labels or
/// of the type.
fn of_names(layout: &Layout, names: &BTreeSet<String>) -> Vec<usize> {
    let left = |names: &BTreeSet<String>| names.iter().any(|it| layout.typed.may_be_left(it));
    let map = layout.map.filter(|_| left(names));
    let others = 0..layout.properties.len();
    let others = others.filter(|position| layout.map != Some(*position));
    let typed = names.iter().filter_map(|name| layout.place_of(name));
    others.chain(typed).chain(map).collect()
}
