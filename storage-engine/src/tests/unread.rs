//! Reads that fail, once or for good, of the log, checkpoints, side files and tables: an error that says
//! what cannot be read, nothing taken for damage, nothing older used, and everything there afterwards.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use journal::{Effect, Faults, Verdict};
use language::value::Value;

use super::objects::place;
use super::{Fixture, contents, somewhere};
use crate::disk::watched::watch;
use crate::reach::is_out_of_reach;
use crate::store::Store;
use crate::{At, Follower, Graph, OpenError, Options, PastLimits, checkpoint};

const EIO: i32 = 5;

/// What errors name.
const PARTS: [&str; 5] = ["/graph.json", "/log", "/checkpoints", "/files/", "table"];

/// A disk that cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Unread(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// After so many reads one fails, or all from there on.
    fault: Option<(usize, bool)>,
    /// How many have.
    failed: usize,
}

impl Unread {
    pub(crate) fn fail(&self, after: usize, for_good: bool) {
        let fault = Some((after, for_good));
        *self.0.lock().expect("sound") = State { fault, failed: 0 };
    }

    /// Everything can be read again. Returns how many reads have failed.
    pub(crate) fn mend(&self) -> usize {
        let mut state = self.0.lock().expect("sound");
        state.fault = None;
        state.failed
    }
}

impl Faults for Unread {
    fn read(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.lock().expect("sound");
        let Some((after, for_good)) = state.fault else {
            return Ok(());
        };
        if after > 0 {
            state.fault = Some((after - 1, for_good));
            return Ok(());
        }
        if !for_good {
            state.fault = None;
        }
        state.failed += 1;
        Err(io::Error::from_raw_os_error(EIO))
    }

    fn before(&self, _: &Effect<'_>) -> Verdict {
        Verdict::Proceed
    }

    fn after(&self, _: &Effect<'_>) {}
}

/// Large tables are read as they are needed.
fn sparing() -> Options {
    Options {
        resident_rows: 0,
        ..Options::default()
    }
}

/// Two checkpoints; after them a change of a row that is in a table, and a commit with a side file.
fn fill(fixture: &Fixture) {
    for number in 0..2 {
        fixture.add_person(&format!("{number}"), number);
        fixture.graph().fold().expect("folded");
    }
    let first = fixture.person("0").expect("made");
    let age = fixture.property("Person", "age");
    let changed = fixture.write(move |work| work.set_node(first, vec![(age, Value::Int(40))]));
    changed.expect("changed");
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let noted = fixture.write(move |work| {
        for number in 0..3_000 {
            let value = Value::string(format!("{number} {}", "x".repeat(500)));
            work.create_node(note, vec![(text, value)])?;
        }
        Ok(())
    });
    noted.expect("noted");
}

/// Opens with reads that fail: well, from the newest checkpoint, or with an error that passes.
fn opens_or_passes(store: &Store, expected: &str, context: &str) -> Option<OpenError> {
    let newest = checkpoint::names(store).ok()?;
    let newest = checkpoint::lsn_of(newest.first().expect("one"));
    match Graph::open(store, sparing()) {
        Ok(graph) => {
            assert_eq!(
                graph.status().expect("listed").checkpoint.map(|it| it.lsn),
                newest,
                "{context}"
            );
            assert_eq!(contents(&graph.snapshot()), expected, "{context}");
            None
        }
        Err(error) => {
            assert!(error.is_passing(), "{context}: {error:?}");
            Some(error)
        }
    }
}

#[test]
fn a_graph_opens_or_says_what_cannot_be_read() {
    let (home, store) = somewhere();
    let disk = Arc::new(Unread::default());
    let _watch = watch(&home.path().join("g"), disk.clone());
    let mut fixture = Fixture::at(home, store.clone());
    fill(&fixture);
    let expected = fixture.contents();
    fixture.graph = None;
    let mut parts = std::collections::BTreeSet::<&str>::new();
    for for_good in [true, false] {
        for after in 0.. {
            let context = format!("{after} {for_good}");
            disk.fail(after, for_good);
            let graph = Graph::open(&store, sparing());
            let failed = disk.mend();
            if let Err(error) = &graph {
                assert!(error.is_passing(), "{context}: {error:?}");
                let text = told(error);
                let named = PARTS.iter().filter(|part| text.contains(**part));
                parts.extend(named.copied());
                assert!(text.contains("os error 5"), "{context}: {text}");
            }
            assert!(graph.is_ok() || failed > 0, "{context}");
            drop(graph);
            let error = opens_or_passes(&store, &expected, &context);
            assert!(error.is_none(), "{context}: well again: {error:?}");
            if failed == 0 {
                assert!(after > 10, "{context}");
                break;
            }
        }
    }
    assert_eq!(parts.len(), PARTS.len(), "{parts:?}");
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A writer, and one who reads along.
#[test]
fn an_open_graph_goes_on_when_it_can_read_again() {
    let (home, store) = somewhere();
    let disk = Arc::new(Unread::default());
    let _watch = watch(&home.path().join("g"), disk.clone());
    let mut fixture = Fixture::at(home, store.clone());
    fill(&fixture);
    let follower = Follower::open(&store, sparing()).expect("opened");
    let limits = PastLimits::default();
    let mut failures = 0;
    for after in 0..12 {
        fixture.add_person(&format!("more-{after}"), after);
        let expected = fixture.contents();
        disk.fail(usize::try_from(after).expect("small"), true);
        let read = [
            follower.snapshot().err().map(|error| told(&error)),
            fixture
                .graph()
                .snapshot_at(At::Sequence(2), &limits)
                .err()
                .map(|error| told(&error)),
            fixture.graph().fold().err().map(|error| told(&error)),
            fixture.graph().collect().err().map(|error| told(&error)),
        ];
        // Nobody who writes needs to read.
        fixture.add_person(&format!("meanwhile-{after}"), after);
        disk.mend();
        for text in read.iter().flatten() {
            assert!(text.contains("os error 5"), "{after}: {text}");
        }
        failures += read.iter().flatten().count();
        let now = fixture.contents();
        assert!(now.len() > expected.len());
        assert_eq!(contents(&follower.snapshot().expect("there again")), now);
        let past = fixture.graph().snapshot_at(At::Sequence(2), &limits);
        assert!(past.is_ok(), "{after}: {past:?}");
        fixture.graph().fold().expect("folded");
        fixture.graph().collect().expect("collected");
        assert_eq!(fixture.contents(), now);
    }
    assert!(failures > 12, "{failures}");
    let now = fixture.contents();
    fixture.graph = None;
    let graph = Graph::open(&store, sparing()).expect("opened");
    assert_eq!(contents(&graph.snapshot()), now);
}

/// A column that is needed to carry out a commit of the log again cannot be read for a while.
#[test]
fn a_store_that_goes_away_while_the_log_is_replayed_is_no_damage() {
    for times in [1, 4, 8, usize::MAX] {
        let mut failed = 0;
        for after in 0.. {
            let (home, store, memory) = place();
            let mut fixture = Fixture::at(home, store.clone());
            fill(&fixture);
            let expected = fixture.contents();
            fixture.graph = None;
            let before = memory.refused();
            memory.cut_after("/data/", after, times);
            let error = opens_or_passes(&store, &expected, &format!("{after} {times}"));
            let refused = memory.refused() - before;
            memory.mend();
            failed += usize::from(error.is_some_and(|error| is_out_of_reach(&error)));
            let error = opens_or_passes(&store, &expected, "well again");
            assert!(error.is_none(), "{error:?}");
            if refused == 0 {
                assert!(after >= 2, "{after}: the tables are read");
                break;
            }
        }
        assert!(failed > 0 || times < usize::MAX, "{times}");
    }
}
