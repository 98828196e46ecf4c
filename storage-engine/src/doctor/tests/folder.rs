//! Sound folders, and damage to everything but the log.

use std::fs;

use language::value::Value;
use tempfile::TempDir;

use super::Step::{Fold, Notes, Person, Reopen};
use super::{Fixture, change, check, contents, files, masked, put, write};
use crate::checkpoint::Checkpoint;
use crate::doctor::finding::told;
use crate::doctor::{Depth, RepairError, Severity, examine, repair};
use crate::{Follower, Graph, Options};

#[test]
fn a_graph_with_commits_folds_and_side_files_is_sound() {
    let fixture = Fixture::new(&[
        Person("a"),
        Fold,
        Notes,
        Reopen,
        Person("b"),
        Fold,
        Person("c"),
    ]);
    let diagnosis = fixture.examine();
    check(&diagnosis, &[]);
    let texts: Vec<_> = diagnosis.texts().iter().map(|text| masked(text)).collect();
    assert_eq!(diagnosis.last_commit.as_ref().map(|last| last.lsn), Some(5));
    assert!(
        diagnosis
            .findings
            .iter()
            .all(|it| it.severity == Severity::Ok),
        "{texts:#?}"
    );
    let nothing = repair(fixture.folder(), Depth::Deep).expect("nothing to do");
    assert!(nothing.before.is_empty() && nothing.copies.is_none());
}

#[test]
fn a_graph_that_is_open_is_examined_beside_its_writer() {
    let fixture = Fixture::new(&[Person("a")]);
    let graph = fixture.open();
    let diagnosis = fixture.examine();
    assert!(diagnosis.sound, "{:#?}", diagnosis.texts());
    let lock = diagnosis
        .findings
        .iter()
        .find(|it| it.part == "writer.lock")
        .expect("said");
    assert!(
        lock.what
            .contains(&format!("process {}", std::process::id())),
        "{lock}"
    );
    assert!(matches!(
        repair(fixture.folder(), Depth::Usual),
        Err(RepairError::Locked { .. })
    ));
    drop(graph);
}

#[test]
fn a_damaged_checkpoint() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Fold, Person("c")]);
    change(&fixture.file("checkpoints", "3.json"), |bytes| {
        bytes[30] ^= 1
    });
    check(
        &fixture.examine(),
        &[
            "damage   checkpoints/00000000000000000003.json: its checksum does not hold; opening passes over it, to an older one or the log alone; `trellis repair` takes it away; the next fold makes a new one",
        ],
    );
    let repaired = fixture.repair_to(4);
    assert!(repaired.before.lost().is_empty());
}

#[test]
fn a_deleted_table_manifest() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b")]);
    let path = fixture.file("checkpoints", "2.json");
    let checkpoint = Checkpoint::load(&path).expect("loaded");
    let table = checkpoint.tables.values().next().expect("a table");
    for path in files(&fixture.folder().join("tables").join(&table.folder)) {
        if path.extension().is_some_and(|it| it == "manifest") {
            fs::remove_file(path).expect("removed");
        }
    }
    check(
        &fixture.examine(),
        &[
            "damage   checkpoints/00000000000000000002.json: a table that it names cannot be used: the table <id> cannot be opened: Dataset at path tables/<id>/_versions/<id>.manifest was not found: Not found: tables/<id>/_versions/<id>.manifest; opening passes over it, to an older one or the log alone; `trellis repair` takes it away; the next fold makes a new one",
        ],
    );
    fixture.repair_to(3);
}

#[test]
fn a_foreign_checkpoint() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b")]);
    let other = Fixture::new(&[Person("x"), Person("y"), Person("z"), Fold]);
    for (part, with) in [("checkpoints", "4.json")]
        .into_iter()
        .chain([("tables", "")])
    {
        for path in files(&other.folder().join(part)) {
            if path.to_string_lossy().contains(with) {
                let to = fixture
                    .folder()
                    .join(path.strip_prefix(other.folder()).expect("within"));
                fs::create_dir_all(to.parent().expect("a folder")).expect("made");
                put(&to, &fs::read(&path).expect("read"));
            }
        }
    }
    check(
        &fixture.examine(),
        &[
            "damage   checkpoints/00000000000000000004.json: it belongs to another graph, <id>; the graph does not open; `trellis repair` takes it away; the next fold makes a new one",
        ],
    );
    fixture.repair_to(3);
}

#[test]
fn a_checkpoint_of_another_history() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Fold, Person("c")]);
    let path = fixture.file("checkpoints", "3.json");
    let mut checkpoint = Checkpoint::load(&path).expect("loaded");
    checkpoint.digest = "0".repeat(64);
    fixture.forge(&checkpoint);
    check(
        &fixture.examine(),
        &[
            "damage   checkpoints/00000000000000000003.json: at lsn 3 the log has another digest than it says; opening passes over it, to an older one or the log alone; `trellis repair` takes it away; the next fold makes a new one",
        ],
    );
    fixture.opens_at(4);
    fixture.repair_to(4);
}

#[test]
fn a_checkpoint_that_says_something_else_than_the_log() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Fold]);
    let old = Checkpoint::load(&fixture.file("checkpoints", "2.json")).expect("loaded");
    let mut new = Checkpoint::load(&fixture.file("checkpoints", "3.json")).expect("loaded");
    new.tables = old.tables;
    fixture.forge(&new);
    assert!(
        examine(fixture.folder(), Depth::Usual)
            .expect("examined")
            .sound
    );
    let deep = examine(fixture.folder(), Depth::Deep).expect("examined");
    check(
        &deep,
        &[
            "damage   state: the log and the newest checkpoint differ: Person has 2 rows by the log, 1 by the checkpoint, row 2 of Person is not in the checkpoint, Knows has 2 rows by the log, 1 by the checkpoint, row 2 of Knows is not in the checkpoint; the log is right, the checkpoint's tables are not; `trellis repair --deep` takes the checkpoints away: the graph opens from the log alone",
        ],
    );
}

#[test]
fn a_table_that_rots() {
    let fixture = Fixture::new(&[Person("first@x"), Person("second@x"), Fold, Person("c")]);
    let mut rotten = 0;
    for path in files(&fixture.folder().join("tables")) {
        change(&path, |bytes| {
            let found = bytes.windows(8).position(|part| part == b"second@x");
            if let Some(at) = found {
                bytes[at] = b'X';
                rotten += 1;
            }
        });
    }
    assert_eq!(rotten, 1);
    // A table has no checksums of its own, so that only the log can tell.
    assert!(
        examine(fixture.folder(), Depth::Usual)
            .expect("examined")
            .sound
    );
    let deep = examine(fixture.folder(), Depth::Deep).expect("examined");
    check(
        &deep,
        &[
            "damage   state: the log and the newest checkpoint differ: row 2 of Person differs; the log is right, the checkpoint's tables are not; `trellis repair --deep` takes the checkpoints away: the graph opens from the log alone",
        ],
    );
    let nothing = repair(fixture.folder(), Depth::Usual).expect("examined");
    assert!(nothing.before.is_empty());
    fixture.repair_to(4);
}

#[test]
fn a_checkpoint_that_the_log_does_not_continue() {
    let mut fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Fold, Reopen]);
    let graph = fixture.open();
    write(&graph, |transaction| {
        let snapshot = transaction.snapshot();
        let schema = snapshot.schema().clone();
        let person = schema.node_type_named("Person").expect("a type");
        let node = snapshot
            .node_by_key(person.id, &["b".into()])
            .expect("a node");
        transaction.set_node(node, vec![(person.properties[1].id, Value::Float(1.5))])
    });
    fixture.after.insert(4, contents(&graph.snapshot()));
    graph.close().expect("closed");
    drop(graph);
    let load = |name: &str| Checkpoint::load(&fixture.file("checkpoints", name)).expect("loaded");
    let mut new = load("3.json");
    new.tables = load("2.json").tables;
    fixture.forge(&new);
    fixture.opens_at(4);
    check(
        &fixture.examine(),
        &[
            "damage   checkpoints/00000000000000000003.json: the commits after it cannot be carried out on its tables; opening passes over it, to an older one or the log alone; `trellis repair` takes it away; the next fold makes a new one",
        ],
    );
    fixture.repair_to(4);
}

#[test]
fn a_missing_identity() {
    let fixture = Fixture::new(&[Person("a"), Fold]);
    fs::remove_file(fixture.folder().join("graph.json")).expect("removed");
    check(
        &fixture.examine(),
        &[
            "damage   graph.json: cannot read graph.json: No such file or directory (os error 2); the graph does not open; take it from a backup: it is one line, the format and the graph's uuid",
            r#"damage   graph.json: it is missing, but the log is that of graph <id>, as checkpoints/00000000000000000002.json proves; the data is whole; the graph does not open; put the identity back by hand: {"format":1,"uuid":"<id>"}"#,
        ],
    );
    fixture.cannot_repair("graph.json");
}

#[test]
fn a_wrong_identity() {
    let fixture = Fixture::new(&[Person("a"), Fold]);
    let text = r#"{"format":1,"uuid":"00000000-0000-4000-8000-000000000000"}"#;
    put(&fixture.folder().join("graph.json"), text.as_bytes());
    check(
        &fixture.examine(),
        &[
            r#"damage   graph.json: it says <id>, but the log is that of graph <id>, as checkpoints/00000000000000000002.json proves; the data is whole; the graph does not open; put the identity back by hand: {"format":1,"uuid":"<id>"}"#,
        ],
    );
    fixture.cannot_repair("graph.json does not name this graph");
}

/// With a checkpoint of its own or without, for writing and for reading along: another graph's
/// `graph.json` opens nothing, and says so.
#[test]
fn another_graph_s_identity() {
    let other = Fixture::new(&[]);
    let foreign = fs::read(other.folder().join("graph.json")).expect("read");
    for steps in [&[Person("a")][..], &[Person("a"), Fold]] {
        let fixture = Fixture::new(steps);
        let path = fixture.folder().join("graph.json");
        let own = fs::read(&path).expect("read");
        put(&path, &foreign);
        let written = Graph::open(fixture.folder(), Options::default()).map(|_| ());
        let followed = Follower::open(fixture.folder().as_path(), Options::default()).map(|_| ());
        for opened in [written, followed] {
            let error = opened.expect_err("another graph's");
            assert!(!error.is_passing(), "{error:?}");
            let text = told(&[], &error);
            assert!(
                text.contains("graph.json says that this is graph "),
                "{text}"
            );
        }
        check(
            &fixture.examine(),
            &[
                r#"damage   graph.json: it says <id>, but the log is that of graph <id>, as its first commit proves; the data is whole; the graph does not open; put the identity back by hand: {"format":1,"uuid":"<id>"}"#,
            ],
        );
        fixture.cannot_repair("graph.json does not name this graph");
        put(&path, &own);
        fixture.opens_at(2);
    }
}

#[test]
fn a_missing_folder() {
    let cases = [
        (
            "checkpoints",
            "the graph does not open; make the folder again, empty: checkpoints only save time",
        ),
        (
            "files",
            "the next large commit or fold fails; make the folder again; what is missing of its files is said of each",
        ),
        (
            "tables",
            "the next large commit or fold fails; make the folder again; what is missing of its files is said of each",
        ),
    ];
    for (name, more) in cases {
        let fixture = Fixture::new(&[Person("a")]);
        fs::remove_dir(fixture.folder().join(name)).expect("removed");
        let line = format!(
            "damage   {name}: cannot list {name}: No such file or directory (os error 2); {more}"
        );
        check(&fixture.examine(), &[&line]);
        fixture.cannot_repair(name);
    }
}

#[test]
fn what_is_newer_is_left_alone() {
    let fixture = Fixture::new(&[Person("a")]);
    put(
        &fixture.folder().join("graph.json"),
        br#"{"format":9,"uuid":"00000000-0000-4000-8000-000000000000"}"#,
    );
    check(
        &fixture.examine(),
        &[
            "damage   graph.json: the graph has format 9; this version reads up to 1; the graph does not open; use the version of Trellis that wrote it",
        ],
    );
    fixture.cannot_repair("graph.json");
}

#[test]
fn a_folder_that_is_none() {
    let home = TempDir::new().expect("a folder");
    let error = examine(home.path().join("none"), Depth::Usual).expect_err("no folder");
    assert!(
        error.to_string().ends_with("none is not a folder"),
        "{error}"
    );
    check(
        &examine(home.path(), Depth::Usual).expect("examined"),
        &[
            "damage   graph.json: cannot read graph.json: No such file or directory (os error 2); the graph does not open; take it from a backup: it is one line, the format and the graph's uuid",
            "damage   log: log holds no journal (no `<first lsn>.seg` file)",
            "damage   log: no commit can be read from the graph's beginning, nor from a checkpoint on; nothing of the graph can be had from here; restore it from a backup",
            "damage   checkpoints: cannot list checkpoints: No such file or directory (os error 2); the graph does not open; make the folder again, empty: checkpoints only save time",
            "damage   tables: cannot list tables: No such file or directory (os error 2); the next large commit or fold fails; make the folder again; what is missing of its files is said of each",
        ],
    );
}
