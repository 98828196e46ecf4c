//! What a commit is in the log.
//!
//! A log entry is one byte of format, then a [`Record`] in postcard. Records hold effects, not
//! statements: ids, times and values are decided before they are written, so that replaying needs
//! no Cypher, no clock and no randomness. Adding a variant at the end of an enum keeps old logs
//! readable; anything else is a new format byte. `tests::bytes_are_pinned` notices a slip.

mod heading;

use std::sync::Arc;

use language::schema::{PropertyId, Schema, TypeId};
use language::value::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use heading::{Heading, Horizon};

/// The format byte of entries written now.
const FORMAT: u8 = 1;

/// The one branch that exists until branches do.
pub const MAIN: &str = "main";

/// Identifies a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitId(pub Uuid);

impl std::fmt::Display for CommitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are commits, and none is kept"
)]
pub(crate) enum Record {
    /// A commit.
    Commit(Header, Body),
    /// A writer begins. Only in an object store.
    Term(Term),
    /// What is before a point is to be collected. It is in the log before anything is removed.
    Horizon(Horizon),
}

/// The beginning of a writer. It takes a position in the log and none on a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    /// Position in the graph's log.
    pub(crate) lsn: u64,
    /// The number of the writer, above that of every one before it.
    pub(crate) epoch: u64,
    /// Microseconds since 1970, UTC.
    pub(crate) time_micros: i64,
    /// Its process and host.
    pub(crate) pid: u32,
    pub(crate) host: String,
}

/// What a commit is, apart from its changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Position in the graph's log.
    pub(crate) lsn: u64,
    /// The line of history, by id; 0 is `main`.
    pub(crate) branch: u32,
    /// Position on the branch, from 1, without gaps.
    pub(crate) sequence: u64,
    /// Position in the log of the commit before it on the branch; 0 for the first.
    pub(crate) previous_lsn: u64,
    /// The term of the writer.
    pub(crate) epoch: u64,
    pub(crate) id: CommitId,
    pub(crate) parents: Vec<CommitId>,
    /// Microseconds since 1970, UTC; larger than that of the commit before it.
    pub(crate) time_micros: i64,
    pub(crate) principal: String,
    pub(crate) run: Uuid,
    pub(crate) message: Option<String>,
    /// The HTTP request that asked for it, and the policy decision that allowed it.
    pub(crate) request: Option<String>,
    pub(crate) decision: Option<Uuid>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) schema_version: u64,
    pub(crate) counts: ChangeCounts,
    /// Per type that the commit adds rows to: the first id that no row has had.
    pub(crate) next_ids: Vec<(TypeId, u64)>,
}

/// The key of a request that must not be carried out twice, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Idempotency {
    pub(crate) key: String,
    /// SHA-256 of what was asked.
    pub(crate) digest: [u8; 32],
    /// What the request was answered besides the commit and its counts.
    pub(crate) answer: String,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// In the record itself.
    Inline(Changes),
    /// In an immutable file of the graph's `files/`, synced before the record.
    File(SideFile),
}

/// A large body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SideFile {
    /// File name within `files/`.
    pub(crate) name: String,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
    /// How the file is to be read.
    pub(crate) encoding: Encoding,
    /// How many rows it changes.
    pub(crate) rows: u64,
}

/// How a side file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    /// [`Changes`], as they would stand inline.
    Changes,
}

/// The changes of a commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// First, so that the rows can be read.
    pub(crate) catalogue: Vec<CatalogueChange>,
    pub(crate) rows: Vec<Change>,
}

/// A change of what the graph is, rather than of its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CatalogueChange {
    /// The schema from here on.
    Schema(Schema),
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) type_id: TypeId,
    pub(crate) id: u64,
    pub(crate) row: RowChange,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RowChange {
    /// It is new.
    Insert {
        values: Vec<(PropertyId, Value)>,
        identity: Option<Arc<str>>,
        ends: Option<(u64, u64)>,
    },
    /// Some of its properties changed.
    Update { values: Vec<ValueChange> },
    /// It is gone; this is what it was.
    Delete {
        values: Vec<(PropertyId, Value)>,
        identity: Option<Arc<str>>,
        ends: Option<(u64, u64)>,
    },
}

/// A property before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ValueChange {
    pub(crate) property: PropertyId,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// How much a commit changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Nodes that are new.
    pub nodes_created: u64,
    /// Nodes that are gone.
    pub nodes_deleted: u64,
    /// Edges that are new.
    pub edges_created: u64,
    /// Edges that are gone.
    pub edges_deleted: u64,
    /// Properties set on nodes and edges, new ones included.
    pub properties_set: u64,
}

/// A commit as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Identifies it.
    pub id: CommitId,
    /// The branch that it is on.
    pub branch: String,
    /// Its position on the branch, from 1.
    pub sequence: u64,
    /// The commits that it follows.
    pub parents: Vec<CommitId>,
    /// Microseconds since 1970, UTC.
    pub time_micros: i64,
    /// Who made it.
    pub principal: String,
    /// The execution that made it.
    pub run: Uuid,
    /// What its author said of it.
    pub message: Option<String>,
}

impl Header {
    /// The commit as people see it.
    pub(crate) fn info(&self) -> CommitInfo {
        CommitInfo {
            id: self.id,
            branch: MAIN.to_owned(),
            sequence: self.sequence,
            parents: self.parents.clone(),
            time_micros: self.time_micros,
            principal: self.principal.clone(),
            run: self.run,
            message: self.message.clone(),
        }
    }
}

/// A log entry that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer Trellis.
    #[error("log entries of format {0} are not known to this version of Trellis")]
    Format(u8),
    /// The bytes are whole, as their checksum says, but they are no record.
    #[error("the log entry cannot be read")]
    Decode(#[source] postcard::Error),
    /// The record cannot be written.
    #[error("the log entry cannot be written")]
    Encode(#[source] postcard::Error),
}

impl Record {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        postcard::to_extend(self, vec![FORMAT]).map_err(RecordError::Encode)
    }

    pub(crate) fn decode(entry: &[u8]) -> Result<Self, RecordError> {
        decode(entry)
    }

    /// Its position in the log, as it says itself.
    pub(crate) fn lsn(&self) -> u64 {
        match self {
            Self::Commit(header, _) => header.lsn,
            Self::Horizon(horizon) => horizon.lsn,
            Self::Term(term) => term.lsn,
        }
    }
}

/// What stands after the format byte, down to the last byte.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&FORMAT, bytes)) => match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(RecordError::Decode(postcard::Error::DeserializeBadEncoding)),
            Err(error) => Err(RecordError::Decode(error)),
        },
        Some((&other, _)) => Err(RecordError::Format(other)),
        None => Err(RecordError::Decode(
            postcard::Error::DeserializeUnexpectedEnd,
        )),
    }
}

impl SideFile {
    /// A new name. It begins with the log position, so that a file which no record came to name can
    /// be told from those of the log before it.
    pub(crate) fn name(lsn: u64) -> String {
        format!("{lsn:020}-{}.changes", Uuid::new_v4().simple())
    }

    /// The file's name within the graph.
    pub(crate) fn place(&self) -> String {
        format!("files/{}", self.name)
    }

    /// The position in a name.
    pub(crate) fn lsn(name: &str) -> Option<u64> {
        let (lsn, rest) = name.split_once('-')?;
        let ours = lsn.len() == 20 && rest.ends_with(".changes");
        ours.then(|| lsn.parse().ok()).flatten()
    }
}

impl Changes {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        postcard::to_extend(self, vec![FORMAT]).map_err(RecordError::Encode)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
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
        let cases = [
            (inline(Vec::new(), rows()), ROWS),
            (Body::File(file), FILE),
            (
                inline(vec![CatalogueChange::Schema(schema())], Vec::new()),
                SCHEMA,
            ),
        ];
        let mut found = Vec::new();
        for (body, _) in &cases {
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
        let name = SideFile::name(12);
        assert_eq!(SideFile::lsn(&name), Some(12));
        for other in [
            "",
            "12-x.changes",
            "notes.txt",
            "00000000000000000012.changes",
        ] {
            assert_eq!(SideFile::lsn(other), None, "{other}");
        }
    }
}
