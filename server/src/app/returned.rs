//! What the last statement of a write returns: JSON that is made, and counted, before the commit.
//!
//! Whoever answers adds the commit alone. What is longer than a little is not made where others wait behind
//! it, and what is more than its principal may hold is refused while nothing is changed yet.

use api_types::Column;
use bytes::Bytes;
use language::Value;
use serde::Deserialize;
use serde_json::value::RawValue;
use storage_engine::Snapshot;

use super::memory::{Holding, Purse};
use super::plans::Prepared;
use super::rows::{self, Objects};
use super::values::{Budget, TooLarge, Values};

/// What usually comes after the rows.
const AFTER_ROWS: usize = 1 << 10;

/// The rows with their columns, and what they hold until they are on their way.
#[derive(Debug)]
pub(crate) struct Returned {
    /// The beginning of a JSON object, up to the last row.
    json: Vec<u8>,
    /// Nothing is held for what is kept for a request that is repeated: it is short.
    holding: Option<Holding>,
}

impl Returned {
    /// Rows of `snapshot` as JSON of `max_bytes`, or hardly more.
    pub(crate) fn new(
        statement: Option<&Prepared>,
        rows: &[Vec<Value>],
        snapshot: &Snapshot,
        max_bytes: usize,
    ) -> Result<Self, TooLarge> {
        let columns: &[Column] = statement.map_or(&[], |statement| &statement.columns);
        let labels: &[Vec<u8>] = statement.map_or(&[], |statement| &statement.labels);
        let budget = Budget::new(max_bytes);
        let values = Values::new(snapshot, &budget);
        let mut objects = Objects::after(rows::begun(columns), labels);
        for row in rows {
            objects.push(row, |value| values.json(value))?;
            // With names, which stand in each row, and escapes.
            if objects.bytes.len() > max_bytes {
                return Err(TooLarge);
            }
        }
        let mut json = objects.bytes;
        json.reserve_exact(AFTER_ROWS);
        Ok(Self {
            json,
            holding: None,
        })
    }

    /// The same, held from now on; nothing when that is more than is left now.
    pub(crate) fn held(self, purse: &Purse) -> Option<Self> {
        let holding = purse.hold(self.json.len())?;
        Some(Self {
            holding: Some(holding),
            ..self
        })
    }

    /// With what comes after the rows, which `end` adds; counted until it is gone.
    pub(crate) fn ended(mut self, end: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        end(&mut self.json);
        match self.holding {
            Some(holding) => holding.with(self.json),
            None => self.json.into(),
        }
    }
}

/// What a request that is sent again gets again, besides its commit.
#[derive(Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    columns: &'a RawValue,
    #[serde(borrow)]
    rows: &'a RawValue,
}

impl storage_engine::Answer for Returned {
    fn keep(&self) -> String {
        let text = std::str::from_utf8(&self.json).expect("JSON is UTF-8");
        format!("{text}]}}")
    }

    fn recall(text: &str) -> Option<Self> {
        let kept: Kept<'_> = serde_json::from_str(text).ok()?;
        let rows = kept.rows.get().strip_suffix(']')?;
        let json = format!("{{\"columns\":{},\"rows\":{rows}", kept.columns);
        Some(Self {
            json: json.into_bytes(),
            holding: None,
        })
    }
}
