//! Writes, and what they are answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use language::schema::TypeId;

use super::apply::apply;
use super::coverage::note;
use super::faults::Unknown;
use super::run::{After, Run};
use super::{Answer, Change, DEFECT, End, Key, Model};
use crate::{
    CommitError, Graph, IdempotencyKey, Transaction, Work, WriteError, WriteRequest, Written,
};

/// The model after each commit that was tried, by sequence; of those tried twice the last.
type States = Arc<Mutex<BTreeMap<u64, Model>>>;

/// What a write came to.
#[derive(Clone)]
struct Try {
    /// The commit that it tried to make.
    sequence: u64,
    /// Whether there is anything to commit.
    changed: bool,
    model: Model,
    /// How many rows came and went.
    counts: String,
}

type Tried = Arc<Mutex<Came>>;

#[derive(Clone, Default)]
struct Came {
    to: Option<Try>,
    /// The change that was refused.
    refused: Option<usize>,
}

type Outcome = Result<Written<String>, CommitError<WriteError>>;

/// Carries out the changes in the graph and in the model, and says how many rows came and went.
fn work(changes: Vec<Change>, end: End, states: States, tried: Tried) -> Work<String, WriteError> {
    Work::inside(move |transaction: &mut Transaction| {
        let sequence = transaction.snapshot().head().sequence;
        let before = states.lock().expect("sound")[&sequence].clone();
        let mut model = before.clone();
        for (at, change) in changes.iter().enumerate() {
            if let Err(error) = apply(&mut model, change, transaction) {
                tried.lock().expect("sound").refused = Some(at);
                return Err(error);
            }
        }
        let ended = transaction.end_statement();
        assert_eq!(ended.is_ok(), model.complete(), "{ended:?}");
        ended?;
        match end {
            End::Panic => std::panic::panic_any(DEFECT),
            End::GoAway => Err(WriteError::UnknownType(TypeId(u32::MAX))),
            End::Commit => {
                let counts = format!("{:?}", counts(&before, &model));
                let mut states = states.lock().expect("sound");
                states.insert(sequence + 1, model.clone());
                tried.lock().expect("sound").to = Some(Try {
                    sequence: sequence + 1,
                    changed: differs(&before, &model),
                    model,
                    counts: counts.clone(),
                });
                Ok(counts)
            }
        }
    })
}

async fn submit(graph: Graph, key: Option<Key>, work: Work<String, WriteError>) -> Outcome {
    let principal = key.map_or(9, |key| key.principal);
    let request = WriteRequest::by(format!("principal {principal}"));
    let key = key.map(|key| IdempotencyKey {
        key: format!("key {}", key.key),
        digest: [key.digest; 32],
    });
    graph.submit_once(request, key, work).await
}

impl Run {
    /// Writes one after the other in the order of the queue; the model goes along.
    pub(super) fn write(&mut self, group: Vec<Vec<Change>>, end: End, key: Option<Key>) {
        let known = BTreeMap::from([(self.head.sequence, self.model.clone())]);
        let states: States = Arc::new(Mutex::new(known));
        let (mut jobs, mut tries) = (Vec::new(), Vec::new());
        // What one change has spoilt is tried again without it.
        let mut alone = match group.as_slice() {
            [only] => only.clone(),
            _ => Vec::new(),
        };
        let mut refused = None;
        for changes in group {
            let tried = Tried::default();
            tries.push(tried.clone());
            let work = work(changes, end, states.clone(), tried);
            jobs.push(submit(self.graph().clone(), key, work));
        }
        let outcomes = super::run::runtime().block_on(futures::future::join_all(jobs));
        let mut doubt = None;
        for (outcome, tried) in outcomes.into_iter().zip(tries) {
            let came = tried.lock().expect("sound").clone();
            let tried = came.to;
            match outcome {
                Ok(written) if written.repeated => self.repeated(&written, key),
                Ok(written) => self.wrote(written, tried, key),
                Err(CommitError::Unknown(error)) => {
                    self.excuses(&error);
                    note("write unknown");
                    // What failed or changed nothing is answered with its neighbours.
                    doubt = tried.filter(|it| it.changed).or(doubt);
                }
                Err(error) => {
                    self.refused(error, end, key);
                    refused = came.refused;
                }
            }
        }
        if let Some(doubt) = doubt.filter(|it| it.sequence > self.head.sequence) {
            self.unknown = Some(Unknown {
                sequence: doubt.sequence,
                after: After::Model(Box::new(doubt.model)),
                answer: key.map(|key| ((key.principal, key.key), key.digest, doubt.counts)),
            });
        }
        if let Some(at) = refused.filter(|at| *at < alone.len()) {
            alone.remove(at);
            self.write(vec![alone], end, key);
        }
    }

    fn repeated(&self, written: &Written<String>, key: Option<Key>) {
        let key = key.expect("only what has a key is repeated");
        let answer = &self.model.answers[&(key.principal, key.key)];
        note("repeated");
        assert_eq!(answer.digest, key.digest);
        assert_eq!(
            (&written.value, &written.commit),
            (&answer.counts, &answer.commit)
        );
    }

    fn wrote(&mut self, written: Written<String>, tried: Option<Try>, key: Option<Key>) {
        let Try {
            sequence,
            changed,
            model,
            counts,
        } = tried.expect("it was carried out");
        let found = &written.counts;
        let found = [
            found.nodes_created,
            found.nodes_deleted,
            found.edges_created,
            found.edges_deleted,
        ];
        assert_eq!(format!("{found:?}"), counts);
        assert_eq!(written.value, counts);
        let head = self.graph().snapshot().head().sequence;
        assert!(head >= written.commit.sequence);
        assert_eq!(changed, written.commit.sequence == sequence);
        if !changed {
            // Nothing was changed, so there is no commit and nothing is kept.
            note("write of nothing");
            return;
        }
        note("write");
        let known = |key: &Key| self.model.answers.contains_key(&(key.principal, key.key));
        assert!(!key.as_ref().is_some_and(known), "it was carried out twice");
        self.model = model;
        if let Some(key) = key {
            let answer = Answer {
                digest: key.digest,
                counts,
                commit: written.commit.clone(),
            };
            self.model.answers.insert((key.principal, key.key), answer);
        }
        self.acknowledged(written.commit);
    }

    fn refused(&self, error: CommitError<WriteError>, end: End, key: Option<Key>) {
        match error {
            CommitError::Work(_) => {}
            CommitError::Panicked => assert!(matches!(end, End::Panic)),
            CommitError::KeyReused => {
                let key = key.expect("it has a key");
                note("key reused");
                let answer = &self.model.answers[&(key.principal, key.key)];
                assert_ne!(answer.digest, key.digest);
            }
            CommitError::NotWritten(_)
            | CommitError::SideFile(_)
            | CommitError::Unfolded { .. } => {
                note("write failed");
                self.excuses(&error);
            }
            error => panic!("{error:?}"),
        }
    }
}

/// Whether a commit has anything to say: of a row that is different, or of an id that was given.
fn differs(before: &Model, after: &Model) -> bool {
    let text = |model: &Model| format!("{:?} {:?}", model.nodes, model.edges);
    before.used.len() != after.used.len() || text(before) != text(after)
}

/// Nodes made and gone, edges made and gone.
pub(super) fn counts(before: &Model, after: &Model) -> [u64; 4] {
    fn only<K: Ord, V>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> u64 {
        a.keys().filter(|key| !b.contains_key(key)).count() as u64
    }
    [
        only(&after.nodes, &before.nodes),
        only(&before.nodes, &after.nodes),
        only(&after.edges, &before.edges),
        only(&before.edges, &after.edges),
    ]
}
