//! What is in logs is never read differently.

use language::value::{EdgeRef, NodeRef, Path};

use super::*;

fn values() -> Vec<(PropertyId, Value)> {
    let (node, edge) = (
        NodeRef {
            type_id: TypeId(1),
            id: 2,
        },
        EdgeRef {
            type_id: TypeId(3),
            id: 4,
        },
    );
    let map = [("k".to_owned(), Value::Null)].into_iter().collect();
    let path = Path {
        nodes: vec![node, node],
        edges: vec![edge],
    };
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-1),
        Value::Float(-0.5),
        Value::from("é"),
        Value::Date(-1),
        Value::DateTime(1),
        Value::list([Value::Int(64)]),
        Value::Map(Arc::new(map)),
        Value::Node(node),
        Value::Relationship(edge),
        Value::Path(Arc::new(path)),
    ];
    (1..).map(PropertyId).zip(values).collect()
}

pub(super) fn header() -> Header {
    Header {
        lsn: 300,
        branch: 0,
        sequence: 299,
        previous_lsn: 298,
        epoch: 1,
        id: CommitId(Uuid::from_u128(1)),
        parents: vec![CommitId(Uuid::from_u128(2))],
        time_micros: 1_700_000_000_000_000,
        principal: "ann".to_owned(),
        run: Uuid::from_u128(3),
        message: Some("why".to_owned()),
        request: None,
        decision: Some(Uuid::from_u128(4)),
        idempotency: Some(Idempotency {
            key: "i".to_owned(),
            digest: [5; 32],
            answer: "{}".to_owned(),
        }),
        schema_version: 1,
        counts: ChangeCounts {
            nodes_created: 1,
            nodes_deleted: 2,
            edges_created: 3,
            edges_deleted: 4,
            properties_set: 5,
        },
        next_ids: vec![(TypeId(1), 200)],
    }
}

pub(super) fn rows() -> Vec<Change> {
    let before_and_after = ValueChange {
        property: PropertyId(9),
        before: Value::Null,
        after: Value::Int(1),
    };
    let changes = [
        RowChange::Insert {
            values: values(),
            identity: None,
            ends: Some((1, 130)),
        },
        RowChange::Update {
            values: vec![before_and_after],
        },
        RowChange::Delete {
            values: Vec::new(),
            identity: Some("x".into()),
            ends: None,
        },
    ];
    let change = |(id, row)| Change {
        type_id: TypeId(7),
        id,
        row,
    };
    (1..).zip(changes).map(change).collect()
}

fn schema() -> Schema {
    let source = "interface Named { name: String @index }
            node A implements Named @description(\"d\") {
              k: String @key
              name: String @index
              i: I32? @range(0..9), e: enum(x, y)? @default(\"x\"), c: String? @check(\"a+\")
              a: Bool?, b: I64?, u: U32?, v: U64?, f: F32?, g: F64?, d: Date?, t: DateTime?
              l: [String]?
            }
            edge E: A -> A";
    Schema::parse(source).expect("a valid schema")
}

/// What is in the logs of graphs may never be read differently. When this fails, either the
/// change is a slip or it needs a new format byte; the bytes here are only ever added to.
#[test]
fn bytes_are_pinned() {
    let inline = |catalogue, rows| Body::Inline(Changes { catalogue, rows });
    let file = SideFile {
        name: "f".to_owned(),
        bytes: 2_000_000,
        digest: [6; 32],
        encoding: Encoding::Changes,
        rows: 3,
    };
    let table = ColumnFile {
        type_id: TypeId(2),
        first_id: 300,
        layout: [7; 32],
        file: SideFile {
            encoding: Encoding::Columns,
            ..file.clone()
        },
    };
    let columns = Columns {
        truncate: true,
        tables: vec![table],
    };
    let cases = [
        (inline(Vec::new(), rows()), ROWS),
        (Body::File(file), FILE),
        (Body::Columns(columns), COLUMNS),
        (
            inline(vec![CatalogueChange::Schema(schema())], Vec::new()),
            SCHEMA,
        ),
    ];
    let mut found = Vec::new();
    for (body, _) in &cases {
        let columns = matches!(body, Body::Columns(_));
        assert_eq!(body.can_be_undone(), !columns);
        let record = Record::Commit(header(), body.clone());
        let bytes = record.encode().expect("encoded");
        assert_eq!(Record::decode(&bytes).expect("decoded"), record);
        found.push(hex::encode(&bytes));
    }
    let golden = cases.map(|(_, body)| format!("{HEADER}{body}"));
    assert_eq!(found, golden);
    let unkeyed = Header {
        idempotency: None,
        ..header()
    };
    let record = Record::Commit(unkeyed, inline(Vec::new(), rows()));
    let bytes = record.encode().expect("encoded");
    assert_eq!(Record::decode(&bytes).expect("decoded"), record);
    assert_eq!(hex::encode(bytes), format!("{UNKEYED}{ROWS}"));
}

#[test]
fn the_bytes_of_a_term_are_pinned() {
    let record = Record::Term(Term {
        lsn: 300,
        epoch: 7,
        time_micros: 1_700_000_000_000_000,
        pid: 42,
        host: "h".to_owned(),
    });
    let bytes = record.encode().expect("encoded");
    assert_eq!(hex::encode(&bytes), TERM);
    assert_eq!(Record::decode(&bytes).expect("decoded"), record);
}

const TERM: &str = "0101ac02078080f281838985062a0168";

/// As logs had it before requests could have a key.
const UNKEYED: &str = "\
    0100ac0200ab02aa02011000000000000000000000000000000001011000000000000000000000000000000002\
    8080f2818389850603616e6e100000000000000000000000000000000301037768790001100000000000000000\
    0000000000000004000101020304050101c801";

const HEADER: &str = "\
    0100ac0200ab02aa02011000000000000000000000000000000001011000000000000000000000000000000002\
    8080f2818389850603616e6e100000000000000000000000000000000301037768790001100000000000000000\
    00000000000000040101690505050505050505050505050505050505050505050505050505050505050505027b\
    7d0101020304050101c801";
const ROWS: &str = "\
    0000030701000c01000201010302010403000000000000e0bf050402c3a9060501070602080701028001090801\
    016b000a0901020b0a03040c0b0201020102010304000101820107020101090002020703020001017800";
const FILE: &str = "\
    01016680897a06060606060606060606060606060606060606060606060606060606060606060003";
const COLUMNS: &str = "\
    02010102ac020707070707070707070707070707070707070707070707070707070707070707016680897a0606\
    0606060606060606060606060606060606060606060606060606060606060103";
const SCHEMA: &str = "\
    0001009803696e74657266616365204e616d6564207b206e616d653a20537472696e672040696e646578207d0a\
    2020202020202020202020206e6f6465204120696d706c656d656e7473204e616d656420406465736372697074\
    696f6e2822642229207b0a20202020202020202020202020206b3a20537472696e6720406b65790a2020202020\
    2020202020202020206e616d653a20537472696e672040696e6465780a2020202020202020202020202020693a\
    204933323f204072616e676528302e2e39292c20653a20656e756d28782c2079293f204064656661756c742822\
    7822292c20633a20537472696e673f2040636865636b2822612b22290a2020202020202020202020202020613a\
    20426f6f6c3f2c20623a204936343f2c20753a205533323f2c20763a205536343f2c20663a204633323f2c2067\
    3a204636343f2c20643a20446174653f2c20743a204461746554696d653f0a2020202020202020202020202020\
    6c3a205b537472696e675d3f0a2020202020202020202020207d0a202020202020202020202020656467652045\
    3a2041202d3e20410101054e616d656401046e616d65000101014101054e616d65640e01046e616d6500000100\
    00000002016b00000000000000030169020100000101020001021200000401650a020178017901000104017800\
    000005016300010000000102612b00060161010100000000000701620301000000000008017504010000000000\
    090176050100000000000a0166060100000000000b0167070100000000000c0164080100000000000d01740901\
    00000000000e016c0b000100000000000102010b6465736372697074696f6e01640102014501010000030f00";

#[test]
fn what_is_no_record_is_an_error() {
    let record = Record::Commit(
        header(),
        Body::Inline(Changes {
            catalogue: Vec::new(),
            rows: rows(),
        }),
    );
    let bytes = record.encode().expect("encoded");
    for length in 0..bytes.len() {
        assert!(Record::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    let newer = [&[FORMAT + 1], &bytes[1..]].concat();
    assert!(matches!(
        Record::decode(&newer),
        Err(RecordError::Format(2))
    ));
    let longer = [&bytes[..], &[0]].concat();
    assert!(Record::decode(&longer).is_err(), "bytes that nobody reads");
}

#[test]
fn side_files_are_named_after_their_position() {
    for encoding in [Encoding::Changes, Encoding::Columns] {
        let name = SideFile::name(12, encoding);
        assert_eq!(SideFile::lsn(&name), Some(12));
    }
    for other in [
        "",
        "12-x.changes",
        "notes.txt",
        "00000000000000000012.changes",
    ] {
        assert_eq!(SideFile::lsn(other), None, "{other}");
    }
}
