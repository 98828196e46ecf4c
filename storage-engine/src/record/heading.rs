//! What can be known of an entry without its changes: a commit's header, or where history begins.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Columns, FORMAT, Header, Record, RecordError, SideFile, Term, decode};

/// Where the history that is kept begins. It takes a position in the log and none on a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Horizon {
    /// Position in the graph's log.
    pub(crate) lsn: u64,
    /// The term of the writer.
    pub(crate) epoch: u64,
    /// Microseconds since 1970, UTC.
    pub(crate) time_micros: i64,
    /// The first entry that is kept. States before it cannot be read any more.
    pub(crate) first: u64,
}

/// What stands before the changes of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heading {
    /// A commit, and the files of its body.
    Commit(Box<Header>, Vec<SideFile>),
    /// A writer begins.
    Term(Term),
    /// A horizon.
    Horizon(Horizon),
}

impl Heading {
    /// The heading of an entry; its changes are not looked at.
    pub(crate) fn decode(entry: &[u8]) -> Result<Self, RecordError> {
        fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, RecordError> {
            let (value, rest) = postcard::take_from_bytes(bytes).map_err(RecordError::Decode)?;
            *bytes = rest;
            Ok(value)
        }
        let Some((&FORMAT, mut bytes)) = entry.split_first() else {
            // Says what is wrong with it.
            return Err(match decode::<Record>(entry) {
                Err(error) => error,
                Ok(_) => RecordError::Decode(postcard::Error::DeserializeBadEncoding),
            });
        };
        // The number of a variant stands before its fields.
        match take::<u32>(&mut bytes)? {
            0 => {
                let header = take(&mut bytes)?;
                let files = match take::<u32>(&mut bytes)? {
                    0 => Vec::new(),
                    1 => vec![take(&mut bytes)?],
                    2 => {
                        let columns: Columns = take(&mut bytes)?;
                        columns.tables.into_iter().map(|it| it.file).collect()
                    }
                    _ => return Err(RecordError::Decode(postcard::Error::DeserializeBadEnum)),
                };
                Ok(Self::Commit(header, files))
            }
            1 => Ok(Self::Term(take(&mut bytes)?)),
            2 => Ok(Self::Horizon(take(&mut bytes)?)),
            _ => Err(RecordError::Decode(postcard::Error::DeserializeBadEnum)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{header, rows};
    use super::*;
    use language::schema::TypeId;

    use crate::record::{Body, Changes, ColumnFile, Encoding};

    /// As of a commit's bytes: they may never be read differently.
    const HORIZON: &str = "0102ac02018080f28183898506c801";

    fn horizon() -> Horizon {
        Horizon {
            lsn: 300,
            epoch: 1,
            time_micros: 1_700_000_000_000_000,
            first: 200,
        }
    }

    #[test]
    fn the_bytes_of_a_horizon_are_pinned() {
        let record = Record::Horizon(horizon());
        let bytes = record.encode().expect("encoded");
        assert_eq!(Record::decode(&bytes).expect("decoded"), record);
        assert_eq!(hex::encode(&bytes), HORIZON);
    }

    #[test]
    fn a_heading_is_the_beginning_of_its_record() {
        let file = SideFile {
            name: "f".to_owned(),
            bytes: 2_000_000,
            digest: [6; 32],
            encoding: Encoding::Changes,
            rows: 3,
        };
        let inline = Body::Inline(Changes {
            catalogue: Vec::new(),
            rows: rows(),
        });
        let table = |type_id| ColumnFile {
            type_id: TypeId(type_id),
            first_id: 7,
            layout: [8; 32],
            file: file.clone(),
        };
        let columns = Body::Columns(Columns {
            truncate: false,
            tables: vec![table(1), table(2)],
        });
        let cases = [
            (inline, Vec::new()),
            (Body::File(file.clone()), vec![file.clone()]),
            (columns, vec![file.clone(), file.clone()]),
        ];
        for (body, files) in cases {
            let bytes = Record::Commit(header(), body).encode().expect("encoded");
            let heading = Heading::decode(&bytes).expect("decoded");
            assert_eq!(heading, Heading::Commit(Box::new(header()), files));
            let newer = [&[FORMAT + 1], &bytes[1..]].concat();
            assert!(matches!(
                Heading::decode(&newer),
                Err(RecordError::Format(_))
            ));
        }
        let bytes = Record::Horizon(horizon()).encode().expect("encoded");
        let heading = Heading::decode(&bytes).expect("decoded");
        assert_eq!(heading, Heading::Horizon(horizon()));
        for length in 0..bytes.len() {
            assert!(Heading::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(
            Heading::decode(&[FORMAT, 9, 0, 0]).is_err(),
            "no such record"
        );
    }
}
