//! Damage to the log and to the side files that it names.

use std::fs;

use super::Step::{Fold, Notes, Person, Reopen};
use super::{Fixture, change, check, contents, files, frame_of, put};
use crate::{Graph, Options};

#[test]
fn a_killed_writer_and_its_leftovers_are_no_damage() {
    let fixture = Fixture::new(&[Person("a"), Notes]);
    put(&fixture.folder().join("files/0123.changes"), b"never named");
    put(
        &fixture.folder().join("log/00000000000000000009.seg.new"),
        b"never finished",
    );
    put(&fixture.folder().join("notes.txt"), b"the operator's");
    fs::create_dir(fixture.folder().join("tables/1-unnamed")).expect("made");
    let last = fixture.segment(1);
    change(&last, |bytes| {
        bytes.truncate(bytes.len() - 512); // the footer
        bytes.extend_from_slice(b"half a frame");
    });
    let diagnosis = fixture.examine();
    check(
        &diagnosis,
        &[
            "warning  log/00000000000000000002.seg at byte 1536: 12 bytes at the end are no whole frame: a frame's header is cut short; the end of a write whose writer was killed, and which was never acknowledged; if the file was cut by something else, the commits of this frame are lost; opening the graph cuts it off and keeps a copy",
        ],
    );
    let notes: Vec<_> = diagnosis
        .texts()
        .into_iter()
        .filter(|it| it.starts_with("note"))
        .collect();
    assert_eq!(notes.len(), 4, "{notes:#?}");
}

#[test]
fn a_flipped_byte_after_the_checkpoint_costs_what_stands_behind_it() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b"), Person("c"), Person("d")]);
    fixture.flip(4);
    let diagnosis = fixture.examine();
    check(
        &diagnosis,
        &[
            "damage   log/00000000000000000002.seg at byte 1536: a frame's body does not match its checksum, although a later frame begins at byte 2048",
            "damage   log: it cannot be read after lsn 3; the last acknowledged commit that can be read is commit 3 (lsn 3, <id>, <time>, by test); those from lsn 4 to lsn 5 are lost; `trellis repair` ends the log there",
        ],
    );
    assert!(Graph::open(fixture.folder(), Options::default()).is_err());
    let repaired = fixture.repair_to(3);
    let lost: Vec<_> = repaired
        .before
        .lost()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
}

#[test]
fn a_flipped_byte_before_the_checkpoint_costs_history_only() {
    let fixture = Fixture::new(&[
        Person("a"),
        Person("b"),
        Fold,
        Person("c"),
        Reopen,
        Person("d"),
    ]);
    fixture.flip(2);
    check(
        &fixture.examine(),
        &[
            "damage   log/00000000000000000002.seg at byte 512: a frame's body does not match its checksum, although the journal goes on at lsn 5 in the next segment",
            "damage   log: it cannot be read after lsn 1, but a checkpoint holds the data up to lsn 3, and from there the log goes on to lsn 5; the last acknowledged commit that can be read is commit 5 (lsn 5, <id>, <time>, by test); no commit is lost; `trellis repair` lets the log begin after lsn 3; of the commits before, the data stays and the history goes",
        ],
    );
    assert!(Graph::open(fixture.folder(), Options::default()).is_err());
    let repaired = fixture.repair_to(5);
    assert!(repaired.before.lost().is_empty());
}

#[test]
fn damage_on_both_sides_of_the_checkpoint() {
    let fixture = Fixture::new(&[
        Person("a"),
        Person("b"),
        Fold,
        Person("c"),
        Person("d"),
        Reopen,
        Person("e"),
    ]);
    fixture.flip(2);
    fixture.flip(5);
    check(
        &fixture.examine(),
        &[
            "damage   log/00000000000000000002.seg at byte 512: a frame's body does not match its checksum, although the journal goes on at lsn 6 in the next segment",
            "damage   log/00000000000000000002.seg at byte 2048: a frame's body does not match its checksum, although the journal goes on at lsn 6 in the next segment",
            "damage   log: it cannot be read after lsn 1, but a checkpoint holds the data up to lsn 3, and from there the log goes on to lsn 4; the last acknowledged commit that can be read is commit 4 (lsn 4, <id>, <time>, by test); those from lsn 5 to lsn 6 are lost; `trellis repair` lets the log begin after lsn 3; of the commits before, the data stays and the history goes",
        ],
    );
    let repaired = fixture.repair_to(4);
    assert_eq!(repaired.before.lost().len(), 2);
}

#[test]
fn damage_in_a_segment_that_opening_does_not_read() {
    let fixture = Fixture::new(&[Person("a"), Reopen, Person("b"), Fold, Reopen, Person("c")]);
    fixture.flip(2);
    check(
        &fixture.examine(),
        &[
            "damage   log/00000000000000000002.seg at byte 512: a frame's body does not match its checksum, although the journal goes on at lsn 3 in the next segment",
            "damage   log: it cannot be read after lsn 1, but a checkpoint holds the data up to lsn 3, and from there the log goes on to lsn 4; the last acknowledged commit that can be read is commit 4 (lsn 4, <id>, <time>, by test); no commit is lost; `trellis repair` lets the log begin after lsn 3; of the commits before, the data stays and the history goes",
        ],
    );
    drop(fixture.open());
    fixture.repair_to(4);
}

#[test]
fn side_files_of_commits_that_are_cut_off_are_kept() {
    let fixture = Fixture::new(&[Person("a"), Person("b"), Notes]);
    fixture.flip(3);
    let repaired = fixture.repair_to(2);
    let copies = repaired.copies.expect("copies");
    assert_eq!(files(&copies.join("files")).len(), 1);
    assert!(files(&fixture.folder().join("files")).is_empty());
}

#[test]
fn an_unreadable_segment_header() {
    let fixture = Fixture::new(&[Person("a"), Reopen, Person("b"), Reopen, Person("c")]);
    change(&fixture.segment(2), |bytes| bytes[20] ^= 1);
    check(
        &fixture.examine(),
        &[
            "damage   log/00000000000000000003.seg at byte 0: the segment header is unreadable",
            "damage   log: it cannot be read after lsn 2; the last acknowledged commit that can be read is commit 2 (lsn 2, <id>, <time>, by test); those from lsn 3 to lsn 4 are lost; `trellis repair` ends the log there",
        ],
    );
    let repaired = fixture.repair_to(2);
    assert_eq!(repaired.before.lost().len(), 2);
}

#[test]
fn a_missing_segment() {
    let fixture = Fixture::new(&[Person("a"), Reopen, Person("b"), Reopen, Person("c")]);
    fs::remove_file(fixture.segment(2)).expect("removed");
    check(
        &fixture.examine(),
        &[
            "damage   log/00000000000000000002.seg at byte 1024: the entries from lsn 3 to lsn 3 are missing",
            "damage   log: it cannot be read after lsn 2; the last acknowledged commit that can be read is commit 2 (lsn 2, <id>, <time>, by test); those from lsn 3 to lsn 4 are lost; `trellis repair` ends the log there",
        ],
    );
    fixture.repair_to(2);
}

#[test]
fn a_misnamed_segment_is_for_the_operator() {
    let fixture = Fixture::new(&[Person("a"), Reopen, Person("b")]);
    #[expect(clippy::disallowed_methods, reason = "damage is meant here")]
    fs::rename(fixture.segment(2), fixture.folder().join("log/copy.seg")).expect("renamed");
    check(
        &fixture.examine(),
        &[
            "damage   log/copy.seg at byte 0: its name is not `<first lsn as 20 digits>.seg`; the graph does not open; give it its name back (the first lsn as 20 digits), or move it away",
        ],
    );
    fixture.cannot_repair("a name that says nothing");
}

#[test]
fn a_truncated_tail_that_a_checkpoint_knows_of() {
    let fixture = Fixture::new(&[Person("a"), Person("b"), Fold]);
    let (segment, offset) = frame_of(&fixture, 3);
    change(&segment, |bytes| bytes.truncate(offset + 50));
    check(
        &fixture.examine(),
        &[
            "damage   log: it cannot be read after lsn 2, but a checkpoint holds the data up to lsn 3; the last acknowledged commit that can be read is commit 3 (lsn 3, <id>, <time>, by test); whether others came after it cannot be told; `trellis repair` lets the log begin after lsn 3; of the commits before, the data stays and the history goes",
        ],
    );
    let repaired = fixture.repair_to(3);
    assert!(repaired.before.lost().is_empty());
}

#[test]
fn a_truncated_tail_that_nothing_knows_of() {
    let fixture = Fixture::new(&[Person("a"), Fold, Person("b")]);
    let (segment, offset) = frame_of(&fixture, 3);
    change(&segment, |bytes| bytes.truncate(offset + 50));
    check(
        &fixture.examine(),
        &[
            "warning  log/00000000000000000002.seg at byte 1024: 50 bytes at the end are no whole frame: a frame's header is cut short; the end of a write whose writer was killed, and which was never acknowledged; if the file was cut by something else, the commits of this frame are lost; opening the graph cuts it off and keeps a copy",
        ],
    );
    assert_eq!(contents(&fixture.open().snapshot()), fixture.after[&2]);
}

#[test]
fn a_log_that_is_gone() {
    let fixture = Fixture::new(&[Person("a"), Fold]);
    for segment in files(&fixture.folder().join("log")) {
        fs::remove_file(segment).expect("removed");
    }
    fs::remove_dir(fixture.folder().join("log")).expect("removed");
    check(
        &fixture.examine(),
        &[
            "damage   log: log holds no journal (no `<first lsn>.seg` file)",
            "damage   log: it cannot be read after lsn 0, but a checkpoint holds the data up to lsn 2; the last acknowledged commit that can be read is commit 2 (lsn 2, <id>, <time>, by test); whether others came after it cannot be told; `trellis repair` lets the log begin after lsn 2; of the commits before, the data stays and the history goes",
        ],
    );
    fixture.repair_to(2);

    let fixture = Fixture::new(&[Person("a")]);
    for segment in files(&fixture.folder().join("log")) {
        fs::remove_file(segment).expect("removed");
    }
    check(
        &fixture.examine(),
        &[
            "damage   log: log holds no journal (no `<first lsn>.seg` file)",
            "damage   log: no commit can be read from the graph's beginning, nor from a checkpoint on; nothing of the graph can be had from here; restore it from a backup",
        ],
    );
    fixture.cannot_repair("no commit can be read");
}

#[test]
fn a_deleted_side_file() {
    let fixture = Fixture::new(&[Person("a"), Notes, Person("b")]);
    fs::remove_file(fixture.file("files", ".changes")).expect("removed");
    check(
        &fixture.examine(),
        &[
            "damage   files/<id>.changes: the commit at lsn 3 needs it: cannot read files/<id>.changes: No such file or directory (os error 2)",
            "damage   log: it cannot be read after lsn 2; the last acknowledged commit that can be read is commit 2 (lsn 2, <id>, <time>, by test); those from lsn 3 to lsn 4 are lost; `trellis repair` ends the log there",
        ],
    );
    let repaired = fixture.repair_to(2);
    assert_eq!(repaired.before.lost().len(), 2);
}

#[test]
fn a_side_file_that_a_checkpoint_makes_up_for() {
    let fixture = Fixture::new(&[Person("a"), Notes, Fold, Person("b")]);
    change(&fixture.file("files", ".changes"), |bytes| {
        bytes[1_000] ^= 1
    });
    check(
        &fixture.examine(),
        &[
            "damage   files/<id>.changes: the commit at lsn 3 needs it: the side file <id>.changes is damaged",
            "damage   log: it cannot be read after lsn 2, but a checkpoint holds the data up to lsn 3, and from there the log goes on to lsn 4; the last acknowledged commit that can be read is commit 4 (lsn 4, <id>, <time>, by test); no commit is lost; `trellis repair` lets the log begin after lsn 3; of the commits before, the data stays and the history goes",
        ],
    );
    assert_eq!(contents(&fixture.open().snapshot()), fixture.after[&4]);
    let repaired = fixture.repair_to(4);
    assert!(repaired.before.lost().is_empty());
}

#[test]
fn a_commit_in_the_middle_of_a_group() {
    let fixture = Fixture::new(&[Person("a"), Person("b"), Notes, Person("c")]);
    // The same commits, of which three share a frame.
    let log = fixture.folder().join("log");
    let mut entries = Vec::new();
    journal::follow(&log, None, &mut |entry| entries.push(entry.bytes.to_vec())).expect("read");
    for segment in files(&log) {
        fs::remove_file(segment).expect("removed");
    }
    let options = journal::Options {
        epoch: 1,
        ..journal::Options::default()
    };
    let mut journal = journal::Journal::create(&log, options).expect("made");
    journal.append(&entries[..2]).expect("appended");
    journal.append(&entries[2..]).expect("appended");
    journal.close().expect("closed");
    assert!(fixture.examine().sound);

    fs::remove_file(fixture.file("files", ".changes")).expect("removed");
    let diagnosis = fixture.examine();
    assert_eq!(diagnosis.last_commit.as_ref().map(|last| last.lsn), Some(3));
    let repaired = fixture.repair_to(3);
    assert_eq!(repaired.before.lost().len(), 2);
}

#[test]
fn a_record_that_breaks_a_rule() {
    let fixture = Fixture::new(&[Person("a"), Person("b")]);
    let log = fixture.folder().join("log");
    let mut records = Vec::new();
    journal::follow(&log, None, &mut |entry| {
        records.push(crate::record::Record::decode(entry.bytes).expect("decoded"));
    })
    .expect("read");
    let crate::record::Record::Commit(header, _) = &mut records[2] else {
        panic!("a commit");
    };
    header.sequence = 7;
    header.previous_lsn = 1;
    header.parents.clear();
    header.time_micros = 0;
    header.next_ids.clear();
    for segment in files(&log) {
        fs::remove_file(segment).expect("removed");
    }
    let options = journal::Options {
        epoch: 1,
        ..journal::Options::default()
    };
    let mut journal = journal::Journal::create(&log, options).expect("made");
    for record in records {
        journal
            .append(&[record.encode().expect("encoded")])
            .expect("appended");
    }
    journal.close().expect("closed");
    check(
        &fixture.examine(),
        &[
            "damage   log: the commit at lsn 3 breaks a rule: sequence 7 follows 2; the graph opens with it; it is a defect of Trellis, please report it",
            "damage   log: the commit at lsn 3 breaks a rule: it names lsn 1 as the one before on its branch, which is lsn 2; the graph opens with it; it is a defect of Trellis, please report it",
            "damage   log: the commit at lsn 3 breaks a rule: its parents do not have the commit before, <id>; the graph opens with it; it is a defect of Trellis, please report it",
            "damage   log: the commit at lsn 3 breaks a rule: its time is not after that of the commit before; the graph opens with it; it is a defect of Trellis, please report it",
            "damage   log: the commit at lsn 3 breaks a rule: row 2 of type 1 is above its mark of ids; the graph opens with it; it is a defect of Trellis, please report it",
            "damage   log: the commit at lsn 3 breaks a rule: row 2 of type 3 is above its mark of ids; the graph opens with it; it is a defect of Trellis, please report it",
        ],
    );
}
