//! What one commit may take: a text that many rows share is written once for each.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use language::cypher;
use language::value::Value;

use super::Fixture;
use crate::executor::{self, ExecuteError, Limits};
use crate::{CommitError, Options, Transaction, WriteError, WriteRequest};

const LIMIT: usize = 1 << 20;

impl Fixture {
    /// Runs statements in one commit, with a text of a tenth of the limit as `$t`.
    fn run_limited(&self, texts: &'static [&'static str]) -> Result<(), ExecuteError> {
        let plans = texts.iter().map(|text| cypher::compile(text, &self.schema));
        let plans: Result<Vec<_>, _> = plans.collect();
        let plans = plans.expect("valid");
        let parameters = BTreeMap::from([("t".to_owned(), Value::string("x".repeat(LIMIT / 10)))]);
        let limits = Limits {
            max_bytes: LIMIT,
            ..Limits::default()
        };
        let work = move |transaction: &mut Transaction| {
            let mut kept = Vec::new();
            plans.iter().try_for_each(|plan| {
                executor::write(plan, &parameters, transaction, &limits, &mut |row| {
                    kept.push(row.to_vec());
                    ControlFlow::Continue(())
                })
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        match runtime.block_on(self.graph().write(WriteRequest::by("test"), work)) {
            Ok(_) => Ok(()),
            Err(CommitError::Work(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    fn is_refused(&self, texts: &'static [&'static str]) {
        let before = self.contents();
        let outcome = self.run_limited(texts);
        assert!(
            matches!(outcome, Err(ExecuteError::MemoryLimit { limit: LIMIT })),
            "{texts:?}: {outcome:?}"
        );
        assert_eq!(self.contents(), before, "nothing is left of it");
    }
}

#[test]
fn what_a_statement_writes_is_counted() {
    let fixture = Fixture::new();
    fixture.is_refused(&["UNWIND range(1, 20) AS i CREATE (:Note {text: $t})"]);
    fixture.is_refused(&[
        "UNWIND range(1, 6) AS i CREATE (:Note {text: $t})",
        "UNWIND range(1, 6) AS i CREATE (:Note {text: $t})",
    ]);
    let make = &["UNWIND range(1, 8) AS i CREATE (:Note {text: $t + toString(i)})"];
    fixture.run_limited(make).expect("it fits");
    fixture.run_limited(make).expect("it fits as well");
    fixture.is_refused(&["MATCH (n:Note) DELETE n"]);
    fixture.is_refused(&["MATCH (n:Note) WITH n LIMIT 8 SET n.text = $t"]);
    fixture
        .run_limited(&["MATCH (n:Note) WITH n LIMIT 7 DELETE n"])
        .expect("half of them");
}

/// Of a row that changes again and again only what it was and what it is goes into the log.
#[test]
fn what_is_replaced_is_not_counted() {
    let fixture = Fixture::new();
    fixture
        .run_limited(&[
            "CREATE (:Note {text: $t})",
            "MATCH (n:Note) UNWIND range(1, 40) AS i SET n.text = $t + toString(i)",
            "MATCH (n:Note) DELETE n",
            "UNWIND range(1, 8) AS i CREATE (:Note {text: $t})",
        ])
        .expect("never more than eight");
    // What stays as it is, is not written.
    fixture
        .run_limited(&["UNWIND range(1, 8) AS i CREATE (:Person {email: toString(i), name: $t})"])
        .expect("made");
    fixture
        .run_limited(&[
            "UNWIND range(1, 8) AS i CREATE (:Person {email: 'b' + toString(i), name: $t})",
        ])
        .expect("made");
    fixture
        .run_limited(&["MATCH (p:Person) SET p.age = 1"])
        .expect("sixteen numbers");
}

#[test]
fn what_a_write_returns_is_counted() {
    let fixture = Fixture::new();
    fixture.is_refused(&[
        "CREATE (n:Note {text: 'a'}) WITH n UNWIND range(1, 20) AS i RETURN $t + toString(i)",
    ]);
}

#[test]
pub(super) fn a_commit_has_a_limit_of_its_own() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(Options {
        commit_bytes: LIMIT,
        ..Options::default()
    });
    let (note, text) = (fixture.type_id("Note"), fixture.property("Note", "text"));
    let make = |count: usize| {
        fixture.write(move |transaction| {
            let value = Value::string("x".repeat(LIMIT / 10));
            (0..count).try_for_each(|_| {
                let values = vec![(text, value.clone())];
                transaction.create_node(note, values).map(drop)
            })
        })
    };
    make(9).expect("it fits");
    let outcome = make(11);
    assert!(
        matches!(
            outcome,
            Err(CommitError::Work(WriteError::TooLarge { limit: LIMIT }))
        ),
        "{outcome:?}"
    );
    assert_eq!(fixture.graph().snapshot().node_count(note), 9);
}
