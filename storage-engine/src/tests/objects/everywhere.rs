//! The engine's tests that do not mind where a graph is kept, in memory and in S3 too; and what a fold
//! may leave there. The model's lives are led in objects as well (`model/run.rs`).
//!
//! Not here: what never comes to the store (statements, formats, the queue's order), what depends on how
//! long a segment is (an object of the log has one group), and what is said of a folder alone, which has its counterpart of objects: a disk that fails or loses what was not synced
//! (`reach.rs`, `deleting.rs`; an object is there whole or not at all), the lock, the lease's files, and
//! the doctor's findings of half-written files (`doctor/tests/mended.rs`).

use std::rc::Rc;

use super::moto::Moto;
use super::{add, place, schema, short};
use crate::tests::{bulk, contents, elsewhere, history, past, repeated, sizes, turns, writing};
use crate::{Graph, NewGraph};

macro_rules! in_objects {
    ($($module:ident::$name:ident,)*) => {
        mod in_memory {
            $(#[test] fn $name() {
                let places = || {
                    let (home, store, _) = super::place();
                    (home, store)
                };
                super::elsewhere(places, super::$module::$name);
            })*
        }
        /// One after the other, so that the server is started once. Each request takes its time there:
        /// all of them only with `TRELLIS_LONG`.
        #[test]
        fn in_s3() {
            let Some(server) = Moto::start() else { return };
            let server = Rc::new(server);
            let long = std::env::var_os("TRELLIS_LONG").is_some();
            $(if long || SHORT.contains(&stringify!($name)) {
                println!("{}", stringify!($name));
                let server = server.clone();
                elsewhere(move || server.place(), $module::$name);
            })*
        }
    };
}

/// One of each kind.
const SHORT: [&str; 4] = [
    "nothing_is_left_of_a_load_that_does_not_come_to_its_end",
    "what_never_was_and_what_is_gone_are_told_apart",
    "a_request_that_is_sent_again_gets_the_first_answer",
    "many_rows_are_replaced_in_one_fold",
];

in_objects! {
    bulk::every_format_brings_the_same,
    bulk::a_load_gives_way_to_those_who_were_faster,
    bulk::a_load_that_is_sent_again_gets_its_first_answer,
    bulk::a_key_that_is_free_again_is_found_where_it_was_loaded,
    bulk::a_load_is_replayed_folded_and_undone_by_nobody,
    bulk::nothing_is_left_of_a_load_that_does_not_come_to_its_end,
    history::some_answers_have_their_place,
    past::every_commit_can_be_read_again,
    past::what_never_was_and_what_is_gone_are_told_apart,
    past::the_past_has_its_limits,
    past::the_way_forward_gives_the_same,
    repeated::a_request_that_is_sent_again_gets_the_first_answer,
    repeated::two_at_once_are_one,
    repeated::two_long_ones_at_once_are_one,
    repeated::what_failed_or_changed_nothing_is_not_remembered,
    repeated::an_answer_that_cannot_be_kept_is_refused,
    sizes::a_commit_has_a_limit_of_its_own,
    turns::who_goes_away_leaves_the_line,
    turns::what_changed_meanwhile_is_read_again,
    turns::a_long_statement_of_the_executor_runs_ahead,
    turns::counters_add_up,
    writing::what_fits_alone_does_not_fail_together,
    writing::a_write_that_changes_nothing_makes_no_commit,
    writing::a_runtime_that_goes_away_does_not_wedge_the_graph,
    writing::a_row_that_is_set_back_is_not_changed,
    writing::many_rows_are_replaced_in_one_fold,
}

/// A crash leaves any of the objects of a fold away; that the newest checkpoint is there without what it
/// names no crash can do, and it is passed over all the same.
#[test]
fn every_object_of_a_fold_may_be_missing_or_empty() {
    let (_home, store, _) = place();
    Graph::create(&store, NewGraph::new(schema(), "test")).expect("created");
    let bucket = store.bucket().expect("a bucket");
    let all = || {
        let mut all = bucket.list_all("tables").expect("listed");
        all.extend(bucket.list_all("checkpoints").expect("listed"));
        all.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    let graph = Graph::open(&store, short()).expect("opened");
    add(&graph, "first").expect("written");
    graph.fold().expect("folded");
    let before = all();
    add(&graph, "second").expect("written");
    graph.fold().expect("folded");
    add(&graph, "tail").expect("written");
    let expected = contents(&graph.snapshot());
    drop(graph);
    let new: Vec<String> = all()
        .into_iter()
        .filter(|it| !before.contains(it))
        .collect();
    assert!(new.len() >= 4, "{new:?}");
    let mut made = 0;
    for name in new {
        let whole = bucket.get(&name).expect("read");
        for damaged in [None, Some(0), Some(whole.len() - 1)] {
            match damaged {
                None => bucket.delete(&name).expect("removed"),
                Some(length) => bucket.put(&name, whole.slice(..length)).expect("cut"),
            }
            let graph = Graph::open(&store, short()).expect(&name);
            assert_eq!(contents(&graph.snapshot()), expected, "{name} {damaged:?}");
            drop(graph);
            bucket.put(&name, whole.clone()).expect("put back");
        }
        made += 1;
    }
    let graph = Graph::open(&store, short()).expect("opened");
    add(&graph, "more").expect("written");
    graph.fold().expect("folded");
    let expected = contents(&graph.snapshot());
    drop(graph);
    let graph = Graph::open(&store, short()).expect("opened");
    assert_eq!(contents(&graph.snapshot()), expected);
    assert!(made >= 4);
}
