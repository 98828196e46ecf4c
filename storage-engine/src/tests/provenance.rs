//! Every row of a table names the run and the position in the log of the commit that wrote it, whichever
//! way it came there.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use language::value::{NodeRef, Value};
use uuid::Uuid;

use super::transfer::{by_columns, load_from};
use super::{Fixture, Random, open_again, seed};
use crate::checkpoint::{self, Checkpoint};
use crate::columns::{ID, LSN, RUN};
use crate::load::{Mode, Source};
use crate::record::CommitInfo;
use crate::{Options, tables};

/// Position and run.
type Stamp = (u64, Uuid);

/// Each row of the newest checkpoint's tables, by type and id.
fn stored(fixture: &Fixture) -> BTreeMap<(u32, u64), Stamp> {
    let names = checkpoint::names(&fixture.store).expect("listed");
    let newest = Checkpoint::read(&fixture.store, &names[0]).expect("read");
    assert_eq!(newest.lsn, fixture.graph().snapshot().lsn());
    let columns = [ID, LSN, RUN].map(str::to_owned);
    let mut found = BTreeMap::new();
    for (type_id, version) in &newest.tables {
        for batch in tables::read(&fixture.store, version, &columns).expect("read") {
            let numbers = |at: usize| batch.column(at).as_primitive::<UInt64Type>();
            let runs = batch.column(2).as_fixed_size_binary();
            for row in 0..batch.num_rows() {
                let run = Uuid::from_slice(runs.value(row)).expect("an id");
                let stamp = (numbers(1).value(row), run);
                let twice = found.insert((*type_id, numbers(0).value(row)), stamp);
                assert!(twice.is_none(), "a row is there twice");
            }
        }
    }
    found
}

/// A graph whose people change, and who wrote each last.
struct Life {
    fixture: Fixture,
    /// By the number in its key.
    people: BTreeMap<u64, (NodeRef, Stamp)>,
    edges: BTreeMap<u64, Stamp>,
    /// What is written is new each time.
    value: i64,
    next: u64,
    /// The tables are others since the last fold.
    emptied: bool,
}

impl Life {
    fn stamp(&self, commit: &CommitInfo) -> Stamp {
        let snapshot = self.fixture.graph().snapshot();
        assert_eq!(snapshot.head().id, commit.id);
        (snapshot.lsn(), commit.run)
    }

    fn expected(&self) -> BTreeMap<(u32, u64), Stamp> {
        let person = self.fixture.type_id("Person").0;
        let knows = self.fixture.type_id("Knows").0;
        let people = self.people.values();
        let people = people.map(|(node, stamp)| ((person, node.id), *stamp));
        let edges = self.edges.iter().map(|(id, stamp)| ((knows, *id), *stamp));
        people.chain(edges).collect()
    }

    fn some(&self, random: &mut Random) -> Vec<(u64, NodeRef)> {
        let people = self
            .people
            .iter()
            .map(|(number, (node, _))| (*number, *node));
        people.filter(|_| random.below(4) == 0).collect()
    }

    /// Sets a property of some people; `again` to what it is.
    fn update(&mut self, random: &mut Random, again: bool) {
        let some = self.some(random);
        let age = self.fixture.property("Person", "age");
        self.value += 1;
        let (nodes, value) = (some.clone(), self.value);
        let written = self.fixture.write(move |work| {
            nodes.into_iter().try_for_each(|(_, node)| {
                let value = match again {
                    true => work.snapshot().node_property(node, age),
                    false => Value::Int(value),
                };
                work.set_node(node, vec![(age, value)])
            })
        });
        let written = written.expect("written");
        if again || some.is_empty() {
            return;
        }
        let stamp = self.stamp(&written.commit);
        for (number, node) in some {
            self.people.insert(number, (node, stamp));
        }
    }

    fn delete(&mut self, random: &mut Random) {
        let Some((number, node)) = self.some(random).pop() else {
            return;
        };
        let deleted = self.fixture.write(move |work| {
            let edges: Vec<_> = work.relationships(node).collect();
            for edge in &edges {
                work.delete_edge(*edge)?;
            }
            work.delete_node(node)?;
            Ok(edges)
        });
        self.people.remove(&number);
        for edge in deleted.expect("deleted").value {
            self.edges.remove(&edge.id);
        }
    }

    fn connect(&mut self, random: &mut Random) {
        if let [(_, from), .., (_, to)] = self.some(random)[..] {
            let knows = self.fixture.type_id("Knows");
            let made = self
                .fixture
                .write(move |work| work.create_edge(knows, from, to, Vec::new()))
                .expect("made");
            let stamp = self.stamp(&made.commit);
            self.edges.insert(made.value.id, stamp);
        }
    }

    /// Loads new people, of those that are there some when it merges, all anew when it overwrites.
    fn load(&mut self, random: &mut Random, source: &Source) {
        let mut numbers: Vec<u64> = (self.next..self.next + 3).collect();
        self.next += 3;
        match source.mode {
            Mode::Append => {}
            Mode::Merge => numbers.extend(self.some(random).iter().map(|(number, _)| number)),
            Mode::Overwrite => {
                self.emptied = true;
                self.people.clear();
                self.edges.clear();
            }
        }
        self.value += 1;
        let line = |number: &u64| {
            let age = self.value;
            format!("{{\"type\":\"Person\",\"data\":{{\"email\":\"{number}@x\",\"age\":{age}}}}}\n")
        };
        let lines: String = numbers.iter().map(line).collect();
        let loaded = load_from(self.fixture.graph(), lines, source).expect("loaded");
        let stamp = self.stamp(&loaded.commit);
        for number in numbers {
            let node = self.fixture.person(&format!("{number}@x")).expect("there");
            self.people.insert(number, (node, stamp));
        }
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(16) {
            0..4 => self.update(random, false),
            4 => self.update(random, true),
            5 => self.delete(random),
            6..8 => self.connect(random),
            8 => self.load(random, &Source::lines(Mode::Append)),
            9 => self.load(random, &by_columns(Mode::Append)),
            10 => self.load(random, &Source::lines(Mode::Merge)),
            11 if random.below(4) == 0 => self.load(random, &by_columns(Mode::Overwrite)),
            12 => {
                // What was not folded is replayed.
                self.fixture.graph = None;
                let options = Options {
                    resident_rows: random.below(2) * 1_000,
                    ..Options::default()
                };
                self.fixture.graph = Some(open_again(&self.fixture.store, options));
            }
            _ => {
                self.fixture.graph().fold().expect("folded");
                assert_eq!(stored(&self.fixture), self.expected());
                self.emptied = false;
            }
        }
    }
}

#[test]
fn every_row_names_the_run_and_the_commit_that_wrote_it() {
    let mut random = Random(seed());
    let mut life = Life {
        fixture: Fixture::new(),
        people: BTreeMap::new(),
        edges: BTreeMap::new(),
        value: 0,
        next: 0,
        emptied: false,
    };
    let mut compacted = false;
    let mut most = 0;
    for _ in 0..400 {
        let emptied = life.emptied;
        life.step(&mut random);
        let checkpoint = life.fixture.graph().status().expect("listed").checkpoint;
        let tables = checkpoint.into_iter().flat_map(|it| it.tables);
        let deleted = tables.map(|table| table.deleted_rows).sum();
        compacted |= deleted < most && !emptied;
        most = deleted;
    }
    assert!(compacted, "no table was compacted");
    assert!(life.people.len() > 3, "there is little to look at");
}
